//! The tables of a commit: which names share a file, and where each directory is.
//!
//! Both are brought up to date from the inodes whose names changed. When a directory moves, the
//! paths of files with several names below it change too; the sums of links in the trees lead to
//! these without a look at anything else.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::inode::Inode;
use super::state::{InoMap, Worktree};
use super::tree::{Directory, Table, Tree, damaged};
use crate::format::entry::{decode_entry, is_directory};
use crate::format::root::LinkRecord;
use crate::format::worktree::Place;
use crate::hash::hash;
use crate::model::{EntryBody, Ino, Name, ObjectError, ObjectId, ObjectSource};
use std::sync::Arc;

/// The tables after a commit.
pub(super) struct Tables {
    pub(super) links: Tree<Table>,
    pub(super) places: Tree<Table>,
}

/// Brings the tables up to date. `hashed` has the versions of inodes that this commit hashed.
pub(super) fn update(
    tree: &Worktree,
    moved: &[Ino],
    hashed: &InoMap<&Arc<Inode>>,
    src: &dyn ObjectSource,
) -> Result<Tables, ObjectError> {
    let mut update = Update {
        tree,
        hashed,
        src,
        links: tree.links.clone(),
        places: tree.places.clone(),
        groups: BTreeSet::new(),
    };
    let moved: BTreeSet<Ino> = moved.iter().copied().collect();
    for ino in &moved {
        match tree.find(*ino) {
            Some(inode) if inode.is_directory() && !inode.names.is_empty() => {
                let place = Place { names: inode.names.to_vec(), recorded: Vec::new() };
                let is_new = update.set_place(*ino, &place)?;
                if !is_new {
                    let inode = hashed.get(ino).copied().unwrap_or(inode);
                    update.gather(inode.directory())?;
                }
            }
            Some(inode) if inode.is_directory() => update.remove_place(*ino)?,
            _ => {
                update.groups.insert(*ino);
            }
        }
    }
    // All old paths go before the first new one comes, since files can have swapped them.
    let groups = std::mem::take(&mut update.groups);
    let mut regrouped = Vec::with_capacity(groups.len());
    for ino in groups {
        regrouped.push((ino, update.remove_links(ino, moved.contains(&ino))?));
    }
    for (ino, names) in regrouped {
        update.set_links(ino, names)?;
    }
    Ok(Tables { links: update.links, places: update.places })
}

struct Update<'a> {
    tree: &'a Worktree,
    hashed: &'a InoMap<&'a Arc<Inode>>,
    src: &'a dyn ObjectSource,
    links: Tree<Table>,
    places: Tree<Table>,
    /// Files whose paths changed.
    groups: BTreeSet<Ino>,
}

impl Update<'_> {
    fn set_place(&mut self, ino: Ino, place: &Place) -> Result<bool, ObjectError> {
        let there = self.places.insert(&ino.0.to_be_bytes(), &place.encode(), (), self.src)?;
        Ok(!there)
    }

    fn remove_place(&mut self, ino: Ino) -> Result<(), ObjectError> {
        self.places.remove(&ino.0.to_be_bytes(), self.src).map(drop)
    }

    /// Gathers the files with several names at or below a directory.
    fn gather(&mut self, top: Option<&Tree<Directory>>) -> Result<(), ObjectError> {
        let mut stack: Vec<Tree<Directory>> = top.into_iter().cloned().collect();
        while let Some(tree) = stack.pop() {
            let mut failed = None;
            tree.scan_linked(b"", self.src, &mut |item| {
                let ino = Ino(item.side.ino);
                if !is_directory(item.value) {
                    self.groups.insert(ino);
                    return ControlFlow::Continue(());
                }
                let live = self.hashed.get(&ino).copied().or_else(|| self.tree.find(ino));
                if let Some(below) = live.and_then(|inode| inode.directory()) {
                    stack.push(below.clone());
                    return ControlFlow::Continue(());
                }
                match decode_entry(item.value).map(|entry| entry.body) {
                    Ok(EntryBody::Directory(node)) => {
                        stack.push(Tree::stored(node, item.side.side.as_deref().copied()));
                    }
                    Ok(_) => {}
                    Err(error) => failed = Some(error),
                }
                ControlFlow::Continue(())
            })?;
            if let Some(error) = failed {
                let id = tree.id().flatten().map(|id| *id.object());
                return Err(damaged(&id.unwrap_or(ObjectId::from_bytes([0; 32])), error));
            }
        }
        Ok(())
    }

    /// Removes a file from the table of links, and returns the names that it has now.
    fn remove_links(&mut self, ino: Ino, moved: bool) -> Result<Vec<(Ino, Name)>, ObjectError> {
        let old = self.place(ino)?.unwrap_or_default();
        for digest in &old.recorded {
            self.links.remove(digest.as_bytes(), self.src)?;
        }
        Ok(match self.tree.find(ino) {
            Some(inode) => inode.names.to_vec(),
            // Its names changed and it is not in the table: it was dropped after the last one.
            None if moved => Vec::new(),
            None => old.names,
        })
    }

    /// Records a file under the paths of its names.
    fn set_links(&mut self, ino: Ino, names: Vec<(Ino, Name)>) -> Result<(), ObjectError> {
        if names.len() < 2 {
            return self.remove_place(ino);
        }
        let mut recorded = Vec::with_capacity(names.len());
        for (parent, name) in &names {
            // No commit knows a name that is ignored.
            let Some(mut path) = self.tree.directory_path(*parent, self.src)? else { continue };
            path.extend_from_slice(name.as_bytes());
            recorded.push(ObjectId::from_bytes(hash(&path)));
        }
        if recorded.len() < 2 {
            return self.set_place(ino, &Place { names, recorded: Vec::new() }).map(drop);
        }
        recorded.sort_unstable();
        let record = LinkRecord { names: recorded.len() as u64, group: recorded[0] }.encode();
        for digest in &recorded {
            self.links.insert(digest.as_bytes(), &record, (), self.src)?;
        }
        self.set_place(ino, &Place { names, recorded }).map(drop)
    }

    fn place(&self, ino: Ino) -> Result<Option<Place>, ObjectError> {
        let item = self.places.find(&ino.0.to_be_bytes(), self.src)?;
        let Some(item) = item else { return Ok(None) };
        Place::decode(item.value).map(Some).map_err(|e| self.bad(e.what))
    }

    fn bad(&self, what: &str) -> ObjectError {
        let id = self.tree.places.id().flatten().map(|id| *id.object());
        let id = id.unwrap_or(ObjectId::from_bytes([0; 32]));
        ObjectError::Damaged { id, detail: format!("table of places: {what}") }
    }
}
