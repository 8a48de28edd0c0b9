//! `vst export` into an archive.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;

use serde::Serialize;

use super::output::Output;
use super::tar::{ArchiveWriter, Archived};
use crate::cli::error::CliError;
use crate::cli::listing::Listing;
use crate::cli::place::{Place, View};
use crate::cli::progress::ProgressLine;
use crate::cli::revision::Named;
use crate::cli::terminal::Terminal;
use crate::cli::units::{count_text, size_text};
use crate::model::EntryBody;

/// What `--json` prints of an archive:
///
/// ```json
/// {"commit":"64 hex digits","entries":3,"bytes":10,"left_out_total":0}
/// ```
///
/// `bytes` are those of files, without holes; `left_out_total` counts sockets, and extended
/// attributes whose names are not UTF-8.
#[derive(Debug, Serialize)]
struct JsonArchived {
    commit: String,
    entries: u64,
    bytes: u64,
    left_out_total: u64,
}

/// How to write an archive.
pub(super) struct Archive<'a> {
    /// Where to.
    pub(super) output: Output<'a>,
    /// Replaces what is there.
    pub(super) force: bool,
    /// Tells of it as JSON.
    pub(super) json: bool,
}

impl Archive<'_> {
    /// Writes what an argument names.
    pub(super) fn write(
        &self,
        what: &OsStr,
        store: Option<&Path>,
        terminal: &mut Terminal,
    ) -> Result<(), CliError> {
        self.output.refuse_json(self.json)?;
        let place = Place::find(store)?;
        let view = place.view()?;
        let named = Named::find(&place, &view, what)?;
        let done = self.output.write(self.force, |out| archive(&view, &named, out))?;
        if self.json {
            terminal.json(&JsonArchived {
                commit: named.id.to_string(),
                entries: done.entries,
                bytes: done.bytes,
                left_out_total: done.sockets + done.xattrs,
            })?;
        } else if let Output::File(path) = self.output {
            let (names, bytes) = (count_text(done.entries, "name"), size_text(done.bytes));
            let short = named.id.object().short();
            terminal
                .line(&format!("wrote {names} with {bytes} from {short} to {}", path.display()))?;
        }
        if done.sockets > 0 {
            let sockets = count_text(done.sockets, "socket");
            terminal.remark(&format!("left out {sockets}: archives hold none"))?;
        }
        if done.xattrs > 0 {
            let xattrs = count_text(done.xattrs, "extended attribute");
            terminal.remark(&format!("left out {xattrs} with names that archives do not hold"))?;
        }
        Ok(())
    }
}

/// Writes what was named and all that is below it.
fn archive(view: &View, named: &Named, out: &mut dyn Write) -> Result<Archived, CliError> {
    let src = view.history.source();
    let (tree, entry) = named.entry(view)?;
    let top = named.path.as_deref().unwrap_or_default();
    let mut archive = ArchiveWriter::new(out, &tree, src);
    let is_directory = matches!(entry.body, EntryBody::Directory(_));
    if is_directory {
        archive.append(b".", top, &entry)?;
    }
    let line = ProgressLine::without_end("exporting");
    let listing = Listing { src, recursive: true };
    let listed = listing.each(top, &entry, &mut |path, entry| {
        let in_tree = match is_directory {
            true => [top, path].join(&b'/'),
            false => top.to_vec(),
        };
        archive.append(&[b"./", path].concat(), &in_tree, entry)?;
        let done = archive.done();
        line.show(done.bytes, 0, done.entries, "names");
        Ok(())
    });
    line.finish();
    listed?;
    Ok(archive.finish()?.1)
}
