//! The live tree: look-ups, attributes and changes of names.

use std::ops::ControlFlow;
use std::sync::Arc;

use rustix::io::Errno;

use super::acl::{self, ACCESS_XATTR, Acl, DEFAULT_XATTR};
use super::types::{Answer, live, name, of_object, of_repo};
use super::{Attr, Caller, DirRow, EntryOut, LookupOut, SetAttrIn, Ttl, Vfs, is_reserved};
use crate::base::haste;
use crate::format::entry::kind_of;
use crate::model::{FileKind, Ino, Name, NewNode, Op, RenameMode, SetAttr, Timestamp};
use crate::repo::Repo;
use crate::worktree::{Body, Found, Inode, OpError, View, Worktree};

const SETGID: u16 = 0o2000;
const SETUID: u16 = 0o4000;
const GROUP_EXEC: u16 = 0o0010;

/// A file that is to be made.
pub(super) struct New<'a> {
    pub(super) kind: FileKind,
    pub(super) mode: u16,
    pub(super) rdev: u32,
    pub(super) target: &'a [u8],
}

/// An open directory of the live tree: its entries as they were when reading began.
///
/// The place of a row is its number, below a mark of what was there then. The kernel puts what
/// different handles have listed together by these places alone, and goes on from a place that one
/// of them gave in what another has listed since. Without the mark, names that come or go between
/// would shift the rows, and others be left out.
pub(super) struct LiveDirectory {
    pub(super) ino: Ino,
    view: View,
    mark: u64,
}

/// The bits of a place that are the number of a row.
const ROW_BITS: u32 = 32;
const ROW_MASK: u64 = (1 << ROW_BITS) - 1;
/// The kernel takes places for signed.
const MARK_BITS: u32 = 63 - ROW_BITS;

impl LiveDirectory {
    /// Tells whether a place is that of a row of this listing; that of the first is so of none.
    pub(super) fn has(&self, place: u64) -> bool {
        place != 0 && place >> ROW_BITS == self.mark
    }

    /// The place after so many rows.
    fn place(&self, rows: u64) -> u64 {
        self.mark << ROW_BITS | rows
    }
}

/// A number that is another one for each state of a directory, but for chance.
fn mark(view: &View) -> u64 {
    view.version() >> (u64::BITS - MARK_BITS)
}

impl Vfs {
    /// The inode with this number. The kernel only asks for those that it holds, and they are in
    /// memory.
    pub(super) fn inode(&self, ino: u64) -> Answer<Arc<Inode>> {
        self.repo()?.look(|tree| tree.find(live(ino)).cloned()).ok_or(Errno::STALE)
    }

    pub(super) fn live_attr(&self, ino: u64) -> Answer<Attr> {
        Attr::of_view(&self.view(ino)?, self.source())
    }

    fn view(&self, ino: u64) -> Answer<View> {
        self.repo()?.look(|tree| tree.view(live(ino))).ok_or(Errno::STALE)
    }

    pub(super) fn live_lookup(&self, parent: u64, bytes: &[u8]) -> Answer<LookupOut> {
        let name = name(bytes)?;
        let directory = self.view(parent)?;
        if !directory.is_directory() {
            return Err(Errno::NOTDIR);
        }
        let found = directory.find(&name, self.source()).map_err(|e| of_object(&e))?;
        let Some(found) = found else { return Ok(LookupOut::Absent) };
        // Held before it is looked for in the table, so that nobody evicts it between.
        self.lookups.add(found.ino.0);
        match self.hold(live(parent), &name, &found) {
            Ok(Some(entry)) => Ok(LookupOut::Found(entry)),
            Ok(None) => {
                self.live_forget(found.ino.0, 1);
                Ok(LookupOut::Absent)
            }
            Err(errno) => {
                self.live_forget(found.ino.0, 1);
                Err(errno)
            }
        }
    }

