//! Making the journal durable, once for all who wait.
//!
//! After a sync the segment that is written to is told how far it goes, which the next sync brings
//! to the disk: for that alone nobody waits. With it, whoever reads the journal again can tell
//! damage from the end of what was ever durable. That all segments before it are durable it is told
//! in between, so that the same sync brings it to the disk.

use super::segment::{Segment, failed};
use super::{Journal, JournalError};
use crate::format::journal::{DURABLE_AT, SEGMENT_HEADER_BYTES, encode_durable};

/// How far the journal is durable.
#[derive(Debug, Default)]
pub(super) struct SyncState {
    /// Records with lower numbers are durable, or are in a durable state of the worktree.
    synced: u64,
    /// Somebody is at it.
    syncing: bool,
    syncs: u64,
}

impl SyncState {
    pub(super) fn up_to(seq: u64) -> Self {
        Self { synced: seq, ..Self::default() }
    }
}

impl Journal {
    /// Makes every record that was appended before the call durable. Waits for their payloads.
    pub fn sync(&self) -> Result<(), JournalError> {
        let wanted = self.tail.lock().seq;
        let mut state = self.sync.lock();
        while state.synced < wanted {
            if state.syncing {
                // Its end makes one of those who wait the next to sync, for all of them.
                self.synced.wait(&mut state);
                continue;
            }
            state.syncing = true;
            drop(state);
            let done = self.sync_now();
            state = self.sync.lock();
            state.syncing = false;
            state.syncs += 1;
            self.synced.notify_all();
            state.synced = state.synced.max(done?);
        }
        Ok(())
    }

    /// Syncs what was appended so far, and returns the number of the next record.
    fn sync_now(&self) -> Result<u64, JournalError> {
        let mut tail = self.tail.lock();
        // What is appended while payloads are waited for may lack its own.
        let (target, end) = (tail.seq, tail.active_end());
        while tail.pending.first().is_some_and(|seq| *seq < target) {
            self.completed.wait(&mut tail);
        }
        tail.check()?;
        let full = std::mem::take(&mut tail.unsynced);
        let active = tail.active_end().map(|(segment, _)| segment);
        drop(tail);
        for segment in &full {
            self.sync_segment(segment)?;
        }
        if let Some(segment) = active {
            // Of one that was begun meanwhile, records before it may lack their payloads.
            let was_active = end.as_ref().is_some_and(|(end, _)| end.number == segment.number);
            if was_active && !full.is_empty() {
                note_durable(&segment, SEGMENT_HEADER_BYTES as u64);
            }
            self.sync_segment(&segment)?;
        }
        // One without records says nothing of those before it.
        if let Some((segment, end)) = end.filter(|(_, end)| *end > SEGMENT_HEADER_BYTES as u64) {
            note_durable(&segment, end);
        }
        Ok(target)
    }

    fn sync_segment(&self, segment: &Segment) -> Result<(), JournalError> {
        segment.file.sync_data().map_err(|error| {
            // The kernel takes the pages for clean from now on, though they may be lost.
            let error = failed("syncing", &segment.path, error);
            self.tail.lock().fail(segment.number, &error);
            self.segments.set_doubt(true);
            error
        })
    }

    /// Tells whether something was appended that is not durable.
    pub fn wants_sync(&self) -> bool {
        let seq = self.tail.lock().seq;
        self.sync.lock().synced < seq
    }

    pub(super) fn set_synced(&self, seq: u64) {
        let mut state = self.sync.lock();
        state.synced = state.synced.max(seq);
    }

    /// Tells whether somebody syncs at the moment.
    #[cfg(test)]
    pub(super) fn is_syncing(&self) -> bool {
        self.sync.lock().syncing
    }

    pub(super) fn syncs(&self) -> u64 {
        self.sync.lock().syncs
    }
}

/// Tells a segment how far it is durable, and with it all before it.
fn note_durable(segment: &Segment, end: u64) {
    if let Err(error) = segment.file.write_all_at(&encode_durable(end), DURABLE_AT as u64) {
        // Records are not in doubt for that.
        log::warn!("{}", failed("writing to the header of", &segment.path, error));
    }
}
