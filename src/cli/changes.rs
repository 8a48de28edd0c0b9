//! Lists of changed paths, for people and for programs.

use serde::Serialize;

use super::paint::{Ink, Paint};
use super::paths::{ARROW, JsonPath, parse_path, parse_paths, path_text};
use super::units::size_text;
use crate::model::{Entry, EntryBody, FileKind};
use crate::worktree::{Change, ChangeKind, SIMILARITY_SAME};

/// A changed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChangeLine {
    /// What happened to it.
    kind: ChangeKind,
    /// The path; empty for the top of the tree.
    path: Vec<u8>,
}

impl ChangeLine {
    /// The change without what was and is there.
    pub(super) fn new(change: &Change) -> Self {
        Self { kind: change.kind.clone(), path: change.path.clone() }
    }

    /// Reads a line as `.vst/status` has them: `M path`, `R old -> new` or `R087 old -> new`.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (letter, rest) = line.split_once(' ')?;
        let kind = match letter {
            _ if letter.starts_with('R') => {
                let similarity = match letter.len() {
                    1 => SIMILARITY_SAME,
                    4 => letter[1..].parse().ok().filter(|percent| *percent < SIMILARITY_SAME)?,
                    _ => return None,
                };
                let (from, path) = parse_paths(rest)?;
                return Some(Self { kind: ChangeKind::Renamed { from, similarity }, path });
            }
            "A" => ChangeKind::Added,
            "M" => ChangeKind::Modified,
            "D" => ChangeKind::Deleted,
            _ => return None,
        };
        Some(Self { kind, path: parse_path(rest)? })
    }

    /// The line for people, as it is read by [`parse`](Self::parse) but for the colour.
    pub(super) fn text(&self, paint: Paint) -> String {
        text(&self.kind, &self.path, paint)
    }
}

fn text(kind: &ChangeKind, path: &[u8], paint: Paint) -> String {
    let ink = match kind {
        ChangeKind::Added => Ink::Added,
        ChangeKind::Modified => Ink::Modified,
        ChangeKind::Deleted => Ink::Deleted,
        ChangeKind::Renamed { .. } => Ink::Renamed,
    };
    let line = match kind {
        ChangeKind::Renamed { from, .. } => {
            format!("{} {}{ARROW}{}", kind.mark(), path_text(from), path_text(path))
        }
        _ => format!("{} {}", kind.mark(), path_text(path)),
    };
    paint.paint(ink, &line)
}

/// The line of a change with the sizes that a file had and has.
pub(super) fn text_with_sizes(change: &Change, paint: Paint) -> String {
    let line = text(&change.kind, &change.path, paint);
    let sizes = [change.old.as_ref().and_then(file_size), change.new.as_ref().and_then(file_size)];
    let sizes = match sizes {
        [None, None] => return line,
        [Some(old), Some(new)] if old == new => size_text(new),
        [Some(old), Some(new)] => format!("{}{ARROW}{}", size_text(old), size_text(new)),
        [Some(size), None] | [None, Some(size)] => size_text(size),
    };
    format!("{line}  {}", paint.paint(Ink::Faint, &format!("({sizes})")))
}

/// How many paths changed in which way: `3 paths: 1 added, 2 modified`.
pub(super) fn summary(changes: &[Change]) -> String {
    let count = |letter| changes.iter().filter(|c| c.kind.letter() == letter).count();
    let kinds = [('A', "added"), ('M', "modified"), ('D', "deleted"), ('R', "renamed")];
    let parts: Vec<String> = kinds
        .into_iter()
        .map(|(letter, word)| (count(letter), word))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    match changes.len() {
        0 => "no path changed".to_owned(),
        1 => format!("1 path: {}", parts.join(", ")),
        n => format!("{n} paths: {}", parts.join(", ")),
    }
}

/// A changed path in JSON:
///
/// ```json
/// {"change":"renamed","path":"new name","from":{"path":"old name"},"similarity":87}
/// ```
///
/// `change` is `added`, `modified`, `deleted` or `renamed`; `from` and `similarity`, in percent of
/// the content, are there for the last only.
#[derive(Debug, Serialize)]
pub(super) struct JsonChange {
    change: &'static str,
    #[serde(flatten)]
    path: JsonPath,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<JsonPath>,
    #[serde(skip_serializing_if = "Option::is_none")]
    similarity: Option<u8>,
}

