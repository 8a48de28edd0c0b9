//! Contents that were told before it is known where they belong: a file without a name, so that
//! they take no memory.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// Bytes that are written at a time.
const WRITE_BYTES: usize = 256 * 1024;

/// Where a content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    offset: u64,
    /// Its length.
    pub(super) len: u64,
}

/// Contents by the number under which they were told.
pub(super) struct Scratch {
    file: File,
    end: u64,
    extents: HashMap<u64, Extent>,
}

impl Scratch {
    /// Makes the file on the filesystem that a directory is on.
    pub(super) fn new(directory: &Path) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = match rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => file.into(),
            // Not every filesystem has files without a name from the beginning.
            Err(Errno::OPNOTSUPP | Errno::ISDIR) => {
                let path = directory.join(format!("import-{}", std::process::id()));
                let mut options = OpenOptions::new();
                let file =
                    options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
                fs::remove_file(&path)?;
                file
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Self { file, end: 0, extents: HashMap::new() })
    }

    /// Keeps a content.
    pub(super) fn add(&mut self, number: u64, content: &mut dyn Read) -> io::Result<()> {
        let mut buffer = vec![0; WRITE_BYTES];
        let offset = self.end;
        loop {
            match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => {
                    self.file.write_all_at(&buffer[..read], self.end)?;
                    self.end += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.extents.insert(number, Extent { offset, len: self.end - offset });
        Ok(())
    }

    /// Finds a content.
    pub(super) fn find(&self, number: u64) -> Option<Extent> {
        self.extents.get(&number).copied()
    }

    /// Reads of a content, from an offset on that is in it.
    pub(super) fn read(&self, extent: Extent, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, extent.offset + offset)
    }

    /// Forgets a content. The room is used again when none is left.
    pub(super) fn forget(&mut self, number: u64) -> io::Result<()> {
        self.extents.remove(&number);
        if self.extents.is_empty() && self.end > 0 {
            self.file.set_len(0)?;
            self.end = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Scratch;

    #[test]
    fn contents_are_kept_until_they_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let mut scratch = Scratch::new(dir.path()).unwrap();
        scratch.add(7, &mut &b"seven"[..]).unwrap();
        scratch.add(8, &mut &b""[..]).unwrap();
        let seven = scratch.find(7).unwrap();
        let mut bytes = [0; 3];
        scratch.read(seven, 2, &mut bytes).unwrap();
        assert_eq!((&bytes, seven.len), (b"ven", 5));
        assert_eq!(scratch.find(8).map(|extent| extent.len), Some(0));
        scratch.forget(7).unwrap();
        assert_eq!((scratch.find(7), scratch.end), (None, 5));
        scratch.forget(8).unwrap();
        assert_eq!(scratch.end, 0);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
