//! Makes the files of an import in a store that is not mounted: as operations on its tree.

use std::sync::Arc;

use parking_lot::Mutex;

use super::source::{Attributes, Copyist};
use super::target::{Failure, Losses, Target, lost_xattr};
use crate::model::{FileKind, Ino, Name, NewNode, Op, SetAttr, Timestamp};
use crate::repo::{Edit, Repo, RepoError};
use crate::vfs::acl::{ACCESS_XATTR, Acl, DEFAULT_XATTR};
use crate::worktree::OpError;

/// So many files are made before they are brought into the store and forgotten, so that memory does
/// not grow with the tree.
const FILES_HELD_MAX: usize = 64 * 1024;
/// The mode of a directory until all is in it.
const PRIVATE: u16 = 0o700;
/// Names that are stored nowhere.
const VIRTUAL_XATTRS: &[u8] = b"user.vst.";

/// A directory in a store.
pub(super) struct Stored<'a> {
    repo: &'a Repo,
    top: Ino,
    copyist: Copyist,
    merge: bool,
    /// Files that were made and are in memory.
    held: Mutex<Vec<Ino>>,
}

impl<'a> Stored<'a> {
    /// Makes files below `top`.
    pub(super) fn new(repo: &'a Repo, top: Ino, copyist: Copyist, merge: bool) -> Self {
        Self { repo, top, copyist, merge, held: Mutex::default() }
    }

    /// Makes way for a file that replaces another one.
    fn make_way(&self, parent: Ino, name: &Name) -> Result<(), Failure> {
        if !self.merge {
            return Ok(());
        }
        let removed = self.repo.update(|edit| {
            let Some(found) = edit.lookup(parent, name)? else { return Ok(None) };
            edit.load(parent, name, &found)?;
            let is_directory = edit.find(found.ino).is_some_and(|inode| inode.is_directory());
            if is_directory {
                return Err(OpError::IsDirectory);
            }
            edit.apply(&Op::Unlink { parent, name: name.clone(), time: Timestamp::now() })?;
            let gone = edit.find(found.ino).is_some_and(|inode| inode.names.is_empty());
            Ok(gone.then_some(found.ino))
        })?;
        if let Some(ino) = removed {
            self.repo.apply(&Op::DropOrphan { ino })?;
        }
        Ok(())
    }

    /// Makes a file that is no directory, with all that is known of it.
    fn make(
        &self,
        parent: Ino,
        name: &Name,
        attributes: &Attributes,
        target: &[u8],
        data: &[u8],
    ) -> Result<(Ino, Losses), Failure> {
        self.make_way(parent, name)?;
        self.repo.relieve()?;
        let data: Arc<[u8]> = data.into();
        let time = Timestamp::now();
        let made = self.repo.update(|edit| {
            let ino = edit.allocate_ino();
            let node = new_node(attributes, target);
            edit.apply(&Op::Create { parent, name: name.clone(), ino, node, time })?;
            if !data.is_empty() {
                let data = Arc::clone(&data);
                edit.apply(&Op::Write { ino, offset: 0, data, kill_priv: false, time })?;
            }
            Ok((ino, set(edit, ino, attributes, time)?))
        })?;
        if !attributes.linked {
            self.hold(made.0)?;
        }
        Ok(made)
    }

    /// Notes a file that is complete. Other threads go on while those that are held are stored.
    fn hold(&self, ino: Ino) -> Result<(), Failure> {
        let full = {
            let mut held = self.held.lock();
            held.push(ino);
            (held.len() >= FILES_HELD_MAX).then(|| std::mem::take(&mut *held))
        };
        if let Some(full) = full {
            self.repo.checkpoint()?;
            self.repo.update(|edit| {
                full.iter().for_each(|ino| edit.evict(*ino));
                Ok(())
            })?;
        }
        Ok(())
    }
}

fn new_node(attributes: &Attributes, target: &[u8]) -> NewNode {
    let Attributes { kind, perm, uid, gid, rdev, .. } = *attributes;
    let (perm, is_device) = (perm, matches!(kind, FileKind::CharDevice | FileKind::BlockDevice));
    // In the form in which the kernel gives it to a filesystem.
    let (major, minor) = (rustix::fs::major(rdev), rustix::fs::minor(rdev));
    let rdev = (minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xfff00) << 12;
    let rdev = if is_device { rdev } else { 0 };
    NewNode { kind, perm, uid, gid, rdev, target: target.into() }
}

