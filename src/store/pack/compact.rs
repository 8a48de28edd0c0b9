//! Taking away what nothing leads to any more, and bringing together what is scattered.
//!
//! A collection goes through the packs that are there when it begins. One that holds nothing that
//! is live is removed. One of which little is live, or that is small, is copied: what is live of
//! it goes, better compressed, to the end of the newest pack, is made durable there, and only then
//! the old pack is removed. So there is a whole copy of everything on the disk at any time, and
//! what an end in the middle leaves is at worst there twice.
//!
//! Others put and read meanwhile. An object that is put, or was found to be there by a put, since
//! the collection began counts as live: [`Touched`] knows these. While a pack is taken out of the
//! index, puts wait for a moment.

use std::collections::HashSet;
use std::sync::Arc;

use super::PackStore;
use super::file::Pack;
use super::index::PackSlot;
use super::set::Place;
use crate::base::disk::is_full;
use crate::base::limits::{
    PACK_BYTES_TARGET, PACK_LIVE_PERCENT_MIN, PACK_SMALL_PART, PACKS_SMALL_MAX,
};
use crate::base::sync::{Mutex, RwLock, RwLockReadGuard};
use crate::format::pack::{Effort, PackEntry};
use crate::model::{ObjectError, ObjectId};
use crate::store::id_hash::IdHash;
use crate::store::{StoreError, files};

type Ids = HashSet<ObjectId, IdHash>;

/// Objects that were put since a collection began, if one goes on.
#[derive(Default)]
pub(super) struct Touched {
    ids: RwLock<Option<Mutex<Ids>>>,
}

/// Held by a put until its object is in the index.
pub(super) type Touch<'a> = RwLockReadGuard<'a, Option<Mutex<Ids>>>;

impl Touched {
    /// Notes that an object is put. No pack goes away until the guard is dropped.
    pub(super) fn touch(&self, id: &ObjectId) -> Touch<'_> {
        let ids = self.ids.read();
        if let Some(ids) = &*ids {
            ids.lock().insert(*id);
        }
        ids
    }
}

/// What a collection is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CollectOptions {
    /// Copy every pack, to compress it better.
    pub repack: bool,
}

/// What a collection did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Packs that were removed.
    pub packs_removed: u64,
    /// Objects that were in them and are gone.
    pub objects_removed: u64,
    /// Objects that were copied.
    pub objects_copied: u64,
    /// Disk that all packs took before.
    pub bytes_before: u64,
    /// Disk that they take now.
    pub bytes_after: u64,
}

impl Collected {
    /// Disk that was freed. What others have put meanwhile counts against it.
    pub fn freed(&self) -> u64 {
        self.bytes_before.saturating_sub(self.bytes_after)
    }
}

/// A collection that goes on: until it is dropped, what is put counts as live.
pub struct Collection<'a> {
    store: &'a PackStore,
}

impl PackStore {
    /// Begins a collection; there must be no other. What is put from now on stays. The caller then
    /// finds out what is live, and calls [`Collection::run`].
    pub fn begin_collection(&self) -> Collection<'_> {
        *self.touched.ids.write() = Some(Mutex::default());
        Collection { store: self }
    }

    /// Tells whether there are so many small packs that a collection would merge them.
    pub fn is_scattered(&self) -> bool {
        let bytes = |pack: &Arc<Pack>| files::file_bytes(self.set.disk(), pack.path());
        let packs = self.set.packs();
        packs.iter().filter_map(bytes).filter(|bytes| is_small(*bytes)).count() > PACKS_SMALL_MAX
    }
}

fn is_small(bytes: u64) -> bool {
    bytes < PACK_BYTES_TARGET / PACK_SMALL_PART
}

impl Drop for Collection<'_> {
    fn drop(&mut self) {
        *self.store.touched.ids.write() = None;
    }
}

/// A pack to be looked at.
struct Candidate {
    slot: PackSlot,
    pack: Arc<Pack>,
    entries: Vec<PackEntry>,
    /// Bytes of the records of live objects.
    live_bytes: u64,
    bytes: u64,
}

