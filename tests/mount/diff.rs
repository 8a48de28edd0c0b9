//! `vst diff` beside the tools that read its patches: what it prints must make one tree of the
//! other.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Output;

use proptest::collection::{btree_map, vec};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, RngSeed, TestRunner};
use tempfile::TempDir;

use crate::harness::TestMount;
use crate::shell::{have, sh};

/// Trees that are made up; each is a few commands, and a mount has them all.
const CASES: u32 = 24;
/// The same trees each time, so that a failure can be looked at again.
const SEED: u64 = 7;

#[track_caller]
fn ok(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("the test makes nothing else")
}

#[track_caller]
fn error(output: Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(output.stderr).expect("it is UTF-8")
}

/// Applies the patch between two commits to a copy of the first one, and compares with the second.
#[track_caller]
fn check_patch(mount: &TestMount, revisions: [&str; 2], options: &[&str], apply: &str) {
    let [from, to] = revisions;
    let output = mount.vst(&[&["diff", "-p"], options, &revisions].concat());
    assert!(output.status.success(), "{output:?}");
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("patch"), &output.stdout).expect("a new file");
    sh(dir.path(), &format!("cp -a '{}' copy; chmod u+w copy", mount.snapshot(from).display()));
    // Neither tool takes a patch of nothing.
    if !output.stdout.is_empty() {
        sh(&dir.path().join("copy"), apply);
    }
    let listing = |top: &Path| {
        // What a patch knows: files and symbolic links, and who may execute.
        sh(
            top,
            "find . ! -type d -printf '%P\\0%y\\0%l\\0' -a \\( -perm -100 -printf 'x\\0' -o \
            -printf '-\\0' \\) -a \\( -type f -exec md5sum -z {} \\; -o -true \\) | \
            tr '\\0\\n' '\\n?' | sort",
        )
    };
    let (made, wanted) = (listing(&dir.path().join("copy")), listing(&mount.snapshot(to)));
    if made != wanted {
        let patch = String::from_utf8_lossy(&output.stdout);
        panic!("{revisions:?} {apply}\n{patch}\nmade:\n{made}\nwanted:\n{wanted}");
    }
}

const GIT_APPLY: &str = "git apply ../patch";
/// Nothing may be left over, and no place may be guessed.
const PATCH: &str = "patch -p1 --fuzz=0 -s < ../patch; \
    test -z \"$(find . -name '*.orig' -o -name '*.rej')\"";

#[test]
fn git_applies_what_changed_in_files_of_all_kinds() {
    let mount = TestMount::new();
    let top = mount.path();
    sh(
        top,
        "seq 100 > text; seq 50 > gone; printf 'no end' > noend; mkdir -p src/deep full
         seq 200 > src/deep/moved; echo x > exec; ln -s old link; : > empty; echo t > to-link
         ln -s x to-file; echo d > to-directory; echo f > full/file; seq 30 > 'with blank'
         seq 30 > $'odd\\n\"name\\\\'; seq 30 > 'é -> è'; printf 'latin1 \\xe9\\n' > bytes
         printf 'a\\r\\nb\\r\\n' > crlf; seq 40 > shut; chmod 600 shut",
    );
    let first = mount.commit("first");
    sh(
        top,
        "sed -i 's/^50$/fifty/; 90d' text; rm gone; printf 'no end\\nat all' > noend
         mv src moved; sed -i '5d' moved/deep/moved; chmod +x exec; ln -sfn new link; rm empty
         : > new-empty; ln -sf a to-link; rm to-file; echo f > to-file; rm to-directory
         mkdir to-directory; echo i > to-directory/in; rm -r full; echo f > full
         sed -i 3d 'with blank' $'odd\\n\"name\\\\'; mv 'é -> è' plain; echo new > ' blank '
         printf 'latin1 \\xe8\\n' > bytes; printf 'a\\nb\\r\\n' > crlf; chmod 640 shut
         ln -s nowhere new-link; touch -d 2001-01-01 text; mkdir -p a/new; seq 3 > a/new/tree",
    );
    let second = mount.commit("second");
    for options in [&[][..], &["--no-renames"], &["-U0"], &["-U1000"], &["-M10"]] {
        let unidiff_zero = if options == ["-U0"] { " --unidiff-zero" } else { "" };
        let apply = format!("{GIT_APPLY}{unidiff_zero}");
        check_patch(&mount, [&first, &second], options, &apply);
        check_patch(&mount, [&second, &first], options, &apply);
    }
    let patch = mount.vst(&["diff", "-p", &first, &second]).stdout;
    let patch = String::from_utf8_lossy(&patch);
    assert!(patch.contains("similarity index 99%\nrename from src/deep/moved\n"), "{patch}");
    assert!(!patch.contains("shut"), "what a patch cannot say is not in it: {patch}");
    assert!(!patch.contains('\x1b'), "{patch}");
}

