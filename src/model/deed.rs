//! Deeds: what was done to a whole worktree, as its operation log has it. What is done to a file of
//! it is an [`Op`](super::Op).

use super::{CommitId, Timestamp};

/// Something that was done to a worktree. The log of a worktree numbers them from 1 on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// When.
    pub time: Timestamp,
    /// What.
    pub what: DeedKind,
    /// The head before.
    pub before: Option<CommitId>,
    /// The head after.
    pub after: Option<CommitId>,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeedKind {
    /// The head after was made of the tree.
    Commit,
    /// The tree, or some paths of it, became what they were in a commit.
    Restore {
        /// That commit.
        commit: CommitId,
        /// How many paths were asked for, 0 for the whole tree.
        paths: u64,
        /// The commit that was made of the tree of before, unless that was the head's.
        saved: Option<CommitId>,
    },
    /// A commit or a restore was taken back.
    Undo {
        /// The number of that deed.
        of: u64,
        /// The commit that was made of the tree of before, if any of it would have been lost.
        saved: Option<CommitId>,
    },
    /// A tag was made, moved or deleted.
    Tag {
        /// Its name.
        name: String,
        /// What it named before.
        from: Option<CommitId>,
        /// What it names now.
        to: Option<CommitId>,
    },
    /// A collection dropped commits.
    Collect {
        /// How many.
        dropped: u64,
    },
}

impl Deed {
    /// The commit that has the tree of before, if the deed changed the tree.
    pub fn tree_before(&self) -> Option<CommitId> {
        match &self.what {
            DeedKind::Restore { saved, .. } => saved.or(self.before),
            _ => None,
        }
    }
}
