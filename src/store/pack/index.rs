//! Which pack an object is in.
//!
//! One index over all packs, so that a look-up costs the same however many packs there are. It
//! has 256 shards, by the first byte of the id. A shard is read when it is first looked into: the
//! bucket of that byte out of the footer of every sealed pack, one read each. Opening a store so
//! reads no footer at all, and what is never looked for takes no memory.
//!
//! An object in a sealed pack takes 12 bytes: the next four bytes of its id, the pack, and the
//! position in the pack's footer, sorted. A hit is confirmed against the whole id in the footer,
//! which costs one small read. Objects of packs without a usable footer (above all the open one)
//! are here with all that a footer would tell.

use std::collections::HashMap;

use crate::base::sync::RwLock;
use crate::format::pack::PackEntry;
use crate::model::{IdPrefix, ObjectId};
use crate::store::id_hash::IdHash;

/// Where a pack is in the list of packs.
pub(super) type PackSlot = u32;

/// An object of a sealed pack, perhaps: only the first five bytes of its id are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SealedAt {
    fingerprint: u32,
    /// The pack.
    pub(super) pack: PackSlot,
    /// The position in its footer.
    pub(super) position: u32,
}

/// An object whose entry is in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListedAt {
    /// The pack.
    pub(super) pack: PackSlot,
    /// Its entry.
    pub(super) entry: PackEntry,
}

/// What a look-up found, the likeliest first.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// The object itself, for certain.
    pub(super) listed: Option<ListedAt>,
    /// Places to confirm, the newest pack first.
    pub(super) sealed: Vec<SealedAt>,
}

#[derive(Default)]
struct Shard {
    loaded: bool,
    sealed: Vec<SealedAt>,
    listed: HashMap<ObjectId, ListedAt, IdHash>,
}

/// The index.
pub(super) struct Index {
    shards: Box<[RwLock<Shard>]>,
}

/// The shard must be loaded first.
#[derive(Debug)]
pub(super) struct NotLoaded;

impl Index {
    pub(super) fn new() -> Self {
        Self { shards: (0..256).map(|_| RwLock::default()).collect() }
    }

    fn shard(&self, byte: u8) -> &RwLock<Shard> {
        &self.shards[usize::from(byte)]
    }

    fn shard_of(&self, id: &ObjectId) -> &RwLock<Shard> {
        self.shard(id.as_bytes()[0])
    }

    /// Looks an object up.
    pub(super) fn find(&self, id: &ObjectId) -> Result<Candidates, NotLoaded> {
        let shard = self.shard_of(id).read();
        if !shard.loaded {
            return Err(NotLoaded);
        }
        let listed = shard.listed.get(id).copied();
        let fingerprint = fingerprint(id);
        let first = first_from(&shard.sealed, fingerprint);
        let equal = shard.sealed[first..].iter().take_while(|at| at.fingerprint == fingerprint);
        let mut sealed: Vec<_> = equal.copied().collect();
        sealed.reverse();
        Ok(Candidates { listed, sealed })
    }

    /// All objects of a shard that may begin with this prefix: ids for certain, and places to
    /// confirm in the order of their ids.
    pub(super) fn find_prefix(
        &self,
        byte: u8,
        prefix: &IdPrefix,
    ) -> Result<(Vec<ObjectId>, Vec<SealedAt>), NotLoaded> {
        let shard = self.shard(byte).read();
        if !shard.loaded {
            return Err(NotLoaded);
        }
        let listed = shard.listed.keys().filter(|id| prefix.matches(id)).copied().collect();
        // Digits of the prefix that lie in the fingerprint; the first two chose the shard.
        let digits = prefix.digits().saturating_sub(2).min(8) as u32;
        let mask = u32::MAX.checked_shl(32 - 4 * digits).unwrap_or(0);
        let low = fingerprint(&prefix.lowest()) & mask;
        let first = first_from(&shard.sealed, low);
        let within = shard.sealed[first..].iter().take_while(|at| at.fingerprint & mask == low);
        Ok((listed, within.copied().collect()))
    }

    /// Fills a shard with what `read` gives, unless that has been done. Look-ups in the shard wait.
    pub(super) fn load<E>(
        &self,
        byte: u8,
        read: impl FnOnce() -> Result<Vec<SealedAt>, E>,
    ) -> Result<(), E> {
        let mut shard = self.shard(byte).write();
        if !shard.loaded {
            shard.sealed = read()?;
            // A sorted run from each pack: this sort merges them.
            shard.sealed.sort();
            shard.loaded = true;
        }
        Ok(())
    }

