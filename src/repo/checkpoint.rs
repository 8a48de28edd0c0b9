//! Checkpoints: what brings the working tree into the store, so that the journal can be cut.
//!
//! A checkpoint hashes like a commit that no history names. It then writes the objects that the
//! store lacks, of this and of all commits before, what the worktree knows beyond commits, and
//! the state that names all that; makes them durable; lists the state, which is the one step that
//! makes it count; and drops the journal before it. Others commit and write meanwhile.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::provenance::{ChangesBy, Step};
use super::{Committing, Repo, RepoError, Storing, patience};
use crate::base::limits::{BACKGROUND_PART, CHUNK_BYTES_MIN, PUBLISH_FILES_LOCKED_MAX};
use crate::base::sync::MutexGuard;
use crate::format::commit_log::CommitRecord;
use crate::format::worktree::{JournalPosition, WorktreeState};
use crate::hash::hash;
use crate::journal::Point;
use crate::model::{CommitId, Ino, ObjectId, ObjectKind, ObjectSink, RootId};
use crate::store::{Durability, PackStore, Store};
use crate::worktree::tree::Hasher;
use crate::worktree::{CommitCounts, Committed, Sides, Snapshot, StoredFile, Unstored, Worktree};

/// What was hashed and is not in the store yet.
pub(super) struct Unwritten {
    /// None if that is in the store already.
    pub(super) unstored: Option<Unstored>,
    /// What that means for who changed what, until it has been taken into account.
    pub(super) step: Option<Step>,
    /// The commit that was made of it, and its object.
    pub(super) commit: Option<(CommitRecord, Vec<u8>)>,
}

impl Unwritten {
    /// A snapshot, and the commit that was made of it, if one was.
    pub(super) fn new(unstored: Unstored, commit: Option<(CommitRecord, Vec<u8>)>) -> Self {
        Self { unstored: Some(unstored), step: Some(Step::Changed), commit }
    }

    /// A commit whose tree is in the store.
    pub(super) fn commit(record: CommitRecord, bytes: Vec<u8>) -> Self {
        Self { unstored: None, step: Some(Step::Changed), commit: Some((record, bytes)) }
    }

    /// The head went back to before this commit, and the tree stayed.
    pub(super) fn taken_back(commit: CommitId) -> Self {
        Self { unstored: None, step: Some(Step::TakenBack(commit)), commit: None }
    }

    /// Another tree took the place of this one, with these changes since its head.
    pub(super) fn switched(changes_by: &[ObjectId]) -> Self {
        Self { unstored: None, step: Some(Step::Switched(changes_by.to_vec())), commit: None }
    }
}

/// How much of the tree is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// What commits hold.
    Commits,
    /// That, and what is ignored.
    All,
}

/// A snapshot that was hashed, and what there was when it was taken.
pub(super) struct Hashed {
    pub(super) snapshot: Snapshot,
    pub(super) committed: Committed,
    pub(super) head: Option<CommitId>,
    pub(super) point: Point,
    changes: u64,
}

/// Brings into the store what was hashed, and lists its commits. `let_go` gets the files that need
/// no memory any more, `listed` is called for each commit. What has not been done when it fails
/// is left in `taken`.
pub(super) fn write_to(
    store: &Store,
    taken: &mut VecDeque<Unwritten>,
    (hasher, changes_by): (&mut Hasher, &mut ChangesBy),
    mut let_go: impl FnMut(Vec<StoredFile>),
    mut listed: impl FnMut(CommitId),
) -> Result<(), RepoError> {
    let packs: &PackStore = store.packs();
    for at in 0..taken.len() {
        changes_by.take(taken, at, store)?;
        let Some(Unwritten { unstored, commit, .. }) = taken.get_mut(at) else { break };
        if let Some(unstored) = unstored {
            let_go(unstored.store(hasher, packs, packs)?);
        }
        if let Some((record, bytes)) = commit {
            packs.put(ObjectKind::Commit, record.id.object(), bytes)?;
        }
    }
    // Whoever finds a commit in the list finds its objects too.
    packs.flush()?;
    while let Some(Unwritten { commit, .. }) = taken.front() {
        if let Some((record, _)) = commit {
            store.commits().append(*record, Durability::Fast)?;
            listed(record.id);
        }
        taken.pop_front();
    }
    Ok(())
}

