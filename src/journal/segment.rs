//! The files of a journal:
//!
//! ```text
//! <number>.log   a segment; the number has 16 hex digits, lowercase, and rises by at least one.
//!                The last state of the worktree names the first, each names the next one, and no
//!                other counts. What is closed has one without records. Its bytes are specified
//!                in `format::journal`
//! reserve        room for a segment when the disk is full; what is in it means nothing
//! doubt          there, and empty, while what is in the segments may not be durable though the
//!                kernel says so
//! ```

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use super::{JournalError, Urgency};
use crate::base::disk::{Disk, DiskFile, OpenMode, is_full};
use crate::base::limits::{
    JOURNAL_RESERVE_BYTES, JOURNAL_SEGMENT_BYTES_MAX, JOURNAL_SEGMENT_BYTES_MIN,
    JOURNAL_STORED_FACTOR,
};
use crate::format::journal::{
    DURABLE_AT, DURABLE_BYTES, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader,
    encode_durable,
};

const SUFFIX: &str = ".log";
const RESERVE: &str = "reserve";
/// A file that tells the next process that the journal is in doubt.
const DOUBT: &str = "doubt";

/// The directory of a journal.
#[derive(Debug)]
pub(super) struct Segments {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) boot_id: [u8; 16],
}

/// A segment that is open for writing.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) file: Box<dyn DiskFile>,
    /// Room that was set aside.
    pub(super) bytes: u64,
}

