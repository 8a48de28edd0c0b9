//! The list of all snapshots: a header and records of a fixed size, oldest first.
//!
//! All numbers are little-endian, all checksums CRC-32C. Header, 32 bytes:
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 8 | `vst cmts` |
//! | 8 | 4 | version, 3 |
//! | 12 | 4 | zero |
//! | 16 | 8 | how many commits were listed once and have been dropped |
//! | 24 | 4 | the sum of the checksums of their records, without what does not fit 32 bits |
//! | 28 | 4 | checksum of the 28 bytes before |
//!
//! So what there is in the list and what was dropped make a [`Tally`] that only grows. A state of
//! the worktree has it as it was then, and with that tells whether the list has lost a record.
//!
//! Record, 80 bytes:
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 32 | id of the commit |
//! | 32 | 8 | its time: seconds since 1970, i64 |
//! | 40 | 4 | nanoseconds, below 10^9 |
//! | 44 | 32 | id of the block that tells who made its changes: see `format::provenance`; zeros if nothing does |
//! | 76 | 4 | checksum of the 76 bytes before |
//!
//! A record that does not check is no commit. Behind the last one that does, it is what a dead
//! writer left; the next writer begins there.

use crate::model::{CommitId, ObjectId, Timestamp};

/// Length of the header.
pub const HEADER_BYTES: usize = 32;
/// Length of a record.
pub const RECORD_BYTES: usize = 80;
/// Where a record has its checksum.
const SUM_AT: usize = RECORD_BYTES - 4;

const MAGIC: &[u8; 8] = b"vst cmts";
const VERSION: u32 = 3;

/// One snapshot, as listings know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitRecord {
    /// The commit.
    pub id: CommitId,
    /// When it was asked for.
    pub time: Timestamp,
    /// The block that tells who made its changes, if anything is known of that.
    pub changes_by: Option<ObjectId>,
}

/// How many commits there are, and what differs if they are others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// The sum of the checksums of their records.
    pub sum: u32,
}

impl Tally {
    /// Counts commits.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a CommitRecord>) -> Self {
        records.into_iter().fold(Self::default(), |tally, record| tally.with(record))
    }

    /// The tally with one more commit.
    #[must_use]
    pub fn with(self, record: &CommitRecord) -> Self {
        self.plus(Self { count: 1, sum: record_sum(&encode_record(record)) })
    }

    /// The tally of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let Self { count, sum } = other;
        Self { count: self.count.saturating_add(count), sum: self.sum.wrapping_add(sum) }
    }

    /// What is in this tally and not in the other, whose commits are among those of this one.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        let Self { count, sum } = other;
        Self { count: self.count.saturating_sub(count), sum: self.sum.wrapping_sub(sum) }
    }
}

/// Why the bytes are no list of snapshots.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitLogError {
    /// The header is cut short or does not check.
    #[error("the header is damaged")]
    Header,
    /// Written by a newer program.
    #[error("lists of commits of version {0} are unknown to this program")]
    Version(u32),
    /// A record that does not check.
    #[error("the checksum of a record does not match")]
    Record,
}

/// The header of a list from which so many commits were dropped.
pub fn encode_header(dropped: Tally) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&dropped.count.to_le_bytes());
    bytes[24..28].copy_from_slice(&dropped.sum.to_le_bytes());
    let sum = crc32c::crc32c(&bytes[..28]);
    bytes[28..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Reads the header, which tells how many commits were dropped.
pub fn decode_header(bytes: &[u8]) -> Result<Tally, CommitLogError> {
    let bytes = bytes.first_chunk::<HEADER_BYTES>().ok_or(CommitLogError::Header)?;
    let u32_at = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
    if &bytes[..8] != MAGIC || crc32c::crc32c(&bytes[..28]) != u32_at(28) {
        return Err(CommitLogError::Header);
    }
    match u32_at(8) {
        VERSION => {
            let count = u64::from_le_bytes(std::array::from_fn(|i| bytes[16 + i]));
            Ok(Tally { count, sum: u32_at(24) })
        }
        other => Err(CommitLogError::Version(other)),
    }
}

fn record_sum(record: &[u8; RECORD_BYTES]) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| record[SUM_AT + i]))
}

