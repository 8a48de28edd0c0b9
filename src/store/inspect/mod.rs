//! A store looked at file by file, however damaged it is, and mended from what is left.
//!
//! Nothing is taken for granted that a store which is opened takes for granted: each file is
//! judged by itself. Others may write to the store meanwhile; what they are in the middle of is
//! no damage.

mod finding;
mod lists;
mod mend;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::id_hash::IdHash;
use super::layout::{Found, Layout};
use super::pack::{self, CheckedPack, PackOptions, PackStore, check_pack, mend_pack};
use super::{RefName, StoreError, StoreLock, files};
use crate::base::disk::Disk;
use crate::base::sync::Mutex;
use crate::model::{ObjectId, ObjectKind};

pub use self::finding::{Finding, Part};
pub use self::lists::Lists;

/// A store that is being looked at.
#[derive(Debug)]
pub struct Inspection {
    layout: Layout,
}

/// How far the objects have been looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Objects that were read.
    pub objects: u64,
    /// Bytes of their records.
    pub bytes: u64,
    /// About how many bytes there are.
    pub bytes_total: u64,
}

/// What the packs of a store hold.
#[derive(Debug, Default)]
pub struct PacksChecked {
    /// What is wrong with them.
    pub findings: Vec<Finding>,
    whole: HashSet<ObjectId, IdHash>,
    /// The commits among the objects that are whole.
    pub commits: Vec<ObjectId>,
    /// The states of the worktree among them.
    pub states: Vec<ObjectId>,
    /// How much was read.
    pub read: Progress,
}

impl Inspection {
    /// Looks whether there is a store in a directory, perhaps a damaged one. Refuses what is none
    /// and what is of an unknown version.
    pub fn open(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Self, StoreError> {
        let layout = Layout::new(disk, dir);
        let inspection = Self { layout };
        match inspection.layout.inspect() {
            Ok(Found::Nothing) => Err(StoreError::NotAStore { path: dir.to_owned() }),
            Err(StoreError::NotEmpty { .. }) if inspection.has_a_list() => Ok(inspection),
            Ok(Found::Store) | Err(StoreError::Corrupt { .. }) => Ok(inspection),
            Err(error) => Err(error),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.layout.root()
    }

    /// The disk that it is on.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        self.layout.disk()
    }

    /// The directory of the journal.
    pub fn journal(&self) -> PathBuf {
        self.layout.journal()
    }

    /// The file of a ref, relative to the directory.
    pub fn ref_file(&self, name: &RefName) -> PathBuf {
        self.relative(&self.layout.refs().join(name.as_str()))
    }

    /// Keeps others from writing to the store for as long as the value lives.
    pub fn lock(&self) -> Result<StoreLock, StoreError> {
        StoreLock::acquire(&**self.disk(), self.path())
    }

    /// Where objects can be read from. Nothing of what is read is kept in memory.
    pub fn source(&self) -> Result<PackStore, StoreError> {
        let options = PackOptions { cache_bytes: 0, ..PackOptions::default() };
        PackStore::open_read_only(self.disk(), &self.layout.packs(), options)
    }

    /// Reads and hashes every object. Calls `progress` now and then, from any thread.
    pub fn check_packs(
        &self,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<PacksChecked, StoreError> {
        let (disk, dir) = (&**self.disk(), self.layout.packs());
        let numbers = pack::numbers(disk, &dir)?;
        let bytes = |number: &u64| files::file_bytes(disk, &pack::path(&dir, *number));
        let bytes_total = numbers.iter().filter_map(bytes).sum();
        let (objects, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        let read = || {
            let (objects, bytes) = (&objects, &bytes);
            let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
            Progress { objects: load(objects), bytes: load(bytes), bytes_total }
        };
        let tick = |new_objects, new_bytes| {
            objects.fetch_add(new_objects, Ordering::Relaxed);
            bytes.fetch_add(new_bytes, Ordering::Relaxed);
            progress(read());
        };
        let all = Mutex::new(PacksChecked::default());
        numbers.par_iter().for_each(|number| {
            if let Some(checked) = check_pack(disk, &dir, *number, &tick) {
                all.lock().add(checked);
            }
        });
        let mut all = all.into_inner();
        all.read = read();
        for finding in &mut all.findings {
            finding.is_spare = finding.object.is_some_and(|id| all.whole.contains(&id));
        }
        all.findings.sort_by(|a, b| (&a.file, a.offset).cmp(&(&b.file, b.offset)));
        Ok(all)
    }

    /// Mends every pack as far as the packs allow: `packs` tells what is whole.
    /// Durable on return. Returns what was done with which file.
    pub fn mend_packs(
        &self,
        _lock: &StoreLock,
        packs: &PacksChecked,
    ) -> Result<Vec<(PathBuf, &'static str)>, StoreError> {
        let (disk, dir) = (&**self.disk(), self.layout.packs());
        let mut done = Vec::new();
        for number in pack::numbers(disk, &dir)? {
            let mended = mend_pack(disk, &dir, number, &packs.whole)?;
            let name = self.relative(&pack::path(&dir, number));
            done.extend(mended.into_iter().map(|what| (name.clone(), what)));
        }
        Ok(done)
    }

    /// Opens the packs for writing.
    pub fn open_packs(&self, _lock: &StoreLock) -> Result<PackStore, StoreError> {
        PackStore::open(self.disk(), &self.layout.packs(), PackOptions::default())
    }

    /// Tells whether a file that was found to be damaged is still there. A pack may have been
    /// removed meanwhile by whoever owns the store.
    pub fn is_there(&self, finding: &Finding) -> bool {
        let path = self.path().join(&finding.file);
        !matches!(self.disk().find(&path), Ok(None))
    }

    fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(self.path()).unwrap_or(path).to_owned()
    }
}

impl PacksChecked {
    /// Tells whether there is a whole copy of an object.
    pub fn is_whole(&self, id: &ObjectId) -> bool {
        self.whole.contains(id)
    }

    fn add(&mut self, checked: CheckedPack) {
        for (entry, is_whole) in checked.entries {
            // What is there twice counts once.
            if is_whole && self.whole.insert(entry.id) {
                match entry.kind {
                    ObjectKind::Commit => self.commits.push(entry.id),
                    ObjectKind::Worktree => self.states.push(entry.id),
                    _ => {}
                }
            }
        }
        self.findings.extend(checked.findings);
    }
}
