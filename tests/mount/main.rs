//! Tests through a real mount: the built `vst` binary, the kernel and the tools that people use.
//! They need `/dev/fuse`, and root or `fusermount3`.

mod archive;
mod auto_commit;
mod birth;
mod caches;
mod cli;
mod coherence;
mod collect;
mod concurrency;
mod config;
#[path = "../support/contract.rs"]
mod contract;
mod control;
mod crossing;
mod diff;
mod exchange;
mod export;
mod failure;
mod harness;
mod ignore;
mod import;
mod limits;
mod nameless;
mod posix;
mod provenance;
mod readme;
mod reference;
mod round_trip;
mod sharing;
mod shell;
mod tags;
mod tools;
#[path = "../support/transcript.rs"]
mod transcript;
mod transport;
mod tree;
mod undo;
mod unprivileged;
mod users;
mod verify;
mod watch;

/// The harness watched at work, as far as that needs no working mount.
mod harness_tests {
    use std::fs;

    use crate::harness::TestMount;

    #[test]
    fn a_daemon_that_ends_before_its_mount_answers_is_a_failure_with_its_status() {
        let mut mount = TestMount::prepare();
        fs::create_dir(mount.store()).expect("an empty directory in a new one");
        fs::write(mount.store().join("file"), "no store").expect("a file in it");
        let failure = mount.start(&[]).expect_err("a directory with files is no store");
        assert!(failure.status.is_some(), "{failure}");
        assert!(!mount.is_mounted());
    }
}
