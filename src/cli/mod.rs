//! Layer 7: the command line, one file a subcommand.
//!
//! What a command prints for programs goes to stdout, what it has to say beside that to stderr.
//! An error is one line on stderr, `vst: ` and what is wrong and what to do about it. The exit
//! code is 0 if all was done, 1 if something failed and 2 if the command was not understood.

mod advice;
mod blame_file;
mod cat;
mod changes;
mod commit;
mod commit_view;
mod completions;
mod config;
mod daemon;
mod diff;
mod error;
mod export;
mod gc;
mod git;
mod help;
mod import;
mod listing;
mod log;
mod ls;
mod man;
mod mount;
mod mountinfo;
mod op;
mod paint;
mod patch;
mod paths;
mod place;
mod progress;
mod restore;
mod revision;
mod show;
mod stats;
mod status;
mod tag;
mod terminal;
mod time;
mod umount;
mod undo;
mod units;
mod usage;
mod users;
mod verify;
mod watch;
mod who;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use rustix::io::Errno;

use self::error::CliError;
use self::mountinfo::is_dead;
use self::terminal::Terminal;

/// A versioned filesystem: snapshot a whole working tree in microseconds.
///
/// `vst mount STORE DIR` shows the tree that STORE holds in DIR. Work there with any tool, and
/// take a snapshot of everything with `vst commit`, or with `touch DIR/.vst/commit`. Every
/// snapshot can be looked at, read-only, in DIR/.snapshots.
#[derive(Debug, Parser)]
#[command(name = "vst", version, max_term_width = 100, after_help = EXAMPLES)]
#[command(disable_help_subcommand = true, subcommand_required = true)]
struct Cli {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
A first look:
  vst mount ~/work.store ~/work    make a store and mount it
  cd ~/work                        the commands below find the store from here
  echo hello > file
  vst commit -m 'a beginning'      prints the id of the snapshot
  vst status                       what changed since
  vst diff -p                      and how, line by line
  vst log --stat                   all snapshots, what changed in each, and who changed it
  vst cat HEAD~1:file              a file as it was before the last one
  vst restore HEAD~1 file          and bring it back
  vst undo                         and take that back
  vst umount ~/work

A REV is the id of a commit or the beginning of one, a tag, HEAD, HEAD~3 (three commits before
it), or @{10 minutes ago}. `vst COMMAND --help` tells more about a command, and

  vst help revisions               how commits, and paths in them, are named
  vst help control-files           what .vst and .snapshots in the root of a mount are for
  vst help durability              what survives a crash, a power failure and a full disk
  vst help retention               which snapshots are kept, and when disk is freed
  vst help json                    what --json prints, command by command";

/// Options that tell every command where to work.
#[derive(Debug, Args)]
struct PlaceArgs {
    /// Run as if started in DIR, a directory inside a mounted tree
    #[arg(
        id = "place_directory",
        short = 'C',
        value_name = "DIR",
        global = true,
        help_heading = "Where"
    )]
    directory: Option<PathBuf>,
    /// Use this store, mounted or not, instead of the one mounted at the current directory
    #[arg(
        id = "place_store",
        long = "store",
        value_name = "STORE",
        global = true,
        help_heading = "Where"
    )]
    store: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Mount(mount::MountArgs),
    Umount(umount::UmountArgs),
    Commit(commit::CommitArgs),
    Status(status::StatusArgs),
    Diff(diff::DiffArgs),
    Log(log::LogArgs),
    BlameFile(blame_file::BlameFileArgs),
    Show(show::ShowArgs),
    Ls(ls::LsArgs),
    Cat(cat::CatArgs),
    Restore(restore::RestoreArgs),
    Undo(undo::UndoArgs),
    Op(op::OpArgs),
    Watch(watch::WatchArgs),
    Tag(tag::TagArgs),
    Import(import::ImportArgs),
    Export(export::ExportArgs),
    Gc(gc::GcArgs),
    Config(config::ConfigArgs),
    Verify(verify::VerifyArgs),
    Stats(stats::StatsArgs),
    Help(help::HelpArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Does what the arguments of the process say, and tells how it went.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage::report(&error),
    };
    let mut terminal = Terminal::new();
    match execute(&cli, &mut terminal).and_then(|()| Ok(terminal.flush()?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}

fn execute(cli: &Cli, terminal: &mut Terminal) -> Result<(), CliError> {
    if let Some(directory) = &cli.place.directory {
        std::env::set_current_dir(directory).map_err(|error| {
            match Errno::from_io_error(&error) {
                Some(errno) if is_dead(errno) => {
                    CliError::DeadMount { mountpoint: directory.clone() }
                }
                _ => CliError::io(format!("going to {}", directory.display()), error),
            }
        })?;
    }
    let store = cli.place.store.as_deref();
    match &cli.command {
        Command::Mount(_) | Command::Umount(_) if store.is_some() => {
            Err(CliError::StoreOptionNotTaken)
        }
        Command::Mount(args) => mount::run(args),
        Command::Umount(args) => umount::run(args),
        Command::Commit(args) => commit::run(args, store, terminal),
        Command::Status(args) => status::run(args, store, terminal),
        Command::Diff(args) => diff::run(args, store, terminal),
        Command::Log(args) => log::run(args, store, terminal),
        Command::BlameFile(args) => blame_file::run(args, store, terminal),
        Command::Show(args) => show::run(args, store, terminal),
        Command::Ls(args) => ls::run(args, store, terminal),
        Command::Cat(args) => cat::run(args, store, terminal),
        Command::Restore(args) => restore::run(args, store, terminal),
        Command::Undo(args) => undo::run(args, store, terminal),
        Command::Watch(args) => watch::run(args, store, terminal),
        Command::Op(args) => op::run(args, store, terminal),
        Command::Tag(args) => tag::run(args, store, terminal),
        Command::Import(args) => import::run(args, store, terminal),
        Command::Export(args) => export::run(args, store, terminal),
        Command::Gc(args) => gc::run(args, store, terminal),
        Command::Config(args) => config::run(args, store, terminal),
        Command::Verify(args) => verify::run(args, store, terminal),
        Command::Stats(args) => stats::run(args, store, terminal),
        Command::Help(args) => help::run(args, terminal),
        Command::Completions(args) => completions::run(args, terminal),
        Command::Man(args) => man::run(args, terminal),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::Cli;

    #[test]
    fn the_definition_of_the_commands_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn where_to_work_can_be_told_before_and_behind_every_command() {
        for command in [
            "commit",
            "status",
            "diff a",
            "log",
            "show a",
            "blame-file a",
            "ls a",
            "cat a:b",
            "restore a",
            "undo",
            "op log",
            "tag",
            "export a b",
            "export --git",
            "import a",
            "stats",
            "gc",
            "config",
            "watch",
        ] {
            for line in [format!("vst --store s -C d {command}"), format!("vst {command} -C d")] {
                let cli = Cli::try_parse_from(line.split(' ')).unwrap();
                assert_eq!(cli.place.directory.as_deref(), Some("d".as_ref()), "{line}");
            }
        }
    }
}
