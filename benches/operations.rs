//! What operations cost on one filesystem and another.
//!
//! It knows nothing of the crate: it is a client like any other, and does the same in each
//! directory that it is given, which may be on as many filesystems. They take turns, so that what
//! else the machine does meets all of them alike.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use rustix::fs::XattrFlags;
use serde_json::{Value, json};

const USAGE: &str = "\
usage: operations ROUNDS DIR...    in ROUNDS rounds, does all operations in a new directory in
                                   each DIR; prints a line of JSON for each operation, with the
                                   median and the 95th percentile of its time for each DIR, in
                                   microseconds, and how often the first DIR's median goes into
                                   each";

/// So many of an operation are timed together.
const BATCH: usize = 500;
/// Blocks of a sequential write.
const BLOCK_BYTES: usize = 1 << 20;
/// How many of those there are.
const BLOCKS: usize = 64;
const SMALL_BYTES: usize = 4096;

type Operation = fn(&Path, usize) -> io::Result<()>;

/// In this order: each works on what those before it have left.
const OPERATIONS: [(&str, usize, Operation); 15] = [
    ("mkdir", BATCH, |dir, n| fs::create_dir(dir.join(format!("d{n}")))),
    ("create", BATCH, |dir, n| File::create(file(dir, n)).map(drop)),
    ("create, write 4 KiB", BATCH, |dir, n| {
        File::create(dir.join(format!("w{n}")))?.write_all(&[n as u8; SMALL_BYTES])
    }),
    ("overwrite 4 KiB", BATCH, |dir, n| {
        let file = File::options().write(true).open(dir.join(format!("w{n}")))?;
        file.write_all_at(&[!n as u8; SMALL_BYTES], 0)
    }),
    ("append 100 B", BATCH, |dir, n| {
        File::options().append(true).open(file(dir, n))?.write_all(&[n as u8; 100])
    }),
    ("chmod", BATCH, |dir, n| fs::set_permissions(file(dir, n), Permissions::from_mode(0o640))),
    ("setxattr", BATCH, |dir, n| {
        Ok(rustix::fs::setxattr(file(dir, n), "user.name", b"value", XattrFlags::empty())?)
    }),
    ("rename", BATCH, |dir, n| fs::rename(file(dir, n), dir.join(format!("r{n}")))),
    ("link", BATCH, |dir, n| fs::hard_link(dir.join(format!("r{n}")), dir.join(format!("l{n}")))),
    ("symlink", BATCH, |dir, n| symlink("target", dir.join(format!("s{n}")))),
    ("truncate", BATCH, |dir, n| {
        File::options().write(true).open(dir.join(format!("w{n}")))?.set_len(n as u64)
    }),
    ("unlink", BATCH, |dir, n| fs::remove_file(dir.join(format!("l{n}")))),
    ("rmdir", BATCH, |dir, n| fs::remove_dir(dir.join(format!("d{n}")))),
    ("write 1 MiB", BLOCKS, |dir, n| {
        let file = File::options().create(true).append(true).open(dir.join("big"))?;
        let mut block = vec![0; BLOCK_BYTES];
        for (at, word) in block.chunks_exact_mut(8).enumerate() {
            // No two chunks are the same, and none is worth compressing.
            let mixed = ((n * BLOCK_BYTES + at) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            word.copy_from_slice(&(mixed ^ mixed >> 29).to_le_bytes());
        }
        (&file).write_all(&block)
    }),
    ("fsync after 4 KiB", 20, |dir, n| {
        let file = File::options().write(true).open(dir.join(format!("w{n}")))?;
        file.write_all_at(&[n as u8; SMALL_BYTES], 0)?;
        file.sync_all()
    }),
];

fn file(dir: &Path, n: usize) -> PathBuf {
    dir.join(format!("f{n}"))
}

fn main() -> ExitCode {
    // Cargo adds an argument of its own.
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let rounds = args.next();
    let dirs: Vec<PathBuf> = args.map(PathBuf::from).collect();
    let Some(rounds) = rounds.as_deref().map(str::parse::<usize>) else {
        eprintln!("{USAGE}");
        // A plain `cargo bench` names no directory, which is no failure.
        return ExitCode::SUCCESS;
    };
    match rounds {
        Ok(rounds) if rounds > 0 && !dirs.is_empty() => {}
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    match rounds.map_err(io::Error::other).and_then(|rounds| time_all(rounds, &dirs)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("operations: {error}");
            ExitCode::FAILURE
        }
    }
}

fn time_all(rounds: usize, dirs: &[PathBuf]) -> io::Result<()> {
    let mut times = vec![vec![Vec::with_capacity(rounds); dirs.len()]; OPERATIONS.len()];
    for round in 0..rounds {
        let made: Vec<PathBuf> =
            dirs.iter().map(|dir| dir.join(format!("operations-{round}"))).collect();
        for dir in &made {
            fs::create_dir(dir)?;
        }
        for (times, (_, count, operation)) in times.iter_mut().zip(OPERATIONS) {
            // Who comes first changes from round to round.
            for turn in 0..made.len() {
                let which = (turn + round) % made.len();
                let begin = Instant::now();
                for n in 0..count {
                    operation(&made[which], n)?;
                }
                times[which].push(begin.elapsed().as_secs_f64() * 1e6 / count as f64);
            }
        }
        for dir in &made {
            fs::remove_dir_all(dir)?;
        }
    }
    for (times, (name, ..)) in times.iter_mut().zip(OPERATIONS) {
        println!("{}", row(name, times));
    }
    Ok(())
}

fn row(name: &str, times: &mut [Vec<f64>]) -> Value {
    let round = |value: f64| (value * 100.0).round() / 100.0;
    for times in &mut *times {
        times.sort_unstable_by(f64::total_cmp);
    }
    let quantile =
        |times: &Vec<f64>, q: f64| times[((times.len() - 1) as f64 * q).round() as usize];
    let medians: Vec<f64> = times.iter().map(|times| quantile(times, 0.5)).collect();
    let p95: Vec<f64> = times.iter().map(|times| round(quantile(times, 0.95))).collect();
    let ratios: Vec<f64> = medians.iter().map(|median| round(median / medians[0])).collect();
    let medians: Vec<f64> = medians.iter().map(|median| round(*median)).collect();
    json!({ "operation": name, "median": medians, "p95": p95, "ratio": ratios })
}
