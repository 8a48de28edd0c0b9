//! The history of a git repository, commit by commit.
//!
//! `git fast-export` tells what each commit changes in its first parent. This is done to the tree
//! of the store, which is brought back to the parent before, where the history branches; then it is
//! committed. What a file holds is told once: when it comes up again, the store has it.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{ChildStdout, Command as Process, Stdio};

use serde::Serialize;

use super::fast_export::{Change, Command, CommitHead, Content, StreamReader, Target};
use super::git::{Bytes, GitTree, LeftOut};
use super::scratch::Scratch;
use super::{ImportArgs, make_store};
use crate::base::limits::{AUTHOR_BYTES_MAX, MESSAGE_BYTES_MAX};
use crate::cli::error::CliError;
use crate::cli::place::Place;
use crate::cli::progress::ProgressLine;
use crate::cli::terminal::Terminal;
use crate::cli::units::count_text;
use crate::model::{CommitId, Ino, Timestamp};
use crate::repo::{CommitRequest, Repo, RestoreRequest, TagChange, TagName, TagRequest};
use crate::worktree::Worktree;

const READ_BYTES: usize = 1024 * 1024;
/// What the names of tags begin with in git.
const TAGS: &[u8] = b"refs/tags/";

/// What `--json` prints:
///
/// ```json
/// {"commits":2,"tags":1,"head":"64 hex digits",
///  "left_out":{"submodules":0,"names":0,"symlinks":0,"tags":0}}
/// ```
#[derive(Debug, Serialize)]
struct JsonHistory {
    commits: u64,
    tags: u64,
    head: Option<String>,
    left_out: LeftOut,
}

/// Imports a history.
pub(super) fn run(
    args: &ImportArgs,
    store: Option<&Path>,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let git = Git { directory: &args.source };
    let revision = args.revision.as_deref().unwrap_or(OsStr::new("HEAD"));
    let commit = git.commit(revision)?;
    let tags = git.tags(&commit)?;
    make_store(store)?;
    let place = Place::find(store)?;
    if place.daemon().is_some() || place.reader().is_some() {
        return Err(CliError::ImportGitMounted);
    }
    let scratch = Scratch::new(place.store()).map_err(|error| {
        CliError::io(format!("making a file in {}", place.store().display()), error)
    })?;
    let (done, head) = place.with_repo(|repo| {
        let is_empty = |tree: &Worktree| tree.is_empty_directory(Ino::ROOT);
        if repo.newest().is_some() || !repo.look(is_empty) {
            return Err(CliError::ImportGitNotEmpty);
        }
        let mut import = History {
            repo,
            tree: GitTree::new(repo),
            scratch,
            told: HashMap::new(),
            used: Vec::new(),
            pending: None,
            commits: HashMap::new(),
            tags: BTreeMap::new(),
            wanted: commit.clone(),
            head: None,
            done: 0,
        };
        git.export(&commit, &tags, |stream| import.read(stream))?;
        import.finish()
    })?;
    if args.json {
        let head = head.map(|id| id.to_string());
        let (commits, tags) = (done.commits, done.tags);
        terminal.json(&JsonHistory { commits, tags, head, left_out: done.left_out })?;
    } else {
        let (commits, tags) = (count_text(done.commits, "commit"), count_text(done.tags, "tag"));
        let head = head.map_or_else(|| "none".to_owned(), |id| id.object().short());
        terminal.line(&format!("imported {commits} and {tags}; HEAD is {head}"))?;
    }
    if let Some(remark) = done.left_out.remark() {
        terminal.remark(&remark)?;
    }
    Ok(())
}

/// What was imported.
struct Done {
    commits: u64,
    tags: u64,
    left_out: LeftOut,
}

/// A repository of git, asked by its own program.
struct Git<'a> {
    directory: &'a Path,
}

