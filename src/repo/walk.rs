//! What leads to what: the objects that an object names, and under which names.

use crate::format::bytes::FormatError;
use crate::format::chunks::ChunkRecord;
use crate::format::commit::decode_commit;
use crate::format::entry::decode_entry;
use crate::format::node::NodeReader;
use crate::format::provenance::BlockReader;
use crate::format::root::Root;
use crate::format::worktree::{SideRecord, WorktreeState, open_side};
use crate::model::{Content, Entry, EntryBody, EntryXattrs, ObjectId};

/// What an object is, as far as it tells what it leads to. The bytes do not say it, whoever names
/// them does: a file may have the bytes of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Sort {
    Commit,
    Root,
    State,
    Directory,
    Chunks,
    Table,
    Side,
    Provenance,
    /// Leads to nothing.
    Leaf,
}

/// The name of the directory that has what is ignored. No entry has it.
pub(super) const IGNORED: &[u8] = b"\0";

/// An object that another one names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link<'a> {
    pub(super) id: ObjectId,
    pub(super) sort: Sort,
    /// The name in its directory of the entry that it belongs to, if it belongs to one. All that
    /// belongs to an entry comes in a row.
    pub(super) name: Option<&'a [u8]>,
}

/// Calls `visit` with every object that one leads to. The parents of a commit are commits of their
/// own, and so are the head of a state and what its operation log and its tags name.
pub(super) fn links(
    bytes: &[u8],
    sort: Sort,
    visit: &mut dyn FnMut(Link<'_>),
) -> Result<(), FormatError> {
    let mut unnamed = |id, sort| visit(Link { id, sort, name: None });
    match sort {
        Sort::Commit => unnamed(*decode_commit(bytes)?.root.object(), Sort::Root),
        Sort::Root => {
            let root = Root::decode(bytes)?;
            root.links.iter().for_each(|id| unnamed(*id.object(), Sort::Table));
            entry(&root.top, None, visit);
        }
        Sort::State => {
            let state = WorktreeState::decode(bytes)?;
            unnamed(*state.root.object(), Sort::Root);
            state.side.iter().for_each(|id| unnamed(*id, Sort::Side));
            let tables = state.places.iter().chain(&state.tags);
            tables.for_each(|id| unnamed(*id.object(), Sort::Table));
            state.log.blocks.iter().for_each(|id| unnamed(*id, Sort::Leaf));
            state.changes_by.iter().for_each(|id| unnamed(*id, Sort::Provenance));
            state.ignored_side.iter().for_each(|id| unnamed(*id, Sort::Side));
            if let Some(id) = state.ignored {
                visit(Link { id: *id.object(), sort: Sort::Directory, name: Some(IGNORED) });
            }
        }
        Sort::Directory | Sort::Chunks | Sort::Table => node(bytes, sort, visit)?,
        Sort::Side => side(bytes, &mut unnamed)?,
        Sort::Provenance => {
            let mut block = BlockReader::open(bytes)?;
            block.heads().iter().for_each(|id| unnamed(*id, Sort::Provenance));
            while block.next_row()?.is_some() {}
        }
        Sort::Leaf => {}
    }
    Ok(())
}

fn node(bytes: &[u8], sort: Sort, visit: &mut dyn FnMut(Link<'_>)) -> Result<(), FormatError> {
    let mut node = NodeReader::open(bytes)?;
    if node.height() > 0 {
        while let Some((_, link)) = node.next_link()? {
            visit(Link { id: *link.child.object(), sort, name: None });
        }
        return Ok(());
    }
    while let Some(item) = node.next_item()? {
        match sort {
            Sort::Directory => entry(&decode_entry(item.value)?, Some(item.key), visit),
            Sort::Chunks => {
                if let ChunkRecord::Chunk { id, .. } = ChunkRecord::decode(item.value)? {
                    visit(Link { id: *id.object(), sort: Sort::Leaf, name: None });
                }
            }
            // The items of tables lead to nothing.
            _ => {}
        }
    }
    Ok(())
}

fn entry(entry: &Entry, name: Option<&[u8]>, visit: &mut dyn FnMut(Link<'_>)) {
    let mut add = |id: &ObjectId, sort| visit(Link { id: *id, sort, name });
    if let EntryXattrs::Stored(id) = &entry.xattrs {
        add(id.object(), Sort::Leaf);
    }
    match &entry.body {
        EntryBody::File { content: Content::Chunk(id), .. } => add(id.object(), Sort::Leaf),
        EntryBody::File { content: Content::Chunks(id), .. } => add(id.object(), Sort::Chunks),
        EntryBody::Directory(Some(id)) => add(id.object(), Sort::Directory),
        _ => {}
    }
}

fn side(bytes: &[u8], add: &mut dyn FnMut(ObjectId, Sort)) -> Result<(), FormatError> {
    // The header tells the height, which whoever knows the node beside it would expect.
    let height = bytes.get(SIDE_HEIGHT_AT).copied().unwrap_or_default();
    let mut reader = open_side(bytes, height)?;
    while !reader.is_at_end() {
        if height == 0 {
            let below = SideRecord::read(&mut reader)?.side;
            below.iter().for_each(|id| add(**id, Sort::Side));
        } else {
            let child = reader.id()?;
            reader.varint()?;
            add(child, Sort::Side);
        }
    }
    Ok(())
}

/// Where the header of a side has its height.
const SIDE_HEIGHT_AT: usize = 3;
