//! How long it takes to open a store whose journal is as full as it gets.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use vst::base::limits::{JOURNAL_BYTES_MAX, JOURNAL_COMMIT_COST, JOURNAL_COST_MAX};
use vst::model::{FileKind, Ino, Name, NewNode, Op, RenameMode, SetAttr, Timestamp};
use vst::repo::{CommitRequest, Repo, RepoOptions};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const DIRECTORIES: u64 = 1000;

fn main() -> Result<()> {
    println!("{:<34} {:>9} {:>7} {:>8}", "a journal of", "records", "MB", "seconds");
    report("new empty files", |repo| {
        let directories = make_directories(repo)?;
        let mut n = 0;
        fill(repo, 2, |repo| {
            n += 1;
            create(repo, directories[n % directories.len()], &format!("f{n}"), FileKind::Regular)?;
            Ok(())
        })
    })?;
    report("new files of 4 KiB", |repo| {
        let directories = make_directories(repo)?;
        let mut n = 0;
        fill(repo, 2, |repo| {
            n += 1;
            let parent = directories[n % directories.len()];
            let file = create(repo, parent, &format!("f{n}"), FileKind::Regular)?;
            write(repo, file, 0, noise(n as u64, 4096))
        })
    })?;
    report("appending 1 MiB to one file", |repo| {
        let file = create(repo, Ino::ROOT, "file", FileKind::Regular)?;
        let mut n = 0;
        fill(repo, 2, |repo| {
            n += 1;
            write(repo, file, (n - 1) << 20, noise(n, 1 << 20))
        })
    })?;
    report("4 KiB here and there in a file", |repo| {
        let file = create(repo, Ino::ROOT, "file", FileKind::Regular)?;
        for n in 0..64 {
            write(repo, file, n << 20, noise(n, 1 << 20))?;
        }
        repo.checkpoint()?;
        let mut n = 0_u64;
        fill(repo, 2, |repo| {
            n += 1;
            write(repo, file, n.wrapping_mul(7_368_787) % (64 << 20), noise(n, 4096))
        })
    })?;
    report("commits of 1 of 100 000 files", |repo| {
        let directories = make_directories(repo)?;
        let mut files = Vec::new();
        for n in 0..100_000 {
            let parent = directories[n % directories.len()];
            let file = create(repo, parent, &format!("f{n}"), FileKind::Regular)?;
            write(repo, file, 0, noise(n as u64, 1024))?;
            files.push(file);
        }
        repo.checkpoint()?;
        let mut n = 0;
        fill(repo, JOURNAL_COMMIT_COST + 1, |repo| {
            n += 7_368_787;
            write(repo, files[n % files.len()], 0, noise(n as u64, 1024))?;
            repo.commit(&CommitRequest::default())?;
            Ok(())
        })
    })?;
    report("chmod all over 500 000 files", |repo| {
        let directories = make_directories(repo)?;
        let mut files = Vec::new();
        for n in 0..500_000 {
            let parent = directories[n % directories.len()];
            files.push(create(repo, parent, &format!("f{n}"), FileKind::Regular)?);
        }
        repo.checkpoint()?;
        let mut n = 0;
        fill(repo, 2, |repo| {
            n += 7_368_787;
            let set = SetAttr { perm: Some((n % 0o777) as u16), ..SetAttr::default() };
            let (ino, time) = (files[n % files.len()], Timestamp::now());
            Ok(repo.apply(&Op::SetAttr { ino, set, time })?)
        })
    })?;
    report("renames", |repo| {
        let directories = make_directories(repo)?;
        let mut n = 0;
        create(repo, directories[0], "f0", FileKind::Regular)?;
        fill(repo, 2, |repo| {
            let len = directories.len();
            let (parent, new_parent) = (directories[n % len], directories[(n + 1) % len]);
            let (name, new_name) = (name(&format!("f{n}")), name(&format!("f{}", n + 1)));
            n += 1;
            let mode = RenameMode::Replace;
            let time = Timestamp::now();
            repo.apply(&Op::Rename { parent, name, new_parent, new_name, mode, time })?;
            Ok(())
        })
    })
}

/// Fills the journal of a new store, ends without closing it, and opens it again.
fn report(what: &str, fill: impl FnOnce(&Repo) -> Result<()>) -> Result<()> {
    let dir = tempfile::Builder::new().prefix("vst-bench.").tempdir()?;
    let store = dir.path().join("store");
    let repo = open(&store)?;
    fill(&repo)?;
    let stats = repo.journal().stats();
    drop(repo);
    let begin = Instant::now();
    let repo = open(&store)?;
    let took = begin.elapsed().as_secs_f64();
    assert_eq!(repo.journal().stats().records, stats.records, "all of it was read");
    println!("{what:<34} {:>9} {:>7} {took:>8.2}", stats.records, stats.bytes / 1_000_000);
    Ok(())
}

fn open(store: &Path) -> Result<Repo> {
    Ok(Repo::open(store, RepoOptions { author: "bench".to_owned(), ..RepoOptions::default() })?)
}

/// Does something that costs so much until the next time would have to wait for a checkpoint.
fn fill(repo: &Repo, cost: u64, mut again: impl FnMut(&Repo) -> Result<()>) -> Result<()> {
    loop {
        let (bytes, done) = repo.journal().lag();
        if bytes + (2 << 20) > JOURNAL_BYTES_MAX || done + cost > JOURNAL_COST_MAX {
            return Ok(());
        }
        again(repo)?;
        repo.relieve()?;
    }
}

fn make_directories(repo: &Repo) -> Result<Vec<Ino>> {
    let made =
        (0..DIRECTORIES).map(|n| create(repo, Ino::ROOT, &format!("d{n}"), FileKind::Directory));
    let made = made.collect::<Result<_>>()?;
    repo.checkpoint()?;
    Ok(made)
}

fn create(repo: &Repo, parent: Ino, called: &str, kind: FileKind) -> Result<Ino> {
    let (node, time) = (
        NewNode { kind, perm: 0o755, uid: 0, gid: 0, rdev: 0, target: Box::default() },
        Timestamp::now(),
    );
    Ok(repo.update(|edit| {
        let ino = edit.allocate_ino();
        let (name, node) = (name(called), node.clone());
        edit.apply(&Op::Create { parent, name, ino, node, time })?;
        Ok(ino)
    })?)
}

fn write(repo: &Repo, ino: Ino, offset: u64, data: Arc<[u8]>) -> Result<()> {
    let time = Timestamp::now();
    Ok(repo.apply(&Op::Write { ino, offset, data, kill_priv: false, time })?)
}

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).expect("it is a name")
}

/// Bytes that nothing makes smaller.
fn noise(seed: u64, len: usize) -> Arc<[u8]> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}