#[test]
fn patch_applies_what_changed_in_text() {
    if !have(&["patch"]) {
        return;
    }
    let mount = TestMount::new();
    let top = mount.path();
    sh(
        top,
        "seq 100 > text; seq 50 > gone; printf 'no end' > noend; mkdir -p src/deep
         seq 200 > src/deep/moved; seq 30 > 'with blank'; seq 30 > 'quo\"te'; echo x > last
         printf 'latin1 \\xe9\\n' > bytes; : > empty; : > was-empty",
    );
    let first = mount.commit("first");
    sh(
        top,
        "sed -i 's/^50$/fifty/; 90d' text; rm gone empty; printf 'no end\\nat all' > noend
         mv src moved; sed -i '5d' moved/deep/moved; sed -i 3d 'with blank' 'quo\"te'
         printf 'latin1 \\xe8\\n' > bytes; mkdir -p a/new; seq 3 > a/new/tree; : > last
         echo x > was-empty; : > new-empty",
    );
    let second = mount.commit("second");
    for options in [&["--no-renames"][..], &["--no-renames", "-U1"]] {
        check_patch(&mount, [&first, &second], options, PATCH);
        check_patch(&mount, [&second, &first], options, PATCH);
    }
}

/// A file or symbolic link of a tree that is made up.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Made {
    File { lines: Vec<u8>, has_end: bool, execute: bool },
    Link(u8),
}

/// None is below another one.
const NAMES: [&str; 10] = [
    "a",
    "b c",
    "dir/a",
    "dir/b",
    "dir/deep/er/a",
    "other dir/a",
    "q\"uote",
    "é",
    "-dash",
    "back\\slash",
];

type Trees = BTreeMap<usize, Made>;

fn file() -> impl Strategy<Value = Made> {
    // Few different lines, so that many are the same.
    (vec(0..12_u8, 0..40), any::<bool>(), any::<bool>())
        .prop_map(|(lines, has_end, execute)| Made::File { lines, has_end, execute })
}

fn tree(with_links: bool) -> impl Strategy<Value = Trees> {
    let link = (0..3_u8).prop_map(Made::Link);
    let made = match with_links {
        true => prop_oneof![6 => file(), 1 => link].boxed(),
        false => file().boxed(),
    };
    btree_map(0..NAMES.len(), made, 0..NAMES.len())
}

/// A tree and another one, with files that stayed, were edited, moved, came and went.
fn two_trees(with_links: bool) -> impl Strategy<Value = (Trees, Trees)> {
    let edits = vec((0..NAMES.len(), any::<u16>(), 0..12_u8), 0..6);
    let moves = vec((0..NAMES.len(), 0..NAMES.len()), 0..4);
    (tree(with_links), tree(with_links), edits, moves, any::<bool>()).prop_flat_map(
        |(old, fresh, edits, moves, is_related)| {
            let mut new = old.clone();
            for (at, place, line) in edits {
                if let Some(Made::File { lines, .. }) = new.get_mut(&at) {
                    let place = usize::from(place) % (lines.len() + 1);
                    if line % 2 == 0 || place == lines.len() {
                        lines.insert(place, line);
                    } else {
                        lines.remove(place);
                    }
                }
            }
            for (from, to) in moves {
                if let Some(made) = new.remove(&from) {
                    new.insert(to, made);
                }
            }
            if is_related {
                new.extend(fresh.into_iter().take(2));
            } else {
                new = fresh;
            }
            Just((old, new))
        },
    )
}

/// Puts a tree in the place of what there is.
fn make(top: &Path, tree: &Trees, with_modes: bool) {
    sh(top, "shopt -s dotglob nullglob; rm -rf -- ./*");
    for (name, made) in tree {
        let path = top.join(NAMES[*name]);
        fs::create_dir_all(path.parent().expect("it is below the top")).expect("new directories");
        match made {
            Made::Link(target) => symlink(format!("target {target}"), path).expect("a new name"),
            Made::File { lines, has_end, execute } => {
                let mut text: String =
                    lines.iter().map(|line| format!("line number {line}\n")).collect();
                if !has_end {
                    text.pop();
                }
                fs::write(&path, text).expect("a new file");
                let mode = if *execute && with_modes { 0o755 } else { 0o644 };
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is there");
            }
        }
    }
}

fn check_made_up_trees(with_git: bool) {
    let mount = TestMount::new();
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        rng_seed: RngSeed::Fixed(SEED),
        failure_persistence: None,
        ..Config::default()
    });
    let (options, apply) = match with_git {
        true => (&[][..], GIT_APPLY),
        false => (&["--no-renames"][..], PATCH),
    };
    runner
        .run(&two_trees(with_git), |(old, new)| {
            make(mount.path(), &old, with_git);
            let first = mount.commit("");
            make(mount.path(), &new, with_git);
            let second = mount.commit("");
            check_patch(&mount, [&first, &second], options, apply);
            check_patch(&mount, [&second, &first], options, apply);
            Ok(())
        })
        .expect("every patch makes one tree of the other");
}

