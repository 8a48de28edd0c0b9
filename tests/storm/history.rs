//! Whether the history of commits is what it must be: every acknowledged commit there, each with
//! the tree that it had.

use std::collections::{HashMap, HashSet};
use std::fs;

use serde::Deserialize;

use super::commits::tree_id;
use super::found::{Files, digest, read_all};
use super::harness::TestMount;
use super::random::Random;
use super::round::{Commit, Round};

/// How many rounds lie between two looks at the list of all snapshots.
const LIST_ROUNDS: u64 = 10;
/// Old commits whose trees' ids are looked at after each round.
const OLD_IDS_CHECKED: usize = 8;

/// How the message of the commit begins that keeps what a restore replaces.
const BEFORE_RESTORE: &str = "before restore of ";

/// A line of `vst log --json`.
#[derive(Debug, Deserialize)]
struct Listed {
    id: String,
    root: String,
    parents: Vec<String>,
    message: String,
}

/// The tree of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Roots {
    /// The id of the root, which the commit object names.
    root: String,
    /// The id of what the top directory of the snapshot holds.
    top: String,
}

/// An acknowledged commit whose id is known.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) id: String,
    pub(crate) commit: Commit,
}

/// The commits of all rounds.
#[derive(Debug, Default)]
pub(crate) struct History {
    head: String,
    /// What each commit names.
    roots: HashMap<String, Roots>,
    ids: Vec<String>,
    /// What snapshots held when they were first read in full.
    digests: Vec<(String, blake3::Hash)>,
}

impl History {
    /// A history that begins with the head of a mount.
    pub(crate) fn new(head: String) -> Self {
        Self { head, ..Self::default() }
    }

    /// The newest commit.
    pub(crate) fn head(&self) -> &str {
        &self.head
    }

    /// Checks the history after a round, and returns the acknowledged commits whose ids are known.
    pub(crate) fn check(
        &mut self,
        mount: &TestMount,
        round: &Round,
        random: &mut Random,
    ) -> Result<Vec<Known>, String> {
        let new = self.read_new(mount, round)?;
        let known = self.identify(round.commits(), &new)?;
        for Listed { id, root, .. } in &new {
            let top = top_id(mount, id)?;
            self.roots.insert(id.clone(), Roots { root: root.clone(), top });
        }
        for Known { id, commit } in &known {
            let (then, now) = (commit.top.as_ref(), self.roots.get(id).map(|roots| &roots.top));
            if then.is_some() && now.is_some() && then != now {
                return Err(format!("commit {id} had the tree {then:?} and now has {now:?}"));
            }
        }
        for id in (0..OLD_IDS_CHECKED).filter_map(|_| random.pick(&self.ids)) {
            let (now, then) = (top_id(mount, id)?, self.roots.get(id).map(|roots| &roots.top));
            if then != Some(&now) {
                return Err(format!("snapshot {id} has the tree {now}, not {then:?}"));
            }
        }
        self.ids.extend(new.iter().rev().map(|commit| commit.id.clone()));
        if let Some(newest) = new.first() {
            self.head.clone_from(&newest.id);
        }
        let head = mount.head();
        if head != self.head {
            return Err(format!("the head is {head}, and the log begins with {}", self.head));
        }
        if round.number.is_multiple_of(LIST_ROUNDS) {
            self.check_list(mount)?;
        }
        Ok(known)
    }

    /// The commits since the last round, newest first.
    fn read_new(&self, mount: &TestMount, round: &Round) -> Result<Vec<Listed>, String> {
        let mut list = log(mount, round.commits_max() + 1)?;
        for pair in list.windows(2) {
            if pair[0].parents != [pair[1].id.clone()] {
                return Err(format!("{pair:?} are no neighbours"));
            }
        }
        let end = list.iter().position(|commit| commit.id == self.head);
        list.truncate(end.ok_or_else(|| format!("commit {} has left the history", self.head))?);
        let touches = list.iter().filter(|commit| commit.message.is_empty()).count() as u64;
        let unknown = list
            .iter()
            .find(|commit| !may_repeat(&commit.message) && !round.was_asked_for(&commit.message));
        let restores = list.iter().filter(|c| c.message.starts_with(BEFORE_RESTORE)).count() as u64;
        if touches > round.touches() || restores > round.restores() || unknown.is_some() {
            return Err(format!(
                "a commit that nobody asked for: {unknown:?}, {touches} touches, {restores} restores"
            ));
        }
        let messages = list.iter().map(|commit| &commit.message).filter(|m| !may_repeat(m));
        let mut once = HashSet::new();
        match messages.into_iter().find(|message| !once.insert(*message)) {
            Some(twice) => Err(format!("a commit was made twice: {twice:?}")),
            None => Ok(list),
        }
    }