impl Git<'_> {
    fn process(&self, args: &[&OsStr]) -> Process {
        let mut process = Process::new("git");
        process.arg("-C").arg(self.directory).args(args).stdin(Stdio::null());
        process
    }

    /// What git prints, which says itself on stderr why it prints nothing.
    fn ask(&self, args: &[&OsStr]) -> Result<String, CliError> {
        let output = self.process(args).stderr(Stdio::inherit()).output();
        let output = output.map_err(|error| CliError::io("running git", error))?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(CliError::Git(self.directory.to_owned())),
        }
    }

    /// The id of a commit.
    fn commit(&self, revision: &OsStr) -> Result<String, CliError> {
        let commit = [revision.as_bytes(), b"^{commit}"].concat();
        let ask = ["rev-parse", "--verify", "--end-of-options"].map(OsStr::new);
        let id = self.ask(&[&ask[..], &[OsStr::from_bytes(&commit)]].concat())?;
        Ok(id.trim_end().to_owned())
    }

    /// The tags of a commit and of those that it follows.
    fn tags(&self, commit: &str) -> Result<Vec<String>, CliError> {
        let merged = format!("--merged={commit}");
        let ask = ["for-each-ref", "--format=%(refname)", merged.as_str(), "refs/tags"];
        Ok(self.ask(&ask.map(OsStr::new))?.lines().map(str::to_owned).collect())
    }

    /// Has the history told.
    fn export(
        &self,
        commit: &str,
        tags: &[String],
        read: impl FnOnce(&mut StreamReader<BufReader<ChildStdout>>) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let mut args = vec![
            "fast-export",
            "--show-original-ids",
            "--use-done-feature",
            "--signed-tags=strip",
            "--tag-of-filtered-object=drop",
            "--reencode=yes",
            commit,
        ];
        args.extend(tags.iter().map(String::as_str));
        let args: Vec<&OsStr> = args.into_iter().map(OsStr::new).collect();
        let running = |error| CliError::io("running git fast-export", error);
        let mut child = self.process(&args).stdout(Stdio::piped()).spawn().map_err(running)?;
        let read = match child.stdout.take() {
            Some(stdout) => {
                let input = BufReader::with_capacity(READ_BYTES, stdout);
                read(&mut StreamReader::new(input))
            }
            None => Ok(()),
        };
        let status = child.wait().map_err(running)?;
        // Git has said why it ended early, and the stream is cut off because of that.
        match read {
            Ok(()) if status.success() => Ok(()),
            Err(error) if status.success() => Err(error),
            Err(error @ CliError::Repo(_)) => Err(error),
            _ => Err(CliError::Git(self.directory.to_owned())),
        }
    }
}

/// A history that is being imported.
struct History<'a> {
    repo: &'a Repo,
    tree: GitTree<'a>,
    /// Contents that were told and not used.
    scratch: Scratch,
    /// Contents that were used, by their marks.
    told: HashMap<u64, Bytes>,
    /// Which contents the files of this commit got for the first time.
    used: Vec<(u64, Ino)>,
    /// The commit whose changes are being told.
    pending: Option<Box<CommitHead>>,
    commits: HashMap<u64, CommitId>,
    tags: BTreeMap<TagName, CommitId>,
    /// The commit of git that becomes HEAD,
    wanted: String,
    /// and what it became.
    head: Option<CommitId>,
    done: u64,
}

