//! What to say to one whose path or revision is not there: what there is instead.

use std::ops::ControlFlow;

use super::error::{CliError, flat};
use super::paths::path_text;
use super::place::View;
use super::time;
use crate::base::{nearest, proposal};
use crate::format::commit_log::CommitRecord;
use crate::model::{CommitId, EntryBody, ObjectSource};
use crate::repo::{RepoError, RevisionError};
use crate::worktree::CommittedTree;

/// How many names of a directory are compared with one that is not there.
const NAMES_MAX: usize = 20_000;
/// How many commits are looked at for a path that a later one does not have.
const COMMITS_MAX: usize = 256;

impl View {
    /// Finds the commit that a text names. Where several are meant, they are told apart.
    pub(super) fn resolve(&self, revision: &str) -> Result<CommitId, CliError> {
        match self.history.resolve(revision, self.head) {
            Err(RepoError::Revision(RevisionError::Ambiguous { text, candidates })) => {
                let lines = candidates.iter().map(|record| self.candidate(record));
                let candidates = lines.collect::<Result<Vec<_>, _>>()?.join("; ");
                Err(CliError::Ambiguous { text, candidates })
            }
            result => Ok(result?),
        }
    }

    /// A commit in a few words: its id, time and message.
    fn candidate(&self, record: &CommitRecord) -> Result<String, CliError> {
        let commit = self.history.commit(&record.id)?;
        let message = commit.message.lines().next().map(flat).unwrap_or_default();
        let (short, time) = (record.id.object().short(), time::local(record.time));
        Ok(format!("{short} {time} {message}").trim_end().to_owned())
    }

    /// Fails if the commit has nothing at one of the paths, so that none is written before another
    /// turns out to be mistyped.
    pub(super) fn check_paths(&self, commit: &CommitId, paths: &[Vec<u8>]) -> Result<(), CliError> {
        let src = self.history.source();
        let tree = CommittedTree::open(&self.history.commit(commit)?.root, src)?;
        for path in paths {
            if tree.find(path, src)?.is_none() {
                return Err(self.no_path(commit, path));
            }
        }
        Ok(())
    }

    /// The error for a path that a commit does not have.
    pub(super) fn no_path(&self, commit: &CommitId, path: &[u8]) -> CliError {
        let advice = self.what_there_is(commit, path).unwrap_or_else(|error| {
            // The missing path is what was asked about.
            log::debug!("looking for what is near {}: {error}", path_text(path));
            String::new()
        });
        CliError::NoPath { path: path_text(path), commit: commit.object().short(), advice }
    }

    fn what_there_is(&self, commit: &CommitId, path: &[u8]) -> Result<String, CliError> {
        let src = self.history.source();
        let tree = CommittedTree::open(&self.history.commit(commit)?.root, src)?;
        if let Some(advice) = near_in(&tree, path, src)? {
            return Ok(advice);
        }
        // The newest commit that had it, from the head on, and then from the commit itself.
        for from in self.head.into_iter().chain([*commit]) {
            for entry in self.history.log(from, COMMITS_MAX)? {
                if CommittedTree::open(&entry.commit.root, src)?.find(path, src)?.is_some() {
                    return Ok(format!(", but in {}", entry.id.object().short()));
                }
            }
        }
        Ok(String::new())
    }
}

/// What is near a missing path: a file where the path has a directory, or similar names in the
/// directory where it ends.
pub(super) fn near_in(
    tree: &CommittedTree,
    path: &[u8],
    src: &dyn ObjectSource,
) -> Result<Option<String>, CliError> {
    let mut parent: &[u8] = b"";
    let mut rest = path;
    let mut entry = tree.top().clone();
    let missing = loop {
        let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        let (name, below) = rest.split_at(end);
        let next = &path[..path.len() - below.len()];
        match tree.find(next, src)? {
            _ if below.is_empty() => break name,
            Some(found) if matches!(found.body, EntryBody::Directory(_)) => entry = found,
            Some(_) => return Ok(Some(format!("; {} is no directory there", path_text(next)))),
            None => break name,
        }
        parent = next;
        rest = below.strip_prefix(b"/").unwrap_or(below);
    };
    let mut names = Vec::new();
    let mut seen = 0;
    tree.list(&entry, src, &mut |name, _| {
        seen += 1;
        names.extend(str::from_utf8(name.as_bytes()).map(str::to_owned));
        if seen < NAMES_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let wanted = String::from_utf8_lossy(missing);
    let near = nearest(&wanted, names).into_iter().map(|name| {
        let at = if parent.is_empty() { Vec::new() } else { [parent, b"/"].concat() };
        path_text(&[&at[..], name.as_bytes()].concat())
    });
    let near: Vec<String> = near.collect();
    Ok((!near.is_empty()).then(|| proposal(&near)))
}
