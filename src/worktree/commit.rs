//! The commit: from a snapshot of the working tree to the id of its root.
//!
//! 1. [`Worktree::begin_commit`] clones the pointers and takes the dirty set: writers go on.
//! 2. [`Snapshot::commit`] settles dirty contents, then goes through the dirty directories from
//!    the deepest up, level by level: the entries of dirty children are encoded into their
//!    leaves, and the changed nodes of a whole level are hashed in one batch.
//! 3. [`Worktree::publish`] puts the hashed versions into the live tree, where an inode is still
//!    the one that was hashed. The others stay dirty.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use super::inode::{Body, Inode};
use super::state::{Dirty, InoHasher, Worktree};
use super::tree::{Chunks, Directory, HashCounts, Hasher, Tree};
use super::{File, links};
use crate::format::entry::put_entry_parts;
use crate::format::root::Root;
use crate::format::worktree::{SideRecord, WorktreeState};
use crate::hash::{hash, hash_batch};
use crate::model::{
    ChunkId, Content, Entry, EntryBody, Ino, ObjectError, ObjectId, ObjectKind, ObjectSink,
    ObjectSource, RootId,
};

/// A map by inode number.
pub(super) type InoMap<T> = HashMap<Ino, T, BuildHasherDefault<InoHasher>>;

/// A working tree as it was when a commit was asked for.
pub struct Snapshot {
    pub(super) tree: Worktree,
    dirty: Arc<Dirty>,
}

/// What a commit did, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitCounts {
    /// Files whose content was hashed.
    pub files: u64,
    /// Bytes of content hashed.
    pub content_bytes: u64,
    /// Directories brought up to date.
    pub directories: u64,
    /// Nodes and sides of trees.
    pub hashed: HashCounts,
}

/// A hashed snapshot, all of whose objects went to the sink.
pub struct Committed {
    /// The root.
    pub root: RootId,
    /// The state of the worktree, to be made durable.
    pub state: WorktreeState,
    /// What was done.
    pub counts: CommitCounts,
    changes: Vec<Change>,
    links: Tree<super::tree::Table>,
    places: Tree<super::tree::Table>,
    dirty: Arc<Dirty>,
}

/// An inode before and after it was hashed.
struct Change {
    before: Arc<Inode>,
    after: Arc<Inode>,
}

impl Worktree {
    /// Takes a snapshot of the tree and its dirty set. Costs a few pointers.
    ///
    /// One commit is in flight at a time: this gives up one that was begun before and neither
    /// published nor aborted, and takes all that it had taken.
    pub fn begin_commit(&mut self) -> Snapshot {
        self.take_back();
        let dirty = std::mem::take(&mut self.dirty);
        self.taken = Some(dirty.clone());
        self.epoch += 1;
        Snapshot { tree: self.clone(), dirty }
    }

    /// Gives up a commit that failed: all that it had taken is dirty again. Does nothing for one
    /// that was given up before.
    pub fn abort_commit(&mut self, snapshot: Snapshot) {
        if self.is_in_flight(&snapshot.dirty) {
            self.take_back();
        }
    }

    fn is_in_flight(&self, taken: &Arc<Dirty>) -> bool {
        self.taken.as_ref().is_some_and(|in_flight| Arc::ptr_eq(in_flight, taken))
    }

    fn take_back(&mut self) {
        let Some(taken) = self.taken.take() else { return };
        let dirty = Arc::make_mut(&mut self.dirty);
        for (parent, children) in &taken.children {
            dirty.children.entry(*parent).or_default().extend(children);
        }
        dirty.moved.extend(&taken.moved);
        dirty.any |= taken.any;
    }

    /// Puts the hashed versions of inodes in place of those that have not changed since. Costs
    /// what the commit hashed; nothing is read or hashed here. Does nothing for a commit that was
    /// given up.
    pub fn publish(&mut self, committed: Committed) {
        let Committed { changes, links, places, dirty, .. } = committed;
        if !self.is_in_flight(&dirty) {
            return;
        }
        self.taken = None;
        self.links = links;
        self.places = places;
        let mut changed_since = Vec::new();
        for Change { before, after } in changes {
            match self.inodes.get_mut(&after.ino) {
                Some(live) if Arc::ptr_eq(live, &before) => {
                    self.dirty_bytes -= before.dirty_bytes();
                    *live = after;
                }
                Some(live) if live.is_directory() => changed_since.push(after.ino),
                _ => {}
            }
        }
        // The live version of these directories does not have the entries that were encoded for
        // the commit, so their children count as dirty still.
        for parent in changed_since {
            for child in dirty.children.get(&parent).into_iter().flatten() {
                let epoch = self.epoch;
                let Some(inode) = self.inodes.get_mut(child) else { continue };
                if inode.epoch == 0 && inode.names.iter().any(|(p, _)| *p == parent) {
                    Arc::make_mut(inode).epoch = epoch;
                    for (parent, _) in inode.names.clone() {
                        self.enlist(parent, *child);
                        self.mark(parent);
                    }
                }
            }
        }
    }
}