impl From<&ChangeLine> for JsonChange {
    fn from(line: &ChangeLine) -> Self {
        let (change, from, similarity) = match &line.kind {
            ChangeKind::Added => ("added", None, None),
            ChangeKind::Modified => ("modified", None, None),
            ChangeKind::Deleted => ("deleted", None, None),
            ChangeKind::Renamed { from, similarity } => {
                ("renamed", Some(JsonPath::new(from)), Some(*similarity))
            }
        };
        Self { change, path: JsonPath::new(&line.path), from, similarity }
    }
}

/// A changed path in JSON with what was and is there; `null` where nothing is:
///
/// ```json
/// {"change":"modified","path":"a","old":{"kind":"file","size":3},"new":{"kind":"symlink"}}
/// ```
#[derive(Debug, Serialize)]
pub(super) struct JsonChangeWithSizes {
    #[serde(flatten)]
    change: JsonChange,
    old: Option<JsonSide>,
    new: Option<JsonSide>,
}

#[derive(Debug, Serialize)]
struct JsonSide {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
}

impl From<&Change> for JsonChangeWithSizes {
    fn from(change: &Change) -> Self {
        let side = |entry: &Option<Entry>| {
            let side = |entry| JsonSide { kind: kind_word(entry), size: file_size(entry) };
            entry.as_ref().map(side)
        };
        let (old, new) = (side(&change.old), side(&change.new));
        Self { change: JsonChange::from(&ChangeLine::new(change)), old, new }
    }
}

/// The length of a regular file.
pub(super) fn file_size(entry: &Entry) -> Option<u64> {
    match entry.body {
        EntryBody::File { size, .. } => Some(size),
        _ => None,
    }
}

/// What an entry is, in JSON.
pub(super) fn kind_word(entry: &Entry) -> &'static str {
    match entry.meta.kind {
        FileKind::Regular => "file",
        FileKind::Directory => "directory",
        FileKind::Symlink => "symlink",
        FileKind::Fifo => "fifo",
        FileKind::Socket => "socket",
        FileKind::CharDevice => "char-device",
        FileKind::BlockDevice => "block-device",
    }
}

#[cfg(test)]
mod tests {
    use super::{ChangeLine, JsonChange, summary};
    use crate::cli::paint::Paint;
    use crate::worktree::{Change, ChangeKind};

    #[test]
    fn lines_are_read_as_they_are_written() {
        for line in [
            "A a",
            "M .",
            "D with blank",
            "R old -> new",
            "R087 old -> new",
            r#"R "o -> d" -> "n\"ew""#,
            r#"M "a\nb\377""#,
        ] {
            let change = ChangeLine::parse(line).unwrap();
            assert_eq!(change.text(Paint::new(false)), line);
        }
        for bad in [
            "",
            "A",
            "X a",
            "Aa",
            "R old",
            "R a -> b -> c",
            "R100 a -> b",
            "R87 a -> b",
            "R0ä a -> b",
            "M \"a",
        ] {
            assert_eq!(ChangeLine::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn json_names_what_happened() {
        let json = |line| {
            let change = ChangeLine::parse(line).unwrap();
            serde_json::to_string(&JsonChange::from(&change)).unwrap()
        };
        assert_eq!(json("A a"), r#"{"change":"added","path":"a"}"#);
        assert_eq!(
            json("R a -> b"),
            r#"{"change":"renamed","path":"b","from":{"path":"a"},"similarity":100}"#
        );
    }

    #[test]
    fn a_summary_counts_what_there_is() {
        let change = |kind| Change { path: b"x".to_vec(), kind, old: None, new: None };
        assert_eq!(summary(&[]), "no path changed");
        assert_eq!(summary(&[change(ChangeKind::Added)]), "1 path: 1 added");
        let renamed = ChangeKind::Renamed { from: b"y".to_vec(), similarity: 50 };
        assert_eq!(
            summary(&[ChangeKind::Deleted, renamed, ChangeKind::Deleted].map(change)),
            "3 paths: 2 deleted, 1 renamed"
        );
    }
}
