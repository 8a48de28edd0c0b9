//! `.vstignore`: what it names is there like anything else, and in no commit.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::harness::TestMount;
use crate::shell::{MAKE_CRATE, have, sh, try_sh};

fn ok(output: std::process::Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("it prints text")
}

#[test]
fn what_is_built_is_kept_and_makes_no_commit() {
    let mut mount = TestMount::new();
    let top = mount.path().to_owned();
    sh(&top, "mkdir src; echo text > src/main; printf 'target/\n*.o\n' > .vstignore");
    let head = mount.commit("sources");
    sh(
        &top,
        "mkdir -p target/debug; seq 50000 > target/debug/binary
         ln target/debug/binary target/binary; echo object > src/main.o; ln -s x src/link.o",
    );
    assert_eq!(mount.commit("nothing that counts"), head);
    assert_eq!(ok(mount.vst(&["status"])), "");
    assert_eq!(
        sh(&mount.snapshot("latest"), "find . | sort"),
        ".\n./.vstignore\n./src\n./src/main\n"
    );
    let all = "find . -printf '%p %i %s %n %T@ %C@\n' | sort; md5sum src/main.o target/binary";
    let before = sh(&top, all);
    assert!(before.contains("target/debug/binary"), "{before}");
    mount.remount();
    assert_eq!(sh(&top, all), before);
    sh(&top, "echo more >> target/debug/binary; mv src/main.o target/; rm src/link.o");
    let before = sh(&top, all.split(';').next().expect("a command"));
    mount.kill();
    mount.start(&[]).expect("it can be mounted again");
    assert_eq!(sh(&top, all.split(';').next().expect("a command")), before);
    assert_eq!(mount.commit("still nothing"), head);
    assert_eq!(ok(mount.vst(&["status", "--ignored"])), "! target/\n");
    assert_eq!(sh(&top, "tail -n 1 target/binary"), "more\n");
}

#[test]
fn the_status_lists_what_is_ignored_mounted_or_not() {
    let mut mount = TestMount::new();
    sh(mount.path(), "mkdir d 'a dir'; echo '*.o' > .vstignore; echo '/x/' > d/.vstignore");
    sh(mount.path(), "mkdir d/x; touch d/x/y.o 'a dir/1.o' 2.o; touch d/y");
    mount.commit("it");
    sh(mount.path(), "touch new");
    let expected = "A new\n! 2.o\n! a dir/1.o\n! d/x/\n";
    assert_eq!(ok(mount.vst(&["status", "--ignored"])), expected);
    assert_eq!(sh(mount.path(), "cat .vst/ignored"), "2.o\na dir/1.o\nd/x/\n");
    let json: serde_json::Value =
        serde_json::from_str(&ok(mount.vst(&["status", "--ignored", "--json"]))).expect("JSON");
    assert_eq!(json["ignored"][2]["path"], "d/x/");
    mount.unmount();
    assert_eq!(ok(mount.vst_on_store(&["status", "--ignored"])), expected);
    ok(mount.vst_on_store(&["verify"]));
}

#[test]
fn the_rules_that_hold_at_a_commit_decide_what_is_in_it() {
    let mount = TestMount::new();
    let top = mount.path();
    sh(top, "mkdir -p a/b; echo 1 > a/b/log; echo 2 > a/keep; touch c");
    mount.commit("all");
    sh(top, "echo log > a/.vstignore");
    assert_eq!(ok(mount.vst(&["status"])), "A a/.vstignore\nD a/b/log\n");
    let second = mount.commit("without the log");
    assert!(!mount.snapshot(&second).join("a/b/log").exists());
    assert_eq!(sh(top, "cat a/b/log"), "1\n");
    // Where other rules hold, and back.
    sh(top, "mv a/b .");
    assert_eq!(ok(mount.vst(&["status"])), "D a/b\nA b\nA b/log\n");
    sh(top, "mv b a/; rm a/.vstignore");
    assert_eq!(ok(mount.vst(&["status"])), "D a/.vstignore\nA a/b/log\n");
    let third = mount.commit("with it");
    assert_eq!(sh(&mount.snapshot(&third), "cat a/b/log"), "1\n");
}

