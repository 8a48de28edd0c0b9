//! Extended attributes: those that are stored, the ACLs that the mode must follow, and the
//! virtual names under `user.vst.`, which are stored nowhere and listed nowhere.

use rustix::io::Errno;

use super::acl::{ACCESS_XATTR, Acl, DEFAULT_XATTR};
use super::types::{Answer, live, of_object, of_repo};
use super::{Caller, Vfs};
use crate::base::haste;
use crate::format::node::{HEADER_BYTES, put_header};
use crate::hash::hash;
use crate::model::{Content, Entry, EntryBody, Ino, ObjectId, Op, SetAttr, Timestamp, Xattrs};
use crate::worktree::{Body, OpError, load_xattrs};

const VIRTUAL: &[u8] = b"user.vst.";
const COMMIT: &[u8] = b"user.vst.commit";
const HEAD: &[u8] = b"user.vst.head";
const ID: &[u8] = b"user.vst.id";
const CHANGES_BY: &[u8] = b"user.vst.changes-by";
/// `setxattr`: the name must be new.
const CREATE: i32 = 1;
/// `setxattr`: the name must be there.
const REPLACE: i32 = 2;
/// How often hashes are brought up to date for one who wants an id, while others write.
const ID_TRIES_MAX: usize = 16;
const SETGID: u16 = 0o2000;

impl Vfs {
    pub(super) fn live_getxattr(&self, caller: Caller, ino: u64, name: &[u8]) -> Answer<Vec<u8>> {
        if name == ID {
            // Whoever may read the content may know its id.
            return self.live_id(ino);
        }
        if name.starts_with(VIRTUAL) {
            let is_there = ino == Ino::ROOT.0 && [HEAD, COMMIT, CHANGES_BY].contains(&name);
            return match name {
                _ if !is_there => Err(Errno::NODATA),
                // As the files of the same content in `.vst/` do.
                _ if !self.may_control(caller) => Err(Errno::ACCESS),
                HEAD => hex(self.head().map(|id| *id.object())),
                COMMIT => hex(self.newest().map(|record| *record.id.object())),
                _ => self.changes_by(),
            };
        }
        self.inode(ino)?.xattrs.find(name).map(<[u8]>::to_vec).ok_or(Errno::NODATA)
    }

    pub(super) fn live_listxattr(&self, ino: u64) -> Answer<Vec<u8>> {
        Ok(list(&self.inode(ino)?.xattrs))
    }

    pub(super) fn live_setxattr(
        &self,
        caller: Caller,
        ino: u64,
        name: &[u8],
        value: &[u8],
        flags: i32,
    ) -> Answer<()> {
        if name.starts_with(VIRTUAL) {
            if name != COMMIT || ino != Ino::ROOT.0 {
                return Err(Errno::PERM);
            }
            if !self.may_control(caller) {
                return Err(Errno::PERM);
            }
            let message = std::str::from_utf8(value).map_err(|_| Errno::ILSEQ)?;
            let commit = self.commit_as(message, flags & CREATE != 0);
            return commit.map(drop).map_err(|e| of_repo(&e));
        }
        let acl = match name {
            ACCESS_XATTR | DEFAULT_XATTR => Some(Acl::decode(value).map_err(|_| Errno::INVAL)?),
            _ if name.starts_with(b"system.") => return Err(Errno::OPNOTSUPP),
            _ => None,
        };
        // Asked before the tree is locked: it may have to be looked up.
        let keeps_setgid = name != ACCESS_XATTR || {
            let meta = self.inode(ino)?.meta;
            meta.perm & SETGID == 0 || caller.keeps_setgid(meta.gid)
        };
        let writer = caller.writer();
        let exists = self
            .repo()?
            .update(|edit| {
                edit.by(Some(&writer));
                let (ino, time) = (live(ino), Timestamp::now());
                let inode = edit.find(ino).ok_or(OpError::NotFound)?;
                let there = inode.xattrs.find(name).is_some();
                if there && flags & CREATE != 0 || !there && flags & REPLACE != 0 {
                    return Ok(Some(there));
                }
                let (name, value) = (name.into(), value.into());
                let set = Op::SetXattr { ino, name, value, time };
                let Some(acl) = acl.as_ref().filter(|_| set_is(&set, ACCESS_XATTR)) else {
                    edit.apply(&set)?;
                    return Ok(None);
                };
                // The mode follows the ACL, and an ACL that says no more than the mode is none.
                let mut perm = acl.mode_after_set(inode.meta.perm);
                if !keeps_setgid {
                    perm &= !SETGID;
                }
                if !acl.is_equivalent_to_mode() {
                    edit.apply(&set)?;
                } else if there {
                    edit.apply(&Op::RemoveXattr { ino, name: ACCESS_XATTR.into(), time })?;
                }
                let set = SetAttr { perm: Some(perm), ..SetAttr::default() };
                edit.apply(&Op::SetAttr { ino, set, time })?;
                Ok(None)
            })
            .map_err(|e| of_repo(&e))?;
        match exists {
            Some(true) => Err(Errno::EXIST),
            Some(false) => Err(Errno::NODATA),
            None => Ok(()),
        }
    }

