//! Layer 0: what every other layer may use and that depends on nothing: bounds, the clock, the
//! disk, short byte strings, near names, histograms, haste, interrupts, locks.

pub mod clock;
pub mod disk;
pub mod haste;
pub mod interrupt;
mod latency;
pub mod limits;
mod nearest;
mod small;
pub(crate) mod sync;

pub use latency::Latency;
pub use nearest::{nearest, proposal};
pub use small::SmallBytes;
