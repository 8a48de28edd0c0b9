//! The working tree: the table of inodes and what hangs on it.
//!
//! Invariants:
//! - if an inode is in the table, so are the directories that its names are in;
//! - what the table has of an inode is the truth, and an inode that is not in the table is as its
//!   entry tells;
//! - an inode whose entry does not tell all of it is dirty: it is in the table, it was changed in
//!   an epoch that no commit has published, and it is listed; and so are all directories above it;
//! - a dirty file may be settled: then its entry tells all of it, and only its content is yet to
//!   be stored.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::deeds::DeedLog;
use super::dirty::{Dirty, Waiting};
use super::file::File;
use super::ignored::{Inodes, NOWHERE, Rules, SHADOWS, seen};
use super::inode::{Body, Inode, Names, load_xattrs};
use super::tree::{Directory, Table, Tree, damaged};
use crate::base::limits::TREE_DEPTH_MAX;
use crate::format::entry::decode_entry;
use crate::format::root::Root;
use crate::format::worktree::{Place, SideRecord, WorktreeState};
use crate::model::{
    CommitId, Deed, DeedKind, Entry, EntryBody, FileKind, Ino, MaybeTime, Meta, Name, ObjectError,
    ObjectSource, Timestamp, Writer, Xattrs,
};

/// A working tree. A clone is a few pointers, and what is done to one is not seen in the other.
#[derive(Clone)]
pub struct Worktree {
    pub(super) inodes: Inodes,
    pub(super) places: Tree<Table>,
    pub(super) links: Tree<Table>,
    /// What each tag names.
    pub(super) tags: Tree<Table>,
    pub(super) dirty: Arc<Dirty>,
    /// What the commit in flight took of it, which a commit that is never published gives back.
    pub(super) taken: Option<Arc<Dirty>>,
    /// Counts the commits that were begun.
    pub(super) epoch: u64,
    /// The epoch of the last commit that was published: what was changed in it or before is clean.
    pub(super) clean_epoch: u64,
    pub(super) dirty_bytes: u64,
    pub(super) waiting: Waiting,
    pub(super) rules: Rules,
    /// The next inode number to give.
    pub(super) next_ino: u64,
    /// The commit that the tree stands on.
    pub head: Option<CommitId>,
    /// What was done to it.
    pub log: DeedLog,
    /// Who does what is applied to it, if that is known.
    pub writer: Option<Arc<Writer>>,
}

/// A map by inode number.
pub(super) type InoMap<T> = HashMap<Ino, T, BuildHasherDefault<InoHasher>>;

/// Spreads inode numbers, which count up from 1, over the bits that hash maps look at.
#[derive(Clone, Copy, Default)]
pub struct InoHasher(u64);

impl Hasher for InoHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

/// An entry of a directory: what `lookup` and `readdir` find.
#[derive(Clone, Debug)]
pub struct Found {
    /// The directory that lists it: the one that was asked, or its shadow.
    pub(super) parent: Ino,
    /// The number of the inode.
    pub ino: Ino,
    /// The inode as the directory has it, for one that is not in the table.
    pub value: Box<[u8]>,
    /// What lies beside the entry.
    pub side: SideRecord,
}

impl Worktree {
    /// Makes an empty tree whose top directory belongs to this user.
    pub fn new(uid: u32, gid: u32, perm: u16, time: Timestamp) -> Self {
        let meta = Meta { kind: FileKind::Directory, perm, uid, gid, rdev: 0, mtime: time };
        let top = Inode {
            ino: Ino::ROOT,
            meta,
            ctime: time,
            born: time.into(),
            atime: MaybeTime::NONE,
            xattrs: Xattrs::default(),
            names: Names::new(),
            body: Body::Directory(Tree::new()),
            writer: None,
            epoch: 0,
            settled: false,
        };
        Self::with_top(top, Self::shadows(None, None), Ino::ROOT.0 + 1)
    }

