//! Transcripts: documents with commands, as one types them, and what they print. They are run, and
//! must print what the document says.
//!
//! ```text
//! Prose, which is left alone.
//!
//!     $ vst commit -m first          a command begins with a dollar sign behind four blanks;
//!     1d6918724d0b73edbb7a…          what it prints, stdout and stderr, follows
//! ```
//!
//! One shell runs all commands of a document, so `cd` and variables stay. What is another one each
//! time is taken for what the document has in its place: ids, each of which must then be the same
//! wherever it comes again, also in commands; and times. Lines that are ids alone are sorted, since
//! ids are not. `[..]` in a document stands for anything in a line.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Begins a command.
const PROMPT: &str = "    $ ";
/// Begins a line of output.
const INDENT: &str = "    ";
/// Ends the output of a command, where none prints it.
const END: u8 = 1;
/// How many digits the beginning of an id has that identifies it.
const SHORT: usize = 12;
const FULL: usize = 64;

/// Runs the commands of the document in a shell that `set_up` has made ready, and compares. With
/// `exits`, the shell tells of exit codes other than 0. `SNAPSHOTS=overwrite` writes what was
/// printed into the document instead of failing.
pub(crate) fn run(document: &Path, set_up: impl FnOnce(&mut Command), exits: bool) {
    let expected = std::fs::read_to_string(document).expect("the document is there");
    let mut names = Names::of(&expected);
    let mut bash = Command::new("bash");
    bash.arg("--norc");
    set_up(&mut bash);
    let mut shell = Shell::start(bash, exits);
    let mut actual = String::new();
    let lines: Vec<&str> = expected.lines().collect();
    let (mut at, mut commands) = (0, 0);
    while let Some(line) = lines.get(at) {
        at += 1;
        actual.push_str(&format!("{line}\n"));
        let Some(command) = line.strip_prefix(PROMPT) else { continue };
        commands += 1;
        let said = said(&lines[at..]);
        at += said.len();
        let output = shell.run(&names.in_command(command));
        let output = names.in_output(&output, &said.join("\n"));
        for line in output.trim_end_matches('\n').lines() {
            actual.push_str(format!("{INDENT}{line}").trim_end());
            actual.push('\n');
        }
    }
    assert!(commands > 0, "{} has no commands", document.display());
    let expected = snapbox::Data::read_from(document, Some(snapbox::data::DataFormat::Text));
    let assert = snapbox::Assert::new().action_env("SNAPSHOTS");
    // A backslash is one, and no part of a path of another system.
    assert.normalize_paths(false).eq(actual, expected);
}

/// Of the lines behind a command, those that it prints. Empty ones belong to it if more follows.
fn said<'a>(lines: &'a [&'a str]) -> &'a [&'a str] {
    let is_output = |line: &str| line.starts_with(INDENT) && !line.starts_with(PROMPT);
    let ends = lines.iter().position(|line| !line.is_empty() && !is_output(line));
    let all = &lines[..ends.unwrap_or(lines.len())];
    let len = all.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
    &all[..len]
}

/// A shell that is fed commands one by one.
struct Shell {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    exits: bool,
}

impl Shell {
    fn start(mut bash: Command, exits: bool) -> Self {
        bash.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = bash.spawn().expect("these tests need bash");
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("it was asked for"));
        Self { child, stdin, stdout, exits }
    }

    /// What a command prints.
    fn run(&mut self, command: &str) -> String {
        let exit = if self.exits { "((code == 0)) || echo \"[exit code $code]\"" } else { ":" };
        let line =
            format!("{{ {command}\n}} </dev/null 2>&1\ncode=$?\n{exit}\nprintf '\\{END:03o}'\n");
        let stdin = self.stdin.as_mut().expect("it is closed at the end only");
        stdin.write_all(line.as_bytes()).expect("the shell reads");
        let mut output = Vec::new();
        self.stdout.read_until(END, &mut output).expect("the shell writes");
        assert_eq!(output.pop(), Some(END), "the shell ended at {command}");
        String::from_utf8(output).expect("output is UTF-8")
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

/// Which ids stand for which.
struct Names {
    /// Whole ids of the document, by their beginnings.
    whole: HashMap<String, String>,
    /// The beginnings of ids of the document by those that were printed.
    printed: HashMap<String, String>,
    /// What was printed, whole where that was, by the beginnings of ids of the document.
    documented: HashMap<String, String>,
}

impl Names {
    fn of(document: &str) -> Self {
        let whole = tokens(document).into_iter().filter_map(|(at, kind)| {
            let id = &document[at];
            (kind == Kind::Id && id.len() == FULL).then(|| (id[..SHORT].to_owned(), id.to_owned()))
        });
        Self { whole: whole.collect(), printed: HashMap::new(), documented: HashMap::new() }
    }

    /// A command, with the ids that there are.
    fn in_command(&self, command: &str) -> String {
        rewrite(command, |text, kind| {
            let id = self.documented.get(text.get(..SHORT)?).filter(|_| kind == Kind::Id)?;
            Some(id[..text.len().min(id.len())].to_owned())
        })
    }

    /// Output, with the ids and times that the document has.
    fn in_output(&mut self, output: &str, said: &str) -> String {
        let ids = |text: &str| -> Vec<String> {
            let tokens = tokens(text).into_iter().filter(|(_, kind)| *kind == Kind::Id);
            tokens.map(|(at, _)| text[at].to_owned()).collect()
        };
        // New ones come in the same order.
        let mut new = ids(said);
        new.retain(|id| !self.documented.contains_key(&id[..SHORT]));
        let mut new = new.into_iter();
        for printed in ids(output) {
            let short = &printed[..SHORT];
            if let Some(known) = self.printed.get(short) {
                // Perhaps it was not whole before.
                let longest = self.documented.get(known).filter(|id| id.len() == FULL);
                let longest = longest.unwrap_or(&printed).clone();
                self.documented.insert(known.clone(), longest);
            } else if let Some(documented) =
                new.find(|id| !self.documented.contains_key(&id[..SHORT]))
            {
                self.printed.insert(short.to_owned(), documented[..SHORT].to_owned());
                self.documented.insert(documented[..SHORT].to_owned(), printed);
            }
        }
        let mut times = tokens(said).into_iter().filter(|(_, kind)| *kind == Kind::Time);
        let text = rewrite(output, |text, kind| match kind {
            Kind::Time => times.next().map(|(at, _)| said[at].to_owned()),
            Kind::Id => {
                let short = self.printed.get(&text[..SHORT])?;
                match text.len() {
                    SHORT => Some(short.clone()),
                    _ => self.whole.get(short).cloned(),
                }
            }
        });
        sort_ids(&text)
    }
}

/// Sorts lines that are whole ids, as far as they follow each other.
fn sort_ids(text: &str) -> String {
    let is_id = |line: &str| line.trim_end().len() == FULL && !line.trim_end().contains(' ');
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    for run in lines.chunk_by_mut(|a, b| is_id(a) && is_id(b)) {
        run.sort_unstable();
    }
    lines.concat()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// An id, of 12 or all 64 digits.
    Id,
    /// A time, or how long ago it is.
    Time,
}

/// Replaces tokens for which there is something else.
fn rewrite(text: &str, mut other: impl FnMut(&str, Kind) -> Option<String>) -> String {
    let mut out = String::new();
    let mut end = 0;
    for (at, kind) in tokens(text) {
        out.push_str(&text[end..at.start]);
        out.push_str(
            &other(&text[at.clone()], kind).unwrap_or_else(|| text[at.clone()].to_owned()),
        );
        end = at.end;
    }
    out.push_str(&text[end..]);
    out
}

/// Where ids and times are.
fn tokens(text: &str) -> Vec<(Range<usize>, Kind)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let word = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let is_hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        if let Some(len) = time_len(rest) {
            found.push((at..at + len, Kind::Time));
            at += len;
        } else if matches!(word, SHORT | FULL) && rest[..word].bytes().all(is_hex) {
            found.push((at..at + word, Kind::Id));
            at += word;
        } else {
            at += word.max(rest.chars().next().map_or(1, char::len_utf8));
        }
    }
    found
}

