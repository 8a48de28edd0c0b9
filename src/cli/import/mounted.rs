//! Makes the files of an import through a mount, as any other program would.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chownat,
    lremovexattr, lsetxattr, mkdirat, mknodat, utimensat,
};
use rustix::io::Errno;

use super::source::{Attributes, Copyist};
use super::target::{Failure, Losses, Target, lost_xattr};
use crate::cli::error::{CliError, reason};
use crate::cli::mountinfo::is_dead;
use crate::model::{FileKind, Name};
use crate::vfs::acl::{ACCESS_XATTR, DEFAULT_XATTR};

const SPECIAL_BITS: u16 = 0o7000;
const PRIVATE: Mode = Mode::RWXU;

/// A directory in a mount.
pub(super) struct Mounted {
    top: PathBuf,
    copyist: Copyist,
    /// There may be files already, and directories that give theirs an access list or a group.
    merge: bool,
}

impl Mounted {
    /// Makes files below `top`. New files get the permissions that are asked for, whatever the
    /// mask of this process was.
    pub(super) fn new(top: PathBuf, copyist: Copyist, merge: bool) -> Self {
        rustix::process::umask(Mode::empty());
        Self { top, copyist, merge }
    }

    /// Makes way for a file that replaces another one.
    fn make_way(&self, path: &Path) -> Result<(), Failure> {
        if !self.merge {
            return Ok(());
        }
        match fs::remove_file(path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                Err(Failure::File("a directory has its place".to_owned()))
            }
            Err(error) => Err(self.failure(error)),
        }
    }

    /// Sets owner, extended attributes, mode and time, in this order: a new owner takes set-uid
    /// bits away, and an access list changes the mode.
    fn finish_path(&self, path: &Path, attributes: &Attributes) -> Result<Losses, Failure> {
        let Attributes { kind, perm, uid, gid, mtime, xattrs, .. } = attributes;
        let is_directory = *kind == FileKind::Directory;
        let mine = (*uid, *gid) == (self.copyist.uid, self.copyist.gid);
        if !mine || self.merge {
            let (uid, gid) = (Some(Uid::from_raw(*uid)), Some(Gid::from_raw(*gid)));
            chownat(CWD, path, uid, gid, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| self.errno(e))?;
        }
        let mut losses = Losses::new();
        if self.merge && *kind != FileKind::Symlink {
            for name in [ACCESS_XATTR, DEFAULT_XATTR] {
                // What the directory above gave; most have none.
                let _ = lremovexattr(path, name);
            }
        }
        for (name, value) in xattrs {
            match lsetxattr(path, name.as_slice(), value, XattrFlags::empty()) {
                Ok(()) => {}
                Err(errno) if is_dead(errno) => return Err(self.errno(errno)),
                Err(error) => losses.push(lost_xattr(name, &reason(&error.into()))),
            }
        }
        let mode_is_set =
            !is_directory && perm & SPECIAL_BITS == 0 && mine && xattrs.is_empty() && !self.merge;
        if !mode_is_set && *kind != FileKind::Symlink {
            let mode = Permissions::from_mode(u32::from(*perm));
            fs::set_permissions(path, mode).map_err(|error| self.failure(error))?;
        }
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: mtime.secs, tv_nsec: mtime.nanos.into() },
        };
        utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| self.errno(e))?;
        Ok(losses)
    }

    fn errno(&self, errno: Errno) -> Failure {
        self.failure(errno.into())
    }

    /// Tells what concerns one file from what would happen to every one.
    fn failure(&self, error: io::Error) -> Failure {
        match Errno::from_io_error(&error) {
            Some(errno) if is_dead(errno) => {
                Failure::All(CliError::DeadMount { mountpoint: self.top.clone() })
            }
            Some(Errno::NOSPC | Errno::DQUOT | Errno::ROFS | Errno::IO) => {
                Failure::All(CliError::io(format!("writing to {}", self.top.display()), error))
            }
            _ => Failure::file(&error),
        }
    }
}

