//! What differs between two texts, line by line, and the hunks in which it is shown.

use std::collections::HashMap;
use std::ops::Range;

use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::base::limits::PATCH_LINES_MAX;
use crate::cli::error::CliError;

/// Longest heading of a section, as in git.
const SECTION_BYTES_MAX: usize = 80;

/// What differs between two texts.
pub(super) struct Edits<'a> {
    /// The lines of both, each with its end.
    old: Vec<&'a [u8]>,
    new: Vec<&'a [u8]>,
    /// Lines of the old text, perhaps none, with those that stand in their place, in order; between
    /// two of them there is at least one line that is the same.
    edits: Vec<Edit>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Edit {
    old: Range<usize>,
    new: Range<usize>,
}

impl<'a> Edits<'a> {
    /// Compares two texts, unless one has too many lines. The search for the shortest list of
    /// edits is given up where it takes long, as in git, so that the time is bounded as well.
    pub(super) fn between(old: &'a [u8], new: &'a [u8]) -> Option<Self> {
        let (old, new) = (lines(old)?, lines(new)?);
        // Numbers are compared faster than lines, and a line is hashed once.
        let mut numbers: HashMap<&[u8], u32> = HashMap::with_capacity(old.len());
        let mut number = |lines: &[&'a [u8]]| -> Vec<u32> {
            let number = |line: &&'a [u8]| {
                // There are fewer lines than numbers.
                let next = numbers.len() as u32;
                *numbers.entry(line).or_insert(next)
            };
            lines.iter().map(number).collect()
        };
        let (old_numbers, new_numbers) = (number(&old), number(&new));
        let ops = capture_diff_slices(Algorithm::Myers, &old_numbers, &new_numbers);
        let mut edits: Vec<Edit> = Vec::new();
        for op in ops.iter().filter(|op| !matches!(op, DiffOp::Equal { .. })) {
            let (old, new) = (op.old_range(), op.new_range());
            match edits.last_mut() {
                Some(last) if last.old.end == old.start && last.new.end == new.start => {
                    last.old.end = old.end;
                    last.new.end = new.end;
                }
                _ => edits.push(Edit { old, new }),
            }
        }
        Some(Self { old, new, edits })
    }

    /// How many lines came.
    pub(super) fn insertions(&self) -> u64 {
        self.edits.iter().map(|edit| edit.new.len() as u64).sum()
    }

    /// How many lines went.
    pub(super) fn deletions(&self) -> u64 {
        self.edits.iter().map(|edit| edit.old.len() as u64).sum()
    }

    /// The edits with so many lines around each; those that would meet are shown together.
    pub(super) fn hunks(&self, context: usize) -> Vec<Hunk> {
        let mut hunks: Vec<Hunk> = Vec::new();
        let mut same_from = 0;
        for (index, edit) in self.edits.iter().enumerate() {
            let same_to = self.edits.get(index + 1).map_or(self.old.len(), |next| next.old.start);
            let above = edit.old.start - same_from;
            let before = context.min(above);
            let after = context.min(same_to - edit.old.end);
            same_from = edit.old.end;
            match hunks.last_mut() {
                Some(hunk) if above <= context.saturating_mul(2) => {
                    hunk.old.end = edit.old.end + after;
                    hunk.new.end = edit.new.end + after;
                    hunk.edits.end = index + 1;
                }
                last => {
                    let old = edit.old.start - before..edit.old.end + after;
                    let new = edit.new.start - before..edit.new.end + after;
                    // What was looked through for the hunk before is not looked through again.
                    let (from, known) = last.map_or((0, None), |h| (h.old.start, h.section));
                    let section = self.section(from..old.start).or(known);
                    hunks.push(Hunk { old, new, edits: index..index + 1, section });
                }
            }
        }
        hunks
    }

    /// The last of these old lines that begins as a name does, which often tells what those behind
    /// it are in. As git looks for it where it knows nothing of the language.
    fn section(&self, lines: Range<usize>) -> Option<usize> {
        let begins_name = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'$');
        lines.rev().find(|line| self.old[*line].first().is_some_and(begins_name))
    }
}

/// Splits a text behind the ends of its lines, unless there are too many.
fn lines(text: &[u8]) -> Option<Vec<&[u8]>> {
    let mut lines = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if lines.len() == PATCH_LINES_MAX {
            return None;
        }
        lines.push(line);
    }
    Some(lines)
}

/// Edits that are shown together with lines around them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hunk {
    old: Range<usize>,
    new: Range<usize>,
    edits: Range<usize>,
    /// The old line that tells what it is in.
    section: Option<usize>,
}

type Visit<'v> = dyn FnMut(u8, &[u8]) -> Result<(), CliError> + 'v;

impl Hunk {
    /// Where it is in both texts: `@@ -3,7 +3,8 @@`.
    pub(super) fn header(&self) -> String {
        let range = |range: &Range<usize>| match range.len() {
            // Behind so many lines.
            0 => format!("{},0", range.start),
            1 => format!("{}", range.start + 1),
            len => format!("{},{len}", range.start + 1),
        };
        format!("@@ -{} +{} @@", range(&self.old), range(&self.new))
    }

