//! What a restore does: the difference between two committed trees, as operations on a third.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Restored, Touched};
use crate::format::root::Root;
use crate::model::{
    CommitId, Entry, FileKind, Ino, Name, ObjectId, ObjectSource, Op, RootId, Timestamp,
};
use crate::repo::{RepoError, unless_given_up};
use crate::worktree::{
    ChangeKind, CommittedTree, DiffOptions, OpError, RULES_NAME, Worktree, diff_entries,
};

/// Where to: a commit, its tree, and the paths that it is about.
pub(in crate::repo) struct Goal<'a> {
    pub(in crate::repo) commit: CommitId,
    pub(in crate::repo) root: RootId,
    /// Without empty names, and none of them in another; the empty path is the whole tree.
    pub(in crate::repo) scopes: &'a [Vec<u8>],
}

/// Restores in a tree, which has this root now.
pub(super) fn apply(
    goal: &Goal<'_>,
    (tree, root): (&mut Worktree, RootId),
    src: &dyn ObjectSource,
) -> Result<Restored, RepoError> {
    let (old, new) = (CommittedTree::open(&root, src)?, CommittedTree::open(&goal.root, src)?);
    let mut changes = Vec::new();
    for scope in goal.scopes {
        let (was, is) = (old.find(scope, src)?, new.find(scope, src)?);
        if is.is_none() {
            let path = String::from_utf8_lossy(scope).into_owned();
            return Err(RepoError::NoPath { path, commit: goal.commit.object().short() });
        }
        let options = DiffOptions { renames: false, whole_directories: false, exact: true };
        changes.extend(diff_entries(scope, was, is, src, &options)?);
        unless_given_up()?;
    }
    let restore = Restore {
        tree,
        src,
        new: &new,
        scopes: goal.scopes,
        time: Timestamp::now(),
        done: Restored { paths: changes.len(), ..Restored::default() },
        groups: HashMap::new(),
    };
    let mut gone = Vec::new();
    let mut came: BTreeMap<Vec<u8>, Entry> = BTreeMap::new();
    let mut changed = Vec::new();
    for change in changes {
        match (change.kind, change.old, change.new) {
            (ChangeKind::Deleted, ..) => gone.push(change.path),
            (_, Some(old), Some(new)) if old.meta.kind != new.meta.kind => {
                gone.push(change.path.clone());
                came.insert(change.path, new);
            }
            (_, None, Some(new)) => drop(came.insert(change.path, new)),
            (_, _, Some(new)) => changed.push((change.path, new)),
            (_, _, None) => gone.push(change.path),
        }
    }
    if links_of(&old, src)? != links_of(&new, src)? {
        for path in restore.tree.linked_paths(src)? {
            if goal.scopes.iter().any(|scope| within(&path, scope)) {
                restore.retie(path, &mut gone, &mut came)?;
            }
        }
        let tied: Vec<_> = changed.extract_if(.., |(_, entry)| entry.linked).collect();
        for (path, _) in tied {
            restore.retie(path, &mut gone, &mut came)?;
        }
        changed.retain(|(path, _)| !came.contains_key(path));
    }
    gone.sort();
    gone.dedup();
    restore.run(&gone, came, changed)
}

fn links_of(
    tree: &CommittedTree,
    src: &dyn ObjectSource,
) -> Result<Option<crate::model::NodeId>, RepoError> {
    let id = tree.id().object();
    let root = Root::decode(&src.get(id)?).map_err(|e| RepoError::damaged(id, e))?;
    Ok(root.links)
}

/// A path without empty names and `.`.
pub(super) fn normal(path: &[u8]) -> Vec<u8> {
    let names = path.split(|b| *b == b'/').filter(|name| !matches!(*name, b"" | b"."));
    names.collect::<Vec<_>>().join(&b'/')
}

/// Tells whether a path is another one or below it.
pub(super) fn within(path: &[u8], scope: &[u8]) -> bool {
    scope.is_empty() || path.strip_prefix(scope).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}

/// A restore being applied.
struct Restore<'a> {
    tree: &'a mut Worktree,
    src: &'a dyn ObjectSource,
    new: &'a CommittedTree,
    scopes: &'a [Vec<u8>],
    time: Timestamp,
    done: Restored,
    /// Files with several names that were made already, by the group they are known by.
    groups: HashMap<ObjectId, Ino>,
}

