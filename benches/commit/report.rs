//! The report: every single step is timed, in rounds that take turns over the cases, so that
//! noise of the machine hits all alike.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::cases::{Case, World, WorldKey};
use super::files::Result;
use super::sample::{Counts, Sample, Times};
use super::table;

/// How often the cheapest cases are measured, unless told otherwise.
const ROUNDS: u64 = 1000;
/// How often at least the others are.
const ROUNDS_MIN: u64 = 5;
/// Turns that the rounds of a case are spread over.
const TURNS: u64 = 20;
/// Steps at the start of a turn that do not count: another case has had the caches.
const WARM_UP_STEPS: u64 = 2;
/// Cases of a greater weight take so long that they need no warming up.
const WARM_UP_WEIGHT_MAX: u32 = 50;
/// Trees that take turns have at most so many files together, which bounds the memory.
const FILES_MAX: u64 = 1_500_000;
/// Trees of up to so many files take turns among themselves only, and come first: in a heap that
/// large ones have been in they are a third slower.
const SMALL_FILES_MAX: u64 = 10_000;

/// What to report on.
#[derive(Debug)]
pub(crate) struct Request {
    /// Where the JSON goes.
    pub(crate) file: PathBuf,
    /// Only cases with this in the name.
    pub(crate) filter: String,
    /// Rounds for the cheapest cases.
    pub(crate) rounds: Option<u64>,
    /// Only trees of at most so many files.
    pub(crate) files_max: u64,
    /// Rows from elsewhere: a file with a JSON object a line.
    pub(crate) also: Option<PathBuf>,
}

/// A row of the report.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Row {
    /// What the case belongs to.
    pub(crate) group: String,
    /// The case.
    pub(crate) case: String,
    /// Steps that were measured.
    pub(crate) steps: u64,
    /// What came out, where that is no time.
    pub(crate) value: Option<String>,
    /// What should, where that is no time.
    pub(crate) value_target: Option<String>,
    /// Times of what the case is about, in nanoseconds; of a commit, without writing.
    pub(crate) took: Option<Times>,
    /// Its target for the median.
    pub(crate) target_micros: Option<u32>,
    /// Times of writing and committing together, in nanoseconds.
    pub(crate) with_write: Option<Times>,
    /// Its target for the median.
    pub(crate) with_write_target_micros: Option<u32>,
    /// Times of the commit as the daemon counts them, in nanoseconds.
    pub(crate) daemon: Option<Times>,
    /// What a commit hashed, in the mean.
    pub(crate) counts: Option<Counts>,
    /// How much the store may grow by a commit.
    pub(crate) stored_bytes_target: Option<u64>,
}

/// The whole report.
#[derive(Serialize)]
struct Report {
    machine: Machine,
    rows: Vec<Row>,
}

/// Where it was measured.
#[derive(Serialize)]
pub(crate) struct Machine {
    /// The model of the processor.
    pub(crate) processor: String,
    /// How many of them this process may use.
    pub(crate) cpus: usize,
    /// The version of the kernel.
    pub(crate) kernel: String,
}

/// Measures, writes the JSON and prints the table.
pub(crate) fn run(request: &Request, cases: &[Case]) -> Result<()> {
    let wanted = |case: &&Case| {
        let name = format!("{} {}", case.group, case.name);
        name.contains(&request.filter) && case.world.files() <= request.files_max
    };
    let cases: Vec<&Case> = cases.iter().filter(wanted).collect();
    let mut samples = BTreeMap::new();
    for batch in batches(&cases) {
        measure(&batch, request.rounds.unwrap_or(ROUNDS), &mut samples)?;
    }
    let mut rows = Vec::new();
    for case in &cases {
        let of_case = samples.remove(&(case.group, case.name.as_str())).unwrap_or_default();
        rows.push(row_of(case, &of_case));
    }
    rows.extend(growth(&rows));
    rows.sort_by_key(|row| cases.iter().position(|case| case.group == row.group));
    if let Some(also) = &request.also {
        rows.extend(rows_in(also)?);
    }
    let report = Report { machine: Machine::here(), rows };
    print!("{}", table::markdown(&report.machine, &report.rows));
    fs::write(&request.file, serde_json::to_vec_pretty(&report)?)?;
    Ok(())
}

