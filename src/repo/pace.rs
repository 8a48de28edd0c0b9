//! When something that takes long is done in the background: not before a delay has passed, and
//! with a share of the time that is bounded, however long it takes.

use std::time::{Duration, Instant};

use crate::base::limits::RETENTION_WORK_PART;

/// When it is done next.
#[derive(Debug)]
pub(super) struct Pace {
    delay: Duration,
    next: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant, delay: Duration) -> Self {
        Self { delay, next: now + delay }
    }

    /// How long to wait until it is due.
    pub(super) fn left(&self, now: Instant) -> Duration {
        self.next.saturating_duration_since(now)
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.left(now).is_zero()
    }

    /// Lets the delay begin anew.
    pub(super) fn put_off(&mut self, now: Instant) {
        self.next = self.next.max(now + self.delay);
    }

    /// To be called when it has been done.
    pub(super) fn done(&mut self, began: Instant, now: Instant) {
        let took = now.saturating_duration_since(began);
        self.next = now + self.delay.max(took.saturating_mul(RETENTION_WORK_PART));
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Pace;

    #[test]
    fn it_waits_for_the_delay_after_each_time_and_each_change() {
        let secs = Duration::from_secs;
        let start = Instant::now();
        let mut pace = Pace::new(start, secs(10));
        assert_eq!(pace.left(start + secs(4)), secs(6));
        assert!(!pace.is_due(start + secs(9)) && pace.is_due(start + secs(10)));
        pace.put_off(start + secs(9));
        assert!(!pace.is_due(start + secs(18)) && pace.is_due(start + secs(19)));
        pace.done(start + secs(19), start + secs(19));
        assert_eq!(pace.left(start + secs(19)), secs(10));
    }

    #[test]
    fn what_takes_long_is_done_less_often() {
        let secs = Duration::from_secs;
        let start = Instant::now();
        let mut pace = Pace::new(start, secs(10));
        pace.done(start, start + secs(60));
        assert_eq!(pace.left(start + secs(60)), secs(60 * 20));
        pace.put_off(start + secs(61));
        assert_eq!(pace.left(start + secs(61)), secs(60 * 20 - 1), "no change makes it earlier");
    }
}
