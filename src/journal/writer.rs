//! Appending to the journal.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::segment::{Segment, failed};
use super::{Journal, JournalError, JournalStats};
use crate::base::disk::is_full;
use crate::base::limits::{JOURNAL_PAYLOAD_BYTES_INLINE, JOURNAL_RECORD_ROOM_BYTES};
use crate::format::journal::{
    NEXT_AT, NextSegment, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, encode_next, seal_record,
};

/// The end of the journal.
#[derive(Debug)]
pub(super) struct Tail {
    /// What is written to; none until something is.
    pub(super) active: Option<Active>,
    /// The next segment, made ahead.
    pub(super) ready: Option<Arc<Segment>>,
    pub(super) next_number: u64,
    /// Segments that are begun from now on have this number at least. That of one which is being
    /// made ahead may be lower than `next_number`.
    begin_min: u64,
    /// The number that the next record gets.
    pub(super) seq: u64,
    /// Records whose payload is on its way.
    pub(super) pending: BTreeSet<u64>,
    /// Full segments that were not synced since something was written to them.
    pub(super) unsynced: Vec<Arc<Segment>>,
    /// Segments on the disk that are not written to any more, with their lengths.
    pub(super) full: VecDeque<(u64, u64)>,
    /// Why nothing can be appended, and the number of the segment that is in doubt.
    pub(super) failure: Option<(u64, JournalError)>,
    /// What was written since the journal was opened, and was there then.
    pub(super) written: Amount,
    /// As much of that as has been cut off.
    pub(super) cut: Amount,
}

#[derive(Debug)]
pub(super) struct Active {
    pub(super) segment: Arc<Segment>,
    /// Where the next record goes.
    pub(super) end: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    records: u64,
    bytes: u64,
    cost: u64,
}

/// Whether an operation may use what was set aside for when the disk is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// It may not.
    Ordinary,
    /// It may: it makes room, or needs next to nothing.
    MakesRoom,
}

/// A record that is being put together: room for its header, then its fields.
#[derive(Debug)]
pub struct RecordBuffer {
    bytes: Vec<u8>,
}

impl RecordBuffer {
    /// An empty one.
    pub fn new() -> Self {
        Self { bytes: vec![0; RECORD_HEADER_BYTES] }
    }

    /// Drops the fields.
    pub fn clear(&mut self) {
        self.bytes.truncate(RECORD_HEADER_BYTES);
    }

    /// Tells whether there are no fields yet.
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == RECORD_HEADER_BYTES
    }

    /// Where fields are appended.
    pub fn fields(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Default for RecordBuffer {
    fn default() -> Self {
        Self::new()
    }
}

/// A record whose payload has yet to be written: to be [completed](Journal::complete).
#[must_use = "the record counts when it has been completed"]
#[derive(Debug)]
pub struct Ticket<'a> {
    journal: &'a Journal,
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    seq: u64,
    segment: Arc<Segment>,
    at: u64,
}

impl Tail {
    /// `active` is a segment to go on with, and where its records end; `full` are others.
    pub(super) fn new(
        next_number: u64,
        seq: u64,
        active: Option<(Segment, u64)>,
        full: VecDeque<(u64, u64)>,
    ) -> Self {
        let active = active.map(|(segment, end)| Active { segment: Arc::new(segment), end });
        Self {
            active,
            ready: None,
            next_number,
            begin_min: next_number,
            seq,
            pending: BTreeSet::new(),
            unsynced: Vec::new(),
            full,
            failure: None,
            written: Amount::default(),
            cut: Amount::default(),
        }
    }

    /// Counts records that recovery found.
    pub(super) fn count_found(&mut self, records: u64, bytes: u64, cost: u64) {
        self.written = Amount { records, bytes, cost };
    }

    /// The failure, for those who come after it.
    pub(super) fn check(&self) -> Result<(), JournalError> {
        self.failure.as_ref().map_or(Ok(()), |(_, error)| Err(error.clone()))
    }

    /// Appends nothing any more, since a segment is in doubt.
    pub(super) fn fail(&mut self, segment: u64, error: &JournalError) {
        log::error!("{error}");
        match (error, &mut self.failure) {
            (_, Some((last, _))) => *last = segment.max(*last),
            (JournalError::Io { context, source }, failure @ None) => {
                let (context, source) = (context.clone(), source.clone());
                *failure = Some((segment, JournalError::Failed { context, source }));
            }
            _ => {}
        }
    }

