//! Looking for damage in a whole store, and for whom it hurts.
//!
//! First every object is read and hashed, pack by pack, in parallel. Then all that commits, refs
//! and the worktree lead to is followed, which finds what is missing and names the paths that are
//! hurt. It works beside the process that owns the store, and changes nothing. What that process
//! is in the middle of may look like damage for a moment: what the second look finds, another one
//! has to find as well.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::reach::{Harm, Reach};
use super::walk::{IGNORED, Sort};
use super::{RepoError, TagName};
use crate::base::disk::Disk;
use crate::base::limits::VERIFY_TRIES_MAX;
use crate::format::worktree::WorktreeState;
use crate::journal::Journal;
use crate::model::{CommitId, ObjectError, ObjectId};
use crate::store::{Finding, Inspection, Lists, PackStore, PacksChecked, Part, Progress, RefName};
use crate::worktree::{Tags, Worktree};

/// What was found out about a store.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What is damaged.
    pub findings: Vec<Finding>,
    /// Who is hurt, the newest commit last.
    pub hurt: Vec<Hurt>,
    /// How much was read.
    pub read: Progress,
    /// How many commits were followed.
    pub commits: u64,
}

/// Something that damage hurts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hurt {
    /// What is hurt.
    pub holder: Holder,
    /// The first paths in it that are, each with an object that cannot be used. The empty path is
    /// the top of the tree, or something that belongs to all of it.
    pub paths: Vec<(Vec<u8>, ObjectId)>,
    /// How many more there are.
    pub more: u64,
}

/// What has paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A commit.
    Commit(CommitId),
    /// What tells who made the changes of a commit, whose tree is not hurt by that.
    Writers(CommitId),
    /// The working tree, as it was last saved.
    Worktree,
}

/// What the second look finds.
#[derive(Debug, PartialEq, Eq)]
struct Look {
    findings: Vec<Finding>,
    hurt: Vec<Hurt>,
    commits: u64,
}