    fn identify(&self, commits: Vec<Commit>, new: &[Listed]) -> Result<Vec<Known>, String> {
        let by_message: HashMap<_, _> = new.iter().map(|c| (c.message.as_str(), &c.id)).collect();
        let by_id: HashMap<_, _> = new.iter().map(|c| (c.id.as_str(), &c.message)).collect();
        let mut known = Vec::new();
        for commit in commits.into_iter().filter(|commit| !commit.message.is_empty()) {
            let listed = by_message.get(commit.message.as_str()).map(|id| (*id).clone());
            if commit.always && listed.is_none() {
                return Err(format!("an acknowledged commit is lost: {commit:?}"));
            }
            if let Some(id) = &commit.id {
                // If nothing had changed the id is that of an earlier one.
                let is_new = by_id.contains_key(id.as_str());
                let is_old = self.roots.contains_key(id) || *id == self.head;
                if !is_new && !is_old || listed.is_some() && listed.as_ref() != Some(id) {
                    return Err(format!("an acknowledged commit is lost: {commit:?}"));
                }
            }
            if let Some(id) = commit.id.clone().or(listed) {
                known.push(Known { id, commit });
            }
        }
        Ok(known)
    }

    /// Follows a restore of the whole tree to a commit, and tells whether it happened. Then the
    /// history goes on from that commit; otherwise with the commit of what would have been lost.
    pub(crate) fn follow_restore(&mut self, mount: &TestMount, id: &str) -> Result<bool, String> {
        let (head, list) = (mount.head(), log(mount, 2)?);
        let is_saved = |commit: &Listed| {
            commit.message.starts_with(BEFORE_RESTORE) && commit.parents == [self.head.clone()]
        };
        let known = [id, &self.head].contains(&head.as_str()) || list.first().is_some_and(is_saved);
        if list.first().is_none_or(|first| first.id != head) || !known {
            return Err(format!("after a restore of {id} the head is {head}, the log {list:?}"));
        }
        self.head = head;
        Ok(self.head == id)
    }

    fn check_list(&self, mount: &TestMount) -> Result<(), String> {
        let directory = mount.path().join(".snapshots");
        let entries = fs::read_dir(&directory).map_err(|e| format!("{directory:?}: {e}"))?;
        let listed: HashSet<_> =
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        match self.ids.iter().find(|id| !listed.contains(*id)) {
            Some(id) => Err(format!("commit {id} is not listed in .snapshots")),
            None => Ok(()),
        }
    }

    /// Notes what a snapshot holds.
    pub(crate) fn note(&mut self, id: &str, files: &Files) {
        self.digests.push((id.to_owned(), digest(files)));
    }

    /// Reads a snapshot of an earlier round in full once more.
    pub(crate) fn check_old(&self, mount: &TestMount, random: &mut Random) -> Result<(), String> {
        let Some((id, then)) = random.pick(&self.digests) else { return Ok(()) };
        let now = digest(&read_all(&mount.snapshot(id))?);
        let listed = show(mount, id)?;
        let root = self.roots.get(id).map(|roots| &roots.root);
        if now != *then || root.is_some_and(|root| *root != listed.root) {
            return Err(format!("snapshot {id} is not what it was"));
        }
        Ok(())
    }
}

/// The newest commits of the history, newest first.
fn log(mount: &TestMount, count: usize) -> Result<Vec<Listed>, String> {
    let output = mount.vst(&["log", "--json", "-n", &count.to_string()]);
    if !output.status.success() {
        return Err(format!("vst log: {}", String::from_utf8_lossy(&output.stderr)));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("vst log: {error}"))
}

/// Whether several commits may have a message: one that a touch made has none.
fn may_repeat(message: &str) -> bool {
    message.is_empty() || message.starts_with(BEFORE_RESTORE)
}

/// The id of what a snapshot's top directory holds.
fn top_id(mount: &TestMount, id: &str) -> Result<String, String> {
    tree_id(mount.path(), id).map_err(|error| format!("snapshot {id}: {error}"))
}

fn show(mount: &TestMount, id: &str) -> Result<Listed, String> {
    let output = mount.vst(&["show", "--json", id]);
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("vst show {id}: {error}, {output:?}"))
}
