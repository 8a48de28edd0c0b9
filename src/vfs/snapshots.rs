//! `.snapshots`: every commit as a directory that cannot be changed.
//!
//! Inode numbers are made from the digest of the commit and the path (of the group, for a file
//! with several names), so that they are the same each time the kernel asks, and the names of
//! one file have one number. They have the top bit set, which no live inode has.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use rustix::io::Errno;

use super::text::parse_time;
use super::types::{Answer, name, of_object, of_repo};
use super::{Attr, EntryOut, LookupOut, Notify, Ttl, Vfs};
use crate::base::limits::SNAPSHOT_PREFIX_DIGITS_MIN;
use crate::format::commit_log::CommitRecord;
use crate::hash::hash;
use crate::model::{
    CommitId, Content, Entry, EntryBody, FileKind, IdPrefix, Ino, Meta, ObjectId, RootId,
};
use crate::worktree::tree::{Chunks, Tree};
use crate::worktree::{CommittedDirectory, CommittedTree, File, InoHasher};

/// The name of the directory in the root of the mount.
pub(super) const NAME: &[u8] = b".snapshots";
/// Marks the inode numbers of snapshots.
pub(super) const INO_BIT: u64 = 1 << 63;
pub(super) const INO: u64 = INO_BIT | 1;
pub(super) const BY_TIME_INO: u64 = INO_BIT | 2;
const FIRST_INO: u64 = 16;

/// Something that the kernel holds in `.snapshots`.
#[derive(Clone)]
pub(super) enum Node {
    /// A symbolic link at the top, or in `by-time`.
    Link(Arc<[u8]>, u64),
    /// A commit, which is opened when it is first looked into.
    Commit(Arc<Snapshot>),
    /// Something in a commit.
    Entry(Arc<Committed>),
    /// Something that is always there.
    Fixed(Attr),
}

/// A commit.
pub(super) struct Snapshot {
    /// What tells its inode numbers from those of others.
    seed: ObjectId,
    pub(super) ino: u64,
    parent: u64,
    source: Source,
    opened: OnceLock<Arc<Committed>>,
}

enum Source {
    Commit(CommitId),
    Root(RootId),
}

/// An entry of a commit.
pub(super) struct Committed {
    pub(super) seed: ObjectId,
    pub(super) tree: CommittedTree,
    pub(super) ino: u64,
    pub(super) parent: u64,
    pub(super) path: Vec<u8>,
    pub(super) entry: Entry,
    pub(super) attr: Attr,
    pub(super) directory: Option<CommittedDirectory>,
}

/// Where an entry of a commit is.
struct Place {
    ino: u64,
    parent: u64,
    path: Vec<u8>,
}

/// What the kernel holds in `.snapshots`.
#[derive(Default)]
pub(super) struct Snapshots {
    nodes: Mutex<HashMap<u64, Held, BuildHasherDefault<InoHasher>>>,
}

struct Held {
    node: Node,
    count: u64,
}

/// An open directory of `.snapshots`.
pub(super) enum SnapshotDirectory {
    /// `.snapshots` itself, with the commits, tags and links that there were.
    Top(Arc<Vec<CommitRecord>>, Vec<String>),
    /// `by-time`.
    ByTime(Arc<Vec<CommitRecord>>),
    /// A directory in a commit.
    Inside(InsideDirectory),
}

/// An open directory in a commit.
pub(super) struct InsideDirectory(pub(super) Arc<Committed>);

impl Snapshots {
    /// Makes the tree of a commit the top of the whole filesystem.
    pub(super) fn with_top(root: RootId) -> Self {
        let snapshots = Self::default();
        let snapshot = Arc::new(Snapshot {
            seed: *root.object(),
            ino: Ino::ROOT.0,
            parent: Ino::ROOT.0,
            source: Source::Root(root),
            opened: OnceLock::new(),
        });
        // One reference that is never given back.
        snapshots.hold(Ino::ROOT.0, Node::Commit(snapshot));
        snapshots
    }

    pub(super) fn hold(&self, ino: u64, node: Node) {
        self.nodes.lock().entry(ino).or_insert(Held { node, count: 0 }).count += 1;
    }

