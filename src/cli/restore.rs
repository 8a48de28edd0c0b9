//! `vst restore`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::daemon::Restored;
use super::error::CliError;
use super::export::{Target, export_to};
use super::place::Place;
use super::revision::revision_alone;
use super::terminal::Terminal;
use super::units::count_text;
use crate::model::CommitId;
use crate::repo::RestoreRequest;

/// Bring the tree, or some paths of it, back to what they were in a commit
///
/// What would be lost is committed first, and `vst undo` brings it back. What the commit does not
/// have is removed.
///
/// Without paths the whole tree becomes what it was, and HEAD is that commit; `vst log --all`
/// still lists what came after it. With paths HEAD stays, and the paths count as changed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RestoreArgs {
    /// Write them into this directory outside instead, which is missing or empty; each path comes
    /// to where it is in the tree, and the tree itself stays as it is
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// With --to: write into a directory that is not empty, over what has the same names
    #[arg(short, long, requires = "to")]
    force: bool,
    /// Print JSON: {"commit":"…","saved":"…","restored":3}, or with --to what `vst export --json` does
    #[arg(long)]
    json: bool,
    /// The commit: an id or its beginning, a tag, HEAD, HEAD~3, @{10 minutes ago}
    #[arg(value_name = "REV")]
    revision: OsString,
    /// Restore these paths and what is below them, and nothing else
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
}

const EXAMPLES: &str = "\
Examples:
  vst restore HEAD                      drop all changes since the last commit
  vst restore HEAD~1 src notes.txt      bring two paths back, from the commit before the last
  vst restore '@{10 minutes ago}'       the whole tree as it was then
  vst restore HEAD~1 src --to /tmp/old  src of then, in /tmp/old/src";

/// What `--json` prints:
///
/// ```json
/// {"commit":"64 hex digits","saved":"64 hex digits","restored":3}
/// ```
///
/// `commit` is what was restored, `saved` the commit that keeps what would have been lost, `null`
/// if nothing would, and `restored` counts the paths that changed.
#[derive(Debug, Serialize)]
struct JsonRestored {
    commit: String,
    saved: Option<String>,
    restored: u64,
}

/// Restores.
pub(super) fn run(
    args: &RestoreArgs,
    store: Option<&Path>,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let place = Place::find(store)?;
    let refuse = |revision, path| CliError::RestoreTakesPaths { revision, path };
    let revision = revision_alone(&args.revision, refuse)?;
    let mut paths: Vec<Vec<u8>> =
        args.paths.iter().map(|path| place.path_in_tree(path)).collect::<Result<_, _>>()?;
    if paths.iter().any(Vec::is_empty) {
        // The top is the whole tree.
        paths.clear();
    }
    if let Some(directory) = &args.to {
        let to = Target { directory, force: args.force, json: args.json };
        return export_to(&place, revision, paths, &to, terminal);
    }
    // HEAD means another commit once something was saved, so it is looked up once, before.
    let view = place.view()?;
    let commit = view.resolve(revision)?;
    view.check_paths(&commit, &paths)?;
    drop(view);
    let restored = restore(&place, &commit, &paths)?;
    if args.json {
        return Ok(terminal.json(&JsonRestored {
            commit: commit.to_string(),
            saved: restored.saved.map(|id| id.to_string()),
            restored: restored.paths,
        })?);
    }
    if let Some(saved) = restored.saved {
        let short = saved.object().short();
        terminal.line(&format!("saved what was there as {short}; `vst undo` brings it back"))?;
    }
    let short = commit.object().short();
    terminal.line(&format!("restored {} from {short}", count_text(restored.paths, "path")))?;
    Ok(())
}

fn restore(place: &Place, commit: &CommitId, paths: &[Vec<u8>]) -> Result<Restored, CliError> {
    if let Some(daemon) = place.daemon() {
        return daemon.restore(commit, paths);
    }
    place.with_repo(|repo| {
        let request = RestoreRequest { revision: commit.to_string(), paths: paths.to_vec() };
        let restored = repo.restore(&request)?;
        Ok(Restored { saved: restored.saved, paths: restored.paths as u64 })
    })
}
