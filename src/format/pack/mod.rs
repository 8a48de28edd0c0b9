//! A pack: an append-only file of objects.
//!
//! All numbers are little-endian, all checksums CRC-32C. A pack is
//!
//! ```text
//! header | record | record | …                             while it is being written
//! header | record | record | … | fanout | entries | trailer   once it is sealed
//! ```
//!
//! Header, 20 bytes:
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 8 | `vst pack` |
//! | 8 | 4 | version, 2 |
//! | 12 | 4 | checksum of the 12 bytes before |
//! | 16 | 1 | `o` while the pack is open, `s` once it is sealed |
//! | 17 | 3 | zero |
//!
//! That one byte is changed when the footer is durable, and nobody waits until the change is on the
//! disk. So a pack whose header says that it is sealed, and that has no footer, has lost it.
//!
//! Record ([`RecordHeader`]), 56 bytes and the payload:
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 4 | `F5 6F 62 6A` |
//! | 4 | 1 | kind of the object, as [`ObjectKind`](crate::model::ObjectKind) numbers it |
//! | 5 | 1 | codec: 0 stored as it is, 1 a zstd frame |
//! | 6 | 2 | zero |
//! | 8 | 4 | stored length: of the payload |
//! | 12 | 4 | raw length: of the object |
//! | 16 | 32 | id of the object: the BLAKE3 digest of its raw bytes |
//! | 48 | 4 | checksum of the payload |
//! | 52 | 4 | checksum of the 52 bytes before |
//! | 56 | | payload |
//!
//! The header of a record has a checksum of its own, so that a damaged payload can be stepped
//! over; the magic at its start is where reading finds its feet again after a damaged header.
//!
//! The footer of a sealed pack ([`Fanout`], [`PackEntry`], [`Trailer`]):
//!
//! | part | bytes | |
//! |---|---|---|
//! | fanout | 256 x 8 | for each first byte of an id: the number of entries up to and with that byte, u32; checksum of that byte's entries, u32 |
//! | entries | count x 48 | sorted by id: id 32, offset of the record u32, stored length u32, raw length u32, kind u8, codec u8, zero u16 |
//! | trailer | 48 | offset of the fanout u64, raw bytes u64, stored bytes u64 (the sums over all objects), count u32, checksum of the fanout u32, version u32, checksum of the 36 bytes before u32, `vst foot` |
//!
//! The trailer ends the file. A footer says that the records before it are durable: they are
//! synced before it is written. A pack without a whole trailer was not sealed, or is damaged; its
//! records are found by reading it from the start.

mod footer;
mod record;

pub use footer::{Fanout, FooterBytes, PackEntry, Trailer, encode_footer};
pub use record::{Codec, Effort, RecordHeader, decode_payload, with_payload};

/// Length of the header of a pack.
pub const HEADER_BYTES: usize = 20;
/// Where in the header it stands whether the pack is sealed.
pub const SEALED_AT: usize = 16;
/// Length of the header of a record.
pub const RECORD_HEADER_BYTES: usize = 56;
/// Length of the fanout table of a footer.
pub const FANOUT_BYTES: usize = 256 * 8;
/// Length of one entry of a footer.
pub const ENTRY_BYTES: usize = 48;
/// Length of the trailer of a sealed pack.
pub const TRAILER_BYTES: usize = 48;
/// What every record begins with.
pub const RECORD_MAGIC: [u8; 4] = [0xf5, b'o', b'b', b'j'];

const HEADER_MAGIC: &[u8; 8] = b"vst pack";
const VERSION: u32 = 2;

/// Whether a pack has a footer. Two bits and more tell one from the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PackState {
    /// Records may be appended.
    Open = b'o',
    /// It has one.
    Sealed = b's',
}

const OPEN: u32 = PackState::Open as u32;
const SEALED: u32 = PackState::Sealed as u32;

/// What is wrong with the bytes of a pack. Whoever knows the file and the offset adds them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// Fewer bytes than the structure has.
    #[error("the {0} is cut short")]
    Truncated(&'static str),
    /// It does not begin (or end) as the structure does.
    #[error("no {0} here: its first bytes are wrong")]
    Magic(&'static str),
    /// The bytes are not those that were written.
    #[error("the checksum of the {0} does not match")]
    Checksum(&'static str),
    /// Written by a newer program.
    #[error("packs of version {0} are unknown to this program")]
    Version(u32),
    /// A value that no writer writes, under a checksum that matches.
    #[error("{field} cannot be {value}")]
    Field {
        /// Which one.
        field: &'static str,
        /// What it is.
        value: u64,
    },
    /// The payload does not decompress to the length that its header tells.
    #[error("the payload does not decompress: {0}")]
    Decompress(String),
}

/// The header of a pack.
pub fn encode_header(state: PackState) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(HEADER_MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let sum = crc32c::crc32c(&bytes[..12]);
    bytes[12..16].copy_from_slice(&sum.to_le_bytes());
    bytes[SEALED_AT] = state as u8;
    bytes
}

/// Reads the header of a pack.
pub fn decode_header(bytes: &[u8]) -> Result<PackState, PackError> {
    let bytes: &[u8; HEADER_BYTES] = bytes
        .get(..HEADER_BYTES)
        .and_then(|head| head.try_into().ok())
        .ok_or(PackError::Truncated("pack header"))?;
    if &bytes[..8] != HEADER_MAGIC {
        return Err(PackError::Magic("pack header"));
    }
    if crc32c::crc32c(&bytes[..12]) != u32_at(bytes, 12) {
        return Err(PackError::Checksum("pack header"));
    }
    check_version(u32_at(bytes, 8))?;
    match u32_at(bytes, SEALED_AT) {
        OPEN => Ok(PackState::Open),
        SEALED => Ok(PackState::Sealed),
        value => Err(PackError::Field { field: "state of the pack", value: value.into() }),
    }
}

fn check_version(version: u32) -> Result<(), PackError> {
    if version == VERSION { Ok(()) } else { Err(PackError::Version(version)) }
}

/// The number at a fixed place of a fixed structure.
fn u32_at<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

/// The number at a fixed place of a fixed structure.
fn u64_at<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    use super::{HEADER_BYTES, PackError, PackState, decode_header, encode_header};

    #[test]
    fn a_header_round_trips_and_no_flipped_bit_of_it_passes() {
        for state in [PackState::Open, PackState::Sealed] {
            let header = encode_header(state);
            assert_eq!(decode_header(&header), Ok(state));
            for bit in 0..HEADER_BYTES * 8 {
                let mut bad = header;
                bad[bit / 8] ^= 1 << (bit % 8);
                let error = decode_header(&bad).expect_err("a flipped bit");
                assert!(!matches!(error, PackError::Version(_)), "taken for a version: {bit}");
            }
            let short = &header[..HEADER_BYTES - 1];
            assert_eq!(decode_header(short), Err(PackError::Truncated("pack header")));
        }
    }

    #[test]
    fn a_future_version_is_named() {
        let mut header = encode_header(PackState::Open);
        header[8] = 7;
        let sum = crc32c::crc32c(&header[..12]);
        header[12..16].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(decode_header(&header), Err(PackError::Version(7)));
    }
}