    /// What it is in, if that can be told.
    pub(super) fn section<'a>(&self, edits: &Edits<'a>) -> Option<&'a [u8]> {
        let line = edits.old[self.section?];
        Some(line.get(..SECTION_BYTES_MAX).unwrap_or(line).trim_ascii_end())
    }

    /// Calls `visit` with its lines, and what stands before them: a blank, `-` or `+`.
    pub(super) fn each_line(
        &self,
        edits: &Edits<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<(), CliError> {
        let mut show = |sign, lines: &[&[u8]]| lines.iter().try_for_each(|line| visit(sign, line));
        let mut at = self.old.start;
        for edit in &edits.edits[self.edits.clone()] {
            show(b' ', &edits.old[at..edit.old.start])?;
            show(b'-', &edits.old[edit.old.clone()])?;
            show(b'+', &edits.new[edit.new.clone()])?;
            at = edit.old.end;
        }
        show(b' ', &edits.old[at..self.old.end])
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::proptest;

    use super::{Edits, PATCH_LINES_MAX};

    /// The hunks as text, without colours.
    fn shown(old: &str, new: &str, context: usize) -> String {
        let edits = Edits::between(old.as_bytes(), new.as_bytes()).unwrap();
        let mut text = String::new();
        for hunk in edits.hunks(context) {
            text += &hunk.header();
            if let Some(section) = hunk.section(&edits) {
                text += &format!(" {}", String::from_utf8_lossy(section));
            }
            text.push('\n');
            hunk.each_line(&edits, &mut |sign, line| {
                text.push(char::from(sign));
                text += &String::from_utf8_lossy(line);
                Ok(())
            })
            .unwrap();
        }
        text
    }

    fn numbered(lines: &[u32]) -> String {
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn an_edit_has_lines_around_it() {
        let old = numbered(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let new = numbered(&[1, 2, 3, 4, 50, 6, 7, 8, 9]);
        assert_eq!(shown(&old, &new, 3), "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+50\n 6\n 7\n 8\n");
        assert_eq!(shown(&old, &new, 0), "@@ -5 +5 @@\n-5\n+50\n");
        assert_eq!(shown(&old, &old, 3), "");
    }

    #[test]
    fn edits_whose_surroundings_meet_are_shown_together() {
        let old = numbered(&(1..30).collect::<Vec<_>>());
        let changed = |at: [u32; 2]| {
            numbered(
                &(1..30).map(|n| if at.contains(&n) { 100 + n } else { n }).collect::<Vec<_>>(),
            )
        };
        let hunks = |at| shown(&old, &changed(at), 3).matches("@@ -").count();
        assert_eq!(hunks([5, 12]), 1);
        assert_eq!(hunks([5, 13]), 2);
    }

    #[test]
    fn the_places_of_no_lines_are_those_before() {
        assert_eq!(shown("", "a\nb\n", 3), "@@ -0,0 +1,2 @@\n+a\n+b\n");
        assert_eq!(shown("a\n", "", 3), "@@ -1 +0,0 @@\n-a\n");
        assert_eq!(shown("a\nb\n", "a\nx\nb\n", 0), "@@ -1,0 +2 @@ a\n+x\n");
    }

    #[test]
    fn a_hunk_tells_the_section_that_it_is_in() {
        let body = "    x\n".repeat(5);
        let old = format!("fn one() {{\n{body}}}\nfn two() {{\n{body}    old\n}}\n");
        let new = old.replace("old", "new");
        assert!(shown(&old, &new, 3).starts_with("@@ -11,5 +11,5 @@ fn two() {\n"));
        let long = format!("{}\n{body}old\n", "w".repeat(100));
        let section = format!("@@ -4,4 +4,4 @@ {}\n", "w".repeat(80));
        assert!(shown(&long, &long.replace("old", "new"), 3).starts_with(&section));
    }

    #[test]
    fn a_text_of_too_many_lines_is_not_compared() {
        let text = b"\n".repeat(PATCH_LINES_MAX + 1);
        assert!(Edits::between(&text, b"").is_none());
        assert!(Edits::between(b"", &text).is_none());
        assert!(Edits::between(&text[1..], b"").is_some());
    }

    proptest! {
        #[test]
        fn edits_make_the_new_text_of_the_old_one(
            old in vec(0..8_u32, 0..60), new in vec(0..8_u32, 0..60), context in 0..5_usize
        ) {
            let (old, new) = (numbered(&old), numbered(&new));
            let edits = Edits::between(old.as_bytes(), new.as_bytes()).unwrap();
            let (mut made, mut at) = (Vec::new(), 0);
            let (mut came, mut went) = (0, 0);
            for hunk in edits.hunks(context) {
                made.extend_from_slice(&edits.old[at..hunk.old.start]);
                assert_eq!(made.len(), hunk.new.start);
                let mut seen = hunk.old.start;
                hunk.each_line(&edits, &mut |sign, line| {
                    match sign {
                        b'+' => came += 1,
                        b'-' => went += 1,
                        _ => assert_eq!(line, edits.old[seen]),
                    }
                    seen += usize::from(sign != b'+');
                    if sign != b'-' {
                        let number = made.len();
                        assert_eq!(line, edits.new[number]);
                        made.push(edits.new[number]);
                    }
                    Ok(())
                })
                .unwrap();
                assert_eq!((seen, made.len()), (hunk.old.end, hunk.new.end));
                at = hunk.old.end;
            }
            made.extend_from_slice(&edits.old[at..]);
            assert_eq!(made, edits.new);
            assert_eq!((came, went), (edits.insertions(), edits.deletions()));
        }
    }
}
