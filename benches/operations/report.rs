//! The table of what was measured, beside what it should be.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use serde_json::{Value, json};

use crate::case::Place;

/// The filesystem that all is about.
const SUBJECT: &str = "vst";
/// What it has in common with all of its kind.
const FLOOR: &str = "empty";
/// Nothing should cost more than so many times the floor.
const FLOOR_RATIO_MAX: f64 = 1.2;

/// What a case should be.
enum Target {
    /// At most so many times, or at least so much of, what the filesystem takes that it is compared
    /// with, in this placement.
    Ratio(&'static str, f64),
    /// At most so much, or at least so many per cent.
    Value(f64),
}

fn target(case: &str) -> Option<Target> {
    let ratio = |max| Some(Target::Ratio("one CPU", max));
    match case {
        "untar" => ratio(3.5),
        "git add, commit" | "find -ls" | "git status" => ratio(1.4),
        "git clone" => ratio(1.7),
        "rm -rf" | "unlink 10 000" => ratio(1.8),
        "create 10 000" => ratio(2.2),
        "grep -r" => ratio(1.9),
        "cargo build" => Some(Target::Ratio("free", 1.1)),
        "read, warm" => ratio(0.75),
        "read, cold" | "write" => ratio(0.6),
        "read 4 KiB at random, warm" => ratio(1.0 / 0.7),
        "write 4 KiB at random" => Some(Target::Value(6.0)),
        "list all snapshots" => Some(Target::Value(50.0)),
        "first look into a snapshot" => Some(Target::Value(1.0)),
        "writes with commits, part of those without" => Some(Target::Value(90.0)),
        _ => None,
    }
}

/// Tells whether more is better.
fn rises(unit: &str) -> bool {
    matches!(unit, "MiB/s" | "1/s" | "%")
}

/// Prints a table of the lines of the standard input, and writes them to a file.
pub(crate) fn print(to: &Place) -> io::Result<()> {
    let rows: Vec<Value> = io::stdin()
        .lines()
        .map(|line| serde_json::from_str(&line?).map_err(io::Error::other))
        .collect::<io::Result<_>>()?;
    let native = to.name.as_str();
    // A table for each way of placing and number of clients.
    let tables: BTreeSet<(String, u64)> = rows.iter().map(table_of).collect();
    for (placement, clients) in &tables {
        let of_table = rows.iter().filter(|row| table_of(row) == (placement.clone(), *clients));
        let of_table: Vec<&Value> = of_table.collect();
        print_table(placement, *clients, &of_table, native);
    }
    let document = serde_json::to_string_pretty(&json!({ "native": native, "rows": rows }))?;
    fs::write(&to.dir, document + "\n")
}

fn table_of(row: &Value) -> (String, u64) {
    let placement = row["placement"].as_str().unwrap_or_default();
    (placement.to_owned(), row["clients"].as_u64().unwrap_or(1))
}

fn print_table(placement: &str, clients: u64, rows: &[&Value], native: &str) {
    let mut names: Vec<&str> = Vec::new();
    for name in rows.iter().filter_map(|row| row["median"].as_object()).flat_map(|m| m.keys()) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    println!("\n{placement}, {clients} at a time\n");
    let heads: Vec<String> = names.iter().map(|name| format!(" {name} |")).collect();
    println!("| | unit |{} to {native} | target | to {FLOOR} | at most |", heads.concat());
    println!("|---|---|{}--:|--:|--:|--:|", "--:|".repeat(names.len()));
    for row in rows {
        let (case, unit) = (text(&row["case"]), text(&row["unit"]));
        let value = |name: &str| row["median"][name].as_f64();
        let cells: Vec<String> =
            names.iter().map(|name| format!(" {} |", number(value(name)))).collect();
        let to = |other: &str| Some(value(SUBJECT)? / value(other)?);
        let (ratio, floor_ratio) =
            (to(native), to(FLOOR).map(|r| if rises(unit) { 1.0 / r } else { r }));
        let wanted = match target(case) {
            Some(Target::Ratio(place, wanted)) if place == placement => judged(ratio, wanted, unit),
            Some(Target::Value(wanted)) => judged(value(SUBJECT), wanted, unit),
            _ => String::new(),
        };
        let floor = if placement == "one CPU" {
            judged(floor_ratio, FLOOR_RATIO_MAX, "")
        } else {
            String::new()
        };
        println!(
            "| {case} | {unit} |{} {} | {wanted} | {} | {floor} |",
            cells.concat(),
            number(ratio),
            number(floor_ratio),
        );
    }
}

fn judged(value: Option<f64>, wanted: f64, unit: &str) -> String {
    let Some(value) = value else { return String::new() };
    let met = if rises(unit) { value >= wanted } else { value <= wanted };
    format!("{}{}", number(Some(wanted)), if met { "" } else { " MISSED" })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: Option<f64>) -> String {
    match value {
        Some(value) if value >= 100.0 => format!("{value:.0}"),
        Some(value) if value >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
        None => String::new(),
    }
}
