//! What can go wrong with a repository.

use crate::format::bytes::FormatError;
use crate::journal::JournalError;
use crate::model::{CommitId, ObjectError, ObjectId};
use crate::store::StoreError;
use crate::worktree::OpError;

use super::RevisionError;

/// Why a repository cannot do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RepoError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An object cannot be read or kept.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// An operation on the tree failed.
    #[error(transparent)]
    Op(#[from] OpError),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal does not lead from the last state of the worktree to the present.
    #[error("the journal does not fit the store: {what}")]
    Unreplayable {
        /// What does not fit.
        what: String,
    },
    /// A text names no commit.
    #[error(transparent)]
    Revision(#[from] RevisionError),
    /// There is no such path in a commit.
    #[error("{path} is not in commit {commit}")]
    NoPath {
        /// The path.
        path: String,
        /// The commit, in short.
        commit: String,
    },
    /// A collection dropped the commit meanwhile.
    #[error("commit {commit} was dropped by a collection")]
    Dropped {
        /// The commit.
        commit: CommitId,
    },
    /// The tree changed all the time while a restore was prepared.
    #[error("the tree is being written to all the time: stop the writers and try again")]
    Busy,
    /// The message of a commit is longer than 64 KiB.
    #[error("the message is longer than {max} bytes")]
    MessageTooLong {
        /// The longest that there can be.
        max: usize,
    },
}

impl RepoError {
    /// The error for an object whose bytes are not what its format says.
    pub(super) fn damaged(id: &ObjectId, error: FormatError) -> Self {
        Self::Object(ObjectError::Damaged { id: *id, detail: error.to_string() })
    }
}