    pub(super) fn live_removexattr(&self, caller: Caller, ino: u64, name: &[u8]) -> Answer<()> {
        if name.starts_with(VIRTUAL) {
            return Err(Errno::PERM);
        }
        let op = Op::RemoveXattr { ino: live(ino), name: name.into(), time: Timestamp::now() };
        self.repo()?.apply_by(Some(&caller.writer()), &op).map_err(|e| of_repo(&e))
    }

    /// Tells whether somebody may ask for commits and for what there is about them, as the modes of
    /// the files in `.vst/` have it.
    fn may_control(&self, caller: Caller) -> bool {
        caller.uid == self.owner.0 || caller.uid == 0
    }

    /// The blocks that tell who changed what since the head, for one who reads them in the store.
    fn changes_by(&self) -> Answer<Vec<u8>> {
        let blocks = self.repo()?.store_changes_by().map_err(|e| of_repo(&e))?;
        let ids: Vec<String> = blocks.iter().map(ObjectId::to_string).collect();
        Ok(ids.join(" ").into_bytes())
    }

    /// The id of the content of a file or directory, after its hashes were brought up to date.
    fn live_id(&self, ino: u64) -> Answer<Vec<u8>> {
        let repo = self.repo()?;
        for _ in 0..ID_TRIES_MAX {
            let inode = self.inode(ino)?;
            let id = match &inode.body {
                Body::File(file) => file.content().map(content_id),
                Body::Directory(tree) if repo.look(|live| live.is_clean(&inode)) => {
                    tree.id().map(|id| id.map_or_else(empty_directory_id, |id| *id.object()))
                }
                Body::Directory(_) => None,
                Body::Symlink(target) => Some(ObjectId::from_bytes(hash(target))),
                Body::Special => return Err(Errno::NODATA),
            };
            if id.is_some() {
                return hex(id);
            }
            if inode.names.is_empty() && ino != Ino::ROOT.0 {
                // What has been removed is part of no tree and is never hashed.
                return Err(Errno::NODATA);
            }
            if haste::would_wait() {
                return Err(Errno::AGAIN);
            }
            let waits = repo.look(|live| live.waits_for_checkpoint(inode.ino));
            let hashed = if waits { repo.hash_all() } else { repo.hash().map(drop) };
            hashed.map_err(|e| of_repo(&e))?;
        }
        Err(Errno::AGAIN)
    }

    pub(super) fn snapshot_getxattr(&self, ino: u64, name: &[u8]) -> Answer<Vec<u8>> {
        let entry = self.snapshot_model(ino)?.ok_or(Errno::NODATA)?;
        if name == ID {
            return hex(entry_id(&entry));
        }
        let xattrs = load_xattrs(entry.xattrs, self.source()).map_err(|e| of_object(&e))?;
        xattrs.find(name).map(<[u8]>::to_vec).ok_or(Errno::NODATA)
    }

    pub(super) fn snapshot_listxattr(&self, ino: u64) -> Answer<Vec<u8>> {
        let Some(entry) = self.snapshot_model(ino)? else { return Ok(Vec::new()) };
        Ok(list(&load_xattrs(entry.xattrs, self.source()).map_err(|e| of_object(&e))?))
    }
}

fn set_is(op: &Op, wanted: &[u8]) -> bool {
    matches!(op, Op::SetXattr { name, .. } if **name == *wanted)
}

fn list(xattrs: &Xattrs) -> Vec<u8> {
    let mut names = Vec::new();
    for (name, _) in xattrs.iter() {
        names.extend_from_slice(name);
        names.push(0);
    }
    names
}

fn hex(id: Option<ObjectId>) -> Answer<Vec<u8>> {
    id.map(|id| id.to_string().into_bytes()).ok_or(Errno::NODATA)
}

/// The id that an entry's content has, of whatever kind it is.
fn entry_id(entry: &Entry) -> Option<ObjectId> {
    match &entry.body {
        EntryBody::File { content, .. } => Some(content_id(*content)),
        EntryBody::Directory(node) => Some(node.map_or_else(empty_directory_id, |id| *id.object())),
        EntryBody::Symlink(target) => Some(ObjectId::from_bytes(hash(target))),
        EntryBody::Special => None,
    }
}

fn content_id(content: Content) -> ObjectId {
    match content {
        Content::Empty => ObjectId::from_bytes(hash(b"")),
        Content::Chunk(id) => *id.object(),
        Content::Chunks(id) => *id.object(),
    }
}

/// An empty directory has no node; its id is that of a leaf without items.
fn empty_directory_id() -> ObjectId {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    put_header(&mut bytes, 0);
    ObjectId::from_bytes(hash(&bytes))
}
