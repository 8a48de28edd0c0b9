//! `vst export`, and what `vst restore --to` does.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::paths::{JsonPath, path_text};
use super::place::Place;
use super::progress::ProgressLine;
use super::revision::revision_alone;
use super::terminal::Terminal;
use super::units::{count_text, size_text};
use crate::repo::{ExportRequest, Exported, LeftOut, export};

/// Copy what a commit holds into a directory outside
///
/// Modes, times, extended attributes, links and holes are as in the commit; owners are if you are
/// root. A new directory comes into being as a whole, when everything is on the disk.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ExportArgs {
    /// Write into a directory that is not empty, over what has the same names; the rest of it stays
    #[arg(short, long)]
    force: bool,
    /// Print JSON: {"commit":"…","entries":3,"bytes":100,"left_out":[],"left_out_total":0}
    #[arg(long)]
    json: bool,
    /// The commit: an id or its beginning, a tag, HEAD, HEAD~3, @{10 minutes ago}
    #[arg(value_name = "REV")]
    revision: OsString,
    /// The directory, which is missing or empty
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  vst export HEAD /tmp/copy
  vst export v1 /srv/release-1          all of what the tag names
  vst restore HEAD~1 src --to /tmp/old  a part of it";

/// What `--json` prints:
///
/// ```json
/// {"commit":"64 hex digits","entries":3,"bytes":100,
///  "left_out":[{"path":"dev/null","what":"a device: Operation not permitted"}],"left_out_total":1}
/// ```
///
/// `entries` counts names, those of directories included, `bytes` is their content. `left_out` has the
/// first of what could not be made or set.
#[derive(Debug, Serialize)]
struct JsonExported {
    commit: String,
    entries: u64,
    bytes: u64,
    left_out: Vec<JsonLeftOut>,
    left_out_total: u64,
}

#[derive(Debug, Serialize)]
struct JsonLeftOut {
    #[serde(flatten)]
    path: JsonPath,
    what: String,
}

impl From<&LeftOut> for JsonLeftOut {
    fn from(left_out: &LeftOut) -> Self {
        Self { path: JsonPath::new(&left_out.path), what: left_out.what.clone() }
    }
}

/// Exports.
pub(super) fn run(
    args: &ExportArgs,
    store: Option<&Path>,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let place = Place::find(store)?;
    let revision = revision_alone(&args.revision, |revision, path| CliError::ExportTakesNoPath {
        revision,
        path,
    })?;
    let to = Target { directory: &args.directory, force: args.force, json: args.json };
    export_to(&place, revision, Vec::new(), &to, terminal)
}

/// Where to, and how to tell of it.
pub(super) struct Target<'a> {
    pub(super) directory: &'a Path,
    pub(super) force: bool,
    pub(super) json: bool,
}

/// Writes a commit, or some paths of it, into a directory.
pub(super) fn export_to(
    place: &Place,
    revision: &str,
    paths: Vec<Vec<u8>>,
    to: &Target<'_>,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let view = place.view()?;
    let commit = view.resolve(revision)?;
    view.check_paths(&commit, &paths)?;
    let dir = to.directory.to_owned();
    let request = ExportRequest { commit, paths, dir, merge: to.force };
    let line = ProgressLine::without_end("writing");
    let done = export(&view.history, &request, &|done: &Exported| {
        line.show(done.bytes, 0, done.entries, "names");
    });
    line.finish();
    let done = done?;
    if to.json {
        terminal.json(&JsonExported {
            commit: commit.to_string(),
            entries: done.entries,
            bytes: done.bytes,
            left_out: done.left_out.iter().map(JsonLeftOut::from).collect(),
            left_out_total: done.left_out_total,
        })?;
    } else {
        let (names, bytes) = (count_text(done.entries, "name"), size_text(done.bytes));
        let (short, dir) =
            (commit.object().short(), path_text(to.directory.as_os_str().as_encoded_bytes()));
        terminal.line(&format!("wrote {names} with {bytes} from {short} to {dir}"))?;
    }
    for LeftOut { path, what } in &done.left_out {
        terminal.remark(&format!("left out of {}: {what}", path_text(path)))?;
    }
    match done.left_out_total {
        0 => Ok(()),
        total => Err(CliError::LeftOut(count_text(total, "thing"))),
    }
}
