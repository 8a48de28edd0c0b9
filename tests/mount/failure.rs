//! What goes wrong: refusals to mount, daemons that end, stores that are damaged.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::io::Errno;
use rustix::process::Signal;

use crate::harness::{TestMount, umount_patiently, wait_until};
use crate::shell::{sh, try_sh};
use crate::tree::Tree;

fn vst<S: AsRef<OsStr>>(args: &[S]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vst"));
    command.args(args).current_dir("/").stdin(Stdio::null()).output().expect("it has been built")
}

/// Asks for something that must be refused, with exit status 1 and one line that holds all of
/// these texts.
#[track_caller]
fn assert_refused<S: AsRef<OsStr>>(args: &[S], texts: &[&str]) {
    let output = vst(args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    for text in texts {
        assert!(said.contains(text), "no {text:?} in {said}");
    }
}

#[track_caller]
fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> Errno {
    Errno::from_io_error(&result.expect_err("it must fail")).expect("an error of the system")
}

/// Bytes that no compression shortens.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn packs(mount: &TestMount) -> Vec<PathBuf> {
    let entries = fs::read_dir(mount.store().join("packs")).expect("the packs of the store");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

/// Changes a byte of content, found in the packs by some bytes of it.
fn flip(mount: &TestMount, content: &[u8]) {
    let mut found = 0;
    for path in packs(mount) {
        let mut bytes = fs::read(&path).expect("readable");
        let at = bytes.windows(content.len()).position(|window| window == content);
        if let Some(at) = at {
            bytes[at + content.len() / 2] ^= 1;
            fs::write(&path, bytes).expect("writable");
            found += 1;
        }
    }
    assert_eq!(found, 1, "the content is in one pack as it is");
}

#[test]
fn what_cannot_be_mounted_is_refused_in_one_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let [foreign, future, empty, mountpoint] =
        ["foreign", "future", "empty", "mnt"].map(|name| dir.path().join(name));
    for path in [&foreign, &future, &empty, &mountpoint] {
        fs::create_dir(path).expect("a new directory");
    }
    fs::write(foreign.join("thesis.tex"), "precious").expect("a new file");
    fs::write(future.join("format"), "vst store 999\n").expect("a new file");
    let mount = |store: &Path, at: &Path| ["mount".into(), store.to_owned(), at.to_owned()];
    assert_refused(&mount(&foreign, &mountpoint), &["foreign", "not a vst store"]);
    assert_refused(&mount(&future, &mountpoint), &["future", "999"]);
    assert_refused(&mount(&empty, &dir.path().join("missing")), &["missing", "does not exist"]);
    let file = foreign.join("thesis.tex");
    assert_refused(&mount(&empty, &file), &["thesis.tex", "not a directory"]);
    assert_refused(&mount(&file, &mountpoint), &["thesis.tex"]);
    assert_refused(&mount(&empty, &empty), &["inside"]);
    assert_refused(&["umount".into(), mountpoint.clone()], &["mnt", "nothing is mounted"]);
    assert_eq!(vst(&["mount"]).status.code(), Some(2));
    assert_eq!(fs::read(&file).expect("untouched"), b"precious");
    assert_eq!(fs::read_dir(&foreign).expect("readable").count(), 1);
    assert_eq!(fs::read_dir(&empty).expect("readable").count(), 0);
}

#[test]
fn a_mounted_store_and_a_used_mountpoint_are_refused() {
    let mut mount = TestMount::new();
    let dir = tempfile::tempdir().expect("a directory");
    let (store, other) = (mount.store().to_owned(), dir.path().join("other"));
    fs::create_dir(&other).expect("a new directory");
    let pid = mount.daemon_pid().to_string();
    assert_refused(&["mount".into(), store.clone(), other.clone()], &["store", &pid]);
    let at = mount.path().to_owned();
    assert_refused(&["mount".into(), store, at.clone()], &["mounted", "umount"]);
    let new = dir.path().join("new");
    assert_refused(&["mount".into(), new.clone(), at.clone()], &["mounted", "umount"]);
    assert!(!new.exists());
    sh(mount.path(), "echo works > file; touch .vst/commit");
    mount.unmount();
    assert_refused(&["umount".into(), at], &["nothing is mounted"]);
    mount.remount();
    assert_eq!(fs::read(mount.path().join("file")).expect("kept"), b"works\n");
}

