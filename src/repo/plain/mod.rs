//! Plain trees: what a commit holds, written into a directory of any filesystem.
//!
//! Everything is written into a directory of its own beside the place where it belongs, made
//! durable, and then moved there. A directory that is new comes into being as a whole. Into one
//! that is there already everything is moved name by name: each file is at any time the old one or
//! the new one. A failure takes away what was written; the end of the process leaves it behind
//! under a name that begins with `.vst-export-`.
//!
//! Modes, times of modification, extended attributes, holes, and which names share a file are as
//! the commit has them. Owners are if the user may set them. What the user may not make, or the
//! filesystem does not take, is left out and told.
//!
//! Nobody else changes what is being written, which is the user's alone until it is in its place.

mod merge;
mod node;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::Permissions;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use self::node::NodeWriter;
use super::restore::scopes_of;
use super::{History, RepoError};
use crate::base::limits::LEFT_OUT_MAX;
use crate::model::{CommitId, Entry, FileKind, ObjectId, ObjectSource};
use crate::worktree::{CommittedDirectory, CommittedTree, EntryReader};

/// What is to be written, and where to.
#[derive(Clone, Debug)]
pub struct ExportRequest {
    /// The commit.
    pub commit: CommitId,
    /// The paths, each of which comes to where it is in the tree; none for the whole tree.
    pub paths: Vec<Vec<u8>>,
    /// The directory. Unless it is missing or empty it must be `merge`d into.
    pub dir: PathBuf,
    /// Write into a directory that has something in it, over what has the same names.
    pub merge: bool,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Names that were made, those of directories included.
    pub entries: u64,
    /// Bytes of content.
    pub bytes: u64,
    /// The first things that were left out.
    pub left_out: Vec<LeftOut>,
    /// How many were.
    pub left_out_total: u64,
}

/// Something that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Where it belongs, from the top of the tree.
    pub path: Vec<u8>,
    /// What it is, and why.
    pub what: String,
}

impl Exported {
    fn leave_out(&mut self, path: &[u8], what: String) {
        self.left_out_total += 1;
        if self.left_out.len() < LEFT_OUT_MAX {
            self.left_out.push(LeftOut { path: path.to_vec(), what });
        }
    }
}

/// Writes what a commit holds into a directory. `progress` is told of each name, and
/// while a long file is written.
pub fn export(
    history: &History,
    request: &ExportRequest,
    progress: &dyn Fn(&Exported),
) -> Result<Exported, RepoError> {
    let place = Place::of(request)?;
    let root = history.commit(&request.commit)?.root;
    let tree = CommittedTree::open(&root, history.source())?;
    place.create()?;
    let mut export = Export {
        tree: &tree,
        src: history.source(),
        top: &place.work,
        nodes: NodeWriter::new(),
        groups: HashMap::new(),
        done: Exported::default(),
        progress,
    };
    let written = export.write(request).and_then(|()| {
        place.sync()?;
        place.finish(request.paths.is_empty())
    });
    if written.is_err() {
        place.abandon();
    }
    written.map(|()| export.done)
}

/// Where it goes, and where it is written first.
struct Place {
    dir: PathBuf,
    /// The directory that is written to.
    work: PathBuf,
    is_new: bool,
}

impl Place {
    fn of(request: &ExportRequest) -> Result<Self, RepoError> {
        let dir = request.dir.clone();
        let found = match std::fs::read_dir(&dir) {
            Ok(mut entries) => {
                Some(entries.next().transpose().map_err(|e| failed("listing", &dir, e))?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed("writing to", &dir, error)),
        };
        if matches!(found, Some(Some(_))) && !request.merge {
            return Err(RepoError::NotEmpty { dir });
        }
        let is_new = found.is_none();
        // On the same filesystem as the place, so that it can be moved there.
        let beside = if is_new { dir.parent() } else { Some(&*dir) };
        let beside = beside.filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let work = beside.join(format!(".vst-export-{}", std::process::id()));
        Ok(Self { dir, work, is_new })
    }

    fn create(&self) -> Result<(), RepoError> {
        node::make_directory(&self.work).map_err(|error| failed("creating", &self.work, error))
    }

    /// Makes durable all that was written.
    fn sync(&self) -> Result<(), RepoError> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let synced = rustix::fs::open(&self.work, flags, Mode::empty())
            .and_then(|dir| rustix::fs::syncfs(&dir));
        synced.map_err(|errno| failed("syncing", &self.work, errno.into()))
    }

    /// Moves everything to where it belongs. The directory itself becomes what the top of the tree
    /// is if it is the whole tree.
    fn finish(&self, is_whole: bool) -> Result<(), RepoError> {
        if !self.is_new {
            return merge::merge(&self.work, &self.dir, is_whole);
        }
        std::fs::rename(&self.work, &self.dir).map_err(|error| failed("creating", &self.dir, error))
    }

    /// Takes away what was written, as far as possible: the failure before tells more than another.
    fn abandon(&self) {
        let mut directories = vec![self.work.clone()];
        while let Some(directory) = directories.pop() {
            // It may be one that its owner must not write to.
            let _ = std::fs::set_permissions(&directory, Permissions::from_mode(0o700));
            let entries = std::fs::read_dir(&directory).into_iter().flatten().flatten();
            let inside = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            directories.extend(inside.map(|entry| entry.path()));
        }
        let _ = std::fs::remove_dir_all(&self.work);
    }
}

