//! Commits.
//!
//! A commit hashes what changed, appends one record to the journal, and moves the head. The journal
//! makes the same tree again, and so the same commit, so no object has to be in the store for the
//! commit to survive the end of the process: they follow in the background.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::checkpoint::Extent;
use super::{Repo, RepoError, patience};
use crate::base::limits::{
    JOURNAL_COMMIT_COST, MESSAGE_BYTES_MAX, SWIFT_COMMIT_BYTES_MAX, SWIFT_COMMIT_FILES_MAX,
    UNWRITTEN_COMMITS_MAX,
};
use crate::base::{Latency, haste};
use crate::format::commit::encode_commit;
use crate::format::commit_log::CommitRecord;
use crate::format::journal::{CommitMade, put_commit, put_mark};
use crate::hash::hash;
use crate::journal::{RecordBuffer, Urgency};
use crate::model::{Commit, CommitId, Deed, DeedKind, ObjectId, RootId, Timestamp};
use crate::store::Durability;

/// What a commit is asked for with.
#[derive(Clone, Debug, Default)]
pub struct CommitRequest {
    /// What to say about it.
    pub message: String,
    /// Who asks, if not the one who opened the repository.
    pub author: Option<String>,
    /// When it was made, if not now: of a history that comes from elsewhere.
    pub time: Option<Timestamp>,
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
    /// How long each checkpoint took.
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
        if haste::is_hasty() && self.commit_would_wait(request) {
            patience()?;
        }
        let start = Instant::now();
        let mut result = self.with_room(|| self.commit_now(request));
        if result.is_ok()
            && (request.durable || self.options.durability == Durability::Strict)
            && let Err(error) = self.sync()
        {
            result = Err(error);
        }
        if haste::is_refused() {
            // It is asked for again, and counted then.
            return result.map(|(id, _)| id);
        }
        let stats = self.stats();
        let counter = match &result {
            Ok((_, true)) => &stats.commits,
            Ok((_, false)) => &stats.unchanged,
            Err(_) => &stats.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let took = start.elapsed();
        stats.commit_latency.add(took);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        stats.commit_nanos.fetch_add(nanos, Ordering::Relaxed);
        result.map(|(id, _)| id)
    }

    /// Tells whether a commit would have to wait for a disk, or for somebody who may, or take long.
    fn commit_would_wait(&self, request: &CommitRequest) -> bool {
        request.durable
            || self.options.durability == Durability::Strict
            || self.unwritten_commits() >= UNWRITTEN_COMMITS_MAX
            || self.committing.try_lock().is_none()
            || self.look(|tree| {
                tree.dirty_files().len() > SWIFT_COMMIT_FILES_MAX
                    || tree.dirty_bytes() > SWIFT_COMMIT_BYTES_MAX
            })
    }

    fn commit_now(&self, request: &CommitRequest) -> Result<(CommitId, bool), RepoError> {
        self.make_room(Urgency::MakesRoom)?;
        if self.unwritten_commits() >= UNWRITTEN_COMMITS_MAX {
            self.write_commits()?;
        }
        let mut record = RecordBuffer::new();
        let mut committing = self.committing.lock();
        let time = request.time.unwrap_or_else(Timestamp::now);
        let mark = |repo: &Self| repo.mark(&mut record);
        let hashed = self.begin(&mut committing, Extent::Commits, mark)?;
        let (head, root) = (hashed.head, hashed.committed.root);
        let unchanged = head.filter(|_| committing.head_root == Some(root) && !request.allow_empty);
        if let Some(head) = unchanged {
            self.finish(&mut committing, hashed, None, |_| Ok(()))?;
            return Ok((head, false));
        }
        let author = request.author.as_ref().unwrap_or(&self.options.author).clone();
        let commit = commit_object(root, head, time, author.clone(), request.message.clone());
        let message = request.message.clone();
        let made = CommitMade { id: commit.0, time, author, message };
        // A commit must not be acknowledged before what is in it.
        self.journal.wait_for_payloads(&hashed.point)?;
        let listed = CommitRecord { id: made.id, time, changes_by: None };
        self.finish(&mut committing, hashed, Some((listed, commit.1)), |live| {
            record.clear();
            put_commit(record.fields(), &made);
            self.journal.reserve(0, Urgency::MakesRoom)?;
            self.journal.append(&mut record, &[], 0, JOURNAL_COMMIT_COST)?;
            let after = Some(made.id);
            let deed = Deed { time, what: DeedKind::Commit, before: head, after };
            live.note(deed, self.source());
            Ok(())
        })?;
        // It has been made, and must not be made again.
        haste::end();
        committing.head_root = Some(root);
        *self.newest.lock() = Some(listed);
        drop(committing);
        self.keeper.write_soon();
        self.keeper.look_at(&self.journal, self.options.journal_bytes_max);
        Ok((made.id, true))
    }

    /// Marks the tree as it is in the journal, which has to know which operations are in a commit
    /// that is made of it. The caller keeps others from changing it.
    pub(super) fn mark(&self, record: &mut RecordBuffer) -> Result<(), RepoError> {
        put_mark(record.fields());
        self.journal.reserve(0, Urgency::MakesRoom)?;
        self.journal.append(record, &[], 0, 0)?;
        Ok(())
    }
}

/// The id and the object of a commit.
pub(super) fn commit_object(
    root: RootId,
    parent: Option<CommitId>,
    time: Timestamp,
    author: String,
    message: String,
) -> (CommitId, Vec<u8>) {
    let parents = parent.into_iter().collect();
    let bytes = encode_commit(&Commit { root, parents, time, author, message });
    (CommitId::new(ObjectId::from_bytes(hash(&bytes))), bytes)
}
