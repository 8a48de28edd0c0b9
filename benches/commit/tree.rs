//! A live tree in memory, with no store attached. All that the benchmark knows of the engine is
//! in this file: how operations are applied, how a commit is made, what it counts.

use std::time::{Duration, Instant};

use vst::base::limits::{CHUNK_BYTES_MIN, SETTLE_FILES_LOCKED_MAX};
use vst::model::{Ino, Name, ObjectSource, Op, RootId, Timestamp};
use vst::store::MemoryStore;
use vst::worktree::tree::Hasher;
use vst::worktree::{CommitCounts, DiffOptions, Worktree, diff_roots, hash_files};

use super::files::{FILE_BYTES, Files, Result, Shape};
use super::sample::{Counts, Sample};

/// What is done between writing and committing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variant {
    /// What reports call it.
    pub(crate) name: &'static str,
    /// Does it; its time is not counted.
    pub(crate) prepare: fn(&mut MemoryTree) -> Result<()>,
    /// Whether contents are left for the commit to hash.
    pub(crate) hashes_contents: bool,
    /// Whether it may use all processors.
    pub(crate) all_cores: bool,
}

/// A working tree of small files.
pub(crate) struct MemoryTree {
    files: Files,
    live: Worktree,
    /// On one processor, and on all.
    hashers: [Hasher; 2],
    /// Whether every commit goes to `objects`; else there is nothing.
    stores: bool,
    objects: MemoryStore,
    root: RootId,
}

impl MemoryTree {
    /// Makes a tree and commits it. Comparisons read trees as they are stored, so for these its
    /// commits are to be stored, which takes no part in their time.
    pub(crate) fn new(shape: Shape, stores: bool) -> Result<Self> {
        let objects = MemoryStore::new();
        let mut live = Worktree::new(0, 0, 0o755, Timestamp::default());
        let mut files = Files::new(shape);
        files.make(|op| Ok(live.apply(op, &objects)?))?;
        let mut hashers = [Hasher::new(1), Hasher::default()];
        let (_, root, counts) = commit(&mut live, &mut hashers[0], &objects, stores)?;
        if counts.files != u64::from(shape.files()) {
            return Err(format!("the first commit hashed {} files", counts.files).into());
        }
        Ok(Self { files, live, hashers, stores, objects, root })
    }

    /// Writes so many files and commits. The sample has the time of the commit, and that of
    /// writing.
    pub(crate) fn commit(&mut self, dirty: u32, variant: Variant, round: u64) -> Result<Sample> {
        let picked = self.files.pick(dirty, round);
        let ops = self.files.write(&picked);
        let begin = Instant::now();
        for op in &ops {
            self.live.apply(op, &self.objects)?;
        }
        let write = begin.elapsed();
        (variant.prepare)(self)?;
        let (took, counts) = self.commit_now(variant.all_cores)?;
        let files = if variant.hashes_contents { u64::from(dirty) } else { 0 };
        counts.check(files, files * FILE_BYTES as u64, self.directories_above(&picked))?;
        Ok(Sample { write: Some(write), took, counts })
    }

    fn directories_above(&self, picked: &[u32]) -> u64 {
        self.files.shape.directories_above(picked)
    }

    /// Does what happens to files some time after they are closed.
    pub(crate) fn settle(&mut self) -> Result<()> {
        settle(&mut self.live, &mut self.hashers[0], &self.objects).map(drop)
    }

    /// Commits what was written, and checks that this made another root.
    fn commit_now(&mut self, all_cores: bool) -> Result<(Duration, Counts)> {
        let Self { live, hashers, objects, stores, .. } = self;
        let hasher = &mut hashers[usize::from(all_cores)];
        let (took, root, counts) = commit(live, hasher, objects, *stores)?;
        if root == self.root {
            return Err("a commit of changed files has the root of the one before".into());
        }
        self.root = root;
        Ok((took, counts))
    }

    /// Clones the tree, writes a file in the clone and drops it.
    pub(crate) fn fork(&mut self, round: u64) -> Result<Sample> {
        let picked = self.files.pick(1, round);
        let before = self.files.version(picked[0]);
        let ops = self.files.write(&picked);
        let begin = Instant::now();
        let mut fork = self.live.clone();
        for op in &ops {
            fork.apply(op, &self.objects)?;
        }
        drop(fork);
        let took = begin.elapsed();
        self.files.put_back(picked[0], before);
        self.files.check(picked[0], &self.read_ino(self.files.ino(picked[0]))?)?;
        Ok(Sample { write: None, took, counts: Counts::default() })
    }

    /// Commits a changed file, and puts the tree back to what it was before.
    pub(crate) fn restore(&mut self, round: u64) -> Result<Sample> {
        let picked = self.files.pick(1, round);
        let before = (self.live.clone(), self.root, self.files.version(picked[0]));
        self.write(&picked)?;
        self.commit_now(false)?;
        let begin = Instant::now();
        self.live = before.0.clone();
        let took = begin.elapsed();
        self.root = before.1;
        self.files.put_back(picked[0], before.2);
        self.files.check(picked[0], &self.read_ino(self.files.ino(picked[0]))?)?;
        Ok(Sample { write: None, took, counts: Counts::default() })
    }

