//! Opening a repository: the last durable state of the worktree, and then the journal.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::checkpoint::{Unwritten, write_to};
use super::commit::commit_object;
use super::provenance::ChangesBy;
use super::{History, Repo, RepoError, RepoOptions};
use crate::base::limits::{BACKGROUND_PART, CHUNK_BYTES_MIN, SETTLE_FILES_LOCKED_MAX};
use crate::format::commit::decode_commit;
use crate::format::commit_log::CommitRecord;
use crate::format::journal::{CommitMade, Record};
use crate::format::worktree::WorktreeState;
use crate::journal::{Journal, JournalError};
use crate::model::{CommitId, Deed, DeedKind, Ino, ObjectId, RootId, Timestamp};
use crate::store::{OpenOptions, PackStore, Store};
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
        let recovered = Journal::recover(disk, &path, from, |record| replay.apply(record));
        let (journal, found) = recovered.map_err(|error| match error {
            RepoError::Journal(
                damage @ (JournalError::Corrupt { .. } | JournalError::Missing { .. }),
            ) => {
                let what = format!("{damage}; `vst verify --repair` ends it before that");
                RepoError::Unreplayable { journal: path.clone(), what }
            }
            error => error,
        })?;
        if found.records > 0 {
            log::info!("{} operations and commits were recovered from the journal", found.records);
        }
        let journal = if options.journaled { journal } else { journal.switched_off() };
        replay.tree.drop_nameless(history.source())?;
        let Replay { tree, hasher, changed, head_root, queue, changes_by, .. } = replay;
        let repo = Self::new(history, options, tree, journal);
        let commits = queue.iter().filter(|unwritten| unwritten.commit.is_some()).count();
        repo.unwritten_commits.store(commits as u64, Ordering::Release);
        *repo.queue.lock() = queue;
        repo.storing.lock().changes_by = changes_by;
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

/// Most snapshots that wait to be stored, unless the disk is full.
const QUEUE_MAX: usize = 1024;

