//! The structures of the kernel's FUSE protocol, version 7.45, byte by byte: what `linux/fuse.h` of
//! Linux 6.18 has, as far as it is used here. Numbers are of the machine's own byte order.
//!
//! A request is an [`InHeader`], then the structure of its kind, then names or data; an answer is
//! an [`OutHeader`], then what the kind of the request wants. In a message of `/dev/fuse` they
//! follow each other; in a ring each has its place ([`RingHeader`]), and names, data and answers
//! lie in a buffer beside it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The version of the protocol: the major number,
pub(super) const MAJOR: u32 = 7;
/// and the minor one.
pub(super) const MINOR: u32 = 45;
/// The oldest minor number that has rings.
pub(super) const MINOR_WITH_RINGS: u32 = 42;

/// The kinds of requests.
pub(super) mod opcode {
    pub(in super::super) const LOOKUP: u32 = 1;
    pub(in super::super) const FORGET: u32 = 2;
    pub(in super::super) const GETATTR: u32 = 3;
    pub(in super::super) const SETATTR: u32 = 4;
    pub(in super::super) const READLINK: u32 = 5;
    pub(in super::super) const SYMLINK: u32 = 6;
    pub(in super::super) const MKNOD: u32 = 8;
    pub(in super::super) const MKDIR: u32 = 9;
    pub(in super::super) const UNLINK: u32 = 10;
    pub(in super::super) const RMDIR: u32 = 11;
    pub(in super::super) const RENAME: u32 = 12;
    pub(in super::super) const LINK: u32 = 13;
    pub(in super::super) const OPEN: u32 = 14;
    pub(in super::super) const READ: u32 = 15;
    pub(in super::super) const WRITE: u32 = 16;
    pub(in super::super) const STATFS: u32 = 17;
    pub(in super::super) const RELEASE: u32 = 18;
    pub(in super::super) const FSYNC: u32 = 20;
    pub(in super::super) const SETXATTR: u32 = 21;
    pub(in super::super) const GETXATTR: u32 = 22;
    pub(in super::super) const LISTXATTR: u32 = 23;
    pub(in super::super) const REMOVEXATTR: u32 = 24;
    pub(in super::super) const INIT: u32 = 26;
    pub(in super::super) const OPENDIR: u32 = 27;
    pub(in super::super) const READDIR: u32 = 28;
    pub(in super::super) const RELEASEDIR: u32 = 29;
    pub(in super::super) const FSYNCDIR: u32 = 30;
    pub(in super::super) const CREATE: u32 = 35;
    pub(in super::super) const INTERRUPT: u32 = 36;
    pub(in super::super) const DESTROY: u32 = 38;
    pub(in super::super) const IOCTL: u32 = 39;
    pub(in super::super) const BATCH_FORGET: u32 = 42;
    pub(in super::super) const FALLOCATE: u32 = 43;
    pub(in super::super) const READDIRPLUS: u32 = 44;
    pub(in super::super) const RENAME2: u32 = 45;
    pub(in super::super) const LSEEK: u32 = 46;
    pub(in super::super) const TMPFILE: u32 = 51;
    pub(in super::super) const STATX: u32 = 52;
}

/// What `setattr` is to change.
pub(super) mod fattr {
    pub(in super::super) const MODE: u32 = 1 << 0;
    pub(in super::super) const UID: u32 = 1 << 1;
    pub(in super::super) const GID: u32 = 1 << 2;
    pub(in super::super) const SIZE: u32 = 1 << 3;
    pub(in super::super) const ATIME: u32 = 1 << 4;
    pub(in super::super) const MTIME: u32 = 1 << 5;
    pub(in super::super) const ATIME_NOW: u32 = 1 << 7;
    pub(in super::super) const MTIME_NOW: u32 = 1 << 8;
    pub(in super::super) const KILL_SUIDGID: u32 = 1 << 11;
}

/// What a ring is told: to hand a buffer to the kernel, which puts a request into it,
pub(super) const RING_REGISTER: u32 = 1;
/// and to answer that, and hand the buffer over for the next one.
pub(super) const RING_COMMIT_AND_FETCH: u32 = 2;

/// What the server tells unasked.
pub(super) const NOTIFY_INVAL_INODE: i32 = 2;
/// The same.
pub(super) const NOTIFY_INVAL_ENTRY: i32 = 3;

/// `setxattr`: the caller may not keep setgid on a file whose ACL it sets.
pub(super) const SETXATTR_ACL_KILL_SGID: u32 = 1 << 0;

