//! What must hold of a working tree: that it is what a model says, that its own marks agree with
//! one another, and that its tables are what a scan gives.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::Objects;
use super::model::{Body, Model, Node};
use crate::format::entry::decode_entry;
use crate::format::root::LinkRecord;
use crate::format::worktree::Place;
use crate::hash::hash;
use crate::model::{
    EntryBody, FileKind, Ino, Name, NewNode, ObjectError, ObjectId, ObjectSource, Op, RootId,
    SetAttr,
};
use crate::worktree::tree::{Hasher, Table, Tree};
use crate::worktree::{Body as LiveBody, File, Found, Inode, Worktree};

pub(super) fn entries(
    tree: &Worktree,
    directory: Ino,
    src: &dyn ObjectSource,
) -> Result<Vec<(Name, Found)>, ObjectError> {
    let mut entries = Vec::new();
    tree.view(directory).unwrap().scan(0, src, &mut |found, name| {
        entries.push((Name::new(name).unwrap(), found));
        ControlFlow::Continue(())
    })?;
    Ok(entries)
}

/// A clone with every inode in its table, and the names as a scan finds them.
pub(super) fn load_all(tree: &Worktree, src: &Objects) -> (Worktree, super::model::AllNames) {
    let mut tree = tree.clone();
    let mut names = super::model::AllNames::new();
    let mut pending = vec![Ino::ROOT];
    while let Some(parent) = pending.pop() {
        for (name, found) in entries(&tree, parent, src).unwrap() {
            tree.load(parent, &name, &found, src).unwrap();
            if tree.find(found.ino).unwrap().is_directory() {
                pending.push(found.ino);
            }
            names.entry(found.ino).or_default().push((parent, name));
        }
    }
    names.values_mut().for_each(|names| names.sort());
    (tree, names)
}

/// Compares everything that can be seen of a tree with the model.
pub(super) fn assert_tree(tree: &Worktree, model: &Model, src: &Objects) {
    let (tree, found) = load_all(tree, src);
    let mut names = model.all_names();
    names.values_mut().for_each(|names| names.sort());
    assert_eq!(found, names, "names");
    let live: BTreeSet<Ino> = tree.inodes.values().iter().map(|inode| inode.ino).collect();
    let expected: BTreeSet<Ino> = model.nodes.keys().copied().collect();
    assert_eq!(live, expected, "inodes");
    for (ino, node) in &model.nodes {
        let inode = tree.find(*ino).unwrap();
        assert_inode(inode, node, src);
        assert_eq!(inode.is_nameless(), model.nameless.contains(ino), "{ino:?} without a name");
        let mut own = inode.names.to_vec();
        own.retain(|_| !inode.is_nameless());
        own.sort();
        assert_eq!(&own, names.get(ino).unwrap_or(&Vec::new()), "names of {ino:?}");
        assert_eq!(inode.nlink(src).unwrap(), model.nlink(*ino, &names), "links of {ino:?}");
    }
}

fn assert_inode(inode: &Inode, node: &Node, src: &Objects) {
    let ino = inode.ino;
    assert_eq!(inode.meta, node.meta, "attributes of {ino:?}");
    let times = (inode.ctime, inode.atime.get(), inode.born);
    assert_eq!(times, (node.ctime, node.atime, node.born.into()), "times of {ino:?}");
    let xattrs = inode.xattrs.iter().map(|(name, value)| (name.to_vec(), value.to_vec()));
    assert_eq!(xattrs.collect::<BTreeMap<_, _>>(), node.xattrs, "xattrs of {ino:?}");
    match (&inode.body, &node.body) {
        (LiveBody::File(file), Body::File(expected)) => {
            assert_eq!(file.size(), expected.len() as u64, "size of {ino:?}");
            let mut bytes = vec![0xee; expected.len()];
            assert_eq!(file.read(0, &mut bytes, src).unwrap(), bytes.len());
            assert!(bytes == *expected, "content of {ino:?}");
            assert_holes(file, &bytes, src);
        }
        (LiveBody::Symlink(target), Body::Symlink(expected)) => assert_eq!(&target[..], expected),
        (LiveBody::Directory(tree), Body::Directory(expected)) => {
            assert_eq!(tree.len(src).unwrap(), expected.len() as u64);
        }
        (LiveBody::Special, Body::Special) => {}
        (live, _) => panic!("{ino:?} is {live:?}"),
    }
}

