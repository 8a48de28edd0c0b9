//! Opening a repository: the last durable state of the worktree, and then the journal.

use std::path::Path;
use std::sync::Arc;

use super::checkpoint::Unwritten;
use super::commit::commit_object;
use super::{History, Repo, RepoError, RepoOptions};
use crate::base::limits::{CHUNK_BYTES_MIN, DIRTY_BYTES_STORE, SETTLE_FILES_LOCKED_MAX};
use crate::format::commit_log::CommitRecord;
use crate::format::journal::{CommitMade, Record};
use crate::format::worktree::WorktreeState;
use crate::journal::Journal;
use crate::model::{Ino, ObjectId, ObjectKind, ObjectSink, RootId, Timestamp};
use crate::store::{Durability, OpenOptions, PackStore, Store};
use crate::worktree::tree::Hasher;
use crate::worktree::{Snapshot, Worktree, hash_files};

impl Repo {
    /// Opens the store in a directory and the working tree in it; makes both if the directory is
    /// missing or empty. Reads a few objects, whatever the size of the tree, and the journal,
    /// whose length is bounded.
    pub fn open(dir: &Path, options: RepoOptions) -> Result<Self, RepoError> {
        let open = OpenOptions {
            read_only: false,
            cache_bytes: options.cache_bytes,
            durability: options.durability,
            disk: Arc::clone(&options.disk),
        };
        let history = History::new(Arc::new(Store::create_or_open(dir, open)?));
        let state = history.worktree_state()?;
        let mut replay = Replay::new(&history, state.as_ref(), &options)?;
        let from = state.as_ref().map(|state| state.journal).unwrap_or_default();
        let (disk, path) = (history.store().disk(), history.store().journal());
        let (journal, found) = Journal::recover(disk, &path, from, |record| replay.apply(record))?;
        if found.records > 0 {
            log::info!("{} operations and commits were recovered from the journal", found.records);
        }
        let journal = if options.journaled { journal } else { journal.switched_off() };
        let Replay { tree, hasher, changed, head_root, .. } = replay;
        let repo = Self::new(history, options, tree, journal);
        {
            let mut committing = repo.committing.lock();
            committing.hasher = hasher;
            committing.head_root = head_root;
            committing.note_changed(changed);
        }
        if state.is_none() {
            // What the first operations are applied to.
            repo.checkpoint()?;
        }
        Ok(repo)
    }
}

/// The worktree while the journal is applied to it.
struct Replay<'a> {
    history: &'a History,
    tree: Worktree,
    hasher: Hasher,
    head_root: Option<RootId>,
    changed: Vec<Ino>,
    /// The tree at the last mark.
    marked: Option<Snapshot>,
}

impl<'a> Replay<'a> {
    fn new(
        history: &'a History,
        state: Option<&WorktreeState>,
        options: &RepoOptions,
    ) -> Result<Self, RepoError> {
        let tree = match state {
            Some(state) => Worktree::open(state, history.source())?,
            None => Worktree::new(options.uid, options.gid, 0o755, Timestamp::now()),
        };
        if let Some(state) = state {
            // Later ones may have come to the disk without their objects. The journal has those
            // that were acknowledged.
            history.store().commits().cut(state.commits)?;
        }
        let head = tree.head.map(|head| history.commit(&head)).transpose()?;
        let head_root = head.map(|head| head.root);
        let (hasher, changed) = (Hasher::default(), Vec::new());
        Ok(Self { history, tree, hasher, head_root, changed, marked: None })
    }

    fn packs(&self) -> &'a PackStore {
        self.history.store().packs()
    }

    fn apply(&mut self, record: Record) -> Result<(), RepoError> {
        match record {
            Record::Void => {}
            Record::Ops(ops) => {
                for op in &ops {
                    self.tree.replay(op, self.packs())?;
                }
                if self.tree.dirty_bytes() > DIRTY_BYTES_STORE && self.marked.is_none() {
                    self.write()?;
                }
            }
            Record::Mark => {
                self.settle()?;
                self.marked = Some(self.tree.begin_commit());
            }
            Record::Commit(made) => self.commit(made)?,
            Record::Switch(state) => self.switch(&state)?,
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<(), RepoError> {
        let packs = self.packs();
        let inos = self.tree.dirty_files().to_vec();
        for inos in inos.chunks(SETTLE_FILES_LOCKED_MAX) {
            let files = self.tree.to_settle(inos, CHUNK_BYTES_MIN as u64);
            hash_files(&files, &mut self.hasher, packs)?;
            self.tree.settle(files, packs);
        }
        Ok(())
    }

    /// Brings what is dirty into the store, so that it takes no memory.
    fn write(&mut self) -> Result<(), RepoError> {
        self.settle()?;
        let snapshot = self.tree.begin_commit();
        self.store(snapshot, |_| None).map(drop)
    }

    /// Hashes a snapshot and brings it into the store, with the commit that `describe` makes of
    /// its root.
    fn store(
        &mut self,
        snapshot: Snapshot,
        describe: impl FnOnce(RootId) -> Option<(CommitRecord, Vec<u8>)>,
    ) -> Result<RootId, RepoError> {
        let packs = self.packs();
        let committed = snapshot.hash(&mut self.hasher, packs)?;
        let root = committed.root;
        let mut unwritten =
            Unwritten { unstored: snapshot.unstored(&committed), commit: describe(root) };
        drop(snapshot);
        self.changed.extend(committed.directories());
        self.tree.publish(committed);
        let files = unwritten.unstored.store(&mut self.hasher, packs, packs)?;
        self.tree.publish_stored(files);
        if let Some((record, bytes)) = unwritten.commit {
            packs.put(ObjectKind::Commit, record.id.object(), &bytes)?;
            packs.flush()?;
            self.history.store().commits().append(record, Durability::Fast)?;
        }
        Ok(root)
    }

    fn commit(&mut self, made: CommitMade) -> Result<(), RepoError> {
        let CommitMade { id, time, author, message } = made;
        let Some(snapshot) = self.marked.take() else {
            return Err(RepoError::Unreplayable { what: format!("commit {id} follows no mark") });
        };
        let head = self.tree.head;
        let mut found = id;
        let root = self.store(snapshot, |root| {
            let (made, bytes) = commit_object(root, head, time, author, message);
            found = made;
            Some((CommitRecord { id: made, time }, bytes))
        })?;
        if found != id {
            let what = format!("commit {id} became {found}");
            return Err(RepoError::Unreplayable { what });
        }
        self.tree.head = Some(id);
        self.head_root = Some(root);
        Ok(())
    }

    fn switch(&mut self, id: &ObjectId) -> Result<(), RepoError> {
        let state = self.history.read_state(id)?;
        self.tree = Worktree::open(&state, self.packs())?;
        self.changed.clear();
        self.marked = None;
        let head = state.head.map(|head| self.history.commit(&head)).transpose()?;
        self.head_root = head.map(|head| head.root);
        Ok(())
    }
}
