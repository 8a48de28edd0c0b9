//! `vst show`.

use std::ffi::OsString;
use std::path::Path;

use clap::Args;

use super::changes::{summary, text_with_sizes};
use super::commit_view::{JsonCommit, Labels, Made, header};
use super::error::{CliError, flat};
use super::log::changes;
use super::patch::{self, CONTEXT_LINES, Detail};
use super::place::Place;
use super::revision::Named;
use super::terminal::Terminal;
use super::who::Who;

/// Show a commit: its ids, who made it when, its message, and what it changed
///
/// What it changed is told against the commit before it; the first one is told against an empty
/// tree.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ShowArgs {
    /// Show the lines that changed, as `vst diff --patch` does
    #[arg(short, long)]
    patch: bool,
    /// Show how many lines came and went in each file
    #[arg(long)]
    stat: bool,
    /// Print JSON, as `vst log --json --stat` does for each commit
    #[arg(long, conflicts_with_all = ["patch", "stat"])]
    json: bool,
    /// The commit: an id or its beginning, a tag, HEAD, HEAD~3, @{10 minutes ago}
    #[arg(value_name = "REV")]
    revision: OsString,
}

const EXAMPLES: &str = "\
Examples:
  vst show HEAD
  vst show -p HEAD                      with the lines that it changed
  vst show 3f2a81c0
  vst show '@{2 hours ago}'             what was the newest two hours ago";

/// Prints a commit. `--json` prints what [`JsonCommit`] describes, with changes.
pub(super) fn run(
    args: &ShowArgs,
    store: Option<&Path>,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let place = Place::find(store)?;
    let view = place.view()?;
    let named = Named::find(&place, &view, &args.revision)?;
    if named.path.is_some() {
        return Err(CliError::ShowTakesNoPath(flat(named.text())));
    }
    let labels = Labels::read(&view)?;
    let changes = changes(&view, &named.commit)?;
    let (who, makers) = (Who::new(), view.history.who_made(&named.id, &changes)?);
    if args.json {
        let made = Some(Made { changes: &changes, makers: &makers, who: &who });
        let json = JsonCommit::new(&named.id, &named.commit, &labels, made);
        return Ok(terminal.json(&json)?);
    }
    let paint = terminal.paint();
    for line in header(&named.id, &named.commit, &labels, paint) {
        terminal.line(&line)?;
    }
    terminal.line("")?;
    if args.patch || args.stat {
        let context = args.patch.then_some(CONTEXT_LINES);
        let src = view.history.source();
        patch::print(changes, Detail { stat: args.stat, context }, src, terminal)?;
        return Ok(());
    }
    for (change, by) in changes.iter().zip(&makers) {
        let by = who.text(by.as_ref(), paint);
        terminal.line(&format!("{}{by}", text_with_sizes(change, paint)))?;
    }
    terminal.line(&summary(&changes))?;
    Ok(())
}
