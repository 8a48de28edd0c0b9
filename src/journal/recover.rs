//! Reading a journal again after its writer has ended, in whatever way.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::segment::{Segments, failed};
use super::sync::SyncState;
use super::writer::Tail;
use super::{Journal, JournalError};
use crate::base::disk::{Disk, DiskFile, OpenMode};
use crate::base::limits::{JOURNAL_COMMIT_COST, JOURNAL_SEGMENT_BYTES_MAX};
use crate::base::sync::{Condvar, Mutex};
use crate::format::journal::{
    RECORD_HEADER_BYTES, Record, RecordHeader, SEGMENT_HEADER_BYTES, SegmentError, SegmentHeader,
    decode_durable, decode_record, seal_record, void_fields,
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
    /// Tells whether nothing is left in the directory of a journal, as after its [close](Self::close).
    pub fn is_closed(disk: &Arc<dyn Disk>, dir: &std::path::Path) -> Result<bool, JournalError> {
        Ok(Segments::open(disk, dir)?.numbers()?.is_empty())
    }

    /// Opens the journal in a directory and hands every record from a position on to `replay`, in
    /// order. On return all that was replayed is durable, and recovering again would find the same.
    ///
    /// Fails with what `replay` fails with, and where records are damaged that were durable: going on
    /// would be to lose what came after them. Then it leaves the journal as it was.
    pub fn recover<E: From<JournalError>>(
        disk: &Arc<dyn Disk>,
        dir: &std::path::Path,
        from: JournalPosition,
        mut replay: impl FnMut(Record) -> Result<(), E>,
    ) -> Result<(Self, Recovered), E> {
        let segments = Segments::open(disk, dir)?;
        let numbers = segments.numbers()?;
        let durable = durable_end(&segments, &numbers)?;
        let next_number = numbers.last().map_or(0, |last| last + 1).max(from.segment + 1);
        let mut found = Recovered::default();
        let (mut seq, mut cost) = (from.seq, 0);
        let mut kept = VecDeque::new();
        let mut last: Option<SegmentReader> = None;
        let mut cut = false;
        for number in numbers {
            if number < from.segment || cut {
                segments.remove(number)?;
                continue;
            }
            let start = from.start_in(number);
            let opened = SegmentReader::open(&segments, number, OpenMode::Write, start, seq)?;
            let Some(mut reader) = opened else {
                if from.has_begun(number) {
                    return Err(lost(segments.path(number), 0).into());
                }
                segments.remove(number)?;
                continue;
            };
            while let Some(record) = reader.next()? {
                cost += if matches!(record, Record::Commit(_)) { JOURNAL_COMMIT_COST } else { 1 };
                match record {
                    Record::Void => {}
                    record => replay(record)?,
                }
            }
            if let Some(at) = reader.lost(durable) {
                return Err(lost(reader.path, at).into());
            }
            let records = reader.seq - seq;
            found.records += records;
            found.bytes += reader.at - start;
            found.void += reader.incomplete.len() as u64;
            seq = reader.seq;
            if records == 0 && number != from.segment {
                // What follows could only be what a dead writer had made ahead, or what lies
                // behind a gap.
                segments.remove(number)?;
            } else {
                cut = reader.finish()?;
                kept.extend(last.replace(reader).map(|before| (before.number, before.at)));
            }
        }
        found.cut = cut;
        let active = last.map(|SegmentReader { number, file, at, .. }| {
            segments.resume(number, file, at).map(|segment| (segment, at))
        });
        let mut tail = Tail::new(next_number, seq, active.transpose()?, kept);
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

/// The last segment with records that are known to be durable, and where these end.
pub(super) fn durable_end(
    segments: &Segments,
    numbers: &[u64],
) -> Result<Option<(u64, u64)>, JournalError> {
    for number in numbers.iter().rev() {
        let path = segments.path(*number);
        let read = || -> io::Result<Option<u64>> {
            let file = match segments.disk.open(&path, OpenMode::Read) {
                // Its writer has removed it since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                opened => opened?,
            };
            let mut header = [0; SEGMENT_HEADER_BYTES];
            if file.len()? < header.len() as u64 {
                return Ok(None);
            }
            file.read_exact_at(&mut header, 0)?;
            Ok(decode_durable(&header))
        };
        if let Some(offset) = read().map_err(|error| failed("reading", &path, error))? {
            return Ok(Some((*number, offset)));
        }
    }
    Ok(None)
}

pub(super) const LOST: &str = "a record that was durable is damaged or lost";

fn lost(file: PathBuf, offset: u64) -> JournalError {
    JournalError::Corrupt { file, offset, detail: LOST.to_owned() }
}

/// Reads the records of a segment.
pub(super) struct SegmentReader {
    number: u64,
    pub(super) path: PathBuf,
    file: Box<dyn DiskFile>,
    pub(super) file_bytes: u64,
    /// Written in this run of the machine, so that all that was written is there.
    pub(super) whole: bool,
    /// The header of the segment does not check.
    pub(super) header_damaged: bool,
    window: Vec<u8>,
    window_at: u64,
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
        number: u64,
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
            path,
            file,
            file_bytes,
            whole,
            header_damaged,
            window,
            window_at,
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

    /// Where a record does not check that was durable, if one does not, after all were read.
    pub(super) fn lost(&self, durable: Option<(u64, u64)>) -> Option<u64> {
        let (number, end) = durable?;
        let end = match self.number.cmp(&number) {
            // Where its records end is not written down, but nothing follows them.
            Ordering::Less if self.torn => u64::MAX,
            Ordering::Less => self.at,
            Ordering::Equal => end,
            Ordering::Greater => return None,
        };
        let first = self.incomplete.first().map_or(self.at, |(at, ..)| *at);
        (first < end).then_some(first)
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

    /// Leaves the segment so that it reads the same under any circumstances. Returns whether the
    /// journal ends here, because of the end of the machine.
    fn finish(&mut self) -> Result<bool, JournalError> {
        let incomplete = std::mem::take(&mut self.incomplete);
        for (at, seq, header) in &incomplete {
            self.make_void(*at, *seq, header)?;
        }
        if self.torn {
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
        Ok(self.torn && !self.whole)
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
