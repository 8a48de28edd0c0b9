//! Entries: the values in the leaves of a directory's tree.
//!
//! ```text
//! entry = tag:u8 perm:varint uid:varint gid:varint mtime:time body xattrs
//! tag   = kind (bits 0-2) | 0x08 linked | 0x10 inline xattrs | 0x20 stored xattrs | 0x40 tree
//! kind  = 0 regular, 1 directory, 2 symlink, 3 fifo, 4 socket, 5 char device, 6 block device
//! body  = size:varint content       regular; content = nothing if size is 0, a node id if `tree`
//!                                   is set, otherwise the id of the only chunk
//!       | node:id if `tree` is set  directory; an empty one has no tree
//!       | target:string             symlink
//!       | nothing                   fifo, socket
//!       | rdev:varint               devices
//! xattrs = nothing | items:string (inline) | id (stored)
//! ```
//!
//! Extended attributes are encoded as `(name:string value:string)*` sorted by name; where that
//! takes at most 256 bytes they lie inline, otherwise in an object of their own.

use super::bytes::{FormatError, Reader, ShortBytes, encode_time, put_string};
use crate::base::limits::{
    FILE_BYTES_MAX, NODE_BYTES_MAX, SYMLINK_BYTES_MAX, XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX,
    XATTRS_BYTES_MAX, XATTRS_INLINE_BYTES_MAX,
};
use crate::model::{
    ChunkId, Content, Entry, EntryBody, EntryXattrs, FileKind, Meta, NodeId, Xattrs, XattrsId,
};

const KIND_MASK: u8 = 0x07;
const LINKED: u8 = 0x08;
const INLINE_XATTRS: u8 = 0x10;
const STORED_XATTRS: u8 = 0x20;
const TREE: u8 = 0x40;
const KNOWN: u8 = 0x7f;

/// Every kind of file, at the place that its number tells.
pub(super) const KINDS: [FileKind; 7] = [
    FileKind::Regular,
    FileKind::Directory,
    FileKind::Symlink,
    FileKind::Fifo,
    FileKind::Socket,
    FileKind::CharDevice,
    FileKind::BlockDevice,
];

/// Writes an entry.
pub fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    put_entry_parts(out, &entry.meta, entry.linked, &entry.xattrs, &entry.body);
}

/// Writes an entry from its parts, for callers that have no [`Entry`] and need none.
pub fn put_entry_parts(
    out: &mut Vec<u8>,
    meta: &Meta,
    linked: bool,
    xattrs: &EntryXattrs,
    body: &EntryBody,
) {
    let mut tag = meta.kind as u8;
    if linked {
        tag |= LINKED;
    }
    match xattrs {
        EntryXattrs::Inline(set) if set.is_empty() => {}
        EntryXattrs::Inline(_) => tag |= INLINE_XATTRS,
        EntryXattrs::Stored(_) => tag |= STORED_XATTRS,
    }
    if matches!(
        body,
        EntryBody::Directory(Some(_)) | EntryBody::File { content: Content::Chunks(_), .. }
    ) {
        tag |= TREE;
    }
    // At most 1 + 3 + 5 + 5 + 12 + 10 + 32 bytes, but for a target.
    let mut short = ShortBytes::default();
    short.put_u8(tag);
    short.put_varint(u64::from(meta.perm));
    short.put_varint(u64::from(meta.uid));
    short.put_varint(u64::from(meta.gid));
    short.put(&encode_time(meta.mtime));
    match body {
        EntryBody::File { size, content } => {
            short.put_varint(*size);
            match content {
                Content::Empty => {}
                Content::Chunk(id) => short.put(id.object().as_bytes()),
                Content::Chunks(id) => short.put(id.object().as_bytes()),
            }
        }
        EntryBody::Directory(None) | EntryBody::Symlink(_) => {}
        EntryBody::Directory(Some(node)) => short.put(node.object().as_bytes()),
        EntryBody::Special => {
            if matches!(meta.kind, FileKind::CharDevice | FileKind::BlockDevice) {
                short.put_varint(u64::from(meta.rdev));
            }
        }
    }
    out.extend_from_slice(short.as_bytes());
    if let EntryBody::Symlink(target) = body {
        put_string(out, target);
    }
    match xattrs {
        EntryXattrs::Inline(set) if set.is_empty() => {}
        EntryXattrs::Inline(set) => put_string(out, &encode_xattrs(set)),
        EntryXattrs::Stored(id) => out.extend_from_slice(id.object().as_bytes()),
    }
}

