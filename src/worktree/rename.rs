//! Renaming.

use smallvec::SmallVec;

use super::apply::{OpError, placeholder};
use super::ignored::seen;
use super::inode::Body;
use super::state::{Found, Worktree};
use super::tree::{Directory, Tree};
use crate::format::worktree::SideRecord;
use crate::model::{Ino, Name, ObjectSource, RenameMode, Timestamp};

type At<'a> = (Ino, &'a Name);

impl Worktree {
    pub(super) fn rename(
        &mut self,
        from: At<'_>,
        to: At<'_>,
        mode: RenameMode,
        time: Timestamp,
        src: &dyn ObjectSource,
    ) -> Result<(), OpError> {
        let source = self.load_entry(from, src)?.ok_or(OpError::NotFound)?;
        let target = self.load_entry(to, src)?;
        let removed = self.get(to.0)?.names.is_empty() && to.0 != Ino::ROOT;
        if removed || (target.is_none() && mode == RenameMode::Exchange) {
            return Err(OpError::NotFound);
        }
        if target.is_some() && mode == RenameMode::NoReplace {
            return Err(OpError::Exists);
        }
        if self.is_below(to.0, source.ino) {
            return Err(OpError::Invalid);
        }
        let Some(target) = target else {
            return self.move_entries(&[(&source, from, to)], None, time, src);
        };
        if mode == RenameMode::Exchange && self.is_below(from.0, target.ino) {
            return Err(OpError::Invalid);
        }
        if source.ino == target.ino {
            // Two names of one file: POSIX wants nothing done.
            return Ok(());
        }
        if mode == RenameMode::Exchange {
            let moves = [(&source, from, to), (&target, to, from)];
            return self.move_entries(&moves, None, time, src);
        }
        let replaced = self.get(target.ino)?;
        match (source.is_directory(), replaced.is_directory()) {
            (true, false) => return Err(OpError::NotDirectory),
            (false, true) => return Err(OpError::IsDirectory),
            (true, true) if !self.has_no_entry(replaced) => return Err(OpError::NotEmpty),
            _ => {}
        }
        self.move_entries(&[(&source, from, to)], Some((&target, to)), time, src)
    }

    fn load_entry(&mut self, at: At<'_>, src: &dyn ObjectSource) -> Result<Option<Found>, OpError> {
        self.get_directory(at.0)?;
        let found = self.lookup(at.0, at.1, src)?;
        if let Some(found) = &found {
            self.load(at.0, at.1, found, src)?;
        }
        Ok(found)
    }

    /// Tells whether a directory is this inode or lies below it.
    fn is_below(&self, directory: Ino, ino: Ino) -> bool {
        let mut at = directory;
        loop {
            if at == ino {
                return true;
            }
            match self.find(at).and_then(|inode| inode.names.first()) {
                Some((parent, _)) => at = seen(*parent),
                None => return false,
            }
        }
    }

