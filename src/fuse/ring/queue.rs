//! A thread that answers what is asked on its CPU, through a ring of its own.
//!
//! A request is answered where it was asked: the one who asks sleeps, so its CPU is free, and
//! no other one has to be woken, which costs ten times what a request does. How the thread shares
//! the CPU with those who ask is the business of its [`Policy`].
//!
//! What would wait goes to the [`Pool`], and comes back through the [`Mailbox`]: a buffer can be
//! handed to the kernel by the thread of its ring alone, which is also the one that the kernel
//! wakes for the next request.
#![allow(clippy::vec_box, reason = "a slot stays in its place, which the kernel knows")]

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use zerocopy::{FromBytes, IntoBytes};

use super::device::Device;
use super::encode::Body;
use super::pool::{Job, Pool};
use super::request::Request;
use super::serve::{Outcome, Server};
use super::uring::{Event, Slot, Uring};
use super::wire::{InHeader, OutHeader};
use crate::base::haste::hastily;
use crate::base::limits::{RING_PAYLOAD_BYTES_SHORT, WRITE_BYTES_MAX};
use crate::fuse::policy::Policy;

/// What came back to a queue.
pub(super) struct Mailbox {
    slots: Mutex<Vec<Box<Slot>>>,
    bell: OwnedFd,
}

impl Mailbox {
    pub(super) fn new() -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { slots: Mutex::default(), bell })
    }

    /// Brings back a slot with an answer in it.
    pub(super) fn put(&self, slot: Box<Slot>) {
        self.slots.lock().push(slot);
        // It fails only when it has rung more often than it can count.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }

    pub(super) fn take(&self) -> Vec<Box<Slot>> {
        // Before the slots are taken, so that one that comes after them rings again.
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
        std::mem::take(&mut *self.slots.lock())
    }
}

/// What a queue needs to answer.
#[derive(Clone)]
pub(super) struct Means {
    pub(super) device: Arc<Device>,
    pub(super) server: Arc<Server>,
    pub(super) pool: Pool,
}

/// A queue that is not connected yet.
pub(super) struct Queue {
    uring: Uring,
    mailbox: Arc<Mailbox>,
    slots: Vec<Box<Slot>>,
}

/// A queue that answers.
pub(super) struct Connected {
    uring: Uring,
    mailbox: Arc<Mailbox>,
    means: Means,
    /// Slots that the pool has.
    away: usize,
    body: Body,
    policy: Policy,
}

impl Queue {
    /// Makes a queue that serves the kernel's queues with these numbers, each by so many slots.
    pub(super) fn new(qids: &[u16], slots_per_qid: usize) -> io::Result<Self> {
        let qids = qids.iter().flat_map(|qid| std::iter::repeat_n(*qid, slots_per_qid));
        let slots: Vec<_> = qids.map(|qid| Slot::new(qid, WRITE_BYTES_MAX as usize)).collect();
        let (uring, mailbox) = (Uring::new(slots.len())?, Arc::new(Mailbox::new()?));
        Ok(Self { uring, mailbox, slots })
    }

    /// Hands all slots to the kernel.
    pub(super) fn connect(self, means: Means) -> io::Result<Connected> {
        let Self { mut uring, mailbox, slots } = self;
        for slot in slots {
            uring.register(means.device.as_fd(), slot)?;
        }
        uring.listen(mailbox.bell.as_fd())?;
        uring.submit()?;
        let (body, policy) = (Body::new(), Policy::begin());
        let mut queue = Connected { uring, mailbox, means, away: 0, body, policy };
        // The kernel refuses at once, and what it refuses it never takes.
        queue.handle_events(&mut |_, error| Err(error))?;
        Ok(queue)
    }
}

impl Connected {
    /// Answers until the kernel has given back every slot, since the mount has gone away.
    pub(super) fn run(&mut self) -> io::Result<()> {
        while self.uring.lent() + self.away > 0 {
            self.uring.wait()?;
            self.handle_events(&mut |qid, error| match error.raw_os_error() {
                Some(libc::ENOTCONN | libc::ECONNABORTED | libc::ECANCELED | libc::ENODEV) => {
                    Ok(())
                }
                _ => Err(io::Error::new(error.kind(), format!("queue {qid}: {error}"))),
            })?;
        }
        Ok(())
    }

    /// Does what has come. `retired` judges why the kernel gives back a slot.
    fn handle_events(
        &mut self,
        retired: &mut dyn FnMut(u16, io::Error) -> io::Result<()>,
    ) -> io::Result<()> {
        while let Some(event) = self.uring.next() {
            match event {
                Event::Request(slot) => self.answer(slot)?,
                Event::Retired(qid, error) => retired(qid, error)?,
                Event::Bell => {
                    for slot in self.mailbox.take() {
                        self.away -= 1;
                        self.commit(slot)?;
                    }
                    self.uring.listen(self.mailbox.bell.as_fd())?;
                }
            }
        }
        Ok(())
    }

