//! `vst watch`.

mod follow;

use std::path::Path;
use std::thread;

use clap::Args;
use serde::Serialize;

use self::follow::Follower;
use super::changes::{ChangeLine, JsonChange};
use super::commit_view::{Labels, line};
use super::daemon::Daemon;
use super::error::CliError;
use super::log::changes;
use super::place::Place;
use super::terminal::Terminal;
use super::time;
use crate::base::limits::{WATCH_INTERVAL, WATCHED_CHANGES_MAX};
use crate::model::{Commit, CommitId};
use crate::worktree::Change;

/// Follow a mounted store: print each commit as it is made, with what it changed
///
/// All commits come, in the order in which they were made, however fast they are made and whoever
/// makes them; those that restores and undos make too. It ends when the mount goes away.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct WatchArgs {
    /// Begin with what was committed after this revision, instead of with what comes from now on
    #[arg(long, value_name = "REV")]
    since: Option<String>,
    /// Print a line of JSON a commit: {"id":"…","parent":"…","time":"…","author":"…","message":"…",
    /// "changes":[{"change":"modified","path":"a"}],"truncated":false}
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  vst watch                         what happens, for people
  vst watch --since 'HEAD~5'        and the last five commits before
  vst watch --json | while read -r commit; do echo \"$commit\" | jq -r .id; done";

/// A commit in the stream that `--json` prints, one in a line:
///
/// ```json
/// {"id":"64 hex digits","parent":"64 hex digits","time":"2026-03-01T11:00:00.500000000Z",
///  "author":"root","message":"","changes":[{"change":"added","path":"a"}],"truncated":false}
/// ```
///
/// `parent` is null for a first commit. `changes` are as `vst diff --json` has them, against the
/// parent or an empty tree, at most [`WATCHED_CHANGES_MAX`]; where there are more, `truncated` is
/// true and `vst show` has them all.
#[derive(Debug, Serialize)]
struct JsonCommit<'a> {
    id: String,
    parent: Option<String>,
    time: Option<String>,
    author: &'a str,
    message: &'a str,
    changes: Vec<JsonChange>,
    truncated: bool,
}

impl<'a> JsonCommit<'a> {
    fn new(id: &CommitId, commit: &'a Commit, changes: &[Change]) -> Self {
        let shown = changes.iter().take(WATCHED_CHANGES_MAX);
        Self {
            id: id.to_string(),
            parent: commit.parents.first().map(CommitId::to_string),
            time: time::rfc3339(commit.time),
            author: &commit.author,
            message: &commit.message,
            changes: shown.map(|change| JsonChange::from(&ChangeLine::new(change))).collect(),
            truncated: changes.len() > WATCHED_CHANGES_MAX,
        }
    }
}

/// Follows the mount until it goes away. `--json` prints what [`JsonCommit`] describes.
pub(super) fn run(
    args: &WatchArgs,
    store: Option<&Path>,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let place = Place::find(store)?;
    let daemon = place.daemon().ok_or_else(|| place.not_mounted())?;
    let mount = daemon.incarnation()?;
    // The head of before the first look, so that what is made after it is not missed.
    let mut newest = daemon.newest()?;
    let view = place.view()?;
    let since = args.since.as_deref().map(|rev| view.resolve(rev));
    let mut follower = Follower::new(view, since.transpose()?);
    // A mount that somebody is in does not go away.
    std::env::set_current_dir("/").map_err(|error| CliError::io("going to /", error))?;
    print(&mut follower, args.json, terminal)?;
    while daemon.is_still(&mount)? {
        match look(daemon, &newest) {
            Ok(Some(now)) => {
                print(&mut follower, args.json, terminal)?;
                newest = now;
            }
            Ok(None) => thread::sleep(WATCH_INTERVAL),
            // It may have gone away while it was asked.
            Err(error) if daemon.is_still(&mount)? => return Err(error),
            Err(_) => break,
        }
    }
    // What was committed since the last look.
    follower.go_on_with(place.view_when_closed()?);
    print(&mut follower, args.json, terminal)
}

/// The commit that was made last, if it is another one now; all up to it are in the store then.
fn look(daemon: &Daemon, before: &Option<CommitId>) -> Result<Option<Option<CommitId>>, CliError> {
    let now = daemon.newest()?;
    if now == *before {
        return Ok(None);
    }
    // Whoever asks for the head finds in the store all that was committed before.
    daemon.head()?;
    Ok(Some(now))
}

/// Prints the commits that have not been printed.
fn print(follower: &mut Follower, json: bool, terminal: &mut Terminal) -> Result<(), CliError> {
    follower.each(&mut |view, id, commit| {
        let changes = changes(view, commit)?;
        if json {
            terminal.json(&JsonCommit::new(id, commit, &changes))?;
        } else {
            people(id, commit, &changes, terminal)?;
        }
        // Whoever follows wants it now.
        Ok(terminal.flush()?)
    })
}

fn people(
    id: &CommitId,
    commit: &Commit,
    changes: &[Change],
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let paint = terminal.paint();
    terminal.line(&line(id, commit, &Labels::none(), paint))?;
    for change in changes.iter().take(WATCHED_CHANGES_MAX) {
        terminal.line(&format!("    {}", ChangeLine::new(change).text(paint)))?;
    }
    if let Some(more) = changes.len().checked_sub(WATCHED_CHANGES_MAX).filter(|more| *more > 0) {
        terminal.line(&format!("    and {more} more, which `vst show {id}` lists"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{JsonCommit, WATCHED_CHANGES_MAX};
    use crate::model::{Commit, CommitId, ObjectId, RootId, Timestamp};
    use crate::worktree::{Change, ChangeKind};

    #[test]
    fn a_long_list_of_changes_is_cut_off_and_says_so() {
        let id = CommitId::new(ObjectId::from_bytes([0xab; 32]));
        let commit = Commit {
            root: RootId::new(*id.object()),
            parents: Vec::new(),
            time: Timestamp { secs: 0, nanos: 5 },
            author: "root".to_owned(),
            message: "one\ntwo".to_owned(),
        };
        let (path, kind) = (b"a".to_vec(), ChangeKind::Added);
        let change = Change { path, kind, old: None, new: None };
        let json = |count| {
            let changes = vec![change.clone(); count];
            serde_json::to_value(JsonCommit::new(&id, &commit, &changes)).unwrap()
        };
        let most = json(WATCHED_CHANGES_MAX);
        assert_eq!(most["truncated"], false);
        assert_eq!(most["changes"][0], serde_json::json!({"change": "added", "path": "a"}));
        assert_eq!(most["parent"], serde_json::Value::Null);
        assert_eq!(most["message"], "one\ntwo");
        let more = json(WATCHED_CHANGES_MAX + 1);
        assert_eq!((&more["truncated"], &more["changes"]), (&true.into(), &most["changes"]));
    }
}
