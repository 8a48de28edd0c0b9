//! Who made the changes of commits: gathering it while commits are brought into the store, and
//! finding it again.
//!
//! Inodes know who changed them last (see `worktree`). Each snapshot that is hashed, for a commit
//! or not, gives rows of paths and writers, which go to the store in blocks, each of which follows
//! those before it; a commit is told of by all blocks since the one before it. That is done where
//! objects are stored, after the commit was acknowledged: until then the journal, which has the
//! writer of each operation, makes the same of it again. What blocks there are since the last
//! commit is part of the state of the worktree, since a checkpoint lies between a change and its
//! commit as often as not.
//!
//! A directory that has got or lost entries has not changed itself, as listings see it too: these
//! tell of it. Of what was removed nobody is told: the inode that would know is gone, and to keep a
//! list of names that are no more would cost every removal, and a checkpoint as much again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::checkpoint::{Extent, Unwritten};
use super::{History, Repo, RepoError};
use crate::base::limits::{PROVENANCE_BLOCK_BYTES, PROVENANCE_BLOCKS_MAX, PROVENANCE_HEADS_MAX};
use crate::format::commit_log::CommitRecord;
use crate::format::provenance::{BlockReader, BlockWriter};
use crate::hash::hash;
use crate::model::{CommitId, ObjectError, ObjectId, ObjectKind, ObjectSink, ObjectSource, Writer};
use crate::store::{PackStore, Store};
use crate::worktree::{Change, ChangeKind};

/// What an entry of the queue means for who changed what since the head.
#[derive(Debug)]
pub(super) enum Step {
    /// What the snapshot tells is added; and if a commit was made of it, it is that commit's.
    Changed,
    /// The head went back to before this commit: what it holds counts as changed again.
    TakenBack(CommitId),
    /// The worktree became another one, with these blocks.
    Switched(Vec<ObjectId>),
}

/// The blocks that tell who changed what since the last commit.
#[derive(Debug, Default)]
pub(super) struct ChangesBy {
    /// What happened last comes first.
    heads: Vec<ObjectId>,
}

impl ChangesBy {
    /// As a state has it.
    pub(super) fn new(heads: &[ObjectId]) -> Self {
        Self { heads: heads.to_vec() }
    }

    /// The blocks that no other one follows.
    pub(super) fn heads(&self) -> &[ObjectId] {
        &self.heads
    }

    /// Adds what is not told of by the queue, which is empty.
    pub(super) fn add(
        &mut self,
        rows: &[(Vec<u8>, Arc<Writer>)],
        packs: &PackStore,
    ) -> Result<(), ObjectError> {
        self.heads = put_rows(rows, self.heads.clone(), packs)?;
        Ok(())
    }

    /// Takes into account what one entry of the queue means, once. A failure leaves all as it was.
    pub(super) fn take(
        &mut self,
        queue: &mut VecDeque<Unwritten>,
        at: usize,
        store: &Store,
    ) -> Result<(), RepoError> {
        let packs: &PackStore = store.packs();
        let Some(Unwritten { step: Some(step), unstored, .. }) = queue.get(at) else {
            return Ok(());
        };
        let mut heads = match step {
            Step::Changed => {
                let rows = unstored.as_ref().map(|unstored| unstored.changes_by());
                put_rows(&rows.unwrap_or_default(), self.heads.clone(), packs)?
            }
            Step::TakenBack(commit) => {
                let block = match queue.iter().take(at).find_map(|u| u.record_of(commit)) {
                    Some(record) => record.changes_by,
                    None => store.commits().find(commit).and_then(|record| record.changes_by),
                };
                let mut heads = self.heads.clone();
                if heads.len() == PROVENANCE_HEADS_MAX {
                    heads = join(&heads, packs)?.into_iter().collect();
                }
                heads.extend(block);
                heads
            }
            Step::Switched(heads) => heads.clone(),
        };
        let Some(Unwritten { step, commit, .. }) = queue.get_mut(at) else { return Ok(()) };
        if let Some((record, _)) = commit {
            record.changes_by = join(&std::mem::take(&mut heads), packs)?;
        }
        *step = None;
        self.heads = heads;
        Ok(())
    }
}

/// Paths, in order, each with who changed it.
pub(super) type Rows = Vec<(Vec<u8>, Arc<Writer>)>;

/// Puts rows into the store, in blocks that follow these. Returns what nothing follows then.
pub(super) fn put_rows(
    rows: &[(Vec<u8>, Arc<Writer>)],
    mut heads: Vec<ObjectId>,
    packs: &PackStore,
) -> Result<Vec<ObjectId>, ObjectError> {
    let mut block = BlockWriter::default();
    for (at, (path, writer)) in rows.iter().enumerate() {
        block.push(path, writer);
        if block.len_bytes() >= PROVENANCE_BLOCK_BYTES || at + 1 == rows.len() {
            heads = vec![put_block(std::mem::take(&mut block), &heads, packs)?];
        }
    }
    Ok(heads)
}

