//! Commits and checkpoints: what brings the working tree into the store.
//!
//! Both hash what changed and write the objects, then the state of the worktree, then list that
//! state: the one step that makes it count. A checkpoint has no commit, and
//! history knows nothing of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::MutexGuard;

use super::{Committing, Repo, RepoError};
use crate::base::Latency;
use crate::base::limits::{CHUNK_BYTES_MIN, DIRTY_BYTES_MAX, DIRTY_BYTES_STORE, MESSAGE_BYTES_MAX};
use crate::format::commit::encode_commit;
use crate::format::commit_log::CommitRecord;
use crate::hash::hash;
use crate::model::{Commit, CommitId, ObjectId, ObjectKind, ObjectSink, RootId, Timestamp};
use crate::store::Durability;
use crate::worktree::{CommitCounts, Committed};

/// What a commit is asked for with.
#[derive(Clone, Debug, Default)]
pub struct CommitRequest {
    /// What to say about it.
    pub message: String,
    /// Who asks, if not the one who opened the repository.
    pub author: Option<String>,
    /// Make a commit even if nothing changed.
    pub allow_empty: bool,
    /// Wait until it is on the disk, whatever the repository's durability.
    pub durable: bool,
}

/// Counters of commits since the repository was opened.
#[derive(Debug, Default)]
pub struct CommitStats {
    /// Commits made.
    pub commits: AtomicU64,
    /// Commits asked for when nothing had changed.
    pub unchanged: AtomicU64,
    /// Commits that failed.
    pub failed: AtomicU64,
    /// Checkpoints made.
    pub checkpoints: AtomicU64,
    /// Time that commits took in all, in nanoseconds.
    pub commit_nanos: AtomicU64,
    /// How long each commit took.
    pub commit_latency: Latency,
    /// How long each checkpoint took, as an `fsync` makes it.
    pub checkpoint_latency: Latency,
    /// Nodes and sides hashed.
    pub nodes_hashed: AtomicU64,
    /// Files hashed.
    pub files_hashed: AtomicU64,
    /// Bytes of content hashed.
    pub content_bytes_hashed: AtomicU64,
    /// Files that were hashed and had their entries written ahead of a commit.
    pub files_settled: AtomicU64,
}

