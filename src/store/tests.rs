//! The contract of every object store, and stores as a whole.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::{
    Durability, Expected, MemoryStore, ObjectInfo, ObjectStore, OpenOptions, PackOptions,
    PackStore, RefName, Store, StoreError,
};
use crate::base::disk::{Disk, RealDisk};
use crate::base::limits;
use crate::format::commit_log::CommitRecord;
use crate::model::{
    CommitId, IdPrefix, ObjectError, ObjectId, ObjectKind, ObjectSink, ObjectSource, Timestamp,
};

pub(super) fn id_of(bytes: &[u8]) -> ObjectId {
    ObjectId::from_bytes(*blake3::hash(bytes).as_bytes())
}

/// Text that compresses, of this length at least.
pub(super) fn text(seed: usize, bytes: usize) -> Vec<u8> {
    let mut text = String::new();
    while text.len() < bytes {
        text.push_str(&format!("let value_{seed} = compute({});\n", text.len()));
    }
    text.into_bytes()
}

pub(super) fn put(store: &impl ObjectSink, bytes: &[u8]) -> ObjectId {
    let id = id_of(bytes);
    store.put(ObjectKind::Chunk, &id, bytes).unwrap();
    id
}

/// Runs a test against an empty store of every sort.
fn with_every_store(test: impl Fn(&dyn ObjectStore)) {
    test(&MemoryStore::new());
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    test(&PackStore::open(&disk, dir.path(), PackOptions::default()).unwrap());
    // Many tiny packs, nothing cached: almost everything is read from sealed files.
    let dir = tempfile::tempdir().unwrap();
    let options = PackOptions { cache_bytes: 0, pack_bytes_target: 1 };
    let store = FlushEach(PackStore::open(&disk, dir.path(), options).unwrap());
    test(&store);
}

/// Flushes after every object.
struct FlushEach(PackStore);

impl ObjectSource for FlushEach {
    fn get(&self, id: &ObjectId) -> Result<Arc<[u8]>, ObjectError> {
        self.0.get(id)
    }
}

impl ObjectSink for FlushEach {
    fn put(&self, kind: ObjectKind, id: &ObjectId, bytes: &[u8]) -> Result<(), ObjectError> {
        self.0.put(kind, id, bytes)?;
        Ok(self.0.flush()?)
    }
}

impl ObjectStore for FlushEach {
    fn contains(&self, id: &ObjectId) -> Result<bool, ObjectError> {
        self.0.contains(id)
    }

    fn find_prefix(&self, prefix: &IdPrefix, max: usize) -> Result<Vec<ObjectId>, ObjectError> {
        self.0.find_prefix(prefix, max)
    }

    fn for_each(&self, f: &mut dyn FnMut(&ObjectInfo)) -> Result<(), ObjectError> {
        self.0.for_each(f)
    }

    fn stats(&self) -> super::ObjectStats {
        self.0.stats()
    }
}

#[test]
fn what_was_put_is_there() {
    with_every_store(|store| {
        let objects: Vec<_> = (0..60).map(|n| text(n, n * 97)).collect();
        for (n, bytes) in objects.iter().enumerate() {
            let kind = ObjectKind::ALL[n % 7];
            let id = id_of(bytes);
            assert!(!store.contains(&id).unwrap());
            store.put(kind, &id, bytes).unwrap();
            assert!(store.contains(&id).unwrap());
            assert_eq!(*store.get(&id).unwrap(), bytes[..]);
        }
        for bytes in &objects {
            assert_eq!(*store.get(&id_of(bytes)).unwrap(), bytes[..]);
        }
        let missing = id_of(b"never put");
        assert!(matches!(store.get(&missing), Err(ObjectError::Missing(id)) if id == missing));
        assert!(!store.contains(&missing).unwrap());
    });
}

#[test]
fn an_object_is_kept_once() {
    with_every_store(|store| {
        for _ in 0..3 {
            for n in 0..10 {
                let bytes = text(n, 100);
                store.put(ObjectKind::Node, &id_of(&bytes), &bytes).unwrap();
            }
        }
        let raw_bytes = (0..10).map(|n| text(n, 100).len() as u64).sum::<u64>();
        let stats = store.stats();
        assert_eq!((stats.objects, stats.raw_bytes), (10, raw_bytes));
    });
}

#[test]
fn every_object_is_listed_with_its_kind_and_length() {
    with_every_store(|store| {
        let mut expected = Vec::new();
        for n in 0..200 {
            let (bytes, kind) = (text(n, n * 11), ObjectKind::ALL[n % 7]);
            store.put(kind, &id_of(&bytes), &bytes).unwrap();
            expected.push((id_of(&bytes), kind, bytes.len() as u32));
        }
        let mut found = Vec::new();
        store.for_each(&mut |info| found.push((info.id, info.kind, info.raw_bytes))).unwrap();
        // `text` gives nothing for a length of nothing, whatever the seed.
        expected.sort();
        expected.dedup_by_key(|(id, ..)| *id);
        found.sort();
        assert_eq!(found, expected);
    });
}

