//! Large files: one after another, and at random.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::Advice;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::case::{Case, Run, World};

pub(crate) const BLOCK_BYTES: usize = 1 << 20;
const PAGE_BYTES: usize = 4096;
/// The file that is read and written at random.
const RANDOM_MIB: usize = 64;
const RANDOM_OPS: usize = 10_000;
/// In this time a filesystem does what it had put off when it took that file in.
const SETTLE: Duration = Duration::from_secs(1);

pub(crate) fn cases(world: &World) -> Vec<Case> {
    let bytes = (world.mib * BLOCK_BYTES) as u64;
    vec![
        Case::new("write", Run::Bytes(bytes, |world, dir| write(&large(dir), world.mib))),
        Case::new("read, warm", Run::Bytes(bytes, |_, dir| read(&large(dir))))
            .after(|_, dir| read(&large(dir))),
        Case::new("read by mmap, warm", Run::Bytes(bytes, |_, dir| read_mapped(&large(dir)))),
        Case::new("read, cold", Run::Bytes(bytes, |_, dir| read(&large(dir))))
            .after(|_, dir| forget(&large(dir))),
        Case::new("read by mmap, cold", Run::Bytes(bytes, |_, dir| read_mapped(&large(dir))))
            .after(|_, dir| forget(&large(dir))),
        Case::new("rewrite", Run::Bytes(bytes, |world, dir| write(&large(dir), world.mib))),
        Case::new("", Run::Untimed(|_, dir| remove(&large(dir)))),
        Case::new(
            "read 4 KiB at random, warm",
            Run::Each(RANDOM_OPS, |dir, n| {
                with_random(dir, |file| file.read_exact_at(&mut [0; PAGE_BYTES], random_offset(n)))
            }),
        )
        .after(|_, dir| {
            write(&random(dir), RANDOM_MIB)?;
            // What is still to be done for the writes would take the processor from the reads.
            File::open(random(dir))?.sync_all()?;
            thread::sleep(SETTLE);
            read(&random(dir))
        }),
        Case::new(
            "write 4 KiB at random",
            Run::Each(RANDOM_OPS, |dir, n| {
                with_random(dir, |file| file.write_all_at(&[n as u8; PAGE_BYTES], random_offset(n)))
            }),
        ),
    ]
}

fn large(dir: &Path) -> PathBuf {
    dir.join("large")
}

fn random(dir: &Path) -> PathBuf {
    dir.join("random")
}

thread_local! {
    /// Open while operations at random go on, which are no measure of opening.
    static RANDOM: std::cell::RefCell<Option<(PathBuf, File)>> = const { std::cell::RefCell::new(None) };
}

fn with_random(dir: &Path, run: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    RANDOM.with_borrow_mut(|open| match open {
        Some((path, file)) if path == dir => run(file),
        _ => {
            let file = File::options().read(true).write(true).open(random(dir))?;
            let (_, file) = &*open.insert((dir.to_owned(), file));
            run(file)
        }
    })
}

fn mixed(n: u64) -> u64 {
    let n = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    n ^ n >> 29
}

fn random_offset(n: usize) -> u64 {
    let pages = (RANDOM_MIB * BLOCK_BYTES / PAGE_BYTES) as u64;
    (mixed(n as u64 + 1) >> 17) % pages * PAGE_BYTES as u64
}

/// A block that is like no other and not worth compressing.
pub(crate) fn block(n: usize) -> Vec<u8> {
    let mut block = vec![0; BLOCK_BYTES];
    for (at, word) in block.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&mixed((n * BLOCK_BYTES + at) as u64).to_le_bytes());
    }
    block
}

fn write(path: &Path, mib: usize) -> io::Result<()> {
    let mut file = File::options().create(true).truncate(false).write(true).open(path)?;
    // Making each anew would be measured as well, so two words tell them apart.
    let mut block = block(0);
    for n in 0..mib {
        for word in block.chunks_exact_mut(BLOCK_BYTES / 64) {
            word[..8].copy_from_slice(&mixed(n as u64 ^ 0x5555).to_le_bytes());
        }
        file.write_all(&block)?;
    }
    Ok(())
}

/// Removes a file, which is not there if the cases that write it were not asked for.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn read(path: &Path) -> io::Result<()> {
    let (mut file, mut block) = (File::open(path)?, vec![0; BLOCK_BYTES]);
    while file.read(&mut block)? > 0 {}
    Ok(())
}

#[allow(unsafe_code)]
fn read_mapped(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    let bytes = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let (prot, flags) = (ProtFlags::READ, MapFlags::SHARED);
    // SAFETY: a new mapping, at an address of the kernel's choice, of a file that is that long.
    let at = unsafe { mmap(std::ptr::null_mut(), bytes, prot, flags, &file, 0)? };
    // SAFETY: it is mapped until below, and nobody changes the file meanwhile.
    let mapped = unsafe { std::slice::from_raw_parts(at.cast::<u8>(), bytes) };
    black_box(mapped.iter().step_by(PAGE_BYTES).fold(0_u8, |sum, byte| sum ^ byte));
    // SAFETY: nothing refers to it any more.
    unsafe { munmap(at, bytes) }?;
    Ok(())
}

/// Makes what comes cold: as root for all caches of the kernel, otherwise for this file.
fn forget(path: &Path) -> io::Result<()> {
    rustix::fs::sync();
    if fs::write("/proc/sys/vm/drop_caches", "3").is_err() {
        rustix::fs::fadvise(File::open(path)?, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}
