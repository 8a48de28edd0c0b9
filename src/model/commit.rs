//! Commits.

use super::{CommitId, RootId, Timestamp};

/// A snapshot of a whole tree and its place in history. Its id is the BLAKE3 digest of its
/// encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The tree.
    pub root: RootId,
    /// The commits that it follows: none for the first, usually one.
    pub parents: Vec<CommitId>,
    /// When it was asked for.
    pub time: Timestamp,
    /// Who asked for it.
    pub author: String,
    /// What was said about it, perhaps nothing.
    pub message: String,
}
