//! Opening, closing, dying, following.

use std::fs;

use super::{open, open_read_only, pack_files, put_texts, readable, real};
use crate::format::pack::{PackState, encode_header};
use crate::model::{ObjectId, ObjectSource};
use crate::store::pack::{PackOptions, PackStore};
use crate::store::tests::{put, text};
use crate::store::{ObjectStore, StoreError};

#[test]
fn a_closed_store_is_one_sealed_pack_and_an_empty_one_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.close().unwrap();
    assert!(pack_files(dir.path()).is_empty());
    put_texts(&store, 0..50);
    store.close().unwrap();
    store.close().unwrap();
    drop(store);
    let [file] = &pack_files(dir.path())[..] else { panic!("one pack") };
    assert!(fs::read(file).unwrap().ends_with(b"vst foot"));
    for store in [open_read_only(dir.path()), open(dir.path())] {
        assert_eq!(readable(&store, 0..50), 50);
        assert_eq!(store.stats().objects, 50);
    }
    let store = open(dir.path());
    put_texts(&store, 0..60);
    store.close().unwrap();
    assert_eq!((store.stats().objects, store.stats().packs), (60, 2));
}

#[test]
fn what_was_flushed_survives_a_kill_and_the_pack_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let store = open(dir.path());
        assert_eq!(readable(&store, 0..100), round * 10);
        put_texts(&store, round * 10..round * 10 + 10);
        store.flush().unwrap();
        // Not flushed: gone with the process.
        put_texts(&store, 90..95);
        assert_eq!(readable(&store, 90..95), 5);
    }
    assert_eq!(pack_files(dir.path()).len(), 1);
}

#[test]
fn a_tail_torn_at_any_byte_costs_the_last_object_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put_texts(&store, 0..3);
    store.flush().unwrap();
    let [file] = &pack_files(dir.path())[..] else { panic!("one pack") };
    let before = fs::metadata(file).unwrap().len();
    put_texts(&store, 3..4);
    store.flush().unwrap();
    drop(store);
    let whole = fs::read(file).unwrap();
    for len in before..whole.len() as u64 {
        fs::write(file, &whole[..len as usize]).unwrap();
        assert_eq!(readable(&open_read_only(dir.path()), 0..4), 3, "cut to {len}");
        let store = open(dir.path());
        assert_eq!((readable(&store, 0..4), store.stats().objects), (3, 3), "cut to {len}");
        put_texts(&store, 4..6);
        store.flush().unwrap();
        drop(store);
        let store = open(dir.path());
        assert_eq!(readable(&store, 0..6), 5, "cut to {len}");
        // Sealed with the torn tail gone.
        store.close().unwrap();
        assert_eq!(readable(&open(dir.path()), 0..6), 5, "cut to {len}");
    }
}

#[test]
fn a_header_torn_at_any_byte_is_no_pack() {
    for len in 0..=16 {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("0000000000000005.pack");
        fs::write(&file, &encode_header(PackState::Open)[..len]).unwrap();
        assert_eq!(open_read_only(dir.path()).stats().objects, 0);
        let store = open(dir.path());
        assert!(pack_files(dir.path()).is_empty());
        put_texts(&store, 0..1);
        store.close().unwrap();
        // The number is not used again.
        assert!(pack_files(dir.path())[0].ends_with("0000000000000006.pack"));
    }
}

#[test]
fn a_future_version_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put_texts(&store, 0..1);
    store.flush().unwrap();
    drop(store);
    let file = pack_files(dir.path()).remove(0);
    let mut bytes = fs::read(&file).unwrap();
    bytes[8] = 3;
    let sum = crc32c::crc32c(&bytes[..12]);
    bytes[12..16].copy_from_slice(&sum.to_le_bytes());
    bytes.extend(b"what this version knows nothing of");
    fs::write(&file, &bytes).unwrap();
    let error = PackStore::open(&real(), dir.path(), PackOptions::default()).err().unwrap();
    assert!(matches!(&error, StoreError::UnknownFormat { found, .. } if found == "vst pack 3"));
    assert_eq!(fs::read(&file).unwrap(), bytes);
}

#[test]
fn a_full_pack_is_sealed_and_a_new_one_begun() {
    let dir = tempfile::tempdir().unwrap();
    let options = PackOptions { pack_bytes_target: 4000, ..PackOptions::default() };
    let store = PackStore::open(&real(), dir.path(), options).unwrap();
    for n in 0..100 {
        put_texts(&store, n..n + 1);
        store.flush().unwrap();
        assert_eq!(readable(&store, 0..n + 1), n + 1);
    }
    let files = pack_files(dir.path());
    assert!(files.len() > 5, "{files:?}");
    let sealed = files.iter().filter(|f| fs::read(f).unwrap().ends_with(b"vst foot")).count();
    assert!(sealed >= files.len() - 1, "{sealed} of {}", files.len());
    assert_eq!(store.stats().objects, 100);
    drop(store);
    let store = open(dir.path());
    assert_eq!(readable(&store, 0..100), 100);
    let before = store.stats();
    put_texts(&store, 0..100);
    assert_eq!(store.stats(), before);
}

