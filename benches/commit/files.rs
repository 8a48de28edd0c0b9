//! The files of a benchmark's tree: where they are, what is in them, and which of them are
//! written next. Knows operations, and nothing of what they are applied to.

use std::collections::BTreeSet;
use std::error::Error;

use vst::model::{FileKind, Ino, Name, NewNode, Op, Timestamp};

/// What can go wrong in a benchmark, which then ends.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Length of every small file.
pub(crate) const FILE_BYTES: usize = 1024;
/// Files, or directories, in a directory of a tree that has many.
const HUNDRED: u32 = 100;
/// A prime far from the sizes of trees: steps of so many files come by all of them.
const STRIDE: u64 = 7_368_787;
/// How many files are read back from a tree.
const SAMPLES: u32 = 16;

/// How many files a tree has, and in which directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shape {
    /// A hundred to a directory, and directories a hundred to a directory.
    Hundreds(u32),
    /// All in one directory below the top.
    OneDirectory(u32),
}

impl Shape {
    /// How many files there are.
    pub(crate) fn files(self) -> u32 {
        match self {
            Self::OneDirectory(files) | Self::Hundreds(files) => files,
        }
    }

    /// Counts the directories above the top level, the lowest level first.
    fn levels(self) -> Vec<u32> {
        match self {
            Self::OneDirectory(_) => vec![1],
            Self::Hundreds(files) => {
                let mut levels = vec![files.div_ceil(HUNDRED)];
                while let Some(last) = levels.last().filter(|last| **last > HUNDRED) {
                    levels.push(last.div_ceil(HUNDRED));
                }
                levels
            }
        }
    }

    /// Counts the directories, the top one with them.
    fn directories(self) -> u32 {
        1 + self.levels().iter().sum::<u32>()
    }

    /// The directories that a file is in, from the lowest to that below the top, each by its
    /// index in its level.
    fn above(self, file: u32) -> Vec<u32> {
        match self {
            Self::OneDirectory(_) => vec![0],
            Self::Hundreds(_) => {
                let up = |at: &u32| Some(at / HUNDRED);
                std::iter::successors(up(&file), up).take(self.levels().len()).collect()
            }
        }
    }

    /// Counts the directories that change with these files, the top one with them.
    pub(crate) fn directories_above(self, files: &[u32]) -> u64 {
        let above = files.iter().flat_map(|file| self.above(*file).into_iter().enumerate());
        above.collect::<BTreeSet<_>>().len() as u64 + 1
    }

    fn file_name(self, file: u32) -> String {
        match self {
            Self::OneDirectory(_) => format!("f{file:06}"),
            Self::Hundreds(_) => format!("f{:02}", file % HUNDRED),
        }
    }

    /// The names that lead to a file from the top.
    pub(crate) fn path(self, file: u32) -> Vec<String> {
        let mut path: Vec<_> = self.above(file).into_iter().rev().map(directory_name).collect();
        path.push(self.file_name(file));
        path
    }
}

fn directory_name(index: u32) -> String {
    format!("d{:02}", index % HUNDRED)
}

/// The files of one tree and what they were last written with.
pub(crate) struct Files {
    /// Where they are.
    pub(crate) shape: Shape,
    versions: Vec<u64>,
    /// Counts what was written, so that no content comes twice, and is the clock.
    written: u64,
}

impl Files {
    /// Files that are not made yet.
    pub(crate) fn new(shape: Shape) -> Self {
        Self { shape, versions: vec![0; shape.files() as usize], written: 0 }
    }

    /// Makes all directories and files, in the order of their inode numbers.
    pub(crate) fn make(&mut self, mut apply: impl FnMut(&Op) -> Result<()>) -> Result<()> {
        let levels = self.shape.levels();
        let mut ino = Ino::ROOT.0;
        // The highest level first; the numbers of the one above are what `above` begins at.
        let mut above = None;
        for level in levels.iter().rev() {
            let first = ino + 1;
            for index in 0..*level {
                let parent = above.map_or(Ino::ROOT.0, |above| above + u64::from(index / HUNDRED));
                ino += 1;
                self.create(parent, ino, &directory_name(index), FileKind::Directory, &mut apply)?;
            }
            above = Some(first);
        }
        let above = above.unwrap_or(Ino::ROOT.0);
        for file in 0..self.shape.files() {
            let leaf = self.shape.above(file).first().copied().unwrap_or_default();
            ino += 1;
            let name = self.shape.file_name(file);
            self.create(above + u64::from(leaf), ino, &name, FileKind::Regular, &mut apply)?;
            for op in self.write(&[file]) {
                apply(&op)?;
            }
        }
        Ok(())
    }

