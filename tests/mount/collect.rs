//! Collecting garbage behind a mount: what goes, what stays, and what a full disk does about it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use serde_json::Value;
use tempfile::TempDir;

use crate::concurrency::Stop;
use crate::harness::TestMount;
use crate::tree::Tree;

const MIB: usize = 1 << 20;

/// A disk of its own, in memory.
struct SmallDisk {
    dir: TempDir,
}

impl SmallDisk {
    #[track_caller]
    fn new(mib: usize) -> Self {
        let dir = tempfile::Builder::new().prefix("vst-disk-").tempdir().expect("a directory");
        let options = std::ffi::CString::new(format!("size={mib}m")).expect("no NUL");
        rustix::mount::mount("vst-test", dir.path(), "tmpfs", MountFlags::empty(), &*options)
            .expect("a disk of its own takes root to mount");
        Self { dir }
    }

    fn store(&self) -> PathBuf {
        self.dir.path().canonicalize().expect("it has just been made").join("store")
    }

    fn free_bytes(&self) -> u64 {
        let stat = rustix::fs::statvfs(self.dir.path()).expect("it is mounted");
        stat.f_bavail * stat.f_frsize
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.dir.path(), UnmountFlags::DETACH);
    }
}

/// Bytes that no compression shortens.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Runs `vst gc` with these arguments on the mount.
#[track_caller]
fn gc(mount: &TestMount, args: &[&str]) -> Value {
    let output = mount.vst(&[&["gc", "--json"], args].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn number(report: &Value, key: &str) -> u64 {
    report[key].as_u64().unwrap_or_else(|| panic!("{key} in {report}"))
}

fn snapshots(mount: &TestMount) -> usize {
    let entries = fs::read_dir(mount.path().join(".snapshots")).expect("it is there");
    entries.filter(|entry| entry.as_ref().expect("an entry").file_name().len() == 64).count()
}

#[test]
fn a_dropped_snapshot_frees_what_it_alone_needed() {
    let mut mount = TestMount::new();
    let top = mount.path().to_owned();
    fs::write(top.join("kept"), noise(1, 4 * MIB)).expect("writable");
    fs::write(top.join("gone"), noise(2, 8 * MIB)).expect("writable");
    let first = mount.commit("first");
    fs::remove_file(top.join("gone")).expect("it is there");
    let second = mount.commit("second");
    let tree = Tree::read(&top);
    assert_eq!(fs::read(mount.snapshot(&first).join("gone")).expect("readable").len(), 8 * MIB);

    let would = gc(&mount, &["--keep-last", "1", "--dry-run"]);
    assert_eq!((number(&would, "commits_dropped"), number(&would, "commits_kept")), (1, 1));
    assert!(number(&would, "dead_bytes") > 8 * MIB as u64, "{would}");
    assert_eq!(snapshots(&mount), 2, "it was dry");

    let kept_all = gc(&mount, &[]);
    assert_eq!(number(&kept_all, "commits_dropped"), 0);
    assert_eq!(fs::read(mount.snapshot(&first).join("gone")).expect("readable"), noise(2, 8 * MIB));

    let report = gc(&mount, &["--keep-last", "1"]);
    assert_eq!(number(&report, "commits_dropped"), 1);
    let freed = number(&report, "bytes_before") - number(&report, "bytes_after");
    assert!(freed > 8 * MIB as u64, "{report}");
    assert!(number(&report, "bytes_after") < 5 * MIB as u64, "{report}");
    assert_eq!(snapshots(&mount), 1);
    let error = fs::metadata(mount.snapshot(&first)).expect_err("it was dropped");
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    let log = String::from_utf8(mount.vst(&["log"]).stdout).expect("text");
    assert_eq!(log.lines().count(), 1, "{log}");
    let show = mount.vst(&["show", &first]);
    assert_eq!(show.status.code(), Some(1));

    Tree::read(&top).assert_same(&tree);
    Tree::read(&mount.snapshot(&second)).assert_same(&tree);
    mount.remount();
    Tree::read(&top).assert_same(&tree);
    Tree::read(&mount.snapshot(&second)).assert_same(&tree);
    assert_eq!(mount.head(), second);
}

#[test]
fn what_is_no_request_is_refused_in_words() {
    let mount = TestMount::new();
    let mut file =
        File::options().read(true).write(true).open(mount.path().join(".vst/gc")).expect("there");
    let error = file.write(b"keep-everything").expect_err("no such word");
    assert_eq!(Errno::from_io_error(&error), Some(Errno::INVAL));
    let answer = std::io::read_to_string(&file).expect("readable");
    assert!(answer.starts_with("error: \"keep-everything\" is none of keep-last=N"), "{answer}");
    let state = fs::read_to_string(mount.path().join(".vst/gc")).expect("readable");
    assert_eq!(state, "{\"state\":\"none\"}\n");
    let output = mount.vst(&["gc", "--keep-within", "3 fortnights"]);
    assert_eq!(output.status.code(), Some(2));
}

/// Writes, commits and reads back all the time, until told to stop. Returns the commits and what
/// the file had in each.
fn work(top: &Path, name: &str, mount: &TestMount, stop: &AtomicBool) -> Vec<(String, u64)> {
    let path = top.join(name);
    let mut made = Vec::new();
    for n in 0.. {
        // What comes back later may be dead by then, and must come back to life.
        let seed = n % 5;
        fs::write(&path, noise(seed, 200_000)).expect("writable");
        made.push((mount.commit(name), seed));
        assert_eq!(fs::read(&path).expect("readable"), noise(seed, 200_000));
        if stop.load(Ordering::SeqCst) {
            break;
        }
    }
    made
}

#[test]
fn collections_go_on_beside_writers_and_commits_and_cost_them_nothing() {
    const COLLECTIONS: usize = 12;
    let mut mount = TestMount::new();
    let top = mount.path().to_owned();
    let stop = AtomicBool::new(false);
    let mut made: Vec<Vec<(String, u64)>> = Vec::new();
    thread::scope(|scope| {
        let guard = Stop(&stop);
        let workers: Vec<_> =
            ["a", "b"].iter().map(|name| scope.spawn(|| work(&top, name, &mount, &stop))).collect();
        for n in 0..COLLECTIONS {
            let keep = ["--keep-last", "40"];
            gc(&mount, if n % 3 == 0 { &["--repack"] } else { &keep });
            // It looks at packs beside all that, while they come and go.
            let verify = mount.vst(&["verify"]);
            assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
        }
        drop(guard);
        made = workers.into_iter().map(|worker| worker.join().expect("it worked")).collect();
    });
    let check = |mount: &TestMount| {
        let mut kept = 0;
        for (name, made) in ["a", "b"].iter().zip(&made) {
            for (id, seed) in made {
                match fs::read(mount.snapshot(id).join(name)) {
                    Ok(bytes) => {
                        assert_eq!(bytes, noise(*seed, 200_000), "{name} in {id}");
                        kept += 1;
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{name} in {id}");
                    }
                }
            }
        }
        kept
    };
    let kept = check(&mount);
    assert!(kept >= 2, "{kept} snapshots are left");
    mount.remount();
    assert_eq!(check(&mount), kept);
}

#[test]
fn a_collection_that_is_killed_takes_nothing_that_is_kept() {
    const KILLS: u64 = 12;
    let mut mount = TestMount::new();
    let top = mount.path().to_owned();
    for n in 0..KILLS {
        fs::write(top.join("big"), noise(n, 3 * MIB)).expect("writable");
        fs::write(top.join("small"), n.to_string()).expect("writable");
        let id = mount.commit("");
        let before = Tree::read(&top);
        let mut file = File::options().write(true).open(top.join(".vst/gc")).expect("it is there");
        file.write_all(if n % 2 == 0 { b"keep-last=2" } else { b"repack keep-last=2" })
            .expect("it begins");
        drop(file);
        thread::sleep(Duration::from_millis(n * n));
        mount.kill();
        mount.remount();
        Tree::read(&top).assert_same(&before);
        Tree::read(&mount.snapshot(&id)).assert_same(&before);
        assert_eq!(mount.head(), id);
        assert!(snapshots(&mount) >= 2 || n == 0, "after kill {n}");
    }
    gc(&mount, &["--keep-last", "1"]);
    assert_eq!(snapshots(&mount), 1);
    assert_eq!(fs::read(top.join("big")).expect("readable"), noise(KILLS - 1, 3 * MIB));
}

/// Writes files until the disk takes no more. Returns how many were written in full.
#[track_caller]
fn fill(top: &Path, from: u64) -> u64 {
    for n in from..10_000 {
        let path = top.join(format!("f{n}"));
        if let Err(error) = fs::write(&path, noise(n, MIB)) {
            assert_eq!(Errno::from_io_error(&error), Some(Errno::NOSPC), "{error}");
            // What is left of it is not counted on.
            let _ = fs::remove_file(&path);
            return n;
        }
    }
    panic!("it is never full");
}

#[test]
fn on_a_full_disk_deleting_makes_room_and_commits_and_collections_work() {
    let disk = SmallDisk::new(96);
    let mut mount = TestMount::prepare_for(disk.store());
    mount.start(&["--journal-size", "16M"]).unwrap_or_else(|failure| panic!("{failure}"));
    let top = mount.path().to_owned();
    fs::write(top.join("first"), b"first").expect("writable");
    let first = mount.commit("first");

    let written = fill(&top, 0);
    assert!(written > 20, "{written} MiB in a disk of 96");
    let full = mount.commit("when full");
    assert_eq!(mount.head(), full);
    for n in 0..written {
        let found = fs::read(top.join(format!("f{n}"))).expect("readable");
        assert!(found == noise(n, MIB), "f{n} is not what was written");
    }

    // A commit holds it all, so that removing it makes no room. It can be removed all the same.
    for n in 0..written {
        fs::remove_file(top.join(format!("f{n}"))).expect("removable on a full disk");
    }
    let error = fs::write(top.join("more"), noise(99_999, 30 * MIB)).expect_err("still full");
    assert_eq!(Errno::from_io_error(&error), Some(Errno::NOSPC));
    fs::remove_file(top.join("more")).expect("removable");
    let empty = mount.commit("emptied");
    let report = gc(&mount, &["--keep-last", "1"]);
    assert_eq!(number(&report, "commits_dropped"), 2, "{report}");
    assert!(disk.free_bytes() > 50 * MIB as u64, "{} bytes are free", disk.free_bytes());
    assert_eq!(mount.head(), empty);
    assert!(fs::metadata(mount.snapshot(&first)).is_err());

    // What no commit holds makes room when it is removed, and nobody has to ask for that.
    for round in 0..3 {
        let from = 1000 * (round + 1);
        let written = fill(&top, from) - from;
        assert!(written > 20, "{written} MiB in round {round}");
        for n in from..from + written {
            fs::remove_file(top.join(format!("f{n}"))).expect("removable on a full disk");
        }
    }
    fs::write(top.join("last"), noise(7, 20 * MIB)).expect("there is room");
    let last = mount.commit("last");
    mount.kill();
    mount.remount();
    assert_eq!(mount.head(), last);
    assert_eq!(fs::read(top.join("last")).expect("readable"), noise(7, 20 * MIB));
    mount.unmount();
}
