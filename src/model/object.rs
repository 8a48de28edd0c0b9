//! Objects: what a store keeps, and the two traits through which the layers that do no I/O reach
//! one.

use std::io;
use std::sync::Arc;

use super::ObjectId;

/// What the bytes of an object are. The id depends on the bytes alone: an object is understood
/// as whatever refers to it says, and the kind serves statistics, compression and repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ObjectKind {
    /// A piece of file content.
    Chunk = 1,
    /// A node of a tree.
    Node = 2,
    /// A root: a whole tree.
    Root = 3,
    /// A commit.
    Commit = 4,
    /// Extended attributes that are too large for their entry.
    Xattrs = 5,
    /// What a worktree knows beyond the commit: of a node, inode numbers and ctimes; or a block of
    /// its operation log.
    Side = 6,
    /// The durable state of a worktree.
    Worktree = 7,
    /// Which programs made the changes that a commit holds.
    Provenance = 8,
}

impl ObjectKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Chunk,
        Self::Node,
        Self::Root,
        Self::Commit,
        Self::Xattrs,
        Self::Side,
        Self::Worktree,
        Self::Provenance,
    ];

    /// The kind with this number, as formats write it.
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// Why an object cannot be read or kept.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ObjectError {
    /// The object is not in memory, and the source must not wait for a disk. The caller fetches
    /// it where waiting is allowed, and tries again.
    #[error("object {0:?} is not in memory")]
    NotLoaded(ObjectId),
    /// No such object in the store.
    #[error("object {0} is missing from the store")]
    Missing(ObjectId),
    /// The object is there, but its bytes are not what they should be.
    #[error("object {id} is damaged: {detail}")]
    Damaged {
        /// The object.
        id: ObjectId,
        /// Where it lies and what is wrong with it.
        detail: String,
    },
    /// The disk failed, or is full.
    #[error("{context}: {source}")]
    Io {
        /// What was being done, with the path.
        context: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
}

/// Where objects are read from.
pub trait ObjectSource: Send + Sync {
    /// Reads a whole object, checked against its id.
    fn get(&self, id: &ObjectId) -> Result<Arc<[u8]>, ObjectError>;
}

/// Where new objects go.
pub trait ObjectSink: Send + Sync {
    /// Keeps an object, unless it is there already. It can be read through the source that
    /// belongs to this sink from now on; what makes it durable is the sink's own affair.
    ///
    /// `id` must be the BLAKE3 digest of `bytes`.
    fn put(&self, kind: ObjectKind, id: &ObjectId, bytes: &[u8]) -> Result<(), ObjectError>;
}
