//! `vst` on a store that is mounted: mounting in the background, unmounting, and the commands
//! that talk to the daemon.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::harness::{TestMount, wait_until};

const VST: &str = env!("CARGO_BIN_EXE_vst");
/// How long a daemon may take to end.
const EXIT_TIMEOUT: Duration = Duration::from_secs(30);

#[track_caller]
fn ok(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("output is UTF-8")
}

#[track_caller]
fn error(output: Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stderr = String::from_utf8(output.stderr).expect("it is UTF-8");
    assert!(stderr.starts_with("vst: ") && stderr.lines().count() == 1, "{stderr}");
    stderr
}

fn vst(args: &[&Path]) -> Output {
    Command::new(VST).args(args).stdin(Stdio::null()).output().expect("it is built")
}

/// The daemon of a store, from its lock.
fn owner(store: &Path) -> Pid {
    let text = fs::read_to_string(store.join("lock")).expect("a store has a lock");
    Pid::from_raw(text.trim().parse().expect("a number")).expect("a process")
}

fn is_gone(pid: Pid) -> bool {
    rustix::process::test_kill_process(pid).is_err()
        || fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))
            .is_ok_and(|stat| stat.contains(") Z "))
}

#[test]
fn mount_returns_when_the_tree_can_be_used_and_umount_when_it_is_kept() {
    let mount = TestMount::prepare();
    for round in 0..3 {
        // Returns although the daemon goes on: it holds none of the pipes.
        let output = vst(&["mount".as_ref(), mount.store(), mount.path()]);
        assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
        ok(output);
        for before in 0..round {
            let name = before.to_string();
            assert_eq!(fs::read_to_string(mount.path().join(&name)).unwrap(), name);
        }
        fs::write(mount.path().join(round.to_string()), round.to_string()).unwrap();
        let daemon = owner(mount.store());
        ok(vst(&["umount".as_ref(), mount.path()]));
        assert!(!mount.is_mounted());
        // Nothing keeps the next one from opening the store.
        ok(vst(&["--store".as_ref(), mount.store(), "status".as_ref()]));
        assert!(wait_until(EXIT_TIMEOUT, || is_gone(daemon)));
    }
    let log = fs::read_to_string(mount.store().join("vst.log")).unwrap();
    assert_eq!(log.lines().filter(|line| line.contains(": mounted ")).count(), 3, "{log}");
}

#[test]
fn a_mount_that_fails_says_why_and_leaves_nothing() {
    let mount = TestMount::new();
    let other = TestMount::prepare();
    let text = error(vst(&["mount".as_ref(), mount.store(), other.path()]));
    assert!(text.contains(&format!("pid {}", mount.daemon_pid())), "{text}");
    assert!(!other.is_mounted());
    let text = error(vst(&["mount".as_ref(), other.store(), mount.path()]));
    assert!(text.contains("is mounted on") && text.contains("vst umount"), "{text}");
    assert!(!other.store().exists());
}

#[test]
fn commands_find_the_store_from_any_directory_of_the_mount() {
    let mount = TestMount::new();
    fs::create_dir_all(mount.path().join("a/b")).unwrap();
    fs::write(mount.path().join("a/b/c"), "text").unwrap();
    let id = ok(mount.vst(&["-C", "a/b", "commit", "-m", "a message\n\nof lines\n"]));
    assert_eq!(id.trim_end(), mount.head());
    assert_eq!(ok(mount.vst(&["-C", "a/b", "cat", "HEAD:./c"])), "text");
    assert_eq!(ok(mount.vst(&["cat", "HEAD:a/b/c"])), "text");
    assert_eq!(ok(mount.vst_on_store(&["cat", "HEAD:a/b/c"])), "text");
    fs::write(mount.path().join("a/other"), "").unwrap();
    ok(mount.vst(&["commit"]));
    let here = ok(mount.vst(&["-C", "a/b", "log", "."]));
    assert_eq!(here.lines().count(), 1, "{here}");
    assert!(here.ends_with("  a message\n"), "{here}");
    let other = mount.path().join("a/other");
    let there = ok(mount.vst(&["-C", "a/b", "log", other.to_str().unwrap()]));
    assert!(there.lines().count() == 1 && there != here, "{there}");
    let shown = ok(mount.vst(&["show", id.trim_end()]));
    assert!(shown.contains("\n    a message\n\n    of lines\n"), "{shown}");
}

