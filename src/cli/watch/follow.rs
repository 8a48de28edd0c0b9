//! Finding the commits that one who follows has not seen, in the list of all of them.
//!
//! The list is in the order in which commits were made, and collections take some out of it. The
//! newest one always stays, so that something which was seen, or something made after all that, is
//! still there.

use std::collections::HashSet;
use std::sync::Arc;

use crate::cli::error::CliError;
use crate::cli::place::View;
use crate::format::commit_log::CommitRecord;
use crate::model::{Commit, CommitId};

/// One who follows.
pub(super) struct Follower {
    view: View,
    /// What was listed at the last look.
    seen: Arc<Vec<CommitRecord>>,
}

type Visit<'a> = dyn FnMut(&View, &CommitId, &Commit) -> Result<(), CliError> + 'a;

impl Follower {
    /// One who has seen all that is there now, or what was made up to a commit.
    pub(super) fn new(view: View, since: Option<CommitId>) -> Self {
        let mut seen = view.history.store().commits().records();
        if let Some(since) = since
            && let Some(at) = seen.iter().position(|record| record.id == since)
        {
            seen = Arc::new(seen[..=at].to_vec());
        }
        Self { view, seen }
    }

    /// Looks at the store anew from now on.
    pub(super) fn go_on_with(&mut self, view: View) {
        self.view = view;
    }

    /// Calls `visit` with each commit that was made since the last time, oldest first.
    pub(super) fn each(&mut self, visit: &mut Visit<'_>) -> Result<(), CliError> {
        let history = &self.view.history;
        history.store().commits().refresh()?;
        let now = history.store().commits().records();
        for CommitRecord { id, .. } in unseen(&self.seen, &now) {
            match history.commit(id) {
                Ok(commit) => visit(&self.view, id, &commit)?,
                Err(error) => {
                    // A collection may have dropped it meanwhile.
                    history.store().commits().refresh()?;
                    if history.store().commits().find(id).is_some() {
                        return Err(error.into());
                    }
                }
            }
        }
        self.seen = now;
        Ok(())
    }
}

/// What comes in a list after all that was in it before and still is.
fn unseen<'a>(before: &[CommitRecord], now: &'a [CommitRecord]) -> &'a [CommitRecord] {
    let Some(last) = before.last() else { return now };
    // As a rule the last one that was seen is near the end.
    let mut at = now.iter().rposition(|record| record.id == last.id);
    if at.is_none() {
        let before: HashSet<&CommitId> = before.iter().map(|record| &record.id).collect();
        at = now.iter().rposition(|record| before.contains(&record.id));
    }
    &now[at.map_or(0, |at| at + 1)..]
}

#[cfg(test)]
mod tests {
    use super::unseen;
    use crate::format::commit_log::CommitRecord;
    use crate::model::{CommitId, ObjectId, Timestamp};

    fn list(numbers: &[u8]) -> Vec<CommitRecord> {
        let id = |n: &u8| CommitId::new(ObjectId::from_bytes([*n; 32]));
        // All at once: the order is that of the list.
        let (time, changes_by) = (Timestamp::default(), None);
        numbers.iter().map(|n| CommitRecord { id: id(n), time, changes_by }).collect()
    }

    #[test]
    fn all_that_is_new_comes_once_whatever_was_dropped() {
        for (before, now, new) in [
            (&[][..], &[][..], &[][..]),
            (&[], &[1, 2], &[1, 2]),
            (&[1, 2], &[1, 2], &[]),
            (&[1, 2], &[1, 2, 3, 4], &[3, 4]),
            // The last one that was seen was dropped, and others before.
            (&[1, 2, 3], &[2, 4, 5], &[4, 5]),
            (&[1, 2, 3], &[1], &[]),
            // All that were seen were dropped, with what was made after them and before the newest.
            (&[1, 2], &[4, 5], &[4, 5]),
        ] {
            assert_eq!(unseen(&list(before), &list(now)), list(new), "{before:?}, {now:?}");
        }
    }
}
