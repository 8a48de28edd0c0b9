//! Files that are made without a name (`O_TMPFILE`), and are given one or are not.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::harness::TestMount;
use crate::shell::sh;

fn make(directory: &Path, more: OFlags) -> Result<File, Errno> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC | more;
    rustix::fs::open(directory, flags, Mode::from_raw_mode(0o640)).map(File::from)
}

fn link(file: &File, path: &Path) -> Result<(), Errno> {
    let open = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::linkat(CWD, open, CWD, path, AtFlags::SYMLINK_FOLLOW)
}

/// Tells whether such files can be made, and checks what is said where they cannot.
fn is_carried(mount: &TestMount) -> bool {
    let is_ring = mount.transport() == "ring";
    if !is_ring {
        let refused = make(mount.path(), OFlags::empty()).expect_err("it is not carried");
        assert_eq!(refused, Errno::OPNOTSUPP);
    }
    is_ring
}

#[test]
fn a_file_without_a_name_is_in_no_listing_and_no_commit_until_it_is_linked() {
    let mut mount = TestMount::new();
    if !is_carried(&mount) {
        return;
    }
    let top = mount.path().to_owned();
    sh(&top, "mkdir dir; chmod g+s dir; chgrp 7 dir 2>/dev/null || true");
    mount.commit("before");
    let before = mount.head();
    let mut file = make(&top.join("dir"), OFlags::empty()).expect("a file");
    file.write_all(b"some text").expect("it can be written");
    file.set_len(20).expect("it can be extended");
    let stat = file.metadata().expect("it can be looked at");
    assert_eq!((stat.nlink(), stat.size(), stat.mode() & 0o7777), (0, 20, 0o640));
    assert_eq!(stat.gid(), fs::metadata(top.join("dir")).expect("it is there").gid());
    assert_eq!(sh(&top, "ls -A dir; cat .vst/status"), "");
    mount.commit("nothing");
    assert_eq!(mount.head(), before, "there was nothing to commit");
    // What is written before and after all is brought into the store.
    file.sync_all().expect("it can be synced");
    assert!(mount.vst(&["gc"]).status.success());
    file.write_all_at(b"more", 5).expect("it can be written");

    link(&file, &top.join("dir/name")).expect("it can be named");
    assert_eq!(file.metadata().expect("it is there").nlink(), 1);
    assert_eq!(
        fs::read(top.join("dir/name")).expect("readable"),
        b"some more\0\0\0\0\0\0\0\0\0\0\0"
    );
    assert_eq!(sh(&top, "cat .vst/status"), "A dir/name\n");
    mount.commit("named");
    file.write_all_at(b"MORE", 5).expect("it can be written");
    let ino = fs::metadata(top.join("dir/name")).expect("there").ino();
    drop(file);

    mount.kill();
    mount.start(&[]).expect("it recovers");
    let read = fs::read(top.join("dir/name")).expect("readable");
    assert_eq!(read, b"some MORE\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(fs::metadata(top.join("dir/name")).expect("there").ino(), ino);
    let old = fs::read(mount.snapshot("latest").join("dir/name")).expect("readable");
    assert_eq!(old, b"some more\0\0\0\0\0\0\0\0\0\0\0");
    assert!(mount.vst(&["verify"]).status.success());
}

#[test]
fn what_is_linked_is_an_ordinary_file_and_what_is_not_is_gone_with_its_last_handle() {
    let mount = TestMount::new();
    if !is_carried(&mount) {
        return;
    }
    let top = mount.path();
    let file = make(top, OFlags::EXCL).expect("a file");
    assert_eq!(link(&file, &top.join("exclusive")), Err(Errno::NOENT), "it was not to be named");
    drop(file);

    let mut file = make(top, OFlags::empty()).expect("a file");
    file.write_all(&[7; 100_000]).expect("it can be written");
    fs::write(top.join("taken"), "").expect("a file");
    assert_eq!(link(&file, &top.join("taken")), Err(Errno::EXIST));
    // A restore puts another tree in place; who has a file open keeps it.
    let first = mount.commit("first");
    fs::write(top.join("taken"), "changed").expect("written");
    fs::write(top.join(".vst/restore"), &first).expect("restored");
    link(&file, &top.join("name")).expect("it can be named");
    fs::hard_link(top.join("name"), top.join("other")).expect("it can have another name");
    assert_eq!(file.metadata().expect("there").nlink(), 2);
    fs::remove_file(top.join("name")).expect("it can lose them");
    fs::remove_file(top.join("other")).expect("it can lose them");
    assert_eq!(link(&file, &top.join("again")), Err(Errno::NOENT), "it had a name");
    let mut read = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut read)).expect("readable");
    assert_eq!(read, [7; 100_000]);
}

#[test]
fn a_file_that_is_linked_where_it_is_ignored_is_kept_and_in_no_commit() {
    let mut mount = TestMount::new();
    if !is_carried(&mount) {
        return;
    }
    let top = mount.path().to_owned();
    fs::write(top.join(".vstignore"), "*.o\n").expect("rules");
    let mut file = make(&top, OFlags::empty()).expect("a file");
    file.write_all(b"object").expect("it can be written");
    link(&file, &top.join("a.o")).expect("it can be named");
    drop(file);
    mount.commit("without");
    assert!(!mount.snapshot("latest").join("a.o").exists());
    mount.kill();
    mount.start(&[]).expect("it recovers");
    assert_eq!(fs::read(top.join("a.o")).expect("readable"), b"object");
}

#[test]
fn who_linked_a_file_is_who_changed_it() {
    let mount = TestMount::new();
    if !is_carried(&mount) || !crate::shell::have(&["python3"]) {
        return;
    }
    sh(
        mount.path(),
        "python3 -c '
import os
fd = os.open(\".\", os.O_TMPFILE | os.O_RDWR)
os.write(fd, b\"text\")
os.link(f\"/proc/self/fd/{fd}\", \"name\", src_dir_fd=fd, follow_symlinks=True)
'",
    );
    let told = mount.vst(&["blame-file", "name"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("python3"), "{told}");
    mount.commit("named");
    let told = mount.vst(&["blame-file", "name"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("python3"), "{told}");
}