impl Snapshot {
    /// Hashes what changed and hands new objects to the sink. `src` must be able to read what
    /// the tree needs, and what `sink` took.
    pub fn commit(
        &mut self,
        hasher: &mut Hasher,
        src: &dyn ObjectSource,
        sink: &dyn ObjectSink,
    ) -> Result<Committed, ObjectError> {
        let before = hasher.counts;
        let mut counts = CommitCounts::default();
        let (levels, files) = self.levels();
        let mut hashed = self.settle_files(&files, hasher, src, sink, &mut counts)?;
        let mut changes = Vec::with_capacity(hashed.len());
        for level in levels.iter().rev() {
            let mut updated = Vec::with_capacity(level.len());
            for (ino, children) in level {
                updated.push((*ino, self.update_entries(*ino, children, &hashed, src, sink)?));
            }
            let trees: Vec<&Tree<Directory>> = updated.iter().map(|(_, tree)| tree).collect();
            hasher.store(&trees, sink)?;
            counts.directories += updated.len() as u64;
            for (ino, tree) in updated {
                let before = self.inode(ino);
                let after = Inode { body: Body::Directory(tree), epoch: 0, ..(**before).clone() };
                hashed.insert(ino, Arc::new(after));
            }
        }
        for (ino, after) in &hashed {
            changes.push(Change { before: self.inode(*ino).clone(), after: after.clone() });
        }
        let moved = &self.dirty.moved;
        let tables = links::update(&self.tree, moved, &hashed, src)?;
        hasher.store(&[&tables.links, &tables.places], sink)?;
        let top = hashed.get(&Ino::ROOT).unwrap_or_else(|| self.tree.top());
        let (root, side) = self.store_root(top, &tables.links, sink)?;
        let state = WorktreeState {
            root,
            side,
            places: tables.places.id().flatten(),
            head: self.tree.head,
            next_ino: self.tree.next_ino,
            ctime: top.ctime,
        };
        counts.hashed = HashCounts {
            nodes: hasher.counts.nodes - before.nodes,
            node_bytes: hasher.counts.node_bytes - before.node_bytes,
            sides: hasher.counts.sides - before.sides,
            side_bytes: hasher.counts.side_bytes - before.side_bytes,
        };
        let (links, places) = (tables.links, tables.places);
        Ok(Committed { root, state, counts, changes, links, places, dirty: self.dirty.clone() })
    }

    fn inode(&self, ino: Ino) -> &Arc<Inode> {
        self.tree.find(ino).expect("dirty inodes are in the table")
    }

    /// The dirty directories, one list a level from the top down, each with its dirty children;
    /// and the dirty files.
    #[expect(clippy::type_complexity, reason = "it is taken apart at once")]
    fn levels(&self) -> (Vec<Vec<(Ino, Vec<Ino>)>>, Vec<Ino>) {
        let mut levels = Vec::new();
        let mut files = Vec::new();
        let mut level = if self.dirty.any { vec![Ino::ROOT] } else { Vec::new() };
        while !level.is_empty() {
            let mut next = Vec::new();
            let mut done = Vec::with_capacity(level.len());
            for directory in level {
                let mut children = self.dirty.children.get(&directory).cloned().unwrap_or_default();
                children.sort_unstable();
                children.dedup();
                // Some have left the directory since they were listed.
                children.retain(|child| {
                    let inode = self.tree.find(*child);
                    inode.is_some_and(|inode| inode.names.iter().any(|(p, _)| *p == directory))
                });
                for child in &children {
                    let inode = self.inode(*child);
                    if inode.is_directory() {
                        next.push(*child);
                    } else {
                        files.push(*child);
                    }
                }
                done.push((directory, children));
            }
            levels.push(done);
            level = next;
        }
        // A file with several names may be dirty in several directories.
        files.sort_unstable();
        files.dedup();
        (levels, files)
    }

