//! What POSIX and Linux promise of a filesystem.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{
    CWD, FallocateFlags, FlockOperation, RenameFlags, Timespec, Timestamps, XattrFlags,
};
use rustix::io::Errno;

use crate::harness::TestMount;
use crate::shell::{have, is_root, sh, try_sh};

#[track_caller]
fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> Errno {
    Errno::from_io_error(&result.expect_err("it must fail")).expect("an error of the system")
}

fn rename(from: &Path, to: &Path, flags: RenameFlags) -> Result<(), Errno> {
    rustix::fs::renameat_with(CWD, from, CWD, to, flags)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("readable")
}

fn read_write(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).open(path).expect("it opens")
}

#[test]
fn renames_replace_refuse_to_replace_and_exchange() {
    let mount = TestMount::new();
    let [a, b, d, e] = ["a", "b", "d", "e"].map(|name| mount.path().join(name));
    fs::write(&a, "a").expect("a new file");
    fs::write(&b, "b").expect("a new file");
    assert_eq!(rename(&a, &b, RenameFlags::NOREPLACE), Err(Errno::EXIST));
    assert_eq!((read(&a), read(&b)), ("a".into(), "b".into()));
    rename(&a, &b, RenameFlags::EXCHANGE).expect("both are there");
    assert_eq!((read(&a), read(&b)), ("b".into(), "a".into()));
    fs::create_dir_all(d.join("sub")).expect("new directories");
    rename(&a, &d, RenameFlags::EXCHANGE).expect("a file and a directory change places");
    assert_eq!(read(&d), "b");
    assert!(a.join("sub").is_dir());
    assert_eq!(rename(&a, &e, RenameFlags::EXCHANGE), Err(Errno::NOENT));
    assert_eq!(errno(fs::rename(&a, a.join("sub/below"))), Errno::INVAL);
    assert_eq!(errno(fs::rename(&a, &d)), Errno::NOTDIR);
    assert_eq!(errno(fs::rename(&d, &a)), Errno::ISDIR);
    fs::create_dir(&e).expect("a new directory");
    assert_eq!(errno(fs::rename(&e, &a)), Errno::NOTEMPTY);
    fs::rename(&a, &e).expect("an empty directory is replaced");
    assert!(e.join("sub").is_dir() && !a.exists());
    fs::rename(&b, &d).expect("a file is replaced");
    assert_eq!(read(&d), "a");
    // Two names of one file: nothing happens.
    fs::hard_link(&d, &b).expect("a new name");
    fs::rename(&d, &b).expect("no error");
    assert!(d.exists() && b.exists());
}

#[test]
fn names_of_one_file_share_it() {
    let mut mount = TestMount::new();
    let [a, b] = ["a", "d/b"].map(|name| mount.path().join(name));
    fs::create_dir(mount.path().join("d")).expect("a new directory");
    fs::write(&a, "one").expect("a new file");
    fs::hard_link(&a, &b).expect("a new name");
    fs::write(&b, "two").expect("writable");
    assert_eq!(read(&a), "two");
    mount.commit("linked");
    mount.remount();
    let (first, second) = (fs::metadata(&a).expect("there"), fs::metadata(&b).expect("there"));
    assert_eq!((first.ino(), first.nlink()), (second.ino(), 2));
    OpenOptions::new().append(true).open(&a).and_then(|mut f| f.write_all(b"!")).expect("writable");
    assert_eq!(read(&b), "two!");
    fs::remove_file(&a).expect("a name goes");
    assert_eq!(fs::metadata(&b).expect("there").nlink(), 1);
    assert_eq!(errno(fs::hard_link(mount.path().join("d"), &a)), Errno::PERM);
    let links = mount.snapshot("latest");
    let numbers =
        [links.join("a"), links.join("d/b")].map(|p| fs::metadata(p).expect("there").ino());
    assert_eq!(numbers[0], numbers[1]);
}

