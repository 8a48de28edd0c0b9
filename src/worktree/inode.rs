//! Live inodes.

use std::sync::Arc;

use smallvec::SmallVec;

use super::file::File;
use super::ignored::SHADOWS;
use super::tree::{Directory, Tree};
use crate::format::entry::{decode_xattrs, encode_xattrs, xattrs_fit_inline};
use crate::model::{
    BirthTime, Entry, EntryBody, EntryXattrs, FileKind, Ino, MaybeTime, Meta, Name, ObjectError,
    ObjectSource, Timestamp, Writer, Xattrs,
};

/// The names of an inode, each with the directory that it is in.
pub type Names = SmallVec<[(Ino, Name); 1]>;

/// A live file of any kind. Versions of it are shared between versions of the tree.
#[derive(Clone, Debug)]
pub struct Inode {
    /// Its number.
    pub ino: Ino,
    /// The attributes that a commit keeps.
    pub meta: Meta,
    /// When it last changed.
    pub ctime: Timestamp,
    /// When it was made.
    pub born: BirthTime,
    /// When it was last read, as somebody has said. Until then that equals the time of
    /// modification.
    pub atime: MaybeTime,
    /// Its extended attributes.
    pub xattrs: Xattrs,
    /// Its names: one, but for files with hard links, for the top directory, and for a file that
    /// is open and has been removed. One that never had a name has a place; see
    /// `worktree::nameless`.
    pub names: Names,
    /// What depends on its kind.
    pub body: Body,
    /// Who changed it last, since it was last hashed, if that is known. What was hashed may have
    /// forgotten it.
    pub writer: Option<Arc<Writer>>,
    /// The epoch in which it was last marked dirty, 0 if it never was.
    pub(super) epoch: u64,
    /// Whether its entry, in the one directory that it is in, tells all of it though it is dirty.
    pub(super) settled: bool,
}

/// What depends on the kind of an inode.
#[derive(Clone, Debug)]
pub enum Body {
    /// The content of a regular file.
    File(File),
    /// The entries of a directory.
    Directory(Tree<Directory>),
    /// The target of a symbolic link.
    Symlink(Arc<[u8]>),
    /// A fifo, socket or device.
    Special,
}

impl Inode {
    /// Makes an inode of what a committed entry tells, as if it were made when it last changed.
    /// Reads extended attributes that have an object of their own.
    pub(super) fn from_entry(
        entry: Entry,
        ino: Ino,
        ctime: Timestamp,
        names: Names,
        body_of_directory: impl FnOnce(Option<crate::model::NodeId>) -> Tree<Directory>,
        src: &dyn ObjectSource,
    ) -> Result<Self, ObjectError> {
        let xattrs = load_xattrs(entry.xattrs, src)?;
        let body = match entry.body {
            EntryBody::File { size, content } => Body::File(File::stored(size, content)),
            EntryBody::Directory(node) => Body::Directory(body_of_directory(node)),
            EntryBody::Symlink(target) => Body::Symlink(target.into()),
            EntryBody::Special => Body::Special,
        };
        Ok(Self {
            ino,
            meta: entry.meta,
            ctime,
            born: ctime.into(),
            atime: MaybeTime::NONE,
            xattrs,
            names,
            body,
            writer: None,
            epoch: 0,
            settled: false,
        })
    }

    /// Notes who changes it. If nobody knows, it stays with the last one who is known: that is so
    /// for what the kernel writes back of a mapping, mostly soon after others wrote the file.
    pub(super) fn note_writer(&mut self, writer: Option<&Arc<Writer>>) {
        if let Some(writer) = writer
            && !self.writer.as_ref().is_some_and(|known| Arc::ptr_eq(known, writer))
        {
            self.writer = Some(Arc::clone(writer));
        }
    }

    /// The size that `stat` tells.
    pub fn size(&self) -> u64 {
        match &self.body {
            Body::File(file) => file.size(),
            Body::Symlink(target) => target.len() as u64,
            Body::Directory(_) => 4096,
            Body::Special => 0,
        }
    }

    /// Bytes that take storage, as `st_blocks` tells them.
    pub fn allocated_bytes(&self, src: &dyn ObjectSource) -> Result<u64, ObjectError> {
        match &self.body {
            Body::File(file) => file.allocated_bytes(src),
            Body::Directory(_) => Ok(4096),
            _ => Ok(0),
        }
    }

    /// The number of links that `stat` tells; a directory has one for each subdirectory, and two.
    pub fn nlink(&self, src: &dyn ObjectSource) -> Result<u32, ObjectError> {
        let links = match &self.body {
            Body::Directory(_) if self.names.is_empty() && self.ino != Ino::ROOT => 0,
            Body::Directory(tree) => tree.weight(src)?.saturating_add(2),
            _ if self.is_nameless() => 0,
            _ => self.names.len() as u64,
        };
        Ok(u32::try_from(links).unwrap_or(u32::MAX))
    }

    /// The entries, if it is a directory.
    pub fn directory(&self) -> Option<&Tree<Directory>> {
        match &self.body {
            Body::Directory(tree) => Some(tree),
            _ => None,
        }
    }

    /// The content, if it is a regular file.
    pub fn file(&self) -> Option<&File> {
        match &self.body {
            Body::File(file) => Some(file),
            _ => None,
        }
    }

    /// Tells whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.meta.kind == FileKind::Directory
    }

    /// Tells whether it is in one of the trees: a directory of which this is not so has been
    /// removed.
    pub(super) fn is_in_tree(&self) -> bool {
        !self.names.is_empty() || matches!(self.ino, Ino::ROOT | SHADOWS)
    }

    /// Bytes that are in memory only.
    pub(super) fn dirty_bytes(&self) -> u64 {
        self.file().map_or(0, File::dirty_bytes)
    }

    /// Tells whether the store has all that its entry, once hashed, refers to.
    pub(super) fn can_be_loaded(&self) -> bool {
        // An object of extended attributes is stored later than its entry is hashed, and nobody
        // says when. Of an inode that came from the store and did not change, it is there.
        let has_own_object = || !xattrs_fit_inline(encode_xattrs(&self.xattrs).len());
        self.file().is_none_or(File::can_be_loaded)
            && (self.epoch == 0 || self.xattrs.is_empty() || !has_own_object())
    }

    /// Extended attributes as an entry has them, and the bytes of their own object if they need
    /// one.
    pub(super) fn entry_xattrs(&self) -> (EntryXattrs, Option<Vec<u8>>) {
        if self.xattrs.is_empty() {
            return (EntryXattrs::Inline(Xattrs::default()), None);
        }
        let bytes = encode_xattrs(&self.xattrs);
        if xattrs_fit_inline(bytes.len()) {
            return (EntryXattrs::Inline(self.xattrs.clone()), None);
        }
        let id = crate::model::ObjectId::from_bytes(crate::hash::hash(&bytes));
        (EntryXattrs::Stored(crate::model::XattrsId::new(id)), Some(bytes))
    }
}

/// Reads the extended attributes of an entry.
pub fn load_xattrs(xattrs: EntryXattrs, src: &dyn ObjectSource) -> Result<Xattrs, ObjectError> {
    match xattrs {
        EntryXattrs::Inline(set) => Ok(set),
        EntryXattrs::Stored(id) => {
            let bytes = src.get(id.object())?;
            decode_xattrs(&bytes).map_err(|e| super::tree::damaged(id.object(), e))
        }
    }
}
