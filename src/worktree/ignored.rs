//! Ignored paths: what lives in the tree and never enters a commit.
//!
//! A directory that has ignored entries has a shadow: a second directory, which only the working
//! tree knows, with the ignored entries and no others. Its number is that of the directory with one
//! bit set, and it is an inode like any other: it has names, is marked dirty, hashed, stored and
//! loaded like any other. All shadows lie in one directory that nothing else leads to, under the
//! numbers of their directories. So there are two trees, that of the commits and that of what is
//! ignored, and what is done below a shadow never touches a node that a commit names; an entry
//! passes from one to the other by a rename. Below an ignored directory everything is ignored and
//! lies where it would lie otherwise.
//!
//! Whoever asks for a directory sees both as one: [`View`]. The times of a shadow are those at
//! which ignored entries came and went, and the directory shows whichever time is later, since that
//! of a directory in a commit must not tell of what is not in it.
//!
//! Invariant: if a directory is in the table and has a shadow, so is its shadow.

mod chain;
mod list;
mod part;
mod rules;

use std::ops::ControlFlow;
use std::sync::Arc;

use super::apply::placeholder;
use super::inode::{Body, Inode};
use super::state::{Found, Worktree, inode_of, lookup_in};
use super::table::InodeTable;
use super::tree::{Directory, Item, Tree};
use crate::base::limits::INO_MAX;
use crate::format::entry::is_directory;
use crate::model::{
    FileKind, Ino, MaybeTime, Meta, Name, NodeId, ObjectError, ObjectSource, Timestamp, Xattrs,
};

pub use self::list::IgnoredPath;
pub use self::rules::RULES_NAME;
pub(super) use self::rules::Rules;

/// Marks the numbers of shadows. No inode that others see has it.
const SHADOW_BIT: u64 = 1 << 63;

/// The directory that all shadows lie in.
pub(super) const SHADOWS: Ino = Ino(SHADOW_BIT);

/// The number of a directory that there is not. Its shadow has the files without a name.
pub(super) const NOWHERE: Ino = Ino(INO_MAX);

/// The number of a directory's shadow.
pub(super) fn shadow_of(directory: Ino) -> Ino {
    Ino(directory.0 | SHADOW_BIT)
}

pub(super) fn is_shadow(ino: Ino) -> bool {
    ino.0 & SHADOW_BIT != 0
}

/// The directory that others see where an entry is in this one.
pub(super) fn seen(directory: Ino) -> Ino {
    Ino(directory.0 & !SHADOW_BIT)
}

/// The name of a shadow in the directory of all shadows.
pub(super) fn shadow_name(directory: Ino) -> Name {
    Name::new(directory.0.to_string().as_bytes()).expect("digits make a name")
}

/// The place of a shadow in its table, which is as high as its largest number is long: so that of
/// the directory with the largest number comes first.
fn place_of(shadow: Ino) -> Ino {
    Ino((seen(shadow).0 + 1) & INO_MAX)
}

/// The table of all inodes. Shadows are kept apart, since their numbers would make one radix tree
/// with all others as high as a number is long.
#[derive(Clone, Default)]
pub(super) struct Inodes {
    own: InodeTable,
    shadows: InodeTable,
}

impl Inodes {
    /// How many there are that others see.
    pub(super) fn len(&self) -> usize {
        self.own.len()
    }

    pub(super) fn contains(&self, ino: Ino) -> bool {
        self.get(ino).is_some()
    }

    pub(super) fn get(&self, ino: Ino) -> Option<&Arc<Inode>> {
        match is_shadow(ino) {
            false => self.own.get(ino),
            true => self.shadows.get(place_of(ino)),
        }
    }

    pub(super) fn get_mut(&mut self, ino: Ino) -> Option<&mut Arc<Inode>> {
        match is_shadow(ino) {
            false => self.own.get_mut(ino),
            true => self.shadows.get_mut(place_of(ino)),
        }
    }

