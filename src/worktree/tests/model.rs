//! A filesystem written as simply as can be, to hold the working tree against.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::limits::FILE_BYTES_MAX;
use crate::model::{
    Content, Entry, EntryBody, EntryXattrs, FileKind, Ino, Meta, Name, NewNode, Op, RenameMode,
    SetAttr, Timestamp,
};
use crate::worktree::OpError;

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) meta: Meta,
    pub(super) ctime: Timestamp,
    pub(super) atime: Option<Timestamp>,
    pub(super) born: Timestamp,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) body: Body,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    File(Vec<u8>),
    Directory(BTreeMap<Name, Ino>),
    Symlink(Vec<u8>),
    Special,
}

/// Every name of every file.
pub(super) type AllNames = BTreeMap<Ino, Vec<(Ino, Name)>>;

#[derive(Clone)]
pub(super) struct Model {
    pub(super) nodes: BTreeMap<Ino, Node>,
    /// Those that never had a name.
    pub(super) nameless: BTreeSet<Ino>,
    /// What the entries that are adopted or reverted to refer to.
    pub(super) contents: Vec<(Content, Vec<u8>)>,
}

impl Node {
    fn directory(&self) -> Result<&BTreeMap<Name, Ino>, OpError> {
        match &self.body {
            Body::Directory(entries) => Ok(entries),
            _ => Err(OpError::NotDirectory),
        }
    }

    pub(super) fn is_directory(&self) -> bool {
        matches!(self.body, Body::Directory(_))
    }
}

impl Model {
    pub(super) fn new(uid: u32, gid: u32, perm: u16, time: Timestamp) -> Self {
        let kind = FileKind::Directory;
        let meta = Meta { kind, perm, uid, gid, rdev: 0, mtime: time };
        let body = Body::Directory(BTreeMap::new());
        let (born, xattrs) = (time, BTreeMap::new());
        let top = Node { meta, ctime: time, atime: None, born, xattrs, body };
        let nodes = BTreeMap::from([(Ino::ROOT, top)]);
        Self { nodes, nameless: BTreeSet::new(), contents: Vec::new() }
    }

    pub(super) fn all_names(&self) -> AllNames {
        let mut names = AllNames::new();
        for (parent, node) in &self.nodes {
            if let Body::Directory(entries) = &node.body {
                for (name, ino) in entries {
                    names.entry(*ino).or_default().push((*parent, name.clone()));
                }
            }
        }
        names
    }

    fn has_name(&self, ino: Ino) -> bool {
        ino == Ino::ROOT || self.all_names().contains_key(&ino)
    }

    pub(super) fn nlink(&self, ino: Ino, names: &AllNames) -> u32 {
        let names = names.get(&ino).map_or(0, Vec::len);
        let links = match &self.nodes[&ino].body {
            Body::Directory(_) if names == 0 && ino != Ino::ROOT => 0,
            Body::Directory(entries) => {
                2 + entries.values().filter(|ino| self.nodes[ino].is_directory()).count()
            }
            _ => names,
        };
        links as u32
    }

    /// Forgets what has no name, as a restart does.
    pub(super) fn forget_orphans(&mut self) {
        let names = self.all_names();
        self.nodes.retain(|ino, _| *ino == Ino::ROOT || names.contains_key(ino));
        self.nameless.clear();
    }

    fn get(&self, ino: Ino) -> Result<&Node, OpError> {
        self.nodes.get(&ino).ok_or(OpError::NotFound)
    }

    fn get_mut(&mut self, ino: Ino) -> Result<&mut Node, OpError> {
        self.nodes.get_mut(&ino).ok_or(OpError::NotFound)
    }

    fn entries(&mut self, ino: Ino, time: Timestamp) -> &mut BTreeMap<Name, Ino> {
        let node = self.nodes.get_mut(&ino).unwrap();
        node.meta.mtime = time;
        node.ctime = time;
        match &mut node.body {
            Body::Directory(entries) => entries,
            _ => unreachable!("it was looked at"),
        }
    }

    fn find(&self, parent: Ino, name: &Name) -> Result<Option<Ino>, OpError> {
        Ok(self.get(parent)?.directory()?.get(name).copied())
    }

    /// Whether `ino` is `top` or lies below it.
    fn is_below(&self, ino: Ino, top: Ino) -> bool {
        let names = self.all_names();
        let mut at = ino;
        while at != top {
            match names.get(&at) {
                Some(names) => at = names[0].0,
                None => return false,
            }
        }
        true
    }

