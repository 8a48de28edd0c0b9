//! A repository in many schedules of those who write, commit, store, collect and close.
//!
//! What holds in all of them: every operation and every commit that was acknowledged is there for
//! the next process, wherever this one is killed, and after a sync also wherever the power goes.
//! And nobody waits for ever, so the order of the locks is kept.

use std::sync::{Arc, Mutex as Plain};

use shuttle::thread::{self, JoinHandle};

use super::world::{dump, new_disk, open};
use crate::base::disk::sim::SimDisk;
use crate::base::sync::atomic::Ordering;
use crate::base::sync::{Schedules, explore};
use crate::format::journal::put_ops_header;
use crate::format::op::put_op;
use crate::journal::{RecordBuffer, Urgency};
use crate::model::{CommitId, FileKind, Ino, Name, NewNode, Op, Timestamp};
use crate::repo::{CommitRequest, GcRequest, Repo};
use crate::worktree::Body;

/// More than is written to the journal under the lock that orders the operations.
const LARGE: usize = 17 * 1024;

const TIME: Timestamp = Timestamp { secs: 5, nanos: 0 };
/// Who takes so many steps lets others come to where they have to wait.
const LONG: usize = 200;

/// What was acknowledged, behind locks that are no step of a schedule.
#[derive(Clone, Default)]
struct Promises {
    /// Names of files with their lengths.
    files: Vec<(&'static str, usize)>,
    commits: Vec<CommitId>,
}

struct World {
    disk: SimDisk,
    repo: Repo,
    promises: Plain<Promises>,
}

impl World {
    fn new() -> Arc<Self> {
        let disk = new_disk();
        let repo = open(&disk).unwrap();
        Arc::new(Self { disk, repo, promises: Plain::default() })
    }

    fn spawn(self: &Arc<Self>, run: impl FnOnce(&Self) + Send + 'static) -> JoinHandle<()> {
        let world = Arc::clone(self);
        thread::spawn(move || run(&world))
    }

    fn create(name: &str, ino: Ino) -> Op {
        let target = Box::default();
        let kind = FileKind::Regular;
        let node = NewNode { kind, perm: 0o644, uid: 1, gid: 1, rdev: 0, target };
        let (parent, name) = (Ino::ROOT, Name::new(name.as_bytes()).unwrap());
        Op::Create { parent, name, ino, node, time: TIME }
    }

    fn write(&self, name: &'static str, len: usize) {
        let ino = self.repo.update(|edit| Ok(edit.allocate_ino())).unwrap();
        self.repo.apply(&Self::create(name, ino)).unwrap();
        let data = name.as_bytes().repeat(len).into();
        let op = Op::Write { ino, offset: 0, data, kill_priv: false, time: TIME };
        self.repo.apply(&op).unwrap();
        self.promises.lock().unwrap().files.push((name, name.len() * len));
    }

    fn commit(&self, durable: bool) {
        let request = CommitRequest { durable, allow_empty: true, ..CommitRequest::default() };
        let id = self.repo.commit(&request).unwrap();
        self.promises.lock().unwrap().commits.push(id);
    }

    /// Opens what is left of `disk`, which was copied after `promises` were.
    fn check(disk: &SimDisk, promises: &Promises, what: &str) {
        let repo = open(disk).unwrap();
        let found = dump(&repo);
        for (name, len) in &promises.files {
            let text = found.get(&format!("/{name}")).expect(what);
            assert!(text.contains(&format!(" {len} bytes")), "{what}: {name} is {text}");
        }
        repo.write_commits().unwrap();
        let listed = repo.store().commits().records();
        for id in &promises.commits {
            assert!(listed.iter().any(|record| record.id == *id), "{what}: {id:?} is lost");
        }
    }

    fn promised(&self) -> Promises {
        self.promises.lock().unwrap().clone()
    }

    fn check_kill(&self) {
        let promised = self.promised();
        Self::check(&self.disk.after_kill(), &promised, "a kill");
    }

