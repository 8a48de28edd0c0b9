//! `vst log`.

use std::ffi::OsString;
use std::path::Path;

use clap::Args;

use super::changes::{summary, text_with_sizes};
use super::commit_view::{JsonCommit, Labels, Made, line};
use super::error::CliError;
use super::patch::{self, CONTEXT_LINES, Detail};
use super::place::{Place, View};
use super::terminal::Terminal;
use super::who::Who;
use crate::base::limits::SIMILARITY_MIN;
use crate::model::Commit;
use crate::repo::LogEntry;
use crate::worktree::{
    Change, ChangeKind, CommittedTree, DiffOptions, diff_entries, diff_roots, pair_similar,
};

/// Commits that are read at a time.
const BATCH_COMMITS: usize = 256;

/// Show the history: a line a commit, newest first
///
/// Each line has the beginning of the id, the time, the author, the names that point to the
/// commit, and the first line of the message. With paths, only commits that changed something
/// there are shown.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct LogArgs {
    /// Show at most N commits
    #[arg(short = 'n', long = "max-count", value_name = "N")]
    max_count: Option<usize>,
    /// Show all snapshots of the store, not only those that HEAD builds on
    #[arg(short, long)]
    all: bool,
    /// Show what each commit changed, with sizes and who changed it
    #[arg(long)]
    stat: bool,
    /// Show the lines that each commit changed, as `vst diff --patch` does
    #[arg(short, long)]
    patch: bool,
    /// Print a JSON array of commits
    #[arg(long, conflicts_with = "patch")]
    json: bool,
    /// Show only commits that changed something at or below these paths
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
}

const EXAMPLES: &str = "\
Examples:
  vst log -n 5
  vst log --stat src                    what happened in src
  vst log -p -n 1 src/main.rs           the last change of a file, line by line
  vst log --json | jq -r '.[].id'       all ids, for a script";

/// Prints the history. `--json` prints an array of what [`JsonCommit`] describes.
pub(super) fn run(
    args: &LogArgs,
    store: Option<&Path>,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let place = Place::find(store)?;
    let paths: Vec<Vec<u8>> =
        args.paths.iter().map(|path| place.path_in_tree(path)).collect::<Result<_, _>>()?;
    let view = place.view()?;
    let labels = Labels::read(&view)?;
    let max = args.max_count.unwrap_or(usize::MAX);
    let walk =
        Walk { view: &view, paths: &paths, all: args.all, max, changes: args.stat || args.patch };
    let who = Who::new();
    if args.json {
        let mut array = terminal.json_array()?;
        walk.each(&mut |LogEntry { id, commit }, changes| {
            let makers = changes.map(|changes| view.history.who_made(id, changes)).transpose()?;
            let made = changes.zip(makers.as_deref());
            let made = made.map(|(changes, makers)| Made { changes, makers, who: &who });
            Ok(array.push(&JsonCommit::new(id, commit, &labels, made))?)
        })?;
        return Ok(array.finish()?);
    }
    let paint = terminal.paint();
    let mut any = false;
    walk.each(&mut |LogEntry { id, commit }, changes| {
        any = true;
        terminal.line(&line(id, commit, &labels, paint))?;
        let Some(changes) = changes else { return Ok(()) };
        if args.stat {
            let makers = view.history.who_made(id, changes)?;
            for (change, by) in changes.iter().zip(&makers) {
                let by = who.text(by.as_ref(), paint);
                terminal.line(&format!("    {}{by}", text_with_sizes(change, paint)))?;
            }
            terminal.line(&format!("    {}", summary(changes)))?;
            terminal.line("")?;
        }
        if args.patch {
            if !args.stat {
                terminal.line("")?;
            }
            let detail = Detail { stat: false, context: Some(CONTEXT_LINES) };
            patch::print(changes.to_vec(), detail, view.history.source(), terminal)?;
            terminal.line("")?;
        }
        Ok(())
    })?;
    if view.head.is_none() {
        terminal.remark("nothing has been committed yet")?;
    } else if !any && !paths.is_empty() {
        terminal.remark("no commit changed these paths; `vst show REV` shows a commit")?;
    }
    Ok(())
}

/// A walk through history.
struct Walk<'a> {
    view: &'a View,
    paths: &'a [Vec<u8>],
    /// Take every commit of the store, not only the head and what it follows.
    all: bool,
    max: usize,
    /// Find out what each commit changed.
    changes: bool,
}

