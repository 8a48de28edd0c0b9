//! Paths in lines of text: quoted as C strings, like git does, where they would be misread.
//!
//! A path is quoted if it has a control character, a quote, a backslash, bytes that are not
//! UTF-8 or the arrow that stands between the two paths of a rename, or if it begins or ends
//! with a blank. The top of the tree, whose path is empty, is written as `.`.

use std::fmt::Write;

/// Stands between the old and the new path of a rename.
pub(super) const ARROW: &str = " -> ";

/// Writes a path.
pub(super) fn quote(path: &[u8]) -> String {
    if path.is_empty() {
        return ".".to_owned();
    }
    if let Ok(text) = str::from_utf8(path)
        && !text.contains(|c: char| c.is_control() || matches!(c, '"' | '\\'))
        && !text.contains(ARROW)
        && !text.starts_with(' ')
        && !text.ends_with(' ')
    {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => quoted.extend(['\\', c]),
                '\n' => quoted.push_str("\\n"),
                '\t' => quoted.push_str("\\t"),
                '\r' => quoted.push_str("\\r"),
                c if c.is_control() => octal(&mut quoted, c.encode_utf8(&mut [0; 4]).as_bytes()),
                c => quoted.push(c),
            }
        }
        octal(&mut quoted, chunk.invalid());
    }
    quoted.push('"');
    quoted
}

fn octal(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(out, "\\{byte:03o}");
    }
}

/// Reads a path at the beginning of a text, which ends there or goes on with the arrow. Returns
/// the path and what comes behind it.
pub(super) fn unquote(text: &str) -> Option<(Vec<u8>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(ARROW).unwrap_or(text.len());
        let path = match &text[..end] {
            "" => return None,
            "." => Vec::new(),
            path => path.as_bytes().to_vec(),
        };
        return Some((path, &text[end..]));
    };
    let mut path = Vec::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((path, &quoted[at + 1..])),
            '\\' => match chars.next()?.1 {
                c @ ('"' | '\\') => path.push(u8::try_from(c).ok()?),
                'a' => path.push(7),
                'b' => path.push(8),
                't' => path.push(b'\t'),
                'n' => path.push(b'\n'),
                'v' => path.push(11),
                'f' => path.push(12),
                'r' => path.push(b'\r'),
                first @ '0'..='3' => {
                    let digits = [first, chars.next()?.1, chars.next()?.1];
                    let code = digits.iter().try_fold(0, |code, c| Some(code * 8 + c.to_digit(8)?));
                    path.push(u8::try_from(code?).ok()?);
                }
                _ => return None,
            },
            c => path.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::{ARROW, quote, unquote};

    #[test]
    fn plain_paths_stay_as_they_are() {
        for path in ["a", "src/main.rs", "with blank", "née", "->", "a->b"] {
            assert_eq!(quote(path.as_bytes()), path);
        }
        assert_eq!(quote(b""), ".");
    }

    #[test]
    fn what_could_be_misread_is_quoted() {
        for (path, quoted) in [
            (&b"a\tb"[..], r#""a\tb""#),
            (b"a\"b\\", r#""a\"b\\""#),
            (b"a\xffb", r#""a\377b""#),
            (b"a -> b", r#""a -> b""#),
            (b" a", r#"" a""#),
            (b"\x1b[31m", r#""\033[31m""#),
            ("\u{9b}é".as_bytes(), "\"\\302\\233é\""),
        ] {
            assert_eq!(quote(path), quoted);
        }
    }

    #[test]
    fn a_path_is_read_up_to_the_arrow() {
        assert_eq!(unquote("old -> new"), Some((b"old".to_vec(), " -> new")));
        assert_eq!(unquote("\"o -> d\" -> new"), Some((b"o -> d".to_vec(), " -> new")));
        assert_eq!(unquote("\"\\001\\a\""), Some((vec![1, 7], "")));
        for bad in ["", "\"", "\"a", "\"\\", "\"\\9\"", "\"\\40\"", "\"\\400\"", "\"\\x41\""] {
            assert_eq!(unquote(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_path_is_read_as_it_was_written(
            path in vec(any::<u8>(), 1..20), hint in vec(0_usize..6, 0..12)
        ) {
            let parts: [&[u8]; 6] = [b"\"", b"\\", b" -> ", b" ", b"\n", b"a"];
            let mut nasty: Vec<u8> = hint.iter().flat_map(|at| parts[*at]).copied().collect();
            nasty.extend(path);
            // No file is called so, and it stands for the top.
            if nasty != b"." {
                let line = format!("{}{ARROW}rest", quote(&nasty));
                assert_eq!(unquote(&line), Some((nasty, " -> rest")));
                assert!(!line.contains(char::is_control));
            }
        }
    }
}
