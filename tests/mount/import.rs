//! `vst import`: trees and histories that come in, beside what other tools make of them.

use std::fs;
use std::path::Path;

use crate::exchange::{Output, make_tree, vst, vst_fails, vst_run};
use crate::harness::TestMount;
use crate::shell::{have, is_root, sh, try_sh_as};
use crate::tree::Tree;

fn text(path: &Path) -> &str {
    path.to_str().expect("it is UTF-8")
}

/// A tree outside of any store.
fn plain_tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir(dir.path().join("tree")).expect("a new directory");
    make_tree(&dir.path().join("tree"));
    dir
}

#[test]
fn a_mounted_tree_becomes_what_the_plain_one_is() {
    if !have(&["setfacl"]) {
        return;
    }
    let dir = plain_tree();
    let source = dir.path().join("tree");
    let mut mount = TestMount::new();
    let top = mount.path().to_owned();
    let said = vst(&top, &["import", text(&source), "-m", "as it was"]);
    assert!(said.starts_with("imported "), "{said}");
    Tree::read(&source).assert_same(&Tree::read(&top));
    assert_eq!(vst(&top, &["status"]), "");
    assert!(vst(&top, &["log"]).contains("as it was"));
    mount.remount();
    Tree::read(&source).assert_same(&Tree::read(&top));
    // Holes are holes.
    sh(&top, "[ $(stat -c %b odd/holes) -lt 1000 ]");
}

#[test]
fn a_store_that_is_not_mounted_becomes_the_same_tree() {
    if !have(&["setfacl"]) {
        return;
    }
    let dir = plain_tree();
    let source = dir.path().join("tree");
    let store = dir.path().join("new.store");
    let args = ["--store", text(&store), "import", "--json", text(&source), "-m", "x"];
    let json: serde_json::Value =
        serde_json::from_str(&vst(dir.path(), &args)).expect("it is JSON");
    assert_eq!(json["failed"], 0);
    let through = TestMount::new();
    vst(through.path(), &["import", text(&source), "-m", "x"]);
    let mut mount = TestMount::prepare_for(store);
    mount.start(&[]).unwrap_or_else(|failure| panic!("{failure}"));
    Tree::read(&source).assert_same(&Tree::read(mount.path()));
    // The same tree has the same id, whichever way it came.
    let root = |top: &Path| fs::read_to_string(top.join(".vst/root")).expect("it is there");
    assert_eq!(root(mount.path()), root(through.path()));
    let commit = vst(mount.path(), &["log", "--json"]);
    assert!(commit.contains(json["commit"].as_str().expect("it was committed")), "{commit}");
}

#[test]
fn what_is_there_is_only_touched_if_that_is_wanted() {
    let dir = tempfile::tempdir().expect("a directory");
    sh(dir.path(), "mkdir -p s/d; echo new > s/a; echo new > s/d/b; echo c > s/d/c; ln s/a s/d/l");
    let source = dir.path().join("s");
    for is_mounted in [true, false] {
        let mut mount = TestMount::new();
        let top = mount.path().to_owned();
        sh(&top, "mkdir d; echo old > a; ln a keep; echo old > d/b; echo own > d/own; echo x > x");
        let store = text(mount.store()).to_owned();
        let run = |args: &[&str]| -> Output {
            let place = if is_mounted { vec!["-C", text(&top)] } else { vec!["--store", &store] };
            vst_run(Path::new("/"), &[&place, args].concat())
        };
        if !is_mounted {
            mount.unmount();
        }
        let refused = run(&["import", text(&source)]);
        assert!(refused.stderr.contains("--merge"), "{}", refused.stderr);
        let refused = run(&["import", text(&source), "--into", "d"]);
        assert!(refused.stderr.contains("vst: d is not empty"), "{}", refused.stderr);
        let merged = run(&["import", text(&source), "--merge"]);
        assert_eq!((merged.code, merged.stderr.as_str()), (0, ""));
        let elsewhere = run(&["import", text(&source), "--into", "p/q"]);
        assert_eq!((elsewhere.code, elsewhere.stderr.as_str()), (0, ""));
        if !is_mounted {
            mount.start(&[]).unwrap_or_else(|failure| panic!("{failure}"));
        }
        let found = sh(&top, "cat a keep d/b d/own d/c x; stat -c %h a keep; ls p/q/d");
        assert_eq!(found, "new\nold\nnew\nown\nc\nx\n2\n1\nb\nc\nl\n");
        let copied = Tree::read(&top.join("p/q"));
        Tree::read(&source).assert_same(&copied);
    }
}

