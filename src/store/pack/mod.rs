//! Objects on disk, in packs.
//!
//! The bytes of a pack are specified in `format::pack`; its file is `packs/<number>.pack`, the
//! number with 16 hex digits, lowercase. Beside it, `<number>.doubt` is there, and empty, while
//! what is in it may not be durable though the kernel says so.
//!
//! There is one writer, the owner of the store's lock, which appends to the newest pack until that
//! is sealed ([`writer`]); any number of threads put and read at the same time, and other processes
//! may read ([`recover`]). What lies where is told by one index over all packs ([`index`]).
//!
//! What survives: an object that was put is lost when the process ends, until a `flush` has
//! brought it to the page cache; and when the machine does, until a `sync` has brought it to the
//! disk. Dropping a store neither flushes nor syncs.

mod check;
mod compact;
mod file;
mod index;
mod mend;
mod recover;
mod scan;
mod set;
#[cfg(test)]
mod tests;
mod write_file;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) use self::check::{CheckedPack, check_pack};
use self::compact::Touched;
pub use self::compact::{CollectOptions, Collected, Collection};
pub(super) use self::mend::mend_pack;
use self::recover::Follower;
pub(super) use self::recover::numbers;
use self::set::PackSet;
use self::writer::Writer;
use super::cache::ObjectCache;
use super::objects::check_object_bytes;
use super::{ObjectInfo, ObjectStats, ObjectStore, StoreError, files};
use crate::base::disk::Disk;
use crate::base::{haste, limits};
use crate::format::pack::{Effort, PackEntry};
use crate::hash::hash;
use crate::model::{IdPrefix, ObjectError, ObjectId, ObjectKind, ObjectSink, ObjectSource};

/// How a [`PackStore`] is to behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackOptions {
    /// Memory for objects that have been read.
    pub cache_bytes: usize,
    /// A pack is sealed when it has grown to this size.
    pub pack_bytes_target: u64,
}

impl Default for PackOptions {
    fn default() -> Self {
        Self {
            cache_bytes: limits::OBJECT_CACHE_BYTES,
            pack_bytes_target: limits::PACK_BYTES_TARGET,
        }
    }
}

/// How often the disk was asked for what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoCounts {
    /// Reads from packs, but for the scans of unsealed ones.
    pub reads: u64,
    /// Writes to packs.
    pub writes: u64,
    /// Syncs of packs and of their directory.
    pub syncs: u64,
}

/// The objects of a store on disk.
pub struct PackStore {
    set: Arc<PackSet>,
    cache: ObjectCache,
    role: Role,
    /// What was put since a collection began, if one goes on.
    touched: Touched,
}

enum Role {
    Owner(Writer),
    Reader(Follower),
}

impl PackStore {
    /// Opens the packs in this directory. The caller holds the store's lock for as long as the
    /// value lives. What a killed process left is taken over: everything that it had flushed is
    /// there, and the torn end of a write that it was in is cut off.
    pub fn open(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        options: PackOptions,
    ) -> Result<Self, StoreError> {
        let set = Arc::new(PackSet::new(disk, dir));
        let (unsealed, next_number) = recover::open_for_writing(&set)?;
        let target = options.pack_bytes_target.min(u64::from(u32::MAX / 2));
        let writer = Writer::start(&set, target, next_number, unsealed)?;
        let cache = ObjectCache::new(options.cache_bytes);
        Ok(Self { set, cache, role: Role::Owner(writer), touched: Touched::default() })
    }

    /// Opens the packs in this directory for reading, while another process may be writing to
    /// them. What it flushes later is found too.
    pub fn open_read_only(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        options: PackOptions,
    ) -> Result<Self, StoreError> {
        let set = Arc::new(PackSet::new(disk, dir));
        let follower = Follower::start(&set)?;
        let cache = ObjectCache::new(options.cache_bytes);
        Ok(Self { set, cache, role: Role::Reader(follower), touched: Touched::default() })
    }

