//! A disk that is full, or fails to sync.

use super::{open, pack_files, put_texts, readable};
use crate::base::limits;
use crate::model::{ObjectError, ObjectKind, ObjectSink};
use crate::store::StoreError;
use crate::store::pack::write_file::faults;
use crate::store::pack::{PackOptions, PackStore};
use crate::store::tests::{id_of, put};

#[test]
fn a_write_cut_short_anywhere_is_made_good_later() {
    for room in (0..1400).step_by(13) {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        put_texts(&store, 0..2);
        store.flush().unwrap();
        put_texts(&store, 2..5);
        faults::set_room_bytes(Some(room));
        let flushed = store.flush();
        put_texts(&store, 5..7);
        if let Err(error) = &flushed {
            assert!(matches!(error, StoreError::Io { context, .. } if context.contains(".pack")));
            assert!(store.flush().is_err());
        }
        assert_eq!(readable(&store, 0..7), 7, "room for {room}");
        faults::set_room_bytes(None);
        store.flush().unwrap();
        assert_eq!(readable(&store, 0..7), 7, "room for {room}");
        drop(store);
        assert_eq!(readable(&open(dir.path()), 0..7), 7, "room for {room}");
    }
}

#[test]
fn a_kill_after_a_write_cut_short_costs_what_was_not_written() {
    for room in (0..1400).step_by(13) {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        put_texts(&store, 0..2);
        store.flush().unwrap();
        put_texts(&store, 2..5);
        faults::set_room_bytes(Some(room));
        let _ = store.flush();
        faults::set_room_bytes(None);
        drop(store);
        let store = open(dir.path());
        let kept = readable(&store, 0..5);
        assert!(kept >= 2 && readable(&store, 0..kept) == kept, "{kept} with room for {room}");
        put_texts(&store, 5..7);
        store.close().unwrap();
        assert_eq!(readable(&open(dir.path()), 0..7), kept + 2);
    }
}

#[test]
fn a_full_disk_bounds_what_gathers_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    faults::set_room_bytes(Some(100));
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
    faults::set_room_bytes(None);
    put(&store, &noise);
    store.close().unwrap();
    drop(store);
    let store = open(dir.path());
    kept.push(id_of(&noise));
    for id in &kept {
        store.verify(id).unwrap();
    }
}

#[test]
fn a_failed_sync_is_reported_until_one_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put_texts(&store, 0..10);
    faults::set_sync_fails(true);
    store.sync().unwrap_err();
    store.sync().unwrap_err();
    store.close().unwrap_err();
    put_texts(&store, 10..20);
    store.flush().unwrap();
    faults::set_sync_fails(false);
    assert_eq!(readable(&store, 0..20), 20);
    let before = store.io_counts();
    store.sync().unwrap();
    assert!(store.io_counts().syncs > before.syncs);
    store.close().unwrap();
    drop(store);
    assert_eq!(readable(&open(dir.path()), 0..20), 20);
}

#[test]
fn a_pack_that_cannot_be_sealed_is_sealed_later() {
    let dir = tempfile::tempdir().unwrap();
    let options = PackOptions { pack_bytes_target: 1000, ..PackOptions::default() };
    let store = PackStore::open(dir.path(), options).unwrap();
    faults::set_sync_fails(true);
    for n in 0..30 {
        put_texts(&store, n..n + 1);
        store.flush().unwrap();
    }
    assert_eq!(readable(&store, 0..30), 30);
    let count = pack_files(dir.path()).len();
    assert!(count > 5);
    // Killed before any could be sealed.
    drop(store);
    faults::set_sync_fails(false);
    let store = PackStore::open(dir.path(), options).unwrap();
    assert_eq!(readable(&store, 0..30), 30);
    store.close().unwrap();
    drop(store);
    let sealed = |file: &std::path::PathBuf| std::fs::read(file).unwrap().ends_with(b"vst foot");
    assert!(pack_files(dir.path()).iter().all(sealed));
    let store = PackStore::open(dir.path(), options).unwrap();
    assert_eq!((readable(&store, 0..30), pack_files(dir.path()).len()), (30, count));
}
