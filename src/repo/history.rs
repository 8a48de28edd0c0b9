//! The commits of a store and what they hold. Works without the lock of the store, beside the
//! process that owns it.

use std::collections::HashSet;
use std::sync::Arc;

use super::RepoError;
use crate::format::commit::decode_commit;
use crate::format::commit_log::CommitRecord;
use crate::format::worktree::WorktreeState;
use crate::model::{Commit, CommitId, ObjectError, ObjectId, ObjectSource};
use crate::store::{Durability, Store};

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
        let mut lost = None;
        for id in self.store.states().states()? {
            match self.source().get(&id) {
                Ok(bytes) => {
                    let state = WorktreeState::decode(&bytes);
                    return Ok(Some((state.map_err(|e| RepoError::damaged(&id, e))?, id)));
                }
                // It was listed, and then the power went before its objects were on the disk.
                // Objects are written in order, so an older state that is there is whole.
                Err(error @ ObjectError::Missing(_)) => {
                    log::warn!("a state of the worktree is lost, an older one counts: {error}");
                    lost = Some(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        lost.map_or(Ok(None), |error| Err(error.into()))
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
