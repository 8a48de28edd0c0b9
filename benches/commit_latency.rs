//! What a commit costs the program that asks for it.
//!
//! `scripts/bench-commit-latency.sh` runs this against a mount. It knows nothing of the crate:
//! it is a client like any other.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::fs::XattrFlags;

const USAGE: &str = "\
usage: commit_latency tree DIR FILES      makes files of 1 KiB, 100 to a directory
       commit_latency commits DIR FILES COMMITS
                                          COMMITS times rewrites a file of such a tree in the
                                          root of a mount and commits; prints nanoseconds:
                                          p50, p95, p99 of the commit, p50 of the rewriting";

const COMMIT_XATTR: &str = "user.vst.commit";
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
        ["commits", dir, files, commits] => number(files)
            .and_then(|files| Ok((files, number(commits)?)))
            .and_then(|(files, commits)| time_commits(Path::new(dir), files, commits)),
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

fn time_commits(dir: &Path, files: u64, commits: u64) -> io::Result<()> {
    let mut commit_times = Vec::new();
    let mut rewrite_times = Vec::new();
    // So that no run writes what an earlier one left there.
    let run = u64::from(std::process::id());
    for commit in 0..commits {
        let file = commit.wrapping_mul(STRIDE) % files;
        let path = path_of(dir, file);
        let bytes = content(file, run << 32 | (commit + 1));
        let begin = Instant::now();
        fs::write(path, bytes)?;
        let written = Instant::now();
        rustix::fs::setxattr(dir, COMMIT_XATTR, b"bench", XattrFlags::empty())?;
        commit_times.push(written.elapsed());
        rewrite_times.push(written - begin);
    }
    commit_times.sort_unstable();
    rewrite_times.sort_unstable();
    let [p50, p95, p99] = [50, 95, 99].map(|percent| percentile(&commit_times, percent));
    println!("{p50} {p95} {p99} {}", percentile(&rewrite_times, 50));
    Ok(())
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

/// Of sorted times, in nanoseconds, the smallest that so many percent do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> u128 {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).map_or(0, Duration::as_nanos)
}