/// A file that is being written.
pub(super) struct OpenFile {
    path: PathBuf,
    file: File,
}

impl Target for Mounted {
    type Node = PathBuf;
    type Open = OpenFile;

    fn top(&self) -> PathBuf {
        self.top.clone()
    }

    fn directory(&self, parent: &PathBuf, name: &Name) -> Result<PathBuf, Failure> {
        let path = parent.join(name.as_os_str());
        match mkdirat(CWD, &path, PRIVATE) {
            Ok(()) => Ok(path),
            Err(Errno::EXIST) if self.merge => {
                let there = fs::symlink_metadata(&path).map_err(|error| self.failure(error))?;
                if there.is_dir() { Ok(path) } else { Err(self.errno(Errno::NOTDIR)) }
            }
            Err(errno) => Err(self.errno(errno)),
        }
    }

    fn finish_directory(
        &self,
        directory: &PathBuf,
        attributes: &Attributes,
    ) -> Result<Losses, Failure> {
        self.finish_path(directory, attributes)
    }

    fn file(
        &self,
        parent: &PathBuf,
        name: &Name,
        attributes: &Attributes,
        data: &[u8],
    ) -> Result<(PathBuf, Losses), Failure> {
        let open = self.begin(parent, name, attributes)?;
        if !data.is_empty() {
            self.write(&open, 0, data)?;
        }
        let path = open.path.clone();
        drop(open);
        let losses = self.finish_path(&path, attributes)?;
        Ok((path, losses))
    }

    fn begin(
        &self,
        parent: &PathBuf,
        name: &Name,
        attributes: &Attributes,
    ) -> Result<OpenFile, Failure> {
        let path = parent.join(name.as_os_str());
        self.make_way(&path)?;
        let mode = u32::from(attributes.perm & !SPECIAL_BITS);
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
        Ok(OpenFile { file: file.map_err(|error| self.failure(error))?, path })
    }

    fn node(&self, open: &OpenFile) -> PathBuf {
        open.path.clone()
    }

    fn write(&self, open: &OpenFile, offset: u64, data: &[u8]) -> Result<(), Failure> {
        open.file.write_all_at(data, offset).map_err(|error| self.failure(error))
    }

    fn finish(
        &self,
        open: OpenFile,
        size: u64,
        attributes: &Attributes,
    ) -> Result<Losses, Failure> {
        open.file.set_len(size).map_err(|error| self.failure(error))?;
        let path = open.path.clone();
        drop(open);
        self.finish_path(&path, attributes)
    }

    fn special(
        &self,
        parent: &PathBuf,
        name: &Name,
        attributes: &Attributes,
        target: &[u8],
    ) -> Result<(PathBuf, Losses), Failure> {
        let path = parent.join(name.as_os_str());
        self.make_way(&path)?;
        let made = match attributes.kind {
            FileKind::Symlink => symlink(OsStr::from_bytes(target), &path),
            kind => {
                let mode = Mode::from_raw_mode(u32::from(attributes.perm & !SPECIAL_BITS));
                let made = mknodat(CWD, &path, file_type(kind), mode, attributes.rdev);
                made.map_err(io::Error::from)
            }
        };
        made.map_err(|error| self.failure(error))?;
        let losses = self.finish_path(&path, attributes)?;
        Ok((path, losses))
    }

    fn link(&self, file: &PathBuf, parent: &PathBuf, name: &Name) -> Result<(), Failure> {
        let path = parent.join(name.as_os_str());
        self.make_way(&path)?;
        fs::hard_link(file, path).map_err(|error| self.failure(error))
    }
}

fn file_type(kind: FileKind) -> FileType {
    match kind {
        FileKind::Fifo => FileType::Fifo,
        FileKind::Socket => FileType::Socket,
        FileKind::CharDevice => FileType::CharacterDevice,
        FileKind::BlockDevice => FileType::BlockDevice,
        FileKind::Directory => FileType::Directory,
        FileKind::Symlink => FileType::Symlink,
        FileKind::Regular => FileType::RegularFile,
    }
}
