//! The bytes of a simulated file: as everybody sees them, as they are on the platter, and what is
//! on its way from here to there.

use std::io;
use std::ops::Range;

use super::Chance;

/// What a disk writes as a whole or not at all.
pub(super) const SECTOR_BYTES: usize = 512;

/// Bytes, and zeros behind them up to a length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    bytes: Vec<u8>,
    len: u64,
}

impl Content {
    fn write(&mut self, at: u64, bytes: &[u8]) {
        let at = at as usize;
        let end = at + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[at..end].copy_from_slice(bytes);
    }

    fn set_len(&mut self, len: u64) {
        if (len as usize) < self.bytes.len() {
            self.bytes.truncate(len as usize);
        }
        self.len = len;
    }
}

#[derive(Clone, Debug)]
enum Change {
    /// A piece of one sector.
    Piece {
        at: u64,
        bytes: Vec<u8>,
    },
    Len(u64),
}

/// A file.
#[derive(Clone, Debug, Default)]
pub(super) struct SimFile {
    live: Content,
    durable: Content,
    /// In the order in which they were made.
    pending: Vec<Change>,
    allocated: u64,
}

impl SimFile {
    pub(super) fn len(&self) -> u64 {
        self.live.len
    }

    /// Room that it takes.
    pub(super) fn used_bytes(&self) -> u64 {
        self.allocated.max(self.live.bytes.len() as u64)
    }

    /// Room that it would take with a write or an allocation up to here.
    pub(super) fn used_with(&self, end: u64) -> u64 {
        self.used_bytes().max(end)
    }

    pub(super) fn read(&self, buf: &mut [u8], at: u64) -> usize {
        let len = (buf.len() as u64).min(self.live.len.saturating_sub(at)) as usize;
        for (n, byte) in buf[..len].iter_mut().enumerate() {
            *byte = self.live.bytes.get(at as usize + n).copied().unwrap_or(0);
        }
        len
    }

    pub(super) fn write(&mut self, bytes: &[u8], at: u64) {
        self.live.write(at, bytes);
        let mut done = 0;
        while done < bytes.len() {
            let begin = at as usize + done;
            let len = (SECTOR_BYTES - begin % SECTOR_BYTES).min(bytes.len() - done);
            let piece = bytes[done..done + len].to_vec();
            self.pending.push(Change::Piece { at: begin as u64, bytes: piece });
            done += len;
        }
        let end = at + bytes.len() as u64;
        if end > self.live.len {
            self.live.len = end;
            self.pending.push(Change::Len(end));
        }
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len != self.live.len {
            self.allocated = self.allocated.min(len);
            self.live.set_len(len);
            self.pending.push(Change::Len(len));
        }
    }

    pub(super) fn allocate(&mut self, range: Range<u64>) {
        self.allocated = self.allocated.max(range.end);
        if range.end > self.live.len {
            self.set_len(range.end);
        }
    }

    pub(super) fn sync(&mut self) {
        // What a sync that failed has thrown away stays away: that is not pending any more.
        for change in std::mem::take(&mut self.pending) {
            apply(&mut self.durable, &change);
        }
    }

    /// As a sync fails: the pages count as clean, though not all of them have been written.
    pub(super) fn fail_to_sync(&mut self, chance: &mut Chance) -> io::Error {
        for change in std::mem::take(&mut self.pending) {
            if chance.happens(2) {
                apply(&mut self.durable, &change);
            }
        }
        io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())
    }

    /// As it is after a power loss: of what was not synced, each sector may have been written or
    /// not.
    pub(super) fn lose_power(&mut self, chance: &mut Chance) {
        for change in std::mem::take(&mut self.pending) {
            if chance.survives() {
                apply(&mut self.durable, &change);
            }
        }
        // What lies behind the end is nowhere.
        let len = self.durable.len;
        self.durable.set_len(len);
        self.live = self.durable.clone();
    }
}

fn apply(content: &mut Content, change: &Change) {
    match change {
        Change::Piece { at, bytes } => content.write(*at, bytes),
        Change::Len(len) => content.set_len(*len),
    }
}
