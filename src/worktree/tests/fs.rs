//! A working tree by paths, for tests that tell a story.

use std::ops::ControlFlow;

use super::saver::Saver;
use super::{Objects, at, name};
use crate::format::worktree::WorktreeState;
use crate::model::{FileKind, Ino, Name, NewNode, Op, RenameMode, RootId, SetAttr};
use crate::worktree::tree::Hasher;
use crate::worktree::{CommitCounts, Committed, OpError, Snapshot, Unstored, Worktree};

pub(super) struct Fs {
    pub(super) tree: Worktree,
    pub(super) objects: Objects,
    /// Each operation has a time of its own.
    pub(super) time: i64,
    pub(super) saver: Saver,
}

/// A snapshot that was hashed.
pub(super) struct Hashed {
    pub(super) committed: Committed,
    tree: Worktree,
    unstored: Unstored,
}

/// What a commit told.
pub(super) struct Done {
    pub(super) root: RootId,
    pub(super) state: WorktreeState,
    pub(super) counts: CommitCounts,
}

impl Fs {
    pub(super) fn new() -> Self {
        let tree = Worktree::new(0, 0, 0o755, at(0));
        Self { tree, objects: Objects::default(), time: 0, saver: Saver::default() }
    }

    pub(super) fn find(&mut self, path: &str) -> Option<Ino> {
        let mut ino = Ino::ROOT;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let found = self.tree.lookup(ino, &name(part), &self.objects).unwrap()?;
            self.tree.load(ino, &name(part), &found, &self.objects).unwrap();
            ino = found.ino;
        }
        Some(ino)
    }

    pub(super) fn ino(&mut self, path: &str) -> Ino {
        self.find(path).unwrap_or_else(|| panic!("{path} is not there"))
    }

    /// The directory that a path is in, and its last name.
    fn place(&mut self, path: &str) -> (Ino, Name) {
        let (parent, last) = path.rsplit_once('/').unwrap_or(("", path));
        (self.ino(parent), name(last))
    }

    pub(super) fn try_apply(&mut self, op: &Op) -> Result<(), OpError> {
        self.tree.apply(op, &self.objects)
    }

    fn apply(&mut self, op: &Op) {
        self.try_apply(op).unwrap();
    }

    fn tick(&mut self) -> crate::model::Timestamp {
        self.time += 1;
        at(self.time)
    }

    pub(super) fn make(&mut self, path: &str, kind: FileKind, target: &[u8]) -> Ino {
        let ((parent, name), ino, time) = (self.place(path), self.tree.allocate_ino(), self.tick());
        let perm = 0o644;
        let node = NewNode { kind, perm, uid: 1, gid: 2, rdev: 0, target: target.into() };
        self.apply(&Op::Create { parent, name, ino, node, time });
        ino
    }

    pub(super) fn mkdir(&mut self, path: &str) -> Ino {
        self.make(path, FileKind::Directory, b"")
    }

    pub(super) fn file(&mut self, path: &str, bytes: &[u8]) -> Ino {
        let ino = self.make(path, FileKind::Regular, b"");
        if !bytes.is_empty() {
            self.write(path, 0, bytes);
        }
        ino
    }

    pub(super) fn write(&mut self, path: &str, offset: u64, bytes: &[u8]) {
        let ino = self.ino(path);
        self.write_ino(ino, offset, bytes);
    }

    pub(super) fn write_ino(&mut self, ino: Ino, offset: u64, bytes: &[u8]) {
        let time = self.tick();
        self.apply(&Op::Write { ino, offset, data: bytes.into(), kill_priv: false, time });
    }

    pub(super) fn truncate(&mut self, path: &str, size: u64) {
        let (ino, time) = (self.ino(path), self.tick());
        self.apply(&Op::Truncate { ino, size, kill_priv: false, time });
    }

    pub(super) fn zero(&mut self, path: &str, offset: u64, len: u64) {
        let (ino, time) = (self.ino(path), self.tick());
        self.apply(&Op::Zero { ino, offset, len, extend: true, kill_priv: false, time });
    }

    pub(super) fn set(&mut self, path: &str, set: SetAttr) {
        let (ino, time) = (self.ino(path), self.tick());
        self.apply(&Op::SetAttr { ino, set, time });
    }

    pub(super) fn xattr(&mut self, path: &str, name: &str, value: &[u8]) {
        let (ino, time) = (self.ino(path), self.tick());
        let name = name.as_bytes().into();
        self.apply(&Op::SetXattr { ino, name, value: value.into(), time });
    }

    pub(super) fn link(&mut self, old: &str, new: &str) {
        let (ino, (parent, name), time) = (self.ino(old), self.place(new), self.tick());
        self.apply(&Op::Link { ino, parent, name, time });
    }

    /// Removes a file, and drops it when that was its last name.
    pub(super) fn unlink(&mut self, path: &str) {
        let (ino, (parent, name), time) = (self.ino(path), self.place(path), self.tick());
        self.apply(&Op::Unlink { parent, name, time });
        self.drop_if_orphan(ino);
    }

    pub(super) fn rmdir(&mut self, path: &str) {
        let (ino, (parent, name), time) = (self.ino(path), self.place(path), self.tick());
        self.apply(&Op::Rmdir { parent, name, time });
        self.drop_if_orphan(ino);
    }

    fn drop_if_orphan(&mut self, ino: Ino) {
        if self.tree.find(ino).unwrap().names.is_empty() {
            self.apply(&Op::DropOrphan { ino });
        }
    }

    pub(super) fn rename(&mut self, old: &str, new: &str) {
        self.rename_as(old, new, RenameMode::Replace);
    }

    pub(super) fn exchange(&mut self, old: &str, new: &str) {
        self.rename_as(old, new, RenameMode::Exchange);
    }

    fn rename_as(&mut self, old: &str, new: &str, mode: RenameMode) {
        let replaced = self.find(new);
        let ((parent, name), (new_parent, new_name)) = (self.place(old), self.place(new));
        let time = self.tick();
        self.apply(&Op::Rename { parent, name, new_parent, new_name, mode, time });
        if let Some(ino) = replaced {
            self.drop_if_orphan(ino);
        }
    }

    pub(super) fn read(&mut self, path: &str) -> Vec<u8> {
        let ino = self.ino(path);
        let inode = self.tree.find(ino).unwrap();
        let mut bytes = vec![0; inode.size() as usize];
        let file = inode.file().expect("a regular file");
        assert_eq!(file.read(0, &mut bytes, &self.objects).unwrap(), bytes.len());
        bytes
    }

    /// Hashes a snapshot.
    pub(super) fn hash(&self, snapshot: &Snapshot) -> Hashed {
        let committed = snapshot.hash(&mut Hasher::default(), &self.objects).unwrap();
        let (tree, unstored) = (snapshot.hashed(&committed), snapshot.unstored(&committed));
        Hashed { committed, tree, unstored }
    }

    /// Commits and stores everything, as a checkpoint does.
    pub(super) fn commit(&mut self) -> Done {
        let snapshot = self.tree.begin_checkpoint();
        let hashed = self.hash(&snapshot);
        drop(snapshot);
        self.publish(hashed)
    }

    /// Commits, and leaves what is ignored, and storing, to the next checkpoint.
    pub(super) fn commit_only(&mut self) -> (RootId, CommitCounts) {
        let snapshot = self.tree.begin_commit();
        let Hashed { committed, tree, unstored } = self.hash(&snapshot);
        drop((snapshot, tree));
        let Committed { root, counts, .. } = committed;
        self.saver.publish(&mut self.tree, committed, unstored);
        (root, counts)
    }

    /// Stores what was committed.
    pub(super) fn store_queue(&mut self) {
        while let Some(mut unstored) = self.saver.queue.pop_front() {
            let Self { tree, objects, .. } = self;
            let files = unstored.store(&mut Hasher::default(), &*objects, &*objects).unwrap();
            tree.publish_stored(files);
        }
    }

    /// Publishes and stores a hashed snapshot.
    pub(super) fn publish(&mut self, hashed: Hashed) -> Done {
        let Hashed { committed, tree, unstored } = hashed;
        let Committed { root, counts, .. } = committed;
        let Self { tree: live, saver, objects, .. } = self;
        saver.publish(live, committed, unstored);
        let hasher = &mut Hasher::default();
        let state = saver.save(live, (&tree, root), hasher, &*objects, &*objects).unwrap();
        Done { root, state, counts }
    }

    pub(super) fn root(&mut self) -> RootId {
        self.commit().root
    }

    /// Commits, forgets everything, and opens the tree from the store.
    pub(super) fn reopen(&mut self) {
        let state = self.commit().state.encode();
        let state = WorktreeState::decode(&state).unwrap();
        self.tree = Worktree::open(&state, &self.objects).unwrap();
    }

    pub(super) fn children(&mut self, path: &str) -> Vec<(String, bool)> {
        let ino = self.ino(path);
        let Some(tree) = self.tree.find(ino).unwrap().directory().cloned() else {
            return Vec::new();
        };
        let mut children = Vec::new();
        tree.scan(0, &self.objects, &mut |item| {
            let text = String::from_utf8(item.key.to_vec()).unwrap();
            children.push((text, crate::format::entry::is_directory(item.value)));
            ControlFlow::Continue(())
        })
        .unwrap();
        children
    }

    /// Gives all files one mtime, so that trees made at different times can be equal.
    pub(super) fn set_times(&mut self) {
        let mut paths = vec![String::new()];
        while let Some(path) = paths.pop() {
            self.set(&path, SetAttr { mtime: Some(at(-1)), ..SetAttr::default() });
            let children = self.children(&path);
            paths.extend(children.into_iter().map(|(name, _)| format!("{path}/{name}")));
        }
    }
}

/// The id of a tree that was made in this way, with all mtimes alike.
pub(super) fn root_of(make: impl FnOnce(&mut Fs)) -> RootId {
    let mut fs = Fs::new();
    make(&mut fs);
    fs.set_times();
    let root = fs.root();
    super::check::assert_tables(&fs.tree, &fs.objects);
    root
}

impl std::ops::Deref for Done {
    type Target = CommitCounts;

    fn deref(&self) -> &CommitCounts {
        &self.counts
    }
}
