//! Where things are: the paths that are ignored, and those of directories.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::{NOWHERE, SHADOWS, is_shadow, seen, shadow_name};
use crate::base::limits::TREE_DEPTH_MAX;
use crate::format::entry::is_directory;
use crate::model::{Ino, Name, ObjectError, ObjectSource};
use crate::worktree::state::{Found, Worktree, inode_of};

/// A path that is ignored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IgnoredPath {
    /// The names from the top, joined by `/`.
    pub path: Vec<u8>,
    /// Whether it is a directory, with all that is in it.
    pub is_directory: bool,
}

impl IgnoredPath {
    /// The path as listings show it: that of a directory has a `/` at its end.
    pub fn shown(&self) -> Vec<u8> {
        let end: &[u8] = if self.is_directory { b"/" } else { b"" };
        [&self.path, end].concat()
    }
}

impl Worktree {
    /// The paths that are ignored, but for those below others, in no particular order. Costs what
    /// these are, and nothing for what is below them.
    pub fn ignored_paths(&self, src: &dyn ObjectSource) -> Result<Vec<IgnoredPath>, ObjectError> {
        let mut paths = Vec::new();
        let mut shadows = Vec::new();
        self.shadows_tree().scan(0, src, &mut |item| {
            if seen(Ino(item.side.ino)) != NOWHERE {
                shadows.push(Found::of(SHADOWS, &item));
            }
            ControlFlow::Continue(())
        })?;
        for found in shadows {
            let directory = seen(found.ino);
            let Some(path) = self.directory_path(directory, src)? else { continue };
            let shadow = match self.find(found.ino) {
                Some(shadow) => shadow.clone(),
                None => Arc::new(inode_of(&found, (SHADOWS, shadow_name(directory)), src)?),
            };
            let Some(tree) = shadow.directory() else { continue };
            tree.scan(0, src, &mut |item| {
                let mut path = path.clone();
                path.extend_from_slice(item.key);
                paths.push(IgnoredPath { path, is_directory: is_directory(item.value) });
                ControlFlow::Continue(())
            })?;
        }
        Ok(paths)
    }

    /// The path from the top of what has this path in the directory of all shadows; nothing if that
    /// cannot be found out.
    pub fn path_of_ignored(&self, path: &[u8], src: &dyn ObjectSource) -> Option<Vec<u8>> {
        let (number, inside) = match path.iter().position(|byte| *byte == b'/') {
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (path, &b""[..]),
        };
        let directory = Ino(str::from_utf8(number).ok()?.parse().ok()?);
        let mut named = self.directory_path(directory, src).ok()??;
        if inside.is_empty() {
            named.pop();
        }
        named.extend_from_slice(inside);
        Some(named)
    }

    /// The path of a directory, with a `/` at its end unless it is the top; `None` for one that is
    /// ignored.
    pub(in crate::worktree) fn directory_path(
        &self,
        directory: Ino,
        src: &dyn ObjectSource,
    ) -> Result<Option<Vec<u8>>, ObjectError> {
        let mut names: Vec<Name> = Vec::new();
        let mut at = directory;
        if is_shadow(at) {
            return Ok(None);
        }
        while at != Ino::ROOT {
            let first = match self.find(at) {
                Some(inode) => inode.names.first().cloned(),
                None => self.place(at, src)?.and_then(|place| place.names.into_iter().next()),
            };
            let (parent, name) = first.ok_or_else(|| self.bad_places("a directory is nowhere"))?;
            if is_shadow(parent) {
                return Ok(None);
            }
            names.push(name);
            if names.len() > TREE_DEPTH_MAX {
                return Err(self.bad_places("directories lie in a circle"));
            }
            at = parent;
        }
        let mut path = Vec::new();
        for name in names.iter().rev() {
            path.extend_from_slice(name.as_bytes());
            path.push(b'/');
        }
        Ok(Some(path))
    }
}
