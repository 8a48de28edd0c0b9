//! `vst verify`.

use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::paths::{JsonPath, path_text};
use super::place::Place;
use super::progress::ProgressLine;
use super::terminal::Terminal;
use super::units::{count_text, size_text};
use crate::repo::{Holder, Hurt, Mended, Verified};
use crate::store::{Finding, Part, Progress};

/// Check every byte of the store, and tell what is damaged and whom it hurts
///
/// Reads and hashes every object, checks every list, and follows all commits and the saved tree to
/// see that nothing is missing. Works beside a mount and changes nothing. A line tells where
/// damage is; a line each tells which commit and path it hurts, with the object that cannot be
/// used. The exit code is 0 if all is well, and 1 if anything is damaged.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct VerifyArgs {
    /// Mend what the store holds more than once: indexes, lists, copies. It must not be mounted
    #[arg(long)]
    repair: bool,
    /// Print JSON: {"damaged":false,"objects":1,"bytes":1,…}
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  vst verify                            the store that is mounted here
  vst verify --store work.store         one that is not mounted
  vst verify --store work.store --repair

What --repair cannot mend are objects of which no good copy is left. A journal ends before its damage, or before a file that is missing, and what was done after that since the last checkpoint is given up. The list of
commits is rebuilt from the commits that are in the store, among them ones that `vst gc`
dropped and has not taken away yet.";

/// What `--json` prints. `repaired` is there with `--repair` only; the rest is what is left then:
///
/// ```json
/// {"damaged":true,"objects":12,"bytes":3456,"commits":3,"seconds":0.1,
///  "repaired":[{"file":"packs/0000000000000001.pack","done":"rebuilt its index …"}],
///  "findings":[{"part":"object","file":"packs/0000000000000001.pack","offset":16,
///               "detail":"…","object":"64 hex digits","spare":false}],
///  "hurt":[{"commit":"64 hex digits","writers_only":false,
///           "paths":[{"path":"a/b","object":"64 hex digits"}],"more":0}]}
/// ```
///
/// `part` is `format`, `ref`, `commit-list`, `state-list`, `config`, `journal`, `pack-header`,
/// `pack-index` or `object`. `offset` and `object` are `null` where there is none. `spare` tells
/// that another copy of the object is good, so that nothing is hurt. `commit` is `null` for the
/// working tree as it was last saved. `writers_only` tells that the tree of the commit is whole,
/// and only who made its changes cannot be told. `more` counts the paths that are hurt and not
/// listed.
#[derive(Debug, Serialize)]
struct JsonVerified {
    damaged: bool,
    objects: u64,
    bytes: u64,
    commits: u64,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    repaired: Option<Vec<JsonRepaired>>,
    findings: Vec<JsonFinding>,
    hurt: Vec<JsonHurt>,
}

#[derive(Debug, Serialize)]
struct JsonRepaired {
    file: String,
    done: String,
}

#[derive(Debug, Serialize)]
struct JsonFinding {
    part: &'static str,
    file: String,
    offset: Option<u64>,
    detail: String,
    object: Option<String>,
    spare: bool,
}

#[derive(Debug, Serialize)]
struct JsonHurt {
    commit: Option<String>,
    writers_only: bool,
    paths: Vec<JsonHurtPath>,
    more: u64,
}

#[derive(Debug, Serialize)]
struct JsonHurtPath {
    #[serde(flatten)]
    path: JsonPath,
    object: String,
}

/// Verifies the store, and repairs it if told to.
pub(super) fn run(
    args: &VerifyArgs,
    store: Option<&Path>,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let place = Place::find(store)?;
    let start = Instant::now();
    let line = ProgressLine::new("verifying");
    let progress = |now: Progress| line.show(now.bytes, now.bytes_total, now.objects, "objects");
    let (done, found) = if args.repair {
        let Mended { done, after, .. } = place.mend(&progress)?;
        (Some(done), after)
    } else {
        (None, place.verify(&progress)?)
    };
    line.finish();
    let took = start.elapsed();
    let is_damaged = !found.findings.is_empty() || !found.hurt.is_empty();
    if args.json {
        let repaired = |(file, done): &(std::path::PathBuf, String)| JsonRepaired {
            file: file.display().to_string(),
            done: done.clone(),
        };
        terminal.json(&JsonVerified {
            damaged: is_damaged,
            objects: found.read.objects,
            bytes: found.read.bytes,
            commits: found.commits,
            seconds: took.as_secs_f64(),
            repaired: done.map(|done| done.iter().map(repaired).collect()),
            findings: found.findings.iter().map(JsonFinding::from).collect(),
            hurt: found.hurt.iter().rev().map(JsonHurt::from).collect(),
        })?;
    } else {
        for (file, what) in done.iter().flatten() {
            terminal.line(&format!("repaired {}: {what}", file.display()))?;
        }
        report(&found, terminal)?;
        terminal.line(&summary(&found, took))?;
    }
    if !is_damaged {
        return Ok(());
    }
    terminal.flush()?;
    Err(CliError::Damaged)
}