/// Checks that data and holes follow one another up to the end, and that holes hold zeros.
fn assert_holes(file: &File, bytes: &[u8], src: &Objects) {
    let (mut at, size) = (0, bytes.len() as u64);
    while at < size {
        let data = file.next_data(at, src).unwrap().unwrap_or(size);
        assert!((at..=size).contains(&data), "data behind {at} at {data}");
        assert!(bytes[at as usize..data as usize].iter().all(|byte| *byte == 0), "hole at {at}");
        if data < size {
            let hole = file.next_hole(data, src).unwrap().expect("the end counts as a hole");
            assert!(hole > data && hole <= size, "a hole behind {data} at {hole}");
            assert_eq!(file.next_data(hole - 1, src).unwrap(), Some(hole - 1));
            at = hole;
        } else {
            at = size;
        }
    }
    assert_eq!(file.next_data(size, src).unwrap(), None);
    assert_eq!(file.next_hole(size, src).unwrap(), None);
}

/// Checks the invariants of the table of inodes.
pub(super) fn assert_consistent(tree: &Worktree, src: &Objects) {
    let dirty_bytes: u64 = tree.inodes.values().iter().map(|inode| inode.dirty_bytes()).sum();
    assert_eq!(tree.dirty_bytes(), dirty_bytes, "dirty bytes");
    for inode in tree.inodes.values() {
        let clean = tree.is_clean(inode);
        if !clean {
            let mut lists = tree.taken.iter().chain([&tree.dirty, tree.waiting.dirty()]);
            let listed = lists.any(|dirty| {
                [&dirty.inodes, &dirty.directories, &dirty.settled]
                    .iter()
                    .any(|list| list.contains(&inode.ino))
            });
            assert!(listed, "the dirty {:?} is not listed", inode.ino);
        } else if let Some(file) = inode.file().filter(|_| !inode.names.is_empty()) {
            assert!(file.content().is_some(), "{:?} is clean", inode.ino);
        }
        for (parent, name) in &inode.names {
            let directory = tree.find(*parent).expect("the parent is in the table");
            let found = tree.lookup(*parent, name, src).unwrap().expect("its directory has it");
            assert_eq!(found.ino, inode.ino);
            if clean || inode.settled {
                assert_entry(inode, &found, tree.committed_names(inode), src);
            }
            if !clean {
                assert!(!tree.is_clean(directory), "{parent:?} has the dirty {:?}", inode.ino);
            }
        }
    }
}

/// Checks that an entry tells all of an inode.
fn assert_entry(inode: &Inode, found: &Found, committed_names: usize, src: &Objects) {
    let entry = decode_entry(&found.value).unwrap();
    let linked = !inode.is_directory() && committed_names > 1;
    assert_eq!((entry.meta, entry.linked), (inode.meta, linked), "entry of {:?}", inode.ino);
    assert_eq!(entry.xattrs, inode.entry_xattrs().0);
    let times = (found.side.ctime, found.side.atime, found.side.born);
    assert_eq!(times, (inode.ctime, inode.atime, inode.born), "side of {:?}", inode.ino);
    let (mut links, mut side) = (u64::from(inode.names.len() > 1), None);
    match (&inode.body, &entry.body) {
        (LiveBody::File(file), EntryBody::File { size, content }) => {
            assert_eq!((file.size(), file.content()), (*size, Some(*content)));
        }
        (LiveBody::Directory(tree), EntryBody::Directory(node)) => {
            assert_eq!(tree.id(), Some(*node), "tree of {:?}", inode.ino);
            links = tree.links(src).unwrap();
            side = tree.side_id();
        }
        (LiveBody::Symlink(target), EntryBody::Symlink(stored)) => {
            assert_eq!(target[..], stored[..])
        }
        (LiveBody::Special, EntryBody::Special) => {}
        (_, body) => panic!("{:?} is told as {body:?}", inode.ino),
    }
    assert_eq!(u64::from(found.side.links), links, "links at {:?}", inode.ino);
    if let Some(told) = found.side.side.as_deref() {
        assert_eq!(Some(*told), side, "side of {:?}", inode.ino);
    }
}

fn table<T>(tree: &Tree<Table>, src: &Objects, read: impl Fn(&[u8]) -> T) -> BTreeMap<Vec<u8>, T> {
    let mut items = BTreeMap::new();
    tree.scan(0, src, &mut |item| {
        items.insert(item.key.to_vec(), read(item.value));
        ControlFlow::Continue(())
    })
    .unwrap();
    items
}

