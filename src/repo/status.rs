//! What changed since the head.

use super::{Repo, RepoError};
use crate::worktree::{Change, DiffOptions, diff_roots};

impl Repo {
    /// Lists the paths that are not as the head has them, sorted. Brings the hashes up to date
    /// first, and then costs what the difference costs.
    pub fn status(&self) -> Result<Vec<Change>, RepoError> {
        let (root, head_root) = {
            let mut storing = self.storing.lock();
            let mut committing = self.committing.lock();
            let root = self.hash_locked(&mut committing)?;
            let head_root = committing.head_root;
            drop(committing);
            self.write_queue(&mut storing)?;
            (root, head_root)
        };
        let options = DiffOptions::default();
        Ok(diff_roots(head_root.as_ref(), &root, self.source(), &options)?)
    }
}
