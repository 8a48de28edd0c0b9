//! Nodes of a tree: the encoding that is hashed and stored.
//!
//! ```text
//! node   = "vn" version:u8(1) height:u8 item*
//! item   = key:string value:string          in a leaf (height 0)
//! item   = key:string child:id count:varint weight:varint   above
//! string = length:varint byte*
//! ```
//!
//! Keys rise strictly. Above the leaves, `key` is the last key below `child`, `count` the number
//! of leaf items below it, and `weight` the sum of what the tree's kind counts (directories in a
//! directory's tree, stored bytes in a file's). A node is never empty.

use super::bytes::{FormatError, Reader, put_string, put_varint};
use crate::base::limits::{NODE_BYTES_MAX, NODE_ITEMS_MAX, TREE_HEIGHT_MAX};
use crate::model::NodeId;

/// Length of the header.
pub const HEADER_BYTES: usize = 4;

const MAGIC: &[u8; 3] = b"vn\x01";

/// Writes the header of a node.
pub fn put_header(out: &mut Vec<u8>, height: u8) {
    out.extend_from_slice(MAGIC);
    out.push(height);
}

/// Writes an item of a leaf.
pub fn put_item(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    put_string(out, key);
    put_string(out, value);
}

/// Writes an item above the leaves.
pub fn put_link(out: &mut Vec<u8>, key: &[u8], link: &NodeLink) {
    put_string(out, key);
    out.extend_from_slice(link.child.object().as_bytes());
    put_varint(out, link.count);
    put_varint(out, link.weight);
}

/// What an inner node says of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeLink {
    /// The child.
    pub child: NodeId,
    /// Leaf items below it.
    pub count: u64,
    /// Sum of their weights.
    pub weight: u64,
}

/// An item of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafItem<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// Where it ends in the node.
    pub end: usize,
}

/// Reads an encoded node and checks all that can be checked without its neighbours.
#[derive(Debug)]
pub struct NodeReader<'a> {
    reader: Reader<'a>,
    height: u8,
    items: usize,
    last_key: Option<&'a [u8]>,
}

impl<'a> NodeReader<'a> {
    /// Reads the header.
    pub fn open(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        if bytes.len() > NODE_BYTES_MAX {
            return Err(reader.error("a node is too large"));
        }
        reader.expect(MAGIC, "not a tree node of a known version")?;
        let height = reader.u8()?;
        if usize::from(height) > TREE_HEIGHT_MAX {
            return Err(reader.error("a node is too high"));
        }
        if reader.is_at_end() {
            return Err(reader.error("a node is empty"));
        }
        Ok(Self { reader, height, items: 0, last_key: None })
    }

    /// The height of the node: 0 for a leaf.
    pub fn height(&self) -> u8 {
        self.height
    }

    /// Reads the next item of a leaf.
    pub fn next_item(&mut self) -> Result<Option<LeafItem<'a>>, FormatError> {
        let Some(key) = self.next_key()? else { return Ok(None) };
        let value = self.reader.string(NODE_BYTES_MAX)?;
        Ok(Some(LeafItem { key, value, end: self.reader.offset() }))
    }

    /// Reads the next item above the leaves.
    pub fn next_link(&mut self) -> Result<Option<(&'a [u8], NodeLink)>, FormatError> {
        let Some(key) = self.next_key()? else { return Ok(None) };
        let child = NodeId::new(self.reader.id()?);
        let count = self.reader.varint()?;
        let weight = self.reader.varint()?;
        Ok(Some((key, NodeLink { child, count, weight })))
    }

    fn next_key(&mut self) -> Result<Option<&'a [u8]>, FormatError> {
        if self.reader.is_at_end() {
            return Ok(None);
        }
        self.items += 1;
        if self.items > NODE_ITEMS_MAX {
            return Err(self.reader.error("a node has too many items"));
        }
        let key = self.reader.string(NODE_BYTES_MAX)?;
        if self.last_key.is_some_and(|last| last >= key) {
            return Err(self.reader.error("the keys of a node do not rise"));
        }
        self.last_key = Some(key);
        Ok(Some(key))
    }
}
