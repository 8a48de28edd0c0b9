//! Taking back, and the operation log.

use std::sync::Arc;

use super::world::{Action, Actions, Promises, act, deeds, new_disk, open, reach_and_apply, seeds};
use crate::base::disk::sim::SimDisk;
use crate::base::limits::DEEDS_MAX;
use crate::model::{CommitId, FileKind, Ino, Name, NewNode, Op, RootId, Timestamp};
use crate::repo::{
    CommitRequest, GcRequest, Repo, RepoError, RestoreRequest, Retention, TagChange, TagName,
    TagRequest,
};

const FILE: Ino = Ino(1000);

fn new_repo() -> (SimDisk, Repo) {
    let disk = new_disk();
    let repo = open(&disk).unwrap();
    let name = Name::new(b"n0").unwrap();
    let (target, time) = (Box::default(), Timestamp { secs: 1, nanos: 0 });
    let node = NewNode { kind: FileKind::Regular, perm: 0o644, uid: 1, gid: 1, rdev: 0, target };
    let create = Op::Create { parent: Ino::ROOT, name, ino: FILE, node, time };
    repo.apply(&create).unwrap();
    (disk, repo)
}

fn write(repo: &Repo, text: &str) {
    let data: Arc<[u8]> = text.as_bytes().into();
    let time = Timestamp { secs: 2, nanos: 0 };
    let op = Op::Write { ino: FILE, offset: 0, data, kill_priv: false, time };
    reach_and_apply(repo, &op).unwrap();
}

fn commit(repo: &Repo, text: &str) -> CommitId {
    write(repo, text);
    let request = CommitRequest { message: text.to_owned(), ..CommitRequest::default() };
    repo.commit(&request).unwrap()
}

/// The tree as it is, and the head.
fn state(repo: &Repo) -> (RootId, Option<CommitId>) {
    (repo.hash().unwrap(), repo.head())
}

fn root_of(repo: &Repo, id: &CommitId) -> RootId {
    repo.write_commits().unwrap();
    repo.history().commit(id).unwrap().root
}

#[test]
fn a_commit_that_is_taken_back_leaves_the_tree_and_the_next_undo_goes_further_back() {
    let (_disk, repo) = new_repo();
    let first = commit(&repo, "first");
    let second = commit(&repo, "second");
    let tree = repo.hash().unwrap();
    assert!(repo.status().unwrap().is_empty());
    let undone = repo.undo().unwrap();
    assert_eq!((undone.number, undone.deed.after), (2, Some(second)));
    assert_eq!(state(&repo), (tree, Some(first)));
    assert_eq!(repo.status().unwrap().len(), 1);
    let third = commit(&repo, "third");
    let tree = repo.hash().unwrap();
    // First what came last, then what came before that which was taken back.
    assert_eq!(repo.undo().unwrap().deed.after, Some(third));
    assert_eq!(state(&repo), (tree, Some(first)));
    assert_eq!(repo.undo().unwrap().deed.after, Some(first));
    assert_eq!(state(&repo), (tree, None));
    assert!(matches!(repo.undo(), Err(RepoError::NothingToUndo)));
    // All of them are still there.
    let listed = repo.history().store().commits().records();
    assert_eq!(listed.iter().map(|record| record.id).collect::<Vec<_>>(), [first, second, third]);
    let again = repo.commit(&CommitRequest::default()).unwrap();
    assert_eq!(state(&repo), (tree, Some(again)));
    repo.write_commits().unwrap();
    assert_eq!(repo.history().commit(&again).unwrap().parents, []);
}

#[test]
fn a_restore_that_is_taken_back_gives_the_tree_of_before_and_its_head() {
    for (request, has_changes) in [("HEAD~1", true), ("HEAD~1", false), ("HEAD~1:n0", true)] {
        let (_disk, repo) = new_repo();
        commit(&repo, "first");
        let second = commit(&repo, "second");
        if has_changes {
            write(&repo, "third, in no commit");
        }
        let before = state(&repo);
        let restored = repo.restore(&RestoreRequest::parse(request)).unwrap();
        assert_eq!(restored.saved.is_some(), has_changes);
        assert_ne!(state(&repo), before, "{request}");
        let undone = repo.undo().unwrap();
        // A path that was restored is a change of the head; a whole tree is the head.
        assert_eq!(undone.restored.saved.is_some(), request.contains(':'));
        assert_eq!(state(&repo), before, "{request}");
        assert_eq!(repo.status().unwrap().is_empty(), !has_changes);
        // The commit that the restore made belongs to it.
        assert_eq!(repo.undo().unwrap().deed.after, Some(second));
    }
}

