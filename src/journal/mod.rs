//! Layer 3: the operations since the last checkpoint, on the disk before anybody is told that they
//! are done.
//!
//! The journal is a directory of segments, `<number>.log`, whose bytes are specified in
//! `format::journal`. A record is appended by a write to the page cache: from there it survives
//! the end of the process. [`Journal::sync`] makes everything before it durable, once for all who
//! wait. What a checkpoint has brought into the store is [cut off](Journal::cut).
//!
//! - The caller appends under the lock that orders the operations, so the journal has them in
//!   their order. Of a large payload only the place is taken there; it is written without that
//!   lock, and the operation is acknowledged after that.
//! - Room is set aside before an operation is done ([`Journal::reserve`]), so that one that has
//!   been done is not refused by a full disk. The file `reserve` is for operations that make room
//!   when nothing else is left.
//! - After a failure to write or sync, what the disk has of the journal is in doubt. Nothing is
//!   appended any more until a checkpoint has brought everything into the store another way.
//!
//! Recovery knows two cases. In the same run of the machine the page cache is whole: a record that
//! was not completed was never acknowledged, and is passed over. After a power loss the journal
//! ends at the first record that does not check, which gives an exact earlier state. In both, a
//! record that was durable and does not check is damage, as is a segment that is not there and has
//! been named, and nothing is recovered until somebody has
//! [given up](Journal::end_before_damage) what comes after it.
//!
//! Locks, in the order in which they are taken: `sync`, `tail`. Neither is held while the other's
//! condition is waited for, and no disk is waited for under either, but when a new segment has to
//! be made at once.

mod chain;
mod check;
mod cut;
mod mend;
mod recover;
mod segment;
mod sync;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use self::segment::Segments;
use self::sync::SyncState;
use self::writer::Tail;
use crate::base::sync::{Condvar, Mutex};

pub use self::check::SegmentDamage;
pub use self::cut::Point;
pub use self::recover::Recovered;
pub use self::writer::{RecordBuffer, Ticket, Urgency};

/// Why the journal cannot be read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk failed or is full.
    #[error("{context}: {source}")]
    Io {
        /// What was being done, with the path.
        context: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// No room can be set aside for a record, and so nothing was done.
    #[error("{context}: {source}")]
    NoRoom {
        /// What was being done, with the path.
        context: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// A segment holds what no writer wrote.
    #[error("{} is damaged at offset {offset}: {detail}", file.display())]
    Corrupt {
        /// The segment.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        detail: String,
    },
    /// A segment is not there, though a state of the worktree or the segment before names it.
    #[error("{}: {detail}", file.display())]
    Missing {
        /// The segment.
        file: PathBuf,
        /// What that means.
        detail: &'static str,
    },
    /// A segment was written by a newer program.
    #[error("{} has a format that this vst does not know: use a newer one", file.display())]
    UnknownFormat {
        /// The segment.
        file: PathBuf,
    },
    /// Writing or syncing failed before, and no checkpoint has been made since.
    #[error("the journal cannot be written since {context}: {source}")]
    Failed {
        /// What was being done, with the path.
        context: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
}

impl JournalError {
    /// What the system said, if it was the system.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Io { source, .. } | Self::NoRoom { source, .. } | Self::Failed { source, .. } => {
                Some(source)
            }
            Self::Corrupt { .. } | Self::Missing { .. } | Self::UnknownFormat { .. } => None,
        }
    }
}

/// What the journal has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalStats {
    /// Records since the last cut.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of all segments on the disk.
    pub disk_bytes: u64,
    /// How often it was synced.
    pub syncs: u64,
}

/// The journal of a worktree.
#[derive(Debug)]
pub struct Journal {
    /// Nothing is appended.
    off: bool,
    segments: Segments,
    tail: Mutex<Tail>,
    /// A payload was completed, or the journal failed.
    completed: Condvar,
    sync: Mutex<SyncState>,
    /// A sync ended.
    synced: Condvar,
}
