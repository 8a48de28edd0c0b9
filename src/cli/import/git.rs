//! The tree of a store, changed as git tells.
//!
//! Git knows no empty directories: they come with the first file in them and go with the last.

use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Serialize;

use super::history::scratch_failed;
use super::scratch::{Extent, Scratch};
use super::source::Copyist;
use super::stored::make_directory;
use crate::base::limits::SYMLINK_BYTES_MAX;
use crate::cli::error::CliError;
use crate::cli::units::count_text;
use crate::model::{
    Content, Entry, EntryBody, EntryXattrs, FileKind, Ino, Meta, Name, NewNode, Op, RenameMode,
    Timestamp, Xattrs,
};
use crate::repo::{Repo, RepoError, Touched};
use crate::vfs::is_reserved;
use crate::worktree::{Body, File};

const FILE_PERM: u16 = 0o644;
const EXECUTABLE_PERM: u16 = 0o755;
const DIRECTORY_PERM: u16 = 0o755;
const SYMLINK_PERM: u16 = 0o777;
/// The part of a mode of git that tells the kind.
const KIND_BITS: u32 = 0o170_000;
const KIND_FILE: u32 = 0o100_000;
const KIND_SYMLINK: u32 = 0o120_000;
const KIND_SUBMODULE: u32 = 0o160_000;
const OWNER_EXEC: u32 = 0o100;
/// Bytes that are written at a time.
const WRITE_BYTES: usize = 1024 * 1024;
/// So many files are changed before they are brought into the store and forgotten.
const FILES_HELD_MAX: usize = 64 * 1024;

/// Where a content is.
#[derive(Clone, Debug)]
pub(super) enum Bytes {
    /// In memory.
    Here(Box<[u8]>),
    /// It was told, and the store does not have it yet.
    Scratch(Extent),
    /// In the store.
    Stored(u64, Content),
}

/// What git has and a store cannot hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct LeftOut {
    submodules: u64,
    names: u64,
    symlinks: u64,
    /// Tags of what is no commit, or with names that tags cannot have.
    pub(super) tags: u64,
}

impl LeftOut {
    /// In words, if there is any.
    pub(super) fn remark(&self) -> Option<String> {
        let counts = [
            (self.submodules, "change of a submodule", "changes of submodules"),
            (self.names, "change of a path that cannot be", "changes of paths that cannot be"),
            (self.symlinks, "symbolic link that cannot be", "symbolic links that cannot be"),
            (
                self.tags,
                "tag of no commit, or with no name for one",
                "tags of no commits, or with no names for ones",
            ),
        ];
        let texts: Vec<String> = counts
            .into_iter()
            .filter(|(count, ..)| *count > 0)
            .map(|(count, one, several)| match count {
                1 => count_text(count, one),
                count => format!("{count} {several}"),
            })
            .collect();
        (!texts.is_empty()).then(|| format!("left out: {}", texts.join(", ")))
    }
}

/// The tree of a store.
pub(super) struct GitTree<'a> {
    repo: &'a Repo,
    owner: Copyist,
    /// When what is done is done: the time of the commit.
    pub(super) time: Timestamp,
    /// What was not done.
    pub(super) left_out: LeftOut,
    held: Vec<Ino>,
}

impl<'a> GitTree<'a> {
    /// The tree of this store.
    pub(super) fn new(repo: &'a Repo) -> Self {
        let (time, left_out) = (Timestamp::default(), LeftOut::default());
        Self { repo, owner: Copyist::current(), time, left_out, held: Vec::new() }
    }