    pub(super) fn forget(&self, ino: u64, count: u64) {
        let mut nodes = self.nodes.lock();
        if let Some(held) = nodes.get_mut(&ino) {
            held.count = held.count.saturating_sub(count);
            if held.count == 0 {
                nodes.remove(&ino);
            }
        }
    }

    fn find(&self, ino: u64) -> Answer<Node> {
        self.nodes.lock().get(&ino).map(|held| held.node.clone()).ok_or(Errno::STALE)
    }
}

/// Tells the kernel that commits are not here any more.
pub(super) fn announce_dropped(notify: &dyn Notify, commits: &[CommitId]) {
    for id in commits {
        if let Ok(name) = name(id.to_string().as_bytes()) {
            notify.entry_changed(Ino(INO), &name);
        }
    }
    notify.flush();
}

/// A number from digests: evenly spread, with the top bit set, and none of the fixed ones.
fn ino_of(seed: &ObjectId, what: &[u8]) -> u64 {
    let digest = ObjectId::from_bytes(hash(&[seed.as_bytes(), what].concat()));
    (digest.prefix_u64() | INO_BIT).max(INO_BIT | FIRST_INO)
}

impl Vfs {
    pub(super) fn snapshot(&self, id: CommitId) -> Arc<Snapshot> {
        Arc::new(Snapshot {
            seed: *id.object(),
            ino: ino_of(id.object(), b""),
            parent: INO,
            source: Source::Commit(id),
            opened: OnceLock::new(),
        })
    }

