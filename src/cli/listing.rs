//! What is in a directory of a commit, and below it, one after the other.

use super::error::CliError;
use crate::model::{Entry, ObjectSource};
use crate::worktree::{CommittedDirectory, EntryReader};

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
            let Some((name, entry)) = level.entries.next(self.src)? else {
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
    entries: EntryReader,
}

impl Level {
    fn new(path: &[u8], directory: CommittedDirectory) -> Self {
        Self { path: path.to_vec(), entries: EntryReader::new(directory) }
    }
}
