//! `vst gc`.

use std::path::Path;
use std::thread;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::error::CliError;
use super::place::Place;
use super::progress::ProgressLine;
use super::terminal::Terminal;
use super::units::{count_text, size_text};
use crate::model::{Retention, parse_duration};
use crate::repo::{GcProgress, GcRequest};

/// How often a mount is asked whether it has done what it was asked for.
const ASK_INTERVAL: Duration = Duration::from_millis(20);

/// Drop snapshots that are not to be kept, and free the disk that nothing needs any more
///
/// With rules, those snapshots are kept that one of them names, and beside them the newest one,
/// HEAD, and what a tag points to. Without rules, those that `vst config` has are applied, and
/// every snapshot is kept if it has none. A dropped snapshot is gone for good, and `vst undo`
/// cannot go back to it.
///
/// Others can use the mount meanwhile. It may be ended at any point: what is kept stays whole.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct GcArgs {
    /// Keep the last N snapshots
    #[arg(long, value_name = "N")]
    keep_last: Option<u64>,
    /// Keep all snapshots of a time until now, such as 30m, 12h, 7d or 4w
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    keep_within: Option<Duration>,
    /// Keep the last snapshot of each of the last N hours that have one
    #[arg(long, value_name = "N")]
    keep_hourly: Option<u64>,
    /// Keep the last snapshot of each of the last N days that have one (days begin at midnight UTC)
    #[arg(long, value_name = "N")]
    keep_daily: Option<u64>,
    /// Keep the last snapshot of each of the last N weeks that have one (weeks begin on Mondays)
    #[arg(long, value_name = "N")]
    keep_weekly: Option<u64>,
    /// Keep the last snapshot of each of the last N months that have one
    #[arg(long, value_name = "N")]
    keep_monthly: Option<u64>,
    /// Keep what has a tag, and nothing else that no other rule keeps
    #[arg(long)]
    keep_tagged: bool,
    /// Write everything again, to compress it better; takes a second for every few MiB
    #[arg(long)]
    repack: bool,
    /// Change nothing, and tell what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Print JSON: {"dry_run":false,"commits_kept":3,"commits_dropped":1,…}
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  vst gc                                    free what no snapshot needs
  vst gc --keep-last 100 --dry-run          what would go with all but the last 100
  vst gc --keep-within 1d --keep-daily 30   all of the last day, and one a day for a month";

/// What `--json` prints. Sizes are in bytes.
///
/// ```json
/// {"dry_run":false,"commits_kept":3,"commits_dropped":1,"objects_live":10,"objects_dead":2,
///  "dead_bytes":900,"objects_copied":0,"packs_removed":1,"bytes_before":5000,"bytes_after":4000}
/// ```
///
/// `bytes_before` and `bytes_after` are what the packs take on the disk; with `dry_run` they are
/// the same, and `dead_bytes` tells what could be freed. A copy of an object counts as an object.
#[derive(Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct JsonCollected {
    dry_run: bool,
    commits_kept: u64,
    commits_dropped: u64,
    objects_live: u64,
    objects_dead: u64,
    dead_bytes: u64,
    objects_copied: u64,
    packs_removed: u64,
    bytes_before: u64,
    bytes_after: u64,
}

/// How far the process behind a mount is.
#[derive(Debug, Deserialize)]
pub(super) struct JsonProgress {
    objects: u64,
    bytes: u64,
    bytes_total: u64,
}

/// Collects.
pub(super) fn run(
    args: &GcArgs,
    store: Option<&Path>,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let place = Place::find(store)?;
    let mut request = GcRequest {
        retention: Retention {
            last: args.keep_last,
            within: args.keep_within,
            hourly: args.keep_hourly,
            daily: args.keep_daily,
            weekly: args.keep_weekly,
            monthly: args.keep_monthly,
            tagged: args.keep_tagged,
        },
        repack: args.repack,
        dry_run: args.dry_run,
    };
    if request.retention.is_empty() {
        request.retention = place.config()?.retention;
    }
    let line = ProgressLine::new("collecting");
    let collected = collect(&place, &request, &line);
    line.finish();
    let collected = collected?;
    if args.json {
        return Ok(terminal.json(&collected)?);
    }
    for line in lines(&collected) {
        terminal.line(&line)?;
    }
    Ok(())
}

fn collect(
    place: &Place,
    request: &GcRequest,
    line: &ProgressLine,
) -> Result<JsonCollected, CliError> {
    if let Some(daemon) = place.daemon() {
        let asked = daemon.ask_gc(request)?;
        loop {
            match asked.ended()? {
                Ok(collected) => return Ok(collected),
                Err(now) => line.show(now.bytes, now.bytes_total, now.objects, "objects looked at"),
            }
            thread::sleep(ASK_INTERVAL);
        }
    }
    place.with_repo(|repo| {
        let report = thread::scope(|scope| {
            let collecting = scope.spawn(|| repo.gc(request));
            while !collecting.is_finished() {
                let GcProgress { objects, bytes, bytes_total } = repo.gc_progress();
                line.show(bytes, bytes_total, objects, "objects looked at");
                thread::park_timeout(ASK_INTERVAL);
            }
            collecting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        Ok(JsonCollected {
            dry_run: request.dry_run,
            commits_kept: report.commits_kept,
            commits_dropped: report.commits_dropped,
            objects_live: report.objects_live,
            objects_dead: report.objects_dead,
            dead_bytes: report.dead_bytes,
            objects_copied: report.packs.objects_copied,
            packs_removed: report.packs.packs_removed,
            bytes_before: report.packs.bytes_before,
            bytes_after: report.packs.bytes_after,
        })
    })
}

fn lines(collected: &JsonCollected) -> Vec<String> {
    let &JsonCollected { dry_run, commits_kept, commits_dropped, dead_bytes, .. } = collected;
    let snapshots = |count| count_text(count, "snapshot");
    let mut lines = Vec::new();
    let (dropped, kept) = (snapshots(commits_dropped), snapshots(commits_kept));
    if dry_run {
        lines.push(format!("would drop {dropped} and keep {kept}"));
        lines.push(format!("nothing would need {} any more", size_text(dead_bytes)));
        return lines;
    }
    if commits_dropped > 0 {
        lines.push(format!("dropped {dropped}, kept {kept}"));
    }
    let (before, after) = (collected.bytes_before, collected.bytes_after);
    lines.push(match before.checked_sub(after) {
        None | Some(0) => format!("nothing to free; the store takes {}", size_text(after)),
        Some(freed) => format!("freed {}; the store takes {}", size_text(freed), size_text(after)),
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::{JsonCollected, lines};

    #[test]
    fn what_was_done_is_told_in_a_line_or_two() {
        let done = |commits_dropped, bytes_after| JsonCollected {
            commits_kept: 1,
            commits_dropped,
            dead_bytes: 2048,
            bytes_before: 4096,
            bytes_after,
            ..JsonCollected::default()
        };
        let kept_all = ["nothing to free; the store takes 4.0 KiB"];
        assert_eq!(lines(&done(0, 4096)), kept_all);
        let grown = ["nothing to free; the store takes 5.0 KiB"];
        assert_eq!(lines(&done(0, 5120)), grown);
        let dropped =
            ["dropped 2 snapshots, kept 1 snapshot", "freed 3.0 KiB; the store takes 1.0 KiB"];
        assert_eq!(lines(&done(2, 1024)), dropped);
        let would =
            ["would drop 2 snapshots and keep 1 snapshot", "nothing would need 2.0 KiB any more"];
        assert_eq!(lines(&JsonCollected { dry_run: true, ..done(2, 4096) }), would);
    }
}
