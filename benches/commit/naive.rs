//! The algorithm that this filesystem replaces, written from its description, as a baseline.
//!
//! The tree is a flat map from paths to files. A commit copies all of it, with every byte, then
//! builds the directories from the top down; for each it looks through all paths of the copy for
//! those that are right inside. Every file, and every directory's sorted listing, is hashed by
//! itself. Nothing is remembered from one commit to the next.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use blake3::Hash;

use super::files::{FILE_BYTES, Files, Result, Shape, noise};
use super::sample::{Counts, Sample};

/// A file in the flat map.
#[derive(Clone)]
struct File {
    mode: u32,
    bytes: Vec<u8>,
}

/// A tree as the naive algorithm has it.
pub(crate) struct NaiveTree {
    files: Files,
    live: HashMap<String, File>,
    root: Hash,
    /// The last copy, which a commit keeps.
    committed: HashMap<String, File>,
    written: u64,
}

impl NaiveTree {
    /// Makes a tree and commits it.
    pub(crate) fn new(shape: Shape) -> Self {
        let content = |file| noise(u64::from(file), 0, FILE_BYTES);
        let live = (0..shape.files())
            .map(|file| (shape.path(file).join("/"), File { mode: 0o644, bytes: content(file) }));
        let live: HashMap<_, _> = live.collect();
        let (committed, files) = (live.clone(), Files::new(shape));
        let root = hash_directory(&committed, "", &mut Counts::default());
        Self { files, live, root, committed, written: 0 }
    }

    /// Writes so many files and commits.
    pub(crate) fn commit(&mut self, dirty: u32, round: u64) -> Result<Sample> {
        let picked = self.files.pick(dirty, round);
        let new = picked.iter().map(|file| {
            self.written += 1;
            (
                self.files.shape.path(*file).join("/"),
                noise(u64::from(*file), self.written, FILE_BYTES),
            )
        });
        let new: Vec<(String, Vec<u8>)> = new.collect();
        let begin = Instant::now();
        for (path, bytes) in &new {
            let file = self.live.get_mut(path).ok_or("a path is not in the map")?;
            file.bytes.clone_from(bytes);
        }
        let write = begin.elapsed();
        let mut counts = Counts { directories: Some(0), node_bytes: Some(0), ..Counts::default() };
        let begin = Instant::now();
        let copy = self.live.clone();
        let root = hash_directory(&copy, "", &mut counts);
        let took = begin.elapsed();
        if std::mem::replace(&mut self.root, root) == root {
            return Err("a commit of changed files has the root of the one before".into());
        }
        self.committed = copy;
        let files = u64::from(self.files.shape.files());
        counts.check(files, files * FILE_BYTES as u64, counts.nodes)?;
        Ok(Sample { write: Some(write), took, counts })
    }

    /// Checks that the last commit holds what the tree holds.
    pub(crate) fn check(&self) -> Result<()> {
        let root = hash_directory(&self.live, "", &mut Counts::default());
        let same = root == self.root && self.committed.len() == self.live.len();
        if same { Ok(()) } else { Err("the last commit is not what the tree holds".into()) }
    }
}

/// Hashes the directory with this path, all that is below it first.
fn hash_directory(files: &HashMap<String, File>, path: &str, counts: &mut Counts) -> Hash {
    let mut entries: BTreeMap<&str, Option<&File>> = BTreeMap::new();
    for (file_path, file) in files {
        let below = match path {
            "" => Some(file_path.as_str()),
            _ => file_path.strip_prefix(path).and_then(|rest| rest.strip_prefix('/')),
        };
        let Some(below) = below else { continue };
        match below.split_once('/') {
            Some((directory, _)) => entries.insert(directory, None),
            None => entries.insert(below, Some(file)),
        };
    }
    let mut listing = Vec::new();
    for (name, file) in entries {
        let (mode, digest) = match file {
            Some(file) => {
                counts.files += 1;
                counts.content_bytes += file.bytes.len() as u64;
                (file.mode, blake3::hash(&file.bytes))
            }
            None => {
                let path = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
                (0o040_755, hash_directory(files, &path, counts))
            }
        };
        listing.extend_from_slice(&mode.to_le_bytes());
        listing.extend_from_slice(digest.as_bytes());
        listing.extend_from_slice(name.as_bytes());
        listing.push(0);
    }
    counts.nodes += 1;
    counts.directories = counts.directories.map(|directories| directories + 1);
    counts.node_bytes = counts.node_bytes.map(|bytes| bytes + listing.len() as u64);
    blake3::hash(&listing)
}
