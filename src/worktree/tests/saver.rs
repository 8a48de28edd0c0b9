//! What a repository does with a hashed snapshot: publishes it, and stores it then or later.

use std::collections::VecDeque;

use crate::format::commit_log::Tally;
use crate::format::worktree::WorktreeState;
use crate::model::{Ino, ObjectError, ObjectSink, ObjectSource, RootId};
use crate::worktree::tree::Hasher;
use crate::worktree::{Committed, Unstored, Worktree};

#[derive(Default)]
pub(super) struct Saver {
    /// What was published and is not stored yet.
    pub(super) queue: VecDeque<Unstored>,
    /// Directories that changed since sides were last stored.
    changed: Vec<Ino>,
}

impl Saver {
    pub(super) fn publish(
        &mut self,
        live: &mut Worktree,
        committed: Committed,
        unstored: Unstored,
    ) {
        self.changed.extend(committed.directories());
        self.queue.push_back(unstored);
        live.publish(committed);
    }

    /// Stores everything that was published, and the state of a tree, of which the live one is a
    /// later version. After a failure it can be tried again.
    pub(super) fn save(
        &mut self,
        live: &mut Worktree,
        (tree, root): (&Worktree, RootId),
        hasher: &mut Hasher,
        src: &dyn ObjectSource,
        sink: &dyn ObjectSink,
    ) -> Result<WorktreeState, ObjectError> {
        while let Some(unstored) = self.queue.front_mut() {
            live.publish_stored(unstored.store(hasher, src, sink)?);
            self.queue.pop_front();
        }
        let sides = tree.store_sides(&self.changed, hasher, src, sink)?;
        let state = WorktreeState {
            root,
            side: sides.top,
            places: sides.places,
            tags: sides.tags,
            ignored: tree.ignored_node(),
            ignored_side: sides.ignored,
            rule_files: tree.rule_files(),
            head: tree.head,
            next_ino: tree.next_ino(),
            ctime: tree.top().ctime,
            born: tree.top().born,
            atime: tree.top().atime.get(),
            journal: Default::default(),
            commits: Tally::default(),
            log: Default::default(),
            changes_by: Vec::new(),
        };
        self.changed = live.publish_sides(sides);
        assert_eq!(self.changed, [], "what was hashed is in memory");
        Ok(state)
    }
}