/// Reads an entry that fills `bytes`.
pub fn decode_entry(bytes: &[u8]) -> Result<Entry, FormatError> {
    let mut reader = Reader::new(bytes);
    let entry = read_entry(&mut reader)?;
    reader.finish()?;
    Ok(entry)
}

/// Reads an entry that other things follow.
pub fn read_entry(reader: &mut Reader<'_>) -> Result<Entry, FormatError> {
    let tag = reader.u8()?;
    let kind = KINDS.get(usize::from(tag & KIND_MASK)).copied();
    let kind = kind.ok_or_else(|| reader.error("an entry is of an unknown kind"))?;
    if tag & !KNOWN != 0 || tag & (INLINE_XATTRS | STORED_XATTRS) == INLINE_XATTRS | STORED_XATTRS {
        return Err(reader.error("an entry has unknown flags"));
    }
    let perm = reader.varint_u32()?;
    let perm = u16::try_from(perm).ok().filter(|perm| *perm <= 0o7777);
    let perm = perm.ok_or_else(|| reader.error("an entry has impossible permissions"))?;
    let uid = reader.varint_u32()?;
    let gid = reader.varint_u32()?;
    let mtime = reader.time()?;
    let mut rdev = 0;
    let tree = tag & TREE != 0;
    let body = match kind {
        FileKind::Regular => {
            let size = reader.varint()?;
            if size > FILE_BYTES_MAX {
                return Err(reader.error("a file is larger than a file can be"));
            }
            let content = match (size, tree) {
                (0, false) => Content::Empty,
                (0, true) => return Err(reader.error("an empty file has content")),
                (_, false) => Content::Chunk(ChunkId::new(reader.id()?)),
                (_, true) => Content::Chunks(NodeId::new(reader.id()?)),
            };
            EntryBody::File { size, content }
        }
        FileKind::Directory if tree => EntryBody::Directory(Some(NodeId::new(reader.id()?))),
        FileKind::Directory => EntryBody::Directory(None),
        _ if tree => return Err(reader.error("an entry has unknown flags")),
        FileKind::Symlink => match reader.string(SYMLINK_BYTES_MAX)? {
            b"" => return Err(reader.error("a symbolic link has no target")),
            target => EntryBody::Symlink(target.into()),
        },
        FileKind::Fifo | FileKind::Socket => EntryBody::Special,
        FileKind::CharDevice | FileKind::BlockDevice => {
            rdev = reader.varint_u32()?;
            EntryBody::Special
        }
    };
    let xattrs = if tag & INLINE_XATTRS != 0 {
        let bytes = reader.string(NODE_BYTES_MAX)?;
        // An entry has one encoding, or its id would not be one of what it tells.
        if bytes.is_empty() || !xattrs_fit_inline(bytes.len()) {
            return Err(reader.error("extended attributes are not where they belong"));
        }
        EntryXattrs::Inline(decode_xattrs(bytes)?)
    } else if tag & STORED_XATTRS != 0 {
        EntryXattrs::Stored(XattrsId::new(reader.id()?))
    } else {
        EntryXattrs::Inline(Xattrs::default())
    };
    let meta = Meta { kind, perm, uid, gid, rdev, mtime };
    Ok(Entry { meta, linked: tag & LINKED != 0, xattrs, body })
}

/// Tells from an encoded entry whether it is a directory, without reading the rest.
pub fn is_directory(entry: &[u8]) -> bool {
    entry.first().is_some_and(|tag| tag & KIND_MASK == FileKind::Directory as u8)
}