    /// A process before this one could not make durable what is there, which then only a checkpoint
    /// can.
    pub(super) fn doubt(&mut self) {
        let context = "a sync of it failed before it was opened".to_owned();
        let source = Arc::new(std::io::Error::other("what it holds may not be on the disk"));
        self.failure = Some((self.next_number - 1, JournalError::Failed { context, source }));
    }

    /// The segment that is written to, and where its records end.
    pub(super) fn active_end(&self) -> Option<(Arc<Segment>, u64)> {
        self.active.as_ref().map(|active| (active.segment.clone(), active.end))
    }

    fn has_room(&self, bytes: u64) -> bool {
        self.active.as_ref().is_some_and(|active| active.end + bytes <= active.segment.bytes)
    }

    fn wants_segment(&self) -> bool {
        let half_full = |active: &Active| active.end > active.segment.bytes / 2;
        self.ready.is_none() && self.failure.is_none() && self.active.as_ref().is_none_or(half_full)
    }

    /// Has the next records go into a segment. Unless the one before is in doubt, it has to name
    /// it: if that cannot be written, nothing is appended any more.
    pub(super) fn begin(&mut self, segment: Arc<Segment>) {
        self.begin_min = segment.number + 1;
        let number = segment.number;
        let old = self.active.replace(Active { segment, end: SEGMENT_HEADER_BYTES as u64 });
        if let Some(Active { segment, end }) = old {
            let next = encode_next(NextSegment { number, end });
            if self.failure.is_none()
                && let Err(error) = segment.file.write_all_at(&next, NEXT_AT as u64)
            {
                let error = failed("writing to the header of", &segment.path, error);
                self.fail(segment.number, &error);
            }
            self.full.push_back((segment.number, segment.bytes));
            self.unsynced.push(segment);
        }
    }
}

impl Journal {
    /// The same, and from now on nothing is appended.
    pub fn switched_off(self) -> Self {
        Self { off: true, ..self }
    }

    /// Sees to it that a record with a payload of so many bytes can be appended. The caller holds
    /// the lock that orders the operations until it has appended the record.
    pub fn reserve(&self, payload_bytes: u64, urgency: Urgency) -> Result<(), JournalError> {
        if self.off {
            return Ok(());
        }
        let mut tail = self.tail.lock();
        tail.check()?;
        let bytes = payload_bytes + JOURNAL_RECORD_ROOM_BYTES;
        if tail.has_room(bytes) {
            return Ok(());
        }
        let segment = match tail.ready.take() {
            Some(segment) => segment,
            None => Arc::new(self.create(&mut tail, urgency)?),
        };
        tail.begin(segment);
        tail.check()
    }

    pub(super) fn create(
        &self,
        tail: &mut Tail,
        urgency: Urgency,
    ) -> Result<Segment, JournalError> {
        let number = tail.next_number;
        let lag = tail.written.bytes - tail.cut.bytes;
        let made = match self.segments.create(number, lag, urgency) {
            Err(error) if urgency == Urgency::MakesRoom && error.io().is_some_and(is_full) => {
                self.segments.use_reserve(number)?.ok_or(error)
            }
            made => made,
        };
        tail.next_number += u64::from(made.is_ok());
        made.map_err(|error| match error {
            JournalError::Io { context, source } if is_full(&source) => {
                JournalError::NoRoom { context, source }
            }
            error => error,
        })
    }

    /// Makes ahead what will be needed soon: the next segment and the reserve. To be called now and
    /// then by one who may wait. A full disk is no failure: who needs the room will be told.
    pub fn prepare(&self) -> Result<(), JournalError> {
        let wanted = {
            let mut tail = self.tail.lock();
            tail.check()?;
            if tail.wants_segment() {
                tail.next_number += 1;
                Some((tail.next_number - 1, tail.written.bytes - tail.cut.bytes))
            } else {
                None
            }
        };
        if let Some((number, bytes)) = wanted {
            let segment = match self.segments.create(number, bytes, Urgency::Ordinary) {
                Err(error) if error.io().is_some_and(is_full) => return Ok(()),
                segment => Arc::new(segment?),
            };
            let mut tail = self.tail.lock();
            // One with a higher number may have been made at once meanwhile.
            if number >= tail.begin_min && tail.ready.is_none() {
                tail.ready = Some(segment);
            } else {
                drop(tail);
                self.segments.remove(number)?;
            }
        }
        match self.segments.fill_reserve() {
            Err(error) if error.io().is_some_and(is_full) => Ok(()),
            filled => filled,
        }
    }

