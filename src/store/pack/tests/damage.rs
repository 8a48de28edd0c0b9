//! Flipped and missing bytes: a clear error for what they hit, and for nothing else.

use std::fs;
use std::path::PathBuf;

use super::{open, open_read_only, pack_files, put_texts, readable};
use crate::format::pack::{FANOUT_BYTES, RECORD_HEADER_BYTES, TRAILER_BYTES};
use crate::model::{ObjectError, ObjectId, ObjectSource};
use crate::store::ObjectStore;
use crate::store::pack::PackStore;
use crate::store::tests::{id_of, put, text};

const COUNT: usize = 6;

struct Damaged {
    dir: tempfile::TempDir,
    file: PathBuf,
    bytes: Vec<u8>,
    /// Where each object's record begins; then where the last one ends.
    offsets: Vec<usize>,
}

impl Damaged {
    fn new(sealed: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let mut offsets = vec![16];
        for n in 0..COUNT {
            put_texts(&store, n..n + 1);
            store.flush().unwrap();
            offsets.push(pack_files(dir.path())[0].metadata().unwrap().len() as usize);
        }
        if sealed {
            store.close().unwrap();
        }
        let file = pack_files(dir.path()).remove(0);
        let bytes = fs::read(&file).unwrap();
        Self { dir, file, bytes, offsets }
    }

    fn with(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.bytes.clone();
        change(&mut bytes);
        fs::write(&self.file, bytes).unwrap();
    }

    /// Opens the store for writing and for reading.
    fn both(&self, test: impl Fn(&PackStore)) {
        test(&open_read_only(self.dir.path()));
        test(&open(self.dir.path()));
    }
}

fn id(n: usize) -> ObjectId {
    id_of(&text(n, 300))
}

#[test]
fn a_flip_in_a_record_is_told_with_file_and_offset_and_hits_no_other() {
    for sealed in [true, false] {
        let damaged = Damaged::new(sealed);
        for at in damaged.offsets[2]..damaged.offsets[3] {
            let in_payload = at >= damaged.offsets[2] + RECORD_HEADER_BYTES;
            damaged.with(|bytes| bytes[at] ^= 0x40);
            damaged.both(|store| {
                assert_eq!(readable(store, 0..COUNT), COUNT - 1, "byte {at}");
                match store.get(&id(2)) {
                    Err(ObjectError::Damaged { id: found, detail }) => {
                        assert_eq!(found, id(2));
                        let place = format!("at offset {}", damaged.offsets[2]);
                        assert!(detail.contains(".pack") && detail.contains(&place), "{detail}");
                    }
                    // Without the footer, the name of the object is lost with its header.
                    Err(ObjectError::Missing(_)) => assert!(!sealed && !in_payload, "byte {at}"),
                    other => panic!("byte {at}: {other:?}"),
                }
            });
        }
    }
}

#[test]
fn a_flip_in_the_pack_header_costs_nothing() {
    for sealed in [true, false] {
        let damaged = Damaged::new(sealed);
        for at in 0..16 {
            damaged.with(|bytes| bytes[at] ^= 0x40);
            damaged.both(|store| assert_eq!(readable(store, 0..COUNT), COUNT, "byte {at}"));
        }
    }
}

#[test]
fn a_damaged_or_lost_footer_costs_nothing() {
    let damaged = Damaged::new(true);
    let footer = damaged.offsets[COUNT];
    let len = damaged.bytes.len();
    assert_eq!(len, footer + FANOUT_BYTES + COUNT * 48 + TRAILER_BYTES);
    // A part of the fanout table stands for all of it.
    let flips = (footer..footer + FANOUT_BYTES).step_by(37).chain(footer + FANOUT_BYTES..len);
    for at in flips {
        damaged.with(|bytes| bytes[at] ^= 0x40);
        let reader = open_read_only(damaged.dir.path());
        assert_eq!(readable(&reader, 0..COUNT), COUNT, "flip at {at}");
        assert_eq!(reader.find_prefix(&"".parse().unwrap(), 99).unwrap().len(), COUNT);
        let store = open(damaged.dir.path());
        assert_eq!(readable(&store, 0..COUNT), COUNT, "flip at {at}");
        put_texts(&store, 0..COUNT + 1);
        store.close().unwrap();
        assert_eq!(readable(&open(damaged.dir.path()), 0..COUNT + 1), COUNT + 1);
        for other in pack_files(damaged.dir.path()).iter().skip(1) {
            fs::remove_file(other).unwrap();
        }
    }
    for len in (footer..len).step_by(7) {
        damaged.with(|bytes| bytes.truncate(len));
        damaged.both(|store| assert_eq!(readable(store, 0..COUNT), COUNT, "cut to {len}"));
    }
}

#[test]
fn a_pack_cut_anywhere_keeps_what_is_left() {
    for sealed in [true, false] {
        let damaged = Damaged::new(sealed);
        for len in 0..damaged.offsets[COUNT] {
            damaged.with(|bytes| bytes.truncate(len));
            let whole = damaged.offsets[1..].iter().filter(|end| **end <= len).count();
            let reader = open_read_only(damaged.dir.path());
            assert_eq!(readable(&reader, 0..COUNT), whole, "cut to {len}");
            let error = reader.get(&id(COUNT - 1)).unwrap_err();
            assert!(matches!(error, ObjectError::Missing(_)), "{error}");
        }
    }
}

#[test]
fn a_pack_cut_while_it_is_open_is_damage_not_a_panic() {
    let damaged = Damaged::new(true);
    let store = open(damaged.dir.path());
    assert!(store.contains(&id(0)).unwrap());
    for len in [damaged.offsets[4] + 60, damaged.offsets[4] + 3, 0] {
        damaged.with(|bytes| bytes.truncate(len));
        let error = store.get(&id(4)).unwrap_err();
        let told = matches!(error, ObjectError::Damaged { .. } | ObjectError::Io { .. });
        assert!(told || matches!(error, ObjectError::Missing(_)), "{error}");
    }
}

#[test]
fn a_damaged_object_is_healed_by_putting_it_again() {
    for sealed in [true, false] {
        let damaged = Damaged::new(sealed);
        damaged.with(|bytes| bytes[damaged.offsets[3] - 1] ^= 1);
        let store = open(damaged.dir.path());
        assert!(matches!(store.get(&id(2)), Err(ObjectError::Damaged { .. })));
        assert!(!store.contains(&id(2)).unwrap());
        put(&store, &text(2, 300));
        assert!(store.contains(&id(2)).unwrap());
        assert_eq!(readable(&store, 0..COUNT), COUNT);
        store.close().unwrap();
        damaged_copies_do_not_hide_good_ones(&open(damaged.dir.path()));
        damaged_copies_do_not_hide_good_ones(&open_read_only(damaged.dir.path()));
    }
}

fn damaged_copies_do_not_hide_good_ones(store: &PackStore) {
    assert_eq!(readable(store, 0..COUNT), COUNT);
    store.verify(&id(2)).unwrap();
}

#[test]
fn a_pack_of_noise_is_kept_and_holds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for n in 1..6usize {
        let mut noise = vec![0; n * 997];
        blake3::Hasher::new().update(&[n as u8]).finalize_xof().fill(&mut noise);
        fs::write(dir.path().join(format!("{n:016x}.pack")), noise).unwrap();
    }
    fs::write(dir.path().join("readme"), "no pack").unwrap();
    let store = open(dir.path());
    put_texts(&store, 0..3);
    store.close().unwrap();
    assert_eq!((readable(&store, 0..3), store.stats().objects), (3, 3));
    assert_eq!(pack_files(dir.path()).len(), 7);
}
