//! The file of a pack that is being written: writes, syncs and the footer.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::file::Pack;
use crate::base::disk::{Disk, DiskFile, OpenMode};
use crate::base::limits;
use crate::base::sync::Mutex;
use crate::format::pack::{PackEntry, PackState, SEALED_AT, encode_footer};
use crate::store::{StoreError, files};

/// How often the disk was asked for what.
#[derive(Debug, Default)]
pub(super) struct WriteCounts {
    pub(super) writes: AtomicU64,
    pub(super) syncs: AtomicU64,
}

/// A pack's file, open for writing.
pub(super) struct WriteFile {
    pack: Arc<Pack>,
    file: Box<dyn DiskFile>,
    counts: Arc<WriteCounts>,
    state: Mutex<SyncState>,
}

#[derive(Default)]
struct SyncState {
    /// Everything before is durable.
    synced: u64,
    /// The last sync failed.
    failed: bool,
    /// The name in the directory is durable.
    name_synced: bool,
}

impl WriteFile {
    pub(super) fn new(pack: Arc<Pack>, file: Box<dyn DiskFile>, counts: Arc<WriteCounts>) -> Self {
        Self { pack, file, counts, state: Mutex::default() }
    }

    /// As `new`, for a file that a process before this one has written. If that could not sync it,
    /// the kernel will not tell, and all of it is written again.
    pub(super) fn reopened(
        disk: &dyn Disk,
        pack: Arc<Pack>,
        file: Box<dyn DiskFile>,
        counts: Arc<WriteCounts>,
    ) -> Self {
        let failed = files::file_bytes(disk, &pack.doubt_path()).is_some();
        let state = SyncState { failed, ..SyncState::default() };
        Self { pack, file, counts, state: Mutex::new(state) }
    }

    pub(super) fn pack(&self) -> &Pack {
        &self.pack
    }

    /// Makes the file end here.
    pub(super) fn cut(&self, end: u64) -> Result<(), StoreError> {
        let cut = || if self.file.len()? == end { Ok(()) } else { self.file.set_len(end) };
        cut().map_err(|error| StoreError::io("cutting", self.pack.path(), error))
    }

    /// Writes all of `bytes`; they survive the end of the process.
    pub(super) fn write_at(&self, bytes: &[u8], at: u64) -> Result<(), StoreError> {
        self.counts.writes.fetch_add(1, Ordering::Relaxed);
        self.file
            .write_all_at(bytes, at)
            .map_err(|error| StoreError::io("writing", self.pack.path(), error))
    }

    /// Makes everything before `end`, and the file itself, durable.
    pub(super) fn make_durable(
        &self,
        disk: &dyn Disk,
        dir: &Path,
        end: u64,
    ) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        if end > state.synced {
            let failed_before = std::mem::replace(&mut state.failed, true);
            // The kernel reports a failed write-back once, then takes the pages for clean: what
            // may not have come to the disk is written again, or the next sync would lie.
            if failed_before {
                self.write_again(state.synced, end)
                    .map_err(|error| StoreError::io("rewriting", self.pack.path(), error))?;
            }
            if let Err(error) = self.sync_file() {
                self.note(|path| disk.open(path, OpenMode::Create).map(drop));
                return Err(error);
            }
            if failed_before {
                self.note(|path| disk.remove_file(path));
            }
            state.failed = false;
            state.synced = end;
        }
        if !state.name_synced {
            self.counts.syncs.fetch_add(1, Ordering::Relaxed);
            files::sync_dir(disk, dir)?;
            state.name_synced = true;
        }
        Ok(())
    }

    /// Writes the footer behind the records, and marks the pack as sealed when it is durable.
    /// Gives back the entries in the order of the footer.
    pub(super) fn seal(
        &self,
        disk: &dyn Disk,
        dir: &Path,
        records_end: u64,
    ) -> Result<Vec<PackEntry>, StoreError> {
        // A footer vouches for the records, so they come to the disk before it.
        self.make_durable(disk, dir, records_end)?;
        let mut entries = self.pack.listed().lock().clone();
        // Of an object that was damaged and put again the newer copy counts.
        entries.sort_unstable_by_key(|entry| (entry.id, std::cmp::Reverse(entry.offset)));
        entries.dedup_by_key(|entry| entry.id);
        let footer = encode_footer(&entries, records_end);
        self.cut(records_end)?;
        self.write_at(&footer.bytes, records_end)?;
        self.sync_file()?;
        if let Err(error) = self.write_at(&[PackState::Sealed as u8], SEALED_AT as u64) {
            // Without it, all that nobody would notice is the loss of the whole footer.
            log::warn!("{error}");
        }
        self.pack.set_sealed(footer.trailer, Some(footer.fanout));
        Ok(entries)
    }

    /// Leaves a note for the next process, or takes it away.
    fn note(&self, change: impl FnOnce(&Path) -> io::Result<()>) {
        let path = self.pack.doubt_path();
        match change(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                log::error!("{}: {error}", path.display());
            }
            _ => {}
        }
    }

    fn sync_file(&self) -> Result<(), StoreError> {
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync_data().map_err(|error| StoreError::io("syncing", self.pack.path(), error))
    }

    fn write_again(&self, from: u64, to: u64) -> io::Result<()> {
        let mut buffer = vec![0; limits::PACK_BUFFER_BYTES];
        let mut at = from;
        while at < to {
            let len = (to - at).min(buffer.len() as u64) as usize;
            self.file.read_exact_at(&mut buffer[..len], at)?;
            self.file.write_all_at(&buffer[..len], at)?;
            at += len as u64;
        }
        Ok(())
    }
}
