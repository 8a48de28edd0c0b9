//! `vst ls`.

use std::ffi::OsString;
use std::path::Path;

use clap::Args;
use serde::Serialize;

use super::changes::{file_size, kind_word};
use super::error::CliError;
use super::listing::Listing;
use super::paint::{Ink, Paint};
use super::paths::{ARROW, JsonPath, json_text, path_text};
use super::place::Place;
use super::revision::Named;
use super::terminal::Terminal;
use super::time;
use super::units::size_text;
use super::users::Names;
use crate::model::{Entry, EntryBody, FileKind};

/// List a directory as it was in a commit
///
/// A name a line, with `/` behind those of directories. Of a file, its own name is listed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct LsArgs {
    /// Show mode, owner, size and time of modification as well
    #[arg(short, long)]
    long: bool,
    /// List everything below, with paths from the directory
    #[arg(short, long)]
    recursive: bool,
    /// Print a JSON array of entries
    #[arg(long)]
    json: bool,
    /// The commit and, behind a colon, a path from the top of the tree, or with `./` from the
    /// current directory
    #[arg(value_name = "REV[:PATH]")]
    directory: OsString,
}

const EXAMPLES: &str = "\
Examples:
  vst ls HEAD
  vst ls -l HEAD~3:src
  vst ls -r '@{1 hour ago}:.' | wc -l";

/// An entry in JSON:
///
/// ```json
/// {"path":"a","kind":"file","mode":"0644","uid":0,"gid":0,"mtime":"2026-03-01T11:00:00.000000000Z",
///  "size":3}
/// ```
///
/// `kind` is `file`, `directory`, `symlink`, `fifo`, `socket`, `char-device` or `block-device`.
/// Files have a `size` in bytes, symbolic links a `target`, devices an `rdev`.
#[derive(Debug, Serialize)]
struct JsonEntry {
    #[serde(flatten)]
    path: JsonPath,
    kind: &'static str,
    mode: String,
    uid: u32,
    gid: u32,
    mtime: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rdev: Option<u32>,
}

impl JsonEntry {
    fn new(path: &[u8], entry: &Entry) -> Self {
        let meta = &entry.meta;
        let is_device = matches!(meta.kind, FileKind::CharDevice | FileKind::BlockDevice);
        Self {
            path: JsonPath::new(path),
            kind: kind_word(entry),
            mode: format!("{:04o}", meta.perm),
            uid: meta.uid,
            gid: meta.gid,
            mtime: time::rfc3339(meta.mtime),
            size: file_size(entry),
            target: match &entry.body {
                EntryBody::Symlink(target) => Some(json_text(target)),
                _ => None,
            },
            rdev: is_device.then_some(meta.rdev),
        }
    }
}

/// Lists a directory.
pub(super) fn run(
    args: &LsArgs,
    store: Option<&Path>,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let place = Place::find(store)?;
    let view = place.view()?;
    let named = Named::find(&place, &view, &args.directory)?;
    let src = view.history.source();
    let (_, entry) = named.entry(&view)?;
    let path = named.path.as_deref().unwrap_or_default();
    let listing = Listing { src, recursive: args.recursive };
    if args.json {
        let mut array = terminal.json_array()?;
        listing
            .each(path, &entry, &mut |path, entry| Ok(array.push(&JsonEntry::new(path, entry))?))?;
        return Ok(array.finish()?);
    }
    let paint = terminal.paint();
    let long = args.long.then(|| Long { users: Names::users(), groups: Names::groups(), paint });
    listing.each(path, &entry, &mut |path, entry| {
        let name = name_text(path, entry, paint);
        let line = match &long {
            Some(long) => format!("{}  {name}{}", long.text(entry), target_text(entry)),
            None => name,
        };
        Ok(terminal.line(&line)?)
    })
}

fn name_text(path: &[u8], entry: &Entry, paint: Paint) -> String {
    let name = path_text(path);
    match &entry.body {
        EntryBody::Directory(_) => format!("{}/", paint.paint(Ink::Directory, &name)),
        _ => name,
    }
}

/// Where a symbolic link points to.
fn target_text(entry: &Entry) -> String {
    match &entry.body {
        EntryBody::Symlink(target) => format!("{ARROW}{}", path_text(target)),
        _ => String::new(),
    }
}

/// Writes entries as `ls -l` does.
struct Long {
    users: Names,
    groups: Names,
    paint: Paint,
}

impl Long {
    fn text(&self, entry: &Entry) -> String {
        let meta = &entry.meta;
        let name = |names: &Names, id: u32| names.find(id).map_or(id.to_string(), str::to_owned);
        let size = match &entry.body {
            EntryBody::File { size, .. } => size_text(*size),
            EntryBody::Symlink(target) => size_text(target.len() as u64),
            _ => "-".to_owned(),
        };
        format!(
            "{}  {:<8} {:<8} {size:>10}  {}",
            mode_text(meta.kind, meta.perm),
            name(&self.users, meta.uid),
            name(&self.groups, meta.gid),
            self.paint.paint(Ink::Time, &time::local(meta.mtime)),
        )
    }
}

/// A mode as `ls -l` shows it: `drwxr-xr-t`.
fn mode_text(kind: FileKind, perm: u16) -> String {
    let kind = match kind {
        FileKind::Regular => '-',
        FileKind::Directory => 'd',
        FileKind::Symlink => 'l',
        FileKind::Fifo => 'p',
        FileKind::Socket => 's',
        FileKind::CharDevice => 'c',
        FileKind::BlockDevice => 'b',
    };
    let mut text = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = perm >> shift;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        text.push(match (perm & special != 0, bits & 1 != 0) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::mode_text;
    use crate::model::FileKind;

    #[test]
    fn modes_look_as_ls_shows_them() {
        for (kind, perm, text) in [
            (FileKind::Regular, 0o644, "-rw-r--r--"),
            (FileKind::Directory, 0o1777, "drwxrwxrwt"),
            (FileKind::Regular, 0o4755, "-rwsr-xr-x"),
            (FileKind::Regular, 0o6644, "-rwSr-Sr--"),
            (FileKind::Symlink, 0o777, "lrwxrwxrwx"),
            (FileKind::Fifo, 0o1000, "p--------T"),
        ] {
            assert_eq!(mode_text(kind, perm), text);
        }
    }
}