/// Declares structures of the protocol, which have no padding and of which any bytes are a value.
macro_rules! wire {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $kind:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C)]
        pub(super) struct $name {
            $(pub(super) $field: $kind,)*
        }
    )*};
}

wire! {
    /// Begins a request.
    InHeader {
        len: u32, opcode: u32, unique: u64, nodeid: u64, uid: u32, gid: u32, pid: u32,
        extension_words: u16, padding: u16,
    }
    /// Begins an answer, or a notification: then `unique` is 0, and `error` tells of what.
    OutHeader { len: u32, error: i32, unique: u64, }
    /// What the kernel offers when a mount begins.
    InitIn {
        major: u32, minor: u32, max_readahead: u32, flags: u32, flags2: u32, unused: [u32; 11],
    }
    /// What is taken of it.
    InitOut {
        major: u32, minor: u32, max_readahead: u32, flags: u32, max_background: u16,
        congestion_threshold: u16, max_write: u32, time_gran: u32, max_pages: u16,
        map_alignment: u16, flags2: u32, max_stack_depth: u32, request_timeout: u16,
        unused: [u16; 11],
    }
    /// What `stat` tells. Seconds are signed.
    Attr {
        ino: u64, size: u64, blocks: u64, atime: i64, mtime: i64, ctime: i64, atimensec: u32,
        mtimensec: u32, ctimensec: u32, mode: u32, nlink: u32, uid: u32, gid: u32, rdev: u32,
        blksize: u32, flags: u32,
    }
    AttrOut { attr_valid: u64, attr_valid_nsec: u32, dummy: u32, attr: Attr, }
    StatxIn { getattr_flags: u32, reserved: u32, fh: u64, statx_flags: u32, mask: u32, }
    StatxTime { secs: i64, nanos: u32, reserved: i32, }
    /// What `statx` tells, and by its mask what of that is so.
    Statx {
        mask: u32, blksize: u32, attributes: u64, nlink: u32, uid: u32, gid: u32, mode: u16,
        spare: u16, ino: u64, size: u64, blocks: u64, attributes_mask: u64, atime: StatxTime,
        btime: StatxTime, ctime: StatxTime, mtime: StatxTime, rdev_major: u32, rdev_minor: u32,
        dev_major: u32, dev_minor: u32, spare2: [u64; 14],
    }
    StatxOut {
        attr_valid: u64, attr_valid_nsec: u32, flags: u32, spare: [u64; 2], stat: Statx,
    }
    EntryOut {
        nodeid: u64, generation: u64, entry_valid: u64, attr_valid: u64, entry_valid_nsec: u32,
        attr_valid_nsec: u32, attr: Attr,
    }
    OpenOut { fh: u64, open_flags: u32, backing_id: u32, }
    CreateOut { entry: EntryOut, open: OpenOut, }
    WriteOut { size: u32, padding: u32, }
    GetXattrOut { size: u32, padding: u32, }
    LseekOut { offset: u64, }
    StatfsOut {
        blocks: u64, bfree: u64, bavail: u64, files: u64, ffree: u64, bsize: u32, namelen: u32,
        frsize: u32, padding: u32, spare: [u32; 6],
    }
    /// Begins a row of a listing; the name follows, and zeros up to the next multiple of 8.
    Dirent { ino: u64, off: u64, namelen: u32, kind: u32, }
    /// The same, with all about the entry.
    DirentPlus { entry: EntryOut, dirent: Dirent, }
    ForgetIn { nlookup: u64, }
    BatchForgetIn { count: u32, dummy: u32, }
    ForgetOne { nodeid: u64, nlookup: u64, }
    InterruptIn { unique: u64, }
    SetattrIn {
        valid: u32, padding: u32, fh: u64, size: u64, lock_owner: u64, atime: i64, mtime: i64,
        ctime: i64, atimensec: u32, mtimensec: u32, ctimensec: u32, mode: u32, unused4: u32,
        uid: u32, gid: u32, unused5: u32,
    }
    GetattrIn { flags: u32, dummy: u32, fh: u64, }
    MknodIn { mode: u32, rdev: u32, umask: u32, padding: u32, }
    MkdirIn { mode: u32, umask: u32, }
    RenameIn { newdir: u64, }
    Rename2In { newdir: u64, flags: u32, padding: u32, }
    LinkIn { oldnodeid: u64, }
    OpenIn { flags: u32, open_flags: u32, }
    CreateIn { flags: u32, mode: u32, umask: u32, open_flags: u32, }
    ReleaseIn { fh: u64, flags: u32, release_flags: u32, lock_owner: u64, }
    /// Also that of listings.
    ReadIn {
        fh: u64, offset: u64, size: u32, read_flags: u32, lock_owner: u64, flags: u32,
        padding: u32,
    }
    WriteIn {
        fh: u64, offset: u64, size: u32, write_flags: u32, lock_owner: u64, flags: u32,
        padding: u32,
    }
    FsyncIn { fh: u64, fsync_flags: u32, padding: u32, }
    /// With what `FUSE_SETXATTR_EXT` adds to it.
    SetxattrIn { size: u32, flags: u32, setxattr_flags: u32, padding: u32, }
    GetxattrIn { size: u32, padding: u32, }
    FallocateIn { fh: u64, offset: u64, length: u64, mode: u32, padding: u32, }
    LseekIn { fh: u64, offset: u64, whence: u32, padding: u32, }
    IoctlIn { fh: u64, flags: u32, cmd: u32, arg: u64, in_size: u32, out_size: u32, }
    NotifyInvalInode { ino: u64, off: i64, len: i64, }
    /// The name follows, and a NUL.
    NotifyInvalEntry { parent: u64, namelen: u32, flags: u32, }
    /// Tells of a buffer of a ring: what names the request in it, and how many bytes lie beside.
    RingEntry { flags: u64, commit_id: u64, payload_bytes: u32, padding: u32, reserved: u64, }
    /// The headers of a buffer of a ring: of the request or the answer; of the request's kind; and
    /// of the buffer.
    RingHeader { in_out: [u8; 128], op: [u8; 128], entry: RingEntry, }
    /// What a ring is told, in its entry.
    RingCommand { flags: u64, commit_id: u64, qid: u16, padding: [u8; 6], }
}

