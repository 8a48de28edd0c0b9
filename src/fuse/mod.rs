//! Layer 6: the FUSE protocol, spoken through the crate `fuser`. Nothing else knows it.
//!
//! Requests are answered on the thread that read them: handing one over costs more than nearly
//! any of them. A request that panics is logged and answered with EIO, and the thread goes on.

mod adapter;
mod convert;
mod mount;
mod notify;
mod reply;
pub mod settings;

pub use mount::{Mount, MountError, MountOptions, Unmounted, Unmounter};
