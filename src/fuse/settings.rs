//! What is asked of the kernel when a mount begins.

use fuser::{InitFlags, KernelConfig};

use crate::base::limits::WRITE_BYTES_MAX;

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

/// Asks for what is wanted, as far as the kernel has it.
pub(super) fn ask(config: &mut KernelConfig) {
    for flag in WANTED {
        if config.add_capabilities(flag).is_err() {
            log::info!("the kernel does not have {flag:?}");
        }
    }
    // The nearest value that the kernel takes is good enough.
    let _ = config.set_max_write(WRITE_BYTES_MAX);
    let _ = config.set_max_readahead(WRITE_BYTES_MAX);
}
