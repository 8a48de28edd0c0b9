//! Objects in memory: a whole store for tests, or what lies over another source.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ObjectInfo, ObjectStats, ObjectStore};
use crate::base::sync::RwLock;
use crate::model::{IdPrefix, ObjectError, ObjectId, ObjectKind, ObjectSink, ObjectSource};

type Objects = BTreeMap<ObjectId, (ObjectKind, Arc<[u8]>)>;

/// An object store that forgets everything when it is dropped.
#[derive(Default)]
pub struct MemoryStore {
    objects: RwLock<Objects>,
    base: Option<Arc<dyn ObjectSource>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// A store that reads from `base` what it does not hold itself. Only `get` looks there.
    pub fn over(base: Arc<dyn ObjectSource>) -> Self {
        Self { base: Some(base), ..Self::default() }
    }
}

impl ObjectSource for MemoryStore {
    fn get(&self, id: &ObjectId) -> Result<Arc<[u8]>, ObjectError> {
        if let Some((_, bytes)) = self.objects.read().get(id) {
            return Ok(Arc::clone(bytes));
        }
        self.base.as_ref().map_or(Err(ObjectError::Missing(*id)), |base| base.get(id))
    }
}

impl ObjectSink for MemoryStore {
    fn put(&self, kind: ObjectKind, id: &ObjectId, bytes: &[u8]) -> Result<(), ObjectError> {
        super::objects::check_object_bytes(bytes)?;
        self.objects.write().entry(*id).or_insert_with(|| (kind, Arc::from(bytes)));
        Ok(())
    }
}

impl ObjectStore for MemoryStore {
    fn contains(&self, id: &ObjectId) -> Result<bool, ObjectError> {
        Ok(self.objects.read().contains_key(id))
    }

    fn find_prefix(&self, prefix: &IdPrefix, max: usize) -> Result<Vec<ObjectId>, ObjectError> {
        let objects = self.objects.read();
        let from_lowest = objects.range(prefix.lowest()..).map(|(id, _)| *id);
        Ok(from_lowest.take_while(|id| prefix.matches(id)).take(max).collect())
    }

    fn for_each(&self, f: &mut dyn FnMut(&ObjectInfo)) -> Result<(), ObjectError> {
        let info = |(id, (kind, bytes)): (&ObjectId, &(ObjectKind, Arc<[u8]>))| {
            let bytes = bytes.len() as u32; // Bounded by `check_object_bytes`.
            ObjectInfo { id: *id, kind: *kind, raw_bytes: bytes, stored_bytes: bytes }
        };
        let all: Vec<_> = self.objects.read().iter().map(info).collect();
        all.iter().for_each(f);
        Ok(())
    }

    fn stats(&self) -> ObjectStats {
        let objects = self.objects.read();
        let bytes = objects.values().map(|(_, bytes)| bytes.len() as u64).sum();
        let count = objects.len() as u64;
        ObjectStats { objects: count, raw_bytes: bytes, stored_bytes: bytes, ..Default::default() }
    }
}