#[test]
fn ids_are_found_by_any_prefix() {
    with_every_store(|store| {
        let mut ids: Vec<_> = (0..400usize).map(|n| text(n, 20)).map(|b| id_of(&b)).collect();
        for n in 0..400 {
            let bytes = text(n, 20);
            store.put(ObjectKind::Chunk, &id_of(&bytes), &bytes).unwrap();
        }
        ids.sort();
        let find = |prefix: &str, max| store.find_prefix(&prefix.parse().unwrap(), max).unwrap();
        assert_eq!(find("", 1000), ids);
        assert_eq!(find("", 7), ids[..7]);
        for digits in [1, 2, 3, 5, 9, 10, 11, 63, 64] {
            for id in ids.iter().step_by(9) {
                let prefix = &id.to_string()[..digits];
                let expected: Vec<_> =
                    ids.iter().filter(|id| id.to_string().starts_with(prefix)).copied().collect();
                assert_eq!(find(prefix, 1000), expected, "{prefix}");
                assert_eq!(find(prefix, 1), expected[..1], "{prefix}");
                assert_eq!(find(prefix, 0), []);
            }
        }
        assert_eq!(find(&"0".repeat(64), 9), []);
    });
}

#[test]
fn the_largest_object_fits_and_a_larger_one_does_not() {
    with_every_store(|store| {
        let mut bytes = vec![0; limits::OBJECT_BYTES_MAX + 1];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        let error = store.put(ObjectKind::Chunk, &id_of(&bytes), &bytes).unwrap_err();
        assert!(matches!(error, ObjectError::Io { .. }), "{error}");
        bytes.pop();
        store.put(ObjectKind::Chunk, &id_of(&bytes), &bytes).unwrap();
        assert_eq!(*store.get(&id_of(&bytes)).unwrap(), bytes[..]);
    });
}

#[test]
fn many_threads_put_and_read_the_same_objects() {
    with_every_store(|store| {
        std::thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    for n in 0..300 {
                        let bytes = text((n + thread * 70) % 300, 700);
                        store.put(ObjectKind::Chunk, &id_of(&bytes), &bytes).unwrap();
                        assert_eq!(*store.get(&id_of(&bytes)).unwrap(), bytes[..]);
                    }
                });
            }
        });
        let mut ids = Vec::new();
        store.for_each(&mut |info| ids.push(info.id)).unwrap();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 300);
    });
}

#[test]
fn an_overlay_reads_through_and_keeps_what_is_new() {
    let base = Arc::new(MemoryStore::new());
    let below = put(&*base, b"below");
    let overlay = MemoryStore::over(Arc::clone(&base) as Arc<dyn ObjectSource>);
    let above = put(&overlay, b"above");
    assert_eq!(*overlay.get(&below).unwrap(), *b"below");
    assert_eq!(*overlay.get(&above).unwrap(), *b"above");
    assert!(base.get(&above).is_err());
}

fn open(dir: &Path, read_only: bool) -> Result<Store, StoreError> {
    Store::create_or_open(dir, OpenOptions { read_only, ..OpenOptions::default() })
}

#[test]
fn a_store_keeps_objects_refs_and_commits() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("some/store");
    let name = RefName::new("tags/v1").unwrap();
    let store = open(&path, false).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_to_string(path.join("format")).unwrap(), "vst store 3\n");
    let id = put(&**store.packs(), b"an object");
    store.refs().update(&name, Expected::Absent, &id, Durability::Strict).unwrap();
    let commit = CommitRecord { id: CommitId::new(id), time: Timestamp::now(), changes_by: None };
    store.commits().append(commit, Durability::Fast).unwrap();
    store.sync().unwrap();

    // Another process reads while this one goes on.
    let reader = open(&path, true).unwrap();
    let later = put(&**store.packs(), b"put later");
    assert!(reader.packs().get(&later).is_err());
    store.packs().flush().unwrap();
    assert_eq!(*reader.packs().get(&later).unwrap(), *b"put later");
    assert_eq!(reader.commits().records().to_vec(), [commit]);
    let error = reader.packs().put(ObjectKind::Chunk, &id_of(b"x"), b"x").unwrap_err();
    assert!(error.to_string().contains("reading only"), "{error}");

    store.close().unwrap();
    drop(store);
    let store = open(&path, false).unwrap();
    assert_eq!(*store.packs().get(&id).unwrap(), *b"an object");
    assert_eq!(store.refs().find(&name).unwrap(), Some(id));
    assert_eq!(store.commits().records().to_vec(), [commit]);
}

#[test]
fn a_store_has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), false).unwrap();
    let error = open(dir.path(), false).err().unwrap();
    let this = std::process::id();
    assert!(matches!(error, StoreError::Locked { pid: Some(pid), .. } if pid == this));
    drop(store);
    open(dir.path(), false).unwrap();
}

#[test]
fn what_is_no_store_of_this_version_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let error = open(dir.path(), true).err().unwrap();
    assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);

    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    for read_only in [false, true] {
        let error = open(dir.path(), read_only).err().unwrap();
        assert!(matches!(error, StoreError::NotEmpty { .. }), "{error}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

    let path = dir.path().join("store");
    drop(open(&path, false).unwrap());
    fs::write(path.join("format"), "vst store 99\n").unwrap();
    let error = open(&path, false).err().unwrap();
    assert!(error.to_string().contains("vst store 99"), "{error}");
}
