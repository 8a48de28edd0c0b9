//! The values that a filesystem is asked with and answers with.

use rustix::io::Errno;

use crate::base::haste;
use crate::model::{
    Entry, EntryBody, FileKind, Ino, Meta, Name, NameError, ObjectError, ObjectSource, Timestamp,
};
use crate::repo::RepoError;
use crate::store::StoreError;
use crate::worktree::{OpError, View};

/// What a call ends with: a value, or the error number that the caller sees.
pub type Answer<T> = Result<T, Errno>;

/// What `stat` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    /// The number of the inode, as the kernel knows it.
    pub ino: u64,
    /// Kind, permissions, owner, device and time of modification.
    pub meta: Meta,
    /// Length in bytes.
    pub size: u64,
    /// Storage in units of 512 bytes.
    pub blocks: u64,
    /// Number of links.
    pub nlink: u32,
    /// Time of the last change.
    pub ctime: Timestamp,
    /// Time of access, if one was set; otherwise it equals the time of modification.
    pub atime: Timestamp,
    /// When it was made, which the past does not tell.
    pub born: Option<Timestamp>,
}

/// How long the kernel may believe an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// Until it is told otherwise: all changes go through it, or nothing changes.
    Forever,
    /// Not at all: the answer is made anew each time.
    Never,
}

/// An answer about a name or an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryOut {
    /// The inode.
    pub attr: Attr,
    /// How long this holds.
    pub ttl: Ttl,
}

/// An answer to a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupOut {
    /// The name is there.
    Found(EntryOut),
    /// It is not, and the kernel may remember that until the name is made.
    Absent,
}

/// An open file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOut {
    /// What to call it by.
    pub fh: u64,
    /// The kernel may keep what it has read. Otherwise reads and writes of a file go past the page
    /// cache, and a directory is listed anew each time.
    pub cached: bool,
}

impl OpenOut {
    /// A file that is read and written through the page cache: its number says all.
    pub(super) const CACHED_FILE: Self = Self { fh: 0, cached: true };
}

/// A row of a listing.
#[derive(Clone, Copy, Debug)]
pub struct DirRow<'a> {
    /// The number of the inode.
    pub ino: u64,
    /// What it is.
    pub kind: FileKind,
    /// Its name.
    pub name: &'a [u8],
    /// Where the next row is: what to go on from.
    pub next: u64,
    /// All about it, where it was asked for. The kernel holds it from then on.
    pub entry: Option<EntryOut>,
}

/// What `setattr` is to change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAttrIn {
    /// New permission bits.
    pub perm: Option<u16>,
    /// New owner.
    pub uid: Option<u32>,
    /// New group.
    pub gid: Option<u32>,
    /// New size.
    pub size: Option<u64>,
    /// New time of modification.
    pub mtime: Option<Timestamp>,
    /// New time of access.
    pub atime: Option<Timestamp>,
    /// Whether a new size takes privileges away from the file. Where the transport does not tell,
    /// it does so unless root sets it.
    pub kill_priv: Option<bool>,
}

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatfsOut {
    /// Size of a block.
    pub block_bytes: u32,
    /// Blocks in all.
    pub blocks: u64,
    /// Free blocks.
    pub free: u64,
    /// Free blocks for users other than root.
    pub available: u64,
    /// Files in all.
    pub files: u64,
    /// Files that can still be made.
    pub files_free: u64,
}

impl Attr {
    /// What a live inode tells.
    pub(super) fn of_view(view: &View, src: &dyn ObjectSource) -> Answer<Self> {
        let (inode, mtime) = (&view.inode, view.mtime());
        Ok(Self {
            ino: inode.ino.0,
            meta: Meta { mtime, ..inode.meta },
            size: inode.size(),
            blocks: inode.allocated_bytes(src).map_err(|e| of_object(&e))?.div_ceil(512),
            nlink: view.nlink(src).map_err(|e| of_object(&e))?,
            ctime: view.ctime(),
            atime: inode.atime.get().unwrap_or(mtime),
            born: Some(inode.born.into()),
        })
    }

