//! Files without a name that can still be given one, as `O_TMPFILE` makes them.
//!
//! A file that has lost its last name is gone when nobody holds it, and what is done to it is in no
//! journal. One that may yet get its first name must not be lost with all that was written to it:
//! so each has an entry in a directory that nobody sees, under its number. That directory is the
//! shadow of one that there is not, and so its files are left out of commits, come into the store
//! with checkpoints and are found again by the journal's operations, as all that is ignored is; see
//! [`ignored`](super::ignored). It is there as long as it has entries.
//!
//! Nobody who could name such a file outlives the process, so whoever opens a tree drops them all,
//! once the journal has been applied to it.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::apply::{OpError, new_inode, placeholder};
use super::ignored::{NOWHERE, shadow_name, shadow_of};
use super::inode::{Body, Inode, Names};
use super::state::{Worktree, lookup_in};
use super::tree::{Directory, Tree};
use crate::base::limits::INO_MAX;
use crate::model::{FileKind, Ino, NewNode, ObjectError, ObjectSource, Timestamp};

impl Inode {
    /// Tells whether it has no name that anybody sees, but can be given one.
    pub fn is_nameless(&self) -> bool {
        matches!(&self.names[..], [(parent, _)] if *parent == shadow_of(NOWHERE))
    }

    /// Tells whether it has no name that anybody sees, though it is not the top directory.
    pub fn is_orphan(&self) -> bool {
        self.is_nameless() || (self.names.is_empty() && self.ino != Ino::ROOT)
    }
}

impl Worktree {
    /// Makes a regular file without a name.
    pub(super) fn create_nameless(
        &mut self,
        ino: Ino,
        node: &NewNode,
        time: Timestamp,
        src: &dyn ObjectSource,
    ) -> Result<(), OpError> {
        let is_new = (Ino::ROOT.0 + 1..INO_MAX).contains(&ino.0) && !self.inodes.contains(ino);
        if node.kind != FileKind::Regular || !is_new {
            return Err(OpError::Invalid);
        }
        let mut inode = new_inode(ino, node, time)?;
        let (home, name) = (self.make_shadow(NOWHERE, src)?, shadow_name(ino));
        let (value, side) = placeholder(inode.meta.kind, ino);
        self.edit_entries(home, None, |tree| tree.insert(name.as_bytes(), &value, side, src))?;
        inode.names = Names::from_iter([(home, name)]);
        inode.note_writer(self.writer.as_ref());
        self.inodes.insert(ino, Arc::new(inode));
        self.mark(ino);
        self.next_ino = self.next_ino.max(ino.0 + 1);
        Ok(())
    }

    /// The entries of all files without a name but for this one.
    pub(super) fn nameless_without(
        &self,
        ino: Ino,
        src: &dyn ObjectSource,
    ) -> Result<Tree<Directory>, OpError> {
        let mut tree = self.nameless_tree().cloned().unwrap_or_default();
        tree.remove(shadow_name(ino).as_bytes(), src)?;
        Ok(tree)
    }

    /// Has the directory of files without a name have these entries. There must be one.
    pub(super) fn set_nameless(&mut self, entries: Tree<Directory>, src: &dyn ObjectSource) {
        let is_empty = entries.is_empty();
        self.edit_beside_writer(shadow_of(NOWHERE)).body = Body::Directory(entries);
        if is_empty {
            // Where that takes what is not in memory it stays, and is found empty by the next one.
            let _ = self.drop_shadow(NOWHERE, src);
        }
    }

    /// Takes a file without a name into the table by its number, if there is such a one.
    pub(super) fn load_nameless(
        &mut self,
        ino: Ino,
        src: &dyn ObjectSource,
    ) -> Result<(), ObjectError> {
        let (home, name) = (shadow_of(NOWHERE), shadow_name(ino));
        let Some(tree) = self.nameless_tree() else { return Ok(()) };
        let found = lookup_in(tree, home, &name, src)?.filter(|found| found.ino == ino);
        found.map_or(Ok(()), |found| self.load(home, &name, &found, src))
    }

    /// Drops all files without a name. Costs what these are.
    pub fn drop_nameless(&mut self, src: &dyn ObjectSource) -> Result<(), ObjectError> {
        let Some(tree) = self.nameless_tree().cloned() else { return Ok(()) };
        let mut inos = Vec::new();
        tree.scan(0, src, &mut |item| {
            inos.push(Ino(item.side.ino));
            ControlFlow::Continue(())
        })?;
        self.drop_shadow(NOWHERE, src)?;
        for ino in inos {
            self.forget_file(ino);
        }
        Ok(())
    }

    /// Takes an inode out of the table that is in no directory any more.
    pub(super) fn forget_file(&mut self, ino: Ino) {
        self.dirty_bytes -= self.find(ino).map_or(0, |inode| inode.dirty_bytes());
        self.inodes.remove(ino);
    }

    fn nameless_tree(&self) -> Option<&Tree<Directory>> {
        self.find(shadow_of(NOWHERE))?.directory()
    }
}
