//! What operations and whole workloads cost on one filesystem and another.
//!
//! It knows nothing of the crate: it is a client like any other, and does the same in each
//! directory that it is given, which may be on as many filesystems. They take turns, so that what
//! else the machine does meets all of them alike.

mod basic;
mod bulk;
mod case;
mod floor;
mod report;
mod rounds;
mod snapshots;
mod work;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use case::{Case, Place, World};

const USAGE: &str = "\
usage: operations SET [option]... NAME=DIR...

Does all operations of a set in a new directory in each DIR, in some rounds, and prints a line of
JSON for each, with the median and the 95th percentile of what it took for each NAME.

  basic      system calls that change something
  floor      the operations of the least that a FUSE filesystem costs
  work       what people do: untar, find, grep, git, cargo, rm
  bulk       large files
  read       what reads; in DIR itself, which must hold what `tree` made
  tree       makes a tree of --files files in each DIR, and measures nothing
  snapshots  makes --files commits in each DIR, the top of a mount, and looks into them
  commits    writes in each DIR, the top of a mount, with and without commits meanwhile
  report     reads lines of JSON from the standard input, prints a table of them, and writes all
             of them to DIR, a file, as one JSON document; NAME says what to compare with

  --rounds N       rounds; 5 unless told
  --clients N      as many do it at the same time, each in a directory of its own; 1 unless told
  --placement TEXT what the lines call the way in which client and server were placed
  --files N        files of a tree; 20 000 unless told
  --mib N          size of a large file in MiB; 1024 unless told
  --scratch DIR    where what is needed is made: an archive, a repository; needed by `work`
  --only TEXT      only what has this in its name";

struct Request {
    set: String,
    rounds: usize,
    only: String,
    world: World,
    places: Vec<Place>,
}

fn main() -> ExitCode {
    // Cargo adds an argument of its own.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if args.is_empty() {
        // A plain `cargo bench` names no directory, which is no failure.
        eprintln!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let Some(request) = request(&args) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&request) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("operations: {error}");
            ExitCode::FAILURE
        }
    }
}

fn request(args: &[String]) -> Option<Request> {
    let (set, args) = args.split_first()?;
    let world = World {
        clients: 1,
        placement: String::new(),
        files: 20_000,
        mib: 1024,
        scratch: PathBuf::new(),
    };
    let (only, places) = (String::new(), Vec::new());
    let mut request = Request { set: set.clone(), rounds: 5, only, world, places };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let world = &mut request.world;
        match arg.as_str() {
            "--rounds" => request.rounds = args.next()?.parse().ok().filter(|n| *n > 0)?,
            "--clients" => world.clients = args.next()?.parse().ok().filter(|n| *n > 0)?,
            "--placement" => world.placement = args.next()?.clone(),
            "--files" => world.files = args.next()?.parse().ok().filter(|n| *n > 0)?,
            "--mib" => world.mib = args.next()?.parse().ok().filter(|n| *n > 0)?,
            "--scratch" => world.scratch = args.next()?.into(),
            "--only" => request.only = args.next()?.clone(),
            place => {
                let (name, dir) = place.split_once('=')?;
                request.places.push(Place { name: name.to_owned(), dir: dir.into() });
            }
        }
    }
    (!request.places.is_empty()).then_some(request)
}

fn run(request: &Request) -> io::Result<()> {
    let Request { set, rounds, only, world, places } = request;
    let cases: Vec<Case> = match set.as_str() {
        "basic" => basic::cases(),
        "floor" => floor::cases(),
        "work" => {
            work::make_fixtures(world)?;
            work::cases(world)
        }
        "bulk" => bulk::cases(world),
        "read" => {
            return rounds::time_in_place(&only_of(work::reading(), only), world, *rounds, places);
        }
        "tree" => {
            return places.iter().try_for_each(|place| work::make_tree(&place.dir, world.files));
        }
        "snapshots" => return snapshots::look(world, *rounds, places),
        "commits" => return snapshots::write_and_commit(world, *rounds, places),
        "report" => return report::print(&places[0]),
        _ => return Err(io::Error::other(format!("there is no set {set:?}"))),
    };
    rounds::time(&only_of(cases, only), world, *rounds, places)
}

fn only_of(cases: Vec<Case>, only: &str) -> Vec<Case> {
    cases.into_iter().filter(|case| !case.timed() || case.name.contains(only)).collect()
}
