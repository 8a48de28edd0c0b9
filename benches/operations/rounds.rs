//! Measuring: in rounds, and in each round one place after the other.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::case::{Case, Place, Run, World};

/// Measures cases in new directories.
pub(crate) fn time(
    cases: &[Case],
    world: &World,
    rounds: usize,
    places: &[Place],
) -> io::Result<()> {
    let mut figures = vec![vec![Vec::with_capacity(rounds); places.len()]; cases.len()];
    for round in 0..rounds {
        let made: Vec<Vec<PathBuf>> = places
            .iter()
            .map(|place| make(&place.dir, world.clients))
            .collect::<io::Result<_>>()?;
        for (figures, case) in figures.iter_mut().zip(cases) {
            // Who comes first changes from round to round.
            for turn in 0..made.len() {
                let which = (turn + round) % made.len();
                figures[which].push(time_one(case, world, &made[which])?);
            }
        }
        for place in places {
            fs::remove_dir_all(top(&place.dir))?;
        }
    }
    print_all(cases, world, places, figures);
    Ok(())
}

/// Measures cases in the places themselves.
pub(crate) fn time_in_place(
    cases: &[Case],
    world: &World,
    rounds: usize,
    places: &[Place],
) -> io::Result<()> {
    let mut figures = vec![vec![Vec::with_capacity(rounds); places.len()]; cases.len()];
    for round in 0..rounds {
        for (figures, case) in figures.iter_mut().zip(cases) {
            for turn in 0..places.len() {
                let which = (turn + round) % places.len();
                let dirs = vec![places[which].dir.clone(); world.clients];
                figures[which].push(time_one(case, world, &dirs)?);
            }
        }
    }
    print_all(cases, world, places, figures);
    Ok(())
}

fn top(place: &Path) -> PathBuf {
    place.join("operations")
}

fn make(place: &Path, clients: usize) -> io::Result<Vec<PathBuf>> {
    fs::create_dir(top(place))?;
    let dirs = (0..clients).map(|client| top(place).join(client.to_string()));
    dirs.map(|dir| fs::create_dir(&dir).map(|()| dir)).collect()
}

/// Measures a case once, with a client in each directory.
fn time_one<'a>(case: &'a Case, world: &'a World, dirs: &'a [PathBuf]) -> io::Result<f64> {
    for dir in dirs {
        case.prepare.map_or(Ok(()), |prepare| prepare(world, dir))?;
    }
    if matches!(case.run, Run::Whole(_) | Run::Bytes(..)) && case.prepare.is_none() {
        // What was written before is written out before, not meanwhile.
        rustix::fs::sync();
    }
    let secs = if let [dir] = dirs {
        let begin = Instant::now();
        case.do_it(world, dir)?;
        begin.elapsed().as_secs_f64()
    } else {
        let start = Barrier::new(dirs.len());
        thread::scope(|scope| {
            let client = |dir: &'a PathBuf| {
                let start = &start;
                // By their own clocks: on one CPU another thread may not run until they are done.
                scope.spawn(move || {
                    start.wait();
                    let begin = Instant::now();
                    case.do_it(world, dir).map(|()| (begin, Instant::now()))
                })
            };
            let clients: Vec<_> = dirs.iter().map(client).collect();
            let joined = clients
                .into_iter()
                .map(|client| client.join().map_err(|_| io::Error::other("a client panicked"))?);
            let (begins, ends): (Vec<_>, Vec<_>) =
                joined.collect::<io::Result<Vec<_>>>()?.into_iter().unzip();
            let span = begins.iter().min().zip(ends.iter().max());
            let secs = span.map(|(begin, end)| end.duration_since(*begin).as_secs_f64());
            io::Result::Ok(secs.unwrap_or_default())
        })?
    };
    Ok(case.figure(secs, dirs.len()))
}

fn print_all(cases: &[Case], world: &World, places: &[Place], figures: Vec<Vec<Vec<f64>>>) {
    for (figures, case) in figures.into_iter().zip(cases).filter(|(_, case)| case.timed()) {
        let named = places.iter().map(|place| place.name.as_str()).zip(figures);
        println!("{}", row(case.name, case.unit(), world, named));
    }
}

/// A line of figures by name.
pub(crate) fn row<'a>(
    case: &str,
    unit: &str,
    world: &World,
    figures: impl Iterator<Item = (&'a str, Vec<f64>)>,
) -> Value {
    let (mut median, mut p95, mut rounds) = (Map::new(), Map::new(), 0);
    for (name, mut figures) in figures {
        figures.sort_unstable_by(f64::total_cmp);
        rounds = figures.len();
        let quantile = |q: f64| figures[((figures.len() - 1) as f64 * q).round() as usize];
        median.insert(name.to_owned(), json!(rounded(quantile(0.5))));
        p95.insert(name.to_owned(), json!(rounded(quantile(0.95))));
    }
    json!({
        "case": case, "unit": unit, "placement": world.placement, "clients": world.clients,
        "rounds": rounds, "median": median, "p95": p95,
    })
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