/// The length of the structure that follows the header of a request. Kinds that are answered with
/// an error unread have none.
pub(super) fn structure_bytes(opcode: u32) -> usize {
    match opcode {
        opcode::FORGET => size_of::<ForgetIn>(),
        opcode::GETATTR => size_of::<GetattrIn>(),
        opcode::SETATTR => size_of::<SetattrIn>(),
        opcode::MKNOD => size_of::<MknodIn>(),
        opcode::MKDIR => size_of::<MkdirIn>(),
        opcode::RENAME => size_of::<RenameIn>(),
        opcode::LINK => size_of::<LinkIn>(),
        opcode::OPEN | opcode::OPENDIR => size_of::<OpenIn>(),
        opcode::READ | opcode::READDIR | opcode::READDIRPLUS => size_of::<ReadIn>(),
        opcode::WRITE => size_of::<WriteIn>(),
        opcode::RELEASE | opcode::RELEASEDIR => size_of::<ReleaseIn>(),
        opcode::FSYNC | opcode::FSYNCDIR => size_of::<FsyncIn>(),
        opcode::SETXATTR => size_of::<SetxattrIn>(),
        opcode::GETXATTR | opcode::LISTXATTR => size_of::<GetxattrIn>(),
        opcode::INIT => size_of::<InitIn>(),
        opcode::CREATE | opcode::TMPFILE => size_of::<CreateIn>(),
        opcode::INTERRUPT => size_of::<InterruptIn>(),
        opcode::IOCTL => size_of::<IoctlIn>(),
        opcode::BATCH_FORGET => size_of::<BatchForgetIn>(),
        opcode::FALLOCATE => size_of::<FallocateIn>(),
        opcode::RENAME2 => size_of::<Rename2In>(),
        opcode::LSEEK => size_of::<LseekIn>(),
        opcode::STATX => size_of::<StatxIn>(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use crate::fuse::ring::wire;

    #[test]
    fn structures_have_the_sizes_of_the_kernel() {
        let sizes = [
            (size_of::<wire::InHeader>(), 40),
            (size_of::<wire::OutHeader>(), 16),
            (size_of::<wire::InitIn>(), 64),
            (size_of::<wire::InitOut>(), 64),
            (size_of::<wire::Attr>(), 88),
            (size_of::<wire::AttrOut>(), 104),
            (size_of::<wire::StatxIn>(), 24),
            (size_of::<wire::Statx>(), 256),
            (size_of::<wire::StatxOut>(), 288),
            (size_of::<wire::EntryOut>(), 128),
            (size_of::<wire::OpenOut>(), 16),
            (size_of::<wire::CreateOut>(), 144),
            (size_of::<wire::WriteOut>(), 8),
            (size_of::<wire::GetXattrOut>(), 8),
            (size_of::<wire::LseekOut>(), 8),
            (size_of::<wire::StatfsOut>(), 80),
            (size_of::<wire::Dirent>(), 24),
            (size_of::<wire::DirentPlus>(), 152),
            (size_of::<wire::ForgetIn>(), 8),
            (size_of::<wire::BatchForgetIn>(), 8),
            (size_of::<wire::ForgetOne>(), 16),
            (size_of::<wire::InterruptIn>(), 8),
            (size_of::<wire::SetattrIn>(), 88),
            (size_of::<wire::GetattrIn>(), 16),
            (size_of::<wire::MknodIn>(), 16),
            (size_of::<wire::MkdirIn>(), 8),
            (size_of::<wire::RenameIn>(), 8),
            (size_of::<wire::Rename2In>(), 16),
            (size_of::<wire::LinkIn>(), 8),
            (size_of::<wire::OpenIn>(), 8),
            (size_of::<wire::CreateIn>(), 16),
            (size_of::<wire::ReleaseIn>(), 24),
            (size_of::<wire::ReadIn>(), 40),
            (size_of::<wire::WriteIn>(), 40),
            (size_of::<wire::FsyncIn>(), 16),
            (size_of::<wire::SetxattrIn>(), 16),
            (size_of::<wire::GetxattrIn>(), 8),
            (size_of::<wire::FallocateIn>(), 32),
            (size_of::<wire::LseekIn>(), 24),
            (size_of::<wire::IoctlIn>(), 32),
            (size_of::<wire::NotifyInvalInode>(), 24),
            (size_of::<wire::NotifyInvalEntry>(), 16),
            (size_of::<wire::RingEntry>(), 32),
            (size_of::<wire::RingHeader>(), 288),
            (size_of::<wire::RingCommand>(), 24),
        ];
        for (at, (ours, theirs)) in sizes.into_iter().enumerate() {
            assert_eq!(ours, theirs, "number {at}");
        }
    }

    #[test]
    fn fields_lie_where_the_kernel_has_them() {
        let offsets = [
            (offset_of!(wire::InHeader, nodeid), 16),
            (offset_of!(wire::InHeader, pid), 32),
            (offset_of!(wire::InitIn, flags2), 16),
            (offset_of!(wire::InitOut, max_write), 20),
            (offset_of!(wire::InitOut, max_pages), 28),
            (offset_of!(wire::InitOut, flags2), 32),
            (offset_of!(wire::InitOut, request_timeout), 40),
            (offset_of!(wire::Attr, atimensec), 48),
            (offset_of!(wire::Attr, mode), 60),
            (offset_of!(wire::Attr, blksize), 80),
            (offset_of!(wire::EntryOut, attr), 40),
            (offset_of!(wire::AttrOut, attr), 16),
            (offset_of!(wire::StatxOut, stat), 32),
            (offset_of!(wire::Statx, ino), 32),
            (offset_of!(wire::Statx, btime), 80),
            (offset_of!(wire::Statx, rdev_major), 128),
            (offset_of!(wire::DirentPlus, dirent), 128),
            (offset_of!(wire::SetattrIn, atime), 32),
            (offset_of!(wire::SetattrIn, mode), 68),
            (offset_of!(wire::SetattrIn, uid), 76),
            (offset_of!(wire::WriteIn, write_flags), 20),
            (offset_of!(wire::WriteIn, flags), 32),
            (offset_of!(wire::LseekIn, whence), 16),
            (offset_of!(wire::FallocateIn, mode), 24),
            (offset_of!(wire::RingHeader, op), 128),
            (offset_of!(wire::RingHeader, entry), 256),
            (offset_of!(wire::RingEntry, commit_id), 8),
            (offset_of!(wire::RingEntry, payload_bytes), 16),
            (offset_of!(wire::RingCommand, qid), 16),
        ];
        for (at, (ours, theirs)) in offsets.into_iter().enumerate() {
            assert_eq!(ours, theirs, "number {at}");
        }
    }

    #[test]
    fn every_structure_of_a_request_fits_into_a_ring() {
        assert!((0..=64).all(|opcode| wire::structure_bytes(opcode) <= 128));
    }
}
