//! All packs of a store, for reading: what lies where, and what of it is damaged.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{OpenFiles, Pack};
use super::index::{Candidates, Index, ListedAt, PackSlot, SealedAt};
use super::scan::{Scan, scan};
use crate::base::disk::Disk;
use crate::base::sync::atomic::{AtomicU64, Ordering};
use crate::base::sync::{Mutex, RwLock, thread_local};
use crate::format::pack::{
    PackEntry, PackError, RECORD_HEADER_BYTES, RecordHeader, decode_payload,
};
use crate::hash::hash;
use crate::model::{IdPrefix, ObjectError, ObjectId};
use crate::store::StoreError;
use crate::store::id_hash::IdHash;

/// The packs of a directory and the index over them.
///
/// Locks are taken in the order in which they stand here; the index has one for each shard.
pub(super) struct PackSet {
    pub(super) dir: PathBuf,
    /// Held while a pack whose footer is damaged is read as a whole.
    rescue: Mutex<()>,
    pub(super) index: Index,
    packs: RwLock<Vec<Arc<Pack>>>,
    pub(super) files: OpenFiles,
    /// Objects that were found to be damaged, and how. They count as absent when they are put
    /// again, so that a good copy heals them.
    damaged: RwLock<HashMap<ObjectId, String, IdHash>>,
    /// Rises when a pack begins to be forgotten, and when it has been.
    removals: AtomicU64,
}

/// A copy of an object.
pub(super) struct Place {
    pub(super) pack: Arc<Pack>,
    pub(super) entry: PackEntry,
}

