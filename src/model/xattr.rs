//! Extended attributes of an inode.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A set of extended attributes, shared between versions of an inode. Most inodes have none,
/// and an empty set takes no memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Xattrs(Option<Arc<XattrMap>>);

type XattrMap = BTreeMap<Box<[u8]>, Box<[u8]>>;

impl Xattrs {
    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Finds a value by its full name (`user.mime_type`).
    pub fn find(&self, name: &[u8]) -> Option<&[u8]> {
        self.0.as_ref()?.get(name).map(|value| &**value)
    }

    /// Sets a value, and returns whether the name was there before.
    pub fn insert(&mut self, name: &[u8], value: &[u8]) -> bool {
        let map = Arc::make_mut(self.0.get_or_insert_default());
        map.insert(name.into(), value.into()).is_some()
    }

    /// Removes a name, and returns whether it was there.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let Some(map) = self.0.as_mut() else { return false };
        let map = Arc::make_mut(map);
        let found = map.remove(name).is_some();
        if map.is_empty() {
            self.0 = None;
        }
        found
    }

    /// All attributes, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().flat_map(|map| map.iter()).map(|(name, value)| (&**name, &**value))
    }
}
