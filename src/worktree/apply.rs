//! Applying operations.
//!
//! An operation is checked and everything it needs is read before anything is changed, so that
//! one that fails leaves the tree as it was. Permissions are not checked here: the kernel does.

use std::sync::Arc;

use super::file::File;
use super::inode::{Body, Inode, Names};
use super::state::{Worktree, revert};
use super::tree::{Directory, Tree};
use crate::base::limits::{
    FILE_BYTES_MAX, INO_MAX, LINKS_MAX, SYMLINK_BYTES_MAX, XATTR_NAME_BYTES_MAX,
    XATTR_VALUE_BYTES_MAX, XATTRS_BYTES_MAX,
};
use crate::format::entry::encode_xattrs;
use crate::format::worktree::SideRecord;
use crate::model::{
    Entry, FileKind, Ino, MaybeTime, Meta, Name, NewNode, ObjectError, ObjectSource, Op, SetAttr,
    Timestamp, Xattrs,
};

/// Why an operation cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum OpError {
    /// There is no such inode or entry.
    #[error("no such file or directory")]
    NotFound,
    /// There is such an entry already.
    #[error("the file exists")]
    Exists,
    /// It is no directory.
    #[error("not a directory")]
    NotDirectory,
    /// It is a directory.
    #[error("is a directory")]
    IsDirectory,
    /// The directory has entries.
    #[error("the directory is not empty")]
    NotEmpty,
    /// What was asked for makes no sense, like moving a directory into itself.
    #[error("invalid argument")]
    Invalid,
    /// Directories cannot have hard links.
    #[error("a directory cannot have a second name")]
    DirectoryLink,
    /// The file has as many names as it can have.
    #[error("too many links")]
    TooManyLinks,
    /// The file would become larger than a file can be.
    #[error("the file is too large")]
    FileTooLarge,
    /// There is no such extended attribute.
    #[error("no such extended attribute")]
    NoXattr,
    /// The extended attributes would become larger than they can be.
    #[error("the extended attributes are too large")]
    XattrsTooLarge,
    /// The store failed, or what is needed is not in memory.
    #[error(transparent)]
    Object(#[from] ObjectError),
}

const SETUID: u16 = 0o4000;
const SETGID: u16 = 0o2000;
const GROUP_EXEC: u16 = 0o0010;
const CAPABILITY: &[u8] = b"security.capability";

impl Worktree {
    /// Applies an operation. It depends on nothing but the tree and the operation.
    ///
    /// On failure the tree is as it was. [`ObjectError::NotLoaded`] asks the caller to bring an
    /// object into memory and to try again.
    pub fn apply(&mut self, op: &Op, src: &dyn ObjectSource) -> Result<(), OpError> {
        match op {
            Op::Create { parent, name, ino, node, time } => {
                self.create(*parent, name, new_inode(*ino, node, *time)?, *time, src)
            }
            Op::CreateNameless { ino, node, time } => self.create_nameless(*ino, node, *time, src),
            Op::Adopt { parent, name, ino, entry, time } => {
                let inode = adopted(*ino, entry, *time, src)?;
                self.create(*parent, name, inode, *time, src)
            }
            Op::Link { ino, parent, name, time } => self.link(*ino, *parent, name, *time, src),
            Op::Unlink { parent, name, time } => self.remove(*parent, name, *time, false, src),
            Op::Rmdir { parent, name, time } => self.remove(*parent, name, *time, true, src),
            Op::Rename { parent, name, new_parent, new_name, mode, time } => {
                self.rename((*parent, name), (*new_parent, new_name), *mode, *time, src)
            }
            Op::Write { ino, offset, data, kill_priv, time } => {
                let end = offset.checked_add(data.len() as u64);
                if end.is_none_or(|end| end > FILE_BYTES_MAX) {
                    return Err(OpError::FileTooLarge);
                }
                self.edit_file(*ino, *time, *kill_priv, |file| file.write(*offset, data))
            }
            Op::Truncate { ino, size, kill_priv, time } => {
                if *size > FILE_BYTES_MAX {
                    return Err(OpError::FileTooLarge);
                }
                self.edit_file(*ino, *time, *kill_priv, |file| file.truncate(*size))
            }
            Op::Zero { ino, offset, len, extend, kill_priv, time } => {
                let end = offset.checked_add(*len).filter(|end| *end <= FILE_BYTES_MAX);
                let end = end.ok_or(OpError::FileTooLarge)?;
                self.edit_file(*ino, *time, *kill_priv, |file| {
                    if *extend && end > file.size() {
                        file.truncate(end);
                    }
                    file.zero(*offset..end);
                })
            }
            Op::SetAttr { ino, set, time } => self.set_attr(*ino, set, *time),
            Op::SetXattr { ino, name, value, time } => self.set_xattr(*ino, name, value, *time),
            Op::RemoveXattr { ino, name, time } => {
                let there = self.get(*ino)?.xattrs.find(name).is_some();
                if !there {
                    return Err(OpError::NoXattr);
                }
                let inode = self.edit(*ino);
                inode.xattrs.remove(name);
                inode.ctime = *time;
                Ok(())
            }
            Op::Revert { ino, entry, time } => {
                let mut next = Inode::clone(self.get(*ino)?);
                if next.meta.kind != entry.meta.kind {
                    return Err(OpError::Invalid);
                }
                revert(&mut next, entry, src)?;
                self.dirty_bytes -= self.get(*ino)?.dirty_bytes();
                let inode = self.edit(*ino);
                let (epoch, writer) = (inode.epoch, inode.writer.take());
                *inode = Inode { epoch, writer, settled: false, ctime: *time, ..next };
                self.set_shadow_mtime(*ino, entry.meta.mtime);
                self.note_content(*ino);
                Ok(())
            }
            Op::DropOrphan { ino } => self.drop_orphan(*ino, src),
        }
    }

