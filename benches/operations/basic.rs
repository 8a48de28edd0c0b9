//! System calls that change something.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::XattrFlags;

use crate::bulk::block;
use crate::case::{Case, Run};

/// So many of an operation are timed together.
const BATCH: usize = 500;
/// Blocks of a sequential write.
const BLOCKS: usize = 64;
const SMALL_BYTES: usize = 4096;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        each("mkdir", |dir, n| fs::create_dir(dir.join(format!("d{n}")))),
        each("create", |dir, n| File::create(file(dir, n)).map(drop)),
        each("create, write 4 KiB", |dir, n| {
            File::create(dir.join(format!("w{n}")))?.write_all(&[n as u8; SMALL_BYTES])
        }),
        each("overwrite 4 KiB", |dir, n| {
            let file = File::options().write(true).open(dir.join(format!("w{n}")))?;
            file.write_all_at(&[!n as u8; SMALL_BYTES], 0)
        }),
        each("append 100 B", |dir, n| {
            File::options().append(true).open(file(dir, n))?.write_all(&[n as u8; 100])
        }),
        each("chmod", |dir, n| fs::set_permissions(file(dir, n), Permissions::from_mode(0o640))),
        each("setxattr", |dir, n| {
            Ok(rustix::fs::setxattr(file(dir, n), "user.name", b"value", XattrFlags::empty())?)
        }),
        each("rename", |dir, n| fs::rename(file(dir, n), dir.join(format!("r{n}")))),
        each("link", |dir, n| fs::hard_link(dir.join(format!("r{n}")), dir.join(format!("l{n}")))),
        each("symlink", |dir, n| symlink("target", dir.join(format!("s{n}")))),
        each("truncate", |dir, n| {
            File::options().write(true).open(dir.join(format!("w{n}")))?.set_len(n as u64)
        }),
        each("unlink", |dir, n| fs::remove_file(dir.join(format!("l{n}")))),
        each("rmdir", |dir, n| fs::remove_dir(dir.join(format!("d{n}")))),
        Case::new(
            "append 1 MiB",
            Run::Each(BLOCKS, |dir, n| {
                let file = File::options().create(true).append(true).open(dir.join("big"))?;
                (&file).write_all(&block(n))
            }),
        ),
        Case::new(
            "fsync after 4 KiB",
            Run::Each(20, |dir, n| {
                let file = File::options().write(true).open(dir.join(format!("w{n}")))?;
                file.write_all_at(&[n as u8; SMALL_BYTES], 0)?;
                file.sync_all()
            }),
        ),
    ]
}

fn each(name: &'static str, step: fn(&Path, usize) -> std::io::Result<()>) -> Case {
    Case::new(name, Run::Each(BATCH, step))
}

fn file(dir: &Path, n: usize) -> PathBuf {
    dir.join(format!("f{n}"))
}
