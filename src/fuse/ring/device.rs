//! The device of a mount, `/dev/fuse`: what does not come through rings is read from it, and what
//! is told unasked is written to it.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::{Errno, retry_on_intr};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::encode::Body;
use super::pool::Pool;
use super::request::Request;
use super::serve::{Outcome, Server};
use super::wire::{self, InterruptIn, NotifyInvalEntry, NotifyInvalInode, OutHeader, opcode};
use crate::base::limits::{RING_FORGET_PAUSE, WRITE_BYTES_MAX};
use crate::fuse::notify::Channel;
use crate::model::{Ino, Name};

/// Room for a message: the largest write, and its headers.
const MESSAGE_BYTES_MAX: usize = WRITE_BYTES_MAX as usize + 4096;

/// A connection to the kernel.
pub(super) struct Device(OwnedFd);

impl Device {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Room for any message.
    pub(super) fn buffer() -> Vec<u8> {
        vec![0; MESSAGE_BYTES_MAX]
    }

    /// Waits for a message; `None` when the mount has gone away, or the bell rings that is listened to.
    pub(super) fn receive<'b>(
        &self,
        buffer: &'b mut [u8],
        bell: Option<BorrowedFd<'_>>,
    ) -> io::Result<Option<&'b [u8]>> {
        loop {
            if let Some(bell) = bell
                && !self.wait(bell)?
            {
                return Ok(None);
            }
            match rustix::io::read(&self.0, &mut *buffer) {
                Ok(len) => return Ok(Some(&buffer[..len])),
                // Interrupted; or whoever asked has taken it back.
                Err(Errno::INTR | Errno::NOENT | Errno::AGAIN) => {}
                Err(Errno::NODEV) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Answers a message.
    pub(super) fn reply(&self, unique: u64, outcome: Outcome, body: &[u8]) -> io::Result<()> {
        let sent = match outcome {
            Outcome::Done => self.send(unique, 0, &[body]),
            Outcome::Failed(errno) => self.send(unique, -errno.raw_os_error(), &[]),
            Outcome::Silent => Ok(()),
        };
        match sent {
            // Whoever asked has gone, or the mount.
            Err(Errno::NOENT | Errno::NODEV) => Ok(()),
            sent => Ok(sent?),
        }
    }

    /// Whether the kernel still takes answers.
    pub(super) fn is_connected(&self) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        let polled = retry_on_intr(|| poll(&mut fds, Some(&Timespec::default())));
        polled.is_ok() && !fds[0].revents().contains(PollFlags::ERR)
    }

    /// Waits until there is a message, or the mount has gone away; `false` if only the bell rings.
    fn wait(&self, bell: BorrowedFd<'_>) -> io::Result<bool> {
        let mut fds =
            [PollFd::new(&self.0, PollFlags::IN), PollFd::from_borrowed_fd(bell, PollFlags::IN)];
        retry_on_intr(|| poll(&mut fds, None))?;
        Ok(!fds[0].revents().is_empty())
    }

    /// Answers what comes by the device until the mount has gone away, or the bell rings.
    pub(super) fn run(&self, server: &Server, pool: &Pool, bell: BorrowedFd<'_>) -> io::Result<()> {
        // What there was to be read may be taken back before it is.
        rustix::fs::fcntl_setfl(&self.0, OFlags::NONBLOCK)?;
        let (mut buffer, mut body) = (Self::buffer(), Body::new());
        while let Some(message) = self.receive(&mut buffer, Some(bell))? {
            let Some(request) = Request::from_message(message) else {
                log::error!("the kernel sent {} bytes, which are no request", message.len());
                continue;
            };
            if request.header.opcode == opcode::INTERRUPT {
                // What it is about came through a ring.
                if let Ok(asked) = request.read::<InterruptIn>() {
                    pool.interrupt(asked.unique);
                }
                continue;
            }
            let outcome = server.answer(&request, &mut body);
            self.reply(request.header.unique, outcome, &body)?;
            if matches!(request.header.opcode, opcode::FORGET | opcode::BATCH_FORGET) {
                // Where nobody listens, who removes files wakes nobody for each of them. What there
                // is to forget by then comes in one message.
                thread::sleep(RING_FORGET_PAUSE);
            }
        }
        Ok(())
    }

    fn send(&self, unique: u64, error: i32, parts: &[&[u8]]) -> Result<(), Errno> {
        let len = size_of::<OutHeader>() + parts.iter().map(|part| part.len()).sum::<usize>();
        let len = u32::try_from(len).map_err(|_| Errno::INVAL)?;
        let header = OutHeader { len, error, unique };
        let slices = [header.as_bytes()].into_iter().chain(parts.iter().copied());
        // The kernel takes a message whole or not at all.
        rustix::io::writev(&self.0, &slices.map(IoSlice::new).collect::<Vec<_>>()).map(drop)
    }

    fn tell(
        &self,
        what: i32,
        structure: &(impl IntoBytes + Immutable),
        name: &[&[u8]],
    ) -> io::Result<()> {
        let parts = [&[structure.as_bytes()], name].concat();
        Ok(self.send(0, what, &parts)?)
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Channel for Device {
    fn inval_entry(&self, parent: Ino, name: &Name) -> io::Result<()> {
        let name = name.as_bytes();
        // Names are short.
        let namelen = name.len() as u32;
        let told = NotifyInvalEntry { parent: parent.0, namelen, flags: 0 };
        self.tell(wire::NOTIFY_INVAL_ENTRY, &told, &[name, b"\0"])
    }

    fn inval_inode(&self, ino: Ino, from: i64) -> io::Result<()> {
        let told = NotifyInvalInode { ino: ino.0, off: from, len: 0 };
        self.tell(wire::NOTIFY_INVAL_INODE, &told, &[])
    }
}

/// Reads the structure that a message has behind its header.
pub(super) fn structure_of<T: FromBytes>(message: &[u8]) -> Option<T> {
    let body = message.get(size_of::<wire::InHeader>()..)?;
    T::read_from_prefix(body).ok().map(|(read, _)| read)
}