    pub(super) fn get(&self, ino: Ino) -> Result<&Arc<Inode>, OpError> {
        self.find(ino).ok_or(OpError::NotFound)
    }

    pub(super) fn get_directory(&self, ino: Ino) -> Result<&Tree<Directory>, OpError> {
        self.get(ino)?.directory().ok_or(OpError::NotDirectory)
    }

    /// The inode for a change; it is marked dirty. It must be in the table.
    pub(super) fn edit(&mut self, ino: Ino) -> &mut Inode {
        self.mark(ino);
        let inode = self.inodes.get_mut(ino).expect("an inode is looked up before it is edited");
        let inode = Arc::make_mut(inode);
        inode.note_writer(self.writer.as_ref());
        inode
    }

    /// The same for a change of the entries of a directory, which is told of by these.
    pub(super) fn edit_beside_writer(&mut self, ino: Ino) -> &mut Inode {
        self.mark(ino);
        let inode = self.inodes.get_mut(ino).expect("an inode is looked up before it is edited");
        Arc::make_mut(inode)
    }

    /// Sets the times of a directory whose entries changed.
    pub(super) fn touch(&mut self, directory: Ino, time: Timestamp) {
        let inode = self.edit_beside_writer(directory);
        inode.meta.mtime = time;
        inode.ctime = time;
    }

    /// Edits the entries of a directory in place; a failure leaves all as it was. Its times become
    /// this one if there is one.
    pub(super) fn edit_entries<T>(
        &mut self,
        directory: Ino,
        time: Option<Timestamp>,
        edit: impl FnOnce(&mut Tree<Directory>) -> Result<T, ObjectError>,
    ) -> Result<T, ObjectError> {
        let inode = self.inodes.get_mut(directory).map(Arc::make_mut);
        let Some(Body::Directory(tree)) = inode.map(|inode| &mut inode.body) else {
            unreachable!("the caller has looked that it is a directory");
        };
        let result = edit(tree)?;
        let inode = self.edit_beside_writer(directory);
        if let Some(time) = time {
            inode.meta.mtime = time;
            inode.ctime = time;
        }
        Ok(result)
    }

    fn create(
        &mut self,
        parent: Ino,
        name: &Name,
        mut inode: Inode,
        time: Timestamp,
        src: &dyn ObjectSource,
    ) -> Result<(), OpError> {
        let directory = self.get(parent)?;
        if !directory.is_directory() {
            return Err(OpError::NotDirectory);
        }
        if directory.names.is_empty() && parent != Ino::ROOT {
            // The directory has been removed.
            return Err(OpError::NotFound);
        }
        if self.lookup(parent, name, src)?.is_some() {
            return Err(OpError::Exists);
        }
        let ino = inode.ino;
        if !(Ino::ROOT.0 + 1..INO_MAX).contains(&ino.0) || self.inodes.contains(ino) {
            return Err(OpError::Invalid);
        }
        let (value, side) = placeholder(inode.meta.kind, ino);
        let home = self.home(parent, name, inode.is_directory(), src)?;
        self.edit_entries(home, Some(time), |tree| {
            tree.insert(name.as_bytes(), &value, side, src)
        })?;
        self.note_entry(parent, name, true);
        inode.names = Names::from_iter([(home, name.clone())]);
        inode.note_writer(self.writer.as_ref());
        if inode.is_directory() {
            self.note_moved(ino);
        }
        self.inodes.insert(ino, Arc::new(inode));
        self.mark(ino);
        self.next_ino = self.next_ino.max(ino.0 + 1);
        Ok(())
    }

