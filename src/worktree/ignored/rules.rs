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

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::{is_shadow, seen, shadow_of};
use crate::base::limits::{RULES_BYTES_MAX, RULES_CACHED_MAX};
use crate::model::{Ino, Name, ObjectError, ObjectSource};
use crate::worktree::inode::{Body, Inode};
use crate::worktree::state::{Found, InoMap, Worktree};

/// The name of a file with rules.
pub const RULES_NAME: &[u8] = b".vstignore";

/// What a tree knows of its rules.
#[derive(Clone, Default)]
pub(in crate::worktree) struct Rules {
    /// How many entries have the name of a file with rules. Where there is none, nothing else is
    /// looked at.
    pub(in crate::worktree) files: u64,
    /// What is to be found out before the next snapshot. Some may be listed twice, or be gone.
    pending: Vec<(Ino, Task)>,
    /// The rules that files of the table hold. That a version of the file is kept here keeps it as
    /// it is, so the rules are those of the file as long as that is the version in the table.
    compiled: Arc<InoMap<(Arc<Inode>, Arc<Compiled>)>>,
}

/// What is to be found out about a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Task {
    /// What belongs where: other rules may hold than when its entries were put where they are.
    Sort,
    /// Which files have names in it, or below it, and others elsewhere: it came to be ignored, or
    /// is so no more, and commits tell of each name how many there are.
    Links,
}

/// The rules of one file.
struct Compiled {
    matcher: Gitignore,
    /// Whether what they say of what is below a directory that they do not lie in or below has
    /// nothing to do with its path: they name no path, or one right beside them.
    is_by_name: bool,
}

/// The rules of a directory and of those above it, the nearest first, each with the path that
/// leads from there to the directory.
struct Chain {
    links: Vec<(Vec<u8>, Arc<Compiled>)>,
}

impl Chain {
    fn ignores(&self, name: &Name, is_directory: bool) -> bool {
        for (prefix, rules) in &self.links {
            let path = [prefix.as_slice(), name.as_bytes()].concat();
            match rules.matcher.matched(Path::new(OsStr::from_bytes(&path)), is_directory) {
                Match::None => {}
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
            }
        }
        false
    }

