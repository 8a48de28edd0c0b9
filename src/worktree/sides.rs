//! What a worktree knows beyond its commits, brought into the store: what lies beside the nodes of
//! its directories, and the tables of places and of tags.
//!
//! Commits need none of it, so it is left to checkpoints, which do it at once for all directories
//! that changed since the last one: from the deepest up, since what lies beside a directory names
//! what lies beside those in it.

use std::sync::Arc;

use super::commit::{Directories, InMemory};
use super::ignored::SHADOWS;
use super::inode::{Body, Inode};
use super::state::{InoMap, Worktree};
use super::tree::{Directory, Hasher, Tree};
use crate::model::{Ino, Name, NodeId, ObjectError, ObjectId, ObjectSink, ObjectSource};

/// The directories of a tree with what was stored beside them.
pub struct Sides {
    /// What lies beside the topmost node of the top directory.
    pub top: Option<ObjectId>,
    /// What lies beside the topmost node of the directory of all shadows.
    pub ignored: Option<ObjectId>,
    /// The table of places.
    pub places: Option<NodeId>,
    /// The table of tags.
    pub tags: Option<NodeId>,
    /// Deepest first.
    directories: Vec<SidedDirectory>,
}

struct SidedDirectory {
    before: Arc<Inode>,
    after: Tree<Directory>,
}

impl Worktree {
    /// Hands what lies beside the directories of this tree to the sink. The tree must have been
    /// hashed and its nodes stored. `changed` are the directories that may have changed since this
    /// was last done; some may be listed twice, or be gone.
    ///
    /// After a failure it can be called again.
    pub fn store_sides(
        &self,
        changed: &[Ino],
        hasher: &mut Hasher,
        src: &dyn ObjectSource,
        sink: &dyn ObjectSink,
    ) -> Result<Sides, ObjectError> {
        let mut found = Directories::new(self);
        let is_there = |inode: &Arc<Inode>| inode.is_directory() && inode.is_in_tree();
        for ino in changed.iter().filter(|ino| self.find(**ino).is_some_and(is_there)) {
            found.index(*ino);
        }
        if self.has_ignored() {
            found.index(SHADOWS);
        }
        let (_, sorted) = found.deepest_first();
        let places = (0..).zip(&sorted).map(|(at, directory)| (directory.inode.ino, at));
        let places: InoMap<usize> = places.collect();
        let trees = sorted.iter().filter_map(|directory| directory.inode.directory());
        let mut after: Vec<Tree<Directory>> = trees.cloned().collect();
        let mut start = 0;
        for level in sorted.chunk_by(|a, b| a.depth == b.depth) {
            let end = start + level.len();
            let (done, above) = after.split_at_mut(end);
            hasher.store_sides(&done[start..].iter().collect::<Vec<_>>(), sink)?;
            for (directory, tree) in level.iter().zip(&done[start..]) {
                for (parent, name) in &directory.inode.names {
                    set_side(&mut above[places[parent] - end], name, tree.side_id(), src)?;
                }
            }
            start = end;
        }
        let tables = [&self.places, &self.tags];
        hasher.hash(&tables);
        hasher.store(&tables, sink)?;
        let top = after.last().and_then(Tree::side_id);
        let ignored = places.get(&SHADOWS).and_then(|at| after[*at].side_id());
        let [places, tags] = tables.map(|table| table.id().flatten());
        let directories = sorted.iter().map(|directory| directory.inode.clone()).zip(after);
        let directories = directories.map(|(before, after)| SidedDirectory { before, after });
        let directories = directories.collect();
        Ok(Sides { top, ignored, places, tags, directories })
    }

    /// Tells this tree, which may be a later version of the one whose sides were stored, where they
    /// lie. No commit may be in flight. Returns the directories of which it could not be told:
    /// they count as changed.
    pub fn publish_sides(&mut self, sides: Sides) -> Vec<Ino> {
        let mut replaced = InoMap::default();
        for SidedDirectory { before, after } in &sides.directories {
            let Some(inode) = self.inodes.get_mut(before.ino) else { continue };
            let same = match (inode.directory(), before.directory()) {
                (Some(now), Some(then)) => now.is_same_by_pointer(then),
                _ => false,
            };
            if same {
                Arc::make_mut(inode).body = Body::Directory(after.clone());
                replaced.insert(before.ino, ());
            }
        }
        let mut untold = Vec::new();
        for SidedDirectory { before, .. } in &sides.directories {
            for (parent, name) in &before.names {
                // It may have changed itself, and then it is told the next time.
                let is_told = replaced.contains_key(parent) && replaced.contains_key(&before.ino);
                if !is_told && self.tell(*parent, name, before.ino).is_err() {
                    untold.push(before.ino);
                }
            }
        }
        untold
    }

    /// Tells a directory what lies beside one that is in it, if it still is.
    fn tell(&mut self, parent: Ino, name: &Name, ino: Ino) -> Result<(), ObjectError> {
        let side = self.find(ino).and_then(|inode| inode.directory()?.side_id());
        let found = self.lookup(parent, name, &InMemory)?;
        let wanted = side.map(Arc::new);
        if !found.is_some_and(|found| found.ino == ino && found.side.side != wanted) {
            return Ok(());
        }
        let Some(inode) = self.inodes.get_mut(parent) else { return Ok(()) };
        let Body::Directory(tree) = &mut Arc::make_mut(inode).body else { return Ok(()) };
        set_side(tree, name, side, &InMemory)
    }
}

fn set_side(
    tree: &mut Tree<Directory>,
    name: &Name,
    side: Option<ObjectId>,
    src: &dyn ObjectSource,
) -> Result<(), ObjectError> {
    tree.set_side(name.as_bytes(), |beside| beside.side = side.map(Arc::new), src)
}
