//! `vst man`: the manual, made of what `--help` and `vst help` say, so that none of them can tell
//! something else than the others.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::Cli;
use super::error::CliError;
use super::help::{TOPICS, Topic, find_command, find_topic, unknown};
use super::terminal::Terminal;

/// Print a page of the manual, or write all pages into a directory
///
/// There is a page for each command in section 1, `man1/vst-commit.1` for `vst commit`, and one for
/// each topic of `vst help` in section 7, as in `man7/vst-revisions.7`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ManArgs {
    /// Write all pages into this directory, which `man` looks into; it is made if it is missing
    #[arg(long, value_name = "DIR", conflicts_with = "words")]
    dir: Option<PathBuf>,
    /// The command or topic whose page is printed; `vst` itself if not told
    #[arg(value_name = "COMMAND|TOPIC")]
    words: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  vst man restore | man -l -            one page, without installing any
  vst man --dir ~/.local/share/man      then `man vst` and `man vst-restore` work";

/// Prints or writes the manual.
pub(super) fn run(args: &ManArgs, terminal: &mut Terminal) -> Result<(), CliError> {
    let mut program = Cli::command();
    program.build();
    if let Some(dir) = &args.dir {
        return write_all(&program, dir);
    }
    let page = match (find_command(&program, &args.words), find_topic(&args.words)) {
        (Some(command), _) => command_page(command)?,
        (None, Some(topic)) => topic_page(topic)?,
        (None, None) => return Err(unknown(&program, &args.words)),
    };
    Ok(terminal.bytes(&page)?)
}

/// Writes the pages of a command, of all commands below it, and of the topics.
fn write_all(program: &Command, dir: &Path) -> Result<(), CliError> {
    let write = |section: &str, name: &str, page: &[u8]| {
        let dir = dir.join(section);
        fs::create_dir_all(&dir)
            .map_err(|error| CliError::io(format!("making {}", dir.display()), error))?;
        let path = dir.join(name);
        fs::write(&path, page)
            .map_err(|error| CliError::io(format!("writing {}", path.display()), error))
    };
    let mut commands = vec![program];
    while let Some(command) = commands.pop() {
        let name = Man::new(command.clone()).get_filename();
        write("man1", &name, &command_page(command)?)?;
        commands.extend(command.get_subcommands().filter(|command| !command.is_hide_set()));
    }
    TOPICS
        .iter()
        .try_for_each(|topic| write("man7", &format!("vst-{}.7", topic.name), &topic_page(topic)?))
}

/// The page of a command. What follows the options in its help has examples whose lines are to
/// stay as they are, which the library would fill.
fn command_page(command: &Command) -> Result<Vec<u8>, CliError> {
    let version = format!("vst {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).source(version).manual("Manual of vst");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let mut roff = Roff::default();
    if let Some(help) = command.get_after_help() {
        roff.control("SH", ["NOTES AND EXAMPLES"]);
        body(&mut roff, &help.to_string());
    }
    roff.to_writer(&mut page)?;
    Ok(page)
}

fn topic_page(topic: &Topic) -> Result<Vec<u8>, CliError> {
    let name = format!("vst-{}", topic.name);
    let version = format!("vst {}", env!("CARGO_PKG_VERSION"));
    let mut roff = Roff::default();
    roff.control("TH", [name.as_str(), "7", "", &version, "Manual of vst"]);
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{name} - {}", topic.about))]);
    roff.control("SH", ["DESCRIPTION"]);
    body(&mut roff, topic.text);
    let mut page = Vec::new();
    roff.to_writer(&mut page)?;
    Ok(page)
}

/// Adds paragraphs. Lines that begin with a blank stay as they are, others are filled.
fn body(roff: &mut Roff, text: &str) {
    for paragraph in text.split("\n\n") {
        roff.control("PP", []);
        let mut is_plain = false;
        for line in paragraph.lines() {
            let plain = line.starts_with(' ');
            if plain != is_plain {
                roff.control(if plain { "nf" } else { "fi" }, []);
                is_plain = plain;
            }
            roff.text([roman(line)]);
        }
        if is_plain {
            roff.control("fi", []);
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::{TOPICS, command_page, topic_page};
    use crate::cli::Cli;

    /// What a reader sees of a page, as far as this test has to know.
    fn unescape(page: Vec<u8>) -> String {
        let page = String::from_utf8(page).unwrap();
        page.replace("\\-", "-").replace("\\fB", "").replace("\\fR", "").replace("\\fI", "")
    }

    fn check(command: &Command) {
        let page = unescape(command_page(command).unwrap());
        let name = command.get_display_name().unwrap_or(command.get_name());
        assert!(page.contains(&format!("\n.TH {name} 1 ")), "{page}");
        assert!(page.contains(&format!("\n{name} - ")), "{page}");
        for option in command.get_arguments() {
            let Some(long) = option.get_long() else { continue };
            // A word of its own: `--force` is not found in `--force-all`.
            let is_there = page
                .match_indices(&format!("--{long}"))
                .any(|(at, found)| !page[at + found.len()..].starts_with(char::is_alphanumeric));
            assert_eq!(is_there, !option.is_hide_set(), "{name} --{long}: {page}");
        }
        for below in command.get_subcommands() {
            assert!(page.contains(&format!("{}(1)", below.get_display_name().unwrap())), "{page}");
            check(below);
        }
    }

    #[test]
    fn every_command_has_a_page_with_all_its_options() {
        let mut program = Cli::command();
        program.build();
        check(&program);
    }

    #[test]
    fn every_topic_has_a_page_whose_examples_keep_their_lines() {
        for topic in TOPICS {
            let page = unescape(topic_page(topic).unwrap());
            assert!(page.contains(&format!("\n.TH vst-{} 7 ", topic.name)), "{page}");
            assert_eq!(page.matches("\n.nf\n").count(), page.matches("\n.fi\n").count());
            assert!(page.contains("\n.nf\n  "), "no example: {page}");
        }
    }
}
