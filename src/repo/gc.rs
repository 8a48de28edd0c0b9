//! Dropping commits, and taking away what nothing leads to any more.
//!
//! A checkpoint comes first: from then on the last durable state of the worktree leads to
//! everything that the living tree and the journal need, except what is put later, and that the
//! store keeps for as long as the collection lasts. Commits are dropped from the list in one
//! step. Only then is it found out what is live, and the rest goes away pack by pack.
//!
//! An end at any point leaves more than is needed, and never less.
//!
//! Collections are asked for by people; by the room that the packs have grown to; and by a full
//! disk, where what has been deleted makes no room until it has been collected.

use std::sync::OnceLock;

use super::gc_request::GcRequest;
use super::mark::Marks;
use super::{Repo, RepoError, Storing};
use crate::base::haste;
use crate::base::limits::SPACE_LIVE_PERCENT_MAX;
use crate::base::sync::atomic::{AtomicBool, Ordering};
use crate::base::sync::{Mutex, MutexGuard};
use crate::format::pack::{ENTRY_BYTES, RECORD_HEADER_BYTES};
use crate::model::{CommitId, DeedKind};
use crate::store::{CollectOptions, Collected, ObjectInfo, ObjectStore};

/// What a collection did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Commits that are kept.
    pub commits_kept: u64,
    /// Commits that were dropped.
    pub commits_dropped: u64,
    /// Objects that something leads to.
    pub objects_live: u64,
    /// Objects that nothing leads to; several copies count as often.
    pub objects_dead: u64,
    /// Bytes of the packs that their records take.
    pub dead_bytes: u64,
    /// What was done with packs.
    pub packs: Collected,
}

/// How far a collection has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GcProgress {
    /// Objects that were followed to what they lead to.
    pub objects: u64,
    /// Bytes of the packs that have been dealt with after that.
    pub bytes: u64,
    /// Of so many.
    pub bytes_total: u64,
}

/// Who collects, and when.
#[derive(Default)]
pub(super) struct Collecting {
    /// Held by the one who collects.
    running: Mutex<()>,
    /// Something was deleted since the last collection began.
    deleted: AtomicBool,
    on_drop: OnceLock<OnDrop>,
    progress: Mutex<GcProgress>,
}

type OnDrop = Box<dyn Fn(&[CommitId]) + Send + Sync>;

impl Collecting {
    /// To be called after an operation that makes room.
    pub(super) fn note_deletion(&self) {
        if !self.deleted.load(Ordering::Relaxed) {
            self.deleted.store(true, Ordering::Release);
        }
    }
}

impl Repo {
    /// Drops commits, and removes what nothing leads to. Others commit, write and read meanwhile,
    /// though not in commits that are dropped. What is kept is durable on return.
    pub fn gc(&self, request: &GcRequest) -> Result<GcReport, RepoError> {
        let mut dropped = Vec::new();
        let running = self.collecting.running.lock();
        let result = self.collect(request, &mut dropped);
        drop(running);
        // They are gone even if what came after that failed.
        if let Some(tell) = self.collecting.on_drop.get()
            && !dropped.is_empty()
            && !request.dry_run
        {
            tell(&dropped);
        }
        let commits_dropped = dropped.len() as u64;
        result.map(|report| GcReport { commits_dropped, ..report })
    }

    /// How far the collection has come that goes on, or the last one.
    pub fn gc_progress(&self) -> GcProgress {
        *self.collecting.progress.lock()
    }

    /// Sets who is told which commits were dropped, with no lock held. Counts once.
    pub fn set_on_drop(&self, tell: impl Fn(&[CommitId]) + Send + Sync + 'static) {
        let _ = self.collecting.on_drop.set(Box::new(tell));
    }

    /// The caller holds `running`.
    fn collect(
        &self,
        request: &GcRequest,
        dropped: &mut Vec<CommitId>,
    ) -> Result<GcReport, RepoError> {
        let progress = &self.collecting.progress;
        *progress.lock() =
            GcProgress { bytes_total: self.packs().disk_bytes(), ..GcProgress::default() };
        let collection = self.packs().begin_collection();
        let kept = self.drop_commits(request, dropped)?;
        let followed = || progress.lock().objects += 1;
        let mut marks = Marks::new(self.history(), &followed);
        if let Some(state) = self.store().states().states()?.first() {
            marks.state(*state)?;
        }
        for (_, id) in self.store().refs().list("")? {
            marks.commit(&CommitId::new(id))?;
        }
        for id in &kept {
            marks.commit(id)?;
        }
        let mut report = GcReport { commits_kept: kept.len() as u64, ..GcReport::default() };
        let mut live_bytes = 0;
        self.packs().for_each(&mut |info| {
            if marks.contains(&info.id) {
                report.objects_live += 1;
                live_bytes += disk_bytes(info);
            } else {
                report.objects_dead += 1;
                report.dead_bytes += disk_bytes(info);
            }
        })?;
        if request.dry_run {
            let bytes = self.packs().disk_bytes();
            report.packs = Collected { bytes_before: bytes, bytes_after: bytes, ..report.packs };
            return Ok(report);
        }
        let options = CollectOptions { repack: request.repack };
        report.packs = collection
            .run(&|id| marks.contains(id), options, &|bytes| progress.lock().bytes = bytes)?;
        // Better compressed or in one copy, what is live may take less now.
        let live_bytes = live_bytes.min(report.packs.bytes_after);
        self.store().space().set_live_bytes(live_bytes)?;
        if let Err(error) = self.store().space().fill_reserve() {
            log::warn!("{error}");
        }
        Ok(report)
    }

