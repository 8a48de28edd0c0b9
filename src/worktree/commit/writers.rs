//! Who made the changes of a snapshot.

use std::sync::Arc;

use super::Unstored;
use crate::base::limits::PROVENANCE_PATH_BYTES_MAX;
use crate::model::{Ino, Name, Writer};
use crate::worktree::state::InoMap;

impl Unstored {
    /// The paths that changed since the snapshot before this one, each with who changed it last,
    /// in order; those of which nobody knows it are left out. What was removed is not there, nor
    /// is, of a directory that was moved, what is in it.
    ///
    /// Some may be as they were: a list of changes does not come from here. Paths that are longer
    /// than any that a program can name are left out: those of directories that lie in each other
    /// without end would take more memory than these.
    pub fn changes_by(&self) -> Vec<(Vec<u8>, Arc<Writer>)> {
        let mut paths: InoMap<Vec<u8>> = InoMap::default();
        // Those that they are in come last.
        for directory in self.directories_before.iter().rev() {
            let path = match directory.names.first() {
                Some((parent, name)) => paths.get(parent).and_then(|above| joined(above, name)),
                None => (directory.ino == Ino::ROOT).then(Vec::new),
            };
            if let Some(path) = path {
                paths.insert(directory.ino, path);
            }
        }
        let mut rows = Vec::with_capacity(self.inodes.len());
        for inode in &self.inodes {
            let Some(writer) = &inode.writer else { continue };
            for (parent, name) in &inode.names {
                if let Some(path) = paths.get(parent).and_then(|above| joined(above, name)) {
                    rows.push((path, Arc::clone(writer)));
                }
            }
        }
        for directory in &self.directories_before {
            if let (Some(writer), Some(path)) = (&directory.writer, paths.remove(&directory.ino)) {
                rows.push((path, Arc::clone(writer)));
            }
        }
        rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        // A file that was written and settled and written again is listed twice.
        rows.dedup_by(|a, b| a.0 == b.0);
        rows
    }
}

fn joined(above: &[u8], name: &Name) -> Option<Vec<u8>> {
    let name = name.as_bytes();
    let path = if above.is_empty() { name.to_vec() } else { [above, name].join(&b'/') };
    (path.len() <= PROVENANCE_PATH_BYTES_MAX).then_some(path)
}