    /// Brings the contents of dirty files up to date. Small ones are hashed in one batch.
    fn settle_files(
        &self,
        files: &[Ino],
        hasher: &mut Hasher,
        src: &dyn ObjectSource,
        sink: &dyn ObjectSink,
        counts: &mut CommitCounts,
    ) -> Result<InoMap<Arc<Inode>>, ObjectError> {
        let mut hashed = InoMap::default();
        hashed.reserve(files.len());
        let mut small = Vec::new();
        for ino in files {
            let inode = self.inode(*ino);
            match &inode.body {
                Body::File(_) if inode.unstored_small().is_some_and(|b| !b.is_empty()) => {
                    small.push(inode);
                }
                Body::File(file) => {
                    if file.content().is_none() {
                        counts.files += 1;
                    }
                    let file = file.settle(src, sink, &mut counts.content_bytes)?;
                    if let Some(tree) = file.chunk_tree() {
                        hasher.store::<Chunks>(&[tree], sink)?;
                    }
                    hashed.insert(*ino, clean(inode, Some(file)));
                }
                _ => {
                    hashed.insert(*ino, clean(inode, None));
                }
            }
        }
        let inputs: Vec<&[u8]> = small.iter().filter_map(|inode| inode.unstored_small()).collect();
        let mut digests = Vec::new();
        hash_batch(&inputs, &mut digests);
        for ((inode, bytes), digest) in small.iter().zip(&inputs).zip(&digests) {
            let id = ObjectId::from_bytes(*digest);
            sink.put(ObjectKind::Chunk, &id, bytes)?;
            counts.files += 1;
            counts.content_bytes += bytes.len() as u64;
            let file = File::stored(bytes.len() as u64, Content::Chunk(ChunkId::new(id)));
            hashed.insert(inode.ino, clean(inode, Some(file)));
        }
        Ok(hashed)
    }

    /// The entries of a directory with those of its dirty children brought up to date.
    fn update_entries(
        &self,
        directory: Ino,
        children: &[Ino],
        hashed: &InoMap<Arc<Inode>>,
        src: &dyn ObjectSource,
        sink: &dyn ObjectSink,
    ) -> Result<Tree<Directory>, ObjectError> {
        let tree = self.inode(directory).directory();
        let mut tree = tree.expect("only directories have children").clone();
        let mut value = Vec::new();
        for child in children {
            let inode = hashed.get(child).expect("children are hashed before their directory");
            value.clear();
            let side = encode_inode(inode, &mut value, src, sink)?;
            for (_, name) in inode.names.iter().filter(|(parent, _)| *parent == directory) {
                tree.insert(name.as_bytes(), &value, side.clone(), src)?;
            }
        }
        Ok(tree)
    }

    fn store_root(
        &self,
        top: &Inode,
        links: &Tree<super::tree::Table>,
        sink: &dyn ObjectSink,
    ) -> Result<(RootId, Option<ObjectId>), ObjectError> {
        let tree = top.directory().expect("the top is a directory");
        let (xattrs, own) = top.entry_xattrs();
        if let (crate::model::EntryXattrs::Stored(id), Some(bytes)) = (&xattrs, own) {
            sink.put(ObjectKind::Xattrs, id.object(), &bytes)?;
        }
        let body = EntryBody::Directory(tree.id().flatten());
        let top = Entry { meta: top.meta, linked: false, xattrs, body };
        let bytes = Root { top, links: links.id().flatten() }.encode();
        let id = ObjectId::from_bytes(hash(&bytes));
        sink.put(ObjectKind::Root, &id, &bytes)?;
        Ok((RootId::new(id), tree.side_id()))
    }
}

/// A version of an inode whose entry tells all of it.
fn clean(inode: &Inode, file: Option<File>) -> Arc<Inode> {
    let body = file.map_or_else(|| inode.body.clone(), Body::File);
    Arc::new(Inode { body, epoch: 0, ..inode.clone() })
}

/// Encodes the entry of a hashed inode, and stores extended attributes that need an object.
fn encode_inode(
    inode: &Inode,
    out: &mut Vec<u8>,
    src: &dyn ObjectSource,
    sink: &dyn ObjectSink,
) -> Result<SideRecord, ObjectError> {
    let (xattrs, own) = inode.entry_xattrs();
    if let (crate::model::EntryXattrs::Stored(id), Some(bytes)) = (&xattrs, own) {
        sink.put(ObjectKind::Xattrs, id.object(), &bytes)?;
    }
    let linked = !inode.is_directory() && inode.names.len() > 1;
    let mut side = SideRecord { ino: inode.ino.0, ctime: inode.ctime, ..SideRecord::default() };
    let body = match &inode.body {
        Body::File(file) => {
            let content = file.content().expect("contents are settled before entries");
            EntryBody::File { size: file.size(), content }
        }
        Body::Directory(tree) => {
            side.links = u32::try_from(tree.links(src)?).unwrap_or(u32::MAX);
            side.side = tree.side_id().map(Arc::new);
            EntryBody::Directory(tree.id().flatten())
        }
        Body::Symlink(target) => EntryBody::Symlink(target.as_ref().into()),
        Body::Special => EntryBody::Special,
    };
    if linked {
        side.links = 1;
    }
    put_entry_parts(out, &inode.meta, linked, &xattrs, &body);
    Ok(side)
}
