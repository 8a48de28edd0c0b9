//! The threads to which queues hand what would wait, so that they themselves can go on.
//!
//! A thread is begun when all others are busy, up to a bound; beyond it, requests wait for each
//! other. That ends: what is waited for here is a disk, or work on one, but for one that restores or
//! takes back. Such a one waits until the kernel has taken note, which may wait for other requests;
//! there can be one of each kind at a time, which the bound leaves threads beside.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};
use rustix::thread::CpuSet;

use super::cpus;
use super::encode::Body;
use super::queue::Mailbox;
use super::serve::Server;
use super::uring::Slot;
use crate::base::limits::RING_POOL_THREADS_MAX;

/// A request, and who wants it back.
pub(super) struct Job {
    pub(super) slot: Box<Slot>,
    pub(super) sender: Arc<Mailbox>,
}

/// The threads, which end when nobody can hand them anything any more.
#[derive(Clone)]
pub(super) struct Pool {
    // No more jobs than there are slots.
    jobs: Sender<Job>,
    receiver: Receiver<Job>,
    shared: Arc<Shared>,
}

struct Shared {
    server: Arc<Server>,
    /// Threads that there are,
    threads: AtomicUsize,
    /// and jobs that are waiting or being done.
    jobs: AtomicUsize,
    /// Where they may run: anywhere, unlike the threads that begin them.
    allowed: CpuSet,
}

impl Pool {
    /// A pool whose threads may run where this one may.
    pub(super) fn new(server: Arc<Server>) -> io::Result<Self> {
        let (jobs, receiver) = unbounded();
        let (threads, begun, allowed) =
            (AtomicUsize::new(0), AtomicUsize::new(0), cpus::allowed()?);
        let shared = Shared { server, threads, jobs: begun, allowed };
        Ok(Self { jobs, receiver, shared: Arc::new(shared) })
    }

    /// Has a thread do a job; gives it back if there is none and none can be begun.
    pub(super) fn give(&self, job: Job) -> Result<(), Job> {
        let jobs = self.shared.jobs.fetch_add(1, Ordering::AcqRel) + 1;
        if let Err(error) = self.begin_thread(jobs) {
            log::warn!("a thread cannot be begun: {error}");
            if self.shared.threads.load(Ordering::Acquire) == 0 {
                self.shared.jobs.fetch_sub(1, Ordering::AcqRel);
                return Err(job);
            }
        }
        // The pool itself has a receiver.
        self.jobs.send(job).map_err(|returned| returned.0)
    }

    /// Begins a thread if there are fewer than jobs, and may be more.
    fn begin_thread(&self, jobs: usize) -> io::Result<()> {
        let more = |threads| (threads < jobs.min(RING_POOL_THREADS_MAX)).then_some(threads + 1);
        let threads = &self.shared.threads;
        if threads.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_err() {
            return Ok(());
        }
        let (receiver, shared) = (self.receiver.clone(), Arc::clone(&self.shared));
        let begun = thread::Builder::new().name("ring-pool".into()).spawn(move || {
            cpus::unpin(&shared.allowed);
            let mut body = Body::new();
            for Job { mut slot, sender } in receiver {
                let outcome = slot.serve(&shared.server, &mut body);
                slot.put(outcome, &body);
                shared.jobs.fetch_sub(1, Ordering::AcqRel);
                sender.put(slot);
            }
        });
        if begun.is_err() {
            threads.fetch_sub(1, Ordering::AcqRel);
        }
        begun.map(drop)
    }
}
