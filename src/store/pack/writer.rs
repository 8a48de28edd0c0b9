//! The open pack: new objects gather in memory, go to its file in large writes, and make a sealed
//! pack when there are enough of them.
//!
//! The file always holds a prefix of what was appended, and each write goes on where the last
//! whole one ended. A write that fails, even halfway, leaves a prefix of bytes that the next
//! attempt writes again to the same place, so there is never a hole, and the objects stay
//! readable in memory.
//!
//! Locks, in the order in which they are taken: `retired` (syncs and seals, slow), `io` (writes
//! to the open pack), `tail` and `handed_over` (memory only). Whoever puts or reads takes `tail`
//! alone, and `io` when the buffer is full.

use std::sync::Arc;

use super::file::Pack;
use super::index::{ListedAt, PackSlot};
use super::set::{PackSet, Place};
use super::write_file::{WriteCounts, WriteFile};
use crate::base::disk::OpenMode;
use crate::base::limits;
use crate::base::sync::Mutex;
use crate::base::sync::atomic::{AtomicU64, Ordering};
use crate::format::pack::{
    Effort, HEADER_BYTES, PackEntry, PackState, RecordHeader, encode_header, with_payload,
};
use crate::model::{ObjectId, ObjectKind};
use crate::store::StoreError;

/// Appends objects to the packs of a set.
pub(super) struct Writer {
    set: Arc<PackSet>,
    pack_bytes_target: u64,
    next_number: AtomicU64,
    counts: Arc<WriteCounts>,
    /// Packs that are complete but not yet sealed.
    retired: Mutex<Vec<Retired>>,
    io: Mutex<()>,
    tail: Mutex<Tail>,
    /// Packs on their way to `retired`, which may be held for as long as a sync takes.
    handed_over: Mutex<Vec<Retired>>,
}

struct Retired {
    file: Arc<WriteFile>,
    slot: PackSlot,
    records_end: u64,
}

/// The end of the open pack.
struct Tail {
    pack: Arc<Pack>,
    slot: PackSlot,
    /// Made by the first write.
    file: Option<Arc<WriteFile>>,
    /// How much of the pack is in the file.
    written: u64,
    /// What comes next: it is being written, or the attempt to do so has failed.
    queued: Option<Arc<Vec<u8>>>,
    /// What comes after that. New records are appended here.
    fill: Vec<u8>,
    /// An empty buffer that was in use before.
    spare: Vec<u8>,
}

/// An unsealed pack that a writer before this one left.
pub(super) struct Unsealed {
    pub(super) pack: Arc<Pack>,
    pub(super) slot: PackSlot,
    /// Where its last record ends.
    pub(super) end: u64,
    /// It was sealed once, so that nothing is appended to it.
    pub(super) was_sealed: bool,
}

impl Writer {
    /// Numbers new packs from `next_number` on. Unsealed packs are sealed by and by, but for the
    /// newest, to which new objects are appended if it is short enough.
    pub(super) fn start(
        set: &Arc<PackSet>,
        pack_bytes_target: u64,
        next_number: u64,
        mut unsealed: Vec<Unsealed>,
    ) -> Result<Self, StoreError> {
        let counts = Arc::new(WriteCounts::default());
        let reopen = |pack: &Arc<Pack>, end| -> Result<Arc<WriteFile>, StoreError> {
            let file = set
                .disk()
                .open(pack.path(), OpenMode::Write)
                .map_err(|error| StoreError::io("opening", pack.path(), error))?;
            let (pack, counts) = (Arc::clone(pack), Arc::clone(&counts));
            let file = WriteFile::reopened(set.disk(), pack, file, counts);
            file.cut(end)?;
            Ok(Arc::new(file))
        };
        let short = |last: &mut Unsealed| last.end < pack_bytes_target && !last.was_sealed;
        let tail = match unsealed.pop_if(short) {
            Some(Unsealed { pack, slot, end, .. }) => {
                let file = reopen(&pack, end)?;
                Tail::new(pack, slot, Some(file), end)
            }
            None => Tail::begin(set, next_number),
        };
        let mut retired = Vec::new();
        for Unsealed { pack, slot, end, .. } in unsealed {
            retired.push(Retired { file: reopen(&pack, end)?, slot, records_end: end });
        }
        Ok(Self {
            set: Arc::clone(set),
            pack_bytes_target,
            next_number: AtomicU64::new(next_number.max(tail.pack.number() + 1)),
            counts,
            retired: Mutex::new(retired),
            io: Mutex::new(()),
            tail: Mutex::new(tail),
            handed_over: Mutex::default(),
        })
    }