    /// Drops commits from the list, and tells which. Returns those that are left.
    fn drop_commits(
        &self,
        request: &GcRequest,
        dropped: &mut Vec<CommitId>,
    ) -> Result<Vec<CommitId>, RepoError> {
        let mut storing = self.storing.lock();
        // The journal before this is not needed any more, and so it brings back no commit.
        self.save_even_if_full(&mut storing)?;
        let records = self.store().commits().records();
        let keep = self.kept(&request.retention, &records)?;
        let ids = records.iter().map(|record| record.id);
        let (kept, unkept): (Vec<_>, Vec<_>) = ids.partition(|id| keep.contains(id));
        if !unkept.is_empty() {
            if !request.dry_run {
                self.store().commits().retain(|id| keep.contains(id))?;
                let what = DeedKind::Collect { dropped: unkept.len() as u64 };
                // They are gone, whether or not that can be noted, and durably so.
                let noted = self.note(what, None, &mut self.committing.lock());
                if let Err(error) = noted.and_then(|()| Ok(self.journal.sync()?)) {
                    log::warn!("the operation log lacks a collection: {error}");
                }
            }
            *dropped = unkept;
        }
        Ok(kept)
    }

    /// Makes a checkpoint with the room that was kept for this, if there is no other.
    pub(super) fn save_even_if_full(
        &self,
        storing: &mut MutexGuard<'_, Storing>,
    ) -> Result<(), RepoError> {
        match self.save(storing) {
            Err(error) if error.wants_room() && self.store().space().use_reserve()? => {
                self.save(storing).map(drop)
            }
            saved => saved.map(drop),
        }
    }

    /// Does something, and once more if the disk was full and a collection has made room.
    pub(super) fn with_room<T>(
        &self,
        mut run: impl FnMut() -> Result<T, RepoError>,
    ) -> Result<T, RepoError> {
        match run() {
            Err(error) if error.wants_room() && haste::would_wait() => Err(error),
            Err(error) if error.wants_room() && self.collect_when_full() => run(),
            done => done,
        }
    }

    /// Collects what was deleted, because the disk is full. Tells whether that may have made room.
    fn collect_when_full(&self) -> bool {
        let Some(_running) = self.collecting.running.try_lock() else {
            // Whoever has it makes room, and so did what waited for it.
            drop(self.collecting.running.lock());
            return true;
        };
        if !self.collecting.deleted.swap(false, Ordering::AcqRel) {
            return false;
        }
        let result = self.collect(&GcRequest::default(), &mut Vec::new());
        match &result {
            Ok(report) => {
                log::info!("the disk is full: a collection freed {} bytes", report.packs.freed());
            }
            Err(error) => {
                log::warn!("the disk is full, and garbage cannot be collected: {error}");
            }
        }
        result.is_ok()
    }

    /// Collects what nothing leads to, if the packs have grown so much since the last time that it
    /// is worth a look, or are many and small.
    pub(super) fn collect_if_worthwhile(&self) -> Result<(), RepoError> {
        let taken = self.packs().disk_bytes();
        if taken <= self.packs_bytes_max() && !self.packs().is_scattered() {
            return Ok(());
        }
        let report = self.gc(&GcRequest::default())?;
        log::info!(
            "collected {} objects: the packs took {taken} bytes, and take {}",
            report.objects_dead,
            report.packs.bytes_after,
        );
        Ok(())
    }

    /// Disk that the packs take at most before garbage is looked for.
    pub fn packs_bytes_max(&self) -> u64 {
        let live = self.store().space().live_bytes();
        let most = live / 100 * SPACE_LIVE_PERCENT_MAX;
        most.saturating_add(self.options.space_slack_bytes)
    }
}

/// What an object takes of a pack, its line in the index included.
fn disk_bytes(info: &ObjectInfo) -> u64 {
    (RECORD_HEADER_BYTES + ENTRY_BYTES) as u64 + u64::from(info.stored_bytes)
}