impl Repo {
    /// Brings the working tree into the store, durably, and cuts the journal: everything that was
    /// applied before the call is on the disk on return.
    pub fn checkpoint(&self) -> Result<(), RepoError> {
        let start = Instant::now();
        let wanted = self.changes.load(Ordering::Acquire);
        let mut storing = self.storing.lock();
        if self.is_saved(&storing, wanted) {
            // Somebody else's checkpoint, which began after this call did, has done it.
            return Ok(());
        }
        self.stats().checkpoints.fetch_add(1, Ordering::Relaxed);
        let result = self.save(&mut storing).map(drop);
        self.stats().checkpoint_latency.add(start.elapsed());
        result
    }

    /// Tells whether so many changes are in a state on the disk. What came from the journal when
    /// the store was opened is in none yet.
    pub(super) fn is_saved(&self, storing: &Storing, changes: u64) -> bool {
        storing.saved_changes >= changes.max(1) && self.journal.failure().is_none()
    }

    /// Makes everything that was applied before the call durable.
    pub fn sync(&self) -> Result<(), RepoError> {
        patience()?;
        if self.journal.failure().is_some() || !self.options.journaled {
            return self.checkpoint();
        }
        Ok(self.journal.sync()?)
    }

    /// Brings dirty contents into the store if they take much memory: by another thread, or, if it
    /// is too much, here. Those who write call it, and so wait.
    pub fn relieve(&self) -> Result<(), RepoError> {
        let dirty_bytes = || self.look(|tree| tree.dirty_bytes());
        let dirty = dirty_bytes();
        let most = self.options.dirty_bytes_max;
        if dirty <= most {
            if dirty > most / BACKGROUND_PART {
                self.keeper.store_soon();
            }
            return Ok(());
        }
        patience()?;
        self.with_room(|| {
            let mut storing = self.storing.lock();
            if dirty_bytes() > most {
                self.write_tree(&mut storing, Extent::All)?;
            }
            Ok(())
        })
    }

    /// Makes everything durable and seals what is open.
    pub fn close(&self) -> Result<(), RepoError> {
        self.committer.stop();
        let mut storing = self.storing.lock();
        self.journal.prepare_close(self.live.write());
        let point = self.save(&mut storing)?;
        self.store().close()?;
        // What was appended since stays.
        Ok(self.journal.close(&point, self.live.write())?)
    }

    /// Hashes what a commit would, and leaves it to be stored. Returns the root.
    pub fn hash(&self) -> Result<RootId, RepoError> {
        self.hash_locked(&mut self.committing.lock(), Extent::Commits)
    }

    /// Hashes what is dirty, with what is ignored.
    pub fn hash_all(&self) -> Result<(), RepoError> {
        self.hash_locked(&mut self.committing.lock(), Extent::All).map(drop)
    }

    pub(super) fn hash_locked(
        &self,
        committing: &mut MutexGuard<'_, Committing>,
        extent: Extent,
    ) -> Result<RootId, RepoError> {
        let hashed = self.begin(committing, extent, |_| Ok(()))?;
        let root = hashed.committed.root;
        self.finish(committing, hashed, None, |_| Ok(()))?;
        Ok(root)
    }

    /// Brings everything that was committed into the store, so that it can be looked at there.
    /// Costs nothing when that has been done.
    pub fn write_commits(&self) -> Result<(), RepoError> {
        if self.unwritten_commits() == 0 {
            return Ok(());
        }
        patience()?;
        self.write_queue(&mut self.storing.lock())
    }

    /// Brings the tree into the store as it is now; it need not be durable.
    pub(super) fn write_tree(
        &self,
        storing: &mut MutexGuard<'_, Storing>,
        extent: Extent,
    ) -> Result<RootId, RepoError> {
        let root = self.hash_locked(&mut self.committing.lock(), extent)?;
        self.write_queue(storing)?;
        Ok(root)
    }

