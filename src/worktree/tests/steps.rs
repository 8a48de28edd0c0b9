//! Random steps, each a few numbers from which the rest follows in the state that it meets, so
//! that steps hit what is there and a failing sequence can be made shorter.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};

use super::model::{Body, Model};
use super::{at, noise};
use crate::model::{
    Entry, EntryBody, EntryXattrs, FileKind, Ino, Meta, Name, NewNode, Op, RenameMode, SetAttr,
    Timestamp, Xattrs,
};

/// One thing to do.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) what: What,
    pub(super) a: u16,
    pub(super) b: u16,
    c: u16,
    d: u16,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    Create,
    CreateNameless,
    Link,
    Unlink,
    Rmdir,
    Rename,
    Write,
    Truncate,
    Zero,
    SetAttr,
    SetXattr,
    RemoveXattr,
    Adopt,
    Revert,
    DropOrphan,
    Commit,
    Begin,
    Finish,
    Fail,
    Evict,
    Hash,
    Settle,
    Reopen,
}

/// All kinds of steps.
pub(super) fn any_steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let what = prop_oneof![
        6 => Just(What::Create),
        2 => Just(What::CreateNameless),
        5 => Just(What::Link),
        4 => Just(What::Unlink),
        2 => Just(What::Rmdir),
        9 => Just(What::Rename),
        6 => Just(What::Write),
        2 => Just(What::Truncate),
        2 => Just(What::Zero),
        2 => Just(What::SetAttr),
        2 => Just(What::SetXattr),
        1 => Just(What::RemoveXattr),
        1 => Just(What::Adopt),
        1 => Just(What::Revert),
        2 => Just(What::DropOrphan),
        2 => Just(What::Commit),
        3 => Just(What::Begin),
        3 => Just(What::Finish),
        2 => Just(What::Fail),
        3 => Just(What::Evict),
        4 => Just(What::Hash),
        4 => Just(What::Settle),
        1 => Just(What::Reopen),
    ];
    steps(what, most)
}

/// Steps that give names to files and take them away, and move directories with such files.
pub(super) fn linking_steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let what = prop_oneof![
        2 => Just(What::Create),
        2 => Just(What::CreateNameless),
        8 => Just(What::Link),
        3 => Just(What::Unlink),
        1 => Just(What::Rmdir),
        8 => Just(What::Rename),
        1 => Just(What::DropOrphan),
        1 => Just(What::Commit),
        1 => Just(What::Begin),
        1 => Just(What::Finish),
        1 => Just(What::Evict),
        1 => Just(What::Hash),
        1 => Just(What::Settle),
        1 => Just(What::Reopen),
    ];
    steps(what, most)
}

fn steps(what: impl Strategy<Value = What>, most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = (what, any::<[u16; 4]>()).prop_map(|(what, [a, b, c, d])| Step { what, a, b, c, d });
    vec(step, 1..most)
}

impl Model {
    /// A directory mostly, with one that was removed, a file, or nothing now and then.
    fn directory(&self, pick: u16) -> Ino {
        let which = usize::from(pick / 16);
        let directories = self.nodes.iter().filter(|(_, node)| node.is_directory());
        let directories: Vec<Ino> = directories.map(|(ino, _)| *ino).collect();
        match pick % 16 {
            0 => self.inode(pick / 16),
            1..=3 => directories[which % directories.len()],
            // Few have many, so that things meet.
            4..=6 => directories[which % directories.len().min(3)],
            _ => directories[directories.len() - 1 - which % directories.len().min(4)],
        }
    }

    pub(super) fn inode(&self, pick: u16) -> Ino {
        if pick % 64 == 63 {
            return Ino(1 << 40);
        }
        // The newest are the most interesting.
        let count = self.nodes.len();
        let mut inos = self.nodes.keys().copied();
        let from_end = if pick.is_multiple_of(4) { usize::from(pick / 4) % count } else { 0 };
        let from_end = from_end.max(usize::from(pick) % count.min(25));
        inos.nth(count - 1 - from_end).unwrap()
    }

