//! The texts in the records of a PAX archive.

use std::fmt::Write as _;
use std::ops::Range;

use crate::model::Timestamp;

const BLOCK_BYTES: usize = 512;
const NANOS_PER_SEC: u32 = 1_000_000_000;

/// A time as a decimal number of seconds. Nanoseconds count upward also before 1970, the digits of
/// a number do not.
pub(super) fn decimal_time(time: Timestamp) -> String {
    let Timestamp { secs, nanos } = time;
    let (sign, secs, nanos) = match (secs < 0, nanos) {
        (false, nanos) => ("", secs.unsigned_abs(), nanos),
        (true, 0) => ("-", secs.unsigned_abs(), 0),
        (true, nanos) => ("-", secs.unsigned_abs() - 1, NANOS_PER_SEC - nanos),
    };
    match nanos {
        0 => format!("{sign}{secs}"),
        nanos => format!("{sign}{secs}.{nanos:09}"),
    }
}

/// The key of an extended attribute, where what would end a key is written as its number, as GNU
/// tar does. A key is text; other names have none.
pub(super) fn xattr_key(name: &[u8]) -> Option<String> {
    let name = str::from_utf8(name).ok()?;
    Some(format!("SCHILY.xattr.{}", name.replace('%', "%25").replace('=', "%3D")))
}

/// The map of a file with holes: how many ranges of data there are, offset and length of each, a
/// number a line, then zeros up to a whole block. A last range without length tells where a file
/// ends whose end is a hole.
pub(super) fn sparse_map(data: &[Range<u64>], size: u64) -> Vec<u8> {
    let ends_in_hole = data.last().is_none_or(|range| range.end < size);
    let mut text = format!("{}\n", data.len() + usize::from(ends_in_hole));
    for range in data.iter().cloned().chain(ends_in_hole.then_some(size..size)) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}\n{}\n", range.start, range.end - range.start);
    }
    let mut map = text.into_bytes();
    map.resize(map.len().next_multiple_of(BLOCK_BYTES), 0);
    map
}

#[cfg(test)]
mod tests {
    use super::{decimal_time, sparse_map, xattr_key};
    use crate::model::Timestamp;

    #[test]
    fn times_before_1970_are_negative_numbers() {
        for (secs, nanos, text) in [
            (0, 0, "0"),
            (5, 7, "5.000000007"),
            (-1, 0, "-1"),
            (-1, 500_000_000, "-0.500000000"),
            (-2, 999_999_999, "-1.000000001"),
            (i64::MIN, 0, "-9223372036854775808"),
        ] {
            assert_eq!(decimal_time(Timestamp { secs, nanos }), text);
        }
    }

    #[test]
    fn no_name_of_an_attribute_ends_its_key() {
        assert_eq!(xattr_key(b"user.a=b%").as_deref(), Some("SCHILY.xattr.user.a%3Db%25"));
        assert_eq!(xattr_key(b"user.\xff"), None);
    }

    #[test]
    fn a_map_fills_a_block_and_tells_of_the_hole_at_the_end() {
        let text = |map: Vec<u8>| {
            assert_eq!(map.len(), 512);
            String::from_utf8(map).unwrap().trim_end_matches('\0').to_owned()
        };
        assert_eq!(text(sparse_map(&[0..3, 10..12], 12)), "2\n0\n3\n10\n2\n");
        assert_eq!(text(sparse_map(&[0..3, 5..6], 9)), "3\n0\n3\n5\n1\n9\n0\n");
        assert_eq!(text(sparse_map(&[], 9)), "1\n9\n0\n");
    }
}
