//! The lock of a store: `flock` on the file `lock`, which holds the owner's pid as decimal digits,
//! and a newline. Nothing depends on these but a message, so they have no version.
//!
//! The kernel drops the lock when the last process that inherited it ends, so a file left by a
//! dead process locks nothing. The file is never removed: two processes could otherwise lock two
//! files of that name.

use std::path::{Path, PathBuf};

use super::StoreError;
use crate::base::disk::{Disk, DiskFile, OpenMode};
use crate::base::limits;

/// Exclusive ownership of a store, for as long as this value (or a copy that a fork made of its
/// process) lives.
#[derive(Debug)]
pub struct StoreLock {
    file: Box<dyn DiskFile>,
    path: PathBuf,
}

impl StoreLock {
    /// Takes the lock of the store in this directory, or fails at once with
    /// [`StoreError::Locked`].
    pub fn acquire(disk: &dyn Disk, store: &Path) -> Result<Self, StoreError> {
        let path = store.join("lock");
        let file = disk
            .open(&path, OpenMode::Create)
            .map_err(|error| StoreError::io("opening", &path, error))?;
        match file.try_lock() {
            Ok(true) => {
                let lock = Self { file, path };
                lock.record_owner()?;
                Ok(lock)
            }
            Ok(false) => {
                let pid = read_pid(&*file);
                Err(StoreError::Locked { path: store.to_owned(), pid })
            }
            Err(error) => Err(StoreError::io("locking", &path, error)),
        }
    }

    /// Writes down the pid of this process as the owner's: needed again after a fork whose child
    /// goes on as the owner.
    pub fn record_owner(&self) -> Result<(), StoreError> {
        let text = format!("{}\n", std::process::id());
        self.file
            .write_all_at(text.as_bytes(), 0)
            .and_then(|()| self.file.set_len(text.len() as u64))
            .map_err(|error| StoreError::io("writing", &self.path, error))
    }
}

fn read_pid(file: &dyn DiskFile) -> Option<u32> {
    let mut bytes = [0; limits::LOCK_BYTES_MAX];
    let read = file.read_at(&mut bytes, 0).ok()?;
    str::from_utf8(&bytes[..read]).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::StoreLock;
    use crate::base::disk::RealDisk;
    use crate::store::StoreError;

    #[test]
    fn a_held_lock_names_its_owner_and_a_stale_one_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        // As a dead process left it.
        std::fs::write(dir.path().join("lock"), "4194304999\n").unwrap();
        let lock = StoreLock::acquire(&RealDisk, dir.path()).unwrap();
        // flock belongs to the open file, so a second one in this process is another owner.
        let error = StoreLock::acquire(&RealDisk, dir.path()).unwrap_err();
        let this = std::process::id();
        assert!(matches!(error, StoreError::Locked { pid: Some(pid), .. } if pid == this));
        assert!(error.to_string().contains(&format!("pid {this}")), "{error}");
        drop(lock);
        StoreLock::acquire(&RealDisk, dir.path()).unwrap();
    }

    #[test]
    fn nonsense_in_the_lock_file_is_no_pid() {
        let dir = tempfile::tempdir().unwrap();
        let _lock = StoreLock::acquire(&RealDisk, dir.path()).unwrap();
        std::fs::write(dir.path().join("lock"), [0xff; 9999]).unwrap();
        let error = StoreLock::acquire(&RealDisk, dir.path()).unwrap_err();
        assert!(matches!(error, StoreError::Locked { pid: None, .. }), "{error}");
    }
}
