//! How a store is opened.

use std::sync::Arc;

use crate::base::disk::{Disk, RealDisk};
use crate::base::limits;

/// What a change waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The page cache: it survives the end of the process, not that of the machine.
    #[default]
    Fast,
    /// The disk.
    Strict,
}

/// How a store is to be opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Change nothing and take no lock: another process may have the store open.
    pub read_only: bool,
    /// Memory for objects that have been read.
    pub cache_bytes: usize,
    /// What changes of the store wait for, where the caller does not say.
    pub durability: Durability,
    /// The disk that it is on.
    pub disk: Arc<dyn Disk>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            read_only: false,
            cache_bytes: limits::OBJECT_CACHE_BYTES,
            durability: Durability::default(),
            disk: Arc::new(RealDisk),
        }
    }
}
