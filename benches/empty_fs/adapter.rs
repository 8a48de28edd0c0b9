//! The requests of the kernel.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileAttr, FileHandle, FileType,
    Filesystem, FopenFlags, Generation, INodeNo, IoctlFlags, KernelConfig, LockOwner, OpenAccMode,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request,
    TimeOrNow, WriteFlags,
};
use parking_lot::Mutex;
use vst::fuse::settings;

use crate::tree::{Answer, Body, Entries, New, Tree};

const TTL: Duration = Duration::from_secs(365 * 24 * 3600);
const GENERATION: Generation = Generation(0);
/// Blocks and files of the filesystem, which has room for all.
const PLENTY: u64 = 1 << 32;

pub(crate) struct Empty {
    pub(crate) tree: Mutex<Tree>,
    pub(crate) no_open: bool,
}

fn reply_entry(reply: ReplyEntry, answer: Answer<FileAttr>) {
    match answer {
        Ok(attr) => reply.entry(&TTL, &attr, GENERATION),
        Err(errno) => reply.error(errno),
    }
}

fn reply_empty(reply: ReplyEmpty, answer: Answer<()>) {
    match answer {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

fn new(req: &Request, body: Body, kind: FileType, perm: u32) -> New {
    New { body, kind, perm, owner: (req.uid(), req.gid()), rdev: 0 }
}

fn kind_of_mode(mode: u32) -> FileType {
    match mode & libc::S_IFMT {
        libc::S_IFIFO => FileType::NamedPipe,
        libc::S_IFSOCK => FileType::Socket,
        libc::S_IFCHR => FileType::CharDevice,
        libc::S_IFBLK => FileType::BlockDevice,
        _ => FileType::RegularFile,
    }
}

impl Filesystem for Empty {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        settings::ask(config);
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut tree = self.tree.lock();
        match tree.lookup(parent.0, name) {
            Ok(Some(attr)) => reply.entry(&TTL, &attr, GENERATION),
            Ok(None) => match tree.get(parent.0) {
                // Number 0 says that there is nothing, and lets the kernel remember it.
                Ok(node) => {
                    reply.entry(&TTL, &FileAttr { ino: INodeNo(0), ..node.attr }, GENERATION);
                }
                Err(errno) => reply.error(errno),
            },
            Err(errno) => reply.error(errno),
        }
    }

    fn forget(&self, _req: &Request, ino: INodeNo, count: u64) {
        self.tree.lock().forget(ino.0, count);
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match self.tree.lock().get(ino.0) {
            Ok(node) => reply.attr(&TTL, &node.attr),
            Err(errno) => reply.error(errno),
        }
    }

    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut tree = self.tree.lock();
        if let Some(size) = size
            && let Err(errno) = tree.resize(ino.0, size)
        {
            return reply.error(errno);
        }
        let Ok(node) = tree.get_mut(ino.0) else { return reply.error(Errno::ESTALE) };
        let attr = &mut node.attr;
        attr.perm = mode.map_or(attr.perm, |mode| (mode & 0o7777) as u16);
        attr.uid = uid.unwrap_or(attr.uid);
        attr.gid = gid.unwrap_or(attr.gid);
        attr.ctime = SystemTime::now();
        match mtime {
            Some(TimeOrNow::Now) => attr.mtime = attr.ctime,
            Some(TimeOrNow::SpecificTime(time)) => attr.mtime = time,
            None => {}
        }
        reply.attr(&TTL, attr);
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        match self.tree.lock().get(ino.0).map(|node| &node.body) {
            Ok(Body::Symlink(target)) => reply.data(target),
            _ => reply.error(Errno::EINVAL),
        }
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
        let kind = kind_of_mode(mode);
        let body = match kind {
            FileType::RegularFile => Body::File(Vec::new()),
            _ => Body::Special,
        };
        let new = New { rdev, ..new(req, body, kind, mode & !umask) };
        reply_entry(reply, self.tree.lock().create(parent.0, name, new));
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
        let body = Body::Directory(Entries::new(parent.0));
        let new = new(req, body, FileType::Directory, mode & !umask);
        reply_entry(reply, self.tree.lock().create(parent.0, name, new));
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_empty(reply, self.tree.lock().remove(parent.0, name));
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_empty(reply, self.tree.lock().remove(parent.0, name));
    }

    fn symlink(
        &self,
        req: &Request,
        parent: INodeNo,
        link_name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let target = target.as_os_str().as_bytes();
        let new = new(req, Body::Symlink(target.into()), FileType::Symlink, 0o777);
        let mut tree = self.tree.lock();
        let made = tree
            .create(parent.0, link_name, new)
            .map(|attr| FileAttr { size: target.len() as u64, ..attr });
        if let Ok(attr) = made
            && let Ok(node) = tree.get_mut(attr.ino.0)
        {
            node.attr.size = attr.size;
        }
        reply_entry(reply, made);
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        reply_empty(reply, self.tree.lock().rename((parent.0, name), (newparent.0, newname)));
    }

    fn link(
        &self,
        _req: &Request,
        ino: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        reply_entry(reply, self.tree.lock().link(ino.0, newparent.0, newname));
    }

    fn open(&self, _req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if self.no_open {
            return reply.error(Errno::ENOSYS);
        }
        if flags.0 & libc::O_TRUNC != 0
            && let Err(errno) = self.tree.lock().resize(ino.0, 0)
        {
            return reply.error(errno);
        }
        let read_only = flags.acc_mode() == OpenAccMode::O_RDONLY;
        let flags = if read_only { FopenFlags::FOPEN_NOFLUSH } else { FopenFlags::empty() };
        reply.opened(FileHandle(0), settings::file_cache(true) | flags);
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        if self.no_open {
            // The kernel then makes the file and opens it by itself.
            return reply.error(Errno::ENOSYS);
        }
        let new = new(req, Body::File(Vec::new()), FileType::RegularFile, mode & !umask);
        match self.tree.lock().create(parent.0, name, new) {
            Ok(attr) => {
                let cache = settings::file_cache(true);
                reply.created(&TTL, &attr, GENERATION, FileHandle(0), cache);
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.tree.lock().get(ino.0).map(|node| &node.body) {
            Ok(Body::File(data)) => {
                let begin = usize::try_from(offset).map_or(data.len(), |at| at.min(data.len()));
                let end = data.len().min(begin + size as usize);
                reply.data(&data[begin..end]);
            }
            _ => reply.error(Errno::EISDIR),
        }
    }

    fn write(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.tree.lock().write(ino.0, offset, data) {
            // As long as the kernel sends at once.
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
        reply.error(Errno::ENOSYS);
    }

    fn release(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn fsync(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn opendir(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), settings::directory_cache(true));
    }

    fn readdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let tree = self.tree.lock();
        let Ok(entries) = tree.entries(ino.0) else { return reply.error(Errno::ENOTDIR) };
        let dots = [(&b"."[..], ino.0, 1), (&b".."[..], entries.parent, 2)];
        let begin = offset as usize;
        let rows = entries.from(begin.saturating_sub(dots.len()));
        let rows = rows.map(|(name, ino, next)| (name, ino, next + dots.len()));
        for (name, ino, next) in dots.into_iter().skip(begin).chain(rows) {
            let Ok(node) = tree.get(ino) else { continue };
            if reply.add(INodeNo(ino), next as u64, node.attr.kind, OsStr::from_bytes(name)) {
                break;
            }
        }
        reply.ok();
    }

    fn readdirplus(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let mut tree = self.tree.lock();
        let Ok(entries) = tree.entries(ino.0) else { return reply.error(Errno::ENOTDIR) };
        let dots = [(&b"."[..], ino.0, 1), (&b".."[..], entries.parent, 2)];
        let begin = offset as usize;
        let rows = entries.from(begin.saturating_sub(dots.len()));
        let rows = rows.map(|(name, ino, next)| (name, ino, next + dots.len()));
        let mut held = Vec::new();
        for (name, ino, next) in dots.into_iter().skip(begin).chain(rows) {
            let Ok(node) = tree.get(ino) else { continue };
            let (next, shown) = (next as u64, OsStr::from_bytes(name));
            if reply.add(INodeNo(ino), next, shown, &TTL, &node.attr, GENERATION) {
                break;
            }
            if next as usize > dots.len() {
                held.push(ino);
            }
        }
        for ino in held {
            // It was there a moment ago, under the same lock.
            let _ = tree.hold(ino);
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        reply.statfs(PLENTY, PLENTY, PLENTY, PLENTY, PLENTY, 4096, 255, 4096);
    }

    fn setxattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        _flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        let mut tree = self.tree.lock();
        let Ok(node) = tree.get_mut(ino.0) else { return reply.error(Errno::ESTALE) };
        let (name, value) = (name.as_bytes(), Box::from(value));
        match node.xattrs.iter_mut().find(|(found, _)| **found == *name) {
            Some((_, old)) => *old = value,
            None => node.xattrs.push((name.into(), value)),
        }
        node.attr.ctime = SystemTime::now();
        reply.ok();
    }

    fn getxattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let tree = self.tree.lock();
        let xattrs = tree.get(ino.0).map_or(&[][..], |node| &node.xattrs);
        match xattrs.iter().find(|(found, _)| **found == *name.as_bytes()) {
            Some((_, value)) if size == 0 => reply.size(value.len() as u32),
            Some((_, value)) => reply.data(value),
            None => reply.error(Errno::ENODATA),
        }
    }

    fn listxattr(&self, _req: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let tree = self.tree.lock();
        let xattrs = tree.get(ino.0).map_or(&[][..], |node| &node.xattrs);
        let names: Vec<u8> =
            xattrs.iter().flat_map(|(name, _)| [&**name, b"\0"].concat()).collect();
        match size {
            0 => reply.size(names.len() as u32),
            _ => reply.data(&names),
        }
    }

    fn access(&self, _req: &Request, _ino: INodeNo, _mask: AccessFlags, reply: ReplyEmpty) {
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
        reply.error(Errno::ENOSYS);
    }
}
