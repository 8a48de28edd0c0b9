//! What a writer's subtree must hold: a plain model, and the operations that change it.
//!
//! A file is known by a number of its own, whatever names it has, so that links and renames are
//! told apart from copies. Times and inode numbers are the filesystem's choice: they are unknown
//! after an operation that changes them, until somebody has looked.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The number of a file, a directory or a symlink in a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileId(u64);

/// What something is and holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Directory,
    File(Arc<Vec<u8>>),
    Symlink(String),
}

/// What the filesystem chose, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) ino: Option<u64>,
    pub(crate) mtime_ns: Option<i128>,
    pub(crate) ctime_ns: Option<i128>,
}

/// A file, a directory or a symlink.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) body: Body,
    /// Permission bits; those of a symlink mean nothing.
    pub(crate) perm: u32,
    pub(crate) xattrs: BTreeMap<String, Vec<u8>>,
    pub(crate) chosen: Chosen,
}

impl Node {
    fn new(body: Body, perm: u32) -> Self {
        Self { body, perm, xattrs: BTreeMap::new(), chosen: Chosen::default() }
    }

    fn content_changed(&mut self) {
        (self.chosen.mtime_ns, self.chosen.ctime_ns) = (None, None);
    }

    fn attributes_changed(&mut self) {
        self.chosen.ctime_ns = None;
    }

    /// The bytes of a regular file; nothing for others.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.body {
            Body::File(bytes) => bytes,
            _ => &[],
        }
    }
}

/// One system call that was, or is to be, done to a subtree. Paths are relative to the mount.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Makes a regular file.
    Create { path: String, perm: u32 },
    /// Makes a directory.
    Mkdir { path: String, perm: u32 },
    /// Makes a symlink.
    Symlink { path: String, target: String },
    /// Writes, with or without `O_APPEND`.
    Write { file: FileId, offset: usize, data: Arc<[u8]>, append: bool },
    /// Cuts or extends.
    Truncate { file: FileId, len: usize },
    /// Zeros without storage; the file grows to their end if `extend` is set.
    Zero { file: FileId, offset: usize, len: usize, extend: bool },
    /// Renames, over a file perhaps.
    Rename { from: String, to: String },
    /// Gives each the other's name.
    Exchange { one: String, other: String },
    /// Gives a file a further name.
    Link { from: String, to: String },
    /// Removes a name of what is no directory.
    Unlink { path: String },
    /// Removes a directory.
    Rmdir { path: String },
    /// Sets the permission bits.
    Chmod { path: String, perm: u32 },
    /// Sets the time of modification.
    SetMtime { path: String, mtime_ns: i128 },
    /// Sets an extended attribute.
    SetXattr { path: String, name: String, value: Vec<u8> },
    /// Removes an extended attribute.
    RemoveXattr { path: String, name: String },
    /// The subtree becomes what it was when a commit was made.
    Restore { top: String, commit: String, then: Arc<Model> },
    /// Changes nothing in the subtree: a commit, an fsync, a file of the common directory.
    Nothing(&'static str),
}

impl Op {
    /// What is done, in a few words.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Write { file, offset, data, append } => {
                let how = if *append { "append" } else { "write" };
                format!("{how} {} bytes at {offset} to {file:?}", data.len())
            }
            Self::SetXattr { path, name, value } => {
                format!("set {name} of {path} to {} bytes", value.len())
            }
            Self::Restore { top, commit, .. } => format!("restore {commit}:{top}"),
            other => format!("{other:?}"),
        }
    }
}

/// A subtree.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    names: BTreeMap<String, FileId>,
    nodes: BTreeMap<FileId, Node>,
    last: u64,
}

