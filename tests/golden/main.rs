//! Golden stores: for each version of the format a store that a process of then left behind when
//! it was killed, in `tests/data/v<version>`, and what it held, in `manifest.txt` beside it. They
//! stay for ever, and whatever is released later reads them.
//!
//! There are no v1 and v2: stores of these versions were never released.
//!
//! When the format changes before it is released:
//!
//! ```text
//! cargo test --locked --test golden -- --ignored make_golden_store
//! ```
//!
//! Released ones are never made again.

mod listing;
mod make;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use vst::format::journal::{Record, RecordHeader, SEGMENT_HEADER_BYTES, decode_record};
use vst::format::pack::{TRAILER_BYTES, Trailer};
use vst::repo::{History, Repo};
use vst::store::{OpenOptions, Store};

/// What is checked in must stay small.
const STORE_BYTES_MAX: u64 = 300 * 1024;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// The golden stores and their versions, oldest first.
fn golden() -> Vec<(u32, PathBuf)> {
    let names = fs::read_dir(data()).expect("there are golden stores");
    let mut found: Vec<_> = names
        .map(|entry| entry.expect("they can be listed").path())
        .filter_map(|path| {
            let version = path.file_name()?.to_str()?.strip_prefix('v')?.parse().ok()?;
            Some((version, path))
        })
        .collect();
    found.sort();
    found
}

/// The version of the stores that are made now.
fn current_version(store: &Path) -> u32 {
    let text = fs::read_to_string(store.join("format")).expect("it has a format");
    let version = text.strip_prefix("vst store ").and_then(|rest| rest.trim_end().parse().ok());
    version.expect("it tells a version")
}

/// A copy of a store that can be written to, in a directory that goes away.
fn copy_of(store: &Path) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("there is room");
    let copy = dir.path().join("store");
    make::copy(store, &copy);
    (dir, copy)
}

fn read_only(store: &Path) -> History {
    let options = OpenOptions { read_only: true, ..OpenOptions::default() };
    History::new(Arc::new(Store::open(store, options).expect("it opens")))
}

fn recover(store: &Path) -> Repo {
    Repo::open(store, make::options()).expect("it recovers")
}

/// All that a recovered store holds. Every commit that the journal had is in the list after it.
fn manifest(repo: &Repo) -> String {
    repo.write_commits().expect("there is room");
    listing::live(repo) + &listing::history(repo.history())
}

/// Fails with the first line that differs.
#[track_caller]
fn assert_same(found: &str, expected: &str, what: &str) {
    for (n, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
        assert_eq!(found, expected, "{what}, line {}", n + 1);
    }
    assert_eq!(found.lines().count(), expected.lines().count(), "{what}: lines");
}

#[test]
fn every_golden_store_recovers_to_what_it_held() {
    let stores = golden();
    assert!(!stores.is_empty());
    for (version, dir) in stores {
        let expected = fs::read_to_string(dir.join("manifest.txt")).expect("it has a manifest");
        let (_dir, store) = copy_of(&dir.join("store"));
        let repo = recover(&store);
        assert_same(&manifest(&repo), &expected, &format!("v{version}, recovered"));
        drop(repo);
        // Recovery left it so that another one finds the same.
        let repo = recover(&store);
        assert_same(&manifest(&repo), &expected, &format!("v{version}, recovered again"));
        repo.close().expect("it closes");
        drop(repo);
        assert_same(&manifest(&recover(&store)), &expected, &format!("v{version}, closed"));
    }
}

#[test]
fn every_golden_store_can_be_read_without_being_changed() {
    for (version, dir) in golden() {
        let expected = fs::read_to_string(dir.join("manifest.txt")).expect("it has a manifest");
        let (_dir, store) = copy_of(&dir.join("store"));
        let history = read_only(&store);
        assert!(!history.is_closed().expect("it can be looked at"), "v{version} has a journal");
        // Those that only the journal has are missing.
        let found = listing::history(&history);
        let all = &expected[expected.find("ref ").expect("it has refs")..];
        assert!(all.starts_with(&found), "v{version}: {found}");
        assert!(found.matches("\ncommit ").count() >= 3, "v{version}");
        assert!(found.len() < all.len(), "v{version}");
    }
}

#[test]
fn the_version_that_is_written_now_has_a_golden_store() {
    let dir = tempfile::tempdir().expect("there is room");
    let repo = Repo::open(&dir.path().join("store"), make::options()).expect("it is made");
    let version = current_version(repo.store().path());
    assert_eq!(
        golden().last().map(|(version, _)| *version),
        Some(version),
        "stores of version {version} are made, and there is none in {}",
        data().display(),
    );
}

