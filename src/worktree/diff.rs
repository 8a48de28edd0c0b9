//! What differs between two committed trees, as a list of paths.
//!
//! Both trees are read in the form in which they are stored. Only directories whose nodes differ
//! are looked into, and in these only the nodes that differ, so the cost follows the difference.
//!
//! What counts as a change, unless [`DiffOptions::exact`] asks for everything:
//!
//! - a file of any kind changed when its content, attributes or extended attributes did; a new
//!   mtime alone makes it modified, for it makes another tree;
//! - a directory changed when its mode, owner or extended attributes did. Its mtime does not
//!   count: it moves with every entry that comes or goes, and these are listed themselves;
//! - that a file got or lost another name is no change of the name that stayed;
//! - a path that is of another kind now is modified, and what was or is below it as a directory
//!   is listed as deleted or added.
//!
//! Which of several names share a file is told by the trees' tables of links and is not compared.

mod renames;
mod similar;

pub use similar::pair_similar;

use super::committed::{CommittedDirectory, CommittedTree};
use crate::model::{Entry, EntryBody, Meta, NodeId, ObjectError, ObjectSource, RootId, Timestamp};

/// A path that is not the same in two trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The names from the top, joined by `/`; empty for the top itself. Of what was renamed, the
    /// new path.
    pub path: Vec<u8>,
    /// What happened to it.
    pub kind: ChangeKind,
    /// What the first tree has there, or had under the name that it came from.
    pub old: Option<Entry>,
    /// What the second tree has there.
    pub new: Option<Entry>,
}

/// What happened to a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is something else now, or has other attributes.
    Modified,
    /// It is gone.
    Deleted,
    /// It is new, with content of something that is gone. Attributes may differ. Of a directory,
    /// all that is below came with it and is not listed.
    Renamed {
        /// The path that it had.
        from: Vec<u8>,
        /// How much of the content is the same, in percent: 100 if and only if all of it is.
        similarity: u8,
    },
}

impl ChangeKind {
    /// The letter that stands before a path in listings.
    pub fn letter(&self) -> char {
        match self {
            Self::Added => 'A',
            Self::Modified => 'M',
            Self::Deleted => 'D',
            Self::Renamed { .. } => 'R',
        }
    }

    /// What stands before a path in listings: the letter, and behind that of a rename the
    /// similarity, `R087`, unless all of the content is the same.
    pub fn mark(&self) -> String {
        match self {
            Self::Renamed { similarity, .. } if *similarity < SIMILARITY_SAME => {
                format!("{}{similarity:03}", self.letter())
            }
            _ => self.letter().to_string(),
        }
    }
}

/// The similarity of what is the same.
pub const SIMILARITY_SAME: u8 = 100;

/// What two trees have at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Both {
    /// The names from the top, joined by `/`.
    pub path: Vec<u8>,
    /// What the first tree has there.
    pub old: Option<Entry>,
    /// What the second tree has there.
    pub new: Option<Entry>,
}

/// What to look for, and how to tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiffOptions {
    /// Tells a deleted and an added path with the same content as one that was renamed: regular
    /// files and directories that are not empty, and symbolic links. Those with the same last
    /// name find each other first, then those that come first.
    pub renames: bool,
    /// Lists a directory that came or went as one line, without what is below it. Nothing below
    /// is read, and takes no part in the search for renames.
    pub whole_directories: bool,
    /// Counts everything that makes another tree: also the mtimes of directories, and that a
    /// file got its second name or lost it.
    pub exact: bool,
}

impl Default for DiffOptions {
    /// What people expect: renames found, every file listed, no mtimes of directories.
    fn default() -> Self {
        Self { renames: true, whole_directories: false, exact: false }
    }
}

/// Lists what changed from tree `a`, or from an empty one, to tree `b`, sorted by the bytes of
/// the path. Takes memory for the changes, not for the trees.
pub fn diff_roots(
    a: Option<&RootId>,
    b: &RootId,
    src: &dyn ObjectSource,
    options: &DiffOptions,
) -> Result<Vec<Change>, ObjectError> {
    if a == Some(b) {
        return Ok(Vec::new());
    }
    let new = CommittedTree::open(b, src)?.top().clone();
    let old = match a {
        Some(a) => CommittedTree::open(a, src)?.top().clone(),
        None => Entry { body: EntryBody::Directory(None), ..new.clone() },
    };
    diff_entries(b"", Some(old), Some(new), src, options)
}

/// Lists what changed at and below one path, given what two trees have there; else as
/// [`diff_roots`]. The path begins those of all changes, and nothing outside of it is read.
pub fn diff_entries(
    path: &[u8],
    old: Option<Entry>,
    new: Option<Entry>,
    src: &dyn ObjectSource,
    options: &DiffOptions,
) -> Result<Vec<Change>, ObjectError> {
    diff_paths([Both { path: path.to_vec(), old, new }], src, options)
}

