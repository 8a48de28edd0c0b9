//! `vst verify` beside a daemon that is at work.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::harness::TestMount;

/// How often the store is verified while somebody writes.
const ROUNDS: usize = 6;

#[test]
fn nothing_is_found_in_a_store_that_is_written_to() {
    let mount = TestMount::new();
    let end = AtomicBool::new(false);
    let rounds = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut round = 0;
            while !end.load(Ordering::Relaxed) {
                for n in 0..20 {
                    let text = format!("{round} {n}\n").repeat(1 + n * 500);
                    fs::write(mount.path().join(format!("file{n}")), text).unwrap();
                }
                fs::write(mount.path().join(".vst/commit"), format!("round {round}")).unwrap();
                round += 1;
            }
            round
        });
        for args in [&["verify"][..], &["verify", "--json"]].iter().cycle().take(ROUNDS) {
            let output = mount.vst(args);
            assert!(output.status.success(), "{output:?}");
            assert!(output.stderr.is_empty(), "{output:?}");
        }
        end.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    assert!(rounds > 0);
    let output = mount.vst_on_store(&["verify", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["damaged"], false, "{json:#}");
}

#[test]
fn a_mounted_store_is_not_repaired_and_the_mount_is_named() {
    let mut mount = TestMount::new();
    fs::write(mount.path().join("file"), "text").unwrap();
    mount.commit("a commit");
    let output = mount.vst_on_store(&["verify", "--repair"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    let umount = format!("`vst umount {}`", mount.path().display());
    assert!(stderr.starts_with("vst: ") && stderr.contains(&umount), "{stderr}");
    assert_eq!(fs::read_to_string(mount.path().join("file")).unwrap(), "text");
    mount.unmount();
    let output = mount.vst_on_store(&["verify", "--repair"]);
    assert!(output.status.success(), "{output:?}");
}
