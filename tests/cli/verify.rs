//! `verify` on a store that no process serves.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::store::{TestStore, text};

/// The packs of a store, oldest first.
fn packs(store: &TestStore) -> Vec<PathBuf> {
    let entries = fs::read_dir(store.path().join("packs")).expect("a store has packs");
    let mut packs: Vec<PathBuf> = entries.map(|entry| entry.expect("it is read").path()).collect();
    packs.sort();
    packs
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("it is there");
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("it can be written");
}

/// What `--json` prints, and the exit code.
#[track_caller]
fn verify(store: &TestStore, args: &[&str]) -> (Value, Option<i32>) {
    let output = store.run(&[&["verify", "--json"], args].concat());
    assert!(output.stderr.is_empty(), "{output:?}");
    (serde_json::from_slice(&output.stdout).expect("it is JSON"), output.status.code())
}

#[test]
fn a_sound_store_is_told_to_be_well_in_one_line() {
    let store = TestStore::with_commits();
    let said = store.ok(&["verify"]);
    assert!(said.starts_with("all is well: ") && said.contains(", 3 commits, "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    let (json, code) = verify(&store, &[]);
    assert_eq!((code, &json["damaged"], &json["commits"]), (Some(0), &false.into(), &3.into()));
    assert_eq!((&json["findings"], &json["hurt"]), (&Value::Array(vec![]), &Value::Array(vec![])));
    assert!(json.get("repaired").is_none());
    let (json, code) = verify(&store, &["--repair"]);
    assert_eq!((code, &json["repaired"]), (Some(0), &Value::Array(vec![])));
}

#[test]
fn a_damaged_object_is_named_with_commits_and_paths() {
    let store = TestStore::with_commits();
    let log = store.json(&["log", "--json"]);
    let pack = packs(&store).remove(0);
    let bytes = fs::read(&pack).expect("it is there");
    // The content of `file` after the second commit, which is short and so stored as it is.
    let at = bytes.windows(8).position(|eight| eight == b"one\ntwo\n").expect("it is in there");
    flip(&pack, at + 2);
    let (json, code) = verify(&store, &[]);
    assert_eq!((code, &json["damaged"]), (Some(1), &true.into()));
    let findings = json["findings"].as_array().expect("an array");
    assert_eq!(findings.len(), 1, "{json:#}");
    let object = blake3::hash(b"one\ntwo\n").to_hex().to_string();
    assert_eq!(findings[0]["object"], object.as_str());
    assert_eq!(findings[0]["part"], "object");
    assert!(findings[0]["file"].as_str().is_some_and(|file| pack.ends_with(file)), "{json:#}");
    let hurt = json["hurt"].as_array().expect("an array");
    let commits: Vec<&Value> = hurt.iter().map(|hurt| &hurt["commit"]).collect();
    assert_eq!(commits, [&log[0]["id"], &log[1]["id"], &Value::Null]);
    for hurt in hurt {
        let path = serde_json::json!([{"path": "file", "object": object}]);
        assert_eq!((&hurt["paths"], &hurt["more"]), (&path, &0.into()));
    }
    let output = store.run(&["verify", "--repair"]);
    assert_eq!(output.status.code(), Some(1), "there is no other copy");
    let said = text(output.stdout);
    assert!(said.starts_with("damaged: packs/") && said.contains(&object), "{said}");
    let short = log[1]["id"].as_str().map(|id| &id[..12]).expect("a text");
    assert!(said.contains(&format!("hurts commit {short}: file  (object ")), "{said}");
    assert!(said.contains("hurts the working tree: file"), "{said}");
    assert_eq!(store.ok(&["cat", "HEAD~2:file"]), "one\n");
}

#[test]
fn a_lost_index_and_a_lost_list_are_rebuilt() {
    let store = TestStore::with_commits();
    let log = store.ok(&["log", "--all"]);
    let pack = packs(&store).remove(0);
    let len = fs::metadata(&pack).expect("it is there").len() as usize;
    flip(&pack, len - 100);
    fs::remove_file(store.path().join("commits")).expect("it is there");
    fs::remove_file(store.path().join("format")).expect("it is there");
    let (json, code) = verify(&store, &[]);
    assert_eq!((code, &json["hurt"]), (Some(1), &Value::Array(vec![])), "{json:#}");
    let parts: Vec<&Value> =
        json["findings"].as_array().expect("an array").iter().map(|f| &f["part"]).collect();
    assert_eq!(parts, ["pack-index", "format", "commit-list"]);
    let said = store.ok(&["verify", "--repair"]);
    assert!(said.contains("rebuilt its index from its records"), "{said}");
    assert!(said.contains("3 commits came back"), "{said}");
    assert!(said.lines().last().is_some_and(|line| line.starts_with("all is well")), "{said}");
    store.ok(&["verify"]);
    assert_eq!(store.ok(&["log", "--all"]), log);
    assert_eq!(store.ok(&["status"]), "");
}

#[test]
fn a_store_in_use_is_verified_and_not_repaired() {
    let store = TestStore::with_commits();
    let _owner = store.open();
    store.ok(&["verify"]);
    let line = store.error(1, &["verify", "--repair"]);
    assert!(line.contains(&format!("pid {}", std::process::id())), "{line}");
}

#[test]
fn what_is_no_store_is_not_verified() {
    let store = TestStore::missing();
    assert!(store.error(1, &["verify"]).starts_with("there is no store "));
    fs::create_dir(store.path()).expect("it is missing");
    assert!(store.error(1, &["verify", "--repair"]).contains(" is not a vst store: "));
    fs::write(store.path().join("notes"), "mine").expect("the directory is there");
    assert!(store.error(1, &["verify"]).contains("is not a vst store and not empty"));
    let store = TestStore::with_commits();
    fs::write(store.path().join("format"), "vst store 999\n").expect("it is a file");
    assert!(store.error(1, &["verify", "--repair"]).contains("use a newer one"));
}