#[test]
fn a_restore_leaves_what_is_ignored_alone() {
    let mount = TestMount::new();
    let top = mount.path();
    sh(top, "echo '*.o' > .vstignore; echo old > file; mkdir d");
    let first = mount.commit("first");
    sh(top, "mkdir sub; echo text > sub/file; echo object > sub/x.o; echo object > d/y.o");
    sh(top, "echo new > file");
    mount.commit("second");
    ok(mount.vst(&["restore", &first]));
    assert_eq!(
        sh(top, "cat file; find . -type f | sort"),
        "old\n./.vstignore\n./d/y.o\n./file\n./sub/x.o\n"
    );
    // It was committed before it was ignored.
    sh(top, "rm .vstignore; echo committed > z.o");
    let with = mount.commit("with objects");
    sh(top, "echo '*.o' > .vstignore; echo ignored > z.o");
    mount.commit("without");
    ok(mount.vst(&["restore", &with]));
    assert_eq!(sh(top, "cat z.o"), "ignored\n");
    assert!(ok(mount.vst(&["status"])).contains("M z.o\n"));
}

#[test]
fn names_of_one_file_can_be_in_commits_and_out_of_them() {
    let mut mount = TestMount::new();
    let top = mount.path().to_owned();
    sh(
        &top,
        "echo out/ > .vstignore; mkdir out d; echo 1 > d/file; ln d/file out/file; ln d/file e",
    );
    let id = mount.commit("two of three names");
    assert_eq!(sh(&top, "stat -c %h d/file out/file"), "3\n3\n");
    assert_eq!(sh(&mount.snapshot(&id), "stat -c %h d/file e"), "2\n2\n");
    sh(&top, "mv d out/d");
    let id = mount.commit("one of three names");
    assert_eq!(sh(&mount.snapshot(&id), "stat -c %h e"), "1\n");
    mount.remount();
    sh(&top, "echo 2 >> out/d/file; mv out/d d");
    assert_eq!(sh(&top, "cat e; stat -c %h e"), "1\n2\n3\n");
    let id = mount.commit("two again");
    assert_eq!(sh(&mount.snapshot(&id), "cat d/file; stat -c %h d/file e"), "1\n2\n2\n2\n");
    assert!(!try_sh(&top, "rmdir out").status.success(), "what is ignored is in it");
}

#[test]
fn cargo_builds_into_an_ignored_directory_and_finds_it_again() {
    if !have(&["cargo"]) {
        return;
    }
    let mut mount = TestMount::new();
    let top = mount.path().to_owned();
    sh(
        &top,
        &format!("{MAKE_CRATE}; echo target/ > .vstignore; cargo generate-lockfile --offline -q"),
    );
    // Cargo makes the directory under another name, which no rule knows.
    sh(&top, "cargo build --offline -q; test \"$(target/debug/krate)\" = 'it runs'");
    let head = mount.commit("sources");
    assert!(!mount.snapshot(&head).join("target").exists());
    sh(&top, "rm -rf target/debug; cargo build --offline -q");
    assert_eq!(mount.commit("built again"), head);
    mount.remount();
    let again = sh(&top, "cargo build --offline -v 2>&1; target/debug/krate");
    assert!(again.contains("Fresh krate") && again.contains("it runs"), "{again}");
    sh(&top, "cargo clean -q --offline");
    assert_eq!(mount.commit("cleaned"), head);
}