    /// Makes a file of this content, in the place of whatever is there. Returns the file, if it is
    /// a regular one.
    pub(super) fn modify(
        &mut self,
        path: &[u8],
        mode: u32,
        bytes: &Bytes,
        scratch: &Scratch,
    ) -> Result<Option<Ino>, CliError> {
        match mode & KIND_BITS {
            KIND_FILE => {
                let perm = if mode & OWNER_EXEC != 0 { EXECUTABLE_PERM } else { FILE_PERM };
                let Some((parent, name)) = self.make_place(path)? else { return Ok(None) };
                self.make_file(parent, name, perm, bytes, scratch).map(Some)
            }
            KIND_SYMLINK => {
                let target = self.load(bytes, scratch)?;
                let Some(target) = target.filter(|t| !t.is_empty() && !t.contains(&0)) else {
                    self.left_out.symlinks += 1;
                    return self.delete(path).map(|()| None);
                };
                let Some((parent, name)) = self.make_place(path)? else { return Ok(None) };
                self.create(parent, name, self.node(FileKind::Symlink, SYMLINK_PERM, &target))?;
                Ok(None)
            }
            KIND_SUBMODULE => {
                self.left_out.submodules += 1;
                self.delete(path).map(|()| None)
            }
            _ => Err(CliError::ImportGitUnknown(format!("mode {mode:o}"))),
        }
    }

    /// Removes the file at a path, and the directories above that are empty then.
    ///
    /// Git names only files here. Where one gave way to a directory, it tells first what is in the
    /// directory and then that the file is gone, so what is a directory now stays.
    pub(super) fn delete(&mut self, path: &[u8]) -> Result<(), CliError> {
        let Some((parent, name)) = self.find_place(path)? else { return Ok(()) };
        if matches!(self.child(parent, &name)?, Some((_, true))) {
            return Ok(());
        }
        self.remove(parent, &name)?;
        self.prune(path)
    }

    /// Removes everything.
    pub(super) fn remove_all(&mut self) -> Result<(), CliError> {
        self.remove_below(Ino::ROOT)
    }

    /// Moves what is at a path.
    pub(super) fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<(), CliError> {
        if self.find(from)?.is_none() {
            return Err(CliError::ImportGitUnknown(format!(
                "path {:?}",
                from.escape_ascii().to_string()
            )));
        }
        let Some((new_parent, new_name)) = self.make_place(to)? else { return self.delete(from) };
        let Some((parent, name)) = self.find_place(from)? else { return Ok(()) };
        let (mode, time) = (RenameMode::NoReplace, self.time);
        self.repo.apply(&Op::Rename { parent, name, new_parent, new_name, mode, time })?;
        self.prune(from)
    }

    /// Makes a copy of the file at a path.
    pub(super) fn copy(
        &mut self,
        from: &[u8],
        to: &[u8],
        scratch: &Scratch,
    ) -> Result<(), CliError> {
        let inode = match self.find(from)? {
            Some(ino) => self.repo.look(|tree| tree.find(ino).cloned()),
            None => None,
        };
        let unknown =
            || CliError::ImportGitUnknown(format!("file {:?}", from.escape_ascii().to_string()));
        let inode = inode.ok_or_else(unknown)?;
        match &inode.body {
            Body::File(file) => {
                let size = usize::try_from(file.size()).map_err(|_| unknown())?;
                let bytes = match file.content() {
                    Some(content) => Bytes::Stored(file.size(), content),
                    None => {
                        let mut bytes = vec![0; size];
                        file.read(0, &mut bytes, self.repo.source())?;
                        Bytes::Here(bytes.into())
                    }
                };
                let Some((parent, name)) = self.make_place(to)? else { return Ok(()) };
                self.make_file(parent, name, inode.meta.perm, &bytes, scratch)?;
            }
            Body::Symlink(target) => {
                let Some((parent, name)) = self.make_place(to)? else { return Ok(()) };
                self.create(parent, name, self.node(FileKind::Symlink, SYMLINK_PERM, target))?;
            }
            _ => return Err(unknown()),
        }
        Ok(())
    }

    /// What a file holds, once it is hashed.
    pub(super) fn content(&self, ino: Ino) -> Option<Bytes> {
        self.repo.look(|tree| {
            let file = tree.find(ino)?.file()?;
            Some(Bytes::Stored(file.size(), file.content()?))
        })
    }

    /// Drops files that a restore left without a name.
    pub(super) fn forget_removed(&mut self, touched: &[Touched]) -> Result<(), CliError> {
        for touched in touched {
            if let Touched::Removed(ino) = touched {
                self.repo.apply(&Op::DropOrphan { ino: *ino })?;
            }
        }
        Ok(())
    }

