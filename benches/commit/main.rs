//! What a commit costs: in memory, with the store, at any size, beside the naive algorithm.
//!
//! The same cases run in two ways:
//!
//! - `cargo bench --bench commit [FILTER]` measures them with criterion, which tells whether a
//!   change made them slower. It knows means of many steps only, and no p95 of single ones. Trees
//!   of more than 100 000 files are left out unless `VST_BENCH_LARGE` is set.
//! - `cargo bench --bench commit -- --report FILE` times every single step, prints median, p95,
//!   p99 and least time as a table, and writes them as JSON. Cases take turns, so that the
//!   machine's noise hits all alike.
//!
//! A step is checked: a commit that hashes other files, bytes or directories than its case
//! promises, or has the root of the one before, ends the run; and so does a file that does not
//! read back as it was written.
//!
//! With `--test`, or without `--bench`, as `cargo test` runs it, it only tries the small cases.
//! Temporary stores go where `TMPDIR` says.

mod big;
mod cases;
mod files;
mod micro;
mod naive;
mod report;
mod sample;
mod stored;
mod table;
mod tree;

use std::process::ExitCode;

use cases::{Case, World};
use files::Result;
use report::Request;

/// As the program allocates.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "\
usage: commit --report FILE [--filter TEXT] [--rounds N] [--files-max N] [--also ROWS]
  --report FILE   where the JSON goes
  --filter TEXT   only cases with this text in the name
  --rounds N      steps of the cheapest cases; 1000 unless told
  --files-max N   only trees of at most so many files
  --also ROWS     a file of further rows, a JSON object a line
otherwise the arguments are those of criterion";

/// Trees that a mere try makes have at most so many files.
const TRY_FILES_MAX: u64 = 1000;
/// Steps of each case in a mere try.
const TRY_STEPS: u64 = 2;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |wanted: &str| args.iter().any(|arg| arg == wanted);
    let cases = cases::all();
    let done = if has("--report") {
        let Some(request) = request(&args) else {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        };
        report::run(&request, &cases)
    } else if has("--bench") && !has("--test") || has("--list") {
        micro::run(&cases)
    } else {
        try_small(&cases)
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("commit: {error}");
            ExitCode::FAILURE
        }
    }
}

fn request(args: &[String]) -> Option<Request> {
    let (file, also, filter, rounds) = Default::default();
    let mut request = Request { file, filter, rounds, files_max: u64::MAX, also };
    // Cargo adds an argument of its own.
    let mut args = args.iter().filter(|arg| *arg != "--bench");
    while let Some(arg) = args.next() {
        let value = args.next()?;
        match arg.as_str() {
            "--report" => request.file = value.into(),
            "--filter" => request.filter.clone_from(value),
            "--rounds" => request.rounds = Some(value.parse().ok().filter(|rounds| *rounds > 0)?),
            "--files-max" => request.files_max = value.parse().ok()?,
            "--also" => request.also = Some(value.into()),
            _ => return None,
        }
    }
    Some(request)
}

fn try_small(cases: &[Case]) -> Result<()> {
    for case in cases.iter().filter(|case| case.world.files() <= TRY_FILES_MAX) {
        let mut world = World::new(case.world)?;
        for round in 0..TRY_STEPS {
            world.step(case.action, round)?;
        }
        world.check()?;
    }
    Ok(())
}