#[test]
fn a_mount_in_the_background_answers_when_the_command_returns() {
    let mount = TestMount::prepare();
    let (store, at) = (mount.store().to_owned(), mount.path().to_owned());
    let output = vst(&["mount".into(), store.clone(), at.clone()]);
    assert!(output.status.success(), "{output:?}");
    assert!(mount.is_mounted());
    sh(&at, "echo x > file; touch .vst/commit");
    let busy = File::open(at.join("file")).expect("readable");
    assert_refused(&["umount".into(), at.clone()], &["in use"]);
    assert_eq!(fs::read(at.join("file")).expect("still mounted"), b"x\n");
    drop(busy);
    let output = umount_patiently(&at);
    assert!(output.status.success(), "{output:?}");
    assert!(!mount.is_mounted());
    assert!(fs::read_to_string(store.join("vst.log")).expect("a log").contains("unmounted"));
}

#[test]
fn a_flipped_byte_is_an_error_for_its_file_and_nothing_else() {
    let mut mount = TestMount::new();
    let (victim, other) = (noise(1, 1_000_000), noise(2, 1_000_000));
    fs::write(mount.path().join("victim"), &victim).expect("a new file");
    fs::write(mount.path().join("other"), &other).expect("a new file");
    let id = mount.commit("whole");
    mount.unmount();
    flip(&mount, &victim[500_000..500_064]);
    mount.remount();
    for top in [mount.path().to_owned(), mount.snapshot(&id)] {
        assert_eq!(errno(fs::read(top.join("victim"))), Errno::IO);
        assert!(fs::read(top.join("other")).expect("readable") == other);
        assert_eq!(fs::metadata(top.join("victim")).expect("known").len(), 1_000_000);
    }
    let logged = mount.output();
    assert!(logged.contains("ERROR") && logged.contains(".pack"), "{logged}");
    assert!(!logged.contains("panicked"), "{logged}");
    // The tree lives on, and the file can be written anew.
    fs::write(mount.path().join("victim"), &victim).expect("writable");
    mount.commit("mended");
    assert!(fs::read(mount.path().join("victim")).expect("readable") == victim);
}

#[test]
fn a_pack_that_was_cut_short_never_gives_wrong_bytes() {
    for tenths in [9, 5, 1] {
        let mut mount = TestMount::new();
        for number in 0..20 {
            let path = mount.path().join(number.to_string());
            fs::write(path, noise(number, 50_000)).expect("a new file");
            mount.commit("one more");
        }
        mount.unmount();
        for pack in packs(&mount) {
            let file = File::options().write(true).open(pack).expect("writable");
            let len = file.metadata().expect("there").len();
            file.set_len(len * tenths / 10).expect("shorter");
        }
        if let Err(failure) = mount.start(&[]) {
            let said = failure.output;
            assert!(failure.status.is_some_and(|status| status.code() == Some(1)), "{said}");
            assert!(!said.contains("panicked"), "{said}");
            continue;
        }
        for number in 0..20 {
            match fs::read(mount.path().join(number.to_string())) {
                Ok(bytes) => assert!(bytes == noise(number, 50_000), "wrong bytes in {number}"),
                Err(error) => {
                    let errno = Errno::from_io_error(&error);
                    assert!(matches!(errno, Some(Errno::IO | Errno::NOENT)), "{number}: {error}");
                }
            }
        }
        assert!(!mount.output().contains("panicked"), "{}", mount.output());
    }
}

#[test]
fn what_was_committed_survives_the_death_of_the_daemon() {
    let mut mount = TestMount::new();
    let top = mount.path().to_owned();
    sh(
        &top,
        "mkdir -p a/b; for i in $(seq 200); do echo $i > a/b/$i; done; ln a/b/1 hard; mkfifo fifo",
    );
    for round in 0..5 {
        sh(&top, &format!("echo {round} > a/round; mv a/b a/c; mv a/c a/b; echo {round} >> log"));
        let id = mount.commit("a round");
        let before = Tree::read(&top);
        let numbers = sh(&top, "find . -printf '%p %i %C@\\n' | sort");
        // With requests of others on their way.
        let mut writer = Command::new("bash")
            .args(["-c", "while echo x >> later; do :; done 2>/dev/null"])
            .current_dir(&top)
            .spawn()
            .expect("bash is there");
        assert!(wait_until(std::time::Duration::from_secs(10), || top.join("later").exists()));
        mount.kill();
        writer.wait().expect("it ends when it cannot write");
        mount.remount();
        assert_eq!(mount.head(), id);
        let keep = |tree: Tree| {
            tree.without("later").adjust(|path, node| {
                if path == Path::new(".") {
                    node.mtime_ns = 0;
                }
            })
        };
        keep(Tree::read(&mount.snapshot(&id))).assert_same(&keep(before.clone()));
        keep(Tree::read(&top)).assert_same(&keep(before));
        let after = sh(&top, "find . -printf '%p %i %C@\\n' | sort");
        let rest = |text: &str| -> Vec<String> {
            let lines = text.lines().filter(|l| !l.starts_with(". ") && !l.contains("later"));
            lines.map(str::to_owned).collect()
        };
        assert_eq!(rest(&numbers), rest(&after));
        sh(&top, "rm -f later");
    }
    assert_eq!(sh(&top, "wc -l < .vst/log").trim(), "5");
}