/// The worktree while the journal is applied to it.
struct Replay<'a> {
    history: &'a History,
    tree: Worktree,
    hasher: Hasher,
    head_root: Option<RootId>,
    changed: Vec<Ino>,
    /// The tree at the last mark.
    marked: Option<Snapshot>,
    /// What was hashed and has yet to be stored.
    queue: VecDeque<Unwritten>,
    /// Who changed what since the last commit that is in the store.
    changes_by: ChangesBy,
    /// The disk took nothing more: everything stays in memory, as much as the journal holds.
    is_full: bool,
    /// From so much dirty content on it is brought into the store.
    dirty_bytes_max: u64,
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
        let queue = VecDeque::new();
        Ok(Self {
            history,
            tree,
            hasher,
            head_root,
            changed,
            marked: None,
            queue,
            changes_by: ChangesBy::new(state.map_or(&[], |state| &state.changes_by)),
            is_full: false,
            dirty_bytes_max: options.dirty_bytes_max / BACKGROUND_PART,
        })
    }

    fn packs(&self) -> &'a PackStore {
        self.history.store().packs()
    }

    fn apply(&mut self, record: Record) -> Result<(), RepoError> {
        match record {
            Record::Void => {}
            Record::Ops(by, ops) => {
                self.tree.writer = by.map(Arc::new);
                for op in &ops {
                    self.tree.replay(op, self.packs())?;
                }
                self.tree.writer = None;
                if self.tree.dirty_bytes() > self.dirty_bytes_max && self.marked.is_none() {
                    self.write()?;
                }
            }
            Record::Mark => {
                self.settle()?;
                // As it was before the snapshot that the mark stands for.
                self.tree.sort_all(self.packs())?;
                self.marked = Some(self.tree.begin_commit());
            }
            Record::Commit(made) => self.commit(made)?,
            Record::Switch(state) => self.switch(&state)?,
            Record::Deed(deed) => self.deed(deed)?,
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

    /// Hashes what is dirty and brings everything into the store, so that it takes no memory.
    fn write(&mut self) -> Result<(), RepoError> {
        self.settle()?;
        let snapshot = self.tree.begin_checkpoint();
        self.hash(snapshot, |_| None)?;
        self.write_queue();
        Ok(())
    }

    /// Brings into the store what was hashed, if the disk takes it. It can wait.
    fn write_queue(&mut self) {
        if self.is_full {
            return;
        }
        let Self { history, tree, hasher, queue, changes_by, .. } = self;
        let let_go = |files| tree.publish_stored(files);
        let written = write_to(history.store(), queue, (hasher, changes_by), let_go, drop);
        if let Err(error) = written {
            log::warn!("what was recovered stays in memory: {error}");
            self.is_full = true;
        }
    }

    /// Hashes a snapshot, and leaves it to be stored with the commit that `describe` makes of its
    /// root.
    fn hash(
        &mut self,
        snapshot: Snapshot,
        describe: impl FnOnce(RootId) -> Option<(CommitRecord, Vec<u8>)>,
    ) -> Result<RootId, RepoError> {
        let packs = self.packs();
        let committed = snapshot.hash(&mut self.hasher, packs)?;
        let root = committed.root;
        let mut unstored = snapshot.unstored(&committed);
        drop(snapshot);
        unstored.store_xattrs(packs)?;
        self.queue.push_back(Unwritten::new(unstored, describe(root)));
        self.changed.extend(committed.directories());
        self.tree.publish(committed);
        if self.tree.dirty_bytes() > self.dirty_bytes_max || self.queue.len() > QUEUE_MAX {
            self.write_queue();
        }
        Ok(root)
    }

    /// The root that a commit has, which may not be stored yet.
    fn root_of(&self, id: &CommitId) -> Result<RootId, RepoError> {
        let made = |unwritten: &Unwritten| {
            let (record, bytes) = unwritten.commit.as_ref()?;
            (record.id == *id).then(|| bytes.clone())
        };
        match self.queue.iter().find_map(made) {
            Some(bytes) => match decode_commit(&bytes) {
                Ok(commit) => Ok(commit.root),
                Err(error) => Err(RepoError::damaged(id.object(), error)),
            },
            None => Ok(self.history.commit(id)?.root),
        }
    }

    fn unreplayable(&self, what: String) -> RepoError {
        RepoError::Unreplayable { journal: self.history.store().journal(), what }
    }

    fn commit(&mut self, made: CommitMade) -> Result<(), RepoError> {
        let CommitMade { id, time, author, message } = made;
        let Some(snapshot) = self.marked.take() else {
            return Err(self.unreplayable(format!("commit {id} follows no mark")));
        };
        let head = self.tree.head;
        let mut found = id;
        let root = self.hash(snapshot, |root| {
            let (made, bytes) = commit_object(root, head, time, author, message);
            found = made;
            Some((CommitRecord { id: made, time, changes_by: None }, bytes))
        })?;
        if found != id {
            return Err(self.unreplayable(format!("commit {id} became {found}")));
        }
        let deed = Deed { time, what: DeedKind::Commit, before: head, after: Some(id) };
        self.tree.note(deed, self.packs());
        self.head_root = Some(root);
        Ok(())
    }

    fn deed(&mut self, deed: Deed) -> Result<(), RepoError> {
        if deed.after != self.tree.head {
            self.queue.extend(deed.before.map(Unwritten::taken_back));
            self.head_root = deed.after.map(|head| self.root_of(&head)).transpose()?;
        }
        self.tree.note(deed, self.packs());
        Ok(())
    }

    fn switch(&mut self, id: &ObjectId) -> Result<(), RepoError> {
        let state = self.history.read_state(id)?;
        self.tree = Worktree::open(&state, self.packs())?;
        self.changed.clear();
        self.marked = None;
        self.queue.push_back(Unwritten::switched(&state.changes_by));
        self.head_root = state.head.map(|head| self.root_of(&head)).transpose()?;
        Ok(())
    }
}
