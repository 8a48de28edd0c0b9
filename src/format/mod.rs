//! Layer 2: bytes <-> model. Each file is the specification of what it encodes.

pub mod bytes;
pub mod chunks;
pub mod commit;
pub mod commit_log;
pub mod config;
pub mod deed;
pub mod entry;
pub mod journal;
pub mod node;
pub mod op;
pub mod pack;
pub mod provenance;
pub mod ref_file;
pub mod root;
pub mod state_log;
pub mod worktree;
