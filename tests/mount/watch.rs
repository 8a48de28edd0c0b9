//! Following a mount: a stream of its commits.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::{TestMount, wait_until};

/// How long something that is waited for may take; far beyond what it needs.
const TIMEOUT: Duration = Duration::from_secs(60);

/// `vst watch --json` at work.
pub(crate) struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    pub(crate) fn start(mount: &TestMount, args: &[&str]) -> Self {
        let mut child = spawn(mount, args);
        let stdout = BufReader::new(child.stdout.take().expect("it is a pipe"));
        let (tell, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines() {
                if tell.send(line.expect("output is UTF-8")).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    #[track_caller]
    pub(crate) fn next(&self) -> Value {
        let line = self.lines.recv_timeout(TIMEOUT).expect("there is a commit to tell of");
        serde_json::from_str(&line).expect("JSON")
    }

    /// How it ended, and what it said on stderr. Nothing more was told.
    #[track_caller]
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let status = end(&mut self.child);
        let rest: Vec<String> = self.lines.iter().collect();
        assert_eq!(rest, [""; 0]);
        let mut text = String::new();
        let mut stderr = self.child.stderr.take().expect("it is a pipe");
        stderr.read_to_string(&mut text).expect("it can be read");
        (status, text)
    }
}

fn spawn(mount: &TestMount, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_vst"))
        .args(["watch", "--json"])
        .args(args)
        .current_dir(mount.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary has been built")
}

#[track_caller]
fn end(child: &mut Child) -> ExitStatus {
    let mut status = None;
    wait_until(TIMEOUT, || {
        status = child.try_wait().expect("it is a child");
        status.is_some()
    });
    status.unwrap_or_else(|| {
        child.kill().expect("it is there");
        panic!("it does not end")
    })
}

fn commit(mount: &TestMount, text: &str) -> String {
    fs::write(mount.path().join("file"), text).expect("writable");
    mount.commit(text)
}

#[test]
fn every_commit_is_told_once_and_in_order_however_fast_they_come() {
    let mut mount = TestMount::new();
    let first = commit(&mount, "first");
    let watch = Watch::start(&mount, &["--since", &first]);
    let mut parent = first;
    // Many are made between two looks, and some are taken back at once.
    let mut ids: Vec<String> = (0..300).map(|n| commit(&mount, &format!("fast {n}"))).collect();
    for id in &ids {
        let told = watch.next();
        assert_eq!((told["id"].as_str(), told["parent"].as_str()), (Some(&**id), Some(&*parent)));
        let changes = serde_json::json!([{"change": "modified", "path": "file"}]);
        assert_eq!((&told["changes"], &told["truncated"]), (&changes, &false.into()));
        parent.clone_from(id);
    }
    ids = vec![commit(&mount, "taken back")];
    assert!(mount.vst(&["undo"]).status.success());
    ids.push(commit(&mount, "after that"));
    for id in &ids {
        let told = watch.next();
        assert_eq!((told["id"].as_str(), told["parent"].as_str()), (Some(&**id), Some(&*parent)));
    }
    assert!(mount.vst(&["restore", "HEAD~1"]).status.success());
    fs::write(mount.path().join("other"), "x").expect("writable");
    let last = mount.commit("the last one");
    mount.unmount();
    let told = watch.next();
    assert_eq!((told["id"].as_str(), &told["message"]), (Some(&*last), &"the last one".into()));
    let added = serde_json::json!({"change": "added", "path": "other"});
    assert!(told["changes"].as_array().is_some_and(|changes| changes.contains(&added)), "{told}");
    let (status, says) = watch.end();
    assert_eq!((status.code(), &*says), (Some(0), ""));
}

#[test]
fn without_since_what_comes_from_now_on_is_told() {
    let mut mount = TestMount::new();
    commit(&mount, "before");
    let watch = Watch::start(&mount, &[]);
    // When it has begun to look can be seen by what it tells.
    let mut count = 0;
    let mut told = None;
    let begun = wait_until(TIMEOUT, || {
        count += 1;
        commit(&mount, &format!("{count}"));
        told = watch.lines.try_recv().ok();
        told.is_some()
    });
    assert!(begun, "it tells of nothing");
    let first: Value = serde_json::from_str(&told.expect("it has begun")).expect("JSON");
    assert_ne!(first["message"], "before");
    let first: u64 = first["message"].as_str().and_then(|n| n.parse().ok()).expect("a number");
    for number in first + 1..=count {
        assert_eq!(watch.next()["message"], number.to_string());
    }
    mount.unmount();
    let (status, says) = watch.end();
    assert_eq!((status.code(), &*says), (Some(0), ""));
}

#[test]
fn it_ends_quietly_when_it_is_interrupted_or_nobody_reads() {
    let mount = TestMount::new();
    let first = commit(&mount, "first");
    commit(&mount, "second");
    let watch = Watch::start(&mount, &["--since", &first]);
    assert_eq!(watch.next()["message"], "second");
    let pid = Pid::from_raw(watch.child.id().cast_signed()).expect("no process has the number 0");
    // What a shell has begun in the background ignores an interrupt, and so do these tests then.
    kill_process(pid, Signal::TERM).expect("it is there");
    let (status, says) = watch.end();
    assert_eq!((status.signal(), &*says), (Some(Signal::TERM.as_raw()), ""));

    let mut child = spawn(&mount, &["--since", &first]);
    let mut stdout: BufReader<ChildStdout> =
        BufReader::new(child.stdout.take().expect("it is a pipe"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("it tells of the second");
    drop(stdout);
    commit(&mount, "third");
    assert_eq!(end(&mut child).code(), Some(0));
    let mut says = String::new();
    let mut stderr = child.stderr.take().expect("it is a pipe");
    stderr.read_to_string(&mut says).expect("it can be read");
    assert_eq!(says, "");
}

#[test]
fn a_mount_whose_process_died_is_told_and_so_is_one_that_is_not_there() {
    let mut mount = TestMount::new();
    let first = commit(&mount, "first");
    commit(&mount, "second");
    let watch = Watch::start(&mount, &["--since", &first]);
    assert_eq!(watch.next()["message"], "second");
    mount.kill_daemon();
    let (status, says) = watch.end();
    assert_eq!(status.code(), Some(1), "{says}");
    assert!(says.contains("is gone: `vst umount "), "{says}");
    mount.remove_dead_mount();
    let output = mount.vst_on_store(&["watch"]);
    let says = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(says.contains("there is nothing to follow: `vst mount "), "{says}");
}

#[test]
fn changes_of_ignored_paths_are_told_of_in_no_line() {
    let mut mount = TestMount::new();
    let top = mount.path().to_owned();
    fs::write(top.join(".vstignore"), "target/\n*.o\n").expect("writable");
    fs::create_dir(top.join("target")).expect("writable");
    let first = commit(&mount, "first");
    let watch = Watch::start(&mount, &["--since", &first]);
    let write = |path: &str, text: &str| fs::write(top.join(path), text).expect("writable");
    write("target/built", "once");
    write("a.o", "once");
    assert_eq!(mount.commit("of what is ignored"), first, "there is nothing to commit");
    write("target/built", "twice");
    write("b.o", "twice");
    let both = commit(&mount, "of both");
    fs::remove_file(top.join("a.o")).expect("it is there");
    fs::rename(top.join("b.o"), top.join("b")).expect("it is there");
    let came = mount.commit("what was ignored came");
    let told = watch.next();
    assert_eq!(told["id"].as_str(), Some(&*both));
    let changes = serde_json::json!([{"change": "modified", "path": "file"}]);
    assert_eq!(told["changes"], changes);
    let told = watch.next();
    assert_eq!(told["id"].as_str(), Some(&*came));
    let changes = told["changes"].as_array().expect("it is an array");
    let paths: Vec<_> = changes.iter().map(|change| &change["path"]).collect();
    assert_eq!(paths, ["b"]);
    mount.unmount();
    let (status, says) = watch.end();
    assert_eq!((status.code(), &*says), (Some(0), ""));
}
