//! The log of a daemon: on stderr in the foreground, otherwise in the store.
//!
//! A daemon's stderr is the terminal of the one who mounts until the mount answers, and the log
//! file from then on. What is logged before is held back, and lost if the mount fails, for which
//! there is one line that says why.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::cli::error::flat;
use crate::model::Timestamp;
use crate::vfs::text::format_time;

/// Decides what is logged.
const FILTER_VARIABLE: &str = "VST_LOG";
const FILTER_DEFAULT: &str = "info,fuser=error";
/// A log of this size is put aside, in place of the one that was put aside before.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// What is held back beyond this is lost.
const HELD_BYTES_MAX: usize = 256 * 1024;

/// Where the log of a store is.
pub(super) fn log_path(store: &Path) -> PathBuf {
    store.join("vst.log")
}

/// Where what is logged goes.
#[derive(Clone)]
pub(super) struct LogGate {
    /// What was logged so far; `None` once it goes to stderr.
    held: Arc<Mutex<Option<Vec<u8>>>>,
}

impl LogGate {
    /// Starts logging, to stderr, or to nowhere until the gate is opened.
    pub(super) fn install(is_held: bool) -> Self {
        let gate = Self { held: Arc::new(Mutex::new(is_held.then(Vec::new))) };
        let filter = std::env::var(FILTER_VARIABLE).unwrap_or_else(|_| FILTER_DEFAULT.to_owned());
        let logger = env_logger::Builder::new()
            .parse_filters(&filter)
            .target(env_logger::Target::Pipe(Box::new(gate.clone())))
            .format(|line, record| {
                let time = format_time(Timestamp::now());
                let text = flat(&record.args().to_string());
                writeln!(line, "{time} {:<5} {}: {text}", record.level(), record.target())
            })
            .try_init();
        // There is another logger only in a test.
        drop(logger);
        gate
    }

    /// Makes the log of the store stderr, and lets through what is logged.
    pub(super) fn open(&self, store: &Path) -> io::Result<()> {
        let mut held = self.held.lock();
        let file = open_log(&log_path(store))?;
        rustix::stdio::dup2_stderr(&file)?;
        if let Some(bytes) = held.take() {
            io::stderr().write_all(&bytes)?;
        }
        Ok(())
    }
}

impl Write for LogGate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *self.held.lock() {
            Some(held) if held.len() + bytes.len() <= HELD_BYTES_MAX => {
                held.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            Some(_) => Ok(bytes.len()),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    if path.metadata().is_ok_and(|metadata| metadata.len() >= LOG_BYTES_MAX) {
        std::fs::rename(path, path.with_extension("log.old"))?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::{HELD_BYTES_MAX, LOG_BYTES_MAX, LogGate, log_path, open_log};

    #[test]
    fn what_is_held_back_has_a_bound() {
        let mut gate = LogGate { held: Arc::new(Mutex::new(Some(Vec::new()))) };
        gate.write_all(b"first\n").unwrap();
        gate.write_all(&vec![b'x'; HELD_BYTES_MAX]).unwrap();
        gate.write_all(b"last\n").unwrap();
        assert_eq!(gate.held.lock().as_deref(), Some(&b"first\nlast\n"[..]));
    }

    #[test]
    fn a_large_log_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = log_path(dir.path());
        open_log(&path).unwrap().write_all(b"one").unwrap();
        open_log(&path).unwrap().write_all(b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"onetwo");
        open_log(&path).unwrap().set_len(LOG_BYTES_MAX).unwrap();
        open_log(&path).unwrap().write_all(b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(dir.path().join("vst.log.old").metadata().unwrap().len(), LOG_BYTES_MAX);
    }
}
