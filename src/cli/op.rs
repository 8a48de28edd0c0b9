//! `vst op log`.

use std::path::Path;

use clap::{Args, Subcommand};

use super::error::{CliError, flat};
use super::paint::{Ink, Paint};
use super::place::{Place, View};
use super::terminal::Terminal;
use super::time;
use super::undo::short;
use super::units::count_text;
use crate::base::limits::DEEDS_MAX;
use crate::vfs::deeds::{JsonDeed, JsonDeedKind};
use crate::vfs::text::parse_time;

/// Look into the log of what was done to the store
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true, after_help = EXAMPLES)]
pub(super) struct OpArgs {
    #[command(subcommand)]
    command: OpCommand,
}

#[derive(Debug, Subcommand)]
enum OpCommand {
    Log(OpLogArgs),
}

/// List commits, restores, undos, changes of tags and collections, newest first
///
/// Each line has a number, the time, what was done, and whether it was taken back since. About the
/// last thousand are kept. They are written down together with what they tell of, and survive what
/// that survives.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
struct OpLogArgs {
    /// Show the last N only
    #[arg(short = 'n', long, value_name = "N")]
    max_count: Option<usize>,
    /// Print a JSON array: [{"number":1,"time":"…","before":null,"after":"…","kind":"commit"}]
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  vst op log -n 5
  vst op log --json | jq '.[] | select(.kind == \"restore\")'";

/// Does what the subcommand says.
pub(super) fn run(
    args: &OpArgs,
    store: Option<&Path>,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let OpCommand::Log(args) = &args.command;
    log(args, store, terminal)
}

/// Prints the log. `--json` prints what [`crate::vfs::deeds`] describes.
fn log(args: &OpLogArgs, store: Option<&Path>, terminal: &mut Terminal) -> Result<(), CliError> {
    let place = Place::find(store)?;
    let mut deeds = match place.daemon() {
        Some(daemon) => daemon.deeds()?,
        None => {
            let deeds = place.view()?.history.deeds(DEEDS_MAX)?;
            deeds.iter().map(|(number, deed)| JsonDeed::new(*number, deed)).collect()
        }
    };
    let undone = undone(&deeds);
    deeds.truncate(args.max_count.unwrap_or(DEEDS_MAX));
    if args.json {
        let mut array = terminal.json_array()?;
        deeds.iter().try_for_each(|deed| array.push(deed))?;
        return Ok(array.finish()?);
    }
    let view = place.view()?;
    let paint = terminal.paint();
    for (deed, undone) in deeds.iter().zip(undone) {
        terminal.line(&line(deed, undone, &view, paint))?;
    }
    if deeds.is_empty() {
        terminal.remark("nothing has been done yet that the log tells of")?;
    }
    Ok(())
}

/// Which deeds have been taken back: commits and restores from the one that an undo names up to
/// that undo.
fn undone(deeds: &[JsonDeed]) -> Vec<bool> {
    let mut below = u64::MAX;
    let is_undone = |deed: &JsonDeed| {
        if deed.number >= below {
            return true;
        }
        if let JsonDeedKind::Undo { of, .. } = deed.what {
            below = of;
        }
        false
    };
    let undone: Vec<bool> = deeds.iter().map(is_undone).collect();
    // Nothing else can be taken back, and an undo goes past it.
    let can_be =
        |deed: &JsonDeed| matches!(deed.what, JsonDeedKind::Commit | JsonDeedKind::Restore { .. });
    deeds.iter().zip(undone).map(|(deed, undone)| undone && can_be(deed)).collect()
}

fn line(deed: &JsonDeed, undone: bool, view: &View, paint: Paint) -> String {
    let time = parse_time(&deed.time).map_or_else(|| deed.time.clone(), time::local);
    let id = |id: &str| paint.paint(Ink::Id, &short(id));
    let saved = |saved: &Option<String>| match saved {
        Some(saved) => format!(", what was there is {}", id(saved)),
        None => String::new(),
    };
    let text = match &deed.what {
        JsonDeedKind::Commit => {
            let after = deed.after.as_deref().unwrap_or_default();
            let text = format!("commit {}  {}", id(after), subject(after, view));
            text.trim_end().to_owned()
        }
        JsonDeedKind::Restore { commit, paths: 0, saved: kept } => {
            format!("restore of {}{}", id(commit), saved(kept))
        }
        JsonDeedKind::Restore { commit, paths, saved: kept } => {
            format!("restore of {} from {}{}", count_text(*paths, "path"), id(commit), saved(kept))
        }
        JsonDeedKind::Undo { of, saved: kept } => format!("undo of {of}{}", saved(kept)),
        JsonDeedKind::Tag { name, from, to } => {
            let name = paint.paint(Ink::Label, &flat(name));
            let was = from.as_deref().map(|from| format!(", was {}", id(from)));
            let now = to.as_deref().map_or("deleted".to_owned(), |to| format!("names {}", id(to)));
            format!("tag {name} {now}{}", was.unwrap_or_default())
        }
        JsonDeedKind::Collect { dropped } => {
            format!("gc dropped {}", count_text(*dropped, "snapshot"))
        }
    };
    let undone = if undone { paint.paint(Ink::Faint, "  (taken back)") } else { String::new() };
    format!("{:>5}  {}  {text}{undone}", deed.number, paint.paint(Ink::Time, &time))
}

/// The first line of the message of a commit, unless that was dropped.
fn subject(id: &str, view: &View) -> String {
    let commit = id.parse().ok().and_then(|id| view.history.commit(&id).ok());
    let message = commit.map(|commit| commit.message).unwrap_or_default();
    flat(message.lines().next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::undone;
    use crate::vfs::deeds::{JsonDeed, JsonDeedKind};

    #[test]
    fn what_an_undo_names_and_all_since_is_taken_back() {
        let deed = |number, what| JsonDeed {
            number,
            time: String::new(),
            before: None,
            after: None,
            what,
        };
        let undo = |number, of| deed(number, JsonDeedKind::Undo { of, saved: None });
        let commit = |number| deed(number, JsonDeedKind::Commit);
        let tag = JsonDeedKind::Tag { name: String::new(), from: None, to: None };
        // Two commits, a tag, both taken back, and one more.
        let log = [commit(6), undo(5, 1), undo(4, 2), deed(3, tag), commit(2), commit(1)];
        assert_eq!(undone(&log), [false, false, false, false, true, true]);
    }
}
