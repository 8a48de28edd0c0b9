//! Points in time, as POSIX files have them.

use crate::base::clock;

/// A time since 1970 in seconds, which may be negative, and nanoseconds, always below a
/// thousand million and counted upward: half a second before 1970 is -1 s and 500 000 000 ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds since the epoch.
    pub secs: i64,
    /// Nanoseconds beyond them, 0 to 999 999 999.
    pub nanos: u32,
}

impl Timestamp {
    /// The time now.
    pub fn now() -> Self {
        let (secs, nanos) = clock::now();
        Self { secs, nanos }
    }
}
