//! Layer 2: bytes <-> model. Each file is the specification of what it encodes.

pub mod bytes;
pub mod chunks;
pub mod commit;
pub mod entry;
pub mod node;
pub mod root;
pub mod worktree;