/// Looks for damage in the store in a directory. Calls `progress` now and then, from any thread.
/// Fails only if there is no store, or one of an unknown version, or the disk gives no answer.
pub fn verify(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Verified, RepoError> {
    let inspection = Inspection::open(disk, dir)?;
    Ok(Verifier::new(&inspection, progress)?.verified)
}

/// A store that has been verified, and what is good in it.
pub(super) struct Verifier {
    pub(super) packs: PacksChecked,
    pub(super) lists: Lists,
    pub(super) verified: Verified,
}

impl Verifier {
    pub(super) fn new(
        inspection: &Inspection,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Self, RepoError> {
        let source = inspection.source()?;
        let mut packs = inspection.check_packs(progress)?;
        let mut lists = inspection.lists()?;
        let mut seen = look(inspection, &source, &packs, &lists)?;
        for _ in 1..VERIFY_TRIES_MAX {
            if seen.is_well() {
                break;
            }
            let before = seen;
            lists = inspection.lists()?;
            seen = look(inspection, &source, &packs, &lists)?;
            if seen == before {
                break;
            }
            // Damage stays where it is.
            seen.findings.retain(|finding| before.findings.contains(finding));
            seen.hurt.retain(|hurt| before.hurt.contains(hurt));
        }
        packs.findings.retain(|finding| inspection.is_there(finding));
        let mut findings = packs.findings.clone();
        let is_known = |finding: &Finding| {
            finding.object.is_some() && packs.findings.iter().any(|f| f.object == finding.object)
        };
        findings.extend(seen.findings.into_iter().filter(|finding| !is_known(finding)));
        let verified =
            Verified { findings, hurt: seen.hurt, read: packs.read, commits: seen.commits };
        Ok(Self { packs, lists, verified })
    }
}

impl Look {
    fn is_well(&self) -> bool {
        self.findings.is_empty() && self.hurt.is_empty()
    }
}

fn look(
    inspection: &Inspection,
    source: &PackStore,
    packs: &PacksChecked,
    lists: &Lists,
) -> Result<Look, RepoError> {
    let mut findings = lists.findings.clone();
    let state = last_state(source, lists);
    let unlisted = unlisted_state(inspection, source, packs, lists)?;
    check_counts(lists, state.as_ref(), unlisted.is_some(), &mut findings);
    // What the list has lost is what the journal goes on from.
    let newest = unlisted.and_then(|id| read_state(source, &id)).or_else(|| state.clone());
    if let Some(state) = &state {
        for (name, id) in lost_tags(source, lists, state) {
            let file = inspection.ref_file(&name);
            if findings.iter().all(|finding| finding.file != file) {
                let detail = format!("it is missing: it named commit {}", id.object().short());
                findings.push(Finding::of_file(Part::Ref, file, detail));
            }
        }
    }
    if let Some(state) = newest {
        let damage = Journal::check(inspection.disk(), &inspection.journal(), state.journal)?;
        findings.extend(damage.into_iter().map(|damage| {
            let file = damage.file.strip_prefix(inspection.path()).unwrap_or(&damage.file);
            let whole = Finding::of_file(Part::Journal, file, damage.detail);
            Finding { offset: damage.offset, ..whole }
        }));
    }
    let mut commits: Vec<CommitId> = lists.commits.iter().map(|record| record.id).collect();
    let listed: HashSet<CommitId> = commits.iter().copied().collect();
    let mut others: Vec<CommitId> = lists.refs.iter().map(|(_, id)| CommitId::new(*id)).collect();
    others.extend(state.as_ref().and_then(|state| state.head));
    others.retain(|id| !listed.contains(id));
    others.sort_unstable();
    others.dedup();
    commits.extend(others);
    let mut reach = Reach::new(source, packs);
    let mut hurt = Vec::new();
    let note = |hurt: &mut Vec<Hurt>, holder, harm: &Harm| {
        let paths = harm.paths.clone();
        let more = harm.total - paths.len() as u64;
        hurt.push(Hurt { holder, paths, more });
    };
    if let Some(harm) = lists.states.first().and_then(|id| reach.follow(*id, Sort::State)) {
        note(&mut hurt, Holder::Worktree, &harm);
        let tree = state.as_ref().and_then(|state| Worktree::open(state, source).ok());
        for (path, _) in hurt.iter_mut().flat_map(|hurt| &mut hurt.paths) {
            name_ignored(path, tree.as_ref(), source);
        }
    }
    let blocks: HashMap<CommitId, ObjectId> =
        lists.commits.iter().filter_map(|record| Some((record.id, record.changes_by?))).collect();
    for id in &commits {
        if let Some(harm) = reach.follow(*id.object(), Sort::Commit) {
            note(&mut hurt, Holder::Commit(*id), &harm);
        }
        if let Some(block) = blocks.get(id)
            && let Some(harm) = reach.follow(*block, Sort::Provenance)
        {
            note(&mut hurt, Holder::Writers(*id), &harm);
        }
    }
    for (id, error) in reach.into_bad() {
        let detail = match error {
            ObjectError::Missing(_) => "it is missing, and something leads to it".to_owned(),
            ObjectError::Damaged { detail, .. } => detail,
            error => error.to_string(),
        };
        findings.push(Finding::of_file(Part::Object, "packs", detail).of_object(id));
    }
    Ok(Look { findings, hurt, commits: commits.len() as u64 })
}

/// Has the path of something that is ignored begin at the top of the tree, as far as that can still
/// be found out.
fn name_ignored(path: &mut Vec<u8>, tree: Option<&Worktree>, source: &PackStore) {
    let inside = match path.strip_prefix(IGNORED) {
        Some([b'/', inside @ ..]) => inside,
        Some(inside) => inside,
        None => return,
    };
    let named = tree.and_then(|tree| tree.path_of_ignored(inside, source));
    *path = named.unwrap_or_else(|| inside.to_vec());
}

/// The last state of the worktree, if there is one that can be read.
pub(super) fn last_state(source: &PackStore, lists: &Lists) -> Option<WorktreeState> {
    lists.states.first().and_then(|id| read_state(source, id))
}

/// Reads a state of the worktree that may be damaged: whoever follows it finds out.
fn read_state(source: &PackStore, id: &ObjectId) -> Option<WorktreeState> {
    WorktreeState::decode(&source.read(id).ok()?).ok()
}

/// The tags that there should be, and whose refs are missing or damaged. Tags of a table that is
/// damaged are not told: whoever follows it finds out.
pub(super) fn lost_tags(
    source: &PackStore,
    lists: &Lists,
    state: &WorktreeState,
) -> Vec<(RefName, CommitId)> {
    let there: HashSet<&RefName> = lists.refs.iter().map(|(name, _)| name).collect();
    let tags = Tags::open(state).list(source).unwrap_or_default();
    let refs =
        tags.into_iter().filter_map(|(tag, id)| Some((TagName::new(&tag).ok()?.to_ref(), id)));
    refs.filter(|(name, _)| !there.contains(name)).collect()
}

/// Looks whether records of a list are lost. Nothing in a list tells which there are, but what is
/// elsewhere does.
fn check_counts(
    lists: &Lists,
    state: Option<&WorktreeState>,
    has_unlisted_state: bool,
    findings: &mut Vec<Finding>,
) {
    let has = |part| lists.findings.iter().any(|finding| finding.part == part);
    let lost = state.and_then(|state| lists.lost_commits(state.commits));
    if let Some(detail) = lost.filter(|_| !has(Part::CommitList)) {
        findings.push(Finding::of_file(Part::CommitList, "commits", detail));
    }
    if !has(Part::StateList) && has_unlisted_state {
        let detail = "its end is lost: there is a newer state than it lists";
        findings.push(Finding::of_file(Part::StateList, "worktree", detail));
    }
}

/// The newest state in the packs, if it should be listed, and only older ones are.
pub(super) fn unlisted_state(
    inspection: &Inspection,
    source: &PackStore,
    packs: &PacksChecked,
    lists: &Lists,
) -> Result<Option<ObjectId>, RepoError> {
    let seq = |id| read_state(source, id).map(|state| state.journal.seq);
    let mut newest = match lists.states.first() {
        // That of a store in which nothing has been done.
        None => 0,
        // Where the journal is empty, everything has been saved in a state that is listed.
        // Otherwise a newer one may be one that a restore had prepared.
        Some(_) if !Journal::is_closed(inspection.disk(), &inspection.journal())? => {
            return Ok(None);
        }
        // One that cannot be read may be the newest.
        Some(listed) => seq(listed).unwrap_or(u64::MAX),
    };
    let mut found = None;
    for id in &packs.states {
        if let Some(seq) = seq(id).filter(|seq| *seq > newest) {
            newest = seq;
            found = Some(*id);
        }
    }
    Ok(found)
}