#[test]
fn an_unlinked_file_lives_as_long_as_it_is_open() {
    let mount = TestMount::new();
    let path = mount.path().join("file");
    let mut file = read_write(&path);
    file.write_all(b"before").expect("writable");
    fs::remove_file(&path).expect("it is there");
    let id = mount.commit("without it");
    file.write_all(b" and after").expect("writable");
    assert_eq!(file.metadata().expect("it answers").nlink(), 0);
    let mut content = String::new();
    file.seek(SeekFrom::Start(0))
        .and_then(|_| file.read_to_string(&mut content))
        .expect("readable");
    assert_eq!(content, "before and after");
    file.set_len(3).expect("writable");
    // A new file of that name is another one.
    fs::write(&path, "new").expect("the name is free");
    assert_eq!(file.metadata().expect("it answers").len(), 3);
    assert!(!mount.snapshot(&id).join("file").exists());
    // Replaced by a rename, it lives as well.
    let replaced = File::open(&path).expect("readable");
    fs::write(mount.path().join("other"), "other").expect("a new file");
    fs::rename(mount.path().join("other"), &path).expect("it is replaced");
    let mut content = [0; 3];
    replaced.read_exact_at(&mut content, 0).expect("readable");
    assert_eq!(&content, b"new");
    drop((file, replaced));
    assert_eq!(read(&path), "other");
}

#[test]
fn a_directory_that_was_removed_while_open_is_empty() {
    let mount = TestMount::new();
    let path = mount.path().join("d");
    fs::create_dir(&path).expect("a new directory");
    sh(&path, "rmdir ../d; test -z \"$(ls -A . 2>/dev/null)\"; ! touch new 2>/dev/null");
    assert!(!path.exists());
}

#[test]
fn appends_of_several_processes_do_not_overwrite_each_other() {
    let mount = TestMount::new();
    sh(
        mount.path(),
        "append() { for i in $(seq 500); do echo \"$1 $i\" >> log; done; }
         for p in a b c d; do append $p & done; wait",
    );
    let content = read(&mount.path().join("log"));
    assert_eq!(content.lines().count(), 2000);
    for process in ["a", "b", "c", "d"] {
        let prefix = format!("{process} ");
        let numbers = content.lines().filter_map(|line| line.strip_prefix(&prefix));
        assert!(numbers.map(str::to_owned).eq((1..=500).map(|n: i32| n.to_string())));
    }
}

#[test]
fn mappings_agree_with_reads_and_writes() {
    if !have(&["python3"]) {
        return;
    }
    let mut mount = TestMount::new();
    sh(
        mount.path(),
        r#"python3 - <<'END'
import mmap, os
with open('file', 'wb') as f: f.write(b'a' * 10000)
fd = os.open('file', os.O_RDWR)
shared = mmap.mmap(fd, 10000)
private = mmap.mmap(fd, 10000, flags=mmap.MAP_PRIVATE)
os.pwrite(fd, b'written', 5000)
assert shared[5000:5007] == b'written'
shared[100:106] = b'mapped'
assert os.pread(fd, 6, 100) == b'mapped'
private[200:207] = b'private'
assert os.pread(fd, 7, 200) == b'a' * 7 and shared[200:207] == b'a' * 7
shared.flush()
os.setxattr('.', 'user.vst.commit', b'while mapped')
shared[100:106] = b'LATER!'
shared.flush()
os.ftruncate(fd, 20000)
assert shared[100:106] == b'LATER!'
END"#,
    );
    let snapshot = fs::read(mount.snapshot("latest").join("file")).expect("readable");
    assert_eq!((&snapshot[100..106], &snapshot[5000..5007]), (&b"mapped"[..], &b"written"[..]));
    assert!(snapshot[200..207].iter().all(|byte| *byte == b'a'));
    mount.remount();
    let content = fs::read(mount.path().join("file")).expect("readable");
    assert_eq!((content.len(), &content[100..106]), (20000, &b"LATER!"[..]));
}

