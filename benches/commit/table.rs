//! The report as a table in markdown.

use super::report::{Machine, Row};
use super::sample::Times;

const HEADINGS: [&str; 18] = [
    "case",
    "steps",
    "median",
    "p95",
    "p99",
    "min",
    "target",
    "with the writing, median",
    "p95",
    "target",
    "in the daemon, median",
    "mean",
    "share",
    "files",
    "directories",
    "nodes",
    "hashed",
    "stored",
];

/// Draws the table. What is not known of a row stays empty.
pub(crate) fn markdown(machine: &Machine, rows: &[Row]) -> String {
    let Machine { processor, cpus, kernel } = machine;
    let mut text = format!("{processor}, {cpus} CPUs, kernel {kernel}\n\n");
    line(&mut text, &HEADINGS.map(str::to_owned));
    let rule = |at: usize| if at == 0 { "---" } else { "---:" }.to_owned();
    line(&mut text, &std::array::from_fn::<_, { HEADINGS.len() }, _>(rule));
    rows.iter().for_each(|row| line(&mut text, &cells(row)));
    text
}

fn line(text: &mut String, cells: &[String; HEADINGS.len()]) {
    text.push_str(&format!("| {} |\n", cells.join(" | ")));
}

fn cells(row: &Row) -> [String; HEADINGS.len()] {
    let time = |times: Option<Times>, of: fn(Times) -> u64| {
        times.map(|times| micros(of(times))).unwrap_or_default()
    };
    let number = |number: Option<u64>| number.map(|n| n.to_string()).unwrap_or_default();
    let size = |bytes: Option<u64>| bytes.map(kilobytes).unwrap_or_default();
    let counts = row.counts.as_ref();
    let hashed = counts.map(|c| match c.node_bytes {
        Some(nodes) => kilobytes(c.content_bytes + nodes),
        None => format!("{} and nodes", kilobytes(c.content_bytes)),
    });
    let stored = size(counts.and_then(|c| c.stored_bytes));
    let share = row.daemon.zip(row.took).map(|(daemon, took)| {
        let percent = 100.0 * daemon.mean as f64 / took.mean.max(1) as f64;
        format!("{percent:.0} %")
    });
    [
        format!("{}: {}", row.group, row.case),
        number(Some(row.steps).filter(|steps| *steps > 0)),
        row.value.clone().unwrap_or_else(|| time(row.took, |t| t.p50)),
        time(row.took, |t| t.p95),
        time(row.took, |t| t.p99),
        time(row.took, |t| t.min),
        row.value_target.clone().unwrap_or_else(|| target(row.target_micros)),
        time(row.with_write, |t| t.p50),
        time(row.with_write, |t| t.p95),
        target(row.with_write_target_micros),
        time(row.daemon, |t| t.p50),
        time(row.daemon, |t| t.mean),
        share.unwrap_or_default(),
        number(counts.map(|c| c.files)),
        number(counts.and_then(|c| c.directories)),
        number(counts.map(|c| c.nodes)),
        hashed.unwrap_or_default(),
        match row.stored_bytes_target {
            Some(target) => format!("{stored} of {}", kilobytes(target)),
            None => stored,
        },
    ]
}

fn micros(nanos: u64) -> String {
    let micros = nanos as f64 / 1000.0;
    let digits = if micros < 100.0 { 2 } else { 0 };
    format!("{micros:.digits$} µs")
}

fn target(micros: Option<u32>) -> String {
    micros.map(|micros| format!("{micros} µs")).unwrap_or_default()
}

fn kilobytes(bytes: u64) -> String {
    format!("{:.1} kB", bytes as f64 / 1000.0)
}
