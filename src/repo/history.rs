//! The commits of a store and what they hold. Works without the lock of the store, beside the
//! process that owns it.

use std::collections::HashSet;
use std::sync::Arc;

use super::RepoError;
use crate::format::commit::decode_commit;
use crate::format::commit_log::CommitRecord;
use crate::format::worktree::WorktreeState;
use crate::journal::Journal;
use crate::model::{Commit, CommitId, ObjectId, ObjectSource};
use crate::store::Store;

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

    /// The first parent of a commit, unless that was dropped.
    pub fn parent(&self, commit: &Commit) -> Option<CommitId> {
        let parent = commit.parents.first().copied();
        parent.filter(|parent| self.store.commits().find(parent).is_some())
    }

    /// The commit that was made last, if any was.
    pub fn newest(&self) -> Option<CommitRecord> {
        self.store.commits().records().last().copied()
    }

    /// The commit that the tree stands on, as far as it was written down. The process that has
    /// the store open knows better.
    pub fn head(&self) -> Result<Option<CommitId>, RepoError> {
        Ok(self.worktree_state()?.and_then(|state| state.head))
    }

    /// Follows the first parents from a commit on, newest first, `max` commits at most.
    pub fn log(&self, from: CommitId, max: usize) -> Result<Vec<LogEntry>, RepoError> {
        let mut entries = Vec::new();
        let mut next = Some(from);
        let mut seen = HashSet::new();
        while let Some(id) = next.filter(|id| entries.len() < max && seen.insert(*id)) {
            let commit = self.commit(&id)?;
            next = self.parent(&commit);
            entries.push(LogEntry { id, commit });
        }
        Ok(entries)
    }

    /// Tells whether all that was done is in the history: the process that did it has closed the
    /// store. Otherwise one has it open, or one that had it open has died.
    pub fn is_closed(&self) -> Result<bool, RepoError> {
        Ok(Journal::is_closed(self.store.disk(), &self.store.journal())?)
    }

    /// The last state of the worktree that was written.
    pub(super) fn worktree_state(&self) -> Result<Option<WorktreeState>, RepoError> {
        // States are listed when they and all that they name are durable.
        let newest = self.store.states().states()?.first().copied();
        newest.map(|id| self.read_state(&id)).transpose()
    }

    /// Reads a state of the worktree.
    pub(super) fn read_state(&self, id: &ObjectId) -> Result<WorktreeState, RepoError> {
        let bytes = self.source().get(id)?;
        WorktreeState::decode(&bytes).map_err(|e| RepoError::damaged(id, e))
    }
}
