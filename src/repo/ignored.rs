//! Ignored paths: what is to be found out about them before a snapshot is taken, and their list.

use std::ops::ControlFlow;

use super::{CachedOnly, Repo, RepoError};
use crate::base::limits::{LOAD_RETRIES_MAX, SORT_STEP_ENTRIES_MAX};
use crate::base::sync::RwLockWriteGuard;
use crate::model::{ObjectError, ObjectSource};
use crate::worktree::{IgnoredPath, View, Worktree};

impl Repo {
    /// Locks the tree, in which every entry is where it belongs then. After a change of rules that
    /// costs a look at every directory below, so many entries at a time under the lock.
    pub(super) fn sorted(&self) -> Result<RwLockWriteGuard<'_, Worktree>, RepoError> {
        let packs = self.history.store().packs();
        let mut retries = 0;
        loop {
            let mut live = self.live.write();
            let Some(next) = live.next_unsorted() else { return Ok(live) };
            let cached = CachedOnly(packs);
            let src: &dyn ObjectSource =
                if retries < LOAD_RETRIES_MAX { &cached } else { &**packs };
            match live.sort_next(SORT_STEP_ENTRIES_MAX, src) {
                Ok(_) => retries = 0,
                Err(ObjectError::NotLoaded(id)) => {
                    retries += 1;
                    let view = live.view(next);
                    drop(live);
                    packs.get(&id)?;
                    view.map_or(Ok(()), |view| load(&view, &**packs))?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Lists the paths that are ignored as the next commit will have it, sorted. What is below
    /// one that is listed is not.
    pub fn ignored(&self) -> Result<Vec<IgnoredPath>, RepoError> {
        let tree = self.sorted()?.clone();
        let mut paths = tree.ignored_paths(self.source())?;
        paths.sort_unstable();
        Ok(paths)
    }
}

/// Brings all entries of a directory into memory.
fn load(view: &View, src: &dyn ObjectSource) -> Result<(), ObjectError> {
    view.scan(0, src, &mut |_, _| ControlFlow::Continue(()))
}
