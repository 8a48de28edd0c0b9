//! Which commits are kept: rules over their times, and nothing else.

use std::collections::HashSet;
use std::time::Duration;

use crate::format::commit_log::CommitRecord;
use crate::model::{CommitId, Timestamp};

/// Rules of which each keeps some commits. Without any, all are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// So many of the newest.
    pub last: Option<u64>,
    /// Those that are no older.
    pub within: Option<Duration>,
    /// The newest of each of so many of the last days on which something was committed (UTC).
    pub daily: Option<u64>,
    /// The newest of each of so many of the last weeks in which something was committed; they
    /// begin on Mondays.
    pub weekly: Option<u64>,
    /// None but those that are kept anyway: the newest, the head, and what a ref points to.
    pub tagged: bool,
}

const DAY_SECS: i64 = 24 * 60 * 60;
/// The first Monday after the beginning of 1970, which was a Thursday.
const MONDAY_SECS: i64 = 4 * DAY_SECS;

impl Retention {
    /// Tells whether there is any rule.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The commits that are kept of `commits`, which come oldest first. The newest always is, and
    /// so are those that are `needed`.
    pub fn keep(
        &self,
        commits: &[CommitRecord],
        now: Timestamp,
        needed: &HashSet<CommitId>,
    ) -> HashSet<CommitId> {
        if self.is_empty() {
            return commits.iter().map(|commit| commit.id).collect();
        }
        let newest = commits.last().map(|commit| commit.id);
        let needed = commits.iter().map(|c| c.id).filter(|id| needed.contains(id));
        let mut kept: HashSet<CommitId> = needed.chain(newest).collect();
        let last = usize::try_from(self.last.unwrap_or(0)).unwrap_or(usize::MAX);
        kept.extend(commits.iter().rev().take(last).map(|commit| commit.id));
        if let Some(within) = self.within {
            let secs = i64::try_from(within.as_secs()).unwrap_or(i64::MAX);
            let oldest = Timestamp { secs: now.secs.saturating_sub(secs), nanos: now.nanos };
            kept.extend(commits.iter().filter(|c| c.time >= oldest).map(|commit| commit.id));
        }
        let day = |time: Timestamp| time.secs.div_euclid(DAY_SECS);
        let week = |time: Timestamp| (time.secs - MONDAY_SECS).div_euclid(7 * DAY_SECS);
        kept.extend(newest_of_each(commits, self.daily.unwrap_or(0), day));
        kept.extend(newest_of_each(commits, self.weekly.unwrap_or(0), week));
        kept
    }
}

/// The newest commit of each of the last `periods` that have one.
fn newest_of_each(
    commits: &[CommitRecord],
    periods: u64,
    period_of: impl Fn(Timestamp) -> i64,
) -> Vec<CommitId> {
    let mut seen = HashSet::new();
    let mut newest = Vec::new();
    // A clock may have been set back: the one that was made last is the newest.
    for commit in commits.iter().rev() {
        let period = period_of(commit.time);
        if !seen.contains(&period) && (seen.len() as u64) < periods {
            seen.insert(period);
            newest.push(commit.id);
        }
    }
    newest
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::{DAY_SECS, Retention};
    use crate::format::commit_log::CommitRecord;
    use crate::model::{CommitId, ObjectId, Timestamp};

    const HOUR: i64 = 3600;

    fn id(n: u8) -> CommitId {
        CommitId::new(ObjectId::from_bytes([n; 32]))
    }

    /// Which of commits, which were made so many seconds before now, are kept.
    fn kept(rules: Retention, ages: &[i64], tagged: &[u8]) -> Vec<u8> {
        // A Wednesday, at noon.
        let now = Timestamp { secs: 20_000 * DAY_SECS + 6 * DAY_SECS + DAY_SECS / 2, nanos: 0 };
        let commits: Vec<CommitRecord> = (0..)
            .zip(ages)
            .map(|(n, age)| CommitRecord {
                id: id(n),
                time: Timestamp { secs: now.secs - age, nanos: 0 },
            })
            .collect();
        let tagged: HashSet<CommitId> = tagged.iter().map(|n| id(*n)).collect();
        let kept = rules.keep(&commits, now, &tagged);
        (0..ages.len() as u8).filter(|n| kept.contains(&id(*n))).collect()
    }

    #[test]
    fn each_rule_keeps_its_own_and_the_newest_is_always_kept() {
        let none = Retention::default();
        let ages = [
            30 * DAY_SECS,
            15 * DAY_SECS,
            8 * DAY_SECS,
            2 * DAY_SECS + HOUR,
            2 * DAY_SECS,
            3 * HOUR,
            HOUR,
            60,
        ];
        assert_eq!(kept(none, &ages, &[]), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(kept(Retention { last: Some(3), ..none }, &ages, &[]), [5, 6, 7]);
        assert_eq!(kept(Retention { last: Some(0), ..none }, &ages, &[]), [7]);
        assert_eq!(kept(Retention { last: Some(99), ..none }, &ages, &[]).len(), 8);
        let within = Some(Duration::from_secs(3 * 3600));
        assert_eq!(kept(Retention { within, ..none }, &ages, &[]), [5, 6, 7]);
        assert_eq!(kept(Retention { daily: Some(3), ..none }, &ages, &[]), [2, 4, 7]);
        assert_eq!(kept(Retention { daily: Some(99), ..none }, &ages, &[]), [0, 1, 2, 4, 7]);
        assert_eq!(kept(Retention { weekly: Some(2), ..none }, &ages, &[]).len(), 2);
        assert_eq!(kept(Retention { tagged: true, ..none }, &ages, &[1, 3]), [1, 3, 7]);
        let both = Retention { last: Some(2), daily: Some(2), tagged: true, ..none };
        assert_eq!(kept(both, &ages, &[0]), [0, 4, 6, 7]);
        assert_eq!(kept(both, &[], &[]), [0_u8; 0]);
    }

    #[test]
    fn a_clock_that_was_set_back_loses_nothing_new() {
        let rules = Retention { daily: Some(1), ..Retention::default() };
        assert_eq!(kept(rules, &[0, 5 * DAY_SECS], &[]), [1]);
        let far = Retention { within: Some(Duration::MAX), ..Retention::default() };
        assert_eq!(kept(far, &[i64::MAX / 4, 0], &[]), [0, 1]);
    }
}