    /// Brings the inode of an entry into the table; `None` if the entry has gone meanwhile.
    fn hold(&self, parent: Ino, name: &Name, found: &Found) -> Answer<Option<EntryOut>> {
        let repo = self.repo()?;
        let view = match repo.look(|tree| tree.view(found.ino)) {
            Some(view) => Some(view),
            None => repo
                .update(|edit| {
                    let now = edit.lookup(parent, name)?;
                    let Some(now) = now.filter(|now| now.ino == found.ino) else {
                        return Ok(None);
                    };
                    edit.load(parent, name, &now)?;
                    Ok(edit.view(found.ino))
                })
                .map_err(|e| of_repo(&e))?,
        };
        view.map(|view| self.entry(&view)).transpose()
    }

    fn entry(&self, view: &View) -> Answer<EntryOut> {
        Ok(EntryOut { attr: Attr::of_view(view, self.source())?, ttl: Ttl::Forever })
    }

    /// Takes references away, and forgets the inode when none are left.
    pub(super) fn live_forget(&self, ino: u64, count: u64) {
        if !self.lookups.remove(ino, count) {
            return;
        }
        let Ok(repo) = self.repo() else { return };
        let orphan = |tree: &Worktree| tree.find(live(ino)).is_some_and(|inode| inode.is_orphan());
        let result = repo.update_to_make_room(|edit| {
            if self.lookups.holds(ino) {
                // Looked up again meanwhile.
            } else if orphan(edit) {
                self.resized.remove(ino);
                edit.apply(&Op::DropOrphan { ino: live(ino) })?;
            } else {
                self.resized.remove(ino);
                edit.evict(live(ino));
            }
            Ok(())
        });
        // What is refused in haste is looked up again, and then forgotten again.
        if let Err(error) = result
            && !haste::is_refused()
        {
            log::error!("forgetting inode {ino}: {error}");
        }
    }

    /// Drops a file that lost its last name unless the kernel still holds it.
    pub(super) fn drop_if_unheld(&self, ino: Ino) {
        if !self.lookups.holds(ino.0) {
            self.live_forget(ino.0, 0);
        }
    }

    /// Makes a new file, with owner, mode and ACLs as its directory wants them.
    pub(super) fn live_create(
        &self,
        caller: Caller,
        parent: u64,
        bytes: &[u8],
        new: &New<'_>,
    ) -> Answer<EntryOut> {
        let name = self.new_name(parent, bytes)?;
        self.live_make(caller, parent, Some(&name), new)
    }

    /// Makes a new file that has no name yet, as its directory would want it.
    pub(super) fn live_create_nameless(
        &self,
        caller: Caller,
        directory: u64,
        mode: u16,
    ) -> Answer<EntryOut> {
        let new = New { kind: FileKind::Regular, mode, rdev: 0, target: b"" };
        self.live_make(caller, directory, None, &new)
    }

    fn live_make(
        &self,
        caller: Caller,
        parent: u64,
        name: Option<&Name>,
        new: &New<'_>,
    ) -> Answer<EntryOut> {
        let &New { kind, mode, rdev, target } = new;
        let (time, writer) = (Timestamp::now(), caller.writer());
        let made = self
            .repo()?
            .update(|edit| {
                edit.by(Some(&writer));
                let directory = edit.find(live(parent)).ok_or(OpError::NotFound)?;
                let is_directory = kind == FileKind::Directory;
                let setgid = directory.meta.perm & SETGID != 0;
                let gid = if setgid { directory.meta.gid } else { caller.gid };
                let default = directory.xattrs.find(DEFAULT_XATTR).map(Acl::decode);
                let default = default.transpose().map_err(|_| OpError::Invalid)?;
                let mut given = acl::Inherited { mode, access: None, default: None };
                if kind != FileKind::Symlink {
                    let umask = (caller.umask & 0o777) as u16;
                    given = acl::inherit(default.as_ref(), mode, umask, is_directory);
                }
                let sticky_group = if setgid && is_directory { SETGID } else { 0 };
                let node = NewNode {
                    kind,
                    perm: given.mode | sticky_group,
                    uid: caller.uid,
                    gid,
                    rdev,
                    target: target.into(),
                };
                let ino = edit.allocate_ino();
                edit.apply(&match name.cloned() {
                    Some(name) => Op::Create { parent: live(parent), name, ino, node, time },
                    None => Op::CreateNameless { ino, node, time },
                })?;
                for (name, acl) in [(ACCESS_XATTR, given.access), (DEFAULT_XATTR, given.default)] {
                    if let Some(acl) = acl {
                        let value = acl.encode().into();
                        edit.apply(&Op::SetXattr { ino, name: name.into(), value, time })?;
                    }
                }
                self.lookups.add(ino.0);
                edit.view(ino).ok_or(OpError::NotFound)
            })
            .map_err(|e| of_repo(&e))?;
        self.entry(&made)
    }

