//! Finding the names that share their file with others.

use std::ops::ControlFlow;

use super::state::Worktree;
use super::tree::{Directory, Tree};
use crate::format::entry::{decode_entry, is_directory};
use crate::model::{EntryBody, Ino, ObjectError, ObjectSource};

impl Worktree {
    /// The paths of all files that have several names, in no particular order. Looks at nothing
    /// else, and sees what the last commit or checkpoint saw.
    pub fn linked_paths(&self, src: &dyn ObjectSource) -> Result<Vec<Vec<u8>>, ObjectError> {
        let mut paths = Vec::new();
        let top = self.top().directory().cloned().unwrap_or_default();
        let mut stack: Vec<(Vec<u8>, Tree<Directory>)> = vec![(Vec::new(), top)];
        while let Some((path, tree)) = stack.pop() {
            tree.scan_linked(b"", src, &mut |item| {
                let mut path = path.clone();
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(item.key);
                if !is_directory(item.value) {
                    paths.push(path);
                    return ControlFlow::Continue(());
                }
                let live = self.find(Ino(item.side.ino)).and_then(|inode| inode.directory());
                let below = live.cloned().or_else(|| match decode_entry(item.value).ok()?.body {
                    EntryBody::Directory(node) => {
                        Some(Tree::stored(node, item.side.side.as_deref().copied()))
                    }
                    _ => None,
                });
                stack.extend(below.map(|tree| (path, tree)));
                ControlFlow::Continue(())
            })?;
        }
        Ok(paths)
    }
}