    /// Appends a record, for which room was reserved under the lock that the caller still holds. A
    /// short payload is written at once, and then `None` comes back. `payload_sum` is its CRC-32C.
    ///
    /// On return without a ticket the record survives the end of the process.
    pub fn append(
        &self,
        record: &mut RecordBuffer,
        payload: &[u8],
        payload_sum: u32,
        cost: u64,
    ) -> Result<Option<Ticket<'_>>, JournalError> {
        if self.off {
            return Ok(None);
        }
        let mut tail = self.tail.lock();
        tail.check()?;
        let seq = tail.seq;
        seal_record(&mut record.bytes, seq, payload.len(), payload_sum);
        let record_bytes = (record.bytes.len() + payload.len()) as u64;
        let inline = payload.len() <= JOURNAL_PAYLOAD_BYTES_INLINE;
        if inline {
            record.bytes.extend_from_slice(payload);
        }
        let Some(Active { segment, end }) = &mut tail.active else {
            unreachable!("room is reserved before a record is appended");
        };
        let (segment, at) = (segment.clone(), *end);
        if let Err(error) = segment.file.write_all_at(&record.bytes, at) {
            let error = failed("writing", &segment.path, error);
            tail.fail(segment.number, &error);
            return Err(error);
        }
        *end = at + record_bytes;
        tail.seq += 1;
        tail.written.records += 1;
        tail.written.bytes += record_bytes;
        tail.written.cost += cost;
        if inline {
            return Ok(None);
        }
        tail.pending.insert(seq);
        let at = at + record.bytes.len() as u64;
        Ok(Some(Ticket { journal: self, pending: Some(Pending { seq, segment, at }) }))
    }

    /// Writes the payload of a record. On return the record survives the end of the process.
    pub fn complete(&self, mut ticket: Ticket<'_>, payload: &[u8]) -> Result<(), JournalError> {
        let Some(Pending { seq, segment, at }) = ticket.pending.take() else { return Ok(()) };
        let written = segment.file.write_all_at(payload, at);
        let written = written.map_err(|error| failed("writing", &segment.path, error));
        self.settle(seq, segment.number, written.as_ref().err());
        written
    }

    fn settle(&self, seq: u64, segment: u64, error: Option<&JournalError>) {
        let mut tail = self.tail.lock();
        tail.pending.remove(&seq);
        if let Some(error) = error {
            tail.fail(segment, error);
        }
        self.completed.notify_all();
    }

    /// How much there is to be replayed: bytes, and the cost that the records were appended with.
    pub fn lag(&self) -> (u64, u64) {
        let tail = self.tail.lock();
        (tail.written.bytes - tail.cut.bytes, tail.written.cost - tail.cut.cost)
    }

    /// Tells whether it is time to [prepare](Self::prepare) the next segment.
    pub fn wants_segment(&self) -> bool {
        !self.off && self.tail.lock().wants_segment()
    }

    /// Why nothing can be appended, if that is so.
    pub fn failure(&self) -> Option<JournalError> {
        self.tail.lock().check().err()
    }

    /// What the journal has done so far.
    pub fn stats(&self) -> JournalStats {
        let syncs = self.syncs();
        let tail = self.tail.lock();
        let open =
            tail.active.as_ref().map(|active| &active.segment).into_iter().chain(&tail.ready);
        let open_bytes = open.map(|segment| segment.bytes).sum::<u64>();
        JournalStats {
            records: tail.written.records - tail.cut.records,
            bytes: tail.written.bytes - tail.cut.bytes,
            disk_bytes: open_bytes + tail.full.iter().map(|(_, bytes)| bytes).sum::<u64>(),
            syncs,
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        // Nobody waits for ever for a payload that never comes.
        if let Some(Pending { seq, segment, .. }) = self.pending.take() {
            let error = std::io::ErrorKind::Interrupted.into();
            let error = failed("completing a record of", &segment.path, error);
            self.journal.settle(seq, segment.number, Some(&error));
        }
    }
}