    pub(super) fn apply(&mut self, op: &Op) -> Result<(), OpError> {
        match op {
            Op::Create { parent, name, ino, node, time } => {
                let node = new_node(node, *time);
                self.create(*parent, name, *ino, node, *time)
            }
            Op::Adopt { parent, name, ino, entry, time } => {
                let node = self.node_of(entry, *time);
                self.create(*parent, name, *ino, node, *time)
            }
            Op::Revert { ino, entry, time } => {
                let new = self.node_of(entry, *time);
                let node = self.get_mut(*ino)?;
                if node.meta.kind != new.meta.kind {
                    return Err(OpError::Invalid);
                }
                let keep_body = node.is_directory();
                let old = std::mem::replace(node, new);
                node.born = old.born;
                if keep_body {
                    node.body = old.body;
                }
                Ok(())
            }
            Op::CreateNameless { ino, node, time } => {
                if node.kind != FileKind::Regular {
                    return Err(OpError::Invalid);
                }
                self.nameless.insert(*ino);
                self.nodes.insert(*ino, new_node(node, *time));
                Ok(())
            }
            Op::Link { ino, parent, name, time } => self.link(*ino, *parent, name, *time),
            Op::Unlink { parent, name, time } => {
                let ino = self.find(*parent, name)?.ok_or(OpError::NotFound)?;
                if self.nodes[&ino].is_directory() {
                    return Err(OpError::IsDirectory);
                }
                self.entries(*parent, *time).remove(name);
                self.get_mut(ino)?.ctime = *time;
                Ok(())
            }
            Op::Rmdir { parent, name, time } => {
                let ino = self.find(*parent, name)?.ok_or(OpError::NotFound)?;
                if !self.nodes[&ino].directory()?.is_empty() {
                    return Err(OpError::NotEmpty);
                }
                self.entries(*parent, *time).remove(name);
                self.get_mut(ino)?.ctime = *time;
                Ok(())
            }
            Op::Rename { parent, name, new_parent, new_name, mode, time } => {
                self.rename((*parent, name), (*new_parent, new_name), *mode, *time)
            }
            Op::Write { ino, offset, data, kill_priv, time } => {
                let end = offset + data.len() as u64;
                self.edit_file(*ino, end, *kill_priv, *time, |bytes| {
                    if !data.is_empty() {
                        grow(bytes, end);
                        bytes[*offset as usize..end as usize].copy_from_slice(data);
                    }
                })
            }
            Op::Truncate { ino, size, kill_priv, time } => {
                self.edit_file(*ino, *size, *kill_priv, *time, |bytes| {
                    bytes.resize(*size as usize, 0);
                })
            }
            Op::Zero { ino, offset, len, extend, kill_priv, time } => {
                self.edit_file(*ino, offset + len, *kill_priv, *time, |bytes| {
                    if *extend {
                        grow(bytes, offset + len);
                    }
                    let size = bytes.len();
                    let range = (*offset as usize).min(size)..((offset + len) as usize).min(size);
                    bytes[range].fill(0);
                })
            }
            Op::SetAttr { ino, set, time } => {
                let node = self.get_mut(*ino)?;
                let SetAttr { perm, uid, gid, mtime, atime } = *set;
                if atime.is_some() {
                    node.atime = atime;
                } else if mtime.is_some() && node.atime.is_none() {
                    node.atime = Some(node.meta.mtime);
                }
                node.meta.perm = perm.unwrap_or(node.meta.perm);
                node.meta.uid = uid.unwrap_or(node.meta.uid);
                node.meta.gid = gid.unwrap_or(node.meta.gid);
                node.meta.mtime = mtime.unwrap_or(node.meta.mtime);
                node.ctime = *time;
                Ok(())
            }
            Op::SetXattr { ino, name, value, time } => {
                let node = self.get_mut(*ino)?;
                node.xattrs.insert(name.to_vec(), value.to_vec());
                node.ctime = *time;
                Ok(())
            }
            Op::RemoveXattr { ino, name, time } => {
                let node = self.get_mut(*ino)?;
                node.xattrs.remove(&name[..]).ok_or(OpError::NoXattr)?;
                node.ctime = *time;
                Ok(())
            }
            Op::DropOrphan { ino } => {
                self.get(*ino)?;
                if self.has_name(*ino) {
                    return Err(OpError::Invalid);
                }
                self.nameless.remove(ino);
                self.nodes.remove(ino);
                Ok(())
            }
        }
    }

    fn create(
        &mut self,
        parent: Ino,
        name: &Name,
        ino: Ino,
        node: Node,
        time: Timestamp,
    ) -> Result<(), OpError> {
        self.check_free(parent, name)?;
        self.entries(parent, time).insert(name.clone(), ino);
        assert!(self.nodes.insert(ino, node).is_none(), "an inode number was given twice");
        Ok(())
    }

    /// Checks that a directory can take a new name.
    fn check_free(&self, parent: Ino, name: &Name) -> Result<(), OpError> {
        let entries = self.get(parent)?.directory()?;
        if !self.has_name(parent) {
            return Err(OpError::NotFound);
        }
        if entries.contains_key(name) { Err(OpError::Exists) } else { Ok(()) }
    }

