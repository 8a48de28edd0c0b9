//! The journal in many schedules of those who append, sync, prepare, cut and close.
//!
//! What holds in all of them: what was acknowledged is found after a kill, and what was there when
//! a sync was asked for that succeeded, after a power loss; unless a durable state has it. Nothing
//! is found that was not done, or in another order. And nobody waits for ever.

use std::path::Path;
use std::sync::{Arc, Mutex as Plain};

use shuttle::thread::{self, JoinHandle};

use super::{START, write};
use crate::base::disk::sim::SimDisk;
use crate::base::limits::{JOURNAL_PAYLOAD_BYTES_INLINE, JOURNAL_SEGMENT_BYTES_MIN};
use crate::base::sync::{Mutex, Schedules, explore};
use crate::format::journal::{Record, put_ops_header};
use crate::format::op::put_op;
use crate::format::worktree::JournalPosition;
use crate::journal::{Journal, JournalError, RecordBuffer, Urgency};
use crate::model::Op;

/// A payload that is written without the lock that orders the operations.
const LARGE: usize = JOURNAL_PAYLOAD_BYTES_INLINE + 1;

/// What only the test knows is behind locks that are no step of a schedule.
struct World {
    disk: SimDisk,
    journal: Journal,
    /// The lock that orders the operations, and all that were done.
    order: Mutex<Vec<Op>>,
    done: Plain<Vec<Op>>,
    acknowledged: Plain<Vec<Op>>,
    /// Held by the one who makes a checkpoint.
    storing: Mutex<()>,
    /// The durable state: how many operations it has, and what comes after them.
    saved: Plain<(usize, JournalPosition)>,
}

/// What the next process finds.
fn find(disk: &SimDisk, from: JournalPosition) -> Vec<Op> {
    let mut ops = Vec::new();
    let found = Journal::recover(&disk.handle(), Path::new("/"), from, |record| {
        if let Record::Ops(_, located) = record {
            ops.extend(located.into_iter().map(|located| located.op));
        }
        Ok::<(), JournalError>(())
    });
    found.unwrap();
    ops
}

impl World {
    fn new() -> Arc<Self> {
        let disk = SimDisk::new(Path::new("/"));
        let nothing = |_| Ok::<(), JournalError>(());
        let journal = Journal::recover(&disk.handle(), Path::new("/"), START, nothing).unwrap().0;
        Arc::new(Self {
            disk,
            journal,
            order: Mutex::default(),
            done: Plain::default(),
            acknowledged: Plain::default(),
            storing: Mutex::default(),
            saved: Plain::new((0, START)),
        })
    }

    fn spawn(self: &Arc<Self>, run: impl FnOnce(&Self) + Send + 'static) -> JoinHandle<()> {
        let world = Arc::clone(self);
        thread::spawn(move || run(&world))
    }

    /// Does an operation. It wants this much room, so that it may need a segment of its own, and
    /// lets others take so many steps before its payload comes.
    fn append_with(&self, n: u64, len: usize, room: u64, pause: usize) -> Result<(), JournalError> {
        let op = write(n, len);
        let Op::Write { data, .. } = &op else { unreachable!() };
        let mut record = RecordBuffer::new();
        put_ops_header(record.fields(), None, 1);
        put_op(record.fields(), None, &op);
        let ticket = {
            let mut order = self.order.lock();
            self.journal.reserve(room, Urgency::Ordinary)?;
            order.push(op.clone());
            self.done.lock().unwrap().push(op.clone());
            self.journal.append(&mut record, data, crc32c::crc32c(data), 1)?
        };
        if let Some(ticket) = ticket {
            (0..pause).for_each(|_| thread::yield_now());
            self.journal.complete(ticket, data)?;
        }
        self.acknowledged.lock().unwrap().push(op);
        Ok(())
    }

    fn append(&self, n: u64, len: usize) -> Result<(), JournalError> {
        self.append_with(n, len, len as u64, 0)
    }

    fn checkpoint(&self) -> Result<(), JournalError> {
        let _storing = self.storing.lock();
        let (point, done) = {
            let order = self.order.lock();
            (self.journal.point()?, order.len())
        };
        *self.saved.lock().unwrap() = (done, point.position);
        self.journal.cut(&point)
    }

    /// Makes checkpoints until one is made: a disk that fails may fail that too.
    fn mend(&self) {
        while self.checkpoint().is_err() {
            thread::yield_now();
        }
    }

    /// Checks what is left of the disk, which `end` tells.
    fn check(&self, end: impl Fn(&SimDisk) -> SimDisk, promised: &[Op], what: &str) {
        // The disk of a moment at which that was the durable state.
        let (saved, from, disk) = loop {
            let saved = *self.saved.lock().unwrap();
            let disk = end(&self.disk);
            if *self.saved.lock().unwrap() == saved {
                break (saved.0, saved.1, disk);
            }
        };
        let found = find(&disk, from);
        let done = self.done.lock().unwrap().clone();
        let mut rest = done[saved..].iter();
        for op in &found {
            assert!(rest.any(|other| other == op), "{what}: found what was not done, or not then");
        }
        for op in promised {
            let is_there = done[..saved].contains(op) || found.contains(op);
            assert!(is_there, "{what}: a write is lost, {} are found", found.len());
        }
    }

