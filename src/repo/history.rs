//! The commits of a store and what they hold. Works without the lock of the store, beside the
//! process that owns it.

use std::collections::HashSet;
use std::sync::Arc;

use super::RepoError;
use crate::format::commit::decode_commit;
use crate::format::commit_log::CommitRecord;
use crate::format::worktree::WorktreeState;
use crate::model::{Commit, CommitId, ObjectId, ObjectSource};
use crate::store::{Durability, RefName, Store};

/// The ref of the only worktree.
const WORKTREE_REF: &str = "worktrees/main";

/// The commits of a store.
#[derive(Clone)]
pub struct History {
    store: Arc<Store>,
}

/// A commit and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// The id.
    pub id: CommitId,
    /// The commit.
    pub commit: Commit,
}

impl History {
    /// Looks at the commits of a store.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Where objects are read from.
    pub fn source(&self) -> &dyn ObjectSource {
        self.store.packs().as_ref()
    }

    /// Reads a commit.
    pub fn commit(&self, id: &CommitId) -> Result<Commit, RepoError> {
        let bytes = self.source().get(id.object())?;
        decode_commit(&bytes).map_err(|e| RepoError::damaged(id.object(), e))
    }

    /// The commit that was made last, if any was.
    pub fn newest(&self) -> Option<CommitRecord> {
        self.store.commits().records().last().copied()
    }

    /// The commit that the tree stands on, as far as it was written down. The process that has
    /// the store open knows better.
    pub fn head(&self) -> Result<Option<CommitId>, RepoError> {
        Ok(self.worktree_state()?.and_then(|(state, _)| state.head))
    }

    /// Follows the first parents from a commit on, newest first, `max` commits at most.
    pub fn log(&self, from: CommitId, max: usize) -> Result<Vec<LogEntry>, RepoError> {
        let mut entries = Vec::new();
        let mut next = Some(from);
        let mut seen = HashSet::new();
        while let Some(id) = next.filter(|id| entries.len() < max && seen.insert(*id)) {
            let commit = self.commit(&id)?;
            next = commit.parents.first().copied();
            entries.push(LogEntry { id, commit });
        }
        Ok(entries)
    }

    /// The last state of the worktree that was written, with the id of its object.
    pub(super) fn worktree_state(&self) -> Result<Option<(WorktreeState, ObjectId)>, RepoError> {
        let Some(id) = self.store.refs().find(&Self::worktree_ref())? else { return Ok(None) };
        let bytes = self.source().get(&id)?;
        let state = WorktreeState::decode(&bytes).map_err(|e| RepoError::damaged(&id, e))?;
        Ok(Some((state, id)))
    }

    pub(super) fn worktree_ref() -> RefName {
        RefName::new(WORKTREE_REF).expect("the name is fixed and good")
    }

    /// Lists a commit among the snapshots, unless it is: a process that was killed may have made
    /// it and not got so far.
    pub(super) fn list_commit(&self, id: &CommitId) -> Result<(), RepoError> {
        if self.store.commits().find(id).is_none() {
            let time = self.commit(id)?.time;
            self.store.commits().append(CommitRecord { id: *id, time }, Durability::Fast)?;
        }
        Ok(())
    }
}
