//! The cases that are measured, and the trees that they need.

use super::big::BigFile;
use super::files::{Result, Shape};
use super::naive::NaiveTree;
use super::sample::Sample;
use super::stored::StoredTree;
use super::tree::{MemoryTree, Variant};

/// The sizes of the reference table.
const REFERENCE: [u32; 4] = [1, 10, 100, 1000];
/// As a commit is made with nothing done beforehand.
const AT_COMMIT: Variant = Variant {
    name: "hashed at commit",
    prepare: |_| Ok(()),
    hashes_contents: true,
    all_cores: false,
};
/// As it finds files that were closed a moment ago.
const SINCE_CLOSE: Variant = Variant {
    name: "hashed since close",
    prepare: MemoryTree::settle,
    hashes_contents: false,
    all_cores: false,
};
/// As it is made when all processors may help.
const ALL_CORES: Variant = Variant { name: "on all cores", all_cores: true, ..AT_COMMIT };
/// What may be done with all files of the reference table dirty, each with its targets.
const ALL_DIRTY: [(Variant, [Option<u32>; 4]); 3] = [
    (AT_COMMIT, [Some(5), Some(10), Some(30), Some(170)]),
    (SINCE_CLOSE, [None, None, None, Some(40)]),
    (ALL_CORES, [None, None, None, Some(100)]),
];

/// Something to measure.
pub(crate) struct Case {
    /// What it belongs to.
    pub(crate) group: &'static str,
    /// What it is, unique in its group.
    pub(crate) name: String,
    /// What it needs.
    pub(crate) world: WorldKey,
    /// What is done.
    pub(crate) action: Action,
    /// What should come out.
    pub(crate) target: Target,
    /// How much less often than the cheapest one it is measured.
    pub(crate) weight: u32,
}

/// What a case should come to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Target {
    /// Median of what is measured, in microseconds.
    pub(crate) micros: Option<u32>,
    /// Median of writing and committing together, in microseconds.
    pub(crate) with_write_micros: Option<u32>,
    /// Bytes that the store may grow by.
    pub(crate) stored_bytes: Option<u64>,
}

/// What is done once and measured.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    /// Write so many files and commit.
    Commit(u32, Variant),
    /// Clone, write and drop.
    Fork,
    /// Go back to an earlier root.
    Restore,
    /// Compare with an earlier root.
    Diff,
    /// Overwrite 4 KiB and commit.
    Overwrite,
    /// Insert one byte at the start and commit.
    Insert,
}

/// Names a world. Cases with the same name share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum WorldKey {
    /// What the naive algorithm works on.
    Naive(Shape),
    /// A tree in memory.
    Memory(Shape),
    /// A tree in memory whose commits are kept, in memory too.
    Kept(Shape),
    /// A tree with a store.
    Stored(Shape),
    /// A file of so many bytes with a store.
    Big(u64),
}

impl WorldKey {
    /// How large it is, as a number of files of 1 KiB.
    pub(crate) fn files(self) -> u64 {
        match self {
            Self::Naive(shape) | Self::Memory(shape) | Self::Kept(shape) | Self::Stored(shape) => {
                shape.files().into()
            }
            Self::Big(bytes) => bytes / 1024,
        }
    }

    /// Whether it writes to a disk.
    pub(crate) fn has_store(self) -> bool {
        matches!(self, Self::Stored(_) | Self::Big(_))
    }
}

/// What a case is measured in.
pub(crate) enum World {
    /// See [`NaiveTree`].
    Naive(NaiveTree),
    /// See [`MemoryTree`].
    Memory(MemoryTree),
    /// See [`StoredTree`].
    Stored(StoredTree),
    /// See [`BigFile`].
    Big(BigFile),
}

impl World {
    /// Makes it, with all files committed.
    pub(crate) fn new(key: WorldKey) -> Result<Self> {
        Ok(match key {
            WorldKey::Naive(shape) => Self::Naive(NaiveTree::new(shape)),
            WorldKey::Memory(shape) => Self::Memory(MemoryTree::new(shape, false)?),
            WorldKey::Kept(shape) => Self::Memory(MemoryTree::new(shape, true)?),
            WorldKey::Stored(shape) => Self::Stored(StoredTree::new(shape)?),
            WorldKey::Big(bytes) => Self::Big(BigFile::new(bytes)?),
        })
    }

    /// Does one step and checks what it did.
    pub(crate) fn step(&mut self, action: Action, round: u64) -> Result<Sample> {
        match (self, action) {
            (Self::Naive(tree), Action::Commit(dirty, _)) => tree.commit(dirty, round),
            (Self::Memory(tree), Action::Commit(dirty, variant)) => {
                tree.commit(dirty, variant, round)
            }
            (Self::Memory(tree), Action::Fork) => tree.fork(round),
            (Self::Memory(tree), Action::Restore) => tree.restore(round),
            (Self::Memory(tree), Action::Diff) => tree.diff(round),
            (Self::Stored(tree), Action::Commit(dirty, _)) => tree.commit(dirty, round),
            (Self::Big(file), Action::Overwrite) => file.overwrite(round),
            (Self::Big(file), Action::Insert) => file.insert(round),
            (_, action) => Err(format!("{action:?} is not for this tree").into()),
        }
    }