    /// Takes a tree from the store as it was when its state was written. Reads the root only.
    pub fn open(state: &WorktreeState, src: &dyn ObjectSource) -> Result<Self, ObjectError> {
        let id = state.root.object();
        let root = Root::decode(&src.get(id)?).map_err(|e| damaged(id, e))?;
        let side = state.side;
        let stored = |node| Tree::stored(node, side);
        let names = Names::new();
        let mut top = Inode::from_entry(root.top, Ino::ROOT, state.ctime, names, stored, src)?;
        (top.atime, top.born) = (state.atime.into(), state.born);
        let shadows = Self::shadows(state.ignored, state.ignored_side);
        let mut tree = Self::with_top(top, shadows, state.next_ino);
        tree.places = Tree::stored(state.places, None);
        tree.links = Tree::stored(root.links, None);
        tree.tags = Tree::stored(state.tags, None);
        tree.head = state.head;
        tree.log = DeedLog::open(&state.log);
        tree.rules.files = state.rule_files;
        tree.load_shadow(Ino::ROOT, src)?;
        tree.load_shadow(NOWHERE, src)?;
        Ok(tree)
    }

    fn with_top(top: Inode, shadows: Inode, next_ino: u64) -> Self {
        let mut inodes = Inodes::default();
        inodes.insert(Ino::ROOT, Arc::new(top));
        inodes.insert(SHADOWS, Arc::new(shadows));
        Self {
            inodes,
            places: Tree::new(),
            links: Tree::new(),
            tags: Tree::new(),
            dirty: Arc::default(),
            taken: None,
            epoch: 1,
            clean_epoch: 0,
            dirty_bytes: 0,
            waiting: Waiting::default(),
            rules: Rules::default(),
            next_ino,
            head: None,
            log: DeedLog::default(),
            writer: None,
        }
    }

    /// The inode with this number, if it is in the table.
    pub fn find(&self, ino: Ino) -> Option<&Arc<Inode>> {
        self.inodes.get(ino)
    }

    /// The top directory.
    pub fn top(&self) -> &Arc<Inode> {
        self.find(Ino::ROOT).expect("the top directory is always in the table")
    }

    /// How many inodes are in memory.
    pub fn inodes_loaded(&self) -> usize {
        self.inodes.len()
    }

    /// Bytes of file content that are in memory only.
    pub fn dirty_bytes(&self) -> u64 {
        self.dirty_bytes
    }

    /// The next inode number that will be given.
    pub fn next_ino(&self) -> u64 {
        self.next_ino
    }

    /// Notes what was done to it, which moves the head. Reads from `src` only if it was a tag.
    pub fn note(&mut self, deed: Deed, src: &dyn ObjectSource) {
        self.head = deed.after;
        if let DeedKind::Tag { name, to, .. } = &deed.what {
            self.note_tag(name, *to, src);
        }
        self.log.push(deed);
    }

    /// Gives a number for a new inode. Numbers are never given twice.
    pub fn allocate_ino(&mut self) -> Ino {
        let ino = Ino(self.next_ino);
        self.next_ino += 1;
        ino
    }

    /// Takes the inode of an entry into the table, unless it is there, and with it the
    /// directories that its other names are in.
    ///
    /// `parent` must be in the table and have that entry; [`ObjectError::NotLoaded`] leaves the
    /// tree as it was but for what was loaded before.
    pub fn load(
        &mut self,
        parent: Ino,
        name: &Name,
        found: &Found,
        src: &dyn ObjectSource,
    ) -> Result<(), ObjectError> {
        if self.inodes.contains(found.ino) {
            return Ok(());
        }
        debug_assert_eq!(seen(found.parent), seen(parent));
        let parent = found.parent;
        let inode = inode_of(found, (parent, name.clone()), src)?;
        let directory = inode.is_directory();
        if directory {
            self.load_shadow(found.ino, src)?;
        }
        let names = if !directory && found.side.links > 0 {
            let here = |place: &Place| place.names.iter().any(|(p, n)| *p == parent && n == name);
            let place = self.place(found.ino, src)?.filter(here);
            let place = place.ok_or_else(|| self.bad_places("a file is not where its name is"))?;
            for (parent, _) in &place.names {
                self.load_directory(seen(*parent), src)?;
            }
            place.names.into()
        } else {
            inode.names.clone()
        };
        self.inodes.insert(found.ino, Arc::new(Inode { names, ..inode }));
        Ok(())
    }

