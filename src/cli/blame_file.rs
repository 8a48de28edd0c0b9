//! `vst blame-file`.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::changes::{ChangeLine, JsonChange};
use super::error::{CliError, flat};
use super::paint::{Ink, Paint};
use super::paths::path_text;
use super::place::{Place, View};
use super::terminal::Terminal;
use super::time;
use super::who::{JsonBy, Makers, Who};
use crate::model::{Entry, RootId, Writer};
use crate::repo::LogEntry;
use crate::worktree::{Change, CommittedTree, DiffOptions, diff_entries};

/// Commits that are read at a time.
const BATCH_COMMITS: usize = 256;

/// Show which programs changed a file: a line a commit that changed it, newest first
///
/// Each line has the id of the commit, its time, what happened to the file, the command and the
/// user who did it last before that commit, and the first line of the message. What has changed
/// since HEAD comes first. Of a directory, everything that changed in it is shown, with its path.
///
/// Who did it is asked for when a file is written, and is the name of the process that wrote it, as
/// `ps` shows it. Of what was deleted it is not known, nor where a process cannot be seen from
/// where the store is mounted.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct BlameFileArgs {
    /// Show at most N lines
    #[arg(short = 'n', long = "max-count", value_name = "N")]
    max_count: Option<usize>,
    /// Print a JSON array of changes
    #[arg(long)]
    json: bool,
    /// The file or directory, which may be one that is gone
    #[arg(value_name = "PATH")]
    path: OsString,
}

const EXAMPLES: &str = "\
Examples:
  vst blame-file config.json            who changed it, and when
  vst blame-file -n 1 config.json       who was the last one
  vst blame-file src                    the same for all that is in a directory
  vst blame-file src --json | jq -r '.[].by.command' | sort | uniq -c";

/// A change of a path:
///
/// ```json
/// {"commit":"64 hex digits","time":"2026-03-01T11:00:00.500000000Z","message":"",
///  "change":"modified","path":"a","by":{"command":"sed","uid":0,"user":"root"}}
/// ```
///
/// `commit` and `time` are null for what has not been committed, and `by` where nobody knows it.
#[derive(Debug, Serialize)]
struct JsonBlame<'a> {
    commit: Option<String>,
    time: Option<String>,
    message: &'a str,
    #[serde(flatten)]
    change: JsonChange,
    by: Option<JsonBy>,
}

/// Changes of one commit, or those since the last one.
struct Step<'a> {
    entry: Option<&'a LogEntry>,
    changes: Vec<Change>,
    makers: Makers,
}

/// Prints who changed a path. `--json` prints an array of what [`JsonBlame`] describes.
pub(super) fn run(
    args: &BlameFileArgs,
    store: Option<&Path>,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let place = Place::find(store)?;
    let path = place.path_in_tree(&args.path)?;
    let (root, view) = place.view_of_tree()?;
    let (who, paint) = (Who::new(), terminal.paint());
    let mut left = args.max_count.unwrap_or(usize::MAX);
    let blame = Blame { place: &place, view: &view, path: &path };
    if args.json {
        let mut array = terminal.json_array()?;
        blame.each(root, &mut left, &mut |entry, change, by| {
            Ok(array.push(&json(&who, entry, change, by))?)
        })?;
        return Ok(array.finish()?);
    }
    let found = blame.each(root, &mut left, &mut |entry, change, by| {
        let mut text = line(entry, change, paint);
        text.push_str(&who.text(by, paint));
        if change.path != path {
            text.push_str(&format!("  {}", path_text(&change.path)));
        }
        if let Some(first) = entry.and_then(|entry| entry.commit.message.lines().next()) {
            text.push_str(&format!("  {}", flat(first)));
        }
        Ok(terminal.line(text.trim_end())?)
    })?;
    match view.head {
        _ if found => Ok(()),
        None => Ok(terminal.remark("nothing has been committed yet")?),
        // It may never have been there.
        Some(head) => view.check_paths(&head, &[path]),
    }
}