    /// Brings files into the store and forgets them, if many are held in memory.
    pub(super) fn let_go(&mut self) -> Result<(), CliError> {
        if self.held.len() < FILES_HELD_MAX {
            return Ok(());
        }
        self.repo.checkpoint()?;
        let held = std::mem::take(&mut self.held);
        Ok(self.repo.update(|edit| {
            held.iter().for_each(|ino| edit.evict(*ino));
            Ok(())
        })?)
    }

    /// The directory of a path, made if it is not there, and the last name, at which nothing is
    /// then. `None` if there can be no such path.
    fn make_place(&mut self, path: &[u8]) -> Result<Option<(Ino, Name)>, CliError> {
        let Some(mut names) = names(path) else {
            self.left_out.names += 1;
            return Ok(None);
        };
        let Some(last) = names.pop() else { return Ok(None) };
        let mut parent = Ino::ROOT;
        for name in names {
            let found = self.child(parent, &name)?;
            parent = match found {
                Some((ino, true)) => ino,
                found => {
                    if found.is_some() {
                        self.remove(parent, &name)?;
                    }
                    let node = self.node(FileKind::Directory, DIRECTORY_PERM, &[]);
                    make_directory(self.repo, parent, &name, &node, self.time)?
                }
            };
        }
        self.remove(parent, &last)?;
        Ok(Some((parent, last)))
    }

    /// The directory of a path and the last name, if there is such a directory.
    fn find_place(&mut self, path: &[u8]) -> Result<Option<(Ino, Name)>, CliError> {
        let Some(mut names) = names(path) else { return Ok(None) };
        let Some(last) = names.pop() else { return Ok(None) };
        let mut parent = Ino::ROOT;
        for name in names {
            match self.child(parent, &name)? {
                Some((ino, true)) => parent = ino,
                _ => return Ok(None),
            }
        }
        Ok(Some((parent, last)))
    }

    fn find(&mut self, path: &[u8]) -> Result<Option<Ino>, CliError> {
        let Some((parent, name)) = self.find_place(path)? else { return Ok(None) };
        Ok(self.child(parent, &name)?.map(|(ino, _)| ino))
    }

    /// What has a name in a directory, brought into memory, and whether it is a directory.
    fn child(&mut self, parent: Ino, name: &Name) -> Result<Option<(Ino, bool)>, RepoError> {
        self.repo.update(|edit| {
            let Some(found) = edit.lookup(parent, name)? else { return Ok(None) };
            edit.load(parent, name, &found)?;
            let is_directory = edit.find(found.ino).is_some_and(|inode| inode.is_directory());
            Ok(Some((found.ino, is_directory)))
        })
    }

    /// Removes what has a name in a directory, and all that is below.
    fn remove(&mut self, parent: Ino, name: &Name) -> Result<(), CliError> {
        let Some((ino, is_directory)) = self.child(parent, name)? else { return Ok(()) };
        let (name, time) = (name.clone(), self.time);
        if is_directory {
            self.remove_below(ino)?;
            self.repo.apply(&Op::Rmdir { parent, name, time })?;
        } else {
            self.repo.apply(&Op::Unlink { parent, name, time })?;
        }
        Ok(self.repo.apply(&Op::DropOrphan { ino })?)
    }

    fn remove_below(&mut self, directory: Ino) -> Result<(), CliError> {
        for name in self.list(directory)? {
            self.remove(directory, &name)?;
        }
        Ok(())
    }

    fn list(&self, directory: Ino) -> Result<Vec<Name>, CliError> {
        let view = self.repo.look(|tree| tree.view(directory));
        let mut names = Vec::new();
        if let Some(entries) = view {
            entries.scan(0, self.repo.source(), &mut |_, name| {
                names.extend(Name::new(name));
                ControlFlow::Continue(())
            })?;
        }
        Ok(names)
    }

    /// Removes the directories above a path as far as nothing is in them.
    fn prune(&mut self, path: &[u8]) -> Result<(), CliError> {
        let mut path = path;
        while let Some(at) = path.iter().rposition(|byte| *byte == b'/') {
            path = &path[..at];
            let Some(ino) = self.find(path)? else { continue };
            if !self.repo.look(|tree| tree.is_empty_directory(ino)) {
                break;
            }
            if let Some((parent, name)) = self.find_place(path)? {
                self.remove(parent, &name)?;
            }
        }
        Ok(())
    }