    /// Forgets what was loaded, so that it is read again with packs that are new.
    pub(super) fn unload(&self) {
        for shard in &self.shards {
            let mut shard = shard.write();
            shard.loaded = false;
            shard.sealed = Vec::new();
        }
    }

    /// Forgets everything about a pack.
    pub(super) fn forget(&self, pack: PackSlot) {
        for shard in &self.shards {
            let mut shard = shard.write();
            shard.sealed.retain(|at| at.pack != pack);
            shard.listed.retain(|_, at| at.pack != pack);
        }
    }

    /// Adds an object unless it is listed already, or listed elsewhere when `replace` is set.
    /// Tells whether it was added.
    pub(super) fn list(&self, id: &ObjectId, replace: bool, at: ListedAt) -> bool {
        let mut shard = self.shard_of(id).write();
        if !replace && shard.listed.contains_key(id) {
            return false;
        }
        shard.listed.insert(*id, at);
        true
    }

    /// Moves the objects of a pack that has just been sealed to where sealed ones are.
    /// `entries` are those of its footer.
    pub(super) fn sealed(&self, pack: PackSlot, entries: &[PackEntry]) {
        let mut rest = entries;
        let mut position = 0;
        while let Some(first) = rest.first() {
            let byte = first.id.as_bytes()[0];
            let (bucket, after) =
                rest.split_at(rest.partition_point(|entry| entry.id.as_bytes()[0] == byte));
            let mut guard = self.shard(byte).write();
            let shard = &mut *guard;
            for entry in bucket {
                if shard.listed.get(&entry.id).is_some_and(|at| at.pack == pack) {
                    shard.listed.remove(&entry.id);
                }
                if shard.loaded {
                    shard.sealed.push(SealedAt::new(&entry.id, pack, position));
                }
                position += 1;
            }
            // A shard that was loaded while the pack was being sealed has the entries already.
            // Two sorted runs: this sort merges them in one pass.
            shard.sealed.sort();
            shard.sealed.dedup();
            rest = after;
        }
    }
}

impl SealedAt {
    pub(super) fn new(id: &ObjectId, pack: PackSlot, position: u32) -> Self {
        Self { fingerprint: fingerprint(id), pack, position }
    }
}

/// The index of the first of sorted places whose fingerprint is at least this.
///
/// Fingerprints are digests, so they lie where their value says, give or take the square root of
/// their number: searching from there on in growing steps meets two or three cache lines, where
/// halving the whole meets one a step.
fn first_from(sorted: &[SealedAt], fingerprint: u32) -> usize {
    let len = sorted.len();
    let below = |at: usize| sorted[at].fingerprint < fingerprint;
    // Below `len`, since the fingerprint is below 2^32.
    let guess = ((u64::from(fingerprint) * len as u64) >> 32) as usize;
    let (mut low, mut high, mut step) = (0, guess, 1);
    if guess < len && below(guess) {
        low = guess + 1;
        high = len.min(low + step);
        while high < len && below(high) {
            step *= 2;
            low = high + 1;
            high = len.min(low + step);
        }
    } else {
        while high > step && !below(high - step) {
            high -= step;
            step *= 2;
        }
        if high > step {
            low = high - step;
        }
    }
    low + sorted[low..high].partition_point(|at| at.fingerprint < fingerprint)
}

/// The four bytes after the one that chooses the shard, so that their order is that of the ids.
fn fingerprint(id: &ObjectId) -> u32 {
    (id.prefix_u64() >> 24) as u32 // The shift leaves them in the low half.
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

    use super::{SealedAt, first_from};

    fn fingerprints() -> impl Strategy<Value = Vec<u32>> {
        prop_oneof![
            vec(any::<u32>(), 0..600),
            // Not as digests are: gathered at the ends, and alike.
            vec(0..50_u32, 0..600),
            vec(u32::MAX - 50..=u32::MAX, 0..600),
            vec(prop_oneof![Just(0), Just(1 << 31), Just(u32::MAX)], 0..600),
        ]
    }

    proptest! {
        #[test]
        fn a_search_finds_what_halving_finds(
            mut all in fingerprints(),
            probes in vec(any::<u32>(), 0..20),
        ) {
            all.sort_unstable();
            let sealed = |fingerprint| SealedAt { fingerprint, pack: 0, position: 0 };
            let sorted: Vec<SealedAt> = all.iter().copied().map(sealed).collect();
            for probe in probes.into_iter().chain(all.iter().copied()).chain([0, 25, u32::MAX]) {
                let expected = all.partition_point(|fingerprint| *fingerprint < probe);
                assert_eq!(first_from(&sorted, probe), expected, "{probe} in {all:?}");
            }
        }
    }
}
