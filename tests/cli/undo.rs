//! `undo` and `op log` on a store that no process serves.

use serde_json::json;

use crate::store::{TestStore, text};

#[test]
fn undo_takes_commits_back_one_after_another() {
    let store = TestStore::with_commits();
    let log = store.json(&["log", "--json"]);
    let id = |n: usize| log[n]["id"].as_str().expect("a text");
    let said = store.ok(&["undo"]);
    let (last, before) = (&id(0)[..12], &id(1)[..12]);
    assert_eq!(
        said,
        format!("took back commit {last}, whose changes stay in the tree; HEAD is {before}\n")
    );
    assert_eq!(store.ok(&["status"]), "A link\nR dir -> moved\n");
    let json = store.json(&["undo", "--json"]);
    assert_eq!(
        (&json["undone"]["kind"], &json["undone"]["after"]),
        (&json!("commit"), &json!(id(1)))
    );
    assert_eq!((&json["head"], &json["saved"]), (&json!(id(2)), &json!(null)));
    let said = store.ok(&["undo"]);
    assert!(said.ends_with("; there is no commit before it\n"), "{said}");
    assert_eq!(store.ok(&["log"]), "");
    assert_eq!(store.ok(&["log", "--all"]).lines().count(), 3);
    let line = store.error(1, &["undo"]);
    assert!(line.starts_with("there is nothing to take back"), "{line}");
    // What was taken back can be gone back to.
    store.ok(&["restore", id(0)]);
    assert_eq!(store.ok(&["log"]).lines().count(), 3);
}

#[test]
fn the_operation_log_tells_what_was_done() {
    let store = TestStore::with_commits();
    store.ok(&["tag", "v1", "HEAD~1"]);
    store.ok(&["restore", "v1", "file"]);
    store.ok(&["restore", "v1"]);
    store.ok(&["undo"]);
    store.ok(&["undo"]);
    store.ok(&["tag", "-f", "v1"]);
    store.ok(&["tag", "-d", "v1"]);
    store.ok(&["gc", "--keep-last", "1"]);
    let log = store.ok(&["op", "log"]);
    let what: Vec<&str> =
        log.lines().map(|line| &line["   12  2026-11-26 01:00:00  ".len()..]).collect();
    let ids = store.json(&["op", "log", "--json"]);
    let id = |n: usize| &ids[n]["after"].as_str().expect("an id")[..12];
    assert_eq!(what.len(), 11, "{log}");
    assert!(what[0].starts_with("gc dropped ") && what[0].ends_with(" snapshots"), "{log}");
    assert_eq!(what[1], format!("tag v1 deleted, was {}", id(8)));
    assert!(what[2].starts_with("tag v1 names ") && what[2].contains(", was "), "{log}");
    assert_eq!(what[3], "undo of 5");
    assert_eq!(what[4], "undo of 6");
    assert!(what[5].starts_with("restore of ") && what[5].ends_with("  (taken back)"), "{log}");
    assert!(what[6].starts_with("restore of 1 path from "), "{log}");
    assert!(what[7].starts_with("tag v1 names "), "{log}");
    assert_eq!(what[8], format!("commit {}  third", id(8)));
    assert!(log.lines().last().expect("a line").starts_with("    1  "), "{log}");
    assert_eq!(store.ok(&["op", "log", "-n", "2"]).lines().count(), 2);
    let kinds: Vec<_> =
        ids.as_array().expect("an array").iter().map(|d| d["kind"].clone()).collect();
    assert_eq!(kinds[..4], ["collect", "tag", "tag", "undo"]);
    assert_eq!(
        (&ids[3]["of"], &ids[4]["of"], &ids[5]["number"]),
        (&json!(5), &json!(6), &json!(6))
    );
    assert_eq!((&ids[10]["before"], &ids[10]["number"]), (&json!(null), &json!(1)));
}

#[test]
fn a_store_in_which_nothing_was_done_has_an_empty_operation_log() {
    let store = TestStore::missing();
    store.close(store.open());
    assert_eq!(store.json(&["op", "log", "--json"]), json!([]));
    let output = store.run(&["op", "log"]);
    assert!(output.status.success() && output.stdout.is_empty());
    assert!(text(output.stderr).starts_with("nothing has been done yet"));
}