/// Checks that the tables of a tree just committed are what a scan of the whole tree gives.
pub(super) fn assert_tables(tree: &Worktree, src: &Objects) {
    let (full, names) = load_all(tree, src);
    let mut links = BTreeMap::new();
    let mut places = BTreeMap::new();
    for (ino, names) in &names {
        let directory = full.find(*ino).unwrap().is_directory();
        if !directory && names.len() < 2 {
            continue;
        }
        let mut recorded = Vec::new();
        if !directory {
            let paths = names.iter().map(|(parent, name)| path(&full, *parent, name));
            recorded.extend(paths.map(|path| ObjectId::from_bytes(hash(&path))));
            recorded.sort();
            for digest in &recorded {
                let record = LinkRecord { names: names.len() as u64, group: recorded[0] };
                links.insert(digest.as_bytes().to_vec(), record);
            }
        }
        let place = Place { names: names.clone(), recorded };
        places.insert(ino.0.to_be_bytes().to_vec(), place);
    }
    assert_eq!(table(&tree.links, src, |value| LinkRecord::decode(value).unwrap()), links);
    let read = |value: &[u8]| {
        let mut place = Place::decode(value).unwrap();
        place.names.sort();
        place
    };
    let mut found = table(&tree.places, src, read);
    // The directory of what has no name is nowhere that a scan comes to.
    found.retain(|ino, _| ino[0] & 0x80 == 0);
    assert_eq!(found, places, "places");
}

fn path(tree: &Worktree, parent: Ino, name: &Name) -> Vec<u8> {
    let mut path = name.as_bytes().to_vec();
    let mut at = parent;
    while let Some((parent, name)) = tree.find(at).unwrap().names.first() {
        path = [name.as_bytes(), b"/", &path].concat();
        at = *parent;
    }
    path
}

/// The id of the tree of a model, made from scratch in one go.
pub(super) fn root_from_scratch(model: &Model) -> RootId {
    let top = &model.nodes[&Ino::ROOT].meta;
    let (src, now) = (Objects::default(), super::at(1_000_000));
    let mut tree = Worktree::new(top.uid, top.gid, top.perm, now);
    let mut made = BTreeMap::from([(Ino::ROOT, Ino::ROOT)]);
    let mut pending = vec![Ino::ROOT];
    // The last directory comes first, so that links are made in another order than they were.
    while let Some(directory) = pending.pop() {
        let Body::Directory(entries) = &model.nodes[&directory].body else { continue };
        for (name, old) in entries {
            let (parent, name, node) = (made[&directory], name.clone(), &model.nodes[old]);
            if let Some(ino) = made.get(old) {
                let op = Op::Link { ino: *ino, parent, name, time: now };
                tree.apply(&op, &src).unwrap();
                continue;
            }
            let ino = tree.allocate_ino();
            made.insert(*old, ino);
            let node = new_node(node);
            tree.apply(&Op::Create { parent, name, ino, node, time: now }, &src).unwrap();
            pending.push(*old);
        }
    }
    for (old, ino) in made {
        give(&mut tree, ino, &model.nodes[&old], &src);
    }
    tree.begin_commit().hash(&mut Hasher::default(), &src).unwrap().root
}

fn new_node(node: &Node) -> NewNode {
    let meta = node.meta;
    let target = match &node.body {
        Body::Symlink(target) => target.as_slice().into(),
        _ => Box::default(),
    };
    let kind: FileKind = meta.kind;
    NewNode { kind, perm: meta.perm, uid: meta.uid, gid: meta.gid, rdev: meta.rdev, target }
}

/// Gives a new inode content, extended attributes and mtime.
fn give(tree: &mut Worktree, ino: Ino, node: &Node, src: &Objects) {
    let time = super::at(2_000_000);
    if let Body::File(bytes) = &node.body
        && !bytes.is_empty()
    {
        let data = bytes.as_slice().into();
        tree.apply(&Op::Write { ino, offset: 0, data, kill_priv: false, time }, src).unwrap();
    }
    for (name, value) in &node.xattrs {
        let (name, value) = (name.as_slice().into(), value.as_slice().into());
        tree.apply(&Op::SetXattr { ino, name, value, time }, src).unwrap();
    }
    let set = SetAttr { mtime: Some(node.meta.mtime), ..SetAttr::default() };
    tree.apply(&Op::SetAttr { ino, set, time }, src).unwrap();
}
