//! Files without a name: what was written to them survives if they are named, and is gone if not.

use super::world::{new_disk, open};
use crate::base::disk::sim::SimDisk;
use crate::model::{FileKind, Ino, Name, NewNode, Op, Timestamp};
use crate::repo::{CommitRequest, Repo};

const FILE: Ino = Ino(100);

fn time(secs: i64) -> Timestamp {
    Timestamp { secs, nanos: 0 }
}

fn make(repo: &Repo) {
    let (kind, target) = (FileKind::Regular, Box::default());
    let node = NewNode { kind, perm: 0o600, uid: 1, gid: 1, rdev: 0, target };
    repo.apply(&Op::CreateNameless { ino: FILE, node, time: time(1) }).unwrap();
    write(repo, 0, b"written before");
}

fn write(repo: &Repo, offset: u64, data: &[u8]) {
    let (data, time) = (data.into(), time(2));
    repo.apply(&Op::Write { ino: FILE, offset, data, kill_priv: false, time }).unwrap();
}

fn link(repo: &Repo) {
    let (parent, name) = (Ino::ROOT, Name::new(b"name").unwrap());
    repo.apply(&Op::Link { ino: FILE, parent, name, time: time(3) }).unwrap();
}

fn reopened(disk: &SimDisk, repo: Repo) -> Repo {
    // Without a word to it, as after a kill.
    drop(repo);
    open(disk).unwrap()
}

/// What the file has under its name.
fn read(repo: &Repo) -> Vec<u8> {
    let name = Name::new(b"name").unwrap();
    let inode = repo.update(|edit| {
        let found = edit.lookup(Ino::ROOT, &name)?.expect("it has its name");
        assert_eq!(found.ino, FILE);
        edit.load(Ino::ROOT, &name, &found)?;
        Ok(edit.find(FILE).unwrap().clone())
    });
    let inode = inode.unwrap();
    let mut bytes = vec![0; inode.size() as usize];
    inode.file().unwrap().read(0, &mut bytes, repo.source()).unwrap();
    bytes
}

#[test]
fn what_was_written_before_the_link_survives_a_kill_whatever_came_between() {
    type Between = fn(&Repo);
    let between: [Between; 4] = [
        |_| {},
        |repo| repo.checkpoint().unwrap(),
        |repo| _ = repo.commit(&CommitRequest::default()).unwrap(),
        |repo| {
            repo.hash_all().unwrap();
            repo.write_commits().unwrap();
            repo.checkpoint().unwrap();
        },
    ];
    for (before, after) in (0..4).flat_map(|a| (0..4).map(move |b| (a, b))) {
        let disk = new_disk();
        let repo = open(&disk).unwrap();
        make(&repo);
        between[before](&repo);
        write(&repo, 8, b"and after");
        between[before](&repo);
        link(&repo);
        between[after](&repo);
        let repo = reopened(&disk, repo);
        assert_eq!(read(&repo), b"written and after", "{before} {after}");
        let repo = reopened(&disk, repo);
        assert_eq!(read(&repo), b"written and after", "{before} {after}, again");
    }
}

#[test]
fn one_that_was_not_named_is_gone_after_a_kill_and_leaves_nothing_behind() {
    for is_saved in [false, true] {
        let disk = new_disk();
        let repo = open(&disk).unwrap();
        let empty = repo.commit(&CommitRequest::default()).unwrap();
        make(&repo);
        if is_saved {
            repo.checkpoint().unwrap();
        }
        assert_eq!(repo.commit(&CommitRequest::default()).unwrap(), empty, "nothing to commit");
        let repo = reopened(&disk, repo);
        assert!(repo.look(|tree| tree.find(FILE).is_none() && tree.dirty_bytes() == 0));
        repo.checkpoint().unwrap();
        assert!(repo.look(|tree| tree.ignored_node().is_none()));
        assert!(repo.look(|tree| tree.next_ino() > FILE.0), "its number is given to no other");
    }
}

#[test]
fn one_that_is_dropped_is_gone_from_the_next_state() {
    let disk = new_disk();
    let repo = open(&disk).unwrap();
    make(&repo);
    repo.checkpoint().unwrap();
    assert!(repo.look(|tree| tree.ignored_node().is_some()));
    repo.apply(&Op::DropOrphan { ino: FILE }).unwrap();
    assert!(repo.look(|tree| tree.ignored_node().is_none() && tree.dirty_bytes() == 0));
    let repo = reopened(&disk, repo);
    assert!(repo.look(|tree| tree.find(FILE).is_none()));
    assert!(repo.ignored().unwrap().is_empty());
}
