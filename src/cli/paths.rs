//! Paths in lines of text and in JSON.
//!
//! The top of the tree, whose path is empty, is shown as `.`.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::Serialize;

use crate::vfs::text::{quote_path, unquote_path};

/// Stands between the old and the new path of a rename.
pub(super) const ARROW: &str = " -> ";

/// Writes a path, quoted if it could be misread.
pub(super) fn path_text(path: &[u8]) -> String {
    if path.is_empty() { ".".to_owned() } else { quote_path(path) }
}

/// Reads a path that fills a text.
pub(super) fn parse_path(text: &str) -> Option<Vec<u8>> {
    match text {
        "." => Some(Vec::new()),
        _ => unquote_path(text),
    }
}

/// Reads two paths with the arrow between.
pub(super) fn parse_paths(text: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    // A quoted path can have arrows in it, but what is before or behind such a one is no path.
    text.match_indices(ARROW).find_map(|(at, _)| {
        let (from, to) = (&text[..at], &text[at + ARROW.len()..]);
        let is_path = |text: &str| text.starts_with('"') || !text.contains(ARROW);
        if !is_path(from) || !is_path(to) {
            return None;
        }
        Some((parse_path(from)?, parse_path(to)?))
    })
}

/// Writes a path as a shell takes it, for commands that are proposed.
pub(super) fn shell(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%=".contains(byte);
    if !bytes.is_empty() && bytes.iter().all(is_plain) {
        return path.display().to_string();
    }
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// A path in JSON, whose texts are Unicode while paths are bytes.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct JsonPath {
    /// The path; bytes that are not UTF-8 appear as U+FFFD. The top of the tree is `.`.
    path: String,
    /// All bytes of a path that is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
}

impl JsonPath {
    /// Wraps a path.
    pub(super) fn new(path: &[u8]) -> Self {
        if path.is_empty() {
            return Self { path: ".".to_owned(), path_hex: None };
        }
        let text = String::from_utf8_lossy(path);
        let hex = || path.iter().map(|byte| format!("{byte:02x}")).collect();
        let path_hex = str::from_utf8(path).is_err().then(hex);
        Self { path: text.into_owned(), path_hex }
    }
}

/// The target of a symbolic link as JSON tells it: text, quoted if it is not UTF-8.
pub(super) fn json_text(bytes: &[u8]) -> String {
    str::from_utf8(bytes).map_or_else(|_| quote_path(bytes), str::to_owned)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::{ARROW, JsonPath, parse_path, parse_paths, path_text, shell};

    #[test]
    fn a_path_that_is_no_text_keeps_its_bytes_in_json() {
        let json = |path: &[u8]| serde_json::to_string(&JsonPath::new(path)).unwrap();
        assert_eq!(json(b"a/\n"), r#"{"path":"a/\n"}"#);
        assert_eq!(json(b""), r#"{"path":"."}"#);
        assert_eq!(json(b"a\xff"), "{\"path\":\"a\u{fffd}\",\"path_hex\":\"61ff\"}");
    }

    #[test]
    fn two_paths_are_told_apart() {
        let paths = |from: &str, to: &str| Some((from.into(), to.into()));
        assert_eq!(parse_paths("old -> new"), paths("old", "new"));
        assert_eq!(parse_paths(r#""o -> d" -> "n -> w""#), paths("o -> d", "n -> w"));
        assert_eq!(parse_paths(r#""\" -> \"" -> new"#), paths("\" -> \"", "new"));
        for bad in ["old", "", "a -> b -> c", r#""a -> b"#, r#"a -> "b"#] {
            assert_eq!(parse_paths(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_proposed_command_can_be_pasted() {
        for (path, text) in [
            ("/home/user/work-1.0", "/home/user/work-1.0"),
            ("/a b", "'/a b'"),
            ("it's", r"'it'\''s'"),
            ("$x", "'$x'"),
            ("", "''"),
        ] {
            assert_eq!(shell(path.as_ref()), text);
        }
    }

    /// Parts that make a path hard to read.
    const PARTS: [&[u8]; 7] = [b"\"", b"\\", b" -> ", b" ", b"\n", b"a", b"\xff"];

    proptest! {
        #[test]
        fn every_path_is_read_as_it_was_written(
            from in vec(0..PARTS.len(), 1..10), to in vec(any::<u8>(), 1..20)
        ) {
            let from: Vec<u8> = from.iter().flat_map(|at| PARTS[*at]).copied().collect();
            // No file is called so, and it stands for the top.
            if to != b"." {
                let line = format!("{}{ARROW}{}", path_text(&from), path_text(&to));
                assert!(!line.contains(char::is_control));
                assert_eq!(parse_path(&path_text(&to)), Some(to.clone()));
                assert_eq!(parse_paths(&line), Some((from, to)));
            }
        }
    }
}
