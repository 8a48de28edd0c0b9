//! What import and export share about git.

pub(super) mod lineage;
pub(super) mod names;
