//! `vst mount`.
//!
//! The command starts itself once more as the daemon, in the background, and waits until the
//! mount answers or the daemon has said what is wrong. With `--foreground` it is the daemon.

mod checks;
mod log_file;
mod serve;
mod start;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use self::checks::Checked;
pub(super) use self::checks::MountRefusal;
use super::error::CliError;
use super::units::parse_size;
use crate::base::limits::{DIRTY_BYTES_MAX_MIN, JOURNAL_BYTES_MAX_MIN};
use crate::fuse::Transport;
use crate::model::AutoCommit;
use crate::store::Durability;

/// Mount a store, so that its tree can be worked in
///
/// STORE is a directory that vst keeps everything in. It is made when it does not exist. The
/// command returns when the mount is ready; the daemon goes on in the background, and writes
/// what it has to say to STORE/vst.log.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct MountArgs {
    /// The directory of the store; made if it is missing
    store: PathBuf,
    /// An existing directory to mount it on; what is in it is hidden meanwhile
    mountpoint: PathBuf,
    /// Refuse all changes
    #[arg(long)]
    read_only: bool,
    /// Mount one snapshot instead of the living tree, read-only
    #[arg(long, value_name = "REV", conflicts_with = "durability")]
    rev: Option<String>,
    /// Let other users in, as far as permissions allow
    #[arg(long)]
    allow_other: bool,
    /// Let device nodes in the tree work
    #[arg(long)]
    dev: bool,
    /// How requests come from the kernel: as with auto unless told
    #[arg(long, value_enum, value_name = "HOW")]
    transport: Option<TransportArg>,
    /// Turn on FUSE over io_uring, which Linux has since 6.14 and keeps off; it stays on for mounts
    /// that come after; needs root
    #[arg(long)]
    enable_uring: bool,
    /// Threads that answer requests, where they come from /dev/fuse
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Memory for what was read from the store, such as 64M or 1G
    #[arg(long, value_name = "BYTES", value_parser = parse_cache_size)]
    cache_size: Option<usize>,
    /// Memory for what was written and is not in the store yet, such as 64M; who writes more waits
    #[arg(long, value_name = "BYTES", value_parser = parse_dirty_size)]
    dirty_size: Option<u64>,
    /// Disk for the journal, such as 128M; who fills it waits for a checkpoint
    #[arg(long, value_name = "BYTES", value_parser = parse_journal_size)]
    journal_size: Option<u64>,
    /// What a commit waits for
    #[arg(long, value_enum, value_name = "MODE")]
    durability: Option<DurabilityArg>,
    /// Commit every TIME if anything changed, such as 30s or 5m, or off; `vst config auto-commit`
    /// counts otherwise
    #[arg(long, value_name = "TIME", conflicts_with_all = ["read_only", "rev"])]
    auto_commit: Option<AutoCommit>,
    /// Put nothing into the journal, to measure what it costs: what was done since the last
    /// checkpoint is lost with the daemon
    #[arg(long, hide = true)]
    without_journal: bool,
    /// Stay in the foreground, and write the log to stderr
    #[arg(long)]
    foreground: bool,
    /// Run as the daemon: tell on stdout when the mount answers
    #[arg(long, hide = true, requires = "foreground")]
    report_ready: bool,
}

const EXAMPLES: &str = "\
Examples:
  vst mount ~/work.store ~/work
  vst mount --auto-commit 30s ~/work.store ~/work
  vst mount --rev '@{1 day ago}' ~/work.store /mnt/yesterday

VST_LOG sets what is logged: error, warn, info (the default), debug or trace.
VST_AUTHOR sets who commits; it is the name of the user otherwise.
`vst umount` ends it, and so do SIGTERM and SIGINT; everything is then on the disk.";

/// What a commit waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DurabilityArg {
    /// Commits survive the death of the daemon; a power failure can cost the last second
    Fast,
    /// Commits are on the disk when they return
    Strict,
}

impl From<DurabilityArg> for Durability {
    fn from(arg: DurabilityArg) -> Self {
        match arg {
            DurabilityArg::Fast => Self::Fast,
            DurabilityArg::Strict => Self::Strict,
        }
    }
}

/// How requests come from the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TransportArg {
    /// Through rings where the kernel has them turned on, otherwise from /dev/fuse
    Auto,
    /// From /dev/fuse, on whatever CPU the daemon wakes
    Fuser,
    /// Through rings of io_uring, each request on the CPU where it is made, or not at all
    Ring,
}

impl From<TransportArg> for Transport {
    fn from(arg: TransportArg) -> Self {
        match arg {
            TransportArg::Auto => Self::Auto,
            TransportArg::Fuser => Self::Fuser,
            TransportArg::Ring => Self::Ring,
        }
    }
}

fn parse_cache_size(text: &str) -> Result<usize, String> {
    let bytes = parse_size(text).map_err(|error| error.to_string())?;
    usize::try_from(bytes).map_err(|_| "too large".to_owned())
}

fn parse_dirty_size(text: &str) -> Result<u64, String> {
    parse_size_of_at_least(text, DIRTY_BYTES_MAX_MIN)
}

fn parse_journal_size(text: &str) -> Result<u64, String> {
    parse_size_of_at_least(text, JOURNAL_BYTES_MAX_MIN)
}

fn parse_size_of_at_least(text: &str, min: u64) -> Result<u64, String> {
    match parse_size(text) {
        Ok(bytes) if bytes < min => Err(format!("it takes {} MiB at least", min >> 20)),
        parsed => parsed.map_err(|error| error.to_string()),
    }
}

/// Mounts.
pub(super) fn run(args: &MountArgs) -> Result<(), CliError> {
    let checked = Checked::new(args)?;
    match args.foreground {
        true => serve::serve(args, &checked),
        false => start::start(args, &checked),
    }
}
