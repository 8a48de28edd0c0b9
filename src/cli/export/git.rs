//! The history as a stream for `git fast-import`.
//!
//! Each commit is told as what it changes in its first parent, so the cost follows the differences.
//! A content is sent once, wherever it appears later. Parents come before their children, and the
//! branch is set to HEAD at the end.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::io::Write;

use serde::Serialize;

use super::output::Output;
use super::stream::{Blob, Change, FastImportWriter, Kind, Parent};
use crate::cli::error::CliError;
use crate::cli::git::lineage::Lineage;
use crate::cli::git::names::{accepts_path, accepts_tag};
use crate::cli::place::{Place, View};
use crate::cli::progress::ProgressLine;
use crate::cli::revision::revision_alone;
use crate::cli::terminal::Terminal;
use crate::cli::units::count_text;
use crate::model::{Commit, CommitId, Content, Entry, EntryBody, EntryXattrs, ObjectSource};
use crate::worktree::{ChangeKind, CommittedTree, DiffOptions, diff_roots};

/// What was written, and what git cannot hold. What `--json` prints:
///
/// ```json
/// {"commits":2,"tags":1,"blobs":3,"bytes":10,"left_out":{"empty_directories":1,"special_files":0,
///  "names":0,"tags":0},"reduced":{"extended_attributes":0,"hard_links":0,"owners":0}}
/// ```
///
/// A path is counted in each commit that changed it. What is `reduced` is there, but without
/// what the name says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Exported {
    commits: u64,
    tags: u64,
    blobs: u64,
    bytes: u64,
    left_out: LeftOut,
    reduced: Reduced,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct LeftOut {
    empty_directories: u64,
    special_files: u64,
    names: u64,
    tags: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Reduced {
    extended_attributes: u64,
    hard_links: u64,
    owners: u64,
}

/// How to export a history.
pub(super) struct GitExport<'a> {
    /// Where to.
    pub(super) output: Output<'a>,
    /// What is known already.
    pub(super) since: Option<&'a OsStr>,
    /// Replaces what is there.
    pub(super) force: bool,
    /// Tells of it as JSON.
    pub(super) json: bool,
}

/// Exports the history.
pub(super) fn export(
    request: &GitExport<'_>,
    place: &Place,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let view = place.view()?;
    let since = match request.since {
        Some(since) => {
            let refuse = |_, _| CliError::ExportGitTakesFile;
            Some(view.resolve(revision_alone(since, refuse)?)?)
        }
        None => None,
    };
    let lineage = Lineage::read(&view, since)?;
    let done = request.output.write(request.force, |out| {
        let src = view.history.source();
        let mut export = Export {
            out: FastImportWriter::new(out),
            src,
            blobs: HashMap::new(),
            done: Exported::default(),
        };
        export.run(&view, &lineage)?;
        Ok(export.done)
    })?;
    if request.json {
        terminal.json(&done)?;
    } else if let Output::File(path) = request.output {
        let (commits, tags) = (count_text(done.commits, "commit"), count_text(done.tags, "tag"));
        terminal.line(&format!("wrote {commits} and {tags} into {}", path.display()))?;
    }
    for remark in remarks(&done) {
        terminal.remark(&remark)?;
    }
    Ok(())
}

/// What git does not hold, in words.
fn remarks(done: &Exported) -> Vec<String> {
    let LeftOut { empty_directories, special_files, names, tags } = done.left_out;
    let Reduced { extended_attributes, hard_links, owners } = done.reduced;
    let list = |counts: &[(u64, &str, &str)]| {
        let counts = counts.iter().filter(|(count, ..)| *count > 0);
        let texts = counts.map(|(count, one, several)| match count {
            1 => format!("1 {one}"),
            count => format!("{count} {several}"),
        });
        texts.collect::<Vec<_>>().join(", ")
    };
    let left_out = list(&[
        (empty_directories, "empty directory", "empty directories"),
        (special_files, "fifo, socket or device", "fifos, sockets and devices"),
        (names, "path that git forbids", "paths that git forbids"),
        (tags, "tag that git forbids", "tags that git forbids"),
    ]);
    let reduced = list(&[
        (extended_attributes, "file without its attributes", "files without their attributes"),
        (hard_links, "hard link as a file", "hard links as files"),
        (owners, "file without its owner", "files without their owners"),
    ]);
    let mut remarks = Vec::new();
    if !left_out.is_empty() {
        remarks.push(format!("git cannot hold, and the stream has not: {left_out}"));
    }
    if !reduced.is_empty() {
        remarks.push(format!("git cannot hold all of what the stream has: {reduced}"));
    }
    remarks
}

