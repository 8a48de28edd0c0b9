//! What a commit costs the program that asks for it.
//!
//! `scripts/bench-commit.sh` runs this against a mount. It knows nothing of the crate: it is a
//! client like any other. What the daemon did meanwhile it reads from `.vst/stats`, between the
//! commits that it times.

use std::fs::{self, File, FileTimes};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::XattrFlags;
use serde_json::{Value, json};

const USAGE: &str = "\
usage: commit_latency tree DIR FILES      makes files of 1 KiB, 100 to a directory
       commit_latency commits DIR FILES COMMITS DIRTY spread|gathered setxattr|touch
                                          COMMITS times rewrites DIRTY files of such a tree in
                                          the root of a mount and commits; prints a JSON object
                                          with all times in nanoseconds. The files are spread
                                          over as many directories as there are, or gathered in
                                          as few as hold them";

const COMMIT_XATTR: &str = "user.vst.commit";
const COMMIT_FILE: &str = ".vst/commit";
const STATS_FILE: &str = ".vst/stats";
const FILES_PER_DIRECTORY: u64 = 100;
const FILE_BYTES: usize = 1024;
/// A prime far from the sizes of trees: steps of so many files come by all of them.
const STRIDE: u64 = 7_368_787;

fn main() -> ExitCode {
    // Cargo adds an argument of its own.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["tree", dir, files] => number(files).and_then(|files| make_tree(Path::new(dir), files)),
        ["commits", dir, files, commits, dirty, spread, means] => {
            Run::parse(dir, [files, commits, dirty], spread, means).and_then(|run| run.time())
        }
        _ => {
            eprintln!("{USAGE}");
            // A plain `cargo bench` names no mount, which is no failure.
            return if args.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) };
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("commit_latency: {error}");
            ExitCode::FAILURE
        }
    }
}

fn number(text: &str) -> io::Result<u64> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(io::Error::other(format!("{text} is no number of things"))),
    }
}

fn make_tree(dir: &Path, files: u64) -> io::Result<()> {
    for file in 0..files {
        let path = path_of(dir, file);
        if file % FILES_PER_DIRECTORY == 0
            && let Some(parent) = path.parent()
        {
            fs::create_dir(parent)?;
        }
        fs::write(path, content(file, 0))?;
    }
    Ok(())
}

/// Commits to be timed.
struct Run {
    dir: PathBuf,
    files: u64,
    commits: u64,
    dirty: u64,
    gathered: bool,
    touches: bool,
}

/// What the daemon has done since it began.
#[derive(Clone, Copy)]
struct Stats {
    commits: u64,
    nanoseconds: u64,
    files: u64,
    content_bytes: u64,
    nodes: u64,
    stored_bytes: u64,
}

impl Run {
    fn parse(dir: &str, numbers: [&str; 3], spread: &str, means: &str) -> io::Result<Self> {
        let [files, commits, dirty] = numbers.map(number);
        let is = |text: &str, yes: &str, no: &str| match text {
            _ if text == yes => Ok(true),
            _ if text == no => Ok(false),
            _ => Err(io::Error::other(format!("{text} is neither {yes} nor {no}"))),
        };
        let run = Self {
            dir: dir.into(),
            files: files?,
            commits: commits?,
            dirty: dirty?,
            gathered: is(spread, "gathered", "spread")?,
            touches: is(means, "touch", "setxattr")?,
        };
        if run.dirty > run.files {
            return Err(io::Error::other("there are fewer files than should be rewritten"));
        }
        Ok(run)
    }

