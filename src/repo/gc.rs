//! Dropping commits, and taking away what nothing leads to any more.
//!
//! A checkpoint comes first: from then on the last durable state of the worktree leads to
//! everything that the living tree and the journal need, except what is put later, and that the
//! store keeps for as long as the collection lasts. Commits are dropped from the list in one
//! step, and a state that counts those that are left follows before anybody can list another one:
//! recovery cuts the list to what the state counts, and replays those that the journal has. Only
//! then is it found out what is live, and the rest goes away pack by pack.
//!
//! An end at any point leaves more than is needed, and never less.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use super::mark::Marks;
use super::retention::Retention;
use super::{Repo, RepoError};
use crate::base::limits::SPACE_GARBAGE_PERCENT_MAX;
use crate::model::{CommitId, Timestamp};
use crate::store::{CollectOptions, Collected, ObjectStore};

/// What is to be done away with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GcRequest {
    /// Which commits are kept.
    pub retention: Retention,
    /// Copy every pack, to compress it better.
    pub repack: bool,
    /// Do nothing, and tell what would be done.
    pub dry_run: bool,
}

/// What a collection did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Commits that are kept.
    pub commits_kept: u64,
    /// Commits that were dropped.
    pub commits_dropped: u64,
    /// Objects that nothing leads to.
    pub objects_dead: u64,
    /// What was done with packs.
    pub packs: Collected,
}

impl Repo {
    /// Drops commits, and removes what nothing leads to. Others commit, write and read meanwhile,
    /// though not in commits that are dropped. What is kept is durable on return.
    pub fn gc(&self, request: &GcRequest) -> Result<GcReport, RepoError> {
        let _only_one = self.collecting.lock();
        let collection = self.packs().begin_collection();
        let (kept, dropped) = self.drop_commits(request)?;
        let mut marks = Marks::new(self.history());
        if let Some(state) = self.store().states().states()?.first() {
            marks.state(*state)?;
        }
        for (_, id) in self.store().refs().list("")? {
            marks.commit(&CommitId::new(id))?;
        }
        for id in &kept {
            marks.commit(id)?;
        }
        let mut objects_dead = 0;
        let mut live_bytes = 0;
        self.packs().for_each(&mut |info| match marks.contains(&info.id) {
            true => live_bytes += u64::from(info.stored_bytes),
            false => objects_dead += 1,
        })?;
        let packs = match request.dry_run {
            true => {
                let bytes = self.packs().disk_bytes();
                Collected {
                    bytes_before: bytes,
                    bytes_after: bytes,
                    live_bytes,
                    ..Collected::default()
                }
            }
            false => {
                let options = CollectOptions { repack: request.repack };
                collection.run(&|id| marks.contains(id), options)?
            }
        };
        self.space_baseline.store(packs.bytes_after, Ordering::Release);
        Ok(GcReport {
            commits_kept: kept.len() as u64,
            commits_dropped: dropped,
            objects_dead,
            packs,
        })
    }

    /// Drops commits from the list. Returns those that are left, and how many went.
    fn drop_commits(&self, request: &GcRequest) -> Result<(Vec<CommitId>, u64), RepoError> {
        let mut storing = self.storing.lock();
        // The journal before this is not needed any more, and so it brings back no commit.
        self.save(&mut storing)?;
        let records = self.store().commits().records();
        let refs = self.store().refs().list("")?;
        let named = refs.iter().map(|(_, id)| CommitId::new(*id));
        let needed: HashSet<CommitId> = named.chain(self.head()).collect();
        let kept = request.retention.keep(&records, Timestamp::now(), &needed);
        let dropped = (records.len() - kept.len()) as u64;
        if dropped > 0 && !request.dry_run {
            self.store().commits().retain(|id| kept.contains(id))?;
            // Nobody has listed a commit since, because that takes the lock that is held.
            self.save(&mut storing)?;
        }
        let left = records.iter().map(|record| record.id).filter(|id| kept.contains(id));
        Ok((left.collect(), dropped))
    }

    /// Collects what nothing leads to, if so much disk was taken since the last time that it is
    /// worth a look.
    pub(super) fn collect_if_worthwhile(&self) -> Result<(), RepoError> {
        let baseline = self.space_baseline.load(Ordering::Acquire);
        let most = baseline.saturating_mul(SPACE_GARBAGE_PERCENT_MAX) / 100;
        let taken = self.packs().disk_bytes();
        if taken <= most.saturating_add(self.options.space_slack_bytes) {
            return Ok(());
        }
        let report = self.gc(&GcRequest::default())?;
        log::info!(
            "collected {} objects: the packs take {} bytes, and took {taken}",
            report.objects_dead,
            report.packs.bytes_after,
        );
        Ok(())
    }

    /// The disk that is taken before the first look.
    pub(super) fn note_space(&self) {
        self.space_baseline.store(self.packs().disk_bytes(), Ordering::Release);
    }
}
