//! Writing the small files of a store anew. Each is replaced as a whole, so that an end in the
//! middle leaves the old one.

use super::Inspection;
use crate::format::commit_log::{self, CommitRecord, Tally};
use crate::format::state_log;
use crate::model::ObjectId;
use crate::store::{Durability, Expected, RefName, Refs, StoreError, StoreLock, files};

impl Inspection {
    /// Writes the file that says that this is a store. Durable on return.
    pub fn write_format(&self, lock: &StoreLock) -> Result<(), StoreError> {
        self.layout.write_format(lock)
    }

    /// Replaces the list of commits, which come oldest first; `dropped` ones came before. Durable
    /// on return.
    pub fn write_commits(
        &self,
        _lock: &StoreLock,
        commits: &[CommitRecord],
        dropped: Tally,
    ) -> Result<(), StoreError> {
        let mut bytes = commit_log::encode_header(dropped).to_vec();
        bytes.extend(commits.iter().flat_map(commit_log::encode_record));
        files::replace(&**self.disk(), &self.layout.commits(), &bytes, Durability::Strict)
    }

    /// Points a ref to an object. Durable on return.
    pub fn write_ref(
        &self,
        _lock: &StoreLock,
        name: &RefName,
        id: &ObjectId,
    ) -> Result<(), StoreError> {
        let refs = Refs::open(self.disk(), self.layout.refs(), false);
        refs.update(name, Expected::Any, id, Durability::Strict)
    }

    /// Replaces the list of states, which come oldest first. Durable on return.
    pub fn write_states(&self, _lock: &StoreLock, states: &[ObjectId]) -> Result<(), StoreError> {
        let mut bytes = state_log::encode_header().to_vec();
        bytes.extend(states.iter().flat_map(state_log::encode_record));
        files::replace(&**self.disk(), &self.layout.states(), &bytes, Durability::Strict)
    }
}
