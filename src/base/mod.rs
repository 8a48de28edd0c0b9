//! Layer 0: what every other layer may use and that depends on nothing: bounds, the clock, short
//! byte strings, histograms.

pub mod clock;
mod latency;
pub mod limits;
mod small;

pub use latency::Latency;
pub use small::SmallBytes;
