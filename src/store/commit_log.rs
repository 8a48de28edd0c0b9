//! The list of every snapshot, in the file `commits`: what a listing of them reads instead of the
//! commits. Its bytes are specified in `format::commit_log`.
//!
//! The whole list is in memory, 88 bytes a snapshot. A commit is listed once.
//!
//! The list grows at its end and is replaced as a whole when commits are dropped, and then it
//! counts these. So a [`Tally`] of all that were ever listed only grows, and whoever knows an
//! earlier one can tell whether something of the list is lost.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Durability, StoreError, files};
use crate::base::disk::{Disk, DiskFile, OpenMode};
use crate::base::sync::{Mutex, RwLock, RwLockReadGuard};
use crate::format::commit_log::{
    CommitLogError, CommitRecord, HEADER_BYTES, RECORD_BYTES, Tally, decode_header, decode_record,
    encode_header, encode_record,
};
use crate::model::{CommitId, IdPrefix};

/// The snapshots of a store, oldest first.
#[derive(Debug)]
pub struct CommitLog {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// None if it is open for reading only.
    file: Option<RwLock<Box<dyn DiskFile>>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Shared with readers; copied only if one of them still holds it when a commit is added.
    records: Arc<Vec<CommitRecord>>,
    /// Those that were dropped.
    dropped: Tally,
    /// Those and the records.
    tally: Tally,
    /// Where each commit is in `records`; made when it is first needed.
    positions: Option<BTreeMap<CommitId, usize>>,
    /// Where the next record goes.
    end: u64,
    /// An append failed, and may have left bytes beyond `end`.
    torn: bool,
    /// Everything before is durable.
    synced: u64,
    /// The last sync failed.
    sync_failed: bool,
    /// Replacing the list failed, and the file that is open may not be the one of its name.
    misplaced: bool,
}

impl State {
    fn positions(&mut self) -> &mut BTreeMap<CommitId, usize> {
        let records = &self.records;
        self.positions
            .get_or_insert_with(|| records.iter().enumerate().map(|(at, r)| (r.id, at)).collect())
    }
}

impl CommitLog {
    /// Makes an empty list, durably but for its name, unless there is a whole one.
    pub(super) fn create(disk: &dyn Disk, path: &Path) -> Result<(), StoreError> {
        if files::file_bytes(disk, path).is_some_and(|bytes| bytes >= HEADER_BYTES as u64) {
            return Ok(());
        }
        files::replace(disk, path, &encode_header(Tally::default()), Durability::Strict)
    }

    /// Reads the list. For writing, what a dead writer left behind the last record is cut off.
    pub(super) fn open(
        disk: &Arc<dyn Disk>,
        path: PathBuf,
        read_only: bool,
    ) -> Result<Self, StoreError> {
        let List { records, dropped, end } = read_all(&**disk, &path)?;
        let file = if read_only {
            None
        } else {
            let open = || {
                let file = disk.open(&path, OpenMode::Write)?;
                file.set_len(end)?;
                Ok(file)
            };
            Some(RwLock::new(open().map_err(|error| StoreError::io("opening", &path, error))?))
        };
        let state = State {
            tally: dropped.plus(Tally::of(&records)),
            dropped,
            records: Arc::new(records),
            positions: None,
            end,
            torn: false,
            // What the last durable state counts is durable, and the rest is listed again.
            synced: end,
            sync_failed: false,
            misplaced: false,
        };
        Ok(Self { disk: Arc::clone(disk), path, file, state: Mutex::new(state) })
    }

    /// All snapshots, oldest first.
    pub fn records(&self) -> Arc<Vec<CommitRecord>> {
        Arc::clone(&self.state.lock().records)
    }

    /// All commits that were ever listed.
    pub fn tally(&self) -> Tally {
        self.state.lock().tally
    }

    /// Lists a commit, unless it is listed already. On return it survives the end of the process;
    /// with [`Durability::Strict`] it is durable. After a failure the list is as it was.
    pub fn append(&self, record: CommitRecord, durability: Durability) -> Result<(), StoreError> {
        let failed = |error| StoreError::io("writing", &self.path, error);
        let file = self.file()?;
        let mut state = self.state.lock();
        let at = state.records.len();
        if !state.positions().contains_key(&record.id) {
            if state.torn {
                file.set_len(state.end).map_err(failed)?;
                state.torn = false;
            }
            let written = file.write_all_at(&encode_record(&record), state.end);
            state.torn = written.is_err();
            written.map_err(failed)?;
            state.end += RECORD_BYTES as u64;
            state.positions().insert(record.id, at);
            state.tally = state.tally.with(&record);
            Arc::make_mut(&mut state.records).push(record);
        }
        drop((state, file));
        match durability {
            Durability::Fast => Ok(()),
            Durability::Strict => self.sync(),
        }
    }

