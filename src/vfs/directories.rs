//! Directories that are open, and how they are listed.

use rustix::io::Errno;

use super::handles::OpenDirectory;
use super::types::{Answer, DirRow, OpenOut};
use super::{Realm, Vfs};
use crate::base::haste;

impl Vfs {
    /// Opens a directory: its entries are listed as they are when listing begins.
    pub fn opendir(&self, ino: u64) -> Answer<OpenOut> {
        let directory = match self.realm(ino) {
            Realm::Live => OpenDirectory::Live(self.live_opendir(ino)?.into()),
            Realm::Control => OpenDirectory::Control,
            Realm::Snapshot => OpenDirectory::Snapshot(self.snapshot_opendir(ino)?),
        };
        let cached = directory.changes_through_kernel();
        Ok(OpenOut { fh: self.directories.open(directory), cached })
    }

    /// Closes a directory.
    pub fn releasedir(&self, fh: u64) {
        self.directories.close(fh);
    }

    /// Lists a directory from a row on, until `row` takes no more. With `plus` the rows tell all
    /// about each entry, and the kernel holds those that were taken.
    pub fn readdir(
        &self,
        fh: u64,
        from: u64,
        plus: bool,
        row: &mut dyn FnMut(DirRow<'_>) -> bool,
    ) -> Answer<()> {
        let directory = self.directories.find(fh).ok_or(Errno::BADF)?;
        let mut has_rows = false;
        let row = &mut |one: DirRow<'_>| {
            has_rows = true;
            row(one)
        };
        let read = match &*directory {
            OpenDirectory::Live(directory) => {
                let mut directory = directory.lock();
                if !directory.has(from) {
                    // Reading from the start, the first time or after `rewinddir`, sees what is
                    // there now. And so does who began with what the kernel had kept.
                    *directory = self.live_opendir(directory.ino.0)?;
                }
                self.live_readdir(&directory, from, plus, row)
            }
            OpenDirectory::Snapshot(directory) => self.snapshot_readdir(directory, from, plus, row),
            OpenDirectory::Control => self.control_readdir(from, row),
        };
        if read.is_err() && has_rows {
            // These are not to be had again. What comes next is asked for once more.
            haste::end();
            return Ok(());
        }
        read
    }
}