    fn answer(&mut self, mut slot: Box<Slot>) -> io::Result<()> {
        let server = &self.means.server;
        self.policy.review();
        let mut serve = || hastily(|| slot.serve(server, &mut self.body));
        let outcome = match slot.header.entry.payload_bytes > RING_PAYLOAD_BYTES_SHORT {
            true => self.policy.at_length(serve),
            false => serve(),
        };
        if let Some(outcome) = outcome {
            slot.put(outcome, &self.body);
            return self.commit(slot);
        }
        let job = Job { slot, sender: Arc::clone(&self.mailbox) };
        match self.means.pool.give(job) {
            Ok(()) => {
                self.away += 1;
                Ok(())
            }
            // No other thread can be had.
            Err(Job { mut slot, .. }) => {
                let outcome = slot.serve(&self.means.server, &mut self.body);
                slot.put(outcome, &self.body);
                self.commit(slot)
            }
        }
    }

    fn commit(&mut self, slot: Box<Slot>) -> io::Result<()> {
        self.uring.commit(self.means.device.as_fd(), slot)
    }
}

impl Slot {
    /// The thread that made the request in it; 0 if that is not known.
    pub(super) fn asker(&self) -> u32 {
        InHeader::read_from_prefix(&self.header.in_out).map_or(0, |(header, _)| header.pid)
    }

    /// Does what the request asks for that is in it, and stays as it is.
    pub(super) fn serve(&self, server: &Server, body: &mut Body) -> Outcome {
        let Ok((header, _)) = InHeader::read_from_prefix(&self.header.in_out) else {
            return Outcome::Failed(Errno::IO);
        };
        let bytes = (self.header.entry.payload_bytes as usize).min(self.payload.len());
        let request = Request::from_parts(header, &self.header.op, &self.payload[..bytes]);
        server.answer(&request, body)
    }

    /// Puts an answer in the place of the request.
    pub(super) fn put(&mut self, outcome: Outcome, body: &[u8]) {
        let unique = self.header.entry.commit_id;
        let (errno, body) = match (outcome, self.payload.get_mut(..body.len())) {
            (Outcome::Done | Outcome::Silent, Some(room)) => {
                room.copy_from_slice(body);
                (0, body)
            }
            // No answer is longer than the largest read.
            (Outcome::Done | Outcome::Silent, None) => (Errno::IO.raw_os_error(), &[][..]),
            (Outcome::Failed(errno), _) => (errno.raw_os_error(), &[][..]),
        };
        // Bounded by the payload's length.
        self.header.entry.payload_bytes = body.len() as u32;
        let len = (size_of::<OutHeader>() + body.len()) as u32;
        let header = OutHeader { len, error: -errno, unique };
        self.header.in_out[..size_of::<OutHeader>()].copy_from_slice(header.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;
    use zerocopy::FromBytes;

    use super::{Mailbox, Outcome, Slot};
    use crate::fuse::ring::wire::OutHeader;

    fn put(outcome: Outcome, body: &[u8]) -> (OutHeader, u32) {
        let mut slot = Slot::new(0, 8);
        slot.header.entry.commit_id = 77;
        slot.put(outcome, body);
        let header = OutHeader::read_from_prefix(&slot.header.in_out).unwrap().0;
        if header.error == 0 {
            assert_eq!(&slot.payload[..body.len()], body);
        }
        (header, slot.header.entry.payload_bytes)
    }

    #[test]
    fn an_answer_is_put_with_its_length_and_an_error_without_a_body() {
        let header = |len, error| OutHeader { len, error, unique: 77 };
        assert_eq!(put(Outcome::Done, b"answer"), (header(22, 0), 6));
        let failed = Outcome::Failed(Errno::NOENT);
        assert_eq!(put(failed, b"half"), (header(16, -libc::ENOENT), 0));
        assert_eq!(put(Outcome::Done, b"too long"), (header(24, 0), 8));
        assert_eq!(put(Outcome::Done, b"far too long"), (header(16, -libc::EIO), 0));
    }

    #[test]
    fn what_is_brought_back_is_taken_once() {
        let mailbox = Mailbox::new().unwrap();
        for qid in 0..3 {
            mailbox.put(Slot::new(qid, 0));
        }
        let taken: Vec<_> = mailbox.take().iter().map(|slot| slot.qid).collect();
        assert_eq!(taken, [0, 1, 2]);
        assert!(mailbox.take().is_empty());
        assert_eq!(rustix::io::read(&mailbox.bell, &mut [0; 8]), Err(Errno::AGAIN), "it is still");
    }
}