    /// Forgets the commits that were listed since there were these. What is listed after that
    /// again takes their place. Fails if one of these is lost, and then forgets nothing.
    pub fn cut(&self, earlier: Tally) -> Result<(), StoreError> {
        let file = self.file()?;
        let mut state = self.state.lock();
        let len = find_earlier(&state.records, state.dropped, earlier).ok_or_else(|| {
            let detail =
                lost(&state.records, state.dropped, earlier) + ": run `vst verify --repair`";
            StoreError::corrupt(&self.path, HEADER_BYTES as u64, detail)
        })?;
        if state.records.len() > len {
            state.end = (HEADER_BYTES + len * RECORD_BYTES) as u64;
            state.tally = earlier;
            Arc::make_mut(&mut state.records).truncate(len);
            state.positions = None;
            state.synced = state.synced.min(state.end);
            let cut = file.set_len(state.end);
            cut.map_err(|error| StoreError::io("cutting", &self.path, error))?;
        }
        Ok(())
    }

    /// Lists only the commits of which `keep` says so, durably. After a failure the list is as it
    /// was. Nobody may append meanwhile but through this list. Whoever reads it in another process
    /// finds the old list or the new one.
    pub fn retain(&self, keep: impl Fn(&CommitId) -> bool) -> Result<(), StoreError> {
        let Some(file) = &self.file else { return Err(self.read_only()) };
        let mut file = file.write();
        let mut state = self.state.lock();
        let kept = state.records.iter().filter(|record| keep(&record.id)).copied().collect();
        self.replace(&mut file, &mut state, kept)
    }

    /// The open file, which is that of the list's name.
    fn file(&self) -> Result<RwLockReadGuard<'_, Box<dyn DiskFile>>, StoreError> {
        let Some(lock) = &self.file else { return Err(self.read_only()) };
        loop {
            let file = lock.read();
            if !self.state.lock().misplaced {
                return Ok(file);
            }
            drop(file);
            let mut file = lock.write();
            let mut state = self.state.lock();
            if state.misplaced {
                let records = state.records.to_vec();
                self.replace(&mut file, &mut state, records)?;
            }
        }
    }

    fn read_only(&self) -> StoreError {
        StoreError::ReadOnly { path: self.path.clone() }
    }

    /// Puts a list with these records in place of the one there is, durably. After a failure nobody
    /// knows which of both the disk has: before anything else is done, the list as it was is
    /// written anew.
    fn replace(
        &self,
        file: &mut Box<dyn DiskFile>,
        state: &mut State,
        records: Vec<CommitRecord>,
    ) -> Result<(), StoreError> {
        let tally = state.tally;
        let dropped = tally.minus(Tally::of(&records));
        let mut bytes = encode_header(dropped).to_vec();
        bytes.extend(records.iter().flat_map(encode_record));
        state.misplaced = true;
        files::replace(&*self.disk, &self.path, &bytes, Durability::Strict)?;
        let open = self.disk.open(&self.path, OpenMode::Write);
        *file = open.map_err(|error| StoreError::io("opening", &self.path, error))?;
        let end = bytes.len() as u64;
        *state = State {
            records: Arc::new(records),
            dropped,
            tally,
            positions: None,
            end,
            torn: false,
            synced: end,
            sync_failed: false,
            misplaced: false,
        };
        Ok(())
    }

    /// Makes everything that was appended durable.
    pub fn sync(&self) -> Result<(), StoreError> {
        if self.file.is_none() {
            return Ok(());
        }
        let file = self.file()?;
        let (end, again) = {
            let mut state = self.state.lock();
            let failed_before = std::mem::replace(&mut state.sync_failed, true);
            let unsynced = (state.end - state.synced) as usize / RECORD_BYTES;
            let from = state.records.len().saturating_sub(unsynced);
            let again = failed_before.then(|| {
                let records = state.records.get(from..).unwrap_or_default();
                (state.synced, records.iter().flat_map(encode_record).collect::<Vec<u8>>())
            });
            (state.end, again)
        };
        let sync = || {
            // After a failure the kernel takes for written what it may not have written.
            if let Some((at, bytes)) = again {
                file.write_all_at(&bytes, at)?;
            }
            file.sync_data()
        };
        sync().map_err(|error| StoreError::io("syncing", &self.path, error))?;
        let mut state = self.state.lock();
        state.sync_failed = false;
        state.synced = end.min(state.end);
        Ok(())
    }

    /// Reads again what another process may have appended. Does nothing for the store's owner.
    pub fn refresh(&self) -> Result<(), StoreError> {
        if self.file.is_some() {
            return Ok(());
        }
        let fresh = Self::open(&self.disk, self.path.clone(), true)?;
        *self.state.lock() = fresh.state.into_inner();
        Ok(())
    }

    /// The entry of a commit.
    pub fn find(&self, id: &CommitId) -> Option<CommitRecord> {
        let mut state = self.state.lock();
        let at = *state.positions().get(id)?;
        state.records.get(at).copied()
    }

    /// The commits whose id begins with this prefix, lowest first, `max` of them at most.
    pub fn find_prefix(&self, prefix: &IdPrefix, max: usize) -> Vec<CommitRecord> {
        let mut state = self.state.lock();
        let lowest = CommitId::new(prefix.lowest());
        let positions: Vec<_> = state
            .positions()
            .range(lowest..)
            .take_while(|(id, _)| prefix.matches(id.object()))
            .take(max)
            .map(|(_, at)| *at)
            .collect();
        positions.iter().filter_map(|at| state.records.get(*at).copied()).collect()
    }
}

