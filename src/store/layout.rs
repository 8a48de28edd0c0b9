//! The directory of a store:
//!
//! ```text
//! format     `vst store 3` and a newline: written last, so that it vouches for the rest
//! lock       see `lock`
//! packs/     see `pack`
//! refs/      see `refs`
//! commits    see `commit_log`
//! worktree   see `state_log`
//! journal/   see the module `journal`
//! ```
//!
//! A directory without `format` is a store whose creation was interrupted if it holds nothing but
//! what creation makes, all of it still empty; creation then goes on. Anything else is foreign.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::commit_log::CommitLog;
use super::state_log::StateLog;
use super::{Durability, StoreError, StoreLock, files};
use crate::base::limits;

const FORMAT_PREFIX: &str = "vst store ";
const VERSION: &str = "3";

/// Where the files of a store are.
#[derive(Clone, Debug)]
pub(super) struct Layout {
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
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
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

    fn format(&self) -> PathBuf {
        self.root.join("format")
    }

    /// Looks whether there is a store, and refuses what is neither one nor empty.
    pub(super) fn inspect(&self) -> Result<Found, StoreError> {
        if let Some(bytes) = files::read_bounded(&self.format(), limits::FORMAT_FILE_BYTES_MAX)? {
            return self.check_format(&bytes).map(|()| Found::Store);
        }
        for name in files::names_in(&self.root)? {
            let ours = match name.to_str() {
                Some("lock" | ".tmp-format") => true,
                Some("commits") => self.holds_no_commit(),
                Some("worktree") => self.holds_no_state(),
                Some("packs" | "refs" | "journal") => {
                    files::names_in(&self.root.join(name))?.is_empty()
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
        std::fs::metadata(self.commits())
            .is_ok_and(|meta| meta.len() <= crate::format::commit_log::HEADER_BYTES as u64)
    }

    fn holds_no_state(&self) -> bool {
        std::fs::metadata(self.states())
            .is_ok_and(|meta| meta.len() <= crate::format::state_log::HEADER_BYTES as u64)
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
            None if !self.packs().is_dir() => Err(StoreError::NotEmpty { path: self.root.clone() }),
            None => {
                let detail = format!("it should read {FORMAT_PREFIX:?} and a version");
                Err(StoreError::corrupt(&self.format(), 0, detail))
            }
        }
    }

    /// Makes the directory of the store itself, for its owner alone, unless it is there.
    pub(super) fn create_root(&self) -> Result<(), StoreError> {
        let existed = self.root.is_dir();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.root)
            .map_err(|error| StoreError::io("creating", &self.root, error))?;
        match self.root.parent() {
            Some(parent) if !existed && parent.is_dir() => files::sync_dir(parent),
            _ => Ok(()),
        }
    }

    /// Makes all that a store consists of, durably, and `format` as the last. The lock is held.
    pub(super) fn create(&self, _lock: &StoreLock) -> Result<(), StoreError> {
        for dir in [self.packs(), self.refs(), self.journal()] {
            if !dir.is_dir() {
                DirBuilder::new()
                    .mode(0o700)
                    .create(&dir)
                    .map_err(|error| StoreError::io("creating", &dir, error))?;
            }
        }
        CommitLog::create(&self.commits())?;
        StateLog::create(&self.states())?;
        files::sync_dir(&self.root)?;
        let text = format!("{FORMAT_PREFIX}{VERSION}\n");
        files::replace(&self.format(), text.as_bytes(), Durability::Strict)
    }
}

#[cfg(test)]
mod tests {
    use super::{Found, Layout};
    use crate::store::{StoreError, StoreLock};
    use std::fs;

    #[test]
    fn creation_goes_on_from_wherever_it_was_interrupted() {
        for steps in 0..7 {
            let dir = tempfile::tempdir().unwrap();
            let layout = Layout::new(&dir.path().join("store"));
            let paths = ["", "lock", "packs", "refs", "commits", "worktree", ".tmp-format"];
            for name in &paths[..steps] {
                let path = layout.root().join(name);
                match *name {
                    "" | "packs" | "refs" => fs::create_dir(path).unwrap(),
                    _ => fs::write(path, "").unwrap(),
                }
            }
            assert_eq!(layout.inspect().unwrap(), Found::Nothing, "{steps} steps");
            layout.create_root().unwrap();
            let lock = StoreLock::acquire(layout.root()).unwrap();
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
            let error = Layout::new(dir.path()).inspect().unwrap_err();
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
            Layout::new(dir.path()).inspect()
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
