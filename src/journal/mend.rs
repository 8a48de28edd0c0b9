//! Ending a journal before damage, so that what comes before it can be recovered.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::chain::{Chain, Step};
use super::segment::Segments;
use super::{Journal, JournalError};
use crate::base::disk::{Disk, OpenMode};
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
        let mut chain = Chain::new(&segments, &numbers, from, OpenMode::Write)?;
        let (loss, durable) = loop {
            let mut reader = match chain.next()? {
                Step::Segment(reader) => reader,
                Step::Lost(loss) => break (loss, u64::MAX),
                Step::End => return Ok(None),
            };
            while reader.next()?.is_some() {}
            if !reader.counts() {
                continue;
            }
            if let Some(loss) = chain.read(&reader) {
                break (loss, reader.complete_end());
            }
            if reader.is_cut() {
                return Ok(None);
            }
            // The end of the journal will say that all before it is durable.
            reader.finish()?;
        };
        segments.remove_all(numbers.iter().rev().take_while(|number| **number > loss.number))?;
        // Where nothing is left, one that can be gone on with takes the place of what is named.
        let end = loss.at.unwrap_or(0).max(from.start_in(loss.number));
        segments.end_at(loss.number, end, durable.min(end))?;
        Ok(Some(segments.path(loss.number)))
    }
}
