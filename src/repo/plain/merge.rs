//! Moving a tree that was written into a directory that has something in it.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;

use super::failed;
use crate::base::limits::XATTR_VALUE_BYTES_MAX;
use crate::repo::RepoError;

/// As long as a list of names can be in Linux (`XATTR_LIST_MAX`).
const XATTR_LIST_BYTES_MAX: usize = 64 * 1024;

/// Moves what is in one directory into another, over what has the same names there, and removes the
/// first. Directories that are in both are merged and get the attributes of the one that is moved;
/// so does the top if it is to.
pub(super) fn merge(from: &Path, to: &Path, with_top: bool) -> Result<(), RepoError> {
    // Each with its attributes, which moving things out of it changes.
    let mut merged: Vec<(PathBuf, PathBuf, Attributes)> = Vec::new();
    let mut todo = vec![(from.to_owned(), to.to_owned())];
    while let Some((from, to)) = todo.pop() {
        let error = |error| failed("moving what was written to", &to, error);
        let attributes = Attributes::read(&from)?;
        // It may be one that its owner must not write to.
        fs::set_permissions(&from, Permissions::from_mode(0o700)).map_err(error)?;
        if !merged.is_empty() {
            let mode = fs::symlink_metadata(&to).map_err(error)?.mode();
            fs::set_permissions(&to, Permissions::from_mode(mode | 0o700)).map_err(error)?;
        }
        for entry in fs::read_dir(&from).map_err(error)? {
            let entry = entry.map_err(error)?;
            let target = to.join(entry.file_name());
            let is_directory = entry.file_type().map_err(error)?.is_dir();
            let there = match fs::symlink_metadata(&target) {
                Ok(there) => Some(there),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(e) => return Err(error(e)),
            };
            if is_directory && there.is_some_and(|there| there.is_dir()) {
                todo.push((entry.path(), target));
            } else {
                // A directory does not replace a file, nor a file a directory: both would be a loss
                // that nobody expects.
                move_to(&entry.path(), &target, is_directory)
                    .map_err(|error| failed("replacing", &target, error))?;
            }
        }
        merged.push((from, to, attributes));
    }
    let top = if with_top { 0 } else { 1 };
    for (at, (from, to, attributes)) in merged.iter().enumerate().rev() {
        // The topmost lies in the place itself, whose time this changes.
        fs::remove_dir(from).map_err(|error| failed("removing", from, error))?;
        if at >= top {
            attributes.set(to)?;
        }
    }
    Ok(())
}

/// Moves a file or directory. Whoever moves a directory changes it: it tells what it is in.
fn move_to(from: &Path, to: &Path, is_directory: bool) -> io::Result<()> {
    if !is_directory {
        return fs::rename(from, to);
    }
    let permissions = fs::symlink_metadata(from)?.permissions();
    fs::set_permissions(from, Permissions::from_mode(0o700))?;
    fs::rename(from, to)?;
    fs::set_permissions(to, permissions)
}

/// The attributes of a directory that was just written.
struct Attributes {
    meta: Metadata,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Attributes {
    fn read(path: &Path) -> Result<Self, RepoError> {
        let error = |error| failed("reading attributes of", path, error);
        let meta = fs::symlink_metadata(path).map_err(error)?;
        let xattrs = xattrs(path).map_err(|errno| error(errno.into()))?;
        Ok(Self { meta, xattrs })
    }

    fn set(&self, to: &Path) -> Result<(), RepoError> {
        let Self { meta, xattrs } = self;
        let error = |errno: Errno| failed("setting attributes of", to, errno.into());
        let there = fs::symlink_metadata(to).map_err(|e| failed("reading attributes of", to, e))?;
        if (there.uid(), there.gid()) != (meta.uid(), meta.gid()) {
            let (uid, gid) = (Uid::from_raw(meta.uid()), Gid::from_raw(meta.gid()));
            rustix::fs::chownat(CWD, to, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(error)?;
        }
        for (name, value) in xattrs {
            rustix::fs::lsetxattr(to, name.as_slice(), value, XattrFlags::empty())
                .map_err(error)?;
        }
        rustix::fs::chmod(to, Mode::from_raw_mode(meta.mode() & 0o7777)).map_err(error)?;
        let time = Timespec { tv_sec: meta.mtime(), tv_nsec: meta.mtime_nsec() };
        let access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        let times = Timestamps { last_access: access, last_modification: time };
        rustix::fs::utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(error)
    }
}

/// All extended attributes, with their values.
fn xattrs(path: &Path) -> rustix::io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut names = vec![0; XATTR_LIST_BYTES_MAX];
    let len = match rustix::fs::llistxattr(path, &mut names[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        len => len?,
    };
    let mut all = Vec::new();
    for name in names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; XATTR_VALUE_BYTES_MAX];
        let len = rustix::fs::lgetxattr(path, name, &mut value[..])?;
        value.truncate(len);
        all.push((name.to_vec(), value));
    }
    Ok(all)
}
