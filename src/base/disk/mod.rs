//! The disk below, as the few things that a store asks of it.
//!
//! Everything that a store writes goes through [`Disk`], so that tests can put a disk in its place
//! that is full, that fails, or that loses its power. What it promises is what Linux does:
//!
//! - what was written can be read at once, by everybody, and survives the end of the process;
//! - it survives the end of the machine when `sync_data` of the file has returned after it, and a
//!   name (made, replaced or removed) when `sync_dir` of its directory has;
//! - what was not synced may survive in part, in any order, sector by sector.

mod real;
#[cfg(test)]
pub mod sim;

use std::ffi::OsString;
use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

pub use real::RealDisk;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// To be read.
    Read,
    /// To be read and written; it must be there.
    Write,
    /// To be read and written; made, for its owner alone, if it is not there.
    Create,
    /// As `Create`, and emptied.
    CreateEmpty,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// A file of so many bytes.
    File(u64),
    /// A directory.
    Directory,
}

/// A disk.
pub trait Disk: Send + Sync + Debug {
    /// Opens a file.
    ///
    /// It is closed when it is dropped.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>>;
    /// Gives a file another name, in place of what has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory for its owner alone.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// The names in a directory.
    fn names(&self, dir: &Path) -> io::Result<Vec<OsString>>;
    /// What a path leads to, `None` if to nothing.
    fn find(&self, path: &Path) -> io::Result<Option<PathKind>>;
    /// Makes a directory and those above it that are missing, for their owner alone. Returns
    /// which were made, the outermost first.
    fn create_dirs(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let mut missing = Vec::new();
        for dir in path.ancestors().filter(|dir| !dir.as_os_str().is_empty()) {
            if self.find(dir)?.is_some() {
                break;
            }
            missing.push(dir.to_owned());
        }
        missing.reverse();
        for dir in &missing {
            match self.create_dir(dir) {
                // Another process was faster.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made?,
            }
        }
        Ok(missing)
    }

    /// How much a process without privileges can write to the disk that a directory is on.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;

    /// What tells this run of the machine from others: as long as it stays the same, all that was
    /// written is there.
    fn boot_id(&self) -> io::Result<[u8; 16]>;
}

/// Tells whether a disk, or what its user may take of it, is full.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A file of a [`Disk`]. Offsets and lengths are in bytes.
pub trait DiskFile: Send + Sync + Debug {
    /// Its length.
    fn len(&self) -> io::Result<u64>;
    /// Reads what fits into `buf` or less; 0 at the end of the file.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;
    /// Writes `bytes` or a part of them.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize>;
    /// Cuts the file, or extends it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Sets room aside, and extends the file to it: later writes to the range do not find the disk
    /// full. `Unsupported` where the disk cannot do that.
    fn allocate(&self, range: Range<u64>) -> io::Result<()>;
    /// Makes content and length durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Locks the file against all others that lock it, for as long as it is open here or in a
    /// copy that a fork made of this process. False if somebody else has it.
    fn try_lock(&self) -> io::Result<bool>;

    /// Tells whether it is empty.
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|len| len == 0)
    }

    /// Reads exactly as much as fits into `buf`, or fails with `UnexpectedEof`.
    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        let mut done = 0;
        while done < buf.len() {
            match self.read_at(&mut buf[done..], at + done as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes all of `bytes`. A failure may leave a part of them.
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            match self.write_at(&bytes[done..], at + done as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => done += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
