//! Where the output goes: stdout with or without colour, and remarks to the user on stderr.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use super::error::flat;
use super::paint::{Ink, Paint};

/// How many columns a line has where it goes to no terminal.
const COLUMNS: usize = 80;

/// The output of a command.
pub(super) struct Terminal {
    out: BufWriter<Stdout>,
    paint: Paint,
}

impl Terminal {
    /// Writes to stdout, with colour if that is a terminal and the user does not mind.
    pub(super) fn new() -> Self {
        let stdout = io::stdout();
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let colour = stdout.is_terminal()
            && set("NO_COLOR").is_none()
            && set("TERM").is_none_or(|term| term != "dumb");
        Self { out: BufWriter::new(stdout), paint: Paint::new(colour) }
    }

    /// How to colour.
    pub(super) fn paint(&self) -> Paint {
        self.paint
    }

    /// Prints a line.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.write_all(b"\n")
    }

    /// Prints bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    /// Prints bytes as they are, in the colour of what they are.
    pub(super) fn painted(&mut self, ink: Ink, bytes: &[u8]) -> io::Result<()> {
        let (before, after) = self.paint.around(ink);
        self.out.write_all(before.as_bytes())?;
        self.out.write_all(bytes)?;
        self.out.write_all(after.as_bytes())
    }

    /// How many columns a line has.
    pub(super) fn columns(&self) -> usize {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
        size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(COLUMNS)
    }

    /// Prints a value as a line of JSON.
    pub(super) fn json(&mut self, value: &impl serde::Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, value)?;
        self.out.write_all(b"\n")
    }

    /// Prints the items of a JSON array, each in a line of its own, as they come.
    pub(super) fn json_array(&mut self) -> io::Result<JsonArray<'_>> {
        self.out.write_all(b"[")?;
        Ok(JsonArray { out: &mut self.out, is_empty: true })
    }

    /// Tells the user something that is not the output, in a line on stderr.
    pub(super) fn remark(&mut self, text: &str) -> io::Result<()> {
        self.flush()?;
        // There is nobody to tell if stderr is closed.
        let _ = writeln!(io::stderr(), "{}", flat(text));
        Ok(())
    }

    /// Sends what was printed.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// An array that is being printed.
pub(super) struct JsonArray<'a> {
    out: &'a mut BufWriter<Stdout>,
    is_empty: bool,
}

impl JsonArray<'_> {
    /// Prints an item.
    pub(super) fn push(&mut self, value: &impl serde::Serialize) -> io::Result<()> {
        self.out.write_all(if self.is_empty { b"\n" } else { b",\n" })?;
        self.is_empty = false;
        Ok(serde_json::to_writer(&mut self.out, value)?)
    }

    /// Prints the end of the array.
    pub(super) fn finish(self) -> io::Result<()> {
        self.out.write_all(if self.is_empty { b"]\n" } else { b"\n]\n" })
    }
}
