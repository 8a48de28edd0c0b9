//! Ending a journal before damage, so that what comes before it can be recovered.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::recover::{SegmentReader, durable_end};
use super::segment::{Segments, failed};
use super::{Journal, JournalError};
use crate::base::disk::{Disk, OpenMode};
use crate::format::journal::{DURABLE_AT, SEGMENT_HEADER_BYTES, encode_durable};
use crate::format::worktree::JournalPosition;

impl Journal {
    /// Ends a journal before the first record that was durable and is damaged or lost. What comes
    /// after it is given up, since it builds on that. Durable on return. Returns the segment in
    /// which the journal ends now, or `None` if nothing is damaged that was durable. Nobody may
    /// have the journal open.
    pub fn end_before_damage(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        from: JournalPosition,
    ) -> Result<Option<PathBuf>, JournalError> {
        let segments = Segments::open(disk, dir)?;
        let numbers = segments.numbers()?;
        let durable = durable_end(&segments, &numbers)?;
        let mut seq = from.seq;
        for number in numbers.iter().copied().filter(|number| *number >= from.segment) {
            let start = from.start_in(number);
            let at = match SegmentReader::open(&segments, number, OpenMode::Read, start, seq)? {
                None => from.has_begun(number).then_some(0),
                Some(mut reader) => {
                    while reader.next()?.is_some() {}
                    seq = reader.seq;
                    reader.lost(durable)
                }
            };
            if let Some(at) = at {
                let later = numbers.iter().rev().take_while(|later| **later > number);
                later.into_iter().try_for_each(|later| segments.remove(*later))?;
                end_at(&segments, number, at)?;
                return Ok(Some(segments.path(number)));
            }
        }
        Ok(None)
    }
}

/// Ends a segment here, which is the last one.
fn end_at(segments: &Segments, number: u64, at: u64) -> Result<(), JournalError> {
    if at <= SEGMENT_HEADER_BYTES as u64 {
        segments.remove(number)?;
    } else {
        let path = segments.path(number);
        let end = || {
            let file = segments.disk.open(&path, OpenMode::Write)?;
            file.write_all_at(&encode_durable(at), DURABLE_AT as u64)?;
            file.set_len(at)?;
            file.sync_data()
        };
        end().map_err(|error| failed("ending", &path, error))?;
    }
    let synced = segments.disk.sync_dir(&segments.dir);
    synced.map_err(|error| failed("syncing", &segments.dir, error))
}
