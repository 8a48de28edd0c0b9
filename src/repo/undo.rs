//! Taking back what was done last, and the operation log that tells what that was.
//!
//! A commit that is taken back leaves the tree as it is: what it held counts as changed again. A
//! restore that is taken back gives the tree of before; what has changed since is committed first,
//! as with any restore. Either way the head is what it was before. What has been taken back is
//! skipped by the next one, which so goes further back.
//!
//! The log keeps no commit alive. Commits that were taken back stay listed like all others, until a
//! collection is told to drop what no rule keeps; what needs a commit that was dropped cannot be
//! taken back any more.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::checkpoint::Unwritten;
use super::restore::{Goal, Head, Switch};
use super::{Committing, History, Repo, RepoError, Restored};
use crate::base::limits::JOURNAL_DEED_COST;
use crate::base::sync::MutexGuard;
use crate::format::journal::put_deed_record;
use crate::journal::{RecordBuffer, Urgency};
use crate::model::{CommitId, Deed, DeedKind, ObjectError, ObjectSource, Timestamp, Writer};
use crate::store::Durability;
use crate::worktree::DeedLog;

/// What was taken back.
#[derive(Clone, Debug)]
pub struct Undone {
    /// The number of the deed in the operation log.
    pub number: u64,
    /// The deed.
    pub deed: Deed,
    /// What became of the tree: nothing, if the deed was a commit.
    pub restored: Restored,
}

impl Repo {
    /// Takes back the last commit or restore that has not been taken back.
    pub fn undo(&self) -> Result<Undone, RepoError> {
        self.undo_by(self.options.writer.as_ref())
    }

    /// As `undo`, for somebody else than who the repository was opened for.
    pub fn undo_by(&self, writer: Option<&Arc<Writer>>) -> Result<Undone, RepoError> {
        self.make_room(Urgency::MakesRoom)?;
        let undone = self.with_room(|| self.undo_now(writer))?;
        if self.options.durability == Durability::Strict {
            self.sync()?;
        }
        Ok(undone)
    }

    fn undo_now(&self, writer: Option<&Arc<Writer>>) -> Result<Undone, RepoError> {
        let mut storing = self.storing.lock();
        let mut committing = self.committing.lock();
        self.write_queue(&mut storing)?;
        let log = self.look(|live| live.log.clone());
        let last = last_to_undo(&log, self.source())?;
        let (number, deed) = last.ok_or(RepoError::NothingToUndo)?;
        let root_of = |id: &CommitId| {
            self.check_listed(id)?;
            Ok::<_, RepoError>(self.history().commit(id)?.root)
        };
        let head = Head { id: deed.before, root: deed.before.as_ref().map(root_of).transpose()? };
        let what = |saved| DeedKind::Undo { of: number, saved };
        let restored = match deed.tree_before() {
            None => {
                self.note(what(None), Some(head), &mut committing)?;
                Restored::default()
            }
            Some(commit) => {
                let root = root_of(&commit)?;
                let switch = Switch {
                    goal: Goal { commit, root, scopes: &[Vec::new()] },
                    head: Some(head),
                    message: "before undo".to_owned(),
                    deed: &what,
                    writer,
                };
                self.switch(&switch, &mut storing, &mut committing)?
            }
        };
        Ok(Undone { number, deed, restored })
    }

    /// Notes what was done and left the tree as it is. The head moves if one is told.
    pub(super) fn note(
        &self,
        what: DeedKind,
        head: Option<Head>,
        committing: &mut MutexGuard<'_, Committing>,
    ) -> Result<(), RepoError> {
        let mut live = self.live.write();
        let before = live.head;
        let after = head.map_or(before, |head| head.id);
        let deed = Deed { time: Timestamp::now(), what, before, after };
        let mut record = RecordBuffer::new();
        put_deed_record(record.fields(), &deed);
        self.journal.reserve(0, Urgency::MakesRoom)?;
        self.journal.append(&mut record, &[], 0, JOURNAL_DEED_COST)?;
        live.note(deed, self.source());
        self.changes.fetch_add(1, Ordering::AcqRel);
        if let Some(head) = head {
            committing.head_root = head.root;
            self.queue.lock().extend(before.map(Unwritten::taken_back));
        }
        Ok(())
    }

    /// The last deeds, at most so many, with their numbers, newest first.
    pub fn deeds(&self, max: usize) -> Result<Vec<(u64, Deed)>, RepoError> {
        let log = self.look(|live| live.log.clone());
        Ok(newest(&log, max, self.source())?)
    }
}

impl History {
    /// The last deeds, as far as they were written down. The process that has the store open knows
    /// better.
    pub fn deeds(&self, max: usize) -> Result<Vec<(u64, Deed)>, RepoError> {
        match self.worktree_state()? {
            Some(state) => Ok(newest(&DeedLog::open(&state.log), max, self.source())?),
            None => Ok(Vec::new()),
        }
    }
}

fn newest(
    log: &DeedLog,
    max: usize,
    src: &dyn ObjectSource,
) -> Result<Vec<(u64, Deed)>, ObjectError> {
    let mut deeds = Vec::new();
    log.newest_first(src, &mut |number, deed| {
        if deeds.len() >= max {
            return ControlFlow::Break(());
        }
        deeds.push((number, deed.clone()));
        ControlFlow::Continue(())
    })?;
    Ok(deeds)
}

/// The last deed that can be taken back and has not been.
fn last_to_undo(log: &DeedLog, src: &dyn ObjectSource) -> Result<Option<(u64, Deed)>, ObjectError> {
    let mut found = None;
    // What has this number or a higher one has been taken back.
    let mut below = log.next_number();
    log.newest_first(src, &mut |number, deed| {
        if number >= below {
            return ControlFlow::Continue(());
        }
        match deed.what {
            DeedKind::Undo { of, .. } => below = of,
            DeedKind::Commit | DeedKind::Restore { .. } => {
                found = Some((number, deed.clone()));
                return ControlFlow::Break(());
            }
            DeedKind::Tag { .. } | DeedKind::Collect { .. } => {}
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}
