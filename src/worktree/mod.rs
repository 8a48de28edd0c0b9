//! Layer 3: the working tree, a persistent value. No I/O: what is not in memory comes from an
//! [`ObjectSource`](crate::model::ObjectSource) that the caller hands in.

mod apply;
mod commit;
mod committed;
mod deeds;
mod diff;
mod dirty;
mod file;
mod id_cell;
mod ignored;
mod inode;
mod linked;
mod links;
mod nameless;
mod rename;
mod replay;
mod settle;
mod sides;
mod state;
mod table;
mod tags;
#[cfg(test)]
mod tests;
pub mod tree;

pub use apply::OpError;
pub use commit::{CommitCounts, Committed, Snapshot, StoredFile, Unstored};
pub use committed::{CommittedDirectory, CommittedTree, EntryReader};
pub use deeds::DeedLog;
pub use diff::{
    Both, Change, ChangeKind, DiffOptions, SIMILARITY_SAME, diff_entries, diff_paths, diff_roots,
    pair_similar, unfold_renamed,
};
pub use file::File;
pub use ignored::{IgnoredPath, RULES_NAME, View};
pub use inode::{Body, Inode, Names, load_xattrs};
pub use settle::hash_files;
pub use sides::Sides;
pub use state::{Found, InoHasher, Worktree, inode_of};
pub use tags::Tags;
