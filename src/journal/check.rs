//! Looking for damage in a journal, beside its writer or after its end.
//!
//! What a writer leaves that was killed is no damage: a record of which a beginning is there, and
//! large payloads that are not there to the end. The order of writing tells them from damage: the
//! end of what was being written cannot be there, nor anything behind it, and a commit comes after
//! all that is in it. That does not tell a
//! record whose end was lost from one that was never completed, and after a power loss it tells
//! nothing, since then anything may be missing: such a journal ends where it does not check. But
//! what lies before the place up to which it is known to be durable is there, or damaged.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::chain::{Chain, Loss, Step};
use super::recover::SegmentReader;
use super::segment::Segments;
use super::{Journal, JournalError};
use crate::base::disk::{Disk, OpenMode};
use crate::base::limits::{JOURNAL_PAYLOAD_BYTES_INLINE, JOURNAL_SEGMENT_BYTES_MAX};
use crate::format::journal::{RECORD_HEADER_BYTES, Record, RecordHeader, SEGMENT_HEADER_BYTES};
use crate::format::worktree::JournalPosition;

const PAYLOAD: &str = "the checksum of a payload does not match";
/// How much is read at a time when a segment is searched.
const SEARCH_BYTES: u64 = 1024 * 1024;

/// Damage of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentDamage {
    /// The segment.
    pub file: PathBuf,
    /// Where in it, if it is there.
    pub offset: Option<u64>,
    /// What is wrong.
    pub detail: String,
}

impl Journal {
    /// Looks for damage from a position on, in what would be replayed, and changes nothing. Where
    /// the journal cannot be followed any further the search ends. Somebody may be writing
    /// meanwhile: damage that is not found again was a record on its way.
    pub fn check(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        from: JournalPosition,
    ) -> Result<Vec<SegmentDamage>, JournalError> {
        let segments = Segments::open(disk, dir)?;
        let mut found = Vec::new();
        let numbers = segments.numbers()?;
        let mut chain = Chain::new(&segments, &numbers, from, OpenMode::Read)?;
        loop {
            let mut reader = match chain.next()? {
                Step::Segment(reader) => reader,
                Step::Lost(loss) => {
                    found.push(loss.damage(&segments));
                    break;
                }
                Step::End => break,
            };
            let file = segments.path(reader.number);
            // Whoever made one that nobody names may have been killed before it wrote the header.
            let has_lost_header = reader.header_damaged
                && (reader.is_named
                    || last_written(&mut reader, SEGMENT_HEADER_BYTES as u64)?.is_some());
            match fault(&mut reader, &mut chain)? {
                Some(Fault::Lost(loss)) => {
                    found.push(loss.damage(&segments));
                    break;
                }
                Some(Fault::At(offset, detail)) => {
                    found.push(SegmentDamage { file, offset: Some(offset), detail });
                    break;
                }
                None if has_lost_header => {
                    let detail = "the header of the segment is damaged".to_owned();
                    found.push(SegmentDamage { file, offset: Some(0), detail });
                }
                None => {}
            }
            if reader.is_cut() {
                break;
            }
        }
        Ok(found)
    }
}

/// What is wrong with a segment.
enum Fault {
    /// What was there is lost.
    Lost(Loss),
    /// There is something at an offset that no writer leaves.
    At(u64, String),
}

/// The first thing that is wrong with the records of a segment, unless it is what a writer leaves.
fn fault(reader: &mut SegmentReader, chain: &mut Chain<'_>) -> Result<Option<Fault>, JournalError> {
    let said = |at, detail: &str| Ok(Some(Fault::At(at, detail.to_owned())));
    let mut mark = 0;
    loop {
        match reader.next() {
            Ok(Some(Record::Mark)) => mark = reader.seq,
            Ok(Some(Record::Commit(_))) => {
                // A commit waits for every payload before its mark.
                let lost = reader.incomplete.first().filter(|(_, seq, _)| *seq < mark);
                if let Some((at, ..)) = lost {
                    return said(*at, PAYLOAD);
                }
            }
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(JournalError::Corrupt { offset, detail, .. }) => return said(offset, &detail),
            Err(error) => return Err(error),
        }
    }
    if let Some(loss) = reader.counts().then(|| chain.read(reader)).flatten() {
        return Ok(Some(Fault::Lost(loss)));
    }
    if !reader.whole && !reader.header_damaged {
        return Ok(None);
    }
    for (at, _, header) in std::mem::take(&mut reader.incomplete) {
        let end = at + header.record_bytes();
        let is_small = header.payload_len as usize <= JOURNAL_PAYLOAD_BYTES_INLINE;
        // A small payload is written together with what follows it, so nothing does.
        if (is_small && end < reader.at) || is_written(reader, end)? {
            return said(at, PAYLOAD);
        }
    }
    let at = reader.at;
    let Some(last) = last_written(reader, at)? else { return Ok(None) };
    let mut header = [0; RECORD_HEADER_BYTES];
    if let Some(bytes) = reader.bytes(at, RECORD_HEADER_BYTES as u64)? {
        header.copy_from_slice(bytes);
    }
    let end = at.saturating_add(RecordHeader::decode(&header).record_bytes());
    let is_plausible = end - at <= JOURNAL_SEGMENT_BYTES_MAX && end <= reader.file_bytes;
    // Only the beginning of a header may be there.
    let is_short = last < at + RECORD_HEADER_BYTES as u64;
    let is_a_beginning = header != [0; RECORD_HEADER_BYTES]
        && (is_short || (is_plausible && last + 1 < end && end > at + RECORD_HEADER_BYTES as u64));
    if is_a_beginning {
        return Ok(None);
    }
    said(at, "there is no record here, but more was written behind it")
}

/// Tells whether the last byte before an offset is there and not zero.
fn is_written(reader: &mut SegmentReader, end: u64) -> Result<bool, JournalError> {
    Ok(reader.bytes(end - 1, 1)?.is_some_and(|byte| byte != [0]))
}

/// Where the last byte is, from an offset on, that is not zero: room that was set aside is.
fn last_written(reader: &mut SegmentReader, from: u64) -> Result<Option<u64>, JournalError> {
    let mut end = reader.file_bytes;
    while end > from {
        let at = end.saturating_sub(SEARCH_BYTES).max(from);
        let found =
            reader.bytes(at, end - at)?.and_then(|bytes| bytes.iter().rposition(|b| *b != 0));
        if let Some(found) = found {
            return Ok(Some(at + found as u64));
        }
        end = at;
    }
    Ok(None)
}
