//! `vst stats`.

use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use super::error::CliError;
use super::place::Place;
use super::progress::ProgressLine;
use super::terminal::Terminal;
use super::units::{count_text, nanos_text, size_text};
use crate::vfs::stats::stats;

/// Show what a store holds and takes, and how fast it is
///
/// How much all snapshots hold, each for itself, is found out by reading every directory once,
/// whatever number of snapshots it is in.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct StatsArgs {
    /// Print JSON: what .vst/stats tells, and {"content":{"files":3,"bytes":100}}
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  vst stats
  vst stats --json | jq .commits.latency";

/// Prints the statistics. `--json` prints what `.vst/stats` tells (sizes in bytes, latencies in
/// nanoseconds; `commits`, `tree` and `journal` are there for a mounted store only), and beside it
///
/// ```json
/// {"content":{"files":3,"bytes":100}}
/// ```
///
/// which counts the files of all snapshots and what they hold, without holes.
pub(super) fn run(
    args: &StatsArgs,
    store: Option<&Path>,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let place = Place::find(store)?;
    let view = place.view()?;
    let mut all = match place.daemon().or(place.reader()) {
        Some(daemon) => daemon.stats()?,
        None => stats(&view.history, None),
    };
    let line = ProgressLine::without_end("adding up");
    let usage =
        view.history.usage(&|nodes| line.show(0, 0, nodes, "directories and parts of them"));
    line.finish();
    let usage = usage?;
    all["content"] = json!({ "files": usage.files, "bytes": usage.bytes });
    if args.json {
        return Ok(terminal.json(&all)?);
    }
    for (what, text) in lines(&all) {
        terminal.line(&format!("{what:<13}{text}"))?;
    }
    Ok(())
}

/// What there is to say, in pairs.
fn lines(all: &Value) -> Vec<(&'static str, String)> {
    let number = |path: &str| all.pointer(path).and_then(Value::as_u64).unwrap_or_default();
    let size = |path: &str| size_text(number(path));
    let count = |path: &str, thing: &str| count_text(number(path), thing);
    let (content, raw, stored) =
        (number("/content/bytes"), number("/store/raw_bytes"), number("/store/stored_bytes"));
    let mut lines = vec![
        (
            "snapshots",
            format!(
                "{}: {} in {}",
                number("/snapshots"),
                size_text(content),
                count("/content/files", "file")
            ),
        ),
        (
            "stored once",
            format!(
                "{} in {}{}",
                size_text(raw),
                count("/store/objects", "object"),
                ratio(content, raw)
            ),
        ),
        ("compressed", format!("{}{}", size_text(stored), ratio(raw, stored))),
        (
            "on the disk",
            format!("{} in {}", size("/store/disk_bytes"), count("/store/packs", "pack")),
        ),
    ];
    if number("/store/live_bytes") > 0 {
        let live = format!("{} at the last collection", size("/store/live_bytes"));
        lines.push(("needed", live));
    }
    if all.get("commits").is_some() {
        let latency = |of: &str| {
            let quantile = |q| nanos_text(number(&format!("/commits/{of}/{q}")));
            format!("p50 {}, p95 {}, p99 {}", quantile("p50"), quantile("p95"), quantile("p99"))
        };
        let of = |what: &str, of: &str| match number(&format!("/commits/{what}")) {
            0 => "none since it was mounted".to_owned(),
            count => format!("{count} since it was mounted: {}", latency(of)),
        };
        lines.push(("commits", of("made", "latency")));
        lines.push(("checkpoints", of("checkpoints", "checkpoint_latency")));
        let of_max = |what: &str| {
            format!("{} of {}", size(&format!("{what}bytes")), size(&format!("{what}bytes_max")))
        };
        lines.push(("journal", of_max("/journal/")));
        lines.push(("not stored", of_max("/tree/dirty_")));
        lines.push(("cache", of_max("/cache/")));
    }
    match all.get("transport").and_then(Value::as_str) {
        Some("ring") => lines.push(("requests", "come through rings, one a processor".to_owned())),
        Some(_) => lines.push(("requests", "come from /dev/fuse".to_owned())),
        None => {}
    }
    lines
}

/// How many times less it is now.
fn ratio(before: u64, after: u64) -> String {
    if before <= after || after == 0 {
        return String::new();
    }
    let tenths = u128::from(before) * 10 / u128::from(after);
    format!(", {}.{} times less", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{lines, ratio};

    #[test]
    fn a_ratio_is_told_where_there_is_one() {
        assert_eq!(ratio(100, 40), ", 2.5 times less");
        assert_eq!(ratio(u64::MAX, 1), ", 18446744073709551615.0 times less");
        for (before, after) in [(0, 0), (5, 0), (5, 5), (5, 6)] {
            assert_eq!(ratio(before, after), "");
        }
    }

    #[test]
    fn what_is_not_mounted_has_no_latencies() {
        let mut all = json!({
            "snapshots": 2,
            "content": {"files": 3, "bytes": 4096},
            "store": {"objects": 5, "raw_bytes": 2048, "stored_bytes": 1024, "packs": 1,
                      "disk_bytes": 1536, "live_bytes": 0},
        });
        let text = |all| lines(&all).into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        let expected = [
            "2: 4.0 KiB in 3 files",
            "2.0 KiB in 5 objects, 2.0 times less",
            "1.0 KiB, 2.0 times less",
            "1.5 KiB in 1 pack",
        ];
        assert_eq!(text(all.clone()), expected);
        all["commits"] = json!({"made": 7, "checkpoints": 0,
                                "latency": {"p50": 900, "p95": 12_345, "p99": 2_000_000}});
        let found = text(all.clone());
        assert_eq!(found[4], "7 since it was mounted: p50 900 ns, p95 12.3 µs, p99 2.0 ms");
        assert_eq!(found[5], "none since it was mounted");
        assert_eq!(found.len(), 9);
        all["transport"] = json!("fuser");
        assert_eq!(text(all).last().unwrap(), "come from /dev/fuse");
    }
}