type Visit<'a> = dyn FnMut(&LogEntry, Option<&[Change]>) -> Result<(), CliError> + 'a;

impl Walk<'_> {
    /// Calls `visit` with each commit that is wanted.
    fn each(&self, visit: &mut Visit<'_>) -> Result<(), CliError> {
        let mut left = self.max;
        let history = &self.view.history;
        if self.all {
            for record in history.store().commits().records().iter().rev() {
                if left == 0 {
                    break;
                }
                let commit = history.commit(&record.id)?;
                self.one(&LogEntry { id: record.id, commit }, &mut left, visit)?;
            }
            return Ok(());
        }
        let mut next = self.view.head;
        while let Some(from) = next.filter(|_| left > 0) {
            // Where every commit is shown, no more are read than that.
            let batch = if self.paths.is_empty() { left.min(BATCH_COMMITS) } else { BATCH_COMMITS };
            let entries = history.log(from, batch)?;
            next = entries.last().and_then(|entry| history.parent(&entry.commit));
            for entry in &entries {
                if left > 0 {
                    self.one(entry, &mut left, visit)?;
                }
            }
        }
        Ok(())
    }

    /// Calls `visit` with a commit if it is wanted.
    fn one(
        &self,
        entry: &LogEntry,
        left: &mut usize,
        visit: &mut Visit<'_>,
    ) -> Result<(), CliError> {
        if self.touches(&entry.commit)? {
            let changes = self.changes.then(|| changes(self.view, &entry.commit)).transpose()?;
            let below = changes.map(|changes| self.below(changes));
            visit(entry, below.as_deref())?;
            *left -= 1;
        }
        Ok(())
    }

    /// Tells whether a commit changed something at or below one of the paths.
    fn touches(&self, commit: &Commit) -> Result<bool, CliError> {
        if self.paths.is_empty() {
            return Ok(true);
        }
        let src = self.view.history.source();
        let new = CommittedTree::open(&commit.root, src)?;
        let old = match parent(self.view, commit)? {
            Some(parent) if parent.root == commit.root => return Ok(false),
            Some(parent) => Some(CommittedTree::open(&parent.root, src)?),
            None => None,
        };
        for path in self.paths {
            let new = new.find(path, src)?;
            let old = old.as_ref().map(|old| old.find(path, src)).transpose()?.flatten();
            if old == new {
                continue;
            }
            let options = DiffOptions { renames: false, whole_directories: true, exact: false };
            if !diff_entries(path, old, new, src, &options)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The changes that have to do with the paths.
    fn below(&self, mut changes: Vec<Change>) -> Vec<Change> {
        if !self.paths.is_empty() {
            changes.retain(|change| {
                let from = match &change.kind {
                    ChangeKind::Renamed { from, .. } => from,
                    _ => &change.path,
                };
                self.paths.iter().any(|path| is_below(&change.path, path) || is_below(from, path))
            });
        }
        changes
    }
}

/// What a commit changed: against its first parent, or against an empty tree.
pub(super) fn changes(view: &View, commit: &Commit) -> Result<Vec<Change>, CliError> {
    let parent = parent(view, commit)?;
    let old = parent.as_ref().map(|parent| &parent.root);
    let src = view.history.source();
    let mut changes = diff_roots(old, &commit.root, src, &DiffOptions::default())?;
    pair_similar(&mut changes, SIMILARITY_MIN, src)?;
    Ok(changes)
}

fn parent(view: &View, commit: &Commit) -> Result<Option<Commit>, CliError> {
    let id = view.history.parent(commit);
    Ok(id.map(|id| view.history.commit(&id)).transpose()?)
}

/// Tells whether a path is another one or below it.
pub(super) fn is_below(path: &[u8], top: &[u8]) -> bool {
    top.is_empty() || path.strip_prefix(top).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}

#[cfg(test)]
mod tests {
    use super::is_below;

    #[test]
    fn a_path_is_below_itself_and_its_directories() {
        for top in [&b""[..], b"a", b"a/b"] {
            assert!(is_below(b"a/b", top));
        }
        for top in [&b"a/b/c"[..], b"a/", b"b", b"a/bc"] {
            assert!(!is_below(b"a/b", top));
        }
        assert!(!is_below(b"ab", b"a"));
    }
}
