//! `vst status`.

use std::path::Path;

use clap::Args;
use serde::Serialize;

use super::changes::{ChangeLine, JsonChange};
use super::error::CliError;
use super::place::Place;
use super::terminal::Terminal;
use crate::model::CommitId;

/// Show what changed since the last commit
///
/// A line a path: A added, M modified, D deleted, R renamed (`R old -> new`, or
/// `R087 old -> new` if it was changed as well and 87 % of the content is the same). Paths begin at the
/// top of the tree. Nothing is printed if nothing changed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct StatusArgs {
    /// Print JSON: {"head":"…","changes":[{"change":"added","path":"…"}]}
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  vst status
  vst status --store work.store         of a store that is not mounted
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
}

/// Prints what changed.
pub(super) fn run(
    args: &StatusArgs,
    store: Option<&Path>,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let place = Place::find(store)?;
    let (head, changes) = status(&place)?;
    if args.json {
        let head = head.map(|head| head.to_string());
        let changes = changes.iter().map(JsonChange::from).collect();
        return Ok(terminal.json(&JsonStatus { head, changes })?);
    }
    let paint = terminal.paint();
    for change in &changes {
        terminal.line(&change.text(paint))?;
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
