//! How far a long command has come, in a line on stderr.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::error::report_line;

/// What is done sooner is not worth a line.
const DELAY: Duration = Duration::from_millis(500);
/// How often the line is drawn anew.
const DRAWS_PER_SECOND: u8 = 10;
const TEMPLATE: &str = "{prefix} {bar:30} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {msg}, {eta} left";
/// Where nobody knows how much there is to do.
const TEMPLATE_WITHOUT_END: &str =
    "{prefix} {spinner} {binary_bytes}, {binary_bytes_per_sec}, {msg}";

/// A line that is there while something takes long, on a terminal only.
pub(super) struct ProgressLine {
    start: Instant,
    /// None where nobody sees it.
    bar: Option<ProgressBar>,
}

impl ProgressLine {
    /// Begins to measure. `what` is being done.
    pub(super) fn new(what: &'static str) -> Self {
        Self::with_template(what, TEMPLATE)
    }

    /// As `new`, for what nobody knows the end of.
    pub(super) fn without_end(what: &'static str) -> Self {
        Self::with_template(what, TEMPLATE_WITHOUT_END)
    }

    fn with_template(what: &'static str, template: &str) -> Self {
        let is_seen = io::stderr().is_terminal();
        let bar = is_seen.then(|| {
            let target = ProgressDrawTarget::hidden();
            let bar = ProgressBar::with_draw_target(Some(0), target).with_prefix(what);
            // The templates are constants, so a mistake in one would show at once.
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        Self { start: Instant::now(), bar }
    }

    /// Tells how far it is: bytes of about so many, and the number of things that were done.
    pub(super) fn show(&self, bytes: u64, bytes_total: u64, count: u64, things: &str) {
        let Some(bar) = self.bar.as_ref().filter(|_| self.start.elapsed() >= DELAY) else { return };
        if bar.is_hidden() {
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND));
        }
        // What is counted twice, or came since, is not more than all.
        bar.set_length(bytes_total.max(bytes));
        bar.set_position(bytes);
        bar.set_message(format!("{count} {things}"));
    }

    /// Goes on with one that tells how much there is to do, which is known now.
    pub(super) fn set_end_known(&self) {
        if let (Some(bar), Ok(style)) = (&self.bar, ProgressStyle::with_template(TEMPLATE)) {
            bar.set_style(style);
        }
    }

    /// Tells whether somebody sees it.
    pub(super) fn is_seen(&self) -> bool {
        self.bar.is_some()
    }

    /// How many things, and how many of them a second, on the average.
    pub(super) fn rate(&self, count: u64, things: &str) -> String {
        let seconds = self.start.elapsed().as_secs_f64().max(f64::EPSILON);
        format!("{things}, {:.0}/s", count as f64 / seconds)
    }

    /// Prints a line of an error, above the line of this if that is there.
    pub(super) fn report(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| report_line(text)),
            None => report_line(text),
        }
    }

    /// Takes the line away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
