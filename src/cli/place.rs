//! Where a command works: which store, through which mount, and what paths are relative to.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::thread;

use super::daemon::Daemon;
use super::error::{CliError, report_line};
use super::mountinfo::{MountEntry, MountTable};
use super::paths::path_text;
use super::users;
use super::who::Makers;
use crate::base::disk::{Disk, RealDisk};
use crate::base::limits::{OBJECT_CACHE_BYTES, WATCH_CLOSE_LOOKS_MAX, WATCH_INTERVAL};
use crate::model::{CommitId, Config, RootId};
use crate::repo::{History, Mended, Repo, RepoError, RepoOptions, Verified, mend, verify};
use crate::store::{OpenOptions, Progress, Store, StoreError};
use crate::worktree::Change;

/// The store that a command is about.
pub(super) struct Place {
    /// The directory of the store, without symbolic links.
    store: PathBuf,
    /// Serves the store in a mount where it can be changed, if there is one.
    daemon: Option<Daemon>,
    /// Serves it, or one snapshot of it, in a mount where nothing can be changed.
    reader: Option<Daemon>,
    /// The mounts of the store.
    mounts: Vec<MountEntry>,
    /// Where in the tree the current directory is; the top if it is not in a mount of the store.
    directory: PathBuf,
}

/// A look at the commits of a store.
pub(super) struct View {
    /// The commits.
    pub(super) history: History,
    /// What HEAD means.
    pub(super) head: Option<CommitId>,
}

