//! The list of the states of a worktree: a header and records of a fixed size, oldest first. The
//! last one that checks is the state that counts.
//!
//! All numbers are little-endian, all checksums CRC-32C. Header, 16 bytes: `vst wrkt`, version
//! u32 (1), checksum of the 12 bytes before. Record, 40 bytes:
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 32 | id of the state's object |
//! | 32 | 4 | zero |
//! | 36 | 4 | checksum of the 36 bytes before |
//!
//! What lies behind the last record that checks is what a dead writer left; the next writer
//! begins there.

use crate::model::ObjectId;

/// Length of the header.
pub const HEADER_BYTES: usize = 16;
/// Length of a record.
pub const RECORD_BYTES: usize = 40;

const MAGIC: &[u8; 8] = b"vst wrkt";
const VERSION: u32 = 1;

/// The header of every list.
pub fn encode_header() -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let sum = crc32c::crc32c(&bytes[..12]);
    bytes[12..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Tells whether bytes begin with the header.
pub fn has_header(bytes: &[u8]) -> bool {
    bytes.starts_with(&encode_header())
}

/// Writes a record.
pub fn encode_record(id: &ObjectId) -> [u8; RECORD_BYTES] {
    let mut bytes = [0; RECORD_BYTES];
    bytes[..32].copy_from_slice(id.as_bytes());
    let sum = crc32c::crc32c(&bytes[..36]);
    bytes[36..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Reads a record; `None` if it does not check.
pub fn decode_record(bytes: &[u8]) -> Option<ObjectId> {
    let (body, sum) = bytes.get(..RECORD_BYTES)?.split_at(36);
    let good = crc32c::crc32c(body).to_le_bytes() == *sum && body[32..] == [0; 4];
    ObjectId::from_slice(&body[..32]).filter(|_| good)
}

#[cfg(test)]
mod tests {
    use super::{RECORD_BYTES, decode_record, encode_header, encode_record, has_header};
    use crate::model::ObjectId;

    #[test]
    fn a_record_round_trips_and_any_flipped_bit_is_noticed() {
        let id = ObjectId::from_bytes([5; 32]);
        let record = encode_record(&id);
        assert_eq!(decode_record(&record), Some(id));
        for bit in 0..RECORD_BYTES * 8 {
            let mut bad = record;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_record(&bad), None);
        }
        assert_eq!(decode_record(&record[1..]), None);
        assert!(has_header(&encode_header()) && !has_header(b"vst"));
    }
}
