//! A tree of everything that a machine has, through commits and a remount, beside a plain copy
//! made the same way.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::XattrFlags;
use tempfile::TempDir;

use crate::harness::TestMount;
use crate::shell::{have, is_root, sh};
use crate::tree::Tree;

/// Directories that most machines have; those that are missing are left out.
const SAMPLES: &str = "/usr/share/zoneinfo /usr/share/perl /usr/share/bash-completion \
    /usr/share/perl5 /usr/share/gettext /usr/share/common-licenses /etc/alternatives";
const FILES_MAX: usize = 4000;

/// Makes a tree with something of every kind.
fn make_sample(top: &Path) {
    sh(
        top,
        &format!(
            "mkdir real; for d in {SAMPLES}; do [ ! -d $d ] || find $d -xdev -size -200k \
             \\( -type f -o -type l -o -type d \\) -print0; done | head -zn {FILES_MAX} | \
             tar -c --no-recursion --null -T - 2>/dev/null | tar -x -C real"
        ),
    );
    sh(
        top,
        "mkdir -p odd/empty/deeper odd/private odd/sticky odd/names odd/links
         cd odd
         chmod 0700 private; chmod 1777 sticky; chmod 2755 empty
         printf shared > links/a; ln links/a links/b; ln links/a ../c-in-another-directory
         ln -s a links/to-a; ln -s /no/such/target links/dangling
         ln -s \"$(head -c 3000 /dev/zero | tr '\\0' x)\" links/long
         mkfifo -m 0620 fifo
         printf 'in front' > holes; truncate -s 40M holes
         printf 'last' >> holes
         truncate -s 700000 all-hole
         : > nothing
         for i in $(seq 300); do echo \"line $i of a file that is changed later\" > text-$i; done
         head -c 3000000 /dev/urandom > random
         cp /bin/sh setuid; chmod 6755 setuid; chmod 000 nothing
         touch -d '1969-12-31 23:59:50' text-1; touch -d '1931-01-01 00:00:00' text-2
         touch -d '2001-02-03 04:05:06.123456789' text-3; touch -d '2300-01-01' text-4
         mkdir moved; for i in $(seq 50); do echo $i > moved/$i; done",
    );
    drop(std::os::unix::net::UnixListener::bind(top.join("odd/socket")).expect("a new socket"));
    let odd_names: [Vec<u8>; 4] =
        [vec![0xff; 255], (1..=255).filter(|b| *b != b'/').collect(), b"\n".into(), b" -rf".into()];
    for (number, name) in odd_names.into_iter().enumerate() {
        let path = top.join("odd/names").join(OsString::from_vec(name));
        fs::write(path, format!("odd name {number}")).expect("a new file");
    }
    for (name, value) in [("user.x", &b"1\xff\0"[..]), ("user.large", &[7; 3000]), ("user.e", b"")]
    {
        for path in ["odd/text-5", "odd/links/a", "odd/empty"] {
            rustix::fs::setxattr(top.join(path), name, value, XattrFlags::empty())
                .expect("the filesystem has attributes");
        }
    }
    if is_root() {
        sh(top, "cd odd; mknod -m 0640 char c 1 3; mknod block b 7 200; chown 1:2 text-6 moved");
    }
    if have(&["setfacl"]) {
        sh(top, "cd odd; setfacl -m u:1:r,g:2:rw text-7; setfacl -m u:3:rx,d:u:4:rwx,d:o::- empty");
    }
}

/// Unpacks an archive of a sample in a directory.
fn unpack(archive: &Path, directory: &Path) {
    let tar = "tar --xattrs '--xattrs-include=*' --acls --numeric-owner -xpf";
    sh(directory, &format!("{tar} '{}'", archive.display()));
}

/// Works in a tree as people do.
fn work(top: &Path) {
    sh(
        top,
        "cd odd
         sed -i 's/line/LINE/' text-1[0-9] text-2[0-9]*
         for i in $(seq 30 90); do
             cp -p text-$i text-$i.swp; echo edited >> text-$i.swp; mv text-$i text-$i~
             mv text-$i.swp text-$i; rm text-$i~
         done
         rm text-1[0-9][0-9]
         mv moved renamed; mkdir moved; mv renamed moved/inside
         ln text-3 links/hard-3; rm links/b; mv links/a links/z
         printf middle | dd of=random bs=1 seek=1500000 conv=notrunc status=none
         truncate -s 100 text-5; fallocate -p -o 500000 -l 200000 random
         chmod 0755 text-6; setfattr -x user.x text-5; setfattr -n user.new -v v text-8
         touch -d '2002-02-02 02:02:02' text-9
         rm -rf empty; mkdir -p a/b/c/d; echo deep > a/b/c/d/file
         cd ../real/usr/share; mv zoneinfo zones; rm -rf gettext perl5",
    );
}

/// Gives every directory and every new file the same times in both trees: those of a fresh
/// change are the clock's.
fn level_times(top: &Path) {
    sh(
        top,
        "find . -depth -newermt 2026-01-01 -print0 | xargs -0 touch -h -d '2024-05-06 07:08:09'",
    );
}

#[track_caller]
fn assert_equal_trees(copy: &Path, mounted: &Path) {
    let (copy_text, mounted_text) = (copy.display(), mounted.display());
    // Devices and the like cannot be compared by content; rsync below looks at them.
    let only = "--no-dereference -x fifo -x socket -x char -x block -x holes -x all-hole";
    sh(copy, &format!("diff -r {only} '{copy_text}' '{mounted_text}'"));
    let rsync = "rsync -aHAXnc --numeric-ids --delete --specials --devices --itemize-changes";
    let changes = sh(copy, &format!("{rsync} '{copy_text}/' '{mounted_text}/'"));
    assert_eq!(changes, "", "rsync sees differences");
    let level = |tree: Tree| {
        tree.adjust(|path, node| {
            if path == Path::new(".") {
                (node.mode, node.mtime_ns) = (0, 0);
            }
        })
    };
    level(Tree::read(copy)).assert_same(&level(Tree::read(mounted)));
}