/// Numbers that look random, and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn pattern(&mut self) -> String {
        let mut pattern = String::new();
        if self.below(4) == 0 {
            pattern.push('!');
        }
        if self.below(4) == 0 {
            pattern.push('/');
        }
        for part in 0..=self.below(3) {
            if part > 0 {
                pattern.push('/');
            }
            if self.below(6) == 0 {
                pattern.push_str("**");
                continue;
            }
            for _ in 0..=self.below(2) {
                pattern += self.pick(&["a", "b", "c.o", "*", "?", "[ab]", "[!a]", "*.o", "\\a"]);
            }
        }
        if self.below(4) == 0 {
            pattern.push('/');
        }
        pattern
    }
}

/// What git takes for a rule of its own is what is left out of a commit.
#[test]
fn commits_leave_out_what_git_would_ignore() {
    if !have(&["git"]) {
        return;
    }
    let mount = TestMount::new();
    let top = mount.path();
    let git = tempfile::tempdir().expect("a directory");
    sh(git.path(), "git init -q --bare .");
    let list = format!(
        "git --git-dir={} --work-tree=. ls-files -o -z --exclude-per-directory=.vstignore",
        git.path().display()
    );
    let mut numbers = Numbers(11);
    let names = ["a", "b", "c.o", "ab", "a.o", "aa"];
    for one in names {
        for two in names {
            let directory = top.join(format!("{one}d/{two}"));
            fs::create_dir_all(&directory).expect("a directory");
            for three in &names[..4] {
                fs::write(directory.join(three), "").expect("a file");
            }
        }
        fs::write(top.join(one), "").expect("a file");
    }
    let rule_places = ["", "ad", "ad/a", "bd"];
    for round in 0..40 {
        for place in rule_places {
            let patterns: Vec<String> = (0..numbers.below(4)).map(|_| numbers.pattern()).collect();
            let path = top.join(place).join(".vstignore");
            fs::write(path, patterns.join("\n")).expect("rules can be written");
        }
        let id = mount.commit("a round");
        let found = files_below(&mount.snapshot(&id));
        let expected = sh(top, &list);
        let expected = expected.split('\0').filter(|path| !path.is_empty()).map(str::to_owned);
        let expected: BTreeSet<String> = expected.collect();
        let rules = sh(top, "grep -r '' --include=.vstignore . || true");
        let differ: Vec<_> = found.symmetric_difference(&expected).collect();
        assert!(differ.is_empty(), "round {round}: {differ:?}\n{rules}");
    }
}

fn files_below(top: &Path) -> BTreeSet<String> {
    let found = sh(top, "find . -type f -printf '%P\\0'");
    found.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect()
}

#[test]
fn a_listing_and_the_times_of_a_directory_show_what_is_ignored() {
    let mount = TestMount::new();
    let top = mount.path();
    sh(top, "echo '*.o' > .vstignore; mkdir d; touch d/a");
    mount.commit("it");
    let id = |path: &Path| sh(path, "getfattr --only-values -n user.vst.id d");
    let (before, hash) = (fs::metadata(top.join("d")).expect("it is there"), id(top));
    sh(top, "cd d; for i in $(seq 500); do : > $i.o; done; mkdir dir.o");
    let after = fs::metadata(top.join("d")).expect("it is there");
    assert!((after.mtime(), after.mtime_nsec()) > (before.mtime(), before.mtime_nsec()));
    assert_eq!(after.nlink(), 3);
    assert_eq!(sh(top, "ls d | wc -l; ls d | sort -u | wc -l"), "502\n502\n");
    assert_eq!(id(top), hash, "the id is that of what commits hold");
    sh(top, "rm -r d");
    assert!(!top.join("d").exists());
}

