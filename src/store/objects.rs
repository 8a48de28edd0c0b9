//! What every object store can do beyond reading and keeping objects.

use std::io;
use std::sync::Arc;

use crate::base::limits;
use crate::model::{IdPrefix, ObjectError, ObjectId, ObjectKind, ObjectSink, ObjectSource};

/// An object, as a listing of a store tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// The object.
    pub id: ObjectId,
    /// What it is.
    pub kind: ObjectKind,
    /// Its length.
    pub raw_bytes: u32,
    /// Its length as it is stored.
    pub stored_bytes: u32,
}

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectStats {
    /// Number of objects; one that is stored twice counts twice.
    pub objects: u64,
    /// Length of all objects.
    pub raw_bytes: u64,
    /// Length of all objects as they are stored.
    pub stored_bytes: u64,
    /// Number of pack files.
    pub packs: u64,
    /// Length of all pack files.
    pub disk_bytes: u64,
}

/// A place for objects.
pub trait ObjectStore: ObjectSource + ObjectSink {
    /// Tells whether the object is there, without reading it.
    fn contains(&self, id: &ObjectId) -> Result<bool, ObjectError>;

    /// The ids that begin with this prefix, lowest first, `max` of them at most.
    fn find_prefix(&self, prefix: &IdPrefix, max: usize) -> Result<Vec<ObjectId>, ObjectError>;

    /// Calls `f` for every object, in no particular order. Objects that are put meanwhile may be
    /// left out, and an object that is stored twice may come twice.
    fn for_each(&self, f: &mut dyn FnMut(&ObjectInfo)) -> Result<(), ObjectError>;

    /// How much there is.
    fn stats(&self) -> ObjectStats;
}

/// Refuses what is larger than an object may be.
pub(super) fn check_object_bytes(bytes: &[u8]) -> Result<(), ObjectError> {
    if bytes.len() <= limits::OBJECT_BYTES_MAX {
        return Ok(());
    }
    Err(ObjectError::Io {
        context: format!("keeping an object of {} bytes", bytes.len()),
        source: Arc::new(io::ErrorKind::FileTooLarge.into()),
    })
}