    fn node(&self, kind: FileKind, perm: u16, target: &[u8]) -> NewNode {
        let Copyist { uid, gid, .. } = self.owner;
        NewNode { kind, perm, uid, gid, rdev: 0, target: target.into() }
    }

    fn create(&mut self, parent: Ino, name: Name, node: NewNode) -> Result<Ino, CliError> {
        let time = self.time;
        let ino = self.repo.update(|edit| {
            let (ino, name, node) = (edit.allocate_ino(), name.clone(), node.clone());
            edit.apply(&Op::Create { parent, name, ino, node, time })?;
            Ok(ino)
        })?;
        self.held.push(ino);
        Ok(ino)
    }

    fn make_file(
        &mut self,
        parent: Ino,
        name: Name,
        perm: u16,
        bytes: &Bytes,
        scratch: &Scratch,
    ) -> Result<Ino, CliError> {
        let time = self.time;
        if let Bytes::Stored(size, content) = bytes {
            let Copyist { uid, gid, .. } = self.owner;
            let meta = Meta { kind: FileKind::Regular, perm, uid, gid, rdev: 0, mtime: time };
            let body = EntryBody::File { size: *size, content: *content };
            let xattrs = EntryXattrs::Inline(Xattrs::default());
            let entry = Entry { meta, linked: false, xattrs, body };
            let ino = self.repo.update(|edit| {
                let (ino, name, entry) = (edit.allocate_ino(), name.clone(), entry.clone());
                edit.apply(&Op::Adopt { parent, name, ino, entry, time })?;
                Ok(ino)
            })?;
            self.held.push(ino);
            return Ok(ino);
        }
        let ino = self.create(parent, name, self.node(FileKind::Regular, perm, &[]))?;
        let len = match bytes {
            Bytes::Here(bytes) => bytes.len() as u64,
            Bytes::Scratch(extent) => extent.len,
            Bytes::Stored(..) => 0,
        };
        let mut offset = 0;
        while offset < len {
            let part = usize::try_from(len - offset).unwrap_or(WRITE_BYTES).min(WRITE_BYTES);
            let data: Arc<[u8]> = match bytes {
                Bytes::Here(bytes) => {
                    bytes.iter().skip(offset as usize).take(part).copied().collect()
                }
                Bytes::Scratch(extent) => {
                    let mut data = vec![0; part];
                    scratch.read(*extent, offset, &mut data).map_err(scratch_failed)?;
                    data.into()
                }
                Bytes::Stored(..) => break,
            };
            self.repo.relieve()?;
            self.repo.apply(&Op::Write { ino, offset, data, kill_priv: false, time })?;
            offset += part as u64;
        }
        Ok(ino)
    }

    /// A content in memory, if it could be the target of a symbolic link.
    fn load(&self, bytes: &Bytes, scratch: &Scratch) -> Result<Option<Vec<u8>>, CliError> {
        let len = match bytes {
            Bytes::Here(bytes) => bytes.len() as u64,
            Bytes::Scratch(extent) => extent.len,
            Bytes::Stored(size, _) => *size,
        };
        if len > SYMLINK_BYTES_MAX as u64 {
            return Ok(None);
        }
        let mut loaded = vec![0; len as usize];
        match bytes {
            Bytes::Here(bytes) => loaded.copy_from_slice(bytes),
            Bytes::Scratch(extent) => {
                scratch.read(*extent, 0, &mut loaded).map_err(scratch_failed)?
            }
            Bytes::Stored(size, content) => {
                self.repo.write_commits()?;
                File::stored(*size, *content).read(0, &mut loaded, self.repo.source())?;
            }
        }
        Ok(Some(loaded))
    }
}

/// The names of a path. `None` if a tree can have no such path.
fn names(path: &[u8]) -> Option<Vec<Name>> {
    let names: Option<Vec<Name>> =
        path.split(|byte| *byte == b'/').map(|name| Name::new(name).ok()).collect();
    names.filter(|names| names.first().is_some_and(|name| !is_reserved(name.as_bytes())))
}
