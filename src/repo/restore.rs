//! Restoring: the tree, or a path of it, becomes what it was in a commit.
//!
//! What is there now is committed first, if any of it would be lost. The difference is then
//! applied, as ordinary operations, to a clone of the tree, which takes the tree's place at once:
//! nobody sees a restore half done, and a failure leaves everything as it was. It costs what the
//! difference costs.
//!
//! A file that is in both trees keeps its inode, so that one who has it open sees the restored
//! content. Files with several names are put together anew if names were tied or untied since.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;

use super::{CommitRequest, Repo, RepoError, Revision};
use crate::base::limits::{JOURNAL_COMMIT_COST, RESTORE_TRIES_MAX};
use crate::format::journal::put_switch;
use crate::format::root::Root;
use crate::format::worktree::JournalPosition;
use crate::journal::{RecordBuffer, Urgency};
use crate::model::{
    CommitId, Entry, FileKind, Ino, Name, ObjectId, ObjectSource, Op, RootId, Timestamp,
};
use crate::store::Durability;
use crate::worktree::tree::Hasher;
use crate::worktree::{ChangeKind, CommittedTree, DiffOptions, OpError, Worktree, diff_entries};

/// What to restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreRequest {
    /// The revision to go back to.
    pub revision: String,
    /// The path to restore, or the whole tree.
    pub path: Option<Vec<u8>>,
}

impl RestoreRequest {
    /// Understands `REV` and `REV:PATH`.
    pub fn parse(text: &str) -> Self {
        let Revision { revision, path } = Revision::split(text);
        Self { revision: revision.to_owned(), path: path.map(|path| path.as_bytes().to_vec()) }
    }
}

/// What a restore did.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// The commit that was made of what would have been lost.
    pub saved: Option<CommitId>,
    /// How many paths changed.
    pub paths: usize,
    /// What changed behind the back of one who looked before.
    pub touched: Vec<Touched>,
}

/// Something that a restore changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// A name came, went, or stands for another inode.
    Entry(Ino, Name),
    /// Attributes or content of an inode.
    Inode(Ino),
    /// An inode lost its last name.
    Removed(Ino),
}

impl Repo {
    /// Restores the tree or a path of it. The tree then stands on that commit; after the restore
    /// of a path it stands where it stood.
    pub fn restore(&self, request: &RestoreRequest) -> Result<Restored, RepoError> {
        let before = self.head();
        self.write_commits()?;
        let id = self.history().resolve(&request.revision, before)?;
        let target = self.history().commit(&id)?.root;
        let message = format!("before restore of {}", request.revision);
        let saved = self.commit(&CommitRequest { message, ..CommitRequest::default() })?;
        let mut restored = self.replace(request, id, target)?;
        restored.saved = (Some(saved) != before).then_some(saved);
        if self.options.durability == Durability::Strict {
            self.sync()?;
        }
        Ok(restored)
    }

    fn replace(
        &self,
        request: &RestoreRequest,
        id: CommitId,
        target: RootId,
    ) -> Result<Restored, RepoError> {
        let mut storing = self.storing.lock();
        // A collection may have dropped it a moment ago.
        if self.store().commits().find(&id).is_none() {
            return Err(RepoError::Dropped { commit: id });
        }
        let mut committing = self.committing.lock();
        for attempt in 1.. {
            let root = self.hash_locked(&mut committing)?;
            self.write_queue(&mut storing)?;
            let (mut next, changes) = {
                let live = self.live.read();
                (live.clone(), self.changes.load(Ordering::Acquire))
            };
            if next.is_dirty() && attempt < RESTORE_TRIES_MAX {
                continue;
            }
            let restored = self.plan(root, &mut next, request, id, target)?;
            if request.path.is_none() {
                next.head = Some(id);
            }
            let state = self.save_apart(&mut next, &committing.changed, &mut storing.hasher)?;
            let mut live = self.live.write();
            if self.changes.load(Ordering::Acquire) == changes {
                let mut record = RecordBuffer::new();
                put_switch(record.fields(), &state);
                self.journal.reserve(0, Urgency::Ordinary)?;
                self.journal.append(&mut record, &[], 0, JOURNAL_COMMIT_COST)?;
                if request.path.is_none() {
                    committing.head_root = Some(target);
                }
                committing.changed.clear();
                *live = next;
                self.changes.fetch_add(1, Ordering::AcqRel);
                return Ok(restored);
            }
            if attempt >= RESTORE_TRIES_MAX {
                return Err(RepoError::Busy);
            }
        }
        Err(RepoError::Busy)
    }

