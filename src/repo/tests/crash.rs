//! The process ends, or the power goes, before every single step that changes the disk: what is
//! there afterwards was once true, and is no older than what was promised.

use std::path::Path;

use super::verify::assert_clean;
use super::world::{
    Action, Actions, DIR, Dump, Promises, act, deeds, dump, new_disk, open, read_commit, seeds,
    tag_name,
};
use crate::base::disk::sim::SimDisk;
use crate::model::{Commit, CommitId, FileKind, Ino, Name, NewNode, Op, Timestamp};
use crate::repo::{CommitRequest, Repo, verify};
use crate::worktree::{ChangeKind, DiffOptions, diff_roots};

/// What there is after a number of actions: the tree, and the operation log.
pub(super) type State = (Dump, Vec<String>);

fn state_of(repo: &Repo) -> State {
    (dump(repo), deeds(repo))
}

/// The state after each number of actions.
pub(super) fn states_of(actions: &[Action]) -> (Vec<State>, u64) {
    let disk = new_disk();
    let mut repo = Some(open(&disk).expect("an empty disk"));
    let mut promises = Promises::default();
    let mut states = vec![state_of(repo.as_ref().expect("it is open"))];
    for action in actions {
        act(&disk, &mut repo, action, &mut promises).unwrap_or_else(|e| panic!("{action:?}: {e}"));
        states.push(state_of(repo.as_ref().expect("it is open")));
    }
    repo.take().expect("it is open").close().expect("nothing fails");
    (states, disk.steps())
}

/// Does the actions until the process is ended before this step.
pub(super) fn run_until(actions: &[Action], step: u64) -> (SimDisk, Promises) {
    let disk = new_disk();
    disk.end_at(step);
    let mut promises = Promises::default();
    let mut repo = open(&disk).ok();
    if repo.is_some() {
        for action in actions {
            if act(&disk, &mut repo, action, &mut promises).is_err() {
                break;
            }
        }
        if let Some(repo) = repo {
            let _ = repo.close();
        }
    }
    assert!(disk.has_ended(), "nothing fails before the end");
    (disk, promises)
}

struct Expectation<'a> {
    actions: &'a [Action],
    states: &'a [State],
    promises: &'a Promises,
    /// So many actions have been done at least.
    at_least: usize,
    what: String,
}

impl Expectation<'_> {
    /// Tells whether this is what there was after so many actions, or while the next one was at it.
    fn is_state(&self, number: usize, (tree, deeds): &State) -> bool {
        let (tree_then, deeds_then) = &self.states[number];
        if tree != tree_then {
            return false;
        }
        // It commits what would be lost, and then does what it is for.
        let commits_first =
            matches!(self.actions.get(number), Some(Action::Restore(_) | Action::Undo));
        let is_commit = deeds.last().is_some_and(|last| last.ends_with(" commit"));
        deeds == deeds_then
            || commits_first && is_commit && deeds[..deeds.len() - 1] == deeds_then[..]
    }
}

/// Opens what is left, and compares it with what was promised; then goes on with it.
fn check(disk: &SimDisk, expectation: &Expectation<'_>) {
    let Expectation { states, promises, at_least, what, .. } = expectation;
    let repo = open(disk).unwrap_or_else(|e| panic!("{what}: not opened: {e}\n{promises:?}"));
    let found = state_of(&repo);
    let most = (promises.done + 1).min(states.len() - 1);
    let Some(state) = (*at_least..=most).rev().find(|state| expectation.is_state(*state, &found))
    else {
        let older = (0..*at_least).rev().find(|state| expectation.is_state(*state, &found));
        panic!("{what}: no state from {at_least} on, but {older:?}\n{found:#?}\n{promises:?}");
    };
    check_commits(&repo, expectation, state);
    // It can be gone on with.
    let head = repo.head();
    let request = CommitRequest { allow_empty: true, ..CommitRequest::default() };
    let id = repo.commit(&request).unwrap_or_else(|e| panic!("{what}: no commit: {e}"));
    repo.close().unwrap_or_else(|e| panic!("{what}: not closed: {e}"));
    drop(repo);
    let repo = open(disk).unwrap_or_else(|e| panic!("{what}: not opened again: {e}"));
    assert_eq!((dump(&repo), repo.head()), (found.0.clone(), Some(id)), "{what}");
    let undone = repo.undo().unwrap_or_else(|e| panic!("{what}: no undo: {e}"));
    assert_eq!(undone.deed.after, Some(id), "{what}");
    assert_eq!((dump(&repo), repo.head()), (found.0, head), "{what}");
}

fn check_commits(repo: &Repo, expectation: &Expectation<'_>, state: usize) {
    let Expectation { promises, at_least, what, .. } = expectation;
    repo.write_commits().unwrap_or_else(|e| panic!("{what}: {e}"));
    let listed = repo.history().store().commits().records();
    let mut unknown = 0;
    for record in listed.iter() {
        let commit = repo.history().commit(&record.id);
        let commit = commit.unwrap_or_else(|e| panic!("{what}: a listed commit: {e}"));
        read_commit(repo, &commit.root);
        check_makers(repo, &record.id, &commit, what);
        match promises.commits.iter().find(|made| made.id == record.id) {
            Some(made) => assert_eq!(made.root, commit.root, "{what}"),
            // One that was not acknowledged, or one that a restore made before it.
            None => unknown += 1,
        }
    }
    let tagged = repo.history().store().refs().find(&tag_name());
    let tagged = tagged.unwrap_or_else(|e| panic!("{what}: the tag: {e}"));
    let on_its_way = promises.tag_next == Some(tagged);
    assert!(tagged == promises.tag || on_its_way, "{what}: {tagged:?} has the tag\n{promises:?}");
    if let Some(id) = tagged {
        let is_listed = listed.iter().any(|record| *record.id.object() == id);
        assert!(is_listed, "{what}: what has a tag is lost");
    }
    let most = promises.restores + promises.dropped + 1;
    assert!(unknown <= most, "{what}: {unknown} commits that nobody made");
    for made in promises.commits.iter().filter(|made| made.after <= *at_least) {
        let is_listed = listed.iter().any(|record| record.id == made.id);
        assert!(is_listed, "{what}: at {state} the commit of action {} is lost", made.after);
    }
}