    /// Takes a snapshot, and hashes it. `mark` is called while nobody else can change the tree.
    pub(super) fn begin(
        &self,
        committing: &mut MutexGuard<'_, Committing>,
        extent: Extent,
        mark: impl FnOnce(&Self) -> Result<(), RepoError>,
    ) -> Result<Hashed, RepoError> {
        // Hashing a large file takes so long that it might change meanwhile, and then it was in
        // vain: the snapshot has a version of it that stays.
        let files = self.look(|tree| tree.dirty_files().to_vec());
        self.settle(&files, CHUNK_BYTES_MIN as u64, &mut committing.hasher);
        let (snapshot, head, point, changes) = {
            let mut live = self.sorted()?;
            let point = self.journal.point()?;
            mark(self)?;
            let changes = self.changes.fetch_add(1, Ordering::AcqRel) + 1;
            let snapshot = match extent {
                Extent::Commits => live.begin_commit(),
                Extent::All => live.begin_checkpoint(),
            };
            (snapshot, live.head, point, changes)
        };
        match snapshot.hash(&mut committing.hasher, self.source()) {
            Ok(committed) => {
                self.count(&committed);
                Ok(Hashed { snapshot, committed, head, point, changes })
            }
            Err(error) => {
                self.live.write().abort_commit(snapshot);
                Err(error.into())
            }
        }
    }

    /// Puts what was hashed into the live tree, and leaves it to be stored. `tell` is called while
    /// nobody else can change the tree; if it fails, all is dirty again.
    pub(super) fn finish(
        &self,
        committing: &mut MutexGuard<'_, Committing>,
        hashed: Hashed,
        commit: Option<(CommitRecord, Vec<u8>)>,
        tell: impl FnOnce(&mut Worktree) -> Result<(), RepoError>,
    ) -> Result<(), RepoError> {
        let Hashed { snapshot, committed, .. } = hashed;
        let mut unstored = snapshot.unstored(&committed);
        // Publishing is cheapest when nobody shares the tree.
        drop(snapshot);
        let told = unstored.store_xattrs(self.packs()).map_err(RepoError::from);
        {
            let mut live = self.live.write();
            if let Err(error) = told.and_then(|()| tell(&mut live)) {
                live.abort_hashed(&committed);
                return Err(error);
            }
            committing.note_changed(committed.directories());
            committing.tree_root = Some(committed.root);
            live.publish(committed);
        }
        if commit.is_some() {
            self.unwritten_commits.fetch_add(1, Ordering::AcqRel);
        }
        self.queue.lock().push_back(Unwritten::new(unstored, commit));
        Ok(())
    }

    /// Brings into the store what was hashed so far, and lists its commits.
    pub(super) fn write_queue(
        &self,
        storing: &mut MutexGuard<'_, Storing>,
    ) -> Result<(), RepoError> {
        self.write_first(usize::MAX, storing)
    }

    /// As that, but for what comes behind the first of it, so many.
    fn write_first(
        &self,
        count: usize,
        storing: &mut MutexGuard<'_, Storing>,
    ) -> Result<(), RepoError> {
        let mut taken = {
            let mut queue = self.queue.lock();
            let count = count.min(queue.len());
            let rest = queue.split_off(count);
            std::mem::replace(&mut *queue, rest)
        };
        if taken.is_empty() {
            return Ok(());
        }
        let written = self.write(&mut taken, storing);
        // What is left comes before what others have added meanwhile.
        let mut queue = self.queue.lock();
        taken.append(&mut queue);
        *queue = taken;
        written
    }

    fn write(
        &self,
        taken: &mut VecDeque<Unwritten>,
        storing: &mut MutexGuard<'_, Storing>,
    ) -> Result<(), RepoError> {
        let Storing { hasher, changes_by, .. } = &mut **storing;
        let listed = |_| {
            self.unwritten_commits.fetch_sub(1, Ordering::AcqRel);
        };
        write_to(self.store(), taken, (hasher, changes_by), |files| self.let_go(files), listed)
    }

