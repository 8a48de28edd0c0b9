//! From the values of `vfs` to the structures that the kernel is answered with.

use rustix::io::Errno;
use zerocopy::{FromZeros, Immutable, IntoBytes};

use super::wire::{self, AttrOut, CreateOut, Dirent, DirentPlus, OpenOut, StatxOut, StatxTime};
use crate::base::limits::NAME_BYTES_MAX;
use crate::fuse::convert;
use crate::model::{FileKind, Timestamp};
use crate::vfs::{Answer, Attr, DirRow, EntryOut, StatfsOut, Ttl};

/// What the body of an answer is put into, behind each other.
pub(super) type Body = Vec<u8>;

/// Adds a structure.
pub(super) fn put(body: &mut Body, structure: &(impl IntoBytes + Immutable)) {
    body.extend_from_slice(structure.as_bytes());
}

/// The bits of a mode that tell the kind of a file.
fn kind_bits(kind: FileKind) -> u32 {
    match kind {
        FileKind::Regular => libc::S_IFREG,
        FileKind::Directory => libc::S_IFDIR,
        FileKind::Symlink => libc::S_IFLNK,
        FileKind::Fifo => libc::S_IFIFO,
        FileKind::Socket => libc::S_IFSOCK,
        FileKind::CharDevice => libc::S_IFCHR,
        FileKind::BlockDevice => libc::S_IFBLK,
    }
}

fn attr(attr: &Attr) -> wire::Attr {
    let meta = &attr.meta;
    wire::Attr {
        ino: attr.ino,
        size: attr.size,
        blocks: attr.blocks,
        atime: attr.atime.secs,
        mtime: meta.mtime.secs,
        ctime: attr.ctime.secs,
        atimensec: attr.atime.nanos,
        mtimensec: meta.mtime.nanos,
        ctimensec: attr.ctime.nanos,
        mode: kind_bits(meta.kind) | u32::from(meta.perm),
        nlink: attr.nlink,
        uid: meta.uid,
        gid: meta.gid,
        rdev: meta.rdev,
        blksize: convert::BLOCK_BYTES,
        flags: 0,
    }
}

fn ttl_secs(ttl: Ttl) -> u64 {
    convert::ttl(ttl).as_secs()
}

pub(super) fn attributes(out: &EntryOut) -> AttrOut {
    let attr_valid = ttl_secs(out.ttl);
    AttrOut { attr_valid, attr_valid_nsec: 0, dummy: 0, attr: attr(&out.attr) }
}

/// All that `statx` can be told, whatever it asks for: the kernel keeps it.
pub(super) fn statx(out: &EntryOut) -> StatxOut {
    let wire::Attr { blksize, nlink, uid, gid, mode, ino, size, blocks, rdev, .. } =
        attr(&out.attr);
    let born = if out.attr.born.is_some() { libc::STATX_BTIME } else { 0 };
    let time = |Timestamp { secs, nanos }| StatxTime { secs, nanos, reserved: 0 };
    let stat = wire::Statx {
        mask: libc::STATX_BASIC_STATS | born,
        blksize,
        nlink,
        uid,
        gid,
        // Sixteen bits.
        mode: mode as u16,
        ino,
        size,
        blocks,
        atime: time(out.attr.atime),
        btime: time(out.attr.born.unwrap_or_default()),
        ctime: time(out.attr.ctime),
        mtime: time(out.attr.meta.mtime),
        // Parts of what is one number elsewhere, in which the minor one lies around the major one.
        rdev_major: rdev >> 8 & 0xfff,
        rdev_minor: rdev & 0xff | rdev >> 12 & 0xf_ff00,
        ..wire::Statx::new_zeroed()
    };
    StatxOut { attr_valid: ttl_secs(out.ttl), stat, ..StatxOut::new_zeroed() }
}

pub(super) fn entry(out: &EntryOut) -> wire::EntryOut {
    wire::EntryOut {
        nodeid: out.attr.ino,
        // Numbers are never given twice.
        generation: 0,
        entry_valid: ttl_secs(out.ttl),
        attr_valid: ttl_secs(out.ttl),
        entry_valid_nsec: 0,
        attr_valid_nsec: 0,
        attr: attr(&out.attr),
    }
}

/// What says that there is nothing, and lets the kernel remember it: inode 0.
pub(super) fn absent() -> wire::EntryOut {
    wire::EntryOut { entry_valid: ttl_secs(Ttl::Forever), ..wire::EntryOut::new_zeroed() }
}

pub(super) fn opened(fh: u64, flags: fuser::FopenFlags) -> OpenOut {
    OpenOut { fh, open_flags: flags.bits(), backing_id: 0 }
}

pub(super) fn created(out: &EntryOut, open: OpenOut) -> CreateOut {
    CreateOut { entry: entry(out), open }
}

pub(super) fn statfs(out: &StatfsOut) -> wire::StatfsOut {
    wire::StatfsOut {
        blocks: out.blocks,
        bfree: out.free,
        bavail: out.available,
        files: out.files,
        ffree: out.files_free,
        bsize: out.block_bytes,
        namelen: NAME_BYTES_MAX as u32,
        frsize: out.block_bytes,
        ..wire::StatfsOut::new_zeroed()
    }
}

