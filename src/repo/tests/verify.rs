//! What verification says of stores that are well, however their processes ended.

use std::path::Path;

use super::crash::{run_until, states_of};
use super::world::{
    Action, Actions, DIR, Promises, act, dump, new_disk, open, reach_and_apply, seeds,
};
use crate::base::disk::sim::SimDisk;
use crate::model::{EntryBody, FileKind, Ino, Name, NewNode, Op, Timestamp};
use crate::repo::{CommitRequest, GcRequest, Verified, verify};
use crate::store::Part;
use crate::worktree::CommittedTree;

pub(super) fn verified(disk: &SimDisk) -> Verified {
    verify(&disk.handle(), Path::new(DIR), &|_| {}).expect("it is a store")
}

#[track_caller]
pub(super) fn assert_clean(found: &Verified, what: &str) {
    assert!(found.findings.is_empty() && found.hurt.is_empty(), "{what}: {found:#?}");
}

#[test]
fn nothing_is_found_in_a_store_whose_process_is_at_work_was_killed_or_has_closed_it() {
    for seed in 0..seeds(12) {
        let disk = new_disk();
        let mut repo = Some(open(&disk).expect("an empty disk"));
        let mut promises = Promises::default();
        for (step, action) in Actions::list(seed, 40).into_iter().enumerate() {
            let what = format!("seed {seed}, step {step}, {action:?}");
            act(&disk, &mut repo, &action, &mut promises).expect("nothing fails");
            if step % 4 == 0 {
                assert_clean(&verified(&disk), &what);
                assert_clean(&verified(&disk.after_kill()), &what);
            }
        }
        repo.take().expect("it is open").close().expect("nothing fails");
        let found = verified(&disk);
        assert_clean(&found, "closed");
        assert!(found.read.objects > 0 && found.read.bytes > 0);
    }
}

#[test]
fn nothing_is_found_wherever_the_process_is_killed_and_no_tag_is_missed_after_a_power_loss() {
    for seed in 0..seeds(2) {
        let mut actions = Actions::list(seed + 900, 16);
        let commit = Action::Commit { durable: false };
        actions.extend([commit, Action::Tag, Action::Untag, Action::Tag, Action::Tag]);
        actions.extend([Action::Untag, Action::Tag]);
        let (_, steps) = states_of(&actions);
        for step in (1..steps).step_by(2) {
            let (disk, _) = run_until(&actions, step);
            let what = format!("seed {seed}, step {step}");
            // Before the first checkpoint there may be no store yet.
            let look = |disk: &SimDisk| verify(&disk.handle(), Path::new(DIR), &|_| {}).ok();
            if let Some(found) = look(&disk.after_kill()) {
                assert_clean(&found, &what);
            }
            // What had not been synced may look like damage until the store is opened.
            if let Some(found) = look(&disk.after_power_loss(step)) {
                assert!(found.findings.iter().all(|f| f.part != Part::Ref), "{what}: {found:#?}");
            }
        }
    }
}

#[test]
fn a_file_with_the_bytes_of_a_node_does_not_keep_the_node_from_being_followed() {
    let disk = new_disk();
    let repo = open(&disk).expect("an empty disk");
    let (names, kind) =
        (|text: &str| Name::new(text.as_bytes()).expect("a name"), FileKind::Regular);
    let create = |parent, name: &str, ino, kind| {
        let node = NewNode { kind, perm: 0o755, uid: 1, gid: 1, rdev: 0, target: Box::default() };
        let time = Timestamp { secs: 1, nanos: 0 };
        let op = Op::Create { parent, name: names(name), ino: Ino(ino), node, time };
        reach_and_apply(&repo, &op).expect("there is no such name");
    };
    let write = |ino, data: &[u8]| {
        let time = Timestamp { secs: 2, nanos: 0 };
        let op = Op::Write { ino: Ino(ino), offset: 0, data: data.into(), kill_priv: false, time };
        reach_and_apply(&repo, &op).expect("it is a file");
    };
    create(Ino::ROOT, "n1", 10_000, FileKind::Directory);
    create(Ino(10_000), "n2", 20_000, kind);
    write(20_000, b"reached through the directory alone");
    let id = repo.commit(&CommitRequest::default()).expect("nothing fails");
    repo.checkpoint().expect("nothing fails");
    let root = repo.history().commit(&id).expect("it is there").root;
    let tree = CommittedTree::open(&root, repo.source()).expect("it is there");
    let entry = tree.find(b"n1", repo.source()).expect("it is there").expect("it is there");
    let EntryBody::Directory(Some(node)) = entry.body else { panic!("not a directory: {entry:?}") };
    let bytes = repo.source().get(node.object()).expect("it is there");
    // Comes before the directory, in the order of names and in the order of marking.
    for (name, ino) in [("n0", 30_000), ("n4", 40_000)] {
        create(Ino::ROOT, name, ino, kind);
        write(ino, &bytes);
    }
    repo.commit(&CommitRequest::default()).expect("nothing fails");
    let before = dump(&repo);
    let request = GcRequest { repack: true, ..GcRequest::default() };
    let report = repo.gc(&request).expect("nothing fails");
    assert!(report.packs.packs_removed > 0);
    repo.close().expect("nothing fails");
    drop(repo);
    assert_clean(&verified(&disk), "after a collection");
    assert_eq!(dump(&open(&disk).expect("it is closed")), before);
}