fn json<'a>(
    who: &Who,
    entry: Option<&'a LogEntry>,
    change: &Change,
    by: Option<&Arc<Writer>>,
) -> JsonBlame<'a> {
    JsonBlame {
        commit: entry.map(|entry| entry.id.to_string()),
        time: entry.and_then(|entry| time::rfc3339(entry.commit.time)),
        message: entry.map_or("", |entry| &entry.commit.message),
        change: JsonChange::from(&ChangeLine::new(change)),
        by: by.map(|writer| who.json(writer)),
    }
}

/// The beginning of a line, up to what happened.
fn line(entry: Option<&LogEntry>, change: &Change, paint: Paint) -> String {
    let (id, time) = match entry {
        Some(entry) => (entry.id.object().short(), time::local(entry.commit.time)),
        None => ("uncommitted".to_owned(), "now".to_owned()),
    };
    let (id, time) = (format!("{id:<12}"), format!("{time:<19}"));
    let (id, time) = (paint.paint(Ink::Id, &id), paint.paint(Ink::Time, &time));
    format!("{id}  {time}  {}", change.kind.letter())
}

/// What is looked for.
struct Blame<'a> {
    place: &'a Place,
    view: &'a View,
    path: &'a [u8],
}

type Visit<'a> =
    dyn FnMut(Option<&LogEntry>, &Change, Option<&Arc<Writer>>) -> Result<(), CliError> + 'a;

impl Blame<'_> {
    /// Calls `visit` with each change, newest first, as long as any are wanted. `root` is that of
    /// the tree as it is now. Returns whether there was any change.
    fn each(
        &self,
        root: RootId,
        left: &mut usize,
        visit: &mut Visit<'_>,
    ) -> Result<bool, CliError> {
        let history = &self.view.history;
        let mut any = false;
        let mut each = |step: Step<'_>, left: &mut usize| {
            for (change, by) in step.changes.iter().zip(&step.makers).take(*left) {
                any = true;
                visit(step.entry, change, by.as_ref())?;
            }
            *left = left.saturating_sub(step.changes.len());
            Ok::<_, CliError>(())
        };
        let mut now = self.at(&root)?;
        let mut next = self.view.head;
        let mut newer: Option<LogEntry> = None;
        while let Some(from) = next.filter(|_| *left > 0) {
            let entries = history.log(from, BATCH_COMMITS)?;
            next = entries.last().and_then(|entry| history.parent(&entry.commit));
            for entry in entries {
                let then = self.at(&entry.commit.root)?;
                each(self.step(newer.as_ref(), then.clone(), now)?, left)?;
                now = then;
                newer = Some(entry);
            }
        }
        if *left > 0 {
            each(self.step(newer.as_ref(), None, now)?, left)?;
        }
        Ok(any)
    }

    /// What changed between two commits, or since the last one.
    fn step<'e>(
        &self,
        entry: Option<&'e LogEntry>,
        old: Option<Entry>,
        new: Option<Entry>,
    ) -> Result<Step<'e>, CliError> {
        if old == new {
            return Ok(Step { entry, changes: Vec::new(), makers: Vec::new() });
        }
        let src = self.view.history.source();
        let options = DiffOptions { renames: false, whole_directories: false, exact: false };
        let changes = diff_entries(self.path, old, new, src, &options)?;
        let makers = match entry.map(|entry| &entry.id) {
            _ if changes.is_empty() => Vec::new(),
            Some(commit) => self.view.history.who_made(commit, &changes)?,
            None => self.place.who_made_since_head(self.view, &changes)?,
        };
        Ok(Step { entry, changes, makers })
    }

    /// What a tree has at the path.
    fn at(&self, root: &RootId) -> Result<Option<Entry>, CliError> {
        let src = self.view.history.source();
        Ok(CommittedTree::open(root, src)?.find(self.path, src)?)
    }
}
