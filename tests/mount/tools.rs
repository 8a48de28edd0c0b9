//! Programs that lean hard on a filesystem.

use std::fs;

use crate::harness::TestMount;
use crate::shell::{MAKE_CRATE, have, sh};

#[test]
fn git_clones_commits_and_finds_nothing_wrong() {
    let mut mount = TestMount::new();
    let dir = tempfile::tempdir().expect("a directory");
    sh(
        dir.path(),
        "git init -q origin; cd origin; for i in $(seq 300); do echo $i > f$i; done
         git add .; git commit -qm first; seq 1000 > f1; git commit -qam second; git gc -q",
    );
    let origin = dir.path().join("origin").display().to_string();
    let top = mount.path().to_owned();
    sh(
        &top,
        &format!(
            "git clone -q 'file://{origin}' clone; git clone -q --no-hardlinks '{origin}' copy
             cd clone; test -z \"$(git status --porcelain)\"
             git checkout -qb work; git mv f2 renamed; echo x > new; git add .
             git commit -qm third; git stash -q || true; git rebase -q HEAD~1; git gc -q
             git fsck --strict; git worktree add -q ../tree HEAD~1; cd ../copy
             git fetch -q ../clone work; git merge -q FETCH_HEAD; git fsck --strict"
        ),
    );
    let id = mount.commit("clones");
    mount.remount();
    sh(&top, "cd clone; git fsck --strict; test -z \"$(git status --porcelain)\"");
    sh(&mount.snapshot(&id).join("clone"), "git -c safe.directory='*' log --oneline | wc -l");
}

#[test]
fn cargo_builds_a_crate_and_builds_nothing_the_second_time() {
    if !have(&["cargo"]) {
        return;
    }
    let mut mount = TestMount::new();
    let top = mount.path().to_owned();
    sh(
        &top,
        &format!(
            "mkdir krate; cd krate; {MAKE_CRATE}
             cargo build --offline -q; test \"$(target/debug/krate)\" = 'it runs'"
        ),
    );
    mount.commit("built");
    mount.remount();
    let again = sh(&top, "cd krate; cargo build --offline -v 2>&1; target/debug/krate");
    assert!(again.contains("Fresh krate") && again.contains("it runs"), "{again}");
}

#[test]
fn sqlite_keeps_a_database_with_a_write_ahead_log() {
    if !have(&["sqlite3"]) {
        return;
    }
    let mut mount = TestMount::new();
    let top = mount.path().to_owned();
    sh(
        &top,
        "sqlite3 db 'PRAGMA journal_mode=WAL; CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT);' >/dev/null
         insert() {
             for i in $(seq 30); do
                 echo \"PRAGMA busy_timeout=30000;BEGIN IMMEDIATE;\"
                 for j in $(seq 20); do echo \"INSERT INTO t(b) VALUES('$1 $i $j');\"; done
                 echo 'COMMIT;'
             done | sqlite3 -bail db >/dev/null
         }
         insert one & first=$!; insert two & second=$!; wait $first; wait $second
         test \"$(sqlite3 db 'SELECT count(*) FROM t')\" = 1200
         sqlite3 db 'PRAGMA wal_checkpoint(TRUNCATE);' >/dev/null
         test \"$(sqlite3 db 'PRAGMA integrity_check')\" = ok",
    );
    mount.commit("database");
    mount.remount();
    sh(
        &top,
        "test \"$(sqlite3 db 'PRAGMA integrity_check')\" = ok
         test \"$(sqlite3 db 'SELECT count(*) FROM t')\" = 1200
         sqlite3 db 'VACUUM'; test \"$(sqlite3 db 'PRAGMA integrity_check')\" = ok",
    );
}

#[test]
fn a_snapshot_of_a_database_in_use_opens_as_after_a_power_loss() {
    if !have(&["sqlite3"]) {
        return;
    }
    let mount = TestMount::new();
    sh(
        mount.path(),
        "sqlite3 db 'PRAGMA journal_mode=WAL; CREATE TABLE t(a);' >/dev/null
         { for i in $(seq 400); do
             echo \"INSERT INTO t VALUES($i);\"
             [ $((i % 80)) != 0 ] || echo '.shell touch .vst/commit'
         done; echo '.shell touch .vst/commit'; } | sqlite3 -bail db
         mkdir /tmp/vst-db.$$; trap 'rm -rf /tmp/vst-db.$$' EXIT; n=0
         for s in $(cut -d' ' -f1 .vst/log); do
             rm -f /tmp/vst-db.$$/*; cp .snapshots/$s/db* /tmp/vst-db.$$/
             test \"$(sqlite3 /tmp/vst-db.$$/db 'PRAGMA integrity_check')\" = ok
             test $(($(sqlite3 /tmp/vst-db.$$/db 'SELECT count(*) FROM t') % 80)) = 0
             n=$((n + 1))
         done; test $n = 5",
    );
}

#[test]
fn a_walk_of_the_root_does_not_see_history() {
    let mount = TestMount::new();
    let top = mount.path();
    fs::create_dir(top.join("dir")).expect("a new directory");
    fs::write(top.join("dir/file"), "needle\n").expect("a new file");
    fs::write(top.join(".hidden"), "needle\n").expect("a new file");
    mount.commit("needle");
    assert_eq!(sh(top, "find . | sort"), ".\n./.hidden\n./dir\n./dir/file\n");
    assert_eq!(sh(top, "ls -A"), ".hidden\ndir\n");
    assert_eq!(sh(top, "tar -c . | tar -t | sort"), "./\n./.hidden\n./dir/\n./dir/file\n");
    assert_eq!(sh(top, "grep -rl needle . | sort"), "./.hidden\n./dir/file\n");
    assert_eq!(sh(top, "du -a . | wc -l").trim(), "4");
    assert_eq!(sh(top, "git init -q; git status --porcelain -uall"), "?? .hidden\n?? dir/file\n");
    sh(top, "rm -rf ./* ./.git ./.hidden; shopt -s dotglob nullglob; test -z \"$(echo *)\"");
    assert_eq!(fs::read(mount.snapshot("latest").join("dir/file")).expect("kept"), b"needle\n");
    assert!(top.join(".vst/commit").exists());
}