#[test]
fn what_cannot_be_imported_is_named_and_the_rest_is_there() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    sh(
        dir.path(),
        "chmod 755 .; mkdir -p s/private s/d; echo a > s/a; echo no > s/secret; echo b > s/d/b
         chmod 000 s/secret s/private; mkdir s/.vst; echo > s/.vst/x",
    );
    let store = dir.path().join("store");
    // Another user, for root can read everything.
    sh(dir.path(), "mkdir for; chown 4321:4321 for");
    let store_of_user = dir.path().join("for/store");
    let command = format!(
        "'{}' --store '{}' import '{}' -m x",
        env!("CARGO_BIN_EXE_vst"),
        store_of_user.display(),
        dir.path().join("s").display()
    );
    let output = try_sh_as(4321, dir.path(), &command);
    if output.status.code() != Some(126) {
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("s/secret: Permission denied"), "{stderr}");
        assert!(stderr.contains("s/private: Permission denied"), "{stderr}");
        assert!(stderr.contains("s/.vst: the top of the tree"), "{stderr}");
        assert!(stderr.contains("3 things could not be imported"), "{stderr}");
    }
    // As root it is only the name.
    let run = ["--store", text(&store), "import", "s", "-m", "x"];
    let output = vst_run(dir.path(), &run);
    assert_eq!(output.code, 1);
    assert_eq!(output.stderr.lines().count(), 2, "{}", output.stderr);
    // It has not been committed, but is there.
    assert_eq!(vst(dir.path(), &["--store", text(&store), "log"]), "");
    let status = vst(dir.path(), &["--store", text(&store), "status"]);
    assert_eq!(status, "A a\nA d\nA d/b\nA private\nA secret\n");
    let circle = vst_fails(dir.path(), &["--store", text(&store), "import", "."]);
    assert!(circle.contains("that would have no end"), "{circle}");
    let file = vst_fails(dir.path(), &["--store", text(&store), "import", "s/a"]);
    assert!(file.contains("is no directory"), "{file}");
}

/// A repository with everything that git can hold.
const HISTORY: &str = r#"
    git init -q -b trunk r; cd r
    export GIT_AUTHOR_DATE='1000000007 +0200' GIT_COMMITTER_DATE='1000000009 +0000'
    mkdir -p d/e; echo one > d/e/f; echo two > g; ln -s g link; echo run > run; chmod +x run
    echo same > same1; cp same1 same2; : > nothing
    git add -A; git commit -qm 'first

with a body'
    git tag light; git tag -a -m 'a tag' v1
    git mv d moved; echo more >> g; printf 'x' > "$(printf 'odd\n"\\y\377')"; echo > ' -rf'
    git add -A; GIT_AUTHOR_NAME='N É' git commit -qm 'second'
    rm g; mkdir g; echo in > g/file; rm link; echo plain > link; chmod -x run; cp same1 same3
    git add -A; git commit -qm 'third'
    rm -r g; ln -s moved g; head -c 3000000 /dev/urandom > big; cp big big2; rm same1
    git add -A; git commit -qm 'fourth'
    git rm -qr moved; git commit -qm 'fifth'; git commit -q --allow-empty -m 'nothing'
"#;

