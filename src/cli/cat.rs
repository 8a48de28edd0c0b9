//! `vst cat`.

use std::ffi::OsString;
use std::path::Path;

use clap::Args;

use super::error::{CliError, flat};
use super::paths::path_text;
use super::place::{Place, View};
use super::revision::Named;
use super::terminal::Terminal;
use crate::model::{EntryBody, FileKind};
use crate::worktree::File;

/// Bytes that are read at a time.
const BUFFER_BYTES: usize = 1024 * 1024;

/// Print a file as it was in a commit
///
/// Every byte is checked against the hash under which it was committed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CatArgs {
    /// The commit and, behind a colon, the path of the file from the top of the tree, or with
    /// `./` from the current directory
    #[arg(value_name = "REV:PATH", required = true)]
    files: Vec<OsString>,
}

const EXAMPLES: &str = "\
Examples:
  vst cat HEAD:notes.txt
  vst cat '@{1 day ago}:src/main.rs' | diff - src/main.rs
  vst cat HEAD~1:./main.rs > old.rs     main.rs beside you";

/// Prints files, one after another.
pub(super) fn run(
    args: &CatArgs,
    store: Option<&Path>,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let place = Place::find(store)?;
    let view = place.view()?;
    for file in &args.files {
        let named = Named::find(&place, &view, file)?;
        if named.path.is_none() {
            return Err(CliError::CatNeedsPath(flat(named.text())));
        }
        print(&view, &named, terminal)?;
    }
    Ok(())
}

fn print(view: &View, named: &Named, terminal: &mut Terminal) -> Result<(), CliError> {
    let src = view.history.source();
    let (_, entry) = named.entry(view)?;
    let no_file = |what, advice| Err(CliError::NoFile { path: flat(named.text()), what, advice });
    let (size, content) = match &entry.body {
        EntryBody::File { size, content } => (*size, *content),
        EntryBody::Directory(_) => {
            return no_file("a directory", format!("`vst ls {}` lists it", flat(named.text())));
        }
        EntryBody::Symlink(target) => {
            let advice = format!("name what it points to, {}", path_text(target));
            return no_file("a symbolic link", advice);
        }
        EntryBody::Special => {
            let what = match entry.meta.kind {
                FileKind::Fifo => "a fifo",
                FileKind::Socket => "a socket",
                _ => "a device",
            };
            return no_file(what, "it has no content that a commit keeps".to_owned());
        }
    };
    let file = File::stored(size, content);
    let mut buffer = vec![0; usize::try_from(size).unwrap_or(BUFFER_BYTES).min(BUFFER_BYTES)];
    let mut offset = 0;
    while offset < size {
        let len = file.read(offset, &mut buffer, src)?;
        terminal.bytes(&buffer[..len])?;
        offset += len as u64;
    }
    Ok(())
}
