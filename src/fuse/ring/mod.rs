//! The second transport: FUSE over io_uring, which Linux has since 6.14.
//!
//! Where the fuser transport reads requests from `/dev/fuse`, on whatever CPU its thread wakes,
//! here each CPU has a ring and a thread of its own, and a request is answered where it was asked.
//! What decides what a request costs is which CPU has to be woken for it, so this is worth more
//! than all that could be saved in answering it.
//!
//! Through the rings come all requests that somebody waits for. The device stays, for what the
//! kernel does not put into rings: FORGET, INTERRUPT, notifications, and the beginning of the
//! connection.

mod bare;
mod device;
mod encode;
mod init;
mod mounted;
mod pool;
mod probe;
mod queue;
mod request;
mod serve;
mod session;
mod uring;
mod wire;

pub use bare::{Reply, Requests};
pub use probe::NoRing;
pub(super) use session::{RingFailure, RingSession, TRANSPORT};
