//! Operations of a model as system calls on a mount.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, RenameFlags, Timespec, Timestamps, UTIME_OMIT, XattrFlags,
};

use super::model::{FileId, Model, Op};

/// Most files that a writer keeps open.
const HELD_FILES_MAX: usize = 3;
const NANOS_PER_SEC: i128 = 1_000_000_000;

/// Files that a writer keeps open, whatever becomes of their names.
#[derive(Debug, Default)]
pub(crate) struct Held(Vec<(FileId, Arc<File>)>);

impl Held {
    fn find(&self, id: FileId) -> Option<Arc<File>> {
        self.0.iter().find(|(other, _)| *other == id).map(|(_, file)| file.clone())
    }

    /// Keeps a file open, and closes the one that has been for longest if they are too many.
    pub(crate) fn add(&mut self, id: FileId, file: File) {
        self.0.truncate(HELD_FILES_MAX - 1);
        self.0.insert(0, (id, file.into()));
    }

    /// The files.
    pub(crate) fn ids(&self) -> impl Iterator<Item = FileId> {
        self.0.iter().map(|(id, _)| *id)
    }
}

/// What a call that was acknowledged gave.
#[derive(Debug)]
pub(crate) enum Done {
    Whole,
    /// The file that was made, open.
    Made(File),
    /// Only so many bytes of a write: the next request of it failed.
    Short(usize),
}

/// Does an operation on the mount, with one call that changes something.
pub(crate) fn call(top: &Path, op: &Op, model: &Model, held: &Held) -> io::Result<Done> {
    let at = |path: &String| top.join(path);
    match op {
        Op::Create { path, perm } => {
            let mut options = File::options();
            options.read(true).write(true).create_new(true).mode(*perm);
            return options.open(at(path)).map(Done::Made);
        }
        Op::Mkdir { path, perm } => fs::DirBuilder::new().mode(*perm).create(at(path))?,
        Op::Symlink { path, target } => symlink(target, at(path))?,
        Op::Write { file, offset, data, append } => {
            let written = match append {
                true => rustix::io::write(open(top, *file, model, true)?, data)?,
                false => match held.find(*file) {
                    Some(file) => file.write_at(data, *offset as u64)?,
                    None => open(top, *file, model, false)?.write_at(data, *offset as u64)?,
                },
            };
            if written < data.len() {
                return Ok(Done::Short(written));
            }
        }
        Op::Truncate { file, len } => match held.find(*file) {
            Some(file) => file.set_len(*len as u64)?,
            // Opening does it.
            None if *len == 0 => {
                let path = name_of(model, *file)?;
                File::options().write(true).truncate(true).open(top.join(path)).map(drop)?;
            }
            None => open(top, *file, model, false)?.set_len(*len as u64)?,
        },
        Op::Zero { file, offset, len, extend } => {
            let how = match extend {
                true => FallocateFlags::ZERO_RANGE,
                false => FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            };
            let file = match held.find(*file) {
                Some(file) => file,
                None => open(top, *file, model, false)?.into(),
            };
            rustix::fs::fallocate(&*file, how, *offset as u64, *len as u64)?;
        }
        Op::Rename { from, to } => fs::rename(at(from), at(to))?,
        Op::Exchange { one, other } => {
            rustix::fs::renameat_with(CWD, at(one), CWD, at(other), RenameFlags::EXCHANGE)?;
        }
        Op::Link { from, to } => fs::hard_link(at(from), at(to))?,
        Op::Unlink { path } => fs::remove_file(at(path))?,
        Op::Rmdir { path } => fs::remove_dir(at(path))?,
        Op::Chmod { path, perm } => {
            fs::set_permissions(at(path), fs::Permissions::from_mode(*perm))?;
        }
        Op::SetMtime { path, mtime_ns } => {
            let times = Timestamps {
                last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
                last_modification: timespec(*mtime_ns),
            };
            rustix::fs::utimensat(CWD, at(path), &times, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Op::SetXattr { path, name, value } => {
            rustix::fs::lsetxattr(at(path), name.as_str(), value, XattrFlags::empty())?;
        }
        Op::RemoveXattr { path, name } => rustix::fs::lremovexattr(at(path), name.as_str())?,
        Op::Restore { top: path, commit, .. } => {
            let file = File::options().write(true).open(top.join(".vst/restore"))?;
            rustix::io::write(file, format!("{commit}:{path}").as_bytes())?;
        }
        Op::Nothing(_) => {}
    }
    Ok(Done::Whole)
}

fn open(top: &Path, id: FileId, model: &Model, append: bool) -> io::Result<File> {
    File::options().write(true).append(append).open(top.join(name_of(model, id)?))
}

fn name_of(model: &Model, id: FileId) -> io::Result<&String> {
    model.name_of(id).ok_or_else(|| io::Error::other("a file without a name"))
}

fn timespec(nanos: i128) -> Timespec {
    Timespec {
        tv_sec: nanos.div_euclid(NANOS_PER_SEC) as i64,
        tv_nsec: nanos.rem_euclid(NANOS_PER_SEC) as i64,
    }
}
