//! The tools that people use, run as they run them.
#![allow(dead_code, reason = "a box of tools, of which a test takes what it needs")]

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs a script in a directory and returns what it prints. Any command of it that fails is a
/// failure of the test.
#[track_caller]
pub(crate) fn sh(directory: &Path, script: &str) -> String {
    let output = try_sh(directory, script);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{script}\nended with {}\nstdout: {text}\nstderr: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// Runs a script that may fail.
#[track_caller]
pub(crate) fn try_sh(directory: &Path, script: &str) -> Output {
    command(directory, script).output().expect("bash is there")
}

/// Runs a script that may fail as another user, who is in the group of the same number alone. Only
/// root may.
#[track_caller]
pub(crate) fn try_sh_as(user: u32, directory: &Path, script: &str) -> Output {
    command(directory, script).uid(user).gid(user).output().expect("bash is there")
}

fn command(directory: &Path, script: &str) -> Command {
    let mut command = Command::new("bash");
    command
        .args(["-eu", "-o", "pipefail", "-c", script])
        .current_dir(directory)
        .stdin(Stdio::null())
        // No configuration of the one who runs the tests has a part in them.
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        // git goes on with its housekeeping in the background otherwise, and keeps the mount busy.
        .env("GIT_CONFIG_COUNT", "2")
        .env("GIT_CONFIG_KEY_0", "maintenance.auto")
        .env("GIT_CONFIG_VALUE_0", "false")
        .env("GIT_CONFIG_KEY_1", "gc.autoDetach")
        .env("GIT_CONFIG_VALUE_1", "false")
        .env("GIT_AUTHOR_NAME", "A")
        .env("GIT_AUTHOR_EMAIL", "a@example.com")
        .env("GIT_COMMITTER_NAME", "A")
        .env("GIT_COMMITTER_EMAIL", "a@example.com")
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS");
    command
}

/// A script that makes a crate in the directory where it runs, whose program says that it runs.
pub(crate) const MAKE_CRATE: &str = "mkdir src
    printf '[package]\\nname = \"krate\"\\nversion = \"0.1.0\"\\nedition = \"2021\"\\n' > Cargo.toml
    echo 'fn main() { println!(\"it runs\"); }' > src/main.rs";

/// Tells whether all of these programs are there, and says which is not.
pub(crate) fn have(programs: &[&str]) -> bool {
    programs.iter().all(|program| {
        let found = Command::new("sh")
            .args(["-c", "command -v -- \"$0\"", program])
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !found {
            eprintln!("skipped: {program} is not installed");
        }
        found
    })
}

/// Tells whether the tests run as root, which some of what they do needs.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