/// The kinds of records, and of operations, that the journal of a store holds.
fn journal_kinds(store: &Path) -> BTreeSet<String> {
    let mut kinds = BTreeSet::new();
    for entry in fs::read_dir(store.join("journal")).expect("it has a journal") {
        let bytes = fs::read(entry.expect("it can be listed").path()).expect("it can be read");
        let mut rest = &bytes[SEGMENT_HEADER_BYTES..];
        while let Some((head, behind)) = rest.split_first_chunk() {
            let header = RecordHeader::decode(head);
            let (fields, behind) = behind.split_at(header.fields_len as usize);
            let (payload, behind) = behind.split_at(header.payload_len as usize);
            match decode_record(fields, payload).expect("records decode") {
                Record::Ops(_, ops) => kinds.extend(ops.iter().map(|located| name_of(&located.op))),
                other => _ = kinds.insert(name_of(&other)),
            }
            rest = behind;
        }
    }
    kinds
}

/// The name of a variant.
fn name_of(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

#[test]
fn the_newest_golden_journal_holds_every_kind_of_record_and_operation() {
    let (_, golden) = golden().pop().expect("there are golden stores");
    // An orphan that is dropped has no name, and is not told of.
    let expected = "Adopt Commit Create Deed Link Mark RemoveXattr Rename Revert Rmdir SetAttr \
                    SetXattr Switch Truncate Unlink Void Write Zero";
    let found = journal_kinds(&golden.join("store"));
    assert_eq!(found.into_iter().collect::<Vec<_>>().join(" "), expected);
}

#[test]
fn the_newest_golden_store_has_a_sealed_and_an_unsealed_pack() {
    let (_, golden) = golden().pop().expect("there are golden stores");
    let packs = fs::read_dir(golden.join("store/packs")).expect("it has packs");
    let is_sealed = |entry: std::io::Result<fs::DirEntry>| {
        let bytes = fs::read(entry.expect("it can be listed").path()).expect("it can be read");
        let (records, trailer) = bytes.split_at(bytes.len() - TRAILER_BYTES);
        Trailer::decode(trailer, bytes.len() as u64)
            .is_ok_and(|trailer| trailer.footer_offset < records.len() as u64)
    };
    let sealed: BTreeSet<bool> = packs.map(is_sealed).collect();
    assert_eq!(sealed, BTreeSet::from([false, true]));
}

/// The lines about committed trees, whose roots are the same whenever they are made. Moments of
/// commits differ, and so do their ids.
fn trees(manifest: &str) -> Vec<&str> {
    let history = &manifest[manifest.find("\ncommit ").expect("it has commits")..];
    let differs = |line: &&str| !line.starts_with("commit ") && !line.starts_with("time ");
    history.lines().filter(differs).collect()
}

#[test]
fn what_made_the_golden_store_makes_the_same_trees_now() {
    let (_, golden) = golden().pop().expect("there are golden stores");
    let expected = fs::read_to_string(golden.join("manifest.txt")).expect("it has a manifest");
    let dir = tempfile::tempdir().expect("there is room");
    let made = dir.path().join("store");
    let live = make::make(&made);
    let (_dir, copy) = copy_of(&made);
    let found = manifest(&recover(&copy));
    assert_same(&found[..found.find("ref ").expect("it has refs")], &live, "recovered");
    let (found, expected) = (trees(&found).join("\n"), trees(&expected).join("\n"));
    assert_same(&found, &expected, "made now");
}

#[test]
#[ignore = "replaces the golden store of the version that is written now"]
fn make_golden_store() {
    let dir = tempfile::tempdir().expect("there is room");
    let made = dir.path().join("store");
    let live = make::make(&made);
    let (_dir, copy) = copy_of(&made);
    let golden = data().join(format!("v{}", current_version(&made)));
    fs::create_dir_all(&golden).expect("there is room");
    // All that is about it, so that nothing of an earlier one is left.
    fs::remove_dir_all(&golden).expect("it can be removed");
    fs::create_dir_all(&golden).expect("there is room");
    make::copy(&made, &golden.join("store"));
    let bytes: u64 = bytes_of(&golden);
    assert!(bytes <= STORE_BYTES_MAX, "{bytes} bytes");
    let found = manifest(&recover(&copy));
    assert!(found.starts_with(&live), "recovery finds another tree than there was");
    fs::write(golden.join("manifest.txt"), found).expect("it can be written");
    println!("{}: {bytes} bytes", golden.display());
}

fn bytes_of(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).expect("it is a directory");
    let paths = entries.map(|entry| entry.expect("it can be listed").path());
    let bytes = |path: PathBuf| match path.is_dir() {
        true => bytes_of(&path),
        false => path.metadata().expect("it is there").len(),
    };
    paths.map(bytes).sum()
}
