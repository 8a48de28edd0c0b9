//! The operation log: what was done to the worktree, the oldest of it forgotten.
//!
//! It is a value like the tree: a clone is two pointers, and adding to one leaves the other as it
//! was. Deeds gather until they fill a block, which from then on never changes; the store gets each
//! block once, and the state of the worktree lists them. So a state costs what a few deeds take,
//! however many there were.
//!
//! A block that has gone to the store is known to be there. That holds because every block of the
//! living log is named by the next state that is saved, and a collection saves one before it looks
//! for what is dead.

use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use super::tree::damaged;
use crate::base::limits::DEEDS_PER_BLOCK;
use crate::format::deed::{DEED_BLOCKS_MAX, DeedLogState, decode_deed_block, encode_deed_block};
use crate::hash::hash;
use crate::model::{Deed, ObjectError, ObjectId, ObjectKind, ObjectSink, ObjectSource};

/// An operation log.
#[derive(Clone, Debug)]
pub struct DeedLog {
    /// The number of the first deed.
    first: u64,
    /// Oldest first.
    blocks: Arc<Vec<Arc<Block>>>,
    /// What came after those; fewer than a block takes.
    recent: Arc<Vec<Deed>>,
}

/// As many deeds as a block takes.
#[derive(Debug, Default)]
struct Block {
    /// The object, once the store has it.
    id: OnceLock<ObjectId>,
    /// The deeds, once somebody has read them.
    deeds: OnceLock<Vec<Deed>>,
}

impl Block {
    fn deeds(&self, src: &dyn ObjectSource) -> Result<&[Deed], ObjectError> {
        if let Some(deeds) = self.deeds.get() {
            return Ok(deeds);
        }
        let id = self.id.get().expect("a block that is not in the store has its deeds");
        let deeds = decode_deed_block(&src.get(id)?).map_err(|error| damaged(id, error))?;
        Ok(self.deeds.get_or_init(|| deeds))
    }

    fn store(&self, sink: &dyn ObjectSink) -> Result<ObjectId, ObjectError> {
        if let Some(id) = self.id.get() {
            return Ok(*id);
        }
        let deeds = self.deeds.get().expect("a block that is not in the store has its deeds");
        let bytes = encode_deed_block(deeds);
        let id = ObjectId::from_bytes(hash(&bytes));
        sink.put(ObjectKind::Side, &id, &bytes)?;
        Ok(*self.id.get_or_init(|| id))
    }
}

impl DeedLog {
    /// A log as a state has it. Reads nothing.
    pub fn open(state: &DeedLogState) -> Self {
        let stored = |id: &ObjectId| {
            let block = Block::default();
            let _ = block.id.set(*id);
            Arc::new(block)
        };
        let blocks = state.blocks.iter().map(stored).collect();
        Self {
            first: state.first,
            blocks: Arc::new(blocks),
            recent: Arc::new(state.recent.clone()),
        }
    }

    /// Puts into the store what it lacks of the log, and tells what a state has of it.
    pub fn store(&self, sink: &dyn ObjectSink) -> Result<DeedLogState, ObjectError> {
        let blocks = self.blocks.iter().map(|block| block.store(sink)).collect::<Result<_, _>>()?;
        Ok(DeedLogState { first: self.first, blocks, recent: self.recent.to_vec() })
    }

    /// Adds a deed, and forgets the oldest ones if there are too many.
    pub fn push(&mut self, deed: Deed) {
        let recent = Arc::make_mut(&mut self.recent);
        recent.push(deed);
        if recent.len() < DEEDS_PER_BLOCK {
            return;
        }
        let block = Block::default();
        let _ = block.deeds.set(std::mem::take(recent));
        let blocks = Arc::make_mut(&mut self.blocks);
        blocks.push(Arc::new(block));
        if blocks.len() > DEED_BLOCKS_MAX {
            blocks.remove(0);
            self.first += DEEDS_PER_BLOCK as u64;
        }
    }

    /// The number that the next deed gets.
    pub fn next_number(&self) -> u64 {
        self.first + (self.blocks.len() * DEEDS_PER_BLOCK + self.recent.len()) as u64
    }

    /// Calls `visit` with each deed and its number, newest first, until it breaks.
    pub fn newest_first(
        &self,
        src: &dyn ObjectSource,
        visit: &mut dyn FnMut(u64, &Deed) -> ControlFlow<()>,
    ) -> Result<(), ObjectError> {
        let mut number = self.next_number();
        let mut visit_all = |deeds: &[Deed]| {
            deeds.iter().rev().try_for_each(|deed| {
                number -= 1;
                visit(number, deed)
            })
        };
        if visit_all(&self.recent).is_break() {
            return Ok(());
        }
        for block in self.blocks.iter().rev() {
            if visit_all(block.deeds(src)?).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Default for DeedLog {
    fn default() -> Self {
        Self::open(&DeedLogState::default())
    }
}
