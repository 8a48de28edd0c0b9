//! Mending a store from what it holds more than once.
//!
//! - The index of a pack is rebuilt from its records, and its header, which is the same in all.
//! - A damaged copy of an object is dropped where there is a whole one.
//! - A damaged list of states keeps the records that are whole. If none is, or its end is lost,
//!   the newest state in the packs is taken.
//! - A damaged list of commits keeps the records that are whole, and gets back the commits that
//!   are in the packs with all that they lead to, in the order of their times. Commits that a
//!   collection had dropped, and that it had not yet taken away, come back with them. Only the list
//!   knew which programs had made the changes of these commits.
//! - A missing or damaged `format` is written again.
//! - The ref of a tag that is missing or damaged is made again from the table of tags.
//! - The journal ends before a record that was durable and is damaged: what comes before it is
//!   replayed when the store is opened, which is refused until then.
//!
//! What there is only once cannot be mended: objects, and what the journal has lost.
//!
//! Each step leaves a store that is no worse, so an end in the middle does no harm.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::RepoError;
use super::reach::Reach;
use super::verify::{Verified, Verifier, last_state, lost_tags, unlisted_state};
use super::walk::Sort;
use crate::base::disk::Disk;
use crate::format::commit::decode_commit;
use crate::format::commit_log::{CommitRecord, Tally};
use crate::format::worktree::WorktreeState;
use crate::hash::hash;
use crate::journal::Journal;
use crate::model::{CommitId, ObjectId, ObjectKind, ObjectSink};
use crate::store::{Inspection, PackStore, Part, Progress, StoreLock};

/// What was mended.
#[derive(Debug)]
pub struct Mended {
    /// What was done with which file, relative to the directory of the store.
    pub done: Vec<(PathBuf, String)>,
    /// What was found before.
    pub before: Verified,
    /// What is left.
    pub after: Verified,
}

/// Looks for damage in the store in a directory, mends what can be mended, and looks again.
/// Nobody else may have the store open. Durable on return.
pub fn mend(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Mended, RepoError> {
    let inspection = Inspection::open(disk, dir)?;
    let lock = inspection.lock()?;
    let found = Verifier::new(&inspection, progress)?;
    let mut mender = Mender { inspection: &inspection, lock: &lock, found, done: Vec::new() };
    if !mender.found.verified.findings.is_empty() {
        mender.packs()?;
        mender.lists()?;
        mender.refs()?;
        mender.journal()?;
    }
    let Mender { found, done, .. } = mender;
    let after = match done.is_empty() {
        true => found.verified.clone(),
        false => Verifier::new(&inspection, progress)?.verified,
    };
    Ok(Mended { done, before: found.verified, after })
}

struct Mender<'a> {
    inspection: &'a Inspection,
    lock: &'a StoreLock,
    found: Verifier,
    done: Vec<(PathBuf, String)>,
}

