//! Paths in JSON, whose texts are Unicode while paths are bytes.

use serde::Serialize;

use super::quote::quote;

/// A path: as text, and where that cannot say it, also its bytes in hex.
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

/// A target of a symbolic link as JSON tells it: text, quoted if it is not UTF-8.
pub(super) fn json_text(bytes: &[u8]) -> String {
    str::from_utf8(bytes).map_or_else(|_| quote(bytes), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::JsonPath;

    #[test]
    fn a_path_that_is_no_text_keeps_its_bytes() {
        let json = |path: &[u8]| serde_json::to_string(&JsonPath::new(path)).unwrap();
        assert_eq!(json(b"a/\n"), r#"{"path":"a/\n"}"#);
        assert_eq!(json(b""), r#"{"path":"."}"#);
        assert_eq!(json(b"a\xff"), "{\"path\":\"a\u{fffd}\",\"path_hex\":\"61ff\"}");
    }
}
