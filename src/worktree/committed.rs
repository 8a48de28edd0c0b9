//! Committed trees, read where they lie: lookups and listings that load a path of nodes and keep
//! nothing else. What the working tree knows beyond the commit is not looked at.

use std::ops::ControlFlow;

use super::tree::{Directory, Table, Tree, damaged};
use crate::base::limits::LISTED_ENTRIES_MAX;
use crate::format::entry::decode_entry;
use crate::format::root::{LinkRecord, Root};
use crate::hash::hash;
use crate::model::{Entry, EntryBody, Name, NodeId, ObjectError, ObjectId, ObjectSource, RootId};

/// The tree of a commit.
#[derive(Clone, Debug)]
pub struct CommittedTree {
    id: RootId,
    top: Entry,
    links: Tree<Table>,
}

impl CommittedTree {
    /// Opens a tree. Reads the root only.
    pub fn open(id: &RootId, src: &dyn ObjectSource) -> Result<Self, ObjectError> {
        let object = id.object();
        let root = Root::decode(&src.get(object)?).map_err(|e| damaged(object, e))?;
        Ok(Self { id: *id, top: root.top, links: Tree::stored(root.links, None) })
    }

    /// The id of the root.
    pub fn id(&self) -> &RootId {
        &self.id
    }

    /// The top directory.
    pub fn top(&self) -> &Entry {
        &self.top
    }

    /// Finds what a path leads to from the top: names joined by `/`. Symbolic links are not
    /// followed. Empty names and `.` stand for the directory itself, so the empty path is the
    /// top; `..` leads nowhere, and so does a name below what is no directory.
    ///
    /// Reads a path of nodes in each directory on the way.
    pub fn find(&self, path: &[u8], src: &dyn ObjectSource) -> Result<Option<Entry>, ObjectError> {
        let mut entry = self.top.clone();
        for name in names(path) {
            let Ok(name) = Name::new(name) else { return Ok(None) };
            let Some(directory) = CommittedDirectory::of(&entry) else { return Ok(None) };
            let Some(next) = directory.find(&name, src)? else { return Ok(None) };
            entry = next;
        }
        Ok(Some(entry))
    }

    /// Calls `visit` with the entries of a directory in the order of names, until it breaks.
    /// Anything else than a directory has none.
    pub fn list(
        &self,
        entry: &Entry,
        src: &dyn ObjectSource,
        visit: &mut dyn FnMut(Name, Entry) -> ControlFlow<()>,
    ) -> Result<(), ObjectError> {
        match CommittedDirectory::of(entry) {
            Some(directory) => directory.list(0, src, visit),
            None => Ok(()),
        }
    }

    /// What the table of links says of a path: `None` where the file has this name only. The
    /// path is understood as in [`find`](Self::find).
    pub fn link_record(
        &self,
        path: &[u8],
        src: &dyn ObjectSource,
    ) -> Result<Option<LinkRecord>, ObjectError> {
        let key = hash(&names(path).collect::<Vec<_>>().join(&b'/'));
        let Some(item) = self.links.find(&key, src)? else { return Ok(None) };
        LinkRecord::decode(item.value).map(Some).map_err(|e| damaged(&topmost(&self.links.id()), e))
    }
}

/// A directory of a committed tree. Nodes are loaded when first needed and kept as long as the
/// value and its clones live.
#[derive(Clone, Debug)]
pub struct CommittedDirectory {
    tree: Tree<Directory>,
}

impl CommittedDirectory {
    /// The directory that an entry stands for, if it stands for one. Reads nothing.
    pub fn of(entry: &Entry) -> Option<Self> {
        match &entry.body {
            EntryBody::Directory(node) => Some(Self::stored(*node)),
            _ => None,
        }
    }

    /// The directory with this topmost node. Reads nothing.
    pub(super) fn stored(node: Option<NodeId>) -> Self {
        Self { tree: Tree::stored(node, None) }
    }