#[test]
fn what_was_synced_survives_the_death_of_the_daemon_without_a_commit() {
    let mut mount = TestMount::new();
    sh(mount.path(), "mkdir d; echo before > d/before; mv d moved");
    let path = mount.path().join("file");
    let mut file = File::create(&path).expect("a new file");
    file.write_all(b"synced").and_then(|()| file.sync_all()).expect("on the disk");
    mount.kill();
    drop(file);
    mount.remount();
    assert_eq!(fs::read(&path).expect("kept"), b"synced");
    // Everything that was done before it as well.
    assert_eq!(fs::read(mount.path().join("moved/before")).expect("kept"), b"before\n");
    assert!(!mount.path().join("d").exists());
}

#[test]
fn a_signal_makes_everything_durable_and_takes_the_mount_away() {
    let mut mount = TestMount::new();
    let top = mount.path().to_owned();
    for signal in [Signal::TERM, Signal::INT] {
        sh(&top, &format!("echo {signal:?} > file; mkdir -p d; date > d/new"));
        let before = Tree::read(&top);
        mount.end_by_signal(signal);
        mount.remount();
        Tree::read(&top).assert_same(&before);
        assert!(fs::read_to_string(top.join(".vst/log")).expect("a log").is_empty());
    }
}

#[test]
fn a_signal_ends_a_mount_whose_files_are_open() {
    let mut mount = TestMount::new();
    let path = mount.path().join("file");
    let mut file = File::create(&path).expect("a new file");
    file.write_all(b"acknowledged").expect("writable");
    mount.end_by_signal(Signal::TERM);
    // What is asked while the kernel takes rings apart is told that it was broken off.
    let gone = errno(file.write_all(b"x"));
    let broken_off = [Errno::NOTCONN, Errno::CONNABORTED, Errno::CANCELED];
    assert!(broken_off.contains(&gone), "{gone}");
    drop(file);
    mount.remount();
    assert_eq!(fs::read(&path).expect("kept"), b"acknowledged");
}

#[test]
fn a_read_only_mount_shows_everything_and_changes_nothing() {
    let mut mount = TestMount::new();
    let top = mount.path().to_owned();
    sh(&top, "mkdir d; echo one > d/file; echo first > .vst/commit; echo two > d/file");
    let before = Tree::read(&top);
    mount.remount_with_options(&["--read-only"]);
    Tree::read(&top).assert_same(&before);
    assert_eq!(errno(File::create(top.join("new"))), Errno::ROFS);
    assert_eq!(errno(fs::remove_file(top.join("d/file"))), Errno::ROFS);
    assert!(!try_sh(&top, "touch .vst/commit").status.success());
    assert_eq!(sh(&top, "cat .snapshots/latest/d/file"), "one\n");
    mount.remount_with_options(&[]);
    Tree::read(&top).assert_same(&before);
}

#[test]
fn a_mount_of_one_revision_is_its_tree() {
    let mut mount = TestMount::new();
    let top = mount.path().to_owned();
    sh(&top, "mkdir d; echo one > d/file; ln -s d link; ln d/file d/hard");
    let id = mount.commit("one");
    let before = Tree::read(&top);
    sh(&top, "echo two > d/file; rm link; touch .vst/commit; echo three > d/file");
    mount.remount_with_options(&["--rev", "HEAD~1"]);
    Tree::read(&top).assert_same(&before);
    assert_eq!(errno(File::create(top.join("new"))), Errno::ROFS);
    assert_eq!(errno(fs::remove_file(top.join("d/file"))), Errno::ROFS);
    mount.remount_with_options(&["--rev", &id[..12]]);
    Tree::read(&top).assert_same(&before);
    mount.unmount();
    let failure = mount.start(&["--rev", "no such"]).expect_err("there is none");
    assert_eq!(failure.status.and_then(|status| status.code()), Some(1), "{failure}");
    mount.remount_with_options(&[]);
    assert_eq!(fs::read(top.join("d/file")).expect("kept"), b"three\n");
}

/// A daemon that asks its own mount for something cannot be killed while it waits for the answer,
/// which nobody gives any more: it would keep the store for ever.
#[test]
fn a_daemon_can_be_killed_as_soon_as_it_has_mounted() {
    const KILLS: usize = 100;
    let mut mount = TestMount::new();
    mount.unmount();
    for _ in 0..KILLS {
        mount.start_and_kill_when_mounted();
    }
    mount.remount();
}
