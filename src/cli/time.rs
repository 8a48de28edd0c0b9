//! Times as people and programs read them.

use jiff::tz::TimeZone;

use crate::model::Timestamp;
use crate::vfs::text::format_time;

/// In the local time zone, to the second: `2026-03-01 12:00:00`.
pub(super) fn local(time: Timestamp) -> String {
    in_zone(time, &TimeZone::system(), "%Y-%m-%d %H:%M:%S")
}

/// In the local time zone, with its distance from UTC: `2026-03-01 12:00:00 +0100`.
pub(super) fn local_with_offset(time: Timestamp) -> String {
    in_zone(time, &TimeZone::system(), "%Y-%m-%d %H:%M:%S %z")
}

/// As RFC 3339 says, in UTC with all its nanoseconds: `2026-03-01T11:00:00.000000001Z`.
/// `None` for times outside of the years 1 to 9999, which a file can have.
pub(super) fn rfc3339(time: Timestamp) -> Option<String> {
    Some(format_time(time)).filter(|text| !text.starts_with('@'))
}

/// How long before `now` it was, in the largest unit that fits: `5 minutes ago`.
pub(super) fn ago(time: Timestamp, now: Timestamp) -> String {
    let secs = now.secs.saturating_sub(time.secs);
    if secs < 0 {
        return "in the future".to_owned();
    }
    const UNITS: [(i64, &str); 6] = [
        (365 * 86_400, "year"),
        (30 * 86_400, "month"),
        (7 * 86_400, "week"),
        (86_400, "day"),
        (3600, "hour"),
        (60, "minute"),
    ];
    let (unit, name) = UNITS.into_iter().find(|(unit, _)| secs >= *unit).unwrap_or((1, "second"));
    match secs / unit {
        1 => format!("1 {name} ago"),
        n => format!("{n} {name}s ago"),
    }
}

fn instant(time: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::new(time.secs, i32::try_from(time.nanos).ok()?).ok()
}

fn in_zone(time: Timestamp, zone: &TimeZone, format: &str) -> String {
    match instant(time) {
        Some(instant) => instant.to_zoned(zone.clone()).strftime(format).to_string(),
        // As `date -d` takes it.
        None => format!("@{}", time.secs),
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::{TimeZone, offset};

    use super::{ago, in_zone, rfc3339};
    use crate::model::Timestamp;

    #[test]
    fn times_have_all_nanoseconds_in_rfc_3339() {
        let text = |secs, nanos| rfc3339(Timestamp { secs, nanos });
        assert_eq!(text(0, 0).as_deref(), Some("1970-01-01T00:00:00.000000000Z"));
        assert_eq!(text(1, 5).as_deref(), Some("1970-01-01T00:00:01.000000005Z"));
        assert_eq!(text(-1, 500_000_000).as_deref(), Some("1969-12-31T23:59:59.500000000Z"));
        assert_eq!(text(i64::MAX, 0), None);
        assert_eq!(text(i64::MIN, 999_999_999), None);
        assert_eq!(text(-100_000_000_000, 0), None);
    }

    #[test]
    fn times_are_told_in_a_time_zone() {
        let zone = TimeZone::fixed(offset(2));
        let text = |secs| in_zone(Timestamp { secs, nanos: 7 }, &zone, "%Y-%m-%d %H:%M:%S %z");
        assert_eq!(text(0), "1970-01-01 02:00:00 +0200");
        assert_eq!(text(i64::MAX), "@9223372036854775807");
    }

    #[test]
    fn the_time_since_is_told_in_the_largest_unit() {
        let text = |secs| ago(Timestamp { secs: 0, nanos: 0 }, Timestamp { secs, nanos: 0 });
        assert_eq!(text(0), "0 seconds ago");
        assert_eq!(text(1), "1 second ago");
        assert_eq!(text(119), "1 minute ago");
        assert_eq!(text(7200), "2 hours ago");
        assert_eq!(text(-5), "in the future");
        let far = Timestamp { secs: i64::MIN, nanos: 0 };
        assert!(ago(far, Timestamp { secs: i64::MAX, nanos: 0 }).ends_with("years ago"));
    }
}