impl Restore<'_> {
    fn run(
        mut self,
        gone: &[Vec<u8>],
        mut came: BTreeMap<Vec<u8>, Entry>,
        mut changed: Vec<(Vec<u8>, Entry)>,
    ) -> Result<Restored, RepoError> {
        // Directories whose times the operations change, and which get their own back last. The
        // one above what is restored stays as the operations leave it.
        let mut directories: BTreeMap<Vec<u8>, Option<Entry>> = BTreeMap::new();
        for path in gone.iter().chain(came.keys()).filter(|path| !path.is_empty()) {
            let parent = split(path).0;
            if self.scopes.iter().any(|scope| within(parent, scope)) {
                directories.insert(parent.to_vec(), None);
            }
        }
        self.restore_rules(gone, &mut came, &mut changed)?;
        // What is as it was, since it is ignored, or for what is ignored in it.
        let mut left = HashSet::new();
        for path in gone.iter().rev() {
            unless_given_up()?;
            let goes = came.contains_key(path) || !self.stays(path)?;
            if !goes || !self.remove(path)? {
                left.insert(path.clone());
            }
        }
        for (path, entry) in changed {
            unless_given_up()?;
            if entry.meta.kind == FileKind::Directory {
                directories.insert(path, Some(entry));
            } else {
                let ino = self.walk(&path)?.ok_or(OpError::NotFound)?;
                self.revert(ino, entry)?;
            }
        }
        for (path, entry) in came {
            unless_given_up()?;
            if self.is_taken(&path)? {
                if gone.binary_search(&path).is_err() {
                    left.insert(path);
                }
                continue;
            }
            let directory = entry.meta.kind == FileKind::Directory;
            self.make(&path, &entry)?;
            left.remove(&path);
            if directory {
                directories.insert(path, Some(entry));
            }
        }
        for (path, entry) in directories.into_iter().rev() {
            let entry = match entry {
                Some(entry) => Some(entry),
                None => self.new.find(&path, self.src)?,
            };
            let Some(entry) = entry else { continue };
            let found = self.walk(&path)?;
            let kind = found.and_then(|ino| self.tree.find(ino)).map(|inode| inode.meta.kind);
            // Something else may stay there because it is ignored.
            if let Some(ino) = found.filter(|_| kind == Some(entry.meta.kind)) {
                self.revert(ino, entry)?;
            }
        }
        self.done.paths = self.done.paths.saturating_sub(left.len());
        Ok(self.done)
    }

    /// Restores files with rules, since what else goes depends on these.
    fn restore_rules(
        &mut self,
        gone: &[Vec<u8>],
        came: &mut BTreeMap<Vec<u8>, Entry>,
        changed: &mut Vec<(Vec<u8>, Entry)>,
    ) -> Result<(), RepoError> {
        let is_rules = |path: &[u8]| split(path).1 == RULES_NAME;
        for path in gone.iter().rev().filter(|path| is_rules(path)) {
            self.remove(path)?;
        }
        let is_file = |entry: &Entry| entry.meta.kind != FileKind::Directory;
        for (path, entry) in changed.extract_if(.., |(path, e)| is_rules(path) && is_file(e)) {
            let ino = self.walk(&path)?.ok_or(OpError::NotFound)?;
            self.revert(ino, entry)?;
        }
        let mut made = Vec::new();
        for (path, entry) in came.iter().filter(|(path, entry)| is_rules(path) && is_file(entry)) {
            // Where there is no directory yet, there is nothing that could go.
            let above = self.walk(split(path).0)?;
            let is_there = above.and_then(|ino| self.tree.find(ino)?.directory()).is_some();
            if is_there && !self.is_taken(path)? {
                self.make(path, entry)?;
                made.push(path.clone());
            }
        }
        made.iter().for_each(|path| drop(came.remove(path)));
        Ok(())
    }

    /// Tells whether a path that the commit does not have stays, because its rules ignore it.
    fn stays(&mut self, path: &[u8]) -> Result<bool, RepoError> {
        let (parent, last) = split(path);
        let name = Name::new(last).map_err(|_| OpError::Invalid)?;
        let Some(parent) = self.walk(parent)? else { return Ok(false) };
        let Some(found) = self.tree.lookup(parent, &name, self.src)? else { return Ok(false) };
        Ok(self.tree.would_ignore(parent, &name, found.is_directory(), self.src)?)
    }

    /// Has a path removed and made again, so that it is tied to others as the commit has it.
    fn retie(
        &self,
        path: Vec<u8>,
        gone: &mut Vec<Vec<u8>>,
        came: &mut BTreeMap<Vec<u8>, Entry>,
    ) -> Result<(), RepoError> {
        match self.new.find(&path, self.src)? {
            Some(entry) if entry.meta.kind != FileKind::Directory => {
                gone.push(path.clone());
                came.insert(path, entry);
            }
            _ => {}
        }
        Ok(())
    }

    /// The inode that a path leads to, brought into memory.
    fn walk(&mut self, path: &[u8]) -> Result<Option<Ino>, RepoError> {
        let mut ino = Ino::ROOT;
        for name in path.split(|b| *b == b'/').filter(|name| !name.is_empty()) {
            let Ok(name) = Name::new(name) else { return Ok(None) };
            let Some(found) = self.tree.lookup(ino, &name, self.src)? else { return Ok(None) };
            self.tree.load(ino, &name, &found, self.src)?;
            ino = found.ino;
        }
        Ok(Some(ino))
    }

    /// Tells whether something stands where a path is to be made: it is ignored, or a directory
    /// that stayed for what is ignored in it.
    fn is_taken(&mut self, path: &[u8]) -> Result<bool, RepoError> {
        let mut ino = Ino::ROOT;
        let mut names = path.split(|b| *b == b'/').peekable();
        while let Some(name) = names.next() {
            let name = Name::new(name).map_err(|_| OpError::Invalid)?;
            let Some(found) = self.tree.lookup(ino, &name, self.src)? else { return Ok(false) };
            let is_last = names.peek().is_none();
            if found.is_ignored() || is_last || !found.is_directory() {
                return Ok(true);
            }
            self.tree.load(ino, &name, &found, self.src)?;
            ino = found.ino;
        }
        Ok(true)
    }

    /// The directory that a path is in, and the last name; directories that are missing, above
    /// a path that is restored alone, are made as the commit has them.
    fn parent(&mut self, path: &[u8]) -> Result<(Ino, Name), RepoError> {
        let (parent, last) = split(path);
        let name = Name::new(last).map_err(|_| OpError::Invalid)?;
        if let Some(ino) = self.walk(parent)? {
            return Ok((ino, name));
        }
        let entry = self.new.find(parent, self.src)?.ok_or(OpError::NotFound)?;
        self.make(parent, &entry)?;
        let ino = self.walk(parent)?.ok_or(OpError::NotFound)?;
        Ok((ino, name))
    }

    /// Tells whether it is not there any more.
    fn remove(&mut self, path: &[u8]) -> Result<bool, RepoError> {
        let (parent, last) = split(path);
        let name = Name::new(last).map_err(|_| OpError::Invalid)?;
        let Some(parent) = self.walk(parent)? else { return Ok(true) };
        let Some(ino) = self.walk(path)? else { return Ok(true) };
        let directory = self.tree.find(ino).is_some_and(|inode| inode.is_directory());
        if directory && !self.tree.is_empty_directory(ino) {
            // What is left in it is ignored.
            return Ok(false);
        }
        let time = self.time;
        let op = match directory {
            true => Op::Rmdir { parent, name: name.clone(), time },
            false => Op::Unlink { parent, name: name.clone(), time },
        };
        self.tree.apply(&op, self.src)?;
        self.done.touched.push(Touched::Entry(parent, name));
        self.done.touched.push(Touched::Inode(parent));
        self.done.touched.push(match self.tree.find(ino) {
            Some(inode) if inode.names.is_empty() => Touched::Removed(ino),
            _ => Touched::Inode(ino),
        });
        Ok(true)
    }

    fn make(&mut self, path: &[u8], entry: &Entry) -> Result<(), RepoError> {
        let (parent, name) = self.parent(path)?;
        let time = self.time;
        let record = match entry.linked {
            true => self.new.link_record(path, self.src)?,
            false => None,
        };
        let made = record.and_then(|record| self.groups.get(&record.group).copied());
        let op = match made {
            Some(ino) => Op::Link { ino, parent, name: name.clone(), time },
            None => {
                let ino = self.tree.allocate_ino();
                if let Some(record) = record {
                    self.groups.insert(record.group, ino);
                }
                Op::Adopt { parent, name: name.clone(), ino, entry: entry.clone(), time }
            }
        };
        self.tree.apply(&op, self.src)?;
        self.done.touched.push(Touched::Entry(parent, name));
        self.done.touched.push(Touched::Inode(parent));
        Ok(())
    }

    fn revert(&mut self, ino: Ino, entry: Entry) -> Result<(), RepoError> {
        self.tree.apply(&Op::Revert { ino, entry, time: self.time }, self.src)?;
        self.done.touched.push(Touched::Inode(ino));
        Ok(())
    }
}

/// The path of the directory, and the last name.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}
