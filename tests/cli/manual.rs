//! Completions, as bash makes use of them, and the manual, as groff sets it. They need both.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::store::{VST, one_error, text};

fn vst(args: &[&str]) -> Command {
    let mut command = Command::new(VST);
    command.args(args).current_dir("/");
    command
}

#[track_caller]
fn ok(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    text(output.stdout)
}

/// What bash proposes for the last of these words.
fn proposed(script: &str, words: &[&str]) -> BTreeSet<String> {
    let drive = "source /dev/stdin <<<\"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                 entry=$(complete -p vst); [[ $entry =~ -F\\ ([^ ]+) ]]; \
                 \"${BASH_REMATCH[1]}\" vst \"${COMP_WORDS[COMP_CWORD]}\" \
                 \"${COMP_WORDS[COMP_CWORD - 1]}\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", drive, "bash", script]).args(words).current_dir("/");
    ok(&mut bash).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_options() {
    let script = ok(&mut vst(&["completions", "bash"]));
    ok(Command::new("bash").args(["-n", "-c", &script]));
    let set = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(proposed(&script, &["vst", "comm"]), set(&["commit"]));
    assert!(proposed(&script, &["vst", ""]).is_superset(&set(&["restore", "undo", "help"])));
    assert_eq!(proposed(&script, &["vst", "commit", "--a"]), set(&["--allow-empty"]));
    assert!(proposed(&script, &["vst", "op", "log", "--"]).is_superset(&set(&["--json"])));
    assert_eq!(proposed(&script, &["vst", "mount", "--durability", ""]), set(&["fast", "strict"]));
    assert!(proposed(&script, &["vst", "restore", "HEAD", "--to", "/et"]).contains("/etc"));
}

#[test]
fn every_shell_gets_every_command() {
    let help = ok(&mut vst(&["--help"]));
    let commands = help.split("Commands:\n").nth(1).expect("help lists them");
    let commands: Vec<&str> = commands
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|word| !word.is_empty())
        .collect();
    assert!(commands.len() > 15, "{commands:?}");
    for shell in ["bash", "zsh", "fish"] {
        let script = ok(&mut vst(&["completions", shell]));
        for command in &commands {
            assert!(script.contains(command), "{shell} knows no {command}");
        }
        assert!(!script.contains("report-ready"), "{shell} proposes what is hidden");
    }
    assert!(one_error(vst(&["completions", "tcsh"]).output().expect("built"), 2).contains("fish"));
}

#[test]
fn every_page_of_the_manual_can_be_set_without_a_warning() {
    let dir = tempfile::tempdir().expect("a directory");
    let tree = dir.path().join("new/man");
    ok(vst(&["man", "--dir"]).arg(&tree));
    let mut names = BTreeSet::new();
    for section in ["man1", "man7"] {
        for page in fs::read_dir(tree.join(section)).expect("it was made") {
            let name = page.expect("it can be read").file_name();
            names.insert(format!("{section}/{}", name.to_str().expect("a text")));
        }
    }
    for name in ["man1/vst.1", "man1/vst-commit.1", "man1/vst-op-log.1", "man7/vst-revisions.7"] {
        assert!(names.contains(name), "{name}: {names:?}");
    }
    for name in &names {
        let mut groff = Command::new("groff");
        groff
            .args(["-man", "-Kutf8", "-Tutf8", "-ww", "-rLL=100n", "-P-cbou"])
            .arg(tree.join(name));
        let page = ok(&mut groff);
        assert!(page.contains("NAME\n") && page.contains("vst"), "{name}: {page}");
    }
}

#[test]
fn a_page_has_its_examples_line_by_line() {
    let page = ok(&mut vst(&["man", "restore"]));
    let line = "\n  vst restore HEAD                      drop all changes since the last commit\n";
    assert!(page.replace("\\-", "-").contains(line), "{page}");
    assert!(ok(&mut vst(&["man"])).contains(".TH vst 1 "));
    assert!(ok(&mut vst(&["man", "op", "log"])).replace("\\-", "-").contains(".TH vst-op-log 1 "));
    let line = one_error(vst(&["man", "restor"]).output().expect("built"), 2);
    assert!(line.contains("there is restore"), "{line}");
}

#[test]
fn help_explains_commands_and_topics() {
    assert_eq!(ok(&mut vst(&["help"])), ok(&mut vst(&["--help"])));
    assert_eq!(ok(&mut vst(&["help", "restore"])), ok(&mut vst(&["restore", "--help"])));
    assert_eq!(ok(&mut vst(&["help", "op", "log"])), ok(&mut vst(&["op", "log", "--help"])));
    let topic = ok(&mut vst(&["help", "revisions"]));
    assert!(topic.starts_with("how commits, and paths in them, are named\n\n"), "{topic}");
    for (words, says) in [
        (&["revision"][..], "\"revision\", but there is revisions; "),
        (&["restroe"], "but there is restore; "),
        (&["blame"], "but there is blame-file; "),
        (&["frobnicate"], "no help on \"frobnicate\"; `vst help` lists "),
        (&["op", "frobnicate"], "no help on \"op frobnicate\"; "),
    ] {
        let mut args = vec!["help"];
        args.extend(words);
        let line = one_error(vst(&args).output().expect("built"), 2);
        assert!(line.contains(says), "{line}");
    }
}