/// Sets extended attributes and the time of a file that is in memory.
fn set(
    edit: &mut Edit<'_>,
    ino: Ino,
    attributes: &Attributes,
    time: Timestamp,
) -> Result<Losses, OpError> {
    let mut losses = Losses::new();
    for (name, value) in &attributes.xattrs {
        let why = match name.as_slice() {
            ACCESS_XATTR | DEFAULT_XATTR => match Acl::decode(value) {
                // Such a one is what the mode says.
                Ok(acl) if name == ACCESS_XATTR && acl.is_equivalent_to_mode() => continue,
                Ok(_) => None,
                Err(error) => Some(error.to_string()),
            },
            name if name.starts_with(b"system.") || name.starts_with(VIRTUAL_XATTRS) => {
                Some("such a name cannot be stored".to_owned())
            }
            _ => None,
        };
        let why = why.or_else(|| {
            let (name, value) = (name.as_slice().into(), value.as_slice().into());
            let set = edit.apply(&Op::SetXattr { ino, name, value, time });
            set.err().map(|error| error.to_string())
        });
        losses.extend(why.map(|why| lost_xattr(name, &why)));
    }
    let Attributes { perm, uid, gid, mtime, .. } = *attributes;
    let attrs = SetAttr {
        perm: (attributes.kind != FileKind::Symlink).then_some(perm),
        uid: Some(uid),
        gid: Some(gid),
        mtime: Some(mtime),
        atime: None,
    };
    edit.apply(&Op::SetAttr { ino, set: attrs, time })?;
    Ok(losses)
}

impl Target for Stored<'_> {
    type Node = Ino;
    type Open = Ino;

    fn top(&self) -> Ino {
        self.top
    }

    fn directory(&self, parent: &Ino, name: &Name) -> Result<Ino, Failure> {
        let node = self.copyist.directory(PRIVATE);
        Ok(make_directory(self.repo, *parent, name, &node, Timestamp::now())?)
    }

    fn finish_directory(
        &self,
        directory: &Ino,
        attributes: &Attributes,
    ) -> Result<Losses, Failure> {
        let time = Timestamp::now();
        Ok(self.repo.update(|edit| set(edit, *directory, attributes, time))?)
    }

    fn file(
        &self,
        parent: &Ino,
        name: &Name,
        attributes: &Attributes,
        data: &[u8],
    ) -> Result<(Ino, Losses), Failure> {
        self.make(*parent, name, attributes, &[], data)
    }

    fn begin(&self, parent: &Ino, name: &Name, attributes: &Attributes) -> Result<Ino, Failure> {
        // As one with other names, so that it is not forgotten before it is complete.
        let bare = Attributes { xattrs: Vec::new(), linked: true, ..attributes.clone() };
        Ok(self.make(*parent, name, &bare, &[], &[])?.0)
    }

    fn node(&self, open: &Ino) -> Ino {
        *open
    }

    fn write(&self, open: &Ino, offset: u64, data: &[u8]) -> Result<(), Failure> {
        self.repo.relieve()?;
        let (data, time) = (data.into(), Timestamp::now());
        Ok(self.repo.apply(&Op::Write { ino: *open, offset, data, kill_priv: false, time })?)
    }

    fn finish(&self, open: Ino, size: u64, attributes: &Attributes) -> Result<Losses, Failure> {
        let time = Timestamp::now();
        let truncate = Op::Truncate { ino: open, size, kill_priv: false, time };
        self.repo.apply(&truncate)?;
        let losses = self.repo.update(|edit| set(edit, open, attributes, time))?;
        if !attributes.linked {
            self.hold(open)?;
        }
        Ok(losses)
    }

    fn special(
        &self,
        parent: &Ino,
        name: &Name,
        attributes: &Attributes,
        target: &[u8],
    ) -> Result<(Ino, Losses), Failure> {
        let is_device = matches!(attributes.kind, FileKind::CharDevice | FileKind::BlockDevice);
        if is_device && !self.copyist.is_root {
            return Err(Failure::File("only root makes devices".to_owned()));
        }
        self.make(*parent, name, attributes, target, &[])
    }

    fn link(&self, file: &Ino, parent: &Ino, name: &Name) -> Result<(), Failure> {
        self.make_way(*parent, name)?;
        let (parent, name, time) = (*parent, name.clone(), Timestamp::now());
        Ok(self.repo.apply(&Op::Link { ino: *file, parent, name, time })?)
    }
}

/// Makes a directory, or finds it, and brings it into memory.
pub(super) fn make_directory(
    repo: &Repo,
    parent: Ino,
    name: &Name,
    node: &NewNode,
    time: Timestamp,
) -> Result<Ino, RepoError> {
    repo.update(|edit| {
        if let Some(found) = edit.lookup(parent, name)? {
            edit.load(parent, name, &found)?;
            return match edit.find(found.ino).is_some_and(|inode| inode.is_directory()) {
                true => Ok(found.ino),
                false => Err(OpError::NotDirectory),
            };
        }
        let (ino, node) = (edit.allocate_ino(), node.clone());
        edit.apply(&Op::Create { parent, name: name.clone(), ino, node, time })?;
        Ok(ino)
    })
}
