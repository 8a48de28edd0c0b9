//! What a commit has to do, in the order in which it does it.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::model::{Ino, Name};
use crate::worktree::dirty::Dirty;
use crate::worktree::inode::Inode;
use crate::worktree::state::{InoMap, Worktree};

/// What a commit has to do.
pub(super) struct Plan<'a> {
    /// Dirty files that are not settled, each once.
    pub(super) files: Vec<&'a Arc<Inode>>,
    /// Dirty directories, the deepest first.
    pub(super) directories: Vec<DirtyDirectory<'a>>,
    /// Entries to bring up to date, sorted by directory and name.
    pub(super) edits: Vec<Edit<'a>>,
}

/// A directory to bring up to date.
pub(in crate::worktree) struct DirtyDirectory<'a> {
    pub(in crate::worktree) inode: &'a Arc<Inode>,
    pub(in crate::worktree) depth: u32,
}

/// An entry to bring up to date.
pub(super) struct Edit<'a> {
    /// The index of the directory.
    pub(super) directory: u32,
    /// Sorts as the name does, as far as it goes.
    prefix: u64,
    pub(super) name: &'a Name,
    pub(super) inode: &'a Arc<Inode>,
    /// Whether several names of the inode are in commits.
    pub(super) linked: bool,
    /// The index of the inode among the directories, if it is one.
    pub(super) child: Option<u32>,
}

impl<'a> Plan<'a> {
    /// Makes a plan for what is dirty. Inodes without a name are part of no tree.
    pub(super) fn of(tree: &'a Worktree, dirty: &Dirty) -> Self {
        let mut inos = dirty.inodes.clone();
        inos.sort_unstable();
        inos.dedup();
        let mut directories = Directories::new(tree);
        let mut files = Vec::with_capacity(inos.len());
        let mut edits = Vec::with_capacity(inos.len());
        for ino in inos {
            let Some(inode) = tree.find(ino) else { continue };
            if inode.settled || dirty.leaves(inode) {
                continue;
            }
            if inode.file().is_some() && !inode.names.is_empty() {
                files.push(inode);
            }
            let linked = tree.committed_names(inode) > 1;
            for (parent, name) in &inode.names {
                let directory = directories.index(*parent);
                edits.push(Edit { linked, ..Edit::of(directory, name, inode, None) });
            }
        }
        for ino in &dirty.directories {
            let is_wanted = |inode: &&Arc<Inode>| inode.is_in_tree() && !dirty.leaves(inode);
            if tree.find(*ino).filter(is_wanted).is_some() {
                directories.index(*ino);
            }
        }
        for child in 0..directories.found.len() {
            let inode = directories.found[child].inode;
            for (parent, name) in &inode.names {
                let directory = directories.index(*parent);
                edits.push(Edit::of(directory, name, inode, Some(child as u32)));
            }
        }
        let (ranks, directories) = directories.deepest_first();
        for edit in &mut edits {
            edit.directory = ranks[edit.directory as usize];
            edit.child = edit.child.map(|child| ranks[child as usize]);
        }
        edits.sort_unstable_by(|a, b| {
            (a.directory, a.prefix).cmp(&(b.directory, b.prefix)).then_with(|| a.name.cmp(b.name))
        });
        Self { files, directories, edits }
    }
}

impl<'a> Edit<'a> {
    fn of(directory: u32, name: &'a Name, inode: &'a Arc<Inode>, child: Option<u32>) -> Self {
        Self { directory, prefix: prefix(name), name, inode, linked: false, child }
    }
}

fn prefix(name: &Name) -> u64 {
    let bytes = name.as_bytes();
    let mut prefix = [0; 8];
    let len = bytes.len().min(8);
    prefix[..len].copy_from_slice(&bytes[..len]);
    u64::from_be_bytes(prefix)
}

/// The dirty directories that were come by, with all above them.
pub(in crate::worktree) struct Directories<'a> {
    tree: &'a Worktree,
    found: Vec<DirtyDirectory<'a>>,
    indices: InoMap<u32>,
    /// Children of one directory come in runs.
    last: (Ino, u32),
}

impl<'a> Directories<'a> {
    pub(in crate::worktree) fn new(tree: &'a Worktree) -> Self {
        let top = DirtyDirectory { inode: tree.top(), depth: 0 };
        let indices = InoMap::from_iter([(Ino::ROOT, 0)]);
        Self { tree, found: vec![top], indices, last: (Ino::ROOT, 0) }
    }

    /// The index of a directory.
    pub(in crate::worktree) fn index(&mut self, ino: Ino) -> u32 {
        if self.last.0 == ino {
            return self.last.1;
        }
        let index = self.indices.get(&ino).copied().unwrap_or_else(|| self.add(ino));
        self.last = (ino, index);
        index
    }

    /// Adds a directory, and before it all above it that are not there yet.
    fn add(&mut self, ino: Ino) -> u32 {
        let mut missing = vec![ino];
        let (mut at, mut index) = (ino, 0);
        // No recursion: directories can lie deeper than a stack reaches.
        // That of all shadows lies in none, and is hashed as if it lay in the top directory.
        while let Some((parent, _)) = self.directory(at).names.first() {
            if let Some(known) = self.indices.get(parent) {
                index = *known;
                break;
            }
            missing.push(*parent);
            at = *parent;
        }
        while let Some(ino) = missing.pop() {
            let depth = self.found[index as usize].depth + 1;
            // Inodes of more directories would not fit into any memory.
            index = self.found.len() as u32;
            self.found.push(DirtyDirectory { inode: self.directory(ino), depth });
            self.indices.insert(ino, index);
        }
        index
    }

    fn directory(&self, ino: Ino) -> &'a Arc<Inode> {
        self.tree.find(ino).expect("directories above a loaded inode are loaded")
    }

    /// The directories, the deepest first, and the place in there of each index.
    pub(in crate::worktree) fn deepest_first(self) -> (Vec<u32>, Vec<DirtyDirectory<'a>>) {
        let mut order: Vec<u32> = (0..self.found.len() as u32).collect();
        order.sort_by_key(|index| Reverse(self.found[*index as usize].depth));
        let mut ranks = vec![0; order.len()];
        for (rank, index) in (0..).zip(&order) {
            ranks[*index as usize] = rank;
        }
        let mut sorted: Vec<(u32, DirtyDirectory<'_>)> =
            ranks.iter().copied().zip(self.found).collect();
        sorted.sort_unstable_by_key(|(rank, _)| *rank);
        (ranks, sorted.into_iter().map(|(_, directory)| directory).collect())
    }
}
