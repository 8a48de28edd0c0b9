//! Applying operations again, to a tree that was taken from the store.
//!
//! The tree that they were first applied to had in its table what was in use then. This one may
//! have to load that first, and knows only where it was. Nobody holds what has lost its name.

use super::apply::OpError;
use super::ignored::{NOWHERE, seen};
use super::state::Worktree;
use crate::format::op::{LocatedOp, subject};
use crate::model::{Ino, Name, ObjectSource, Op};

impl Worktree {
    /// A name of an inode that is in the table, and the directory in which others see it, if it has
    /// one; for a file without a name, what the journal is to know it by.
    pub fn place_of(&self, ino: Ino) -> Option<(Ino, &Name)> {
        let (parent, name) = self.find(ino)?.names.first()?;
        Some((seen(*parent), name))
    }

    /// Applies an operation that was applied to a version of this tree before.
    pub fn replay(&mut self, located: &LocatedOp, src: &dyn ObjectSource) -> Result<(), OpError> {
        let LocatedOp { at, op } = located;
        let mut gone = None;
        match op {
            Op::Create { parent, .. } | Op::Adopt { parent, .. } | Op::Link { parent, .. } => {
                self.load_directory(*parent, src)?;
            }
            Op::Unlink { parent, name, .. } | Op::Rmdir { parent, name, .. } => {
                self.load_directory(*parent, src)?;
                gone = self.named(*parent, name, src)?;
            }
            Op::Rename { parent, new_parent, new_name, .. } => {
                self.load_directory(*parent, src)?;
                self.load_directory(*new_parent, src)?;
                gone = self.named(*new_parent, new_name, src)?;
            }
            Op::DropOrphan { ino } if !self.inodes.contains(*ino) => {
                self.load_nameless(*ino, src)?;
            }
            _ => {}
        }
        if let (Some(ino), Some((parent, name))) = (subject(op), at)
            && !self.inodes.contains(ino)
        {
            if *parent == NOWHERE {
                self.load_nameless(ino, src)?;
            } else {
                self.load_directory(*parent, src)?;
                let found = self.lookup(*parent, name, src)?.filter(|found| found.ino == ino);
                self.load(*parent, name, &found.ok_or(OpError::NotFound)?, src)?;
            }
        }
        self.apply(op, src)?;
        let is_orphan = |ino: &Ino| self.find(*ino).is_some_and(|inode| inode.names.is_empty());
        match gone.filter(is_orphan) {
            Some(ino) if ino != Ino::ROOT => self.apply(&Op::DropOrphan { ino }, src),
            _ => Ok(()),
        }
    }

    fn named(
        &self,
        parent: Ino,
        name: &Name,
        src: &dyn ObjectSource,
    ) -> Result<Option<Ino>, OpError> {
        self.get_directory(parent)?;
        let found = self.lookup(parent, name, src)?;
        Ok(found.map(|found| found.ino))
    }
}
