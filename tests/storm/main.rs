//! Storms of SIGKILL through a real mount: writers at work, the daemon killed at any moment, the
//! store mounted again, everything compared with what was acknowledged; and so on with the same
//! store. They need `/dev/fuse`, and root or `fusermount3`.
//!
//! - The writers are threads of the test, so they outlive the daemon. Each has a subtree of its
//!   own, but for two that share directories; each has at most one system call on its way, and
//!   knows exactly what its subtree holds after every one that was acknowledged.
//! - Of the call in flight at the kill either all or nothing is there. Only a write of more than
//!   1 MiB, which the kernel sends in several requests, may be there up to one of these
//!   (`compare.rs`).
//! - Every acknowledged commit is in the history, in order, with the tree that it had. Some are
//!   read in full and hold what was acknowledged before and nothing begun after.
//! - Random choices come from one seed, which a failure names. Which operation the kill meets is up
//!   to the scheduler.

mod calls;
mod check;
mod choice;
mod commits;
mod compare;
mod found;
#[path = "../mount/harness.rs"]
mod harness;
mod history;
mod model;
mod random;
mod report;
mod round;
mod storm;
mod writer;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use storm::{Plan, Storm};

/// Whether every acknowledged operation must survive the death of the daemon, as the contract
/// wants. Without a journal only commits and fsyncs can be held to it: what was acknowledged
/// after the last one may be lost, as long as each subtree is then in a state that it once had.
const EVERYTHING_SURVIVES: bool = true;

/// Daemons that die in each of the three storms of the tests.
const DEATHS: u64 = 70;

const PLAN: Plan = Plan {
    seed: 1,
    options: &[],
    operations_max: 300,
    snapshots_read: 2,
    burst_files: 0,
    burst_rounds: 10,
};

#[track_caller]
fn survive(plan: Plan) {
    let mut storm = Storm::new(plan, None);
    while storm.totals.deaths() < DEATHS {
        if let Err(what) = storm.round() {
            panic!("{what}\nuntil then: {}", storm.totals);
        }
    }
    println!("{}", storm.totals);
}

#[test]
fn what_was_promised_survives_kills_amid_much_work() {
    survive(PLAN);
}

#[test]
fn what_was_promised_survives_kills_soon_after_one_another() {
    survive(Plan { seed: 2, operations_max: 40, snapshots_read: 1, ..PLAN });
}

#[test]
fn what_was_promised_survives_kills_with_strict_durability() {
    survive(Plan { seed: 3, options: &["--durability", "strict"], ..PLAN });
}

/// The long run, which `scripts/soak.sh` starts and tells what to do.
#[test]
#[ignore = "takes as long as it is told: scripts/soak.sh runs it"]
fn soak() {
    const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);
    let number = |name: &str| -> u64 {
        let text = std::env::var(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}"))
    };
    let time = Duration::from_secs(number("VST_SOAK_SECONDS"));
    let store = PathBuf::from(std::env::var_os("VST_SOAK_STORE").expect("a place for the store"));
    let seed = number("VST_SOAK_SEED");
    let plan = Plan { seed, snapshots_read: 4, burst_files: 4000, burst_rounds: 40, ..PLAN };
    let mut storm = Storm::new(plan, Some(&store));
    let start = Instant::now();
    let mut told = start;
    while start.elapsed() < time {
        if let Err(what) = storm.round() {
            panic!("{what}\nuntil then: {}", storm.totals);
        }
        if told.elapsed() >= PROGRESS_INTERVAL {
            told = Instant::now();
            println!("after {} s: {}", start.elapsed().as_secs(), storm.totals);
        }
    }
    println!("survived {} s: {}", start.elapsed().as_secs(), storm.totals);
}
