//! `vst diff`.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::Args;
use serde::Serialize;

use super::advice::near_in;
use super::changes::{ChangeLine, JsonChangeWithSizes};
use super::error::CliError;
use super::patch::{self, CONTEXT_LINES, Counts, Detail};
use super::paths::path_text;
use super::place::{Place, View};
use super::revision::revision_alone;
use super::terminal::Terminal;
use crate::base::limits::SIMILARITY_MIN;
use crate::model::{CommitId, Entry, EntryBody, RootId};
use crate::repo::{RepoError, RevisionError};
use crate::worktree::{
    Both, Change, CommittedTree, DiffOptions, SIMILARITY_SAME, diff_paths, pair_similar,
};

/// Show what differs between two commits, or between one and the tree as it is now
///
/// With two revisions, what changed from the first to the second; with one, from that to the tree
/// as it is now; with none, from HEAD. A line a path, as `vst status` has them: A added, M
/// modified, D deleted, R renamed (`R old -> new`, or `R087 old -> new` if it was changed as well
/// and 87 % of the content is the same).
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct DiffArgs {
    /// Show the lines that changed, as a patch for `git apply` and `patch -p1`
    #[arg(short, long)]
    patch: bool,
    /// Show how many lines came and went in each file; before the patch if that is shown too
    #[arg(long)]
    stat: bool,
    /// Print a JSON array of changes, with the numbers of lines if --stat is there
    #[arg(long, conflicts_with_all = ["patch", "unified"])]
    json: bool,
    /// Show N lines around each change; shows a patch
    #[arg(short = 'U', long, value_name = "N")]
    unified: Option<usize>,
    /// Take a file that went and one that came for one that was renamed if at least so many
    /// percent of the content are the same: 100 for all of it, 50 if not told
    #[arg(short = 'M', long, value_name = "PERCENT", value_parser = parse_percent)]
    find_renames: Option<u8>,
    /// Show a file that was renamed as one that went and one that came
    #[arg(long, conflicts_with = "find_renames")]
    no_renames: bool,
    /// The first commit; HEAD if not told
    #[arg(value_name = "A")]
    old: Option<OsString>,
    /// The second commit; the tree as it is now if not told
    #[arg(value_name = "B")]
    new: Option<OsString>,
    /// Show only what changed at or below these paths
    #[arg(value_name = "PATH", last = true)]
    paths: Vec<OsString>,
}

const HELP: &str = "\
A patch tells of regular files, their content and whether their owner may execute them, and of
symbolic links. It has nothing to say of directories, owners, times, other bits of modes, extended
attributes, fifos, sockets and devices, which are listed without --patch. Files with a NUL in
their first 8000 bytes are binary: that they differ is all that is told of them, and of those of
more than 64 MiB or a million lines.

To find renames of files that were changed, at most 64 MiB are read, and a million pairs compared;
with more, some may be shown as deleted and added, and a remark says so. Files of more than 8 MiB
are found renamed only if they were not changed. With paths, nothing outside of them is looked at.