#[test]
fn a_commit_after_a_build_hashes_nothing_that_was_built() {
    let mount = TestMount::new();
    let top = mount.path();
    sh(top, "mkdir target src; echo 'target/' > .vstignore; echo 1 > src/main");
    mount.commit("sources");
    let hashed = || {
        let stats = fs::read_to_string(top.join(".vst/stats")).expect("there are counters");
        let stats: serde_json::Value = serde_json::from_str(&stats).expect("JSON");
        let commits = &stats["commits"];
        ["files_hashed", "content_bytes_hashed"].map(|key| commits[key].as_u64().expect("a number"))
    };
    let before = hashed();
    // Closed files are hashed ahead of commits, but for those that none will hold.
    sh(top, "for i in $(seq 100); do seq $i 5000 > target/$i; done; echo 23 > src/main");
    fs::File::options()
        .append(true)
        .open(top.join(".vst/commit"))
        .and_then(|commit| commit.set_modified(std::time::SystemTime::now()))
        .expect("a commit is made");
    let after = hashed();
    assert_eq!([after[0] - before[0], after[1] - before[1]], [1, 3]);
}

#[test]
fn tools_that_write_aside_and_rename_do_not_notice() {
    if !have(&["rsync", "sed", "patch"]) {
        return;
    }
    let mount = TestMount::new();
    let top = mount.path();
    // What rsync, sed and patch write to before they rename it is ignored.
    sh(top, "printf '.*.??????\nsed??????\n*.tmp\n*.orig\nout/\n' > .vstignore");
    let from = tempfile::tempdir().expect("a directory");
    sh(
        from.path(),
        "mkdir -p a/b out; for i in $(seq 30); do seq $i > a/b/$i; done
         ln a/b/1 a/linked; ln -s b a/soft; seq 100 > out/1; touch -d @1000000000 a/b a",
    );
    let rsync = |options: &str| {
        let from = from.path().display();
        sh(top, &format!("rsync -aHc --itemize-changes {options} {from}/a {from}/out ./"))
    };
    assert_ne!(rsync(""), "");
    assert_eq!(rsync("-n"), "", "all is as it was there");
    let first = mount.commit("first");
    assert_eq!(sh(&mount.snapshot(&first), "ls; ls a/b | wc -l; cat a/b/7 | wc -l"), "a\n30\n7\n");
    assert_eq!(
        sh(&mount.snapshot(&first), "stat -c %Y a/b; stat -c %h a/linked"),
        "1000000000\n2\n"
    );
    sh(top, "sed -i s/^1$/one/ a/b/7; cp a/b/8 save.tmp; echo end >> save.tmp; mv save.tmp a/b/8");
    assert_eq!(ok(mount.vst(&["status"])), "M a/b/7\nM a/b/8\n");
    assert_eq!(ok(mount.vst(&["status", "--ignored"])), "M a/b/7\nM a/b/8\n! out/\n");
    mount.commit("second");
    // There and back again.
    sh(top, "mv a out/; mv out/a/b kept; mv out/a .; mv kept a/b; echo 1 > a/b/x.tmp");
    assert_eq!(ok(mount.vst(&["diff", "--", "a/b/7", "a/linked", ".vstignore"])), "");
    assert_eq!(sh(top, "cat a/b/7 | head -1; stat -c %h a/linked"), "one\n2\n");
    sh(top, "mv a/b/x.tmp a/b/x");
    assert!(ok(mount.vst(&["status"])).contains("A a/b/x\n"));
    ok(mount.vst(&["verify"]));
}