#[test]
fn a_commit_is_one_write_and_a_sync_costs_one_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put_texts(&store, 0..6);
    store.sync().unwrap();
    let start = store.io_counts();
    for n in 1..50 {
        put_texts(&store, n * 6..n * 6 + 6);
        store.flush().unwrap();
        store.flush().unwrap();
        let now = store.io_counts();
        assert_eq!((now.writes - start.writes, now.syncs), (n as u64, start.syncs));
    }
    store.sync().unwrap();
    store.sync().unwrap();
    assert_eq!(store.io_counts().syncs, start.syncs + 1);
    assert_eq!(pack_files(dir.path()).len(), 1);
}

#[test]
fn opening_reads_no_index_and_a_look_up_one_bucket_a_pack() {
    let dir = tempfile::tempdir().unwrap();
    let mut ids: Vec<ObjectId> = Vec::new();
    for round in 0..10 {
        let store = open(dir.path());
        ids.extend(put_texts(&store, round * 100..round * 100 + 100));
        store.close().unwrap();
    }
    let store = open(dir.path());
    // A header and a trailer of each pack.
    assert_eq!(store.io_counts().reads, 20);
    let reads = |f: &dyn Fn()| {
        let before = store.io_counts().reads;
        f();
        store.io_counts().reads - before
    };
    // Fanout table and bucket of each pack, the entry, the record.
    assert_eq!(reads(&|| drop(store.get(&ids[0]).unwrap())), 22);
    assert_eq!(reads(&|| drop(store.get(&ids[0]).unwrap())), 0);
    let mut neighbour = *ids[0].as_bytes();
    neighbour[1] ^= 1;
    let absent = ObjectId::from_bytes(neighbour);
    assert_eq!(reads(&|| assert!(!store.contains(&absent).unwrap())), 0);
    assert_eq!(reads(&|| assert!(store.contains(&ids[0]).unwrap())), 1);
    assert_eq!(reads(&|| store.verify(&ids[0]).unwrap()), 2);
}

#[test]
fn a_reader_follows_a_writer_through_flush_seal_and_death() {
    let dir = tempfile::tempdir().unwrap();
    let options = PackOptions { pack_bytes_target: 3000, ..PackOptions::default() };
    let store = PackStore::open(&real(), dir.path(), options).unwrap();
    let reader = open_read_only(dir.path());
    for n in 0..60 {
        put_texts(&store, n..n + 1);
        assert_eq!(readable(&reader, n..n + 1), 0);
        store.flush().unwrap();
        assert_eq!(readable(&reader, 0..n + 1), n + 1);
    }
    drop(store);
    let store = PackStore::open(&real(), dir.path(), options).unwrap();
    put_texts(&store, 60..70);
    store.close().unwrap();
    assert_eq!(readable(&reader, 0..70), 70);
    let mut count = 0;
    reader.for_each(&mut |_| count += 1).unwrap();
    assert_eq!((count, reader.stats().objects), (70, 70));
    assert_eq!(reader.find_prefix(&"".parse().unwrap(), 100).unwrap().len(), 70);
    assert_eq!(reader.io_counts().writes, 0);
}

#[test]
fn a_reader_sees_half_a_write_as_nothing_and_then_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put_texts(&store, 0..4);
    store.flush().unwrap();
    drop(store);
    let file = pack_files(dir.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    for len in 0..whole.len() {
        fs::write(&file, &whole[..len]).unwrap();
        let reader = open_read_only(dir.path());
        let before = readable(&reader, 0..4);
        assert!(before < 4);
        fs::write(&file, &whole).unwrap();
        assert_eq!(readable(&reader, 0..4), 4, "from {len}");
    }
}

#[test]
fn large_objects_pass_the_buffer() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let objects: Vec<_> = (0..30u8)
        .map(|n| {
            let mut noise = vec![0; 300_000];
            blake3::Hasher::new().update(&[n]).finalize_xof().fill(&mut noise);
            noise
        })
        .collect();
    let ids: Vec<_> = objects.iter().map(|bytes| put(&store, bytes)).collect();
    assert!(store.io_counts().writes >= 7);
    for (id, bytes) in ids.iter().zip(&objects) {
        assert_eq!(*store.get(id).unwrap(), bytes[..]);
    }
    put(&store, &text(1, 10));
}
