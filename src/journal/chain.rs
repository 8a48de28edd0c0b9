//! Which segments a journal consists of: the last state of the worktree names the first, and each
//! names the next one.
//!
//! A segment is durable before anything names it, and is named before a record goes into it. So one
//! that is named and is not there has been lost, after any end of its writer, and nobody has to
//! guess whether there was anything in it. One that nobody names was made ahead, or its writer
//! ended before it could use it. But what the page cache has lost with the machine may be the name
//! of a segment and not what is in it: records that follow tell that as well.

use std::io;
use std::iter::Copied;
use std::slice::Iter;

use super::JournalError;
use super::check::SegmentDamage;
use super::recover::SegmentReader;
use super::segment::{Segments, failed};
use crate::base::disk::OpenMode;
use crate::format::journal::{SEGMENT_HEADER_BYTES, decode_durable};
use crate::format::worktree::JournalPosition;

const LOST: &str = "a record that was durable is damaged or lost";
const MISSING: &str = "it is missing, with what was done since it had been begun";

/// The first thing of a journal that was there and is not there any more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loss {
    pub(super) number: u64,
    /// Where in the segment, unless the whole file is missing.
    pub(super) at: Option<u64>,
}

impl Loss {
    pub(super) fn error(self, segments: &Segments) -> JournalError {
        let file = segments.path(self.number);
        match self.at {
            Some(offset) => JournalError::Corrupt { file, offset, detail: LOST.to_owned() },
            None => JournalError::Missing { file, detail: MISSING },
        }
    }

    pub(super) fn damage(self, segments: &Segments) -> SegmentDamage {
        let detail = if self.at.is_some() { LOST } else { MISSING }.to_owned();
        SegmentDamage { file: segments.path(self.number), offset: self.at, detail }
    }
}

/// What comes next in a journal.
#[derive(Debug)]
pub(super) enum Step {
    /// A segment that is named, or that nobody names: then it counts if it has records.
    Segment(SegmentReader),
    /// The next segment is lost.
    Lost(Loss),
    End,
}

/// Goes through the segments of a journal.
#[derive(Debug)]
pub(super) struct Chain<'a> {
    segments: &'a Segments,
    from: JournalPosition,
    mode: OpenMode,
    /// Those that are left.
    numbers: Copied<Iter<'a, u64>>,
    /// The one that has to come next.
    named: Option<u64>,
    /// The last segment that is known to have durable records, and where these end.
    durable: Option<(u64, u64)>,
    seq: u64,
}

impl<'a> Chain<'a> {
    /// `numbers` are those of the segments that there are.
    pub(super) fn new(
        segments: &'a Segments,
        numbers: &'a [u64],
        from: JournalPosition,
        mode: OpenMode,
    ) -> Result<Self, JournalError> {
        let durable = durable_end(segments, numbers)?;
        let first = numbers.partition_point(|number| *number < from.segment);
        let numbers = numbers[first..].iter().copied();
        let (named, seq) = (from.named(), from.seq);
        Ok(Self { segments, from, mode, numbers, named, durable, seq })
    }

    /// The next segment, of which nothing has been read.
    pub(super) fn next(&mut self) -> Result<Step, JournalError> {
        loop {
            let number =
                self.numbers.find(|number| self.named.is_none_or(|named| named <= *number));
            let missing = self.named.filter(|named| number != Some(*named));
            if let Some(number) = missing {
                // Its writer may have made it since the segments were listed.
                let is_there = self.segments.is_there(number)?;
                return Ok(if is_there {
                    Step::End
                } else {
                    Step::Lost(Loss { number, at: None })
                });
            }
            let Some(number) = number else { return Ok(Step::End) };
            let is_named = self.named.take().is_some();
            let start = self.from.start_in(number);
            match SegmentReader::open(self.segments, (number, is_named), self.mode, start, self.seq)
            {
                // Its writer has removed it since.
                Err(JournalError::Io { source, .. })
                    if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
                Ok(Some(reader)) => return Ok(Step::Segment(reader)),
                Ok(None) if is_named => return Ok(Step::Lost(Loss { number, at: Some(0) })),
                Ok(None) => {}
            }
        }
    }

    /// To be told of each segment that counts, when its records have been read. Returns what it has
    /// lost, if it has lost anything.
    pub(super) fn read(&mut self, reader: &SegmentReader) -> Option<Loss> {
        self.named = reader.next.map(|next| next.number);
        self.seq = reader.seq;
        let at = reader.lost(self.durable)?;
        Some(Loss { number: reader.number, at: Some(at) })
    }
}

/// The last segment with records that are known to be durable, and where these end.
fn durable_end(segments: &Segments, numbers: &[u64]) -> Result<Option<(u64, u64)>, JournalError> {
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
