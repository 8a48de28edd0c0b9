//! What the operation log, undo and tags tell programs: the answers of `.vst/op-log`, `.vst/undo`
//! and `.vst/tag`, and the `--json` of the commands.
//!
//! A deed:
//!
//! ```json
//! {"number":7,"time":"2026-03-01T11:00:00.500000000Z","before":"64 hex digits","after":null,
//!  "kind":"restore","commit":"64 hex digits","paths":0,"saved":null}
//! ```
//!
//! `before` and `after` are the head, null where nothing had been committed. `kind` tells what else
//! there is:
//!
//! - `commit`: nothing;
//! - `restore`: `commit`, what was restored; `paths`, how many were asked for, 0 for the whole
//!   tree; `saved`, the commit that was made of what would have been lost, or null;
//! - `undo`: `of`, the number of the deed that was taken back, and `saved`;
//! - `tag`: `name`; `from` and `to`, what it named before and after, null for nothing;
//! - `collect`: `dropped`, how many commits.
//!
//! What an undo did, and what became of a tag:
//!
//! ```json
//! {"undone":{"number":7},"head":"64 hex digits","saved":null,"restored":3}
//! {"name":"v1","from":null,"to":"64 hex digits"}
//! ```
//!
//! where `undone` is the whole deed, and `restored` counts the paths that changed.

use serde::{Deserialize, Serialize};

use super::text::format_time;
use crate::model::{CommitId, Deed, DeedKind};
use crate::repo::{TagName, Tagged, Undone};

/// A deed in JSON.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct JsonDeed {
    /// Its number in the log.
    pub number: u64,
    /// When it was done.
    pub time: String,
    /// The head before.
    pub before: Option<String>,
    /// The head after.
    pub after: Option<String>,
    /// What was done.
    #[serde(flatten)]
    pub what: JsonDeedKind,
}

/// What was done, in JSON.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum JsonDeedKind {
    /// A commit.
    Commit,
    /// A restore.
    Restore {
        /// What was restored.
        commit: String,
        /// How many paths were asked for.
        paths: u64,
        /// The commit of what would have been lost.
        saved: Option<String>,
    },
    /// An undo.
    Undo {
        /// The number of what was taken back.
        of: u64,
        /// The commit of what would have been lost.
        saved: Option<String>,
    },
    /// A change of a tag.
    Tag {
        /// Its name.
        name: String,
        /// What it named before.
        from: Option<String>,
        /// What it names now.
        to: Option<String>,
    },
    /// A collection that dropped commits.
    Collect {
        /// How many.
        dropped: u64,
    },
}

/// What an undo did, in JSON.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct JsonUndone {
    /// What was taken back.
    pub undone: JsonDeed,
    /// The head now.
    pub head: Option<String>,
    /// The commit of what would have been lost.
    pub saved: Option<String>,
    /// How many paths changed.
    pub restored: u64,
}

/// What became of a tag, in JSON.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct JsonTagged {
    /// Its name.
    pub name: String,
    /// What it named before.
    pub from: Option<String>,
    /// What it names now.
    pub to: Option<String>,
}

fn hex(id: Option<CommitId>) -> Option<String> {
    id.map(|id| id.to_string())
}

impl JsonDeed {
    /// Writes a deed down.
    pub fn new(number: u64, deed: &Deed) -> Self {
        let what = match &deed.what {
            DeedKind::Commit => JsonDeedKind::Commit,
            DeedKind::Restore { commit, paths, saved } => JsonDeedKind::Restore {
                commit: commit.to_string(),
                paths: *paths,
                saved: hex(*saved),
            },
            DeedKind::Undo { of, saved } => JsonDeedKind::Undo { of: *of, saved: hex(*saved) },
            DeedKind::Tag { name, from, to } => {
                JsonDeedKind::Tag { name: name.clone(), from: hex(*from), to: hex(*to) }
            }
            DeedKind::Collect { dropped } => JsonDeedKind::Collect { dropped: *dropped },
        };
        let (before, after) = (hex(deed.before), hex(deed.after));
        Self { number, time: format_time(deed.time), before, after, what }
    }
}

impl JsonUndone {
    /// Writes down what an undo did.
    pub fn new(undone: &Undone) -> Self {
        Self {
            undone: JsonDeed::new(undone.number, &undone.deed),
            head: hex(undone.deed.before),
            saved: hex(undone.restored.saved),
            restored: undone.restored.paths as u64,
        }
    }
}

impl JsonTagged {
    /// Writes down what became of a tag.
    pub fn new(name: &TagName, tagged: &Tagged) -> Self {
        Self { name: name.as_str().to_owned(), from: hex(tagged.from), to: hex(tagged.to) }
    }
}

/// A value as a line of JSON.
pub(super) fn json_line(value: &impl Serialize) -> String {
    // Neither keys nor values are of a kind that JSON lacks.
    serde_json::to_string(value).map(|text| text + "\n").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{JsonDeed, json_line};
    use crate::model::{CommitId, Deed, DeedKind, ObjectId, Timestamp};

    #[test]
    fn what_is_written_is_read_again() {
        let id = CommitId::new(ObjectId::from_bytes([0xab; 32]));
        let kinds = [
            DeedKind::Commit,
            DeedKind::Restore { commit: id, paths: 2, saved: None },
            DeedKind::Undo { of: 3, saved: Some(id) },
            DeedKind::Tag { name: "v\"1".to_owned(), from: None, to: Some(id) },
            DeedKind::Collect { dropped: 9 },
        ];
        for what in kinds {
            let time = Timestamp { secs: 0, nanos: 1 };
            let deed = JsonDeed::new(5, &Deed { time, what, before: None, after: Some(id) });
            let line = json_line(&deed);
            assert!(line.starts_with(r#"{"number":5,"time":"1970-01-01T00:00:00.000000001Z""#));
            assert_eq!(serde_json::from_str::<JsonDeed>(&line).unwrap(), deed);
        }
    }
}
