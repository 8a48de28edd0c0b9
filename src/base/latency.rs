//! How long things take: a histogram that many threads add to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets for each power of two.
const STEPS: u64 = 8;
/// 2^48 ns are more than three days.
const BUCKETS: usize = 48 * STEPS as usize;

/// Counts durations in buckets that are an eighth of a power of two wide, so that a quantile is
/// at most an eighth too large. Takes 3 KiB and no lock.
#[derive(Debug)]
pub struct Latency {
    buckets: [AtomicU64; BUCKETS],
}

impl Default for Latency {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKETS] }
    }
}

impl Latency {
    /// Adds a duration.
    pub fn add(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanos)].fetch_add(1, Ordering::Relaxed);
    }

    /// The duration, in nanoseconds, that this share (0 to 1) of all does not exceed: the upper
    /// end of its bucket; 0 if there are none.
    pub fn quantile_nanos(&self, share: f64) -> u64 {
        let counts: Vec<u64> = self.buckets.iter().map(|b| b.load(Ordering::Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        let mut left = (total as f64 * share).ceil() as u64;
        for (at, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            if left <= *count {
                return upper(at);
            }
            left -= count;
        }
        0
    }
}

/// Below 8 ns a bucket a nanosecond; from there on the three bits behind the top one.
fn bucket(nanos: u64) -> usize {
    if nanos < STEPS {
        return nanos as usize;
    }
    let power = u64::from(nanos.ilog2());
    let step = (nanos >> (power - 3)) & (STEPS - 1);
    let at = (power - 2) * STEPS + step;
    (at as usize).min(BUCKETS - 1)
}

fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let (power, step) = (bucket / STEPS + 2, bucket % STEPS);
    ((STEPS + step + 1) << (power - 3)) - 1
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BUCKETS, Latency, bucket, upper};

    #[test]
    fn a_bucket_holds_what_lies_up_to_its_upper_end() {
        for at in 0..BUCKETS - 1 {
            assert_eq!(bucket(upper(at)), at);
            assert_eq!(bucket(upper(at) + 1), at + 1);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_at_most_an_eighth_too_large() {
        let latency = Latency::default();
        assert_eq!(latency.quantile_nanos(0.5), 0);
        (1..=1000).for_each(|micros| latency.add(Duration::from_micros(micros)));
        for (share, exact) in [(0.5, 500_000), (0.95, 950_000), (0.99, 990_000)] {
            let told = latency.quantile_nanos(share);
            assert!((exact..=exact + exact / 8).contains(&told), "{share}: {told}");
        }
    }
}
