//! Finding all objects that something leads to.
//!
//! Every node is read once, chunks never; the set takes about 50 bytes an object.

use std::collections::HashSet;

use super::{History, RepoError};
use crate::format::bytes::FormatError;
use crate::format::chunks::ChunkRecord;
use crate::format::commit::decode_commit;
use crate::format::entry::decode_entry;
use crate::format::node::NodeReader;
use crate::format::root::Root;
use crate::format::worktree::{SideRecord, WorktreeState, open_side};
use crate::model::{CommitId, Content, Entry, EntryBody, EntryXattrs, ObjectError, ObjectId};

/// What an object is, as far as it tells what it leads to.
#[derive(Clone, Copy)]
enum Sort {
    Commit,
    Root,
    State,
    Directory,
    Chunks,
    Table,
    Side,
}

/// Objects that something leads to.
pub(super) struct Marks<'a> {
    history: &'a History,
    live: HashSet<ObjectId>,
    todo: Vec<(ObjectId, Sort)>,
}

impl<'a> Marks<'a> {
    pub(super) fn new(history: &'a History) -> Self {
        Self { history, live: HashSet::new(), todo: Vec::new() }
    }

    pub(super) fn contains(&self, id: &ObjectId) -> bool {
        self.live.contains(id)
    }

    /// Marks a commit and its tree. Its parents are commits of their own.
    pub(super) fn commit(&mut self, id: &CommitId) -> Result<(), RepoError> {
        self.add(*id.object(), Sort::Commit);
        self.follow()
    }

    /// Marks a state of the worktree and everything that it names, but for commits.
    pub(super) fn state(&mut self, id: ObjectId) -> Result<(), RepoError> {
        self.add(id, Sort::State);
        self.follow()
    }

    fn add(&mut self, id: ObjectId, sort: Sort) {
        if self.live.insert(id) {
            self.todo.push((id, sort));
        }
    }

    fn follow(&mut self) -> Result<(), RepoError> {
        while let Some((id, sort)) = self.todo.pop() {
            // Nobody needs them soon: the cache keeps what it has.
            let bytes = self.history.store().packs().read(&id)?;
            self.look(&bytes, sort).map_err(|error| {
                RepoError::Object(ObjectError::Damaged { id, detail: error.to_string() })
            })?;
        }
        Ok(())
    }

    fn look(&mut self, bytes: &[u8], sort: Sort) -> Result<(), FormatError> {
        match sort {
            Sort::Commit => self.add(*decode_commit(bytes)?.root.object(), Sort::Root),
            Sort::Root => {
                let root = Root::decode(bytes)?;
                self.entry(&root.top);
                self.add_all(root.links.map(|id| *id.object()), Sort::Table);
            }
            Sort::State => {
                let state = WorktreeState::decode(bytes)?;
                self.add(*state.root.object(), Sort::Root);
                self.add_all(state.side, Sort::Side);
                self.add_all(state.places.map(|id| *id.object()), Sort::Table);
            }
            Sort::Directory | Sort::Chunks | Sort::Table => self.node(bytes, sort)?,
            Sort::Side => self.side(bytes)?,
        }
        Ok(())
    }

    fn add_all(&mut self, ids: Option<ObjectId>, sort: Sort) {
        ids.into_iter().for_each(|id| self.add(id, sort));
    }

    fn node(&mut self, bytes: &[u8], sort: Sort) -> Result<(), FormatError> {
        let mut node = NodeReader::open(bytes)?;
        if node.height() > 0 {
            while let Some((_, link)) = node.next_link()? {
                self.add(*link.child.object(), sort);
            }
            return Ok(());
        }
        while let Some(item) = node.next_item()? {
            match sort {
                Sort::Directory => self.entry(&decode_entry(item.value)?),
                Sort::Chunks => {
                    if let ChunkRecord::Chunk { id, .. } = ChunkRecord::decode(item.value)? {
                        self.live.insert(*id.object());
                    }
                }
                // The items of tables lead to nothing.
                _ => {}
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry) {
        if let EntryXattrs::Stored(id) = &entry.xattrs {
            self.live.insert(*id.object());
        }
        match &entry.body {
            EntryBody::File { content: Content::Chunk(id), .. } => {
                self.live.insert(*id.object());
            }
            EntryBody::File { content: Content::Chunks(id), .. } => {
                self.add(*id.object(), Sort::Chunks);
            }
            EntryBody::Directory(Some(id)) => self.add(*id.object(), Sort::Directory),
            _ => {}
        }
    }

    fn side(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        // The header tells the height, which whoever knows the node beside it would expect.
        let height = bytes.get(SIDE_HEIGHT_AT).copied().unwrap_or_default();
        let mut reader = open_side(bytes, height)?;
        while !reader.is_at_end() {
            if height == 0 {
                let below = SideRecord::read(&mut reader)?.side;
                self.add_all(below.as_deref().copied(), Sort::Side);
            } else {
                let child = reader.id()?;
                reader.varint()?;
                self.add(child, Sort::Side);
            }
        }
        Ok(())
    }
}

/// Where the header of a side has its height.
const SIDE_HEIGHT_AT: usize = 3;