    pub(super) fn live_link(
        &self,
        caller: Caller,
        ino: u64,
        parent: u64,
        bytes: &[u8],
    ) -> Answer<EntryOut> {
        let name = self.new_name(parent, bytes)?;
        let op = Op::Link { ino: live(ino), parent: live(parent), name, time: Timestamp::now() };
        self.repo()?.apply_by(Some(&caller.writer()), &op).map_err(|e| of_repo(&e))?;
        self.lookups.add(ino);
        self.entry(&self.view(ino)?)
    }

    pub(super) fn live_remove(
        &self,
        caller: Caller,
        parent: u64,
        bytes: &[u8],
        directory: bool,
    ) -> Answer<()> {
        self.refuse_reserved(parent, bytes, Errno::PERM)?;
        let (parent, name, time) = (live(parent), name(bytes)?, Timestamp::now());
        let op = match directory {
            true => Op::Rmdir { parent, name: name.clone(), time },
            false => Op::Unlink { parent, name: name.clone(), time },
        };
        let writer = caller.writer();
        let removed = self
            .repo()?
            .update_to_make_room(|edit| {
                edit.by(Some(&writer));
                let found = edit.lookup(parent, &name)?.ok_or(OpError::NotFound)?;
                edit.apply(&op)?;
                Ok(found.ino)
            })
            .map_err(|e| of_repo(&e))?;
        self.drop_if_unheld(removed);
        Ok(())
    }

    pub(super) fn live_rename(
        &self,
        caller: Caller,
        from: (u64, &[u8]),
        to: (u64, &[u8]),
        mode: RenameMode,
    ) -> Answer<()> {
        self.refuse_reserved(from.0, from.1, Errno::PERM)?;
        self.refuse_reserved(to.0, to.1, Errno::PERM)?;
        let (parent, new_parent) = (live(from.0), live(to.0));
        let (name, new_name) = (name(from.1)?, name(to.1)?);
        let target = new_name.clone();
        let time = Timestamp::now();
        let op = Op::Rename { parent, name, new_parent, new_name, mode, time };
        let writer = caller.writer();
        let replaced = self
            .repo()?
            .update(|edit| {
                edit.by(Some(&writer));
                let replaced = edit.lookup(new_parent, &target)?;
                edit.apply(&op)?;
                Ok(replaced)
            })
            .map_err(|e| of_repo(&e))?;
        if let Some(found) = replaced.filter(|_| mode == RenameMode::Replace) {
            self.drop_if_unheld(found.ino);
        }
        Ok(())
    }

    pub(super) fn live_setattr(&self, caller: Caller, ino: u64, set: SetAttrIn) -> Answer<Attr> {
        let repo = self.repo()?;
        let time = Timestamp::now();
        if set.size.is_some() {
            repo.relieve().map_err(|e| of_repo(&e))?;
        }
        let writer = caller.writer();
        repo.update(|edit| {
            edit.by(Some(&writer));
            let ino = live(ino);
            if let Some(size) = set.size {
                let kill_priv = set.kill_priv.unwrap_or(caller.uid != 0);
                edit.apply(&Op::Truncate { ino, size, kill_priv, time })?;
            }
            let inode = edit.find(ino).ok_or(OpError::NotFound)?;
            let SetAttrIn { mut perm, uid, gid, mtime, atime, size, .. } = set;
            if perm.is_none() && (uid.is_some() || gid.is_some()) && !inode.is_directory() {
                perm = Some(without_privileges(inode.meta.perm));
            }
            let access = inode.xattrs.find(ACCESS_XATTR).map(Acl::decode).transpose();
            let access = access.map_err(|_| OpError::Invalid)?;
            if let (Some(perm), Some(access)) = (set.perm, access) {
                let (name, value) = (ACCESS_XATTR.into(), access.chmod(perm).encode().into());
                edit.apply(&Op::SetXattr { ino, name, value, time })?;
            }
            let attrs = SetAttr { perm, uid, gid, mtime, atime };
            if size.is_none() || attrs != SetAttr::default() {
                edit.apply(&Op::SetAttr { ino, set: attrs, time })?;
            }
            Ok(())
        })
        .map_err(|e| of_repo(&e))?;
        self.live_attr(ino)
    }

