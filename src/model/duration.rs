//! Lengths of time as people write them: a number and a unit.

use std::time::Duration;

const UNITS: [(&str, u64); 5] =
    [("w", 7 * 86_400), ("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];

/// Why a text is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write a number and a unit: 90s, 30m, 12h, 7d, 4w")]
pub struct DurationError;

/// Reads a length of time: a number and `s`, `m`, `h`, `d` or `w`.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| DurationError)?;
    let unit = UNITS.iter().find(|(name, _)| *name == unit.trim_start()).ok_or(DurationError)?;
    number.checked_mul(unit.1).map(Duration::from_secs).ok_or(DurationError)
}

/// Writes a length of time, without what is less than a second of it, in the largest unit up to
/// days that it is a multiple of.
pub fn duration_text(duration: Duration) -> String {
    let secs = duration.as_secs();
    // Whoever wrote 28d would not know 4w again.
    let fits = |unit: &&(&str, u64)| unit.0 != "w" && secs.is_multiple_of(unit.1);
    match UNITS.iter().find(fits) {
        Some((name, unit)) if secs > 0 => format!("{}{name}", secs / unit),
        _ => format!("{secs}s"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{DurationError, duration_text, parse_duration};

    #[test]
    fn lengths_of_time_are_read() {
        for (text, secs) in
            [("0s", 0), ("90s", 90), ("30m", 1800), ("12 h", 43_200), ("2w", 1_209_600)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(secs)), "{text}");
        }
        for text in [
            "",
            "5",
            "d",
            "-1d",
            "1.5h",
            "1 month",
            "99999999999999999999s",
            "18446744073709551615w",
        ] {
            assert_eq!(parse_duration(text), Err(DurationError), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for (secs, text) in
            [(0, "0s"), (1, "1s"), (90, "90s"), (5400, "90m"), (86_400, "1d"), (2_419_200, "28d")]
        {
            assert_eq!(duration_text(Duration::from_secs(secs)), text);
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(secs)));
        }
        assert_eq!(
            parse_duration(&duration_text(Duration::MAX)).map(|d| d.as_secs()),
            Ok(u64::MAX)
        );
    }
}
