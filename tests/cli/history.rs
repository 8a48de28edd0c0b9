//! `log`, `show`, `ls` and `cat`.

use std::io::Read;
use std::process::Stdio;

use crate::store::{TestStore, every_byte, one_error};

#[test]
fn log_has_a_line_a_commit_newest_first() {
    let store = TestStore::with_commits();
    let log = store.ok(&["log"]);
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 3, "{log}");
    assert!(lines[0].ends_with("  tester  (HEAD)  third"), "{log}");
    assert!(lines[1].ends_with("  tester"), "{log}");
    assert!(lines[2].ends_with("  tester  first"), "{log}");
    assert!(!log.contains('\x1b'), "{log}");
    assert_eq!(store.ok(&["log", "-n", "2"]).lines().count(), 2);
    assert_eq!(store.ok(&["log", "-n0"]), "");
    assert_eq!(store.ok(&["log", "--all"]), log);
}

#[test]
fn log_in_json_is_an_array_of_whole_commits() {
    let store = TestStore::with_commits();
    let log = store.json(&["log", "--json"]);
    let commits = log.as_array().expect("an array");
    assert_eq!(commits.len(), 3);
    assert_eq!(commits[0]["message"], "third\n\nwith more\nto say");
    assert_eq!(commits[0]["parents"][0], commits[1]["id"]);
    assert_eq!(commits[2]["parents"], serde_json::json!([]));
    assert_eq!(commits[0]["head"], true);
    assert_eq!(commits[1]["head"], false);
    assert!(commits.iter().all(|commit| commit.get("changes").is_none()));
    for commit in commits {
        let time = commit["time"].as_str().expect("a text");
        assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
    }
}

#[test]
fn log_with_stat_tells_what_each_commit_changed() {
    let store = TestStore::with_commits();
    let log = store.ok(&["log", "--stat"]);
    for line in [
        "    A file  (4 B)  by editor, root",
        "    A dir/inner  (2.9 MiB)  by editor, root",
        "    M file  (4 B -> 8 B)  by editor, root",
        "    A link  by editor, root",
        "    R dir -> moved  by editor, root",
        "    2 paths: 1 added, 1 renamed",
    ] {
        assert!(log.lines().any(|l| l == line), "{line}: {log}");
    }
    let log = store.json(&["log", "--stat", "--json"]);
    assert_eq!(log[1]["changes"][0]["change"], "modified");
    assert_eq!(log[1]["changes"][0]["old"], serde_json::json!({"kind": "file", "size": 4}));
    let by = serde_json::json!({"command": "editor", "uid": 0, "user": "root"});
    assert_eq!(log[1]["changes"][0]["by"], by);
}

/// What the second commit did to `file`.
const PATCH: &str = "diff --git a/file b/file\n--- a/file\n+++ b/file\n@@ -1 +1,2 @@\n one\n+two\n";

#[test]
fn show_and_log_have_the_lines_that_a_commit_changed() {
    let store = TestStore::with_commits();
    let shown = store.ok(&["show", "-p", "HEAD~1"]);
    assert!(shown.starts_with("commit ") && shown.ends_with(&format!("\n\n{PATCH}")), "{shown}");
    let shown = store.ok(&["show", "--stat", "HEAD~1"]);
    assert!(shown.ends_with("\n\n file | 1 +\n 1 file changed, 1 insertion(+)\n"), "{shown}");
    let shown = store.ok(&["show", "--stat", "-p", "HEAD"]);
    // The directory that was renamed is told by what is in it.
    let stat = " link                 | 1 +\n {dir => moved}/inner | 0\n";
    assert!(shown.contains("similarity index 100%\nrename from dir/inner\n"), "{shown}");
    assert!(!shown.contains("Binary") && shown.contains("new file mode 120000\n"), "{shown}");
    assert!(shown.contains(stat), "{shown}");
    let log = store.ok(&["log", "-p", "-n1", "file"]);
    assert!(log.ends_with(&format!("  tester\n\n{PATCH}\n")), "{log}");
    let log = store.ok(&["log", "-p"]);
    assert!(log.contains(PATCH) && log.contains("Binary files /dev/null and b/dir/inner differ\n"));
    assert_eq!(log.matches("diff --git ").count(), 5, "{log}");
}