    /// Checks that what was written is all there.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::Naive(tree) => tree.check(),
            Self::Memory(tree) => tree.check(),
            Self::Stored(tree) => tree.check(),
            Self::Big(file) => file.check(),
        }
    }
}

/// All cases.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for (at, files) in REFERENCE.into_iter().enumerate() {
        reference(&mut cases, at, files);
    }
    scale(&mut cases);
    stored(&mut cases);
    big(&mut cases);
    cases
}

fn micros(micros: u32) -> Target {
    Target { micros: Some(micros), ..Target::default() }
}

fn reference(cases: &mut Vec<Case>, at: usize, files: u32) {
    let (shape, weight) = (Shape::OneDirectory(files), files.div_ceil(250));
    let mut add = |group, name, world, action, target, weight| {
        cases.push(Case { group, name, world, action, target, weight });
    };
    let one = Action::Commit(1, AT_COMMIT);
    let all = Action::Commit(files, AT_COMMIT);
    let (naive, memory) = (WorldKey::Naive(shape), WorldKey::Memory(shape));
    let naively = |what: &str| format!("naive: {what} of {files}");
    add("reference (a)", naively("1"), naive, one, Target::default(), weight);
    if files > 1 {
        add("reference (b)", naively("all"), naive, all, Target::default(), weight);
    }
    let micros = Some(if files > 10 { 6 } else { 5 });
    let target = Target { micros, with_write_micros: Some(10), stored_bytes: None };
    add("reference (a)", format!("1 of {files}"), memory, one, target, 1);
    for (variant, targets) in ALL_DIRTY {
        let micros = targets.get(at).copied().flatten();
        let target = Target { micros, ..Target::default() };
        let name = format!("all of {files}, {}", variant.name);
        add("reference (b)", name, memory, Action::Commit(files, variant), target, weight);
    }
}

fn scale(cases: &mut Vec<Case>) {
    let none = Target::default();
    let one = Action::Commit(1, AT_COMMIT);
    let thousand = Action::Commit(1000, AT_COMMIT);
    let mut add = |group, name: &str, shape, action, target, weight| {
        let (name, world) = (name.to_owned(), WorldKey::Memory(shape));
        cases.push(Case { group, name, world, action, target, weight });
    };
    let shape = Shape::Hundreds(1000);
    add("scale", "1 of 1k", shape, one, none, 1);
    add("fork", "of 1k: clone, write, drop", shape, Action::Fork, micros(5), 1);
    add("restore", "1k, 1 changed", shape, Action::Restore, micros(1), 1);
    add("scale", "1 of 10k", Shape::Hundreds(10_000), one, none, 1);
    let shape = Shape::Hundreds(100_000);
    add("scale", "1 of 100k", shape, one, none, 1);
    add("scale", "1000 of 100k, in 1000 directories", shape, thousand, micros(1200), 10);
    add("fork", "of 100k: clone, write, drop", shape, Action::Fork, micros(5), 1);
    add("restore", "100k, 1 changed", shape, Action::Restore, micros(1), 1);
    let shape = Shape::Hundreds(1_000_000);
    add("scale", "1 of 1M", shape, one, micros(10), 1);
    add("one directory", "1 of 1k entries", Shape::OneDirectory(1000), one, none, 1);
    add("one directory", "1 of 100k entries", Shape::OneDirectory(100_000), one, none, 1);
    add("one directory", "1 of 1M entries", Shape::OneDirectory(1_000_000), one, micros(12), 1);
    cases.push(Case {
        group: "diff",
        name: "1M, 1 changed".to_owned(),
        world: WorldKey::Kept(shape),
        action: Action::Diff,
        target: micros(100),
        weight: 2,
    });
}

fn stored(cases: &mut Vec<Case>) {
    let mut add = |name: &str, files, dirty, weight| {
        cases.push(Case {
            group: "with the store",
            name: name.to_owned(),
            world: WorldKey::Stored(Shape::Hundreds(files)),
            action: Action::Commit(dirty, AT_COMMIT),
            target: Target::default(),
            weight,
        });
    };
    add("1 of 1k", 1000, 1, 2);
    add("1 of 100k", 100_000, 1, 2);
    add("100 of 100k, in 100 directories", 100_000, 100, 5);
    add("1000 of 100k, in 1000 directories", 100_000, 1000, 20);
}

fn big(cases: &mut Vec<Case>) {
    let mut add = |name: &str, bytes, action, target, weight| {
        let (name, world) = (name.to_owned(), WorldKey::Big(bytes));
        cases.push(Case { group: "big file", name, world, action, target, weight });
    };
    let target = Target { stored_bytes: Some(1_000_000), ..Target::default() };
    add("100 MB, 1 byte inserted at the start", 100_000_000, Action::Insert, target, 200);
    let target = Target { stored_bytes: Some(600_000), ..micros(2000) };
    add("1 GiB, 4 KiB overwritten", 1 << 30, Action::Overwrite, target, 5);
}