/// Cases whose trees may be in memory together. Those that write to a disk come after the others.
fn batches<'a>(cases: &[&'a Case]) -> Vec<Vec<&'a Case>> {
    let mut ordered = cases.to_vec();
    ordered.sort_by_key(|case| (class(case.world), case.world.files(), case.world));
    let mut batches: Vec<Vec<&Case>> = Vec::new();
    let mut files = 0;
    for worlds in ordered.chunk_by(|a, b| a.world == b.world) {
        let world = worlds[0].world;
        let alike = |batch: &&mut Vec<&Case>| class(batch[0].world) == class(world);
        let fits = files + world.files() <= FILES_MAX;
        match batches.last_mut().filter(alike).filter(|_| fits) {
            Some(batch) => batch.extend(worlds),
            None => {
                batches.push(worlds.to_vec());
                files = 0;
            }
        }
        files += world.files();
    }
    batches
}

/// Trees of different classes do not take turns with each other.
fn class(world: WorldKey) -> (bool, bool) {
    (world.has_store(), world.files() > SMALL_FILES_MAX)
}

/// Measured steps, by group and name of their case.
type Samples<'a> = BTreeMap<(&'a str, &'a str), Vec<Sample>>;

fn measure<'a>(batch: &[&'a Case], rounds: u64, samples: &mut Samples<'a>) -> Result<()> {
    let mut worlds = BTreeMap::new();
    for case in batch {
        if let Entry::Vacant(place) = worlds.entry(case.world) {
            eprintln!("makes {:?}", case.world);
            place.insert(World::new(case.world)?);
        }
    }
    eprintln!("measures {} cases", batch.len());
    let mut steps = vec![0; batch.len()];
    for turn in 0..TURNS {
        for (case, step) in batch.iter().zip(&mut steps) {
            let rounds = (rounds / u64::from(case.weight)).max(ROUNDS_MIN.min(rounds));
            let count = rounds * (turn + 1) / TURNS - rounds * turn / TURNS;
            let warm_up = if case.weight > WARM_UP_WEIGHT_MAX { 0 } else { WARM_UP_STEPS };
            let world = worlds.get_mut(&case.world).ok_or("a case has lost its tree")?;
            for at in 0..count + if count > 0 { warm_up } else { 0 } {
                let failed = |error| format!("{}, {}: {error}", case.group, case.name);
                let sample = world.step(case.action, *step).map_err(failed)?;
                *step += 1;
                if at >= warm_up {
                    samples.entry((case.group, &case.name)).or_default().push(sample);
                }
            }
        }
    }
    worlds.values().try_for_each(World::check)
}

fn row_of(case: &Case, samples: &[Sample]) -> Row {
    let counts: Vec<Counts> = samples.iter().map(|sample| sample.counts).collect();
    let with_write = samples.iter().filter_map(|s| Some(s.write? + s.took));
    Row {
        group: case.group.to_owned(),
        case: case.name.clone(),
        steps: samples.len() as u64,
        took: Times::of(samples.iter().map(|sample| sample.took)),
        target_micros: case.target.micros,
        with_write: Times::of(with_write),
        with_write_target_micros: case.target.with_write_micros,
        counts: counts.iter().any(|c| *c != Counts::default()).then(|| Counts::mean(&counts)),
        stored_bytes_target: case.target.stored_bytes,
        ..Row::default()
    }
}

/// How much dearer a commit is in the largest tree than in one of a thousand files.
fn growth(rows: &[Row]) -> Option<Row> {
    let median = |group: &str, case: &str| {
        let row = rows.iter().find(|row| row.group == group && row.case == case)?;
        Some(row.took?.p50)
    };
    let ratio = median("scale", "1 of 1M")? as f64 / median("reference (a)", "1 of 1000")? as f64;
    Some(Row {
        group: "scale".to_owned(),
        case: "1 of 1M against 1 of 1000".to_owned(),
        value: Some(format!("{ratio:.2} times")),
        value_target: Some("2.5 times".to_owned()),
        ..Row::default()
    })
}

fn rows_in(file: &Path) -> Result<Vec<Row>> {
    let lines = fs::read_to_string(file)?;
    Ok(lines.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>()?)
}

impl Machine {
    /// This machine.
    fn here() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model =
            cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            processor: model.map_or(std::env::consts::ARCH, |(_, model)| model).to_owned(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: kernel.trim().to_owned(),
        }
    }
}
