//! The threads to which queues hand what would wait, so that they themselves can go on.
//!
//! They are begun ahead, by a thread that neither gives way to others nor stays on one CPU, as
//! theirs do who hand them requests: what holds a lock must not have to wait for whoever keeps a
//! CPU busy.
//!
//! Where all are busy, requests wait for each other. That ends: what is waited for here is a disk,
//! or work on one, but for one that restores or takes back. Such a one waits until the kernel has
//! taken note, which may wait for other requests; there can be one of each kind at a time, which
//! leaves threads beside them.
//!
//! Of a request that was given up ([`interrupt`](crate::base::interrupt)) nothing is done if it
//! still waits. One that is being done is told, and ends as it thinks right.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;
use rustix::io::Errno;

use super::encode::Body;
use super::queue::Mailbox;
use super::serve::{Outcome, Server};
use super::uring::Slot;
use crate::base::interrupt::{Interrupt, watching};
use crate::base::limits::{RING_POOL_THREADS, RING_SIGNALS_MAX};

/// A request, and who wants it back.
pub(super) struct Job {
    pub(super) slot: Box<Slot>,
    pub(super) sender: Arc<Mailbox>,
}

/// The threads, which end when nobody can hand them anything any more.
#[derive(Clone)]
pub(super) struct Pool {
    jobs: Arc<Mutex<Jobs>>,
    /// One word for each job that was handed over. No more than there are slots.
    bell: Sender<()>,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<(Job, Arc<Interrupt>)>,
    running: Vec<(u64, Arc<Interrupt>)>,
    /// Requests that are not here, or not yet, and whose askers were sent signals.
    signalled: VecDeque<u64>,
}

impl Job {
    fn unique(&self) -> u64 {
        self.slot.header.entry.commit_id
    }

    fn end(mut self, outcome: Outcome, body: &[u8]) {
        self.slot.put(outcome, body);
        self.sender.put(self.slot);
    }
}

impl Pool {
    /// Begins the threads.
    pub(super) fn begin(server: &Arc<Server>) -> io::Result<Self> {
        let (pool, receiver) = Self::without_threads();
        for _ in 0..RING_POOL_THREADS {
            let (server, jobs) = (Arc::clone(server), Arc::clone(&pool.jobs));
            let (receiver, name) = (receiver.clone(), "ring-pool".to_owned());
            thread::Builder::new().name(name).spawn(move || work(&server, &jobs, &receiver))?;
        }
        Ok(pool)
    }

    fn without_threads() -> (Self, Receiver<()>) {
        let (bell, receiver) = unbounded();
        (Self { jobs: Arc::default(), bell }, receiver)
    }

    /// Has a thread do a job; gives it back if there is none.
    pub(super) fn give(&self, job: Job) -> Result<(), Job> {
        let interrupt = Arc::new(Interrupt::of_thread(job.slot.asker()));
        let unique = job.unique();
        {
            let mut jobs = self.jobs.lock();
            if let Some(at) = jobs.signalled.iter().position(|signalled| *signalled == unique) {
                jobs.signalled.remove(at);
                interrupt.signal();
            }
            jobs.waiting.push_back((job, interrupt));
        }
        if self.bell.send(()).is_ok() {
            return Ok(());
        }
        // Nobody has taken it, unless it was given up meanwhile.
        self.take_waiting(unique).map_or(Ok(()), Err)
    }

    /// Notes that whoever asked for this was sent a signal. If it is given up by that and waits, it
    /// is answered here.
    pub(super) fn interrupt(&self, unique: u64) {
        let waits = {
            let mut jobs = self.jobs.lock();
            let waiting = jobs.waiting.iter().map(|(job, interrupt)| (job.unique(), interrupt));
            let running = jobs.running.iter().map(|(unique, interrupt)| (*unique, interrupt));
            match waiting.chain(running).find(|(known, _)| *known == unique) {
                Some((_, interrupt)) => {
                    interrupt.signal();
                    interrupt.is_given_up()
                }
                None => {
                    // It may be on its way here.
                    jobs.signalled.truncate(RING_SIGNALS_MAX - 1);
                    jobs.signalled.push_front(unique);
                    false
                }
            }
        };
        if waits && let Some(job) = self.take_waiting(unique) {
            job.end(Outcome::Failed(Errno::INTR), &[]);
        }
    }

