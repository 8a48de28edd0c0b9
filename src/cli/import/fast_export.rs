//! Reads the stream that `git fast-export` writes.
//!
//! ```text
//! stream  = (feature | option | progress | checkpoint | blob | commit | reset | tag)* "done"?
//! blob    = "blob" LF mark? original-oid? data
//! commit  = "commit" SP ref LF mark? original-oid? author? committer encoding? data
//!           from? merge* change* LF?
//! reset   = "reset" SP ref LF from? LF?
//! tag     = "tag" SP name LF mark? from original-oid? tagger? data
//! change  = "M" SP mode SP (mark | id | "inline") SP path LF data?       a new content of a file
//!         | "D" SP path LF | "deleteall" LF | "N" …                     gone; everything; a note
//!         | "R" SP path SP path LF | "C" SP path SP path LF              moved; copied
//! data    = "data" SP length LF bytes LF?
//! ```
//!
//! A path is all that is left of its line, or stands in quotes as in C. Commands are told one after
//! the other, and contents as readers, so that memory does not grow with the stream. A command that
//! is not understood is an error with its offset.

use std::io::{self, BufRead, Read};

use crate::vfs::text::unquote_first;

/// Longest line: two quoted paths have room in it.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Longest message; git itself has no bound.
const MESSAGE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Longest content that comes amid the changes of a commit.
const INLINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Why a stream cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    /// It is not what it should be.
    #[error("the stream of git is not understood at offset {offset}: {what}")]
    Syntax {
        /// Where.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// It cannot be read.
    #[error("reading the stream of git: {0}")]
    Io(#[from] io::Error),
}

/// A part of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// A content follows: read it with [`StreamReader::content`].
    Blob {
        /// What it is called from now on.
        mark: Option<u64>,
    },
    /// A commit begins; what it changes follows.
    Commit(Box<CommitHead>),
    /// A change of the commit that was told last.
    Change(Change),
    /// A name for a commit.
    Reset {
        /// The name, with `refs/`.
        name: Vec<u8>,
        /// What it names; nothing if it is to begin anew.
        from: Option<Target>,
    },
    /// A tag with a message.
    Tag {
        /// The name, without `refs/tags/`.
        name: Vec<u8>,
        /// What it names.
        from: Target,
    },
    /// The end.
    End,
}

/// What a commit begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CommitHead {
    /// The branch or tag that it becomes the newest commit of, with `refs/`.
    pub(super) name: Vec<u8>,
    /// What it is called from now on.
    pub(super) mark: Option<u64>,
    /// Its id in git.
    pub(super) oid: Option<String>,
    /// Who wrote it.
    pub(super) author: Person,
    /// What was said about it.
    pub(super) message: Vec<u8>,
    /// The commits that it follows.
    pub(super) parents: Vec<Target>,
}

/// Who did something, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Person {
    /// `NAME <ADDRESS>`.
    pub(super) name: Vec<u8>,
    /// Seconds since 1970.
    pub(super) secs: i64,
}

/// What names an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// What had this mark.
    Mark(u64),
    /// An id, or a name of something that was there before.
    Named(Vec<u8>),
}

/// A change of a tree.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A file has this content.
    Modify {
        /// Its kind and whether it can be executed, as git writes it.
        mode: u32,
        /// Its content.
        content: Content,
        /// Its path.
        path: Vec<u8>,
    },
    /// What is there and below is gone.
    Delete(Vec<u8>),
    /// What is there moves.
    Rename(Vec<u8>, Vec<u8>),
    /// What is there is also elsewhere.
    Copy(Vec<u8>, Vec<u8>),
    /// Everything is gone.
    DeleteAll,
    /// A note, which belongs to no tree.
    Note,
}

/// Where a content is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// It was told before.
    Told(Target),
    /// It is this.
    Inline(Vec<u8>),
}

/// Reads a stream.
pub(super) struct StreamReader<R> {
    input: R,
    offset: u64,
    /// A line that was read and not used.
    line: Option<Vec<u8>>,
    /// Where the last line begins.
    line_offset: u64,
    /// A commit was begun, and may have changes.
    in_commit: bool,
    must_be_done: bool,
}

type Parsed<T> = Result<T, StreamError>;

impl<R: BufRead> StreamReader<R> {
    /// Reads from `input`.
    pub(super) fn new(input: R) -> Self {
        let (line, must_be_done) = (None, false);
        Self { input, offset: 0, line, line_offset: 0, in_commit: false, must_be_done }
    }

