//! The directory of a store:
//!
//! ```text
//! format     `vst store 3` and a newline: written last, so that it vouches for the rest
//! lock       see `lock`
//! packs/     see `pack`
//! refs/      see `refs`
//! commits    see `commit_log`
//! config     what is set, see `format::config`; not there until something is
//! worktree   see `state_log`
//! journal/   see the module `journal`
//! live       see `space`
//! reserve    see `space`
//! vst.log    what the last daemons had to say, for people
//! ```
//!
//! The version is that of the whole: it is raised when anything below changes, and a store of
//! another version is refused. Versions 1 and 2 were never released; `tests/data` keeps a store of
//! each since.
//!
//! A directory without `format` is a store whose creation was interrupted if it holds nothing but
//! what creation makes, all of it still empty; creation then goes on. Anything else is foreign.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::commit_log::CommitLog;
use super::state_log::StateLog;
use super::{Durability, StoreError, StoreLock, files};
use crate::base::disk::Disk;
use crate::base::limits;

const FORMAT_PREFIX: &str = "vst store ";
const VERSION: &str = "3";

/// Where the files of a store are.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    disk: Arc<dyn Disk>,
    root: PathBuf,
}

/// What a directory holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A store that this program knows.
    Store,
    /// Nothing, or a store that was not made to the end.
    Nothing,
}

impl Layout {
    pub(super) fn new(disk: &Arc<dyn Disk>, root: &Path) -> Self {
        Self { disk: Arc::clone(disk), root: root.to_owned() }
    }

    pub(super) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn packs(&self) -> PathBuf {
        self.root.join("packs")
    }

    pub(super) fn refs(&self) -> PathBuf {
        self.root.join("refs")
    }

    pub(super) fn commits(&self) -> PathBuf {
        self.root.join("commits")
    }

    pub(super) fn states(&self) -> PathBuf {
        self.root.join("worktree")
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    pub(super) fn config(&self) -> PathBuf {
        self.root.join("config")
    }

    pub(super) fn live(&self) -> PathBuf {
        self.root.join("live")
    }

    pub(super) fn reserve(&self) -> PathBuf {
        self.root.join("reserve")
    }

    pub(super) fn format(&self) -> PathBuf {
        self.root.join("format")
    }

    /// Looks whether there is a store, and refuses what is neither one nor empty.
    pub(super) fn inspect(&self) -> Result<Found, StoreError> {
        if let Some(bytes) =
            files::read_bounded(&*self.disk, &self.format(), limits::FORMAT_FILE_BYTES_MAX)?
        {
            return self.check_format(&bytes).map(|()| Found::Store);
        }
        for name in files::names_in(&*self.disk, &self.root)? {
            let ours = match name.to_str() {
                Some("lock" | ".tmp-format" | ".tmp-commits" | ".tmp-worktree") => true,
                Some("commits") => self.holds_no_commit(),
                Some("worktree") => self.holds_no_state(),
                Some("packs" | "refs" | "journal") => {
                    files::names_in(&*self.disk, &self.root.join(name))?.is_empty()
                }
                _ => false,
            };
            if !ours {
                return Err(StoreError::NotEmpty { path: self.root.clone() });
            }
        }
        Ok(Found::Nothing)
    }

    fn holds_no_commit(&self) -> bool {
        files::file_bytes(&*self.disk, &self.commits())
            .is_some_and(|bytes| bytes <= crate::format::commit_log::HEADER_BYTES as u64)
    }

    fn holds_no_state(&self) -> bool {
        files::file_bytes(&*self.disk, &self.states())
            .is_some_and(|bytes| bytes <= crate::format::state_log::HEADER_BYTES as u64)
    }

    fn check_format(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let version = str::from_utf8(bytes)
            .ok()
            .and_then(|text| text.strip_prefix(FORMAT_PREFIX)?.strip_suffix('\n'))
            .filter(|version| !version.is_empty() && bytes.len() <= limits::FORMAT_FILE_BYTES_MAX);
        match version {
            Some(VERSION) => Ok(()),
            Some(version) => Err(StoreError::UnknownFormat {
                path: self.root.clone(),
                found: format!("{FORMAT_PREFIX}{version}"),
            }),
            // A file named `format` makes no store of a directory.
            None if !files::is_dir(&*self.disk, &self.packs()) => {
                Err(StoreError::NotEmpty { path: self.root.clone() })
            }
            None => {
                let detail = format!("it should read {FORMAT_PREFIX:?} and a version");
                Err(StoreError::corrupt(&self.format(), 0, detail))
            }
        }
    }

    /// Makes the directory of the store itself, for its owner alone, unless it is there.
    pub(super) fn create_root(&self) -> Result<(), StoreError> {
        let made = self.disk.create_dirs(&self.root);
        let made = made.map_err(|error| StoreError::io("creating", &self.root, error))?;
        made.iter().try_for_each(|dir| self.sync_name(dir))
    }

    /// Makes the names of what a store consists of durable, and its own.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        files::sync_dir(&*self.disk, &self.root)?;
        self.sync_name(&self.root)
    }

