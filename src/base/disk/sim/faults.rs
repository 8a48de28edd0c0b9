//! When and how a simulated disk fails.

use std::io;

use rustix::io::Errno;

/// Decides by chance, and the same way each time for the same seed.
#[derive(Clone, Debug)]
pub struct Chance {
    state: u64,
    survival: Survival,
}

/// How much of what was not synced survives a power loss.
#[derive(Clone, Copy, Debug)]
enum Survival {
    Nothing,
    Everything,
    /// One thing in so many, or all but one in so many.
    Some {
        one_in: u64,
        inverted: bool,
    },
}

impl Chance {
    /// With seed 0 nothing survives a power loss, with seed 1 everything, with others some.
    pub fn new(seed: u64) -> Self {
        let state = (seed ^ 0x5bd1_e995).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut chance = Self { state, survival: Survival::Nothing };
        chance.survival = match seed {
            0 => Survival::Nothing,
            1 => Survival::Everything,
            _ => {
                let one_in = [2, 2, 4, 16][chance.below(4) as usize];
                Survival::Some { one_in, inverted: chance.happens(2) }
            }
        };
        chance
    }

    /// A number below this one.
    pub fn below(&mut self, end: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) % end.max(1)
    }

    /// Happens one time in so many.
    pub fn happens(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }

    pub(super) fn survives(&mut self) -> bool {
        match self.survival {
            Survival::Nothing => false,
            Survival::Everything => true,
            Survival::Some { one_in, inverted } => self.happens(one_in) != inverted,
        }
    }
}

/// What a disk is told to do wrong.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    /// The process ends before this step.
    pub(super) end_at: Option<u64>,
    /// This step fails, and those after it for as long as this is set.
    pub(super) fail_from: Option<(u64, Errno)>,
    /// Only that one step fails.
    pub(super) fail_once: bool,
    /// Reads fail from this one on.
    pub(super) fail_reads_from: Option<u64>,
    /// Only that one read fails.
    pub(super) fail_read_once: bool,
    pub(super) fail_syncs: bool,
    pub(super) read_only: bool,
    pub(super) short_writes: bool,
    /// Room on the disk.
    pub(super) capacity: Option<u64>,
    /// Operations that change something, so far.
    pub(super) steps: u64,
    pub(super) reads: u64,
    pub(super) ended: bool,
}

impl Faults {
    /// Counts an operation that changes something, which may fail instead.
    pub(super) fn step(&mut self) -> io::Result<()> {
        if self.ended {
            return Err(ended());
        }
        let step = self.steps;
        if self.end_at == Some(step) {
            self.ended = true;
            return Err(ended());
        }
        self.steps += 1;
        if self.read_only {
            return Err(io::Error::from_raw_os_error(Errno::ROFS.raw_os_error()));
        }
        match self.fail_from {
            Some((from, errno)) if step == from || (step > from && !self.fail_once) => {
                Err(io::Error::from_raw_os_error(errno.raw_os_error()))
            }
            _ => Ok(()),
        }
    }

    /// Counts a read, which may fail instead.
    pub(super) fn read(&mut self) -> io::Result<()> {
        if self.ended {
            return Err(ended());
        }
        let read = self.reads;
        self.reads += 1;
        match self.fail_reads_from {
            Some(from) if read == from || (read > from && !self.fail_read_once) => {
                Err(io::Error::from_raw_os_error(Errno::IO.raw_os_error()))
            }
            _ => Ok(()),
        }
    }
}

/// What is told to those who ask after the process has ended, which nobody hears.
fn ended() -> io::Error {
    io::Error::other("the process has ended")
}