/// How long the time is that a text begins with.
fn time_len(text: &str) -> Option<usize> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let shape = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
    };
    let begin = text.get(..19).map(shape);
    if begin.as_deref() == Some("0000-00-00T00:00:00") {
        return Some(text.find('Z')? + 1);
    }
    if begin.as_deref() == Some("0000-00-00 00:00:00") {
        let zone = text.get(19..25).map(shape);
        return Some(if zone.is_some_and(|zone| zone == " +0000") { 25 } else { 19 });
    }
    if digits == 0 {
        return None;
    }
    let mut words = text[digits..].splitn(4, ' ');
    let (nothing, unit, ago) = (words.next()?, words.next()?, words.next()?);
    let is_unit = matches!(unit.trim_end_matches('s'), "second" | "minute" | "hour");
    let is_ago = nothing.is_empty() && is_unit && ago.starts_with("ago");
    is_ago.then(|| digits + 1 + unit.len() + " ago".len())
}

/// The runner watched at work.
mod tests {
    use super::{Names, said, sort_ids, tokens};

    const A: &str = "1d6918724d0b";
    const B: &str = "40380d8ac5c4";

    #[test]
    fn ids_must_be_the_same_wherever_they_come_again() {
        let mut names = Names::of(&format!("{A} {B}"));
        let said = format!("made {A}\n{B}  2026-11-22 20:50:42  (3 seconds ago)\n");
        let text = "made aaaaaaaaaaaa\nbbbbbbbbbbbb  2027-01-01 00:00:00  (1 second ago)\n";
        assert_eq!(names.in_output(text, &said), said);
        assert_eq!(names.in_command(&format!("ls {B}/x")), "ls bbbbbbbbbbbb/x");
        // The other one in its place is told.
        assert_eq!(names.in_output("bbbbbbbbbbbb\n", &format!("{A}\n")), format!("{B}\n"));
        // One too many stays as it is.
        assert_eq!(names.in_output("cccccccccccc\n", ""), "cccccccccccc\n");
    }

    #[test]
    fn what_is_an_id_or_a_time_is_told_from_what_is_not() {
        let found = |text: &str| {
            tokens(text).into_iter().map(|(at, _)| text[at].to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(found(&format!("x-{A}:{B}g {}", "a".repeat(64))), [A, &"a".repeat(64)]);
        for time in [
            "2026-11-22 20:50:42",
            "2026-11-22 20:50:42 +0000",
            "1 minute ago",
            "2026-11-22T20:50:42.000000001Z",
        ] {
            assert_eq!(found(&format!("({time})")), [time]);
        }
        assert_eq!(found("3 paths, 12 seconds, 2026-11-22"), [""; 0]);
    }

    #[test]
    fn output_ends_where_prose_or_a_command_begins() {
        assert_eq!(said(&["    a", "", "    b", "", "prose", "    c"]), ["    a", "", "    b"]);
        assert_eq!(said(&["    a", "    $ b"]), ["    a"]);
        assert_eq!(said(&["", "    $ b"]), [""; 0]);
        assert_eq!(said(&["", "prose"]), [""; 0]);
    }

    #[test]
    fn only_lines_of_ids_are_sorted() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        assert_eq!(sort_ids(&format!("x\n{b}\n{a}\nc\nb\n")), format!("x\n{a}\n{b}\nc\nb\n"));
    }
}
