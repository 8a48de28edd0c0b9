//! What is set for a store while it is mounted.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;

use rustix::io::Errno;

use crate::harness::TestMount;

fn text(output: std::process::Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn settings_are_changed_through_the_mount_and_survive_the_daemon() {
    let mut mount = TestMount::new();
    let file = mount.path().join(".vst/config");
    assert_eq!(text(mount.vst(&["config", "keep-daily", "30"])), "keep-daily is 30\n");
    assert_eq!(text(mount.vst_on_store(&["config", "keep-daily"])), "30\n");
    let told = fs::read_to_string(&file).expect("it can be read");
    assert!(told.contains("keep-daily 30\n") && told.contains("auto-commit off\n"), "{told}");

    let mut open = File::options().read(true).write(true).open(&file).expect("it opens");
    open.write_all(b"keep-tagged on\n").expect("it can be set");
    let mut answer = vec![0; 4096];
    let len = open.read_at(&mut answer, 0).expect("it answers");
    let answer = String::from_utf8_lossy(&answer[..len]).into_owned();
    assert_eq!(answer, told.replace("keep-tagged off", "keep-tagged on"));
    for (bad, says) in [("keep-all 1", "there is no setting"), ("keep-last", "a key and a value")] {
        let error = open.write(bad.as_bytes()).expect_err("it cannot be");
        assert_eq!(Errno::from_io_error(&error), Some(Errno::INVAL), "{bad}");
        let mut reason = vec![0; 4096];
        let len = open.read_at(&mut reason, 0).expect("it answers");
        let reason = String::from_utf8_lossy(&reason[..len]).into_owned();
        assert!(reason.starts_with("error: ") && reason.contains(says), "{bad}: {reason}");
    }
    drop(open);

    mount.kill();
    assert_eq!(text(mount.vst_on_store(&["config", "keep-tagged"])), "on\n");
    mount.remount_with_options(&["--read-only"]);
    assert_eq!(text(mount.vst(&["config", "keep-daily"])), "30\n");
    assert_eq!(fs::read_to_string(&file).expect("it can be read"), answer);
    let refused = mount.vst(&["config", "keep-daily", "31"]);
    let says = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && says.contains("is mounted read-only"), "{says}");
}

#[test]
fn a_collection_without_rules_goes_by_those_that_are_set() {
    let mount = TestMount::new();
    let ids: Vec<String> = (0..4)
        .map(|n| {
            fs::write(mount.path().join("file"), format!("{n}")).expect("writable");
            mount.commit("one of four")
        })
        .collect();
    text(mount.vst(&["config", "keep-last", "2"]));
    let said = text(mount.vst(&["gc"]));
    assert!(said.starts_with("dropped 2 snapshots, kept 2 snapshots\n"), "{said}");
    assert!(!mount.snapshot(&ids[1]).exists());
    assert_eq!(fs::read_to_string(mount.snapshot(&ids[2]).join("file")).expect("kept"), "2");
}

#[test]
fn a_damaged_configuration_is_told_when_a_store_is_mounted() {
    let mut mount = TestMount::new();
    text(mount.vst(&["config", "keep-last", "100"]));
    mount.unmount();
    let path = mount.store().join("config");
    let whole = fs::read_to_string(&path).expect("it is there");
    fs::write(&path, whole.replace("100", "10")).expect("writable");
    let failure = mount.start(&[]).expect_err("it may not drop what was to be kept");
    let says = "config is damaged at offset 28: line 3: the checksum does not match";
    assert!(failure.output.contains(says), "{failure}");
    fs::write(&path, whole).expect("writable");
    mount.start(&[]).expect("it is whole again");
}