/// Writes a record.
pub fn encode_record(record: &CommitRecord) -> [u8; RECORD_BYTES] {
    let mut bytes = [0; RECORD_BYTES];
    bytes[..32].copy_from_slice(record.id.object().as_bytes());
    bytes[32..40].copy_from_slice(&record.time.secs.to_le_bytes());
    bytes[40..44].copy_from_slice(&record.time.nanos.to_le_bytes());
    if let Some(block) = &record.changes_by {
        bytes[44..SUM_AT].copy_from_slice(block.as_bytes());
    }
    let sum = crc32c::crc32c(&bytes[..SUM_AT]);
    bytes[SUM_AT..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Reads a record.
pub fn decode_record(bytes: &[u8; RECORD_BYTES]) -> Result<CommitRecord, CommitLogError> {
    let (id, rest) = bytes.split_first_chunk::<32>().ok_or(CommitLogError::Record)?;
    let (secs, rest) = rest.split_first_chunk::<8>().ok_or(CommitLogError::Record)?;
    let (nanos, rest) = rest.split_first_chunk::<4>().ok_or(CommitLogError::Record)?;
    let (block, rest) = rest.split_first_chunk::<32>().ok_or(CommitLogError::Record)?;
    let (sum, _) = rest.split_first_chunk::<4>().ok_or(CommitLogError::Record)?;
    let nanos = u32::from_le_bytes(*nanos);
    if crc32c::crc32c(&bytes[..SUM_AT]) != u32::from_le_bytes(*sum) || nanos >= 1_000_000_000 {
        return Err(CommitLogError::Record);
    }
    Ok(CommitRecord {
        id: CommitId::new(ObjectId::from_bytes(*id)),
        time: Timestamp { secs: i64::from_le_bytes(*secs), nanos },
        changes_by: (*block != [0; 32]).then(|| ObjectId::from_bytes(*block)),
    })
}

#[cfg(test)]
mod tests {
    use super::{
        CommitLogError, CommitRecord, RECORD_BYTES, Tally, decode_header, decode_record,
        encode_header, encode_record,
    };
    use crate::model::{CommitId, ObjectId, Timestamp};
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    #[test]
    fn no_flipped_bit_passes() {
        let record = CommitRecord {
            id: CommitId::new(ObjectId::from_bytes([9; 32])),
            time: Timestamp { secs: -5, nanos: 999_999_999 },
            changes_by: Some(ObjectId::from_bytes([8; 32])),
        };
        let bytes = encode_record(&record);
        assert_eq!(decode_record(&bytes), Ok(record));
        for bit in 0..RECORD_BYTES * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_record(&bad), Err(CommitLogError::Record));
        }
        let dropped = Tally { count: 700, sum: 0xfedc_ba98 };
        let header = encode_header(dropped);
        assert_eq!(decode_header(&header), Ok(dropped));
        for bit in 0..header.len() * 8 {
            let mut bad = header;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_header(&bad), Err(CommitLogError::Header));
        }
        assert_eq!(decode_header(&header[..31]), Err(CommitLogError::Header));
    }

    #[test]
    fn a_tally_tells_which_commits_there_are_but_not_in_which_order() {
        let record = |n: u8| CommitRecord {
            id: CommitId::new(ObjectId::from_bytes([n; 32])),
            time: Timestamp { secs: 7, nanos: 0 },
            changes_by: None,
        };
        let all = Tally::of(&[record(1), record(2), record(3)]);
        assert_eq!(all, Tally::of(&[record(3), record(1), record(2)]));
        assert_ne!(all, Tally::of(&[record(1), record(2), record(4)]));
        let some = Tally::of(&[record(2)]);
        assert_eq!(all.minus(some), Tally::of(&[record(1), record(3)]));
        assert_eq!(all.minus(some).plus(some), all);
    }

    proptest! {
        #[test]
        fn records_round_trip_and_any_bytes_fail_cleanly(
            id in any::<[u8; 32]>(), secs in any::<i64>(), nanos in 0u32..1_000_000_000,
            block in any::<Option<[u8; 32]>>(), noise in vec(any::<u8>(), RECORD_BYTES),
        ) {
            let id = CommitId::new(ObjectId::from_bytes(id));
            let changes_by = block.map(ObjectId::from_bytes);
            let record = CommitRecord { id, time: Timestamp { secs, nanos }, changes_by };
            prop_assert_eq!(decode_record(&encode_record(&record)), Ok(record));
            let _ = decode_record(noise.first_chunk().unwrap());
            let _ = decode_header(&noise);
        }
    }
}