    /// Where reading has come to.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads the next command.
    pub(super) fn next(&mut self) -> Parsed<Command> {
        loop {
            let Some(line) = self.take_line()? else {
                return match self.must_be_done {
                    true => Err(self.syntax("it ends early")),
                    false => Ok(Command::End),
                };
            };
            if self.in_commit
                && let Some(change) = self.change(&line)?
            {
                return Ok(Command::Change(change));
            }
            self.in_commit = false;
            let (word, rest) = split_word(&line);
            match word {
                b"feature" if rest == b"done" => self.must_be_done = true,
                b"feature" | b"option" | b"progress" | b"checkpoint" => {}
                b"done" => return Ok(Command::End),
                b"blob" => {
                    let mark = self.mark()?;
                    self.original_oid()?;
                    return Ok(Command::Blob { mark });
                }
                b"commit" => return self.commit(rest.to_vec()),
                b"reset" => {
                    let (name, from) = (rest.to_vec(), self.target("from")?);
                    return Ok(Command::Reset { name, from });
                }
                b"tag" => return self.tag(rest.to_vec()),
                _ => return Err(self.unknown("command", &line)),
            }
        }
    }

    /// Hands out the content that comes next, all of which is read on return.
    pub(super) fn content<T>(
        &mut self,
        take: impl FnOnce(&mut dyn Read, u64) -> io::Result<T>,
    ) -> Parsed<T> {
        let size = self.data_size()?;
        let mut content = (&mut self.input).take(size);
        let taken = take(&mut content, size)?;
        io::copy(&mut content, &mut io::sink())?;
        let missing = content.limit();
        self.offset += size - missing;
        match missing {
            0 => Ok(taken),
            _ => Err(self.here("a content ends early")),
        }
    }

    fn commit(&mut self, name: Vec<u8>) -> Parsed<Command> {
        let (mark, oid) = (self.mark()?, self.original_oid()?);
        let mut author = None;
        loop {
            let Some(line) = self.take_line()? else {
                return Err(self.syntax("a commit ends early"));
            };
            let (word, rest) = split_word(&line);
            match word {
                b"author" => author = Some(self.person(rest)?),
                b"committer" => {
                    let committer = self.person(rest)?;
                    author.get_or_insert(committer);
                }
                // The stream is asked for in UTF-8; signatures are of what git had.
                b"encoding" => {}
                b"gpgsig" => drop(self.bytes(MESSAGE_BYTES_MAX)?),
                _ => {
                    self.line = Some(line);
                    break;
                }
            }
        }
        let author = author.ok_or_else(|| self.syntax("a commit without a committer"))?;
        let message = self.bytes(MESSAGE_BYTES_MAX)?;
        let mut parents: Vec<_> = self.target("from")?.into_iter().collect();
        while let Some(parent) = self.target("merge")? {
            parents.push(parent);
        }
        self.in_commit = true;
        Ok(Command::Commit(Box::new(CommitHead { name, mark, oid, author, message, parents })))
    }

    fn tag(&mut self, name: Vec<u8>) -> Parsed<Command> {
        self.mark()?;
        let from = self.target("from")?.ok_or_else(|| self.syntax("a tag of nothing"))?;
        self.original_oid()?;
        if let Some(line) = self.take_line()?
            && split_word(&line).0 != b"tagger"
        {
            self.line = Some(line);
        }
        self.bytes(MESSAGE_BYTES_MAX)?;
        Ok(Command::Tag { name, from })
    }

    /// Understands a line as a change, if it is one.
    fn change(&mut self, line: &[u8]) -> Parsed<Option<Change>> {
        let (word, rest) = split_word(line);
        Ok(Some(match word {
            b"M" => {
                let (mode, rest) = split_word(rest);
                let (content, rest) = split_word(rest);
                let mode = str::from_utf8(mode).ok().and_then(|m| u32::from_str_radix(m, 8).ok());
                let mode = mode.ok_or_else(|| self.unknown("mode", line))?;
                let path = self.last_path(rest)?;
                let content = match content {
                    b"inline" => Content::Inline(self.bytes(INLINE_BYTES_MAX)?),
                    content => Content::Told(self.name(content)?),
                };
                Change::Modify { mode, content, path }
            }
            b"D" => Change::Delete(self.last_path(rest)?),
            b"R" | b"C" => {
                let (from, rest) = match unquote_first(rest) {
                    Some((path, rest)) => (path, rest.strip_prefix(b" ")),
                    None => {
                        let (path, rest) = split_word(rest);
                        (path.to_vec(), Some(rest))
                    }
                };
                let to = rest.ok_or_else(|| self.unknown("path", line))?;
                let to = self.last_path(to)?;
                if word == b"R" { Change::Rename(from, to) } else { Change::Copy(from, to) }
            }
            b"deleteall" => Change::DeleteAll,
            b"N" => {
                if split_word(rest).0 == b"inline" {
                    self.bytes(INLINE_BYTES_MAX)?;
                }
                Change::Note
            }
            _ => return Ok(None),
        }))
    }