    /// Commits a changed file, and compares the tree with what it was before.
    pub(crate) fn diff(&mut self, round: u64) -> Result<Sample> {
        let picked = self.files.pick(1, round);
        let before = self.root;
        self.write(&picked)?;
        self.commit_now(false)?;
        let begin = Instant::now();
        let options = DiffOptions::default();
        let changes = diff_roots(Some(&before), &self.root, &self.objects, &options)?;
        let took = begin.elapsed();
        let path = self.files.shape.path(picked[0]).join("/");
        if !matches!(&changes[..], [change] if change.path == path.as_bytes()) {
            return Err(format!("{path} alone differs, and the comparison found others").into());
        }
        Ok(Sample { write: None, took, counts: Counts::default() })
    }

    fn write(&mut self, picked: &[u32]) -> Result<()> {
        for op in self.files.write(picked) {
            self.live.apply(&op, &self.objects)?;
        }
        Ok(())
    }

    /// Reads some files back by their paths.
    pub(crate) fn check(&self) -> Result<()> {
        self.files.check_some(|path| read(self.live.clone(), path, &self.objects))
    }

    fn read_ino(&self, ino: Ino) -> Result<Vec<u8>> {
        read_ino(&self.live, ino, &self.objects)
    }
}

/// Commits what is dirty in a tree. Returns how long it took, the root, and what was hashed. All
/// stays in memory; if `store` says so, which takes no part in the time, it goes to `objects`.
fn commit(
    live: &mut Worktree,
    hasher: &mut Hasher,
    objects: &MemoryStore,
    store: bool,
) -> Result<(Duration, RootId, Counts)> {
    let begin = Instant::now();
    let settled = settle(live, hasher, objects)?;
    let snapshot = live.begin_commit();
    let committed = snapshot.hash(hasher, objects)?;
    let mut took = begin.elapsed();
    let unstored = store.then(|| snapshot.unstored(&committed));
    let begin = Instant::now();
    let (root, counts) = (committed.root, committed.counts);
    drop(snapshot);
    live.publish(committed);
    took += begin.elapsed();
    if let Some(mut unstored) = unstored {
        live.publish_stored(unstored.store(hasher, objects, objects)?);
    }
    let mut counts = counted(&counts);
    counts.files += settled.files;
    counts.content_bytes += settled.content_bytes;
    Ok((took, root, counts))
}

/// Hashes dirty files and writes their entries into their directories, as the first part of a
/// commit or ahead of it.
fn settle(live: &mut Worktree, hasher: &mut Hasher, objects: &MemoryStore) -> Result<CommitCounts> {
    let mut counts = CommitCounts::default();
    for inos in live.dirty_files().to_vec().chunks(SETTLE_FILES_LOCKED_MAX) {
        let files = live.to_settle(inos, CHUNK_BYTES_MIN as u64);
        let hashed = hash_files(&files, hasher, objects)?;
        counts.files += hashed.files;
        counts.content_bytes += hashed.content_bytes;
        live.settle(files, objects);
    }
    Ok(counts)
}

fn counted(counts: &CommitCounts) -> Counts {
    Counts {
        files: counts.files,
        content_bytes: counts.content_bytes,
        directories: Some(counts.directories),
        nodes: counts.hashed.nodes + counts.hashed.sides,
        node_bytes: Some(counts.hashed.node_bytes + counts.hashed.side_bytes),
        stored_bytes: None,
    }
}

/// Reads a whole file of a tree by its path from the top. Takes a clone of the tree, so that what
/// is loaded on the way is not kept.
pub(crate) fn read(mut tree: Worktree, path: &[Name], src: &dyn ObjectSource) -> Result<Vec<u8>> {
    let mut ino = Ino::ROOT;
    for name in path {
        let found = tree.lookup(ino, name, src)?.ok_or("a file is not in its directory")?;
        tree.load(ino, name, &found, src)?;
        ino = found.ino;
    }
    read_ino(&tree, ino, src)
}

fn read_ino(tree: &Worktree, ino: Ino, src: &dyn ObjectSource) -> Result<Vec<u8>> {
    let file = tree.find(ino).and_then(|inode| inode.file()).ok_or("no such file")?;
    let mut bytes = vec![0; usize::try_from(file.size())?];
    file.read(0, &mut bytes, src)?;
    Ok(bytes)
}

/// An operation that writes into a file, for those who make their own.
pub(crate) fn write_op(ino: Ino, offset: u64, data: &[u8]) -> Op {
    Op::Write { ino, offset, data: data.into(), kill_priv: false, time: Timestamp::now() }
}