#[test]
fn holes_are_found_and_take_no_room() {
    let mount = TestMount::new();
    let mut file = read_write(&mount.path().join("file"));
    file.write_all_at(b"end", 3 << 40).expect("far out");
    file.write_all_at(b"start", 0).expect("writable");
    let find = |from| rustix::fs::seek(&file, from);
    let hole = find(rustix::fs::SeekFrom::Hole(0)).expect("there is one");
    assert!((5..=1 << 20).contains(&hole), "{hole}");
    let data = find(rustix::fs::SeekFrom::Data(hole)).expect("there is data");
    assert!(data <= 3 << 40 && data > 2 << 40, "{data}");
    let size = (3 << 40) + 3;
    assert_eq!(find(rustix::fs::SeekFrom::Hole(3 << 40)), Ok(size));
    assert_eq!(find(rustix::fs::SeekFrom::Data(size)), Err(Errno::NXIO));
    let meta = file.metadata().expect("it answers");
    assert_eq!(meta.len(), size);
    assert!(meta.blocks() < 2048, "{}", meta.blocks());
    file.seek(SeekFrom::Start(1 << 40)).expect("within the file");
    let mut zeros = [1; 4096];
    file.read_exact(&mut zeros).expect("readable");
    assert!(zeros.iter().all(|byte| *byte == 0));
    assert!(file.write_all_at(b"x", i64::MAX as u64).is_err());
}

#[test]
fn room_is_set_aside_punched_and_zeroed() {
    let mount = TestMount::new();
    let path = mount.path().join("file");
    let file = read_write(&path);
    file.write_all_at(&[b'x'; 100_000], 0).expect("writable");
    let allocate = |flags, from, len| rustix::fs::fallocate(&file, flags, from, len);
    allocate(FallocateFlags::KEEP_SIZE, 90_000, 100_000).expect("room");
    assert_eq!(file.metadata().expect("it answers").len(), 100_000);
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    allocate(punch, 10_000, 20_000).expect("a hole");
    allocate(FallocateFlags::ZERO_RANGE, 95_000, 10_000).expect("zeros");
    allocate(FallocateFlags::empty(), 100_000, 20_000).expect("room");
    let mut expected = vec![b'x'; 95_000];
    expected[10_000..30_000].fill(0);
    expected.resize(120_000, 0);
    assert!(fs::read(&path).expect("readable") == expected);
    assert_eq!(allocate(FallocateFlags::PUNCH_HOLE, 0, 1), Err(Errno::OPNOTSUPP));
    mount.commit("punched");
    assert!(fs::read(mount.snapshot("latest").join("file")).expect("readable") == expected);
}

#[test]
fn copies_within_the_kernel_and_past_its_cache_are_exact() {
    let mount = TestMount::new();
    let [from, to] = ["from", "to"].map(|name| mount.path().join(name));
    let content: Vec<u8> = (0..300_000u32).map(|n| (n / 7) as u8).collect();
    fs::write(&from, &content).expect("a new file");
    let (source, target) = (File::open(&from).expect("readable"), read_write(&to));
    let (mut read_at, mut write_at) = (0, 0);
    while read_at < 300_000 {
        let (from, to) = (Some(&mut read_at), Some(&mut write_at));
        let copied = rustix::fs::copy_file_range(&source, from, &target, to, 300_000);
        assert!(copied.expect("a copy") > 0);
    }
    assert!(fs::read(&to).expect("readable") == content);
    let dd =
        "dd if=from of=direct bs=4096 iflag=direct oflag=direct,dsync status=none; cmp from direct";
    sh(mount.path(), &format!("truncate -s 299008 from; {dd}"));
}

