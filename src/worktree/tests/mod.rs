//! The working tree against a plain model, and what its commits must be.

mod check;
mod contents;
mod counters;
mod deeds;
mod diff;
mod flights;
mod fs;
mod ignored;
mod links;
mod model;
mod refusals;
mod root_id;
mod saver;
mod sequences;
mod steps;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::model::{Name, ObjectError, ObjectId, ObjectKind, ObjectSink, ObjectSource, Timestamp};

/// Objects in memory, with counts of what goes out and in.
#[derive(Default)]
struct Objects {
    /// What is looked at for an object that is not here.
    below: Option<Arc<Objects>>,
    map: Mutex<BTreeMap<ObjectId, Arc<[u8]>>>,
    reads: AtomicU64,
    puts: AtomicU64,
}

impl Objects {
    fn over(below: &Arc<Self>) -> Self {
        Self { below: Some(below.clone()), ..Self::default() }
    }

    fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Bytes of all objects.
    fn bytes(&self) -> u64 {
        self.map.lock().values().map(|bytes| bytes.len() as u64).sum()
    }

    fn puts(&self) -> u64 {
        self.puts.load(Ordering::Relaxed)
    }
}

impl ObjectSource for Objects {
    fn get(&self, id: &ObjectId) -> Result<Arc<[u8]>, ObjectError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let found = self.map.lock().get(id).cloned();
        match (&self.below, found) {
            (_, Some(bytes)) => Ok(bytes),
            (Some(below), None) => below.get(id),
            (None, None) => Err(ObjectError::Missing(*id)),
        }
    }
}

impl ObjectSink for Objects {
    fn put(&self, _: ObjectKind, id: &ObjectId, bytes: &[u8]) -> Result<(), ObjectError> {
        self.puts.fetch_add(1, Ordering::Relaxed);
        let digest = ObjectId::from_bytes(crate::hash::hash(bytes));
        assert_eq!(*id, digest, "an object under a wrong id");
        self.map.lock().entry(*id).or_insert_with(|| bytes.into());
        Ok(())
    }
}

/// A sink that takes so many objects and then is full.
struct FullAfter<'a> {
    objects: &'a Objects,
    left: AtomicI64,
}

impl ObjectSink for FullAfter<'_> {
    fn put(&self, kind: ObjectKind, id: &ObjectId, bytes: &[u8]) -> Result<(), ObjectError> {
        if self.left.fetch_sub(1, Ordering::Relaxed) <= 0 {
            let source = Arc::new(std::io::ErrorKind::StorageFull.into());
            return Err(ObjectError::Io { context: "a test".to_owned(), source });
        }
        self.objects.put(kind, id, bytes)
    }
}

/// A source that has in memory only what was fetched before.
struct Cached {
    objects: Arc<Objects>,
    fetched: Mutex<BTreeSet<ObjectId>>,
}

impl Cached {
    fn new(objects: Arc<Objects>) -> Self {
        Self { objects, fetched: Mutex::default() }
    }

    fn fetch(&self, id: ObjectId) {
        assert!(self.fetched.lock().insert(id), "{id:?} is asked for though it is there");
    }
}

impl ObjectSource for Cached {
    fn get(&self, id: &ObjectId) -> Result<Arc<[u8]>, ObjectError> {
        if self.fetched.lock().contains(id) {
            self.objects.get(id)
        } else {
            Err(ObjectError::NotLoaded(*id))
        }
    }
}

fn at(secs: i64) -> Timestamp {
    Timestamp { secs, nanos: 7 }
}

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

/// Bytes without a pattern, the same ones for a seed.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
