//! A persistent, history-independent, ordered map from byte keys to byte values: the one
//! structure that directories, chunk lists and tables are made of.
//!
//! It is a prolly tree: an item ends a node when a hash of its KEY says so, one in eight on
//! average, and a node's last key ends the node above when the same hash says so more strongly.
//! So the shape is a pure function of the keys, whatever the order of the edits that led to
//! them, and a change of a value moves no boundary. A cap on the number of items, counted from
//! the last boundary, bounds a node.
//!
//! A clone is one pointer; an edit copies the path to its leaf where that is shared and works in
//! place where it is not. Nodes are loaded when first looked at, and remember their ids, so that
//! hashing visits changed nodes only.
//!
//! The idea is that of the Noms database's prolly trees, with the refinement of deciding the
//! levels from one hash of the key, as skip trees do.

mod cut;
mod diff;
mod edit;
mod fetch;
mod hash;
mod node;
mod read;
mod rebuild;
#[cfg(test)]
mod tests;
mod update;

use std::fmt::Debug;

use crate::format::bytes::{FormatError, Reader};
use crate::format::entry::is_directory;
use crate::format::worktree::SideRecord;
use crate::model::{NodeId, ObjectError, ObjectId};

pub use diff::Difference;
pub(super) use fetch::fetch;
pub use hash::{HashCounts, Hasher};
use node::Lazy;
pub use read::Item;
pub use update::Update;

/// What differs between the uses of a tree.
pub trait TreeKind: Sized + Send + Sync + 'static {
    /// What lies beside an item without being part of its value.
    type Side: Clone + Debug + Default + PartialEq + Send + Sync;

    /// What an item adds to the weight of the tree.
    fn weight(value: &[u8]) -> u64;
    /// What an item adds to the links of the tree.
    fn links(side: &Self::Side) -> u64;
    /// Writes a side.
    fn put_side(side: &Self::Side, out: &mut Vec<u8>);
    /// Reads a side.
    fn read_side(reader: &mut Reader<'_>) -> Result<Self::Side, FormatError>;
}

/// The entries of a directory: names to encoded entries, with inode numbers and ctimes beside
/// them. The weight counts directories.
#[derive(Debug)]
pub struct Directory;

impl TreeKind for Directory {
    type Side = SideRecord;

    fn weight(value: &[u8]) -> u64 {
        u64::from(is_directory(value))
    }

    fn links(side: &SideRecord) -> u64 {
        u64::from(side.links)
    }

    fn put_side(side: &SideRecord, out: &mut Vec<u8>) {
        side.put(out);
    }

    fn read_side(reader: &mut Reader<'_>) -> Result<SideRecord, FormatError> {
        SideRecord::read(reader)
    }
}

macro_rules! kind_without_sides {
    ($(#[$doc:meta])* $name:ident, $weight:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl TreeKind for $name {
            type Side = ();

            fn weight(value: &[u8]) -> u64 {
                $weight(value)
            }

            fn links((): &()) -> u64 {
                0
            }

            fn put_side((): &(), _: &mut Vec<u8>) {}

            fn read_side(_: &mut Reader<'_>) -> Result<(), FormatError> {
                Ok(())
            }
        }
    };
}

kind_without_sides!(
    /// The chunks of a file: offsets to chunks. The weight counts bytes that are no holes.
    Chunks,
    crate::format::chunks::stored_bytes
);
kind_without_sides!(
    /// Anything else.
    Table,
    |_| 0
);

/// A persistent ordered map; see the module's description.
pub struct Tree<K: TreeKind> {
    root: Option<Lazy<K>>,
}

impl<K: TreeKind> Tree<K> {
    /// Makes an empty tree.
    pub const fn new() -> Self {
        Self { root: None }
    }

    /// Takes a tree from the store by the ids of its topmost node and of what lies beside it.
    /// Nothing is read yet.
    pub fn stored(root: Option<NodeId>, side: Option<ObjectId>) -> Self {
        Self { root: root.map(|id| Lazy::stored(id, side)) }
    }

    /// Tells whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// The id of the topmost node: `Some(None)` for an empty tree, `None` where it is not known
    /// because something changed since it was last hashed.
    pub fn id(&self) -> Option<Option<NodeId>> {
        match &self.root {
            None => Some(None),
            Some(root) => root.id().map(Some),
        }
    }

    /// The id of what lies beside the topmost node, if it is known.
    pub fn side_id(&self) -> Option<ObjectId> {
        self.root.as_ref()?.side_id()
    }

    /// Tells whether the two are the same tree by pointer.
    pub fn is_same_by_pointer(&self, other: &Self) -> bool {
        match (&self.root, &other.root) {
            (None, None) => true,
            (Some(a), Some(b)) => a.is_same_by_pointer(b),
            _ => false,
        }
    }

    /// Tells whether the two are the same tree by pointer, or have the same known id.
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.root, &other.root) {
            (None, None) => true,
            (Some(a), Some(b)) => a.is_same(b),
            _ => false,
        }
    }
}

impl<K: TreeKind> Clone for Tree<K> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone() }
    }
}

impl<K: TreeKind> Default for Tree<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: TreeKind> Debug for Tree<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tree({:?})", self.id())
    }
}

/// Makes the error for an object whose bytes are not what its format says.
pub fn damaged(id: &ObjectId, error: FormatError) -> ObjectError {
    ObjectError::Damaged { id: *id, detail: error.to_string() }
}