    fn take_waiting(&self, unique: u64) -> Option<Job> {
        let mut jobs = self.jobs.lock();
        let at = jobs.waiting.iter().position(|(job, _)| job.unique() == unique)?;
        jobs.waiting.remove(at).map(|(job, _)| job)
    }
}

fn work(server: &Server, jobs: &Mutex<Jobs>, bell: &Receiver<()>) {
    let mut body = Body::new();
    for () in bell {
        let (job, interrupt) = {
            let mut jobs = jobs.lock();
            // What the bell rang for may have been given up.
            let Some((job, interrupt)) = jobs.waiting.pop_front() else { continue };
            jobs.running.push((job.unique(), Arc::clone(&interrupt)));
            (job, interrupt)
        };
        let unique = job.unique();
        body.clear();
        let outcome = match interrupt.is_given_up() {
            true => Outcome::Failed(Errno::INTR),
            false => watching(&interrupt, || job.slot.serve(server, &mut body)),
        };
        // Before it is answered: the kernel may give the number to another one then.
        jobs.lock().running.retain(|(running, _)| *running != unique);
        job.end(outcome, &body);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustix::io::Errno;
    use zerocopy::FromBytes;

    use super::{Job, Pool};
    use crate::base::interrupt::Interrupt;
    use crate::base::limits::RING_SIGNALS_MAX;
    use crate::fuse::ring::queue::Mailbox;
    use crate::fuse::ring::uring::Slot;
    use crate::fuse::ring::wire::OutHeader;

    fn job(unique: u64, sender: &Arc<Mailbox>) -> Job {
        let mut slot = Slot::new(0, 8);
        slot.header.entry.commit_id = unique;
        Job { slot, sender: Arc::clone(sender) }
    }

    /// What came back: of which request, and with which error.
    fn answers(mailbox: &Mailbox) -> Vec<(u64, i32)> {
        let header = |slot: &Slot| OutHeader::read_from_prefix(&slot.header.in_out).unwrap().0;
        mailbox.take().iter().map(|slot| header(slot)).map(|h| (h.unique, h.error)).collect()
    }

    #[test]
    fn what_waits_and_is_given_up_is_answered_at_once_and_nothing_else_is() {
        let mailbox = Arc::new(Mailbox::new().unwrap());
        let (pool, _bell) = Pool::without_threads();
        for unique in [2, 4, 6] {
            assert!(pool.give(job(unique, &mailbox)).is_ok());
        }
        pool.interrupt(4);
        assert_eq!(answers(&mailbox), [], "whoever asked goes on in spite of the signal");
        pool.jobs.lock().waiting[1].1 = Interrupt::given_up();
        pool.interrupt(4);
        assert_eq!(answers(&mailbox), [(4, -Errno::INTR.raw_os_error())]);
        pool.interrupt(4);
        assert_eq!(answers(&mailbox), []);
        let waiting: Vec<u64> = pool.jobs.lock().waiting.iter().map(|w| w.0.unique()).collect();
        assert_eq!(waiting, [2, 6]);
    }

    #[test]
    fn a_signal_that_comes_before_its_request_is_remembered_for_a_while() {
        let mailbox = Arc::new(Mailbox::new().unwrap());
        let (pool, _bell) = Pool::without_threads();
        for unique in 0..3 * RING_SIGNALS_MAX as u64 {
            pool.interrupt(unique);
        }
        let last = 3 * RING_SIGNALS_MAX as u64 - 1;
        assert_eq!(pool.jobs.lock().signalled.len(), RING_SIGNALS_MAX);
        assert!(pool.give(job(last, &mailbox)).is_ok());
        assert!(!pool.jobs.lock().signalled.contains(&last));
    }

    #[test]
    fn without_threads_a_job_comes_back() {
        let mailbox = Arc::new(Mailbox::new().unwrap());
        let (pool, bell) = Pool::without_threads();
        drop(bell);
        let back = pool.give(job(7, &mailbox)).expect_err("nobody is there");
        assert_eq!(back.unique(), 7);
        assert!(pool.jobs.lock().waiting.is_empty());
    }
}
