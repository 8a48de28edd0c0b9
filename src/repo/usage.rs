//! How much the snapshots hold, if each were a copy of its own.
//!
//! Every node is read once, whatever number of snapshots and directories share it.

use std::collections::HashMap;

use super::{History, RepoError};
use crate::format::entry::decode_entry;
use crate::format::node::NodeReader;
use crate::format::root::Root;
use crate::model::{Content, Entry, EntryBody, ObjectId};
use crate::worktree::tree::{Chunks, Tree};

/// What files hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Names of regular files.
    pub files: u64,
    /// Bytes of their content, without holes. A file counts once for each of its names.
    pub bytes: u64,
}

impl Usage {
    fn add(&mut self, other: Self) {
        self.files = self.files.saturating_add(other.files);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// A node whose children are looked at one after another.
struct Frame {
    id: ObjectId,
    children: Vec<ObjectId>,
    usage: Usage,
}

impl History {
    /// Adds up what all snapshots hold. `progress` is told now and then how many nodes have been
    /// read.
    pub fn usage(&self, progress: &dyn Fn(u64)) -> Result<Usage, RepoError> {
        let mut known = HashMap::new();
        let mut total = Usage::default();
        for record in self.store().commits().records().iter() {
            let root = self.commit(&record.id)?.root;
            let bytes = self.source().get(root.object())?;
            let root = Root::decode(&bytes).map_err(|e| RepoError::damaged(root.object(), e))?;
            if let EntryBody::Directory(Some(node)) = root.top.body {
                total.add(self.usage_below(*node.object(), &mut known, progress)?);
            }
        }
        Ok(total)
    }

    /// What is in the directory with this topmost node. `known` is what has been found out so far.
    fn usage_below(
        &self,
        top: ObjectId,
        known: &mut HashMap<ObjectId, Usage>,
        progress: &dyn Fn(u64),
    ) -> Result<Usage, RepoError> {
        let mut stack = vec![Frame { id: top, children: vec![top], usage: Usage::default() }];
        // The lowest frame is none of a node: it has the top for its only child.
        while let Some(frame) = stack.last_mut() {
            let Some(child) = frame.children.last().copied() else {
                let done = stack.pop();
                match (done, stack.is_empty()) {
                    (Some(done), true) => return Ok(done.usage),
                    (Some(done), false) => drop(known.insert(done.id, done.usage)),
                    (None, _) => break,
                }
                continue;
            };
            if let Some(usage) = known.get(&child) {
                frame.usage.add(*usage);
                frame.children.pop();
                continue;
            }
            stack.push(self.frame(child)?);
            progress(known.len() as u64);
        }
        Ok(Usage::default())
    }

    fn frame(&self, id: ObjectId) -> Result<Frame, RepoError> {
        // Nobody needs it soon: the cache keeps what it has.
        let bytes = self.store().packs().read(&id)?;
        let damaged = |error| RepoError::damaged(&id, error);
        let mut frame = Frame { id, children: Vec::new(), usage: Usage::default() };
        let mut node = NodeReader::open(&bytes).map_err(damaged)?;
        if node.height() > 0 {
            while let Some((_, link)) = node.next_link().map_err(damaged)? {
                frame.children.push(*link.child.object());
            }
            return Ok(frame);
        }
        while let Some(item) = node.next_item().map_err(damaged)? {
            let entry = decode_entry(item.value).map_err(damaged)?;
            if let EntryBody::Directory(Some(node)) = &entry.body {
                frame.children.push(*node.object());
            }
            frame.usage.add(self.of_file(&entry)?);
        }
        Ok(frame)
    }

    fn of_file(&self, entry: &Entry) -> Result<Usage, RepoError> {
        let EntryBody::File { size, content } = &entry.body else { return Ok(Usage::default()) };
        let bytes = match content {
            // Where there is a list of chunks, there can be holes, which its topmost node knows.
            Content::Chunks(node) => {
                Tree::<Chunks>::stored(Some(*node), None).weight(self.source())?.min(*size)
            }
            Content::Empty | Content::Chunk(_) => *size,
        };
        Ok(Usage { files: 1, bytes })
    }
}
