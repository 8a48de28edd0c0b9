//! `.vst`, `.snapshots` and the virtual attributes: history asked for and looked at through
//! ordinary files.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{RenameFlags, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;

use crate::harness::TestMount;
use crate::shell::{is_root, sh, try_sh};
use crate::tree::Tree;

fn control(mount: &TestMount, name: &str) -> String {
    fs::read_to_string(mount.path().join(".vst").join(name)).expect("a control file is readable")
}

fn commits(mount: &TestMount) -> usize {
    control(mount, "log").lines().count()
}

#[track_caller]
fn write_control(mount: &TestMount, name: &str, text: &str) -> Result<(), Errno> {
    let path = mount.path().join(".vst").join(name);
    let mut file = OpenOptions::new().write(true).open(path).expect("a control file opens");
    match file.write(text.as_bytes()) {
        Ok(len) => {
            assert_eq!(len, text.len());
            Ok(())
        }
        Err(error) => Err(Errno::from_io_error(&error).expect("an error of the system")),
    }
}

#[track_caller]
fn xattr(path: impl AsRef<Path>, name: &str) -> Result<String, Errno> {
    let mut value = [0; 1024];
    let len = rustix::fs::lgetxattr(path.as_ref(), name, &mut value[..])?;
    Ok(String::from_utf8(value[..len].to_vec()).expect("text"))
}

#[track_caller]
fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> Errno {
    Errno::from_io_error(&result.expect_err("it must fail")).expect("an error of the system")
}

#[test]
fn one_touch_is_one_commit() {
    let mount = TestMount::new();
    for number in 1..=5 {
        fs::write(mount.path().join("file"), number.to_string()).expect("a new file");
        sh(mount.path(), "touch .vst/commit");
        assert_eq!(commits(&mount), number);
    }
    assert_eq!(control(&mount, "commit"), control(&mount, "head"));
    assert_eq!(control(&mount, "head"), format!("{}\n", mount.head()));
    assert_eq!(control(&mount, "head").len(), 65);
}

#[test]
fn one_echo_is_one_commit_with_its_message() {
    let mount = TestMount::new();
    for number in 1..=3 {
        sh(mount.path(), &format!("echo {number} > file; echo 'message {number}' > .vst/commit"));
    }
    let log = control(&mount, "log");
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 3, "{log}");
    for (line, message) in lines.iter().zip(["message 3", "message 2", "message 1"]) {
        assert!(line.ends_with(message), "{log}");
    }
    assert!(lines[0].starts_with(mount.head().as_str()), "{log}");
}

#[test]
fn truncating_the_commit_file_does_nothing() {
    let mount = TestMount::new();
    fs::write(mount.path().join("file"), "").expect("a new file");
    sh(mount.path(), ": > .vst/commit; truncate -s 0 .vst/commit; true >> .vst/commit");
    assert_eq!(commits(&mount), 0);
    assert_eq!(control(&mount, "head"), "");
}

#[test]
fn nothing_changed_is_no_new_commit_and_a_success() {
    let mount = TestMount::new();
    fs::write(mount.path().join("file"), "").expect("a new file");
    let id = mount.commit("first");
    sh(mount.path(), "touch .vst/commit; echo again > .vst/commit");
    assert_eq!(mount.commit("third"), id);
    assert_eq!(commits(&mount), 1);
    fs::write(mount.path().join("file"), "x").expect("a file");
    let other = mount.commit("changed");
    assert_ne!(other, id);
    assert_eq!(commits(&mount), 2);
}

#[test]
fn the_handle_of_a_commit_reads_the_new_id() {
    let mount = TestMount::new();
    fs::write(mount.path().join("file"), "").expect("a new file");
    let path = mount.path().join(".vst/commit");
    let mut file = OpenOptions::new().read(true).write(true).open(path).expect("it opens");
    file.write_all(b"message\n").expect("a commit");
    file.sync_all().expect("durable");
    let mut answer = [0; 65];
    file.read_exact_at(&mut answer, 0).expect("the answer");
    assert_eq!(String::from_utf8_lossy(&answer), format!("{}\n", mount.head()));
}

