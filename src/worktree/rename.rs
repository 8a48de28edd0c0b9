//! Renaming.

use super::apply::{OpError, placeholder};
use super::state::{Found, Worktree, lookup_in};
use crate::format::worktree::SideRecord;
use crate::model::{FileKind, Ino, Name, ObjectSource, RenameMode, Timestamp};

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
            return self.move_entry(from, to, &source, None, time, src);
        };
        if mode == RenameMode::Exchange {
            if self.is_below(from.0, target.ino) {
                return Err(OpError::Invalid);
            }
            return self.exchange(from, to, &source, &target, time, src);
        }
        if source.ino == target.ino {
            // Two names of one file: POSIX wants nothing done.
            return Ok(());
        }
        let moves_directory = self.get(source.ino)?.is_directory();
        match (moves_directory, self.get(target.ino)?.directory()) {
            (true, None) => return Err(OpError::NotDirectory),
            (false, Some(_)) => return Err(OpError::IsDirectory),
            (true, Some(tree)) if !tree.is_empty() => return Err(OpError::NotEmpty),
            _ => {}
        }
        self.move_entry(from, to, &source, Some(target.ino), time, src)
    }

    fn load_entry(&mut self, at: At<'_>, src: &dyn ObjectSource) -> Result<Option<Found>, OpError> {
        let found = lookup_in(self.get_directory(at.0)?, at.1, src)?;
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
                Some((parent, _)) => at = *parent,
                None => return false,
            }
        }
    }

    fn move_entry(
        &mut self,
        from: At<'_>,
        to: At<'_>,
        source: &Found,
        replaced: Option<Ino>,
        time: Timestamp,
        src: &dyn ObjectSource,
    ) -> Result<(), OpError> {
        let (value, side) = self.entry_for(source.ino)?;
        let (old_key, new_key) = (from.1.as_bytes(), to.1.as_bytes());
        let (old, new) = (self.get_directory(from.0)?, self.get_directory(to.0)?);
        if new.takes_in_place(new_key, value.len(), old, old_key, src)? {
            self.edit_entries(to.0, time, |new| new.insert(new_key, &value, side, src))?;
            self.edit_entries(from.0, time, |old| old.remove(old_key, src))?;
        } else {
            self.move_apart(from, to, (&value, side), time, src)?;
        }
        if let Some(ino) = replaced {
            self.drop_name(ino, to.0, to.1, time);
        }
        self.change_name(source.ino, from, to, time);
        Ok(())
    }

    /// Edits copies of both directories and puts them in place together, so that a failure leaves
    /// both as they were.
    fn move_apart(
        &mut self,
        from: At<'_>,
        to: At<'_>,
        (value, side): (&[u8], SideRecord),
        time: Timestamp,
        src: &dyn ObjectSource,
    ) -> Result<(), OpError> {
        let mut old = self.get_directory(from.0)?.clone();
        old.remove(from.1.as_bytes(), src)?;
        if from.0 == to.0 {
            old.insert(to.1.as_bytes(), value, side, src)?;
            self.edit_directory(from.0, time, old);
        } else {
            let mut new = self.get_directory(to.0)?.clone();
            new.insert(to.1.as_bytes(), value, side, src)?;
            self.edit_directory(from.0, time, old);
            self.edit_directory(to.0, time, new);
        }
        Ok(())
    }

    fn exchange(
        &mut self,
        from: At<'_>,
        to: At<'_>,
        source: &Found,
        target: &Found,
        time: Timestamp,
        src: &dyn ObjectSource,
    ) -> Result<(), OpError> {
        if source.ino == target.ino {
            return Ok(());
        }
        let (source_value, source_side) = self.entry_for(source.ino)?;
        let (target_value, target_side) = self.entry_for(target.ino)?;
        let mut old = self.get_directory(from.0)?.clone();
        old.insert(from.1.as_bytes(), &target_value, target_side, src)?;
        if from.0 == to.0 {
            old.insert(to.1.as_bytes(), &source_value, source_side, src)?;
            self.edit_directory(from.0, time, old);
        } else {
            let mut new = self.get_directory(to.0)?.clone();
            new.insert(to.1.as_bytes(), &source_value, source_side, src)?;
            self.edit_directory(from.0, time, old);
            self.edit_directory(to.0, time, new);
        }
        self.change_name(source.ino, from, to, time);
        self.change_name(target.ino, to, from, time);
        Ok(())
    }

    fn entry_for(&self, ino: Ino) -> Result<([u8; 1], SideRecord), OpError> {
        Ok(placeholder(self.get(ino)?.meta.kind, ino))
    }

    fn change_name(&mut self, ino: Ino, from: At<'_>, to: At<'_>, time: Timestamp) {
        let inode = self.edit(ino);
        inode.ctime = time;
        let place = inode.names.iter().position(|(p, n)| *p == from.0 && n == from.1);
        if let Some(place) = place {
            inode.names[place] = (to.0, to.1.clone());
        }
        if inode.meta.kind == FileKind::Directory || inode.names.len() > 1 {
            self.note_moved(ino);
        }
    }
}
