//! The tree as it is now, for others to look at, and what changed since the head.

use super::checkpoint::Extent;
use super::{Repo, RepoError, unless_given_up};
use crate::base::limits::SIMILARITY_MIN;
use crate::model::RootId;
use crate::worktree::{Change, DiffOptions, diff_roots, pair_similar};

impl Repo {
    /// Brings the tree as it is now into the store, for whoever is to look at it there, and
    /// returns its root. It need not be durable, and is garbage as soon as the tree changes.
    pub fn store_root(&self) -> Result<RootId, RepoError> {
        self.write_tree(&mut self.storing.lock(), Extent::Commits)
    }

    /// Lists the paths that are not as the head has them, sorted. Brings the hashes up to date
    /// first, and then costs what the difference costs; files that went and files that came are
    /// read to tell which were renamed and changed.
    pub fn status(&self) -> Result<Vec<Change>, RepoError> {
        let (root, head_root) = {
            let mut storing = self.storing.lock();
            unless_given_up()?;
            let mut committing = self.committing.lock();
            let root = self.hash_locked(&mut committing, Extent::Commits)?;
            let head_root = committing.head_root;
            drop(committing);
            self.write_queue(&mut storing)?;
            (root, head_root)
        };
        let options = DiffOptions::default();
        unless_given_up()?;
        let mut changes = diff_roots(head_root.as_ref(), &root, self.source(), &options)?;
        unless_given_up()?;
        pair_similar(&mut changes, SIMILARITY_MIN, self.source())?;
        Ok(changes)
    }
}