    /// A path that fills the rest of a line.
    fn last_path(&self, text: &[u8]) -> Parsed<Vec<u8>> {
        if !text.starts_with(b"\"") {
            return Ok(text.to_vec());
        }
        match unquote_first(text) {
            Some((path, [])) => Ok(path),
            _ => Err(self.unknown("path", text)),
        }
    }

    fn mark(&mut self) -> Parsed<Option<u64>> {
        let Some(line) = self.line_of("mark")? else { return Ok(None) };
        match self.name(&line)? {
            Target::Mark(mark) => Ok(Some(mark)),
            Target::Named(_) => Err(self.unknown("mark", &line)),
        }
    }

    fn original_oid(&mut self) -> Parsed<Option<String>> {
        let line = self.line_of("original-oid")?;
        Ok(line.map(|line| String::from_utf8_lossy(&line).into_owned()))
    }

    fn target(&mut self, word: &str) -> Parsed<Option<Target>> {
        let Some(line) = self.line_of(word)? else { return Ok(None) };
        self.name(&line).map(Some)
    }

    fn name(&self, text: &[u8]) -> Parsed<Target> {
        let Some(digits) = text.strip_prefix(b":") else { return Ok(Target::Named(text.to_vec())) };
        let mark = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        mark.map(Target::Mark).ok_or_else(|| self.unknown("mark", text))
    }

    /// `NAME <ADDRESS> SECONDS ZONE`.
    fn person(&self, text: &[u8]) -> Parsed<Person> {
        let end = text.iter().rposition(|byte| *byte == b'>').map(|at| at + 1);
        let (name, time) = text.split_at(end.ok_or_else(|| self.unknown("person", text))?);
        let secs = str::from_utf8(time).ok().and_then(|time| time.split_whitespace().next());
        let secs = secs.and_then(|secs| secs.parse().ok());
        let secs = secs.ok_or_else(|| self.unknown("time", text))?;
        Ok(Person { name: name.to_vec(), secs })
    }

    fn bytes(&mut self, len_max: u64) -> Parsed<Vec<u8>> {
        let size = self.data_size()?;
        if size > len_max {
            return Err(self.syntax(&format!("more than {len_max} bytes of data")));
        }
        let mut bytes = Vec::new();
        let read = (&mut self.input).take(size).read_to_end(&mut bytes)?;
        self.offset += read as u64;
        if read as u64 == size { Ok(bytes) } else { Err(self.here("data ends early")) }
    }

    fn data_size(&mut self) -> Parsed<u64> {
        let line = self.line_of("data")?.ok_or_else(|| self.syntax("data was expected"))?;
        let size = str::from_utf8(&line).ok().and_then(|size| size.parse().ok());
        size.ok_or_else(|| self.unknown("length of data", &line))
    }

    /// What is behind a word that the next line may begin with.
    fn line_of(&mut self, word: &str) -> Parsed<Option<Vec<u8>>> {
        let Some(line) = self.take_line()? else { return Ok(None) };
        if let Some(rest) = line.strip_prefix(word.as_bytes()).and_then(|l| l.strip_prefix(b" ")) {
            return Ok(Some(rest.to_vec()));
        }
        self.line = Some(line);
        Ok(None)
    }

    /// The next line without its end. Empty lines between commands mean nothing, and comments
    /// neither.
    fn take_line(&mut self) -> Parsed<Option<Vec<u8>>> {
        if let Some(line) = self.line.take() {
            return Ok(Some(line));
        }
        loop {
            let mut line = Vec::new();
            self.line_offset = self.offset;
            let mut input = (&mut self.input).take(LINE_BYTES_MAX as u64);
            let read = input.read_until(b'\n', &mut line)?;
            self.offset += read as u64;
            if read == 0 {
                return Ok(None);
            }
            if line.pop() != Some(b'\n') {
                return Err(self.syntax("a line without an end, or a longer one than there can be"));
            }
            if !line.starts_with(b"#") && !line.is_empty() {
                return Ok(Some(line));
            }
        }
    }

    /// An error in the last line.
    fn syntax(&self, what: &str) -> StreamError {
        StreamError::Syntax { offset: self.line_offset, what: what.to_owned() }
    }

    /// An error where reading has come to.
    fn here(&self, what: &str) -> StreamError {
        StreamError::Syntax { offset: self.offset, what: what.to_owned() }
    }

    fn unknown(&self, what: &str, text: &[u8]) -> StreamError {
        self.syntax(&format!("{:?} is no {what}", text.escape_ascii().to_string()))
    }
}

/// The first word of a line, and what is behind the blank.
fn split_word(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|byte| *byte == b' ') {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, &[]),
    }
}

#[cfg(test)]
mod tests;
