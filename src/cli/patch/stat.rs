//! Changes counted in lines, with a bar for each file, as git's `--stat` shows them.

use serde::Serialize;

use super::{Difference, Edits, FileChange};
use crate::cli::error::CliError;
use crate::cli::paint::Ink;
use crate::cli::paths::path_text;
use crate::cli::terminal::Terminal;
use crate::cli::units::count_text;
use crate::model::{ObjectError, ObjectSource};
use crate::worktree::Change;

/// Least columns for a name, a number and a bar together.
const NAME_AND_BAR_COLUMNS_MIN: usize = 16;
/// Least columns for a bar when names are long.
const BAR_COLUMNS_MIN: usize = 6;
/// Columns for blanks and the line between name and number.
const GAPS_COLUMNS: usize = 6;
/// Stands for the beginning of a long name.
const CUT: &str = "...";

/// How much of a file changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(in crate::cli) enum Counts {
    /// Lines that came and went.
    Lines {
        /// How many lines came.
        insertions: u64,
        /// How many went.
        deletions: u64,
    },
    /// Lengths of what is not compared by lines.
    Bytes {
        /// How long the file was.
        old_bytes: u64,
        /// How long it is.
        new_bytes: u64,
    },
}

/// Counts what came and went in the file that a change is about, unless it is about a directory or
/// attributes.
pub(in crate::cli) fn counts(
    change: &Change,
    src: &dyn ObjectSource,
) -> Result<Option<Counts>, ObjectError> {
    FileChange::new(change).map(|file| file.counts(src)).transpose()
}

impl FileChange<'_> {
    fn counts(&self, src: &dyn ObjectSource) -> Result<Counts, ObjectError> {
        let size = |side: Option<super::Side<'_>>| side.map_or(0, |side| side.size());
        let (old_bytes, new_bytes) = (size(self.old), size(self.new));
        Ok(match self.difference(src)? {
            Difference::Nothing => Counts::Lines { insertions: 0, deletions: 0 },
            Difference::Opaque => Counts::Bytes { old_bytes, new_bytes },
            Difference::Text(old, new) => match Edits::between(&old, &new) {
                Some(edits) => {
                    Counts::Lines { insertions: edits.insertions(), deletions: edits.deletions() }
                }
                None => Counts::Bytes { old_bytes, new_bytes },
            },
        })
    }

    fn name(&self) -> String {
        match (&self.old, &self.new) {
            (Some(old), Some(new)) if old.path != new.path => renamed_text(old.path, new.path),
            (Some(side), _) | (_, Some(side)) => path_text(side.path),
            (None, None) => String::new(),
        }
    }
}

/// Two names with what they share told once: `src/{old => new}/file`.
fn renamed_text(old: &[u8], new: &[u8]) -> String {
    let (old_text, new_text) = (path_text(old), path_text(new));
    if old_text.as_bytes() != old || new_text.as_bytes() != new {
        return format!("{old_text} => {new_text}");
    }
    let same = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let prefix = old[..same].iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    let (old_rest, new_rest) = (&old_text[prefix..], &new_text[prefix..]);
    // The slash before what is between may be that of the prefix, which then stands on both sides.
    let reach = |text: &str| text.len() + usize::from(prefix > 0);
    let same_end = (old.iter().rev()).zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let longest = same_end.min(reach(old_rest)).min(reach(new_rest));
    let end = &old[old.len() - longest..];
    let suffix = end.iter().position(|byte| *byte == b'/').map_or(0, |at| end.len() - at);
    if prefix + suffix == 0 {
        return format!("{old_text} => {new_text}");
    }
    let middle = |text: &str, len: usize| {
        let to = len.saturating_sub(suffix);
        text.get(prefix..to).unwrap_or_default().to_owned()
    };
    format!(
        "{}{{{} => {}}}{}",
        &old_text[..prefix],
        middle(&old_text, old.len()),
        middle(&new_text, new.len()),
        &old_text[old_text.len() - suffix..]
    )
}

/// Files and what changed in each.
pub(super) struct Stat {
    rows: Vec<(String, Counts)>,
}

/// How wide the parts of a line are, in columns.
#[derive(Debug, PartialEq, Eq)]
struct Widths {
    name: usize,
    number: usize,
    bar: usize,
}

