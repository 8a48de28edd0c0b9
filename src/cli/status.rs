//! `vst status`.

use std::path::Path;

use clap::Args;
use serde::Serialize;

use super::changes::{ChangeLine, JsonChange};
use super::error::CliError;
use super::paint::Ink;
use super::paths::{JsonPath, path_text};
use super::place::Place;
use super::terminal::Terminal;
use crate::model::CommitId;
use crate::worktree::IgnoredPath;

/// Show what changed since the last commit
///
/// A line a path: A added, M modified, D deleted, R renamed (`R old -> new`, or
/// `R087 old -> new` if it was changed as well and 87 % of the content is the same). Paths begin at
/// the top of the tree. Nothing is printed if nothing changed.
///
/// With --ignored a line follows for each path that is named in a .vstignore and so is in no
/// commit: `! path`, with a / at the end of a directory's.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct StatusArgs {
    /// Print JSON: {"head":"…","changes":[{"change":"added","path":"…"}]}
    #[arg(long)]
    json: bool,
    /// List also what is ignored; with --json as "ignored":[{"path":"…"}]
    #[arg(long)]
    ignored: bool,
}

const EXAMPLES: &str = "\
Examples:
  vst status
  vst status --store work.store         of a store that is not mounted
  vst status --ignored                  with what .vstignore names
  cat .vst/status                       the same without this program, at the top of the mount";

/// What `--json` prints, `head` being `null` before the first commit:
///
/// ```json
/// {"head":"64 hex digits","changes":[{"change":"added","path":"a"}]}
/// ```
#[derive(Debug, Serialize)]
struct JsonStatus {
    head: Option<String>,
    changes: Vec<JsonChange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignored: Option<Vec<JsonPath>>,
}

/// Prints what changed.
pub(super) fn run(
    args: &StatusArgs,
    store: Option<&Path>,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let place = Place::find(store)?;
    let (head, changes) = status(&place)?;
    let ignored = args.ignored.then(|| ignored(&place)).transpose()?;
    if args.json {
        let head = head.map(|head| head.to_string());
        let changes = changes.iter().map(JsonChange::from).collect();
        let ignored = ignored.map(|paths| paths.iter().map(|path| JsonPath::new(path)).collect());
        return Ok(terminal.json(&JsonStatus { head, changes, ignored })?);
    }
    let paint = terminal.paint();
    for change in &changes {
        terminal.line(&change.text(paint))?;
    }
    for path in ignored.iter().flatten() {
        terminal.line(&paint.paint(Ink::Faint, &format!("! {}", path_text(path))))?;
    }
    match head {
        Some(head) if changes.is_empty() => {
            terminal.remark(&format!("nothing changed since commit {}", head.object().short()))?;
        }
        None => terminal.remark("nothing has been committed yet")?,
        Some(_) => {}
    }
    Ok(())
}

/// What is ignored. One who mounted the store for reading only does not tell it.
fn ignored(place: &Place) -> Result<Vec<Vec<u8>>, CliError> {
    match place.daemon() {
        Some(daemon) => daemon.ignored(),
        None => {
            place.with_repo(|repo| Ok(repo.ignored()?.iter().map(IgnoredPath::shown).collect()))
        }
    }
}

fn status(place: &Place) -> Result<(Option<CommitId>, Vec<ChangeLine>), CliError> {
    if let Some(daemon) = place.daemon() {
        return Ok((daemon.head()?, daemon.status()?));
    }
    let asked = place.with_repo(|repo| {
        let changes = repo.status()?;
        Ok((repo.head(), changes.iter().map(ChangeLine::new).collect()))
    });
    match (asked, place.reader()) {
        // Nothing changes there, but it may not be what was committed.
        (Err(CliError::ReadOnlyMount { .. }), Some(reader)) => {
            Ok((reader.head()?, reader.status()?))
        }
        (asked, _) => asked,
    }
}