struct Export<'a> {
    out: FastImportWriter<&'a mut dyn Write>,
    src: &'a dyn ObjectSource,
    /// The marks of contents that were sent. A content alone does not tell how long a hole at its
    /// end is.
    blobs: HashMap<(u64, Content), u64>,
    done: Exported,
}

impl Export<'_> {
    fn run(&mut self, view: &View, lineage: &Lineage) -> Result<(), CliError> {
        let line = ProgressLine::without_end("exporting");
        let done = self.send(view, lineage, &line);
        line.finish();
        done
    }

    fn send(
        &mut self,
        view: &View,
        lineage: &Lineage,
        line: &ProgressLine,
    ) -> Result<(), CliError> {
        let mut marks = HashMap::new();
        self.out.begin()?;
        for id in &lineage.commits {
            let commit = view.history.commit(id)?;
            let mark = self.commit(view, lineage, &marks, &commit)?;
            marks.insert(*id, mark);
            self.done.commits += 1;
            line.show(self.done.bytes, 0, self.done.commits, "commits");
        }
        for (name, id) in &lineage.tags {
            match marks.get(id) {
                Some(mark) if accepts_tag(name) => {
                    self.out.reset(&format!("refs/tags/{name}"), *mark)?;
                    self.done.tags += 1;
                }
                Some(_) => self.done.left_out.tags += 1,
                // It is in what the repository has.
                None => {}
            }
        }
        if let Some(mark) = lineage.head.and_then(|head| marks.get(&head)) {
            self.out.reset(BRANCH, *mark)?;
        }
        Ok(self.out.end()?)
    }

    /// Sends a commit, and returns its mark.
    fn commit(
        &mut self,
        view: &View,
        lineage: &Lineage,
        marks: &HashMap<CommitId, u64>,
        commit: &Commit,
    ) -> Result<u64, CliError> {
        let kept: Vec<_> = commit.parents.iter().filter(|id| lineage.is_kept(view, id)).collect();
        let mut parents = Vec::with_capacity(kept.len());
        for id in &kept {
            parents.push(match marks.get(*id) {
                Some(mark) => Parent::Mark(*mark),
                None if lineage.since == Some(**id) => Parent::Branch,
                None => return Err(CliError::ExportSinceBranch(id.object().short())),
            });
        }
        let before = kept.first().map(|id| view.history.commit(id)).transpose()?;
        let changes = self.changes(before.as_ref(), commit)?;
        Ok(self.out.commit(BRANCH, commit, &parents, &changes)?)
    }

    /// What a commit changes, as git sees it; sends the contents that are new.
    fn changes(
        &mut self,
        before: Option<&Commit>,
        commit: &Commit,
    ) -> Result<Vec<Change>, CliError> {
        let before = before.map(|commit| &commit.root);
        let options = DiffOptions { renames: false, whole_directories: false, exact: false };
        let listed = diff_roots(before, &commit.root, self.src, &options)?;
        let tree = CommittedTree::open(&commit.root, self.src)?;
        let owner = tree.top().meta.uid;
        let (mut gone, mut came) = (Vec::new(), Vec::new());
        let mut emptied = BTreeSet::new();
        for change in listed {
            if change.kind == ChangeKind::Deleted
                && let Some(at) = change.path.iter().rposition(|byte| *byte == b'/')
            {
                emptied.insert(change.path[..at].to_vec());
            }
            let old = change.old.as_ref().and_then(|entry| form(&change.path, entry));
            let new = change.new.as_ref().and_then(|entry| form(&change.path, entry));
            if let Some(entry) = &change.new {
                self.count(&change.path, entry, new.is_some(), owner);
            }
            match (old, new) {
                (old, new) if old == new => {}
                (_, None) => gone.push(Change::Delete(change.path)),
                (_, Some((kind, body))) => {
                    let blob = match body {
                        Body::Target(target) => Blob::Inline(target),
                        Body::Content(size, content) => Blob::Mark(self.blob(size, content)?),
                    };
                    came.push(Change::Modify { path: change.path, kind, blob });
                }
            }
        }
        for path in emptied {
            let entry = tree.find(&path, self.src)?;
            if entry.is_some_and(|entry| entry.body == EntryBody::Directory(None)) {
                self.done.left_out.empty_directories += 1;
            }
        }
        // A directory is gone for git with the last file in it, and its name free for a file.
        gone.append(&mut came);
        Ok(gone)
    }

    fn count(&mut self, path: &[u8], entry: &Entry, has_form: bool, owner: u32) {
        let LeftOut { empty_directories, special_files, names, .. } = &mut self.done.left_out;
        match &entry.body {
            EntryBody::Directory(None) if !path.is_empty() => *empty_directories += 1,
            EntryBody::Directory(_) => {}
            EntryBody::Special => *special_files += 1,
            _ if !has_form => *names += 1,
            _ => {
                let reduced = &mut self.done.reduced;
                let bare =
                    matches!(&entry.xattrs, EntryXattrs::Inline(xattrs) if xattrs.is_empty());
                reduced.extended_attributes += u64::from(!bare);
                reduced.hard_links += u64::from(entry.linked);
                reduced.owners += u64::from(entry.meta.uid != owner);
            }
        }
    }

    /// The mark of a content, which is sent if it has not been.
    fn blob(&mut self, size: u64, content: Content) -> Result<u64, CliError> {
        if let Some(mark) = self.blobs.get(&(size, content)) {
            return Ok(*mark);
        }
        let mark = self.out.blob(size, content, self.src)?;
        self.blobs.insert((size, content), mark);
        self.done.blobs += 1;
        self.done.bytes += size;
        Ok(mark)
    }
}

