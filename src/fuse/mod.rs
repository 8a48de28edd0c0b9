//! Layer 6: the FUSE protocol, spoken over one of two transports: through the crate `fuser`, from
//! `/dev/fuse`; or through rings of the kernel's, one a CPU (`ring`). Nothing else knows it.
//!
//! Requests are answered on the thread that read them: handing one over costs more than nearly
//! any of them. A request that panics is logged and answered with EIO, and the thread goes on.

mod adapter;
mod beside;
mod convert;
mod cpus;
mod guard;
mod helper;
mod mount;
mod notify;
mod policy;
mod reply;
mod ring;
pub mod settings;

pub use mount::{Mount, MountError, MountOptions, Transport, Unmounted, Unmounter};
pub use ring::NoRing;
#[doc(hidden)]
pub use ring::{Reply, Requests};
