//! Who changed what, as real programs do it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::TestMount;
use crate::shell::{have, is_root, sh, try_sh_as};

/// A change as `vst blame-file --json` tells it.
#[derive(Debug, PartialEq)]
struct Blame {
    committed: bool,
    change: String,
    path: String,
    command: Option<String>,
    uid: Option<u64>,
}

/// What `vst blame-file` tells, newest first.
fn blame(directory: &Path, path: &str) -> Vec<Blame> {
    let text = sh(directory, &format!("{} blame-file --json '{path}'", env!("CARGO_BIN_EXE_vst")));
    let value: Value = serde_json::from_str(&text).expect("it is JSON");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let rows = value.as_array().expect("it is an array").iter().map(|row| Blame {
        committed: !row["commit"].is_null(),
        change: text(&row["change"]).expect("it says what happened"),
        path: text(&row["path"]).expect("it says where"),
        command: text(&row["by"]["command"]),
        uid: row["by"]["uid"].as_u64(),
    });
    rows.collect()
}

/// The command that changed a path last.
#[track_caller]
fn command(mount: &TestMount, path: &str) -> String {
    let rows = blame(mount.path(), path);
    let row = rows.first().unwrap_or_else(|| panic!("nobody changed {path}"));
    row.command.clone().unwrap_or_else(|| panic!("nobody is known: {row:?}"))
}

#[test]
fn programs_are_told_by_their_names_before_the_commit_and_after() {
    let mount = TestMount::new();
    let top = mount.path();
    sh(
        top,
        "mkdir dir; echo first > shell; cp shell copy; echo x > edited
         # The shell opens the file, and the command becomes what writes it, in the same process.
         bash -c 'exec cat shell > became'
         # A process that changes its name between two writes.
         bash -c 'printf 1; exec cat shell' > both
         sed -i s/x/y/ edited; mv shell dir/moved; ln copy dir/linked; ln -s copy symlink
         echo x > mode; chmod 600 mode; truncate -s 100 truncated; mkfifo fifo
         dd if=/dev/zero of=dd bs=10 count=1 status=none; touch touched
         head -c 3000000 /dev/zero > large",
    );
    let expected = [
        ("dir", "mkdir"),
        ("became", "cat"),
        ("both", "cat"),
        ("edited", "sed"),
        ("dir/moved", "mv"),
        ("copy", "ln"),
        ("dir/linked", "ln"),
        ("symlink", "ln"),
        ("mode", "chmod"),
        ("truncated", "truncate"),
        ("fifo", "mkfifo"),
        ("dd", "dd"),
        ("touched", "touch"),
        ("large", "head"),
    ];
    for (path, name) in expected {
        assert_eq!(command(&mount, path), name, "{path}, not committed");
    }
    mount.commit("all");
    for (path, name) in expected {
        assert_eq!(command(&mount, path), name, "{path}, committed");
    }
    sh(top, "tee -a copy < edited > /dev/null; rm mode; mv dir new");
    let rows = blame(top, "copy");
    let told = rows.iter().map(|row| (row.committed, &*row.change, row.command.as_deref()));
    let uid = u64::from(rustix::process::geteuid().as_raw());
    assert!(rows.iter().all(|row| row.uid == Some(uid)), "{rows:?}");
    assert_eq!(
        told.collect::<Vec<_>>(),
        [(false, "modified", Some("tee")), (true, "added", Some("ln"))]
    );
    let rows = blame(top, "mode");
    assert_eq!((&*rows[0].change, &rows[0].command), ("deleted", &None));
    assert_eq!(command(&mount, "new/moved"), "mv");
    // Of a directory, all that is in it.
    let paths = blame(top, "new").into_iter().map(|row| row.path).collect::<Vec<_>>();
    assert_eq!(paths, ["new", "new/linked", "new/moved"]);
}

