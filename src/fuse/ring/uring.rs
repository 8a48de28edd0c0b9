//! A ring, and the buffers that it shares with the kernel; and what else the kernel is asked for in
//! ways that the compiler cannot check.
//!
//! A [`Slot`] is in one place at a time. One that is lent to the kernel is out of reach of
//! everybody else, until the kernel gives it back, with a request in it or for good; only then is
//! it a value again. The memory of one that never comes back is never given to anybody else.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use zerocopy::{FromZeros, IntoBytes};

use super::wire::{self, RingCommand, RingHeader};

/// What the kernel is given of a slot: its headers and its payload.
const IOVECS: u32 = 2;
/// Where the number of those lies in a submission, which `io-uring` does not set: `len`.
const SUBMISSION_LEN_AT: usize = 24;
/// Tells the bell from slots.
const BELL: u64 = u64::MAX;

/// A buffer for one request at a time, and then for its answer.
pub(super) struct Slot {
    /// The queue of the kernel that it belongs to: the number of a CPU.
    pub(super) qid: u16,
    pub(super) header: RingHeader,
    pub(super) payload: Box<[u8]>,
    iovecs: [libc::iovec; IOVECS as usize],
}

// SAFETY: what the pointers in `iovecs` point to is the slot's own, and nobody but the kernel
// follows them.
unsafe impl Send for Slot {}

impl Slot {
    pub(super) fn new(qid: u16, payload_bytes: usize) -> Box<Self> {
        let none = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        Box::new(Self {
            qid,
            header: RingHeader::new_zeroed(),
            // Zeroed by the system, page by page when it is first touched.
            payload: vec![0; payload_bytes].into_boxed_slice(),
            iovecs: [none; IOVECS as usize],
        })
    }
}

/// What a ring tells.
pub(super) enum Event {
    /// The kernel has put a request into a slot.
    Request(Box<Slot>),
    /// The kernel takes a slot of this queue no more.
    Retired(u16, io::Error),
    /// The bell that the ring listens to can be read.
    Bell,
}

/// A ring, of the thread that made it.
pub(super) struct Uring {
    ring: IoUring<squeue::Entry128, cqueue::Entry>,
    /// What the kernel has. A slot's place here is what its commands are called by.
    lent: Vec<Option<*mut Slot>>,
}

impl Uring {
    /// Makes a ring for so many slots.
    pub(super) fn new(slots: usize) -> io::Result<Self> {
        // One more for the bell.
        let entries = u32::try_from(slots + 1).map_err(io::Error::other)?;
        let ring = IoUring::builder()
            // Requests are put into slots when this thread next waits, without an interrupt.
            .setup_single_issuer()
            .setup_coop_taskrun()
            .build(entries)?;
        Ok(Self { ring, lent: vec![None; slots] })
    }

    /// How many slots the kernel has.
    pub(super) fn lent(&self) -> usize {
        self.lent.iter().flatten().count()
    }

    /// Hands a new slot to the kernel, for a first request.
    pub(super) fn register(
        &mut self,
        device: BorrowedFd<'_>,
        mut slot: Box<Slot>,
    ) -> io::Result<()> {
        let header = (&raw mut slot.header).cast();
        let payload = slot.payload.as_mut_ptr().cast();
        slot.iovecs = [
            libc::iovec { iov_base: header, iov_len: size_of::<RingHeader>() },
            libc::iovec { iov_base: payload, iov_len: slot.payload.len() },
        ];
        let iovecs = &raw const slot.iovecs;
        self.command(device, slot, wire::RING_REGISTER, 0, Some(iovecs as u64))
    }

    /// Gives the answer that is in a slot, and the slot for the next request.
    pub(super) fn commit(&mut self, device: BorrowedFd<'_>, slot: Box<Slot>) -> io::Result<()> {
        let commit_id = slot.header.entry.commit_id;
        self.command(device, slot, wire::RING_COMMIT_AND_FETCH, commit_id, None)
    }

