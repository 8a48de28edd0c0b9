//! Packs on a disk that loses, damages and refuses bytes.

mod damage;
mod life;
mod refusal;
#[cfg(shuttle)]
mod schedules;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{PackOptions, PackStore};
use crate::base::disk::{Disk, RealDisk};
use crate::model::{ObjectId, ObjectSource};
use crate::store::tests::{id_of, put, text};

fn real() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

fn open(dir: &Path) -> PackStore {
    PackStore::open(&real(), dir, PackOptions::default()).unwrap()
}

fn open_read_only(dir: &Path) -> PackStore {
    PackStore::open_read_only(&real(), dir, PackOptions::default()).unwrap()
}

/// The pack files of a directory, oldest first.
fn pack_files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

/// Puts objects that are told apart by a number.
fn put_texts(store: &PackStore, numbers: std::ops::Range<usize>) -> Vec<ObjectId> {
    numbers.map(|n| put(store, &text(n, 300))).collect()
}

/// How many of the objects can be read; what is read is right.
fn readable(store: &PackStore, numbers: std::ops::Range<usize>) -> usize {
    let read = |n: &usize| {
        let bytes = text(*n, 300);
        store.get(&id_of(&bytes)).is_ok_and(|found| {
            assert_eq!(*found, bytes[..]);
            true
        })
    };
    numbers.filter(read).count()
}
