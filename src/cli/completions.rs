//! `vst completions`: what a shell needs to complete a command line.
//!
//! The installed program prints it, so that it fits the program whatever way that was installed.
//! Commands, options and paths are completed; the names of commits are not, because the part of
//! the library that would ask this program for them may still change from release to release.

use clap::{Arg, Args, Command, CommandFactory, ValueEnum};
use clap_complete::{Shell, generate};

use super::Cli;
use super::error::CliError;
use super::terminal::Terminal;

/// Print what a shell needs to complete the arguments of vst
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: ShellArg,
}

const EXAMPLES: &str = "\
Examples:
  vst completions bash > ~/.local/share/bash-completion/completions/vst
  vst completions zsh > ~/.zfunc/_vst       a directory that is in fpath before compinit runs
  vst completions fish > ~/.config/fish/completions/vst.fish";

/// A shell that completions are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ShellArg {
    Bash,
    Zsh,
    Fish,
}

/// Prints the completions.
pub(super) fn run(args: &CompletionsArgs, terminal: &mut Terminal) -> Result<(), CliError> {
    let shell = match args.shell {
        ShellArg::Bash => Shell::Bash,
        ShellArg::Zsh => Shell::Zsh,
        ShellArg::Fish => Shell::Fish,
    };
    let mut program = Cli::command();
    let mut script = Vec::new();
    generate(shell, &mut program, "vst", &mut script);
    let script = without_hidden(&String::from_utf8_lossy(&script), &program);
    Ok(terminal.bytes(script.as_bytes())?)
}

/// Takes the options that are not for people out of a script, as the library does not: zsh and fish
/// have a line for each option, and bash has all in a line.
fn without_hidden(script: &str, program: &Command) -> String {
    let hidden = hidden(program);
    let is_of_hidden = |line: &&str| {
        hidden.iter().any(|long| {
            line.contains(&format!("'--{long}[")) || line.contains(&format!(" -l {long} "))
        })
    };
    let mut script: String =
        script.split_inclusive('\n').filter(|line| !is_of_hidden(line)).collect();
    for long in &hidden {
        script = script.replace(&format!(" --{long} "), " ");
    }
    script
}

/// The options of commands that no help shows.
fn hidden(program: &Command) -> Vec<&str> {
    let options = program.get_subcommands().flat_map(Command::get_arguments);
    options.filter(|option| option.is_hide_set()).filter_map(Arg::get_long).collect()
}