/// Adds a row of a listing, of which there may be so many bytes in all. Tells whether it fitted.
pub(super) fn row(body: &mut Body, bytes_max: usize, plus: bool, row: &DirRow<'_>) -> bool {
    let head = if plus { size_of::<DirentPlus>() } else { size_of::<Dirent>() };
    let len = (head + row.name.len()).next_multiple_of(8);
    if body.len() + len > bytes_max {
        return false;
    }
    let end = body.len() + len;
    // Names are short.
    let namelen = row.name.len() as u32;
    let kind = kind_bits(row.kind) >> 12;
    let dirent = Dirent { ino: row.ino, off: row.next, namelen, kind };
    match (plus, &row.entry) {
        (false, _) => put(body, &dirent),
        (true, Some(out)) => put(body, &DirentPlus { entry: entry(out), dirent }),
        // `.` and `..`: the kernel takes the number and the kind from the row, and holds nothing.
        (true, None) => put(body, &DirentPlus { entry: wire::EntryOut::new_zeroed(), dirent }),
    }
    body.extend_from_slice(row.name);
    body.resize(end, 0);
    true
}

/// Adds the value of an extended attribute to one who has so much room, or its size to one who asks
/// for that.
pub(super) fn xattr(body: &mut Body, room: u32, value: &[u8]) -> Answer<()> {
    // Values are bounded far below 4 GiB.
    let size = value.len() as u32;
    match room {
        0 => put(body, &wire::GetXattrOut { size, padding: 0 }),
        _ if size > room => return Err(Errno::RANGE),
        _ => body.extend_from_slice(value),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;
    use zerocopy::FromBytes;

    use super::{Body, attributes, entry, row, statx, xattr};
    use crate::fuse::ring::wire::{Dirent, DirentPlus};
    use crate::model::{FileKind, Meta, Timestamp};
    use crate::vfs::{Attr, DirRow, EntryOut, Ttl};

    fn out() -> EntryOut {
        let before_1970 = Timestamp { secs: -2, nanos: 750_000_000 };
        let kind = FileKind::Directory;
        let meta = Meta { kind, perm: 0o1755, uid: 1, gid: 2, rdev: 0, mtime: before_1970 };
        let (ctime, atime) = (Timestamp::default(), before_1970);
        let born = Some(Timestamp { secs: 9, nanos: 8 });
        let attr = Attr { ino: 7, meta, size: 3, blocks: 1, nlink: 2, ctime, atime, born };
        EntryOut { attr, ttl: Ttl::Forever }
    }

    #[test]
    fn times_before_1970_keep_their_fraction() {
        let wire = entry(&out());
        assert_eq!((wire.attr.mtime, wire.attr.mtimensec), (-2, 750_000_000));
        assert_eq!((wire.attr.atime, wire.attr.atimensec), (-2, 750_000_000));
        assert_eq!(wire.attr.mode, 0o041_755);
        assert!(wire.entry_valid > 0);
    }

    #[test]
    fn statx_tells_what_stat_does_and_a_birth_if_there_is_one() {
        let mut told = out();
        // Of the device 0x234:0x56789.
        told.attr.meta.rdev = 0x5672_3489;
        let (wire, plain) = (statx(&told), attributes(&told));
        let (stat, attr) = (wire.stat, plain.attr);
        assert_eq!(wire.attr_valid, plain.attr_valid);
        assert_eq!((stat.ino, stat.size, stat.blocks), (attr.ino, attr.size, attr.blocks));
        assert_eq!((stat.nlink, stat.uid, stat.gid), (attr.nlink, attr.uid, attr.gid));
        assert_eq!((u32::from(stat.mode), stat.blksize), (attr.mode, attr.blksize));
        assert_eq!((stat.mtime.secs, stat.mtime.nanos), (attr.mtime, attr.mtimensec));
        assert_eq!((stat.atime.secs, stat.atime.nanos), (attr.atime, attr.atimensec));
        assert_eq!((stat.ctime.secs, stat.ctime.nanos), (attr.ctime, attr.ctimensec));
        assert_eq!((stat.rdev_major, stat.rdev_minor), (0x234, 0x5_6789));
        assert_eq!((stat.btime.secs, stat.btime.nanos, stat.mask), (9, 8, 0xfff));
        told.attr.born = None;
        assert_eq!(statx(&told).stat.mask, 0x7ff);
    }

    #[test]
    fn rows_are_put_until_no_more_fit() {
        let name = b"a name";
        let listed = DirRow { ino: 7, kind: FileKind::Fifo, name, next: 3, entry: Some(out()) };
        for (plus, len) in [(false, 32), (true, 160)] {
            let mut body = Body::new();
            assert!(row(&mut body, 2 * len, plus, &listed));
            assert!(row(&mut body, 2 * len, plus, &DirRow { entry: None, ..listed }));
            assert!(!row(&mut body, 2 * len, plus, &listed));
            assert_eq!(body.len(), 2 * len);
            let dirent = match plus {
                true => {
                    let second = DirentPlus::read_from_prefix(&body[len..]).unwrap().0;
                    assert_eq!(second.entry.nodeid, 0, "the kernel would hold it");
                    DirentPlus::read_from_prefix(&body).unwrap().0.dirent
                }
                false => Dirent::read_from_prefix(&body).unwrap().0,
            };
            assert_eq!(dirent, Dirent { ino: 7, off: 3, namelen: 6, kind: 1 });
            assert_eq!(&body[len - 8..len], b"a name\0\0");
        }
    }

    #[test]
    fn an_attribute_is_told_by_size_or_by_value_or_is_too_long() {
        let mut body = Body::new();
        assert_eq!(xattr(&mut body, 0, b"value"), Ok(()));
        assert_eq!(body, [5, 0, 0, 0, 0, 0, 0, 0]);
        body.clear();
        assert_eq!(xattr(&mut body, 4, b"value"), Err(Errno::RANGE));
        assert_eq!(xattr(&mut body, 5, b"value"), Ok(()));
        assert_eq!(body, b"value");
    }
}
