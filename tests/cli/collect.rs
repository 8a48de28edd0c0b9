//! `gc` on a store that no process serves.

use vst::model::ObjectId;
use vst::store::{Durability, Expected, RefName};

use crate::store::TestStore;

/// The ids of all commits, newest first.
fn ids(store: &TestStore) -> Vec<String> {
    let log = store.json(&["log", "--all", "--json"]);
    let log = log.as_array().expect("a list");
    log.iter().map(|commit| commit["id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn without_rules_every_snapshot_stays() {
    let store = TestStore::with_commits();
    let before = ids(&store);
    let said = store.ok(&["gc"]);
    assert!(said.starts_with("freed ") || said.starts_with("nothing to free; "), "{said}");
    assert_eq!(ids(&store), before);
    let json = store.json(&["gc", "--json", "--repack"]);
    assert_eq!((&json["commits_kept"], &json["commits_dropped"]), (&3.into(), &0.into()));
    // Nothing has happened since, so that there is not even another state.
    let again = store.json(&["gc", "--json"]);
    assert_eq!((&again["objects_dead"], &again["objects_copied"]), (&0.into(), &0.into()));
    assert_eq!(store.ok(&["cat", "HEAD~2:file"]), "one\n");
}

#[test]
fn rules_drop_snapshots_and_history_ends_where_it_was_cut() {
    let store = TestStore::with_commits();
    let before = ids(&store);
    let would = store.ok(&["gc", "--keep-last", "2", "--dry-run"]);
    assert!(would.starts_with("would drop 1 snapshot and keep 2 snapshots\n"), "{would}");
    assert_eq!(ids(&store), before);
    let said = store.ok(&["gc", "--keep-last", "2"]);
    assert!(said.starts_with("dropped 1 snapshot, kept 2 snapshots\n"), "{said}");
    assert_eq!(ids(&store), before[..2]);
    assert_eq!(store.json(&["log", "--json"]).as_array().expect("a list").len(), 2);
    assert_eq!(store.json(&["log", "--json", "--stat"]).as_array().expect("a list").len(), 2);
    let beyond = store.error(1, &["cat", "HEAD~2:file"]);
    assert!(beyond.contains("goes back beyond the first commit that is kept"), "{beyond}");
    store.error(1, &["show", &before[2]]);
    assert_eq!(store.ok(&["cat", "HEAD~1:file"]), "one\ntwo\n");
    assert_eq!(store.ok(&["cat", "HEAD:file"]), "one\ntwo\n");
}

#[test]
fn what_the_tree_stands_on_and_what_has_a_tag_stays() {
    let store = TestStore::with_commits();
    let before = ids(&store);
    let repo = store.open();
    let tag = RefName::new("tags/kept").expect("a name");
    let tagged = before[1].parse::<ObjectId>().expect("an id");
    let refs = repo.store().refs();
    refs.update(&tag, Expected::Absent, &tagged, Durability::Fast).expect("there is room");
    store.close(repo);
    store.ok(&["gc", "--keep-tagged"]);
    assert_eq!(ids(&store), before[..2]);

    store.ok(&["restore", &before[1]]);
    let repo = store.open();
    let refs = repo.store().refs();
    refs.delete(&tag, Expected::Is(tagged), Durability::Fast).expect("it is there");
    store.close(repo);
    store.ok(&["gc", "--keep-last", "0"]);
    assert_eq!(ids(&store), before[..2], "HEAD and the newest");
}

#[test]
fn a_rule_that_makes_no_sense_is_refused() {
    let store = TestStore::with_commits();
    for arguments in [&["gc", "--keep-last", "x"][..], &["gc", "--keep-within", "5 fortnights"]] {
        assert_eq!(store.run(arguments).status.code(), Some(2));
    }
    assert_eq!(ids(&store).len(), 3);
}