#[test]
fn truncation_cuts_and_extends_with_zeros() {
    let mount = TestMount::new();
    let path = mount.path().join("file");
    fs::write(&path, vec![b'x'; 200_000]).expect("a new file");
    mount.commit("long");
    let file = read_write(&path);
    file.set_len(100_001).expect("shorter");
    file.set_len(150_000).expect("longer");
    let content = fs::read(&path).expect("readable");
    assert!(content[..100_001].iter().all(|byte| *byte == b'x'));
    assert!(content.len() == 150_000 && content[100_001..].iter().all(|byte| *byte == 0));
    drop(File::create(&path).expect("truncated as it is opened"));
    assert_eq!(fs::metadata(&path).expect("there").len(), 0);
}

#[test]
fn times_have_nanoseconds_and_reach_before_1970() {
    let mut mount = TestMount::new();
    let path = mount.path().join("file");
    fs::write(&path, "").expect("a new file");
    let mut cases = vec![(1_234_567_890, 123_456_789), (-3, 0), (-1_000_000_000, 0), (0, 1)];
    if mount.transport() == "ring" {
        // The crate `fuser` takes the fraction for one before the second.
        cases.extend([(-3, 250_000_000), (-1, 999_999_999)]);
    }
    for (secs, nanos) in cases {
        let time = Timespec { tv_sec: secs, tv_nsec: nanos };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, &path, &times, rustix::fs::AtFlags::empty()).expect("a time");
        mount.remount();
        let meta = fs::metadata(&path).expect("there");
        assert_eq!((meta.mtime(), meta.mtime_nsec()), (secs, nanos));
        assert!(meta.ctime() > 1_700_000_000);
    }
}

#[test]
fn directories_with_setgid_pass_their_group_on() {
    if !is_root() {
        return;
    }
    let mount = TestMount::new();
    let shown = sh(
        mount.path(),
        "mkdir d plain; chgrp 123 d plain; chmod 2775 d; umask 022
         touch d/file plain/file; mkdir d/sub; mkfifo d/fifo
         stat -c '%n %g %a' d/file d/sub d/fifo plain/file",
    );
    let expected = "d/file 123 644\nd/sub 123 2755\nd/fifo 123 644\nplain/file 0 644\n";
    assert_eq!(shown, expected);
}

#[test]
fn permissions_bind_other_users_and_writes_of_theirs_clear_setuid() {
    if !is_root() || !have(&["setpriv"]) {
        return;
    }
    let mount = TestMount::with_options(&["--allow-other"]);
    let top = mount.path();
    sh(top.parent().expect("it has one"), "chmod 0755 .");
    let other = "setpriv --reuid 65534 --regid 65534 --clear-groups";
    sh(
        top,
        &format!(
            "echo x > secret; chmod 0600 secret; echo y > open; chmod 6777 open
             ! {other} cat secret 2>/dev/null; ! {other} touch new 2>/dev/null
             {other} sh -c 'echo more >> open'; test $(stat -c %a open) = 777
             chmod 6777 open; {other} truncate -s 1 open; test $(stat -c %a open) = 777
             chmod 6777 open; {other} sh -c ': > open'; test $(stat -c %a open) = 777
             chmod 6755 open; chown 65534 open; test $(stat -c %a open) = 755
             chmod 6755 open; echo root >> open; test $(stat -c %a open) = 6755
             mkdir -m 1777 tmp; echo z > tmp/mine; ! {other} rm -f tmp/mine 2>/dev/null
             {other} touch tmp/theirs; test $(stat -c %u:%g tmp/theirs) = 65534:65534
             ! {other} chown 0 tmp/theirs 2>/dev/null; {other} rm tmp/theirs"
        ),
    );
}

