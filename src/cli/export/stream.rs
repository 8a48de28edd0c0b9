//! Writes the stream that `git fast-import` reads.

use std::io::{self, Write};

use crate::cli::error::CliError;
use crate::cli::git::names::put_path;
use crate::model::{Commit, Content, ObjectSource};
use crate::worktree::File;

/// Bytes of content that are read at a time.
const READ_BYTES: usize = 1024 * 1024;

/// What a file is for git.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Executable,
    Symlink,
}

impl Kind {
    fn mode(self) -> &'static str {
        match self {
            Self::File => "100644",
            Self::Executable => "100755",
            Self::Symlink => "120000",
        }
    }
}

/// The content of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Blob {
    /// It was sent with this mark.
    Mark(u64),
    /// These bytes.
    Inline(Box<[u8]>),
}

/// What a commit changes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A file is gone.
    Delete(Vec<u8>),
    /// A file is new or another one.
    Modify {
        /// Its path.
        path: Vec<u8>,
        /// What it is.
        kind: Kind,
        /// Its content, or its target.
        blob: Blob,
    },
}

/// What a commit follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parent {
    /// A commit of the stream.
    Mark(u64),
    /// What the branch was before the stream.
    Branch,
}

/// Writes a stream.
pub(super) struct FastImportWriter<W: Write> {
    out: W,
    marks: u64,
}

impl<W: Write> FastImportWriter<W> {
    /// Writes to `out`.
    pub(super) fn new(out: W) -> Self {
        Self { out, marks: 0 }
    }

    /// Begins a stream that is known to be whole by its end.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        self.out.write_all(b"feature done\n")
    }

    /// Ends the stream.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.out.write_all(b"done\n")
    }

    /// Sends a content, and returns its mark.
    pub(super) fn blob(
        &mut self,
        size: u64,
        content: Content,
        src: &dyn ObjectSource,
    ) -> Result<u64, CliError> {
        let mark = self.next_mark();
        write!(self.out, "blob\nmark :{mark}\ndata {size}\n")?;
        let file = File::stored(size, content);
        let mut buffer = vec![0; usize::try_from(size).unwrap_or(READ_BYTES).min(READ_BYTES)];
        let mut offset = 0;
        while offset < size {
            let len = file.read(offset, &mut buffer, src)?;
            self.out.write_all(&buffer[..len])?;
            offset += len as u64;
        }
        self.out.write_all(b"\n")?;
        Ok(mark)
    }

    /// Sends a commit as the newest one of a branch, and returns its mark.
    pub(super) fn commit(
        &mut self,
        branch: &str,
        commit: &Commit,
        parents: &[Parent],
        changes: &[Change],
    ) -> io::Result<u64> {
        let mark = self.next_mark();
        if parents.is_empty() {
            // Otherwise it would follow what the branch is.
            write!(self.out, "reset {branch}\n\n")?;
        }
        let mut text = format!("commit {branch}\nmark :{mark}\n").into_bytes();
        // Git knows whole seconds since 1970.
        let time = commit.time.secs.max(0);
        text.extend(format!("committer {} {time} +0000\n", person(&commit.author)).as_bytes());
        put_data(&mut text, message(&commit.message).as_bytes());
        for (number, parent) in parents.iter().enumerate() {
            let word = if number == 0 { "from" } else { "merge" };
            text.extend(match parent {
                Parent::Mark(mark) => format!("{word} :{mark}\n").into_bytes(),
                Parent::Branch => format!("{word} {branch}^0\n").into_bytes(),
            });
        }
        self.out.write_all(&text)?;
        for change in changes {
            text.clear();
            put_change(&mut text, change);
            self.out.write_all(&text)?;
        }
        self.out.write_all(b"\n")?;
        Ok(mark)
    }

    /// Points a branch or tag to a commit.
    pub(super) fn reset(&mut self, name: &str, mark: u64) -> io::Result<()> {
        write!(self.out, "reset {name}\nfrom :{mark}\n\n")
    }

    fn next_mark(&mut self) -> u64 {
        self.marks += 1;
        self.marks
    }
}