    fn create(
        &mut self,
        parent: u64,
        ino: u64,
        name: &str,
        kind: FileKind,
        apply: &mut impl FnMut(&Op) -> Result<()>,
    ) -> Result<()> {
        let node = NewNode { kind, perm: 0o755, uid: 0, gid: 0, rdev: 0, target: Box::default() };
        let (parent, name, ino) = (Ino(parent), Name::new(name.as_bytes())?, Ino(ino));
        apply(&Op::Create { parent, name, ino, node, time: self.time() })
    }

    fn time(&self) -> Timestamp {
        // A clock that counts by itself makes every run the same.
        Timestamp { secs: 1_000_000_000 + self.written as i64, nanos: 0 }
    }

    /// The number of a file's inode.
    pub(crate) fn ino(&self, file: u32) -> Ino {
        Ino(Ino::ROOT.0 + u64::from(self.shape.directories()) + u64::from(file))
    }

    /// So many files, evenly spread over the tree, others in each round.
    pub(crate) fn pick(&self, dirty: u32, round: u64) -> Vec<u32> {
        let files = u64::from(self.shape.files());
        let step = files / u64::from(dirty);
        let first = round.wrapping_mul(STRIDE) % files;
        // Below the number of files, which is 32 bits.
        (0..u64::from(dirty)).map(|at| ((first + at * step) % files) as u32).collect()
    }

    /// The operations that give these files new contents. They must be applied.
    pub(crate) fn write(&mut self, files: &[u32]) -> Vec<Op> {
        let mut ops = Vec::with_capacity(files.len());
        for file in files {
            self.written += 1;
            self.versions[*file as usize] = self.written;
            let data = noise(u64::from(*file), self.written, FILE_BYTES).into();
            let (ino, time) = (self.ino(*file), self.time());
            ops.push(Op::Write { ino, offset: 0, data, kill_priv: false, time });
        }
        ops
    }

    /// The version of a file, to be put back when the tree is.
    pub(crate) fn version(&self, file: u32) -> u64 {
        self.versions[file as usize]
    }

    /// Notes that a file has the content again that it had before.
    pub(crate) fn put_back(&mut self, file: u32, version: u64) {
        self.versions[file as usize] = version;
    }

    /// Checks what a file holds.
    pub(crate) fn check(&self, file: u32, found: &[u8]) -> Result<()> {
        let path = self.shape.path(file).join("/");
        if found != noise(u64::from(file), self.version(file), FILE_BYTES) {
            return Err(format!("{path} does not hold what was last written to it").into());
        }
        Ok(())
    }

    /// Reads the first, the last and some other files back by their paths, and checks them.
    pub(crate) fn check_some(
        &self,
        mut read: impl FnMut(&[Name]) -> Result<Vec<u8>>,
    ) -> Result<()> {
        let files = self.shape.files();
        let others = (1..=u64::from(SAMPLES)).map(|at| {
            // Below the number of files, which is 32 bits.
            ((self.written + at).wrapping_mul(STRIDE) % u64::from(files)) as u32
        });
        for file in [0, files - 1].into_iter().chain(others) {
            let path = self.shape.path(file);
            let names = path.iter().map(|name| Name::new(name.as_bytes()));
            self.check(file, &read(&names.collect::<std::result::Result<Vec<_>, _>>()?)?)?;
        }
        Ok(())
    }
}

/// Bytes that no other file and no other version has: xorshift, seeded with both.
pub(crate) fn noise(file: u64, version: u64, len: usize) -> Vec<u8> {
    let mut state = (file << 1 | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ version;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