    pub(super) fn insert(&mut self, ino: Ino, inode: Arc<Inode>) {
        match is_shadow(ino) {
            false => self.own.insert(ino, inode),
            true => self.shadows.insert(place_of(ino), inode),
        }
    }

    pub(super) fn remove(&mut self, ino: Ino) {
        match is_shadow(ino) {
            false => self.own.remove(ino),
            true => self.shadows.remove(place_of(ino)),
        }
    }
}

#[cfg(test)]
impl Inodes {
    /// Those that others see, in the order of their numbers.
    pub(super) fn values(&self) -> Vec<&Arc<Inode>> {
        self.own.values()
    }

    pub(super) fn ptr_eq(&self, other: &Self) -> bool {
        self.own.ptr_eq(&other.own)
    }
}

/// A directory as others see it, with what is ignored in it; and any other inode as it is.
#[derive(Clone)]
pub struct View {
    /// The inode.
    pub inode: Arc<Inode>,
    shadow: Option<Arc<Inode>>,
}

impl View {
    /// The number of links that `stat` tells.
    pub fn nlink(&self, src: &dyn ObjectSource) -> Result<u32, ObjectError> {
        let links = self.inode.nlink(src)?;
        let ignored = self.shadow_tree().map_or(Ok(0), |tree| tree.weight(src))?;
        Ok(links.saturating_add(u32::try_from(ignored).unwrap_or(u32::MAX)))
    }

    /// When it was last modified.
    pub fn mtime(&self) -> Timestamp {
        self.later(self.inode.meta.mtime, |shadow| shadow.meta.mtime)
    }

    /// When it last changed.
    pub fn ctime(&self) -> Timestamp {
        self.later(self.inode.ctime, |shadow| shadow.ctime)
    }

    /// A number that is another one after each change of the entries or of their order.
    pub fn version(&self) -> u64 {
        let own = spread(self.inode.ctime, 0);
        self.shadow.as_deref().map_or(own, |shadow| {
            // One that has no device counts the entries that passed.
            own ^ spread(shadow.ctime, shadow.meta.rdev).rotate_right(8)
        })
    }

    fn later(&self, own: Timestamp, of: fn(&Inode) -> Timestamp) -> Timestamp {
        self.shadow.as_deref().map_or(own, |shadow| own.max(of(shadow)))
    }

