//! Running a test in many schedules.

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, Runner};

/// The code under test needs far more than a thread of `shuttle` has.
const STACK_BYTES: usize = 1 << 20;

/// A fault that so many steps have to come in a certain order for is looked for.
const DEPTH: usize = 3;

/// The same schedules each time, so that nobody's change fails by chance.
const SEED: u64 = 20;

/// How many schedules are tried, of each of two kinds.
#[derive(Clone, Copy)]
pub(crate) struct Schedules(pub(crate) usize);

impl Schedules {
    /// `VST_SCHEDULES` asks for so many times as many.
    fn count(self) -> usize {
        let asked = std::env::var("VST_SCHEDULES").ok().and_then(|text| text.parse().ok());
        self.0 * asked.unwrap_or(1)
    }
}

/// Runs a test in so many random schedules, in each of which any thread may come next at any step,
/// and in as many others that keep to one thread as long as it can go on, but for a few switches.
/// Fails where the test does, or where all threads wait, and then prints the schedule. Running
/// the test with that in `VST_SCHEDULE` runs it in that alone.
///
/// Memory is taken to be sequentially consistent: what a weaker ordering allows is not explored.
pub(crate) fn explore(schedules: Schedules, test: impl Fn() + Clone + Send + Sync + 'static) {
    if let Ok(schedule) = std::env::var("VST_SCHEDULE") {
        return run(ReplayScheduler::new_from_encoded(&schedule), test);
    }
    let count = schedules.count();
    run(RandomScheduler::new_from_seed(SEED, count), test.clone());
    run(PctScheduler::new_from_seed(SEED, DEPTH, count), test);
}

fn run(scheduler: impl Scheduler + 'static, test: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    // It warns of orderings that it takes to be stricter than they are.
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(test);
}