#[test]
fn commit_tells_the_daemon_what_it_was_told() {
    let mount = TestMount::new();
    fs::write(mount.path().join("file"), "text").unwrap();
    let id = ok(mount.vst(&["commit"]));
    assert_eq!(ok(mount.vst(&["commit", "--durable"])), id);
    assert_eq!(ok(mount.vst_on_store(&["commit"])), id);
    let empty = ok(mount.vst(&["commit", "--allow-empty", "--durable", "-m", "once more"]));
    assert_ne!(empty, id);
    let log: serde_json::Value = serde_json::from_str(&ok(mount.vst(&["log", "--json"]))).unwrap();
    assert_eq!(log[0]["message"], "once more");
    assert_eq!(log[1]["message"], "");
    assert_eq!((&log[0]["root"], &log[0]["parents"][0]), (&log[1]["root"], &log[1]["id"]));
    let text = error(mount.vst(&["commit", "--allow-empty", "-m", &"x".repeat(70_000)]));
    assert!(text.contains("mount"), "{text}");
    fs::write(mount.path().join("file"), "more").unwrap();
    let text = error(mount.vst(&["commit", "-m", &"x".repeat(70_000)]));
    assert!(text.contains("the message is longer than"), "{text}");
}

#[test]
fn status_and_restore_know_paths_of_all_kinds() {
    let mount = TestMount::new();
    let names = ["plain", "a -> b", "with \"quotes\"", "line\nfeed", " blank "];
    for name in names {
        fs::write(mount.path().join(name), name).unwrap();
    }
    let first = ok(mount.vst(&["commit"]));
    assert_eq!(ok(mount.vst(&["status"])), "");
    fs::rename(mount.path().join("a -> b"), mount.path().join("b -> a")).unwrap();
    fs::remove_file(mount.path().join("line\nfeed")).unwrap();
    fs::write(mount.path().join(" blank "), "changed").unwrap();
    let status = ok(mount.vst(&["status"]));
    assert_eq!(status, fs::read_to_string(mount.path().join(".vst/status")).unwrap());
    let json: serde_json::Value =
        serde_json::from_str(&ok(mount.vst(&["status", "--json"]))).unwrap();
    let mut changes: Vec<&str> = json["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["path"].as_str().unwrap())
        .collect();
    changes.sort();
    assert_eq!(changes, [" blank ", "b -> a", "line\nfeed"]);
    assert!(error(mount.vst(&["restore", "HEAD~9"])).contains("beyond the first commit"));
    let first = first.trim_end();
    let said = ok(mount.vst(&["restore", first, "a -> b", "line\nfeed", " blank "]));
    assert!(said.starts_with("saved what was there as "), "{said}");
    for name in names {
        assert_eq!(fs::read_to_string(mount.path().join(name)).unwrap(), name);
    }
    ok(mount.vst(&["restore", first]));
    assert!(!mount.path().join("b -> a").exists());
    assert_eq!(ok(mount.vst(&["status"])), "");
    assert!(ok(mount.vst(&["log", "--all"])).lines().count() > 2);
}

#[test]
fn a_mount_in_use_stays_and_the_message_tells_how_to_find_who_uses_it() {
    let mut mount = TestMount::new();
    let mut file = File::create(mount.path().join("file")).unwrap();
    let text = error(vst(&["umount".as_ref(), mount.path()]));
    assert!(text.contains("`fuser -vm "), "{text}");
    file.write_all(b"text").unwrap();
    drop(file);
    mount.unmount();
}

#[test]
fn a_path_that_is_no_mountpoint_is_told_which_is() {
    let mount = TestMount::new();
    fs::create_dir(mount.path().join("dir")).unwrap();
    let advice = format!("`vst umount {}`", mount.path().display());
    for path in [mount.path().join("dir"), mount.path().join("none"), mount.store().to_owned()] {
        let text = error(vst(&["umount".as_ref(), &path]));
        assert!(text.contains(&advice), "{text}");
    }
    assert!(mount.is_mounted());
}

#[test]
fn a_signal_ends_the_mount_and_keeps_everything() {
    for signal in [Signal::TERM, Signal::INT] {
        let mount = TestMount::prepare();
        ok(vst(&["mount".as_ref(), mount.store(), mount.path()]));
        fs::write(mount.path().join("file"), "text").unwrap();
        let daemon = owner(mount.store());
        rustix::process::kill_process(daemon, signal).unwrap();
        assert!(wait_until(EXIT_TIMEOUT, || !mount.is_mounted()));
        assert!(wait_until(EXIT_TIMEOUT, || mount.vst_on_store(&["status"]).status.success()));
        assert_eq!(ok(mount.vst_on_store(&["status"])), "A file\n");
    }
}

#[test]
fn a_signal_ends_a_mount_in_use_as_well() {
    let mount = TestMount::prepare();
    let mut daemon = Command::new(VST)
        .args(["mount".as_ref(), mount.store(), mount.path(), "--foreground".as_ref()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert!(wait_until(EXIT_TIMEOUT, || mount.is_mounted()));
    let mut file = File::create(mount.path().join("file")).unwrap();
    file.write_all(b"text").unwrap();
    let pid = Pid::from_raw(i32::try_from(daemon.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert!(wait_until(EXIT_TIMEOUT, || !mount.is_mounted()));
    // Who had it open may finish.
    file.write_all(b" and more").unwrap();
    let status = daemon.wait().unwrap();
    assert!(status.success(), "{:?} {:?}", status.code(), status.signal());
    assert!(file.write_all(b"too late").is_err());
    ok(vst(&["--store".as_ref(), mount.store(), "commit".as_ref()]));
    let text = vst(&["--store".as_ref(), mount.store(), "cat".as_ref(), "HEAD:file".as_ref()]);
    assert_eq!(ok(text), "text and more");
}

#[test]
fn the_mount_of_a_dead_daemon_is_named_and_can_be_taken_away() {
    let mount = TestMount::prepare();
    ok(vst(&["mount".as_ref(), mount.store(), mount.path()]));
    fs::write(mount.path().join("file"), "text").unwrap();
    ok(mount.vst(&["commit"]));
    let daemon = owner(mount.store());
    rustix::process::kill_process(daemon, Signal::KILL).unwrap();
    assert!(wait_until(EXIT_TIMEOUT, || is_gone(daemon)));
    for args in [&["status"][..], &["commit"]] {
        let text = error(mount.vst_on_store(args));
        assert!(text.contains("is gone") && text.contains("`vst umount "), "{text}");
    }
    let text = error(vst(&["-C".as_ref(), mount.path(), "status".as_ref()]));
    assert!(text.contains("is gone"), "{text}");
    let text = error(vst(&["mount".as_ref(), mount.store(), mount.path()]));
    assert!(text.contains("`vst umount "), "{text}");
    // History can be read without it.
    assert_eq!(ok(mount.vst_on_store(&["cat", "HEAD:file"])), "text");
    ok(vst(&["umount".as_ref(), mount.path()]));
    assert!(!mount.is_mounted());
    ok(vst(&["mount".as_ref(), mount.store(), mount.path()]));
    assert_eq!(fs::read_to_string(mount.path().join("file")).unwrap(), "text");
    ok(vst(&["umount".as_ref(), mount.path()]));
}

#[test]
fn one_snapshot_is_mounted_beside_the_living_tree() {
    let mount = TestMount::new();
    fs::write(mount.path().join("file"), "old").unwrap();
    ok(mount.vst(&["commit"]));
    fs::write(mount.path().join("file"), "new").unwrap();
    ok(mount.vst(&["commit"]));
    let old = TestMount::prepare();
    ok(vst(&["mount".as_ref(), "--rev=HEAD~1".as_ref(), mount.store(), old.path()]));
    assert_eq!(fs::read_to_string(old.path().join("file")).unwrap(), "old");
    let error = fs::write(old.path().join("file"), "other").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    // Commands find the living tree of the store from there.
    fs::write(mount.path().join("more"), "").unwrap();
    let status = vst(&["-C".as_ref(), old.path(), "status".as_ref()]);
    assert_eq!(ok(status), "A more\n");
    ok(vst(&["umount".as_ref(), old.path()]));
    assert!(mount.is_mounted());
}

#[test]
fn a_read_only_mount_is_looked_at_and_not_changed() {
    let mut mount = TestMount::new();
    fs::write(mount.path().join("file"), "text").unwrap();
    mount.remount_with_options(&["--read-only"]);
    assert_eq!(ok(mount.vst(&["status"])), "A file\n");
    for args in [&["commit"][..], &["commit", "--allow-empty"]] {
        for output in [mount.vst(args), mount.vst_on_store(args)] {
            let text = error(output);
            assert!(text.contains("is mounted read-only"), "{text}");
        }
    }
}