impl Stat {
    /// Counts the changes.
    pub(super) fn of(changes: &[Change], src: &dyn ObjectSource) -> Result<Self, ObjectError> {
        let row = |file: FileChange<'_>| file.counts(src).map(|counts| (file.name(), counts));
        let rows = changes.iter().filter_map(FileChange::new).map(row).collect::<Result<_, _>>()?;
        Ok(Self { rows })
    }

    /// Prints a line a file and one of sums.
    pub(super) fn print(&self, terminal: &mut Terminal) -> Result<(), CliError> {
        let widths = self.widths(terminal.columns());
        for (name, counts) in &self.rows {
            let name = shortened(name, widths.name);
            let pad = widths.name.saturating_sub(name.chars().count());
            let beginning = format!(" {name}{:pad$} |", "");
            match *counts {
                Counts::Lines { insertions, deletions } => {
                    let (plus, minus) = self.bar(insertions, deletions, widths.bar);
                    let number = insertions + deletions;
                    let gap = if plus + minus > 0 { " " } else { "" };
                    let paint = terminal.paint();
                    terminal.line(&format!(
                        "{beginning} {number:>0$}{gap}{1}{2}",
                        widths.number,
                        paint.paint(Ink::Added, &"+".repeat(plus)),
                        paint.paint(Ink::Deleted, &"-".repeat(minus)),
                    ))?;
                }
                Counts::Bytes { old_bytes, new_bytes } => {
                    let paint = terminal.paint();
                    let old = paint.paint(Ink::Deleted, &old_bytes.to_string());
                    let new = paint.paint(Ink::Added, &new_bytes.to_string());
                    let number = format!("{:>1$}", "Bin", widths.number);
                    terminal.line(&format!("{beginning} {number} {old} -> {new} bytes"))?;
                }
            }
        }
        Ok(terminal.line(&self.sums())?)
    }

    /// ` 2 files changed, 1 insertion(+), 3 deletions(-)`.
    fn sums(&self) -> String {
        let (mut came, mut went) = (0, 0);
        for (_, counts) in &self.rows {
            if let Counts::Lines { insertions, deletions } = counts {
                came += insertions;
                went += deletions;
            }
        }
        let mut text = format!(" {} changed", count_text(self.rows.len() as u64, "file"));
        if came > 0 || went == 0 {
            text += &format!(", {}(+)", count_text(came, "insertion"));
        }
        if went > 0 || came == 0 {
            text += &format!(", {}(-)", count_text(went, "deletion"));
        }
        text
    }

    /// The most lines that changed in a file.
    fn most(&self) -> u64 {
        let lines = |(_, counts): &(String, Counts)| match counts {
            Counts::Lines { insertions, deletions } => insertions + deletions,
            Counts::Bytes { .. } => 0,
        };
        self.rows.iter().map(lines).max().unwrap_or(0)
    }

    /// Shares the columns out: names and bars get what they need if there is room for both, and
    /// otherwise the bars three eighths.
    fn widths(&self, columns: usize) -> Widths {
        let digits = |number: u64| number.to_string().len();
        let mut number = digits(self.most());
        let mut binary = 0;
        for (_, counts) in &self.rows {
            if let Counts::Bytes { old_bytes, new_bytes } = counts {
                // Where the number and the bar are: `Bin 12 -> 34 bytes`.
                binary =
                    binary.max("Bin  ->  bytes".len() + digits(*old_bytes) + digits(*new_bytes));
                number = number.max("Bin".len());
            }
        }
        let columns = columns.max(NAME_AND_BAR_COLUMNS_MIN + GAPS_COLUMNS + number);
        let most = usize::try_from(self.most()).unwrap_or(usize::MAX);
        let mut bar = most.max(binary.saturating_sub(4));
        let mut name = self.rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let room = columns - number - GAPS_COLUMNS;
        if name.saturating_add(bar) > room {
            let share = (columns * 3 / 8).saturating_sub(number + GAPS_COLUMNS);
            bar = bar.min(share.max(BAR_COLUMNS_MIN));
            if name > room - bar {
                name = room - bar;
            } else {
                bar = room - name;
            }
        }
        Widths { name, number, bar }
    }