/// How many of the first records of a list there were when these were all that were listed.
/// `None` if one of them is lost.
pub(super) fn find_earlier(
    records: &[CommitRecord],
    dropped: Tally,
    earlier: Tally,
) -> Option<usize> {
    let len = usize::try_from(earlier.count.checked_sub(dropped.count)?).ok()?;
    let tally = dropped.plus(Tally::of(records.get(..len)?));
    (tally == earlier).then_some(len)
}

/// What is to be said of a list that has lost some of its earlier records.
pub(super) fn lost(records: &[CommitRecord], dropped: Tally, earlier: Tally) -> String {
    let (listed, expected) = (records.len(), earlier.count.saturating_sub(dropped.count));
    match (listed as u64) < expected {
        true => format!("it lists {listed} commits, and there were {expected}"),
        false => {
            format!("it lists {listed} commits, but not all of the {expected} that there were")
        }
    }
}

/// What is in the file.
struct List {
    records: Vec<CommitRecord>,
    dropped: Tally,
    /// Where the last whole record ends.
    end: u64,
}

/// Reads a list. Damaged records between whole ones are left out, and the log says so.
fn read_all(disk: &dyn Disk, path: &Path) -> Result<List, StoreError> {
    let bytes = files::read_all(disk, path)?;
    let dropped = match decode_header(&bytes) {
        Ok(dropped) => dropped,
        Err(CommitLogError::Version(found)) => {
            let found = format!("list of commits {found}");
            return Err(StoreError::UnknownFormat { path: path.to_owned(), found });
        }
        Err(error) => return Err(StoreError::corrupt(path, 0, error)),
    };
    let (rows, _) = bytes[HEADER_BYTES..].as_chunks::<RECORD_BYTES>();
    let mut records = Vec::with_capacity(rows.len());
    let mut rows_whole = 0;
    for (at, row) in rows.iter().enumerate() {
        if let Ok(record) = decode_record(row) {
            records.push(record);
            rows_whole = at + 1;
        }
    }
    let damaged = rows_whole - records.len();
    if damaged > 0 {
        log::error!("{}: {damaged} damaged records are left out", path.display());
    }
    Ok(List { records, dropped, end: (HEADER_BYTES + rows_whole * RECORD_BYTES) as u64 })
}

#[cfg(test)]
mod tests {
    use super::CommitLog;
    use crate::base::disk::sim::SimDisk;
    use crate::base::disk::{Disk, RealDisk};
    use crate::format::commit_log::{CommitRecord, HEADER_BYTES, RECORD_BYTES};
    use crate::model::{CommitId, IdPrefix, ObjectId, Timestamp};
    use crate::store::{Durability, StoreError};
    use rustix::io::Errno;
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    fn disk() -> Arc<dyn Disk> {
        Arc::new(RealDisk)
    }

    fn record(n: u8) -> CommitRecord {
        let id = CommitId::new(ObjectId::from_bytes([n; 32]));
        let time = Timestamp { secs: i64::from(n), nanos: 1 };
        let changes_by = Some(ObjectId::from_bytes([!n; 32]));
        CommitRecord { id, time, changes_by }
    }

    fn log_of(dir: &tempfile::TempDir, count: u8) -> CommitLog {
        let path = dir.path().join("commits");
        CommitLog::create(&RealDisk, &path).unwrap();
        let log = CommitLog::open(&disk(), path, false).unwrap();
        for n in 0..count {
            log.append(record(n), Durability::Fast).unwrap();
        }
        log
    }