/// The kind that an encoded entry tells, without reading the rest. Entries of a live directory
/// that wait for a commit may consist of their kind alone.
pub fn kind_of(entry: &[u8]) -> FileKind {
    let tag = entry.first().copied().unwrap_or_default();
    KINDS.get(usize::from(tag & KIND_MASK)).copied().unwrap_or(FileKind::Regular)
}

/// Encodes extended attributes.
pub fn encode_xattrs(xattrs: &Xattrs) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in xattrs.iter() {
        put_string(&mut out, name);
        put_string(&mut out, value);
    }
    out
}

/// Tells whether encoded extended attributes of this length lie in the entry itself.
pub fn xattrs_fit_inline(encoded_len: usize) -> bool {
    encoded_len <= XATTRS_INLINE_BYTES_MAX
}

/// Decodes extended attributes.
pub fn decode_xattrs(bytes: &[u8]) -> Result<Xattrs, FormatError> {
    let mut reader = Reader::new(bytes);
    if bytes.len() > XATTRS_BYTES_MAX {
        return Err(reader.error("the extended attributes are too large"));
    }
    let mut xattrs = Xattrs::default();
    let mut last: Option<&[u8]> = None;
    while !reader.is_at_end() {
        let name = reader.string(XATTR_NAME_BYTES_MAX)?;
        let value = reader.string(XATTR_VALUE_BYTES_MAX)?;
        if name.is_empty() || last.is_some_and(|last| last >= name) {
            return Err(reader.error("the names of extended attributes do not rise"));
        }
        last = Some(name);
        xattrs.insert(name, value);
    }
    Ok(xattrs)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::{decode_entry, put_entry};
    use crate::model::{
        ChunkId, Content, Entry, EntryBody, EntryXattrs, FileKind, Meta, NodeId, ObjectId,
        Timestamp, Xattrs,
    };

    fn entry(kind: FileKind, body: EntryBody) -> Entry {
        let mtime = Timestamp { secs: -5, nanos: 999_999_999 };
        let rdev = if matches!(kind, FileKind::CharDevice) { 0x0103 } else { 0 };
        let meta = Meta { kind, perm: 0o4755, uid: 1000, gid: u32::MAX, rdev, mtime };
        let mut xattrs = Xattrs::default();
        xattrs.insert(b"user.b", b"");
        xattrs.insert(b"user.a", b"\0\xff");
        Entry { meta, linked: true, xattrs: EntryXattrs::Inline(xattrs), body }
    }

    #[test]
    fn every_kind_round_trips() {
        let id = ObjectId::from_bytes([7; 32]);
        let file = |size, content| entry(FileKind::Regular, EntryBody::File { size, content });
        for entry in [
            file(0, Content::Empty),
            file(1, Content::Chunk(ChunkId::new(id))),
            file(i64::MAX as u64, Content::Chunks(NodeId::new(id))),
            entry(FileKind::Directory, EntryBody::Directory(None)),
            entry(FileKind::Directory, EntryBody::Directory(Some(NodeId::new(id)))),
            entry(FileKind::Symlink, EntryBody::Symlink(b"../x"[..].into())),
            entry(FileKind::Fifo, EntryBody::Special),
            entry(FileKind::CharDevice, EntryBody::Special),
        ] {
            let mut out = Vec::new();
            put_entry(&mut out, &entry);
            assert_eq!(decode_entry(&out), Ok(entry));
            for cut in 0..out.len() {
                assert!(decode_entry(&out[..cut]).is_err());
            }
        }
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes in vec(any::<u8>(), 0..80)) {
            if let Ok(entry) = decode_entry(&bytes) {
                let mut out = Vec::new();
                put_entry(&mut out, &entry);
                // An empty inline set is the one thing that two encodings could say.
                if bytes[0] & super::INLINE_XATTRS == 0 {
                    assert_eq!(out, bytes);
                }
            }
        }
    }
}
