//! What the filesystem holds.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::{SystemTime, UNIX_EPOCH};

use fuser::{Errno, FileAttr, FileType, INodeNo};

pub(crate) type Answer<T> = Result<T, Errno>;

const ROOT: u64 = 1;

/// The name of an extended attribute and its value.
type Xattr = (Box<[u8]>, Box<[u8]>);

pub(crate) struct Node {
    pub(crate) attr: FileAttr,
    pub(crate) body: Body,
    pub(crate) xattrs: Vec<Xattr>,
    /// References of the kernel.
    held: u64,
}

pub(crate) enum Body {
    File(Vec<u8>),
    Directory(Entries),
    Symlink(Box<[u8]>),
    Special,
}

/// A name and the number of an inode.
type Row = (Box<[u8]>, u64);

/// The entries of a directory. Each stays in its place, so that listing can go on after a change.
#[derive(Default)]
pub(crate) struct Entries {
    rows: Vec<Option<Row>>,
    index: HashMap<Box<[u8]>, usize>,
    pub(crate) parent: u64,
}

impl Entries {
    pub(crate) fn new(parent: u64) -> Self {
        Self { parent, ..Self::default() }
    }

    pub(crate) fn find(&self, name: &OsStr) -> Option<u64> {
        let at = *self.index.get(name.as_bytes())?;
        self.rows[at].as_ref().map(|(_, ino)| *ino)
    }

    /// Puts an entry, and returns the one that it takes the place of.
    fn put(&mut self, name: &OsStr, ino: u64) -> Option<u64> {
        if let Some(at) = self.index.get(name.as_bytes()) {
            let row = self.rows[*at].as_mut()?;
            return Some(std::mem::replace(&mut row.1, ino));
        }
        let name: Box<[u8]> = name.as_bytes().into();
        self.index.insert(name.clone(), self.rows.len());
        self.rows.push(Some((name, ino)));
        None
    }

    fn take(&mut self, name: &OsStr) -> Option<u64> {
        let at = self.index.remove(name.as_bytes())?;
        let taken = self.rows[at].take();
        if self.index.is_empty() {
            self.rows.clear();
        }
        taken.map(|(_, ino)| ino)
    }

    /// The entries from a place on, each with the place of the next.
    pub(crate) fn from(&self, at: usize) -> impl Iterator<Item = (&[u8], u64, usize)> {
        let rows = self.rows.iter().enumerate().skip(at);
        rows.filter_map(|(at, row)| row.as_ref().map(|(name, ino)| (&**name, *ino, at + 1)))
    }
}

/// Inodes by number. The numbers of what is gone are not given again.
pub(crate) struct Tree {
    nodes: Vec<Option<Box<Node>>>,
}

/// What a new file is to be.
pub(crate) struct New {
    pub(crate) body: Body,
    pub(crate) kind: FileType,
    pub(crate) perm: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) rdev: u32,
}

impl Tree {
    pub(crate) fn new(uid: u32, gid: u32) -> Self {
        let mut tree = Self { nodes: vec![None] };
        let body = Body::Directory(Entries::new(ROOT));
        let kind = FileType::Directory;
        tree.add(New { body, kind, perm: 0o755, owner: (uid, gid), rdev: 0 });
        tree
    }

    fn add(&mut self, new: New) -> u64 {
        let New { body, kind, perm, owner: (uid, gid), rdev } = new;
        let (ino, time) = (self.nodes.len() as u64, SystemTime::now());
        let attr = FileAttr {
            ino: INodeNo(ino),
            size: 0,
            blocks: 0,
            atime: time,
            mtime: time,
            ctime: time,
            crtime: UNIX_EPOCH,
            kind,
            perm: (perm & 0o7777) as u16,
            nlink: if kind == FileType::Directory { 2 } else { 1 },
            uid,
            gid,
            rdev,
            blksize: 4096,
            flags: 0,
        };
        self.nodes.push(Some(Box::new(Node { attr, body, xattrs: Vec::new(), held: 0 })));
        ino
    }

    pub(crate) fn get(&self, ino: u64) -> Answer<&Node> {
        self.nodes.get(ino as usize).and_then(Option::as_deref).ok_or(Errno::ESTALE)
    }

    pub(crate) fn get_mut(&mut self, ino: u64) -> Answer<&mut Node> {
        self.nodes.get_mut(ino as usize).and_then(Option::as_deref_mut).ok_or(Errno::ESTALE)
    }

