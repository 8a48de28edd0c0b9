//! Cutting the journal: what a checkpoint has brought into the store is dropped, and a store that
//! is closed keeps no more than the segment that its last state names.

use std::sync::Arc;

use super::writer::{Active, Amount, Urgency};
use super::{Journal, JournalError};
use crate::format::journal::SEGMENT_HEADER_BYTES;
use crate::format::worktree::JournalPosition;

/// A place in the journal, between two records.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// What tells it to recovery.
    pub position: JournalPosition,
    written: Amount,
}

impl Journal {
    /// The end of the journal, in a segment that is durable. The caller holds the lock that orders
    /// the operations. After a failure it is the beginning of a new segment: what a checkpoint from
    /// there on needs no segment that is in doubt.
    pub fn point(&self) -> Result<Point, JournalError> {
        let mut tail = self.tail.lock();
        let number = tail.active.as_ref().map(|active| active.segment.number);
        let failed = tail.failure.as_ref().map(|(failed, _)| *failed);
        // No number is less than any.
        if number <= failed {
            // Behind another one, that which was made ahead would come too early for its number.
            let segment = match tail.ready.take() {
                Some(segment) => segment,
                None => Arc::new(self.create(&mut tail, Urgency::MakesRoom)?),
            };
            tail.begin(segment);
        }
        let Some(Active { segment, end }) = &tail.active else {
            unreachable!("there is none only before the first is begun");
        };
        let position = JournalPosition { segment: segment.number, offset: *end, seq: tail.seq };
        Ok(Point { position, written: tail.written })
    }

    /// Drops what lies before a point: a durable state has all of it. This mends a journal that
    /// had failed before that point.
    pub fn cut(&self, point: &Point) -> Result<(), JournalError> {
        let Point { position, written } = point;
        let gone: Vec<u64> = {
            let mut tail = self.tail.lock();
            tail.cut = *written;
            tail.unsynced.retain(|segment| segment.number >= position.segment);
            if tail.failure.take_if(|(failed, _)| *failed < position.segment).is_some() {
                self.segments.set_doubt(false);
            }
            let full = tail.full.iter().take_while(|(number, _)| *number < position.segment);
            full.map(|(number, _)| *number).collect()
        };
        self.set_synced(position.seq);
        for number in gone {
            self.segments.remove(number)?;
            self.tail.lock().full.retain(|(other, _)| *other != number);
        }
        Ok(())
    }

    /// To be called before the last checkpoint: the next point is at the beginning of a segment,
    /// and that is all that is left after it. If the disk cannot do that, more is left. `ordering`
    /// is the lock that orders the operations.
    pub fn prepare_close(&self, ordering: impl Sized) {
        let mut tail = self.tail.lock();
        let begun = tail.active.as_ref().map(|active| active.end > SEGMENT_HEADER_BYTES as u64);
        if begun != Some(true) || tail.failure.is_some() {
            return;
        }
        // It would come too early for its number, and its room may be all that there is.
        if let Some(ready) = tail.ready.take()
            && let Err(error) = self.segments.remove(ready.number)
        {
            log::warn!("{error}");
        }
        match self.segments.create_bare(tail.next_number) {
            Ok(segment) => {
                tail.next_number += 1;
                tail.begin(Arc::new(segment));
            }
            Err(error) => log::warn!("the journal keeps what is in the store: {error}"),
        }
        drop(tail);
        drop(ordering);
    }

    /// Drops what is left but for the segment that a durable state names, which has everything up
    /// to this point, if nothing was appended since. `ordering` is the lock that orders the
    /// operations: nobody may be between a reservation and its record. It is let go before a disk
    /// is waited for.
    pub fn close(&self, point: &Point, ordering: impl Sized) -> Result<(), JournalError> {
        let ready = {
            let mut tail = self.tail.lock();
            if tail.seq != point.position.seq {
                return Ok(());
            }
            tail.ready.take()
        };
        drop(ordering);
        ready.map_or(Ok(()), |segment| self.segments.remove(segment.number))
    }

    /// Waits until the payloads of all records before a point have been written.
    pub fn wait_for_payloads(&self, point: &Point) -> Result<(), JournalError> {
        let mut tail = self.tail.lock();
        while tail.pending.first().is_some_and(|seq| *seq < point.position.seq) {
            self.completed.wait(&mut tail);
        }
        tail.check()
    }
}
