//! The rules that hold in a directory: those of the files in it and in the directories above it.
//!
//! They are looked up and read once, and kept ready until something changes that they depend on: a
//! file with rules comes, goes or changes, or a directory moves. So an entry that comes pays for a
//! look above its directory only if it is the first one there for a while.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::{RULES_NAME, seen};
use crate::base::limits::{RULES_BYTES_MAX, RULES_CACHED_MAX, RULES_CHAINS_MAX};
use crate::model::{Ino, Name, ObjectError, ObjectSource};
use crate::worktree::state::{InoMap, Worktree};

/// What of the rules is kept ready. It says nothing that the tree does not say.
#[derive(Clone, Default)]
pub(super) struct Ready {
    /// The rules that files hold, as long as nothing is written to them.
    compiled: Arc<InoMap<Arc<Compiled>>>,
    /// The rules that hold in directories.
    chains: Arc<InoMap<Arc<Chain>>>,
    /// In how many directories rules were looked for.
    #[cfg(test)]
    looks: u64,
}

/// The rules of one file.
struct Compiled {
    matcher: Gitignore,
    /// Whether what they say of what is below a directory that they do not lie in or below has
    /// nothing to do with its path: they name no path, or one right beside them.
    is_by_name: bool,
}

/// The rules of a directory and of those above it.
pub(super) struct Chain {
    /// The path that leads to the directory, with a `/` at its end unless it is empty.
    path: Vec<u8>,
    /// The rules, the nearest first, each with the place in the path where what leads from there
    /// to the directory begins.
    links: Vec<(usize, Arc<Compiled>)>,
}

impl Chain {
    /// Tells whether the rules ignore a name in the directory.
    pub(super) fn ignores(&self, name: &Name, is_directory: bool) -> bool {
        !self.links.is_empty()
            && self.ignores_path(&[&self.path, name.as_bytes()].concat(), is_directory)
    }

    /// Tells whether the rules ignore the directory, or one that it is in.
    pub(super) fn ignores_itself(&self) -> bool {
        let topmost = self.links.last().map_or(self.path.len(), |(from, _)| *from);
        let ends = self.path.iter().enumerate().skip(topmost).filter(|(_, byte)| **byte == b'/');
        ends.into_iter().any(|(end, _)| self.ignores_path(&self.path[..end], true))
    }

    /// Tells what the rules above a path, which begins like that of the directory, say of it.
    fn ignores_path(&self, path: &[u8], is_directory: bool) -> bool {
        for (from, rules) in self.links.iter().filter(|(from, _)| *from < path.len()) {
            let path = Path::new(OsStr::from_bytes(&path[*from..]));
            match rules.matcher.matched(path, is_directory) {
                Match::None => {}
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
            }
        }
        false
    }

    /// Tells whether a directory in one place has the same rules below it in another one.
    pub(super) fn is_same_below(&self, other: &Self) -> bool {
        let is_same = |((_, a), (_, b)): (&(_, Arc<Compiled>), &(_, Arc<Compiled>))| {
            Arc::ptr_eq(a, b) && a.is_by_name
        };
        self.links.len() == other.links.len() && self.links.iter().zip(&other.links).all(is_same)
    }
}

impl Ready {
    /// Forgets what depends on where files with rules and directories are.
    pub(super) fn forget_chains(&mut self) {
        if !self.chains.is_empty() {
            self.chains = Arc::default();
        }
    }

    /// Forgets the rules of a file.
    pub(super) fn forget_file(&mut self, ino: Ino) {
        if self.compiled.contains_key(&ino) {
            Arc::make_mut(&mut self.compiled).remove(&ino);
        }
    }
}

#[cfg(test)]
impl Worktree {
    /// In how many directories rules were looked for so far.
    pub(in crate::worktree) fn rule_looks(&self) -> u64 {
        self.rules.ready.looks
    }
}

/// Puts something into a map that is emptied when it is full.
fn keep<T>(map: &mut Arc<InoMap<Arc<T>>>, max: usize, ino: Ino, value: &Arc<T>) {
    if map.len() >= max {
        *map = Arc::default();
    }
    Arc::make_mut(map).insert(ino, value.clone());
}

impl Worktree {
    /// Notes that a directory is somewhere else.
    pub(in crate::worktree) fn note_directory(&mut self) {
        self.rules.ready.forget_chains();
    }

    /// The rules that hold in a directory of the table.
    pub(super) fn chain(
        &mut self,
        directory: Ino,
        src: &dyn ObjectSource,
    ) -> Result<Arc<Chain>, ObjectError> {
        if let Some(chain) = self.rules.ready.chains.get(&directory) {
            return Ok(chain.clone());
        }
        // From the directory upwards: names, and rules with how many of them lead there.
        let (mut names, mut above, mut at) = (Vec::<Name>::new(), Vec::new(), directory);
        loop {
            if let Some(rules) = self.rules_in(at, src)? {
                above.push((names.len(), rules));
            }
            let Some((parent, name)) = self.find(at).and_then(|inode| inode.names.first()) else {
                break;
            };
            names.push(name.clone());
            at = seen(*parent);
        }
        let mut path = Vec::new();
        // Where the names begin, the last of them first.
        let mut begins = vec![0; names.len() + 1];
        for (at, name) in names.iter().enumerate().rev() {
            path.extend_from_slice(name.as_bytes());
            path.push(b'/');
            begins[at] = path.len();
        }
        let links = above.into_iter().map(|(names, rules)| (begins[names], rules)).collect();
        let chain = Arc::new(Chain { path, links });
        keep(&mut self.rules.ready.chains, RULES_CHAINS_MAX, directory, &chain);
        Ok(chain)
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
        #[cfg(test)]
        {
            self.rules.ready.looks += 1;
        }
        let name = Name::new(RULES_NAME).expect("it is a name");
        let Some(found) = self.lookup(directory, &name, src)? else { return Ok(None) };
        if let Some(rules) = self.rules.ready.compiled.get(&found.ino) {
            return Ok(Some(rules.clone()));
        }
        self.load(directory, &name, &found, src)?;
        let Some(inode) = self.find(found.ino) else { return Ok(None) };
        let Some(file) = inode.file() else { return Ok(None) };
        if file.size() > RULES_BYTES_MAX {
            log::warn!("{inode:?} has more rules than are read, and none of them holds");
            return Ok(None);
        }
        let mut bytes = vec![0; usize::try_from(file.size()).unwrap_or_default()];
        file.read(0, &mut bytes, src)?;
        let rules = Arc::new(compile(&bytes));
        keep(&mut self.rules.ready.compiled, RULES_CACHED_MAX, found.ino, &rules);
        Ok(Some(rules))
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
