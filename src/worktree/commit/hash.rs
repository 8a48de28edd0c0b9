//! Hashing a snapshot.

use std::sync::Arc;

use super::plan::{DirtyDirectory, Edit, Plan};
use super::{CommitCounts, Committed, HashedDirectory, Snapshot};
use crate::format::entry::put_entry_parts;
use crate::format::root::Root;
use crate::format::worktree::SideRecord;
use crate::hash::hash;
use crate::model::{Entry, EntryBody, EntryXattrs, ObjectError, ObjectId, ObjectSource, RootId};
use crate::worktree::inode::{Body, Inode};
use crate::worktree::links;
use crate::worktree::state::{InoMap, Worktree};
use crate::worktree::tree::{Chunks, Directory, HashCounts, Hasher, Table, Tree, Update};

impl Snapshot {
    /// Hashes what changed. Reads from `src` what the tree needs; what is hashed stays in memory.
    pub fn hash(
        &self,
        hasher: &mut Hasher,
        src: &dyn ObjectSource,
    ) -> Result<Committed, ObjectError> {
        let before = hasher.counts;
        let mut counts = CommitCounts::default();
        let mut xattrs = OwnXattrs::default();
        let mut directories = Vec::new();
        let mut children = Vec::new();
        if !self.dirty.is_empty() {
            let plan = Plan::of(&self.tree, &self.dirty);
            let files = plan.files.iter().map(|file| &***file);
            hash_contents(files, hasher, src, &mut counts)?;
            children.extend(plan.edits.iter().map(|edit| edit.inode.ino));
            directories.reserve(plan.directories.len());
            let mut edits = &plan.edits[..];
            for level in plan.directories.chunk_by(|a, b| a.depth == b.depth) {
                edits = hash_level(level, edits, &mut directories, &mut xattrs, hasher, src)?;
            }
            counts.directories = directories.len() as u64;
        }
        let (links, places) = self.tables(&directories, src)?;
        hasher.hash(&[&links]);
        let top = directories.last().map_or_else(|| self.tree.top(), |top| &top.after);
        let body = EntryBody::Directory(top.directory().and_then(|tree| tree.id().flatten()));
        let top = Entry { meta: top.meta, linked: false, xattrs: xattrs.of(top), body };
        let root_bytes = Root { top, links: links.id().flatten() }.encode();
        let root = RootId::new(ObjectId::from_bytes(hash(&root_bytes)));
        counts.hashed = HashCounts {
            nodes: hasher.counts.nodes - before.nodes,
            node_bytes: hasher.counts.node_bytes - before.node_bytes,
            ..HashCounts::default()
        };
        Ok(Committed {
            root,
            counts,
            root_bytes,
            directories,
            children,
            xattrs: xattrs.stored,
            links,
            places,
            dirty: self.dirty.clone(),
            epochs: self.epochs,
        })
    }

    fn tables(
        &self,
        directories: &[HashedDirectory],
        src: &dyn ObjectSource,
    ) -> Result<(Tree<Table>, Tree<Table>), ObjectError> {
        let Worktree { links, places, .. } = &self.tree;
        if self.dirty.moved.is_empty() {
            return Ok((links.clone(), places.clone()));
        }
        let hashed = directories.iter().map(|directory| (directory.after.ino, &directory.after));
        let hashed: InoMap<&Arc<Inode>> = hashed.collect();
        let tables = links::update(&self.tree, &self.dirty.moved, &hashed, src)?;
        Ok((tables.links, tables.places))
    }
}

/// Hashes the contents of files that are not hashed yet; small ones in one batch.
pub(in crate::worktree) fn hash_contents<'a>(
    files: impl Iterator<Item = &'a Inode>,
    hasher: &mut Hasher,
    src: &dyn ObjectSource,
    counts: &mut CommitCounts,
) -> Result<(), ObjectError> {
    let mut small = Vec::new();
    let mut lists: Vec<&Tree<Chunks>> = Vec::new();
    for file in files.filter_map(Inode::file) {
        if let Some(content) = file.unhashed_small() {
            small.push(content);
            continue;
        }
        let hashed_bytes = file.cut(src)?;
        counts.files += u64::from(hashed_bytes > 0);
        counts.content_bytes += hashed_bytes;
        lists.extend(file.chunk_tree());
    }
    let inputs: Vec<&[u8]> = small.iter().map(|content| content.bytes()).collect();
    for (content, digest) in small.iter().zip(hasher.hash_contents(&inputs)) {
        // The thread that works ahead may be at the same files.
        if content.set_id(&ObjectId::from_bytes(*digest)) {
            counts.files += 1;
            counts.content_bytes += content.bytes().len() as u64;
        }
    }
    hasher.hash(&lists);
    Ok(())
}

