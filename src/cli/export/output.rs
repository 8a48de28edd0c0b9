//! Where an archive or a stream goes: a file, or stdout.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::cli::error::CliError;

/// Stands for stdout.
const STDOUT: &[u8] = b"-";
/// Bytes that go to the disk or through a pipe at a time.
const WRITE_BYTES: usize = 1024 * 1024;

/// Where an export goes.
#[derive(Clone, Copy)]
pub(super) enum Output<'a> {
    /// To stdout.
    Stdout,
    /// Into a file.
    File(&'a Path),
}

impl<'a> Output<'a> {
    /// Understands an argument: `-` is stdout.
    pub(super) fn new(argument: &'a OsStr) -> Self {
        match argument.as_bytes() {
            STDOUT => Self::Stdout,
            _ => Self::File(Path::new(argument)),
        }
    }

    /// Refuses to print JSON about what goes to stdout: two outputs in one stream are none.
    pub(super) fn refuse_json(&self, json: bool) -> Result<(), CliError> {
        match self {
            Self::Stdout if json => Err(CliError::ExportJsonToStdout),
            _ => Ok(()),
        }
    }

    /// Has it written. A file is durable on return, and removed if it could not be completed.
    pub(super) fn write<T>(
        &self,
        replace: bool,
        write: impl FnOnce(&mut dyn Write) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        let path = match self {
            Self::Stdout => {
                let mut out = BufWriter::with_capacity(WRITE_BYTES, io::stdout().lock());
                let done = write(&mut out)?;
                out.flush()?;
                return Ok(done);
            }
            Self::File(path) => path,
        };
        let mut options = OpenOptions::new();
        match replace {
            true => options.write(true).create(true).truncate(true),
            false => options.write(true).create_new(true),
        };
        let file = options.open(path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => CliError::ExportExists((*path).to_owned()),
            _ => CliError::io(format!("making {}", path.display()), error),
        })?;
        let written = fill(&file, path, write);
        if written.is_err() {
            // The error that is told is the one that came first.
            let _ = fs::remove_file(path);
        }
        written
    }
}

fn fill<T>(
    file: &File,
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let failed = |error| CliError::io(format!("writing {}", path.display()), error);
    let mut out = BufWriter::with_capacity(WRITE_BYTES, file);
    let done = write(&mut out).map_err(|error| match error {
        CliError::Output(error) => failed(error),
        error => error,
    })?;
    out.flush().and_then(|()| file.sync_all()).map_err(failed)?;
    Ok(done)
}
