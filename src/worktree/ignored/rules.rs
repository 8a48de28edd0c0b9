//! The rules that tell what is ignored: `.vstignore` files, with the syntax and the meaning of
//! git's `.gitignore`.
//!
//! What is ignored is a function of the tree: of the paths in it and of the rules in it. A path
//! that comes is put where it belongs at once. When rules change, and when a directory moves to
//! where other rules may hold, it is noted, and everything below is looked at before the next
//! commit or checkpoint. So it does not matter what was ignored or committed before, nor when that
//! was found out, and the journal, applied again, leads to the same commits. For that, nothing that
//! a commit tells may depend on where an entry is put until then: which of a directory's times an
//! operation sets is decided by the rules that hold then, not by where the entry is.
//!
//! A directory is looked at in steps, each from the name at which the last one ended, and others
//! may do what they like between them. They see nothing of it but that it takes no longer: a
//! listing shows both trees as one. An entry that comes meanwhile is put where it belongs by the
//! rules that hold then, and if these change after a step, the directory is looked at from its
//! beginning once more.

use std::sync::Arc;

use super::chain::Ready;
use super::{is_shadow, seen, shadow_of};
use crate::model::{Ino, Name, ObjectError, ObjectSource};
use crate::worktree::inode::{Body, Inode};
use crate::worktree::state::{Found, Worktree};

/// The name of a file with rules.
pub const RULES_NAME: &[u8] = b".vstignore";

/// What a tree knows of its rules.
#[derive(Clone, Default)]
pub(in crate::worktree) struct Rules {
    /// How many entries have the name of a file with rules. Where there is none, nothing else is
    /// looked at.
    pub(in crate::worktree) files: u64,
    /// What is to be found out before the next snapshot. Some may be listed twice, or be gone.
    pending: Vec<Task>,
    /// What of the rules is kept ready.
    pub(super) ready: Ready,
}

/// What is to be found out about a directory.
#[derive(Clone)]
struct Task {
    directory: Ino,
    kind: TaskKind,
    /// The least name that was not looked at yet.
    from: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TaskKind {
    /// What belongs where: other rules may hold than when its entries were put where they are.
    Sort,
    /// Which files have names in it, or below it, and others elsewhere: it came to be ignored, or
    /// is so no more, and commits tell of each name how many there are.
    Links,
}

/// What a step found.
#[derive(Default)]
struct Step {
    /// Directories in which there is the same to be found out, in the table.
    below: Vec<Ino>,
    /// The least name that it did not look at, unless it looked at all.
    next: Option<Vec<u8>>,
}

impl Worktree {
    /// How many entries have the name of a file with rules.
    pub fn rule_files(&self) -> u64 {
        self.rules.files
    }

    /// Notes that an entry came or went, which may be one with rules.
    pub(in crate::worktree) fn note_entry(&mut self, parent: Ino, name: &Name, came: bool) {
        if name.as_bytes() != RULES_NAME {
            return;
        }
        let files = self.rules.files;
        self.rules.files = if came { files + 1 } else { files.saturating_sub(1) };
        self.rules.ready.forget_chains();
        self.rules.note(seen(parent), TaskKind::Sort);
    }

    /// Notes that the content of a file changed, which may be one with rules.
    pub(in crate::worktree) fn note_content(&mut self, ino: Ino) {
        // It may have had the name before, and get it again.
        self.rules.ready.forget_file(ino);
        if self.rules.files == 0 {
            return;
        }
        let Self { inodes, rules, .. } = self;
        for (parent, name) in inodes.get(ino).iter().flat_map(|inode| &inode.names) {
            if name.as_bytes() == RULES_NAME {
                rules.ready.forget_chains();
                rules.note(seen(*parent), TaskKind::Sort);
            }
        }
    }

