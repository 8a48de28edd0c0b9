//! Which commits are told to git, and in which order.

use std::collections::{BTreeMap, HashSet};

use crate::cli::error::CliError;
use crate::cli::place::View;
use crate::model::CommitId;

/// The commits that HEAD and the tags lead to.
pub(crate) struct Lineage {
    /// Those that are to be told, parents first.
    pub(crate) commits: Vec<CommitId>,
    /// What the tags name.
    pub(crate) tags: BTreeMap<String, CommitId>,
    /// What HEAD means.
    pub(crate) head: Option<CommitId>,
    /// What is known already, with all that it follows.
    pub(crate) since: Option<CommitId>,
}

impl Lineage {
    /// Reads all of these commits, but no tree. Fails if HEAD does not come from `since`.
    pub(crate) fn read(view: &View, since: Option<CommitId>) -> Result<Self, CliError> {
        let mut tags = BTreeMap::new();
        for name in view.history.tags()? {
            if let Some(id) = view.history.tag(&name)? {
                tags.insert(name, id);
            }
        }
        let mut walk =
            Walk { view, seen: HashSet::new(), met: HashSet::new(), ordered: Vec::new() };
        if let Some(since) = since {
            walk.follow(since)?;
            walk.ordered.clear();
            walk.met.clear();
        }
        if let Some(head) = view.head {
            walk.follow(head)?;
        }
        if let Some(since) = since
            && view.head != Some(since)
            && !walk.met.contains(&since)
        {
            return Err(CliError::ExportSinceNoAncestor(since.object().short()));
        }
        for id in tags.values() {
            walk.follow(*id)?;
        }
        Ok(Self { commits: walk.ordered, tags, head: view.head, since })
    }

    /// Tells whether a parent is in the store; a collection may have dropped it.
    pub(crate) fn is_kept(&self, view: &View, id: &CommitId) -> bool {
        view.history.store().commits().find(id).is_some()
    }
}

struct Walk<'a> {
    view: &'a View,
    /// What was visited.
    seen: HashSet<CommitId>,
    /// What was visited already when it was met.
    met: HashSet<CommitId>,
    /// What was visited, parents first.
    ordered: Vec<CommitId>,
}

impl Walk<'_> {
    /// Visits a commit and what it follows. A history is as deep as it is long, so this is a loop.
    fn follow(&mut self, from: CommitId) -> Result<(), CliError> {
        let mut pending = vec![(from, false)];
        while let Some((id, parents_done)) = pending.pop() {
            if parents_done {
                self.ordered.push(id);
                continue;
            }
            if self.view.history.store().commits().find(&id).is_none() {
                continue;
            }
            if !self.seen.insert(id) {
                self.met.insert(id);
                continue;
            }
            pending.push((id, true));
            let parents = self.view.history.commit(&id)?.parents;
            // The first parent first, so last onto the stack.
            pending.extend(parents.into_iter().rev().map(|parent| (parent, false)));
        }
        Ok(())
    }
}