    pub(super) fn live_readlink(&self, ino: u64) -> Answer<Vec<u8>> {
        match &self.inode(ino)?.body {
            Body::Symlink(target) => Ok(target.to_vec()),
            _ => Err(Errno::INVAL),
        }
    }

    pub(super) fn live_opendir(&self, ino: u64) -> Answer<LiveDirectory> {
        let view = self.view(ino)?;
        if !view.is_directory() {
            return Err(Errno::NOTDIR);
        }
        Ok(LiveDirectory { ino: live(ino), mark: mark(&view), view })
    }

    /// Lists a directory from a place on that it has, or from its first row. The rows are `.`,
    /// `..`, then the entries in order.
    pub(super) fn live_readdir(
        &self,
        directory: &LiveDirectory,
        from: u64,
        plus: bool,
        row: &mut dyn FnMut(DirRow<'_>) -> bool,
    ) -> Answer<()> {
        let from = from & ROW_MASK;
        let dots = [(&b"."[..], directory.ino, 1), (b"..", directory.view.parent(), 2)];
        for (name, ino, rows) in dots.into_iter().skip(from.min(2) as usize) {
            let (kind, next) = (FileKind::Directory, directory.place(rows));
            if !row(DirRow { ino: ino.0, kind, name, next, entry: None }) {
                return Ok(());
            }
        }
        let mut at = from.max(2);
        let mut failed = None;
        directory
            .view
            .scan(at - 2, self.source(), &mut |found, key| {
                at += 1;
                let ino = found.ino.0;
                let kind = kind_of(&found.value);
                let mut entry = None;
                if plus {
                    self.lookups.add(ino);
                    let held = name(key).and_then(|name| self.hold(directory.ino, &name, &found));
                    match held {
                        Ok(held) => entry = held,
                        Err(errno) => failed = Some(errno),
                    }
                    if entry.is_none() {
                        self.live_forget(ino, 1);
                        // It has gone since the listing began, or cannot be read.
                        return match failed {
                            None => ControlFlow::Continue(()),
                            Some(_) => ControlFlow::Break(()),
                        };
                    }
                }
                let next = directory.place(at);
                let taken = row(DirRow { ino, kind, name: key, next, entry });
                if !taken && entry.is_some() {
                    self.live_forget(ino, 1);
                }
                if taken { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })
            .map_err(|e| of_object(&e))?;
        failed.map_or(Ok(()), Err)
    }

    pub(super) fn repo(&self) -> Answer<&Repo> {
        self.live.as_deref().ok_or(Errno::ROFS)
    }

    /// Checks the name of a file that is to be made.
    fn new_name(&self, parent: u64, bytes: &[u8]) -> Answer<Name> {
        self.refuse_reserved(parent, bytes, Errno::EXIST)?;
        name(bytes)
    }

    fn refuse_reserved(&self, parent: u64, bytes: &[u8], errno: Errno) -> Answer<()> {
        let reserved = parent == Ino::ROOT.0 && is_reserved(bytes);
        if reserved { Err(errno) } else { Ok(()) }
    }
}

/// Permissions without what gives a program more rights than its caller.
fn without_privileges(perm: u16) -> u16 {
    let setgid = if perm & GROUP_EXEC != 0 { SETGID } else { 0 };
    perm & !SETUID & !setgid
}
