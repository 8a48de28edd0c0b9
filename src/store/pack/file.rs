//! One pack: its file, and what is known of its objects.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};

use crate::base::disk::{Disk, DiskFile, OpenMode};
use crate::base::limits;
use crate::base::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::base::sync::{Mutex, RwLock};
use crate::format::pack::{ENTRY_BYTES, FANOUT_BYTES, Fanout, PackEntry, PackError, Trailer};
use crate::model::ObjectId;
use crate::store::StoreError;

const SUFFIX: &str = ".pack";

/// The file name of a pack: its number in hex. Numbers rise, and none is used again.
pub(super) fn file_name(number: u64) -> String {
    format!("{number:016x}{SUFFIX}")
}

/// The number of the pack that has this file name.
pub(super) fn number_of(name: &Path) -> Option<u64> {
    let digits = name.to_str()?.strip_suffix(SUFFIX)?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    (Path::new(&file_name(number)) == name).then_some(number)
}

/// A pack. Its objects are known from its footer once it is sealed, and from memory until then
/// (or, if the footer is damaged, for good).
pub(super) struct Pack {
    number: u64,
    path: PathBuf,
    /// The file, open for reading; [`OpenFiles`] closes it again when too many are.
    reader: RwLock<Option<Arc<dyn DiskFile>>>,
    trailer: OnceLock<Trailer>,
    fanout: OnceLock<Fanout>,
    /// The footer does not check: the objects are listed in `listed`.
    footer_damaged: AtomicBool,
    /// The objects in memory, in the order of their records.
    listed: Mutex<Vec<PackEntry>>,
    /// What is worth keeping of it is elsewhere, and the file is gone or about to go.
    removed: AtomicBool,
}