#[test]
fn what_changed_since_a_restore_is_saved_when_that_is_taken_back() {
    let (_disk, repo) = new_repo();
    commit(&repo, "first");
    commit(&repo, "second");
    let before = state(&repo);
    repo.restore(&RestoreRequest::parse("HEAD~1")).unwrap();
    write(&repo, "since then");
    let since = repo.hash().unwrap();
    let saved = repo.undo().unwrap().restored.saved.unwrap();
    assert_eq!(state(&repo), before);
    assert_eq!(root_of(&repo, &saved), since);
}

#[test]
fn several_paths_are_one_deed() {
    let (_disk, repo) = new_repo();
    commit(&repo, "first");
    let name = Name::new(b"n1").unwrap();
    let time = Timestamp { secs: 3, nanos: 0 };
    repo.apply(&Op::Link { ino: FILE, parent: Ino::ROOT, name, time }).unwrap();
    let second = commit(&repo, "second");
    for name in [b"n0", b"n1"] {
        let name = Name::new(name).unwrap();
        repo.apply(&Op::Unlink { parent: Ino::ROOT, name, time }).unwrap();
    }
    let before = state(&repo);
    let restored = repo.restore(&RestoreRequest::parse("HEAD:n0\0n1\0n1")).unwrap();
    assert_eq!(restored.paths, 2);
    let ino = |name: &[u8]| {
        let found =
            repo.look(|tree| tree.lookup(Ino::ROOT, &Name::new(name).unwrap(), repo.source()));
        found.unwrap().unwrap().ino
    };
    assert_eq!(ino(b"n0"), ino(b"n1"), "both are one file again");
    let tied = repo.restore(&RestoreRequest::parse("HEAD~1:n0\0n1"));
    assert_eq!(tied.unwrap().paths, 0);
    assert_eq!(deeds(&repo)[2..], ["3 restore 2 true", "4 restore 2 true"]);
    repo.undo().unwrap();
    repo.undo().unwrap();
    assert_eq!(state(&repo), before);
    assert_eq!(repo.undo().unwrap().deed.after, Some(second));
}

#[test]
fn the_log_survives_whatever_the_tree_does() {
    let (disk, repo) = new_repo();
    commit(&repo, "first");
    let name = TagName::new("v1").unwrap();
    let tag = |change| TagRequest { name: name.clone(), change };
    repo.tag(&tag(TagChange::Make("HEAD".to_owned()))).unwrap();
    commit(&repo, "second");
    repo.restore(&RestoreRequest::parse("v1")).unwrap();
    repo.tag(&tag(TagChange::Delete)).unwrap();
    repo.undo().unwrap();
    repo.undo().unwrap();
    let expected = [
        "1 commit",
        "2 tag v1 false",
        "3 commit",
        "4 restore 0 false",
        "5 tag v1 true",
        "6 undo 4 false",
        "7 undo 3 false",
    ];
    assert_eq!(deeds(&repo), expected);
    repo.sync().unwrap();
    for disk in [disk.after_kill(), disk.after_power_loss(1)] {
        assert_eq!(deeds(&open(&disk).unwrap()), expected);
    }
    repo.close().unwrap();
    drop(repo);
    let repo = open(&disk).unwrap();
    assert_eq!(deeds(&repo), expected);
    assert_eq!(repo.history().deeds(2).unwrap(), repo.deeds(2).unwrap());
    assert_eq!(repo.undo().unwrap().number, 1);
}