#[test]
fn diff_compares_commits_of_a_store_that_is_not_mounted() {
    let store = TestStore::with_commits();
    assert_eq!(store.ok(&["diff"]), "");
    assert_eq!(store.ok(&["diff", "HEAD~2"]), "M file\nA link\nR dir -> moved\n");
    assert_eq!(store.ok(&["diff", "-p", "HEAD~2", "HEAD~1"]), PATCH);
    assert_eq!(store.ok(&["diff", "HEAD", "HEAD~2", "--", "file", "link"]), "M file\nD link\n");
    assert!(store.error(1, &["diff", "HEAD~9"]).contains("beyond the first commit"));
}

#[test]
fn log_of_paths_has_the_commits_that_changed_them() {
    let store = TestStore::with_commits();
    let ids = |args: &[&str]| -> Vec<String> {
        let args = [&["log", "--json"], args].concat();
        let log = store.json(&args);
        let message =
            |c: &serde_json::Value| c["message"].as_str().map(|m| m[..5.min(m.len())].into());
        log.as_array().expect("an array").iter().filter_map(message).collect()
    };
    assert_eq!(ids(&["file"]), ["", "first"]);
    assert_eq!(ids(&["dir"]), ["third", "first"]);
    assert_eq!(ids(&["dir/inner"]), ["third", "first"]);
    assert_eq!(ids(&["moved", "file"]), ["third", "", "first"]);
    assert_eq!(ids(&["-n1", "file"]), [""]);
    assert_eq!(ids(&["none"]), [""; 0]);
    assert_eq!(ids(&["/"]), ["third", "", "first"]);
}

#[test]
fn blame_file_tells_who_changed_a_path_newest_first() {
    let store = TestStore::with_commits();
    let blame = |args: &[&str]| {
        let rows = store.json(&[&["blame-file", "--json"], args].concat());
        let row = |row: &serde_json::Value| {
            assert_eq!(row["by"]["command"], "editor");
            assert_eq!((&row["by"]["uid"], &row["by"]["user"]), (&0.into(), &"root".into()));
            format!("{} {} {}", row["change"], row["path"], row["message"]).replace('"', "")
        };
        rows.as_array().expect("an array").iter().map(row).collect::<Vec<_>>()
    };
    assert_eq!(blame(&["file"]), ["modified file ", "added file first"]);
    assert_eq!(blame(&["-n1", "file"]), ["modified file "]);
    assert_eq!(blame(&["link"]), ["added link third\\n\\nwith more\\nto say"]);
    // One that is gone is known as well, but not who took it away.
    let gone = store.json(&["blame-file", "--json", "dir/inner"]);
    assert_eq!((&gone[0]["change"], &gone[0]["by"]), (&"deleted".into(), &serde_json::Value::Null));
    assert_eq!(
        (&gone[1]["change"], &gone[1]["by"]["command"]),
        (&"added".into(), &"editor".into())
    );
    assert!(store.error(1, &["blame-file", "flie"]).contains("but there is file"));
    store.error(2, &["blame-file"]);
}

#[test]
fn show_tells_all_of_a_commit() {
    let store = TestStore::with_commits();
    let log = store.json(&["log", "--json"]);
    let id = log[0]["id"].as_str().expect("a text");
    let show = store.ok(&["show", "HEAD"]);
    assert!(show.starts_with(&format!("commit {id}\n")), "{show}");
    let moved = "R dir -> moved  by editor, root";
    for line in ["names:   HEAD", "author:  tester", "    third", "    to say", moved] {
        assert!(show.lines().any(|l| l == line), "{line}: {show}");
    }
    assert_eq!(store.json(&["show", "--json", &id[..8]])["id"], id);
    let json = store.json(&["show", "--json", "@~1"]);
    assert_eq!(json["id"], log[1]["id"]);
    assert_eq!(json["changes"][0]["path"], "file");
    assert!(store.error(2, &["show", "HEAD:file"]).contains("`vst cat HEAD:file`"));
}