/// Hashes directories of one depth, whose edits the list begins with. Returns the other edits.
fn hash_level<'e, 'a>(
    level: &[DirtyDirectory<'_>],
    mut edits: &'e [Edit<'a>],
    done: &mut Vec<HashedDirectory>,
    xattrs: &mut OwnXattrs,
    hasher: &mut Hasher,
    src: &dyn ObjectSource,
) -> Result<&'e [Edit<'a>], ObjectError> {
    let first = done.len();
    let mut trees = Vec::with_capacity(level.len());
    let mut ends = Vec::with_capacity(level.len());
    let mut end = done.last().map_or(0, |directory| directory.children_end);
    let mut values = Vec::new();
    for (at, directory) in level.iter().enumerate() {
        let own = edits.partition_point(|edit| edit.directory as usize == first + at);
        let (own, rest) = edits.split_at(own);
        edits = rest;
        trees.push(updated(directory.inode, own, done, xattrs, &mut values, src)?);
        end += own.len();
        ends.push(end);
    }
    hasher.hash(&trees.iter().collect::<Vec<_>>());
    for ((directory, tree), children_end) in level.iter().zip(trees).zip(ends) {
        let before = directory.inode.clone();
        let after = match before.directory() {
            // Only what lies below it changed before the snapshot, in place.
            Some(same) if same.is_same_by_pointer(&tree) && before.writer.is_none() => {
                before.clone()
            }
            // Directories are marked for whatever changes below them: those with a writer have
            // changed themselves.
            _ => {
                let body = Body::Directory(tree);
                Arc::new(Inode { body, writer: None, ..(*before).clone() })
            }
        };
        done.push(HashedDirectory { before, after, children_end });
    }
    Ok(edits)
}

/// The entries of a directory with some of them brought up to date.
fn updated(
    directory: &Inode,
    edits: &[Edit<'_>],
    done: &[HashedDirectory],
    xattrs: &mut OwnXattrs,
    values: &mut Vec<u8>,
    src: &dyn ObjectSource,
) -> Result<Tree<Directory>, ObjectError> {
    let tree = directory.directory();
    let mut tree = tree.expect("only directories have children").clone();
    values.clear();
    let mut parts = Vec::with_capacity(edits.len());
    for edit in edits {
        let inode = edit.child.map_or(edit.inode, |child| &done[child as usize].after);
        let side = put_inode(values, inode, edit.linked, xattrs, src)?;
        parts.push((values.len(), side));
    }
    let mut start = 0;
    let updates = edits.iter().zip(parts).map(|(edit, (end, side))| {
        let value = &values[std::mem::replace(&mut start, end)..end];
        Update { key: edit.name.as_bytes(), value, side }
    });
    let mut updates: Vec<Update<'_, Directory>> = updates.collect();
    match tree.update(&mut updates, src)? {
        0 => Ok(tree),
        _ => unreachable!("a directory has an entry for each name that is in it"),
    }
}

/// Encodes the entry of a hashed inode, and returns what lies beside it. `linked` tells whether
/// several of its names are in commits.
pub(in crate::worktree) fn put_inode(
    out: &mut Vec<u8>,
    inode: &Inode,
    linked: bool,
    xattrs: &mut OwnXattrs,
    src: &dyn ObjectSource,
) -> Result<SideRecord, ObjectError> {
    let mut side = SideRecord {
        ino: inode.ino.0,
        ctime: inode.ctime,
        born: inode.born,
        atime: inode.atime,
        links: u32::from(inode.names.len() > 1),
        side: None,
    };
    let body = match &inode.body {
        Body::File(file) => {
            let content = file.content().expect("contents are hashed before entries");
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
    put_entry_parts(out, &inode.meta, linked, &xattrs.of(inode), &body);
    Ok(side)
}

/// Extended attributes that need objects of their own.
#[derive(Default)]
pub(in crate::worktree) struct OwnXattrs {
    stored: Vec<(ObjectId, Vec<u8>)>,
}

impl OwnXattrs {
    pub(in crate::worktree) fn is_empty(&self) -> bool {
        self.stored.is_empty()
    }

    pub(in crate::worktree) fn clear(&mut self) {
        self.stored.clear();
    }

    /// Extended attributes as an entry has them.
    fn of(&mut self, inode: &Inode) -> EntryXattrs {
        let (xattrs, own) = inode.entry_xattrs();
        if let (EntryXattrs::Stored(id), Some(bytes)) = (&xattrs, own) {
            self.stored.push((*id.object(), bytes));
        }
        xattrs
    }
}
