//! `tag` on a store that no process serves.

use serde_json::json;

use crate::store::{TestStore, text};

#[test]
fn tags_are_made_listed_moved_and_deleted() {
    let store = TestStore::with_commits();
    let log = store.json(&["log", "--json"]);
    let id = |n: usize| log[n]["id"].as_str().expect("a text");
    let output = store.run(&["tag"]);
    assert!(output.stdout.is_empty() && text(output.stderr).starts_with("there are no tags"));
    assert_eq!(store.json(&["tag", "--json"]), json!([]));
    assert_eq!(store.ok(&["tag", "v2"]), format!("v2 names {}\n", &id(0)[..12]));
    let made = store.json(&["tag", "--json", "first", "HEAD~2"]);
    assert_eq!(made, json!({"name": "first", "from": null, "to": id(2)}));
    let list = store.ok(&["tag"]);
    let lines: Vec<&str> = list.lines().collect();
    assert!(lines[0].starts_with(&format!("first  {}  ", &id(2)[..12])), "{list}");
    assert!(lines[0].ends_with("  first") && lines[1].ends_with("  third"), "{list}");
    assert!(lines[1].starts_with("v2     "), "{list}");
    assert_eq!(
        store.json(&["tag", "--json"]),
        json!([{"name": "first", "commit": id(2)}, {"name": "v2", "commit": id(0)}])
    );
    let log = store.ok(&["log"]);
    assert!(log.lines().next().expect("a line").contains("  (HEAD, v2)  "), "{log}");
    let line = store.error(1, &["tag", "v2", "HEAD~1"]);
    assert!(line.contains("`vst tag -f v2`"), "{line}");
    let moved = store.json(&["tag", "--json", "-f", "v2", "HEAD~1"]);
    assert_eq!((&moved["from"], &moved["to"]), (&json!(id(0)), &json!(id(1))));
    assert_eq!(store.json(&["show", "--json", "v2"])["id"], id(1));
    let deleted = store.json(&["tag", "--json", "--delete", "v2"]);
    assert_eq!((&deleted["from"], &deleted["to"]), (&json!(id(1)), &json!(null)));
    let line = store.error(1, &["tag", "-d", "v2"]);
    assert!(line.starts_with("there is no tag v2"), "{line}");
}

#[test]
fn a_name_that_cannot_be_is_refused_with_a_reason() {
    let store = TestStore::with_commits();
    for (name, says) in [
        ("HEAD", "means something else"),
        ("a/b", "a slash"),
        ("a b", "a blank"),
        ("x.lock", ".lock"),
        ("..", "begins with a dot"),
        ("a\n", "a control character"),
        ("", "it is empty"),
    ] {
        let line = store.error(1, &["tag", name]);
        assert!(line.contains(says), "{name:?}: {line}");
    }
    for args in
        [&["tag", "-f"][..], &["tag", "-d"], &["tag", "-d", "a", "HEAD"], &["tag", "-df", "a"]]
    {
        store.error(2, args);
    }
    assert!(store.error(1, &["tag", "a", "none"]).contains("no commit is called"));
    assert_eq!(store.json(&["tag", "--json"]), json!([]));
}

#[test]
fn what_has_a_tag_is_kept_by_a_collection() {
    let store = TestStore::with_commits();
    store.ok(&["tag", "old", "HEAD~2"]);
    let report = store.json(&["gc", "--json", "--keep-last", "1"]);
    assert_eq!((&report["commits_kept"], &report["commits_dropped"]), (&json!(2), &json!(1)));
    assert_eq!(store.ok(&["cat", "old:file"]), "one\n");
}