impl Collection<'_> {
    /// Removes what is neither live nor was put since the collection began. What was removed
    /// before a failure stays removed. `progress` is told of how many bytes of packs it is done
    /// with.
    pub fn run(
        &self,
        is_live: &dyn Fn(&ObjectId) -> bool,
        options: CollectOptions,
        progress: &dyn Fn(u64),
    ) -> Result<Collected, StoreError> {
        let store = self.store;
        let mut done = Collected { bytes_before: store.disk_bytes(), ..Collected::default() };
        // Then everything that can be dead is in packs that nobody appends to.
        store.close()?;
        let mut candidates = Vec::new();
        for (slot, pack) in store.set.slots() {
            // To the others somebody may append, or their footers are damaged.
            if pack.trailer().is_none() {
                continue;
            }
            let Some(bytes) = files::file_bytes(store.set.disk(), pack.path()) else { continue };
            let entries = store.entries(&pack)?;
            let live = entries.iter().filter(|entry| is_live(&entry.id));
            let live_bytes = live.map(|entry| entry.record_bytes() as u64).sum();
            candidates.push(Candidate { slot, pack, entries, live_bytes, bytes });
        }
        let small = |candidate: &Candidate| is_small(candidate.bytes);
        let merge =
            candidates.iter().filter(|candidate| small(candidate)).count() > PACKS_SMALL_MAX;
        // What makes room comes first.
        candidates.sort_by_key(|candidate| candidate.live_bytes);
        let mut copied = Ids::default();
        let mut bytes_done = 0;
        for candidate in candidates {
            let sparse = candidate.live_bytes * 100 < candidate.bytes * PACK_LIVE_PERCENT_MIN;
            let rewrite = options.repack || sparse || (merge && small(&candidate));
            let within = |bytes: u64| progress(bytes_done + bytes.min(candidate.bytes));
            if rewrite
                && let Err(error) =
                    self.remove(&candidate, is_live, &mut copied, &mut done, &within)
            {
                match &error {
                    // A damaged copy may be the only one: it is no business of a collection.
                    ObjectError::Damaged { .. } => {}
                    // Others may be smaller, or nothing of them live.
                    ObjectError::Io { source, .. } if is_full(source) => {}
                    _ => return Err(error.into()),
                }
                log::warn!("{} stays as it is: {error}", candidate.pack.path().display());
            }
            bytes_done += candidate.bytes;
            progress(bytes_done);
        }
        store.close()?;
        done.bytes_after = store.disk_bytes();
        Ok(done)
    }

    /// Copies what is live of a pack, and removes it. `progress` is told how much was copied.
    fn remove(
        &self,
        candidate: &Candidate,
        is_live: &dyn Fn(&ObjectId) -> bool,
        copied: &mut Ids,
        done: &mut Collected,
        progress: &dyn Fn(u64),
    ) -> Result<(), ObjectError> {
        let store = self.store;
        let Candidate { slot, pack, entries, .. } = candidate;
        let mut wanted: Vec<&PackEntry> = entries.iter().filter(|e| is_live(&e.id)).collect();
        let before = copied.len();
        let mut bytes_copied = 0;
        loop {
            for entry in wanted.drain(..) {
                self.copy(pack, entry, copied)?;
                bytes_copied += entry.record_bytes() as u64;
                progress(bytes_copied);
            }
            store.sync()?;
            // Who puts an object that is in here must be before this, or find it gone.
            let touched = store.touched.ids.write();
            let ids = touched.as_ref().map(|ids| ids.lock());
            let is_touched = |id: &ObjectId| ids.as_ref().is_some_and(|ids| ids.contains(id));
            let missing = |entry: &&PackEntry| is_touched(&entry.id) && !copied.contains(&entry.id);
            wanted.extend(entries.iter().filter(missing));
            if wanted.is_empty() {
                store.set.remove(*slot);
                break;
            }
        }
        let path = pack.path();
        let disk = store.set.disk();
        disk.remove_file(path).map_err(|error| StoreError::io("removing", path, error))?;
        // Not before that: somebody could open it again.
        pack.close_reader(&store.set.files);
        files::sync_dir(disk, &store.set.dir)?;
        let kept = (copied.len() - before) as u64;
        done.packs_removed += 1;
        done.objects_copied += kept;
        done.objects_removed += (entries.len() as u64).saturating_sub(kept);
        Ok(())
    }

    fn copy(
        &self,
        pack: &Arc<Pack>,
        entry: &PackEntry,
        copied: &mut Ids,
    ) -> Result<(), ObjectError> {
        let PackEntry { id, kind, .. } = *entry;
        if copied.contains(&id) {
            return Ok(());
        }
        let Some(writer) = self.store.writer() else {
            return Err(StoreError::ReadOnly { path: self.store.set.dir.clone() }.into());
        };
        let place = Place { pack: Arc::clone(pack), entry: *entry };
        let bytes = place.read(&self.store.set.files, |_, _| false)?;
        writer.append(kind, &id, &bytes, true, Effort::Thorough)?;
        copied.insert(id);
        Ok(())
    }
}
