//! `export`, `restore --to` and `stats` on a store that no process serves.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::store::{TestStore, every_byte};

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string());
    let mut names: Vec<String> = names.map(|name| name.expect("text")).collect();
    names.sort();
    names
}

#[test]
fn a_commit_is_written_into_a_new_directory() {
    let store = TestStore::with_commits();
    let (out, path) = out(&store);
    let said = store.ok(&["export", "HEAD", &path]);
    assert!(said.starts_with("wrote 4 names with 2.9 MiB from "), "{said}");
    assert!(said.ends_with(&format!(" to {path}\n")), "{said}");
    assert_eq!(names(&out), ["file", "link", "moved"]);
    assert!(fs::read(out.join("moved/inner")).expect("a file") == every_byte());
    assert_eq!(fs::read_to_string(out.join("link")).expect("it leads to a file"), "one\ntwo\n");
    let line = store.error(1, &["export", "HEAD", &path]);
    assert!(line.contains(" is not empty") && line.contains("--force"), "{line}");
    fs::write(out.join("mine"), "mine").expect("a new file");
    let json = store.json(&["export", "--json", "--force", "HEAD~2", &path]);
    let id = &store.json(&["show", "--json", "HEAD~2"])["id"];
    assert_eq!((&json["commit"], &json["entries"]), (id, &json!(3)));
    assert_eq!((&json["left_out"], &json["left_out_total"]), (&json!([]), &json!(0)));
    assert_eq!(names(&out), ["dir", "file", "link", "mine", "moved"]);
    assert_eq!(fs::read_to_string(out.join("file")).expect("a file"), "one\n");
}

#[test]
fn paths_are_restored_to_another_place_and_the_tree_stays_as_it_is() {
    let store = TestStore::with_commits();
    let (out, path) = out(&store);
    let before = (store.ok(&["log", "--all"]), store.ok(&["op", "log"]));
    store.ok(&["restore", "HEAD", "moved/inner", "--to", &path]);
    assert_eq!(
        (names(&out), names(&out.join("moved"))),
        (vec!["moved".into()], vec!["inner".into()])
    );
    store.ok(&["restore", "--force", "HEAD~1", "file", "dir", "--to", &path]);
    assert_eq!(names(&out), ["dir", "file", "moved"]);
    for (code, args) in [
        (1, &["restore", "HEAD", "none", "--to", &path, "-f"][..]),
        (1, &["restore", "HEAD", "--to", "/proc/none"]),
        (1, &["restore", "HEAD", "--to", "/dev/null"]),
        (2, &["restore", "HEAD", "--force"]),
        (2, &["export", "HEAD:file", &path]),
        (2, &["export", "HEAD"]),
    ] {
        store.error(code, args);
    }
    assert_eq!(names(&out), ["dir", "file", "moved"]);
    assert_eq!((store.ok(&["log", "--all"]), store.ok(&["op", "log"])), before);
}

fn out(store: &TestStore) -> (std::path::PathBuf, String) {
    let out = store.directory().join("out");
    let path = out.to_str().expect("text").to_owned();
    (out, path)
}

#[test]
fn stats_tell_what_snapshots_hold_and_what_that_takes() {
    let store = TestStore::with_commits();
    let json = store.json(&["stats", "--json"]);
    // Three commits of two files each, the large one of which is stored once.
    let inner = every_byte().len() as u64;
    assert_eq!(json["snapshots"], 3);
    assert_eq!(json["content"], json!({"files": 6, "bytes": 3 * inner + 4 + 8 + 8}));
    let raw = json["store"]["raw_bytes"].as_u64().expect("a number");
    assert!(raw >= inner && raw < 2 * inner, "{json}");
    assert!(json.get("commits").is_none(), "{json}");
    let text = store.ok(&["stats"]);
    for line in
        ["snapshots    3: 8.6 MiB in 6 files", "stored once  ", "compressed   ", "on the disk  "]
    {
        assert!(text.lines().any(|l| l.starts_with(line)), "{line}: {text}");
    }
    assert!(text.contains(" objects, 2.9 times less\n"), "{text}");
}
