//! What changed since the head.

use super::{Repo, RepoError};
use crate::store::Durability;
use crate::worktree::{Change, DiffOptions, diff_roots};

impl Repo {
    /// Lists the paths that are not as the head has them, sorted. Brings the hashes up to date
    /// first, and then costs what the difference costs.
    pub fn status(&self) -> Result<Vec<Change>, RepoError> {
        self.checkpoint(Durability::Fast)?;
        let (root, head_root) = {
            let committing = self.committing.lock();
            let root = committing.state.as_ref().map(|(state, _)| state.root);
            (root, committing.head_root)
        };
        let Some(root) = root else { return Ok(Vec::new()) };
        let options = DiffOptions::default();
        Ok(diff_roots(head_root.as_ref(), &root, self.source(), &options)?)
    }
}