    /// Moves entries, each from where it is to a name in a directory, and takes away the name of
    /// what is replaced.
    fn move_entries(
        &mut self,
        moves: &[(&Found, At<'_>, At<'_>)],
        replaced: Option<(&Found, At<'_>)>,
        time: Timestamp,
        src: &dyn ObjectSource,
    ) -> Result<(), OpError> {
        let mut homes = SmallVec::<[Ino; 2]>::new();
        let mut touched = SmallVec::<[Ino; 4]>::new();
        let mut differ = SmallVec::<[bool; 2]>::new();
        if let Some((found, at)) = replaced {
            touched.push(self.home(at.0, at.1, found.is_directory(), src)?);
            // If anything fails after it, the directory has no shadow, which would be empty anyway.
            self.drop_shadow(found.ino, src)?;
        }
        for (found, from, to) in moves {
            touched.push(self.home(from.0, from.1, found.is_directory(), src)?);
            let home = self.home(to.0, to.1, found.is_directory(), src)?;
            touched.push(home);
            homes.push(home);
            differ.push(found.is_directory() && self.may_differ_below(from.0, to.0, src)?);
        }
        if !self.move_one(moves, replaced, &homes, src)? {
            self.move_apart(moves, replaced, &homes, src)?;
        }
        touched.into_iter().for_each(|directory| self.touch(directory, time));
        if let Some((found, (parent, name))) = replaced {
            self.note_entry(parent, name, false);
            self.drop_name(found.ino, found.parent, name, time);
        }
        for (((found, from, to), home), differs) in moves.iter().zip(homes).zip(differ) {
            self.note_entry(from.0, from.1, false);
            self.note_entry(to.0, to.1, true);
            let passed = self.rename_name(found.ino, (found.parent, from.1), (home, to.1));
            self.edit(found.ino).ctime = time;
            if differs || (passed && found.is_directory()) {
                self.note_path(found.ino);
            }
        }
        Ok(())
    }

    /// Moves one entry that is alone, in the directories as they are: copies of them would cost a
    /// copy of all nodes above the entry. Tells whether it is alone.
    fn move_one(
        &mut self,
        moves: &[(&Found, At<'_>, At<'_>)],
        replaced: Option<(&Found, At<'_>)>,
        homes: &[Ino],
        src: &dyn ObjectSource,
    ) -> Result<bool, OpError> {
        let (&[(found, from, to)], &[home]) = (moves, homes) else { return Ok(false) };
        if replaced.is_some_and(|(replaced, _)| replaced.parent != home) {
            return Ok(false);
        }
        let (value, side) = self.entry_for(found.ino);
        let (old_key, new_key) = (from.1.as_bytes(), to.1.as_bytes());
        let mut before = None;
        if replaced.is_some() {
            let item = self.get_directory(home)?.find(new_key, src)?;
            before = item.map(|item| (item.value.to_vec(), item.side.clone()));
        }
        self.edit_entries(home, None, |new| new.insert(new_key, &value, side, src))?;
        let removed = self.edit_entries(found.parent, None, |old| old.remove(old_key, src));
        let Err(error) = removed else { return Ok(true) };
        // As it was stored: no commit writes an entry anew whose inode has not changed. The directory
        // stays marked, since its nodes have to be hashed again.
        let undone = self.edit_entries(home, None, |new| match before {
            None => new.remove(new_key, src),
            Some((value, side)) => new.insert(new_key, &value, side, src),
        });
        undone.expect("to take an edit back, nothing is needed but what it has loaded");
        Err(error.into())
    }

    /// Edits copies of all directories and puts them in place together, so that a failure leaves
    /// all as they were.
    fn move_apart(
        &mut self,
        moves: &[(&Found, At<'_>, At<'_>)],
        replaced: Option<(&Found, At<'_>)>,
        homes: &[Ino],
        src: &dyn ObjectSource,
    ) -> Result<(), OpError> {
        let mut edited = Edited { tree: self, directories: SmallVec::new() };
        let sources = moves.iter().map(|(found, from, _)| (*found, *from));
        for (found, (_, name)) in sources.chain(replaced) {
            edited.get(found.parent)?.remove(name.as_bytes(), src)?;
        }
        for ((found, _, to), home) in moves.iter().zip(homes) {
            let (value, side) = edited.tree.entry_for(found.ino);
            edited.get(*home)?.insert(to.1.as_bytes(), &value, side, src)?;
        }
        for (directory, tree) in edited.directories {
            self.edit_beside_writer(directory).body = Body::Directory(tree);
        }
        Ok(())
    }

    pub(super) fn entry_for(&self, ino: Ino) -> ([u8; 1], SideRecord) {
        let inode = self.find(ino).expect("it was loaded");
        placeholder(inode.meta.kind, ino)
    }

    /// Gives an inode another name in the place of one that it has. Tells whether it came to be
    /// ignored by that, or is so no more.
    pub(super) fn rename_name(&mut self, ino: Ino, from: At<'_>, to: At<'_>) -> bool {
        let was_clean = self.find(ino).is_some_and(|inode| self.is_clean(inode));
        let passes = self.has_ignored() && self.is_ignored(from.0) != self.is_ignored(to.0);
        let inode = self.edit(ino);
        let place = inode.names.iter().position(|(p, n)| *p == from.0 && n == from.1);
        if let Some(place) = place {
            inode.names[place] = (to.0, to.1.clone());
        }
        let is_directory = inode.is_directory();
        if is_directory || inode.names.len() > 1 {
            self.note_moved(ino);
        }
        if is_directory {
            self.note_directory();
        }
        if passes {
            if is_directory {
                let is_ignored = self.is_ignored(to.0);
                self.note_passed(was_clean, is_ignored);
                self.note_links(ino);
            }
            self.relist(ino);
        }
        passes
    }
}

/// Directories whose entries are being edited, each once.
struct Edited<'a> {
    tree: &'a Worktree,
    directories: SmallVec<[(Ino, Tree<Directory>); 2]>,
}

impl Edited<'_> {
    fn get(&mut self, directory: Ino) -> Result<&mut Tree<Directory>, OpError> {
        let known = self.directories.iter().position(|(ino, _)| *ino == directory);
        let at = match known {
            Some(at) => at,
            None => {
                let tree = self.tree.get_directory(directory)?.clone();
                self.directories.push((directory, tree));
                self.directories.len() - 1
            }
        };
        Ok(&mut self.directories[at].1)
    }
}
