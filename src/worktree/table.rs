//! The table of inodes: a persistent radix tree by inode number.
//!
//! Numbers count up from 1 and are never given twice, so a plain radix tree stays shallow and
//! dense: a lookup in a million inodes follows five pointers, without hashing anything. A clone
//! is one pointer; a change copies the path to its leaf where that is shared, and works in place
//! where it is not.
//!
//! Invariant: a node is never empty.

use std::sync::Arc;

use super::inode::Inode;
use crate::model::Ino;

const BITS: u32 = 4;
const SLOTS: usize = 1 << BITS;

/// A persistent map from numbers to inodes.
#[derive(Clone, Default)]
pub(super) struct InodeTable {
    root: Slot,
    /// Nodes on the way to an inode: `BITS` of its number each.
    height: u32,
    len: usize,
}

#[derive(Clone, Default)]
enum Slot {
    #[default]
    Empty,
    Inode(Arc<Inode>),
    Node(Arc<[Slot; SLOTS]>),
}

impl InodeTable {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn covers(&self, ino: Ino) -> bool {
        // 4 bits each for 16 nodes: the shift would be all of a number then.
        ino.0.checked_shr(BITS * self.height).is_none_or(|rest| rest == 0)
    }

    pub(super) fn contains(&self, ino: Ino) -> bool {
        self.get(ino).is_some()
    }

    pub(super) fn get(&self, ino: Ino) -> Option<&Arc<Inode>> {
        if !self.covers(ino) {
            return None;
        }
        let mut slot = &self.root;
        let mut height = self.height;
        loop {
            match slot {
                Slot::Empty => return None,
                Slot::Inode(inode) => return Some(inode),
                Slot::Node(slots) => {
                    height -= 1;
                    slot = &slots[index(ino, height)];
                }
            }
        }
    }

    /// The inode for a change of the table: nodes on the way to it are copied if shared.
    pub(super) fn get_mut(&mut self, ino: Ino) -> Option<&mut Arc<Inode>> {
        if !self.covers(ino) {
            return None;
        }
        let mut slot = &mut self.root;
        let mut height = self.height;
        loop {
            match slot {
                Slot::Empty => return None,
                Slot::Inode(inode) => return Some(inode),
                Slot::Node(slots) => {
                    height -= 1;
                    slot = &mut Arc::make_mut(slots)[index(ino, height)];
                }
            }
        }
    }

    pub(super) fn insert(&mut self, ino: Ino, inode: Arc<Inode>) {
        while !self.covers(ino) {
            if !matches!(self.root, Slot::Empty) {
                let mut slots = <[Slot; SLOTS]>::default();
                slots[0] = std::mem::take(&mut self.root);
                self.root = Slot::Node(Arc::new(slots));
            }
            self.height += 1;
        }
        let mut slot = &mut self.root;
        for height in (0..self.height).rev() {
            if matches!(slot, Slot::Empty) {
                *slot = Slot::Node(Arc::default());
            }
            let Slot::Node(slots) = slot else { unreachable!("inodes lie below all nodes") };
            slot = &mut Arc::make_mut(slots)[index(ino, height)];
        }
        self.len += usize::from(matches!(slot, Slot::Empty));
        *slot = Slot::Inode(inode);
    }

    pub(super) fn remove(&mut self, ino: Ino) {
        fn descend(slot: &mut Slot, ino: Ino, height: u32) {
            if let Slot::Node(slots) = slot {
                let slots = Arc::make_mut(slots);
                descend(&mut slots[index(ino, height - 1)], ino, height - 1);
                if slots.iter().any(|slot| !matches!(slot, Slot::Empty)) {
                    return;
                }
            }
            *slot = Slot::Empty;
        }
        if self.contains(ino) {
            // As deep as the table is high: 16 nodes at most.
            descend(&mut self.root, ino, self.height);
            self.len -= 1;
        }
    }
}

fn index(ino: Ino, height: u32) -> usize {
    (ino.0 >> (BITS * height)) as usize % SLOTS
}

#[cfg(test)]
impl InodeTable {
    /// The inodes in the order of their numbers.
    pub(super) fn values(&self) -> Vec<&Arc<Inode>> {
        fn descend<'a>(slot: &'a Slot, values: &mut Vec<&'a Arc<Inode>>) {
            match slot {
                Slot::Empty => {}
                Slot::Inode(inode) => values.push(inode),
                Slot::Node(slots) => slots.iter().for_each(|slot| descend(slot, values)),
            }
        }
        let mut values = Vec::with_capacity(self.len);
        descend(&self.root, &mut values);
        values
    }

    pub(super) fn ptr_eq(&self, other: &Self) -> bool {
        match (&self.root, &other.root) {
            (Slot::Node(a), Slot::Node(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use proptest::collection::vec;
    use proptest::prelude::{Strategy, any, prop_oneof, proptest};

    use super::{InodeTable, Slot};
    use crate::model::{FileKind, Ino, MaybeTime, Meta, Timestamp, Xattrs};
    use crate::worktree::{Body, Inode, Names};

    fn inode(ino: Ino, perm: u16) -> Arc<Inode> {
        let time = Timestamp { secs: 0, nanos: 0 };
        let meta = Meta { kind: FileKind::Fifo, perm, uid: 0, gid: 0, rdev: 0, mtime: time };
        let (names, xattrs, body) = (Names::new(), Xattrs::default(), Body::Special);
        let (ctime, atime, writer, epoch, settled) = (time, MaybeTime::NONE, None, 0, false);
        let born = time.into();
        Arc::new(Inode {
            ino,
            meta,
            ctime,
            born,
            atime,
            xattrs,
            names,
            body,
            writer,
            epoch,
            settled,
        })
    }

    fn assert_same(table: &InodeTable, map: &BTreeMap<Ino, u16>) {
        let found = table.values().into_iter().map(|inode| (inode.ino, inode.meta.perm));
        assert!(found.eq(map.iter().map(|(ino, perm)| (*ino, *perm))));
        assert_eq!(table.len(), map.len());
        for (ino, perm) in map {
            assert_eq!(table.get(*ino).unwrap().meta.perm, *perm);
        }
    }

    fn inos() -> impl Strategy<Value = Ino> {
        prop_oneof![0..40_u64, 0..5000_u64, any::<u64>()].prop_map(Ino)
    }

    proptest! {
        #[test]
        fn it_is_a_map_and_clones_stay_as_they_were(
            steps in vec((inos(), any::<u16>(), 0..4_u8), 0..200),
        ) {
            let (mut table, mut map) = (InodeTable::default(), BTreeMap::new());
            let mut clones = Vec::new();
            for (ino, perm, what) in steps {
                match what {
                    0 => {
                        table.remove(ino);
                        map.remove(&ino);
                    }
                    1 => {
                        let found = table.get_mut(ino).map(|place| *place = inode(ino, perm));
                        assert_eq!(found.is_some(), map.contains_key(&ino));
                        map.entry(ino).and_modify(|old| *old = perm);
                    }
                    _ => {
                        table.insert(ino, inode(ino, perm));
                        map.insert(ino, perm);
                    }
                }
                if perm % 8 == 0 {
                    clones.push((table.clone(), map.clone()));
                }
            }
            clones.push((table.clone(), map.clone()));
            clones.iter().for_each(|(table, map)| assert_same(table, map));
            map.keys().for_each(|ino| table.remove(*ino));
            assert!(matches!(table.root, Slot::Empty), "nodes go with their last inode");
        }
    }
}
