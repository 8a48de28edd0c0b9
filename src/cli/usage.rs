//! What the command line parser has to say, in one line.

use std::process::ExitCode;

use clap::error::ErrorKind;

use super::error::report_line;

/// The exit code for a command that was not understood.
pub(super) const USAGE_EXIT_CODE: u8 = 2;

/// Prints help where that was asked for, otherwise what is wrong with the arguments.
pub(super) fn report(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Nothing is left to do for a reader that has gone away.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            report_line(
                "say what to do, for example `vst status`; `vst --help` lists all commands",
            );
            ExitCode::from(USAGE_EXIT_CODE)
        }
        _ => {
            report_line(&one_line(&error.render().to_string()));
            ExitCode::from(USAGE_EXIT_CODE)
        }
    }
}

/// Takes from the parser's text, which has a paragraph for each, what is wrong, the tips and the
/// usage.
fn one_line(text: &str) -> String {
    let mut paragraphs = text.split("\n\n");
    let what = paragraphs.next().unwrap_or_default();
    let mut lines = what.lines().map(str::trim);
    let first = lines.next().unwrap_or_default();
    let mut line = first.strip_prefix("error: ").unwrap_or(first).to_owned();
    for (at, part) in lines.enumerate() {
        line.push_str(if at == 0 { " " } else { ", " });
        line.push_str(part);
    }
    for paragraph in paragraphs {
        for part in paragraph.lines().map(str::trim) {
            if let Some(tip) = part.strip_prefix("tip: ") {
                line.push_str("; ");
                line.push_str(tip);
            } else if let Some(usage) = part.strip_prefix("Usage: ") {
                line.push_str("; usage: ");
                line.push_str(usage);
            }
        }
    }
    line.push_str("; --help tells more");
    line
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::one_line;
    use crate::cli::Cli;

    fn line(args: &[&str]) -> String {
        let error = Cli::try_parse_from(args).unwrap_err();
        one_line(&error.render().to_string())
    }

    #[test]
    fn what_is_wrong_and_what_is_right_come_in_one_line() {
        assert_eq!(
            line(&["vst", "mount", "store"]),
            "the following required arguments were not provided: <MOUNTPOINT>; \
             usage: vst mount <STORE> <MOUNTPOINT>; --help tells more"
        );
        let text = line(&["vst", "statsu"]);
        assert!(text.starts_with("unrecognized subcommand 'statsu'; "), "{text}");
        assert!(text.contains("'status'"), "{text}");
        for args in [&["vst", "log", "-n", "x"][..], &["vst", "cat"], &["vst", "ls", "a", "b"]] {
            let text = line(args);
            assert!(!text.contains('\n') && !text.contains("error:"), "{text}");
        }
    }
}
