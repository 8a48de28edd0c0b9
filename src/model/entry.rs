//! Entries: what a committed tree knows of one name, and the attributes they share with live
//! inodes.

use super::{ChunkId, NodeId, Timestamp, Xattrs, XattrsId};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A Unix-domain socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

/// The attributes that a commit keeps of every file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Meta {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits with setuid, setgid and sticky: at most 0o7777.
    pub perm: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device node, otherwise 0.
    pub rdev: u32,
    /// Time of the last change of the content.
    pub mtime: Timestamp,
}

/// Where the content of a regular file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// Nowhere: the file is empty.
    Empty,
    /// The file is this one chunk.
    Chunk(ChunkId),
    /// The file is cut into chunks, listed in the tree with this topmost node.
    Chunks(NodeId),
}

/// The part of an entry that depends on its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryBody {
    /// A regular file.
    File {
        /// Length in bytes.
        size: u64,
        /// Where the bytes are.
        content: Content,
    },
    /// A directory: the topmost node of the tree of its entries, none when it is empty.
    Directory(Option<NodeId>),
    /// A symbolic link and its target, 1 to 4095 bytes.
    Symlink(Box<[u8]>),
    /// A fifo, socket or device.
    Special,
}

/// What a committed tree knows of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its attributes.
    pub meta: Meta,
    /// Tells that other names of the same tree share this file; the tree's table of links knows
    /// which.
    pub linked: bool,
    /// Its extended attributes, where they fit.
    pub xattrs: EntryXattrs,
    /// What depends on its kind.
    pub body: EntryBody,
}

/// Extended attributes as an entry holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryXattrs {
    /// In the entry itself, perhaps none.
    Inline(Xattrs),
    /// In an object of their own.
    Stored(XattrsId),
}