    fn check_kill(&self) {
        let promised = self.acknowledged.lock().unwrap().clone();
        self.check(SimDisk::after_kill, &promised, "a kill");
    }

    /// Syncs, and checks that all that was acknowledged before is durable.
    fn sync(&self) -> Result<(), JournalError> {
        let promised = self.acknowledged.lock().unwrap().clone();
        self.journal.sync()?;
        // With this seed all is lost that can be.
        self.check(|disk| disk.after_power_loss(0), &promised, "a power loss");
        Ok(())
    }
}

fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn what_is_acknowledged_survives_a_kill_and_what_is_synced_a_power_loss() {
    explore(Schedules(100), || {
        let world = World::new();
        let threads = [
            world.spawn(|world| {
                world.append(1, 10).unwrap();
                world.append(2, LARGE).unwrap();
                world.sync().unwrap();
            }),
            world.spawn(|world| {
                world.append(11, LARGE).unwrap();
                world.sync().unwrap();
                // In a segment of its own.
                world.append_with(12, 10, JOURNAL_SEGMENT_BYTES_MIN, 0).unwrap();
                world.sync().unwrap();
            }),
            world.spawn(|world| {
                world.journal.prepare().unwrap();
                world.journal.prepare().unwrap();
            }),
            world.spawn(|world| {
                world.checkpoint().unwrap();
                world.checkpoint().unwrap();
            }),
            world.spawn(World::check_kill),
        ];
        join(threads);
        world.check_kill();
        world.sync().unwrap();
    });
}

#[test]
fn a_sync_vouches_for_nothing_that_has_yet_to_come() {
    explore(Schedules(100), || {
        let world = World::new();
        let threads = [
            world.spawn(|world| world.append_with(1, LARGE, LARGE as u64, 30).unwrap()),
            world.spawn(|world| {
                thread::yield_now();
                world.append_with(2, LARGE, LARGE as u64, 100).unwrap();
            }),
            world.spawn(|world| {
                world.append(3, 10).unwrap();
                world.sync().unwrap();
                world.check_kill();
            }),
        ];
        join(threads);
        world.check_kill();
    });
}

#[test]
fn those_who_sync_together_leave_nobody_waiting() {
    explore(Schedules(100), || {
        let world = World::new();
        let syncs = |n: u64| {
            move |world: &World| {
                world.append(n, if n == 2 { LARGE } else { 10 }).unwrap();
                world.sync().unwrap();
            }
        };
        join([1, 2, 3, 4].map(|n| world.spawn(syncs(n))));
        let syncs = world.journal.stats().syncs;
        assert!((1..=4).contains(&syncs), "{syncs} syncs");
        assert!(!world.journal.wants_sync());
    });
}

#[test]
fn a_close_drops_nothing_that_is_appended_meanwhile() {
    explore(Schedules(100), || {
        let world = World::new();
        world.append(1, 10).unwrap();
        let threads = [
            world.spawn(|world| {
                world.append(2, 10).unwrap();
                world.append(3, LARGE).unwrap();
                world.sync().unwrap();
            }),
            world.spawn(|world| {
                let (point, done) = {
                    let order = world.order.lock();
                    (world.journal.point().unwrap(), order.len())
                };
                *world.saved.lock().unwrap() = (done, point.position);
                world.journal.cut(&point).unwrap();
                world.journal.close(&point, world.order.lock()).unwrap();
            }),
            world.spawn(World::check_kill),
        ];
        join(threads);
        world.check_kill();
        world.sync().unwrap();
    });
}

#[test]
fn after_a_failed_sync_nothing_is_promised_until_a_checkpoint_has_mended_it() {
    explore(Schedules(100), || {
        let world = World::new();
        let work = |n: u64| {
            move |world: &World| {
                for n in [n, n + 1] {
                    let done = world.append(n, if n % 2 == 0 { LARGE } else { 10 });
                    if done.and_then(|()| world.sync()).is_err() {
                        world.mend();
                    }
                }
            }
        };
        let threads = [
            world.spawn(work(1)),
            world.spawn(work(12)),
            world.spawn(|world| {
                world.disk.set_fail_syncs(true);
                // Lets others run into it.
                thread::yield_now();
                thread::yield_now();
                world.disk.set_fail_syncs(false);
            }),
        ];
        join(threads);
        // One may be left that others ran into while it was mended.
        while world.append(20, 10).is_err() {
            world.mend();
        }
        world.sync().unwrap();
    });
}