impl Mender<'_> {
    fn note(&mut self, file: &str, what: impl Into<String>) {
        self.done.push((file.into(), what.into()));
    }

    fn has(&self, part: Part) -> bool {
        self.found.verified.findings.iter().any(|finding| finding.part == part)
    }

    fn packs(&mut self) -> Result<(), RepoError> {
        let mended = self.inspection.mend_packs(self.lock, &self.found.packs)?;
        self.done.extend(mended.into_iter().map(|(file, what)| (file, what.to_owned())));
        Ok(())
    }

    fn lists(&mut self) -> Result<(), RepoError> {
        if self.has(Part::Format) {
            self.inspection.write_format(self.lock)?;
            self.note("format", "wrote it anew");
        }
        let source = self.inspection.source()?;
        if self.has(Part::StateList) {
            let mut states = self.found.lists.states.clone();
            states.reverse();
            let Verifier { packs, lists, .. } = &self.found;
            let newest = unlisted_state(self.inspection, &source, packs, lists)?;
            let what = match newest {
                Some(_) => "listed the newest state that the packs hold",
                None => "kept what is whole of it",
            };
            states.extend(newest);
            self.inspection.write_states(self.lock, &states)?;
            self.note("worktree", what);
            states.reverse();
            self.found.lists.states = states;
        }
        if self.has(Part::CommitList) {
            self.commits(&source)?;
        }
        Ok(())
    }

    fn refs(&mut self) -> Result<(), RepoError> {
        let source = self.inspection.source()?;
        let lists = &self.found.lists;
        let state = last_state(&source, lists);
        let Some(state) = state.filter(|_| self.has(Part::Ref)) else { return Ok(()) };
        for (name, id) in lost_tags(&source, lists, &state) {
            self.inspection.write_ref(self.lock, &name, id.object())?;
            let file = self.inspection.ref_file(&name);
            self.done.push((file, "made it again from the table of tags".to_owned()));
        }
        Ok(())
    }

    fn journal(&mut self) -> Result<(), RepoError> {
        let source = self.inspection.source()?;
        let state = last_state(&source, &self.found.lists);
        let Some(state) = state.filter(|_| self.has(Part::Journal)) else { return Ok(()) };
        let (disk, dir) = (self.inspection.disk(), self.inspection.journal());
        if let Some(path) = Journal::end_before_damage(disk, &dir, state.journal)? {
            let file = path.strip_prefix(self.inspection.path()).unwrap_or(&path).to_owned();
            self.done.push((file, "ended the journal before what is damaged".to_owned()));
        }
        Ok(())
    }

    fn commits(&mut self, source: &PackStore) -> Result<(), RepoError> {
        let listed = &self.found.lists.commits;
        let known: HashSet<CommitId> = listed.iter().map(|record| record.id).collect();
        let mut unlisted = Vec::new();
        let mut reach = Reach::new(source, &self.found.packs);
        for id in &self.found.packs.commits {
            let is_new = !known.contains(&CommitId::new(*id));
            // A collection may have left a commit and not what it leads to.
            if is_new && reach.follow(*id, Sort::Commit).is_none() {
                let commit = decode_commit(&source.read(id)?);
                let time = commit.map_err(|error| RepoError::damaged(id, error))?.time;
                unlisted.push(CommitRecord { id: CommitId::new(*id), time, changes_by: None });
            }
        }
        let came_back = unlisted.len();
        let all = merged(listed, unlisted);
        let dropped = self.dropped(source, Tally::of(&all))?;
        self.inspection.write_commits(self.lock, &all, dropped)?;
        self.note("commits", format!("rebuilt it; {came_back} commits came back"));
        Ok(())
    }

    /// What a list with these commits has to say of others, so that it has all that the last state
    /// counts. If that counts fewer, another one is listed that counts these, or the next one to
    /// open the store would cut the list to what the last state counts.
    fn dropped(&mut self, source: &PackStore, commits: Tally) -> Result<Tally, RepoError> {
        let Some(state) = last_state(source, &self.found.lists) else {
            return Ok(Tally::default());
        };
        let states = &mut self.found.lists.states;
        if state.commits.count >= commits.count {
            return Ok(state.commits.minus(commits));
        }
        let bytes = WorktreeState { commits, ..state }.encode();
        let id = ObjectId::from_bytes(hash(&bytes));
        let packs = self.inspection.open_packs(self.lock)?;
        packs.put(ObjectKind::Worktree, &id, &bytes)?;
        packs.close()?;
        states.insert(0, id);
        let oldest_first: Vec<ObjectId> = states.iter().rev().copied().collect();
        self.inspection.write_states(self.lock, &oldest_first)?;
        Ok(Tally::default())
    }
}

/// Puts commits where their times say between those that are listed, whose order stays.
fn merged(listed: &[CommitRecord], mut unlisted: Vec<CommitRecord>) -> Vec<CommitRecord> {
    unlisted.sort_by_key(|record| record.time);
    let mut unlisted = unlisted.into_iter().peekable();
    let mut all = Vec::new();
    for record in listed {
        while let Some(earlier) = unlisted.next_if(|unlisted| unlisted.time < record.time) {
            all.push(earlier);
        }
        all.push(*record);
    }
    all.extend(unlisted);
    all
}
