//! Layer 0: what every other layer may use and that depends on nothing: bounds, the clock, short
//! byte strings.

pub mod clock;
pub mod limits;
mod small;

pub use small::SmallBytes;
