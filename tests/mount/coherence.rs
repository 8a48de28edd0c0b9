//! What the kernel and those who have files open see of what happens behind their backs: a restore,
//! a mapping in another process.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::harness::TestMount;
use crate::shell::{have, sh};
use crate::tree::Tree;

/// How long a call may take before it is held to hang; far beyond what it needs.
const HANG_TIMEOUT: Duration = Duration::from_secs(60);
const RESTORES: usize = 8;

fn restore(top: &Path, what: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(top.join(".vst/restore"))?.write_all(what.as_bytes())
}

fn content(file: &File) -> String {
    let mut bytes = vec![0; 64 * 1024];
    let len = file.read_at(&mut bytes, 0).expect("readable");
    String::from_utf8(bytes[..len].to_vec()).expect("text")
}

#[test]
fn open_files_follow_a_restore_and_removed_ones_live_on() {
    let mount = TestMount::new();
    let top = mount.path();
    sh(top, "mkdir d; echo old > d/kept; echo old > d/hard; ln d/hard d/name; echo old > d/gone");
    let old = mount.commit("old");
    sh(top, "echo newer > d/kept; echo newer > d/hard; rm d/gone; echo newer > d/new; mkdir d/sub");
    let open = |name: &str| {
        let path = top.join("d").join(name);
        OpenOptions::new().read(true).append(true).open(path).expect("it opens")
    };
    let [mut kept, hard, mut new] = ["kept", "hard", "new"].map(open);
    let (ino, directory) = (kept.metadata().expect("there").ino(), File::open(top.join("d/sub")));
    assert_eq!([&kept, &hard, &new].map(content), ["newer\n"; 3]);
    restore(top, &old).expect("a restore");

    // In both trees: the same file, with the content that was restored.
    assert_eq!([&kept, &hard].map(content), ["old\n"; 2]);
    assert_eq!(kept.metadata().expect("there").len(), 4);
    assert_eq!(fs::metadata(top.join("d/kept")).expect("there").ino(), ino);
    kept.write_all(b"and on\n").expect("writable");
    assert_eq!(fs::read(top.join("d/kept")).expect("readable"), b"old\nand on\n");
    // In the tree before alone: as after an unlink.
    assert_eq!((content(&new), new.metadata().expect("it answers").nlink()), ("newer\n".into(), 0));
    new.write_all(b"and on\n").expect("writable");
    assert_eq!(content(&new), "newer\nand on\n");
    assert!(!top.join("d/new").exists());
    let directory = directory.expect("it was there").metadata().expect("it answers");
    assert_eq!(directory.nlink(), 0);
    assert_eq!(sh(top, "cat d/gone d/name"), "old\nold\n");
    drop((kept, hard, new));
    let names = sh(top, "ls d; cat .vst/status");
    assert_eq!(names, "gone\nhard\nkept\nname\nM d/kept\n");
}

/// Who appends has looked for the end before.
#[test]
fn what_is_appended_after_a_restore_comes_after_what_was_restored() {
    let mount = TestMount::new();
    let top = mount.path();
    sh(top, "head -c 100 /dev/zero | tr '\\0' s > log");
    let short = mount.commit("short");
    sh(top, "head -c 9000 /dev/zero | tr '\\0' l > log");
    let long = mount.commit("long");
    let open = || OpenOptions::new().append(true).open(top.join("log")).expect("it opens");
    let [mut one, mut two] = [open(), open()];
    for (id, letter, len) in [(&short, "s", 100), (&long, "l", 9000), (&short, "s", 100)] {
        one.write_all(b"before").expect("writable");
        restore(top, id).expect("a restore");
        one.write_all(b"one").expect("writable");
        two.write_all(b"two").expect("writable");
        one.write_all(&[b'1'; 5000]).expect("writable");
        mount.commit("appended");
        let wanted = format!("{}onetwo{}", letter.repeat(len), "1".repeat(5000));
        let kept = fs::read_to_string(top.join(".snapshots/latest/log")).expect("text");
        assert!(kept == wanted, "{} bytes after a restore of {len}", kept.len());
    }
}

/// Names tied anew make another file, and whoever has the old one open keeps that.
#[test]
fn a_file_whose_names_are_tied_anew_by_a_restore_is_another_one() {
    let mount = TestMount::new();
    let top = mount.path();
    sh(top, "echo old > one; ln one two");
    let old = mount.commit("two names of one file");
    sh(top, "rm two; echo apart > two; echo newer > one");
    let open = File::open(top.join("one")).expect("readable");
    restore(top, &old).expect("a restore");
    assert_eq!(
        (content(&open), open.metadata().expect("it answers").nlink()),
        ("newer\n".into(), 0)
    );
    assert_eq!(sh(top, "cat one two; stat -c %h one"), "old\nold\n2\n");
}

#[test]
fn mappings_and_attributes_are_those_of_the_restored_tree_at_once() {
    if !have(&["python3"]) {
        return;
    }
    let mount = TestMount::new();
    let top = mount.path();
    sh(
        top,
        r#"python3 - <<'END'
import mmap, os
def fill(letter, size, mode):
    with open('file', 'wb') as f: f.write(letter * size)
    os.chmod('file', mode)
def commit():
    os.setxattr('.', 'user.vst.commit', b'')
    return os.getxattr('.', 'user.vst.head').decode()
fill(b'a', 300000, 0o600); os.setxattr('file', 'user.of', b'a'); first = commit()
fill(b'b', 200000, 0o640); os.setxattr('file', 'user.of', b'b'); second = commit()
fd = os.open('file', os.O_RDWR)
shared = mmap.mmap(fd, 200000)
for turn in range(10):
    for id, letter, size, mode in [(first, b'a', 300000, 0o600), (second, b'b', 200000, 0o640)]:
        with open('.vst/restore', 'w') as f: f.write(id)
        meta = os.stat('file')
        assert (meta.st_size, meta.st_mode & 0o777) == (size, mode), meta
        assert os.fstat(fd).st_size == size
        assert os.getxattr('file', 'user.of') == letter
        assert shared[0:1] == letter and shared[123456:123457] == letter, turn
        assert os.pread(fd, 10, size - 5) == letter * 5
        assert open('file', 'rb').read() == letter * size
END"#,
    );
}