#[test]
fn what_is_known_survives_a_kill_and_a_remount_and_reads_the_same_unmounted() {
    let mut mount = TestMount::new();
    sh(mount.path(), "cp /etc/hostname kept; cp /etc/hostname changed");
    mount.commit("one");
    sh(mount.path(), "sed -i -e '$aline' changed; touch new");
    let told = |mount: &TestMount| ["kept", "changed", "new"].map(|path| command(mount, path));
    assert_eq!(told(&mount), ["cp", "sed", "touch"]);
    mount.kill();
    mount.start(&[]).expect("it recovers");
    assert_eq!(told(&mount), ["cp", "sed", "touch"]);
    mount.commit("two");
    mount.kill();
    mount.start(&[]).expect("it recovers");
    assert_eq!(told(&mount), ["cp", "sed", "touch"]);
    mount.unmount();
    let output = Command::new(env!("CARGO_BIN_EXE_vst"))
        .args(["--store".as_ref(), mount.store().as_os_str()])
        .args(["log", "--stat", "-n", "1"])
        .output()
        .expect("it is built");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("A new  (0 B)  by touch, "), "{text}");
    assert!(text.contains("  by sed, "), "{text}");
}

#[test]
fn a_mapping_is_changed_by_whoever_mapped_it() {
    if !have(&["python3"]) {
        return;
    }
    let mount = TestMount::new();
    sh(mount.path(), "head -c 10000 /dev/zero > file");
    mount.commit("one");
    let script = "import mmap, os
f = os.open('file', os.O_RDWR)
m = mmap.mmap(f, 10000)
os.close(f)
m[0] = 65
m.flush()";
    sh(mount.path(), &format!("python3 -c \"{script}\""));
    let name = command(&mount, "file");
    assert!(name.starts_with("python"), "{name}");
}

#[test]
fn a_restore_and_an_undo_are_the_work_of_vst_and_an_import_too() {
    let mount = TestMount::new();
    let (top, vst) = (mount.path(), env!("CARGO_BIN_EXE_vst"));
    sh(top, "cp /etc/hostname file; cp /etc/hostname other");
    mount.commit("one");
    sh(top, "sed -i -e '$aline' file other");
    mount.commit("two");
    sh(top, &format!("'{vst}' restore HEAD~1 file"));
    assert_eq!((command(&mount, "file"), command(&mount, "other")), ("vst".into(), "sed".into()));
    sh(top, "echo HEAD~1:other > .vst/restore");
    assert_eq!(command(&mount, "other"), "bash");
    let from = tempfile::tempdir().expect("a directory");
    std::fs::write(from.path().join("imported"), "text").expect("it is ours");
    sh(top, &format!("'{vst}' import '{}' --into imported", from.path().display()));
    assert_eq!(command(&mount, "imported/imported"), "vst");
}

#[test]
fn another_user_is_told_from_the_owner() {
    if !is_root() {
        eprintln!("skipped: only root can become other users");
        return;
    }
    let mount = TestMount::with_options(&["--allow-other"]);
    let above = mount.path().parent().expect("it lies in a directory");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(above, mode).expect("its own directory");
    sh(mount.path(), "cp /etc/hostname file; chmod 666 file");
    mount.commit("one");
    let output = try_sh_as(1, mount.path(), "echo more | tee -a file");
    assert!(output.status.success(), "{output:?}");
    let rows = blame(mount.path(), "file");
    let told: Vec<_> = rows.iter().map(|row| (row.command.as_deref(), row.uid)).collect();
    assert_eq!(told, [(Some("tee"), Some(1)), (Some("chmod"), Some(0))]);
    // It is history, which is the owner's to read.
    let refused =
        try_sh_as(1, mount.path(), &format!("{} blame-file file", env!("CARGO_BIN_EXE_vst")));
    assert!(!refused.status.success(), "{refused:?}");
}

#[test]
fn a_process_that_ends_at_once_is_known_and_so_is_each_of_many() {
    let mount = TestMount::new();
    sh(
        mount.path(),
        "for n in $(seq 50); do (exec touch t$n) & (exec truncate -s 9 s$n) & done; wait",
    );
    mount.commit("many");
    let mut rows = blame(mount.path(), ".");
    rows.retain(|row| row.path != ".");
    assert_eq!(rows.len(), 100);
    for row in rows {
        let expected = if row.path.starts_with('t') { "touch" } else { "truncate" };
        assert_eq!(row.command.as_deref(), Some(expected), "{row:?}");
    }
}

#[test]
fn a_mistyped_path_is_answered_with_what_there_is() {
    let mount = TestMount::new();
    sh(mount.path(), "touch README");
    mount.commit("one");
    let output = Command::new(env!("CARGO_BIN_EXE_vst"))
        .args(["blame-file", "REAMDE"])
        .current_dir(mount.path())
        .output()
        .expect("it is built");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("README"), "{text}");
}
