//! Which commits are kept: rules over their times, and nothing else.

use std::collections::HashSet;

use jiff::SignedDuration;
use jiff::civil::DateTime;

use crate::format::commit_log::CommitRecord;
use crate::model::{CommitId, Retention, Timestamp};

const HOUR_SECS: i64 = 60 * 60;
const DAY_SECS: i64 = 24 * HOUR_SECS;
/// The first Monday after the beginning of 1970, which was a Thursday.
const MONDAY_SECS: i64 = 4 * DAY_SECS;
/// 1970.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

impl Retention {
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
        let hour = |time: Timestamp| time.secs.div_euclid(HOUR_SECS);
        let day = |time: Timestamp| time.secs.div_euclid(DAY_SECS);
        let week = |time: Timestamp| time.secs.saturating_sub(MONDAY_SECS).div_euclid(7 * DAY_SECS);
        kept.extend(newest_of_each(commits, self.hourly.unwrap_or(0), hour));
        kept.extend(newest_of_each(commits, self.daily.unwrap_or(0), day));
        kept.extend(newest_of_each(commits, self.weekly.unwrap_or(0), week));
        kept.extend(newest_of_each(commits, self.monthly.unwrap_or(0), month));
        kept
    }
}

/// The number of the month that a time is in. All before the calendar share one, and so do all
/// behind it.
fn month(time: Timestamp) -> i64 {
    match EPOCH.checked_add(SignedDuration::from_secs(time.secs)) {
        Ok(civil) => i64::from(civil.year()) * 12 + i64::from(civil.month()),
        Err(_) if time.secs < 0 => i64::MIN,
        Err(_) => i64::MAX,
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

    use super::{DAY_SECS, HOUR_SECS as HOUR, month};
    use crate::format::commit_log::CommitRecord;
    use crate::model::{CommitId, ObjectId, Retention, Timestamp};

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
                changes_by: None,
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
    fn all_of_an_hour_one_an_hour_for_a_day_and_one_a_day_can_be_kept() {
        let rules = Retention {
            within: Some(Duration::from_secs(3600)),
            hourly: Some(24),
            daily: Some(30),
            ..Retention::default()
        };
        // One every ten minutes for three days, the last one now, at noon.
        let ages: Vec<i64> = (0..3 * 24 * 6).rev().map(|n| n * 600).collect();
        let commits: Vec<CommitRecord> = (0_u64..)
            .zip(&ages)
            .map(|(n, age)| {
                let mut bytes = [0; 32];
                bytes[..8].copy_from_slice(&n.to_le_bytes());
                let id = CommitId::new(ObjectId::from_bytes(bytes));
                let time = Timestamp { secs: 20_000 * DAY_SECS - age, nanos: 0 };
                CommitRecord { id, time, changes_by: None }
            })
            .collect();
        let now = Timestamp { secs: 20_000 * DAY_SECS, nanos: 0 };
        let kept = rules.keep(&commits, now, &HashSet::new());
        let kept = commits.iter().zip(ages).filter(|(commit, _)| kept.contains(&commit.id));
        let kept: Vec<i64> = kept.map(|(_, age)| age / 600).rev().collect();
        // Noon is the first moment of an hour and of a day.
        let hourly = (0..23).map(|n| 1 + 6 * n);
        let mut expected: Vec<i64> = (0..=6).chain(hourly).chain([1 + 144, 1 + 288]).collect();
        expected.sort_unstable();
        expected.dedup();
        assert_eq!(kept, expected);
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        let at = |secs| month(Timestamp { secs, nanos: 0 });
        // The end of February 2024, which had 29 days.
        let march = 1_709_251_200;
        assert_eq!(at(march), at(march - 1) + 1);
        assert_eq!(at(march - 1), at(march - 29 * DAY_SECS));
        assert_eq!(at(march - 29 * DAY_SECS), at(march - 29 * DAY_SECS - 1) + 1);
        assert_eq!(at(0), at(-1) + 1);
        assert_eq!((at(i64::MIN), at(i64::MAX)), (i64::MIN, i64::MAX));
        let ages = [100 * DAY_SECS, 70 * DAY_SECS, 40 * DAY_SECS, 39 * DAY_SECS, 0];
        let rules = Retention { monthly: Some(3), ..Retention::default() };
        assert_eq!(kept(rules, &ages, &[]).len(), 3);
        let far = Retention { hourly: Some(1), weekly: Some(1), ..rules };
        assert_eq!(kept(far, &[i64::MAX / 2, 0], &[]), [0, 1]);
    }

    #[test]
    fn a_clock_that_was_set_back_loses_nothing_new() {
        let rules = Retention { daily: Some(1), ..Retention::default() };
        assert_eq!(kept(rules, &[0, 5 * DAY_SECS], &[]), [1]);
        let far = Retention { within: Some(Duration::MAX), ..Retention::default() };
        assert_eq!(kept(far, &[i64::MAX / 4, 0], &[]), [0, 1]);
    }
}