    /// Takes a directory into the table by its number alone, and all above it.
    pub(super) fn load_directory(
        &mut self,
        ino: Ino,
        src: &dyn ObjectSource,
    ) -> Result<(), ObjectError> {
        let mut missing = Vec::new();
        let mut at = ino;
        while !self.inodes.contains(at) {
            let place = self.place(at, src)?.and_then(|place| place.names.into_iter().next());
            let (parent, name) = place.ok_or_else(|| self.bad_places("a directory is nowhere"))?;
            let parent = seen(parent);
            missing.push((parent, name, at));
            if missing.len() > TREE_DEPTH_MAX {
                return Err(self.bad_places("directories lie in a circle"));
            }
            at = parent;
        }
        while let Some((parent, name, ino)) = missing.pop() {
            let found = self.lookup(parent, &name, src)?.filter(|found| found.ino == ino);
            let found = found.ok_or_else(|| self.bad_places("a directory is not in its place"))?;
            self.load(parent, &name, &found, src)?;
        }
        Ok(())
    }

    /// Where an inode is, as the last commit recorded it.
    pub(super) fn place(
        &self,
        ino: Ino,
        src: &dyn ObjectSource,
    ) -> Result<Option<Place>, ObjectError> {
        let item = self.places.find(&ino.0.to_be_bytes(), src)?;
        let place = item.map(|item| Place::decode(item.value)).transpose();
        place.map_err(|e| self.bad_places(e.what))
    }

    pub(super) fn bad_places(&self, what: &str) -> ObjectError {
        let id = self.places.id().flatten().map(|id| *id.object());
        let id = id.unwrap_or(crate::model::ObjectId::from_bytes([0; 32]));
        ObjectError::Damaged { id, detail: format!("table of places: {what}") }
    }

    /// Puts another representation of the same content in place of a file's.
    pub(super) fn replace_file(&mut self, ino: Ino, next: File) {
        let Some(inode) = self.inodes.get_mut(ino) else { return };
        let before = inode.dirty_bytes();
        let inode = Arc::make_mut(inode);
        self.dirty_bytes = self.dirty_bytes - before + next.dirty_bytes();
        inode.body = Body::File(next);
    }

    /// Forgets an inode that is as its entry tells; returns whether it did. The kernel must not
    /// know it any more. Directories stay, since others may be inside.
    pub fn evict(&mut self, ino: Ino) -> bool {
        let can_go = |inode: &Arc<Inode>| {
            self.is_clean(inode)
                && inode.can_be_loaded()
                && !inode.is_orphan()
                && !inode.is_directory()
        };
        let evicted = self.find(ino).is_some_and(can_go);
        if evicted {
            self.inodes.remove(ino);
        }
        evicted
    }
}

/// Finds an entry of a directory in its own tree.
pub(super) fn lookup_in(
    tree: &Tree<Directory>,
    directory: Ino,
    name: &Name,
    src: &dyn ObjectSource,
) -> Result<Option<Found>, ObjectError> {
    let item = tree.find(name.as_bytes(), src)?;
    Ok(item.map(|item| Found::of(directory, &item)))
}

/// The inode that an entry tells of, with this name as its only one.
pub fn inode_of(
    found: &Found,
    name: (Ino, Name),
    src: &dyn ObjectSource,
) -> Result<Inode, ObjectError> {
    let side = found.side.side.as_deref().copied();
    let entry = decode_entry(&found.value).map_err(|e| {
        let detail = format!("entry {:?}: {e}", name.1);
        ObjectError::Damaged { id: crate::model::ObjectId::from_bytes([0; 32]), detail }
    })?;
    let names = Names::from_iter([name]);
    let directory = |node| Tree::stored(node, side);
    let inode = Inode::from_entry(entry, found.ino, found.side.ctime, names, directory, src)?;
    Ok(Inode { atime: found.side.atime, born: found.side.born, ..inode })
}

/// Gives an inode what a committed entry tells, but for what is in a directory.
pub(super) fn revert(
    inode: &mut Inode,
    entry: &Entry,
    src: &dyn ObjectSource,
) -> Result<(), ObjectError> {
    inode.xattrs = load_xattrs(entry.xattrs.clone(), src)?;
    inode.meta = entry.meta;
    inode.atime = MaybeTime::NONE;
    match &entry.body {
        EntryBody::File { size, content } => inode.body = Body::File(File::stored(*size, *content)),
        EntryBody::Symlink(target) => inode.body = Body::Symlink(target.clone().into()),
        EntryBody::Directory(_) | EntryBody::Special => {}
    }
    Ok(())
}
