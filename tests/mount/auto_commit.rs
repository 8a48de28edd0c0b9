//! A mount that commits by itself.

use std::fs;
use std::time::Duration;

use crate::harness::{TestMount, wait_until};

/// How long a commit may take to be made; far beyond what it needs.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The messages of all commits, newest first.
fn messages(mount: &TestMount) -> Vec<String> {
    let output = mount.vst_on_store(&["log", "--json"]);
    let log: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let log = log.as_array().expect("a list");
    log.iter().map(|commit| commit["message"].as_str().expect("text").to_owned()).collect()
}

fn wait_for_commits(mount: &TestMount, count: usize) {
    let made = wait_until(TIMEOUT, || messages(mount).len() >= count);
    assert!(made, "{:?}\n{}", messages(mount), mount.output());
}

#[test]
fn what_changed_is_committed_after_a_while_and_is_there_after_the_daemon_was_killed() {
    let mut mount = TestMount::with_options(&["--auto-commit", "1s"]);
    fs::write(mount.path().join("file"), "one").expect("writable");
    wait_for_commits(&mount, 1);
    let head = mount.head();
    assert_eq!(fs::read(mount.snapshot(&head).join("file")).expect("it was committed"), b"one");
    fs::write(mount.path().join("other"), "two").expect("writable");
    wait_for_commits(&mount, 2);
    mount.kill();
    mount.remount_with_options(&[]);
    assert_eq!(messages(&mount)[0], "automatic commit");
    assert_eq!(fs::read(mount.snapshot("latest").join("other")).expect("it is there"), b"two");
}

#[test]
fn the_setting_counts_as_soon_as_it_is_set_and_for_later_mounts() {
    let mut mount = TestMount::new();
    fs::write(mount.path().join("file"), "one").expect("writable");
    assert!(mount.vst(&["config", "auto-commit", "1s"]).status.success());
    wait_for_commits(&mount, 1);
    mount.remount();
    fs::write(mount.path().join("file"), "two").expect("writable");
    wait_for_commits(&mount, 2);
    assert!(mount.vst(&["config", "--unset", "auto-commit"]).status.success());
    // From here on, none is made: the one that is asked for finds what was written.
    let head = mount.head();
    fs::write(mount.path().join("file"), "three").expect("writable");
    assert_eq!(mount.head(), head);
    mount.commit("asked for");
    assert_eq!(messages(&mount)[0], "asked for");
    mount.unmount();
    let failure = mount.start(&["--auto-commit", "0s"]).expect_err("that is no interval");
    assert!(failure.output.contains("a time of one second or more"), "{failure}");
}
