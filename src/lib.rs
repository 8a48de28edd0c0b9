//! `vst`, a versioned filesystem.
//!
//! A mutable working tree is a persistent (immutable, structure-sharing) value: every operation
//! makes a new version of it by copying a path of pointers, so a snapshot is one pointer clone
//! and a commit hashes only what changed. The modules form layers, and each imports only from
//! the layers below its own (`tests/layering.rs` enforces it):
//!
//! | layer | module | owns |
//! |---|---|---|
//! | 0 | [`base`] | limits, the clock, the disk below |
//! | 1 | [`model`] | ids, names, attributes, entries, commits, operations: plain values |
//! | 1 | [`hash`] | BLAKE3, one at a time and in SIMD batches |
//! | 2 | [`mod@format`] | bytes <-> model |
//! | 2 | [`content`] | chunk boundaries and dirty extents of a file, no I/O |
//! | 3 | [`worktree`] | the persistent tree: inodes, directories, operations, commit, diff; no I/O |
//! | 3 | [`store`] | objects in memory and in packs, refs, the lock |
//! | 3 | [`journal`] | the operations since the last checkpoint, on the disk before they are acknowledged |
//! | 4 | [`repo`] | a store and a working tree put together: open, commit, checkpoint, restore |
//! | 5 | [`vfs`] | a filesystem as calls: handles, control files, snapshots; knows no FUSE |
//! | 6 | [`fuse`] | the FUSE protocol, on top of `vfs` |
//! | 7 | [`cli`] | one file a subcommand |

pub mod base;
pub mod cli;
pub mod content;
pub mod format;
pub mod fuse;
pub mod hash;
pub mod journal;
pub mod model;
pub mod repo;
pub mod store;
pub mod vfs;
pub mod worktree;
