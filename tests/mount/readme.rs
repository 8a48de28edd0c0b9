//! The tour of the README, and what a mount tells programs: both are as they are written down.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::contract::Contract;
use crate::harness::{TestMount, detach};
use crate::shell::sh;
use crate::transcript;
use crate::watch::Watch;

const VST: &str = env!("CARGO_BIN_EXE_vst");

/// A directory in which the reader tries things. What is left mounted there goes away with it.
struct Playground {
    dir: TempDir,
}

impl Playground {
    fn new() -> Self {
        assert!(Path::new("/dev/fuse").exists(), "the mount tests need /dev/fuse");
        Self { dir: tempfile::Builder::new().prefix("vst-").tempdir().expect("a directory") }
    }

    fn mountpoint(&self) -> PathBuf {
        self.dir.path().canonicalize().expect("it is there").join("work")
    }
}

impl Drop for Playground {
    fn drop(&mut self) {
        // Where the tour came to its end there is nothing to do.
        let umount = Command::new(VST)
            .arg("umount")
            .arg(self.mountpoint())
            .current_dir("/")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !umount.is_ok_and(|status| status.success()) {
            detach(&self.mountpoint());
        }
    }
}

#[test]
fn the_tour_prints_what_the_readme_says() {
    let playground = Playground::new();
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let set_up = |bash: &mut Command| {
        let bin = Path::new(VST).parent().expect("it is in a directory");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let dirs = [bin.to_owned()].into_iter().chain(std::env::split_paths(&path));
        bash.env("PATH", std::env::join_paths(dirs).expect("no colon in it"));
        // As the one who wrote it.
        bash.current_dir(playground.dir.path()).env("TZ", "UTC").env("VST_AUTHOR", "root");
        bash.env_remove("VST_LOG");
    };
    transcript::run(&document, set_up, false);
    assert!(!playground.mountpoint().join(".vst").exists(), "the tour ends with an unmount");
}

#[test]
fn what_a_mount_tells_programs_is_what_is_documented() {
    let contract = Contract::read();
    let mut mount = TestMount::new();
    let mut wrong = Vec::new();
    let mut check = |documented: &str, args: &[&str]| {
        let output = mount.vst(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        let output = str::from_utf8(&output.stdout).expect("output is UTF-8");
        wrong.extend(contract.wrong(documented, &args.join(" "), output));
    };
    std::fs::write(mount.path().join("file"), "one\n").expect("it can be written");
    check("vst status --json", &["status", "--json"]);
    check("vst commit --json", &["commit", "--json"]);
    std::fs::write(mount.path().join("file"), "two\n").expect("it can be written");
    check("vst diff --json", &["diff", "--stat", "--json"]);
    check("vst restore HEAD --json", &["restore", "HEAD", "--json"]);
    check("vst undo --json", &["undo", "--json"]);
    check("vst tag v1 --json", &["tag", "v1", "--json"]);
    check("vst gc --json", &["gc", "--keep-last", "1", "--json"]);
    check("vst op log --json", &["op", "log", "--json"]);
    check("vst stats --json", &["stats", "--json"]);
    let watched = Watch::start(&mount, &["--since", &mount.head()]);
    std::fs::write(mount.path().join("file"), "three\n").expect("it can be written");
    mount.commit("told");
    // What was taken back came after HEAD as well.
    let mut last = false;
    while !last {
        let line = watched.next();
        last = line["message"] == "told";
        wrong.extend(contract.wrong("vst watch --json", "watch", &line.to_string()));
    }
    sh(mount.path(), "git init -q -b main ../git && echo x > ../git/f && git -C ../git add f");
    sh(mount.path(), "git -C ../git commit -q -m f");
    let git = mount.path().parent().expect("it is in a directory").join("git");
    let mut import = Command::new(VST);
    import.arg("--store").arg(git.with_file_name("new")).args(["import", "--git"]).arg(&git);
    let output = import.arg("--json").stdin(Stdio::null()).output().expect("it is built");
    let output = String::from_utf8(output.stdout).expect("output is UTF-8");
    wrong.extend(contract.wrong("vst import --git DIR --json", "import", &output));
    mount.unmount();
    assert!(watched.end().0.success());
    assert_eq!(wrong, [""; 0]);
}
