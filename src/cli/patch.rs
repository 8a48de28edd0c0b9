//! Changes of files as a patch, in git's extended format, and counted.
//!
//! A patch knows regular files with one bit of their mode, whether the owner may execute them, and
//! symbolic links, whose target is their content. Directories, owners, times, extended attributes,
//! other bits of modes, fifos, sockets and devices have no place in it. A file that is of another
//! kind now is one that went and one that came.
//!
//! Content is bytes, and shown as it is. A file is binary if there is a NUL in its first 8000
//! bytes, and so are two files for a patch if one of them is. Files that are larger, or have more
//! lines, than [`PATCH_FILE_BYTES_MAX`] and
//! [`PATCH_LINES_MAX`](crate::base::limits::PATCH_LINES_MAX) say are told of as binary ones are.
//! There are no `index` lines, which tell ids that git gives, but those of empty files that come or
//! go: `patch` knows from them alone that there is nothing to look for in such a file.

mod lines;
mod stat;

use crate::base::limits::PATCH_FILE_BYTES_MAX;
use crate::cli::error::CliError;
use crate::cli::paint::Ink;
use crate::cli::terminal::Terminal;
use crate::model::{Entry, EntryBody, ObjectError, ObjectSource};
use crate::vfs::text::quote_path;
use crate::worktree::{Change, ChangeKind, File, SIMILARITY_SAME, unfold_renamed};

use self::lines::{Edits, Hunk};
use self::stat::Stat;

pub(super) use self::stat::{Counts, counts};

/// Lines around a change that are shown, unless told otherwise.
pub(super) const CONTEXT_LINES: usize = 3;
/// So many bytes are looked through for a NUL.
const BINARY_LOOK_BYTES: usize = 8000;
/// Permission of the owner to execute.
const EXECUTE: u16 = 0o100;
const NO_FILE: &str = "/dev/null";
/// The beginning of the id that git gives to a file without content.
const GIT_ID_OF_EMPTY: &str = "e69de29";
/// What git has in the place of the id of no file.
const GIT_ID_OF_NOTHING: &str = "0000000";

/// A file as one of two trees has it.
#[derive(Clone, Copy)]
struct Side<'a> {
    path: &'a [u8],
    entry: &'a Entry,
}

impl<'a> Side<'a> {
    /// The side of something that can be in a patch.
    fn new(path: &'a [u8], entry: &'a Entry) -> Option<Self> {
        let is_file = matches!(entry.body, EntryBody::File { .. } | EntryBody::Symlink(_));
        is_file.then_some(Self { path, entry })
    }

    fn mode(&self) -> &'static str {
        match self.entry.body {
            EntryBody::Symlink(_) => "120000",
            _ if self.entry.meta.perm & EXECUTE != 0 => "100755",
            _ => "100644",
        }
    }

    fn size(&self) -> u64 {
        match &self.entry.body {
            EntryBody::File { size, .. } => *size,
            EntryBody::Symlink(target) => target.len() as u64,
            _ => 0,
        }
    }

    /// The content, if it is text that can be shown.
    fn text(&self, src: &dyn ObjectSource) -> Result<Option<Vec<u8>>, ObjectError> {
        match &self.entry.body {
            EntryBody::Symlink(target) => Ok(Some(target.to_vec())),
            EntryBody::File { size, content } if *size <= PATCH_FILE_BYTES_MAX => {
                let file = File::stored(*size, *content);
                // The first bytes alone tell most binary files.
                let mut bytes = vec![0; BINARY_LOOK_BYTES];
                let looked_at = file.read(0, &mut bytes, src)?;
                bytes.truncate(looked_at);
                if bytes.contains(&0) {
                    return Ok(None);
                }
                // It fits, since it is below the bound.
                bytes.resize(usize::try_from(*size).unwrap_or_default(), 0);
                file.read(looked_at as u64, &mut bytes[looked_at..], src)?;
                Ok(Some(bytes))
            }
            _ => Ok(None),
        }
    }
}

