//! Plain copies of what a mounted store holds, and its statistics.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use serde_json::Value;

use crate::harness::TestMount;
use crate::shell::{is_root, sh};
use crate::tree::Tree;

fn fill(top: &Path) {
    fs::create_dir_all(top.join("dir/below/empty")).expect("new directories");
    fs::write(top.join("dir/large"), vec![7; 3_000_000]).expect("a new file");
    fs::write(top.join("dir/below/\u{e9}\n"), "odd name").expect("a new file");
    fs::hard_link(top.join("dir/large"), top.join("dir/below/same")).expect("a new name");
    symlink("nowhere", top.join("symlink")).expect("a new link");
    rustix::fs::mknodat(CWD, top.join("fifo"), FileType::Fifo, Mode::RWXU, 0).expect("a fifo");
    sh(
        top,
        "truncate -s 50M sparse; printf x | dd of=sparse bs=1 seek=20M conv=notrunc status=none",
    );
    sh(top, "touch -d '2001-02-03 04:05:06.789' symlink -h; chmod 640 dir/large; chmod 2711 dir");
    sh(top, "setfacl -m u:12:rw dir/large; touch -d '1999-01-01' dir/below dir");
    rustix::fs::setxattr(top.join("dir/below"), "user.a", b"b", XattrFlags::empty())
        .expect("an attribute");
    if is_root() {
        sh(top, "chown 12:34 dir/large; chown -h 5:6 symlink; chown 7 dir/below");
    }
}

#[test]
fn a_plain_copy_is_the_tree_to_the_last_attribute() {
    let mount = TestMount::new();
    let top = mount.path();
    fill(top);
    let then = Tree::read(top);
    mount.commit("first");
    sh(top, "rm -rf dir; echo later > later");
    let out = tempfile::tempdir().expect("a directory");
    let copy = out.path().join("copy");
    let path = copy.to_str().expect("text");
    let output = mount.vst(&["export", "HEAD", path]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    Tree::read(&copy).assert_same(&then);
    let blocks = sh(&copy, "stat -c %b sparse");
    assert!(blocks.trim().parse::<u64>().expect("a number") < 2048, "{blocks}");
    // Over itself, and from outside of the mount.
    assert!(mount.vst_on_store(&["export", "-f", "HEAD", path]).status.success());
    Tree::read(&copy).assert_same(&then);
    // A part of it, into a directory that is there.
    let part = out.path().join("part");
    fs::create_dir(&part).expect("a new directory");
    let to = part.to_str().expect("text");
    assert!(mount.vst(&["restore", "HEAD", "dir/below", "--to", to]).status.success());
    let below = Tree::read(&part.join("dir/below"));
    let expected: Vec<&str> = vec![".", "empty", "same", "\u{e9}\n"];
    let names: Vec<&Path> = below.nodes.keys().map(AsRef::as_ref).collect();
    assert_eq!(names, expected.iter().map(Path::new).collect::<Vec<_>>());
    let meta = fs::metadata(part.join("dir")).expect("it was made");
    assert_eq!(meta.permissions().mode() & 0o7777, 0o2711);
    assert!(top.join("later").exists() && !top.join("dir").exists());
}

#[test]
fn who_may_not_make_something_gets_the_rest_and_is_told() {
    if !is_root() {
        // Nobody else can have made a device.
        return;
    }
    let mut mount = TestMount::new();
    let top = mount.path();
    fs::write(top.join("file"), "text").expect("a new file");
    sh(top, "mknod null c 1 3; mkdir closed; echo in > closed/file; chmod 500 closed");
    sh(top, "cp /bin/true suid; chmod 4755 suid; chmod 755 .");
    mount.commit("first");
    mount.unmount();
    let out = tempfile::tempdir().expect("a directory");
    fs::set_permissions(out.path(), fs::Permissions::from_mode(0o777)).expect("it is ours");
    let store = mount.store().display().to_string();
    sh(mount.store(), "chmod -R a+rX .");
    let vst = env!("CARGO_BIN_EXE_vst");
    let nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups";
    let script =
        format!("{nobody} {vst} --store {store} export HEAD copy 2>err && exit 3; cat err");
    sh(mount.store().parent().expect("it has one"), "chmod 711 .");
    let said = sh(out.path(), &script);
    assert!(said.contains("left out of null: a device: "), "{said}");
    assert!(said.ends_with("1 thing could not be written, as told above; all the rest is there\n"));
    let listed =
        sh(out.path(), "cd copy; find . -printf '%p %m %u\n' | sort | sed 's/ nobody$/ 65534/'");
    let expected =
        "./closed 500 65534\n./closed/file 644 65534\n./file 644 65534\n./suid 755 65534\n";
    assert!(listed.ends_with(expected), "{listed}");
    // A directory that its owner must not write to can be written over as well.
    let script = format!("{nobody} {vst} --store {store} restore HEAD closed file --to copy -f");
    sh(out.path(), &script);
    assert!(sh(out.path(), "find . -name '.vst-export*'").is_empty());
}

#[test]
fn stats_of_a_mount_tell_latencies() {
    let mount = TestMount::new();
    for n in 0..3 {
        fs::write(mount.path().join("file"), vec![n; 100_000]).expect("a new file");
        fs::write(mount.path().join("same"), vec![9; 100_000]).expect("a new file");
        mount.commit("more");
    }
    let output = mount.vst(&["stats", "--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!((&json["snapshots"], &json["commits"]["made"]), (&3.into(), &3.into()));
    assert_eq!(json["content"], serde_json::json!({"files": 6, "bytes": 600_000}));
    assert!(json["threads"].as_u64() > Some(1), "{json}");
    let text = String::from_utf8(mount.vst(&["stats"]).stdout).expect("text");
    for line in
        ["snapshots    3: 585.9 KiB in 6 files", "commits      3 since it was mounted: p50 "]
    {
        assert!(text.lines().any(|l| l.starts_with(line)), "{line}: {text}");
    }
    assert!(text.lines().any(|l| l.starts_with("journal      ") && l.ends_with(" of 512.0 MiB")));
}