    fn time(&self) -> io::Result<()> {
        let (mut commit_times, mut both_times, mut daemon_times) =
            (Vec::new(), Vec::new(), Vec::new());
        // So that no run writes what an earlier one left there.
        let run = u64::from(std::process::id());
        let first = self.stats()?;
        let mut before = first;
        for commit in 0..self.commits {
            let picked = self
                .pick(commit)
                .map(|file| (path_of(&self.dir, file), content(file, run << 32 | (commit + 1))));
            let picked: Vec<_> = picked.collect();
            let begin = Instant::now();
            for (path, bytes) in picked {
                fs::write(path, bytes)?;
            }
            let written = Instant::now();
            self.commit()?;
            commit_times.push(written.elapsed());
            both_times.push(begin.elapsed());
            let after = self.stats()?;
            self.check(before, after)?;
            daemon_times.push(Duration::from_nanos(after.nanoseconds - before.nanoseconds));
            before = after;
        }
        let mean = |of: fn(&Stats) -> u64| (of(&before) - of(&first)) / self.commits;
        let counts = json!({
            "files": mean(|stats| stats.files),
            "content_bytes": mean(|stats| stats.content_bytes),
            "nodes": mean(|stats| stats.nodes),
            "stored_bytes": mean(|stats| stats.stored_bytes),
        });
        let line = json!({
            "steps": self.commits,
            "took": times(commit_times),
            "with_write": times(both_times),
            "daemon": times(daemon_times),
            "counts": counts,
        });
        println!("{line}");
        Ok(())
    }

    /// The files that are rewritten before a commit.
    fn pick(&self, commit: u64) -> impl Iterator<Item = u64> {
        let (files, dirty) = (self.files, self.dirty);
        let first = commit.wrapping_mul(STRIDE) % files;
        let (first, step) = match self.gathered {
            true => (first - first % FILES_PER_DIRECTORY, 1),
            false => (first, files / dirty),
        };
        (0..dirty).map(move |at| (first + at * step) % files)
    }

    fn commit(&self) -> io::Result<()> {
        if !self.touches {
            return Ok(rustix::fs::setxattr(
                &self.dir,
                COMMIT_XATTR,
                b"bench",
                XattrFlags::empty(),
            )?);
        }
        // What touch(1) does.
        let file = File::options().write(true).open(self.dir.join(COMMIT_FILE))?;
        let now = SystemTime::now();
        file.set_times(FileTimes::new().set_accessed(now).set_modified(now))
    }

    fn stats(&self) -> io::Result<Stats> {
        let stats: Value = serde_json::from_slice(&fs::read(self.dir.join(STATS_FILE))?)?;
        let read = |part: &str, name: &str| {
            let missing = || io::Error::other(format!("the statistics do not tell {part}.{name}"));
            stats[part][name].as_u64().ok_or_else(missing)
        };
        Ok(Stats {
            commits: read("commits", "made")?,
            nanoseconds: read("commits", "nanoseconds")?,
            files: read("commits", "files_hashed")?,
            content_bytes: read("commits", "content_bytes_hashed")?,
            nodes: read("commits", "nodes_hashed")?,
            stored_bytes: read("store", "disk_bytes")?,
        })
    }

    /// Checks that one commit was made, and of the files that were rewritten.
    fn check(&self, before: Stats, after: Stats) -> io::Result<()> {
        let (commits, files) = (after.commits - before.commits, after.files - before.files);
        if commits == 1 && files == self.dirty {
            return Ok(());
        }
        let dirty = self.dirty;
        let what = format!("{commits} commits of {files} files, not one of {dirty}, were made");
        Err(io::Error::other(what))
    }
}

fn path_of(dir: &Path, file: u64) -> PathBuf {
    dir.join(format!("d{:05}", file / FILES_PER_DIRECTORY))
        .join(format!("f{:02}", file % FILES_PER_DIRECTORY))
}

/// Bytes that no other file and no other version has: xorshift, seeded with both.
fn content(file: u64, version: u64) -> Vec<u8> {
    let mut state = (file << 1 | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ version;
    let mut bytes = Vec::with_capacity(FILE_BYTES);
    while bytes.len() < FILE_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

/// Of times that are not empty: the shortest, the quantiles and the mean, in nanoseconds.
fn times(mut all: Vec<Duration>) -> Value {
    all.sort_unstable();
    let mean = all.iter().map(Duration::as_nanos).sum::<u128>() / all.len().max(1) as u128;
    json!({
        "min": percentile(&all, 0),
        "p50": percentile(&all, 50),
        "p95": percentile(&all, 95),
        "p99": percentile(&all, 99),
        "mean": u64::try_from(mean).unwrap_or(u64::MAX),
    })
}

/// Of sorted times, in nanoseconds, the smallest that so many percent do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> u64 {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}