impl History<'_> {
    fn read(&mut self, stream: &mut StreamReader<impl BufRead>) -> Result<(), CliError> {
        let line = ProgressLine::without_end("importing");
        let done = self.read_all(stream, &line);
        line.finish();
        done
    }

    fn read_all(
        &mut self,
        stream: &mut StreamReader<impl BufRead>,
        line: &ProgressLine,
    ) -> Result<(), CliError> {
        loop {
            let command = stream.next()?;
            if !matches!(command, Command::Change(_)) {
                self.commit()?;
                line.show(stream.offset(), 0, self.done, "commits");
            }
            match command {
                Command::Blob { mark } => {
                    let scratch = &mut self.scratch;
                    stream.content(|content, _| match mark {
                        Some(mark) => scratch.add(mark, content),
                        // Nobody can name it.
                        None => Ok(()),
                    })?;
                }
                Command::Commit(head) => self.begin(head)?,
                Command::Change(change) => self.change(change)?,
                Command::Reset { name, from } => {
                    if let Some(name) = name.strip_prefix(TAGS)
                        && let Some(from) = from
                    {
                        self.tag(name, self.find(&from).ok());
                    }
                }
                Command::Tag { name, from } => self.tag(&name, self.find(&from).ok()),
                Command::End => return Ok(()),
            }
        }
    }

    /// Begins a commit: the tree becomes that of its first parent.
    fn begin(&mut self, head: Box<CommitHead>) -> Result<(), CliError> {
        self.tree.time = Timestamp { secs: head.author.secs, nanos: 0 };
        match head.parents.first() {
            Some(parent) => {
                let parent = self.find(parent)?;
                if self.repo.head() != Some(parent) {
                    self.restore(parent)?;
                }
            }
            // It knows nothing of what was there before.
            None => self.tree.remove_all()?,
        }
        self.pending = Some(head);
        Ok(())
    }

    /// Commits what was told last, if that was a commit.
    fn commit(&mut self) -> Result<(), CliError> {
        let Some(head) = self.pending.take() else { return Ok(()) };
        let id = self.repo.commit(&CommitRequest {
            message: text(
                head.message.strip_suffix(b"\n").unwrap_or(&head.message),
                MESSAGE_BYTES_MAX,
            ),
            author: Some(text(&head.author.name, AUTHOR_BYTES_MAX)),
            time: Some(self.tree.time),
            allow_empty: true,
            durable: false,
        })?;
        for (mark, ino) in self.used.drain(..) {
            if let Some(content) = self.tree.content(ino) {
                self.told.insert(mark, content);
                self.scratch.forget(mark).map_err(scratch_failed)?;
            }
        }
        self.commits.extend(head.mark.map(|mark| (mark, id)));
        if let Some(name) = head.name.strip_prefix(TAGS) {
            // The last commit under this name is what it names.
            self.tag(name, Some(id));
        }
        if head.oid.as_ref() == Some(&self.wanted) {
            self.head = Some(id);
        }
        self.done += 1;
        self.tree.let_go()
    }

    fn restore(&mut self, commit: CommitId) -> Result<(), CliError> {
        let request = RestoreRequest { revision: commit.to_string(), paths: Vec::new() };
        let restored = self.repo.restore(&request)?;
        self.tree.forget_removed(&restored.touched)
    }

    fn find(&self, target: &Target) -> Result<CommitId, CliError> {
        let found = match target {
            Target::Mark(mark) => self.commits.get(mark).copied(),
            Target::Named(_) => None,
        };
        found.ok_or_else(|| CliError::ImportGitUnknown(format!("{target:?}")))
    }

    /// Remembers a tag. One of something else than a commit is none here.
    fn tag(&mut self, name: &[u8], commit: Option<CommitId>) {
        match (TagName::new(&String::from_utf8_lossy(name)), commit) {
            (Ok(name), Some(id)) => drop(self.tags.insert(name, id)),
            _ => self.tree.left_out.tags += 1,
        }
    }

    fn change(&mut self, change: Change) -> Result<(), CliError> {
        match change {
            Change::Modify { mode, content, path } => {
                let (mark, bytes) = match content {
                    Content::Inline(bytes) => (None, Bytes::Here(bytes.into())),
                    // A commit of another repository.
                    Content::Told(Target::Named(_)) => (None, Bytes::Here(Box::default())),
                    Content::Told(Target::Mark(mark)) => (Some(mark), self.bytes(mark)?),
                };
                let made = self.tree.modify(&path, mode, &bytes, &self.scratch)?;
                if let (Some(mark), Some(ino), Bytes::Scratch(_)) = (mark, made, &bytes) {
                    self.used.push((mark, ino));
                }
                Ok(())
            }
            Change::Delete(path) => self.tree.delete(&path),
            Change::DeleteAll => self.tree.remove_all(),
            Change::Rename(from, to) => self.tree.rename(&from, &to),
            Change::Copy(from, to) => self.tree.copy(&from, &to, &self.scratch),
            Change::Note => Ok(()),
        }
    }

    fn bytes(&self, mark: u64) -> Result<Bytes, CliError> {
        let scratch = self.scratch.find(mark).map(Bytes::Scratch);
        let found = scratch.or_else(|| self.told.get(&mark).cloned());
        found.ok_or_else(|| CliError::ImportGitUnknown(format!("mark :{mark}")))
    }

    /// Sets HEAD and the tags.
    fn finish(mut self) -> Result<(Done, Option<CommitId>), CliError> {
        if let Some(head) = self.head
            && self.repo.head() != Some(head)
        {
            self.restore(head)?;
        }
        for (name, id) in &self.tags {
            let change = TagChange::Make(id.to_string());
            self.repo.tag(&TagRequest { name: name.clone(), change })?;
        }
        let tags = self.tags.len() as u64;
        let done = Done { commits: self.done, tags, left_out: self.tree.left_out };
        Ok((done, self.repo.head()))
    }
}

/// The error for the file of contents.
pub(super) fn scratch_failed(error: io::Error) -> CliError {
    CliError::io("keeping a content of git", error)
}

/// As much of a text as there can be.
fn text(bytes: &[u8], len_max: usize) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    let mut end = text.len().min(len_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(text("aéb".as_bytes(), 2), "a");
        assert_eq!(text("aéb".as_bytes(), 3), "aé");
        assert_eq!(text(b"a\xff", 9), "a\u{fffd}");
    }
}
