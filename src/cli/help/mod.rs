//! `vst help`: the help of a command, or a topic that concerns several.

mod topics;

use clap::{Args, Command, CommandFactory};

use super::Cli;
use super::error::CliError;
use super::terminal::Terminal;
use crate::base::nearest;

pub(super) use topics::{TOPICS, Topic};

/// Explain a command or a topic
///
/// Topics explain what concerns several commands: revisions, control-files, durability, retention,
/// json.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct HelpArgs {
    /// What to explain; all commands are listed if it is not told
    #[arg(value_name = "COMMAND|TOPIC")]
    words: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  vst help restore                      what `vst restore --help` says
  vst help op log
  vst help revisions                    all ways to name a commit
  vst help json                         what every --json prints";

/// Prints help.
pub(super) fn run(args: &HelpArgs, terminal: &mut Terminal) -> Result<(), CliError> {
    let mut program = Cli::command();
    program.build();
    if let Some(command) = find_command(&program, &args.words) {
        return Ok(command.clone().print_long_help()?);
    }
    let topic = find_topic(&args.words).ok_or_else(|| unknown(&program, &args.words))?;
    terminal.line(&format!("{}\n", topic.about))?;
    Ok(terminal.bytes(topic.text.as_bytes())?)
}

/// The command that words name: the program itself if there are none.
pub(super) fn find_command<'a>(program: &'a Command, words: &[String]) -> Option<&'a Command> {
    words.iter().try_fold(program, |command, word| {
        command.find_subcommand(word).filter(|command| !command.is_hide_set())
    })
}

/// The topic of this name.
pub(super) fn find_topic(words: &[String]) -> Option<&'static Topic> {
    let [word] = words else { return None };
    TOPICS.iter().find(|topic| topic.name == word)
}

/// The error for words that name neither, with what comes near them.
pub(super) fn unknown(program: &Command, words: &[String]) -> CliError {
    let commands = program.get_subcommands().filter(|command| !command.is_hide_set());
    let names = commands.map(Command::get_name).chain(TOPICS.iter().map(|topic| topic.name));
    let text = words.join(" ");
    CliError::NoHelp { nearest: nearest(&text, names), text }
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::{TOPICS, find_command};
    use crate::cli::Cli;

    /// Calls `check` with every command that is to be seen.
    fn each(command: &Command, check: &mut dyn FnMut(&Command)) {
        check(command);
        for below in command.get_subcommands().filter(|command| !command.is_hide_set()) {
            each(below, check);
        }
    }

    fn program() -> Command {
        let mut program = Cli::command();
        program.build();
        program
    }

    /// The command lines of this program among examples. What stands behind three blanks or more
    /// tells of it, and other programs come behind `|`, `>` and `&&`.
    fn examples(help: &str) -> Vec<Vec<String>> {
        let lines = help.lines().filter_map(|line| line.strip_prefix("  "));
        let lines = lines.filter(|line| line.starts_with("vst "));
        lines
            .map(|line| {
                let end = [" | ", " > ", " && ", "   "].iter().filter_map(|at| line.find(at)).min();
                words(&line[..end.unwrap_or(line.len())])
            })
            .collect()
    }

    /// Splits at blanks that are not in single quotes.
    fn words(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        for (at, part) in line.split('\'').enumerate() {
            for (at, piece) in part.split(if at % 2 == 0 { ' ' } else { '\'' }).enumerate() {
                if at > 0 {
                    words.push(String::new());
                }
                words.last_mut().unwrap().push_str(piece);
            }
        }
        words.retain(|word| !word.is_empty());
        words
    }

    #[test]
    fn every_command_has_examples_which_the_parser_understands() {
        each(&program(), &mut |command| {
            let name = command.get_display_name().unwrap_or(command.get_name());
            assert!(command.get_about().is_some(), "{name} does not say what it does");
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples = examples(&help);
            let own = name.replace('-', " ");
            let is_own = |words: &Vec<String>| {
                // Where one command ends and the next one begins is not told.
                let line = words.join(" ").replace('-', " ");
                line == own || line.starts_with(&format!("{own} "))
            };
            assert!(examples.iter().any(is_own), "{name} has no example of itself: {help}");
            for words in examples {
                let parsed = Cli::command().try_get_matches_from(&words);
                let is_help = parsed.as_ref().is_err_and(|error| !error.use_stderr());
                assert!(parsed.is_ok() || is_help, "{name}: {words:?}: {parsed:?}");
            }
        });
    }

    #[test]
    fn every_option_says_what_it_is_for() {
        each(&program(), &mut |command| {
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {argument}", command.get_name());
            }
        });
    }

    #[test]
    fn topics_are_told_of_and_are_no_commands() {
        let program = program();
        let help = program.get_after_help().unwrap().to_string();
        let own = find_command(&program, &["help".to_owned()]).unwrap();
        let own = own.get_long_about().unwrap().to_string();
        for topic in TOPICS {
            assert!(help.contains(&format!("\n  vst help {}  ", topic.name)), "{help}");
            assert!(own.contains(topic.name), "{own}");
            assert!(program.find_subcommand(topic.name).is_none());
            assert!(topic.text.ends_with('\n') && !topic.text.ends_with("\n\n"));
            for line in topic.text.lines() {
                assert!(line.chars().count() <= 100 && line == line.trim_end(), "{line}");
            }
            for words in examples(topic.text) {
                let parsed = Cli::command().try_get_matches_from(&words);
                assert!(parsed.is_ok(), "{}: {words:?}: {parsed:?}", topic.name);
            }
        }
    }
}
