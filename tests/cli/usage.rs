//! Help, mistakes on the command line, and stores that are none.

use std::fs;
use std::process::{Command, Output};

use crate::store::{TestStore, VST, one_error, text};

const COMMANDS: [&str; 17] = [
    "mount", "umount", "commit", "status", "diff", "log", "show", "ls", "cat", "restore", "undo",
    "op", "tag", "import", "export", "stats", "verify",
];

fn vst(args: &[&str]) -> Output {
    Command::new(VST).args(args).current_dir("/").output().expect("the binary has been built")
}

#[test]
fn help_lists_every_command_and_each_has_its_own() {
    let output = vst(&["--help"]);
    assert!(output.status.success());
    let help = text(output.stdout);
    for command in COMMANDS {
        assert!(help.contains(&format!("\n  {command} ")), "{command}: {help}");
        let output = vst(&[command, "--help"]);
        assert!(output.status.success() && output.stderr.is_empty());
        let help = text(output.stdout);
        assert!(help.contains(&format!("Usage: vst {command}")), "{help}");
        assert!(!help.contains("report-ready"), "{help}");
    }
}

#[test]
fn a_command_line_that_is_not_understood_exits_with_2_and_one_line() {
    for (args, says) in [
        (&[][..], "--help"),
        (&["blame"], "unrecognized subcommand 'blame'"),
        (&["diff", "-M", "0"], "from 1 to 100"),
        (&["diff", "--json", "-p"], "'--patch'"),
        (&["diff", "a", "b", "c"], "'c'"),
        (&["log", "-n", "many"], "invalid value 'many'"),
        (&["status", "--frob"], "'--frob'"),
        (&["mount", "store"], "<MOUNTPOINT>"),
        (&["mount", "--cache-size", "1Q", "s", "m"], "64M"),
        (&["mount", "--durability", "none", "s", "m"], "fast, strict"),
        (&["mount", "--threads", "0", "s", "m"], "--threads"),
        (&["mount", "--transport", "none", "s", "m"], "auto, fuser, ring"),
        (&["--store", "s", "mount", "s", "m"], "--store"),
        (&["cat"], "<REV:PATH>"),
        (&["export", "HEAD"], "<DIR|FILE.tar|->"),
        (&["export", "--git", "HEAD", "x"], "takes no revision"),
        (&["export", "--json", "HEAD", "-"], "name a file"),
        (&["export", "--since", "HEAD", "HEAD", "-"], "--git"),
        (&["import", "a", "b"], "--git"),
        (&["import", "--git", "--merge", "a"], "--merge"),
    ] {
        let line = one_error(vst(args), 2);
        assert!(line.contains(says), "{args:?}: {line}");
    }
}

#[test]
fn outside_of_a_mount_the_ways_to_name_a_store_are_told() {
    for command in [&["status"][..], &["log"], &["commit"], &["cat", "HEAD:a"]] {
        let line = one_error(vst(command), 1);
        assert!(line.starts_with("/ is not in a mounted tree"), "{line}");
        assert!(line.contains("-C DIR") && line.contains("--store STORE"), "{line}");
    }
}

#[test]
fn a_store_that_is_missing_is_not_made() {
    let store = TestStore::missing();
    for args in [&["log"][..], &["commit"], &["status"], &["restore", "HEAD"], &["undo"], &["tag"]]
    {
        let line = store.error(1, args);
        assert!(line.starts_with("there is no store "), "{line}");
        assert!(!store.path().exists());
    }
    fs::create_dir(store.path()).expect("it is missing");
    for args in [&["log"][..], &["commit"]] {
        let line = store.error(1, args);
        assert!(line.contains(" is not a vst store: "), "{line}");
        assert_eq!(fs::read_dir(store.path()).expect("it was made").count(), 0);
    }
}

#[test]
fn a_foreign_directory_and_a_store_of_the_future_are_refused() {
    let store = TestStore::missing();
    fs::create_dir(store.path()).expect("it is missing");
    fs::write(store.path().join("notes"), "mine").expect("the directory is there");
    for args in [&["log"][..], &["commit"], &["status"]] {
        assert!(store.error(1, args).contains("is not a vst store and not empty"));
    }
    let store = TestStore::with_commits();
    fs::write(store.path().join("format"), "vst store 999\n").expect("it is a file");
    for args in [&["log"][..], &["commit"]] {
        assert!(store.error(1, args).contains("use a newer one"));
    }
}

#[test]
fn a_store_in_use_is_read_and_its_owner_named_to_those_who_would_change_it() {
    let store = TestStore::with_commits();
    let _owner = store.open();
    assert_eq!(store.ok(&["log"]).lines().count(), 3);
    let pid = format!("pid {}", std::process::id());
    for args in [&["commit"][..], &["status"], &["restore", "HEAD~1"], &["undo"], &["tag", "v1"]] {
        let line = store.error(1, args);
        assert!(line.contains(&pid), "{line}");
    }
}

#[test]
fn a_mount_that_cannot_be_is_refused_before_a_store_is_made() {
    let store = TestStore::missing();
    let top = store.directory();
    fs::create_dir_all(top.join("mnt/in")).expect("the directory is new");
    fs::write(top.join("file"), "").expect("the directory is there");
    let mount = |from: &str, to: &str| {
        let mut command = Command::new(VST);
        one_error(command.args(["mount", from, to]).current_dir(top).output().expect("built"), 1)
    };
    for (from, to, says) in [
        ("store", "none", "`mkdir none`"),
        ("store", "file", "is not a directory"),
        ("mnt/in/store", "mnt", "neither can be inside the other"),
        ("mnt", "mnt/in", "neither can be inside the other"),
        ("mnt", "mnt", "neither can be inside the other"),
        ("store", "/proc", "is a mountpoint already, of type proc"),
    ] {
        let line = mount(from, to);
        assert!(line.contains(says), "{from} {to}: {line}");
        assert!(!top.join(from).join("format").exists());
    }
}

#[test]
fn what_is_not_mounted_cannot_be_unmounted() {
    let store = TestStore::missing();
    let umount = |path: &str| {
        let mut command = Command::new(VST);
        let output = command.args(["umount", path]).current_dir(store.directory()).output();
        one_error(output.expect("built"), 1)
    };
    for path in [".", "missing"] {
        let line = umount(path);
        assert!(line.starts_with(&format!("nothing is mounted on {path}")), "{line}");
    }
    assert!(umount("/proc").contains("not one of vst"), "{}", umount("/proc"));
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let line = one_error(vst(&["-C", "/no\nwhere", "status"]), 1);
    assert_eq!(line, "going to /no\\nwhere: No such file or directory");
}
