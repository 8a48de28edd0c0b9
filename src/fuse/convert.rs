//! Between the values of `fuser` and those of `vfs`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo, OpenAccMode, RenameFlags, TimeOrNow, WriteFlags};

use crate::model::{FileKind, Meta, RenameMode, Timestamp};
use crate::vfs::{Attr, OpenFlags, Ttl, WriteHow};

/// For ever, as far as the kernel can count.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The size of a block, as `stat` tells it.
pub(super) const BLOCK_BYTES: u32 = 4096;

pub(super) fn ttl(ttl: Ttl) -> Duration {
    match ttl {
        Ttl::Forever => FOREVER,
        Ttl::Never => Duration::ZERO,
    }
}

pub(super) fn errno(errno: rustix::io::Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno.raw_os_error())
}

pub(super) fn file_type(kind: FileKind) -> FileType {
    match kind {
        FileKind::Regular => FileType::RegularFile,
        FileKind::Directory => FileType::Directory,
        FileKind::Symlink => FileType::Symlink,
        FileKind::Fifo => FileType::NamedPipe,
        FileKind::Socket => FileType::Socket,
        FileKind::CharDevice => FileType::CharDevice,
        FileKind::BlockDevice => FileType::BlockDevice,
    }
}

/// The kind of file that a mode tells, as `mknod` gives it.
pub(super) fn kind_of_mode(mode: u32) -> Option<FileKind> {
    match mode & libc::S_IFMT {
        0 | libc::S_IFREG => Some(FileKind::Regular),
        libc::S_IFIFO => Some(FileKind::Fifo),
        libc::S_IFSOCK => Some(FileKind::Socket),
        libc::S_IFCHR => Some(FileKind::CharDevice),
        libc::S_IFBLK => Some(FileKind::BlockDevice),
        _ => None,
    }
}

/// What `renameat2` is told by its flags, if it is one thing.
pub(super) fn rename_mode(flags: u32) -> Option<RenameMode> {
    match RenameFlags::from_bits_retain(flags) {
        flags if flags.is_empty() => Some(RenameMode::Replace),
        RenameFlags::RENAME_NOREPLACE => Some(RenameMode::NoReplace),
        RenameFlags::RENAME_EXCHANGE => Some(RenameMode::Exchange),
        _ => None,
    }
}

pub(super) fn perm(mode: u32) -> u16 {
    // Twelve bits.
    (mode & 0o7777) as u16
}

/// How a file is written, from what the request says of itself and of who makes it.
pub(super) fn write_how(write: WriteFlags, flags: fuser::OpenFlags) -> WriteHow {
    // What the kernel writes back of a mapping has its place, whoever's handle it comes by.
    let mapped = write.contains(WriteFlags::FUSE_WRITE_CACHE);
    WriteHow {
        kill_priv: write.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID),
        append: flags.0 & libc::O_APPEND != 0 && !mapped,
        mapped,
    }
}

/// How a file is opened, from what `open` was told.
pub(super) fn open_flags(flags: fuser::OpenFlags) -> OpenFlags {
    let mode = flags.acc_mode();
    OpenFlags { read: mode != OpenAccMode::O_WRONLY, write: mode != OpenAccMode::O_RDONLY }
}

/// Times that the system's type cannot hold, centuries of thousands of years away, become the
/// epoch.
fn system_time(time: Timestamp) -> SystemTime {
    let secs = Duration::from_secs(time.secs.unsigned_abs());
    let whole = match time.secs {
        0.. => UNIX_EPOCH.checked_add(secs),
        _ => UNIX_EPOCH.checked_sub(secs),
    };
    whole
        .and_then(|t| t.checked_add(Duration::from_nanos(u64::from(time.nanos))))
        .unwrap_or(UNIX_EPOCH)
}

/// A time to set, and `now` where the kernel leaves it to the server what that is.
pub(super) fn timestamp(time: TimeOrNow, now: Timestamp) -> Timestamp {
    let time = match time {
        TimeOrNow::Now => return now,
        TimeOrNow::SpecificTime(time) => time,
    };
    match time.duration_since(UNIX_EPOCH) {
        Ok(d) => Timestamp {
            secs: i64::try_from(d.as_secs()).unwrap_or(i64::MAX),
            nanos: d.subsec_nanos(),
        },
        Err(before) => {
            let d = before.duration();
            let secs = i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
            match d.subsec_nanos() {
                0 => Timestamp { secs: -secs, nanos: 0 },
                nanos => Timestamp { secs: -secs - 1, nanos: 1_000_000_000 - nanos },
            }
        }
    }
}

pub(super) fn attr(attr: &Attr) -> FileAttr {
    FileAttr {
        ino: INodeNo(attr.ino),
        size: attr.size,
        blocks: attr.blocks,
        atime: system_time(attr.atime),
        mtime: system_time(attr.meta.mtime),
        ctime: system_time(attr.ctime),
        crtime: UNIX_EPOCH,
        kind: file_type(attr.meta.kind),
        perm: attr.meta.perm,
        nlink: attr.nlink,
        uid: attr.meta.uid,
        gid: attr.meta.gid,
        rdev: attr.meta.rdev,
        blksize: BLOCK_BYTES,
        flags: 0,
    }
}

/// Attributes of which only number and kind count.
pub(super) fn bare(ino: u64, kind: FileKind) -> FileAttr {
    let meta = Meta { kind, perm: 0, uid: 0, gid: 0, rdev: 0, mtime: Timestamp::default() };
    let ctime = Timestamp::default();
    attr(&Attr { ino, meta, size: 0, blocks: 0, nlink: 0, ctime, atime: ctime, born: None })
}

/// What says that there is nothing, and lets the kernel remember it: inode 0.
pub(super) fn absent() -> FileAttr {
    bare(0, FileKind::Regular)
}
