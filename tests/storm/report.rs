//! Counting what a storm did.

use std::fmt;
use std::time::Duration;

use super::check::Adopted;
use super::round::Round;
use super::writer::Report;

/// What all rounds did.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) kills_at_work: u64,
    pub(crate) kills_at_start: u64,
    pub(crate) kills_at_end: u64,
    pub(crate) kills_at_restore: u64,
    pub(crate) unmounts: u64,
    operations: u64,
    commits: u64,
    /// Restores of a directory, and of the whole tree.
    restores: u64,
    refused: u64,
    pub(crate) whole_restores: u64,
    /// Commits that were found in history with the trees they had.
    pub(crate) commits_in_place: u64,
    /// Commits that were read in full and compared with the models.
    pub(crate) commits_compared: u64,
    bytes_written: u64,
    in_flight_done: u64,
    partial_writes: u64,
    /// From the start of each mount after a kill to its first answer.
    pub(crate) recoveries: Vec<Duration>,
}

impl Totals {
    /// Adds what was acknowledged in a round.
    pub(crate) fn count(&mut self, round: &Round, reports: &[Report]) {
        self.operations += round.acknowledged().iter().sum::<u64>();
        self.commits += round.commits().len() as u64;
        self.bytes_written += reports.iter().map(|report| report.bytes_written).sum::<u64>();
        self.restores += reports.iter().map(|report| report.restores).sum::<u64>();
        self.refused += reports.iter().map(|report| report.refused).sum::<u64>();
    }

    /// Adds what was found of a subtree.
    pub(crate) fn found(&mut self, adopted: &Adopted) {
        self.partial_writes += u64::from(adopted.partial);
        self.in_flight_done += u64::from(adopted.in_flight);
    }

    /// Daemons that were killed.
    pub(crate) fn kills(&self) -> u64 {
        self.kills_at_work + self.kills_at_start + self.kills_at_end + self.kills_at_restore
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut recoveries = self.recoveries.clone();
        recoveries.sort_unstable();
        let millis = |time: Option<&Duration>| time.map_or(0.0, |t| t.as_secs_f64() * 1000.0);
        writeln!(
            f,
            "{} kills: {} at work, {} in a restore of the tree, {} while ending, {} while starting; \
             {} unmounts",
            self.kills(),
            self.kills_at_work,
            self.kills_at_restore,
            self.kills_at_end,
            self.kills_at_start,
            self.unmounts,
        )?;
        writeln!(
            f,
            "  acknowledged: {} operations, {} MiB written, {} commits, {} restores of a directory \
             ({} refused), {} of the tree",
            self.operations,
            self.bytes_written >> 20,
            self.commits,
            self.restores,
            self.refused,
            self.whole_restores,
        )?;
        writeln!(
            f,
            "  found: {} commits in place, {} compared in full; of the operations in flight {} \
             done, {} in part",
            self.commits_in_place, self.commits_compared, self.in_flight_done, self.partial_writes,
        )?;
        write!(
            f,
            "  {} recoveries: median {:.0} ms, longest {:.0} ms",
            recoveries.len(),
            millis(recoveries.get(recoveries.len() / 2)),
            millis(recoveries.last()),
        )
    }
}