/// What a patch says of one file.
#[derive(Clone, Copy)]
struct FileChange<'a> {
    old: Option<Side<'a>>,
    new: Option<Side<'a>>,
    /// Of one that was renamed.
    similarity: Option<u8>,
}

/// How the contents of a file differ.
enum Difference {
    Nothing,
    /// One of them is no text, or too large.
    Opaque,
    /// The bytes of both, empty where there is no file.
    Text(Vec<u8>, Vec<u8>),
}

impl<'a> FileChange<'a> {
    /// What a patch says of a change, unless that is about nothing but directories or attributes.
    fn new(change: &'a Change) -> Option<Self> {
        let (from, similarity) = match &change.kind {
            ChangeKind::Renamed { from, similarity } => (from, Some(*similarity)),
            _ => (&change.path, None),
        };
        let old = change.old.as_ref().and_then(|entry| Side::new(from, entry));
        let new = change.new.as_ref().and_then(|entry| Side::new(&change.path, entry));
        let is_same = match (old, new) {
            (Some(old), Some(new)) => old.entry.body == new.entry.body && old.mode() == new.mode(),
            (None, None) => true,
            _ => false,
        };
        (!is_same || similarity.is_some() && new.is_some()).then_some(Self { old, new, similarity })
    }

    /// Takes a file that is of another kind now for one that went and one that came, since no patch
    /// can make one of the other.
    fn by_kind(self) -> Vec<Self> {
        match (self.old, self.new) {
            (Some(old), Some(new)) if old.entry.meta.kind != new.entry.meta.kind => {
                vec![Self { new: None, ..self }, Self { old: None, ..self }]
            }
            _ => vec![self],
        }
    }

    fn difference(&self, src: &dyn ObjectSource) -> Result<Difference, ObjectError> {
        if let (Some(old), Some(new)) = (&self.old, &self.new)
            && old.entry.body == new.entry.body
        {
            return Ok(Difference::Nothing);
        }
        let mut texts = [Vec::new(), Vec::new()];
        for (side, text) in [self.old, self.new].into_iter().zip(&mut texts) {
            let Some(side) = side else { continue };
            match side.text(src)? {
                Some(bytes) => *text = bytes,
                None => return Ok(Difference::Opaque),
            }
        }
        let [old, new] = texts;
        Ok(Difference::Text(old, new))
    }

    /// The lines before the hunks.
    fn header(&self) -> Vec<String> {
        let (old, new) = (self.old.as_ref(), self.new.as_ref());
        let path = |side: Option<&Side<'_>>, other: Option<&Side<'_>>| {
            side.or(other).map_or(Vec::new(), |side| side.path.to_vec())
        };
        let (old_path, new_path) = (path(old, new), path(new, old));
        let mut lines =
            vec![format!("diff --git {} {}", prefixed("a/", &old_path), prefixed("b/", &new_path))];
        match (old, new) {
            (Some(old), Some(new)) if old.mode() != new.mode() => {
                lines.push(format!("old mode {}", old.mode()));
                lines.push(format!("new mode {}", new.mode()));
            }
            (Some(old), None) => {
                lines.push(format!("deleted file mode {}", old.mode()));
                if old.size() == 0 {
                    lines.push(format!("index {GIT_ID_OF_EMPTY}..{GIT_ID_OF_NOTHING}"));
                }
            }
            (None, Some(new)) => {
                lines.push(format!("new file mode {}", new.mode()));
                if new.size() == 0 {
                    lines.push(format!("index {GIT_ID_OF_NOTHING}..{GIT_ID_OF_EMPTY}"));
                }
            }
            _ => {}
        }
        if let Some(similarity) = self.similarity {
            lines.push(format!("similarity index {similarity}%"));
            lines.push(format!("rename from {}", quote_path(&old_path)));
            lines.push(format!("rename to {}", quote_path(&new_path)));
        }
        lines
    }