    /// Lets go of contents that are in the store.
    fn let_go(&self, mut files: Vec<StoredFile>) {
        while !files.is_empty() {
            let some = files.split_off(files.len().saturating_sub(PUBLISH_FILES_LOCKED_MAX));
            self.live.write().publish_stored(some);
        }
    }

    /// Brings everything into the store, durably, and cuts the journal. Returns the place in it
    /// up to which the store has everything.
    pub(super) fn save(&self, storing: &mut MutexGuard<'_, Storing>) -> Result<Point, RepoError> {
        let (tree, root, point, changes, changed, queued) = {
            let mut committing = self.committing.lock();
            let hashed = self.begin(&mut committing, Extent::All, |_| Ok(()))?;
            let tree = hashed.snapshot.hashed(&hashed.committed);
            let (root, point, changes) = (hashed.committed.root, hashed.point, hashed.changes);
            self.finish(&mut committing, hashed, None, |_| Ok(()))?;
            let queued = self.queue.lock().len();
            (tree, root, point, changes, std::mem::take(&mut committing.changed), queued)
        };
        let mut save = || -> Result<Sides, RepoError> {
            // What others have added since is not of this state, nor is who changed it.
            self.write_first(queued, storing)?;
            let Storing { hasher, changes_by, .. } = &mut **storing;
            let by = changes_by.heads();
            let (state, sides) =
                self.put_state((&tree, by), root, point.position, &changed, hasher)?;
            // What the state names, and the commits that it counts, come to the disk before it.
            self.store().sync()?;
            self.store().states().append(&state, Durability::Strict)?;
            Ok(sides)
        };
        let saved = save();
        drop(tree);
        let mut committing = self.committing.lock();
        match saved {
            Ok(sides) => {
                storing.saved_changes = changes;
                let untold = self.live.write().publish_sides(sides);
                committing.note_changed(untold);
            }
            Err(error) => {
                committing.note_changed(changed);
                return Err(error);
            }
        }
        drop(committing);
        self.journal.cut(&point)?;
        Ok(point)
    }

    /// Puts into the store what a tree, whose nodes are there, knows beyond commits, and its state.
    /// `changes_by` tells who changed what since its head.
    /// Returns the id of the state.
    pub(super) fn put_state(
        &self,
        (tree, changes_by): (&Worktree, &[ObjectId]),
        root: RootId,
        journal: JournalPosition,
        changed: &[Ino],
        hasher: &mut Hasher,
    ) -> Result<(ObjectId, Sides), RepoError> {
        let packs = self.packs();
        let before = hasher.counts;
        let sides = tree.store_sides(changed, hasher, packs, packs)?;
        let hashed = hasher.counts.nodes + hasher.counts.sides - before.nodes - before.sides;
        self.stats().nodes_hashed.fetch_add(hashed, Ordering::Relaxed);
        let state = WorktreeState {
            root,
            side: sides.top,
            places: sides.places,
            tags: sides.tags,
            ignored: tree.ignored_node(),
            ignored_side: sides.ignored,
            rule_files: tree.rule_files(),
            head: tree.head,
            next_ino: tree.next_ino(),
            ctime: tree.top().ctime,
            born: tree.top().born,
            atime: tree.top().atime.get(),
            journal,
            commits: self.store().commits().tally(),
            log: tree.log.store(packs)?,
            changes_by: changes_by.to_vec(),
        };
        let bytes = state.encode();
        let id = ObjectId::from_bytes(hash(&bytes));
        packs.put(ObjectKind::Worktree, &id, &bytes)?;
        Ok((id, sides))
    }

    pub(super) fn count_contents(&self, counts: &CommitCounts) {
        let stats = self.stats();
        stats.files_hashed.fetch_add(counts.files, Ordering::Relaxed);
        stats.content_bytes_hashed.fetch_add(counts.content_bytes, Ordering::Relaxed);
    }

    fn count(&self, committed: &Committed) {
        let (stats, counts) = (self.stats(), &committed.counts);
        self.count_contents(counts);
        stats.nodes_hashed.fetch_add(counts.hashed.nodes, Ordering::Relaxed);
    }
}
