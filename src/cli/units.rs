//! Numbers of things, sizes in units of 1024, and short times, as people write and read them.

const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// Writes a size: `0 B`, `1023 B`, `1.5 KiB`, `12.0 MiB`, `8.0 EiB`.
pub(super) fn size_text(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // From 1 (KiB) to 6 (EiB), each ten bits.
    let mut unit = ((63 - bytes.leading_zeros()) / 10) as usize;
    let mut tenths = tenths_of(bytes, unit);
    // What rounds up to 1024.0 of a unit is 1.0 of the next one.
    if tenths >= 10_240 && unit < UNITS.len() {
        unit += 1;
        tenths = tenths_of(bytes, unit);
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit - 1])
}

/// Tenths of 1024^unit, rounded.
fn tenths_of(bytes: u64, unit: usize) -> u128 {
    let divisor = 1_u128 << (10 * unit);
    (u128::from(bytes) * 10 + divisor / 2) / divisor
}

/// Writes a length of time: `900 ns`, `12.3 µs`, `2.0 ms`, `3.5 s`.
pub(super) fn nanos_text(nanos: u64) -> String {
    let (unit, name) = match nanos {
        0..1_000 => return format!("{nanos} ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    format!("{}.{} {name}", nanos / unit, nanos % unit * 10 / unit)
}

/// So many of something: `1 commit`, `2 commits`.
pub(super) fn count_text(count: u64, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

/// Why a text is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SizeError {
    /// It cannot be understood.
    #[error("write a number of bytes, or one with a unit: 512K, 64M, 1G, 64MiB")]
    Syntax,
    /// Larger than this machine can count.
    #[error("too large")]
    TooLarge,
}

/// Reads a size: a number and perhaps a unit, `K`, `KiB`, `M` and so on, all of them powers of
/// 1024.
pub(super) fn parse_size(text: &str) -> Result<u64, SizeError> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = (&text[..digits], text[digits..].trim().to_ascii_lowercase());
    if number.is_empty() {
        return Err(SizeError::Syntax);
    }
    let number: u64 = number.parse().map_err(|_| SizeError::TooLarge)?;
    let power = match unit.strip_suffix("ib").unwrap_or(&unit) {
        "" | "b" if !unit.ends_with("ib") => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        "e" => 6,
        _ => return Err(SizeError::Syntax),
    };
    number.checked_mul(1 << (10 * power)).ok_or(SizeError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::{SizeError, count_text, nanos_text, parse_size, size_text};

    #[test]
    fn short_times_have_a_decimal_and_the_right_unit() {
        let texts = [0, 999, 1000, 12_345, 999_999, 1_000_000, 3_500_000_000].map(nanos_text);
        let expected = ["0 ns", "999 ns", "1.0 µs", "12.3 µs", "999.9 µs", "1.0 ms", "3.5 s"];
        assert_eq!(texts, expected);
    }

    #[test]
    fn one_thing_is_no_several() {
        let texts = [0, 1, 2].map(|count| count_text(count, "commit"));
        assert_eq!(texts, ["0 commits", "1 commit", "2 commits"]);
    }

    #[test]
    fn sizes_have_at_most_one_decimal_and_the_right_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (1024 * 1024, "1.0 MiB"),
            (12 << 20, "12.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size_text(bytes), text);
        }
    }

    #[test]
    fn sizes_with_and_without_units_are_read() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            ("64M", 64 << 20),
            ("64m", 64 << 20),
            ("64 MiB", 64 << 20),
            ("1G", 1 << 30),
            ("7E", 7 << 60),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "x", "1.5G", "-1", "64MB", "1ib", "64 M M"] {
            assert_eq!(parse_size(text), Err(SizeError::Syntax), "{text}");
        }
        assert_eq!(parse_size("16E"), Err(SizeError::TooLarge));
        assert_eq!(parse_size("99999999999999999999"), Err(SizeError::TooLarge));
    }
}
