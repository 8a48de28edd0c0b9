//! `vst tag`.

use std::path::Path;

use clap::Args;
use serde::Serialize;

use super::error::{CliError, flat};
use super::paint::{Ink, Paint};
use super::place::Place;
use super::terminal::Terminal;
use super::time;
use super::undo::short;
use crate::model::CommitId;
use crate::repo::{History, RepoError, TagChange, TagName, TagRequest};
use crate::vfs::deeds::JsonTagged;

/// Name a commit, or list the names there are
///
/// A commit that has a tag is kept by `vst gc`, whatever else it drops, and is a link of that name
/// in `.snapshots`. Names follow the rules of git, and have no slash.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TagArgs {
    /// Move the tag if there is one of that name
    #[arg(short, long, requires = "name", conflicts_with = "delete")]
    force: bool,
    /// Delete the tag; what it names stays
    #[arg(short, long, requires = "name", conflicts_with = "revision")]
    delete: bool,
    /// Print JSON: [{"name":"v1","commit":"…"}], or after a change {"name":"v1","from":null,"to":"…"}
    #[arg(long)]
    json: bool,
    /// The name
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// The commit: an id or its beginning, a tag, HEAD, HEAD~3, @{10 minutes ago}
    #[arg(value_name = "REV", default_value = "HEAD", hide_default_value = true)]
    revision: String,
}

const EXAMPLES: &str = "\
Examples:
  vst tag                               lists all tags
  vst tag v1                            names HEAD
  vst tag before-lunch '@{2 hours ago}'
  vst tag -f v1 HEAD~1                  moves it
  vst tag -d v1                         deletes it";

/// A tag in the list that `--json` prints; `commit` has 64 hex digits.
#[derive(Debug, Serialize)]
struct JsonTag {
    name: String,
    commit: String,
}

/// Lists or changes tags. What `--json` prints of a change is described in [`crate::vfs::deeds`].
pub(super) fn run(
    args: &TagArgs,
    store: Option<&Path>,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let Some(name) = &args.name else { return list(args, store, terminal) };
    let revision = || args.revision.clone();
    let change = match (args.delete, args.force) {
        (true, _) => TagChange::Delete,
        (false, true) => TagChange::Move(revision()),
        (false, false) => TagChange::Make(revision()),
    };
    let request = TagRequest { name: TagName::new(name).map_err(RepoError::from)?, change };
    let place = Place::find(store)?;
    let tagged = match place.daemon() {
        Some(daemon) => daemon.tag(&request)?,
        None => place.with_repo(|repo| Ok(JsonTagged::new(&request.name, &repo.tag(&request)?)))?,
    };
    if args.json {
        return Ok(terminal.json(&tagged)?);
    }
    terminal.line(&text(&tagged))?;
    Ok(())
}

fn text(JsonTagged { name, from, to }: &JsonTagged) -> String {
    let was = from.as_deref().map(short);
    match (was, to.as_deref().map(short)) {
        (None, Some(to)) => format!("{name} names {to}"),
        (Some(was), Some(to)) => format!("{name} names {to}; it named {was}"),
        (Some(was), None) => format!("deleted {name}; it named {was}"),
        (None, None) => format!("deleted {name}"),
    }
}

fn list(args: &TagArgs, store: Option<&Path>, terminal: &mut Terminal) -> Result<(), CliError> {
    let place = Place::find(store)?;
    let view = place.view()?;
    let mut tags = Vec::new();
    for name in view.history.tags()? {
        // One may have been deleted since the names were read.
        tags.extend(view.history.tag(&name)?.map(|id| (name, id)));
    }
    if args.json {
        let mut array = terminal.json_array()?;
        for (name, id) in tags {
            array.push(&JsonTag { name, commit: id.to_string() })?;
        }
        return Ok(array.finish()?);
    }
    let paint = terminal.paint();
    let width = tags.iter().map(|(name, _)| flat(name).chars().count()).max().unwrap_or_default();
    for (name, id) in &tags {
        let name = paint.paint(Ink::Label, &format!("{:width$}", flat(name)));
        let line = format!("{name}  {}", about(id, &view.history, paint));
        terminal.line(line.trim_end())?;
    }
    if tags.is_empty() {
        terminal.remark("there are no tags; `vst tag NAME` makes one")?;
    }
    Ok(())
}

/// What there is to say of a commit in a list.
fn about(id: &CommitId, history: &History, paint: Paint) -> String {
    let text = paint.paint(Ink::Id, &id.object().short());
    match history.commit(id) {
        Ok(commit) => {
            let time = paint.paint(Ink::Time, &time::local(commit.time));
            format!("{text}  {time}  {}", flat(commit.message.lines().next().unwrap_or_default()))
        }
        // It is named all the same.
        Err(error) => format!("{text}  {}", flat(&error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::vfs::deeds::JsonTagged;

    #[test]
    fn what_became_of_a_tag_is_told_in_a_line() {
        let id = |byte: &str| Some(byte.repeat(32));
        let tagged = |from, to| text(&JsonTagged { name: "v1".to_owned(), from, to });
        assert_eq!(tagged(None, id("ab")), "v1 names abababababab");
        assert_eq!(tagged(id("cd"), id("ab")), "v1 names abababababab; it named cdcdcdcdcdcd");
        assert_eq!(tagged(id("cd"), None), "deleted v1; it named cdcdcdcdcdcd");
        assert_eq!(tagged(None, None), "deleted v1");
    }
}
