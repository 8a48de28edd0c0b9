//! What the files of a store have in common: how they are replaced, made durable and read.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Durability, StoreError};

/// What the names of files that are being written begin with. Nothing else does, and nobody
/// reads them.
pub(super) const TEMP_PREFIX: &str = ".tmp-";

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|error| StoreError::io("syncing the directory", dir, error))
}

/// Replaces a file as a whole: whoever reads it finds the old bytes or the new ones. With
/// [`Durability::Strict`] the new ones are durable on return. The caller lets nobody else replace
/// the same file meanwhile.
pub(super) fn replace(path: &Path, bytes: &[u8], durability: Durability) -> Result<(), StoreError> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        let error = std::io::ErrorKind::InvalidInput.into();
        return Err(StoreError::io("replacing", path, error));
    };
    let mut temp_name = std::ffi::OsString::from(TEMP_PREFIX);
    temp_name.push(name);
    let temp = dir.join(temp_name);
    let written = write_new(&temp, bytes, durability)
        .and_then(|()| fs::rename(&temp, path).map_err(|e| StoreError::io("replacing", path, e)));
    if let Err(error) = written {
        // What matters is the error; a stray temporary file is overwritten by the next attempt.
        let _ = fs::remove_file(&temp);
        return Err(error);
    }
    match durability {
        Durability::Fast => Ok(()),
        Durability::Strict => sync_dir(dir),
    }
}

fn write_new(path: &Path, bytes: &[u8], durability: Durability) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let write = || {
        let mut file = options.open(path)?;
        file.write_all(bytes)?;
        if durability == Durability::Strict { file.sync_all() } else { Ok(()) }
    };
    write().map_err(|error| StoreError::io("writing", path, error))
}

/// Reads a file of at most `bytes_max`, or as much of a longer one and a byte more. `None` if
/// there is no such file.
pub(super) fn read_bounded(path: &Path, bytes_max: usize) -> Result<Option<Vec<u8>>, StoreError> {
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(bytes_max as u64 + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("reading", path, error)),
    }
}

/// The names in a directory; none if there is no such directory.
pub(super) fn names_in(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let list = || match fs::read_dir(dir) {
        Ok(entries) => entries.map(|e| e.map(|e| PathBuf::from(e.file_name()))).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    list().map_err(|error| StoreError::io("listing", dir, error))
}