/// Lists what changed at and below several paths, none of which is below another one; else as
/// [`diff_entries`]. What was renamed from below one to below another is told as that.
pub fn diff_paths(
    paths: impl IntoIterator<Item = Both>,
    src: &dyn ObjectSource,
    options: &DiffOptions,
) -> Result<Vec<Change>, ObjectError> {
    let mut walk = Walk { src, options: *options, listed: Vec::new(), pending: Vec::new() };
    for Both { path, old, new } in paths {
        walk.compare(path, old, new, None);
    }
    walk.run()?;
    let mut changes = if options.renames {
        renames::pair(walk)?
    } else {
        walk.listed.into_iter().map(|listed| listed.change).collect()
    };
    changes.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(changes)
}

/// Puts the renames of all that is below in the place of each directory that was renamed, for
/// those who know nothing of directories. The list stays sorted. Reads these directories whole.
pub fn unfold_renamed(
    changes: Vec<Change>,
    src: &dyn ObjectSource,
) -> Result<Vec<Change>, ObjectError> {
    let options = DiffOptions { renames: false, ..DiffOptions::default() };
    let mut unfolded = Vec::with_capacity(changes.len());
    for change in changes {
        let from = match (&change.kind, &change.new) {
            (ChangeKind::Renamed { from, .. }, Some(new)) if is_directory(new) => from.clone(),
            _ => {
                unfolded.push(change);
                continue;
            }
        };
        for below in diff_entries(&change.path, None, change.new, src, &options)? {
            let rest = below.path.get(change.path.len()..).unwrap_or_default();
            let from = [&from, rest].concat();
            let kind = ChangeKind::Renamed { from, similarity: SIMILARITY_SAME };
            unfolded.push(Change { kind, old: below.new.clone(), ..below });
        }
    }
    unfolded.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(unfolded)
}

/// A walk through two trees.
struct Walk<'a> {
    src: &'a dyn ObjectSource,
    options: DiffOptions,
    listed: Vec<Listed>,
    pending: Vec<Pending>,
}

/// A change that was found.
struct Listed {
    change: Change,
    /// The added or deleted directory below which it was found, by its index in the list.
    above: Option<usize>,
}

/// A directory to look into.
struct Pending {
    path: Vec<u8>,
    old: Option<NodeId>,
    new: Option<NodeId>,
    above: Option<usize>,
}

impl Walk<'_> {
    /// Compares what two trees have at a path, and remembers to look below where that is needed.
    /// Where renames are wanted, directories that came or went are left for later, because those
    /// that were renamed as a whole need no look.
    fn compare(
        &mut self,
        path: Vec<u8>,
        old: Option<Entry>,
        new: Option<Entry>,
        above: Option<usize>,
    ) {
        let below = (node_of(old.as_ref()), node_of(new.as_ref()));
        let DiffOptions { renames, whole_directories, exact } = self.options;
        let (kind, descend) = match (&old, &new) {
            (Some(old), Some(new)) => {
                let stays_directory = is_directory(old) && is_directory(new);
                let changed = differs(old, new, exact);
                (changed.then_some(ChangeKind::Modified), stays_directory || !whole_directories)
            }
            (Some(_), None) => (Some(ChangeKind::Deleted), !whole_directories && !renames),
            (None, Some(_)) => (Some(ChangeKind::Added), !whole_directories && !renames),
            (None, None) => return,
        };
        if descend && below.0 != below.1 {
            let path = path.clone();
            self.pending.push(Pending { path, old: below.0, new: below.1, above });
        }
        if let Some(kind) = kind {
            self.listed.push(Listed { change: Change { path, kind, old, new }, above });
        }
    }

    /// Looks into the directories that are left to look into.
    fn run(&mut self) -> Result<(), ObjectError> {
        let src = self.src;
        while let Some(Pending { path, old, new, above }) = self.pending.pop() {
            let (old, new) = (CommittedDirectory::stored(old), CommittedDirectory::stored(new));
            old.diff(&new, src, &mut |name, old, new| {
                let mut below = Vec::with_capacity(path.len() + 1 + name.as_bytes().len());
                below.extend_from_slice(&path);
                if !path.is_empty() {
                    below.push(b'/');
                }
                below.extend_from_slice(name.as_bytes());
                self.compare(below, old, new, above);
            })?;
        }
        Ok(())
    }

    /// Lists what is right below an added or deleted directory.
    fn expand(&mut self, index: usize) -> Result<(), ObjectError> {
        let Change { path, old, new, .. } = &self.listed[index].change;
        let (old, new) = (node_of(old.as_ref()), node_of(new.as_ref()));
        self.pending.push(Pending { path: path.clone(), old, new, above: Some(index) });
        self.run()
    }
}

/// The topmost node of an entry that is a directory and not empty.
fn node_of(entry: Option<&Entry>) -> Option<NodeId> {
    match entry?.body {
        EntryBody::Directory(node) => node,
        _ => None,
    }
}

fn is_directory(entry: &Entry) -> bool {
    matches!(entry.body, EntryBody::Directory(_))
}

/// Tells whether an entry itself changed, apart from what is in a directory.
fn differs(old: &Entry, new: &Entry, exact: bool) -> bool {
    let (directories, mut metas) = (is_directory(old) && is_directory(new), [old.meta, new.meta]);
    if directories && !exact {
        metas = metas.map(|meta| Meta { mtime: Timestamp::default(), ..meta });
    }
    metas[0] != metas[1]
        || old.xattrs != new.xattrs
        || exact && old.linked != new.linked
        || !directories && old.body != new.body
}

/// The name that a path ends with.
fn last_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}