    /// Tells whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.inode.is_directory()
    }

    /// The directory that it is in, as others see it; the top for what is in none.
    pub fn parent(&self) -> Ino {
        self.inode.names.first().map_or(Ino::ROOT, |(parent, _)| seen(*parent))
    }

    /// Finds an entry; nothing in what is no directory.
    pub fn find(&self, name: &Name, src: &dyn ObjectSource) -> Result<Option<Found>, ObjectError> {
        for inode in [Some(&self.inode), self.shadow.as_ref()].into_iter().flatten() {
            let Some(tree) = inode.directory() else { break };
            if let Some(found) = lookup_in(tree, inode.ino, name, src)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Calls `visit` with the entries from the one at this index on, until it breaks: those of the
    /// commits in the order of their names, and then what is ignored. Nothing in what is no
    /// directory.
    pub fn scan(
        &self,
        from: u64,
        src: &dyn ObjectSource,
        visit: &mut dyn FnMut(Found, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), ObjectError> {
        let Some(own) = self.inode.directory() else { return Ok(()) };
        let mut ended = false;
        own.scan(from, src, &mut |item| {
            let flow = visit(Found::of(self.inode.ino, &item), item.key);
            ended = flow.is_break();
            flow
        })?;
        let Some((shadow, tree)) = self.shadow.as_ref().zip(self.shadow_tree()) else {
            return Ok(());
        };
        if ended {
            return Ok(());
        }
        let from = from.saturating_sub(own.len(src)?);
        tree.scan(from, src, &mut |item| visit(Found::of(shadow.ino, &item), item.key))
    }

    fn shadow_tree(&self) -> Option<&Tree<Directory>> {
        self.shadow.as_ref()?.directory()
    }
}

impl Found {
    pub(super) fn of(parent: Ino, item: &Item<'_, Directory>) -> Self {
        let (value, side) = (item.value.into(), item.side.clone());
        Self { parent, ino: Ino(item.side.ino), value, side }
    }

    /// Tells whether commits leave the entry out because of its own name, and not only because of a
    /// directory above it.
    pub fn is_ignored(&self) -> bool {
        is_shadow(self.parent)
    }

    /// Tells whether it is a directory.
    pub fn is_directory(&self) -> bool {
        is_directory(&self.value)
    }
}

impl Worktree {
    /// The directory of all shadows, taken from the store.
    pub(super) fn shadows(node: Option<NodeId>, side: Option<crate::model::ObjectId>) -> Inode {
        let time = Timestamp::default();
        Inode { body: Body::Directory(Tree::stored(node, side)), ..new_shadow(SHADOWS, time, time) }
    }

    /// The topmost node of the directory of all shadows, if any is there. It must have been hashed.
    pub fn ignored_node(&self) -> Option<NodeId> {
        self.shadows_tree().id().flatten()
    }

    pub(super) fn shadows_tree(&self) -> &Tree<Directory> {
        let tree = self.find(SHADOWS).and_then(|inode| inode.directory());
        tree.expect("the directory of all shadows is always in the table")
    }

    /// An inode as others see it.
    pub fn view(&self, ino: Ino) -> Option<View> {
        let inode = self.find(ino)?.clone();
        let shadow = self.shadow(&inode).cloned();
        Some(View { inode, shadow })
    }

    /// Tells whether anything is ignored, or was and left a trace.
    pub(super) fn has_ignored(&self) -> bool {
        !self.shadows_tree().is_empty()
    }

    /// The shadow of a directory, if it has one.
    fn shadow(&self, inode: &Inode) -> Option<&Arc<Inode>> {
        if !inode.is_directory() || !self.has_ignored() {
            return None;
        }
        self.find(shadow_of(inode.ino))
    }

    /// Tells whether this is a directory of the table that has no entry at all.
    pub fn is_empty_directory(&self, ino: Ino) -> bool {
        self.find(ino).is_some_and(|inode| inode.is_directory() && self.has_no_entry(inode))
    }

    /// Tells whether nothing is in what may be a directory.
    pub(super) fn has_no_entry(&self, inode: &Inode) -> bool {
        let is_empty = |inode: &Inode| inode.directory().is_none_or(Tree::is_empty);
        is_empty(inode) && self.shadow(inode).is_none_or(|shadow| is_empty(shadow))
    }

    /// Finds an entry of a directory that is in the table.
    pub fn lookup(
        &self,
        parent: Ino,
        name: &Name,
        src: &dyn ObjectSource,
    ) -> Result<Option<Found>, ObjectError> {
        let Some(inode) = self.find(parent) else { return Ok(None) };
        let Some(tree) = inode.directory() else { return Ok(None) };
        if let Some(found) = lookup_in(tree, parent, name, src)? {
            return Ok(Some(found));
        }
        match self.shadow(inode).and_then(|shadow| shadow.directory()) {
            Some(tree) => lookup_in(tree, shadow_of(parent), name, src),
            None => Ok(None),
        }
    }

    /// Tells whether commits leave out everything that is in a directory of the table.
    pub(super) fn is_ignored(&self, directory: Ino) -> bool {
        if !self.has_ignored() {
            return is_shadow(directory);
        }
        let mut at = directory;
        while !is_shadow(at) {
            match self.find(at).and_then(|inode| inode.names.first()) {
                Some((parent, _)) => at = *parent,
                None => return false,
            }
        }
        true
    }

    /// How many of an inode's names are in commits.
    pub(super) fn committed_names(&self, inode: &Inode) -> usize {
        match inode.names.len() {
            several if several > 1 && self.has_ignored() => {
                inode.names.iter().filter(|(parent, _)| !self.is_ignored(*parent)).count()
            }
            names => names,
        }
    }

    /// Takes the shadow of a directory that is about to be loaded into the table, if it has one.
    pub(super) fn load_shadow(
        &mut self,
        directory: Ino,
        src: &dyn ObjectSource,
    ) -> Result<(), ObjectError> {
        if !self.has_ignored() || self.inodes.contains(shadow_of(directory)) {
            return Ok(());
        }
        let name = shadow_name(directory);
        let Some(found) = lookup_in(self.shadows_tree(), SHADOWS, &name, src)? else {
            return Ok(());
        };
        if found.ino != shadow_of(directory) {
            return Err(self.bad_places("a shadow is not that of its directory"));
        }
        let inode = inode_of(&found, (SHADOWS, name), src)?;
        if !inode.is_directory() {
            return Err(self.bad_places("a shadow is no directory"));
        }
        self.inodes.insert(found.ino, Arc::new(inode));
        Ok(())
    }

    /// The shadow of a directory, which is made if it has none.
    pub(super) fn make_shadow(
        &mut self,
        directory: Ino,
        src: &dyn ObjectSource,
    ) -> Result<Ino, ObjectError> {
        let ino = shadow_of(directory);
        if self.inodes.contains(ino) {
            return Ok(ino);
        }
        let name = shadow_name(directory);
        let times = self.find(directory).map(|inode| (inode.meta.mtime, inode.ctime));
        let (mtime, ctime) = times.unwrap_or_default();
        let (value, side) = placeholder(FileKind::Directory, ino);
        let mut tree = self.shadows_tree().clone();
        tree.insert(name.as_bytes(), &value, side, src)?;
        self.edit_beside_writer(SHADOWS).body = Body::Directory(tree);
        let mut inode = new_shadow(ino, mtime, ctime);
        inode.names.push((SHADOWS, name));
        self.inodes.insert(ino, Arc::new(inode));
        self.note_moved(ino);
        self.mark(ino);
        Ok(ino)
    }

    /// Removes the shadow of a directory that is about to be removed. It must be empty.
    pub(super) fn drop_shadow(
        &mut self,
        directory: Ino,
        src: &dyn ObjectSource,
    ) -> Result<(), ObjectError> {
        let ino = shadow_of(directory);
        if !self.inodes.contains(ino) {
            return Ok(());
        }
        let mut tree = self.shadows_tree().clone();
        tree.remove(shadow_name(directory).as_bytes(), src)?;
        self.edit_beside_writer(SHADOWS).body = Body::Directory(tree);
        self.note_moved(ino);
        self.inodes.remove(ino);
        Ok(())
    }

    /// Has a directory show the time of modification that was set, and no later one.
    pub(super) fn set_shadow_mtime(&mut self, directory: Ino, mtime: Timestamp) {
        let ino = shadow_of(directory);
        if self.inodes.get(ino).is_some_and(|shadow| shadow.meta.mtime > mtime) {
            self.edit(ino).meta.mtime = mtime;
        }
    }
}

/// A number of which the high bits depend on all of a time and a count.
fn spread(time: Timestamp, count: u32) -> u64 {
    let nanos = (time.secs as u64).wrapping_mul(1_000_000_000).wrapping_add(time.nanos.into());
    nanos.wrapping_add(u64::from(count) << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn new_shadow(ino: Ino, mtime: Timestamp, ctime: Timestamp) -> Inode {
    let meta = Meta { kind: FileKind::Directory, perm: 0, uid: 0, gid: 0, rdev: 0, mtime };
    Inode {
        ino,
        meta,
        ctime,
        born: ctime.into(),
        atime: MaybeTime::NONE,
        xattrs: Xattrs::default(),
        names: super::Names::new(),
        body: Body::Directory(Tree::new()),
        writer: None,
        epoch: 0,
        settled: false,
    }
}
