//! The mount against the filesystem of the machine: the same calls on both, which must give the
//! same results and the same trees; commits, which must hold the tree of their time; and a remount.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use proptest::test_runner::{Config, FileFailurePersistence, RngSeed, TestCaseError, TestRunner};
use rustix::fs::{AtFlags, CWD, FallocateFlags, Mode, OFlags, RenameFlags, XattrFlags};
use rustix::io::Errno;

use crate::harness::TestMount;
use crate::tree::Tree;

const CASES: u32 = 64;
/// The same cases each time, so that a failure can be looked at again.
const SEED: u64 = 20;
const STEPS_MAX: usize = 80;
/// Files that are held open at a time.
const HANDLES: u8 = 3;
/// Largest offset in a file: beyond what is kept in one piece.
const OFFSET_MAX: u64 = 400_000;

/// One call; the numbers choose what it is about.
#[derive(Clone, Copy, Debug)]
struct Step {
    what: u8,
    a: u8,
    b: u8,
    c: u32,
    d: u32,
}

fn any_step() -> impl Strategy<Value = Step> {
    (any::<u8>(), any::<u8>(), any::<u8>(), any::<u32>(), any::<u32>())
        .prop_map(|(what, a, b, c, d)| Step { what, a, b, c, d })
}

/// A path of up to three names, of which there are so few that most meet something.
fn path(number: u8) -> PathBuf {
    let name = |n: u8| ["a", "b", "c"][usize::from(n % 3)];
    match number % 8 {
        0..3 => name(number / 8).into(),
        3..7 => Path::new(name(number / 8)).join(name(number / 24)),
        _ => Path::new(name(number / 8)).join(name(number / 24)).join(name(number / 72)),
    }
}

/// What a call gave: some bytes that it told, or an error.
type Outcome = Result<Vec<u8>, Errno>;

/// A directory in which the steps are done, and what is open there. What is opened is closed in
/// the programs that other tests start meanwhile: a mount that they hold cannot be taken away.
struct Place {
    top: PathBuf,
    open: BTreeMap<u8, OwnedFd>,
}

impl Place {
    /// A tree that most of the first steps find something in.
    fn new(top: PathBuf) -> Self {
        std::fs::create_dir_all(top.join("a/a")).expect("new directories");
        std::fs::create_dir(top.join("b")).expect("a new directory");
        let mut open = BTreeMap::new();
        for (number, name) in (0..HANDLES).zip(["a/b", "b/a", "c"]) {
            let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC;
            let file = rustix::fs::open(top.join(name), flags, Mode::RUSR | Mode::WUSR);
            open.insert(number, file.expect("a new file"));
        }
        Self { top, open }
    }

    fn file(&self, number: u8) -> Result<&OwnedFd, Errno> {
        self.open.get(&(number % HANDLES)).ok_or(Errno::BADF)
    }

    fn step(&mut self, step: Step) -> Outcome {
        let Step { what, a, b, c, d } = step;
        let (from, to) = (self.top.join(path(a)), self.top.join(path(b)));
        let (offset, len) = (u64::from(c) % OFFSET_MAX, 1 + u64::from(d) % 70_000);
        let bits = Mode::from_raw_mode(c & 0o7777);
        match what % 24 {
            0..3 => rustix::fs::mkdir(&from, bits)?,
            3 => rustix::fs::mknodat(CWD, &from, rustix::fs::FileType::Fifo, bits, 0)?,
            4 => rustix::fs::symlink(path(b), &from)?,
            5 | 6 => rustix::fs::link(&from, &to)?,
            7 => rustix::fs::unlink(&from)?,
            8 => rustix::fs::rmdir(&from)?,
            9..12 => rustix::fs::rename(&from, &to)?,
            12 => {
                let flags = [RenameFlags::EXCHANGE, RenameFlags::NOREPLACE][d as usize % 2];
                rustix::fs::renameat_with(CWD, &from, CWD, &to, flags)?;
            }
            13..16 => {
                let optional = [OFlags::CREATE, OFlags::EXCL, OFlags::TRUNC, OFlags::APPEND];
                let mut flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
                // Most create, and few insist on it.
                let chosen = [d % 4 > 0, d % 16 == 1, d % 8 == 2, d % 4 == 3];
                flags
                    .extend(optional.into_iter().zip(chosen).filter_map(|(f, is)| is.then_some(f)));
                let file = rustix::fs::open(&from, flags, bits | Mode::RUSR | Mode::WUSR)?;
                self.open.insert(b % HANDLES, file);
            }
            16..18 => {
                let data: Vec<u8> = (0..len).map(|n| (n as u8).wrapping_mul(a | 1)).collect();
                let written = rustix::io::pwrite(self.file(b)?, &data, offset)?;
                return Ok(written.to_string().into_bytes());
            }
            18 => {
                let mut data = vec![0; len as usize];
                let read = rustix::io::pread(self.file(b)?, &mut data[..], offset)?;
                data.truncate(read);
                return Ok(data);
            }
            19 => rustix::fs::ftruncate(self.file(b)?, offset)?,
            20 => {
                let (punch, keep) = (FallocateFlags::PUNCH_HOLE, FallocateFlags::KEEP_SIZE);
                let zero = FallocateFlags::ZERO_RANGE;
                let flags = [FallocateFlags::empty(), keep, punch | keep, zero, zero | keep, punch];
                rustix::fs::fallocate(self.file(b)?, flags[a as usize % 6], offset, len)?;
            }
            21 => match d % 2 {
                0 => rustix::fs::chmodat(CWD, &from, bits, AtFlags::empty())?,
                _ => drop(self.open.remove(&(b % HANDLES))),
            },
            22 => {
                let name = ["user.one", "user.two"][d as usize % 2];
                let flags = [XattrFlags::empty(), XattrFlags::CREATE, XattrFlags::REPLACE];
                let value = vec![a; c as usize % 300];
                match d / 2 % 4 {
                    0 => rustix::fs::lremovexattr(&from, name)?,
                    which => rustix::fs::lsetxattr(&from, name, &value, flags[which as usize - 1])?,
                }
            }
            _ => {
                let meta = rustix::fs::stat(&from)?;
                let shown = (meta.st_mode, meta.st_uid, meta.st_gid);
                return Ok(format!("{shown:?}").into_bytes());
            }
        }
        Ok(Vec::new())
    }
}