#[test]
fn a_commit_through_an_attribute_is_virtual() {
    let mount = TestMount::new();
    let top = mount.path();
    fs::write(top.join("file"), "x").expect("a new file");
    let id = mount.commit("by attribute");
    assert!(control(&mount, "log").ends_with("by attribute\n"));
    assert_eq!(xattr(top, "user.vst.head").as_deref(), Ok(id.as_str()));
    for path in [top.to_owned(), top.join("file")] {
        let mut names = [0; 1024];
        assert_eq!(rustix::fs::listxattr(&path, &mut names[..]), Ok(0));
    }
    let set = |path: &Path, name: &str| rustix::fs::setxattr(path, name, b"x", XattrFlags::empty());
    assert_eq!(set(&top.join("file"), "user.vst.commit"), Err(Errno::PERM));
    assert_eq!(set(top, "user.vst.id"), Err(Errno::PERM));
    assert_eq!(set(top, "user.vst.anything"), Err(Errno::PERM));
    assert_eq!(xattr(top.join("file"), "user.vst.head"), Err(Errno::NODATA));
    assert_eq!(rustix::fs::removexattr(top, "user.vst.head"), Err(Errno::PERM));
}

#[test]
fn ids_of_content_are_those_of_b3sum_and_equal_for_equal_directories() {
    let mount = TestMount::new();
    let top = mount.path();
    for content in ["", "x", "some text\n", &"0123456789".repeat(1000)] {
        fs::write(top.join("file"), content).expect("a file");
        let id = blake3::hash(content.as_bytes()).to_hex().to_string();
        assert_eq!(xattr(top.join("file"), "user.vst.id"), Ok(id.clone()));
        mount.commit("a file");
        assert_eq!(xattr(mount.snapshot("latest").join("file"), "user.vst.id"), Ok(id));
    }
    sh(
        top,
        "mkdir -p a/sub; for i in $(seq 100); do echo $i > a/$i; done; ln -s target a/sub/link
         mkdir b; for i in $(seq 100 -1 1); do echo $i > b/$i; done; mkdir b/sub
         ln -s target b/sub/link; find a b -exec touch -h -d 2020-01-01 {} +",
    );
    let id = xattr(top.join("a"), "user.vst.id").expect("an id");
    assert_eq!(xattr(top.join("b"), "user.vst.id"), Ok(id.clone()));
    fs::write(top.join("b/sub/new"), "").expect("a new file");
    assert_ne!(xattr(top.join("b"), "user.vst.id"), Ok(id.clone()));
    mount.commit("directories");
    assert_eq!(xattr(mount.snapshot("latest").join("a"), "user.vst.id"), Ok(id));
}

#[test]
fn the_status_has_a_line_for_each_changed_path() {
    let mount = TestMount::new();
    let top = mount.path();
    sh(top, "mkdir d; seq 100 > d/old; echo a > d/edit; echo b > gone; echo c > same");
    assert!(control(&mount, "status").lines().all(|line| line.starts_with("A ")));
    mount.commit("before");
    assert_eq!(control(&mount, "status"), "");
    sh(top, "mv d/old d/new; echo more >> d/edit; rm gone; echo n > $'odd\\nname'");
    let status = control(&mount, "status");
    // A directory is changed by a change of its entries, and so is the time of it.
    let lines: Vec<_> = status.lines().filter(|l| !matches!(*l, "M d" | "M ." | "M ")).collect();
    assert_eq!(lines, ["M d/edit", "R d/old -> d/new", "D gone", "A \"odd\\nname\""], "{status}");
}

#[test]
fn statistics_are_json() {
    let mount = TestMount::new();
    sh(mount.path(), "echo x > file; touch .vst/commit; touch .vst/commit");
    let stats: serde_json::Value =
        serde_json::from_str(&control(&mount, "stats")).expect("valid JSON");
    assert_eq!(stats["commits"]["made"], 1, "{stats}");
    assert_eq!(stats["commits"]["unchanged"], 1, "{stats}");
    assert_eq!(stats["snapshots"], 1, "{stats}");
    assert!(stats["store"]["objects"].as_u64().expect("a number") > 0, "{stats}");
    // What is bounded is told with its bound.
    for (bounded, bound) in [
        (&stats["tree"]["dirty_bytes"], &stats["tree"]["dirty_bytes_max"]),
        (&stats["journal"]["bytes"], &stats["journal"]["bytes_max"]),
        (&stats["journal"]["cost"], &stats["journal"]["cost_max"]),
        (&stats["commits"]["unwritten"], &stats["commits"]["unwritten_max"]),
        (&stats["cache"]["bytes"], &stats["cache"]["bytes_max"]),
        (&stats["store"]["open_packs"], &stats["store"]["open_packs_max"]),
    ] {
        let (bounded, bound) = (bounded.as_u64().expect("told"), bound.as_u64().expect("told"));
        assert!(bounded <= bound, "{stats}");
    }
    assert!(stats["threads"].as_u64() > Some(2), "{stats}");
    let transport = stats["transport"].as_str();
    assert!(matches!(transport, Some("fuser" | "ring")), "{stats}");
    if let Ok(asked) = std::env::var("VST_TEST_TRANSPORT") {
        assert_eq!(transport, Some(asked.as_str()));
    }
}

