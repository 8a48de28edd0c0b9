//! `config` on a store that no process serves, and the rules of it that `gc` goes by.

use std::fs;

use crate::store::TestStore;

#[test]
fn what_is_set_is_told_and_taken_back() {
    let store = TestStore::with_commits();
    let listed = store.ok(&["config"]);
    assert_eq!(listed.lines().count(), 8);
    assert!(listed.lines().all(|line| line.ends_with("  off  (default)")), "{listed}");
    assert_eq!(store.ok(&["config", "auto-commit", "30s"]), "auto-commit is 30s\n");
    assert_eq!(store.ok(&["config", "auto-commit"]), "30s\n");
    let json = store.json(&["config", "keep-within", "1h", "--json"]);
    let expected = serde_json::json!({"key": "keep-within", "value": "1h", "default": false});
    assert_eq!(json, expected);
    let all = store.json(&["config", "--json"]);
    assert_eq!(all.as_array().map(Vec::len), Some(8));
    assert_eq!(all[2], expected);
    assert_eq!(all[0]["value"], "30s");
    assert_eq!(all[1], serde_json::json!({"key": "keep-last", "value": "off", "default": true}));
    assert_eq!(store.ok(&["config", "--unset", "auto-commit"]), "auto-commit is off\n");
    assert_eq!(store.ok(&["config", "keep-within", "off"]), "keep-within is off\n");
    assert_eq!(store.ok(&["config"]), listed);
}

#[test]
fn what_cannot_be_set_is_refused_with_what_can() {
    let store = TestStore::with_commits();
    let unknown = store.error(1, &["config", "keep-all"]);
    assert!(unknown.starts_with("there is no setting \"keep-all\": they are auto-commit, "));
    let bad = store.error(1, &["config", "keep-daily", "-1"]);
    assert_eq!(bad, "keep-daily cannot be \"-1\": write a number, or off");
    let bad = store.error(1, &["config", "auto-commit", "0s"]);
    assert!(bad.contains("a time of one second or more, such as 30s"), "{bad}");
    assert!(!store.path().join("config").exists(), "nothing was set");
    store.ok(&["config", "keep-last", "2"]);
    fs::write(store.path().join("config"), "vst config 1\nkeep-last = 1\n").expect("writable");
    for args in [&["config"][..], &["config", "keep-last", "3"], &["gc"]] {
        let damaged = store.error(1, args);
        let says = "/config is damaged at offset 27: line 3: it ends without a checksum; without";
        assert!(damaged.contains(says), "{args:?}: {damaged}");
    }
    let log = store.json(&["log", "--json"]);
    assert_eq!(log.as_array().map(Vec::len), Some(3), "all else works, and all is kept");
}

#[test]
fn a_collection_goes_by_the_rules_that_are_set_unless_it_is_given_others() {
    let store = TestStore::with_commits();
    let output = store.run(&["config", "keep-last", "1"]);
    let says = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && says.contains("`vst gc --dry-run`"), "{output:?}");
    let would = store.ok(&["gc", "--dry-run"]);
    assert!(would.starts_with("would drop 2 snapshots and keep 1 snapshot\n"), "{would}");
    let given = store.ok(&["gc", "--keep-last", "2"]);
    assert!(given.starts_with("dropped 1 snapshot, kept 2 snapshots\n"), "{given}");
    let set = store.ok(&["gc"]);
    assert!(set.starts_with("dropped 1 snapshot, kept 1 snapshot\n"), "{set}");
}

#[test]
fn hours_and_months_can_be_kept() {
    let store = TestStore::with_commits();
    for rule in ["--keep-hourly", "--keep-monthly"] {
        // They were made in the last seconds, if perhaps in two hours or months.
        let json = store.json(&["gc", "--json", "--dry-run", rule, "1"]);
        assert_eq!((&json["commits_kept"], &json["dry_run"]), (&1.into(), &true.into()), "{rule}");
    }
}
