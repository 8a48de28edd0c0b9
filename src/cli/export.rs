//! `vst export`, and what `vst restore --to` does.

mod archive;
mod git;
mod output;
mod pax;
mod stream;
mod tar;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use self::archive::Archive;
use self::git::GitExport;
use self::output::Output;
use super::error::CliError;
use super::paths::{JsonPath, path_text};
use super::place::Place;
use super::progress::ProgressLine;
use super::revision::revision_alone;
use super::terminal::Terminal;
use super::units::{count_text, size_text};
use crate::repo::{ExportRequest, Exported, LeftOut, export};

/// Copy what a commit holds into a directory outside or a tar archive, or the history into git
///
/// Modes, times, extended attributes, links and holes are as in the commit; owners are if you are
/// root. A new directory comes into being as a whole, when everything is on the disk.
///
/// An archive has all of it, but for sockets, and the same commit always gives the same bytes. GNU
/// tar unpacks it with `tar --xattrs --xattrs-include='*' --acls -xpf FILE.tar`.
///
/// With --git, every commit that HEAD or a tag leads to becomes one of git, HEAD the branch `main`,
/// and tags are tags: names, content, symbolic links and whether a file can be executed are kept.
/// What git cannot hold is counted on stderr. It costs what the differences between the commits
/// cost.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(override_usage = "vst export [OPTIONS] REV DIR\n       \
                            vst export [OPTIONS] REV[:PATH] FILE.tar|-\n       \
                            vst export --git [--since REV] [FILE|-]")]
pub(super) struct ExportArgs {
    /// Write into a directory that is not empty, over what has the same names, whose rest stays; or
    /// replace the FILE
    #[arg(short, long)]
    force: bool,
    /// Print JSON: {"commit":"…","entries":3,"bytes":100,"left_out":[],"left_out_total":0}; of an
    /// archive without "left_out", of a history {"commits":2,"tags":1,"blobs":3,"bytes":10,…}
    #[arg(long)]
    json: bool,
    /// Write the history as a stream for `git fast-import`, to stdout unless a FILE is named
    #[arg(long)]
    git: bool,
    /// Write only what came after this commit, for a repository whose branch `main` is there
    #[arg(long, value_name = "REV", requires = "git")]
    since: Option<OsString>,
    /// The commit: an id or its beginning, a tag, HEAD, HEAD~3, @{10 minutes ago}; for an archive
    /// perhaps a path in it behind a colon
    #[arg(value_name = "REV", required_unless_present = "git")]
    revision: Option<OsString>,
    /// The directory, which is missing or empty; or an archive to make, `-` for one on stdout
    #[arg(value_name = "DIR|FILE.tar|-", required_unless_present = "git")]
    target: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  vst export HEAD /tmp/copy
  vst export v1 /srv/release-1          all of what the tag names
  vst restore HEAD~1 src --to /tmp/old  a part of it
  vst export HEAD work.tar
  vst export HEAD~3:src - | ssh host tar -x
  git init repo && vst export --git | git -C repo fast-import
  vst export --git --since v1 | git -C repo fast-import";

/// What `--json` prints:
///
/// ```json
/// {"commit":"64 hex digits","entries":3,"bytes":100,
///  "left_out":[{"path":"dev/null","what":"a device: Operation not permitted"}],"left_out_total":1}
/// ```
///
/// `entries` counts names, those of directories included, `bytes` is their content. `left_out` has
/// the first of what could not be made or set.
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
    let &ExportArgs { force, json, .. } = args;
    if args.git {
        if args.target.is_some() {
            return Err(CliError::ExportGitTakesFile);
        }
        let output = Output::new(args.revision.as_deref().unwrap_or(OsStr::new("-")));
        output.refuse_json(json)?;
        let since = args.since.as_deref();
        let place = Place::find(store)?;
        return git::export(&GitExport { output, since, force, json }, &place, terminal);
    }
    // The parser sees to it that both are there.
    let (Some(revision), Some(target)) = (&args.revision, &args.target) else { return Ok(()) };
    let output = Output::new(target.as_os_str());
    if matches!(output, Output::Stdout) || target.extension() == Some(OsStr::new("tar")) {
        return Archive { output, force, json }.write(revision, store, terminal);
    }
    let place = Place::find(store)?;
    let revision =
        revision_alone(revision, |revision, path| CliError::ExportTakesNoPath { revision, path })?;
    let to = Target { directory: target, force, json };
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