impl Model {
    /// Every path with its file, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&String, FileId, &Node)> {
        self.names.iter().map(|(path, id)| (path, *id, self.node(*id)))
    }

    /// The file that has a name.
    pub(crate) fn find(&self, path: &str) -> Option<FileId> {
        self.names.get(path).copied()
    }

    /// A file that has a name or was asked for since it had one.
    pub(crate) fn find_node(&self, id: FileId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    fn node(&self, id: FileId) -> &Node {
        self.nodes.get(&id).expect("what has a name is there")
    }

    /// One of the names of a file.
    pub(crate) fn name_of(&self, id: FileId) -> Option<&String> {
        self.names.iter().find(|(_, other)| **other == id).map(|(path, _)| path)
    }

    /// How many names each file has.
    pub(crate) fn link_counts(&self) -> BTreeMap<FileId, u64> {
        let mut counts = BTreeMap::new();
        for id in self.names.values() {
            *counts.entry(*id).or_insert(0) += 1;
        }
        counts
    }

    /// Takes over what the filesystem chose.
    pub(crate) fn observe(&mut self, id: FileId, chosen: Chosen) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.chosen = chosen;
        }
    }

    /// Tells whether what the filesystem chose is what is known of it.
    pub(crate) fn agrees(&self, id: FileId, chosen: &Chosen) -> bool {
        let same = |known: Option<i128>, seen: Option<i128>| known.is_none() || known == seen;
        self.nodes.get(&id).is_none_or(|Node { chosen: known, .. }| {
            (known.ino.is_none() || known.ino == chosen.ino)
                && same(known.mtime_ns, chosen.mtime_ns)
                && same(known.ctime_ns, chosen.ctime_ns)
        })
    }

    /// Does an operation, which must be possible, and returns what of the subtree it touched.
    pub(crate) fn apply(&mut self, op: &Op) -> Vec<FileId> {
        let mut touched = Vec::new();
        match op {
            Op::Create { path, perm } => {
                self.add(path, Node::new(Body::File(Arc::default()), *perm), &mut touched);
            }
            Op::Mkdir { path, perm } => {
                self.add(path, Node::new(Body::Directory, *perm), &mut touched);
            }
            Op::Symlink { path, target } => {
                let node = Node::new(Body::Symlink(target.clone()), 0o777);
                self.add(path, node, &mut touched);
            }
            Op::Write { file, offset, data, .. } => self.change(*file, &mut touched, |node| {
                let Body::File(bytes) = &mut node.body else { return };
                let bytes = Arc::make_mut(bytes);
                bytes.resize(bytes.len().max(offset + data.len()), 0);
                bytes[*offset..offset + data.len()].copy_from_slice(data);
                node.content_changed();
            }),
            Op::Truncate { file, len } => self.change(*file, &mut touched, |node| {
                let Body::File(bytes) = &mut node.body else { return };
                Arc::make_mut(bytes).resize(*len, 0);
                node.content_changed();
            }),
            Op::Zero { file, offset, len, extend } => self.change(*file, &mut touched, |node| {
                let Body::File(bytes) = &mut node.body else { return };
                let bytes = Arc::make_mut(bytes);
                let end = offset + len;
                if *extend && end > bytes.len() {
                    bytes.resize(end, 0);
                }
                let end = end.min(bytes.len());
                bytes[(*offset).min(end)..end].fill(0);
                node.content_changed();
            }),
            Op::Rename { from, to } => {
                self.remove_name(to, &mut touched);
                self.move_names(from, to);
                self.parents_changed(&[from, to], &mut touched);
                self.changed_at(to, &mut touched);
            }
            Op::Exchange { one, other } => {
                // No path begins with a slash, so this one is free.
                self.move_names(one, "/");
                self.move_names(other, one);
                self.move_names("/", other);
                self.parents_changed(&[one, other], &mut touched);
                self.changed_at(one, &mut touched);
                self.changed_at(other, &mut touched);
            }
            Op::Link { from, to } => {
                let id = self.find(from).expect("it has been chosen");
                self.names.insert(to.clone(), id);
                self.parents_changed(&[to], &mut touched);
                self.changed_at(to, &mut touched);
            }
            Op::Unlink { path } | Op::Rmdir { path } => {
                self.remove_name(path, &mut touched);
                self.parents_changed(&[path], &mut touched);
            }
            Op::Chmod { path, perm } => self.change_at(path, &mut touched, |node| {
                node.perm = *perm;
            }),
            Op::SetMtime { path, mtime_ns } => self.change_at(path, &mut touched, |node| {
                node.chosen.mtime_ns = Some(*mtime_ns);
            }),
            Op::SetXattr { path, name, value } => self.change_at(path, &mut touched, |node| {
                node.xattrs.insert(name.clone(), value.clone());
            }),
            Op::RemoveXattr { path, name } => self.change_at(path, &mut touched, |node| {
                node.xattrs.remove(name);
            }),
            Op::Restore { then, .. } => {
                *self = Self::clone(then);
                for (id, node) in &mut self.nodes {
                    (node.chosen.ino, node.chosen.ctime_ns) = (None, None);
                    touched.push(*id);
                }
            }
            Op::Nothing(_) => {}
        }
        touched
    }

    fn add(&mut self, path: &str, node: Node, touched: &mut Vec<FileId>) {
        self.last += 1;
        let id = FileId(self.last);
        self.nodes.insert(id, node);
        self.names.insert(path.to_owned(), id);
        self.parents_changed(&[path], touched);
        touched.push(id);
    }

    /// Changes what a file holds. One without a name is nobody's affair any more.
    fn change(&mut self, id: FileId, touched: &mut Vec<FileId>, change: impl FnOnce(&mut Node)) {
        if let Some(node) = self.nodes.get_mut(&id) {
            change(node);
            touched.push(id);
        }
    }

    fn change_at(&mut self, path: &str, touched: &mut Vec<FileId>, change: impl FnOnce(&mut Node)) {
        let id = self.find(path).expect("it has been chosen");
        self.change(id, touched, |node| {
            node.attributes_changed();
            change(node);
        });
    }

    fn changed_at(&mut self, path: &str, touched: &mut Vec<FileId>) {
        self.change_at(path, touched, |_| {});
    }

    /// The directories of these paths have other entries now. The common one is no part of this.
    fn parents_changed(&mut self, paths: &[&str], touched: &mut Vec<FileId>) {
        for path in paths {
            let parent = path.rsplit_once('/').and_then(|(parent, _)| self.find(parent));
            if let Some(id) = parent {
                self.change(id, touched, Node::content_changed);
            }
        }
    }

    fn remove_name(&mut self, path: &str, touched: &mut Vec<FileId>) {
        let Some(id) = self.names.remove(path) else { return };
        if self.names.values().any(|other| *other == id) {
            self.change(id, touched, Node::attributes_changed);
        } else {
            self.nodes.remove(&id);
        }
    }

    /// Gives a file, or a directory with all that is in it, another name.
    fn move_names(&mut self, from: &str, to: &str) {
        let below = format!("{from}/");
        let moved: Vec<String> = self
            .names
            .keys()
            .filter(|path| *path == from || path.starts_with(&below))
            .cloned()
            .collect();
        for path in moved {
            let id = self.names.remove(&path).expect("it was just there");
            self.names.insert(format!("{to}{}", &path[from.len()..]), id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Body, Model, Op};

    fn paths(model: &Model) -> Vec<&str> {
        model.names().map(|(path, _, _)| path.as_str()).collect()
    }

    fn tree() -> Model {
        let mut model = Model::default();
        for path in ["w", "w/a", "w/b", "w/b/c"] {
            model.apply(&Op::Mkdir { path: path.into(), perm: 0o700 });
        }
        for path in ["w/f", "w/b/c/g"] {
            model.apply(&Op::Create { path: path.into(), perm: 0o600 });
        }
        model
    }

    #[test]
    fn directories_move_with_what_is_in_them() {
        let mut model = tree();
        model.apply(&Op::Rename { from: "w/b".into(), to: "w/a/b".into() });
        assert_eq!(paths(&model), ["w", "w/a", "w/a/b", "w/a/b/c", "w/a/b/c/g", "w/f"]);
        model.apply(&Op::Exchange { one: "w/a/b/c".into(), other: "w/f".into() });
        assert_eq!(paths(&model), ["w", "w/a", "w/a/b", "w/a/b/c", "w/f", "w/f/g"]);
    }

    #[test]
    fn links_share_what_is_written_and_outlive_a_name() {
        let mut model = tree();
        let file = model.find("w/f").expect("it is there");
        model.apply(&Op::Link { from: "w/f".into(), to: "w/link".into() });
        let data = b"xy"[..].into();
        model.apply(&Op::Write { file, offset: 1, data, append: false });
        model.apply(&Op::Rename { from: "w/b/c/g".into(), to: "w/f".into() });
        let node = model.find_node(file).expect("it has a name left");
        assert_eq!(node.body, Body::File(b"\0xy".to_vec().into()));
        assert_eq!(model.name_of(file).map(String::as_str), Some("w/link"));
        model.apply(&Op::Unlink { path: "w/link".into() });
        assert!(model.find_node(file).is_none());
    }
}