fn report(found: &Verified, terminal: &mut Terminal) -> Result<(), CliError> {
    for finding in &found.findings {
        terminal.line(&finding_line(finding))?;
    }
    // Newest first, as in the log.
    for Hurt { holder, paths, more } in found.hurt.iter().rev() {
        let holder = match holder {
            Holder::Commit(id) => format!("commit {}", id.object().short()),
            Holder::Writers(id) => {
                let commit = id.object().short();
                let object = paths.first().map(|(_, object)| object.short());
                let object = object.map(|object| format!("  (object {object})"));
                let object = object.unwrap_or_default();
                terminal.line(&format!("hurts who changed what in commit {commit}{object}"))?;
                continue;
            }
            Holder::Worktree => "the working tree".to_owned(),
        };
        for (path, object) in paths {
            let path = path_text(path);
            terminal.line(&format!("hurts {holder}: {path}  (object {})", object.short()))?;
        }
        if *more > 0 {
            terminal.line(&format!("hurts {holder}: {more} paths more"))?;
        }
    }
    Ok(())
}

fn finding_line(finding: &Finding) -> String {
    let mut line = format!("damaged: {}", finding.file.display());
    if let Some(offset) = finding.offset {
        line.push_str(&format!(" at offset {offset}"));
    }
    if let Some(object) = finding.object {
        line.push_str(&format!(", object {object}"));
    }
    line.push_str(": ");
    line.push_str(&finding.detail);
    if finding.is_spare {
        line.push_str(" (another copy of it is good)");
    }
    line
}

fn summary(found: &Verified, took: Duration) -> String {
    let Progress { objects, bytes, .. } = found.read;
    let seconds = took.as_secs_f64();
    // Too short a time tells nothing about the rate, and may be zero.
    let rate = (bytes as f64 / seconds.max(0.001)) as u64;
    let verdict = match (found.findings.len(), found.hurt.len()) {
        (0, 0) => "all is well".to_owned(),
        (damages, hurt) => {
            let (damages, hurt) = (damages as u64, hurt as u64);
            format!("{}, which hurt {}", count_text(damages, "damage"), count_text(hurt, "tree"))
        }
    };
    format!(
        "{verdict}: {}, {}, {} in {seconds:.2} s ({}/s)",
        count_text(objects, "object"),
        count_text(found.commits, "commit"),
        size_text(bytes),
        size_text(rate)
    )
}

impl From<&Finding> for JsonFinding {
    fn from(finding: &Finding) -> Self {
        Self {
            part: match finding.part {
                Part::Format => "format",
                Part::Ref => "ref",
                Part::CommitList => "commit-list",
                Part::StateList => "state-list",
                Part::Config => "config",
                Part::Journal => "journal",
                Part::PackHeader => "pack-header",
                Part::PackIndex => "pack-index",
                Part::Object => "object",
            },
            file: finding.file.display().to_string(),
            offset: finding.offset,
            detail: finding.detail.clone(),
            object: finding.object.map(|id| id.to_string()),
            spare: finding.is_spare,
        }
    }
}

impl From<&Hurt> for JsonHurt {
    fn from(hurt: &Hurt) -> Self {
        let path = |(path, object): &(Vec<u8>, crate::model::ObjectId)| JsonHurtPath {
            path: JsonPath::new(path),
            object: object.to_string(),
        };
        Self {
            commit: match &hurt.holder {
                Holder::Commit(id) | Holder::Writers(id) => Some(id.to_string()),
                Holder::Worktree => None,
            },
            writers_only: matches!(hurt.holder, Holder::Writers(_)),
            paths: hurt.paths.iter().map(path).collect(),
            more: hurt.more,
        }
    }
}
