//! `commit`, `status` and `restore` on a store that no process serves.

use vst::model::{FileKind, Ino};

use crate::store::{TestStore, create, text, write};

/// A store whose tree has a new file and a longer one since the last commit.
fn changed() -> TestStore {
    let store = TestStore::with_commits();
    let repo = store.open();
    create(&repo, Ino::ROOT, "a \"new\" one", FileKind::Regular, "");
    let file = repo
        .update(|edit| {
            let name = vst::model::Name::new(b"file").expect("it is a name");
            let found = edit.lookup(Ino::ROOT, &name)?.expect("it is there");
            edit.load(Ino::ROOT, &name, &found)?;
            Ok(found.ino)
        })
        .expect("it can be read");
    write(&repo, file, 8, b"three\n");
    store.close(repo);
    store
}

#[test]
fn commit_prints_the_id_and_nothing_else() {
    let store = changed();
    let id = store.ok(&["commit", "-m", "some message\n"]);
    let log = store.json(&["log", "--json", "-n1"]);
    assert_eq!(id.trim_end(), log[0]["id"]);
    assert_eq!(log[0]["message"], "some message");
    // Nothing has changed since.
    let output = store.run(&["commit"]);
    assert_eq!(text(output.stdout), id);
    assert!(text(output.stderr).contains("nothing changed"));
    assert_eq!(store.json(&["commit", "--json"])["new"], false);
    let json = store.json(&["commit", "--json", "--allow-empty", "--durable"]);
    assert_eq!(json["new"], true);
    assert_ne!(json["id"], log[0]["id"]);
}

#[test]
fn the_author_is_the_user_or_what_the_environment_says() {
    let store = changed();
    let output = store.command(&["commit"]).env("VST_AUTHOR", "somebody").output();
    assert!(output.expect("it is built").status.success());
    assert_eq!(store.json(&["show", "--json", "HEAD"])["author"], "somebody");
    store.ok(&["commit", "--allow-empty"]);
    let author = &store.json(&["show", "--json", "HEAD"])["author"];
    assert!(!matches!(author.as_str(), None | Some("" | "somebody" | "tester")), "{author}");
}

#[test]
fn a_message_that_is_too_long_is_refused() {
    let store = changed();
    let before = store.ok(&["log"]);
    let line = store.error(1, &["commit", "-m", &"x".repeat(70_000)]);
    assert!(line.contains("the message is longer"), "{line}");
    assert_eq!(store.ok(&["log"]), before);
}

#[test]
fn status_has_a_line_a_path() {
    let store = changed();
    assert_eq!(store.ok(&["status"]), "A \"a \\\"new\\\" one\"\nM file\n");
    let json = store.json(&["status", "--json"]);
    assert_eq!(json["head"], store.json(&["log", "--json"])[0]["id"]);
    assert_eq!(
        json["changes"],
        serde_json::json!([
            {"change": "added", "path": "a \"new\" one"},
            {"change": "modified", "path": "file"},
        ])
    );
    store.ok(&["commit"]);
    let output = store.run(&["status"]);
    assert!(output.status.success() && output.stdout.is_empty());
    assert!(text(output.stderr).starts_with("nothing changed since commit "));
}

#[test]
fn restore_brings_the_tree_back_and_keeps_what_was_there() {
    let store = changed();
    let said = store.ok(&["restore", "HEAD~2"]);
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("saved what was there as "), "{said}");
    assert!(lines[1].starts_with("restored "), "{said}");
    assert_eq!(store.ok(&["ls", "HEAD"]), "dir/\nfile\n");
    assert_eq!(store.ok(&["status"]), "");
    // The line says how to take it back.
    assert!(lines[0].ends_with("; `vst undo` brings it back"), "{said}");
    let said = store.ok(&["undo"]);
    assert!(said.starts_with("took back the restore of ") && said.lines().count() == 1, "{said}");
    assert_eq!(store.ok(&["cat", "HEAD:file"]), "one\ntwo\n");
    assert_eq!(store.ok(&["status"]), "A \"a \\\"new\\\" one\"\nM file\n");
    // Nothing is forgotten.
    assert_eq!(store.ok(&["log", "--all"]).lines().count(), 4);
}

#[test]
fn restore_of_paths_leaves_the_others_alone() {
    let store = changed();
    let json = store.json(&["restore", "--json", "HEAD", "file"]);
    assert_eq!(json["restored"], 1);
    assert!(json["saved"].is_string());
    // Against the commit that saved what was there.
    assert_eq!(store.ok(&["status"]), "M file\n");
    let json = store.json(&["restore", "--json", "HEAD~1", "file", "link"]);
    assert_eq!(json["restored"], 0);
}

#[test]
fn no_path_is_restored_if_another_is_mistyped() {
    let store = changed();
    let before = (store.ok(&["log", "--all"]), store.ok(&["status"]));
    for (code, paths) in [(1, ["file", "fiel"]), (1, ["file", ".."]), (2, ["file", ""])] {
        store.error(code, &[&["restore", "HEAD~2"], &paths[..]].concat());
        assert_eq!((store.ok(&["log", "--all"]), store.ok(&["status"])), before);
    }
    store.error(1, &["restore", "none"]);
    let line = store.error(2, &["restore", "HEAD:a file"]);
    assert!(line.ends_with("`vst restore HEAD 'a file'`"), "{line}");
    assert_eq!((store.ok(&["log", "--all"]), store.ok(&["status"])), before);
}
