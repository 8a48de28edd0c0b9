//! Tags on a mount: links in `.snapshots` that come, move and go.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::harness::TestMount;
use crate::shell::sh;

fn target(mount: &TestMount, tag: &str) -> Result<PathBuf, ErrorKind> {
    fs::read_link(mount.snapshot(tag)).map_err(|error| error.kind())
}

fn names(mount: &TestMount) -> Vec<String> {
    let entries = fs::read_dir(mount.path().join(".snapshots")).expect("it can be listed");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string());
    names.map(|name| name.expect("text")).filter(|name| name.starts_with("t-")).collect()
}

#[test]
fn a_tag_is_a_link_that_is_there_moves_and_goes_at_once() {
    let mount = TestMount::new();
    fs::write(mount.path().join("file"), "one").expect("a new file");
    let first = mount.commit("first");
    fs::write(mount.path().join("file"), "two").expect("it is there");
    let second = mount.commit("second");
    for round in 0..3 {
        assert_eq!(target(&mount, "t-1"), Err(ErrorKind::NotFound), "{round}");
        assert_eq!(names(&mount), [""; 0]);
        let made = sh(mount.path(), &format!("{} tag t-1 HEAD~1", env!("CARGO_BIN_EXE_vst")));
        assert_eq!(made, format!("t-1 names {}\n", &first[..12]));
        assert_eq!(target(&mount, "t-1"), Ok(PathBuf::from(&first)));
        assert_eq!(names(&mount), ["t-1"]);
        assert_eq!(fs::read_to_string(mount.snapshot("t-1/file")).expect("a file"), "one");
        assert!(mount.vst_on_store(&["tag", "-f", "t-1"]).status.success());
        assert_eq!(target(&mount, "t-1"), Ok(PathBuf::from(&second)));
        assert_eq!(fs::read_to_string(mount.snapshot("t-1/file")).expect("a file"), "two");
        assert!(mount.vst(&["tag", "-d", "t-1"]).status.success());
    }
}

#[test]
fn tags_are_changed_through_a_control_file_which_says_what_is_wrong() {
    let mount = TestMount::new();
    fs::write(mount.path().join("file"), "one").expect("a new file");
    let id = mount.commit("first");
    let ask = |text: &str| -> Result<String, (Errno, String)> {
        let path = mount.path().join(".vst/tag");
        let mut file = File::options().read(true).write(true).open(path).expect("it opens");
        let done = file.write(text.as_bytes());
        let mut answer = vec![0; 4096];
        let len = file.read_at(&mut answer, 0).expect("it answers");
        let answer = String::from_utf8(answer[..len].to_vec()).expect("text");
        match done {
            Ok(_) => Ok(answer),
            Err(error) => Err((Errno::from_io_error(&error).expect("of the system"), answer)),
        }
    };
    let made = ask("make t-1 HEAD\n").expect("there is none yet");
    assert_eq!(made, format!("{{\"name\":\"t-1\",\"from\":null,\"to\":\"{id}\"}}\n"));
    let listed = fs::read_to_string(mount.path().join(".vst/tag")).expect("it can be read");
    assert_eq!(listed, format!("t-1 {id}\n"));
    for (text, errno, says) in [
        ("make t-1 HEAD", Errno::EXIST, "the tag t-1 names commit "),
        ("make t-2 none", Errno::NOENT, "no commit is called"),
        ("make t/2 HEAD", Errno::INVAL, "a slash"),
        ("delete t-2", Errno::NOENT, "there is no tag t-2"),
        ("t-2 HEAD", Errno::INVAL, "a tag is changed by"),
    ] {
        let (found, answer) = ask(text).expect_err("it cannot be");
        assert_eq!(found, errno, "{text}");
        assert!(answer.starts_with("error: ") && answer.contains(says), "{text}: {answer}");
    }
}

#[test]
fn a_tag_survives_the_daemon_and_keeps_its_commit() {
    let mut mount = TestMount::new();
    fs::write(mount.path().join("file"), "one").expect("a new file");
    mount.commit("first");
    assert!(mount.vst(&["tag", "t-1"]).status.success());
    for n in 0..3 {
        fs::write(mount.path().join("file"), n.to_string()).expect("it is there");
        mount.commit("more");
    }
    mount.kill();
    mount.remount();
    assert!(mount.vst(&["gc", "--keep-last", "1"]).status.success());
    assert_eq!(fs::read_to_string(mount.snapshot("t-1/file")).expect("it is kept"), "one");
    let log = String::from_utf8(mount.vst(&["log", "--all"]).stdout).expect("text");
    assert_eq!(log.lines().count(), 2, "{log}");
    assert!(log.lines().nth(1).is_some_and(|line| line.contains("  (t-1)  ")), "{log}");
}
