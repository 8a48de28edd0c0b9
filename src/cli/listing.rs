//! What is in a directory of a commit, and below it, one after the other.

use std::ops::ControlFlow;

use super::error::CliError;
use crate::model::{Entry, Name, ObjectSource};
use crate::worktree::CommittedDirectory;

/// Entries of a directory that are read at a time, so that output begins at once and memory does
/// not grow with the directory.
const BATCH_ENTRIES: usize = 1024;

/// What is to be listed.
pub(super) struct Listing<'a> {
    /// Where objects are read from.
    pub(super) src: &'a dyn ObjectSource,
    /// Whether everything below is listed as well.
    pub(super) recursive: bool,
}

/// Takes a path from the directory that is listed, and what is there.
pub(super) type Visit<'a> = dyn FnMut(&[u8], &Entry) -> Result<(), CliError> + 'a;

impl Listing<'_> {
    /// Calls `visit` with what is in a directory, or with what is no directory itself.
    pub(super) fn each(
        &self,
        path: &[u8],
        entry: &Entry,
        visit: &mut Visit<'_>,
    ) -> Result<(), CliError> {
        match CommittedDirectory::of(entry) {
            Some(directory) => self.directory(directory, visit),
            None => {
                let name = path.split(|byte| *byte == b'/').rfind(|name| !name.is_empty());
                visit(name.unwrap_or(path), entry)
            }
        }
    }

    /// Depth first, so that what is in a directory comes right behind it. Keeps a batch of
    /// entries for each directory on the way.
    fn directory(
        &self,
        directory: CommittedDirectory,
        visit: &mut Visit<'_>,
    ) -> Result<(), CliError> {
        let mut stack = vec![Level::new(b"", directory)];
        while let Some(level) = stack.last_mut() {
            let Some((name, entry)) = level.next(self.src)? else {
                stack.pop();
                continue;
            };
            let mut path = level.path.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name.as_bytes());
            visit(&path, &entry)?;
            if self.recursive
                && let Some(below) = CommittedDirectory::of(&entry)
            {
                stack.push(Level::new(&path, below));
            }
        }
        Ok(())
    }
}

/// A directory that is being listed.
struct Level {
    path: Vec<u8>,
    directory: CommittedDirectory,
    /// How many entries were read.
    read: u64,
    /// Those that have not been shown, last first.
    batch: Vec<(Name, Entry)>,
}

impl Level {
    fn new(path: &[u8], directory: CommittedDirectory) -> Self {
        Self { path: path.to_vec(), directory, read: 0, batch: Vec::new() }
    }

    fn next(&mut self, src: &dyn ObjectSource) -> Result<Option<(Name, Entry)>, CliError> {
        if self.batch.is_empty() {
            let batch = &mut self.batch;
            self.directory.list(self.read, src, &mut |name, entry| {
                batch.push((name, entry));
                match batch.len() {
                    BATCH_ENTRIES => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                }
            })?;
            self.read += batch.len() as u64;
            batch.reverse();
        }
        Ok(self.batch.pop())
    }
}