    pub(crate) fn entries(&self, ino: u64) -> Answer<&Entries> {
        match &self.get(ino)?.body {
            Body::Directory(entries) => Ok(entries),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// The entries of a directory that is about to be changed.
    fn entries_mut(&mut self, ino: u64) -> Answer<&mut Entries> {
        let node = self.get_mut(ino)?;
        node.attr.mtime = SystemTime::now();
        node.attr.ctime = node.attr.mtime;
        match &mut node.body {
            Body::Directory(entries) => Ok(entries),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// The attributes of an inode, which the kernel holds from then on.
    pub(crate) fn hold(&mut self, ino: u64) -> Answer<FileAttr> {
        let node = self.get_mut(ino)?;
        node.held += 1;
        Ok(node.attr)
    }

    pub(crate) fn forget(&mut self, ino: u64, count: u64) {
        if let Ok(node) = self.get_mut(ino) {
            node.held = node.held.saturating_sub(count);
        }
        self.drop_if_gone(ino);
    }

    fn drop_if_gone(&mut self, ino: u64) {
        if self.get(ino).is_ok_and(|node| node.held == 0 && node.attr.nlink == 0) {
            self.nodes[ino as usize] = None;
        }
    }

    pub(crate) fn lookup(&mut self, parent: u64, name: &OsStr) -> Answer<Option<FileAttr>> {
        match self.entries(parent)?.find(name) {
            Some(ino) => self.hold(ino).map(Some),
            None => Ok(None),
        }
    }

    pub(crate) fn create(&mut self, parent: u64, name: &OsStr, new: New) -> Answer<FileAttr> {
        if self.entries(parent)?.find(name).is_some() {
            return Err(Errno::EEXIST);
        }
        let directory = new.kind == FileType::Directory;
        let ino = self.add(new);
        self.entries_mut(parent)?.put(name, ino);
        if directory {
            self.get_mut(parent)?.attr.nlink += 1;
        }
        self.hold(ino)
    }

    pub(crate) fn link(&mut self, ino: u64, parent: u64, name: &OsStr) -> Answer<FileAttr> {
        if self.entries(parent)?.find(name).is_some() {
            return Err(Errno::EEXIST);
        }
        let node = self.get_mut(ino)?;
        node.attr.nlink += 1;
        node.attr.ctime = SystemTime::now();
        self.entries_mut(parent)?.put(name, ino);
        self.hold(ino)
    }

    pub(crate) fn remove(&mut self, parent: u64, name: &OsStr) -> Answer<()> {
        let ino = self.entries(parent)?.find(name).ok_or(Errno::ENOENT)?;
        if self.entries(ino).is_ok_and(|entries| !entries.index.is_empty()) {
            return Err(Errno::ENOTEMPTY);
        }
        self.entries_mut(parent)?.take(name);
        self.unlinked(ino, parent)
    }

    fn unlinked(&mut self, ino: u64, parent: u64) -> Answer<()> {
        let node = self.get_mut(ino)?;
        node.attr.ctime = SystemTime::now();
        match node.attr.kind {
            FileType::Directory => {
                node.attr.nlink = 0;
                self.get_mut(parent)?.attr.nlink -= 1;
            }
            _ => node.attr.nlink -= 1,
        }
        self.drop_if_gone(ino);
        Ok(())
    }

    pub(crate) fn rename(&mut self, from: (u64, &OsStr), to: (u64, &OsStr)) -> Answer<()> {
        let ino = self.entries(from.0)?.find(from.1).ok_or(Errno::ENOENT)?;
        self.entries_mut(from.0)?.take(from.1);
        if let Some(replaced) = self.entries_mut(to.0)?.put(to.1, ino) {
            self.unlinked(replaced, to.0)?;
        }
        let node = self.get_mut(ino)?;
        node.attr.ctime = SystemTime::now();
        if let Body::Directory(entries) = &mut node.body {
            entries.parent = to.0;
            self.get_mut(from.0)?.attr.nlink -= 1;
            self.get_mut(to.0)?.attr.nlink += 1;
        }
        Ok(())
    }

    pub(crate) fn resize(&mut self, ino: u64, size: u64) -> Answer<()> {
        let Node { attr, body: Body::File(data), .. } = self.get_mut(ino)? else {
            return Err(Errno::EISDIR);
        };
        data.resize(usize::try_from(size).map_err(|_| Errno::EFBIG)?, 0);
        resized(attr, size);
        Ok(())
    }

    pub(crate) fn write(&mut self, ino: u64, offset: u64, bytes: &[u8]) -> Answer<()> {
        let Node { attr, body: Body::File(data), .. } = self.get_mut(ino)? else {
            return Err(Errno::EISDIR);
        };
        let offset = usize::try_from(offset).map_err(|_| Errno::EFBIG)?;
        let end = offset + bytes.len();
        if offset == data.len() {
            data.extend_from_slice(bytes);
        } else {
            data.resize(data.len().max(end), 0);
            data[offset..end].copy_from_slice(bytes);
        }
        let size = data.len() as u64;
        resized(attr, size);
        Ok(())
    }
}

fn resized(attr: &mut FileAttr, size: u64) {
    attr.size = size;
    attr.blocks = size.div_ceil(512);
    attr.mtime = SystemTime::now();
    attr.ctime = attr.mtime;
}