impl Segments {
    pub(super) fn open(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Self, JournalError> {
        let boot_id = disk.boot_id();
        let boot_id = boot_id.map_err(|error| failed("asking for the boot id for", dir, error))?;
        Ok(Self { disk: disk.clone(), dir: dir.to_owned(), boot_id })
    }

    pub(super) fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:016x}{SUFFIX}"))
    }

    /// The numbers of the segments that there are, rising.
    pub(super) fn numbers(&self) -> Result<Vec<u64>, JournalError> {
        let names = self.disk.names(&self.dir);
        let names = names.map_err(|error| failed("listing", &self.dir, error))?;
        let number_of = |name: &OsString| {
            let digits = name.to_str()?.strip_suffix(SUFFIX)?;
            let number = u64::from_str_radix(digits, 16).ok()?;
            self.path(number).ends_with(name).then_some(number)
        };
        let mut numbers: Vec<u64> = names.iter().filter_map(number_of).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Makes a segment with room for `lag` bytes, or for fewer where the disk has no more, but no
    /// fewer than a segment has at least. It is durable on return. `lag` is what the journal holds.
    ///
    /// What is in the journal has to go to the store, and from there on its room in the journal is
    /// free. Unless it is urgent, a segment is refused that would leave less room than that takes.
    pub(super) fn create(
        &self,
        number: u64,
        lag: u64,
        urgency: Urgency,
    ) -> Result<Segment, JournalError> {
        let path = self.path(number);
        let mut bytes = lag.clamp(JOURNAL_SEGMENT_BYTES_MIN, JOURNAL_SEGMENT_BYTES_MAX);
        loop {
            let made = match urgency {
                Urgency::Ordinary => self.check_room(bytes, lag),
                Urgency::MakesRoom => Ok(()),
            };
            match made.and_then(|()| self.try_create(number, &path, bytes)) {
                Err(error) if is_full(&error) && bytes > JOURNAL_SEGMENT_BYTES_MIN => {
                    bytes = (bytes / 2).max(JOURNAL_SEGMENT_BYTES_MIN);
                }
                Err(error) => {
                    // What matters is the error; recovery removes what nobody names.
                    let _ = self.disk.remove_file(&path);
                    return Err(failed("making", &path, error));
                }
                Ok(segment) => return Ok(segment),
            }
        }
    }

    /// Makes a segment that has no room for any record. It is durable on return.
    pub(super) fn create_bare(&self, number: u64) -> Result<Segment, JournalError> {
        let path = self.path(number);
        self.try_create(number, &path, SEGMENT_HEADER_BYTES as u64).map_err(|error| {
            // What matters is the error; recovery removes what nobody names.
            let _ = self.disk.remove_file(&path);
            failed("making", &path, error)
        })
    }

    /// Fails like a full disk if there is no room for a segment, and for what is in it and before
    /// it when that goes to the store.
    fn check_room(&self, segment_bytes: u64, lag: u64) -> io::Result<()> {
        let stored = (lag + segment_bytes).saturating_mul(JOURNAL_STORED_FACTOR);
        let wanted = stored.saturating_add(segment_bytes);
        match self.disk.free_bytes(&self.dir)? < wanted {
            // As the disk itself would say it.
            true => Err(Errno::NOSPC.into()),
            false => Ok(()),
        }
    }

    fn try_create(&self, number: u64, path: &Path, bytes: u64) -> io::Result<Segment> {
        let file = self.disk.open(path, OpenMode::CreateEmpty)?;
        allocate(&*file, bytes)?;
        self.begin(number, path, file, bytes)
    }

    fn begin(
        &self,
        number: u64,
        path: &Path,
        file: Box<dyn DiskFile>,
        bytes: u64,
    ) -> io::Result<Segment> {
        file.write_all_at(&self.header(number, None), 0)?;
        file.sync_data()?;
        self.disk.sync_dir(&self.dir)?;
        Ok(Segment { number, path: path.to_owned(), file, bytes })
    }

    /// The header of a segment that is durable up to an offset, and names no other.
    fn header(&self, number: u64, durable: Option<u64>) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = SegmentHeader { number, boot_id: self.boot_id }.encode();
        if let Some(end) = durable {
            bytes[DURABLE_AT..][..DURABLE_BYTES].copy_from_slice(&encode_durable(end));
        }
        bytes
    }

    /// Ends a segment at an offset, and makes it if it is not there. What is known to be durable is
    /// what comes before another one. Durable on return.
    pub(super) fn end_at(&self, number: u64, end: u64, durable: u64) -> Result<(), JournalError> {
        let path = self.path(number);
        let end_it = || {
            let file = self.disk.open(&path, OpenMode::Create)?;
            // What lies behind that would be damage as soon as the header is sound.
            file.set_len(end)?;
            file.write_all_at(&self.header(number, Some(durable)), 0)?;
            file.sync_data()?;
            self.disk.sync_dir(&self.dir)
        };
        end_it().map_err(|error| failed("ending", &path, error))
    }

    /// Sets room aside for when the disk is full, unless that has been done.
    pub(super) fn fill_reserve(&self) -> Result<(), JournalError> {
        let path = self.dir.join(RESERVE);
        let fill = || {
            let file = self.disk.open(&path, OpenMode::Create)?;
            if file.len()? < JOURNAL_RESERVE_BYTES {
                allocate(&*file, JOURNAL_RESERVE_BYTES)?;
                file.sync_data()?;
            }
            Ok(())
        };
        fill().map_err(|error| failed("setting room aside in", &path, error))
    }

    /// Makes a segment of the room that was set aside. `None` if there is none.
    pub(super) fn use_reserve(&self, number: u64) -> Result<Option<Segment>, JournalError> {
        let reserve = self.dir.join(RESERVE);
        let path = self.path(number);
        let take = || {
            let file = match self.disk.open(&reserve, OpenMode::Write) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                file => file?,
            };
            let bytes = file.len()?;
            if bytes < JOURNAL_RESERVE_BYTES {
                return Ok(None);
            }
            self.disk.rename(&reserve, &path)?;
            self.begin(number, &path, file, bytes).map(Some)
        };
        take().map_err(|error| failed("taking", &reserve, error))
    }

    /// Goes on with a segment that a process before this one wrote, up to `end`, to which it was
    /// cut. From now on it names no other. Its room is set aside again as far as there is any; one
    /// without records gets none, and has another one begun. Durable on return.
    pub(super) fn resume(
        &self,
        number: u64,
        file: Box<dyn DiskFile>,
        end: u64,
    ) -> Result<Segment, JournalError> {
        let path = self.path(number);
        let has_records = end > SEGMENT_HEADER_BYTES as u64;
        let mut bytes = if has_records { JOURNAL_SEGMENT_BYTES_MIN.max(end) } else { end };
        let resume = || {
            match allocate(&*file, bytes) {
                Err(error) if is_full(&error) => bytes = end,
                done => done?,
            }
            // Records of this run of the machine count for more than those of another, all of
            // which are durable.
            // Not if the kernel only says so.
            let durable = (has_records && !self.is_in_doubt()).then_some(end);
            file.write_all_at(&self.header(number, durable), 0)?;
            file.sync_data()
        };
        let resumed = { resume }();
        resumed.map_err(|error| failed("going on with", &path, error))?;
        Ok(Segment { number, path, file, bytes })
    }

    /// Leaves a note for the next process that what it finds in the journal may not be durable:
    /// the kernel will not tell it.
    pub(super) fn set_doubt(&self, doubt: bool) {
        let path = self.dir.join(DOUBT);
        let noted = match doubt {
            true => self.disk.open(&path, OpenMode::Create).map(drop),
            false => self.disk.remove_file(&path),
        };
        match noted {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                log::error!("{}: {error}", path.display());
            }
            _ => {}
        }
    }

    pub(super) fn is_there(&self, number: u64) -> Result<bool, JournalError> {
        let path = self.path(number);
        let found = self.disk.find(&path).map_err(|error| failed("looking for", &path, error))?;
        Ok(found.is_some())
    }

    pub(super) fn is_in_doubt(&self) -> bool {
        matches!(self.disk.find(&self.dir.join(DOUBT)), Ok(Some(_)))
    }

    /// Tells whether there is a record in a segment.
    pub(super) fn has_begun(&self, number: u64) -> Result<bool, JournalError> {
        let path = self.path(number);
        let read = || {
            let file = match self.disk.open(&path, OpenMode::Read) {
                // Its writer has removed it since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                opened => opened?,
            };
            let mut first = [0; RECORD_HEADER_BYTES];
            if file.len()? < (SEGMENT_HEADER_BYTES + first.len()) as u64 {
                return Ok(false);
            }
            file.read_exact_at(&mut first, SEGMENT_HEADER_BYTES as u64)?;
            Ok(first != [0; RECORD_HEADER_BYTES])
        };
        read().map_err(|error| failed("reading", &path, error))
    }

    /// Removes segments that do not count, so that they do not come back.
    pub(super) fn remove_all<'a>(
        &self,
        numbers: impl Iterator<Item = &'a u64>,
    ) -> Result<(), JournalError> {
        let mut numbers = numbers.peekable();
        if numbers.peek().is_none() {
            return Ok(());
        }
        for number in numbers {
            self.remove(*number)?;
        }
        let synced = self.disk.sync_dir(&self.dir);
        synced.map_err(|error| failed("syncing", &self.dir, error))
    }

    pub(super) fn remove(&self, number: u64) -> Result<(), JournalError> {
        let path = self.path(number);
        match self.disk.remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|error| failed("removing", &path, error)),
        }
    }
}

/// Sets room aside where the disk can; elsewhere a full disk is met when writing.
fn allocate(file: &dyn DiskFile, bytes: u64) -> io::Result<()> {
    match file.allocate(0..bytes) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        done => done,
    }
}

/// An error of the system, met while doing `what` with `path`.
pub(super) fn failed(what: &str, path: &Path, source: io::Error) -> JournalError {
    JournalError::Io { context: format!("{what} {}", path.display()), source: Arc::new(source) }
}
