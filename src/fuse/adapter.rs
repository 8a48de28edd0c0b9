//! The requests of the kernel, handed to `vfs` one to one.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, INodeNo,
    IoctlFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen,
    ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};

use super::convert;
use super::reply::{
    GENERATION, guard, reply_attr, reply_data, reply_empty, reply_entry, reply_xattr,
};
use super::settings;
use crate::base::limits::NAME_BYTES_MAX;
use crate::model::{FileKind, Timestamp};
use crate::vfs::{Caller, DirRow, LookupOut, SetAttrIn, Ttl, Vfs};

thread_local! {
    /// What a read is answered from.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A filesystem as `fuser` wants it.
pub(super) struct Adapter(pub(super) Arc<Vfs>);

fn caller(req: &Request, umask: u32) -> Caller {
    Caller { uid: req.uid(), gid: req.gid(), pid: req.pid(), umask, keeps_setgid: None }
}

impl Filesystem for Adapter {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        settings::ask(config);
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match guard("lookup", || self.0.lookup(parent.0, name.as_bytes())) {
            Ok(LookupOut::Found(out)) => reply_entry(reply, Ok(out)),
            Ok(LookupOut::Absent) => {
                reply.entry(&convert::ttl(Ttl::Forever), &convert::absent(), GENERATION);
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn forget(&self, _req: &Request, ino: INodeNo, count: u64) {
        let _ = guard("forget", || {
            self.0.forget(ino.0, count);
            Ok(())
        });
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        reply_attr(reply, guard("getattr", || self.0.getattr(ino.0)));
    }

    fn setattr(
        &self,
        req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let (perm, now) = (mode.map(convert::perm), Timestamp::now());
        let time = |time| convert::timestamp(time, now);
        let (mtime, atime) = (mtime.map(time), atime.map(time));
        let set = SetAttrIn { perm, uid, gid, size, mtime, atime, kill_priv: None };
        reply_attr(reply, guard("setattr", || self.0.setattr(caller(req, 0), ino.0, set)));
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        reply_data(reply, guard("readlink", || self.0.readlink(ino.0)));
    }

    fn mknod(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        let Some(kind) = convert::kind_of_mode(mode) else { return reply.error(Errno::EINVAL) };
        let (caller, mode) = (caller(req, umask), convert::perm(mode));
        let made =
            guard("mknod", || self.0.create(caller, parent.0, name.as_bytes(), kind, mode, rdev));
        reply_entry(reply, made);
    }

    fn mkdir(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let (caller, mode) = (caller(req, umask), convert::perm(mode));
        let kind = FileKind::Directory;
        let made =
            guard("mkdir", || self.0.create(caller, parent.0, name.as_bytes(), kind, mode, 0));
        reply_entry(reply, made);
    }

    fn unlink(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (caller, name) = (caller(req, 0), name.as_bytes());
        reply_empty(reply, guard("unlink", || self.0.unlink(caller, parent.0, name)));
    }

    fn rmdir(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (caller, name) = (caller(req, 0), name.as_bytes());
        reply_empty(reply, guard("rmdir", || self.0.rmdir(caller, parent.0, name)));
    }

    fn symlink(
        &self,
        req: &Request,
        parent: INodeNo,
        link_name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let (name, target) = (link_name.as_bytes(), target.as_os_str().as_bytes());
        let made = guard("symlink", || self.0.symlink(caller(req, 0), parent.0, name, target));
        reply_entry(reply, made);
    }

    fn rename(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let Some(mode) = convert::rename_mode(flags.bits()) else {
            return reply.error(Errno::EINVAL);
        };
        let (from, to) = ((parent.0, name.as_bytes()), (newparent.0, newname.as_bytes()));
        let caller = caller(req, 0);
        reply_empty(reply, guard("rename", || self.0.rename(caller, from, to, mode)));
    }

    fn link(
        &self,
        req: &Request,
        ino: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        let (caller, name) = (caller(req, 0), newname.as_bytes());
        reply_entry(reply, guard("link", || self.0.link(caller, ino.0, newparent.0, name)));
    }

    fn open(&self, req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let (caller, open) = (caller(req, 0), convert::open_flags(flags));
        match guard("open", || self.0.open(caller, ino.0, open)) {
            Ok(out) => {
                let how = settings::opened_file(out.cached, open.write);
                reply.opened(FileHandle(out.fh), how);
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let (caller, mode) = (caller(req, umask), convert::perm(mode));
        let kind = FileKind::Regular;
        let open = convert::open_flags(OpenFlags(flags));
        let made = guard("create", || {
            let made = self.0.create(caller, parent.0, name.as_bytes(), kind, mode, 0)?;
            Ok((made, self.0.open(caller, made.attr.ino, open)?))
        });
        match made {
            Ok((made, out)) => reply.created(
                &convert::ttl(made.ttl),
                &convert::attr(&made.attr),
                GENERATION,
                FileHandle(out.fh),
                settings::file_cache(out.cached),
            ),
            Err(errno) => reply.error(errno),
        }
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        BUFFER.with_borrow_mut(|buf| {
            match guard("read", || self.0.read(ino.0, fh.0, offset, size as usize, buf)) {
                Ok(()) => reply.data(buf),
                Err(errno) => reply.error(errno),
            }
        });
    }

    fn write(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let (caller, how) = (caller(req, 0), convert::write_how(write_flags, flags));
        match guard("write", || self.0.write(caller, (ino.0, fh.0), offset, data, how)) {
            // The kernel sends at most 16 MiB.
            Ok(()) => reply.written(data.len() as u32),
            Err(errno) => reply.error(errno),
        }
    }

    fn flush(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        // Nothing waits for a close, and the kernel need not ask again.
        reply.error(Errno::ENOSYS);
    }

    fn release(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.0.release(ino.0, fh.0, convert::open_flags(flags));
        reply.ok();
    }

    fn fsync(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        reply_empty(reply, guard("fsync", || self.0.fsync(ino.0, fh.0)));
    }

    fn fsyncdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        reply_empty(reply, guard("fsyncdir", || self.0.fsyncdir(ino.0)));
    }

    fn opendir(&self, _req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        match guard("opendir", || self.0.opendir(ino.0)) {
            Ok(out) => reply.opened(FileHandle(out.fh), settings::directory_cache(out.cached)),
            Err(errno) => reply.error(errno),
        }
    }

    fn readdir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let mut row = |row: DirRow<'_>| {
            let (ino, kind) = (INodeNo(row.ino), convert::file_type(row.kind));
            !reply.add(ino, row.next, kind, OsStr::from_bytes(row.name))
        };
        match guard("readdir", || self.0.readdir(fh.0, offset, false, &mut row)) {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn readdirplus(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let mut row = |row: DirRow<'_>| {
            let name = OsStr::from_bytes(row.name);
            let (ttl, attr) = match row.entry {
                Some(out) => (convert::ttl(out.ttl), convert::attr(&out.attr)),
                // `.` and `..`, of which the kernel takes the number and the kind alone.
                None => (convert::ttl(Ttl::Never), convert::bare(row.ino, row.kind)),
            };
            !reply.add(attr.ino, row.next, name, &ttl, &attr, GENERATION)
        };
        match guard("readdirplus", || self.0.readdir(fh.0, offset, true, &mut row)) {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn releasedir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.0.releasedir(fh.0);
        reply.ok();
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        match guard("statfs", || self.0.statfs()) {
            Ok(out) => reply.statfs(
                out.blocks,
                out.free,
                out.available,
                out.files,
                out.files_free,
                out.block_bytes,
                NAME_BYTES_MAX as u32,
                out.block_bytes,
            ),
            Err(errno) => reply.error(errno),
        }
    }

    fn setxattr(
        &self,
        req: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        let (caller, name) = (caller(req, 0), name.as_bytes());
        reply_empty(
            reply,
            guard("setxattr", || self.0.setxattr(caller, ino.0, name, value, flags)),
        );
    }

    fn getxattr(&self, req: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let (caller, name) = (caller(req, 0), name.as_bytes());
        reply_xattr(reply, size, guard("getxattr", || self.0.getxattr(caller, ino.0, name)));
    }

    fn listxattr(&self, _req: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        reply_xattr(reply, size, guard("listxattr", || self.0.listxattr(ino.0)));
    }

    fn removexattr(&self, req: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (caller, name) = (caller(req, 0), name.as_bytes());
        reply_empty(reply, guard("removexattr", || self.0.removexattr(caller, ino.0, name)));
    }

    fn fallocate(
        &self,
        req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let (caller, range) = (caller(req, 0), (offset, length));
        reply_empty(reply, guard("fallocate", || self.0.fallocate(caller, ino.0, range, mode)));
    }

    fn lseek(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        match guard("lseek", || self.0.lseek(ino.0, offset, whence)) {
            // Offsets in files are below 2^63.
            Ok(found) => reply.offset(found as i64),
            Err(errno) => reply.error(errno),
        }
    }

    fn access(&self, _req: &Request, _ino: INodeNo, _mask: AccessFlags, reply: ReplyEmpty) {
        // The kernel checks permissions itself.
        reply.error(Errno::ENOSYS);
    }

    fn ioctl(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: IoctlFlags,
        _cmd: u32,
        _in_data: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        // Programs ask any file whether it is a terminal.
        reply.error(Errno::ENOTTY);
    }

    fn copy_file_range(
        &self,
        _req: &Request,
        _ino_in: INodeNo,
        _fh_in: FileHandle,
        _offset_in: u64,
        _ino_out: INodeNo,
        _fh_out: FileHandle,
        _offset_out: u64,
        _len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        // The kernel then copies by reading and writing.
        reply.error(Errno::ENOSYS);
    }
}
