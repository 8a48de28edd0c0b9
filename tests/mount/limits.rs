//! What is large, deep or changes while it is read, and which times a call changes.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, Mode, OFlags, RawDir, SeekFrom, Timespec, Timestamps, XattrFlags,
};
use rustix::io::Errno;

use crate::harness::TestMount;
use crate::shell::sh;

/// Deeper than a path in one call can reach.
const DEPTH: usize = 600;
const LISTED: usize = 3000;
const MANY: usize = 1_000_000;

fn open_directory(at: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

/// Goes down through directories of this name, as deep as they go.
fn descend(top: &Path, name: &[u8]) -> Vec<OwnedFd> {
    let mut opened = vec![open_directory(CWD, top.as_os_str().as_bytes()).expect("it is there")];
    while let Ok(next) = open_directory(&opened[opened.len() - 1], name) {
        opened.push(next);
    }
    opened
}

#[test]
fn directories_are_deeper_than_a_path_reaches() {
    let mut mount = TestMount::new();
    let name = &[0xfe; 255][..];
    let mut last = open_directory(CWD, mount.path().as_os_str().as_bytes()).expect("the top");
    for _ in 0..DEPTH {
        rustix::fs::mkdirat(&last, name, Mode::RWXU).expect("a new directory");
        last = open_directory(&last, name).expect("it is there");
    }
    let create = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&last, "file", create, Mode::RUSR).expect("a new file");
    File::from(file).write_all(b"deep").expect("writable");
    drop(last);
    mount.commit("deep");
    mount.remount();
    for top in [mount.snapshot("latest"), mount.path().to_owned()] {
        let opened = descend(&top, name);
        assert_eq!(opened.len(), DEPTH + 1);
        let last = &opened[DEPTH];
        let read = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(last, "file", read, Mode::empty()).expect("there");
        let mut content = [0; 4];
        File::from(file).read_exact_at(&mut content, 0).expect("readable");
        assert_eq!(&content, b"deep");
    }
    let opened = descend(mount.path(), name);
    rustix::fs::unlinkat(&opened[DEPTH], "file", AtFlags::empty()).expect("there");
    for directory in opened[..DEPTH].iter().rev() {
        rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR).expect("empty");
    }
    assert_eq!(fs::read_dir(mount.path()).expect("readable").count(), 0);
}

/// Reads names from where the handle is, with the place behind each, until there are so many.
fn list(directory: &OwnedFd, most: usize) -> Vec<(String, u64)> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut entries = RawDir::new(directory, &mut buffer);
    let mut rows = Vec::new();
    while rows.len() < most {
        let Some(entry) = entries.next() else { break };
        let entry = entry.expect("the listing goes on");
        let name = entry.file_name().to_str().expect("text").to_owned();
        rows.push((name, entry.next_entry_cookie()));
    }
    rows
}

/// What `telldir` and `seekdir` do.
#[test]
fn a_place_in_a_listing_is_found_again_while_the_directory_changes() {
    let mount = TestMount::new();
    let top = mount.path().join("d");
    fs::create_dir(&top).expect("a new directory");
    sh(&top, &format!("seq {LISTED} | xargs touch"));
    let directory = open_directory(CWD, top.as_os_str().as_bytes()).expect("it is there");
    let first = list(&directory, LISTED / 2);
    assert_eq!(first.len(), LISTED / 2);
    // Among what was listed and what was not.
    for number in (1..=LISTED).step_by(3) {
        fs::remove_file(top.join(number.to_string())).expect("there");
    }
    sh(&top, "for i in $(seq 500); do echo > new-$i; done");
    let kept = |name: &String| {
        name.parse::<usize>().is_ok_and(|number| number % 3 != 1) && *name != "." && *name != ".."
    };
    let expected: BTreeSet<String> = (1..=LISTED).map(|n| n.to_string()).filter(kept).collect();
    for place in [LISTED / 2, 100, 1000, 1] {
        let (before, (_, cookie)) = (&first[..place], &first[place - 1]);
        rustix::fs::seek(&directory, SeekFrom::Start(*cookie)).expect("a place in the listing");
        let rest = list(&directory, usize::MAX);
        let names = before.iter().chain(&rest).map(|(name, _)| name);
        let seen: Vec<&String> = names.filter(|name| kept(name)).collect();
        assert_eq!(seen.len(), expected.len(), "from {place}: some twice, or not at all");
        assert!(seen.into_iter().all(|name| expected.contains(name)));
    }
    // From the start it is what is there now.
    rustix::fs::seek(&directory, SeekFrom::Start(0)).expect("the start");
    let now = list(&directory, usize::MAX);
    assert_eq!(now.len(), expected.len() + 500 + 2);
}