--json prints an array of
  {\"change\":\"renamed\",\"path\":\"b\",\"from\":{\"path\":\"a\"},\"similarity\":87,
   \"old\":{\"kind\":\"file\",\"size\":9},\"new\":{\"kind\":\"file\",\"size\":12}}
where \"from\" and \"similarity\" are of renames only, and \"old\" or \"new\" is null if there is
nothing. With --stat, files have \"insertions\" and \"deletions\", binary ones \"old_bytes\" and
\"new_bytes\". A path that is not UTF-8 has \"path_hex\" beside it.

Examples:
  vst diff                              what changed since HEAD
  vst diff -p -- src                    and how, in src
  vst diff --stat HEAD~3 HEAD
  vst diff -p HEAD~1 HEAD > change.patch";

fn parse_percent(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse().ok();
    let number = number.filter(|percent| (1..=SIMILARITY_SAME).contains(percent));
    number.ok_or_else(|| "write a number from 1 to 100".to_owned())
}

/// Prints what differs. `--json` prints an array of what [`JsonDifference`] describes.
pub(super) fn run(
    args: &DiffArgs,
    store: Option<&Path>,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let place = Place::find(store)?;
    let paths = tops(&place, &args.paths)?;
    let compared = Compared::find(&place, args)?;
    let (changes, is_complete) = compared.changes(args, &paths)?;
    let src = compared.view.history.source();
    if !is_complete {
        terminal.remark(
            "there are too many files to compare each with each: some that were renamed and \
             changed may be shown as deleted and added; name paths behind `--` to look at fewer",
        )?;
    }
    if args.json {
        let mut array = terminal.json_array()?;
        for change in &changes {
            let counts = if args.stat { patch::counts(change, src)? } else { None };
            array.push(&JsonDifference { change: change.into(), counts })?;
        }
        return Ok(array.finish()?);
    }
    let context = args.unified.or(args.patch.then_some(CONTEXT_LINES));
    let detail = Detail { stat: args.stat, context };
    if detail.stat || detail.context.is_some() {
        if !patch::print(changes, detail, src, terminal)? {
            terminal.remark("what differs is nothing that a patch tells; `vst diff` lists it")?;
        }
        return Ok(());
    }
    let paint = terminal.paint();
    for change in &changes {
        terminal.line(&ChangeLine::new(change).text(paint))?;
    }
    Ok(())
}

/// A change in JSON: what [`JsonChangeWithSizes`] describes, and with `--stat` how many lines came
/// and went, unless it is about a directory or attributes:
///
/// ```json
/// {"change":"modified","path":"a","old":{"kind":"file","size":9},"new":{"kind":"file","size":12},
///  "insertions":2,"deletions":1}
/// ```
///
/// A binary file has `old_bytes` and `new_bytes` instead.
#[derive(Serialize)]
struct JsonDifference {
    #[serde(flatten)]
    change: JsonChangeWithSizes,
    #[serde(flatten)]
    counts: Option<Counts>,
}

/// The paths that are to be looked at, from the top of the tree, none of them below another.
fn tops(place: &Place, arguments: &[OsString]) -> Result<Vec<Vec<u8>>, CliError> {
    let mut paths: Vec<Vec<u8>> =
        arguments.iter().map(|path| place.path_in_tree(path)).collect::<Result<_, _>>()?;
    if paths.is_empty() {
        paths.push(Vec::new());
    }
    // A directory comes before what is below it.
    paths.sort_unstable_by(|a, b| a.split(|b| *b == b'/').cmp(b.split(|b| *b == b'/')));
    paths.dedup_by(|path, kept| super::log::is_below(path, kept));
    Ok(paths)
}

/// A tree, and what it is, for messages.
struct Tree {
    root: RootId,
    name: String,
}

impl Tree {
    fn of_commit(view: &View, id: CommitId) -> Result<Self, CliError> {
        let root = view.history.commit(&id)?.root;
        Ok(Self { root, name: format!("commit {}", id.object().short()) })
    }
}

/// Two trees, and where they are read.
struct Compared {
    view: View,
    /// None before the first commit.
    old: Option<Tree>,
    new: Tree,
}

impl Compared {
    fn find(place: &Place, args: &DiffArgs) -> Result<Self, CliError> {
        let old = |view: &View, live| match &args.old {
            Some(old) => Tree::of_commit(view, resolve(place, view, live, old)?).map(Some),
            None => view.head.map(|head| Tree::of_commit(view, head)).transpose(),
        };
        let Some(new) = &args.new else {
            let (root, view) = place.view_of_tree()?;
            let new = Tree { root, name: "the tree as it is now".to_owned() };
            return Ok(Self { old: old(&view, Some(root))?, new, view });
        };
        let view = place.view()?;
        let old = old(&view, None)?;
        let new = Tree::of_commit(&view, resolve(place, &view, None, new)?)?;
        Ok(Self { view, old, new })
    }

    /// What changed at and below some paths, and whether all renames were looked for.
    fn changes(&self, args: &DiffArgs, paths: &[Vec<u8>]) -> Result<(Vec<Change>, bool), CliError> {
        let src = self.view.history.source();
        let new_tree = CommittedTree::open(&self.new.root, src)?;
        let old_tree =
            self.old.as_ref().map(|old| CommittedTree::open(&old.root, src)).transpose()?;
        let mut both = Vec::with_capacity(paths.len());
        for path in paths {
            let new = new_tree.find(path, src)?;
            let old = match &old_tree {
                Some(tree) => tree.find(path, src)?,
                // The top of an empty tree is no change.
                None if path.is_empty() => Some(empty(new_tree.top())),
                None => None,
            };
            if old.is_none() && new.is_none() {
                let old = self.old.as_ref().map_or("an empty tree", |old| &old.name).to_owned();
                let new = self.new.name.clone();
                let near = near_in(&new_tree, path, src)?;
                let near = match (near, &old_tree) {
                    (None, Some(tree)) => near_in(tree, path, src)?,
                    (near, _) => near,
                };
                let (path, advice) = (path_text(path), near.unwrap_or_default());
                return Err(CliError::PathInNeither { path, old, new, advice });
            }
            both.push(Both { path: path.clone(), old, new });
        }
        let options = DiffOptions { renames: !args.no_renames, ..DiffOptions::default() };
        let mut changes = diff_paths(both, src, &options)?;
        let is_complete = match args.no_renames {
            true => true,
            false => {
                let percent = args.find_renames.unwrap_or(SIMILARITY_MIN);
                pair_similar(&mut changes, percent, src)?
            }
        };
        Ok((changes, is_complete))
    }
}

/// A directory with nothing in it that is otherwise like another one.
fn empty(directory: &Entry) -> Entry {
    Entry { body: EntryBody::Directory(None), ..directory.clone() }
}

/// Finds the commit that an argument names, and tells one who named a path how to do that.
fn resolve(
    place: &Place,
    view: &View,
    live: Option<RootId>,
    argument: &OsStr,
) -> Result<CommitId, CliError> {
    let refuse = |revision, path| CliError::DiffTakesPaths { revision, path };
    let revision = revision_alone(argument, refuse)?;
    let error = match view.resolve(revision) {
        Err(
            error @ CliError::Repo(RepoError::Revision(
                RevisionError::Unknown { .. } | RevisionError::ShortPrefix { .. },
            )),
        ) => error,
        result => return result,
    };
    let src = view.history.source();
    let head = view.head.map(|head| view.history.commit(&head)).transpose()?;
    let path = place.path_in_tree(argument)?;
    for root in live.into_iter().chain(head.map(|head| head.root)) {
        if CommittedTree::open(&root, src)?.find(&path, src)?.is_some() {
            return Err(CliError::PathAsRevision { path: revision.to_owned() });
        }
    }
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::parse_percent;

    #[test]
    fn a_percentage_is_a_whole_number_that_can_be_one() {
        assert_eq!(parse_percent("60"), Ok(60));
        assert_eq!(parse_percent("100%"), Ok(100));
        for bad in ["", "0", "101", "-1", "5.5", "x", "%"] {
            assert!(parse_percent(bad).is_err(), "{bad}");
        }
    }
}
