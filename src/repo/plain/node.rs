//! Single nodes of a plain tree: files with their content, links, fifos and the like, and what
//! attributes all of them have.

use std::ffi::OsStr;
use std::fs::{File as PlainFile, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::failed;
use crate::base::limits::EXPORT_BUFFER_BYTES;
use crate::model::{Entry, EntryBody, FileKind, Meta, ObjectSource};
use crate::repo::RepoError;
use crate::worktree::{File, load_xattrs};

/// Bits that give a program the rights of the owner or group of its file.
const SET_ID: u16 = 0o6000;

/// Makes a directory that is its owner's alone until it has its attributes.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::mkdirat(CWD, path, Mode::RWXU)?)
}

/// What came of making a node that not everybody may make, or that not every filesystem has.
fn made_or_told(
    made: rustix::io::Result<()>,
    path: &Path,
    what: &str,
) -> Result<Result<(), String>, RepoError> {
    match made {
        Ok(()) => Ok(Ok(())),
        Err(errno @ (Errno::PERM | Errno::OPNOTSUPP)) => Ok(Err(format!("{what}: {errno}"))),
        Err(errno) => Err(failed("creating", path, errno.into())),
    }
}

/// Writes nodes.
pub(super) struct NodeWriter {
    buffer: Vec<u8>,
    /// Who writes them.
    user: (Uid, Gid),
}

impl NodeWriter {
    pub(super) fn new() -> Self {
        let user = (rustix::process::geteuid(), rustix::process::getegid());
        Self { buffer: vec![0; EXPORT_BUFFER_BYTES], user }
    }

    /// Makes anything but a directory, without its attributes. What the user may not make is told.
    pub(super) fn make(
        &mut self,
        path: &Path,
        entry: &Entry,
        src: &dyn ObjectSource,
        written: &mut dyn FnMut(u64),
    ) -> Result<Result<(), String>, RepoError> {
        let (kind, what) = match (&entry.body, entry.meta.kind) {
            (EntryBody::File { size, content }, _) => {
                let file = File::stored(*size, *content);
                self.content(path, &file, src, written)?;
                return Ok(Ok(()));
            }
            (EntryBody::Symlink(target), _) => {
                let made = rustix::fs::symlink(OsStr::from_bytes(target), path);
                return made_or_told(made, path, "a symbolic link");
            }
            (_, FileKind::Fifo) => (FileType::Fifo, "a fifo"),
            (_, FileKind::Socket) => (FileType::Socket, "a socket"),
            (_, FileKind::CharDevice) => (FileType::CharacterDevice, "a device"),
            (_, FileKind::BlockDevice) => (FileType::BlockDevice, "a device"),
            _ => return Ok(Err("it is of a kind that has no node".to_owned())),
        };
        let rdev = u64::from(entry.meta.rdev);
        let made = rustix::fs::mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, rdev);
        made_or_told(made, path, what)
    }

    /// Writes a file, and leaves out what is a hole.
    fn content(
        &mut self,
        path: &Path,
        file: &File,
        src: &dyn ObjectSource,
        written: &mut dyn FnMut(u64),
    ) -> Result<(), RepoError> {
        let error = |error| failed("writing", path, error);
        let plain = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let plain: PlainFile = plain.map_err(error)?;
        plain.set_len(file.size()).map_err(error)?;
        let mut at = 0;
        while let Some(data) = file.next_data(at, src)? {
            let end = file.next_hole(data, src)?.unwrap_or(file.size());
            at = data;
            while at < end {
                let len = usize::try_from(end - at).unwrap_or(usize::MAX).min(self.buffer.len());
                let read = file.read(at, &mut self.buffer[..len], src)?;
                plain.write_all_at(&self.buffer[..read], at).map_err(error)?;
                at += read as u64;
                written(read as u64);
            }
        }
        Ok(())
    }

    /// Gives a node the owner, extended attributes, mode and time of an entry, in an order in which
    /// none of them undoes another. `leave_out` is told what cannot be set.
    pub(super) fn set_attributes(
        &self,
        path: &Path,
        entry: &Entry,
        src: &dyn ObjectSource,
        leave_out: &mut dyn FnMut(String),
    ) -> Result<(), RepoError> {
        let error = |errno: Errno| failed("setting attributes of", path, errno.into());
        let Meta { kind, perm, uid, gid, mtime, .. } = entry.meta;
        let mut keeps_owner = true;
        let owner = (Uid::from_raw(uid), Gid::from_raw(gid));
        if owner != self.user || self.user.0.is_root() {
            let (uid, gid) = (Some(owner.0), Some(owner.1));
            match rustix::fs::chownat(CWD, path, uid, gid, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(()) => {}
                // As any program that copies: who is not root owns what he copies.
                Err(Errno::PERM | Errno::INVAL) => keeps_owner = false,
                Err(errno) => return Err(error(errno)),
            }
        }
        for (name, value) in load_xattrs(entry.xattrs.clone(), src)?.iter() {
            let flags = XattrFlags::empty();
            match rustix::fs::lsetxattr(path, OsStr::from_bytes(name), value, flags) {
                Ok(()) => {}
                Err(errno @ (Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::NOSPC)) => {
                    leave_out(format!("the attribute {}: {errno}", name.escape_ascii()));
                }
                Err(errno) => return Err(error(errno)),
            }
        }
        if kind != FileKind::Symlink {
            // A program would run with the rights of another than the one that it was made for.
            let perm = if keeps_owner { perm } else { perm & !SET_ID };
            rustix::fs::chmod(path, Mode::from_raw_mode(perm.into())).map_err(error)?;
        }
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: mtime.secs, tv_nsec: mtime.nanos.into() },
        };
        rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(error)
    }
}
