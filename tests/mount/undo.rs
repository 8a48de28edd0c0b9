//! Undo and the operation log on a mount.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::io::Errno;
use serde_json::Value;

use crate::harness::TestMount;
use crate::tree::Tree;

fn json(mount: &TestMount, args: &[&str]) -> Value {
    let output = mount.vst(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    serde_json::from_slice(&output.stdout).expect("it is JSON")
}

/// Writes to `.vst/undo`, and returns what the handle reads then.
fn undo(mount: &TestMount) -> Result<Value, (Errno, String)> {
    let path = mount.path().join(".vst/undo");
    let mut file = File::options().read(true).write(true).open(path).expect("it opens");
    let done = file.write(b"\n");
    let mut answer = vec![0; 4096];
    let len = file.read_at(&mut answer, 0).expect("it answers");
    let answer = String::from_utf8(answer[..len].to_vec()).expect("text");
    match done {
        Ok(_) => Ok(serde_json::from_str(&answer).expect("it is JSON")),
        Err(error) => Err((Errno::from_io_error(&error).expect("of the system"), answer)),
    }
}

fn fill(top: &Path) {
    fs::create_dir_all(top.join("dir/below")).expect("new directories");
    fs::write(top.join("dir/file"), vec![7; 100_000]).expect("a new file");
    fs::write(top.join("dir/below/other"), "other").expect("a new file");
    fs::hard_link(top.join("dir/file"), top.join("link")).expect("a new name");
    std::os::unix::fs::symlink("dir/file", top.join("symlink")).expect("a new link");
    rustix::fs::setxattr(top.join("dir"), "user.a", b"b", rustix::fs::XattrFlags::empty())
        .expect("an attribute");
}

#[test]
fn a_restore_that_is_taken_back_gives_every_byte_to_those_who_have_files_open() {
    let mount = TestMount::new();
    let top = mount.path();
    fs::write(top.join("file"), "first").expect("a new file");
    let first = mount.commit("first");
    fill(top);
    fs::write(top.join("file"), "second, and longer").expect("it is there");
    let second = mount.commit("second");
    fs::write(top.join("file"), "third, in no commit").expect("it is there");
    fs::write(top.join("uncommitted"), "not yet").expect("a new file");
    let before = Tree::read(top);
    let mut open = File::open(top.join("file")).expect("it is there");
    let ino = fs::metadata(top.join("file")).expect("it is there").ino();
    fs::write(top.join(".vst/restore"), &first).expect("the commit is there");
    assert_eq!(fs::read_to_string(top.join("file")).expect("a file"), "first");
    assert!(!top.join("dir").exists());
    let undone = undo(&mount).expect("there is a restore");
    assert_eq!(undone["undone"]["kind"], "restore");
    assert_eq!((&undone["head"], &undone["saved"]), (&Value::from(second.clone()), &Value::Null));
    assert_eq!(mount.head(), second);
    Tree::read(top).assert_same(&before);
    let mut text = String::new();
    open.seek(SeekFrom::Start(0)).expect("a file");
    open.read_to_string(&mut text).expect("it can be read");
    assert_eq!(text, "third, in no commit");
    assert_eq!(fs::metadata(top.join("file")).expect("it is there").ino(), ino);
    // The next one takes the second commit back, and leaves the files alone.
    let undone = undo(&mount).expect("there is a commit");
    assert_eq!((&undone["undone"]["kind"], &undone["head"]), (&"commit".into(), &first.into()));
    Tree::read(top).assert_same(&before);
    undo(&mount).expect("there is a commit");
    assert_eq!(fs::read_to_string(top.join(".vst/head")).expect("it can be read"), "");
    let (errno, answer) = undo(&mount).expect_err("nothing is left");
    assert_eq!(errno, Errno::NODATA);
    assert!(answer.starts_with("error: there is nothing to take back"), "{answer}");
}

#[test]
fn undo_by_command_works_mounted_and_not_and_the_log_is_the_same() {
    let mut mount = TestMount::new();
    for n in 1..=3 {
        fs::write(mount.path().join("file"), n.to_string()).expect("a new file");
        mount.commit(&n.to_string());
    }
    assert!(mount.vst(&["restore", "HEAD~1", "file"]).status.success());
    let said = mount.vst(&["undo"]).stdout;
    let said = String::from_utf8(said).expect("text");
    assert!(said.contains("took back the restore of "), "{said}");
    assert_eq!(fs::read_to_string(mount.path().join("file")).expect("a file"), "3");
    let log = json(&mount, &["op", "log", "--json"]);
    assert_eq!(log.as_array().map(Vec::len), Some(5));
    assert_eq!(log[0]["of"], 4);
    let lines = String::from_utf8(mount.vst(&["op", "log"]).stdout).expect("text");
    assert_eq!(lines.lines().filter(|line| line.ends_with("  (taken back)")).count(), 1, "{lines}");
    // All of it was answered, so all of it survives.
    mount.kill();
    let read = |mount: &TestMount, args: &[&str]| -> Value {
        serde_json::from_slice(&mount.vst_on_store(args).stdout).expect("it is JSON")
    };
    assert_eq!(read(&mount, &["op", "log", "--json"]), log);
    let undone = read(&mount, &["undo", "--json"]);
    assert_eq!(undone["undone"]["number"], 3);
    mount.remount();
    assert_eq!(fs::read_to_string(mount.path().join("file")).expect("a file"), "3");
    assert_eq!(json(&mount, &["op", "log", "--json"])[0]["of"], 3);
    assert_eq!(json(&mount, &["op", "log", "--json", "-n", "1"]).as_array().map(Vec::len), Some(1));
    let status = String::from_utf8(mount.vst(&["status"]).stdout).expect("text");
    assert_eq!(status, "M file\n");
}

#[test]
fn several_paths_are_restored_and_taken_back_together() {
    let mount = TestMount::new();
    let top = mount.path();
    fill(top);
    fs::write(top.join("with\nline"), "odd").expect("a new file");
    mount.commit("first");
    for path in ["link", "with\nline"] {
        fs::remove_file(top.join(path)).expect("it is there");
    }
    fs::remove_dir_all(top.join("dir")).expect("it is there");
    let before = Tree::read(top);
    let json =
        json(&mount, &["restore", "--json", "HEAD", "dir", "link", "with\nline", "dir/file"]);
    assert!(json["saved"].is_string(), "{json}");
    let (file, link) = (fs::metadata(top.join("dir/file")), fs::metadata(top.join("link")));
    assert_eq!(file.expect("it is back").ino(), link.expect("it is back").ino());
    assert!(mount.vst(&["undo"]).status.success());
    Tree::read(top).assert_same(&before);
}

#[test]
fn a_mount_that_cannot_change_takes_nothing_back_and_tells_the_log() {
    let mut mount = TestMount::new();
    fs::write(mount.path().join("file"), "text").expect("a new file");
    mount.commit("first");
    mount.remount_with_options(&["--read-only"]);
    let output = mount.vst(&["undo"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("read-only"), "{output:?}");
    assert_eq!(json(&mount, &["op", "log", "--json"])[0]["kind"], "commit");
}
