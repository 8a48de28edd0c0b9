//! Reading a journal again after its writer has ended, in whatever way.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use super::chain::{Chain, Step};
use super::segment::{Segments, failed};
use super::sync::SyncState;
use super::writer::Tail;
use super::{Journal, JournalError};
use crate::base::disk::{Disk, DiskFile, OpenMode};
use crate::base::limits::{JOURNAL_COMMIT_COST, JOURNAL_SEGMENT_BYTES_MAX};
use crate::base::sync::{Condvar, Mutex};
use crate::format::journal::{
    NEXT_AT, NextSegment, RECORD_HEADER_BYTES, Record, RecordHeader, SEGMENT_HEADER_BYTES,
    SegmentError, SegmentHeader, decode_next, decode_record, encode_next, seal_record, void_fields,
};
use crate::format::worktree::JournalPosition;

/// How much of a segment is read at a time.
const WINDOW_BYTES: usize = 1024 * 1024;

/// What recovery found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Records that were replayed.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Records that had been begun and not completed, and so never acknowledged.
    pub void: u64,
    /// Whether the journal was cut where its writing was interrupted by the end of the machine.
    pub cut: bool,
}

impl Journal {
    /// Tells whether there is no record in the directory of a journal, as after its
    /// [close](Self::close).
    pub fn is_closed(disk: &Arc<dyn Disk>, dir: &std::path::Path) -> Result<bool, JournalError> {
        let segments = Segments::open(disk, dir)?;
        for number in segments.numbers()? {
            if segments.has_begun(number)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Opens the journal in a directory and hands every record from a position on to `replay`, in
    /// order. On return all that was replayed is durable, and recovering again would find the same.
    ///
    /// Fails with what `replay` fails with, and where records are damaged that were durable: going
    /// on would be to lose what came after them. Then it leaves the journal as it was.
    pub fn recover<E: From<JournalError>>(
        disk: &Arc<dyn Disk>,
        dir: &std::path::Path,
        from: JournalPosition,
        mut replay: impl FnMut(Record) -> Result<(), E>,
    ) -> Result<(Self, Recovered), E> {
        let segments = Segments::open(disk, dir)?;
        let numbers = segments.numbers()?;
        let next_number = numbers.last().map_or(0, |last| last + 1).max(from.segment + 1);
        let (older, numbers) =
            numbers.split_at(numbers.partition_point(|number| *number < from.segment));
        older.iter().try_for_each(|number| segments.remove(*number))?;
        let mut chain = Chain::new(&segments, numbers, from, OpenMode::Write)?;
        let mut found = Recovered::default();
        let mut cost = 0;
        let mut full = VecDeque::new();
        let mut last: Option<SegmentReader> = None;
        while !found.cut {
            let mut reader = match chain.next()? {
                Step::Segment(reader) => reader,
                Step::Lost(loss) => return Err(loss.error(&segments).into()),
                Step::End => break,
            };
            let (start, seq) = (reader.at, reader.seq);
            while let Some(record) = reader.next()? {
                cost += if matches!(record, Record::Commit(_)) { JOURNAL_COMMIT_COST } else { 1 };
                match record {
                    Record::Void => {}
                    record => replay(record)?,
                }
            }
            if !reader.counts() {
                continue;
            }
            if let Some(loss) = chain.read(&reader) {
                return Err(loss.error(&segments).into());
            }
            found.records += reader.seq - seq;
            found.bytes += reader.at - start;
            found.void += reader.incomplete.len() as u64;
            found.cut = reader.finish()?;
            if let Some(before) = last.as_ref().filter(|_| !reader.is_named) {
                before.name_next(reader.number)?;
            }
            full.extend(last.replace(reader).map(|before| (before.number, before.at)));
        }
        let seq = last.as_ref().map_or(from.seq, |last| last.seq);
        let active = last.map(|SegmentReader { number, file, at, .. }| {
            segments.resume(number, file, at).map(|segment| (segment, at))
        });
        let active = active.transpose()?;
        // Not before the last one names none of them.
        let mut kept: Vec<u64> = full.iter().map(|(number, _)| *number).collect();
        kept.extend(active.as_ref().map(|(segment, _)| segment.number));
        segments.remove_all(numbers.iter().filter(|number| !kept.contains(number)))?;
        let mut tail = Tail::new(next_number, seq, active, full);
        tail.count_found(found.records, found.bytes, cost);
        if segments.is_in_doubt() {
            tail.doubt();
        }
        let journal = Self {
            off: false,
            segments,
            tail: Mutex::new(tail),
            completed: Condvar::new(),
            sync: Mutex::new(SyncState::up_to(seq)),
            synced: Condvar::new(),
        };
        Ok((journal, found))
    }
}

/// Reads the records of a segment.
#[derive(Debug)]
pub(super) struct SegmentReader {
    pub(super) number: u64,
    /// The state or the segment before names it.
    pub(super) is_named: bool,
    /// What comes behind it, if it names one.
    pub(super) next: Option<NextSegment>,
    pub(super) path: PathBuf,
    file: Box<dyn DiskFile>,
    pub(super) file_bytes: u64,
    /// Written in this run of the machine, so that all that was written is there.
    pub(super) whole: bool,
    /// The header of the segment does not check.
    pub(super) header_damaged: bool,
    window: Vec<u8>,
    window_at: u64,
    start: u64,
    /// Where the next record begins.
    pub(super) at: u64,
    pub(super) seq: u64,
    /// Records without their payload: where, which number, how many bytes.
    pub(super) incomplete: Vec<(u64, u64, RecordHeader)>,
    /// Bytes that are no record follow.
    torn: bool,
}

impl SegmentReader {
    /// `None` if the file was never begun.
    pub(super) fn open(
        segments: &Segments,
        (number, is_named): (u64, bool),
        mode: OpenMode,
        start: u64,
        seq: u64,
    ) -> Result<Option<Self>, JournalError> {
        let path = segments.path(number);
        let io = |error| failed("reading", &path, error);
        let file = segments.disk.open(&path, mode).map_err(io)?;
        let file_bytes = file.len().map_err(io)?;
        let mut header = [0; SEGMENT_HEADER_BYTES];
        if file_bytes < header.len() as u64 {
            return Ok(None);
        }
        file.read_exact_at(&mut header, 0).map_err(io)?;
        let mut header_damaged = false;
        let whole = match SegmentHeader::decode(&header) {
            Ok(header) => header.number == number && header.boot_id == segments.boot_id,
            Err(SegmentError::Version(_)) => {
                return Err(JournalError::UnknownFormat { file: path });
            }
            Err(SegmentError::Header) => {
                // Its records have checksums of their own.
                log::warn!("{} at offset 0: {}", path.display(), SegmentError::Header);
                header_damaged = true;
                false
            }
        };
        let (window, window_at, torn) = Default::default();
        let (incomplete, at) = (Vec::new(), start);
        Ok(Some(Self {
            number,
            is_named,
            next: decode_next(&header),
            path,
            file,
            file_bytes,
            whole,
            header_damaged,
            window,
            window_at,
            start,
            at,
            seq,
            incomplete,
            torn,
        }))
    }

    /// So many bytes from an offset on, or `None` if the file ends before.
    pub(super) fn bytes(&mut self, at: u64, len: u64) -> Result<Option<&[u8]>, JournalError> {
        let end = at.saturating_add(len);
        if end > self.file_bytes {
            return Ok(None);
        }
        if at < self.window_at || end > self.window_at + self.window.len() as u64 {
            // Both are at most the length of the largest segment.
            let bytes = (self.file_bytes - at).min(len.max(WINDOW_BYTES as u64)) as usize;
            self.window.resize(bytes, 0);
            self.window_at = at;
            let read = self.file.read_exact_at(&mut self.window, at);
            read.map_err(|error| failed("reading", &self.path, error))?;
        }
        let from = (at - self.window_at) as usize;
        Ok(self.window.get(from..from + len as usize))
    }

    /// Tells whether it belongs to the journal, after all records were read.
    pub(super) fn counts(&self) -> bool {
        self.is_named || self.at > self.start
    }

    /// Where a record does not check that was durable, if one does not, after all were read.
    pub(super) fn lost(&self, durable: Option<(u64, u64)>) -> Option<u64> {
        let first = self.complete_end();
        let end = match durable {
            Some((number, end)) if number == self.number => end,
            Some((number, _)) if number > self.number => match self.next {
                Some(next) => next.end,
                // Where its records end is not written down, but nothing follows them.
                None if self.torn => u64::MAX,
                None => self.at,
            },
            _ => 0,
        };
        // It was made before anybody named it.
        let has_lost_header = self.header_damaged && self.is_named && self.at == self.start;
        // What was never completed has its place all the same.
        let is_short = self.whole && self.is_short();
        if first < end { Some(first) } else { (has_lost_header || is_short).then_some(self.at) }
    }

    /// Where the first record begins that was never completed, or all end.
    pub(super) fn complete_end(&self) -> u64 {
        self.incomplete.first().map_or(self.at, |(at, ..)| *at)
    }

    /// Tells whether records were written behind those that there are.
    fn is_short(&self) -> bool {
        self.next.is_some_and(|next| self.at < next.end)
    }

    /// Tells whether the journal ends here, because of the end of the machine.
    pub(super) fn is_cut(&self) -> bool {
        !self.whole && (self.torn || self.is_short())
    }

    fn header(&mut self) -> Result<Option<[u8; RECORD_HEADER_BYTES]>, JournalError> {
        let bytes = self.bytes(self.at, RECORD_HEADER_BYTES as u64)?;
        Ok(bytes.and_then(|bytes| bytes.try_into().ok()))
    }

    /// The next record, `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Record>, JournalError> {
        loop {
            let Some(bytes) = self.header()? else { return Ok(None) };
            let header = RecordHeader::decode(&bytes);
            let (at, seq) = (self.at, self.seq);
            if header.record_bytes() > JOURNAL_SEGMENT_BYTES_MAX || self.torn {
                self.torn = true;
                return Ok(None);
            }
            let fields_at = at + RECORD_HEADER_BYTES as u64;
            let fields = self.bytes(fields_at, header.fields_len.into())?.map(<[u8]>::to_vec);
            let Some(fields) = fields.filter(|fields| header.checks(seq, &bytes, fields)) else {
                self.torn = bytes != [0; RECORD_HEADER_BYTES];
                return Ok(None);
            };
            let payload_at = fields_at + u64::from(header.fields_len);
            let payload = self.bytes(payload_at, header.payload_len.into())?;
            let good = payload.filter(|payload| crc32c::crc32c(payload) == header.payload_sum);
            let record = good.map(|payload| decode_record(&fields, payload));
            match record {
                Some(Ok(record)) => {
                    self.at += header.record_bytes();
                    self.seq += 1;
                    return Ok(Some(record));
                }
                Some(Err(error)) => {
                    let detail = error.to_string();
                    return Err(JournalError::Corrupt {
                        file: self.path.clone(),
                        offset: at,
                        detail,
                    });
                }
                None if self.whole => {
                    self.incomplete.push((at, seq, header));
                    self.at += header.record_bytes();
                    self.seq += 1;
                }
                None => {
                    self.torn = true;
                    return Ok(None);
                }
            }
        }
    }

    /// Names the segment that comes behind it. Durable on return.
    fn name_next(&self, number: u64) -> Result<(), JournalError> {
        let next = encode_next(NextSegment { number, end: self.at });
        let written = self.file.write_all_at(&next, NEXT_AT as u64);
        written.map_err(|error| failed("writing to the header of", &self.path, error))?;
        self.file.sync_data().map_err(|error| failed("syncing", &self.path, error))
    }

    /// Leaves the segment so that it reads the same under any circumstances. Returns whether the
    /// journal ends here, because of the end of the machine.
    pub(super) fn finish(&mut self) -> Result<bool, JournalError> {
        let is_cut = self.is_cut();
        let incomplete = std::mem::take(&mut self.incomplete);
        for (at, seq, header) in &incomplete {
            self.make_void(*at, *seq, header)?;
        }
        if self.torn || is_cut {
            log::warn!(
                "{} ends at offset {}: what follows was never written to the end",
                self.path.display(),
                self.at
            );
        }
        let mut finish = || {
            if self.file_bytes > self.at {
                self.file.set_len(self.at)?;
                self.file_bytes = self.at;
            }
            self.file.sync_data()
        };
        finish().map_err(|error| failed("finishing", &self.path, error))?;
        Ok(is_cut)
    }

    /// Puts a record of the same length in place of one without its payload.
    fn make_void(&mut self, at: u64, seq: u64, header: &RecordHeader) -> Result<(), JournalError> {
        let payload_at = at + RECORD_HEADER_BYTES as u64 + u64::from(header.fields_len);
        let end = payload_at + u64::from(header.payload_len);
        if end > self.file_bytes {
            let set = self.file.set_len(end);
            set.map_err(|error| failed("extending", &self.path, error))?;
            self.file_bytes = end;
        }
        self.window.clear();
        let payload = self.bytes(payload_at, header.payload_len.into())?.unwrap_or_default();
        let sum = crc32c::crc32c(payload);
        let mut record = vec![0; RECORD_HEADER_BYTES];
        record.extend(void_fields(header.fields_len as usize));
        seal_record(&mut record, seq, header.payload_len as usize, sum);
        let written = self.file.write_all_at(&record, at);
        written.map_err(|error| failed("writing", &self.path, error))
    }
}
