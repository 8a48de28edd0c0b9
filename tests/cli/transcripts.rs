//! What a person sees: the transcripts beside this file, run on a store that is not mounted.

use std::path::Path;

use crate::store::{TestStore, VST};
use crate::transcript;

/// Runs a transcript with a new store of three commits, in the directory where that is.
fn check(name: &str) {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/transcripts").join(name);
    let store = TestStore::with_commits();
    let set_up = |bash: &mut std::process::Command| {
        let bin = Path::new(VST).parent().expect("it is in a directory");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let dirs = [bin.to_owned()].into_iter().chain(std::env::split_paths(&path));
        bash.env("PATH", std::env::join_paths(dirs).expect("no colon in it"));
        bash.current_dir(store.directory()).env("TZ", "UTC").env("VST_AUTHOR", "root");
        bash.env_remove("VST_LOG");
    };
    transcript::run(&document, set_up, true);
}

#[test]
fn history_looks_as_written_down() {
    check("history.md");
}

#[test]
fn changes_look_as_written_down() {
    check("changes.md");
}

#[test]
fn collections_and_checks_look_as_written_down() {
    check("upkeep.md");
}

#[test]
fn errors_look_as_written_down() {
    check("errors.md");
}

#[test]
fn colours_and_widths_follow_the_terminal_as_written_down() {
    if std::process::Command::new("script").arg("--version").output().is_err() {
        eprintln!("skipped: `script` of util-linux makes the terminal");
        return;
    }
    check("terminal.md");
}