    fn file(&self, pick: u16) -> Ino {
        let files = self.nodes.iter().rev();
        let files = files.filter(|(_, node)| matches!(node.body, Body::File(_))).take(15);
        let files: Vec<Ino> = files.map(|(ino, _)| *ino).collect();
        match files.len() {
            0 => self.inode(pick),
            _ if pick % 16 == 15 => self.inode(pick / 16),
            count => files[usize::from(pick) % count],
        }
    }

    /// A name, most often one that is there.
    fn entry(&self, a: u16, b: u16) -> (Ino, Name) {
        let parent = self.directory(a);
        if let Some(Body::Directory(entries)) = self.nodes.get(&parent).map(|n| &n.body)
            && !entries.is_empty()
            && !b.is_multiple_of(4)
        {
            let name = entries.keys().nth(usize::from(b) % entries.len()).unwrap();
            return (parent, name.clone());
        }
        (parent, name(b % 9))
    }

    /// The operation that a step stands for, if it is one. `new_ino` is for a new inode.
    pub(super) fn op(&self, step: &Step, new_ino: Ino, time: Timestamp) -> Op {
        let &Step { what, a, b, c, d } = step;
        let kill_priv = d % 2 == 0;
        let size = |ino| match self.nodes.get(&ino).map(|node| &node.body) {
            Some(Body::File(bytes)) => bytes.len() as u64,
            _ => 0,
        };
        match what {
            What::Create => {
                let (parent, ino) = (self.directory(a), new_ino);
                let node = node(KINDS[usize::from(c) % KINDS.len()], d);
                Op::Create { parent, name: name(b % 9), ino, node, time }
            }
            What::CreateNameless => {
                let kind =
                    if c.is_multiple_of(16) { FileKind::Directory } else { FileKind::Regular };
                Op::CreateNameless { ino: new_ino, node: node(kind, d), time }
            }
            What::Link => {
                let ino = if c % 8 == 0 { self.inode(c / 8) } else { self.file(c) };
                Op::Link { ino, parent: self.directory(a), name: name(b % 9), time }
            }
            What::Unlink => {
                let (parent, name) = self.entry(a, b);
                Op::Unlink { parent, name, time }
            }
            What::Rmdir => {
                let (parent, name) = self.entry(a, b);
                Op::Rmdir { parent, name, time }
            }
            What::Rename => {
                let (parent, name) = self.entry(a, b);
                let (new_parent, new_name) = self.entry(c, d);
                let modes = [RenameMode::Replace, RenameMode::NoReplace, RenameMode::Exchange];
                let mode = modes[usize::from(a / 16 + b / 16) % 3];
                Op::Rename { parent, name, new_parent, new_name, mode, time }
            }
            What::Write => {
                let ino = self.file(a);
                let offset = offset(b, c, size(ino));
                let data = noise(u64::from(d), len(d)).into();
                Op::Write { ino, offset, data, kill_priv, time }
            }
            What::Truncate => {
                let ino = self.file(a);
                Op::Truncate { ino, size: offset(b, c, size(ino)), kill_priv, time }
            }
            What::Zero => {
                let ino = self.file(a);
                let (offset, len) = (offset(b, c, size(ino)), len(d) as u64);
                Op::Zero { ino, offset, len, extend: a % 2 == 0, kill_priv, time }
            }
            What::SetAttr => {
                let bit = |n: u16| d >> n & 1 == 1;
                let set = SetAttr {
                    perm: bit(0).then_some(b & 0o7777),
                    uid: bit(1).then_some(u32::from(c)),
                    gid: bit(2).then_some(u32::from(b)),
                    mtime: bit(3).then_some(at(-i64::from(c))),
                    atime: bit(4).then_some(at(-i64::from(b))),
                };
                Op::SetAttr { ino: self.inode(a), set, time }
            }
            What::SetXattr => {
                let value = noise(u64::from(c), usize::from(d) % 300).into();
                Op::SetXattr { ino: self.inode(a), name: xattr_name(b), value, time }
            }
            What::RemoveXattr => Op::RemoveXattr { ino: self.inode(a), name: xattr_name(b), time },
            What::Adopt => {
                let (parent, ino) = (self.directory(a), new_ino);
                let entry = self.committed(KINDS[usize::from(c) % KINDS.len()], d);
                Op::Adopt { parent, name: name(b % 9), ino, entry, time }
            }
            What::Revert => {
                let ino = self.inode(a);
                let kind = self.nodes.get(&ino).map(|node| node.meta.kind);
                let kind = kind.filter(|_| c % 8 != 0).unwrap_or(FileKind::Regular);
                Op::Revert { ino, entry: self.committed(kind, d), time }
            }
            What::DropOrphan => {
                let names = self.all_names();
                let orphan = self.nodes.keys().rev().find(|ino| !names.contains_key(ino));
                let ino = orphan.copied().filter(|_| a % 8 != 0).unwrap_or(self.inode(b));
                Op::DropOrphan { ino }
            }
            _ => unreachable!("it is no operation"),
        }
    }

