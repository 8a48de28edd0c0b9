//! Mounts of users who are not root, by way of `fusermount3`, and what becomes of rings that cannot
//! be had or that fail. These tests become another user, which only root can; they do nothing where
//! somebody else runs them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::harness::TRANSPORT_VARIABLE;
use crate::shell::{have, is_root};
use crate::transport::rings_are_on;

const ALICE: u32 = 1;
const ROOT: u32 = 0;

/// Says that a script could not be tried.
const SKIPPED: i32 = 77;

/// A directory with the program and with a home in it, for scripts of a user.
struct Home {
    directory: TempDir,
    user: u32,
}

impl Home {
    /// `None` where nobody can become that user.
    fn of(user: u32) -> Option<Self> {
        if !is_root() || !have(&["fusermount3", "unshare", "setpriv"]) {
            eprintln!("skipped: only root can become another user, who needs fusermount3 then");
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory");
        let home = directory.path().join("home");
        fs::set_permissions(&directory, Permissions::from_mode(0o755)).expect("its own directory");
        fs::create_dir(&home).expect("a new directory");
        std::os::unix::fs::chown(&home, Some(user), Some(user)).expect("root may");
        // Where the build has put it, other users may not come.
        fs::copy(env!("CARGO_BIN_EXE_vst"), directory.path().join("vst")).expect("it is built");
        Some(Self { directory, user })
    }

    /// Runs a script in the home, after root has done something.
    ///
    /// They have namespaces of their own: in them everybody may open the device, the machine's stays
    /// as it is, and whatever happens neither a mount nor a daemon is left behind.
    fn run(&self, root: &str, script: &str, variables: &[(&str, &str)]) -> Output {
        let user = self.user;
        let run = format!(
            "mknod -m 666 fuse c 10 229; mount --bind fuse /dev/fuse
            (: <> /dev/fuse) || exit {SKIPPED}
            {root}
            cd home; exec $CONFINED setpriv --reuid {user} --regid {user} --clear-groups \
                bash -eu -o pipefail -c \"$SCRIPT\""
        );
        Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--mount-proc", "--kill-child"])
            .args(["bash", "-eu", "-c", &run])
            .env("CONFINED", "")
            .env("SCRIPT", script)
            .envs(variables.iter().copied())
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .output()
            .expect("unshare is there")
    }

    #[track_caller]
    fn must(&self, root: &str, script: &str, variables: &[(&str, &str)]) {
        let output = self.run(root, script, variables);
        if output.status.code() == Some(SKIPPED) {
            let directory = self.directory.path().display();
            return eprintln!("skipped: no device can be opened below {directory}");
        }
        let log = fs::read(self.path().join("store/vst.log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        assert!(output.status.success(), "{variables:?}: {output:?}\n{log}");
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("home")
    }
}

/// What a user does on a mount of his own, with `vst` and as it is told of in the README, up to a
/// daemon that is killed.
const DAY: &str = r#"
    mount() { ../vst mount --transport="$TRANSPORT" "$STORE" tree "$@"; }
    mkdir tree; mount
    cd tree
    grep -E "\"transport\": ?\"$TRANSPORT\"" .vst/stats
    grep -F " fuse.vst rw," /proc/self/mounts
    echo one > file; ../../vst commit -m first > ../first
    echo two > file; touch .vst/commit
    test "$(../../vst log | wc -l)" = 2
    test "$(cat .snapshots/"$(cat ../first)"/file)" = one
    ../../vst restore "$(cat ../first)" file 2>/dev/null
    test "$(cat file)" = one
    test "$(stat -c %u:%a .vst/commit)" = 1:600
    chown 2 file 2>/dev/null && exit 1
    cd ..
    ../vst umount tree
    test -z "$(ls tree)"
    mount --durability strict
    test "$(cat tree/file)" = one
    for n in $(seq 200); do echo "$n" > "tree/many$n"; done
    (cd tree; ../../vst commit -m many)
    echo uncommitted > tree/last
    kill -9 "$(cat "$STORE/lock")"
    ../vst umount tree
    test -z "$(ls tree)"
    mount --read-only
    test "$(cat tree/many200 tree/last | tr '\n' ' ')" = "200 uncommitted "
    echo more 2>/dev/null > tree/file && exit 1
    ../vst umount tree
    ! grep -F /tree /proc/self/mounts"#;

/// How requests come in this run of the tests; both ways where that is not said.
fn transports() -> Vec<String> {
    match std::env::var(TRANSPORT_VARIABLE) {
        Ok(transport) => vec![transport],
        Err(_) if rings_are_on() => vec!["fuser".into(), "ring".into()],
        Err(_) => vec!["fuser".into()],
    }
}

#[test]
fn a_user_who_is_not_root_mounts_by_way_of_fusermount3() {
    for transport in transports() {
        let Some(home) = Home::of(ALICE) else { return };
        // Any path is one, for the helper too.
        let variables = [("TRANSPORT", transport.as_str()), ("STORE", r"st,o\r e")];
        home.must("", DAY, &variables);
    }
}

#[test]
fn what_the_helper_says_is_why_a_user_cannot_mount() {
    let Some(home) = Home::of(ALICE) else { return };
    let script = "
        mkdir -p tree/closed; chmod 555 tree/closed
        ../vst mount store tree/closed 2> said && exit 1
        cat said
        grep -F 'cannot mount on ' said | grep -F 'fusermount3: ' | grep -F 'no write access'
        PATH=/nowhere ../vst mount store tree 2> said && exit 1
        cat said
        grep -F 'fusermount3 is missing: install the package fuse3' said";
    home.must("", script, &[]);
}

#[test]
fn a_user_who_wants_rings_where_they_are_off_is_told_what_root_has_to_do() {
    let Some(home) = Home::of(ALICE) else { return };
    // What says that they are off, whether or not they are.
    let root = "
        switch=/sys/module/fuse/parameters/enable_uring
        test -e $switch || exit 77
        echo N > off; mount --bind off $switch";
    let script = "
        mkdir tree
        ../vst mount --transport=ring --enable-uring store tree 2> said && exit 1
        cat said
        grep -F 'enable_uring is off' said | grep -F 'once root has done `echo Y > '
        ../vst mount --enable-uring store tree
        test \"$(grep -c 'not through rings: .* is for root alone' store/vst.log)\" = 1
        ../vst umount tree";
    home.must(root, script, &[]);
}

/// Runs a program some of whose system calls fail: those with a number and, if there are more
/// arguments, with these values of their second and third argument. It is what runs daemons in
/// containers, and it is how a system that does not work is had.
const CONFINE: &str = r#"
import ctypes, os, struct, sys
errno, number, *values = map(int, sys.argv[1].split(","))
LOAD, JUMP_IF_EQUAL, RETURN, ALLOW, FAIL = 0x20, 0x15, 0x06, 0x7FFF0000, 0x00050000
looks = list(zip([0, 24, 32], [number, *values]))
code = []
for n, (at, value) in enumerate(looks):
    code += [(LOAD, 0, 0, at), (JUMP_IF_EQUAL, 0, 2 * (len(looks) - n) - 1, value)]
code += [(RETURN, 0, 0, FAIL | errno), (RETURN, 0, 0, ALLOW)]
code = b"".join(struct.pack("=HBBI", *one) for one in code)
room = ctypes.create_string_buffer(code)
program = struct.pack("@HP", len(code) // 8, ctypes.addressof(room))
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.create_string_buffer(program), 0, 0) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[2], sys.argv[2:])
"#;

/// What keeps everybody from making rings, as `kernel.io_uring_disabled` does.
const NO_RINGS: &str = "1,425";
/// What keeps a ring from handing over one answer and waiting for the next request.
const NO_ANSWERS: &str = "5,426,1,1";

/// A home whose scripts are confined.
fn confined(user: u32) -> Option<Home> {
    if !rings_are_on() || !have(&["python3", "flock", "timeout"]) {
        eprintln!("skipped: rings are off, or what is needed is missing");
        return None;
    }
    let home = Home::of(user)?;
    fs::write(home.directory.path().join("confine.py"), CONFINE).expect("a new file");
    Some(home)
}

#[test]
fn where_rings_are_not_allowed_requests_come_from_the_device_and_the_log_says_why() {
    for user in [ROOT, ALICE] {
        let Some(home) = confined(user) else { return };
        let script = "
            mkdir tree
            ../vst mount --transport=ring store tree 2> said && exit 1
            cat said
            grep -F 'io_uring is not allowed here' said | grep -F io_uring_disabled
            ../vst mount store tree
            grep -E '\"transport\": ?\"fuser\"' tree/.vst/stats
            test \"$(grep -c 'not through rings: io_uring is not allowed' store/vst.log)\" = 1
            ../vst umount tree";
        let confined = format!("python3 ../confine.py {NO_RINGS}");
        home.must("", script, &[("CONFINED", &confined)]);
    }
}

#[test]
fn who_asks_a_ring_that_fails_gets_an_error_and_nothing_is_lost() {
    for user in [ROOT, ALICE] {
        // Where the kernel shows its connections, and where it does not. Who cannot break one off
        // then ends with it.
        for (connections, ends) in
            [("mount -t fusectl none", false), ("mount -t tmpfs none", user != ROOT)]
        {
            let Some(home) = confined(user) else { return };
            let root = format!("{connections} /sys/fs/fuse/connections");
            let script = "
                mkdir tree
                ../vst mount --transport=fuser store tree
                echo one > tree/file
                ../vst umount tree
                ../vst mount --transport=ring store tree
                status=0; timeout --signal KILL 60 cat tree/file || status=$?
                test $status = 1
                timeout --signal KILL 60 flock --shared store/lock true
                grep -E 'ERROR .*: the ring of CPU ' store/vst.log
                test \"$(grep -c 'ends with the daemon only' store/vst.log)\" = $ENDS
                ! grep -F /tree /proc/self/mounts
                ../vst mount --transport=fuser store tree
                test \"$(cat tree/file)\" = one
                ../vst umount tree";
            let confined = format!("python3 ../confine.py {NO_ANSWERS}");
            let ends = if ends { "1" } else { "0" };
            home.must(&root, script, &[("CONFINED", &confined), ("ENDS", ends)]);
        }
    }
}

#[test]
fn a_user_breaks_the_connection_off_by_the_file_of_the_kernel_and_the_daemon_ends() {
    let Some(home) = Home::of(ALICE) else { return };
    for transport in transports() {
        let root = "mount -t fusectl none /sys/fs/fuse/connections || exit 77";
        let script = "
            test -d tree || mkdir tree
            ../vst mount --transport=$TRANSPORT store tree
            number=$(awk '$5 ~ \"/tree$\" { split($3, n, \":\"); print n[2] }' /proc/self/mountinfo)
            echo 1 > /sys/fs/fuse/connections/$number/abort
            timeout --signal KILL 60 cat tree/file && exit 1
            timeout --signal KILL 60 flock --shared store/lock true
            ../vst umount tree";
        home.must(root, script, &[("TRANSPORT", &transport)]);
    }
}

#[test]
fn a_script_that_fails_is_noticed() {
    let Some(home) = Home::of(ALICE) else { return };
    let output = home.run("", "test \"$(id -u)\" = 1; false; exit 0", &[]);
    assert!(matches!(output.status.code(), Some(1 | SKIPPED)), "{output:?}");
}