#[test]
fn what_is_imported_brings_its_rules_and_what_is_exported_is_what_commits_hold() {
    let dir = tempfile::tempdir().expect("a directory");
    sh(
        dir.path(),
        "mkdir -p tree/target/deep; echo target/ > tree/.vstignore; echo x > tree/target/deep/x
         echo main > tree/main",
    );
    let source = dir.path().join("tree");
    let source = source.to_str().expect("UTF-8");
    let mut mount = TestMount::new();
    ok(mount.vst(&["import", source, "-m", "imported"]));
    let list = "find . -mindepth 1 | sort";
    assert_eq!(sh(&mount.snapshot("latest"), list), "./.vstignore\n./main\n");
    assert_eq!(sh(mount.path(), "cat target/deep/x"), "x\n");
    let out = dir.path().join("out");
    ok(mount.vst(&["export", "HEAD", out.to_str().expect("UTF-8")]));
    assert_eq!(sh(&out, list), "./.vstignore\n./main\n");
    mount.unmount();
    ok(mount.vst_on_store(&["import", source, "--into", "again", "-m", "not mounted"]));
    let ls = ok(mount.vst_on_store(&["ls", "HEAD:again"]));
    assert!(ls.contains("main") && !ls.contains("target"), "{ls}");
    assert_eq!(ok(mount.vst_on_store(&["status", "--ignored"])), "! again/target/\n! target/\n");
    ok(mount.vst_on_store(&["gc"]));
    ok(mount.vst_on_store(&["verify"]));
    mount.start(&[]).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(sh(mount.path(), "cat target/deep/x again/target/deep/x"), "x\nx\n");
}

#[test]
fn going_back_to_before_the_rules_and_undoing_that_leaves_what_is_ignored_in_place() {
    let mount = TestMount::new();
    let top = mount.path();
    sh(top, "echo 1 > file");
    let first = mount.commit("no rules");
    sh(top, "mkdir -p target/deep; echo built > target/deep/x; echo target/ > .vstignore");
    mount.commit("rules");
    ok(mount.vst(&["restore", &first]));
    assert_eq!(sh(top, "cat target/deep/x"), "built\n");
    ok(mount.vst(&["undo"]));
    assert_eq!(ok(mount.vst(&["status", "--ignored"])), "! target/\n");
    assert_eq!(sh(top, "cat target/deep/x; cat file"), "built\n1\n");
    // A path of it, above what is ignored.
    sh(top, "mkdir d; echo d > d/file; echo '*.o' > d/.vstignore; echo o > d/1.o");
    let with = mount.commit("with d");
    sh(top, "rm d/file; echo 2 > d/1.o");
    ok(mount.vst(&["restore", &with, "d"]));
    assert_eq!(sh(top, "cat d/file d/1.o"), "d\n2\n");
}

#[test]
fn what_is_ignored_has_an_id_too() {
    if !have(&["getfattr", "b3sum"]) {
        return;
    }
    let mount = TestMount::new();
    let top = mount.path();
    sh(top, "echo 'out/' > .vstignore; mkdir -p out/d; echo text > out/d/file");
    mount.commit("it");
    let id = |path: &str| sh(top, &format!("getfattr --only-values -n user.vst.id {path}"));
    assert_eq!(id("out/d/file"), sh(top, "b3sum --no-names out/d/file").trim());
    let before = id("out/d");
    sh(top, "echo more >> out/d/file");
    assert_ne!(id("out/d"), before);
}

#[test]
fn damage_of_what_is_ignored_is_found_and_named() {
    let mut mount = TestMount::new();
    let top = mount.path();
    sh(top, "mkdir -p a/b; echo out/ > a/.vstignore; mkdir a/b/out a/b/out/deep");
    let mut state = 9_u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    });
    let noise: Vec<u8> = noise.take(5000).collect();
    fs::write(top.join("a/b/out/deep/file"), &noise).expect("it can be written");
    mount.commit("it");
    mount.unmount();
    ok(mount.vst_on_store(&["verify"]));
    let mut found = 0;
    for pack in fs::read_dir(mount.store().join("packs")).expect("a store has packs") {
        let path = pack.expect("it can be listed").path();
        let mut bytes = fs::read(&path).expect("it can be read");
        if let Some(at) = bytes.windows(100).position(|window| window == &noise[2000..2100]) {
            bytes[at] ^= 1;
            fs::write(&path, bytes).expect("it is ours");
            found += 1;
        }
    }
    assert_eq!(found, 1);
    let output = mount.vst_on_store(&["verify"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("a/b/out/deep/file"), "{text}");
}
