//! `vst commit`.

use std::path::Path;

use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::place::Place;
use super::terminal::Terminal;
use crate::model::CommitId;
use crate::repo::CommitRequest;

/// Take a snapshot of the whole tree, and print its id
///
/// The snapshot holds everything that was written before, whether files are closed or not. If
/// nothing changed since the last commit, none is made, and the id of that one is printed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CommitArgs {
    /// What to say about it; no message is fine
    #[arg(short, long, value_name = "MSG", default_value = "", hide_default_value = true)]
    message: String,
    /// Make a commit even if nothing changed
    #[arg(long)]
    allow_empty: bool,
    /// Wait until the commit is on the disk, so that it survives a power failure
    #[arg(long)]
    durable: bool,
    /// Print JSON: {"id":"…","new":true}
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  vst commit -m 'before the big change'
  id=$(vst commit)                      in a script
  touch .vst/commit                     the same without this program, at the top of the mount
  echo 'a message' > .vst/commit";

/// What `--json` prints:
///
/// ```json
/// {"id":"64 hex digits","new":true}
/// ```
///
/// `new` is false if HEAD was this commit before, because nothing had changed since.
#[derive(Debug, Serialize)]
struct JsonCommitted {
    id: String,
    new: bool,
}

/// Commits.
pub(super) fn run(
    args: &CommitArgs,
    store: Option<&Path>,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let place = Place::find(store)?;
    let message = args.message.trim_end_matches('\n');
    let (before, id) = commit(&place, message, args)?;
    let new = before != Some(id);
    if args.json {
        terminal.json(&JsonCommitted { id: id.to_string(), new })?;
        return Ok(());
    }
    terminal.line(&id.to_string())?;
    if !new {
        terminal.remark("nothing changed since this commit")?;
    }
    Ok(())
}

/// The head before and the commit.
fn commit(
    place: &Place,
    message: &str,
    args: &CommitArgs,
) -> Result<(Option<CommitId>, CommitId), CliError> {
    if let Some(daemon) = place.daemon() {
        let before = daemon.head()?;
        let id = match args.allow_empty {
            true => daemon.commit_always(message, args.durable)?,
            false => daemon.commit(message, args.durable)?,
        };
        return Ok((before, id));
    }
    place.with_repo(|repo| {
        let request = CommitRequest {
            message: message.to_owned(),
            allow_empty: args.allow_empty,
            durable: args.durable,
            ..CommitRequest::default()
        };
        Ok((repo.head(), repo.commit(&request)?))
    })
}
