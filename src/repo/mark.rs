//! Finding all objects that something leads to.
//!
//! Every node is read once, chunks never; the sets take about 50 bytes an object, and as much again
//! for a node.

use std::collections::HashSet;

use super::walk::{Sort, links};
use super::{History, RepoError};
use crate::model::{CommitId, ObjectError, ObjectId};

/// Objects that something leads to.
pub(super) struct Marks<'a> {
    history: &'a History,
    live: HashSet<ObjectId>,
    /// Of these, what leads further. A file may have the bytes of a node, so that the node has
    /// been marked and yet not been followed.
    followed: HashSet<(ObjectId, Sort)>,
    todo: Vec<(ObjectId, Sort)>,
    /// Called for each object that is followed.
    on_follow: &'a dyn Fn(),
}

impl<'a> Marks<'a> {
    pub(super) fn new(history: &'a History, on_follow: &'a dyn Fn()) -> Self {
        let (live, followed, todo) = Default::default();
        Self { history, live, followed, todo, on_follow }
    }

    pub(super) fn contains(&self, id: &ObjectId) -> bool {
        self.live.contains(id)
    }

    /// Marks a commit, its tree, and what tells who made its changes. Its parents are commits of
    /// their own.
    pub(super) fn commit(&mut self, id: &CommitId) -> Result<(), RepoError> {
        self.add(*id.object(), Sort::Commit);
        let record = self.history.store().commits().find(id);
        if let Some(block) = record.and_then(|record| record.changes_by) {
            self.add(block, Sort::Provenance);
        }
        self.follow()
    }

    /// Marks a state of the worktree and everything that it names, but for commits.
    pub(super) fn state(&mut self, id: ObjectId) -> Result<(), RepoError> {
        self.add(id, Sort::State);
        self.follow()
    }

    fn add(&mut self, id: ObjectId, sort: Sort) {
        self.live.insert(id);
        if sort != Sort::Leaf && self.followed.insert((id, sort)) {
            self.todo.push((id, sort));
        }
    }

    fn follow(&mut self) -> Result<(), RepoError> {
        while let Some((id, sort)) = self.todo.pop() {
            // Nobody needs them soon: the cache keeps what it has.
            let bytes = self.history.store().packs().read(&id)?;
            links(&bytes, sort, &mut |link| self.add(link.id, link.sort)).map_err(|error| {
                RepoError::Object(ObjectError::Damaged { id, detail: error.to_string() })
            })?;
            (self.on_follow)();
        }
        Ok(())
    }
}