thread_local! {
    /// What a record is read into. It grows to the largest record at most.
    static RECORD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl PackSet {
    pub(super) fn new(disk: &Arc<dyn Disk>, dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            rescue: Mutex::new(()),
            index: Index::new(),
            packs: RwLock::default(),
            files: OpenFiles::new(disk),
            damaged: RwLock::default(),
            removals: AtomicU64::new(0),
        }
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.files.disk
    }

    /// Adds a pack, which is newer than all others.
    pub(super) fn add(&self, pack: Arc<Pack>) -> PackSlot {
        let mut packs = self.packs.write();
        packs.push(pack);
        (packs.len() - 1) as PackSlot // There are not 2^32 files in a directory.
    }

    /// All packs, each with its slot.
    pub(super) fn slots(&self) -> Vec<(PackSlot, Arc<Pack>)> {
        let packs = self.packs.read();
        let slots = (0..).zip(packs.iter()).filter(|(_, pack)| !pack.is_removed());
        slots.map(|(slot, pack)| (slot, Arc::clone(pack))).collect()
    }

    pub(super) fn packs(&self) -> Vec<Arc<Pack>> {
        self.slots().into_iter().map(|(_, pack)| pack).collect()
    }

    fn pack(&self, slot: PackSlot) -> Option<Arc<Pack>> {
        self.packs.read().get(slot as usize).filter(|pack| !pack.is_removed()).cloned()
    }

    /// Forgets a pack. What is wanted of it is in the index with another pack.
    pub(super) fn remove(&self, slot: PackSlot) {
        if let Some(pack) = self.pack(slot) {
            self.removals.fetch_add(1, Ordering::AcqRel);
            pack.set_removed();
            self.index.forget(slot);
            pack.close_reader(&self.files);
            self.removals.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Looks for something, and again when that did not find `enough` and a pack was forgotten
    /// meanwhile: the index may have led to that one, and now leads to where its objects are.
    fn look<T>(
        &self,
        look: impl Fn() -> Result<T, StoreError>,
        enough: impl Fn(&T) -> bool,
    ) -> Result<T, StoreError> {
        loop {
            let before = self.removals.load(Ordering::Acquire);
            let found = look();
            let is_enough = found.as_ref().is_ok_and(&enough);
            if is_enough || self.removals.load(Ordering::Acquire) == before {
                return found;
            }
        }
    }

    /// Every copy of an object, the newest first.
    pub(super) fn places(&self, id: &ObjectId) -> Result<Vec<Place>, StoreError> {
        self.look(|| self.places_once(id), |places| !places.is_empty())
    }

    fn places_once(&self, id: &ObjectId) -> Result<Vec<Place>, StoreError> {
        let Candidates { listed, sealed } = self.candidates(id)?;
        let mut failure = None;
        let mut places = Vec::new();
        places.extend(listed.and_then(|at| Some((self.pack(at.pack)?, at.entry))));
        for at in sealed {
            match self.confirm(&at) {
                Ok(Some((pack, entry))) if entry.id == *id => places.push((pack, entry)),
                Ok(_) => {}
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if places.is_empty() => Err(error),
            _ => Ok(places.into_iter().map(|(pack, entry)| Place { pack, entry }).collect()),
        }
    }

    /// Tells whether there is a copy of the object that is not known to be damaged.
    pub(super) fn contains(&self, id: &ObjectId) -> Result<bool, StoreError> {
        self.look(|| self.contains_once(id), |found| *found)
    }

    fn contains_once(&self, id: &ObjectId) -> Result<bool, StoreError> {
        let Candidates { listed, sealed } = self.candidates(id)?;
        if listed.is_none() && sealed.is_empty() || self.damaged.read().contains_key(id) {
            return Ok(false);
        }
        let mut found = listed.is_some();
        for at in &sealed {
            if found {
                break;
            }
            found = self.confirm(at)?.is_some_and(|(_, entry)| entry.id == *id);
        }
        Ok(found)
    }

    /// The ids that begin with this prefix, lowest first.
    pub(super) fn find_prefix(
        &self,
        prefix: &IdPrefix,
        max: usize,
    ) -> Result<Vec<ObjectId>, StoreError> {
        self.look(|| self.find_prefix_once(prefix, max), |_| false)
    }

    fn find_prefix_once(&self, prefix: &IdPrefix, max: usize) -> Result<Vec<ObjectId>, StoreError> {
        let first = prefix.lowest().as_bytes()[0];
        let last = match prefix.digits() {
            0 => u8::MAX,
            1 => first | 0x0f,
            _ => first,
        };
        let mut found = Vec::new();
        for byte in first..=last {
            let (mut ids, places) = loop {
                match self.index.find_prefix(byte, prefix) {
                    Ok(both) => break both,
                    Err(_) => self.load(byte)?,
                }
            };
            // Places come in the order of the ids, so the first `max` different ones suffice.
            let (mut confirmed, mut previous) = (0, None);
            for at in places {
                let Some((_, entry)) = self.confirm(&at)? else { continue };
                if prefix.matches(&entry.id) && previous != Some(entry.id) {
                    if confirmed == max {
                        break;
                    }
                    previous = Some(entry.id);
                    confirmed += 1;
                    ids.push(entry.id);
                }
            }
            ids.sort_unstable();
            ids.dedup();
            found.append(&mut ids);
            if found.len() >= max {
                break;
            }
        }
        found.truncate(max);
        Ok(found)
    }

    fn candidates(&self, id: &ObjectId) -> Result<Candidates, StoreError> {
        loop {
            match self.index.find(id) {
                Ok(candidates) => return Ok(candidates),
                Err(_) => self.load(id.as_bytes()[0])?,
            }
        }
    }

    /// Reads the whole entry of an object in a sealed pack.
    fn confirm(&self, at: &SealedAt) -> Result<Option<(Arc<Pack>, PackEntry)>, StoreError> {
        let Some(pack) = self.pack(at.pack) else { return Ok(None) };
        let Some(trailer) = pack.trailer() else { return Ok(None) };
        let entry = pack.entry_at(&self.files, trailer, at.position)?;
        Ok(Some((pack, entry)))
    }

    /// Reads a shard of the index from the footers. A footer that cannot be used is given up, and
    /// the records of that pack are listed instead.
    fn load(&self, byte: u8) -> Result<(), StoreError> {
        // Each round gives up one pack, or is the last.
        loop {
            let mut bad = None;
            let loaded = self.index.load(byte, || {
                let mut all = Vec::new();
                for (slot, pack) in self.slots() {
                    let Some(trailer) = pack.trailer() else { continue };
                    let add = |at, id| all.push(SealedAt::new(&id, slot, at));
                    pack.bucket_ids(&self.files, trailer, byte, add)
                        .inspect_err(|_| bad = Some(slot))?;
                }
                Ok(all)
            });
            match (loaded, bad) {
                (Ok(()), _) => return Ok(()),
                (Err(error), Some(slot)) if is_damage(&error) => {
                    self.give_up_footer(slot, &error)?;
                }
                (Err(error), _) => return Err(error),
            }
        }
    }

    fn give_up_footer(&self, slot: PackSlot, error: &StoreError) -> Result<(), StoreError> {
        let _rescue = self.rescue.lock();
        let Some(pack) = self.pack(slot) else { return Ok(()) };
        let Some(end) = pack.trailer().map(|trailer| trailer.footer_offset) else { return Ok(()) };
        log::error!("{error}; reading the records of that pack instead of its index");
        let found = self.scan(&pack, 0, end)?;
        self.list(slot, &pack, found);
        pack.set_footer_damaged();
        Ok(())
    }

    /// Scans the records of a pack, and logs what is wrong with them.
    pub(super) fn scan(&self, pack: &Arc<Pack>, from: u64, to: u64) -> Result<Scan, StoreError> {
        let file =
            pack.reader(&self.files).map_err(|e| StoreError::io("opening", pack.path(), e))?;
        let found = scan(&*file, from, to);
        if let Some(gap) = found.gap {
            log::error!("{} is damaged at offset {gap}", pack.path().display());
        }
        if let Some(error) = &found.failure {
            log::error!("{} after offset {}: {error}", pack.path().display(), found.end);
        }
        Ok(found)
    }

    /// Takes the objects that a scan of a pack found into the index.
    pub(super) fn list(&self, slot: PackSlot, pack: &Pack, found: Scan) {
        for entry in &found.damaged {
            let at = Place::describe(pack, entry.offset);
            self.set_damaged(&entry.id, format!("{at}: the checksum of its bytes does not match"));
        }
        for entry in &found.entries {
            self.index.list(&entry.id, true, ListedAt { pack: slot, entry: *entry });
        }
        pack.listed().lock().extend(found.entries);
    }

    /// What is known to be wrong with an object.
    pub(super) fn damage(&self, id: &ObjectId) -> Option<String> {
        self.damaged.read().get(id).cloned()
    }

    /// Remembers that an object is damaged, and logs it the first time.
    pub(super) fn set_damaged(&self, id: &ObjectId, detail: String) {
        let mut damaged = self.damaged.write();
        if !damaged.contains_key(id) {
            log::error!("object {id} is damaged: {detail}");
            damaged.insert(*id, detail);
        }
    }

    /// Forgets that an object was damaged: a good copy has been put.
    pub(super) fn set_healed(&self, id: &ObjectId) {
        if self.damaged.read().contains_key(id) {
            self.damaged.write().remove(id);
        }
    }
}

/// Tells whether a part of a pack is lost, in contrast to an error that may pass.
pub(super) fn is_damage(error: &StoreError) -> bool {
    match error {
        StoreError::Corrupt { .. } => true,
        StoreError::Io { source, .. } => {
            source.kind() == io::ErrorKind::UnexpectedEof
                || source.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
        }
        _ => false,
    }
}

impl Place {
    fn describe(pack: &Pack, offset: u32) -> String {
        format!("{} at offset {offset}", pack.path().display())
    }

    /// Reads the object and checks it against its id. `in_memory` copies a record that is not in
    /// the file yet.
    pub(super) fn read(
        &self,
        files: &OpenFiles,
        in_memory: impl FnOnce(&Place, &mut [u8]) -> bool,
    ) -> Result<Arc<[u8]>, ObjectError> {
        RECORD.with(|record| {
            let record = &mut *record.borrow_mut();
            record.clear();
            record.resize(self.entry.record_bytes(), 0);
            if !in_memory(self, record) {
                self.pack
                    .read_at(files, record, self.entry.offset.into())
                    .map_err(|error| self.failed(error))?;
            }
            decode_record(&self.entry, record).map_err(|error| self.damaged(&error))
        })
    }

    fn failed(&self, error: io::Error) -> ObjectError {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return self.damaged(&PackError::Truncated("record"));
        }
        let context = format!("reading {}", Self::describe(&self.pack, self.entry.offset));
        ObjectError::Io { context, source: Arc::new(error) }
    }

    fn damaged(&self, error: &PackError) -> ObjectError {
        let at = Self::describe(&self.pack, self.entry.offset);
        ObjectError::Damaged { id: self.entry.id, detail: format!("{at}: {error}") }
    }
}

/// The object in a record, checked against the id that it should have.
pub(super) fn decode_record(entry: &PackEntry, record: &[u8]) -> Result<Arc<[u8]>, PackError> {
    let header = RecordHeader::decode(record)?;
    if header.id != entry.id {
        return Err(PackError::Magic("record of this object"));
    }
    let payload = record.get(RECORD_HEADER_BYTES..).unwrap_or_default();
    let object = decode_payload(&header, payload)?;
    if hash(&object) == *entry.id.as_bytes() {
        Ok(object)
    } else {
        Err(PackError::Checksum("object"))
    }
}
