//! Paths and times as text: what the status file and the names of snapshots are written in.
//!
//! A path that could be misread in a line of text stands in double quotes with C-style escapes,
//! as git writes it; all others stand for themselves. A time is UTC as ISO 8601 has it,
//! `2026-11-22T18:14:39.123456789Z`, and as many seconds since 1970 where that cannot say it:
//! `@-70000000000.500000000`.

use std::fmt::Write;

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, Time};

use crate::model::Timestamp;

const NANOS_PER_SEC: i128 = 1_000_000_000;
const FRACTION_DIGITS_MAX: usize = 9;
/// 1970.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// Separates two paths in a line, so that none may hold it as it is.
const ARROW: &str = " -> ";

/// Writes a path so that it stays in its line and can be read back.
///
/// A path that is UTF-8 and holds no quote, backslash, ` -> ` or unprintable character (control
/// characters, ends of line, and what turns the direction of writing) is written as it is. Any
/// other is put in double quotes, with `\t`, `\n`, `\"` and `\\` for those four, and three octal
/// digits after a backslash for each other byte that is unprintable or no UTF-8.
pub fn quote_path(path: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(path)
        && !text.contains(ARROW)
        && !text.chars().any(|c| matches!(c, '"' | '\\') || is_unprintable(c))
    {
        return text.to_owned();
    }
    let mut out = String::with_capacity(path.len() + 16);
    out.push('"');
    for chunk in path.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\t' => out.push_str("\\t"),
                '\n' => out.push_str("\\n"),
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                c if is_unprintable(c) => {
                    push_octal(&mut out, c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                c => out.push(c),
            }
        }
        push_octal(&mut out, chunk.invalid());
    }
    out.push('"');
    out
}

/// Reads a path that [`quote_path`] or git wrote. Nothing if it begins with a quote, and what
/// follows is no quoted path to its very end. Text without a quote at its beginning stands for
/// itself.
pub fn unquote_path(text: &str) -> Option<Vec<u8>> {
    if !text.starts_with('"') {
        return Some(text.as_bytes().to_vec());
    }
    match unquote_first(text.as_bytes())? {
        (path, []) => Some(path),
        _ => None,
    }
}

/// Reads the quoted path that a text begins with, as [`quote_path`] or git writes it, and returns
/// what is behind it as well. Nothing if there is none.
pub fn unquote_first(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut bytes = text.strip_prefix(b"\"")?.iter();
    let mut path = Vec::with_capacity(bytes.len());
    loop {
        path.push(match bytes.next()? {
            b'"' => return Some((path, bytes.as_slice())),
            b'\\' => unescape(&mut bytes.by_ref().copied())?,
            other => *other,
        });
    }
}

/// Reads what follows a backslash.
fn unescape(bytes: &mut impl Iterator<Item = u8>) -> Option<u8> {
    Some(match bytes.next()? {
        byte @ (b'"' | b'\\') => byte,
        b'a' => 0x07,
        b'b' => 0x08,
        b't' => b'\t',
        b'n' => b'\n',
        b'v' => 0x0b,
        b'f' => 0x0c,
        b'r' => b'\r',
        high @ b'0'..=b'3' => {
            let mut value = high - b'0';
            for _ in 0..2 {
                let digit = bytes.next().filter(|digit| matches!(digit, b'0'..=b'7'))?;
                // The first digit is at most 3, so three of them fit in a byte.
                value = value << 3 | (digit - b'0');
            }
            value
        }
        _ => return None,
    })
}

/// Tells whether a character would break a line or change how the rest of it looks: control
/// characters, other ends of line, and what turns the direction of writing.
fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

fn push_octal(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(out, "\\{byte:03o}");
    }
}

/// Writes a time, always with nine digits after the point, so that times of four-digit years
/// sort as their texts do.
pub fn format_time(time: Timestamp) -> String {
    let Some(civil) = civil_of_secs(time.secs) else {
        let nanos = i128::from(time.secs) * NANOS_PER_SEC + i128::from(time.nanos);
        let sign = if nanos < 0 { "-" } else { "" };
        let (nanos, per_sec) = (nanos.unsigned_abs(), NANOS_PER_SEC.unsigned_abs());
        return format!("@{sign}{}.{:09}", nanos / per_sec, nanos % per_sec);
    };
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z",
        civil.year(),
        civil.month(),
        civil.day(),
        civil.hour(),
        civil.minute(),
        civil.second(),
        time.nanos
    )
}

/// Reads a time that [`format_time`] wrote; the fraction may be shorter or missing. Nothing if
/// the text is anything else, or there is no such day or time of day.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    if let Some(number) = text.strip_prefix('@') {
        return parse_seconds(number);
    }
    let (whole, nanos) = split_fraction(text.strip_suffix('Z')?)?;
    let (date, time) = whole.split_once('T')?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    if year == 0 {
        return None;
    }
    let day = Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    let [hour, minute, second] = [hour, minute, second].map(i8::try_from);
    let time = Time::new(hour.ok()?, minute.ok()?, second.ok()?, 0).ok()?;
    let secs = DateTime::from_parts(day, time).duration_since(EPOCH).as_secs();
    Some(Timestamp { secs, nanos })
}

/// The time of a clock on the wall in Greenwich, in the years 1 to 9999.
fn civil_of_secs(secs: i64) -> Option<DateTime> {
    let civil = EPOCH.checked_add(SignedDuration::from_secs(secs)).ok()?;
    (civil.year() >= 1).then_some(civil)
}

/// Reads seconds since 1970 as a decimal number, so that `-1.5` is half a second before `-1`.
fn parse_seconds(number: &str) -> Option<Timestamp> {
    let (number, is_negative) = match number.strip_prefix('-') {
        Some(number) => (number, true),
        None => (number, false),
    };
    let (whole, fraction) = split_fraction(number)?;
    let whole: u64 = digits(whole)?.parse().ok()?;
    let nanos = i128::from(whole) * NANOS_PER_SEC + i128::from(fraction);
    let nanos = if is_negative { -nanos } else { nanos };
    Some(Timestamp {
        secs: i64::try_from(nanos.div_euclid(NANOS_PER_SEC)).ok()?,
        nanos: u32::try_from(nanos.rem_euclid(NANOS_PER_SEC)).ok()?,
    })
}

/// Splits a number at its point, and reads what follows as nanoseconds.
fn split_fraction(number: &str) -> Option<(&str, u32)> {
    let Some((whole, fraction)) = number.split_once('.') else {
        return Some((number, 0));
    };
    if fraction.len() > FRACTION_DIGITS_MAX || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanos = format!("{fraction:0<FRACTION_DIGITS_MAX$}").parse().ok()?;
    Some((whole, nanos))
}

/// Reads three numbers of these many digits each.
fn numbers(text: &str, separator: char, lens: [usize; 3]) -> Option<[i16; 3]> {
    let mut parts = text.split(separator);
    let mut values = [0; 3];
    for (value, len) in values.iter_mut().zip(lens) {
        let part = parts.next().filter(|part| part.len() == len)?;
        *value = digits(part)?.parse().ok()?;
    }
    parts.next().is_none().then_some(values)
}

/// The text, if it is ASCII digits and nothing else: `parse` would take a sign as well.
fn digits(text: &str) -> Option<&str> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then_some(text)
}

#[cfg(test)]
mod tests;