    fn link(
        &mut self,
        ino: Ino,
        parent: Ino,
        name: &Name,
        time: Timestamp,
        src: &dyn ObjectSource,
    ) -> Result<(), OpError> {
        let inode = self.get(ino)?;
        let kind = inode.meta.kind;
        if kind == FileKind::Directory {
            return Err(OpError::DirectoryLink);
        }
        if inode.names.is_empty() {
            return Err(OpError::NotFound);
        }
        if inode.names.len() >= LINKS_MAX {
            return Err(OpError::TooManyLinks);
        }
        let directory = self.get(parent)?;
        if !directory.is_directory() {
            return Err(OpError::NotDirectory);
        }
        if directory.names.is_empty() && parent != Ino::ROOT {
            return Err(OpError::NotFound);
        }
        if self.lookup(parent, name, src)?.is_some() {
            return Err(OpError::Exists);
        }
        let others = inode.is_nameless().then(|| self.nameless_without(ino, src)).transpose()?;
        let (value, side) = placeholder(kind, ino);
        let home = self.home(parent, name, false, src)?;
        self.edit_entries(home, Some(time), |tree| {
            tree.insert(name.as_bytes(), &value, side, src)
        })?;
        self.note_entry(parent, name, true);
        let inode = self.edit(ino);
        inode.ctime = time;
        if others.is_some() {
            inode.names.clear();
        }
        inode.names.push((home, name.clone()));
        match others {
            Some(others) => self.set_nameless(others, src),
            None => self.note_moved(ino),
        }
        self.relist(ino);
        Ok(())
    }

    fn remove(
        &mut self,
        parent: Ino,
        name: &Name,
        time: Timestamp,
        directory: bool,
        src: &dyn ObjectSource,
    ) -> Result<(), OpError> {
        self.get_directory(parent)?;
        let found = self.lookup(parent, name, src)?.ok_or(OpError::NotFound)?;
        self.load(parent, name, &found, src)?;
        let inode = self.get(found.ino)?;
        match (&inode.body, directory) {
            (Body::Directory(_), false) => return Err(OpError::IsDirectory),
            (Body::Directory(_), true) if !self.has_no_entry(inode) => {
                return Err(OpError::NotEmpty);
            }
            (Body::Directory(_), true) | (_, false) => {}
            (_, true) => return Err(OpError::NotDirectory),
        }
        let home = self.home(parent, name, directory, src)?;
        // If anything fails after it, the directory has no shadow, which would be empty anyway.
        self.drop_shadow(found.ino, src)?;
        let own_time = (home == found.parent).then_some(time);
        self.edit_entries(found.parent, own_time, |tree| tree.remove(name.as_bytes(), src))?;
        if own_time.is_none() {
            self.touch(home, time);
        }
        self.note_entry(parent, name, false);
        self.drop_name(found.ino, found.parent, name, time);
        Ok(())
    }

    /// Takes a name from an inode whose entry was removed.
    pub(super) fn drop_name(&mut self, ino: Ino, parent: Ino, name: &Name, time: Timestamp) {
        let inode = self.edit(ino);
        let several = inode.names.len() > 1;
        inode.names.retain(|(p, n)| !(*p == parent && n == name));
        inode.ctime = time;
        if several || inode.is_directory() {
            self.note_moved(ino);
            self.relist(ino);
        }
    }

    fn drop_orphan(&mut self, ino: Ino, src: &dyn ObjectSource) -> Result<(), OpError> {
        let inode = self.get(ino)?;
        if !inode.is_orphan() {
            return Err(OpError::Invalid);
        }
        if inode.is_nameless() {
            let others = self.nameless_without(ino, src)?;
            self.set_nameless(others, src);
        }
        self.forget_file(ino);
        Ok(())
    }

