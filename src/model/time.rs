//! Points in time, as POSIX files have them.

use std::fmt;

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

/// A time or none, in the room of a time: of what there is for each inode, every word counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MaybeTime(Timestamp);

/// More than any time has.
const NO_NANOS: u32 = u32::MAX;

impl MaybeTime {
    /// No time.
    pub const NONE: Self = Self(Timestamp { secs: 0, nanos: NO_NANOS });

    /// The time, if there is one.
    pub fn get(self) -> Option<Timestamp> {
        (self != Self::NONE).then_some(self.0)
    }
}

impl Default for MaybeTime {
    fn default() -> Self {
        Self::NONE
    }
}

impl From<Option<Timestamp>> for MaybeTime {
    fn from(time: Option<Timestamp>) -> Self {
        time.map_or(Self::NONE, Self)
    }
}

impl fmt::Debug for MaybeTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// When a file was made, in nanoseconds since 1970. It comes from the clock and from nowhere else,
/// so the years 1678 to 2261 will do, and others become the first or the last instant of that:
/// every inode has one, and this takes half of what a [`Timestamp`] does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BirthTime(pub i64);

const NANOS: i64 = 1_000_000_000;

impl From<Timestamp> for BirthTime {
    fn from(time: Timestamp) -> Self {
        Self(time.secs.saturating_mul(NANOS).saturating_add(time.nanos.into()))
    }
}

impl From<BirthTime> for Timestamp {
    fn from(BirthTime(nanos): BirthTime) -> Self {
        // The rest is below a thousand million.
        Self { secs: nanos.div_euclid(NANOS), nanos: nanos.rem_euclid(NANOS) as u32 }
    }
}

impl BirthTime {
    /// How long before a time it was, in nanoseconds: a small number most often, but any one has a
    /// meaning.
    pub fn age_at(self, time: Timestamp) -> u64 {
        Self::from(time).0.wrapping_sub(self.0) as u64
    }

    /// The time of which that is the age.
    pub fn from_age(age: u64, time: Timestamp) -> Self {
        Self(Self::from(time).0.wrapping_sub(age as i64))
    }
}

impl Timestamp {
    /// The time now.
    pub fn now() -> Self {
        let (secs, nanos) = clock::now();
        Self { secs, nanos }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{BirthTime, MaybeTime, Timestamp};

    proptest! {
        #[test]
        fn a_birth_is_told_by_its_age_at_any_time(
            born in any::<i64>(),
            secs in any::<i64>(),
            nanos in 0..1_000_000_000_u32,
        ) {
            let (born, time) = (BirthTime(born), Timestamp { secs, nanos });
            assert_eq!(BirthTime::from_age(born.age_at(time), time), born);
            assert_eq!(BirthTime::from(Timestamp::from(born)), born);
        }
    }

    #[test]
    fn no_time_is_told_from_any_and_takes_no_room() {
        for time in [None, Some(Timestamp::default()), Some(Timestamp { secs: -1, nanos: 999 })] {
            assert_eq!(MaybeTime::from(time).get(), time);
        }
        assert_eq!(MaybeTime::default().get(), None);
        assert_eq!(size_of::<MaybeTime>(), size_of::<Timestamp>());
    }

    #[test]
    fn times_that_a_birth_cannot_be_are_the_nearest_that_it_can() {
        let time = |secs, nanos| Timestamp { secs, nanos };
        for (told, kept) in [
            (time(-1, 250_000_000), BirthTime(-750_000_000)),
            (time(i64::MAX, 0), BirthTime(i64::MAX)),
            (time(i64::MIN, 0), BirthTime(i64::MIN)),
        ] {
            assert_eq!(BirthTime::from(told), kept);
        }
    }
}
