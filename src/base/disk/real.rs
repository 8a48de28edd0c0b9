//! The disk of this machine, by system calls.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{Advice, FallocateFlags, FlockOperation, fadvise, fallocate, flock, statvfs};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::{Disk, DiskFile, OpenMode, PathKind};
use crate::base::limits::FETCH_BYTES;

/// The disk of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        let creates = matches!(mode, OpenMode::Create | OpenMode::CreateEmpty);
        options.read(true).write(mode != OpenMode::Read).create(creates);
        options.truncate(mode == OpenMode::CreateEmpty).mode(0o600);
        Ok(Box::new(options.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.file_name())).collect()
    }

    fn find(&self, path: &Path) -> io::Result<Option<PathKind>> {
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => Ok(Some(PathKind::Directory)),
            Ok(meta) => Ok(Some(PathKind::File(meta.len()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let stat = statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn boot_id(&self) -> io::Result<[u8; 16]> {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        let id = u128::from_str_radix(&digits, 16);
        id.map(u128::to_be_bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

impl DiskFile for File {
    fn len(&self) -> io::Result<u64> {
        self.metadata().map(|meta| meta.len())
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        // What is read together was written together, but not read in the order of writing. The kernel
        // takes such reads for random ones, and would fetch the page of each by itself.
        if buf.len() <= FETCH_BYTES / 4 {
            match preadv2(self, &mut [IoSliceMut::new(buf)], at, ReadWriteFlags::NOWAIT) {
                Err(Errno::AGAIN) => {
                    let block = FETCH_BYTES as u64;
                    let from = at - at % block;
                    // Without it they are fetched one by one.
                    let _ = fadvise(self, from, NonZeroU64::new(block), Advice::WillNeed);
                }
                // Not every filesystem can tell.
                Err(_) => {}
                Ok(len) => return Ok(len),
            }
        }
        FileExt::read_at(self, buf, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, at)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        match fallocate(self, FallocateFlags::empty(), range.start, range.end - range.start) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Err(io::ErrorKind::Unsupported.into()),
            done => Ok(done?),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn try_lock(&self) -> io::Result<bool> {
        match flock(self, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Ok(false),
            done => Ok(done.map(|()| true)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{self, IoSliceMut};
    use std::time::Duration;

    use rustix::fs::{Advice, fadvise};
    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    use super::super::{Disk, DiskFile, OpenMode, PathKind};
    use super::RealDisk;
    use crate::base::limits::FETCH_BYTES;

    #[test]
    fn files_are_made_written_read_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("a"), dir.path().join("b"));
        assert_eq!(RealDisk.find(&path).unwrap(), None);
        let error = RealDisk.open(&path, OpenMode::Write).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let file = RealDisk.open(&path, OpenMode::Create).unwrap();
        file.write_all_at(b"text", 4).unwrap();
        file.allocate(0..4096).unwrap();
        assert_eq!(RealDisk.find(&path).unwrap(), Some(PathKind::File(4096)));
        file.set_len(8).unwrap();
        file.sync_data().unwrap();
        let mut bytes = [1; 8];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"\0\0\0\0text");
        let error = file.read_exact_at(&mut bytes, 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        RealDisk.rename(&path, &other).unwrap();
        RealDisk.sync_dir(dir.path()).unwrap();
        assert_eq!(RealDisk.names(dir.path()).unwrap(), ["b"]);
        assert!(RealDisk.open(&other, OpenMode::CreateEmpty).unwrap().is_empty().unwrap());
        RealDisk.remove_file(&other).unwrap();
        RealDisk.create_dir(&other).unwrap();
        assert_eq!(RealDisk.find(&other).unwrap(), Some(PathKind::Directory));
    }

    #[test]
    fn the_boot_id_stays_while_the_machine_runs() {
        assert_eq!(RealDisk.boot_id().unwrap(), RealDisk.boot_id().unwrap());
        assert_ne!(RealDisk.boot_id().unwrap(), [0; 16]);
    }

    #[test]
    fn what_lies_beside_what_is_read_from_the_disk_comes_along() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let bytes: Vec<u8> = (0..3 * FETCH_BYTES as u32).flat_map(|n| n.to_le_bytes()).collect();
        std::fs::write(&path, &bytes).unwrap();
        let file = File::open(&path).unwrap();
        file.sync_all().unwrap();
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        // The kernel fetches what it is asked for in this way, so nothing can be asked for twice, and
        // nothing in the order in which it lies there.
        let is_away = |at: usize| {
            let mut byte = [0];
            let parts = &mut [IoSliceMut::new(&mut byte)];
            preadv2(&file, parts, at as u64, ReadWriteFlags::NOWAIT) == Err(Errno::AGAIN)
        };
        // Nothing is where the kernel has not let go of it, or cannot tell.
        let was_away = is_away(FETCH_BYTES);
        let (block, page) = (5 * FETCH_BYTES, 4096);
        let (at, mut read) = (block + FETCH_BYTES - 100, [0; 100]);
        DiskFile::read_exact_at(&file, &mut read, at as u64).unwrap();
        assert_eq!(read, bytes[at..at + 100]);
        let mut beside = (block..block + FETCH_BYTES / 2).step_by(5 * page).rev();
        while was_away && is_away(beside.next().expect("it is fetched")) {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}