#[test]
fn reserved_names_can_neither_be_made_nor_removed_nor_moved() {
    let mount = TestMount::new();
    let top = mount.path();
    fs::write(top.join("file"), "x").expect("a new file");
    fs::create_dir(top.join("dir")).expect("a new directory");
    mount.commit("first");
    for name in [".vst", ".snapshots"] {
        let path = top.join(name);
        assert_eq!(errno(fs::create_dir(&path)), Errno::EXIST);
        assert_eq!(errno(symlink("x", &path)), Errno::EXIST);
        assert_eq!(errno(File::create_new(&path)), Errno::EXIST);
        assert_eq!(errno(fs::hard_link(top.join("file"), &path)), Errno::EXIST);
        // A mountpoint or something special: the kernel may refuse before the daemon does.
        let removed = [errno(fs::remove_dir(&path)), errno(fs::remove_dir_all(&path))];
        for errno in removed {
            let expected = [Errno::PERM, Errno::ACCESS, Errno::BUSY, Errno::NOTEMPTY, Errno::ROFS];
            assert!(expected.contains(&errno), "{name}: {errno}");
        }
        assert_eq!(errno(fs::remove_file(&path)), Errno::ISDIR);
        assert_eq!(errno(fs::rename(&path, top.join("other"))), Errno::PERM);
        assert_eq!(errno(fs::rename(top.join("dir"), &path)), Errno::PERM);
        let flags = RenameFlags::EXCHANGE;
        let (cwd, dir) = (rustix::fs::CWD, top.join("dir"));
        let exchanged = rustix::fs::renameat_with(cwd, &dir, cwd, &path, flags);
        assert_eq!(exchanged, Err(Errno::PERM));
        assert!(path.is_dir() && dir.is_dir());
        // Anywhere else they are names like any other.
        fs::write(dir.join(name), "ordinary").expect("a name like any other");
    }
    assert_eq!(errno(File::create_new(top.join(".vst/new"))), Errno::PERM);
    assert_eq!(errno(fs::remove_file(top.join(".vst/commit"))), Errno::PERM);
    assert_eq!(errno(fs::rename(top.join("file"), top.join(".vst/commit"))), Errno::PERM);
    assert_eq!(errno(fs::hard_link(top.join(".vst/commit"), top.join("hard"))), Errno::XDEV);
    assert_eq!(errno(fs::create_dir(top.join(".snapshots/new"))), Errno::ROFS);
    mount.commit("ordinary names");
    assert_eq!(fs::read(top.join("dir/.vst")).expect("a file"), b"ordinary");
}

#[test]
fn control_files_belong_to_the_one_who_mounted() {
    let mount = TestMount::with_options(if is_root() { &["--allow-other"] } else { &[] });
    let top = mount.path();
    let meta = fs::metadata(top.join(".vst")).expect("it answers");
    assert_eq!((meta.mode() & 0o7777, meta.uid()), (0o700, rustix::process::getuid().as_raw()));
    let names: Vec<_> = sh(top, "ls .vst").lines().map(str::to_owned).collect();
    assert_eq!(
        names,
        [
            "commit", "config", "gc", "head", "ignored", "log", "op-log", "restore", "root",
            "stats", "status", "tag", "undo"
        ]
    );
    for name in names {
        let path = top.join(".vst").join(name);
        let meta = fs::metadata(&path).expect("it answers");
        assert_eq!((meta.mode() & 0o7777, meta.uid()), (0o600, rustix::process::getuid().as_raw()));
        assert_eq!(
            errno(fs::set_permissions(&path, fs::Permissions::from_mode(0o666))),
            Errno::PERM
        );
    }
    if is_root() {
        let other = "setpriv --reuid 65534 --regid 65534 --clear-groups";
        sh(top.parent().expect("it has one"), "chmod 0755 .");
        sh(top, "echo x > file; chmod 0777 .");
        sh(top, &format!("{other} test -e file; {other} touch theirs"));
        for script in
            ["touch .vst/commit", "cat .vst/log", "ls .vst", "setfattr -n user.vst.commit -v m ."]
        {
            let output = try_sh(top, &format!("{other} {script}"));
            assert!(!output.status.success(), "{script}");
        }
        assert_eq!(commits(&mount), 0);
    }
}

