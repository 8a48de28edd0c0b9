//! What one measured step tells, and what many of them come to.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::files::Result;

/// One step: how long it took and what it did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// The time of the writing before a commit.
    pub(crate) write: Option<Duration>,
    /// The time of what the case is about.
    pub(crate) took: Duration,
    /// What a commit hashed.
    pub(crate) counts: Counts,
}

/// What a commit hashed; `None` where it does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Counts {
    /// Files.
    pub(crate) files: u64,
    /// Bytes of content.
    pub(crate) content_bytes: u64,
    /// Directories brought up to date.
    pub(crate) directories: Option<u64>,
    /// Nodes of directories, and what lies beside them.
    pub(crate) nodes: u64,
    /// Bytes of both.
    pub(crate) node_bytes: Option<u64>,
    /// Bytes by which the files of the store grew.
    pub(crate) stored_bytes: Option<u64>,
}

impl Counts {
    /// Checks that a commit did what its case promises, no less and no more.
    pub(crate) fn check(&self, files: u64, content_bytes: u64, directories: u64) -> Result<()> {
        let as_promised = self.files == files
            && self.content_bytes == content_bytes
            && self.directories.is_none_or(|found| found == directories)
            && self.nodes >= directories;
        if as_promised {
            return Ok(());
        }
        let promised = format!("{files} files, {content_bytes} bytes, {directories} directories");
        Err(format!("a commit should hash {promised}, and hashed {self:?}").into())
    }

    /// The mean of many, rounded.
    pub(crate) fn mean(all: &[Self]) -> Self {
        let mean = |of: &dyn Fn(&Self) -> Option<u64>| {
            let values: Vec<u64> = all.iter().filter_map(of).collect();
            let count = values.len() as u64;
            (count > 0).then(|| (values.iter().sum::<u64>() + count / 2) / count)
        };
        Self {
            files: mean(&|c| Some(c.files)).unwrap_or(0),
            content_bytes: mean(&|c| Some(c.content_bytes)).unwrap_or(0),
            directories: mean(&|c| c.directories),
            nodes: mean(&|c| Some(c.nodes)).unwrap_or(0),
            node_bytes: mean(&|c| c.node_bytes),
            stored_bytes: mean(&|c| c.stored_bytes),
        }
    }
}

/// How long many steps took, in nanoseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Times {
    /// The fastest.
    pub(crate) min: u64,
    /// The median.
    pub(crate) p50: u64,
    /// What 95 of 100 do not exceed.
    pub(crate) p95: u64,
    /// What 99 of 100 do not exceed.
    pub(crate) p99: u64,
    /// The mean.
    pub(crate) mean: u64,
}

impl Times {
    /// Of any number of durations but none.
    pub(crate) fn of(durations: impl Iterator<Item = Duration>) -> Option<Self> {
        let mut all: Vec<u64> =
            durations.filter_map(|d| u64::try_from(d.as_nanos()).ok()).collect();
        all.sort_unstable();
        let at = |percent: usize| {
            let at = (all.len() * percent).div_ceil(100).saturating_sub(1);
            all.get(at).copied()
        };
        let (min, p50, p95, p99) = (at(0)?, at(50)?, at(95)?, at(99)?);
        Some(Self { min, p50, p95, p99, mean: all.iter().sum::<u64>() / all.len() as u64 })
    }
}
