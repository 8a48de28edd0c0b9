//! What `--json` prints is what `vst help json` says of it: the table of commands and the list of
//! types there are read and held against the output of each.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::contract::Contract;
use crate::store::{TestStore, VST, text};

#[test]
fn every_command_that_has_json_is_documented() {
    let contract = Contract::read();
    let help = |args: &[&str]| {
        text(Command::new(VST).args(args).arg("--help").output().expect("it is built").stdout)
    };
    let top = help(&[]);
    let commands = top.split("Commands:\n").nth(1).expect("help lists them");
    let names: Vec<&str> = commands
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty())
        .collect();
    let documented: BTreeSet<&str> =
        contract.commands.keys().filter_map(|line| line.split(' ').nth(1)).collect();
    for name in names {
        let has_json = match name {
            "op" => true,
            _ => help(&[name]).contains("--json\n"),
        };
        assert_eq!(documented.contains(name), has_json, "vst help json, about {name}");
    }
}

#[test]
fn what_is_printed_is_what_is_documented() {
    let contract = Contract::read();
    let store = TestStore::with_commits();
    let mut wrong = Vec::new();
    let mut checked = BTreeSet::new();
    // What a documented command is typed as, in an order in which each has something to tell.
    for (documented, args) in [
        ("vst log --json", &["log", "--json", "--stat"][..]),
        ("vst log --json", &["log", "--json"]),
        ("vst show HEAD --json", &["show", "HEAD", "--json"]),
        ("vst blame-file PATH --json", &["blame-file", "file", "--json"]),
        ("vst ls HEAD --json", &["ls", "HEAD", "--json"]),
        ("vst diff --json", &["diff", "HEAD~2", "HEAD", "--json", "--stat"]),
        ("vst restore HEAD --json", &["restore", "HEAD~2", "file", "--json"]),
        ("vst diff --json", &["diff", "--json"]),
        ("vst status --json", &["status", "--json"]),
        ("vst status --json", &["status", "--ignored", "--json"]),
        ("vst commit --json", &["commit", "--json"]),
        ("vst restore HEAD --json", &["restore", "HEAD~1", "--json"]),
        ("vst undo --json", &["undo", "--json"]),
        ("vst undo --json", &["undo", "--json"]),
        ("vst status --json", &["status", "--json"]),
        ("vst tag v1 --json", &["tag", "v1", "--json"]),
        ("vst tag v1 --json", &["tag", "v2", "HEAD~1", "--json"]),
        ("vst tag v1 --json", &["tag", "-d", "v2", "--json"]),
        ("vst tag --json", &["tag", "--json"]),
        ("vst restore HEAD --to DIR --json", &["restore", "HEAD", "file", "--to", "a", "--json"]),
        ("vst export HEAD DIR --json", &["export", "HEAD", "b", "--json"]),
        ("vst export HEAD FILE.tar --json", &["export", "HEAD", "c.tar", "--json"]),
        ("vst export --git FILE --json", &["export", "--git", "history", "--json"]),
        ("vst import DIR --json", &["import", "b", "--into", "b", "--json"]),
        ("vst import DIR --json", &["import", "b", "--into", "c", "-m", "c", "--json"]),
        ("vst config --json", &["config", "--json"]),
        ("vst config KEY --json", &["config", "keep-last", "--json"]),
        ("vst config KEY --json", &["config", "keep-last", "9", "--json"]),
        ("vst gc --json", &["gc", "--keep-last", "1", "--json"]),
        ("vst op log --json", &["op", "log", "--json"]),
        ("vst verify --json", &["verify", "--json"]),
        ("vst verify --json", &["verify", "--repair", "--json"]),
        ("vst stats --json", &["stats", "--json"]),
    ] {
        wrong.extend(contract.wrong(documented, &args.join(" "), &store.ok(args)));
        checked.insert(documented.to_owned());
    }
    // An empty store of its own, and a mount: the mount tests try these.
    checked.extend(["vst import --git DIR --json", "vst watch --json"].map(str::to_owned));
    assert_eq!(wrong, [""; 0]);
    let all: BTreeSet<String> = contract.commands.keys().cloned().collect();
    assert_eq!(checked, all, "a documented command is not tried here");
}

#[test]
fn what_is_said_of_damage_is_what_is_documented() {
    let contract = Contract::read();
    let store = TestStore::with_commits();
    let packs = store.path().join("packs");
    for pack in std::fs::read_dir(&packs).expect("a store has packs") {
        let path = pack.expect("it can be read").path();
        let mut bytes = std::fs::read(&path).expect("it is a file");
        // In the middle of the content of an object.
        let at = bytes.len() / 2;
        bytes[at] ^= 0xff;
        std::fs::write(&path, bytes).expect("it is ours");
    }
    let output = store.run(&["verify", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let output = text(output.stdout);
    let value: Value = serde_json::from_str(&output).expect("it is JSON");
    assert_ne!(
        (&value["findings"], &value["hurt"]),
        (&Value::Array(vec![]), &Value::Array(vec![]))
    );
    assert_eq!(contract.wrong("vst verify --json", "verify", &output), [""; 0]);
}
