//! What is read of a file of the tree that is imported, beside its content.

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{SeekFrom, llistxattr, seek};
use rustix::io::Errno;

use crate::model::{FileKind, NewNode, Timestamp};

/// The largest that Linux lets a list or a value of extended attributes be.
const XATTR_BYTES_MAX: usize = 64 * 1024;
/// Most files have none, and a list of this length is found in one call.
const XATTR_LIST_BYTES: usize = 1024;
/// What `st_blocks` counts.
const BLOCK_BYTES: u64 = 512;
const SETUID_SETGID: u16 = 0o6000;

/// The attributes of a file that its copy gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attributes {
    /// What it is.
    pub(super) kind: FileKind,
    /// Permission bits, at most 0o7777.
    pub(super) perm: u16,
    /// Owner of the copy.
    pub(super) uid: u32,
    /// Group of the copy.
    pub(super) gid: u32,
    /// Number of a device.
    pub(super) rdev: u64,
    /// Time of the last change of the content.
    pub(super) mtime: Timestamp,
    /// Extended attributes: names and values.
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The file has, or will have, other names.
    pub(super) linked: bool,
}

/// Who copies. Only root can give files to others, and make what gives rights away.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copyist {
    pub(super) is_root: bool,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Copyist {
    /// The user of this process.
    pub(super) fn current() -> Self {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        Self { is_root: uid.is_root(), uid: uid.as_raw(), gid: gid.as_raw() }
    }

    /// A directory of this user.
    pub(super) fn directory(&self, perm: u16) -> NewNode {
        let (kind, target) = (FileKind::Directory, Box::default());
        NewNode { kind, perm, uid: self.uid, gid: self.gid, rdev: 0, target }
    }
}

impl Attributes {
    /// Reads them.
    pub(super) fn read(path: &Path, meta: &Metadata, copyist: Copyist) -> io::Result<Self> {
        let kind = kind(meta);
        let mut perm = (meta.mode() & 0o7777) as u16;
        let (mut uid, mut gid) = (meta.uid(), meta.gid());
        if !copyist.is_root {
            if (uid, gid) != (copyist.uid, copyist.gid) && kind != FileKind::Directory {
                // With another owner these bits would give away other rights.
                perm &= !SETUID_SETGID;
            }
            (uid, gid) = (copyist.uid, copyist.gid);
        }
        Ok(Self {
            kind,
            perm,
            uid,
            gid,
            rdev: meta.rdev(),
            mtime: Timestamp { secs: meta.mtime(), nanos: meta.mtime_nsec() as u32 },
            xattrs: read_xattrs(path)?,
            linked: meta.nlink() > 1,
        })
    }
}

fn kind(meta: &Metadata) -> FileKind {
    let kind = meta.file_type();
    match () {
        () if kind.is_dir() => FileKind::Directory,
        () if kind.is_symlink() => FileKind::Symlink,
        () if kind.is_fifo() => FileKind::Fifo,
        () if kind.is_socket() => FileKind::Socket,
        () if kind.is_char_device() => FileKind::CharDevice,
        () if kind.is_block_device() => FileKind::BlockDevice,
        () => FileKind::Regular,
    }
}

fn read_xattrs(path: &Path) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut short = [0; XATTR_LIST_BYTES];
    let mut long = Vec::new();
    let list = match llistxattr(path, &mut short) {
        Ok(0) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Vec::new()),
        Ok(len) => &short[..len],
        Err(Errno::RANGE) => {
            long.resize(XATTR_BYTES_MAX, 0);
            let len = llistxattr(path, &mut long[..])?;
            &long[..len]
        }
        Err(error) => return Err(error.into()),
    };
    let mut xattrs = Vec::new();
    let mut value = vec![0; XATTR_BYTES_MAX];
    for name in list.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        match rustix::fs::lgetxattr(path, name, &mut value[..]) {
            Ok(len) => xattrs.push((name.to_vec(), value[..len].to_vec())),
            // Removed meanwhile.
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(xattrs)
}

/// Where a file has data, as far as its filesystem tells.
pub(super) fn data_ranges(file: &File, meta: &Metadata) -> io::Result<Vec<Range<u64>>> {
    let size = meta.size();
    if meta.blocks().saturating_mul(BLOCK_BYTES) >= size {
        return Ok(std::iter::once(0..size).filter(|range| !range.is_empty()).collect());
    }
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL) => {
                ranges.push(at..size);
                break;
            }
            Err(error) => return Err(error.into()),
        };
        let end = seek(file, SeekFrom::Hole(start))?.min(size);
        if end <= start {
            break;
        }
        ranges.push(start..end);
        at = end;
    }
    Ok(ranges)
}