#[test]
fn git_makes_one_made_up_tree_of_another() {
    check_made_up_trees(true);
}

#[test]
fn patch_makes_one_made_up_tree_of_another() {
    if have(&["patch"]) {
        check_made_up_trees(false);
    }
}

#[test]
fn the_statistics_are_those_of_git() {
    let mount = TestMount::new();
    let top = mount.path();
    let long = "a-directory-with-a-long-name/".repeat(4);
    let before = format!(
        "seq 1000 > much; seq 10 > little; printf 'x\\0' > binary; mkdir -p src/a/b '{long}'
         seq 100 > src/a/b/moved; seq 100 > src/same; seq 9 > '{long}file'; echo x > exec
         ln -s old link; echo t > to-link; printf 'y\\0' > gone; : > empty; touch -d 2001-01-01 src"
    );
    let after = format!(
        "seq 500 1400 > much; echo 11 >> little; printf 'x\\0zz' > binary; mkdir -p src/c/b
         mv src/a/b/moved src/c/b/moved; echo x >> src/c/b/moved; mv src/same src/other
         rmdir -p --ignore-fail-on-non-empty src/a/b; seq 5 > '{long}file'; chmod +x exec
         ln -sfn new link; ln -sf t to-link; rm gone; printf 'z\\0' > came; : > new-empty"
    );
    sh(top, &before);
    let first = mount.commit("first");
    sh(top, &after);
    let second = mount.commit("second");
    let dir = TempDir::new().expect("a directory");
    let git = |args: &str| sh(dir.path(), &format!("git {args}"));
    git("init -q");
    sh(dir.path(), &format!("{before}; git add -A; git commit -qm first"));
    sh(dir.path(), &format!("{after}; git add -A; git commit -qm second"));
    for [from, to, a, b] in
        [["HEAD~1", "HEAD", &first, &second], ["HEAD", "HEAD~1", &second, &first]]
    {
        let stat = ok(mount.vst(&["diff", "--stat", a, b]));
        assert_eq!(stat, git(&format!("diff --stat=80 -M {from} {to}")));
        // All but the lines that tell ids, of which git has more.
        let without_ids = |patch: String| -> Vec<String> {
            let lines = patch.lines().filter(|line| !line.starts_with("index "));
            lines.map(str::to_owned).collect()
        };
        let patch = ok(mount.vst(&["diff", "-p", a, b]));
        assert_eq!(without_ids(patch), without_ids(git(&format!("diff -M {from} {to}"))));
    }
}

#[test]
fn names_are_those_of_the_status_and_paths_limit_them() {
    let mount = TestMount::new();
    let top = mount.path();
    sh(top, "seq 100 > old; mkdir dir; echo 1 > dir/file; mkfifo dir/fifo");
    assert_eq!(ok(mount.vst(&["diff"])), "A dir\nA dir/fifo\nA dir/file\nA old\n");
    assert_eq!(ok(mount.vst(&["diff", "--", "dir/file"])), "A dir/file\n");
    mount.commit("first");
    assert_eq!(ok(mount.vst(&["diff"])), "");
    assert_eq!(ok(mount.vst(&["diff", "-p", "--stat"])), "");
    sh(
        top,
        "mv old new; sed -i 1d new; echo 2 > dir/file; touch -d 2001-01-01 dir/fifo; echo > dir/b",
    );
    let names = "A dir/b\nM dir/fifo\nM dir/file\nR099 old -> new\n";
    assert_eq!(ok(mount.vst(&["diff"])), names);
    assert_eq!(ok(mount.vst(&["status"])), names);
    assert_eq!(
        ok(mount.vst(&["diff", "HEAD", "-M100"])),
        names.replace("R099 old -> new", "A new\nD old")
    );
    assert_eq!(ok(mount.vst(&["diff", "--no-renames", "--", "old", "new"])), "A new\nD old\n");
    assert_eq!(ok(mount.vst(&["-C", "dir", "diff", "--", "file", "."])), &names[..30]);
    assert_eq!(
        ok(mount.vst(&["diff", "--", "dir/fifo", "dir/b", "new"])),
        "A dir/b\nM dir/fifo\nA new\n"
    );
    mount.commit("second");
    assert_eq!(ok(mount.vst(&["diff"])), "");
    assert_eq!(ok(mount.vst(&["diff", "HEAD~1"])), names);
    assert_eq!(ok(mount.vst(&["diff", "HEAD~1", "HEAD"])), names);
    assert_eq!(
        ok(mount.vst(&["diff", "HEAD", "HEAD~1", "--", "dir"])),
        "D dir/b\nM dir/fifo\nM dir/file\n"
    );
    assert_eq!(ok(mount.vst_on_store(&["diff", "HEAD~1", "--", "dir/file"])), "M dir/file\n");
}

