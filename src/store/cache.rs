//! Decompressed, verified objects, as many as fit into a number of bytes.
//!
//! The cache is cut into shards by id, each with its own lock, map and clock: a hit marks the
//! object, and the hand that looks for room passes a marked object once and takes the mark away
//! (the CLOCK approximation of LRU). A new object comes in unmarked, so one long scan does not
//! drive out what is read again and again.

use std::collections::HashMap;
use std::sync::Arc;

use super::id_hash::IdHash;
use crate::base::sync::Mutex;
use crate::model::ObjectId;

const SHARDS: usize = 16;
/// What an object costs beyond its bytes: its slot, its place in the map, the count of its `Arc`.
const OVERHEAD_BYTES: usize = 128;

/// A cache of objects.
pub(super) struct ObjectCache {
    shards: [Mutex<Shard>; SHARDS],
    shard_bytes_max: usize,
}

#[derive(Default)]
struct Shard {
    positions: HashMap<ObjectId, usize, IdHash>,
    slots: Vec<Slot>,
    hand: usize,
    bytes: usize,
}

struct Slot {
    id: ObjectId,
    object: Arc<[u8]>,
    marked: bool,
}

impl ObjectCache {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { shards: Default::default(), shard_bytes_max: bytes_max / SHARDS }
    }

    fn shard(&self, id: &ObjectId) -> &Mutex<Shard> {
        &self.shards[usize::from(id.as_bytes()[0]) % SHARDS]
    }

    pub(super) fn find(&self, id: &ObjectId) -> Option<Arc<[u8]>> {
        let mut shard = self.shard(id).lock();
        let at = *shard.positions.get(id)?;
        let slot = shard.slots.get_mut(at)?;
        slot.marked = true;
        Some(Arc::clone(&slot.object))
    }

    /// Keeps an object, unless it is larger than a shard.
    pub(super) fn insert(&self, id: &ObjectId, object: &Arc<[u8]>) {
        let cost = object.len() + OVERHEAD_BYTES;
        if cost > self.shard_bytes_max {
            return;
        }
        let mut shard = self.shard(id).lock();
        if shard.positions.contains_key(id) {
            return;
        }
        while shard.bytes + cost > self.shard_bytes_max {
            shard.evict_one();
        }
        let at = shard.slots.len();
        shard.positions.insert(*id, at);
        shard.slots.push(Slot { id: *id, object: Arc::clone(object), marked: false });
        shard.bytes += cost;
    }

    /// What the cached objects cost.
    pub(super) fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().bytes).sum()
    }
}

impl Shard {
    /// Drops the next object that was not asked for since the hand last passed it. There is one
    /// object at least.
    fn evict_one(&mut self) {
        loop {
            self.hand %= self.slots.len();
            let slot = &mut self.slots[self.hand];
            if !std::mem::take(&mut slot.marked) {
                break;
            }
            self.hand += 1;
        }
        let slot = self.slots.swap_remove(self.hand);
        self.positions.remove(&slot.id);
        self.bytes -= slot.object.len() + OVERHEAD_BYTES;
        // The last object has taken the place of the one that went.
        if let Some(moved) = self.slots.get(self.hand) {
            self.positions.insert(moved.id, self.hand);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{OVERHEAD_BYTES, ObjectCache, SHARDS};
    use crate::model::ObjectId;
    use std::sync::Arc;

    fn id(n: u32) -> ObjectId {
        ObjectId::from_bytes(*blake3::hash(&n.to_le_bytes()).as_bytes())
    }

    #[test]
    fn the_cache_never_outgrows_its_bound() {
        let cache = ObjectCache::new(SHARDS * 4000);
        for n in 0..5000 {
            cache.insert(&id(n), &vec![n as u8; (n % 700) as usize].into());
            assert!(cache.bytes() <= SHARDS * 4000);
        }
        assert!(cache.bytes() > SHARDS * 2000);
        let found = (0..5000).filter(|n| cache.find(&id(*n)).is_some());
        assert!(found.count() > 100);
        for n in 0..5000 {
            if let Some(object) = cache.find(&id(n)) {
                assert_eq!(*object, *vec![n as u8; (n % 700) as usize]);
            }
        }
    }

    #[test]
    fn what_is_asked_for_outlives_a_scan() {
        let cache = ObjectCache::new(SHARDS * 20 * (100 + OVERHEAD_BYTES));
        let object: Arc<[u8]> = vec![0; 100].into();
        cache.insert(&id(0), &object);
        for n in 1..10_000 {
            assert!(cache.find(&id(0)).is_some(), "gone after {n}");
            cache.insert(&id(n), &object);
        }
    }

    #[test]
    fn what_does_not_fit_is_not_kept() {
        let cache = ObjectCache::new(0);
        cache.insert(&id(0), &Arc::from(&b""[..]));
        assert!(cache.find(&id(0)).is_none());
    }
}
