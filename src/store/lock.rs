//! The lock of a store: `flock` on the file `lock`, which holds the owner's pid as text.
//!
//! The kernel drops the lock when the last process that inherited it ends, so a file left by a
//! dead process locks nothing. The file is never removed: two processes could otherwise lock two
//! files of that name.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::StoreError;
use crate::base::limits;

/// Exclusive ownership of a store, for as long as this value (or a copy that a fork made of its
/// process) lives.
#[derive(Debug)]
pub struct StoreLock {
    file: File,
    path: PathBuf,
}

impl StoreLock {
    /// Takes the lock of the store in this directory, or fails at once with
    /// [`StoreError::Locked`].
    pub fn acquire(store: &Path) -> Result<Self, StoreError> {
        let path = store.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| StoreError::io("opening", &path, error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let lock = Self { file, path };
                lock.record_owner()?;
                Ok(lock)
            }
            Err(Errno::WOULDBLOCK) => {
                let pid = read_pid(&mut file);
                Err(StoreError::Locked { path: store.to_owned(), pid })
            }
            Err(error) => Err(StoreError::io("locking", &path, error.into())),
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

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(limits::LOCK_BYTES_MAX as u64).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::StoreLock;
    use crate::store::StoreError;

    #[test]
    fn a_held_lock_names_its_owner_and_a_stale_one_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        // As a dead process left it.
        std::fs::write(dir.path().join("lock"), "4194304999\n").unwrap();
        let lock = StoreLock::acquire(dir.path()).unwrap();
        // flock belongs to the open file, so a second one in this process is another owner.
        let error = StoreLock::acquire(dir.path()).unwrap_err();
        let this = std::process::id();
        assert!(matches!(error, StoreError::Locked { pid: Some(pid), .. } if pid == this));
        assert!(error.to_string().contains(&format!("pid {this}")), "{error}");
        drop(lock);
        StoreLock::acquire(dir.path()).unwrap();
    }

    #[test]
    fn nonsense_in_the_lock_file_is_no_pid() {
        let dir = tempfile::tempdir().unwrap();
        let _lock = StoreLock::acquire(dir.path()).unwrap();
        std::fs::write(dir.path().join("lock"), [0xff; 9999]).unwrap();
        let error = StoreLock::acquire(dir.path()).unwrap_err();
        assert!(matches!(error, StoreError::Locked { pid: None, .. }), "{error}");
    }
}