    pub(super) fn counts(&self) -> &WriteCounts {
        &self.counts
    }

    /// Appends an object, unless it is listed already (anywhere if `replace` is not set).
    pub(super) fn append(
        &self,
        kind: ObjectKind,
        id: &ObjectId,
        bytes: &[u8],
        replace: bool,
        effort: Effort,
    ) -> Result<(), StoreError> {
        let pending = self.tail.lock().pending_bytes();
        if pending >= limits::PACK_BUFFER_BYTES {
            self.flush()?;
        }
        with_payload(effort, bytes, |codec, payload| {
            let header = RecordHeader::new(kind, *id, bytes.len(), codec, payload);
            let mut guard = self.tail.lock();
            let tail = &mut *guard;
            let Ok(offset) = u32::try_from(tail.end()) else {
                let error = std::io::ErrorKind::FileTooLarge.into();
                return Err(StoreError::io("writing", tail.pack.path(), error));
            };
            let RecordHeader { stored_bytes, raw_bytes, .. } = header;
            let entry = PackEntry { id: *id, offset, stored_bytes, raw_bytes, kind, codec };
            let at = ListedAt { pack: tail.slot, entry };
            if self.set.index.list(id, replace, at) {
                tail.fill.extend_from_slice(&header.encode());
                tail.fill.extend_from_slice(payload);
                tail.pack.listed().lock().push(entry);
            }
            Ok(())
        })
    }

    /// Copies the record of an object that is not in a file yet. False if it is in one.
    pub(super) fn copy_pending(&self, place: &Place, record: &mut [u8]) -> bool {
        if place.pack.records_end().is_some() {
            return false;
        }
        let tail = self.tail.lock();
        let Some(mut at) = u64::from(place.entry.offset)
            .checked_sub(tail.written)
            .filter(|_| Arc::ptr_eq(&tail.pack, &place.pack))
            .and_then(|at| usize::try_from(at).ok())
        else {
            return false;
        };
        let queued = tail.queued.as_deref().map_or(&[][..], Vec::as_slice);
        let bytes = if at < queued.len() {
            queued
        } else {
            at -= queued.len();
            &tail.fill
        };
        let Some(pending) = bytes.get(at..at + record.len()) else { return false };
        record.copy_from_slice(pending);
        true
    }

