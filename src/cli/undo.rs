//! `vst undo`.

use std::path::Path;

use clap::Args;

use super::error::{CliError, flat};
use super::place::Place;
use super::terminal::Terminal;
use super::units::count_text;
use crate::model::ObjectId;
use crate::vfs::deeds::{JsonDeedKind, JsonUndone};

/// Take back the last commit or restore
///
/// A commit that is taken back leaves all files as they are: HEAD is the commit before it, and what
/// it held counts as changed again. A restore that is taken back brings back, byte for byte, what
/// was there before it, and HEAD; what has changed since is committed first, so that it is not
/// lost.
///
/// The next undo goes further back. What was taken back stays in `vst log --all` until `vst gc`
/// drops it, and `vst restore` with its id brings it again. `vst op log` lists what can be taken
/// back.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct UndoArgs {
    /// Print JSON: {"undone":{…},"head":"…","saved":null,"restored":0}
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  vst undo
  vst restore HEAD~3 && vst undo        there and back
  vst commit -m oops && vst undo        the files stay, the commit is gone from `vst log`
  echo > .vst/undo                      the same without this program, at the top of the mount";

/// Takes back. `--json` prints what [`crate::vfs::deeds`] describes.
pub(super) fn run(
    args: &UndoArgs,
    store: Option<&Path>,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let place = Place::find(store)?;
    let undone = match place.daemon() {
        Some(daemon) => daemon.undo()?,
        None => place.with_repo(|repo| Ok(JsonUndone::new(&repo.undo()?)))?,
    };
    if args.json {
        return Ok(terminal.json(&undone)?);
    }
    for line in lines(&undone) {
        terminal.line(&flat(&line))?;
    }
    Ok(())
}

fn lines(undone: &JsonUndone) -> Vec<String> {
    let head = match &undone.head {
        Some(head) => format!("HEAD is {}", short(head)),
        None => "there is no commit before it".to_owned(),
    };
    let mut lines = Vec::new();
    if let Some(saved) = &undone.saved {
        let short = short(saved);
        lines
            .push(format!("saved what was there as {short}; `vst restore {short}` brings it back"));
    }
    let again = |commit: Option<&String>| commit.map(|id| short(id)).unwrap_or_default();
    lines.push(match &undone.undone.what {
        JsonDeedKind::Restore { commit, .. } => {
            let paths = count_text(undone.restored, "path");
            let commit = again(Some(commit));
            format!("took back the restore of {commit}, which changed {paths}; {head}")
        }
        _ => {
            let commit = again(undone.undone.after.as_ref());
            format!("took back commit {commit}, whose changes stay in the tree; {head}")
        }
    });
    lines
}

/// The first digits of an id.
pub(super) fn short(id: &str) -> String {
    id.parse::<ObjectId>().map_or_else(|_| id.to_owned(), |id| id.short())
}