fn put_data(text: &mut Vec<u8>, data: &[u8]) {
    text.extend_from_slice(format!("data {}\n", data.len()).as_bytes());
    text.extend_from_slice(data);
    text.push(b'\n');
}

fn put_change(text: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Delete(path) => {
            text.extend_from_slice(b"D ");
            put_path(text, path);
            text.push(b'\n');
        }
        Change::Modify { path, kind, blob } => {
            text.extend_from_slice(format!("M {} ", kind.mode()).as_bytes());
            match blob {
                Blob::Mark(mark) => text.extend_from_slice(format!(":{mark} ").as_bytes()),
                Blob::Inline(_) => text.extend_from_slice(b"inline "),
            }
            put_path(text, path);
            text.push(b'\n');
            if let Blob::Inline(data) = blob {
                put_data(text, data);
            }
        }
    }
}

/// Messages end with a newline in git, and without one here. Git takes none with a NUL.
fn message(text: &str) -> String {
    let text = text.replace('\0', "\u{fffd}");
    if text.is_empty() { text } else { text + "\n" }
}

/// The author as git takes one: a name, and an address in angle brackets, perhaps empty.
fn person(author: &str) -> String {
    let plain = |text: &str| -> String {
        let is_bad = |c: char| c.is_control() || matches!(c, '<' | '>');
        text.chars().map(|c| if is_bad(c) { ' ' } else { c }).collect::<String>().trim().to_owned()
    };
    let address = author.strip_suffix('>').and_then(|text| text.split_once('<'));
    match address.map(|(name, address)| (plain(name), plain(address))) {
        Some((name, address)) if name.is_empty() => format!("<{address}>"),
        Some((name, address)) => format!("{name} <{address}>"),
        None => format!("{} <>", plain(author)).trim_start().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Blob, Change, FastImportWriter, Kind, Parent, message, person};
    use crate::model::{Commit, ObjectId, RootId, Timestamp};

    #[test]
    fn authors_become_what_git_takes() {
        for (author, git) in [
            ("root", "root <>"),
            ("A Name <name@example.com>", "A Name <name@example.com>"),
            ("a<b>c\n", "a b c <>"),
            ("<only@example.com>", "<only@example.com>"),
            ("", "<>"),
        ] {
            assert_eq!(person(author), git);
        }
    }

    #[test]
    fn messages_get_the_newline_that_git_expects() {
        assert_eq!((message(""), message("a\n\nb\0")), (String::new(), "a\n\nb\u{fffd}\n".into()));
    }

    #[test]
    fn a_commit_is_told_with_what_it_changes() {
        let mut out = Vec::new();
        let mut stream = FastImportWriter::new(&mut out);
        let commit = Commit {
            root: RootId::new(ObjectId::from_bytes([0; 32])),
            parents: Vec::new(),
            time: Timestamp { secs: -5, nanos: 0 },
            author: "a".into(),
            message: "m".into(),
        };
        let modify = |blob| Change::Modify { path: b"x\ny".into(), kind: Kind::Symlink, blob };
        let first = [modify(Blob::Inline((*b"to").into()))];
        stream.commit("refs/heads/b", &commit, &[], &first).unwrap();
        let then = [Change::Delete(b"a b".into()), modify(Blob::Mark(7))];
        let parents = [Parent::Mark(1), Parent::Branch];
        assert_eq!(stream.commit("refs/heads/b", &commit, &parents, &then).unwrap(), 2);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "reset refs/heads/b\n\n\
             commit refs/heads/b\nmark :1\ncommitter a <> 0 +0000\ndata 2\nm\n\n\
             M 120000 inline \"x\\ny\"\ndata 2\nto\n\n\
             commit refs/heads/b\nmark :2\ncommitter a <> 0 +0000\ndata 2\nm\n\n\
             from :1\nmerge refs/heads/b^0\nD a b\nM 120000 :7 \"x\\ny\"\n\n"
        );
    }
}
