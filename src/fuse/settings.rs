//! What is asked of the kernel for a mount, in one place: whatever is to be compared with a mount
//! is mounted in the same way.

use std::path::Path;
use std::{fs, io};

use fuser::{FopenFlags, InitFlags, KernelConfig};
use rustix::fs::{AtFlags, StatxFlags};

use crate::base::limits::{READAHEAD_BYTES, WRITE_BYTES_MAX};

/// What is asked of the kernel when it offers it. Of what else it offers, a cache that writes
/// back would take times and sizes out of our hands; and an `open` that truncates, in one request,
/// would do so before the kernel looks whether the file is a program that runs, which then dies of
/// an `open` that fails.
const WANTED: [InitFlags; 9] = [
    InitFlags::FUSE_PARALLEL_DIROPS,
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_READDIRPLUS_AUTO,
    InitFlags::FUSE_POSIX_ACL,
    // A default ACL takes the place of the umask, so that masking is the server's affair.
    InitFlags::FUSE_DONT_MASK,
    InitFlags::FUSE_HANDLE_KILLPRIV_V2,
    InitFlags::FUSE_CACHE_SYMLINKS,
    InitFlags::FUSE_ASYNC_DIO,
    InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP,
];

/// How a file is opened that is read and written through the page cache, or past it. What went past
/// it, even by one who only writes, would be lost where a mapping of the same page is written to
/// meanwhile.
pub fn file_cache(cached: bool) -> FopenFlags {
    match cached {
        // All changes go through the kernel, or are told to it.
        true => FopenFlags::FOPEN_KEEP_CACHE,
        false => FopenFlags::FOPEN_DIRECT_IO,
    }
}

/// How a file is opened that was there, for writing or for nothing but reading.
pub fn opened_file(cached: bool, write: bool) -> FopenFlags {
    // What a read-only open has to say when it is closed is nothing.
    let flush = if write { FopenFlags::empty() } else { FopenFlags::FOPEN_NOFLUSH };
    file_cache(cached) | flush
}

/// How a directory is opened whose listing the kernel keeps, or not.
pub fn directory_cache(cached: bool) -> FopenFlags {
    match cached {
        true => FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE,
        false => FopenFlags::empty(),
    }
}

/// All that is wanted.
pub(super) fn wanted() -> InitFlags {
    WANTED.into_iter().collect()
}

/// Asks for what is wanted, as far as the kernel has it.
pub fn ask(config: &mut KernelConfig) {
    for flag in WANTED {
        if config.add_capabilities(flag).is_err() {
            log::info!("the kernel does not have {flag:?}");
        }
    }
    // The nearest value that the kernel takes is good enough.
    let _ = config.set_max_write(WRITE_BYTES_MAX);
    let _ = config.set_max_readahead(WRITE_BYTES_MAX);
}

/// Lets the kernel read further ahead than it offers when a mount begins. Where it does not let
/// us, which only root may, it goes on as it would.
pub fn raise_readahead(mountpoint: &Path) {
    if let Err(error) = try_raise_readahead(mountpoint) {
        log::info!("the kernel reads no further ahead than it would: {error}");
    }
}

fn try_raise_readahead(mountpoint: &Path) -> io::Result<()> {
    let (major, minor) = device_of(mountpoint)?;
    let file = format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb");
    fs::write(file, (READAHEAD_BYTES / 1024).to_string())
}

/// The numbers by which the kernel knows what is mounted on a directory.
pub(super) fn device_of(mountpoint: &Path) -> io::Result<(u32, u32)> {
    // Without a request to ourselves, which nobody may answer yet.
    let flags = AtFlags::STATX_DONT_SYNC;
    let found = rustix::fs::statx(rustix::fs::CWD, mountpoint, flags, StatxFlags::empty())?;
    Ok((found.stx_dev_major, found.stx_dev_minor))
}
