//! What can go wrong with a repository.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::disk::is_full;
use crate::base::proposal;
use crate::format::bytes::FormatError;
use crate::journal::JournalError;
use crate::model::{CommitId, ConfigError, ObjectError, ObjectId};
use crate::store::StoreError;
use crate::worktree::OpError;

use super::{GcRequestError, RevisionError, TagName, TagNameError};

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
    #[error(
        "the journal {} does not fit the store: {what}; `vst verify` tells where it is damaged, and \
         without it the store opens as it was at the last checkpoint: to give up what was done after \
         that, move that directory away, make an empty one, and run `vst verify --repair`",
        journal.display()
    )]
    Unreplayable {
        /// The directory of the journal.
        journal: PathBuf,
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
    #[error(
        "commit {commit} was dropped by a collection: `vst log --all` lists those that are left"
    )]
    Dropped {
        /// The commit.
        commit: CommitId,
    },
    /// Nothing was done that could be taken back, or nothing that is still known.
    #[error("there is nothing to take back: `vst op log` tells what was done")]
    NothingToUndo,
    /// A text cannot be the name of a tag.
    #[error(transparent)]
    TagName(#[from] TagNameError),
    /// There is a tag of that name.
    #[error("the tag {name} names commit {commit}: `vst tag -f {name}` moves it")]
    TagExists {
        /// The tag.
        name: TagName,
        /// What it names, in short.
        commit: String,
    },
    /// There is no tag of that name.
    #[error("there is no tag {name}{}; `vst tag` lists those that there are", proposal(nearest))]
    NoTag {
        /// The tag.
        name: TagName,
        /// Names that come near it.
        nearest: Vec<String>,
    },
    /// A change of a tag was asked for in words that mean none.
    #[error("a tag is changed by `make NAME REV`, `move NAME REV` or `delete NAME`")]
    TagRequest,
    /// A directory that is to be written to has something in it.
    #[error("{} is not empty: choose another directory, or --force to write into it", dir.display())]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
    },
    /// A plain tree cannot be written.
    #[error("{context}: {source}")]
    Export {
        /// What was being done, with the path.
        context: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// A collection goes on already.
    #[error("garbage is being collected already: wait until that has ended")]
    Collecting,
    /// It would have to wait, and who asks has no time ([`crate::base::haste`]). It is asked for
    /// again.
    #[error("it would have to wait")]
    Hasty,
    /// Whoever asked for it has gone ([`crate::base::interrupt`]). Nothing was done.
    #[error("it was given up: whoever asked for it has gone")]
    GivenUp,
    /// The system has no thread for it.
    #[error("starting a thread: {0}")]
    Thread(#[source] Arc<io::Error>),
    /// Something cannot be set.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A collection was asked for in words that mean none.
    #[error(transparent)]
    GcRequest(#[from] GcRequestError),
    /// The message of a commit is longer than 64 KiB.
    #[error(
        "the message is longer than {max} bytes: shorten it, or put it into a file of the tree"
    )]
    MessageTooLong {
        /// The longest that there can be.
        max: usize,
    },
}

impl RepoError {
    /// What the system said, if it was the system.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Journal(error) => error.io(),
            Self::Object(ObjectError::Io { source, .. })
            | Self::Op(OpError::Object(ObjectError::Io { source, .. })) => Some(source),
            Self::Store(StoreError::Io { source, .. }) | Self::Export { source, .. } => {
                Some(source)
            }
            _ => None,
        }
    }

    /// Tells whether the disk is full, and what was asked for can be done once more when it is not.
    pub(super) fn wants_room(&self) -> bool {
        match self {
            // A record that was written in part is of something that has been done.
            Self::Journal(JournalError::Io { .. } | JournalError::Failed { .. }) => false,
            error => error.io().is_some_and(is_full),
        }
    }

    /// The error for an object whose bytes are not what its format says.
    pub(super) fn damaged(id: &ObjectId, error: FormatError) -> Self {
        Self::Object(ObjectError::Damaged { id: *id, detail: error.to_string() })
    }
}
