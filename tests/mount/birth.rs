//! Birth times: when a file was made, which nothing changes that is done to it.

use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::harness::TestMount;
use crate::shell::sh;

fn born(path: &Path) -> SystemTime {
    let stat = fs::symlink_metadata(path).expect("it is there");
    stat.created().expect("its birth is told")
}

fn is_carried(mount: &TestMount) -> bool {
    let is_ring = mount.transport() == "ring";
    if !is_ring {
        let stat = fs::metadata(mount.path()).expect("it is there");
        assert!(stat.created().is_err(), "nothing carries it");
    }
    is_ring
}

#[test]
fn a_birth_stays_through_every_change_a_commit_a_remount_and_a_kill() {
    let mut mount = TestMount::new();
    if !is_carried(&mount) {
        return;
    }
    let top = mount.path().to_owned();
    let before = SystemTime::now();
    fs::create_dir_all(top.join("dir/below")).expect("directories");
    fs::write(top.join("dir/file"), "text").expect("a file");
    symlink("file", top.join("dir/link")).expect("a link");
    sh(&top, "mkfifo dir/fifo");
    let after = SystemTime::now();
    let names = ["", "dir", "dir/below", "dir/file", "dir/link", "dir/fifo"];
    let births = names.map(|name| born(&top.join(name)));
    // The clock that the kernel stamps files with is a tick behind, and this is not that clock.
    let slack = Duration::from_secs(1);
    for (name, birth) in names.iter().zip(births).skip(1) {
        assert!(before - slack <= birth && birth <= after + slack, "{name}");
    }
    let check = |names: [&str; 6], when: &str| {
        let now = names.map(|name| born(&top.join(name)));
        assert_eq!(now, births, "{when}");
    };
    sh(
        &top,
        "sed s/x/x/ -n dir/file; echo more >> dir/file; chmod 600 dir/file; ln dir/file other
         touch -d '1999-01-01' dir/file dir/below dir/fifo; touch -h -d '1999-01-01' dir/link
         mv dir/file dir/below/file; mv dir new",
    );
    let names = ["", "new", "new/below", "new/below/file", "new/link", "new/fifo"];
    check(names, "changed");
    mount.commit("one");
    check(names, "committed");
    mount.remount();
    check(names, "mounted again");
    File::options()
        .append(true)
        .open(top.join("new/below/file"))
        .and_then(|mut file| std::io::Write::write_all(&mut file, b"more"))
        .expect("it can be written");
    mount.kill();
    mount.start(&[]).expect("it recovers");
    check(names, "recovered");
    assert_eq!(born(&top.join("other")), births[3], "another name of the same file");
}

#[test]
fn a_file_that_is_made_again_is_born_then_and_one_that_stayed_is_not() {
    let mount = TestMount::new();
    if !is_carried(&mount) {
        return;
    }
    let top = mount.path();
    fs::write(top.join("stays"), "old").expect("a file");
    fs::write(top.join("goes"), "old").expect("a file");
    let (stays, goes) = (born(&top.join("stays")), born(&top.join("goes")));
    let id = mount.commit("both");
    fs::write(top.join("stays"), "new").expect("written");
    fs::remove_file(top.join("goes")).expect("it is there");
    fs::write(top.join(".vst/restore"), &id).expect("restored");
    assert_eq!(fs::read(top.join("stays")).expect("there"), b"old");
    assert_eq!(born(&top.join("stays")), stays);
    assert!(born(&top.join("goes")) > goes);
    // The id of the tree does not tell when its files were made.
    mount.commit("again");
    assert_eq!(mount.head(), id, "nothing has changed");
    let past = fs::metadata(mount.snapshot("latest").join("stays")).expect("it is there");
    assert!(past.created().is_err(), "the past does not tell");
}

#[test]
fn statx_tells_all_else_as_stat_does() {
    let mount = TestMount::new();
    let top = mount.path();
    sh(
        top,
        "truncate -s 5000000000 sparse; echo x >> sparse; touch -d '1960-02-03 04:05:06.789' sparse
         chmod 4751 sparse; ln sparse linked; mkdir dir; chmod 3777 dir; mkfifo fifo; ln -s dir link",
    );
    if crate::shell::is_root() {
        sh(top, "mknod null b 300 70000; chown 1:2 null");
        let null = fs::metadata(top.join("null")).expect("it is there");
        assert!(null.file_type().is_block_device());
        assert_eq!((null.uid(), null.gid()), (1, 2));
        assert_eq!(null.rdev(), rustix::fs::makedev(300, 70_000));
    }
    // The tool asks for births, the library of the other one does not.
    if !crate::shell::have(&["python3"]) {
        return;
    }
    sh(
        top,
        r#"for name in sparse linked dir fifo link .; do
             with=$(stat -c '%i %f %h %u %g %s %b %Y %Z %t' "$name")
             without=$(python3 -c 'import os, sys
s = os.lstat(sys.argv[1])
words = [s.st_ino, "%x" % s.st_mode, s.st_nlink, s.st_uid, s.st_gid, s.st_size, s.st_blocks]
print(*words, s.st_mtime_ns // 10**9, s.st_ctime_ns // 10**9, "%x" % os.major(s.st_rdev))' "$name")
             [ "$with" = "$without" ] || { echo "$name: $with, $without"; exit 1; }
             stat -c '%w %W' "$name" > /dev/null
           done"#,
    );
}
