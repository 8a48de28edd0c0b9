//! The threads to which queues hand what would wait, so that they themselves can go on.
//!
//! They are begun ahead, by a thread that neither gives way to others nor stays on one CPU, as theirs
//! do who hand them requests: what holds a lock must not have to wait for whoever keeps a CPU busy.
//!
//! Where all are busy, requests wait for each other. That ends: what is waited for here is a disk, or
//! work on one, but for one that restores or takes back. Such a one waits until the kernel has taken
//! note, which may wait for other requests; there can be one of each kind at a time, which leaves
//! threads beside them.

use std::io;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::encode::Body;
use super::queue::Mailbox;
use super::serve::Server;
use super::uring::Slot;
use crate::base::limits::RING_POOL_THREADS;

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
}

impl Pool {
    /// Begins the threads.
    pub(super) fn begin(server: &Arc<Server>) -> io::Result<Self> {
        let (jobs, receiver) = unbounded();
        for _ in 0..RING_POOL_THREADS {
            let (server, receiver) = (Arc::clone(server), receiver.clone());
            let name = "ring-pool".to_owned();
            thread::Builder::new().name(name).spawn(move || work(&server, &receiver))?;
        }
        Ok(Self { jobs })
    }

    /// Has a thread do a job; gives it back if there is none.
    pub(super) fn give(&self, job: Job) -> Result<(), Job> {
        self.jobs.send(job).map_err(|returned| returned.0)
    }
}

fn work(server: &Server, jobs: &Receiver<Job>) {
    let mut body = Body::new();
    for Job { mut slot, sender } in jobs {
        let outcome = slot.serve(server, &mut body);
        slot.put(outcome, &body);
        sender.put(slot);
    }
}