#[test]
fn attributes_are_created_replaced_listed_and_removed() {
    let mut mount = TestMount::new();
    let path = mount.path().join("file");
    fs::write(&path, "").expect("a new file");
    let set = |name, value, flags| rustix::fs::setxattr(&path, name, value, flags);
    assert_eq!(set("user.a", b"1", XattrFlags::REPLACE), Err(Errno::NODATA));
    assert_eq!(set("user.a", b"1", XattrFlags::CREATE), Ok(()));
    assert_eq!(set("user.a", b"2", XattrFlags::CREATE), Err(Errno::EXIST));
    assert_eq!(set("user.a", b"22", XattrFlags::REPLACE), Ok(()));
    assert_eq!(set("user.empty", b"", XattrFlags::empty()), Ok(()));
    assert_eq!(set("user.big", &[9; 60_000], XattrFlags::empty()), Ok(()));
    mount.commit("attributes");
    mount.remount();
    let mut buffer = vec![0; 65536];
    let len = rustix::fs::listxattr(&path, &mut buffer[..]).expect("a list");
    let mut names: Vec<_> = buffer[..len].split(|b| *b == 0).filter(|n| !n.is_empty()).collect();
    names.sort();
    assert_eq!(names, [&b"user.a"[..], b"user.big", b"user.empty"]);
    assert_eq!(rustix::fs::getxattr(&path, "user.a", &mut buffer[..]), Ok(2));
    assert_eq!(&buffer[..2], b"22");
    assert_eq!(rustix::fs::getxattr(&path, "user.empty", &mut buffer[..]), Ok(0));
    assert_eq!(rustix::fs::getxattr(&path, "user.big", &mut buffer[..]), Ok(60_000));
    assert_eq!(rustix::fs::getxattr(&path, "user.big", &mut buffer[..10]), Err(Errno::RANGE));
    rustix::fs::removexattr(&path, "user.a").expect("it is there");
    assert_eq!(rustix::fs::removexattr(&path, "user.a"), Err(Errno::NODATA));
    assert_eq!(rustix::fs::getxattr(&path, "user.a", &mut buffer[..]), Err(Errno::NODATA));
}

#[test]
fn access_control_lists_are_inherited_and_bind() {
    if !is_root() || !have(&["setfacl", "getfacl", "setpriv"]) {
        return;
    }
    let mount = TestMount::with_options(&["--allow-other"]);
    let top = mount.path();
    sh(top.parent().expect("it has one"), "chmod 0755 .");
    let shown = sh(
        top,
        "umask 077; mkdir d; chmod 755 d; setfacl -d -m u:65534:rwx,g::rx,o::- d
         mkdir d/sub; echo x > d/file; getfacl -cn d/sub d/file",
    );
    let sub = "user::rwx\nuser:65534:rwx\ngroup::r-x\nmask::rwx\nother::---\n\
        default:user::rwx\ndefault:user:65534:rwx\ndefault:group::r-x\ndefault:mask::rwx\n\
        default:other::---\n";
    let file = "user::rw-\nuser:65534:rwx\t#effective:rw-\ngroup::r-x\t#effective:r--\n\
        mask::rw-\nother::---\n";
    let tidy = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(tidy(&shown), tidy(&format!("{sub}{file}")));
    let other = "setpriv --reuid 65534 --regid 65534 --clear-groups";
    let third = "setpriv --reuid 65533 --regid 65533 --clear-groups";
    sh(
        top,
        &format!(
            "{other} cat d/file; ! {third} cat d/file 2>/dev/null; {other} touch d/sub/theirs
             chmod 600 d/file; ! {other} cat d/file 2>/dev/null
             chmod 660 d/file; {other} cat d/file; setfacl -b d/file; test $(stat -c %a d/file) = 640"
        ),
    );
}

#[test]
fn locks_keep_others_out() {
    if !have(&["flock", "python3"]) {
        return;
    }
    let mount = TestMount::new();
    let file = read_write(&mount.path().join("file"));
    rustix::fs::flock(&file, FlockOperation::LockExclusive).expect("a lock");
    sh(mount.path(), "! flock -n file true");
    rustix::fs::flock(&file, FlockOperation::Unlock).expect("no lock");
    sh(mount.path(), "flock -n file true");
    rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).expect("a lock");
    let try_lock = "python3 -c 'import fcntl; \
        fcntl.lockf(open(\"file\", \"r+\"), fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 10)'";
    assert!(!try_sh(mount.path(), try_lock).status.success());
    rustix::fs::fcntl_lock(&file, FlockOperation::Unlock).expect("no lock");
    sh(mount.path(), try_lock);
}

