//! Operations: every mutation of a working tree is one of these values, and applying it depends
//! on nothing else, neither the clock nor a counter. Journal, recovery, tests and fuzzers all
//! speak `Op`.

use std::sync::Arc;

use super::{Entry, FileKind, Name, Timestamp};

/// The number of an inode, stable for the life of the file and never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ino(pub u64);

impl Ino {
    /// The top directory.
    pub const ROOT: Self = Self(1);
}

impl std::fmt::Debug for Ino {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ino {}", self.0)
    }
}

/// What a rename does with an entry that already has the new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameMode {
    /// Replaces it.
    Replace,
    /// Fails.
    NoReplace,
    /// Gives it the old name.
    Exchange,
}

/// A new file, as `create`, `mkdir`, `mknod` and `symlink` make them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNode {
    /// What to make.
    pub kind: FileKind,
    /// Permission bits, at most 0o7777.
    pub perm: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number, 0 where the kind has none.
    pub rdev: u32,
    /// Target of a symbolic link, empty otherwise.
    pub target: Box<[u8]>,
}

/// Attributes to change; those that are `None` stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAttr {
    /// New permission bits, at most 0o7777.
    pub perm: Option<u16>,
    /// New owner.
    pub uid: Option<u32>,
    /// New group.
    pub gid: Option<u32>,
    /// New time of modification.
    pub mtime: Option<Timestamp>,
    /// New time of access, which no commit keeps.
    pub atime: Option<Timestamp>,
}

/// One mutation of a working tree. `time` is when it happened: what it sets as ctime, and as
/// mtime where the operation changes that.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named like the parameters of the system calls")]
pub enum Op {
    /// Makes a new file under a new name.
    Create { parent: Ino, name: Name, ino: Ino, node: NewNode, time: Timestamp },
    /// Makes a regular file that has no name, and can be given one by `Link`.
    CreateNameless { ino: Ino, node: NewNode, time: Timestamp },
    /// Gives a file another name.
    Link { ino: Ino, parent: Ino, name: Name, time: Timestamp },
    /// Removes the name of a file that is no directory.
    Unlink { parent: Ino, name: Name, time: Timestamp },
    /// Removes an empty directory.
    Rmdir { parent: Ino, name: Name, time: Timestamp },
    /// Moves an entry.
    Rename {
        parent: Ino,
        name: Name,
        new_parent: Ino,
        new_name: Name,
        mode: RenameMode,
        time: Timestamp,
    },
    /// Writes bytes, and clears setuid and setgid where `kill_priv` says so.
    Write { ino: Ino, offset: u64, data: Arc<[u8]>, kill_priv: bool, time: Timestamp },
    /// Cuts or extends a file.
    Truncate { ino: Ino, size: u64, kill_priv: bool, time: Timestamp },
    /// Turns a range into zeros without storage. The file grows to the end of the range if
    /// `extend` is set.
    Zero { ino: Ino, offset: u64, len: u64, extend: bool, kill_priv: bool, time: Timestamp },
    /// Changes attributes.
    SetAttr { ino: Ino, set: SetAttr, time: Timestamp },
    /// Sets an extended attribute.
    SetXattr { ino: Ino, name: Box<[u8]>, value: Box<[u8]>, time: Timestamp },
    /// Removes an extended attribute.
    RemoveXattr { ino: Ino, name: Box<[u8]>, time: Timestamp },
    /// Makes a file as a committed entry tells it, directories without what is in them.
    Adopt { parent: Ino, name: Name, ino: Ino, entry: Entry, time: Timestamp },
    /// Gives a file the attributes, extended attributes and content that a committed entry of the
    /// same kind tells; of a directory, not what is in it.
    Revert { ino: Ino, entry: Entry, time: Timestamp },
    /// Drops a file that has no name any more and that nobody holds open.
    DropOrphan { ino: Ino },
}
