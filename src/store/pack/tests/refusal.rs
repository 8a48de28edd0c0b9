//! A disk that is full, or fails to sync.

use std::path::Path;

use super::{put_texts, readable};
use crate::base::disk::Disk;
use crate::base::disk::sim::SimDisk;
use crate::base::limits;
use crate::model::{ObjectError, ObjectKind, ObjectSink};
use crate::store::StoreError;
use crate::store::pack::{PackOptions, PackStore};
use crate::store::tests::{id_of, put};

const DIR: &str = "/packs";

fn new_disk() -> SimDisk {
    SimDisk::new(Path::new(DIR))
}

fn open(disk: &SimDisk) -> PackStore {
    open_with(disk, PackOptions::default())
}

fn open_with(disk: &SimDisk, options: PackOptions) -> PackStore {
    PackStore::open(&disk.handle(), Path::new(DIR), options).unwrap()
}

/// The disk takes so many more bytes.
fn leave_room(disk: &SimDisk, bytes: u64) {
    disk.set_capacity(Some(disk.used_bytes() + bytes));
}

#[test]
fn a_write_cut_short_anywhere_is_made_good_later() {
    for room in (0..1400).step_by(13) {
        let disk = new_disk();
        let store = open(&disk);
        put_texts(&store, 0..2);
        store.flush().unwrap();
        put_texts(&store, 2..5);
        leave_room(&disk, room);
        let flushed = store.flush();
        put_texts(&store, 5..7);
        if let Err(error) = &flushed {
            assert!(matches!(error, StoreError::Io { context, .. } if context.contains(".pack")));
            assert!(store.flush().is_err());
        }
        assert_eq!(readable(&store, 0..7), 7, "room for {room}");
        disk.set_capacity(None);
        store.flush().unwrap();
        assert_eq!(readable(&store, 0..7), 7, "room for {room}");
        drop(store);
        assert_eq!(readable(&open(&disk), 0..7), 7, "room for {room}");
    }
}

#[test]
fn a_kill_after_a_write_cut_short_costs_what_was_not_written() {
    for room in (0..1400).step_by(13) {
        let disk = new_disk();
        let store = open(&disk);
        put_texts(&store, 0..2);
        store.flush().unwrap();
        put_texts(&store, 2..5);
        leave_room(&disk, room);
        let _ = store.flush();
        disk.set_capacity(None);
        drop(store);
        let store = open(&disk);
        let kept = readable(&store, 0..5);
        assert!(kept >= 2 && readable(&store, 0..kept) == kept, "{kept} with room for {room}");
        put_texts(&store, 5..7);
        store.close().unwrap();
        assert_eq!(readable(&open(&disk), 0..7), kept + 2);
    }
}

#[test]
fn a_full_disk_bounds_what_gathers_in_memory() {
    let disk = new_disk();
    let store = open(&disk);
    leave_room(&disk, 100);
    let mut noise = vec![0; 100_000];
    let mut kept = Vec::new();
    let mut refused = 0;
    for n in 0..40u8 {
        blake3::Hasher::new().update(&[n]).finalize_xof().fill(&mut noise);
        match store.put(ObjectKind::Chunk, &id_of(&noise), &noise) {
            Ok(()) => kept.push(id_of(&noise)),
            Err(ObjectError::Io { source, .. }) => {
                assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(kept.len() * noise.len() <= limits::PACK_BUFFER_BYTES + noise.len());
    assert_eq!(kept.len() + refused, 40);
    for id in &kept {
        store.verify(id).unwrap();
    }
    disk.set_capacity(None);
    put(&store, &noise);
    store.close().unwrap();
    drop(store);
    let store = open(&disk);
    kept.push(id_of(&noise));
    for id in &kept {
        store.verify(id).unwrap();
    }
}

#[test]
fn a_failed_sync_is_reported_until_one_succeeds() {
    let disk = new_disk();
    let store = open(&disk);
    put_texts(&store, 0..10);
    disk.set_fail_syncs(true);
    store.sync().unwrap_err();
    store.sync().unwrap_err();
    store.close().unwrap_err();
    put_texts(&store, 10..20);
    store.flush().unwrap();
    disk.set_fail_syncs(false);
    assert_eq!(readable(&store, 0..20), 20);
    let before = store.io_counts();
    store.sync().unwrap();
    assert!(store.io_counts().syncs > before.syncs);
    store.close().unwrap();
    drop(store);
    assert_eq!(readable(&open(&disk), 0..20), 20);
}

#[test]
fn a_pack_that_cannot_be_sealed_is_sealed_later() {
    let disk = new_disk();
    let options = PackOptions { pack_bytes_target: 1000, ..PackOptions::default() };
    let store = open_with(&disk, options);
    disk.set_fail_syncs(true);
    for n in 0..30 {
        put_texts(&store, n..n + 1);
        store.flush().unwrap();
    }
    assert_eq!(readable(&store, 0..30), 30);
    let count = disk.names(Path::new(DIR)).unwrap().len();
    assert!(count > 5);
    // Killed before any could be sealed.
    drop(store);
    disk.set_fail_syncs(false);
    let store = open_with(&disk, options);
    assert_eq!(readable(&store, 0..30), 30);
    store.close().unwrap();
    drop(store);
    let sealed = |name: &std::ffi::OsString| {
        disk.contents(&Path::new(DIR).join(name)).unwrap().ends_with(b"vst foot")
    };
    assert!(disk.names(Path::new(DIR)).unwrap().iter().all(sealed));
    let store = open_with(&disk, options);
    assert_eq!((readable(&store, 0..30), disk.names(Path::new(DIR)).unwrap().len()), (30, count));
}
