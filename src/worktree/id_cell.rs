//! A place for an id that becomes known once, to whoever computes it first.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::model::ObjectId;

/// A place for an id that is a function of what lies beside it, so that all who set it set the
/// same. Neither side ever waits, and setting costs a few stores.
#[derive(Debug, Default)]
pub(super) struct IdCell {
    known: AtomicBool,
    words: [AtomicU64; 4],
}

impl IdCell {
    /// A cell that has its id already.
    pub(super) fn of(id: &ObjectId) -> Self {
        let cell = Self::default();
        cell.set(id);
        cell
    }

    /// The id, once it is known.
    pub(super) fn get(&self) -> Option<ObjectId> {
        if !self.is_known() {
            return None;
        }
        let mut bytes = [0; ObjectId::BYTES];
        for (bytes, word) in bytes.chunks_exact_mut(8).zip(&self.words) {
            bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        Some(ObjectId::from_bytes(bytes))
    }

    /// Tells whether the id is known.
    pub(super) fn is_known(&self) -> bool {
        self.known.load(Ordering::Acquire)
    }

    /// Makes the id known, which must be the same whoever does it. Returns whether nobody had done
    /// so before.
    pub(super) fn set(&self, id: &ObjectId) -> bool {
        for (word, bytes) in self.words.iter().zip(id.as_bytes().as_chunks().0) {
            word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
        }
        !self.known.swap(true, Ordering::AcqRel)
    }
}

impl Clone for IdCell {
    fn clone(&self) -> Self {
        self.get().map_or_else(Self::default, |id| Self::of(&id))
    }
}

#[cfg(test)]
mod tests {
    use super::IdCell;
    use crate::model::ObjectId;

    #[test]
    fn an_id_comes_back_as_it_was_set() {
        let id = ObjectId::from_bytes(std::array::from_fn(|at| at as u8));
        let cell = IdCell::default();
        assert_eq!(cell.get(), None);
        assert_eq!(cell.clone().get(), None);
        assert!(cell.set(&id) && !cell.set(&id));
        assert_eq!((cell.get(), cell.clone().get()), (Some(id), Some(id)));
        assert_eq!(IdCell::of(&id).get(), Some(id));
    }
}