    fn sync(&self) {
        let promised = self.promised();
        self.repo.sync().unwrap();
        // With this seed all is lost that can be.
        Self::check(&self.disk.after_power_loss(0), &promised, "a power loss");
    }
}

fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn writers_committers_checkpoints_and_a_collection_lose_nothing() {
    explore(Schedules(100), || {
        let world = World::new();
        let threads = [
            world.spawn(|world| {
                world.write("a", 10);
                world.commit(false);
                world.write("b", LARGE);
            }),
            world.spawn(|world| {
                world.write("c", LARGE);
                world.commit(true);
                world.sync();
            }),
            world.spawn(|world| {
                world.repo.journal().prepare().unwrap();
                world.repo.checkpoint().unwrap();
                world.repo.write_commits().unwrap();
            }),
            world.spawn(|world| {
                let request = GcRequest { repack: true, ..GcRequest::default() };
                world.repo.gc(&request).unwrap();
            }),
            world.spawn(World::check_kill),
        ];
        join(threads);
        world.check_kill();
        world.sync();
    });
}

#[test]
fn a_close_loses_nothing_that_is_done_meanwhile() {
    explore(Schedules(100), || {
        let world = World::new();
        let threads = [
            world.spawn(|world| {
                world.write("a", 10);
                world.write("b", LARGE);
                world.commit(false);
            }),
            world.spawn(|world| world.repo.close().unwrap()),
            world.spawn(World::check_kill),
        ];
        join(threads);
        world.check_kill();
        world.sync();
    });
}

#[test]
fn a_close_waits_for_who_has_room_in_the_journal_and_no_record_yet() {
    explore(Schedules(100), || {
        let world = World::new();
        world.write("a", 10);
        let states = |world: &World| world.repo.store().states().states().unwrap().len();
        let before = states(&world);
        let threads = [
            world.spawn(move |world| {
                // From then on the close knows how far the journal goes.
                while states(world) == before {
                    thread::yield_now();
                }
                let created = world.repo.update(|edit| {
                    (0..LONG).for_each(|_| thread::yield_now());
                    let ino = edit.allocate_ino();
                    edit.apply(&World::create("b", ino))
                });
                created.unwrap();
                world.promises.lock().unwrap().files.push(("b", 0));
            }),
            world.spawn(|world| world.repo.close().unwrap()),
        ];
        join(threads);
        world.check_kill();
        world.sync();
    });
}

#[test]
fn a_commit_waits_for_the_payloads_of_all_that_is_in_it() {
    explore(Schedules(100), || {
        let world = World::new();
        let ino = world.repo.update(|edit| Ok(edit.allocate_ino())).unwrap();
        world.repo.apply(&World::create("a", ino)).unwrap();
        let has_all = move |world: &World| {
            world.repo.look(|tree| match &tree.find(ino).unwrap().body {
                Body::File(file) => file.size() == LARGE as u64,
                _ => false,
            })
        };
        let threads = [
            // As `Repo::apply` does it, but for the time that the payload takes.
            world.spawn(move |world| {
                let data: Arc<[u8]> = vec![7; LARGE].into();
                let sum = crc32c::crc32c(&data);
                let bytes = data.clone();
                let op = Op::Write { ino, offset: 0, data: bytes, kill_priv: false, time: TIME };
                let journal = world.repo.journal();
                let mut record = RecordBuffer::new();
                let ticket = {
                    let mut live = world.repo.live.write();
                    journal.reserve(LARGE as u64, Urgency::Ordinary).unwrap();
                    live.apply(&op, world.repo.source()).unwrap();
                    world.repo.changes.fetch_add(1, Ordering::Release);
                    put_ops_header(record.fields(), None, 1);
                    put_op(record.fields(), live.place_of(ino), &op);
                    journal.append(&mut record, &data, sum, 1).unwrap()
                };
                (0..LONG).for_each(|_| thread::yield_now());
                journal.complete(ticket.expect("it is long"), &data).unwrap();
            }),
            world.spawn(move |world| {
                while !has_all(world) {
                    thread::yield_now();
                }
                world.commit(false);
                // With the commit what is in it is promised.
                world.promises.lock().unwrap().files.push(("a", LARGE));
                world.check_kill();
            }),
        ];
        join(threads);
        world.check_kill();
    });
}
