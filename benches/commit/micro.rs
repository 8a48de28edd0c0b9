//! The cases as criterion measures them.

use std::time::Duration;

use criterion::Criterion;

use super::cases::{Action, Case, World, WorldKey};
use super::files::Result;

/// Larger trees are left out unless `LARGE` asks for them.
const FILES_MAX: u64 = 100_000;
/// The environment variable that asks for all sizes.
const LARGE: &str = "VST_BENCH_LARGE";
const SAMPLES: usize = 20;
const WARM_UP: Duration = Duration::from_millis(300);
const MEASUREMENT: Duration = Duration::from_secs(1);

/// Measures what the arguments of the process ask for.
pub(crate) fn run(cases: &[Case]) -> Result<()> {
    let mut criterion = Criterion::default()
        .sample_size(SAMPLES)
        .warm_up_time(WARM_UP)
        .measurement_time(MEASUREMENT)
        .configure_from_args();
    let mut world = None;
    let large = std::env::var_os(LARGE).is_some();
    for case in cases.iter().filter(|case| large || case.world.files() <= FILES_MAX) {
        measure(&mut criterion, case, false, &mut world)?;
        if matches!(case.action, Action::Commit(..) | Action::Overwrite | Action::Insert) {
            measure(&mut criterion, case, true, &mut world)?;
        }
    }
    if let Some((_, world)) = world {
        world.check()?;
    }
    criterion.final_summary();
    Ok(())
}

/// Measures one case. The world of the case before is used again if it is the same, and nothing
/// is made of a case that was not asked for.
fn measure(
    criterion: &mut Criterion,
    case: &Case,
    with_write: bool,
    world: &mut Option<(WorldKey, World)>,
) -> Result<()> {
    let name =
        if with_write { format!("{}, with the writing", case.name) } else { case.name.clone() };
    let mut result = Ok(());
    let mut round = 0;
    criterion.benchmark_group(case.group).bench_function(name, |bencher| {
        bencher.iter_custom(|steps| {
            let mut took = Duration::ZERO;
            // Criterion cannot be told of a failure, and divides by what it is given.
            let failed = Duration::from_secs(1);
            for _ in 0..steps {
                if result.is_err() {
                    return failed;
                }
                match step(case, round, world) {
                    Ok((write, step)) => took += if with_write { write + step } else { step },
                    Err(error) => result = Err(error),
                }
                round += 1;
            }
            took.max(Duration::from_nanos(1))
        });
    });
    result.map_err(|error| format!("{}, {}: {error}", case.group, case.name).into())
}

fn step(
    case: &Case,
    round: u64,
    world: &mut Option<(WorldKey, World)>,
) -> Result<(Duration, Duration)> {
    if world.as_ref().is_none_or(|(key, _)| *key != case.world) {
        if let Some((_, world)) = world.take() {
            world.check()?;
        }
        *world = Some((case.world, World::new(case.world)?));
    }
    let (_, world) = world.as_mut().ok_or("the world was just made")?;
    let sample = world.step(case.action, round)?;
    Ok((sample.write.unwrap_or_default(), sample.took))
}