    /// Tells whether other rules may hold below a directory after it moved from one directory to
    /// another one. Most rules have nothing to do with where it is, and then a move costs no look
    /// at what is below.
    pub(in crate::worktree) fn may_differ_below(
        &mut self,
        from: Ino,
        to: Ino,
        src: &dyn ObjectSource,
    ) -> Result<bool, ObjectError> {
        if !self.rules.pending.is_empty() || self.rules.files == 0 {
            return Ok(!self.rules.pending.is_empty());
        }
        let (old, new) = (self.chain(from, src)?, self.chain(to, src)?);
        Ok(!old.is_same_below(&new))
    }

    /// Notes that a directory moved to where other rules may hold.
    pub(in crate::worktree) fn note_path(&mut self, directory: Ino) {
        if !self.rules.pending.is_empty() {
            // It may have left a directory in which links are yet to be found.
            self.rules.note(directory, TaskKind::Links);
        }
        self.rules.note(directory, TaskKind::Sort);
    }

    /// Notes that a directory passed from one tree to the other.
    pub(in crate::worktree) fn note_links(&mut self, directory: Ino) {
        self.rules.note(directory, TaskKind::Links);
    }

    /// The directory that an entry of this name belongs in as the rules are now: `parent`, or its
    /// shadow, which is made if it has none. Its times are those that change with the entry.
    pub(in crate::worktree) fn home(
        &mut self,
        parent: Ino,
        name: &Name,
        is_directory: bool,
        src: &dyn ObjectSource,
    ) -> Result<Ino, ObjectError> {
        if self.rules.files == 0 || self.rules_ignore(parent, src)? {
            return Ok(parent);
        }
        match self.chain(parent, src)?.ignores(name, is_directory) {
            true => self.make_shadow(parent, src),
            false => Ok(parent),
        }
    }

    /// Tells whether the rules that are there now ignore a name in a directory of the table,
    /// wherever its entry is.
    pub fn would_ignore(
        &mut self,
        parent: Ino,
        name: &Name,
        is_directory: bool,
        src: &dyn ObjectSource,
    ) -> Result<bool, ObjectError> {
        let is_any = self.rules.files > 0;
        Ok(is_any
            && (self.rules_ignore(parent, src)?
                || self.chain(parent, src)?.ignores(name, is_directory)))
    }

    /// Tells whether the rules that are there now ignore a directory.
    fn rules_ignore(
        &mut self,
        directory: Ino,
        src: &dyn ObjectSource,
    ) -> Result<bool, ObjectError> {
        if self.rules.pending.is_empty() {
            return Ok(self.is_ignored(directory));
        }
        Ok(self.chain(directory, src)?.ignores_itself())
    }

    /// A directory of which something is to be found out before the next snapshot, if there is one.
    pub fn next_unsorted(&self) -> Option<Ino> {
        self.rules.pending.last().map(|task| task.directory)
    }

    /// Finds out what is ignored in the directory that comes next, and puts it where it belongs;
    /// returns whether there was one. Looks at no more than so many entries, and at nothing that is
    /// below them. After a failure it can be called again.
    pub fn sort_next(
        &mut self,
        entries_max: usize,
        src: &dyn ObjectSource,
    ) -> Result<bool, ObjectError> {
        let Some(Task { directory, kind, from }) = self.rules.pending.last().cloned() else {
            return Ok(false);
        };
        let at = self.rules.pending.len() - 1;
        let is_there = |inode: &Arc<Inode>| {
            inode.is_directory() && (!inode.names.is_empty() || directory == Ino::ROOT)
        };
        let step = match kind {
            _ if !self.find(directory).is_some_and(is_there) => Step::default(),
            // All that is below is ignored, whatever rules are there.
            TaskKind::Sort if self.is_ignored(directory) => Step::default(),
            TaskKind::Sort => self.sort(directory, &from, entries_max, src)?,
            TaskKind::Links => self.mark_links(directory, &from, entries_max, src)?,
        };
        // Sorting may have added others.
        match step.next {
            Some(next) => self.rules.pending[at].from = next,
            None => drop(self.rules.pending.remove(at)),
        }
        let task = |directory| Task { directory, kind, from: Vec::new() };
        self.rules.pending.extend(step.below.into_iter().map(task));
        Ok(true)
    }