    fn command(
        &mut self,
        device: BorrowedFd<'_>,
        slot: Box<Slot>,
        command: u32,
        commit_id: u64,
        iovecs: Option<u64>,
    ) -> io::Result<()> {
        let told = RingCommand { flags: 0, commit_id, qid: slot.qid, padding: [0; 6] };
        let mut bytes = [0; 80];
        bytes[..size_of::<RingCommand>()].copy_from_slice(told.as_bytes());
        let place = self.lent.iter().position(Option::is_none);
        let place = place.ok_or_else(|| io::Error::other("more slots than the ring is for"))?;
        let mut entry = opcode::UringCmd80::new(types::Fd(device.as_raw_fd()), command)
            .cmd(bytes)
            .addr(iovecs)
            .build()
            .user_data(place as u64);
        if iovecs.is_some() {
            set_len(&mut entry, IOVECS);
        }
        // From here on it is the kernel's.
        self.lent[place] = Some(Box::into_raw(slot));
        // SAFETY: what the entry points to, and what the kernel has been told of before, is the
        // slot, which nobody touches while it is lent, and which is not freed unless it comes back.
        unsafe { self.ring.submission().push(&entry) }.map_err(io::Error::other)
    }

    /// Listens to a bell, until it rings once.
    pub(super) fn listen(&mut self, bell: BorrowedFd<'_>) -> io::Result<()> {
        let fd = types::Fd(bell.as_raw_fd());
        let entry = opcode::PollAdd::new(fd, libc::POLLIN as u32).build().user_data(BELL);
        // SAFETY: it points to nothing.
        unsafe { self.ring.submission().push(&entry.into()) }.map_err(io::Error::other)
    }

    /// Hands over what was prepared.
    pub(super) fn submit(&mut self) -> io::Result<()> {
        self.ring.submit().map(drop)
    }

    /// Hands over what was prepared, and waits for an event.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        match self.ring.submit_and_wait(1) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            done => done.map(drop),
        }
    }

    /// An event that has come.
    pub(super) fn next(&mut self) -> Option<Event> {
        loop {
            let event = self.ring.completion().next()?;
            if event.user_data() == BELL {
                return Some(Event::Bell);
            }
            let place = usize::try_from(event.user_data()).ok();
            let slot = place.and_then(|place| self.lent.get_mut(place)?.take());
            let Some(slot) = slot else {
                log::error!("the kernel gave back a buffer that it did not have");
                continue;
            };
            // SAFETY: it came from a box, and the kernel, to which alone it was lent, is done with
            // it.
            let slot = unsafe { Box::from_raw(slot) };
            return Some(match event.result() {
                0.. => Event::Request(slot),
                errno => Event::Retired(slot.qid, io::Error::from_raw_os_error(-errno)),
            });
        }
    }
}

fn set_len(entry: &mut squeue::Entry128, len: u32) {
    const { assert!(size_of::<squeue::Entry128>() == 128) };
    let at = std::ptr::from_mut(entry).cast::<u8>();
    // SAFETY: the entry is 128 bytes of the kernel's structure, in which these four are `len`.
    unsafe { at.add(SUBMISSION_LEN_AT).cast::<u32>().write_unaligned(len) };
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::event::{EventfdFlags, eventfd};

    use super::{Event, Slot, Uring};

    /// A ring, where the system gives one.
    fn ring(slots: usize) -> Option<Uring> {
        match Uring::new(slots) {
            Ok(ring) => Some(ring),
            Err(error) => {
                eprintln!("skipped: the system gives no ring: {error}");
                None
            }
        }
    }

    #[test]
    fn what_is_no_fuse_connection_gives_the_slots_back_with_an_error() {
        let Some(mut ring) = ring(2) else { return };
        let other = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        for qid in [3, 4] {
            ring.register(other.as_fd(), Slot::new(qid, 8192)).unwrap();
        }
        assert!(ring.register(other.as_fd(), Slot::new(5, 8192)).is_err(), "a third of two");
        assert_eq!(ring.lent(), 2);
        ring.wait().unwrap();
        let mut qids = Vec::new();
        while let Some(event) = ring.next() {
            let Event::Retired(qid, _) = event else { panic!("it is given back for good") };
            qids.push(qid);
        }
        qids.sort_unstable();
        assert_eq!((qids, ring.lent()), (vec![3, 4], 0));
    }

    #[test]
    fn a_bell_wakes_the_ring() {
        let Some(mut ring) = ring(1) else { return };
        let bell = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        ring.listen(bell.as_fd()).unwrap();
        rustix::io::write(&bell, &1u64.to_ne_bytes()).unwrap();
        ring.wait().unwrap();
        assert!(matches!(ring.next(), Some(Event::Bell)));
        assert!(ring.next().is_none());
    }
}