#[test]
fn snapshots_answer_to_prefixes_latest_and_times() {
    let mount = TestMount::new();
    let top = mount.path();
    let mut ids = Vec::new();
    for number in 0..3 {
        fs::write(top.join("file"), number.to_string()).expect("a file");
        ids.push(mount.commit("one more"));
    }
    let read = |name: &str| fs::read_to_string(mount.snapshot(name).join("file"));
    let snapshots = top.join(".snapshots");
    for (number, id) in ids.iter().enumerate() {
        for digits in [8, 9, 20, 63, 64] {
            assert_eq!(read(&id[..digits]).expect("it is there"), number.to_string());
        }
        let link = fs::read_link(snapshots.join(&id[..8])).expect("a symbolic link");
        assert_eq!(link, Path::new(id));
        assert!(fs::symlink_metadata(snapshots.join(id)).expect("it is there").is_dir());
        assert_eq!(errno(fs::symlink_metadata(snapshots.join(&id[..7]))), Errno::NOENT);
    }
    assert_eq!(fs::read_link(snapshots.join("latest")).expect("a link"), Path::new(&ids[2]));
    assert_eq!(read("latest").expect("the newest"), "2");
    let listed = sh(top, "ls .snapshots");
    assert!(ids.iter().all(|id| listed.lines().any(|line| line == id)), "{listed}");
    let times = sh(top, "ls .snapshots/by-time");
    assert_eq!(times.lines().count(), 3, "{times}");
    for (number, time) in times.lines().enumerate() {
        assert_eq!(read(&format!("by-time/{time}")).expect("a link"), number.to_string());
    }
    for missing in
        ["0000000000", "nonsense", "by-time/2001-01-01T00:00:00Z", &ids[0].to_uppercase()]
    {
        assert_eq!(errno(fs::symlink_metadata(snapshots.join(missing))), Errno::NOENT, "{missing}");
    }
    // A name that was not there is there as soon as the commit is.
    fs::write(top.join("file"), "3").expect("a file");
    let id = mount.commit("one more");
    assert_eq!(read(&id).expect("it is there"), "3");
    assert_eq!(read("latest").expect("the newest"), "3");
}

#[test]
fn any_write_in_a_snapshot_fails_with_erofs() {
    let mount = TestMount::new();
    let top = mount.path();
    sh(top, "mkdir d; echo x > d/file; ln d/file d/hard; ln -s file d/link");
    mount.commit("all");
    let d = mount.snapshot("latest").join("d");
    let file = d.join("file");
    assert_eq!(errno(OpenOptions::new().write(true).open(&file)), Errno::ROFS);
    assert_eq!(errno(OpenOptions::new().append(true).open(&file)), Errno::ROFS);
    assert_eq!(errno(File::create(&file)), Errno::ROFS);
    assert_eq!(errno(File::create(d.join("new"))), Errno::ROFS);
    assert_eq!(errno(fs::create_dir(d.join("new"))), Errno::ROFS);
    assert_eq!(errno(fs::remove_file(&file)), Errno::ROFS);
    assert_eq!(errno(fs::remove_dir_all(&d)), Errno::ROFS);
    assert_eq!(errno(fs::rename(&file, d.join("other"))), Errno::ROFS);
    assert_eq!(errno(fs::rename(&file, top.join("other"))), Errno::ROFS);
    assert_eq!(errno(fs::rename(top.join("d/file"), d.join("other"))), Errno::ROFS);
    assert_eq!(errno(fs::hard_link(&file, d.join("other"))), Errno::ROFS);
    assert_eq!(errno(fs::hard_link(&file, top.join("other"))), Errno::XDEV);
    assert_eq!(errno(symlink("x", d.join("other"))), Errno::ROFS);
    let mode = fs::Permissions::from_mode(0o777);
    assert_eq!(errno(fs::set_permissions(&file, mode)), Errno::ROFS);
    let time = Timespec { tv_sec: 1, tv_nsec: 1 };
    let times = Timestamps { last_access: time, last_modification: time };
    let flags = rustix::fs::AtFlags::empty();
    assert_eq!(rustix::fs::utimensat(rustix::fs::CWD, &file, &times, flags), Err(Errno::ROFS));
    let set = rustix::fs::setxattr(&file, "user.x", b"", XattrFlags::empty());
    assert_eq!(set, Err(Errno::ROFS));
    assert_eq!(rustix::fs::removexattr(&file, "user.x"), Err(Errno::ROFS));
    Tree::read(&top.join("d")).assert_same(&Tree::read(&d));
}