    /// Writes everything that was appended to the file: it survives the end of the process.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        let io = self.io.lock();
        while self.write_some()? {}
        drop(io);
        // Sealing is not what a flush is for, so it neither waits for another who is at it nor
        // fails because of it; the next one tries again.
        if let Some(mut retired) = self.retired.try_lock()
            && let Err(error) = self.seal_retired(&mut retired)
        {
            log::warn!("a pack could not be sealed: {error}");
        }
        Ok(())
    }

    /// Makes everything that was appended durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.flush()?;
        let tail = self.tail.lock();
        let (file, written) = (tail.file.clone(), tail.written);
        drop(tail);
        let mut retired = self.retired.lock();
        self.seal_retired(&mut retired)?;
        file.map_or(Ok(()), |file| file.make_durable(self.set.disk(), &self.set.dir, written))
    }

    /// Seals the open pack, if it holds anything. What is put later begins a new one.
    pub(super) fn close(&self) -> Result<(), StoreError> {
        let io = self.io.lock();
        loop {
            while self.write_some()? {}
            let mut tail = self.tail.lock();
            if tail.pending_bytes() == 0 {
                self.retire(&mut tail);
                break;
            }
        }
        drop(io);
        self.seal_retired(&mut self.retired.lock())
    }

    /// Writes one buffer, or retires the pack if it is long enough. False if there was nothing to
    /// do. The caller holds `io`.
    fn write_some(&self) -> Result<bool, StoreError> {
        let mut guard = self.tail.lock();
        let tail = &mut *guard;
        if tail.pending_bytes() == 0 {
            if tail.written < self.pack_bytes_target {
                return Ok(false);
            }
            self.retire(tail);
            return Ok(false);
        }
        if tail.queued.is_none() {
            let spare = std::mem::take(&mut tail.spare);
            tail.queued = Some(Arc::new(std::mem::replace(&mut tail.fill, spare)));
        }
        let (pack, file, at) = (Arc::clone(&tail.pack), tail.file.clone(), tail.written);
        let bytes = tail.queued.clone().unwrap_or_default();
        drop(guard);

        let file = match file {
            Some(file) => file,
            None => {
                let file = self.create(&pack)?;
                self.tail.lock().file = Some(Arc::clone(&file));
                file
            }
        };
        file.write_at(&bytes, at)?;

        let mut tail = self.tail.lock();
        tail.written += bytes.len() as u64;
        tail.queued = None;
        // Nobody else has it now; a buffer that one huge object blew up is not kept.
        if let Some(mut spare) = Arc::into_inner(bytes)
            && spare.capacity() <= 2 * limits::PACK_BUFFER_BYTES
        {
            spare.clear();
            tail.spare = spare;
        }
        Ok(true)
    }

    fn create(&self, pack: &Arc<Pack>) -> Result<Arc<WriteFile>, StoreError> {
        // A file of that number could only be left from an attempt of this writer.
        let file = self
            .set
            .disk()
            .open(pack.path(), OpenMode::CreateEmpty)
            .map_err(|error| StoreError::io("creating", pack.path(), error))?;
        Ok(Arc::new(WriteFile::new(Arc::clone(pack), file, Arc::clone(&self.counts))))
    }

    /// Begins a new pack and leaves the old one to be sealed. All of it is in the file. The caller
    /// holds `io`.
    fn retire(&self, tail: &mut Tail) {
        let Some(file) = tail.file.take() else { return };
        let old = Retired { file, slot: tail.slot, records_end: tail.written };
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let spare = std::mem::take(&mut tail.spare);
        *tail = Tail::begin(&self.set, number);
        tail.spare = spare;
        self.handed_over.lock().push(old);
    }

    fn seal_retired(&self, retired: &mut Vec<Retired>) -> Result<(), StoreError> {
        retired.append(&mut self.handed_over.lock());
        while let Some(old) = retired.first() {
            let entries = old.file.seal(self.set.disk(), &self.set.dir, old.records_end)?;
            self.set.index.sealed(old.slot, &entries);
            // From here on the footer lists them.
            drop(std::mem::take(&mut *old.file.pack().listed().lock()));
            retired.remove(0);
        }
        Ok(())
    }
}

impl Tail {
    fn new(pack: Arc<Pack>, slot: PackSlot, file: Option<Arc<WriteFile>>, written: u64) -> Self {
        Self { pack, slot, file, written, queued: None, fill: Vec::new(), spare: Vec::new() }
    }

    /// A pack of which nothing is on the disk yet.
    fn begin(set: &PackSet, number: u64) -> Self {
        let pack = Arc::new(Pack::new(&set.dir, number));
        let slot = set.add(Arc::clone(&pack));
        let mut tail = Self::new(pack, slot, None, 0);
        tail.fill.extend_from_slice(&encode_header(PackState::Open));
        tail
    }

    /// Where the next record goes.
    fn end(&self) -> u64 {
        self.written + (self.queued.as_ref().map_or(0, |q| q.len()) + self.fill.len()) as u64
    }

    /// How much has to be written. A header alone has not.
    fn pending_bytes(&self) -> usize {
        let bytes = (self.end() - self.written) as usize; // In memory, so it is a usize.
        if self.written == 0 && bytes == HEADER_BYTES { 0 } else { bytes }
    }
}
