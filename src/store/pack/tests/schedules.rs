//! Packs in many schedules of those who put, read, flush, seal and collect.
//!
//! What holds in all of them: what was put is read until a collection that began later takes it
//! away; what is live, or was put since the collection began, is read before, while and after it
//! is moved, and after a power loss when a sync has ended. And nobody waits for ever.

use std::path::Path;
use std::sync::Arc;

use shuttle::thread;

use crate::base::disk::sim::SimDisk;
use crate::base::sync::{Schedules, explore};
use crate::model::{IdPrefix, ObjectId};
use crate::store::ObjectStore;
use crate::store::pack::{CollectOptions, PackOptions, PackStore};
use crate::store::tests::{id_of, put};

/// Too short to be worth compression, whose contexts each thread would have to make.
fn bytes(n: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    bytes
}

fn id(n: u64) -> ObjectId {
    id_of(&bytes(n))
}

fn put_each(store: &PackStore, numbers: impl IntoIterator<Item = u64>) {
    for n in numbers {
        assert_eq!(put(store, &bytes(n)), id(n));
    }
}

/// Reads past the cache.
fn read_each(store: &PackStore, numbers: impl IntoIterator<Item = u64>) {
    for n in numbers {
        assert_eq!(*store.read(&id(n)).unwrap(), bytes(n), "object {n}");
    }
}

fn open(disk: &SimDisk) -> PackStore {
    let options = PackOptions { cache_bytes: 1 << 16, pack_bytes_target: 400 };
    PackStore::open(&disk.handle(), Path::new("/"), options).unwrap()
}

fn new_disk() -> SimDisk {
    SimDisk::new(Path::new("/"))
}

#[test]
fn what_is_put_while_garbage_is_collected_stays() {
    explore(Schedules(250), || {
        let disk = new_disk();
        let store = open(&disk);
        put_each(&store, 0..4);
        store.close().unwrap();
        let collection = store.begin_collection();
        thread::scope(|scope| {
            scope.spawn(|| {
                let is_live = |object: &ObjectId| *object == id(0);
                collection.run(&is_live, CollectOptions::default(), &|_| {}).unwrap();
            });
            for n in 1..3 {
                let (store, disk) = (&store, &disk);
                scope.spawn(move || {
                    // One that is garbage, and one that is new.
                    put_each(store, [n, 10 + n]);
                    read_each(store, [n, 10 + n]);
                    store.sync().unwrap();
                    read_each(&open(&disk.after_power_loss(0)), [0, n, 10 + n]);
                });
            }
        });
        read_each(&store, [0, 1, 2, 11, 12]);
        assert!(!store.contains(&id(3)).unwrap(), "what nobody needs is gone");
        drop(collection);
        store.sync().unwrap();
        read_each(&open(&disk.after_power_loss(0)), [0, 1, 2, 11, 12]);
    });
}

#[test]
fn what_is_live_is_found_while_it_is_moved() {
    explore(Schedules(250), || {
        let disk = new_disk();
        let store = Arc::new(open(&disk));
        put_each(&store, 0..2);
        store.close().unwrap();
        put_each(&store, 2..4);
        store.close().unwrap();
        // So that the shards of only some are loaded.
        read_each(&store, [0, 2]);
        let reader = |n: u64| {
            let store = Arc::clone(&store);
            thread::spawn(move || {
                read_each(&store, [n, n + 1]);
                assert!(store.contains(&id(n)).unwrap());
                let prefix: IdPrefix = id(n).to_string().parse().unwrap();
                assert_eq!(store.find_prefix(&prefix, 2).unwrap(), [id(n)]);
            })
        };
        let readers = [0, 2].map(reader);
        let options = CollectOptions { repack: true };
        store.begin_collection().run(&|_| true, options, &|_| {}).unwrap();
        for reader in readers {
            reader.join().unwrap();
        }
        read_each(&store, 0..4);
    });
}

#[test]
fn what_was_flushed_survives_a_kill_and_what_was_synced_a_power_loss() {
    explore(Schedules(250), || {
        let disk = new_disk();
        let store = open(&disk);
        thread::scope(|scope| {
            scope.spawn(|| {
                put_each(&store, 0..2);
                store.flush().unwrap();
                read_each(&open(&disk.after_kill()), 0..2);
                read_each(&store, 0..2);
            });
            scope.spawn(|| {
                put_each(&store, 10..12);
                store.sync().unwrap();
                read_each(&open(&disk.after_power_loss(0)), 10..12);
                // More than is in a pack.
                put_each(&store, 12..16);
                store.sync().unwrap();
                read_each(&open(&disk.after_power_loss(0)), 10..16);
            });
            scope.spawn(|| {
                put_each(&store, 20..21);
                store.close().unwrap();
                read_each(&open(&disk.after_power_loss(0)), 20..21);
            });
        });
        read_each(&store, (0..2).chain(10..16).chain(20..21));
    });
}