#[test]
fn what_is_not_committed_yet_is_compared_as_it_is() {
    let mut mount = TestMount::new();
    sh(mount.path(), "seq 3 > file");
    mount.commit("first");
    sh(mount.path(), "echo more >> file; head -c 3000000 /dev/zero > large");
    let patch = "diff --git a/file b/file\n--- a/file\n+++ b/file\n@@ -1,3 +1,4 @@\n 1\n 2\n 3\n+more\n\
                 diff --git a/large b/large\nnew file mode 100644\n\
                 Binary files /dev/null and b/large differ\n";
    assert_eq!(ok(mount.vst(&["diff", "-p"])), patch);
    assert_eq!(ok(mount.vst_on_store(&["diff", "-p"])), patch);
    mount.remount_with_options(&["--read-only"]);
    assert_eq!(ok(mount.vst(&["diff", "-p"])), patch);
    mount.unmount();
    assert_eq!(ok(mount.vst_on_store(&["diff", "-p"])), patch);
}

#[test]
fn what_a_patch_does_not_know_is_told_beside_it() {
    let mount = TestMount::new();
    sh(mount.path(), "seq 3 > file; mkdir dir");
    mount.commit("first");
    sh(mount.path(), "touch -d 2001-01-01 file; chmod 700 dir; chmod 600 file; mkfifo fifo");
    assert_eq!(ok(mount.vst(&["diff"])), "M dir\nA fifo\nM file\n");
    for args in [&["diff", "-p"][..], &["diff", "--stat"], &["diff", "-p", "--stat"]] {
        let output = mount.vst(args);
        let remark = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(remark.contains("`vst diff` lists it"), "{remark}");
        assert_eq!(ok(output), "");
    }
}

#[test]
fn programs_get_what_changed_in_json() {
    let mount = TestMount::new();
    sh(mount.path(), "seq 100 > old; printf '\\0' > binary; mkdir dir");
    mount.commit("first");
    sh(mount.path(), "mv old new; echo 101 >> new; printf '\\0\\0' > binary; chmod 700 dir");
    let json = |args: &[&str]| -> serde_json::Value {
        serde_json::from_str(&ok(mount.vst(&[&["diff", "--json"], args].concat()))).expect("JSON")
    };
    let file = |size| serde_json::json!({"kind": "file", "size": size});
    let binary =
        serde_json::json!({"change": "modified", "path": "binary", "old": file(1), "new": file(2)});
    let directory = serde_json::json!({"kind": "directory"});
    let dir = serde_json::json!({"change": "modified", "path": "dir", "old": directory, "new": directory});
    let new = serde_json::json!({
        "change": "renamed", "path": "new", "from": {"path": "old"}, "similarity": 98,
        "old": file(292), "new": file(296),
    });
    assert_eq!(json(&[]), serde_json::json!([binary, dir, new]));
    let counted = json(&["--stat"]);
    let with = |value: &serde_json::Value, counts: [(&str, u64); 2]| {
        let mut value = value.clone();
        counts.into_iter().for_each(|(name, count)| value[name] = count.into());
        value
    };
    assert_eq!(counted[0], with(&binary, [("old_bytes", 1), ("new_bytes", 2)]));
    assert_eq!(counted[1], dir);
    assert_eq!(counted[2], with(&new, [("insertions", 1), ("deletions", 0)]));
    assert_eq!(json(&["--", "dir"]), serde_json::json!([dir]));
    mount.commit("second");
    assert_eq!(json(&[]), serde_json::json!([]));
}

#[test]
fn what_cannot_be_compared_is_named_with_what_to_do() {
    let mount = TestMount::new();
    sh(mount.path(), "mkdir dir; echo x > dir/file");
    mount.commit("first");
    sh(mount.path(), "echo x > 'a file'");
    for (args, code, says) in [
        (&["nothing"][..], 1, "no commit is called \"nothing\""),
        (&["HEAD~1"], 1, "goes back beyond the first commit"),
        (&["dir/file"], 2, "`vst diff -- dir/file`"),
        (&["a file"], 2, "`vst diff -- 'a file'`"),
        (&["HEAD:dir"], 2, "`vst diff HEAD -- dir`"),
        (&["--", "none"], 1, "there is no none in commit "),
        (&["HEAD", "HEAD", "--", "a file"], 1, "there is no a file in commit "),
        (&["--", ".."], 1, "is outside of the tree"),
        (&["-M50", "--no-renames"], 2, "cannot be used with"),
    ] {
        let text = error(mount.vst(&[&["diff"], args].concat()), code);
        assert!(text.contains(says), "{args:?}: {text}");
    }
}
