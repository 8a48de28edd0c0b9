//! A request that panics, which is a bug, is logged and answered with EIO, and its thread goes on.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::io::Errno;

use crate::vfs::Answer;

/// Runs a request.
pub(super) fn guard<T>(what: &str, run: impl FnOnce() -> Answer<T>) -> Answer<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        log::error!("a bug: {what} panicked; it is answered with EIO");
        Err(Errno::IO)
    })
}