#[test]
fn a_listing_goes_on_while_what_it_lists_is_removed() {
    let mount = TestMount::new();
    let top = mount.path().join("d");
    fs::create_dir(&top).expect("a new directory");
    sh(&top, "seq 5000 | xargs touch; touch 'kept'");
    let mut seen = Vec::new();
    for entry in fs::read_dir(&top).expect("readable") {
        let name = entry.expect("the listing goes on").file_name();
        if name != "kept" {
            fs::remove_file(top.join(&name)).expect("listed once, and there");
        }
        seen.push(name);
    }
    assert_eq!(seen.len(), 5001);
    assert_eq!(sh(&top, "ls"), "kept\n");
    fs::remove_file(top.join("kept")).expect("there");
    fs::remove_dir(&top).expect("empty");
}

#[test]
fn names_are_any_bytes_up_to_255() {
    let mut mount = TestMount::new();
    let top = mount.path().to_owned();
    let mut names: Vec<Vec<u8>> =
        (1..=255).filter(|b| !matches!(b, b'/' | b'.')).map(|b| vec![b]).collect();
    names.extend([vec![0xfe; 255], b"a\n".repeat(127), "é".repeat(127).into_bytes()]);
    for name in &names {
        fs::write(top.join(OsString::from_vec(name.clone())), name).expect("a new file");
    }
    let too_long = OsString::from_vec(vec![b'x'; 256]);
    assert_eq!(errno(File::create(top.join(&too_long))), Errno::NAMETOOLONG);
    assert_eq!(errno(fs::metadata(top.join(&too_long))), Errno::NAMETOOLONG);
    mount.commit("names");
    mount.remount();
    names.sort();
    for directory in [top.clone(), mount.snapshot("latest")] {
        let entries = fs::read_dir(&directory).expect("readable");
        let mut listed: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().into_vec()).collect();
        listed.sort();
        assert_eq!(listed, names);
        for name in &names {
            let path = directory.join(OsString::from_vec(name.clone()));
            assert_eq!(&fs::read(path).expect("readable"), name);
        }
    }
}

#[test]
fn the_room_is_that_of_the_disk_below() {
    let mount = TestMount::new();
    let here = rustix::fs::statvfs(mount.path()).expect("it answers");
    let below = rustix::fs::statvfs(mount.store()).expect("it answers");
    assert_eq!(here.f_blocks * here.f_frsize, below.f_blocks * below.f_frsize);
    assert!(here.f_bavail <= here.f_bfree && here.f_bfree <= here.f_blocks);
    assert_eq!(here.f_namemax, 255);
}

#[test]
fn device_nodes_are_kept_but_do_nothing() {
    if !is_root() {
        return;
    }
    let mut mount = TestMount::new();
    let path = mount.path().join("null");
    sh(mount.path(), "mknod -m 0666 null c 1 3; mknod disk b 7 9");
    mount.commit("devices");
    mount.remount();
    let meta = fs::symlink_metadata(&path).expect("there");
    assert!(meta.file_type().is_char_device());
    assert_eq!(meta.rdev(), rustix::fs::makedev(1, 3));
    assert_eq!(meta.permissions().mode() & 0o777, 0o666);
    assert_eq!(errno(File::open(&path)), Errno::ACCESS);
}

#[test]
fn fifos_and_sockets_connect_those_who_open_them() {
    let mount = TestMount::new();
    sh(mount.path(), "mkfifo fifo; (echo through > fifo) & test \"$(cat fifo)\" = through; wait");
    let path = mount.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a new socket");
    let mut client = std::os::unix::net::UnixStream::connect(&path).expect("somebody listens");
    let (mut server, _) = listener.accept().expect("a client");
    client.write_all(b"hello").expect("connected");
    drop(client);
    let mut text = String::new();
    server.read_to_string(&mut text).expect("connected");
    assert_eq!(text, "hello");
}
