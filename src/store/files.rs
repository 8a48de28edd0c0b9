//! What the files of a store have in common: how they are replaced, made durable and read.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::{Durability, StoreError};
use crate::base::disk::{Disk, OpenMode, PathKind};

/// What the names of files that are being written begin with. Nothing else does, and nobody
/// reads them.
pub(super) const TEMP_PREFIX: &str = ".tmp-";

/// Makes the names in a directory durable.
pub(super) fn sync_dir(disk: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
    disk.sync_dir(dir).map_err(|error| StoreError::io("syncing the directory", dir, error))
}

/// Replaces a file as a whole: whoever reads it finds the old bytes or the new ones. With
/// [`Durability::Strict`] the new ones are durable on return. The caller lets nobody else replace
/// the same file meanwhile.
pub(super) fn replace(
    disk: &dyn Disk,
    path: &Path,
    bytes: &[u8],
    durability: Durability,
) -> Result<(), StoreError> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        let error = io::ErrorKind::InvalidInput.into();
        return Err(StoreError::io("replacing", path, error));
    };
    let mut temp_name = OsString::from(TEMP_PREFIX);
    temp_name.push(name);
    let temp = dir.join(temp_name);
    let written = write_new(disk, &temp, bytes, durability)
        .and_then(|()| disk.rename(&temp, path).map_err(|e| StoreError::io("replacing", path, e)));
    if let Err(error) = written {
        // What matters is the error; a stray temporary file is overwritten by the next attempt.
        let _ = disk.remove_file(&temp);
        return Err(error);
    }
    match durability {
        Durability::Fast => Ok(()),
        Durability::Strict => sync_dir(disk, dir),
    }
}

fn write_new(
    disk: &dyn Disk,
    path: &Path,
    bytes: &[u8],
    durability: Durability,
) -> Result<(), StoreError> {
    let write = || {
        let file = disk.open(path, OpenMode::CreateEmpty)?;
        file.write_all_at(bytes, 0)?;
        if durability == Durability::Strict { file.sync_data() } else { Ok(()) }
    };
    write().map_err(|error| StoreError::io("writing", path, error))
}

/// Reads a file of at most `bytes_max`, or as much of a longer one and a byte more. `None` if
/// there is no such file.
pub(super) fn read_bounded(
    disk: &dyn Disk,
    path: &Path,
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, StoreError> {
    let read = || {
        let file = disk.open(path, OpenMode::Read)?;
        // Both fit: one is a `usize`, the other is smaller.
        let len = file.len()?.min(bytes_max as u64 + 1) as usize;
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(StoreError::io("reading", path, error)),
    }
}

/// Reads a whole file, which must be there.
pub(super) fn read_all(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, StoreError> {
    let read = || {
        let file = disk.open(path, OpenMode::Read)?;
        let len = usize::try_from(file.len()?).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    };
    read().map_err(|error| StoreError::io("reading", path, error))
}

/// The names in a directory; none if there is no such directory.
pub(super) fn names_in(disk: &dyn Disk, dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    match disk.names(dir) {
        Ok(names) => Ok(names.into_iter().map(PathBuf::from).collect()),
        Err(error) if is_not_found(&error) => Ok(Vec::new()),
        Err(error) => Err(StoreError::io("listing", dir, error)),
    }
}

/// The length of a file, if there is one.
pub(super) fn file_bytes(disk: &dyn Disk, path: &Path) -> Option<u64> {
    match disk.find(path) {
        Ok(Some(PathKind::File(bytes))) => Some(bytes),
        _ => None,
    }
}

/// Tells whether there is a directory.
pub(super) fn is_dir(disk: &dyn Disk, path: &Path) -> bool {
    matches!(disk.find(path), Ok(Some(PathKind::Directory)))
}

fn is_not_found(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}
