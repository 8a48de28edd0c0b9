//! One big file in a repository: what a small change of it costs and stores.

use std::time::{Duration, Instant};

use vst::model::{FileKind, Ino, Name, NewNode, Op, Timestamp};

use super::files::{Result, noise};
use super::sample::{Counts, Sample};
use super::stored::Stored;
use super::tree::write_op;

/// Bytes in one write, as the kernel sends them.
const WRITE_BYTES: usize = 1024 * 1024;
/// Bytes that an overwrite changes.
const OVERWRITE_BYTES: u64 = 4096;
const INO: Ino = Ino(Ino::ROOT.0 + 1);
/// A prime: steps of so many overwrites come by all places of the file.
const STRIDE: u64 = 7_368_787;

/// A repository with one big file.
pub(crate) struct BigFile {
    stored: Stored,
    /// What the file holds.
    bytes: Vec<u8>,
    name: Name,
}

impl BigFile {
    /// Makes a file of noise and commits it.
    pub(crate) fn new(bytes: u64) -> Result<Self> {
        let mut stored = Stored::new()?;
        let (parent, name, ino, time) = (Ino::ROOT, Name::new(b"big")?, INO, Timestamp::now());
        let (kind, target) = (FileKind::Regular, Box::default());
        let node = NewNode { kind, perm: 0o644, uid: 0, gid: 0, rdev: 0, target };
        stored.apply(&Op::Create { parent, name: name.clone(), ino, node, time })?;
        let bytes = noise(0, 0, usize::try_from(bytes)?);
        write_all(&stored, &bytes)?;
        stored.commit()?;
        Ok(Self { stored, bytes, name })
    }

    /// Overwrites 4 KiB somewhere and commits.
    pub(crate) fn overwrite(&mut self, round: u64) -> Result<Sample> {
        let places = self.bytes.len() as u64 / OVERWRITE_BYTES;
        let offset = (round + 1).wrapping_mul(STRIDE) % places * OVERWRITE_BYTES;
        let new = noise(offset, round + 1, OVERWRITE_BYTES as usize);
        self.bytes[offset as usize..][..new.len()].copy_from_slice(&new);
        let op = write_op(INO, offset, &new);
        let begin = Instant::now();
        self.stored.apply(&op)?;
        let write = begin.elapsed();
        self.commit(write)
    }

    /// Inserts one byte at the start, as an editor does that writes the whole file anew, and
    /// commits.
    pub(crate) fn insert(&mut self, round: u64) -> Result<Sample> {
        // Any of the 256 bytes will do.
        self.bytes.insert(0, round as u8);
        let begin = Instant::now();
        let (ino, time) = (INO, Timestamp::now());
        self.stored.apply(&Op::Truncate { ino, size: 0, kill_priv: false, time })?;
        write_all(&self.stored, &self.bytes)?;
        let write = begin.elapsed();
        self.commit(write)
    }

    fn commit(&mut self, write: Duration) -> Result<Sample> {
        let (took, counts) = self.stored.commit()?;
        if counts.files != 1 || counts.content_bytes == 0 {
            return Err(format!("a commit of one changed file hashed {counts:?}").into());
        }
        Ok(Sample { write: Some(write), took, counts: Counts { directories: Some(1), ..counts } })
    }

    /// Reads the file back.
    pub(crate) fn check(&self) -> Result<()> {
        let found = self.stored.read(std::slice::from_ref(&self.name))?;
        if found == self.bytes {
            return Ok(());
        }
        Err("the big file does not hold what was last written to it".into())
    }
}

fn write_all(stored: &Stored, bytes: &[u8]) -> Result<()> {
    let mut offset = 0;
    for piece in bytes.chunks(WRITE_BYTES) {
        stored.apply(&write_op(INO, offset, piece))?;
        stored.repo.relieve()?;
        offset += piece.len() as u64;
    }
    Ok(())
}
