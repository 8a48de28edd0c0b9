//! What users other than the owner of a mount may do, in the live tree and in history. These tests
//! become other users, which only root can; they do nothing where somebody else runs them.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::harness::TestMount;
use crate::shell::{have, is_root, sh, try_sh_as};

/// Two users who are neither root nor in each other's group.
const ALICE: u32 = 1;
const BOB: u32 = 2;

/// A mount that lets other users in, as far down as to its top.
fn shared(options: &[&str]) -> Option<TestMount> {
    if !is_root() {
        eprintln!("skipped: only root can become other users");
        return None;
    }
    let options = [&["--allow-other"], options].concat();
    let mount = TestMount::with_options(&options);
    let above = mount.path().parent().expect("it lies in a directory");
    fs::set_permissions(above, Permissions::from_mode(0o755)).expect("its own directory");
    Some(mount)
}

#[track_caller]
fn may(user: u32, directory: &Path, script: &str) {
    let output = try_sh_as(user, directory, script);
    assert!(output.status.success(), "{user} in {directory:?}: {script}: {output:?}");
}

/// Checks that a command fails, with this message if there is one.
#[track_caller]
fn may_not(user: u32, directory: &Path, script: &str, message: &str) {
    let output = try_sh_as(user, directory, script);
    assert!(!output.status.success(), "{user} in {directory:?} did {script}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(message), "{user} in {directory:?}: {script}: {said}");
}

const DENIED: &str = "Permission denied";
const NOT_PERMITTED: &str = "Operation not permitted";

#[test]
fn modes_and_lists_bind_in_history_as_in_the_live_tree() {
    let Some(mount) = shared(&[]).filter(|_| have(&["setfacl"])) else { return };
    let top = mount.path();
    sh(
        top,
        "echo x > secret; chmod 600 secret
         echo x > theirs; chown 1:1 theirs; chmod 600 theirs
         echo x > group; chgrp 1 group; chmod 640 group
         echo x > listed; chmod 640 listed; setfacl -m u:1:r listed
         echo x > refused; chmod 644 refused; setfacl -m u:2:- refused
         mkdir closed through unlisted; echo x | tee closed/file through/file > unlisted/file
         chmod 700 closed; chmod 711 through; chmod 744 unlisted
         mkdir lists; echo x > lists/file; chmod 700 lists; setfacl -m u:1:rx lists",
    );
    let id = mount.commit("of several users");
    for place in [top.to_owned(), mount.snapshot(&id), mount.snapshot("latest")] {
        for (readable, path) in [
            (&[][..], "secret"),
            (&[ALICE], "theirs"),
            (&[ALICE], "group"),
            (&[ALICE], "listed"),
            (&[ALICE], "refused"),
            (&[], "closed/file"),
            (&[ALICE, BOB], "through/file"),
            (&[], "unlisted/file"),
            (&[ALICE], "lists/file"),
        ] {
            for user in [ALICE, BOB] {
                let read = format!("cat {path} && stat {path}");
                match readable.contains(&user) {
                    true => may(user, &place, &read),
                    false => may_not(user, &place, &format!("cat {path}"), DENIED),
                }
            }
        }
        for (listable, path) in [
            (&[][..], "closed"),
            (&[], "through"),
            (&[ALICE, BOB], "unlisted"),
            (&[ALICE], "lists"),
        ] {
            for user in [ALICE, BOB] {
                // Names can be listed where the files behind them cannot be looked at.
                let list = format!("ls -U {path}");
                match listable.contains(&user) {
                    true => may(user, &place, &list),
                    false => may_not(user, &place, &list, DENIED),
                }
            }
        }
        may_not(ALICE, &place, "getfattr -n user.vst.id secret", DENIED);
    }
    // In history not even the owner writes.
    may(ALICE, top, "echo more >> theirs");
    may_not(ALICE, &mount.snapshot(&id), "echo more >> theirs", "Read-only file system");
    assert_eq!(fs::read(mount.snapshot(&id).join("theirs")).expect("root reads all"), b"x\n");
    // What was closed in its time stays so, though it is open now.
    sh(top, "chmod 644 secret; chmod 755 closed");
    may(ALICE, top, "cat secret closed/file");
    may_not(ALICE, &mount.snapshot(&id), "cat secret", DENIED);
    may_not(ALICE, &mount.snapshot(&id), "cat closed/file", DENIED);
}

#[test]
fn a_top_that_is_closed_hides_history() {
    let Some(mount) = shared(&[]) else { return };
    fs::write(mount.path().join("file"), "x").expect("a new file");
    let id = mount.commit("a file for all");
    may(ALICE, mount.path(), &format!("cat .snapshots/{id}/file"));
    fs::set_permissions(mount.path(), Permissions::from_mode(0o700)).expect("root's own");
    let outside = Path::new("/");
    let top = mount.path().display();
    may_not(ALICE, outside, &format!("cat {top}/file"), DENIED);
    may_not(ALICE, outside, &format!("cat {top}/.snapshots/{id}/file"), DENIED);
    may_not(ALICE, outside, &format!("ls {top}/.snapshots"), DENIED);
}

#[test]
fn only_the_owner_of_the_mount_and_root_ask_for_history() {
    let Some(mount) = shared(&[]).filter(|_| have(&["setfattr", "getfattr"])) else { return };
    let top = mount.path();
    // Whoever may write anything here may still not commit.
    fs::set_permissions(top, Permissions::from_mode(0o777)).expect("root's own");
    sh(top, "echo x > file; chmod 666 file");
    let id = mount.commit("by the owner");
    may(ALICE, top, "echo changed > file; echo new > new");
    for script in
        ["ls .vst", "stat .vst/head", "cat .vst/status", "cat .vst/log", "touch .vst/commit"]
    {
        may_not(ALICE, top, script, DENIED);
    }
    may_not(ALICE, top, "echo message > .vst/commit", DENIED);
    may_not(ALICE, top, &format!("echo {id} > .vst/restore"), DENIED);
    may_not(ALICE, top, &format!("echo {id}:file > .vst/restore"), DENIED);
    may_not(ALICE, top, "setfattr -n user.vst.commit -v message .", NOT_PERMITTED);
    for name in ["user.vst.head", "user.vst.commit", "user.vst.changes-by"] {
        may_not(ALICE, top, &format!("getfattr -n {name} ."), DENIED);
        sh(top, &format!("getfattr -n {name} ."));
    }
    // What she can read she may also know the id of, and no name is listed for anybody.
    may(ALICE, top, "getfattr -n user.vst.id file; test -z \"$(getfattr -d -m - .)\"");
    may_not(ALICE, top, "chmod 755 .vst", NOT_PERMITTED);
    may_not(ALICE, top, "chmod 666 .snapshots", "");
    for name in ["user.vst.head", "user.vst.id", "user.vst.restore", "user.vst.anything"] {
        may_not(ALICE, top, &format!("setfattr -n {name} -v x file"), NOT_PERMITTED);
        may_not(ALICE, top, &format!("setfattr -x {name} file"), NOT_PERMITTED);
    }
    assert_eq!(mount.head(), id);
    assert_eq!(fs::read(top.join("file")).expect("readable"), b"changed\n");
    // Who mounted it may, and what the others wrote is in it.
    let next = mount.commit("by the owner again");
    may(ALICE, top, &format!("cat .snapshots/{next}/new; ls .snapshots"));
    assert_eq!(fs::metadata(mount.snapshot(&next).join("new")).expect("there").uid(), ALICE);
}

#[test]
fn a_mount_for_one_user_lets_nobody_else_in() {
    if !is_root() {
        return;
    }
    let mount = TestMount::new();
    let above = mount.path().parent().expect("it lies in a directory");
    fs::set_permissions(above, Permissions::from_mode(0o755)).expect("its own directory");
    fs::set_permissions(mount.path(), Permissions::from_mode(0o777)).expect("root's own");
    let top = mount.path().display();
    for script in [format!("ls {top}"), format!("stat {top}"), format!("touch {top}/new")] {
        may_not(ALICE, Path::new("/"), &script, DENIED);
    }
}

#[test]
fn sticky_directories_keep_what_belongs_to_others() {
    let Some(mount) = shared(&[]) else { return };
    let top = mount.path();
    sh(top, "mkdir -m 1777 tmp; mkdir -m 777 open; mkdir -m 777 open/from");
    may(ALICE, &top.join("tmp"), "echo a > mine; mkdir dir; ln -s mine link; echo b > other");
    may(BOB, &top.join("tmp"), "echo c > bobs; cat mine");
    for script in [
        "rm -f mine",
        "rm -f link",
        "rmdir dir",
        "mv mine elsewhere",
        "mv mine ../open/elsewhere",
        "mv -f bobs mine",
        "mv -fT bobs other",
    ] {
        may_not(BOB, &top.join("tmp"), script, NOT_PERMITTED);
    }
    if have(&["python3"]) {
        // Neither half of an exchange may be taken from its owner.
        let exchange = "import ctypes, os; libc = ctypes.CDLL(None, use_errno=True)
assert libc.renameat2(-100, b'bobs', -100, b'mine', 2) == -1 and ctypes.get_errno() == 1";
        may(BOB, &top.join("tmp"), &format!("python3 -c \"{exchange}\""));
    }
    // The owner of the file may, and so may the owner of the directory and root.
    may(ALICE, &top.join("tmp"), "rm mine; mv other renamed");
    sh(top, "chown 2 tmp; rm tmp/link");
    may(BOB, &top.join("tmp"), "rm renamed; rmdir dir");
    // Without the bit, whoever may write the directory may remove what is in it.
    may(ALICE, &top.join("open"), "echo x > mine");
    may(BOB, &top.join("open"), "rm -f mine");
}

#[test]
fn whatever_another_user_does_to_the_content_clears_setuid() {
    let tools = ["truncate", "fallocate", "dd", "setcap", "getcap"];
    let Some(mount) = shared(&[]).filter(|_| have(&tools[..3])) else { return };
    let top = mount.path();
    fs::write(top.join("file"), [b'x'; 10_000]).expect("a new file");
    let mode = || fs::metadata(top.join("file")).expect("there").mode() & 0o7777;
    let capable = have(&tools[3..]);
    for script in [
        "echo more >> file",
        "dd if=/dev/zero of=file bs=1 count=1 conv=notrunc status=none",
        "dd if=/dev/zero of=file bs=4096 count=1 conv=notrunc oflag=direct status=none",
        "truncate -s 9000 file",
        ": > file",
        "fallocate -l 20000 file",
        "fallocate -n -l 50000 file",
        "fallocate -l 100 file",
        "fallocate -p -o 4096 -l 4096 file",
        "fallocate -z -o 10000 -l 20000 file",
    ] {
        sh(top, "chmod 6777 file");
        if capable {
            sh(top, "setcap cap_net_raw+ep file");
        }
        may(ALICE, top, script);
        assert_eq!(mode(), 0o777, "{script}");
        if capable {
            assert_eq!(sh(top, "getcap file"), "", "{script}");
        }
        // Root has the right to keep them.
        sh(top, &format!("chmod 6777 file; {script}"));
        assert_eq!(mode(), 0o6777, "{script}, as root");
    }
    if mount.transport() == "ring" && have(&["setpriv"]) {
        // `fuser` does not pass on who has it.
        let without_right = "setpriv --bounding-set=-fsetid --inh-caps=-fsetid";
        sh(top, &format!("chmod 6777 file; {without_right} truncate -s 5 file"));
        assert_eq!(mode(), 0o777, "as root without the right to keep them");
    }
    // Without execution for the group, setgid is no privilege.
    sh(top, "chmod 6767 file");
    may(ALICE, top, "fallocate -l 300 file");
    assert_eq!(mode(), 0o2767);
}

#[test]
fn setgid_goes_when_one_outside_the_group_sets_mode_or_list() {
    let Some(mount) = shared(&[]).filter(|_| have(&["setfacl"])) else { return };
    let top = mount.path();
    sh(top, "echo x > file; chown 1:2 file; echo x > own; chown 1:1 own");
    let mode = |name| fs::metadata(top.join(name)).expect("there").mode() & 0o7777;
    may(ALICE, top, "chmod 2755 file own");
    assert_eq!((mode("file"), mode("own")), (0o755, 0o2755));
    sh(top, "chmod 2755 file");
    may(ALICE, top, "setfacl -m u:2:rx file own");
    assert_eq!((mode("file"), mode("own")), (0o755, 0o2755));
    if have(&["setpriv"]) {
        let member = "setpriv --reuid 1 --regid 1 --groups 2";
        sh(top, &format!("chmod 2755 file; {member} setfacl -m u:2:r file"));
        assert_eq!(mode("file"), 0o2755, "who is in the group by the way may keep it");
    }
    sh(top, "chmod 2755 file; setfacl -m u:2:r file");
    assert_eq!(mode("file"), 0o2755, "root may keep it");
}

#[test]
fn setuid_programs_run_as_who_runs_them() {
    let Some(mount) = shared(&["--dev"]) else { return };
    let top = mount.path();
    sh(top, "cp \"$(command -v id)\" id; chmod 6755 id");
    let id = mount.commit("a program with privileges");
    for place in [top.to_owned(), mount.snapshot(&id)] {
        assert_eq!(fs::metadata(place.join("id")).expect("there").mode() & 0o7777, 0o6755);
        may(ALICE, &place, "test \"$(./id -u):$(./id -g)\" = 1:1");
    }
}

#[test]
fn device_nodes_work_if_they_are_asked_for_and_not_otherwise() {
    let Some(mut mount) = shared(&["--dev"]) else { return };
    let top = mount.path().to_owned();
    sh(&top, "mknod -m 666 null c 1 3; mknod -m 600 mine c 1 3");
    let id = mount.commit("devices");
    for place in [top.clone(), mount.snapshot(&id)] {
        may(ALICE, &place, "test -z \"$(cat null)\"");
        may_not(ALICE, &place, "cat mine", DENIED);
    }
    may(ALICE, &top, "echo x > null");
    may_not(ALICE, &top, "mknod other c 1 3", "");
    mount.remount_with_options(&["--allow-other"]);
    for place in [top.clone(), mount.snapshot(&id)] {
        may_not(ALICE, &place, "cat null", DENIED);
        let opened = fs::File::open(place.join("null"));
        assert!(opened.is_err_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied));
    }
}