    /// An entry as a commit could have it.
    fn committed(&self, kind: FileKind, seed: u16) -> Entry {
        let mtime = at(i64::from(seed));
        let perm = seed & 0o7777;
        let meta = Meta { kind, perm, uid: 3, gid: 4, rdev: 0, mtime };
        let mut xattrs = Xattrs::default();
        if seed.is_multiple_of(3) {
            xattrs.insert(b"user.kept", b"value");
        }
        let body = match kind {
            FileKind::Regular => {
                let contents = &self.contents;
                let (content, bytes) = &contents[usize::from(seed) % contents.len()];
                EntryBody::File { size: bytes.len() as u64, content: *content }
            }
            FileKind::Directory => EntryBody::Directory(None),
            FileKind::Symlink => EntryBody::Symlink(b"elsewhere"[..].into()),
            _ => EntryBody::Special,
        };
        Entry { meta, linked: seed.is_multiple_of(2), xattrs: EntryXattrs::Inline(xattrs), body }
    }
}

const KINDS: [FileKind; 8] = [
    FileKind::Regular,
    FileKind::Directory,
    FileKind::Directory,
    FileKind::Symlink,
    FileKind::Fifo,
    FileKind::Socket,
    FileKind::CharDevice,
    FileKind::BlockDevice,
];

pub(super) fn node(kind: FileKind, seed: u16) -> NewNode {
    let target = if kind == FileKind::Symlink { format!("to/{seed}") } else { String::new() };
    let device = matches!(kind, FileKind::CharDevice | FileKind::BlockDevice);
    let rdev = if device { u32::from(seed) } else { 0 };
    let target = target.into_bytes().into();
    NewNode { kind, perm: seed & 0o7777, uid: 1, gid: u32::from(seed % 3), rdev, target }
}

pub(super) fn name(number: u16) -> Name {
    super::name(&format!("n{number}"))
}

fn xattr_name(pick: u16) -> Box<[u8]> {
    let names = [&b"user.a"[..], b"user.b", b"security.capability", b"user.kept"];
    names[usize::from(pick) % names.len()].into()
}

/// Offsets near the places where the content of a file changes its form.
fn offset(pick: u16, more: u16, size: u64) -> u64 {
    let more = u64::from(more);
    match pick % 16 {
        0..=4 => more % 500,
        5..=7 => size,
        8 => 0,
        9..=11 => 16_300 + more % 200,
        12..=13 => more * 4,
        14 => more * 8,
        _ => (more % 3) * 262_144,
    }
}

fn len(pick: u16) -> usize {
    match pick % 16 {
        0 => 0,
        1..=9 => usize::from(pick) % 400,
        10..=12 => usize::from(pick) % 17_000,
        13..=14 => usize::from(pick) / 2 + 16_384,
        _ => 200_000 + usize::from(pick),
    }
}