    /// How many columns stand for what came and for what went.
    fn bar(&self, came: u64, went: u64, columns: usize) -> (usize, usize) {
        let most = self.most();
        let width = columns as u64;
        let as_columns = |number| usize::try_from(number).unwrap_or(columns).min(columns);
        if most < width {
            return (as_columns(came), as_columns(went));
        }
        // What is there at all has a column.
        let scaled = |number: u64| match number {
            0 => 0,
            _ => 1 + number.saturating_mul(width.saturating_sub(1)) / most.max(1),
        };
        let both = came > 0 && went > 0;
        let total = scaled(came + went).max(if both { 2 } else { 0 });
        let lesser = scaled(came.min(went));
        let (lesser, greater) = (as_columns(lesser), as_columns(total - lesser.min(total)));
        if came < went { (lesser, greater) } else { (greater, lesser) }
    }
}

/// A name that is too long without its beginning, cut at the beginning of a part if there is one.
fn shortened(name: &str, columns: usize) -> String {
    let len = name.chars().count();
    if len <= columns {
        return name.to_owned();
    }
    let kept = columns.saturating_sub(CUT.len());
    let end: String = name.chars().skip(len - kept).collect();
    let from = end.find('/').unwrap_or(0);
    format!("{CUT}{}", &end[from..])
}

#[cfg(test)]
mod tests {
    use super::{Counts, Stat, Widths, renamed_text, shortened};

    fn stat(rows: &[(&str, u64, u64)]) -> Stat {
        let row = |(name, insertions, deletions): &(&str, u64, u64)| {
            let counts = Counts::Lines { insertions: *insertions, deletions: *deletions };
            ((*name).to_owned(), counts)
        };
        Stat { rows: rows.iter().map(row).collect() }
    }

    #[test]
    fn what_two_names_share_is_told_once() {
        let text = |old: &str, new: &str| renamed_text(old.as_bytes(), new.as_bytes());
        assert_eq!(text("a", "b"), "a => b");
        assert_eq!(text("src/a.rs", "src/b.rs"), "src/{a.rs => b.rs}");
        assert_eq!(text("a/x/c", "a/y/c"), "a/{x => y}/c");
        assert_eq!(text("a/c", "a/y/c"), "a/{ => y}/c");
        assert_eq!(text("a/y/c", "a/c"), "a/{y => }/c");
        assert_eq!(text("x/c", "y/c"), "{x => y}/c");
        assert_eq!(text("a\"", "a"), "\"a\\\"\" => a");
        assert_eq!(text("a/é", "a/è"), "a/{é => è}");
    }

    #[test]
    fn a_bar_is_scaled_to_the_file_that_changed_most() {
        let stat = stat(&[("a", 600, 400), ("b", 1, 1), ("c", 0, 1)]);
        let widths = stat.widths(80);
        assert_eq!(widths, Widths { name: 1, number: 4, bar: 69 });
        assert_eq!(stat.bar(600, 400, 69), (41, 28));
        assert_eq!(stat.bar(1, 1, 69), (1, 1));
        assert_eq!(stat.bar(0, 1, 69), (0, 1));
        assert_eq!(stat.bar(0, 0, 69), (0, 0));
    }

    #[test]
    fn few_changes_are_shown_as_they_are() {
        let stat = stat(&[("a", 3, 2), ("b", 0, 0)]);
        assert_eq!(stat.bar(3, 2, stat.widths(80).bar), (3, 2));
        assert_eq!(stat.sums(), " 2 files changed, 3 insertions(+), 2 deletions(-)");
    }

    #[test]
    fn sums_leave_out_what_there_is_nothing_of() {
        assert_eq!(stat(&[("a", 1, 0)]).sums(), " 1 file changed, 1 insertion(+)");
        assert_eq!(stat(&[("a", 0, 2)]).sums(), " 1 file changed, 2 deletions(-)");
        let nothing = " 1 file changed, 0 insertions(+), 0 deletions(-)";
        assert_eq!(stat(&[("a", 0, 0)]).sums(), nothing);
    }

    #[test]
    fn a_long_name_loses_its_beginning() {
        assert_eq!(shortened("abc", 3), "abc");
        assert_eq!(shortened("abcdefgh", 6), "...fgh");
        assert_eq!(shortened("directory/file", 12), ".../file");
        let long = "x".repeat(200);
        let widths = stat(&[(&long, 5, 5)]).widths(80);
        assert_eq!((widths.name + widths.number + widths.bar, widths.bar), (74, 10));
    }
}
