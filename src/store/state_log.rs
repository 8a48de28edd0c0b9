//! The states of the worktree, in the file `worktree`: appending a record is what makes a commit
//! or a checkpoint count. Its bytes are specified in `format::state_log`.
//!
//! A ref would do as well, but ext4 writes a file out when it is renamed over another, which
//! takes many times as long as everything else in a commit. Old records are dropped when the
//! store is opened for writing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Durability, StoreError, files};
use crate::base::disk::{Disk, DiskFile, OpenMode};
use crate::base::limits::STATE_LOG_BYTES_MAX;
use crate::base::sync::Mutex;
use crate::format::state_log::{
    HEADER_BYTES, RECORD_BYTES, decode_record, encode_header, encode_record, has_header,
};
use crate::model::ObjectId;

/// The states of the worktree.
#[derive(Debug)]
pub struct StateLog {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// None if it is open for reading only.
    writer: Option<Mutex<Writer>>,
}

#[derive(Debug)]
struct Writer {
    file: Box<dyn DiskFile>,
    /// Where the next record goes.
    end: u64,
}

impl StateLog {
    /// Makes an empty list, durably but for its name, unless there is a whole one.
    pub(super) fn create(disk: &dyn Disk, path: &Path) -> Result<(), StoreError> {
        if files::file_bytes(disk, path).is_some_and(|bytes| bytes >= HEADER_BYTES as u64) {
            return Ok(());
        }
        files::replace(disk, path, &encode_header(), Durability::Strict)
    }

    /// Opens the list. For writing, what a dead writer left behind the last record is cut off,
    /// and a long list is cut down to its last records.
    pub(super) fn open(
        disk: &Arc<dyn Disk>,
        path: PathBuf,
        read_only: bool,
    ) -> Result<Self, StoreError> {
        let (ids, mut end) = read_all(&**disk, &path)?;
        let disk = Arc::clone(disk);
        if read_only {
            return Ok(Self { disk, path, writer: None });
        }
        if end > STATE_LOG_BYTES_MAX {
            let mut bytes = encode_header().to_vec();
            let keep = ids.len().saturating_sub(RECORDS_KEPT);
            ids[keep..].iter().for_each(|id| bytes.extend_from_slice(&encode_record(id)));
            files::replace(&*disk, &path, &bytes, Durability::Strict)?;
            end = bytes.len() as u64;
        }
        let file = disk
            .open(&path, OpenMode::Write)
            .map_err(|error| StoreError::io("opening", &path, error))?;
        file.set_len(end).map_err(|error| StoreError::io("cutting", &path, error))?;
        // Its writer may have died before it did. What an older state needs is given up once the
        // last one has been read, so that has to outlast the machine.
        file.sync_data().map_err(|error| StoreError::io("syncing", &path, error))?;
        Ok(Self { disk, path, writer: Some(Mutex::new(Writer { file, end })) })
    }

    /// The states that are listed, newest first. The first whose objects are all there counts:
    /// after a power loss, later ones may have come to the disk before their objects.
    pub fn states(&self) -> Result<Vec<ObjectId>, StoreError> {
        let (mut ids, _) = read_all(&*self.disk, &self.path)?;
        ids.reverse();
        Ok(ids)
    }

    /// Appends a state, whose objects are in the store. With [`Durability::Strict`] it is durable
    /// on return; the objects must be durable before.
    pub fn append(&self, id: &ObjectId, durability: Durability) -> Result<(), StoreError> {
        let Some(writer) = &self.writer else {
            return Err(StoreError::ReadOnly { path: self.path.clone() });
        };
        let mut writer = writer.lock();
        // A failed write leaves `end` where it was, so that the next one replaces what it left.
        writer
            .file
            .write_all_at(&encode_record(id), writer.end)
            .map_err(|error| StoreError::io("writing", &self.path, error))?;
        if durability == Durability::Strict {
            writer
                .file
                .sync_data()
                .map_err(|error| StoreError::io("syncing", &self.path, error))?;
        }
        writer.end += RECORD_BYTES as u64;
        Ok(())
    }
}

/// How many of the last records survive when a long list is cut down.
const RECORDS_KEPT: usize = 64;