#[test]
fn a_restored_tree_is_seen_at_once() {
    let mount = TestMount::new();
    let top = mount.path();
    sh(
        top,
        "mkdir -p d/sub; echo old > d/file; echo stays > d/stays; ln d/file d/hard; ln -s a link",
    );
    let old = mount.commit("old");
    let before = Tree::read(top);
    sh(
        top,
        "echo new content > d/file; rm -rf d/sub link; mkdir link; echo n > d/new; mv d/stays moved",
    );
    // The kernel has all of this in its caches.
    let mut open = File::open(top.join("d/file")).expect("readable");
    let mut content = String::new();
    open.read_to_string(&mut content).expect("readable");
    assert_eq!(content, "new content\n");
    assert!(!top.join("d/sub").exists());
    Tree::read(top);

    write_control(&mount, "restore", &old).expect("a restore");
    Tree::read(top).assert_same(&before);
    assert_eq!(mount.head(), old);
    assert_eq!(control(&mount, "status"), "");
    let mut content = [0; 64];
    let len = open.read_at(&mut content, 0).expect("readable");
    assert_eq!(&content[..len], b"old\n");
    // What was there is a commit, so that nothing is lost.
    let saved = control(&mount, "commit");
    assert_ne!(saved.trim(), old);
    write_control(&mount, "restore", saved.trim()).expect("a restore of what was saved");
    assert_eq!(fs::read(top.join("moved")).expect("back again"), b"stays\n");
    assert_eq!(fs::read(top.join("d/file")).expect("back again"), b"new content\n");
}

/// Names of a file that are tied anew change the directories that they are in.
#[test]
fn a_restored_path_is_what_it_was_with_names_that_share_a_file() {
    let mount = TestMount::new();
    let top = mount.path();
    sh(top, "mkdir -p d/one d/two other; echo a > d/one/f; ln d/one/f d/two/g; echo b > other/x");
    let old = mount.commit("old");
    let before = Tree::read(&top.join("d"));
    sh(top, "ln other/x other/y");
    for _ in 0..2 {
        write_control(&mount, "restore", &format!("{old}:d")).expect("a restore");
        Tree::read(&top.join("d")).assert_same(&before);
    }
}

#[test]
fn a_path_is_restored_alone() {
    let mount = TestMount::new();
    let top = mount.path();
    sh(top, "mkdir -p d/e; echo old > d/e/file; echo old > d/other");
    let old = mount.commit("old");
    sh(top, "echo new > d/e/file; echo new > d/other");
    write_control(&mount, "restore", &format!("{old}:d/e/file\n")).expect("a restore");
    assert_eq!(fs::read(top.join("d/e/file")).expect("a file"), b"old\n");
    assert_eq!(fs::read(top.join("d/other")).expect("a file"), b"new\n");
    sh(top, "rm -r d; touch .vst/commit");
    write_control(&mount, "restore", &format!("{old}:d/e")).expect("a restore");
    assert_eq!(fs::read(top.join("d/e/file")).expect("a file"), b"old\n");
    assert!(!top.join("d/other").exists());
}

#[test]
fn an_unknown_revision_or_path_fails_and_changes_nothing() {
    let mount = TestMount::new();
    let top = mount.path();
    assert_eq!(write_control(&mount, "restore", "HEAD"), Err(Errno::NOENT));
    sh(top, "echo x > file; touch .vst/commit; echo y > file");
    let head = mount.head();
    for text in ["0123456789abcdef", "no such tag", "HEAD~5", "@{x}", "HEAD^9", "\n"] {
        let errno = write_control(&mount, "restore", text).expect_err("no such revision");
        assert!(matches!(errno, Errno::NOENT | Errno::INVAL), "{text:?}: {errno}");
    }
    assert_eq!(write_control(&mount, "restore", "HEAD:no/such"), Err(Errno::NOENT));
    assert_eq!(fs::read(top.join("file")).expect("a file"), b"y\n");
    assert_eq!(write_control(&mount, "head", "x"), Err(Errno::ACCESS));
    let long = "m".repeat(70_000);
    let path = top.join(".vst/commit");
    let written =
        OpenOptions::new().write(true).open(&path).expect("it opens").write(long.as_bytes());
    assert_eq!(errno(written), Errno::MSGSIZE);
    let bad = OpenOptions::new().write(true).open(&path).expect("it opens").write(b"\xff\xfe");
    assert_eq!(errno(bad), Errno::ILSEQ);
    assert!(!control(&mount, "log").contains("mmm"), "head was {head}");
}