#[test]
fn ls_lists_a_directory_of_a_commit() {
    let store = TestStore::with_commits();
    assert_eq!(store.ok(&["ls", "HEAD"]), "file\nlink\nmoved/\n");
    assert_eq!(store.ok(&["ls", "HEAD~2"]), "dir/\nfile\n");
    assert_eq!(store.ok(&["ls", "HEAD:moved"]), "inner\n");
    assert_eq!(store.ok(&["ls", "HEAD:/moved/"]), "inner\n");
    assert_eq!(store.ok(&["ls", "HEAD:moved/inner"]), "inner\n");
    assert_eq!(store.ok(&["ls", "-r", "HEAD"]), "file\nlink\nmoved/\nmoved/inner\n");
    let long = store.ok(&["ls", "-l", "HEAD"]);
    assert!(long.lines().next().is_some_and(|l| l.starts_with("-rw-r--r--  ")), "{long}");
    assert!(long.contains("  link -> file\n"), "{long}");
    let json = store.json(&["ls", "--json", "HEAD"]);
    assert_eq!(json[0]["size"], 8);
    assert_eq!(json[1]["target"], "file");
    assert_eq!((&json[2]["kind"], &json[2]["mode"]), (&"directory".into(), &"0644".into()));
}

#[test]
fn cat_prints_every_byte() {
    let store = TestStore::with_commits();
    assert_eq!(store.ok(&["cat", "HEAD:file"]), "one\ntwo\n");
    assert_eq!(store.ok(&["cat", "HEAD~2:file", "HEAD:file"]), "one\none\ntwo\n");
    let output = store.run(&["cat", "HEAD:moved/inner"]);
    assert!(output.status.success());
    assert!(output.stdout == every_byte());
}

#[test]
fn cat_says_why_there_is_nothing_to_print() {
    let store = TestStore::with_commits();
    for (code, argument, says) in [
        (1, "HEAD:none", "none is not in commit "),
        (1, "HEAD:file/x", "is not in commit "),
        (1, "HEAD:file/", "is not in commit "),
        (1, "HEAD:../file", "is outside of the tree"),
        (1, "HEAD:moved", "`vst ls HEAD:moved`"),
        (1, "HEAD:link", "points to, file"),
        (1, "none:file", "no commit is called \"none\""),
        (1, "HEAD~9:file", "goes back beyond the first commit"),
        (2, "HEAD", "`HEAD:PATH`"),
    ] {
        let line = store.error(code, &["cat", argument]);
        assert!(line.contains(says), "{argument}: {line}");
    }
}

#[test]
fn no_text_as_a_revision_is_more_than_an_error() {
    let store = TestStore::with_commits();
    for text in [
        "",
        "~",
        "^",
        "@{",
        "@{}",
        "HEAD^7",
        "HEAD~99999999999999999999",
        "é",
        "a\n\x1b[1m",
        "..",
        "../x",
        "HEAD~~~~~~~~",
        "0",
        "@{9 weeks ago}",
        "-x",
    ] {
        let line = store.error(1, &["show", "--", text]);
        assert!(!line.contains('\x1b'), "{line}");
    }
}

#[test]
fn a_store_without_commits_has_an_empty_log() {
    let store = TestStore::missing();
    store.close(store.open());
    assert_eq!(store.ok(&["log"]), "");
    assert_eq!(store.json(&["log", "--json"]), serde_json::json!([]));
    assert!(store.error(1, &["show", "HEAD"]).contains("nothing has been committed yet"));
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let store = TestStore::with_commits();
    let mut command = store.command(&["cat", "HEAD:moved/inner"]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it is built");
    let mut byte = [0];
    child.stdout.take().expect("a pipe").read_exact(&mut byte).expect("there is more");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let store = TestStore::with_commits();
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let output = store.command(&["log"]).stdout(full).output().expect("it is built");
    assert!(one_error(output, 1).contains("No space left"));
}
