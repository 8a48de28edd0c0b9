//! Commits, for people and for programs.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use super::changes::JsonChangeWithSizes;
use super::error::{CliError, flat};
use super::paint::{Ink, Paint};
use super::place::View;
use super::time;
use super::who::{JsonBy, Who};
use crate::model::{Commit, CommitId, Timestamp, Writer};
use crate::worktree::Change;

/// The names that point to commits: HEAD and the tags.
pub(super) struct Labels {
    head: Option<CommitId>,
    tags: HashMap<CommitId, Vec<String>>,
}

impl Labels {
    /// Reads all of them.
    pub(super) fn read(view: &View) -> Result<Self, CliError> {
        let mut tags: HashMap<CommitId, Vec<String>> = HashMap::new();
        for (name, id) in view.history.store().refs().list("tags/")? {
            let name = name.as_str().trim_start_matches("tags/").to_owned();
            tags.entry(CommitId::new(id)).or_default().push(name);
        }
        Ok(Self { head: view.head, tags })
    }

    /// None of them, where they are not told.
    pub(super) fn none() -> Self {
        Self { head: None, tags: HashMap::new() }
    }

    fn tags_of(&self, id: &CommitId) -> &[String] {
        self.tags.get(id).map_or(&[], Vec::as_slice)
    }

    fn of(&self, id: &CommitId) -> Vec<&str> {
        let head = (self.head == Some(*id)).then_some("HEAD");
        head.into_iter().chain(self.tags_of(id).iter().map(String::as_str)).collect()
    }
}

/// A commit in one line: id, time, author, names, and the first line of the message.
pub(super) fn line(id: &CommitId, commit: &Commit, labels: &Labels, paint: Paint) -> String {
    let mut line = format!(
        "{}  {}  {}",
        paint.paint(Ink::Id, &id.object().short()),
        paint.paint(Ink::Time, &time::local(commit.time)),
        paint.paint(Ink::Person, &flat(&commit.author)),
    );
    let names = labels.of(id);
    if !names.is_empty() {
        let names = format!("({})", flat(&names.join(", ")));
        line.push_str("  ");
        line.push_str(&paint.paint(Ink::Label, &names));
    }
    if let Some(first) = commit.message.lines().next().filter(|first| !first.is_empty()) {
        line.push_str("  ");
        line.push_str(&flat(first));
    }
    line
}

/// All of a commit but its changes, in lines.
pub(super) fn header(id: &CommitId, commit: &Commit, labels: &Labels, paint: Paint) -> Vec<String> {
    let mut lines = vec![format!("commit {}", paint.paint(Ink::Id, &id.to_string()))];
    let mut field = |name: &str, value: String| lines.push(format!("{name:<9}{value}"));
    let names = labels.of(id);
    if !names.is_empty() {
        field("names:", paint.paint(Ink::Label, &flat(&names.join(", "))));
    }
    for parent in &commit.parents {
        field("parent:", paint.paint(Ink::Id, &parent.to_string()));
    }
    field("tree:", commit.root.to_string());
    field("author:", paint.paint(Ink::Person, &flat(&commit.author)));
    let ago = time::ago(commit.time, Timestamp::now());
    let date = paint.paint(Ink::Time, &time::local_with_offset(commit.time));
    field("date:", format!("{date} ({ago})"));
    if !commit.message.is_empty() {
        lines.push(String::new());
        lines.extend(
            commit.message.lines().map(|line| format!("    {}", flat(line)).trim_end().to_owned()),
        );
    }
    lines
}

/// What a commit changed, and who made each of these changes.
pub(super) struct Made<'a> {
    pub(super) changes: &'a [Change],
    pub(super) makers: &'a [Option<Arc<Writer>>],
    pub(super) who: &'a Who,
}

/// A commit in JSON:
///
/// ```json
/// {"id":"64 hex digits","root":"64 hex digits","parents":["64 hex digits"],
///  "time":"2026-03-01T11:00:00.500000000Z","author":"root","message":"","head":true,"tags":["v1"],
///  "changes":[{"change":"added","path":"a","old":null,"new":{"kind":"file","size":3},
///              "by":{"command":"cp","uid":0,"user":"root"}}]}
/// ```
///
/// `changes`, against the first parent or an empty tree, is there only where it was asked for, and
/// `by` is null where nobody knows who made the change.
#[derive(Debug, Serialize)]
pub(super) struct JsonCommit<'a> {
    id: String,
    root: String,
    parents: Vec<String>,
    time: Option<String>,
    author: &'a str,
    message: &'a str,
    head: bool,
    tags: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<JsonMade>>,
}

#[derive(Debug, Serialize)]
struct JsonMade {
    #[serde(flatten)]
    change: JsonChangeWithSizes,
    by: Option<JsonBy>,
}

impl<'a> JsonCommit<'a> {
    /// Gathers what is told of a commit.
    pub(super) fn new(
        id: &CommitId,
        commit: &'a Commit,
        labels: &'a Labels,
        made: Option<Made<'_>>,
    ) -> Self {
        let with_makers = |Made { changes, makers, who }: Made<'_>| {
            let both = changes.iter().zip(makers);
            both.map(|(change, by)| JsonMade {
                change: change.into(),
                by: by.as_ref().map(|writer| who.json(writer)),
            })
            .collect()
        };
        Self {
            id: id.to_string(),
            root: commit.root.to_string(),
            parents: commit.parents.iter().map(CommitId::to_string).collect(),
            time: time::rfc3339(commit.time),
            author: &commit.author,
            message: &commit.message,
            head: labels.head == Some(*id),
            tags: labels.tags_of(id),
            changes: made.map(with_makers),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{JsonCommit, Labels, header, line};
    use crate::cli::paint::Paint;
    use crate::model::{Commit, CommitId, ObjectId, RootId, Timestamp};

    fn example() -> (CommitId, Commit, Labels) {
        let id = CommitId::new(ObjectId::from_bytes([0xab; 32]));
        let commit = Commit {
            root: RootId::new(*id.object()),
            parents: vec![id],
            time: Timestamp { secs: 0, nanos: 5 },
            author: "ma\nra".to_owned(),
            message: "first\n\n\x1b[31msecond".to_owned(),
        };
        let tags = HashMap::from([(id, vec!["v1".to_owned()])]);
        (id, commit, Labels { head: Some(id), tags })
    }

    #[test]
    fn a_line_has_the_first_line_of_the_message_and_the_names() {
        let (id, commit, labels) = example();
        let text = line(&id, &commit, &labels, Paint::new(false));
        assert!(text.starts_with("abababababab  19"), "{text}");
        assert!(text.ends_with("  ma\\nra  (HEAD, v1)  first"), "{text}");
    }

    #[test]
    fn a_message_cannot_steer_the_terminal() {
        let (id, commit, labels) = example();
        let lines = header(&id, &commit, &labels, Paint::new(false));
        assert!(lines.contains(&"    \\u{1b}[31msecond".to_owned()), "{lines:?}");
    }

    #[test]
    fn json_has_whole_ids_and_exact_times() {
        let (id, commit, labels) = example();
        let json = serde_json::to_value(JsonCommit::new(&id, &commit, &labels, None)).unwrap();
        assert_eq!(json["id"], "ab".repeat(32));
        assert_eq!(json["time"], "1970-01-01T00:00:00.000000005Z");
        assert_eq!(json["message"], commit.message);
        assert_eq!((&json["head"], &json["tags"][0]), (&true.into(), &"v1".into()));
        assert_eq!(json.get("changes"), None);
    }
}
