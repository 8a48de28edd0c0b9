//! The part of `vst mount` that stays in front: starts the daemon and waits for it.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::ValueEnum;
use rustix::process::{Pid, Signal};

use super::MountArgs;
use super::checks::{Checked, MountRefusal};
use super::log_file::log_path;
use super::serve::READY;
use crate::cli::error::CliError;

/// This program, also when its file was replaced or removed.
const THIS_PROGRAM: &str = "/proc/self/exe";
/// How long a mount may take to answer; far beyond what it needs, for a busy machine.
const READY_TIMEOUT_SECS: u64 = 300;

/// Starts the daemon, and returns when its mount answers.
pub(super) fn start(args: &MountArgs, checked: &Checked) -> Result<(), CliError> {
    let mut daemon = Command::new(THIS_PROGRAM)
        .arg0("vst")
        .args(daemon_args(args, checked))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| CliError::io("starting the daemon", error))?;
    let (stdout, mountpoint) = (daemon.stdout.take(), checked.mountpoint.clone());
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        if let Some(stdout) = stdout {
            // No line comes if the daemon ends.
            let _ = BufReader::new(stdout).read_line(&mut line);
        }
        let _ = sender.send(line == READY && fs::metadata(mountpoint).is_ok());
    });
    match receiver.recv_timeout(Duration::from_secs(READY_TIMEOUT_SECS)) {
        Ok(true) => Ok(()),
        Ok(false) => {
            // It has ended, unless its mount answers with errors.
            terminate(&daemon);
            Err(failure(&mut daemon, checked))
        }
        Err(_) => {
            terminate(&daemon);
            let log = log_path(&checked.store);
            Err(MountRefusal::Timeout { timeout_secs: READY_TIMEOUT_SECS, log }.into())
        }
    }
}

/// Why a daemon ended that never was ready.
fn failure(daemon: &mut Child, checked: &Checked) -> CliError {
    match daemon.wait() {
        // It has said why.
        Ok(status) => match status.code().and_then(|code| u8::try_from(code).ok()) {
            Some(code) if code != 0 => CliError::Reported(code),
            _ => MountRefusal::Ended { status, log: log_path(&checked.store) }.into(),
        },
        Err(error) => CliError::io("waiting for the daemon", error),
    }
}

fn terminate(daemon: &Child) {
    if let Some(pid) = i32::try_from(daemon.id()).ok().and_then(Pid::from_raw) {
        // It is gone if this fails.
        let _ = rustix::process::kill_process(pid, Signal::TERM);
    }
}

/// The same command for the daemon, which does not know the current directory.
fn daemon_args(args: &MountArgs, checked: &Checked) -> Vec<OsString> {
    let mut list: Vec<OsString> =
        ["mount", "--foreground", "--report-ready"].map(OsString::from).into();
    let MountArgs { store: _, mountpoint: _, foreground: _, report_ready: _, .. } = args;
    let flags = [
        (args.read_only, "--read-only"),
        (args.allow_other, "--allow-other"),
        (args.dev, "--dev"),
        (args.enable_uring, "--enable-uring"),
        (args.without_journal, "--without-journal"),
    ];
    list.extend(flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag.into()));
    let values: [(&str, Option<String>); 8] = [
        ("--rev", args.rev.clone()),
        ("--threads", args.threads.map(|n| n.to_string())),
        ("--cache-size", args.cache_size.map(|n| n.to_string())),
        ("--dirty-size", args.dirty_size.map(|n| n.to_string())),
        ("--journal-size", args.journal_size.map(|n| n.to_string())),
        ("--auto-commit", args.auto_commit.map(|every| every.to_string())),
        ("--durability", args.durability.and_then(name_of)),
        ("--transport", args.transport.and_then(name_of)),
    ];
    for (option, value) in values {
        list.extend(value.map(|value| OsString::from(format!("{option}={value}"))));
    }
    list.push("--".into());
    list.push(checked.store.clone().into());
    list.push(checked.mountpoint.clone().into());
    list
}

/// What a value of an option is called.
fn name_of(value: impl ValueEnum) -> Option<String> {
    value.to_possible_value().map(|value| value.get_name().into())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use clap::Parser;

    use super::daemon_args;
    use crate::cli::mount::checks::Checked;
    use crate::cli::{Cli, Command};

    #[test]
    fn the_daemon_is_given_every_option() {
        let parse = |args: Vec<std::ffi::OsString>| {
            let cli = Cli::try_parse_from([vec!["vst".into()], args].concat()).unwrap();
            let Command::Mount(args) = cli.command else { panic!("it mounts") };
            args
        };
        let checked = Checked { store: PathBuf::from("/s"), mountpoint: PathBuf::from("/m") };
        for options in [
            "",
            "--read-only --allow-other --dev --threads 3 --cache-size 64M --durability strict",
            "--dirty-size 5M --journal-size 1G --without-journal",
            "--rev=-x",
            "--auto-commit 90s",
            "--auto-commit off",
            "--transport ring --enable-uring",
        ] {
            let words = ["mount"].into_iter().chain(options.split_whitespace());
            let words = words.chain(["/s", "/m"]).map(Into::into).collect();
            let mut args = parse(words);
            let again = parse(daemon_args(&args, &checked));
            (args.foreground, args.report_ready) = (true, true);
            assert_eq!(format!("{args:?}"), format!("{again:?}"));
        }
    }
}