#[test]
fn processes_that_map_a_file_agree_with_each_other_and_with_reads_and_writes() {
    if !have(&["python3"]) {
        return;
    }
    let mount = TestMount::new();
    sh(
        mount.path(),
        r#"python3 - <<'END'
import mmap, os
SIZE = 300000
with open('file', 'wb') as f: f.write(bytes(SIZE))
to_child, to_parent = os.pipe(), os.pipe()
def tell(pipe): os.write(pipe[1], b'.')
def wait(pipe): assert os.read(pipe[0], 1) == b'.'
child = os.fork()
# Each opens the file by itself.
fd = os.open('file', os.O_RDWR)
shared = mmap.mmap(fd, SIZE)
private = mmap.mmap(fd, SIZE, flags=mmap.MAP_PRIVATE)
if child == 0:
    wait(to_child)
    assert shared[5:9] == b'here' and os.pread(fd, 4, 200000) == b'read'
    shared[100000:100005] = b'child'
    os.pwrite(fd, b'written', 250000)
    private[7:11] = b'mine'
    tell(to_parent)
    os._exit(0)
shared[5:9] = b'here'
os.pwrite(fd, b'read', 200000)
tell(to_child)
wait(to_parent)
assert shared[100000:100005] == b'child' and os.pread(fd, 5, 100000) == b'child'
assert shared[250000:250007] == b'written' and private[250000:250007] == b'written'
assert shared[5:11] == b'here\0\0' and private[7:11] == b're\0\0'
shared.flush()
os.setxattr('.', 'user.vst.commit', b'after it was synced')
with open('.snapshots/latest/file', 'rb') as f: assert f.read() == shared[:]
assert os.waitpid(child, 0)[1] == 0
END"#,
    );
}

/// What the kernel knows of names: that some are there, that others are not, and whole listings.
#[test]
fn names_that_are_remembered_are_forgotten_when_a_restore_changes_them() {
    let mount = TestMount::new();
    let top = mount.path();
    sh(top, "mkdir -p d/old/deep swap; echo x > d/old/deep/file; echo 1 > swap/a; mkdir swap/b");
    let old = mount.commit("old");
    let before = Tree::read(top);
    sh(
        top,
        "rm -r d/old; mkdir -p d/new/deep; echo y > d/new/deep/file; mv swap/a t; mv swap/b swap/a",
    );
    sh(top, "mv t swap/b; ln -s d link");
    let new = mount.commit("new");
    let after = Tree::read(top);
    for _ in 0..5 {
        for (id, tree, there, absent) in [
            (&old, &before, "d/old/deep/file", "d/new"),
            (&new, &after, "d/new/deep/file", "d/old"),
        ] {
            restore(top, id).expect("a restore");
            assert!(top.join(there).exists() && !top.join(absent).exists());
            Tree::read(top).assert_same(tree);
        }
    }
}

/// A restore waits until the kernel has taken note, and the kernel may wait meanwhile for an answer
/// about a directory that it has to be told of: somebody must be left to give that answer.
#[test]
fn restores_and_undos_asked_for_at_once_hold_nobody_up() {
    // As few as there may be.
    let mut mount = TestMount::with_options(&["--threads", "1"]);
    let top = mount.path().to_owned();
    sh(&top, "mkdir a b; for i in $(seq 50); do echo $i > a/$i; done");
    let first = mount.commit("first");
    sh(&top, "mv a/* b; for i in $(seq 50); do echo new > a/new-$i; done");
    let second = mount.commit("second");
    let stop = AtomicBool::new(false);
    let (done, wait) = mpsc::channel();
    let all = thread::scope(|scope| {
        for id in [Some(&first), Some(&second), Some(&first), None] {
            let (top, done) = (&top, done.clone());
            scope.spawn(move || {
                for _ in 0..RESTORES {
                    match id {
                        Some(id) => restore(top, id).expect("a restore"),
                        // It may come before any restore, or right after another undo.
                        None => match fs::write(top.join(".vst/undo"), "x") {
                            Err(error) if error.raw_os_error() == Some(libc::ENODATA) => {}
                            written => written.expect("an undo"),
                        },
                    }
                }
                let _ = done.send(());
            });
        }
        for number in 0..4 {
            let (top, stop) = (&top, &stop);
            scope.spawn(move || {
                let path = top.join(["a", "b"][number % 2]).join(format!("mine-{number}"));
                while !stop.load(Ordering::Relaxed) {
                    // A restore may take it away, and so may the death of the daemon.
                    let _ = fs::create_dir(&path);
                    let _ = fs::remove_dir(&path);
                }
            });
        }
        let all = (0..4).all(|_| wait.recv_timeout(HANG_TIMEOUT).is_ok());
        stop.store(true, Ordering::Relaxed);
        if !all {
            mount.kill_daemon();
        }
        all
    });
    assert!(all, "a restore hangs");
    restore(&top, &first).expect("a restore");
    assert_eq!(sh(&top, "ls a | wc -l; ls b | wc -l; cat a/50"), "50\n0\n50\n");
}
