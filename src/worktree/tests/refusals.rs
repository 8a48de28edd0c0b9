//! Limits: what reaches one works, what goes beyond is refused and changes nothing.

use super::check::{assert_consistent, assert_tables};
use super::fs::Fs;
use super::{at, name};
use crate::base::limits::{
    FILE_BYTES_MAX, INO_MAX, LINKS_MAX, OBJECT_BYTES_MAX, XATTR_VALUE_BYTES_MAX, XATTRS_BYTES_MAX,
};
use crate::model::{FileKind, Ino, Name, NewNode, Op};
use crate::worktree::OpError;

fn write(ino: Ino, offset: u64, len: usize) -> Op {
    Op::Write { ino, offset, data: vec![7; len].into(), kill_priv: true, time: at(9) }
}

fn set_xattr(ino: Ino, name: &[u8], len: usize) -> Op {
    Op::SetXattr { ino, name: name.into(), value: vec![7; len].into(), time: at(9) }
}

fn create(name: Name, ino: Ino, kind: FileKind, target: &[u8]) -> Op {
    let node = NewNode { kind, perm: 0, uid: 0, gid: 0, rdev: 0, target: target.into() };
    Op::Create { parent: Ino::ROOT, name, ino, node, time: at(9) }
}

/// Checks that an operation is refused in this way, and that nothing changed.
fn refused(fs: &mut Fs, op: &Op, expected: &OpError) {
    let before = fs.commit();
    let error = fs.try_apply(op).unwrap_err();
    assert_eq!(format!("{error:?}"), format!("{expected:?}"), "{op:?}");
    assert!(!fs.tree.is_dirty());
    assert_eq!(fs.commit().state, before.state);
    assert_consistent(&fs.tree, &fs.objects);
}

#[test]
fn a_file_can_be_as_large_as_a_file_can_be() {
    let mut fs = Fs::new();
    let ino = fs.file("f", b"begin");
    fs.write("f", FILE_BYTES_MAX - 3, b"end");
    fs.reopen();
    fs.zero("f", FILE_BYTES_MAX - 1, 1);
    fs.reopen();
    assert_eq!(fs.ino("f"), ino);
    let file = fs.tree.find(ino).unwrap().file().unwrap().clone();
    assert_eq!(file.size(), FILE_BYTES_MAX);
    let mut bytes = [1; 5];
    assert_eq!(file.read(FILE_BYTES_MAX - 4, &mut bytes, &fs.objects).unwrap(), 4);
    assert_eq!(&bytes, b"\0en\0\x01");
    let data = file.next_data(300_000, &fs.objects).unwrap();
    assert!(data.is_some_and(|at| at > FILE_BYTES_MAX - 300_000), "{data:?}");

    for op in [
        write(ino, FILE_BYTES_MAX, 1),
        write(ino, u64::MAX, 1),
        Op::Truncate { ino, size: FILE_BYTES_MAX + 1, kill_priv: false, time: at(9) },
        Op::Zero {
            ino,
            offset: FILE_BYTES_MAX,
            len: 1,
            extend: false,
            kill_priv: false,
            time: at(9),
        },
        Op::Zero { ino, offset: 1, len: u64::MAX, extend: true, kill_priv: false, time: at(9) },
    ] {
        refused(&mut fs, &op, &OpError::FileTooLarge);
    }
    fs.truncate("f", 5);
    fs.reopen();
    assert_eq!(fs.read("f"), b"begin");
}

#[test]
fn extended_attributes_are_bounded_one_by_one_and_together() {
    let mut fs = Fs::new();
    let ino = fs.file("f", b"");
    refused(&mut fs, &set_xattr(ino, b"", 1), &OpError::Invalid);
    refused(&mut fs, &set_xattr(ino, &[b'x'; 256], 1), &OpError::Invalid);
    let too_long = set_xattr(ino, b"user.a", XATTR_VALUE_BYTES_MAX + 1);
    refused(&mut fs, &too_long, &OpError::XattrsTooLarge);
    let fit = XATTRS_BYTES_MAX / (XATTR_VALUE_BYTES_MAX + 20);
    for n in 0..fit {
        let op = set_xattr(ino, format!("user.{n}").as_bytes(), XATTR_VALUE_BYTES_MAX);
        fs.try_apply(&op).unwrap();
    }
    let one_more = set_xattr(ino, b"user.more", XATTR_VALUE_BYTES_MAX);
    refused(&mut fs, &one_more, &OpError::XattrsTooLarge);
    fs.reopen();
    assert_eq!(fs.ino("f"), ino);
    assert_eq!(fs.tree.find(ino).unwrap().xattrs.iter().count(), fit);
}

#[test]
fn a_file_has_no_more_names_than_its_place_can_hold() {
    let mut fs = Fs::new();
    let ino = fs.file("f", b"");
    let link = |n| {
        let name = name(&format!("{n:0>255}"));
        Op::Link { ino, parent: Ino::ROOT, name, time: at(9) }
    };
    (1..LINKS_MAX).for_each(|n| fs.try_apply(&link(n)).unwrap());
    refused(&mut fs, &link(LINKS_MAX), &OpError::TooManyLinks);
    assert_tables(&fs.tree, &fs.objects);
    let largest = fs.objects.map.lock().values().map(|bytes| bytes.len()).max();
    assert!(largest.is_some_and(|largest| largest < OBJECT_BYTES_MAX), "{largest:?}");
    fs.reopen();
    fs.unlink("f");
    fs.commit();
    assert_tables(&fs.tree, &fs.objects);
}

#[test]
fn impossible_inodes_are_refused() {
    let mut fs = Fs::new();
    let ino = fs.tree.allocate_ino();
    let long = [b'x'; 4096];
    for target in [&b""[..], &long] {
        let op = create(name("l"), ino, FileKind::Symlink, target);
        refused(&mut fs, &op, &OpError::Invalid);
    }
    for ino in [0, Ino::ROOT.0, INO_MAX, u64::MAX] {
        let op = create(name("f"), Ino(ino), FileKind::Regular, b"");
        refused(&mut fs, &op, &OpError::Invalid);
    }
    fs.try_apply(&create(name("l"), ino, FileKind::Symlink, &long[1..])).unwrap();
    fs.reopen();
    assert_eq!(fs.ino("l"), ino);
}