impl Repo {
    /// Makes a commit of every operation that was applied before the call, and returns its id;
    /// the head's id if nothing changed since.
    ///
    /// On return the commit survives the end of the process, and with strict durability, or if
    /// the request says so, that of the machine. On failure the tree is as it was.
    pub fn commit(&self, request: &CommitRequest) -> Result<CommitId, RepoError> {
        if request.message.len() > MESSAGE_BYTES_MAX {
            return Err(RepoError::MessageTooLong { max: MESSAGE_BYTES_MAX });
        }
        let start = Instant::now();
        let result = self.commit_now(request);
        let stats = self.stats();
        let counter = match &result {
            Ok((_, true)) => &stats.commits,
            Ok((_, false)) => &stats.unchanged,
            Err(_) => &stats.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        stats.commit_latency.add(start.elapsed());
        let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        stats.commit_nanos.fetch_add(nanos, Ordering::Relaxed);
        result.map(|(id, _)| id)
    }

    fn commit_now(&self, request: &CommitRequest) -> Result<(CommitId, bool), RepoError> {
        let mut committing = self.committing.lock();
        let durability = match request.durable {
            true => Durability::Strict,
            false => self.options.durability,
        };
        let time = Timestamp::now();
        let made = self.write_state(&mut committing, durability, |root, head, head_root| {
            if head.is_some() && head_root == Some(root) && !request.allow_empty {
                return None;
            }
            let author = request.author.as_ref().unwrap_or(&self.options.author);
            Some(Commit {
                root,
                parents: head.into_iter().collect(),
                time,
                author: author.clone(),
                message: request.message.clone(),
            })
        })?;
        match made {
            (_, Some(id)) => {
                // The state is listed, so the commit is made, whatever happens to the list: it is
                // brought up to date when the store is next opened.
                let record = CommitRecord { id, time };
                if let Err(error) = self.store().commits().append(record, durability) {
                    log::error!("commit {id} cannot be listed among the snapshots: {error}");
                }
                Ok((id, true))
            }
            (Some(head), None) => Ok((head, false)),
            (None, None) => unreachable!("a tree without a head is always committed"),
        }
    }

    /// Brings the working tree into the store without a commit. With strict durability
    /// everything that was applied before the call is on the disk on return.
    pub fn checkpoint(&self, durability: Durability) -> Result<(), RepoError> {
        let start = Instant::now();
        let wanted = self.changes.load(Ordering::Acquire);
        let mut committing = self.committing.lock();
        if durability == Durability::Strict && committing.durable_changes >= wanted.max(1) {
            // Somebody else's checkpoint, which began after this call did, has done it.
            return Ok(());
        }
        self.stats().checkpoints.fetch_add(1, Ordering::Relaxed);
        let result = self.write_state(&mut committing, durability, |_, _, _| None).map(drop);
        self.stats().checkpoint_latency.add(start.elapsed());
        result
    }

    /// Brings dirty contents into the store if they take much memory: by another thread, or, if it
    /// is too much, here. Those who write call it, and so wait.
    pub fn relieve(&self) -> Result<(), RepoError> {
        let dirty_bytes = || self.look(|tree| tree.dirty_bytes());
        let dirty = dirty_bytes();
        if dirty <= DIRTY_BYTES_MAX {
            if dirty > DIRTY_BYTES_STORE {
                self.settler.store_soon();
            }
            return Ok(());
        }
        let mut committing = self.committing.lock();
        if dirty_bytes() > DIRTY_BYTES_MAX {
            self.write_state(&mut committing, Durability::Fast, |_, _, _| None)?;
        }
        Ok(())
    }

    /// Makes everything durable and seals what is open.
    pub fn close(&self) -> Result<(), RepoError> {
        let mut committing = self.committing.lock();
        self.write_state(&mut committing, Durability::Strict, |_, _, _| None)?;
        Ok(self.store().close()?)
    }

    /// Hashes and writes what changed, with a commit if `describe` wants one for the root; lists
    /// the state. Returns the head before, and the commit.
    pub(super) fn write_state(
        &self,
        committing: &mut MutexGuard<'_, Committing>,
        durability: Durability,
        describe: impl FnOnce(RootId, Option<CommitId>, Option<RootId>) -> Option<Commit>,
    ) -> Result<(Option<CommitId>, Option<CommitId>), RepoError> {
        let packs = self.store().packs().clone();
        // Hashing a large file takes so long that it might change meanwhile, and then it was in
        // vain: the snapshot has a version of it that stays.
        let files = self.look(|tree| tree.dirty_files().to_vec());
        self.settle(&files, CHUNK_BYTES_MIN as u64, &mut committing.hasher);
        let (snapshot, head, changes) = {
            let mut live = self.live.write();
            let changes = self.changes.fetch_add(1, Ordering::AcqRel) + 1;
            (live.begin_commit(), live.head, changes)
        };
        let write = || -> Result<(Committed, Option<CommitId>, ObjectId), RepoError> {
            let hasher = &mut committing.hasher;
            let mut committed = snapshot.hash(hasher, packs.as_ref())?;
            let mut state =
                snapshot.store(&mut committed, hasher, packs.as_ref(), packs.as_ref())?;
            let commit = describe(committed.root, head, committing.head_root);
            let commit = match commit {
                Some(commit) => {
                    let bytes = encode_commit(&commit);
                    let id = ObjectId::from_bytes(hash(&bytes));
                    packs.put(ObjectKind::Commit, &id, &bytes)?;
                    state.head = Some(CommitId::new(id));
                    state.head
                }
                None => None,
            };
            let bytes = state.encode();
            let id = ObjectId::from_bytes(hash(&bytes));
            let before = committing.state.as_ref().map(|(_, id)| *id);
            if before != Some(id) {
                packs.put(ObjectKind::Worktree, &id, &bytes)?;
                packs.flush()?;
            }
            if durability == Durability::Strict {
                packs.sync()?;
            }
            if before != Some(id) || durability == Durability::Strict {
                self.store().states().append(&id, durability)?;
            }
            committing.state = Some((state, id));
            Ok((committed, commit, id))
        };
        match write() {
            Ok((committed, commit, _)) => {
                self.count(&committed);
                drop(snapshot);
                let mut live = self.live.write();
                if commit.is_some() {
                    live.head = commit;
                    committing.head_root = Some(committed.root);
                }
                if durability == Durability::Strict {
                    committing.durable_changes = changes;
                }
                live.publish(committed);
                Ok((head, commit))
            }
            Err(error) => {
                self.live.write().abort_commit(snapshot);
                Err(error)
            }
        }
    }

    pub(super) fn count_contents(&self, counts: &CommitCounts) {
        let stats = self.stats();
        stats.files_hashed.fetch_add(counts.files, Ordering::Relaxed);
        stats.content_bytes_hashed.fetch_add(counts.content_bytes, Ordering::Relaxed);
    }

    fn count(&self, committed: &Committed) {
        let (stats, counts) = (self.stats(), &committed.counts);
        self.count_contents(counts);
        let nodes = counts.hashed.nodes + counts.hashed.sides;
        stats.nodes_hashed.fetch_add(nodes, Ordering::Relaxed);
    }
}