#[test]
fn a_history_of_git_comes_in_and_goes_out_as_it_was() {
    if !have(&["git"]) {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    sh(dir.path(), HISTORY);
    let store = dir.path().join("store");
    let said = vst(dir.path(), &["--store", text(&store), "import", "--git", "r"]);
    assert!(said.starts_with("imported 6 commits and 2 tags; HEAD is "), "{said}");
    let show = vst(dir.path(), &["--store", text(&store), "show", "--json", "v1"]);
    let show: serde_json::Value = serde_json::from_str(&show).expect("it is JSON");
    assert_eq!(show["message"], "first\n\nwith a body");
    assert_eq!(show["author"], "A <a@example.com>");
    assert!(show["time"].as_str().expect("a time").starts_with("2001-09-09T01:46:47"), "{show}");
    sh(
        dir.path(),
        &format!(
            "git init -q back; '{}' --store store export --git | git -C back fast-import --quiet
             git -C back fsck --strict --no-dangling",
            env!("CARGO_BIN_EXE_vst")
        ),
    );
    let trees = |repo: &str, branch: &str| {
        let log = "git log --reverse --format='%T %at %an <%ae> %B'";
        sh(
            &dir.path().join(repo),
            &format!("{log} {branch}; git rev-parse 'light^{{tree}}' 'v1^{{tree}}'"),
        )
    };
    assert_eq!(trees("r", "trunk"), trees("back", "main"));
    // Once more is refused, and so is a mount.
    let line = vst_fails(dir.path(), &["--store", text(&store), "import", "--git", "r"]);
    assert!(line.contains("has nothing in it"), "{line}");
    let mount = TestMount::new();
    let line = vst_fails(mount.path(), &["import", "--git", text(&dir.path().join("r"))]);
    assert!(line.contains("while the store is not mounted"), "{line}");
    let line = vst_fails(dir.path(), &["--store", "none", "import", "--git", "r", "no-such-rev"]);
    assert!(line.contains("git did not tell"), "{line}");
    assert!(!dir.path().join("none").exists());
}

#[test]
fn a_merge_has_what_it_brought_and_keeps_its_first_parent() {
    if !have(&["git"]) {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    sh(
        dir.path(),
        "git init -q -b trunk r; cd r; echo a > a; git add -A; git commit -qm base
         git checkout -qb side; echo s > s; git add -A; git commit -qm side; echo t >> s; git commit -qam side2
         git checkout -q trunk; echo b > b; rm a; git add -A; git commit -qm main
         git merge -q --no-ff -m merged side; echo c > c; git add -A; git commit -qm after
         git checkout -q --orphan alone; git rm -rqf .; echo o > o; git add -A; git commit -qm alone
         git checkout -q trunk; git merge -q --allow-unrelated-histories -m joined alone",
    );
    vst(dir.path(), &["--store", "store", "import", "--git", "r", "trunk"]);
    let log = vst(dir.path(), &["--store", "store", "log", "--json"]);
    let log: serde_json::Value = serde_json::from_str(&log).expect("it is JSON");
    let messages: Vec<_> = log.as_array().expect("a list").iter().map(|c| &c["message"]).collect();
    assert_eq!(messages[..4], ["joined", "after", "merged", "main"]);
    assert_eq!(vst(dir.path(), &["--store", "store", "ls", "HEAD"]), "b\nc\no\ns\n");
    assert_eq!(vst(dir.path(), &["--store", "store", "log", "--all"]).lines().count(), 8);
    // Every tree along the first parents is the one of git.
    let script = format!(
        "git init -q back; '{}' --store store export --git 2>/dev/null | git -C back fast-import --quiet
         for r in r/trunk back/main; do git -C ${{r%/*}} log --first-parent -n 4 --format=%T ${{r#*/}}; done",
        env!("CARGO_BIN_EXE_vst")
    );
    let trees = sh(dir.path(), &script);
    let trees: Vec<&str> = trees.lines().collect();
    assert_eq!(trees[..4], trees[4..]);
}