/// Takes minutes on a busy machine: `cargo test --release --test mount -- --ignored million`.
#[test]
#[ignore = "makes a million files"]
fn a_directory_holds_a_million_files() {
    let mut mount = TestMount::new();
    let top = mount.path().join("d");
    sh(mount.path(), &format!("mkdir d; cd d; seq -f %07.0f {MANY} | xargs touch"));
    let check = |top: &Path| {
        assert_eq!(fs::read_dir(top).expect("readable").count(), MANY);
        assert!(top.join("0000001").exists() && top.join("1000000").exists());
        assert!(!top.join("1000001").exists());
    };
    check(&top);
    let id = mount.commit("a million");
    mount.remount();
    check(&top);
    check(&mount.snapshot(&id).join("d"));
    fs::rename(top.join("0500000"), top.join("moved")).expect("there");
    assert_eq!(sh(mount.path(), "cat .vst/status"), "D d/0500000\nA d/moved\n");
    sh(mount.path(), "rm -r d");
    assert_eq!(fs::read_dir(mount.path()).expect("readable").count(), 0);
}

#[test]
fn room_cannot_be_taken_out_or_put_in_between_and_the_times_follow_the_rest() {
    let mount = TestMount::new();
    let path = mount.path().join("file");
    fs::write(&path, [b'x'; 100_000]).expect("a new file");
    let file = OpenOptions::new().write(true).open(&path).expect("writable");
    let allocate = |flags, from, len| rustix::fs::fallocate(&file, flags, from, len);
    for flags in [FallocateFlags::COLLAPSE_RANGE, FallocateFlags::INSERT_RANGE] {
        assert_eq!(allocate(flags, 4096, 4096), Err(Errno::OPNOTSUPP));
    }
    let (keep, zero) = (FallocateFlags::KEEP_SIZE, FallocateFlags::ZERO_RANGE);
    let punch = FallocateFlags::PUNCH_HOLE | keep;
    for (flags, from, len, size) in [
        (FallocateFlags::empty(), 0, 10, 100_000),
        (FallocateFlags::empty(), 99_999, 2, 100_001),
        (keep, 0, 1 << 40, 100_001),
        (punch, 0, 1 << 40, 100_001),
        (zero | keep, 50_000, 1 << 20, 100_001),
        (zero, 200_000, 10, 200_010),
        (FallocateFlags::empty(), 0, 1 << 42, 1 << 42),
    ] {
        let before = file.metadata().expect("it answers");
        allocate(flags, from, len).expect("room");
        let after = file.metadata().expect("it answers");
        assert_eq!(after.len(), size, "{flags:?}");
        assert!(modified(&after) > modified(&before) && changed(&after) > changed(&before));
    }
    let too_far = allocate(FallocateFlags::empty(), i64::MAX as u64 - 5, 10);
    assert_eq!(too_far, Err(Errno::FBIG));
    assert!(file.metadata().expect("it answers").blocks() < 2048, "holes take no room");
}

/// The kernel refuses to open a program that runs for writing or truncating, and when it has
/// refused, nothing must have happened.
#[test]
fn an_open_that_fails_does_no_harm_to_a_program_that_runs() {
    let mount = TestMount::new();
    let path = mount.path().join("program");
    sh(mount.path(), "cp \"$(command -v sleep)\" program");
    let content = fs::read(&path).expect("readable");
    let mut program = Command::new(&path).arg("600").spawn().expect("it can be run");
    let open = |flags| rustix::fs::open(&path, flags | OFlags::CLOEXEC, Mode::empty()).map(drop);
    for flags in [OFlags::RDONLY | OFlags::TRUNC, OFlags::WRONLY | OFlags::TRUNC, OFlags::RDWR] {
        assert_eq!(open(flags), Err(Errno::TXTBSY), "{flags:?}");
        assert!(fs::read(&path).expect("readable") == content, "{flags:?}");
    }
    assert!(program.try_wait().expect("a child").is_none(), "it has died");
    program.kill().and_then(|()| program.wait()).expect("it ends");
    assert_eq!(open(OFlags::RDONLY | OFlags::TRUNC), Ok(()));
    assert_eq!(fs::metadata(&path).expect("there").len(), 0);
}

fn modified(meta: &fs::Metadata) -> (i64, i64) {
    (meta.mtime(), meta.mtime_nsec())
}

fn changed(meta: &fs::Metadata) -> (i64, i64) {
    (meta.ctime(), meta.ctime_nsec())
}

/// Which of the times of a path change: of modification `m`, of any change `c`.
fn moved(before: &fs::Metadata, after: &fs::Metadata) -> String {
    let mut shown = String::new();
    if modified(before) != modified(after) {
        shown.push('m');
    }
    if changed(before) != changed(after) {
        shown.push('c');
    }
    shown
}