    /// Tells whether a directory in one place has the same rules below it in another one.
    fn is_same_below(&self, other: &Self) -> bool {
        let is_same = |((_, a), (_, b)): (&(_, Arc<Compiled>), &(_, Arc<Compiled>))| {
            Arc::ptr_eq(a, b) && a.is_by_name
        };
        self.links.len() == other.links.len() && self.links.iter().zip(&other.links).all(is_same)
    }
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
        self.rules.note(seen(parent), Task::Sort);
    }

    /// Notes that the content of a file changed, which may be one with rules.
    pub(in crate::worktree) fn note_content(&mut self, ino: Ino) {
        if self.rules.files == 0 {
            return;
        }
        let Self { inodes, rules, .. } = self;
        for (parent, name) in inodes.get(ino).iter().flat_map(|inode| &inode.names) {
            if name.as_bytes() == RULES_NAME {
                rules.note(seen(*parent), Task::Sort);
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
        self.rules.note(directory, Task::Sort);
    }

    /// Notes that a directory passed from one tree to the other.
    pub(in crate::worktree) fn note_links(&mut self, directory: Ino) {
        self.rules.note(directory, Task::Links);
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
        let mut at = directory;
        while let Some((parent, name)) = self.find(at).and_then(|inode| inode.names.first()) {
            let (parent, name) = (seen(*parent), name.clone());
            if self.chain(parent, src)?.ignores(&name, true) {
                return Ok(true);
            }
            at = parent;
        }
        Ok(false)
    }

    /// A directory of which something is to be found out before the next snapshot, if there is one.
    pub fn next_unsorted(&self) -> Option<Ino> {
        self.rules.pending.last().map(|(directory, _)| *directory)
    }

    /// Finds out what is ignored in the directory that comes next, and puts it where it belongs;
    /// returns whether there was one. Costs what is in the directory itself, and nothing that it
    /// costs depends on what is below. After a failure it can be called again.
    pub fn sort_next(&mut self, src: &dyn ObjectSource) -> Result<bool, ObjectError> {
        let Some(&(directory, task)) = self.rules.pending.last() else { return Ok(false) };
        let at = self.rules.pending.len() - 1;
        let is_there = |inode: &Arc<Inode>| {
            inode.is_directory() && (!inode.names.is_empty() || directory == Ino::ROOT)
        };
        let below = match task {
            _ if !self.find(directory).is_some_and(is_there) => Vec::new(),
            // All that is below is ignored, whatever rules are there.
            Task::Sort if self.is_ignored(directory) => Vec::new(),
            Task::Sort => self.sort(directory, src)?,
            Task::Links => self.mark_links(directory, src)?,
        };
        // Sorting may have added others.
        self.rules.pending.remove(at);
        self.rules.pending.extend(below.into_iter().map(|ino| (ino, task)));
        Ok(true)
    }

    /// Does all that [`Self::sort_next`] has to do.
    pub fn sort_all(&mut self, src: &dyn ObjectSource) -> Result<(), ObjectError> {
        while self.sort_next(src)? {}
        Ok(())
    }

    /// Puts the entries of a directory where they belong. Returns the directories in it that are
    /// not ignored, in the table.
    fn sort(&mut self, directory: Ino, src: &dyn ObjectSource) -> Result<Vec<Ino>, ObjectError> {
        let chain = self.chain(directory, src)?;
        let Some(view) = self.view(directory) else { return Ok(Vec::new()) };
        let (mut moved, mut below) = (Vec::new(), Vec::new());
        view.scan(0, src, &mut |found, name| {
            // Only names are ever put into a directory.
            let Ok(name) = Name::new(name) else { return ControlFlow::Continue(()) };
            let is_directory = found.is_directory();
            let ignored = chain.ignores(&name, is_directory);
            if is_directory && !ignored {
                below.push((name.clone(), found.ino));
            }
            if ignored != found.is_ignored() {
                moved.push((name, found));
            }
            ControlFlow::Continue(())
        })?;
        for (name, found) in moved {
            self.pass(directory, &name, &found, src)?;
        }
        let mut inos = Vec::with_capacity(below.len());
        for (name, ino) in below {
            if let Some(found) = self.lookup(directory, &name, src)? {
                self.load(directory, &name, &found, src)?;
            }
            inos.push(ino);
        }
        Ok(inos)
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

    /// Marks files with several names in a directory. Returns the directories in it below which
    /// there are others, in the table. What has changed since the last commit is marked already, so
    /// that the sums of links in the trees lead to all others.
    fn mark_links(
        &mut self,
        directory: Ino,
        src: &dyn ObjectSource,
    ) -> Result<Vec<Ino>, ObjectError> {
        let Some(view) = self.view(directory) else { return Ok(Vec::new()) };
        let mut linked = Vec::new();
        view.scan_linked(src, &mut |found, name| linked.push((Name::new(name), found)))?;
        let mut below = Vec::new();
        for (name, found) in linked {
            // Only names are ever put into a directory.
            let Ok(name) = name else { continue };
            self.load(directory, &name, &found, src)?;
            match found.is_directory() {
                true => below.push(found.ino),
                false => self.mark(found.ino),
            }
        }
        Ok(below)
    }

    fn chain(&mut self, directory: Ino, src: &dyn ObjectSource) -> Result<Chain, ObjectError> {
        let (mut links, mut prefix, mut at) = (Vec::new(), Vec::new(), directory);
        loop {
            if let Some(rules) = self.rules_in(at, src)? {
                links.push((prefix.clone(), rules));
            }
            let Some((parent, name)) = self.find(at).and_then(|inode| inode.names.first()) else {
                return Ok(Chain { links });
            };
            prefix = [name.as_bytes(), b"/", &prefix].concat();
            at = seen(*parent);
        }
    }

    /// The rules that a directory has itself. Only regular files hold any, as git has it.
    fn rules_in(
        &mut self,
        directory: Ino,
        src: &dyn ObjectSource,
    ) -> Result<Option<Arc<Compiled>>, ObjectError> {
        if self.rules.files == 0 {
            return Ok(None);
        }
        let name = Name::new(RULES_NAME).expect("it is a name");
        let Some(found) = self.lookup(directory, &name, src)? else { return Ok(None) };
        self.load(directory, &name, &found, src)?;
        let Some(inode) = self.find(found.ino) else { return Ok(None) };
        if let Some((version, rules)) = self.rules.compiled.get(&found.ino)
            && Arc::ptr_eq(version, inode)
        {
            return Ok(Some(rules.clone()));
        }
        let Some(file) = inode.file() else { return Ok(None) };
        if file.size() > RULES_BYTES_MAX {
            log::warn!("{inode:?} has more rules than are read, and none of them holds");
            return Ok(None);
        }
        let mut bytes = vec![0; usize::try_from(file.size()).unwrap_or_default()];
        file.read(0, &mut bytes, src)?;
        let (version, rules) = (inode.clone(), Arc::new(compile(&bytes)));
        let compiled = Arc::make_mut(&mut self.rules.compiled);
        if compiled.len() >= RULES_CACHED_MAX {
            compiled.clear();
        }
        compiled.insert(found.ino, (version, rules.clone()));
        Ok(Some(rules))
    }
}

impl Rules {
    fn note(&mut self, directory: Ino, task: Task) {
        // Files are written piece by piece.
        if self.pending.last() != Some(&(directory, task)) {
            self.pending.push((directory, task));
        }
    }
}

/// The rules that a text holds. A line that is no pattern says nothing, as in git.
fn compile(text: &[u8]) -> Compiled {
    let mut builder = GitignoreBuilder::new(".");
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut is_by_name = true;
    for line in String::from_utf8_lossy(text).lines() {
        if let Err(error) = builder.add_line(None, line) {
            log::warn!("the rule {line:?} says nothing: {error}");
        }
        is_by_name &= is_rule_by_name(line);
    }
    let matcher = builder.build().unwrap_or_else(|error| {
        log::warn!("rules that cannot be used: {error}");
        Gitignore::empty()
    });
    Compiled { matcher, is_by_name }
}

/// Tells whether a rule has no `/` but at its beginning or end, which is said too rarely rather
/// than too often.
fn is_rule_by_name(line: &str) -> bool {
    let line = line.strip_prefix('!').unwrap_or(line).trim_end();
    let line = line.strip_prefix('/').unwrap_or(line);
    line.starts_with('#') || !line.strip_suffix('/').unwrap_or(line).contains('/')
}
