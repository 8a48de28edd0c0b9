//! Texts that are known, and the way there and back of those that are not.

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::sample::select;
use proptest::{prop_compose, proptest};

use super::{format_time, is_unprintable, parse_time, quote_path, unquote_path};
use crate::model::Timestamp;

#[test]
fn plain_paths_stand_for_themselves() {
    for path in ["", "a", "src/vfs/text.rs", "with space", " -", "->", "a->b", "naïve/日本", "'"]
    {
        assert_eq!(quote_path(path.as_bytes()), path);
        assert_eq!(unquote_path(path).unwrap(), path.as_bytes());
    }
}

#[test]
fn paths_that_could_be_misread_are_quoted() {
    for (path, text) in [
        (&b"a\tb\nc"[..], r#""a\tb\nc""#),
        (br#"say "hi""#, r#""say \"hi\"""#),
        (br"back\slash", r#""back\\slash""#),
        (b"old -> new", r#""old -> new""#),
        (b"bell\x07\x7f\r\0", r#""bell\007\177\015\000""#),
        (b"latin \xe9t\xe9", r#""latin \351t\351""#),
        (b"\xffna\xc3\xafve", r#""\377naïve""#),
        (b"cut \xe6\x97", r#""cut \346\227""#),
        ("turn\u{202e}ed".as_bytes(), r#""turn\342\200\256ed""#),
        ("c1 \u{85}".as_bytes(), r#""c1 \302\205""#),
    ] {
        assert_eq!(quote_path(path), text);
        assert_eq!(unquote_path(text).unwrap(), path);
    }
}

#[test]
fn what_git_writes_is_read() {
    assert_eq!(unquote_path(r#""\a\b\v\f\r""#).unwrap(), b"\x07\x08\x0b\x0c\r");
    assert_eq!(unquote_path(r#""\346\227\245""#).unwrap(), "日".as_bytes());
    assert_eq!(unquote_path(r#""""#).unwrap(), b"");
}

#[test]
fn broken_quotes_are_refused() {
    for text in [
        r#"""#,
        r#""open"#,
        r#""open\""#,
        r#""a"b"#,
        r#""a"b""#,
        r#""\x41""#,
        r#""\41""#,
        r#""\48a""#,
        r#""\400""#,
        r#""\"#,
    ] {
        assert_eq!(unquote_path(text), None, "{text}");
    }
}

/// Bytes of which many need quotes.
fn paths() -> impl Strategy<Value = Vec<u8>> {
    let parts: Vec<&[u8]> =
        vec![b"a", b"0", b"7", b"\\", b"\"", b"\n", b"\t", b" -> ", b"\xc3", b"\xa9", b"\0"];
    prop_oneof![
        vec(any::<u8>(), 0..40),
        vec(select(parts), 0..12).prop_map(|parts| parts.concat()),
        any::<String>().prop_map(String::into_bytes),
    ]
}

fn at(secs: i64, nanos: u32) -> Timestamp {
    Timestamp { secs, nanos }
}

/// The first second of the year 1, and the last of 9999, as GNU date has them.
const FIRST_SECS: i64 = -62_135_596_800;
const LAST_SECS: i64 = 253_402_300_799;

#[test]
fn known_times() {
    for (time, text) in [
        (at(0, 0), "1970-01-01T00:00:00.000000000Z"),
        (at(1_795_371_279, 123_456_789), "2026-11-22T18:14:39.123456789Z"),
        (at(1_709_164_800, 1), "2024-02-29T00:00:00.000000001Z"),
        (at(-1, 500_000_000), "1969-12-31T23:59:59.500000000Z"),
        (at(FIRST_SECS, 0), "0001-01-01T00:00:00.000000000Z"),
        (at(LAST_SECS, 999_999_999), "9999-12-31T23:59:59.999999999Z"),
        (at(FIRST_SECS - 1, 999_999_999), "@-62135596800.000000001"),
        (at(LAST_SECS + 1, 20), "@253402300800.000000020"),
        (at(i64::MAX, 999_999_999), "@9223372036854775807.999999999"),
        (at(i64::MIN, 0), "@-9223372036854775808.000000000"),
    ] {
        assert_eq!(format_time(time), text);
        assert_eq!(parse_time(text), Some(time), "{text}");
    }
}

#[test]
fn fractions_may_be_short_or_missing() {
    for (text, nanos) in [
        ("1970-01-01T00:00:07Z", 0),
        ("1970-01-01T00:00:07.Z", 0),
        ("1970-01-01T00:00:07.5Z", 500_000_000),
        ("1970-01-01T00:00:07.012Z", 12_000_000),
        ("@7", 0),
        ("@7.25", 250_000_000),
    ] {
        assert_eq!(parse_time(text), Some(at(7, nanos)), "{text}");
    }
    assert_eq!(parse_time("@-1.5"), Some(at(-2, 500_000_000)));
}

#[test]
fn what_is_no_time_is_refused() {
    for text in [
        "",
        "Z",
        "2026-11-22",
        "2026-11-22T18:14:39",
        "2026-11-22T18:14Z",
        "2026-11-22 18:14:39Z",
        "2026-11-22T18:14:39z",
        "2026-11-22T18:14:39+00:00",
        "2026-11-22T18:14:39.1234567890Z",
        "2026-11-22T18:14:39.+1Z",
        "2026-11-22T18:14:39.1.2Z",
        "2026-11-22T18:14:39:00Z",
        "2026-11-22T18:14:60Z",
        "2026-11-22T24:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "-001-01-01T00:00:00Z",
        "+026-01-01T00:00:00Z",
        "2026-1-01T00:00:00Z",
        "٢٠-01-01T00:00:00Z",
        "@",
        "@-",
        "@+1",
        "@--1",
        "@.5",
        "@1.-5",
        "@9223372036854775808",
        "@-9223372036854775808.000000001",
        "@99999999999999999999",
    ] {
        assert_eq!(parse_time(text), None, "{text}");
    }
}

prop_compose! {
    fn times()(
        secs in prop_oneof![any::<i64>(), FIRST_SECS - 9..=LAST_SECS + 9, -9..9_i64],
        nanos in 0..1_000_000_000_u32,
    ) -> Timestamp {
        at(secs, nanos)
    }
}

proptest! {
    #[test]
    fn every_path_comes_back_from_one_line(path in paths()) {
        let text = quote_path(&path);
        assert!(!text.contains(is_unprintable));
        assert!(text.starts_with('"') || !text.contains(" -> "));
        assert_eq!(unquote_path(&text), Some(path));
    }

    #[test]
    fn any_text_is_unquoted_or_refused(text in r#""?([a-z0-9\\" ]|\\[0-7abfnrtv"]){0,12}"?"#) {
        if let Some(path) = unquote_path(&text) {
            assert_eq!(unquote_path(&quote_path(&path)), Some(path));
        }
    }

    #[test]
    fn every_time_comes_back(time in times()) {
        assert_eq!(parse_time(&format_time(time)), Some(time));
    }

    #[test]
    fn texts_of_four_digit_years_sort_as_times(
        a in FIRST_SECS..=LAST_SECS, b in FIRST_SECS..=LAST_SECS, nanos in 0..1_000_000_000_u32,
    ) {
        let (a, b) = (at(a, nanos), at(b, 0));
        assert_eq!(a.cmp(&b), format_time(a).cmp(&format_time(b)));
    }

    #[test]
    fn any_text_is_a_time_or_refused(text in r"@?-?[0-9TZ:.@é-]{0,32}Z?") {
        if let Some(time) = parse_time(&text) {
            assert_eq!(parse_time(&format_time(time)), Some(time));
        }
    }
}