/// The branch that HEAD becomes.
const BRANCH: &str = "refs/heads/main";
/// Git looks at the bit of the owner alone.
const OWNER_EXEC: u16 = 0o100;

/// The content of a file as git has it.
#[derive(PartialEq, Eq)]
enum Body {
    Content(u64, Content),
    Target(Box<[u8]>),
}

/// What git keeps of a path, if it keeps it.
fn form(path: &[u8], entry: &Entry) -> Option<(Kind, Body)> {
    let (kind, body) = match &entry.body {
        EntryBody::File { size, content } => {
            let executable = entry.meta.perm & OWNER_EXEC != 0;
            let kind = if executable { Kind::Executable } else { Kind::File };
            (kind, Body::Content(*size, *content))
        }
        EntryBody::Symlink(target) => (Kind::Symlink, Body::Target(target.clone())),
        EntryBody::Directory(_) | EntryBody::Special => return None,
    };
    accepts_path(path, kind == Kind::Symlink).then_some((kind, body))
}

#[cfg(test)]
mod tests {
    use super::{Exported, LeftOut, Reduced, remarks};

    #[test]
    fn what_git_does_not_hold_is_told_in_words() {
        assert_eq!(remarks(&Exported::default()), [""; 0]);
        let left_out = LeftOut { empty_directories: 1, special_files: 2, ..LeftOut::default() };
        let reduced = Reduced { hard_links: 1, ..Reduced::default() };
        assert_eq!(
            remarks(&Exported { left_out, reduced, ..Exported::default() }),
            [
                "git cannot hold, and the stream has not: 1 empty directory, 2 fifos, sockets and \
                 devices",
                "git cannot hold all of what the stream has: 1 hard link as a file"
            ]
        );
    }
}
