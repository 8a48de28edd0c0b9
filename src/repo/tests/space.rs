//! How much disk a store takes: what nothing leads to goes away by itself.

use std::sync::Arc;

use super::world::dump;
use crate::base::limits::PACKS_SMALL_MAX;
use crate::model::{FileKind, Ino, Name, NewNode, Op, Timestamp};
use crate::repo::{CommitRequest, GcRequest, Repo, RepoOptions, Retention};
use crate::store::ObjectStore;

const FILE_BYTES: usize = 1 << 20;
const SLACK_BYTES: u64 = 4 << 20;

fn open(dir: &std::path::Path) -> Repo {
    let options = RepoOptions { space_slack_bytes: SLACK_BYTES, ..RepoOptions::default() };
    Repo::open(dir, options).expect("it can be opened")
}

fn create(repo: &Repo) -> Ino {
    let ino = repo.update(|edit| Ok(edit.allocate_ino())).expect("a number");
    let node = NewNode {
        kind: FileKind::Regular,
        perm: 0o600,
        uid: 1,
        gid: 1,
        rdev: 0,
        target: Box::default(),
    };
    let name = Name::new(b"file").expect("a name");
    let time = Timestamp { secs: 1, nanos: 0 };
    repo.apply(&Op::Create { parent: Ino::ROOT, name, ino, node, time }).expect("it is made");
    ino
}

/// Replaces the content with bytes that no compression shortens.
fn write(repo: &Repo, ino: Ino, seed: u64) {
    let mut bytes = vec![0; FILE_BYTES];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    let data: Arc<[u8]> = bytes.into();
    let time = Timestamp { secs: 2, nanos: 0 };
    let op = Op::Write { ino, offset: 0, data, kill_priv: false, time };
    repo.apply(&op).expect("it is written");
}

#[test]
fn what_checkpoints_leave_behind_is_collected_when_there_is_much_of_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let repo = open(&dir.path().join("store"));
    let ino = create(&repo);
    let mut collections = 0;
    for seed in 0..40 {
        write(&repo, ino, seed);
        repo.checkpoint().expect("there is room");
        let before = repo.packs().disk_bytes();
        repo.collect_if_worthwhile().expect("nothing fails");
        let after = repo.packs().disk_bytes();
        collections += u64::from(after < before);
        let most = repo.packs_bytes_max();
        assert!(after <= most, "{after} bytes, {most} at most, in round {seed}");
        assert!(most <= SLACK_BYTES + 2 * FILE_BYTES as u64, "{most} in round {seed}");
    }
    assert!((3..20).contains(&collections), "{collections} collections in 40 rounds");
    let expected = dump(&repo);
    repo.close().expect("it can be closed");
    drop(repo);
    let repo = open(&dir.path().join("store"));
    assert_eq!(dump(&repo), expected);
    let live = repo.store().space().live_bytes();
    assert!((FILE_BYTES as u64..2 * FILE_BYTES as u64).contains(&live), "{live} bytes are live");
}

#[test]
fn what_a_commit_holds_is_not_garbage_until_the_commit_is_dropped() {
    let dir = tempfile::tempdir().expect("a directory");
    let repo = open(&dir.path().join("store"));
    let ino = create(&repo);
    for seed in 0..10 {
        write(&repo, ino, seed);
        repo.commit(&CommitRequest::default()).expect("a commit");
    }
    let all = repo.gc(&GcRequest::default()).expect("nothing fails");
    assert_eq!((all.commits_kept, all.commits_dropped), (10, 0));
    assert!(all.packs.bytes_after > 10 * FILE_BYTES as u64, "{all:?}");
    let retention = Retention { last: Some(3), ..Retention::default() };
    let request = GcRequest { retention, ..GcRequest::default() };
    let some = repo.gc(&request).expect("nothing fails");
    assert_eq!((some.commits_kept, some.commits_dropped), (3, 7));
    assert!(some.packs.bytes_after < 4 * FILE_BYTES as u64, "{some:?}");
    assert!(some.packs.freed() > 6 * FILE_BYTES as u64, "{some:?}");
    // Nothing is left to be done, and so nothing is copied but the state, which has been written
    // anew to tell of the commits that were dropped.
    let none = repo.gc(&request).expect("nothing fails");
    assert_eq!(none.commits_dropped, 0);
    assert!(none.packs.objects_copied <= 1, "{none:?}");
}

#[test]
fn packs_of_many_short_sessions_are_merged() {
    const SESSIONS: usize = 30;
    let dir = tempfile::tempdir().expect("a directory");
    let store = dir.path().join("store");
    let mut packs_most = 0;
    for n in 0..SESSIONS {
        let repo = open(&store);
        let name = Name::new(format!("{n}").as_bytes()).expect("a name");
        let ino = repo.update(|edit| Ok(edit.allocate_ino())).expect("a number");
        let target = Box::default();
        let node =
            NewNode { kind: FileKind::Directory, perm: 0o700, uid: 1, gid: 1, rdev: 0, target };
        let time = Timestamp { secs: 1, nanos: 0 };
        repo.apply(&Op::Create { parent: Ino::ROOT, name, ino, node, time }).expect("it is made");
        repo.commit(&CommitRequest::default()).expect("a commit");
        repo.collect_if_worthwhile().expect("nothing fails");
        repo.close().expect("it can be closed");
        packs_most = packs_most.max(repo.packs().stats().packs);
    }
    assert!(packs_most <= PACKS_SMALL_MAX as u64 + 2, "{packs_most} packs");
    let repo = open(&store);
    assert_eq!(dump(&repo).len(), SESSIONS + 1);
    assert_eq!(repo.store().commits().records().len(), SESSIONS);
}
