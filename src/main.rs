//! The `vst` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    vst::cli::run()
}
