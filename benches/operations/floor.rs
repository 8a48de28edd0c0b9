//! The operations that tell the least that a filesystem costs: each is one request or a few.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::XattrFlags;

use crate::case::{Case, Run, World};

const FILES: usize = 1000;
const BYTES: usize = 1024;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        each("create, write 1 KiB, close", |dir, n| {
            File::create(file(dir, n))?.write_all(&[n as u8; BYTES])
        }),
        each("stat", |dir, n| fs::metadata(file(dir, n)).map(drop)).after(read_all),
        each("open, close", |dir, n| File::open(file(dir, n)).map(drop)).after(read_all),
        each("open, read 1 KiB, close", |dir, n| {
            File::open(file(dir, n))?.read_exact(&mut [0; BYTES])
        })
        .after(read_all),
        each("setxattr", |dir, n| {
            Ok(rustix::fs::setxattr(file(dir, n), "user.name", b"value", XattrFlags::empty())?)
        }),
        each("stat of a missing name", |dir, n| {
            match fs::metadata(dir.join(format!("missing{n}"))) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error),
                Ok(_) => Err(io::Error::other("a missing name is there")),
            }
        }),
        each("stat of a missing name, again", |dir, n| {
            match fs::metadata(dir.join(format!("missing{n}"))) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error),
                Ok(_) => Err(io::Error::other("a missing name is there")),
            }
        }),
        Case::new("readdir of 1000", Run::Each(20, |dir, _| list(dir).map(drop))).after(read_all),
        Case::new(
            "readdir of 1000, stat all",
            Run::Each(5, |dir, _| {
                list(dir)?.iter().try_for_each(|path| fs::metadata(path).map(drop))
            }),
        )
        .after(read_all),
        each("rename", |dir, n| fs::rename(file(dir, n), dir.join(format!("r{n}")))),
        each("unlink", |dir, n| fs::remove_file(dir.join(format!("r{n}")))),
    ]
}

fn each(name: &'static str, step: fn(&Path, usize) -> io::Result<()>) -> Case {
    Case::new(name, Run::Each(FILES, step))
}

fn file(dir: &Path, n: usize) -> PathBuf {
    dir.join(format!("f{n}"))
}

fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect()
}

/// So that what comes is measured warm.
fn read_all(_: &World, dir: &Path) -> io::Result<()> {
    for path in list(dir)? {
        fs::read(&path)?;
        // Reading makes the kernel doubt the time of access.
        fs::metadata(path)?;
    }
    Ok(())
}