/// One block that all of these can be found from; none if there are none.
fn join(heads: &[ObjectId], packs: &PackStore) -> Result<Option<ObjectId>, ObjectError> {
    match heads {
        [] => Ok(None),
        [head] => Ok(Some(*head)),
        heads => put_block(BlockWriter::default(), heads, packs).map(Some),
    }
}

fn put_block(
    block: BlockWriter,
    heads: &[ObjectId],
    packs: &PackStore,
) -> Result<ObjectId, ObjectError> {
    // Whoever undoes his commits all day long shall not make a chain without end.
    let below = heads.iter().map(|head| blocks_from(head, packs)).sum();
    let bytes = match below < PROVENANCE_BLOCKS_MAX {
        true => block.finish(heads, below),
        false => block.finish(&[], 0),
    };
    let id = ObjectId::from_bytes(hash(&bytes));
    packs.put(ObjectKind::Provenance, &id, &bytes)?;
    Ok(id)
}

/// How many blocks can be found from one, itself among them. One that cannot be read, or is
/// damaged, shall not keep anybody from committing.
fn blocks_from(id: &ObjectId, packs: &PackStore) -> u64 {
    let below = packs.get(id).ok().and_then(|bytes| Some(BlockReader::open(&bytes).ok()?.below()));
    below.unwrap_or(0) + 1
}

impl Unwritten {
    fn record_of(&self, commit: &CommitId) -> Option<&CommitRecord> {
        let (record, _) = self.commit.as_ref()?;
        (record.id == *commit).then_some(record)
    }
}

impl Repo {
    /// Brings into the store what was done, and tells which blocks have who did it since the head.
    pub fn store_changes_by(&self) -> Result<Vec<ObjectId>, RepoError> {
        let mut storing = self.storing.lock();
        self.write_tree(&mut storing, Extent::Commits)?;
        Ok(storing.changes_by.heads().to_vec())
    }
}

impl History {
    /// Who made each of the changes that a commit holds, where that is known. These must be the
    /// changes against its first parent.
    pub fn who_made(
        &self,
        commit: &CommitId,
        changes: &[Change],
    ) -> Result<Vec<Option<Arc<Writer>>>, RepoError> {
        let record = self.store().commits().find(commit);
        let block = record.and_then(|record| record.changes_by);
        self.who_made_by(block.as_slice(), changes)
    }

    /// The blocks that tell who changed what since the head, as far as they were written down. The
    /// process that has the store open knows better: see [`Repo::store_changes_by`].
    pub fn changes_by_since_head(&self) -> Result<Vec<ObjectId>, RepoError> {
        Ok(self.worktree_state()?.map_or_else(Vec::new, |state| state.changes_by))
    }

    /// Who made each of some changes, where these blocks tell it.
    pub fn who_made_by(
        &self,
        blocks: &[ObjectId],
        changes: &[Change],
    ) -> Result<Vec<Option<Arc<Writer>>>, RepoError> {
        let mut wanted = HashSet::new();
        for change in changes.iter().filter(|change| change.kind != ChangeKind::Deleted) {
            wanted.insert(change.path.as_slice());
            if came(change) {
                wanted.extend(above(&change.path));
            }
        }
        let found = find(blocks, wanted, self.store().packs())?;
        Ok(changes.iter().map(|change| who_of(change, &found).cloned()).collect())
    }
}

/// Tells whether a change gave a file a path that it did not have.
fn came(change: &Change) -> bool {
    matches!(change.kind, ChangeKind::Added | ChangeKind::Renamed { .. })
}

/// The directories that a path is in, the nearest first, without the top.
fn above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/');
    slashes.map(|(at, _)| &path[..at])
}

fn who_of<'a>(
    change: &Change,
    found: &'a HashMap<Vec<u8>, Arc<Writer>>,
) -> Option<&'a Arc<Writer>> {
    if change.kind == ChangeKind::Deleted {
        return None;
    }
    // What came with a directory that was moved changed no further: whoever moved that did it.
    let moved = came(change).then(|| above(&change.path)).into_iter().flatten();
    std::iter::once(change.path.as_slice()).chain(moved).find_map(|path| found.get(path))
}

/// Looks for paths in all blocks that can be found from these.
fn find(
    heads: &[ObjectId],
    mut wanted: HashSet<&[u8]>,
    packs: &PackStore,
) -> Result<HashMap<Vec<u8>, Arc<Writer>>, RepoError> {
    let mut found = HashMap::new();
    let mut seen = HashSet::new();
    // What comes first happened last.
    let mut todo: Vec<ObjectId> = heads.iter().rev().copied().collect();
    while let Some(id) = todo.pop().filter(|_| !wanted.is_empty()) {
        if !seen.insert(id) {
            continue;
        }
        let bytes = packs.read(&id)?;
        let damaged = |error| RepoError::damaged(&id, error);
        let mut block = BlockReader::open(&bytes).map_err(damaged)?;
        while let Some((path, writer)) = block.next_row().map_err(damaged)? {
            if wanted.remove(path) {
                found.insert(path.to_vec(), Arc::clone(writer));
            }
        }
        todo.extend(block.heads().iter().rev());
    }
    Ok(found)
}