    /// Brings a tree that nobody else knows into the store, durably, and returns its state: what
    /// the journal says from then on is based on that. `changed` are directories that had changed
    /// before.
    fn save_apart(
        &self,
        tree: &mut Worktree,
        changed: &[Ino],
        hasher: &mut Hasher,
    ) -> Result<ObjectId, RepoError> {
        let packs = self.packs();
        let snapshot = tree.begin_commit();
        let committed = snapshot.hash(hasher, packs)?;
        let mut unstored = snapshot.unstored(&committed);
        drop(snapshot);
        let root = committed.root;
        let changed: Vec<Ino> = changed.iter().copied().chain(committed.directories()).collect();
        tree.publish(committed);
        let files = unstored.store(hasher, packs, packs)?;
        tree.publish_stored(files);
        let nowhere = JournalPosition::default();
        let (state, sides) = self.put_state(tree, root, nowhere, &changed, hasher)?;
        tree.publish_sides(sides);
        packs.sync()?;
        Ok(state)
    }

    fn plan(
        &self,
        root: RootId,
        next: &mut Worktree,
        request: &RestoreRequest,
        id: CommitId,
        target: RootId,
    ) -> Result<Restored, RepoError> {
        let src = self.source();
        let (old, new) = (CommittedTree::open(&root, src)?, CommittedTree::open(&target, src)?);
        let scope = normal(request.path.as_deref().unwrap_or_default());
        let (was, is) = (old.find(&scope, src)?, new.find(&scope, src)?);
        if is.is_none() {
            let path = String::from_utf8_lossy(&scope).into_owned();
            return Err(RepoError::NoPath { path, commit: id.object().short() });
        }
        let options = DiffOptions { renames: false, whole_directories: false, exact: true };
        let changes = diff_entries(&scope, was, is, src, &options)?;
        let restore = Restore {
            tree: next,
            src,
            new: &new,
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
                if within(&path, &scope) {
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
        restore.run(&gone, came, changed, &scope)
    }
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
fn normal(path: &[u8]) -> Vec<u8> {
    let names = path.split(|b| *b == b'/').filter(|name| !matches!(*name, b"" | b"."));
    names.collect::<Vec<_>>().join(&b'/')
}

fn within(path: &[u8], scope: &[u8]) -> bool {
    scope.is_empty() || path.strip_prefix(scope).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}

/// A restore being applied.
struct Restore<'a> {
    tree: &'a mut Worktree,
    src: &'a dyn ObjectSource,
    new: &'a CommittedTree,
    time: Timestamp,
    done: Restored,
    /// Files with several names that were made already, by the group they are known by.
    groups: HashMap<ObjectId, Ino>,
}

impl Restore<'_> {
    fn run(
        mut self,
        gone: &[Vec<u8>],
        came: BTreeMap<Vec<u8>, Entry>,
        changed: Vec<(Vec<u8>, Entry)>,
        scope: &[u8],
    ) -> Result<Restored, RepoError> {
        // Directories whose times the operations change, and which get their own back last. The
        // one above what is restored stays as the operations leave it.
        let mut directories: BTreeMap<Vec<u8>, Option<Entry>> = BTreeMap::new();
        for path in gone.iter().chain(came.keys()).filter(|path| !path.is_empty()) {
            let parent = split(path).0;
            if within(parent, scope) {
                directories.insert(parent.to_vec(), None);
            }
        }
        for path in gone.iter().rev() {
            self.remove(path)?;
        }
        for (path, entry) in changed {
            if entry.meta.kind == FileKind::Directory {
                directories.insert(path, Some(entry));
            } else {
                let ino = self.walk(&path)?.ok_or(OpError::NotFound)?;
                self.revert(ino, entry)?;
            }
        }
        for (path, entry) in came {
            let directory = entry.meta.kind == FileKind::Directory;
            self.make(&path, &entry)?;
            if directory {
                directories.insert(path, Some(entry));
            }
        }
        for (path, entry) in directories.into_iter().rev() {
            let entry = match entry {
                Some(entry) => Some(entry),
                None => self.new.find(&path, self.src)?,
            };
            if let (Some(entry), Some(ino)) = (entry, self.walk(&path)?) {
                self.revert(ino, entry)?;
            }
        }
        Ok(self.done)
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

    fn remove(&mut self, path: &[u8]) -> Result<(), RepoError> {
        let (parent, last) = split(path);
        let name = Name::new(last).map_err(|_| OpError::Invalid)?;
        let Some(parent) = self.walk(parent)? else { return Ok(()) };
        let Some(ino) = self.walk(path)? else { return Ok(()) };
        let directory = self.tree.find(ino).is_some_and(|inode| inode.is_directory());
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
        Ok(())
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
