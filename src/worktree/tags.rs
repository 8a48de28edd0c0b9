//! The table of tags: what each of them names.
//!
//! What counts is the refs of the store. The table beside them, in the state of the worktree, tells
//! which there should be, so that a ref that is lost is missed, and can be made again.

use std::ops::ControlFlow;

use super::state::Worktree;
use super::tree::{Table, Tree, damaged};
use crate::format::bytes::Reader;
use crate::format::worktree::WorktreeState;
use crate::model::{CommitId, ObjectError, ObjectId, ObjectSource};

impl Worktree {
    /// Notes what a tag names, or that there is no such tag any more. A table that cannot be read,
    /// which is damage that verification finds, is begun anew: it must not keep anybody from
    /// tagging.
    pub(super) fn note_tag(&mut self, name: &str, to: Option<CommitId>, src: &dyn ObjectSource) {
        let set = |tags: &mut Tree<Table>| match to {
            Some(to) => tags.insert(name.as_bytes(), to.object().as_bytes(), (), src).map(drop),
            None => tags.remove(name.as_bytes(), src).map(drop),
        };
        if let Err(error) = set(&mut self.tags) {
            log::warn!("the table of tags is begun anew: {error}");
            self.tags = Tree::new();
            set(&mut self.tags).expect("an empty table is in memory");
        }
    }

    /// The table.
    pub fn tags(&self) -> Tags {
        Tags(self.tags.clone())
    }
}

/// A table of tags.
pub struct Tags(Tree<Table>);

impl Tags {
    /// The table as a state has it. Reads nothing.
    pub fn open(state: &WorktreeState) -> Self {
        Self(Tree::stored(state.tags, None))
    }

    /// The names of all tags, and what they name, sorted by name.
    pub fn list(&self, src: &dyn ObjectSource) -> Result<Vec<(String, CommitId)>, ObjectError> {
        let mut tags = Vec::new();
        let mut failed = None;
        self.0.scan(0, src, &mut |item| {
            let name = String::from_utf8_lossy(item.key).into_owned();
            let mut reader = Reader::new(item.value);
            match reader.id().and_then(|id| reader.finish().map(|()| id)) {
                Ok(id) => tags.push((name, CommitId::new(id))),
                Err(error) => failed = Some(error),
            }
            if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        match failed {
            None => Ok(tags),
            Some(error) => {
                let id = self.0.id().flatten().map(|id| *id.object());
                Err(damaged(&id.unwrap_or(ObjectId::from_bytes([0; 32])), error))
            }
        }
    }
}