    fn edit_file(
        &mut self,
        ino: Ino,
        time: Timestamp,
        kill_priv: bool,
        edit: impl FnOnce(&mut File),
    ) -> Result<(), OpError> {
        match &self.get(ino)?.body {
            Body::File(_) => {}
            Body::Directory(_) => return Err(OpError::IsDirectory),
            _ => return Err(OpError::Invalid),
        }
        let inode = self.edit(ino);
        inode.meta.mtime = time;
        inode.ctime = time;
        if kill_priv {
            clear_privileges(inode);
        }
        let Body::File(file) = &mut inode.body else { unreachable!("it is a file") };
        let before = file.dirty_bytes();
        edit(file);
        let after = file.dirty_bytes();
        self.dirty_bytes = self.dirty_bytes + after - before;
        self.note_content(ino);
        Ok(())
    }

    fn set_attr(&mut self, ino: Ino, set: &SetAttr, time: Timestamp) -> Result<(), OpError> {
        self.get(ino)?;
        let inode = self.edit(ino);
        let meta = &mut inode.meta;
        // What equals the time of modification does not follow one that is set.
        let kept = set.mtime.and(Some(meta.mtime));
        inode.atime = set.atime.or(inode.atime.get()).or(kept).into();
        meta.perm = set.perm.map_or(meta.perm, |perm| perm & 0o7777);
        meta.uid = set.uid.unwrap_or(meta.uid);
        meta.gid = set.gid.unwrap_or(meta.gid);
        meta.mtime = set.mtime.unwrap_or(meta.mtime);
        inode.ctime = time;
        if let Some(mtime) = set.mtime {
            self.set_shadow_mtime(ino, mtime);
        }
        Ok(())
    }

    fn set_xattr(
        &mut self,
        ino: Ino,
        name: &[u8],
        value: &[u8],
        time: Timestamp,
    ) -> Result<(), OpError> {
        if name.is_empty() || name.len() > XATTR_NAME_BYTES_MAX {
            return Err(OpError::Invalid);
        }
        let mut xattrs = self.get(ino)?.xattrs.clone();
        xattrs.insert(name, value);
        if value.len() > XATTR_VALUE_BYTES_MAX || encode_xattrs(&xattrs).len() > XATTRS_BYTES_MAX {
            return Err(OpError::XattrsTooLarge);
        }
        let inode = self.edit(ino);
        inode.xattrs = xattrs;
        inode.ctime = time;
        Ok(())
    }
}

/// Clears what gives a program more rights than its caller, as a write does.
fn clear_privileges(inode: &mut Inode) {
    inode.meta.perm &= !SETUID;
    // Without execution for the group, setgid is a lock mode and no privilege.
    if inode.meta.perm & GROUP_EXEC != 0 {
        inode.meta.perm &= !SETGID;
    }
    if inode.xattrs.find(CAPABILITY).is_some() {
        inode.xattrs.remove(CAPABILITY);
    }
}

/// What a directory's tree has of an entry until a commit writes the whole of it.
pub(super) fn placeholder(kind: FileKind, ino: Ino) -> ([u8; 1], SideRecord) {
    // What has links below it is found by it meanwhile, so it must not hide any.
    let links = u32::from(kind == FileKind::Directory);
    ([kind as u8], SideRecord { ino: ino.0, links, ..SideRecord::default() })
}

pub(super) fn new_inode(ino: Ino, node: &NewNode, time: Timestamp) -> Result<Inode, OpError> {
    let &NewNode { kind, perm, uid, gid, rdev, ref target } = node;
    let body = match kind {
        FileKind::Regular => Body::File(File::empty()),
        FileKind::Directory => Body::Directory(Tree::new()),
        FileKind::Symlink if target.is_empty() || target.len() > SYMLINK_BYTES_MAX => {
            return Err(OpError::Invalid);
        }
        FileKind::Symlink => Body::Symlink(target.clone().into()),
        _ => Body::Special,
    };
    Ok(Inode {
        ino,
        meta: Meta { kind, perm: perm & 0o7777, uid, gid, rdev, mtime: time },
        ctime: time,
        born: time.into(),
        atime: MaybeTime::NONE,
        xattrs: Xattrs::default(),
        names: Names::new(),
        body,
        writer: None,
        epoch: 0,
        settled: false,
    })
}

fn adopted(
    ino: Ino,
    entry: &Entry,
    time: Timestamp,
    src: &dyn ObjectSource,
) -> Result<Inode, OpError> {
    let empty = |_| Tree::new();
    Ok(Inode::from_entry(entry.clone(), ino, time, Names::new(), empty, src)?)
}