    /// Finds an entry. Reads at most a path of nodes.
    pub fn find(&self, name: &Name, src: &dyn ObjectSource) -> Result<Option<Entry>, ObjectError> {
        match self.tree.find(name.as_bytes(), src)? {
            Some(item) => self.entry(item.value).map(Some),
            None => Ok(None),
        }
    }

    /// Calls `visit` with the entries from the one at this index on, in the order of names, until
    /// it breaks. The directory never changes, so an index is a place to go on from.
    pub fn list(
        &self,
        from: u64,
        src: &dyn ObjectSource,
        visit: &mut dyn FnMut(Name, Entry) -> ControlFlow<()>,
    ) -> Result<(), ObjectError> {
        let mut failed = None;
        self.tree.scan(from, src, &mut |item| match self
            .name(item.key)
            .and_then(|name| Ok((name, self.entry(item.value)?)))
        {
            Ok((name, entry)) => visit(name, entry),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// Calls `visit` with the name and both versions of every entry that is not the same in
    /// `other`, in the order of names, until it breaks.
    pub(super) fn diff(
        &self,
        other: &Self,
        src: &dyn ObjectSource,
        visit: &mut dyn FnMut(Name, Option<Entry>, Option<Entry>),
    ) -> Result<(), ObjectError> {
        let mut failed = None;
        self.tree.diff(&other.tree, src, &mut |item| {
            let of = |directory: &Self, value: Option<&[u8]>| {
                value.map(|value| directory.entry(value)).transpose()
            };
            let read = || {
                let named = if item.new.is_some() { other } else { self };
                Ok((named.name(item.key)?, of(self, item.old)?, of(other, item.new)?))
            };
            match read() {
                Ok((name, old, new)) => {
                    visit(name, old, new);
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// Counts the entries. Reads at most the topmost node.
    pub fn len(&self, src: &dyn ObjectSource) -> Result<u64, ObjectError> {
        self.tree.len(src)
    }

    /// Tells whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.tree.is_empty()
    }

    /// Counts the entries that are directories. Reads at most the topmost node.
    pub fn subdirectories(&self, src: &dyn ObjectSource) -> Result<u64, ObjectError> {
        self.tree.weight(src)
    }

    fn entry(&self, value: &[u8]) -> Result<Entry, ObjectError> {
        decode_entry(value).map_err(|e| {
            let detail = format!("an entry in the directory's tree: {e}");
            ObjectError::Damaged { id: topmost(&self.tree.id()), detail }
        })
    }

    fn name(&self, key: &[u8]) -> Result<Name, ObjectError> {
        Name::new(key).map_err(|e| {
            let detail = format!("a key in the directory's tree: {e}");
            ObjectError::Damaged { id: topmost(&self.tree.id()), detail }
        })
    }
}

/// The names in a path.
fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."))
}

/// The object to blame for what is wrong somewhere in a tree.
fn topmost(id: &Option<Option<NodeId>>) -> ObjectId {
    let id = id.flatten().map(|id| *id.object());
    id.unwrap_or(ObjectId::from_bytes([0; ObjectId::BYTES]))
}

/// The entries of a directory, one after the other. Reads some at a time, so that the first come at
/// once and memory does not grow with the directory.
#[derive(Debug)]
pub struct EntryReader {
    directory: CommittedDirectory,
    /// How many were read.
    read: u64,
    /// Those that were read and have yet to be taken, last first.
    ahead: Vec<(Name, Entry)>,
}

impl EntryReader {
    /// Begins with the first entry. Reads nothing.
    pub fn new(directory: CommittedDirectory) -> Self {
        Self { directory, read: 0, ahead: Vec::new() }
    }

    /// The next entry, if there is one more.
    pub fn next(&mut self, src: &dyn ObjectSource) -> Result<Option<(Name, Entry)>, ObjectError> {
        if self.ahead.is_empty() {
            let ahead = &mut self.ahead;
            self.directory.list(self.read, src, &mut |name, entry| {
                ahead.push((name, entry));
                match ahead.len() < LISTED_ENTRIES_MAX {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            })?;
            self.read += ahead.len() as u64;
            ahead.reverse();
        }
        Ok(self.ahead.pop())
    }
}