/// The states that are listed, oldest first, and where the last whole record ends.
fn read_all(disk: &dyn Disk, path: &Path) -> Result<(Vec<ObjectId>, u64), StoreError> {
    let bytes = files::read_all(disk, path)?;
    if !has_header(&bytes) {
        return Err(StoreError::Corrupt {
            file: path.to_owned(),
            offset: 0,
            detail: "not a list of states of a known version".to_owned(),
        });
    }
    let (rows, _) = bytes[HEADER_BYTES..].as_chunks::<RECORD_BYTES>();
    let rows: Vec<Option<ObjectId>> = rows.iter().map(|row| decode_record(row)).collect();
    let rows_whole = rows.iter().rposition(Option::is_some).map_or(0, |at| at + 1);
    let ids: Vec<ObjectId> = rows.into_iter().flatten().collect();
    let damaged = rows_whole - ids.len();
    if damaged > 0 {
        // The newest one counts, not the last one before the damage.
        log::error!("{}: {damaged} damaged records are left out", path.display());
    }
    Ok((ids, (HEADER_BYTES + rows_whole * RECORD_BYTES) as u64))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{HEADER_BYTES, RECORD_BYTES, RECORDS_KEPT, StateLog};
    use crate::base::disk::{Disk, RealDisk};
    use crate::base::limits::STATE_LOG_BYTES_MAX;
    use crate::model::ObjectId;
    use crate::store::{Durability, StoreError};

    fn disk() -> Arc<dyn Disk> {
        Arc::new(RealDisk)
    }

    fn id(number: u8) -> ObjectId {
        ObjectId::from_bytes([number; 32])
    }

    #[test]
    fn states_come_newest_first_and_a_torn_end_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("worktree");
        StateLog::create(&RealDisk, &path).unwrap();
        let log = StateLog::open(&disk(), path.clone(), false).unwrap();
        for number in 1..=3 {
            log.append(&id(number), Durability::Fast).unwrap();
        }
        assert_eq!(log.states().unwrap(), [id(3), id(2), id(1)]);
        let whole = std::fs::read(&path).unwrap();
        for cut in 1..RECORD_BYTES {
            std::fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            let log = StateLog::open(&disk(), path.clone(), false).unwrap();
            assert_eq!(log.states().unwrap(), [id(2), id(1)]);
            log.append(&id(9), Durability::Strict).unwrap();
            assert_eq!(log.states().unwrap(), [id(9), id(2), id(1)]);
        }
    }

    #[test]
    fn a_damaged_record_does_not_hide_the_newer_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("worktree");
        StateLog::create(&RealDisk, &path).unwrap();
        let log = StateLog::open(&disk(), path.clone(), false).unwrap();
        for number in 1..=4 {
            log.append(&id(number), Durability::Fast).unwrap();
        }
        drop(log);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[HEADER_BYTES + RECORD_BYTES + 5] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let log = StateLog::open(&disk(), path.clone(), false).unwrap();
        assert_eq!(log.states().unwrap(), [id(4), id(3), id(1)]);
        log.append(&id(5), Durability::Fast).unwrap();
        assert_eq!(log.states().unwrap(), [id(5), id(4), id(3), id(1)]);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), (bytes.len() + RECORD_BYTES) as u64);
    }

    #[test]
    fn a_long_list_is_cut_down_to_its_last_records() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("worktree");
        StateLog::create(&RealDisk, &path).unwrap();
        let log = StateLog::open(&disk(), path.clone(), false).unwrap();
        for number in 0..=STATE_LOG_BYTES_MAX / RECORD_BYTES as u64 {
            log.append(&id(number as u8), Durability::Fast).unwrap();
        }
        let before = log.states().unwrap();
        drop(log);
        let log = StateLog::open(&disk(), path, false).unwrap();
        assert_eq!(log.states().unwrap(), before[..RECORDS_KEPT]);
    }

    #[test]
    fn a_reader_does_not_write_and_damage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("worktree");
        StateLog::create(&RealDisk, &path).unwrap();
        let reader = StateLog::open(&disk(), path.clone(), true).unwrap();
        let refused = reader.append(&id(1), Durability::Fast);
        assert!(matches!(refused, Err(StoreError::ReadOnly { .. })));
        std::fs::write(&path, b"something else").unwrap();
        assert!(matches!(reader.states(), Err(StoreError::Corrupt { .. })));
    }
}
