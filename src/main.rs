//! The `vst` command.

fn main() {}
