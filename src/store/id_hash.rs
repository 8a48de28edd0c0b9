//! A hasher for ids, which are hashes already.

use std::hash::{BuildHasherDefault, Hasher};

/// Builds [`IdHasher`]s.
pub(super) type IdHash = BuildHasherDefault<IdHasher>;

/// Takes eight bytes out of the middle of an id: its first ones choose shards, and would be the
/// same for all ids of a shard.
#[derive(Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(middle) = bytes.get(8..).and_then(|rest| rest.first_chunk::<8>()) {
            self.0 = u64::from_le_bytes(*middle);
        }
    }

    /// The length that comes before the bytes of an array tells nothing.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::IdHash;
    use crate::model::ObjectId;
    use std::hash::BuildHasher;

    #[test]
    fn ids_that_differ_in_the_middle_hash_differently() {
        let hash = |byte| {
            let mut bytes = [0; 32];
            bytes[9] = byte;
            IdHash::default().hash_one(ObjectId::from_bytes(bytes))
        };
        assert_ne!(hash(1), hash(2));
        assert_eq!(hash(1), 1 << 8);
    }
}