    /// The names of both sides, as the lines before a hunk have them.
    fn names(&self) -> [String; 2] {
        [(self.old, "a/"), (self.new, "b/")]
            .map(|(side, prefix)| side.map_or(NO_FILE.to_owned(), |s| prefixed(prefix, s.path)))
    }
}

/// A path with a prefix, quoted as a whole if it has to be.
fn prefixed(prefix: &str, path: &[u8]) -> String {
    quote_path(&[prefix.as_bytes(), path].concat())
}

/// How changes of files are to be shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Detail {
    /// Count lines.
    pub(super) stat: bool,
    /// Show lines, with so many around each change.
    pub(super) context: Option<usize>,
}

/// Prints changes of files in this detail. Returns false if there are changes, and all of them are
/// of what a patch does not know.
pub(super) fn print(
    changes: Vec<Change>,
    detail: Detail,
    src: &dyn ObjectSource,
    terminal: &mut Terminal,
) -> Result<bool, CliError> {
    let changes = unfold_renamed(changes, src)?;
    if !changes.iter().any(|change| FileChange::new(change).is_some()) {
        return Ok(changes.is_empty());
    }
    if detail.stat {
        Stat::of(&changes, src)?.print(terminal)?;
    }
    if let Some(context) = detail.context {
        if detail.stat {
            terminal.line("")?;
        }
        print_patch(&changes, context, src, terminal)?;
    }
    Ok(true)
}

fn print_patch(
    changes: &[Change],
    context: usize,
    src: &dyn ObjectSource,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let files = changes.iter().filter_map(FileChange::new);
    for file in files.flat_map(FileChange::by_kind) {
        for line in file.header() {
            heading(terminal, &line)?;
        }
        if file.similarity == Some(SIMILARITY_SAME) {
            continue;
        }
        let [old_name, new_name] = file.names();
        let (old, new) = match file.difference(src)? {
            Difference::Nothing => continue,
            Difference::Text(old, new) => (old, new),
            Difference::Opaque => {
                terminal.line(&format!("Binary files {old_name} and {new_name} differ"))?;
                continue;
            }
        };
        let Some(edits) = Edits::between(&old, &new) else {
            terminal.line(&format!("Binary files {old_name} and {new_name} differ"))?;
            continue;
        };
        for (index, hunk) in edits.hunks(context).iter().enumerate() {
            if index == 0 {
                heading(terminal, &format!("--- {old_name}{}", end_of_name(&old_name)))?;
                heading(terminal, &format!("+++ {new_name}{}", end_of_name(&new_name)))?;
            }
            print_hunk(hunk, &edits, terminal)?;
        }
    }
    Ok(())
}

fn heading(terminal: &mut Terminal, line: &str) -> Result<(), CliError> {
    Ok(terminal.line(&terminal.paint().paint(Ink::Heading, line))?)
}

/// What tells programs where a name with a blank ends: behind it they expect a time.
fn end_of_name(name: &str) -> &'static str {
    if name.contains(' ') { "\t" } else { "" }
}

fn print_hunk(hunk: &Hunk, edits: &Edits<'_>, terminal: &mut Terminal) -> Result<(), CliError> {
    terminal.painted(Ink::Hunk, hunk.header().as_bytes())?;
    if let Some(heading) = hunk.section(edits) {
        terminal.bytes(b" ")?;
        terminal.bytes(heading)?;
    }
    terminal.bytes(b"\n")?;
    hunk.each_line(edits, &mut |sign, line| {
        let (text, is_whole) = match line.strip_suffix(b"\n") {
            Some(text) => (text, true),
            None => (line, false),
        };
        let ink = match sign {
            b'+' => Some(Ink::Added),
            b'-' => Some(Ink::Deleted),
            _ => None,
        };
        match ink {
            Some(ink) => terminal.painted(ink, &[&[sign], text].concat())?,
            None => {
                terminal.bytes(&[sign])?;
                terminal.bytes(text)?;
            }
        }
        terminal.bytes(b"\n")?;
        if !is_whole {
            terminal.bytes(b"\\ No newline at end of file\n")?;
        }
        Ok(())
    })
}