/// Of all that a commit changed, but for what it removed, it is known who did it; and but for what
/// came because rules that had ignored it changed.
fn check_makers(repo: &Repo, id: &CommitId, commit: &Commit, what: &str) {
    let history = repo.history();
    let parent = history.parent(commit);
    if parent.is_none() && !commit.parents.is_empty() {
        // What it is compared with was dropped.
        return;
    }
    let parent = parent.map(|parent| history.commit(&parent).expect("it is listed").root);
    let options = DiffOptions { renames: false, whole_directories: false, exact: false };
    let changes = diff_roots(parent.as_ref(), &commit.root, history.source(), &options);
    let changes = changes.unwrap_or_else(|e| panic!("{what}: {e}"));
    let makers = history.who_made(id, &changes).unwrap_or_else(|e| panic!("{what}: {e}"));
    let rules_changed = changes.iter().any(|change| change.path.ends_with(b".vstignore"));
    for (change, maker) in changes.iter().zip(makers) {
        if rules_changed && maker.is_none() && change.kind == ChangeKind::Added {
            continue;
        }
        let is_known = maker.is_some_and(|writer| writer.name() == b"tester");
        assert_eq!(is_known, change.kind != ChangeKind::Deleted, "{what}: {id}: {change:?}");
    }
}

fn crash_everywhere(seed: u64, len: usize, stride: u64) {
    crash_at_each(&Actions::list(seed, len), seed, stride);
}

fn crash_at_each(actions: &[Action], seed: u64, stride: u64) {
    let (states, steps) = states_of(actions);
    let mut step = seed % stride;
    while step < steps {
        let (disk, promises) = run_until(actions, step);
        let expect = |at_least, what: &str| Expectation {
            actions,
            states: &states,
            promises: &promises,
            at_least,
            what: format!("seed {seed}, step {step}, {what}"),
        };
        // Before the first checkpoint there is no store yet.
        if let Ok(found) = verify(&disk.after_kill().handle(), Path::new(DIR), &|_| {}) {
            assert_clean(&found, &format!("seed {seed}, step {step}, killed"));
        }
        check(&disk.after_kill(), &expect(promises.done, "killed"));
        for luck in [0, 1, 2 + step, 1000 + step] {
            let what = format!("power lost with {luck}");
            check(&disk.after_power_loss(luck), &expect(promises.durable, &what));
        }
        // The power goes while what a kill left is being recovered.
        let again = disk.after_kill();
        again.end_at(1 + step % 7);
        let _ = open(&again);
        check(&again.after_power_loss(step + 5), &expect(promises.durable, "both"));
        step += stride;
    }
}

#[test]
fn what_was_promised_survives_an_end_at_every_step() {
    for seed in 0..seeds(8) {
        crash_everywhere(seed, 12, 1);
    }
}

#[test]
fn what_was_promised_survives_an_end_somewhere_in_a_long_run() {
    for seed in 1000..1000 + seeds(12) {
        crash_everywhere(seed, 60, 37);
    }
}

/// Writes behind each of which there is no room in the smallest segment of the journal.
fn large_writes(seed: u64) -> Vec<Action> {
    let (ino, time) = (Ino(10_000), |secs| Timestamp { secs, nanos: 0 });
    let node = NewNode {
        kind: FileKind::Regular,
        perm: 0o644,
        uid: 1,
        gid: 1,
        rdev: 0,
        target: Box::default(),
    };
    let (parent, name) = (Ino::ROOT, Name::new(b"n1").expect("a name"));
    let mut actions = vec![Action::Do(Op::Create { parent, name, ino, node, time: time(1) })];
    let write = |n: usize| {
        let data = vec![n as u8 + 1; 4_000_000 - 10_000 * n].into();
        Action::Do(Op::Write { ino, offset: 0, data, kill_priv: false, time: time(n as i64 + 2) })
    };
    let between = [Action::Sync, Action::Prepare, Action::Checkpoint, Action::Reopen];
    for n in 0..6 {
        actions.push(write(n));
        let which = [[0, 1, 0, 2, 0, 3], [1, 0, 3, 1, 2, 0]][seed as usize % 2][n];
        actions.push(between[which].clone());
    }
    actions
}

#[test]
fn what_was_promised_survives_an_end_at_every_step_of_going_from_segment_to_segment() {
    for seed in 0..2 {
        crash_at_each(&large_writes(seed), seed, 1);
    }
}

#[test]
fn a_store_that_was_not_made_to_the_end_is_made_again() {
    let whole = new_disk();
    open(&whole).expect("an empty disk").close().expect("nothing fails");
    for step in 0..whole.steps() {
        let disk = new_disk();
        disk.end_at(step);
        if let Ok(repo) = open(&disk) {
            let _ = repo.close();
        }
        for luck in 0..20 {
            let after = disk.after_power_loss(luck);
            let repo = open(&after).unwrap_or_else(|e| panic!("step {step}, {luck}: {e}"));
            assert_eq!(dump(&repo).len(), 1, "{DIR} is empty");
        }
        open(&disk.after_kill()).expect("nothing is lost");
    }
}
