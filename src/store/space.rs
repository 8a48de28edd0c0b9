//! What a store knows of the room that it takes: how much of it was live at the last collection,
//! and a file that keeps room for the next one.
//!
//! `live` is a text, `vst live ` and a decimal number of bytes and a newline. It is a hint: who
//! finds none, or one that was damaged, takes it for 0 and looks for garbage sooner.
//!
//! `reserve` is a file of zeros. On a full disk a collection has to write a little before it can
//! remove anything, and removes this file first.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Durability, StoreError, files};
use crate::base::disk::{Disk, OpenMode, is_full};
use crate::base::limits::SPACE_RESERVE_BYTES;

const LIVE_PREFIX: &str = "vst live ";
/// Any number fits.
const LIVE_BYTES_MAX: usize = 64;

/// The room that a store takes.
#[derive(Debug)]
pub struct Space {
    disk: Arc<dyn Disk>,
    live: PathBuf,
    reserve: PathBuf,
}

impl Space {
    pub(super) fn new(disk: &Arc<dyn Disk>, live: PathBuf, reserve: PathBuf) -> Self {
        Self { disk: Arc::clone(disk), live, reserve }
    }

    /// Bytes of the packs that were live at the last collection; 0 if that is not known.
    pub fn live_bytes(&self) -> u64 {
        let bytes = files::read_bounded(&*self.disk, &self.live, LIVE_BYTES_MAX);
        let number = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).ok()?;
            text.strip_prefix(LIVE_PREFIX)?.strip_suffix('\n')?.parse().ok()
        };
        bytes.ok().flatten().and_then(number).unwrap_or(0)
    }

    /// Writes down how much is live. It need not survive the machine.
    pub fn set_live_bytes(&self, bytes: u64) -> Result<(), StoreError> {
        let text = format!("{LIVE_PREFIX}{bytes}\n");
        files::replace(&*self.disk, &self.live, text.as_bytes(), Durability::Fast)
    }

    /// Sets room aside, unless that has been done or there is too little.
    pub fn fill_reserve(&self) -> Result<(), StoreError> {
        if files::file_bytes(&*self.disk, &self.reserve) == Some(SPACE_RESERVE_BYTES) {
            return Ok(());
        }
        let fill = || {
            let file = self.disk.open(&self.reserve, OpenMode::Create)?;
            match file.allocate(0..SPACE_RESERVE_BYTES) {
                // Where no room can be set aside, a file would only look as if it were.
                Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
                Err(error) if is_full(&error) => self.disk.remove_file(&self.reserve),
                done => done,
            }
        };
        fill().map_err(|error| StoreError::io("setting room aside in", &self.reserve, error))
    }

    /// Gives the room free. False if there was none.
    pub fn use_reserve(&self) -> Result<bool, StoreError> {
        match self.disk.remove_file(&self.reserve) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(StoreError::io("removing", &self.reserve, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::Space;
    use crate::base::disk::{Disk, RealDisk};
    use crate::base::limits::SPACE_RESERVE_BYTES;

    #[test]
    fn what_was_live_is_remembered_and_nonsense_is_taken_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let live = dir.path().join("live");
        let space = Space::new(&disk, live.clone(), dir.path().join("reserve"));
        assert_eq!(space.live_bytes(), 0);
        for bytes in [0, 12_345, u64::MAX] {
            space.set_live_bytes(bytes).unwrap();
            assert_eq!(space.live_bytes(), bytes);
        }
        let long = format!("vst live {}\n", "9".repeat(500));
        for nonsense in ["", "vst live 12", "vst live -1\n", "\u{fffd}\n", &long] {
            fs::write(&live, nonsense).unwrap();
            assert_eq!(space.live_bytes(), 0, "{nonsense}");
        }
    }

    #[test]
    fn the_reserve_takes_room_until_it_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let reserve = dir.path().join("reserve");
        let space = Space::new(&disk, dir.path().join("live"), reserve.clone());
        assert!(!space.use_reserve().unwrap());
        for _ in 0..2 {
            space.fill_reserve().unwrap();
            assert_eq!(fs::metadata(&reserve).unwrap().len(), SPACE_RESERVE_BYTES);
        }
        assert!(space.use_reserve().unwrap());
        assert!(!reserve.exists());
    }
}
