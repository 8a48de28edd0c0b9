//! Layer 3: what lies on the disk: objects in packs, refs, the lock.