#[test]
fn a_long_log_forgets_its_beginning_and_is_collected() {
    let (disk, repo) = new_repo();
    let request = CommitRequest { allow_empty: true, ..CommitRequest::default() };
    for number in 1..=DEEDS_MAX as u64 + 100 {
        repo.commit(&request).unwrap();
        if number % 97 == 0 {
            repo.checkpoint().unwrap();
        }
    }
    let kept = deeds(&repo);
    assert!(kept.len() <= DEEDS_MAX && kept.len() > DEEDS_MAX - 40, "{}", kept.len());
    assert_eq!(kept.last().unwrap(), "1124 commit");
    // What is left of it survives a collection.
    repo.gc(&GcRequest::default()).unwrap();
    repo.close().unwrap();
    drop(repo);
    let repo = open(&disk).unwrap();
    assert_eq!(deeds(&repo), kept);
    // What is taken back is a deed as well, and lets others be forgotten.
    let undone = (0..).map_while(|_| repo.undo().ok()).last().unwrap();
    assert!((600..640).contains(&undone.number), "{undone:?}");
    assert!(matches!(repo.undo(), Err(RepoError::NothingToUndo)));
}

#[test]
fn what_a_collection_dropped_cannot_be_brought_back() {
    let (_disk, repo) = new_repo();
    let first = commit(&repo, "first");
    commit(&repo, "second");
    commit(&repo, "third");
    let retention = Retention { last: Some(1), ..Retention::default() };
    let report = repo.gc(&GcRequest { retention, ..GcRequest::default() }).unwrap();
    assert_eq!(report.commits_dropped, 2);
    assert_eq!(deeds(&repo).last().unwrap(), "4 collect 2");
    let before = state(&repo);
    assert!(matches!(repo.undo(), Err(RepoError::Dropped { commit }) if commit != first));
    assert_eq!(state(&repo), before);
    // A restore can be taken back all the same, as the newest commit has what it replaced.
    write(&repo, "fourth, in no commit");
    let before = state(&repo);
    repo.restore(&RestoreRequest::parse("HEAD")).unwrap();
    repo.gc(&GcRequest { retention, ..GcRequest::default() }).unwrap();
    repo.undo().unwrap();
    assert_eq!(state(&repo), before);
}

#[test]
fn whatever_there_was_before_a_restore_comes_back() {
    for seed in 500..500 + seeds(20) {
        let disk = new_disk();
        let mut repo = Some(open(&disk).unwrap());
        let mut promises = Promises::default();
        for action in Actions::list(seed, 40) {
            act(&disk, &mut repo, &action, &mut promises).unwrap();
            let repo = repo.as_ref().unwrap();
            if !matches!(action, Action::Commit { .. }) {
                continue;
            }
            let (before, ignored) = (state(repo), repo.ignored().unwrap());
            for revision in ["HEAD~1", "HEAD~2:n1", "HEAD~3"] {
                promises.restores += 2;
                if repo.restore(&RestoreRequest::parse(revision)).is_err() {
                    continue;
                }
                let came_to_be_ignored =
                    repo.ignored().unwrap().iter().any(|path| !ignored.contains(path));
                repo.undo().unwrap();
                if came_to_be_ignored {
                    // It was left alone, also by what ties the names of one file together.
                    assert_eq!(repo.status().unwrap(), [], "seed {seed}, {revision}");
                    break;
                }
                assert_eq!(state(repo), before, "seed {seed}, {revision}");
            }
        }
    }
}

#[test]
fn tags_are_made_moved_and_deleted_with_what_was_before_told() {
    let (_disk, repo) = new_repo();
    let first = commit(&repo, "first");
    let second = commit(&repo, "second");
    let name = TagName::new("v1").unwrap();
    let tag = |change| repo.tag(&TagRequest { name: name.clone(), change });
    let make = |revision: &str| tag(TagChange::Make(revision.to_owned()));
    let made = make("HEAD~1").unwrap();
    assert_eq!((made.from, made.to), (None, Some(first)));
    assert!(matches!(make("HEAD"), Err(RepoError::TagExists { .. })));
    assert_eq!(repo.history().resolve("v1", None).unwrap(), first);
    let moved = tag(TagChange::Move("HEAD".to_owned())).unwrap();
    assert_eq!((moved.from, moved.to), (Some(first), Some(second)));
    let deleted = tag(TagChange::Delete).unwrap();
    assert_eq!((deleted.from, deleted.to), (Some(second), None));
    assert!(matches!(tag(TagChange::Delete), Err(RepoError::NoTag { .. })));
    assert!(matches!(make("none"), Err(RepoError::Revision(_))));
}