#[test]
fn each_call_changes_the_times_that_it_must_and_no_others() {
    type Call = fn(&Path) -> std::io::Result<()>;
    let mount = TestMount::new();
    let top = mount.path();
    sh(top, "mkdir d e e/sub; echo x > d/f; ln d/f d/other; echo y > d/g; ln -s f d/s");
    let calls: [(&str, Call, &str); 16] = [
        ("read", |t| fs::read(t.join("d/f")).map(drop), "d: e: d/f:"),
        ("list", |t| fs::read_dir(t.join("d")).map(|d| assert_eq!(d.count(), 4)), "d: e: d/f:"),
        ("write", |t| fs::write(t.join("d/f"), "more"), "d: e: d/f:mc"),
        (
            "same size",
            |t| File::options().write(true).open(t.join("d/f"))?.set_len(4),
            "d: e: d/f:mc",
        ),
        (
            "no bytes",
            |t| File::options().write(true).open(t.join("d/f"))?.write(b"").map(drop),
            "d: e: d/f:",
        ),
        (
            "chmod",
            |t| fs::set_permissions(t.join("d/f"), PermissionsExt::from_mode(0o640)),
            "d: e: d/f:c",
        ),
        ("chown", |t| std::os::unix::fs::chown(t.join("d/f"), None, None), "d: e: d/f:c"),
        (
            "attribute",
            |t| Ok(rustix::fs::setxattr(t.join("d/f"), "user.a", b"1", XattrFlags::empty())?),
            "d: e: d/f:c",
        ),
        ("link", |t| fs::hard_link(t.join("d/f"), t.join("e/link")), "d: e:mc d/f:c"),
        ("unlink of another name", |t| fs::remove_file(t.join("e/link")), "d: e:mc d/f:c"),
        ("create", |t| File::create(t.join("d/new")).map(drop), "d:mc e: d/f:"),
        ("mkdir", |t| fs::create_dir(t.join("e/new")), "d: e:mc d/f:"),
        ("rmdir", |t| fs::remove_dir(t.join("e/new")), "d: e:mc d/f:"),
        ("symlink", |t| symlink("f", t.join("e/s")), "d: e:mc d/f:"),
        ("rename", |t| fs::rename(t.join("d/g"), t.join("e/g")), "d:mc e:mc d/f:"),
        (
            "rename of itself",
            |t| {
                fs::rename(t.join("d/f"), t.join("e/f"))?;
                fs::rename(t.join("e/f"), t.join("d/f"))
            },
            "d:mc e:mc d/f:c",
        ),
    ];
    for (what, call, expected) in calls {
        let look = || ["d", "e", "d/f"].map(|p| (p, fs::metadata(top.join(p)).expect("there")));
        let before = look();
        call(top).unwrap_or_else(|error| panic!("{what}: {error}"));
        let after = look();
        let shown = before.iter().zip(&after);
        let shown = shown.map(|((path, was), (_, is))| format!("{path}:{}", moved(was, is)));
        assert_eq!(shown.collect::<Vec<_>>().join(" "), expected, "{what}");
    }
}

#[test]
fn access_times_are_those_that_were_set_and_no_part_of_a_commit() {
    let mut mount = TestMount::new();
    let top = mount.path().to_owned();
    fs::write(top.join("file"), "x").expect("a new file");
    fs::create_dir(top.join("d")).expect("a new directory");
    let id = mount.commit("before");
    let time = |secs, nanos| Timespec { tv_sec: secs, tv_nsec: nanos };
    let omit = time(0, rustix::fs::UTIME_OMIT);
    let set = |path: &str, last_access, last_modification| {
        let times = Timestamps { last_access, last_modification };
        rustix::fs::utimensat(CWD, top.join(path), &times, AtFlags::empty()).expect("times");
    };
    let times = |path: &str| {
        let meta = fs::metadata(top.join(path)).expect("there");
        ((meta.atime(), meta.atime_nsec()), modified(&meta))
    };
    let (accessed, written) = times("file");
    assert_eq!(accessed, written, "until one is set");
    for path in ["file", "d", "."] {
        set(path, time(1000, 5), omit);
    }
    assert_eq!(times("file"), ((1000, 5), written));
    assert_eq!(mount.commit("nothing has changed"), id);
    mount.remount();
    for path in ["file", "d", "."] {
        assert_eq!(times(path).0, (1000, 5), "{path}");
    }
    fs::write(top.join("file"), "new").expect("writable");
    fs::read(top.join("file")).expect("readable");
    assert_eq!(times("file").0, (1000, 5), "neither reads nor writes change it");
    // One that was never set stays what it was when another time is set.
    fs::write(top.join("other"), "x").expect("a new file");
    let (accessed, _) = times("other");
    set("other", omit, time(2000, 0));
    assert_eq!(times("other"), (accessed, (2000, 0)));
}