impl Place {
    /// Finds the store: the one that was named, or the one whose mount has the current directory
    /// in it.
    pub(super) fn find(named: Option<&Path>) -> Result<Self, CliError> {
        let table =
            MountTable::read().map_err(|error| CliError::io("looking for mounts", error))?;
        let directory = std::env::current_dir()
            .map_err(|error| CliError::io("finding the current directory", error))?;
        let here = table.innermost_vst(&directory);
        let store = match (named, here) {
            (Some(store), _) => store.canonicalize().map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => CliError::MissingStore(store.to_owned()),
                _ => CliError::io(format!("opening the store {}", store.display()), error),
            })?,
            (None, Some(mount)) => mount.source.clone(),
            (None, None) => {
                let mounts = table.vst().map(|mount| mount.mountpoint.clone()).collect();
                return Err(CliError::NoStore { directory, mounts });
            }
        };
        let here = here.filter(|mount| mount.source == store);
        let mounts: Vec<_> = table.of_store(&store).cloned().collect();
        let directory = here.and_then(|mount| mount.path_in_tree(&directory)).unwrap_or_default();
        // The mount that one is in, or else the one that was made last.
        let here = here.into_iter().chain(mounts.iter().rev());
        let whole: Vec<_> = here.filter(|mount| mount.root == Path::new("/")).collect();
        let daemon = whole.iter().find(|mount| !mount.read_only).map(|mount| Daemon::new(mount));
        let reader = whole.iter().find(|mount| mount.read_only).map(|mount| Daemon::new(mount));
        Ok(Self { store, daemon, reader, mounts, directory })
    }

    /// The directory of the store.
    pub(super) fn store(&self) -> &Path {
        &self.store
    }

    /// The process that serves the store where it can be changed, if one does.
    pub(super) fn daemon(&self) -> Option<&Daemon> {
        self.daemon.as_ref()
    }

    /// Looks at the commits, beside the process that owns the store if there is one.
    pub(super) fn view(&self) -> Result<View, CliError> {
        self.view_with(OBJECT_CACHE_BYTES)
    }

    /// As `view`, with so much memory for objects that have been read.
    pub(super) fn view_with(&self, cache_bytes: usize) -> Result<View, CliError> {
        // First the head, then the store, which so has all that the head needs.
        let served = match self.daemon.as_ref().map(Daemon::head).transpose() {
            Err(CliError::DeadMount { .. }) => None,
            head => head?,
        };
        let open = || -> Result<History, CliError> {
            let options = OpenOptions { read_only: true, cache_bytes, ..OpenOptions::default() };
            Ok(History::new(Arc::new(Store::open(&self.store, options)?)))
        };
        let mut history = open()?;
        let head = match served {
            Some(head) => head,
            None => {
                if !history.is_closed()? {
                    self.recover();
                    history = open()?;
                }
                history.head()?
            }
        };
        Ok(View { history, head })
    }

    /// The error for one who wants what only a mount does.
    pub(super) fn not_mounted(&self) -> CliError {
        CliError::NotMounted(self.store.clone())
    }

    /// Looks at the commits after the mount has gone away, when the process behind it has put all
    /// of them into the store.
    pub(super) fn view_when_closed(&self) -> Result<View, CliError> {
        for _ in 0..WATCH_CLOSE_LOOKS_MAX {
            let options = OpenOptions { read_only: true, ..OpenOptions::default() };
            let history = History::new(Arc::new(Store::open(&self.store, options)?));
            if history.is_closed()? {
                break;
            }
            thread::sleep(WATCH_INTERVAL);
        }
        // Somebody may have mounted it again, or the process may have died.
        Self::find(Some(&self.store))?.view()
    }

    /// The root of the tree as it is now, and a look at the store, which has all of that tree.
    pub(super) fn view_of_tree(&self) -> Result<(RootId, View), CliError> {
        let root = match (&self.daemon, &self.reader) {
            (Some(daemon), _) => daemon.root()?,
            (None, reader) => match (self.with_repo(|repo| Ok(repo.store_root()?)), reader) {
                // Nothing changes there, but it may not be what was committed.
                (Err(CliError::ReadOnlyMount { .. }), Some(reader)) => reader.root()?,
                (root, _) => root?,
            },
        };
        Ok((root, self.view()?))
    }

    /// Who made changes since the head, where that is known.
    pub(super) fn who_made_since_head(
        &self,
        view: &View,
        changes: &[Change],
    ) -> Result<Makers, CliError> {
        let blocks = match self.daemon.as_ref().or(self.reader.as_ref()) {
            Some(daemon) => daemon.changes_by()?,
            None => view.history.changes_by_since_head()?,
        };
        Ok(view.history.who_made_by(&blocks, changes)?)
    }

    /// Brings what a process that died had left in the journal into the history.
    fn recover(&self) {
        let repo = Repo::open(&self.store, RepoOptions::default());
        match repo.and_then(|repo| repo.close()) {
            // Somebody has the store, and does it.
            Ok(()) | Err(RepoError::Store(StoreError::Locked { .. })) => {}
            Err(error) => report_line(&format!(
                "what was done last in {} is in its journal and cannot be shown: {error}",
                self.store.display()
            )),
        }
    }

    /// The process that serves the store where nothing can be changed, if one does.
    pub(super) fn reader(&self) -> Option<&Daemon> {
        self.reader.as_ref()
    }

    /// What is set for the store.
    pub(super) fn config(&self) -> Result<Config, CliError> {
        let options = OpenOptions { read_only: true, ..OpenOptions::default() };
        Ok(Store::open(&self.store, options)?.config()?)
    }

    /// Takes ownership of the store, which no process serves to be changed. `use_it` is what it
    /// is wanted for; all that it did is durable on return.
    pub(super) fn with_repo<T>(
        &self,
        use_it: impl FnOnce(&Repo) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        // Opening a repository makes one where there is none, and that is not wanted here.
        let options = OpenOptions { read_only: true, ..OpenOptions::default() };
        drop(Store::open(&self.store, options)?);
        let options = RepoOptions {
            author: users::author(),
            writer: Some(users::writer()),
            ..RepoOptions::default()
        };
        let repo =
            Repo::open(&self.store, options).map_err(|error| match (error, &self.reader) {
                (RepoError::Store(StoreError::Locked { .. }), Some(reader)) => reader.read_only(),
                (error, _) => error.into(),
            })?;
        let result = use_it(&repo)?;
        repo.close()?;
        Ok(result)
    }

    /// Looks for damage, beside the process that owns the store if there is one.
    pub(super) fn verify(
        &self,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Verified, CliError> {
        Ok(verify(&disk(), &self.store, progress)?)
    }

    /// Mends what is damaged, if the store is not mounted.
    pub(super) fn mend(&self, progress: &(dyn Fn(Progress) + Sync)) -> Result<Mended, CliError> {
        if let Some(mount) = self.mounts.last() {
            return Err(CliError::RepairOfMounted { mountpoint: mount.mountpoint.clone() });
        }
        Ok(mend(&disk(), &self.store, progress)?)
    }

    /// Where in the tree a path argument leads: relative to the current directory if that is in a
    /// mount of the store, otherwise to the top. Nothing has to be there.
    pub(super) fn path_in_tree(&self, argument: &OsStr) -> Result<Vec<u8>, CliError> {
        if argument.is_empty() {
            return Err(CliError::EmptyPath);
        }
        let path = Path::new(argument);
        let outside = || CliError::OutsideTree {
            path: path_text(argument.as_bytes()),
            store: self.store.clone(),
            mountpoint: self.mounts.last().map(|mount| mount.mountpoint.clone()),
        };
        let path = if path.is_relative() {
            self.directory.join(path)
        } else if self.mounts.is_empty() {
            path.strip_prefix("/").unwrap_or(path).to_owned()
        } else {
            let inside = self.mounts.iter().rev().find_map(|mount| mount.path_in_tree(path));
            inside.ok_or_else(outside)?
        };
        normal(&path).ok_or_else(outside)
    }
}