    /// What a committed entry tells, with what only its surroundings know.
    pub(super) fn of_entry(ino: u64, entry: &Entry, allocated_bytes: u64, nlink: u32) -> Self {
        let size = match &entry.body {
            EntryBody::File { size, .. } => *size,
            EntryBody::Symlink(target) => target.len() as u64,
            EntryBody::Directory(_) => 4096,
            EntryBody::Special => 0,
        };
        let blocks = allocated_bytes.div_ceil(512);
        let (meta, time) = (entry.meta, entry.meta.mtime);
        Self { ino, meta, size, blocks, nlink, ctime: time, atime: time, born: None }
    }
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFlags {
    /// To read it.
    pub read: bool,
    /// To write it.
    pub write: bool,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteHow {
    /// To take privileges away from the file.
    pub kill_priv: bool,
    /// At the end, which the kernel has looked for. That it looked in vain is found out here.
    pub append: bool,
    /// By the kernel, which writes a mapping back and does not say whose that is.
    pub mapped: bool,
}

/// Checks a name that the kernel sent.
pub(super) fn name(bytes: &[u8]) -> Answer<Name> {
    Name::new(bytes).map_err(|error| match error {
        NameError::TooLong => Errno::NAMETOOLONG,
        NameError::Invalid => Errno::INVAL,
    })
}

/// The error number of a failed operation.
pub(super) fn of_op(error: &OpError) -> Errno {
    match error {
        OpError::NotFound => Errno::NOENT,
        OpError::Exists => Errno::EXIST,
        OpError::NotDirectory => Errno::NOTDIR,
        OpError::IsDirectory => Errno::ISDIR,
        OpError::NotEmpty => Errno::NOTEMPTY,
        OpError::Invalid => Errno::INVAL,
        OpError::DirectoryLink => Errno::PERM,
        OpError::TooManyLinks => Errno::MLINK,
        OpError::FileTooLarge => Errno::FBIG,
        OpError::NoXattr => Errno::NODATA,
        OpError::XattrsTooLarge => Errno::NOSPC,
        OpError::Object(error) => of_object(error),
    }
}

/// The error number of a failure to read or keep an object. It is logged: the caller sees no
/// more than a number.
pub(super) fn of_object(error: &ObjectError) -> Errno {
    if haste::is_refused() {
        // Nobody hears of it.
        return Errno::AGAIN;
    }
    log::error!("{error}");
    match error {
        ObjectError::Io { source, .. } => of_io(source),
        _ => Errno::IO,
    }
}

/// The error number of a failure of the repository.
pub(super) fn of_repo(error: &RepoError) -> Errno {
    if let RepoError::Op(error) = error {
        return of_op(error);
    }
    if haste::is_refused() {
        return Errno::AGAIN;
    }
    if let RepoError::GivenUp = error {
        return Errno::INTR;
    }
    log::error!("{error}");
    match error {
        RepoError::Revision(_) | RepoError::NoPath { .. } | RepoError::NoTag { .. } => Errno::NOENT,
        RepoError::TagExists { .. } => Errno::EXIST,
        RepoError::NothingToUndo => Errno::NODATA,
        RepoError::MessageTooLong { .. } => Errno::MSGSIZE,
        RepoError::Collecting => Errno::BUSY,
        RepoError::GcRequest(_)
        | RepoError::Config(_)
        | RepoError::TagName(_)
        | RepoError::TagRequest => Errno::INVAL,
        RepoError::Thread(_) => Errno::AGAIN,
        RepoError::Store(StoreError::ReadOnly { .. }) => Errno::ROFS,
        error => error.io().map_or(Errno::IO, of_io),
    }
}

fn of_io(error: &std::io::Error) -> Errno {
    match Errno::from_io_error(error) {
        Some(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::ROFS)) => errno,
        _ => Errno::IO,
    }
}

/// The number that the kernel has for a live inode.
pub(super) fn live(ino: u64) -> Ino {
    Ino(ino)
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::of_repo;
    use crate::repo::RepoError;

    #[test]
    fn a_collection_that_goes_on_is_told_from_a_failure_of_the_disk() {
        assert_eq!(of_repo(&RepoError::Collecting), Errno::BUSY);
    }
}
