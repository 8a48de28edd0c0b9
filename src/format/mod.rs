//! Layer 2: bytes <-> model. Each file is the specification of what it encodes.

pub mod commit_log;
pub mod pack;
pub mod ref_file;