    /// Brings everything that was put to the page cache, with one write if it is little: from
    /// there it survives the end of the process.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.writer().map_or(Ok(()), Writer::flush)
    }

    /// Makes everything that was put durable.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.writer().map_or(Ok(()), Writer::sync)
    }

    /// Makes everything that was put durable and seals the open pack. The store can be used
    /// further; what is put begins a new pack.
    pub fn close(&self) -> Result<(), StoreError> {
        self.writer().map_or(Ok(()), Writer::close)
    }

    /// Memory that cached objects take.
    pub fn cached_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// How many pack files are open for reading.
    pub fn open_files(&self) -> usize {
        self.set.files.open()
    }

    /// The object, if it is in the cache: never waits for a disk.
    pub fn find_cached(&self, id: &ObjectId) -> Option<Arc<[u8]>> {
        self.cache.find(id)
    }

    /// Reads an object from the disk and checks it against its id, whether it is cached or not,
    /// and leaves the cache as it is.
    pub fn verify(&self, id: &ObjectId) -> Result<(), ObjectError> {
        self.read(id).map(drop)
    }

    /// How much disk all packs take.
    pub fn disk_bytes(&self) -> u64 {
        let bytes = |pack: &Arc<file::Pack>| files::file_bytes(self.set.disk(), pack.path());
        self.set.packs().iter().filter_map(bytes).sum()
    }

    /// How often the disk was asked for what since the store was opened.
    pub fn io_counts(&self) -> IoCounts {
        let counts = self.writer().map(Writer::counts);
        IoCounts {
            reads: self.set.files.reads(),
            writes: counts.map_or(0, |counts| counts.writes.load(Ordering::Relaxed)),
            syncs: counts.map_or(0, |counts| counts.syncs.load(Ordering::Relaxed)),
        }
    }

    fn writer(&self) -> Option<&Writer> {
        match &self.role {
            Role::Owner(writer) => Some(writer),
            Role::Reader(_) => None,
        }
    }

    /// Looks for what another process has written since. False if there is no other.
    fn refresh(&self) -> Result<bool, StoreError> {
        match &self.role {
            Role::Owner(_) => Ok(false),
            Role::Reader(follower) => follower.refresh(&self.set).map(|()| true),
        }
    }

    /// Reads an object and checks it against its id, and leaves the cache as it is.
    pub fn read(&self, id: &ObjectId) -> Result<Arc<[u8]>, ObjectError> {
        let mut known = self.read_known(id);
        // Its pack may have been removed between the look into the index and that into the file.
        if matches!(&known, Err(ObjectError::Io { source, .. }) if is_gone(source)) {
            self.refresh()?;
            known = self.read_known(id);
        }
        match known? {
            Some(object) => Ok(object),
            None if self.refresh()? => self.read_known(id)?.ok_or(ObjectError::Missing(*id)),
            None => Err(ObjectError::Missing(*id)),
        }
    }

    /// The first good copy of an object; the error of the last one if there is none.
    fn read_known(&self, id: &ObjectId) -> Result<Option<Arc<[u8]>>, ObjectError> {
        let mut failure = None;
        for place in self.set.places(id)? {
            let read = place.read(&self.set.files, |place, record| {
                self.writer().is_some_and(|writer| writer.copy_pending(place, record))
            });
            match read {
                Ok(object) => return Ok(Some(object)),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(ObjectError::Damaged { id, detail }) => {
                self.set.set_damaged(&id, detail.clone());
                Err(ObjectError::Damaged { id, detail })
            }
            Some(error) => Err(error),
            None => match self.set.damage(id) {
                Some(detail) => Err(ObjectError::Damaged { id: *id, detail }),
                None => Ok(None),
            },
        }
    }

    fn entries(&self, pack: &Arc<file::Pack>) -> Result<Vec<PackEntry>, StoreError> {
        let listed = pack.listed().lock().clone();
        // Asked after the list was copied, which is emptied when the pack has become sealed.
        let Some(trailer) = pack.trailer() else { return Ok(listed) };
        let mut entries = Vec::with_capacity(trailer.count as usize);
        for byte in 0..=u8::MAX {
            entries.append(&mut pack.bucket(&self.set.files, trailer, byte)?);
        }
        entries.sort_unstable_by_key(|entry| entry.offset);
        Ok(entries)
    }
}

/// The file of the pack with this number.
pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(file::file_name(number))
}

fn is_gone(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound
}

impl ObjectSource for PackStore {
    fn get(&self, id: &ObjectId) -> Result<Arc<[u8]>, ObjectError> {
        if let Some(object) = self.cache.find(id) {
            return Ok(object);
        }
        if haste::would_wait() {
            return Err(ObjectError::NotLoaded(*id));
        }
        let object = self.read(id)?;
        self.cache.insert(id, &object);
        Ok(object)
    }
}

impl ObjectSink for PackStore {
    fn put(&self, kind: ObjectKind, id: &ObjectId, bytes: &[u8]) -> Result<(), ObjectError> {
        debug_assert_eq!(hash(bytes), *id.as_bytes(), "an object put under a wrong id");
        check_object_bytes(bytes)?;
        let Some(writer) = self.writer() else {
            return Err(StoreError::ReadOnly { path: self.set.dir.clone() }.into());
        };
        // From here on no collection takes it away.
        let _touched = self.touched.touch(id);
        if self.set.contains(id)? {
            return Ok(());
        }
        let damaged = self.set.damage(id).is_some();
        writer.append(kind, id, bytes, damaged, Effort::Swift)?;
        if damaged {
            self.set.set_healed(id);
        }
        Ok(())
    }
}

impl ObjectStore for PackStore {
    fn contains(&self, id: &ObjectId) -> Result<bool, ObjectError> {
        Ok(self.set.contains(id)? || (self.refresh()? && self.set.contains(id)?))
    }

    fn find_prefix(&self, prefix: &IdPrefix, max: usize) -> Result<Vec<ObjectId>, ObjectError> {
        self.refresh()?;
        Ok(self.set.find_prefix(prefix, max)?)
    }

    /// Goes through pack after pack in the order in which the objects lie there.
    fn for_each(&self, f: &mut dyn FnMut(&ObjectInfo)) -> Result<(), ObjectError> {
        self.refresh()?;
        for pack in self.set.packs() {
            for entry in self.entries(&pack)? {
                let PackEntry { id, kind, raw_bytes, stored_bytes, .. } = entry;
                f(&ObjectInfo { id, kind, raw_bytes, stored_bytes });
            }
        }
        Ok(())
    }

    fn stats(&self) -> ObjectStats {
        let mut stats = ObjectStats::default();
        for pack in self.set.packs() {
            if let Some(bytes) = files::file_bytes(self.set.disk(), pack.path()) {
                stats.packs += 1;
                stats.disk_bytes += bytes;
            }
            let listed = pack.listed().lock();
            if let Some(trailer) = pack.trailer() {
                stats.objects += u64::from(trailer.count);
                stats.raw_bytes += trailer.raw_bytes;
                stats.stored_bytes += trailer.stored_bytes;
                continue;
            }
            stats.objects += listed.len() as u64;
            stats.raw_bytes += listed.iter().map(|e| u64::from(e.raw_bytes)).sum::<u64>();
            stats.stored_bytes += listed.iter().map(|e| u64::from(e.stored_bytes)).sum::<u64>();
        }
        stats
    }
}
