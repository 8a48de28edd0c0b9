//! Finds renames among the changes between two trees: what is gone and what is new with exactly
//! the same content.
//!
//! Directories go first, level by level: those that came or went and find no partner are looked
//! into, and what is found there takes part in the next round. So a directory that was renamed as
//! a whole is not read, and one that was also moved in or out of another is read at most as deep
//! as it moved. A directory can still find a partner after it was looked into, which takes what
//! was found below it out of the list, unless something below found a partner of its own.

use std::collections::{HashMap, VecDeque};

use super::{Change, ChangeKind, SIMILARITY_SAME, Walk, last_name, node_of};
use crate::model::{Content, Entry, EntryBody, NodeId, ObjectError};

/// Finishes a walk: looks into directories that came or went, and pairs what was renamed.
pub(super) fn pair(walk: Walk<'_>) -> Result<Vec<Change>, ObjectError> {
    let mut pairing = Pairing {
        walk,
        partners: Vec::new(),
        broken: Vec::new(),
        deleted: Pool::default(),
        added: Pool::default(),
    };
    pairing.pair_directories()?;
    pairing.pair_files();
    Ok(pairing.finish())
}

/// The content that two paths must share.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Directory(NodeId),
    File(Content, u64),
    Symlink(Box<[u8]>),
}

impl Key {
    /// What to look for of an entry, unless it is empty or of a kind that has no content.
    fn of(entry: &Entry) -> Option<Self> {
        match &entry.body {
            EntryBody::Directory(node) => node.map(Self::Directory),
            EntryBody::File { content: Content::Empty, .. } | EntryBody::Special => None,
            EntryBody::File { size, content } => Some(Self::File(*content, *size)),
            EntryBody::Symlink(target) => Some(Self::Symlink(target.clone())),
        }
    }
}

/// Changes of one kind by their content, in the order in which they are to be taken. Some may
/// have found a partner since.
#[derive(Default)]
struct Pool {
    by_name: HashMap<(Key, Box<[u8]>), VecDeque<usize>>,
    by_content: HashMap<Key, VecDeque<usize>>,
}

struct Pairing<'a> {
    walk: Walk<'a>,
    /// For each change, the one that it is paired with.
    partners: Vec<Option<usize>>,
    /// For each change, whether something below it is paired.
    broken: Vec<bool>,
    deleted: Pool,
    added: Pool,
}

impl Pairing<'_> {
    fn pair_directories(&mut self) -> Result<(), ObjectError> {
        let mut first = 0;
        while first < self.walk.listed.len() {
            let found = first..self.walk.listed.len();
            first = found.end;
            self.partners.resize(found.end, None);
            self.broken.resize(found.end, false);
            let is_directory = |index: &usize| {
                let change = &self.walk.listed[*index].change;
                one_sided(change).is_some_and(|entry| node_of(Some(entry)).is_some())
            };
            let level = self.sorted(found.filter(is_directory).collect());
            self.pair_level(&level);
            if self.walk.options.whole_directories {
                continue;
            }
            for index in level {
                if self.partners[index].is_none() && !self.is_covered(index) {
                    self.walk.expand(index)?;
                }
            }
        }
        Ok(())
    }

    fn pair_files(&mut self) {
        let is_file = |index: &usize| {
            let change = &self.walk.listed[*index].change;
            one_sided(change).is_some_and(|entry| !super::is_directory(entry))
        };
        let files = (0..self.walk.listed.len()).filter(is_file);
        let files = files.filter(|index| !self.is_covered(*index)).collect();
        let files = self.sorted(files);
        self.pair_level(&files);
    }

    fn sorted(&self, mut indexes: Vec<usize>) -> Vec<usize> {
        let path = |index: &usize| &self.walk.listed[*index].change.path;
        indexes.sort_unstable_by(|a, b| path(a).cmp(path(b)));
        indexes
    }

    /// Offers changes to each other and to all that were offered before.
    fn pair_level(&mut self, level: &[usize]) {
        let mut seekers = Vec::with_capacity(level.len());
        for index in level {
            let change = &self.walk.listed[*index].change;
            let Some(key) = one_sided(change).and_then(Key::of) else { continue };
            let name = (key, last_name(&change.path).into());
            let is_new = change.new.is_some();
            let pool = if is_new { &mut self.added } else { &mut self.deleted };
            pool.by_content.entry(name.0.clone()).or_default().push_back(*index);
            pool.by_name.entry(name.clone()).or_default().push_back(*index);
            seekers.push((*index, is_new, name));
        }
        for by_name in [true, false] {
            for (index, is_new, name) in &seekers {
                if !self.is_free(*index) {
                    continue;
                }
                let found = loop {
                    let pool = if *is_new { &mut self.deleted } else { &mut self.added };
                    let queue = match by_name {
                        true => pool.by_name.get_mut(name),
                        false => pool.by_content.get_mut(&name.0),
                    };
                    match queue.and_then(VecDeque::pop_front) {
                        Some(other) if self.is_free(other) => break Some(other),
                        Some(_) => {}
                        None => break None,
                    }
                };
                if let Some(other) = found {
                    self.join(*index, other);
                }
            }
        }
    }

    /// Tells whether a change can still be paired. Once it cannot, it never can again.
    fn is_free(&self, index: usize) -> bool {
        self.partners[index].is_none() && !self.broken[index] && !self.is_covered(index)
    }

    /// Tells whether a directory above is paired, which makes this no change of its own.
    fn is_covered(&self, index: usize) -> bool {
        self.above(index).any(|above| self.partners[above].is_some())
    }

    fn above(&self, index: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(index), |index| self.walk.listed[*index].above).skip(1)
    }

    fn join(&mut self, a: usize, b: usize) {
        for (index, partner) in [(a, b), (b, a)] {
            self.partners[index] = Some(partner);
            let above: Vec<usize> = self.above(index).collect();
            above.into_iter().for_each(|index| self.broken[index] = true);
        }
    }

    fn finish(self) -> Vec<Change> {
        let covered: Vec<bool> =
            (0..self.walk.listed.len()).map(|index| self.is_covered(index)).collect();
        let mut changes: Vec<Option<Change>> =
            self.walk.listed.into_iter().map(|listed| Some(listed.change)).collect();
        for (index, covered) in covered.into_iter().enumerate() {
            if covered {
                changes[index] = None;
            }
            // The side that is new stands for both.
            let Some(partner) = self.partners[index] else { continue };
            if changes[index].as_ref().is_none_or(|change| change.new.is_none()) {
                continue;
            }
            let from = changes[partner].take();
            if let (Some(change), Some(from)) = (&mut changes[index], from) {
                change.kind = ChangeKind::Renamed { from: from.path, similarity: SIMILARITY_SAME };
                change.old = from.old;
            }
        }
        changes.into_iter().flatten().collect()
    }
}

/// The entry of a change that only one of the trees has.
fn one_sided(change: &Change) -> Option<&Entry> {
    match (&change.old, &change.new) {
        (Some(entry), None) | (None, Some(entry)) => Some(entry),
        _ => None,
    }
}
