//! Layer 0: what every other layer may use and that depends on nothing: bounds and the clock.

pub mod clock;
pub mod limits;