/// The tree without times, which differ by the moment of each call.
fn tree(top: &Path) -> Tree {
    Tree::read(top).adjust(|_, node| node.mtime_ns = 0)
}

/// Runs the steps on both sides, with a commit now and then, and returns the commits with the trees
/// that they must hold.
fn run(
    steps: &[Step],
    mount: &TestMount,
    here: &mut Place,
    there: &mut Place,
    done: &mut u32,
) -> Result<Vec<(String, Tree)>, TestCaseError> {
    let mut commits = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        let expected = there.step(*step);
        // What the machine's filesystem cannot do there is no rule for.
        if expected == Err(Errno::OPNOTSUPP) && step.what % 24 == 20 && step.a % 6 != 5 {
            continue;
        }
        let found = here.step(*step);
        if found != expected {
            let shown = |outcome: Outcome| outcome.map(|bytes| format!("{} bytes", bytes.len()));
            let (found, expected) = (shown(found), shown(expected));
            let what = format!("step {number}, {step:?}: {found:?} instead of {expected:?}");
            return Err(TestCaseError::fail(what));
        }
        *done += u32::from(found.is_ok());
        if step.c % 16 == 0 {
            let id = mount.commit("between two steps");
            commits.push((id, tree(&there.top)));
        }
    }
    Ok(commits)
}

#[test]
fn calls_do_what_they_do_on_the_filesystem_of_the_machine() {
    let mut mount = TestMount::new();
    let reference = tempfile::tempdir().expect("a directory");
    // `VST_REFERENCE_SEED` asks for others, and a failure tells which ones it had.
    let seed = std::env::var("VST_REFERENCE_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or(SEED);
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..Config::default()
    });
    let (case, done) = (Cell::new(0), RefCell::new(0));
    let all = RefCell::new(Vec::new());
    let result = runner.run(&vec(any_step(), 1..STEPS_MAX), |steps| {
        case.set(case.get() + 1);
        let name = case.get().to_string();
        let mut here = Place::new(mount.path().join(&name));
        let mut there = Place::new(reference.path().join(&name));
        let commits = run(&steps, &mount, &mut here, &mut there, &mut done.borrow_mut())?;
        for number in 0..HANDLES {
            // Files that lost their names are compared as well.
            assert_eq!(whole(here.file(number)), whole(there.file(number)), "handle {number}");
        }
        let expected = tree(&there.top);
        expected.assert_same(&tree(&here.top));
        all.borrow_mut().extend(commits.into_iter().map(|(id, tree)| (id, name.clone(), tree)));
        Ok(())
    });
    if let Err(error) = result {
        panic!("with seed {seed}: {error}");
    }
    let all = all.into_inner();
    assert!(all.len() > CASES as usize, "{} commits are too few to show anything", all.len());
    let done = done.into_inner();
    assert!(done > 10 * CASES, "{done} calls that succeed are too few to show anything");
    let last = tree(mount.path());
    last.assert_same(&tree(reference.path()));
    for remounted in [false, true] {
        for (id, name, expected) in &all {
            expected.assert_same(&tree(&mount.snapshot(id).join(OsStr::new(name))));
        }
        if !remounted {
            mount.remount();
        }
    }
    last.assert_same(&tree(mount.path()));
}

/// All that an open file holds.
fn whole(file: Result<&OwnedFd, Errno>) -> Option<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let file = File::from(file.ok()?.try_clone().expect("a second handle"));
    let len = file.metadata().expect("it answers").len();
    let mut bytes = vec![0; usize::try_from(len).expect("it is small")];
    // A fifo has no place to read at, and nothing in it.
    file.read_exact_at(&mut bytes, 0).ok().map(|()| bytes)
}