    fn link(&mut self, ino: Ino, parent: Ino, name: &Name, time: Timestamp) -> Result<(), OpError> {
        if self.get(ino)?.is_directory() {
            return Err(OpError::DirectoryLink);
        }
        if !self.has_name(ino) && !self.nameless.contains(&ino) {
            return Err(OpError::NotFound);
        }
        self.check_free(parent, name)?;
        self.nameless.remove(&ino);
        self.entries(parent, time).insert(name.clone(), ino);
        self.get_mut(ino)?.ctime = time;
        Ok(())
    }

    fn rename(
        &mut self,
        from: (Ino, &Name),
        to: (Ino, &Name),
        mode: RenameMode,
        time: Timestamp,
    ) -> Result<(), OpError> {
        let source = self.find(from.0, from.1)?.ok_or(OpError::NotFound)?;
        let target = self.find(to.0, to.1)?;
        if !self.has_name(to.0) {
            return Err(OpError::NotFound);
        }
        match (target, mode) {
            (None, RenameMode::Exchange) => return Err(OpError::NotFound),
            (Some(_), RenameMode::NoReplace) => return Err(OpError::Exists),
            _ => {}
        }
        if self.is_below(to.0, source) {
            return Err(OpError::Invalid);
        }
        if let Some(target) = target {
            if mode == RenameMode::Exchange && self.is_below(from.0, target) {
                return Err(OpError::Invalid);
            }
            if source == target {
                return Ok(());
            }
        }
        if let Some(target) = target
            && mode == RenameMode::Replace
        {
            match (&self.nodes[&source].body, &self.nodes[&target].body) {
                (Body::Directory(_), Body::Directory(entries)) if !entries.is_empty() => {
                    return Err(OpError::NotEmpty);
                }
                (Body::Directory(_), Body::Directory(_)) => {}
                (Body::Directory(_), _) => return Err(OpError::NotDirectory),
                (_, Body::Directory(_)) => return Err(OpError::IsDirectory),
                _ => {}
            }
        }
        self.entries(from.0, time).remove(from.1);
        self.entries(to.0, time).insert(to.1.clone(), source);
        self.get_mut(source)?.ctime = time;
        if let Some(target) = target {
            self.get_mut(target)?.ctime = time;
            if mode == RenameMode::Exchange {
                self.entries(from.0, time).insert(from.1.clone(), target);
            }
        }
        Ok(())
    }

    fn edit_file(
        &mut self,
        ino: Ino,
        end: u64,
        kill_priv: bool,
        time: Timestamp,
        edit: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), OpError> {
        if end > FILE_BYTES_MAX {
            return Err(OpError::FileTooLarge);
        }
        let node = self.get_mut(ino)?;
        match &mut node.body {
            Body::File(bytes) => edit(bytes),
            Body::Directory(_) => return Err(OpError::IsDirectory),
            _ => return Err(OpError::Invalid),
        }
        node.meta.mtime = time;
        node.ctime = time;
        if kill_priv {
            let setgid = if node.meta.perm & 0o10 != 0 { 0o2000 } else { 0 };
            node.meta.perm &= !(0o4000 | setgid);
            node.xattrs.remove(&b"security.capability"[..]);
        }
        Ok(())
    }

    fn node_of(&self, entry: &Entry, time: Timestamp) -> Node {
        let EntryXattrs::Inline(set) = &entry.xattrs else { unreachable!("tests inline them") };
        let xattrs = set.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        let body = match &entry.body {
            EntryBody::File { content, .. } => {
                let known = self.contents.iter().find(|(known, _)| known == content);
                Body::File(known.map_or_else(Vec::new, |(_, bytes)| bytes.clone()))
            }
            EntryBody::Directory(_) => Body::Directory(BTreeMap::new()),
            EntryBody::Symlink(target) => Body::Symlink(target.to_vec()),
            EntryBody::Special => Body::Special,
        };
        Node { meta: entry.meta, ctime: time, atime: None, born: time, xattrs, body }
    }
}

fn grow(bytes: &mut Vec<u8>, size: u64) {
    if bytes.len() < size as usize {
        bytes.resize(size as usize, 0);
    }
}

fn new_node(new: &NewNode, time: Timestamp) -> Node {
    let &NewNode { kind, perm, uid, gid, rdev, ref target } = new;
    let body = match kind {
        FileKind::Regular => Body::File(Vec::new()),
        FileKind::Directory => Body::Directory(BTreeMap::new()),
        FileKind::Symlink => Body::Symlink(target.to_vec()),
        _ => Body::Special,
    };
    let meta = Meta { kind, perm, uid, gid, rdev, mtime: time };
    Node { meta, ctime: time, atime: None, born: time, xattrs: BTreeMap::new(), body }
}
