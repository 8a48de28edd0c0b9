//! `vst export` beyond plain trees: archives that GNU tar unpacks, and histories that git takes.

use std::fs;
use std::path::Path;

use crate::exchange::{make_tree, vst, vst_fails};
use crate::harness::TestMount;
use crate::shell::{have, sh};
use crate::tree::Tree;

/// Unpacks an archive as it should be unpacked.
fn unpack(archive: &Path, into: &Path) {
    fs::create_dir(into).expect("there is no such directory");
    let tar = "tar --xattrs '--xattrs-include=*' --acls --numeric-owner -xpf";
    sh(into, &format!("{tar} '{}'", archive.display()));
}

#[test]
fn gnu_tar_unpacks_an_archive_into_the_tree_of_the_commit() {
    if !have(&["tar", "setfacl"]) {
        return;
    }
    let mount = TestMount::new();
    let top = mount.path();
    make_tree(top);
    // Archives hold no sockets.
    let committed = Tree::read(top).without("odd/socket");
    vst(top, &["commit", "-m", "all"]);
    let dir = tempfile::tempdir().expect("a directory");
    let archive = dir.path().join("all.tar");
    let said = vst(top, &["export", "HEAD", archive.to_str().expect("it is UTF-8")]);
    assert!(said.starts_with("wrote "), "{said}");
    unpack(&archive, &dir.path().join("all"));
    committed.assert_same(&Tree::read(&dir.path().join("all")));

    // The same bytes again, through a pipe and after the tree has changed.
    sh(top, "rm -rf odd; echo more > file");
    sh(
        top,
        &format!("'{}' export HEAD - | cmp - '{}'", env!("CARGO_BIN_EXE_vst"), archive.display()),
    );
    // Holes stay holes, in the archive and behind it.
    let size = fs::metadata(&archive).expect("it was made").len();
    assert!(size < 20_000_000, "{size}");
    sh(dir.path(), "[ $(stat -c %b all/odd/holes) -lt 1000 ]");
    mount_ends(mount);
}

/// Unmounts before the test is over, so that a daemon that fails to end is a failure.
fn mount_ends(mut mount: TestMount) {
    mount.unmount();
}

#[test]
fn a_directory_or_file_of_a_commit_is_exported_alone() {
    let mount = TestMount::new();
    let top = mount.path();
    sh(top, "mkdir -p a/b; echo one > a/b/file; ln a/b/file a/other; ln -s b a/link");
    vst(top, &["commit"]);
    let dir = tempfile::tempdir().expect("a directory");
    let vst_bin = env!("CARGO_BIN_EXE_vst");
    let list = sh(top, &format!("'{vst_bin}' export HEAD:a - | tar -t"));
    assert_eq!(list, "./\n./b/\n./b/file\n./link\n./other\n");
    sh(top, &format!("'{vst_bin}' export HEAD:a/b/file - | tar -x -C '{}'", dir.path().display()));
    assert_eq!(fs::read(dir.path().join("file")).expect("it was unpacked"), b"one\n");
    let archive = dir.path().join("a.tar");
    let archive = archive.to_str().expect("it is UTF-8");
    let json = vst(top, &["export", "--json", "HEAD:a", archive]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    assert_eq!((&json["entries"], &json["bytes"]), (&5.into(), &4.into()));
    let line = vst_fails(top, &["export", "HEAD:a", archive]);
    assert!(line.contains("`--force` replaces it"), "{line}");
    vst(top, &["export", "--force", "HEAD:a", archive]);
    assert!(vst_fails(top, &["export", "--json", "HEAD", "-"]).contains("name a file"));
}

/// What git has of a tree, a line a file.
const GIT_LIST: &str = "git ls-tree -r -z --format='%(objectmode) %(path)' ";

#[test]
fn git_takes_the_history_and_has_the_trees_of_the_commits() {
    if !have(&["git"]) {
        return;
    }
    let mount = TestMount::new();
    let top = mount.path();
    let steps = [
        "mkdir -p d/e; echo one > d/e/f; echo two > g; ln -s g link; chmod 755 g; mkdir empty",
        "mv d moved; echo more >> g; printf '\\1\\0\\377' > \"$(printf 'odd\\n\\042\\\\x\\377')\"",
        "rm g; mkdir g; echo in > g/file; rm link; echo plain > link; touch moved/e/f",
        "rm -r g; echo file > g; chmod -x g; ln moved/e/f hard; mkfifo fifo; mkdir .git; echo > .git/x",
        "rm -rf moved; head -c 3000000 /dev/urandom > big; setfattr -n user.x -v y big",
    ];
    let mut ids = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        sh(top, step);
        ids.push(vst(top, &["commit", "-m", &format!("step {number}\n\nand more")]));
    }
    let dir = tempfile::tempdir().expect("a directory");
    let vst_bin = env!("CARGO_BIN_EXE_vst");
    let git = dir.path().join("git");
    sh(dir.path(), "git init -q git");
    let said = sh(
        top,
        &format!(
            "'{vst_bin}' export --git 2>&1 >'{0}/s' && git -C '{0}/git' fast-import --quiet < '{0}/s'",
            dir.path().display()
        ),
    );
    assert!(said.contains("1 empty directory") && said.contains("1 fifo"), "{said}");
    assert!(said.contains("1 path that git forbids"), "{said}");
    sh(&git, "git fsck --strict --no-dangling");
    let log = sh(&git, "git log --reverse --format='%s|%b|%at' main");
    let lines: Vec<&str> = log.lines().filter(|line| line.starts_with("step")).collect();
    assert_eq!(lines.len(), steps.len(), "{log}");
    for (back, id) in ids.iter().rev().enumerate() {
        let snapshot = top.join(".snapshots").join(id.trim_end());
        let out = dir.path().join(format!("out{back}"));
        fs::create_dir(&out).expect("a new directory");
        sh(&git, &format!("git archive main~{back} | tar -x -C '{}'", out.display()));
        let level = |tree: Tree| {
            tree.without(".git").without("fifo").without("empty").adjust(|_, node| {
                (node.mtime_ns, node.nlink, node.same_file, node.uid, node.gid) =
                    (0, 0, None, 0, 0);
                node.mode &= if node.kind == "file" { 0o100 } else { 0 };
                node.xattrs.clear();
            })
        };
        level(Tree::read(&snapshot)).assert_same(&level(Tree::read(&out)));
    }
    assert!(sh(&git, &format!("{GIT_LIST} main")).contains("100644 big"));

    // What came since goes on from what is there.
    sh(top, "echo later > later");
    vst(top, &["commit", "-m", "later"]);
    let since = ids[4].trim_end();
    sh(
        top,
        &format!(
            "'{vst_bin}' export --git --since {since} 2>/dev/null | git -C '{}' fast-import --quiet",
            git.display()
        ),
    );
    assert_eq!(sh(&git, "git log -n 2 --format=%s main"), "later\nstep 4\n");
    let whole = dir.path().join("whole");
    sh(dir.path(), "git init -q whole");
    sh(
        top,
        &format!(
            "'{vst_bin}' export --git 2>/dev/null | git -C '{}' fast-import --quiet",
            whole.display()
        ),
    );
    // Nothing but the history is in it, so it is the same history.
    assert_eq!(sh(&whole, "git rev-parse main"), sh(&git, "git rev-parse main"));
}