/// Number and ctime of every file.
fn identities(top: &Path) -> BTreeMap<PathBuf, (u64, i64, i64)> {
    let tree = Tree::read(top);
    let identity = |path: &PathBuf| {
        let meta = fs::symlink_metadata(top.join(path)).expect("it was just listed");
        (path.clone(), (meta.ino(), meta.ctime(), meta.ctime_nsec()))
    };
    tree.nodes.keys().map(identity).collect()
}

#[test]
fn a_tree_of_everything_survives_commits_and_a_remount() {
    if !have(&["rsync", "setfattr", "tar", "diff"]) {
        return;
    }
    let dir: TempDir = tempfile::tempdir().expect("a directory");
    let (sample, archive) = (dir.path().join("sample"), dir.path().join("sample.tar"));
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    for path in [&sample, &first, &second] {
        fs::create_dir(path).expect("a new directory");
    }
    make_sample(&sample);
    let tar = "tar --xattrs '--xattrs-include=*' --acls --numeric-owner -S --sort=name";
    sh(&sample, &format!("{tar} -cf '{}' . 2>/dev/null", archive.display()));

    let mut mount = TestMount::new();
    for directory in [&first, &second, &mount.path().to_owned()] {
        unpack(&archive, directory);
        level_times(directory);
    }
    assert_equal_trees(&first, mount.path());
    let old = mount.commit("unpacked");
    for directory in [&second, &mount.path().to_owned()] {
        work(directory);
        level_times(directory);
    }
    let new = mount.commit("worked");
    assert_ne!(old, new);
    assert_equal_trees(&second, mount.path());
    let before = identities(mount.path());

    mount.remount();
    assert_equal_trees(&second, mount.path());
    assert_equal_trees(&first, &mount.snapshot(&old));
    assert_equal_trees(&second, &mount.snapshot(&new));
    let after = identities(mount.path());
    let changed: Vec<_> = before.iter().filter(|(path, id)| after.get(*path) != Some(id)).collect();
    assert!(changed.is_empty(), "{} identities changed, as {:?}", changed.len(), changed[0]);
    assert_eq!(mount.commit("nothing changed"), new);
    assert_eq!(fs::read(mount.path().join(".vst/status")).expect("readable"), b"");
}

#[test]
fn holes_take_no_room_after_a_remount() {
    let mut mount = TestMount::new();
    let path = mount.path().join("sparse");
    let file = File::create(&path).expect("a new file");
    file.set_len(5 << 40).expect("5 TiB are fine");
    file.write_all_at(b"island", 2 << 40).expect("room for six bytes");
    drop(file);
    mount.commit("sparse");
    mount.remount();
    let meta = fs::metadata(&path).expect("still there");
    assert_eq!(meta.len(), 5 << 40);
    assert!(meta.blocks() * 512 < 1 << 20, "{} blocks", meta.blocks());
    let mut island = [0; 8];
    let file = File::open(&path).expect("readable");
    file.read_exact_at(&mut island, (2 << 40) - 1).expect("within the file");
    assert_eq!(&island, b"\0island\0");
    let found = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(0)).expect("there is data");
    assert!(found > 1 << 40 && found <= 2 << 40, "data at {found}");
}

#[test]
fn git_status_after_a_remount_reads_no_file() {
    let mut mount = TestMount::new();
    let top = mount.path().to_owned();
    sh(
        &top,
        "git init -q repo; cd repo; git config core.fsmonitor false
         for i in $(seq 200); do mkdir -p d$((i % 7)); echo $i > d$((i % 7))/$i; done
         git add .; git commit -qm all; touch -d '2 seconds ago' .; git status",
    );
    // The index is refreshed once all files are older than it, so that none is racy.
    sh(&top, "cd repo; touch -d '+3 seconds' .git/index; git update-index -q --really-refresh");
    mount.commit("repository");
    let index = fs::read(top.join("repo/.git/index")).expect("the index");
    mount.remount();
    // Lists what differs from the index by `stat` alone.
    assert_eq!(sh(&top, "cd repo; git diff-files --raw"), "");
    let shown = sh(&top, "cd repo; git ls-files --debug");
    let mut path = PathBuf::new();
    let mut files = 0;
    for line in shown.lines() {
        let Some(line) = line.strip_prefix("  ") else {
            path = top.join("repo").join(line);
            continue;
        };
        let meta = fs::metadata(&path).expect("git lists it");
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["ctime:", value] => {
                assert_eq!(*value, format!("{}:{}", meta.ctime(), meta.ctime_nsec()));
                files += 1;
            }
            ["mtime:", value] => {
                assert_eq!(*value, format!("{}:{}", meta.mtime(), meta.mtime_nsec()));
            }
            // git keeps the lower 32 bits.
            ["dev:", _, "ino:", ino] => {
                assert_eq!(ino.parse::<u64>().expect("a number"), meta.ino() & 0xffff_ffff);
            }
            _ => {}
        }
    }
    assert_eq!(files, 200);
    sh(&top, "cd repo; test -z \"$(git status --porcelain)\"");
    assert_eq!(fs::read(top.join("repo/.git/index")).expect("the index"), index);
}
