//! Commits through a mount, and looking into them. Only where the filesystem has them.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::XattrFlags;

use crate::case::{Place, World};
use crate::rounds::row;

const COMMIT_XATTR: &str = "user.vst.commit";
/// Files that writers write to.
const FILES: usize = 200;
const BYTES: usize = 4096;
const COMMIT_INTERVAL: Duration = Duration::from_millis(10);
/// How long writers are watched.
const WATCHED: Duration = Duration::from_secs(2);
/// Snapshots that are looked into.
const LOOKS: usize = 100;

fn commit(top: &Path) -> io::Result<()> {
    Ok(rustix::fs::setxattr(top, COMMIT_XATTR, b"", XattrFlags::CREATE)?)
}

fn names(dir: &Path) -> io::Result<HashSet<OsString>> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect()
}

/// Measures what it takes to list snapshots and to look into one for the first time.
pub(crate) fn look(world: &World, rounds: usize, places: &[Place]) -> io::Result<()> {
    let (mut listed, mut looked) = (Vec::new(), Vec::new());
    for place in places {
        let (top, inside) = (&place.dir, place.dir.join("looked-into"));
        fs::create_dir(&inside)?;
        let snapshots = top.join(".snapshots");
        let before: HashSet<OsString> = names(&snapshots)?;
        for n in 0..world.files {
            fs::write(inside.join(format!("file{}", n % FILES)), n.to_le_bytes())?;
            commit(top)?;
        }
        let mut ids = HashSet::new();
        for _ in 0..rounds {
            // As for one who comes anew.
            let _ = fs::write("/proc/sys/vm/drop_caches", "3");
            let begin = Instant::now();
            ids =
                fs::read_dir(&snapshots)?.map(|e| Ok(e?.file_name())).collect::<io::Result<_>>()?;
            listed.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        let made: Vec<&OsString> = ids.difference(&before).collect();
        if made.len() != world.files {
            return Err(io::Error::other(format!("{} snapshots are listed", made.len())));
        }
        for id in made.iter().step_by(made.len().div_ceil(LOOKS)) {
            let begin = Instant::now();
            let dir: PathBuf = snapshots.join(id).join("looked-into");
            let count = fs::read_dir(&dir)?.count();
            let bytes = fs::read(dir.join("file0"))?;
            looked.push(begin.elapsed().as_secs_f64() * 1e3);
            if count == 0 || bytes.len() != size_of::<usize>() {
                return Err(io::Error::other(format!("{} is not what it was", dir.display())));
            }
        }
        let name = place.name.as_str();
        let figures = [(name, std::mem::take(&mut listed))].into_iter();
        println!("{}", row("list all snapshots", "ms", world, figures));
        let figures = [(name, std::mem::take(&mut looked))].into_iter();
        println!("{}", row("first look into a snapshot", "ms", world, figures));
    }
    Ok(())
}

/// Measures how fast clients write, with and without commits meanwhile.
pub(crate) fn write_and_commit(world: &World, rounds: usize, places: &[Place]) -> io::Result<()> {
    for place in places {
        let (mut without, mut with, mut part) = (Vec::new(), Vec::new(), Vec::new());
        let dirs: Vec<PathBuf> =
            (0..world.clients).map(|n| place.dir.join(format!("writer{n}"))).collect();
        dirs.iter().try_for_each(fs::create_dir)?;
        for round in 0..rounds {
            let mut written = [0.0; 2];
            // Which comes first changes from round to round.
            for turn in 0..2 {
                let commits = (turn + round) % 2;
                written[commits] = writes_per_s(&place.dir, &dirs, commits == 1)?;
            }
            without.push(written[0]);
            with.push(written[1]);
            part.push(written[1] / written[0] * 100.0);
        }
        dirs.iter().try_for_each(fs::remove_dir_all)?;
        for (case, unit, figures) in [
            ("writes, no commits", "1/s", without),
            ("writes, a commit every 10 ms", "1/s", with),
            ("writes with commits, part of those without", "%", part),
        ] {
            let figures = [(place.name.as_str(), figures)].into_iter();
            println!("{}", row(case, unit, world, figures));
        }
    }
    Ok(())
}

/// How many operations clients do in a second.
fn writes_per_s(top: &Path, dirs: &[PathBuf], commits: bool) -> io::Result<f64> {
    let end = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> =
            dirs.iter().map(|dir| scope.spawn(|| write_until(dir, &end))).collect();
        let begin = Instant::now();
        let mut next = begin;
        let mut committed = Ok(());
        while begin.elapsed() < WATCHED && committed.is_ok() {
            next += COMMIT_INTERVAL;
            thread::sleep(next.saturating_duration_since(Instant::now()));
            if commits {
                committed = commit(top);
            }
        }
        end.store(true, Ordering::Relaxed);
        let mut count = 0;
        for writer in writers {
            count += writer.join().map_err(|_| io::Error::other("a writer panicked"))??;
        }
        committed?;
        Ok(count as f64 / begin.elapsed().as_secs_f64())
    })
}

/// Makes, overwrites and removes files in turn; returns how often.
fn write_until(dir: &Path, end: &AtomicBool) -> io::Result<u64> {
    let path = |n: u64| dir.join((n % FILES as u64).to_string());
    let mut count = 0;
    while !end.load(Ordering::Relaxed) {
        match count / FILES as u64 % 4 {
            0..3 => {
                let mut options = File::options();
                let file = options.create(true).truncate(false).write(true).open(path(count))?;
                file.write_all_at(&[count as u8; BYTES], 0)?;
            }
            _ => fs::remove_file(path(count))?,
        }
        count += 1;
    }
    Ok(count)
}
