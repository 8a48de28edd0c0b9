//! Commits that nobody asked for: made when something changed, and then only.

use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use super::world::{new_disk, open};
use crate::model::{AutoCommit, FileKind, Ino, Name, NewNode, Op, Timestamp};
use crate::repo::{AUTO_COMMIT_MESSAGE, CommitRequest, Repo, RestoreRequest};

fn make(repo: &Repo, name: &str) -> Ino {
    let ino = repo.update(|edit| Ok(edit.allocate_ino())).expect("a number");
    let (kind, target) = (FileKind::Regular, Box::default());
    let node = NewNode { kind, perm: 0o600, uid: 1, gid: 1, rdev: 0, target };
    let (name, time) = (Name::new(name.as_bytes()).expect("a name"), Timestamp::now());
    repo.apply(&Op::Create { parent: Ino::ROOT, name, ino, node, time }).expect("it is made");
    ino
}

fn write(repo: &Repo, ino: Ino, text: &[u8]) {
    let (data, time) = (text.into(), Timestamp { secs: 5, nanos: 0 });
    repo.apply(&Op::Write { ino, offset: 0, data, kill_priv: false, time }).expect("it is a file");
}

/// Commits if anything changed, which it has not.
#[track_caller]
fn assert_idle(repo: &Repo) {
    let (head, records) = (repo.head(), repo.journal().stats().records);
    assert_eq!(repo.commit_automatically().expect("nothing fails"), None);
    assert_eq!(repo.head(), head);
    assert_eq!(repo.journal().stats().records, records, "it leaves no trace");
}

#[test]
fn a_commit_is_made_when_something_changed_and_only_then() {
    let disk = new_disk();
    let repo = open(&disk).expect("an empty disk");
    assert_idle(&repo);
    let ino = make(&repo, "file");
    let first = repo.commit_automatically().expect("nothing fails").expect("there is a file");
    assert_eq!(repo.head(), Some(first));
    assert_idle(&repo);
    write(&repo, ino, b"one");
    repo.hash().expect("nothing fails");
    repo.checkpoint().expect("nothing fails");
    let second =
        repo.commit_automatically().expect("nothing fails").expect("hashed is not committed");
    repo.write_commits().expect("there is room");
    let commit = repo.history().commit(&second).expect("it is in the store");
    assert_eq!((&*commit.message, &commit.parents[..]), (AUTO_COMMIT_MESSAGE, &[first][..]));
    repo.checkpoint().expect("nothing fails");
    assert_idle(&repo);
    // Written as it was, and at the same time: the tree is the same, which is found out once.
    write(&repo, ino, b"one");
    assert_eq!(repo.commit_automatically().expect("nothing fails"), None);
    assert_idle(&repo);
    write(&repo, ino, b"two");
    repo.commit(&CommitRequest::default()).expect("a commit");
    assert_idle(&repo);
}

#[test]
fn a_restore_and_an_undo_leave_something_to_commit_where_the_tree_is_not_the_heads() {
    let disk = new_disk();
    let repo = open(&disk).expect("an empty disk");
    let ino = make(&repo, "file");
    let first = repo.commit_automatically().expect("nothing fails").expect("there is a file");
    write(&repo, ino, b"one");
    let second = repo.commit(&CommitRequest::default()).expect("a commit");
    let restore = |text: String| repo.restore(&RestoreRequest::parse(&text)).expect("it is there");
    restore(first.to_string());
    assert_eq!(repo.commit_automatically().expect("nothing fails"), None, "the head moved too");
    assert_eq!(repo.head(), Some(first));
    assert_idle(&repo);
    restore(format!("{second}:file"));
    assert_eq!(repo.head(), Some(first));
    assert!(repo.commit_automatically().expect("nothing fails").is_some());
    assert_idle(&repo);
    repo.undo().expect("a commit can be taken back");
    assert!(repo.commit_automatically().expect("nothing fails").is_some());
    assert_idle(&repo);
}

#[test]
fn after_a_start_the_tree_is_compared_with_the_head_once() {
    let disk = new_disk();
    let repo = open(&disk).expect("an empty disk");
    let ino = make(&repo, "file");
    repo.commit_automatically().expect("nothing fails").expect("there is a file");
    let repo = open(&disk.after_kill()).expect("it can be opened");
    assert_eq!(repo.commit_automatically().expect("nothing fails"), None);
    assert_idle(&repo);
    write(&repo, ino, b"one");
    assert!(repo.commit_automatically().expect("nothing fails").is_some());
    assert_idle(&repo);
}

#[test]
fn what_could_not_be_committed_is_committed_the_next_time() {
    let disk = new_disk();
    let repo = open(&disk).expect("an empty disk");
    make(&repo, "file");
    disk.fail_from(Some(disk.steps()), Errno::IO);
    repo.commit_automatically().expect_err("the disk fails");
    assert_eq!(repo.head(), None);
    disk.mend();
    repo.checkpoint().expect("the disk has been mended");
    let made = repo.commit_automatically().expect("nothing fails");
    assert!(made.is_some() && made == repo.head());
}

#[test]
fn the_thread_that_commits_ends_when_the_repository_is_closed() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = crate::repo::RepoOptions::default();
    let repo = Arc::new(Repo::open(&dir.path().join("store"), options).expect("it can be opened"));
    // It cannot come to commit: what is looked at is that nobody waits for that.
    let every = AutoCommit::Every(Duration::from_secs(u64::from(u32::MAX)));
    repo.start_auto_commit(Some(every)).expect("there are threads");
    make(&repo, "file");
    repo.close().expect("it can be closed");
    assert_eq!((repo.head(), Arc::weak_count(&repo)), (None, 0), "the thread is gone");
    repo.start_auto_commit(None).expect("there are threads");
    repo.configure(&"auto-commit 1h".parse().expect("a request")).expect("it can be set");
    repo.close().expect("it can be closed");
    assert_eq!(Arc::weak_count(&repo), 0, "the thread is gone");
}