    /// Reads what the top of a commit is; once.
    fn open_snapshot<'a>(&self, snapshot: &'a Snapshot) -> Answer<&'a Arc<Committed>> {
        if let Some(opened) = snapshot.opened.get() {
            return Ok(opened);
        }
        let root = match &snapshot.source {
            Source::Root(root) => *root,
            Source::Commit(id) => {
                self.history().and_then(|history| history.commit(id)).map_err(|e| of_repo(&e))?.root
            }
        };
        let tree = CommittedTree::open(&root, self.source()).map_err(|e| of_object(&e))?;
        let place = Place { ino: snapshot.ino, parent: snapshot.parent, path: Vec::new() };
        let top = self.describe(snapshot.seed, &tree, place, tree.top(), 1)?;
        Ok(snapshot.opened.get_or_init(|| Arc::new(top)))
    }

    fn describe(
        &self,
        seed: ObjectId,
        tree: &CommittedTree,
        place: Place,
        entry: &Entry,
        names: u64,
    ) -> Answer<Committed> {
        let src = self.source();
        let directory = CommittedDirectory::of(entry);
        let (allocated, links) = match (&entry.body, &directory) {
            (EntryBody::Directory(_), Some(directory)) => {
                (4096, directory.subdirectories(src).map_err(|e| of_object(&e))? + 2)
            }
            (EntryBody::File { content: Content::Chunks(node), .. }, _) => {
                let chunks = Tree::<Chunks>::stored(Some(*node), None);
                (chunks.weight(src).map_err(|e| of_object(&e))?, names)
            }
            (EntryBody::File { size, .. }, _) => (*size, names),
            _ => (0, names),
        };
        let nlink = u32::try_from(links).unwrap_or(u32::MAX);
        let Place { ino, parent, path } = place;
        let attr = Attr::of_entry(ino, entry, allocated, nlink);
        let (tree, entry) = (tree.clone(), entry.clone());
        Ok(Committed { seed, tree, ino, parent, path, entry, attr, directory })
    }

    /// What is behind a number.
    fn snapshot_entry(&self, ino: u64) -> Answer<Arc<Committed>> {
        match self.snapshots.find(ino)? {
            Node::Entry(entry) => Ok(entry),
            Node::Commit(snapshot) => self.open_snapshot(&snapshot).cloned(),
            Node::Link(..) | Node::Fixed(_) => Err(Errno::NOTDIR),
        }
    }

    pub(super) fn named_link(&self, name: &[u8], id: CommitId) -> Node {
        let target = id.to_string().into_bytes().into();
        Node::Link(target, ino_of(id.object(), &[b"link to ", name].concat()))
    }

    pub(super) fn time_link(&self, name: &[u8], id: CommitId) -> Node {
        let target = format!("../{id}").into_bytes().into();
        Node::Link(target, ino_of(id.object(), &[b"time ", name].concat()))
    }

    pub(super) fn link_attr(&self, ino: u64, target: &[u8]) -> Attr {
        let attr = self.fixed_attr(ino, FileKind::Symlink, 0o777, target.len() as u64);
        Attr { nlink: 1, ..attr }
    }

    pub(super) fn fixed_attr(&self, ino: u64, kind: FileKind, perm: u16, size: u64) -> Attr {
        let time = self.newest().map_or(self.mounted, |record| record.time);
        let meta = Meta { kind, perm, uid: self.owner.0, gid: self.owner.1, rdev: 0, mtime: time };
        Attr { ino, meta, size, blocks: 0, nlink: 2, ctime: time, atime: time, born: None }
    }

    pub(super) fn snapshots_top(&self) -> EntryOut {
        let attr = self.fixed_attr(INO, FileKind::Directory, 0o555, 0);
        EntryOut { attr, ttl: Ttl::Never }
    }

    pub(super) fn snapshot_attr(&self, ino: u64) -> Answer<EntryOut> {
        match ino {
            INO => return Ok(self.snapshots_top()),
            BY_TIME_INO => {
                let attr = self.fixed_attr(ino, FileKind::Directory, 0o555, 0);
                return Ok(EntryOut { attr, ttl: Ttl::Never });
            }
            _ => {}
        }
        if let Node::Link(target, _) = self.snapshots.find(ino)? {
            return Ok(EntryOut { attr: self.link_attr(ino, &target), ttl: Ttl::Never });
        }
        Ok(EntryOut { attr: self.snapshot_entry(ino)?.attr, ttl: Ttl::Forever })
    }

    pub(super) fn snapshot_lookup(&self, parent: u64, bytes: &[u8]) -> Answer<LookupOut> {
        let found = match parent {
            INO if bytes == b"by-time" => {
                return Ok(LookupOut::Found(self.snapshot_attr(BY_TIME_INO)?));
            }
            INO => self.lookup_at_top(bytes)?,
            BY_TIME_INO => self.lookup_by_time(bytes),
            _ => {
                let parent = self.snapshot_entry(parent)?;
                return match self.lookup_inside(&parent, bytes)? {
                    Some(entry) => {
                        self.snapshots.hold(entry.ino, Node::Entry(entry.clone()));
                        let out = EntryOut { attr: entry.attr, ttl: Ttl::Forever };
                        Ok(LookupOut::Found(out))
                    }
                    None => Ok(LookupOut::Absent),
                };
            }
        };
        // Names at the top come with later commits, so that nobody may remember their absence.
        let node = found.ok_or(Errno::NOENT)?;
        let ino = match &node {
            Node::Link(_, ino) => *ino,
            Node::Commit(snapshot) => snapshot.ino,
            Node::Entry(entry) => entry.ino,
            Node::Fixed(attr) => attr.ino,
        };
        self.snapshots.hold(ino, node);
        match self.snapshot_attr(ino) {
            Ok(out) => Ok(LookupOut::Found(out)),
            Err(errno) => {
                self.snapshots.forget(ino, 1);
                Err(errno)
            }
        }
    }

    fn lookup_at_top(&self, bytes: &[u8]) -> Answer<Option<Node>> {
        let Ok(text) = std::str::from_utf8(bytes) else { return Ok(None) };
        let history = self.history().map_err(|e| of_repo(&e))?;
        let commits = history.store().commits();
        let link = |id: CommitId| Some(self.named_link(bytes, id));
        if text == "latest" {
            return Ok(history.newest().and_then(|record| link(record.id)));
        }
        if let Some(id) = history.tag(text).map_err(|e| of_repo(&e))? {
            return Ok(link(id));
        }
        let Ok(prefix) = text.parse::<IdPrefix>() else { return Ok(None) };
        if prefix.digits() < SNAPSHOT_PREFIX_DIGITS_MIN || bytes.iter().any(u8::is_ascii_uppercase)
        {
            return Ok(None);
        }
        Ok(match commits.find_prefix(&prefix, 2).as_slice() {
            [only] if prefix.digits() == ObjectId::HEX_DIGITS => {
                Some(Node::Commit(self.snapshot(only.id)))
            }
            [only] => link(only.id),
            _ => None,
        })
    }

    /// Any time leads to the commit that was the newest then.
    fn lookup_by_time(&self, bytes: &[u8]) -> Option<Node> {
        let time = parse_time(std::str::from_utf8(bytes).ok()?)?;
        let id = self.history().ok()?.at_time(time)?;
        Some(self.time_link(bytes, id))
    }

    fn lookup_inside(&self, parent: &Committed, bytes: &[u8]) -> Answer<Option<Arc<Committed>>> {
        let directory = parent.directory.as_ref().ok_or(Errno::NOTDIR)?;
        let entry = directory.find(&name(bytes)?, self.source()).map_err(|e| of_object(&e))?;
        entry.map(|entry| self.child(parent, bytes, &entry)).transpose()
    }

    pub(super) fn child(
        &self,
        parent: &Committed,
        bytes: &[u8],
        entry: &Entry,
    ) -> Answer<Arc<Committed>> {
        let mut path = parent.path.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(bytes);
        let (seed, tree) = (parent.seed, &parent.tree);
        let mut record = None;
        if entry.linked {
            record = tree.link_record(&path, self.source()).map_err(|e| of_object(&e))?;
        }
        let (ino, names) = match record {
            Some(record) => (ino_of(&seed, record.group.as_bytes()), record.names),
            None => (ino_of(&seed, &path), 1),
        };
        let place = Place { ino, parent: parent.ino, path };
        self.describe(seed, tree, place, entry, names).map(Arc::new)
    }

    pub(super) fn snapshot_readlink(&self, ino: u64) -> Answer<Vec<u8>> {
        match self.snapshots.find(ino)? {
            Node::Link(target, _) => Ok(target.to_vec()),
            Node::Entry(entry) => match &entry.entry.body {
                EntryBody::Symlink(target) => Ok(target.to_vec()),
                _ => Err(Errno::INVAL),
            },
            Node::Commit(_) | Node::Fixed(_) => Err(Errno::INVAL),
        }
    }

    pub(super) fn snapshot_read(
        &self,
        ino: u64,
        offset: u64,
        len: usize,
        buf: &mut Vec<u8>,
    ) -> Answer<()> {
        let entry = self.snapshot_entry(ino)?;
        let EntryBody::File { size, content } = entry.entry.body else { return Err(Errno::ISDIR) };
        buf.resize(len, 0);
        let file = File::stored(size, content);
        let read = file.read(offset, buf, self.source()).map_err(|e| of_object(&e))?;
        buf.truncate(read);
        Ok(())
    }

    pub(super) fn snapshot_file(&self, ino: u64) -> Answer<File> {
        match self.snapshot_entry(ino)?.entry.body {
            EntryBody::File { size, content } => Ok(File::stored(size, content)),
            _ => Err(Errno::INVAL),
        }
    }

    /// The committed entry with this number; none for what no commit holds.
    pub(super) fn snapshot_model(&self, ino: u64) -> Answer<Option<Entry>> {
        match ino {
            INO | BY_TIME_INO => Ok(None),
            _ => match self.snapshots.find(ino)? {
                Node::Link(..) => Ok(None),
                _ => Ok(Some(self.snapshot_entry(ino)?.entry.clone())),
            },
        }
    }

    pub(super) fn snapshot_opendir(&self, ino: u64) -> Answer<SnapshotDirectory> {
        // Every commit that was made so far, which what is inside of one does not depend on.
        let history = || self.history().map_err(|e| of_repo(&e));
        Ok(match ino {
            INO => {
                let history = history()?;
                let tags = history.tags().map_err(|e| of_repo(&e))?;
                SnapshotDirectory::Top(history.store().commits().records(), tags)
            }
            BY_TIME_INO => SnapshotDirectory::ByTime(history()?.store().commits().records()),
            _ => {
                let entry = self.snapshot_entry(ino)?;
                if entry.directory.is_none() {
                    return Err(Errno::NOTDIR);
                }
                SnapshotDirectory::Inside(InsideDirectory(entry))
            }
        })
    }
}
