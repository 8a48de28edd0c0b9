//! How requests come to the daemon: which way a mount takes, and that many at a time get through
//! it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::thread::CpuSet;

use crate::harness::{TRANSPORT_VARIABLE, TestMount, wait_until};
use crate::shell::is_root;

/// The kernel's switch for rings. Other tests go on meanwhile, so it is looked at and left alone.
const SWITCH: &str = "/sys/module/fuse/parameters/enable_uring";
/// For whom the system has io_uring disabled: nobody, all but root, or everybody.
const IO_URING_DISABLED: &str = "/proc/sys/kernel/io_uring_disabled";
/// More than one processor's ring, and the pool behind it, take at a time.
const CLIENTS: usize = 40;
const ROUNDS: usize = 20;

/// Tells whether this user can mount through rings.
pub(crate) fn rings_are_on() -> bool {
    let is_in = |file, states: &[&str]| {
        fs::read_to_string(file).is_ok_and(|state| states.contains(&state.trim()))
    };
    let allowed: &[&str] = if is_root() { &["0", "1"] } else { &["0"] };
    is_in(SWITCH, &["Y"]) && is_in(IO_URING_DISABLED, allowed)
}

#[test]
fn without_a_choice_rings_are_taken_where_they_are_on_and_the_log_says_why_not() {
    let mut mounts = vec![TestMount::with_options(&["--transport=auto"])];
    if std::env::var_os(TRANSPORT_VARIABLE).is_none() {
        mounts.push(TestMount::new());
    }
    for mount in mounts {
        match rings_are_on() {
            true => assert_eq!(mount.transport(), "ring", "{}", mount.output()),
            false => {
                assert_eq!(mount.transport(), "fuser");
                let why = "requests come from /dev/fuse, not through rings: ";
                assert_eq!(mount.output().matches(why).count(), 1, "{}", mount.output());
            }
        }
    }
}

#[test]
fn rings_that_are_asked_for_and_off_are_an_error_that_tells_what_to_do() {
    if rings_are_on() {
        return eprintln!("skipped: they are on");
    }
    let mut mount = TestMount::prepare();
    let failure = mount.start(&["--transport=ring"]).expect_err("there are none");
    let said = failure.to_string();
    assert!(said.contains("no mount through rings: "), "{said}");
    assert!(said.contains("--transport=auto"), "{said}");
    assert!(!mount.is_mounted());
}

/// Keeps this thread on the first processor that it may use, so that all clients share a queue.
fn stay_on_one_processor() {
    let allowed = rustix::thread::sched_getaffinity(None).expect("it runs somewhere");
    let first = (0..CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu)).expect("there");
    let mut one = CpuSet::new();
    one.set(first);
    rustix::thread::sched_setaffinity(None, &one).expect("it may run there");
}

/// Writes, syncs, lists, commits and reads, each of which may have to wait.
fn work(top: &Path, client: usize) {
    let directory = top.join(format!("d{client}"));
    fs::create_dir(&directory).expect("a new directory");
    for round in 0..ROUNDS {
        let path = directory.join(format!("f{round}"));
        let content = format!("{client} {round} ").repeat(1000);
        let mut file = File::create(&path).expect("a new file");
        file.write_all(content.as_bytes()).and_then(|()| file.sync_all()).expect("on the disk");
        if round % 5 == 0 {
            fs::write(top.join(".vst/commit"), format!("{client} {round}")).expect("a commit");
            fs::read_to_string(top.join(".vst/log")).expect("a log");
        }
        assert_eq!(fs::read_dir(&directory).expect("there").count(), round + 1);
        let mut read = String::new();
        File::open(&path).expect("there").read_to_string(&mut read).expect("readable");
        assert_eq!(read, content);
    }
}

#[test]
fn more_clients_on_one_processor_than_it_answers_at_a_time_all_get_through() {
    let mount = TestMount::with_options(&["--cache-size=1M", "--dirty-size=1M"]);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let top = mount.path();
            scope.spawn(move || {
                stay_on_one_processor();
                work(top, client);
            });
        }
    });
}

#[test]
fn restores_and_undos_at_once_hold_up_nobody_on_their_processor() {
    let mount = TestMount::new();
    let top = mount.path();
    fs::write(top.join("file"), vec![b'a'; 1 << 20]).expect("a new file");
    let first = mount.commit("first");
    fs::write(top.join("file"), vec![b'b'; 1 << 20]).expect("written");
    mount.commit("second");
    thread::scope(|scope| {
        for client in 0..12 {
            let first = &first;
            scope.spawn(move || {
                stay_on_one_processor();
                for _ in 0..ROUNDS {
                    match client {
                        0 => fs::write(top.join(".vst/restore"), first).expect("restored"),
                        // There may be nothing to take back at the moment.
                        1 => drop(fs::write(top.join(".vst/undo"), "x")),
                        _ => {
                            let read = fs::read(top.join("file")).expect("readable");
                            assert_eq!(read.len(), 1 << 20);
                        }
                    }
                }
            });
        }
    });
}

#[test]
fn a_restore_whose_process_is_killed_holds_nobody_up_and_is_done_whole_or_not_at_all() {
    const FILES: usize = 2000;
    let mount = TestMount::new();
    let top = mount.path();
    let fill = |text: &str| {
        for n in 0..FILES {
            fs::write(top.join(format!("f{n}")), text).expect("written");
        }
        mount.commit(text)
    };
    let ids = [fill("a"), fill("b")];
    for round in 0..ROUNDS {
        let mut child = Command::new(env!("CARGO_BIN_EXE_vst"))
            .args(["restore", &ids[round % 2]])
            .current_dir(top)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it is built");
        // Wherever it is by then.
        thread::sleep(Duration::from_millis(2 * round as u64));
        child.kill().expect("it is a child");
        let has_ended = || child.try_wait().expect("it is a child").is_some();
        assert!(wait_until(Duration::from_secs(30), has_ended), "it hangs");
        let read = |n| fs::read(top.join(format!("f{n}"))).expect("readable");
        let first = read(0);
        assert!((1..FILES).all(|n| read(n) == first), "a mixture, in round {round}");
    }
}