    #[test]
    fn commits_are_listed_once_and_found_by_prefix() {
        let dir = tempfile::tempdir().unwrap();
        let log = log_of(&dir, 20);
        let before = log.records();
        log.append(record(3), Durability::Strict).unwrap();
        log.append(record(20), Durability::Strict).unwrap();
        assert_eq!((before.len(), log.records().len()), (20, 21));
        let log = CommitLog::open(&disk(), dir.path().join("commits"), false).unwrap();
        assert_eq!(log.records().to_vec(), (0..21).map(record).collect::<Vec<_>>());
        assert_eq!(log.find(&record(7).id), Some(record(7)));
        assert_eq!(log.find(&record(99).id), None);
        let prefix = |text: &str| text.parse::<IdPrefix>().unwrap();
        assert_eq!(log.find_prefix(&prefix("1"), 9), (16..21).map(record).collect::<Vec<_>>());
        assert_eq!(log.find_prefix(&prefix("1"), 2).len(), 2);
        assert_eq!(log.find_prefix(&prefix("0b0b0b"), 9), [record(11)]);
    }

    #[test]
    fn a_tail_torn_at_any_byte_is_ignored_and_cut_off() {
        for kept in 0..RECORD_BYTES {
            let dir = tempfile::tempdir().unwrap();
            drop(log_of(&dir, 3));
            let path = dir.path().join("commits");
            let whole = (HEADER_BYTES + 2 * RECORD_BYTES) as u64;
            let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
            file.set_len(whole + kept as u64).unwrap();
            let reader = CommitLog::open(&disk(), path.clone(), true).unwrap();
            assert_eq!(reader.records().len(), 2);
            let writer = CommitLog::open(&disk(), path.clone(), false).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().len(), whole);
            writer.append(record(9), Durability::Fast).unwrap();
            reader.refresh().unwrap();
            assert_eq!(reader.records().to_vec(), [record(0), record(1), record(9)]);
        }
    }

    #[test]
    fn a_damaged_record_costs_no_other() {
        let dir = tempfile::tempdir().unwrap();
        drop(log_of(&dir, 4));
        let path = dir.path().join("commits");
        let mut bytes = fs::read(&path).unwrap();
        bytes[HEADER_BYTES + RECORD_BYTES + 5] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let log = CommitLog::open(&disk(), path.clone(), false).unwrap();
        assert_eq!(log.records().to_vec(), [record(0), record(2), record(3)]);
        log.append(record(5), Durability::Fast).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), (bytes.len() + RECORD_BYTES) as u64);

        bytes[3] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let error = CommitLog::open(&disk(), path, false).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { offset: 0, .. }), "{error}");
    }

    #[test]
    fn a_list_that_cannot_be_replaced_or_opened_again_goes_on_where_its_name_is() {
        type Fault = fn(&SimDisk, u64);
        let faults: [Fault; 2] = [
            |disk, at| disk.fail_at(disk.steps() + at, Errno::IO),
            |disk, at| {
                disk.fail_read_at(disk.reads() + at);
            },
        ];
        let top = Path::new("/top");
        let path = top.join("commits");
        for fault in faults {
            let mut failures = 0;
            for at in 0..12 {
                let disk = SimDisk::new(top);
                CommitLog::create(&*disk.handle(), &path).unwrap();
                let log = CommitLog::open(&disk.handle(), path.clone(), false).unwrap();
                for n in 0..3 {
                    log.append(record(n), Durability::Strict).unwrap();
                }
                fault(&disk, at);
                let retained = log.retain(|id| *id != record(1).id);
                disk.mend();
                log.append(record(3), Durability::Strict).unwrap();
                let expected: &[u8] = if retained.is_ok() { &[0, 2, 3] } else { &[0, 1, 2, 3] };
                let expected: Vec<_> = expected.iter().map(|n| record(*n)).collect();
                assert_eq!(log.records().to_vec(), expected, "{at}");
                let disk = disk.after_power_loss(at);
                let again = CommitLog::open(&disk.handle(), path.clone(), false).unwrap();
                assert_eq!(again.records().to_vec(), expected, "{at}");
                assert_eq!(again.tally(), log.tally(), "{at}");
                failures += u64::from(retained.is_err());
            }
            assert!(failures > 0);
        }
    }

    #[test]
    fn nothing_is_appended_to_a_list_that_is_open_for_reading() {
        let dir = tempfile::tempdir().unwrap();
        drop(log_of(&dir, 1));
        let log = CommitLog::open(&disk(), dir.path().join("commits"), true).unwrap();
        let error = log.append(record(1), Durability::Fast).unwrap_err();
        assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
    }
}