/// An export that goes on.
struct Export<'a> {
    tree: &'a CommittedTree,
    src: &'a dyn ObjectSource,
    top: &'a Path,
    nodes: NodeWriter,
    /// The first path of each file with several names.
    groups: HashMap<ObjectId, PathBuf>,
    done: Exported,
    progress: &'a dyn Fn(&Exported),
}

/// A directory that is being filled.
struct Frame {
    path: Vec<u8>,
    entry: Entry,
    /// Those that have yet to be written.
    entries: EntryReader,
}

impl Export<'_> {
    fn write(&mut self, request: &ExportRequest) -> Result<(), RepoError> {
        if request.paths.is_empty() {
            let top = self.tree.top().clone();
            return self.fill(Vec::new(), top);
        }
        // What contains paths that are written gets its attributes when they are.
        let mut above: Vec<Vec<u8>> = Vec::new();
        for path in scopes_of(&request.paths) {
            let entry = self.tree.find(&path, self.src)?.ok_or_else(|| RepoError::NoPath {
                path: String::from_utf8_lossy(&path).into_owned(),
                commit: request.commit.object().short(),
            })?;
            let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            for end in ends.map(|(end, _)| end) {
                let parent = path[..end].to_vec();
                if !above.contains(&parent) {
                    self.directory(&parent)?;
                    above.push(parent);
                }
            }
            self.entry(path, entry)?;
        }
        above.sort_unstable();
        for path in above.into_iter().rev() {
            if let Some(entry) = self.tree.find(&path, self.src)? {
                self.attributes(&path, &entry)?;
            }
        }
        Ok(())
    }

    fn target(&self, path: &[u8]) -> PathBuf {
        self.top.join(OsStr::from_bytes(path))
    }

    fn directory(&mut self, path: &[u8]) -> Result<(), RepoError> {
        let target = self.target(path);
        node::make_directory(&target).map_err(|error| failed("creating", &target, error))?;
        self.count();
        Ok(())
    }

    fn count(&mut self) {
        self.done.entries += 1;
        (self.progress)(&self.done);
    }

    /// Writes an entry and what is below it.
    fn entry(&mut self, path: Vec<u8>, entry: Entry) -> Result<(), RepoError> {
        if entry.meta.kind != FileKind::Directory {
            return self.file(&path, &entry);
        }
        if !path.is_empty() {
            self.directory(&path)?;
        }
        self.fill(path, entry)
    }

    /// Writes what is in a directory that has been made.
    fn fill(&mut self, path: Vec<u8>, entry: Entry) -> Result<(), RepoError> {
        let mut stack: Vec<Frame> = Vec::new();
        stack.extend(Frame::new(path, entry));
        while let Some(frame) = stack.last_mut() {
            let Some((name, entry)) = frame.entries.next(self.src)? else {
                if let Some(Frame { path, entry, .. }) = stack.pop() {
                    // Last, because whatever is made in it changes its time.
                    self.attributes(&path, &entry)?;
                }
                continue;
            };
            let path = match frame.path.as_slice() {
                b"" => name.as_bytes().to_vec(),
                above => [above, name.as_bytes()].join(&b'/'),
            };
            if entry.meta.kind == FileKind::Directory {
                self.directory(&path)?;
                stack.extend(Frame::new(path, entry));
            } else {
                self.file(&path, &entry)?;
            }
        }
        Ok(())
    }

    /// Writes anything but a directory.
    fn file(&mut self, path: &[u8], entry: &Entry) -> Result<(), RepoError> {
        let target = self.target(path);
        let mut group = None;
        if entry.linked {
            group = self.tree.link_record(path, self.src)?.map(|record| record.group);
        }
        if let Some(first) = group.and_then(|group| self.groups.get(&group)) {
            match rustix::fs::link(first, &target) {
                Ok(()) => {
                    self.count();
                    return Ok(());
                }
                Err(errno @ (Errno::PERM | Errno::OPNOTSUPP | Errno::MLINK)) => {
                    let what =
                        format!("the tie to other names, so it is a file of its own: {errno}");
                    self.done.leave_out(path, what);
                }
                Err(errno) => return Err(failed("linking", &target, errno.into())),
            }
        }
        let mut written = |bytes| {
            self.done.bytes += bytes;
            (self.progress)(&self.done);
        };
        match self.nodes.make(&target, entry, self.src, &mut written)? {
            Ok(()) => {}
            Err(what) => {
                self.done.leave_out(path, what);
                return Ok(());
            }
        }
        self.attributes(path, entry)?;
        if let Some(group) = group {
            self.groups.insert(group, target);
        }
        self.count();
        Ok(())
    }

    fn attributes(&mut self, path: &[u8], entry: &Entry) -> Result<(), RepoError> {
        let target = self.target(path);
        let mut leave_out = |what| self.done.leave_out(path, what);
        self.nodes.set_attributes(&target, entry, self.src, &mut leave_out)
    }
}

impl Frame {
    fn new(path: Vec<u8>, entry: Entry) -> Option<Self> {
        let entries = EntryReader::new(CommittedDirectory::of(&entry)?);
        Some(Self { path, entry, entries })
    }
}

fn failed(what: &str, path: &Path, source: io::Error) -> RepoError {
    let context = format!("{what} {}", path.display());
    RepoError::Export { context, source: Arc::new(source) }
}

#[cfg(test)]
mod tests;
