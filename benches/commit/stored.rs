//! A live tree with its store attached: every commit goes into packs on the disk.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vst::model::{Name, Op, RootId};
use vst::repo::{CommitRequest, Repo, RepoOptions};

use super::files::{FILE_BYTES, Files, Result, Shape};
use super::sample::{Counts, Sample};
use super::tree::read;

/// A repository in a directory of its own, which goes with it.
pub(crate) struct Stored {
    /// The repository.
    pub(crate) repo: Repo,
    dir: TempDir,
    root: Option<RootId>,
}

impl Stored {
    /// Makes an empty repository where temporary files go.
    pub(crate) fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("vst-bench.").tempdir()?;
        let options = RepoOptions { author: "bench".to_owned(), ..RepoOptions::default() };
        Ok(Self { repo: Repo::open(&dir.path().join("store"), options)?, dir, root: None })
    }

    /// Applies an operation.
    pub(crate) fn apply(&self, op: &Op) -> Result<()> {
        Ok(self.repo.apply(op)?)
    }

    /// Commits, and checks that this made another root.
    pub(crate) fn commit(&mut self) -> Result<(Duration, Counts)> {
        let before = (self.counts(), self.pack_bytes()?);
        let request = CommitRequest { message: "bench".to_owned(), ..CommitRequest::default() };
        let begin = Instant::now();
        let id = self.repo.commit(&request)?;
        let took = begin.elapsed();
        self.repo.write_commits()?;
        let root = self.repo.history().commit(&id)?.root;
        if self.root.replace(root) == Some(root) {
            return Err("a commit of changed files has the root of the one before".into());
        }
        let after = self.counts();
        let counts = Counts {
            files: after.files - before.0.files,
            content_bytes: after.content_bytes - before.0.content_bytes,
            nodes: after.nodes - before.0.nodes,
            stored_bytes: Some(self.pack_bytes()? - before.1),
            ..Counts::default()
        };
        Ok((took, counts))
    }

    /// What was hashed since the repository was opened.
    fn counts(&self) -> Counts {
        let stats = self.repo.stats();
        Counts {
            files: stats.files_hashed.load(Ordering::Relaxed),
            content_bytes: stats.content_bytes_hashed.load(Ordering::Relaxed),
            nodes: stats.nodes_hashed.load(Ordering::Relaxed),
            ..Counts::default()
        }
    }

    /// The length of all pack files.
    fn pack_bytes(&self) -> Result<u64> {
        let packs: &Path = &self.dir.path().join("store").join("packs");
        let mut bytes = 0;
        for file in packs.read_dir()? {
            bytes += file?.metadata()?.len();
        }
        Ok(bytes)
    }

    /// Reads a whole file by its path.
    pub(crate) fn read(&self, path: &[Name]) -> Result<Vec<u8>> {
        read(self.repo.look(Clone::clone), path, self.repo.source())
    }
}

/// A tree of small files in a repository.
pub(crate) struct StoredTree {
    stored: Stored,
    files: Files,
}

impl StoredTree {
    /// Makes a tree and commits it.
    pub(crate) fn new(shape: Shape) -> Result<Self> {
        let mut stored = Stored::new()?;
        let mut files = Files::new(shape);
        files.make(|op| stored.apply(op))?;
        stored.commit()?;
        Ok(Self { stored, files })
    }

    /// Writes so many files and commits.
    pub(crate) fn commit(&mut self, dirty: u32, round: u64) -> Result<Sample> {
        let picked = self.files.pick(dirty, round);
        let ops = self.files.write(&picked);
        let begin = Instant::now();
        for op in &ops {
            self.stored.apply(op)?;
        }
        let write = begin.elapsed();
        let (took, counts) = self.stored.commit()?;
        let files = u64::from(dirty);
        let directories = self.files.shape.directories_above(&picked);
        counts.check(files, files * FILE_BYTES as u64, directories)?;
        Ok(Sample { write: Some(write), took, counts })
    }

    /// Reads some files back by their paths.
    pub(crate) fn check(&self) -> Result<()> {
        self.files.check_some(|path| self.stored.read(path))
    }
}