fn disk() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

/// Joins the names of a path that begins at the top of the tree. `None` if it leads above that.
fn normal(path: &Path) -> Option<Vec<u8>> {
    let mut names: Vec<&[u8]> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.as_bytes()),
            Component::ParentDir => drop(names.pop()?),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Some(names.join(&b'/'))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::path::{Path, PathBuf};

    use super::Place;
    use crate::cli::mountinfo::MountEntry;

    fn place(mountpoint: Option<&str>, directory: &str) -> Place {
        let mounts = mountpoint.into_iter().map(|mountpoint| MountEntry {
            root: PathBuf::from("/"),
            mountpoint: PathBuf::from(mountpoint),
            kind: "fuse.vst".to_owned(),
            source: PathBuf::from("/s"),
            read_only: false,
        });
        Place {
            store: PathBuf::from("/s"),
            daemon: None,
            reader: None,
            mounts: mounts.collect(),
            directory: Path::new(directory).to_owned(),
        }
    }

    fn path(place: &Place, argument: &str) -> Result<String, String> {
        let path = place.path_in_tree(OsStr::new(argument)).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(path).unwrap())
    }

    #[test]
    fn paths_are_relative_to_the_current_directory_in_a_mount() {
        let place = place(Some("/w"), "src/cli");
        assert_eq!(path(&place, "."), Ok("src/cli".to_owned()));
        assert_eq!(path(&place, "../a//./b/"), Ok("src/a/b".to_owned()));
        assert_eq!(path(&place, "../.."), Ok(String::new()));
        assert_eq!(path(&place, "/w/x"), Ok("x".to_owned()));
        for outside in ["../../..", "/x", "/wx", "/w/.."] {
            let text = path(&place, outside).unwrap_err();
            assert_eq!(text, format!("{outside} is outside of the tree of /s, which is /w"));
        }
    }

    #[test]
    fn paths_begin_at_the_top_of_a_store_that_is_not_mounted() {
        let place = place(None, "");
        assert_eq!(path(&place, "a/b"), Ok("a/b".to_owned()));
        assert_eq!(path(&place, "/a/b"), Ok("a/b".to_owned()));
        assert_eq!(path(&place, "."), Ok(String::new()));
        assert!(path(&place, "..").is_err());
        assert!(path(&place, "").unwrap_err().starts_with("an empty path"));
    }
}
