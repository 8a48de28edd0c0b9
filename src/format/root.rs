//! Roots: a whole tree as one object, which a commit names.
//!
//! ```text
//! root = "vr" version:u8(1) flags:u8 links:id if flags is 1, entry of the top directory
//! ```
//!
//! `links` is the topmost node of the table of links, which tells the names that share a file:
//! its keys are the BLAKE3 digests of paths (the names from the top joined by `/`), one for each
//! name of a file that has several, and the value is `names:varint group:id`: how many names the
//! file has, and the smallest of their digests, which all of them share and no other file has.

use super::bytes::{FormatError, Reader, put_varint};
use super::entry::{decode_entry, put_entry};
use crate::model::{Entry, EntryBody, NodeId, ObjectId};

const MAGIC: &[u8; 3] = b"vr\x01";

/// A whole tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The top directory.
    pub top: Entry,
    /// The table of links, if any name shares a file with another.
    pub links: Option<NodeId>,
}

impl Root {
    /// Encodes the root.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(u8::from(self.links.is_some()));
        if let Some(links) = &self.links {
            out.extend_from_slice(links.object().as_bytes());
        }
        put_entry(&mut out, &self.top);
        out
    }

    /// Decodes a root.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        reader.expect(MAGIC, "not a root of a known version")?;
        let links = match reader.u8()? {
            0 => None,
            1 => Some(NodeId::new(reader.id()?)),
            _ => return Err(reader.error("a root has unknown flags")),
        };
        let at = reader.offset();
        let top = decode_entry(&bytes[at..])
            .map_err(|e| FormatError { what: e.what, offset: at + e.offset })?;
        if !matches!(top.body, EntryBody::Directory(_)) {
            return Err(FormatError { what: "the top of a tree is no directory", offset: at });
        }
        Ok(Self { top, links })
    }
}

/// What the table of links says of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkRecord {
    /// How many names the file has.
    pub names: u64,
    /// The smallest digest among their paths.
    pub group: ObjectId,
}

impl LinkRecord {
    /// Encodes the record.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(34);
        put_varint(&mut out, self.names);
        out.extend_from_slice(self.group.as_bytes());
        out
    }

    /// Decodes a record.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        let record = Self { names: reader.varint()?, group: reader.id()? };
        reader.finish()?;
        Ok(record)
    }
}