    /// Makes the name of a directory durable.
    fn sync_name(&self, dir: &Path) -> Result<(), StoreError> {
        match dir.parent() {
            Some(parent) if parent.as_os_str().is_empty() => {
                files::sync_dir(&*self.disk, Path::new("."))
            }
            Some(parent) => files::sync_dir(&*self.disk, parent),
            None => Ok(()),
        }
    }

    /// Makes all that a store consists of, durably, and `format` as the last. The lock is held.
    pub(super) fn create(&self, lock: &StoreLock) -> Result<(), StoreError> {
        let disk = &*self.disk;
        for dir in [self.packs(), self.refs(), self.journal()] {
            if !files::is_dir(disk, &dir) {
                disk.create_dir(&dir).map_err(|error| StoreError::io("creating", &dir, error))?;
            }
        }
        CommitLog::create(disk, &self.commits())?;
        StateLog::create(disk, &self.states())?;
        // Who made the directory may have died before it was durable.
        self.sync()?;
        self.write_format(lock)
    }

    /// Writes the file that vouches for the others, durably. The lock is held.
    pub(super) fn write_format(&self, _lock: &StoreLock) -> Result<(), StoreError> {
        let text = format!("{FORMAT_PREFIX}{VERSION}\n");
        files::replace(&*self.disk, &self.format(), text.as_bytes(), Durability::Strict)
    }
}

#[cfg(test)]
mod tests {
    use super::{Found, Layout};
    use crate::base::disk::{Disk, RealDisk};
    use crate::store::{StoreError, StoreLock};
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    fn layout(root: &Path) -> Layout {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        Layout::new(&disk, root)
    }

    #[test]
    fn creation_goes_on_from_wherever_it_was_interrupted() {
        for steps in 0..=9 {
            let dir = tempfile::tempdir().unwrap();
            let layout = layout(&dir.path().join("store"));
            let paths = [
                "",
                "lock",
                "packs",
                "refs",
                ".tmp-commits",
                "commits",
                ".tmp-worktree",
                "worktree",
                ".tmp-format",
            ];
            for name in &paths[..steps] {
                let path = layout.root().join(name);
                match *name {
                    "" | "packs" | "refs" => fs::create_dir(path).unwrap(),
                    _ => fs::write(path, "").unwrap(),
                }
            }
            assert_eq!(layout.inspect().unwrap(), Found::Nothing, "{steps} steps");
            layout.create_root().unwrap();
            let lock = StoreLock::acquire(&RealDisk, layout.root()).unwrap();
            layout.create(&lock).unwrap();
            assert_eq!(layout.inspect().unwrap(), Found::Store);
        }
    }

    #[test]
    fn what_is_neither_empty_nor_a_store_is_refused() {
        for name in ["notes.txt", "packs/1.pack", "refs/tags", "format"] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "something").unwrap();
            let error = layout(dir.path()).inspect().unwrap_err();
            assert!(matches!(error, StoreError::NotEmpty { .. }), "{name}: {error}");
            assert!(error.to_string().contains("is not a vst store and not empty"), "{error}");
        }
    }

    #[test]
    fn a_format_file_is_judged_by_what_it_says() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("packs")).unwrap();
        let inspect = |text: &[u8]| {
            fs::write(dir.path().join("format"), text).unwrap();
            layout(dir.path()).inspect()
        };
        assert_eq!(inspect(b"vst store 3\n").unwrap(), Found::Store);
        let error = inspect(b"vst store 4\n").unwrap_err();
        assert!(
            matches!(&error, StoreError::UnknownFormat { found, .. } if found == "vst store 4")
        );
        for damaged in [&b""[..], b"vst store 3", b"vst store \n", b"\xff\xfe", &[b'x'; 5000]] {
            let error = inspect(damaged).unwrap_err();
            assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        }
    }
}