    /// Does all that [`Self::sort_next`] has to do, in a tree that nobody else waits for.
    pub fn sort_all(&mut self, src: &dyn ObjectSource) -> Result<(), ObjectError> {
        while self.sort_next(usize::MAX, src)? {}
        Ok(())
    }

    /// Puts entries of a directory where they belong. Those below which there is the same to do are
    /// the directories that are not ignored.
    fn sort(
        &mut self,
        directory: Ino,
        from: &[u8],
        entries_max: usize,
        src: &dyn ObjectSource,
    ) -> Result<Step, ObjectError> {
        let chain = self.chain(directory, src)?;
        let Some(view) = self.view(directory) else { return Ok(Step::default()) };
        let (entries, next) = view.part(from, entries_max, src)?;
        let mut below = Vec::new();
        for (name, found) in entries {
            let is_directory = found.is_directory();
            let ignored = chain.ignores(&name, is_directory);
            let has_same_to_do = is_directory && !ignored;
            if ignored != found.is_ignored() {
                self.pass(directory, &name, &found, src)?;
            } else if has_same_to_do {
                self.load(directory, &name, &found, src)?;
            }
            if has_same_to_do {
                below.push(found.ino);
            }
        }
        Ok(Step { below, next })
    }

    /// Has an entry pass from a directory to its shadow, or back. Nobody sees any of it.
    fn pass(
        &mut self,
        directory: Ino,
        name: &Name,
        found: &Found,
        src: &dyn ObjectSource,
    ) -> Result<(), ObjectError> {
        self.load(directory, name, found, src)?;
        let from = found.parent;
        let to = match is_shadow(from) {
            true => directory,
            false => self.make_shadow(directory, src)?,
        };
        let (value, side) = self.entry_for(found.ino);
        let tree_of = |ino| self.find(ino).and_then(|inode| inode.directory()).cloned();
        let (mut old, mut new) =
            (tree_of(from).unwrap_or_default(), tree_of(to).unwrap_or_default());
        old.remove(name.as_bytes(), src)?;
        new.insert(name.as_bytes(), &value, side, src)?;
        self.edit_beside_writer(from).body = Body::Directory(old);
        self.edit_beside_writer(to).body = Body::Directory(new);
        let shadow = &mut self.edit_beside_writer(shadow_of(directory)).meta;
        shadow.rdev = shadow.rdev.wrapping_add(1);
        self.rename_name(found.ino, (from, name), (to, name));
        Ok(())
    }

    /// Marks files with several names in a directory. Those below which there is the same to do are
    /// the directories with other such files. What has changed since the last commit is marked
    /// already, so that the sums of links in the trees lead to all others.
    fn mark_links(
        &mut self,
        directory: Ino,
        from: &[u8],
        entries_max: usize,
        src: &dyn ObjectSource,
    ) -> Result<Step, ObjectError> {
        let Some(view) = self.view(directory) else { return Ok(Step::default()) };
        let (linked, next) = view.part_linked(from, entries_max, src)?;
        let mut below = Vec::new();
        for (name, found) in linked {
            self.load(directory, &name, &found, src)?;
            match found.is_directory() {
                true => below.push(found.ino),
                false => self.mark(found.ino),
            }
        }
        Ok(Step { below, next })
    }
}

impl Rules {
    fn note(&mut self, directory: Ino, kind: TaskKind) {
        match self.pending.last_mut() {
            // Files are written piece by piece.
            Some(task) if (task.directory, task.kind) == (directory, kind) => task.from.clear(),
            _ => self.pending.push(Task { directory, kind, from: Vec::new() }),
        }
    }
}
