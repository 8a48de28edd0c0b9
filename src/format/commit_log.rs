//! The list of all snapshots: a header and records of a fixed size, oldest first.
//!
//! All numbers are little-endian, all checksums CRC-32C. Header, 16 bytes: `vst cmts`, version
//! u32 (1), checksum of the 12 bytes before. Record, 48 bytes:
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 32 | id of the commit |
//! | 32 | 8 | its time: seconds since 1970, i64 |
//! | 40 | 4 | nanoseconds, below 10^9 |
//! | 44 | 4 | checksum of the 44 bytes before |
//!
//! A record that does not check is no commit. Behind the last one that does, it is what a dead
//! writer left; the next writer begins there.

use crate::model::{CommitId, ObjectId, Timestamp};

/// Length of the header.
pub const HEADER_BYTES: usize = 16;
/// Length of a record.
pub const RECORD_BYTES: usize = 48;

const MAGIC: &[u8; 8] = b"vst cmts";
const VERSION: u32 = 1;

/// One snapshot, as listings know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitRecord {
    /// The commit.
    pub id: CommitId,
    /// When it was asked for.
    pub time: Timestamp,
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

/// The header of every list.
pub fn encode_header() -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let sum = crc32c::crc32c(&bytes[..12]);
    bytes[12..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Checks the header.
pub fn check_header(bytes: &[u8]) -> Result<(), CommitLogError> {
    let (magic, rest) = bytes.split_first_chunk::<8>().ok_or(CommitLogError::Header)?;
    let (version, rest) = rest.split_first_chunk::<4>().ok_or(CommitLogError::Header)?;
    let (sum, _) = rest.split_first_chunk::<4>().ok_or(CommitLogError::Header)?;
    if magic != MAGIC || crc32c::crc32c(&bytes[..12]) != u32::from_le_bytes(*sum) {
        return Err(CommitLogError::Header);
    }
    match u32::from_le_bytes(*version) {
        VERSION => Ok(()),
        other => Err(CommitLogError::Version(other)),
    }
}

/// Writes a record.
pub fn encode_record(record: &CommitRecord) -> [u8; RECORD_BYTES] {
    let mut bytes = [0; RECORD_BYTES];
    bytes[..32].copy_from_slice(record.id.object().as_bytes());
    bytes[32..40].copy_from_slice(&record.time.secs.to_le_bytes());
    bytes[40..44].copy_from_slice(&record.time.nanos.to_le_bytes());
    let sum = crc32c::crc32c(&bytes[..44]);
    bytes[44..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Reads a record.
pub fn decode_record(bytes: &[u8; RECORD_BYTES]) -> Result<CommitRecord, CommitLogError> {
    let (id, rest) = bytes.split_first_chunk::<32>().ok_or(CommitLogError::Record)?;
    let (secs, rest) = rest.split_first_chunk::<8>().ok_or(CommitLogError::Record)?;
    let (nanos, rest) = rest.split_first_chunk::<4>().ok_or(CommitLogError::Record)?;
    let (sum, _) = rest.split_first_chunk::<4>().ok_or(CommitLogError::Record)?;
    let nanos = u32::from_le_bytes(*nanos);
    if crc32c::crc32c(&bytes[..44]) != u32::from_le_bytes(*sum) || nanos >= 1_000_000_000 {
        return Err(CommitLogError::Record);
    }
    Ok(CommitRecord {
        id: CommitId::new(ObjectId::from_bytes(*id)),
        time: Timestamp { secs: i64::from_le_bytes(*secs), nanos },
    })
}

#[cfg(test)]
mod tests {
    use super::{
        CommitLogError, CommitRecord, RECORD_BYTES, check_header, decode_record, encode_header,
        encode_record,
    };
    use crate::model::{CommitId, ObjectId, Timestamp};
    use proptest::prelude::{any, prop_assert_eq, proptest};

    #[test]
    fn no_flipped_bit_passes() {
        let record = CommitRecord {
            id: CommitId::new(ObjectId::from_bytes([9; 32])),
            time: Timestamp { secs: -5, nanos: 999_999_999 },
        };
        let bytes = encode_record(&record);
        assert_eq!(decode_record(&bytes), Ok(record));
        for bit in 0..RECORD_BYTES * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_record(&bad), Err(CommitLogError::Record));
        }
        let header = encode_header();
        assert_eq!(check_header(&header), Ok(()));
        for bit in 0..header.len() * 8 {
            let mut bad = header;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(check_header(&bad), Err(CommitLogError::Header));
        }
        assert_eq!(check_header(&header[..15]), Err(CommitLogError::Header));
    }

    proptest! {
        #[test]
        fn records_round_trip_and_any_bytes_fail_cleanly(
            id in any::<[u8; 32]>(), secs in any::<i64>(), nanos in 0u32..1_000_000_000,
            noise in any::<[u8; RECORD_BYTES]>(),
        ) {
            let id = CommitId::new(ObjectId::from_bytes(id));
            let record = CommitRecord { id, time: Timestamp { secs, nanos } };
            prop_assert_eq!(decode_record(&encode_record(&record)), Ok(record));
            let _ = decode_record(&noise);
            let _ = check_header(&noise);
        }
    }
}
