//! Storms of SIGKILL through a real mount: writers at work, the daemon killed at any moment, the
//! store mounted again, everything compared with what was acknowledged; and so on with the same
//! store. They need `/dev/fuse`, and root or `fusermount3`.
//!
//! - The writers are threads of the test, so they outlive the daemon. Each has a subtree of its
//!   own, but for two that share directories; each has at most one system call on its way, and
//!   knows exactly what its subtree holds after every one that was acknowledged.
//! - Everything acknowledged is there. Of the call in flight at the kill either all or nothing is;
//!   only a write that the kernel sends in several requests may be there up to one of these
//!   (`compare.rs`).
//! - Every acknowledged commit is in the history, with the tree that it had. Some are
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
mod restore;
mod round;
mod storm;
mod writer;

use std::time::{Duration, Instant};

use report::Totals;
use storm::{Plan, Storm};

/// Kills in each of the three storms of the tests.
const KILLS: u64 = 70;
/// How often the long run tells how far it has got.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

const PLAN: Plan = Plan {
    seed: 1,
    options: &[],
    operations_max: 300,
    snapshots_read: 2,
    burst_files: 100,
    burst_rounds: 10,
};

/// Storms on until the totals are enough.
#[track_caller]
fn survive(plan: Plan, mut enough: impl FnMut(&Totals) -> bool) {
    let mut storm = Storm::new(plan);
    while !enough(&storm.totals) {
        if let Err(what) = storm.round() {
            panic!("{what}\nuntil then: {}", storm.totals);
        }
    }
    println!("survived {}", storm.totals);
}

#[test]
fn what_was_acknowledged_survives_kills_amid_much_work() {
    survive(PLAN, |totals| totals.kills() >= KILLS);
}

#[test]
fn what_was_acknowledged_survives_kills_soon_after_one_another() {
    let plan = Plan { seed: 2, operations_max: 40, snapshots_read: 1, ..PLAN };
    survive(plan, |totals| totals.kills() >= KILLS);
}

#[test]
fn what_was_acknowledged_survives_kills_with_strict_durability() {
    let plan = Plan { seed: 3, options: &["--durability", "strict"], ..PLAN };
    survive(plan, |totals| totals.kills() >= KILLS);
}

#[test]
#[should_panic(expected = "seed 1, round ")]
fn a_store_without_a_journal_does_not_weather_the_storm() {
    survive(Plan { options: &["--without-journal"], ..PLAN }, |totals| totals.kills() >= KILLS);
}

/// The long run, which `scripts/soak.sh` starts and tells what to do.
#[test]
#[ignore = "takes as long as it is told: scripts/soak.sh runs it"]
fn soak() {
    let number = |name: &str| -> u64 {
        let text = std::env::var(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}"))
    };
    let time = Duration::from_secs(number("VST_SOAK_SECONDS"));
    let seed = number("VST_SOAK_SEED");
    let plan = Plan { seed, snapshots_read: 3, burst_files: 1000, burst_rounds: 40, ..PLAN };
    let start = Instant::now();
    let mut told = start;
    survive(plan, |totals| {
        if told.elapsed() >= PROGRESS_INTERVAL {
            told = Instant::now();
            println!("after {} s: {totals}", start.elapsed().as_secs());
        }
        start.elapsed() >= time
    });
}