impl Pack {
    pub(super) fn new(dir: &Path, number: u64) -> Self {
        Self {
            number,
            path: dir.join(file_name(number)),
            reader: RwLock::new(None),
            trailer: OnceLock::new(),
            fanout: OnceLock::new(),
            footer_damaged: AtomicBool::new(false),
            listed: Mutex::new(Vec::new()),
            removed: AtomicBool::new(false),
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A file that tells the next process that not all of the pack may be durable.
    pub(super) fn doubt_path(&self) -> PathBuf {
        self.path.with_extension("doubt")
    }

    /// The trailer, if the pack is sealed and its footer is whole as far as is known.
    pub(super) fn trailer(&self) -> Option<&Trailer> {
        self.trailer.get().filter(|_| !self.footer_damaged.load(Ordering::Acquire))
    }

    /// Where the records end at the latest, if the pack is sealed.
    pub(super) fn records_end(&self) -> Option<u64> {
        self.trailer.get().map(|trailer| trailer.footer_offset)
    }

    /// From now on the pack is sealed. `fanout` is read from the file when needed if not given.
    pub(super) fn set_sealed(&self, trailer: Trailer, fanout: Option<Fanout>) {
        // Both are set once: a pack is sealed by its only writer, or found sealed when opened.
        let _ = self.trailer.set(trailer);
        if let Some(fanout) = fanout {
            let _ = self.fanout.set(fanout);
        }
    }

    /// From now on the footer is not looked at; the objects have been listed.
    pub(super) fn set_footer_damaged(&self) {
        self.footer_damaged.store(true, Ordering::Release);
    }

    pub(super) fn set_removed(&self) {
        self.removed.store(true, Ordering::Release);
    }

    /// Closes the file, so that one that was removed takes no room any more.
    pub(super) fn close_reader(self: &Arc<Self>, files: &OpenFiles) {
        files.queue.lock().retain(|open| !std::ptr::eq(open.as_ptr(), Arc::as_ptr(self)));
        *self.reader.write() = None;
    }

    pub(super) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    pub(super) fn listed(&self) -> &Mutex<Vec<PackEntry>> {
        &self.listed
    }

    /// Reads exactly as many bytes as fit into `buffer`.
    pub(super) fn read_at(
        self: &Arc<Self>,
        files: &OpenFiles,
        buffer: &mut [u8],
        at: u64,
    ) -> io::Result<()> {
        files.reads.fetch_add(1, Ordering::Relaxed);
        self.reader(files)?.read_exact_at(buffer, at)
    }

    /// The file, open for reading.
    pub(super) fn reader(self: &Arc<Self>, files: &OpenFiles) -> io::Result<Arc<dyn DiskFile>> {
        if let Some(file) = &*self.reader.read() {
            return Ok(Arc::clone(file));
        }
        let mut reader = self.reader.write();
        if let Some(file) = &*reader {
            return Ok(Arc::clone(file));
        }
        let file: Arc<dyn DiskFile> = Arc::from(files.disk.open(&self.path, OpenMode::Read)?);
        *reader = Some(Arc::clone(&file));
        drop(reader);
        files.opened(Arc::downgrade(self));
        Ok(file)
    }

    /// The entry of the footer at this position.
    pub(super) fn entry_at(
        self: &Arc<Self>,
        files: &OpenFiles,
        trailer: &Trailer,
        position: u32,
    ) -> Result<PackEntry, StoreError> {
        let at = trailer.entry_offset(position);
        let mut bytes = [0; ENTRY_BYTES];
        self.read_at(files, &mut bytes, at)
            .map_err(|error| StoreError::io("reading", &self.path, error))?;
        PackEntry::decode(&bytes).map_err(|error| StoreError::corrupt(&self.path, at, error))
    }

    /// The entries of the footer whose ids begin with this byte.
    pub(super) fn bucket(
        self: &Arc<Self>,
        files: &OpenFiles,
        trailer: &Trailer,
        byte: u8,
    ) -> Result<Vec<PackEntry>, StoreError> {
        self.read_bucket(files, trailer, byte, |fanout, bytes| fanout.decode_bucket(byte, bytes))
    }

    /// Calls `visit` with the positions and ids of the entries of the footer whose ids begin with
    /// this byte, lowest first.
    pub(super) fn bucket_ids(
        self: &Arc<Self>,
        files: &OpenFiles,
        trailer: &Trailer,
        byte: u8,
        mut visit: impl FnMut(u32, ObjectId),
    ) -> Result<(), StoreError> {
        self.read_bucket(files, trailer, byte, |fanout, bytes| {
            let positions = fanout.bucket(byte);
            positions.zip(fanout.bucket_ids(byte, bytes)?).for_each(|(at, id)| visit(at, id));
            Ok(())
        })
    }

    fn read_bucket<T>(
        self: &Arc<Self>,
        files: &OpenFiles,
        trailer: &Trailer,
        byte: u8,
        read: impl FnOnce(&Fanout, &[u8]) -> Result<T, PackError>,
    ) -> Result<T, StoreError> {
        let fanout = self.fanout(files, trailer)?;
        let range = fanout.bucket(byte);
        let at = trailer.entry_offset(range.start);
        let mut bytes = vec![0; range.len() * ENTRY_BYTES];
        self.read_at(files, &mut bytes, at)
            .map_err(|error| StoreError::io("reading", &self.path, error))?;
        read(fanout, &bytes).map_err(|error| StoreError::corrupt(&self.path, at, error))
    }

    fn fanout(
        self: &Arc<Self>,
        files: &OpenFiles,
        trailer: &Trailer,
    ) -> Result<&Fanout, StoreError> {
        if let Some(fanout) = self.fanout.get() {
            return Ok(fanout);
        }
        let at = trailer.footer_offset;
        let mut bytes = [0; FANOUT_BYTES];
        self.read_at(files, &mut bytes, at)
            .map_err(|error| StoreError::io("reading", &self.path, error))?;
        let fanout = Fanout::decode(&bytes, trailer)
            .map_err(|error: PackError| StoreError::corrupt(&self.path, at, error))?;
        Ok(self.fanout.get_or_init(|| fanout))
    }
}

/// Which packs have their file open for reading: a bounded number, the first opened goes first.
pub(super) struct OpenFiles {
    pub(super) disk: Arc<dyn Disk>,
    queue: Mutex<VecDeque<Weak<Pack>>>,
    reads: AtomicU64,
}

impl OpenFiles {
    pub(super) fn new(disk: &Arc<dyn Disk>) -> Self {
        Self { disk: Arc::clone(disk), queue: Mutex::default(), reads: AtomicU64::new(0) }
    }

    /// How many reads there were from all packs.
    pub(super) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// How many packs have their file open.
    pub(super) fn open(&self) -> usize {
        self.queue.lock().len()
    }

    fn opened(&self, pack: Weak<Pack>) {
        let mut queue = self.queue.lock();
        queue.push_back(pack);
        let surplus =
            if queue.len() > limits::PACK_FILES_OPEN_MAX { queue.pop_front() } else { None };
        drop(queue);
        if let Some(pack) = surplus.and_then(|pack| pack.upgrade()) {
            // Whoever reads from it at the moment has a copy of the `Arc`.
            *pack.reader.write() = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{OpenFiles, Pack, file_name, number_of};
    use crate::base::disk::{Disk, RealDisk};
    use crate::base::limits;
    use std::path::Path;
    use std::sync::Arc;

    #[test]
    fn only_whole_names_are_names_of_packs() {
        for number in [0, 1, 255, u64::MAX] {
            assert_eq!(number_of(Path::new(&file_name(number))), Some(number));
        }
        for name in ["1.pack", "x.pack", ".pack", "0000000000000001", "+000000000000001.pack"] {
            assert_eq!(number_of(Path::new(name)), None, "{name}");
        }
    }

    #[test]
    fn the_number_of_open_files_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let files = OpenFiles::new(&disk);
        let packs: Vec<_> = (0..limits::PACK_FILES_OPEN_MAX as u64 + 20)
            .map(|number| Arc::new(Pack::new(dir.path(), number)))
            .collect();
        for round in 0..2 {
            for pack in &packs {
                std::fs::write(pack.path(), b"x").unwrap();
                pack.read_at(&files, &mut [0], 0).unwrap();
            }
            let open = packs.iter().filter(|pack| pack.reader.read().is_some()).count();
            assert_eq!(open, limits::PACK_FILES_OPEN_MAX, "round {round}");
        }
    }
}
