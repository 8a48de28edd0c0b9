//! A segment of the journal: a header and records, one after the other.
//!
//! All numbers are little-endian, all checksums CRC-32C. Header, 88 bytes:
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 8 | `vst jrnl` |
//! | 8 | 4 | version, 4 |
//! | 12 | 4 | zero |
//! | 16 | 8 | number of the segment |
//! | 24 | 16 | what tells this run of the machine from others (the kernel's boot id) |
//! | 40 | 4 | zero |
//! | 44 | 4 | checksum of the 44 bytes before |
//! | 48 | 8 | offset up to which the segment is known to be durable |
//! | 56 | 4 | zero |
//! | 60 | 4 | checksum of the 12 bytes before |
//! | 64 | 8 | number of the next segment |
//! | 72 | 8 | offset at which the records of this one end |
//! | 80 | 4 | zero |
//! | 84 | 4 | checksum of the 20 bytes before |
//!
//! The 16 bytes at 48 are written after each sync, and come to the disk with the next one at the
//! latest. Where they do not check, because nothing was synced yet or the writer was interrupted,
//! nothing is known. What does not check before that offset is damage; behind it, it may be what
//! the end of the machine has left. And all segments before one that says so are durable: it says
//! at the end of its header that only they are.
//!
//! The last 24 bytes are written when the next segment is durable, and before a record is in it.
//! So one that is named and not there is lost. Where they do not check, no other is named, and one
//! follows if its records do.
//!
//! Record, 16 bytes, its fields and its payload:
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 4 | length of the fields, at least 1 |
//! | 4 | 4 | length of the payload |
//! | 8 | 4 | checksum of the payload |
//! | 12 | 4 | checksum of: the record's sequence number (8 bytes), the 12 bytes before, the fields |
//! | 16 | | fields |
//! | | | payload |
//!
//! Sequence numbers count the records of a journal through all its segments, so that a record is
//! none anywhere but in its place. The fields are
//!
//! ```text
//! fields = kind:u8 …
//! 0 void         0:u8*                   stands where a record was never completed, and has its
//!                                        payload, whatever that is
//! 1 operations   by count:varint op*     see `format::op`; what writes write is the payload
//! 2 mark                                 the tree as it is here may become a commit
//! 3 commit       id author:string message:string time
//!                                        the tree at the last mark became this commit
//! 4 switch       id                      the worktree becomes what this state of it tells
//! 5 deed         deed                    see `format::deed`: the head moved, and the tree stayed
//! by     = 0:u8 | 1:u8 writer            who did it, if that is known; see `format::provenance`
//! ```
//!
//! Every record of operations has its writer, a dozen bytes most often, rather than only those at
//! which it changes: a record that was never completed is skipped, and a checkpoint cuts off all
//! before it, and neither must take along who did what comes after.
//!
//! Behind the last record lie zeros, or the file ends.

use super::bytes::{FormatError, Reader, put_string, put_time, put_varint};
use super::commit::read_text;
use super::deed::{put_deed, read_deed};
use super::op::{LocatedOp, read_op};
use super::provenance::{put_writer, read_writer};
use crate::base::limits::{AUTHOR_BYTES_MAX, MESSAGE_BYTES_MAX};
use crate::model::{CommitId, Deed, ObjectId, Timestamp, Writer};

/// Length of the header of a segment.
pub const SEGMENT_HEADER_BYTES: usize = 88;
/// Where in the header it stands how far the segment is durable.
pub const DURABLE_AT: usize = 48;
/// Length of that.
pub const DURABLE_BYTES: usize = 16;
/// Where in the header the next segment stands.
pub const NEXT_AT: usize = 64;
/// Length of that.
pub const NEXT_BYTES: usize = 24;
/// Length of what stands before the fields of a record.
pub const RECORD_HEADER_BYTES: usize = 16;

const MAGIC: &[u8; 8] = b"vst jrnl";
const VERSION: u32 = 4;

const VOID: u8 = 0;
const OPS: u8 = 1;
const MARK: u8 = 2;
const COMMIT: u8 = 3;
const SWITCH: u8 = 4;
const DEED: u8 = 5;

/// What a record tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Nothing: it was begun and never completed.
    Void,
    /// Operations that were done together, and who did them, if that is known.
    Ops(Option<Writer>, Vec<LocatedOp>),
    /// The tree as it is here may become a commit.
    Mark,
    /// The tree at the last mark became a commit.
    Commit(CommitMade),
    /// The worktree became what this state of it tells.
    Switch(ObjectId),
    /// Something was done to the worktree that left its tree as it was.
    Deed(Deed),
}

/// What the journal knows of a commit. Its parent is the head of then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitMade {
    /// The id.
    pub id: CommitId,
    /// When it was asked for.
    pub time: Timestamp,
    /// Who asked for it.
    pub author: String,
    /// What was said about it.
    pub message: String,
}

/// What stands before the fields of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Length of the fields.
    pub fields_len: u32,
    /// Length of the payload.
    pub payload_len: u32,
    /// Checksum of the payload.
    pub payload_sum: u32,
    sum: u32,
}

/// Why a segment cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// It does not begin as a segment does, or its header does not check.
    #[error("not a segment of a journal")]
    Header,
    /// Written by a newer program.
    #[error("segments of version {0} are unknown to this program")]
    Version(u32),
}

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Its number.
    pub number: u64,
    /// The run of the machine in which it was written.
    pub boot_id: [u8; 16],
}

/// What comes behind a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextSegment {
    /// The number of the next one.
    pub number: u64,
    /// Where the records of the one before end.
    pub end: u64,
}

impl SegmentHeader {
    /// Writes the header of a segment of which nothing is known to be durable, and behind which no
    /// other one comes.
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..40].copy_from_slice(&self.boot_id);
        let sum = crc32c::crc32c(&bytes[..44]);
        bytes[44..DURABLE_AT].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads the header.
    pub fn decode(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> Result<Self, SegmentError> {
        let u32_at = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        if &bytes[..8] != MAGIC || crc32c::crc32c(&bytes[..44]) != u32_at(44) {
            return Err(SegmentError::Header);
        }
        match u32_at(8) {
            VERSION => Ok(Self {
                number: u64::from_le_bytes(std::array::from_fn(|i| bytes[16 + i])),
                boot_id: std::array::from_fn(|i| bytes[24 + i]),
            }),
            version => Err(SegmentError::Version(version)),
        }
    }
}

/// Says up to which offset a segment is durable.
pub fn encode_durable(offset: u64) -> [u8; DURABLE_BYTES] {
    let mut bytes = [0; DURABLE_BYTES];
    bytes[..8].copy_from_slice(&offset.to_le_bytes());
    let sum = crc32c::crc32c(&bytes[..12]);
    bytes[12..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Up to which offset a segment is durable, as far as its header tells.
pub fn decode_durable(header: &[u8; SEGMENT_HEADER_BYTES]) -> Option<u64> {
    let bytes = &header[DURABLE_AT..][..DURABLE_BYTES];
    let offset = u64::from_le_bytes(std::array::from_fn(|i| bytes[i]));
    (encode_durable(offset) == *bytes).then_some(offset)
}

/// Says what comes behind a segment.
pub fn encode_next(next: NextSegment) -> [u8; NEXT_BYTES] {
    let mut bytes = [0; NEXT_BYTES];
    bytes[..8].copy_from_slice(&next.number.to_le_bytes());
    bytes[8..16].copy_from_slice(&next.end.to_le_bytes());
    let sum = crc32c::crc32c(&bytes[..20]);
    bytes[20..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// What comes behind a segment, if its header names one.
pub fn decode_next(header: &[u8; SEGMENT_HEADER_BYTES]) -> Option<NextSegment> {
    let bytes = &header[NEXT_AT..][..NEXT_BYTES];
    let number_at = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
    let next = NextSegment { number: number_at(0), end: number_at(8) };
    (encode_next(next) == *bytes).then_some(next)
}

impl RecordHeader {
    /// Reads a header. Nothing of it is checked yet.
    pub fn decode(bytes: &[u8; RECORD_HEADER_BYTES]) -> Self {
        let u32_at = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let (fields_len, payload_len) = (u32_at(0), u32_at(4));
        Self { fields_len, payload_len, payload_sum: u32_at(8), sum: u32_at(12) }
    }

    /// Tells whether these are the fields of the record, and it has this number. `header` are its
    /// bytes.
    pub fn checks(&self, seq: u64, header: &[u8; RECORD_HEADER_BYTES], fields: &[u8]) -> bool {
        !fields.is_empty() && record_sum(seq, header, fields) == self.sum
    }

    /// Length of the whole record.
    pub fn record_bytes(&self) -> u64 {
        RECORD_HEADER_BYTES as u64 + u64::from(self.fields_len) + u64::from(self.payload_len)
    }
}

fn record_sum(seq: u64, header: &[u8; RECORD_HEADER_BYTES], fields: &[u8]) -> u32 {
    let sum = crc32c::crc32c(&seq.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(sum, &header[..12]), fields)
}

/// Fills in the header that `record` begins with; the fields are the rest of it. Both lengths must
/// fit 32 bits.
pub fn seal_record(record: &mut [u8], seq: u64, payload_len: usize, payload_sum: u32) {
    let (header, fields) = record.split_at_mut(RECORD_HEADER_BYTES);
    header[..4].copy_from_slice(&(fields.len() as u32).to_le_bytes());
    header[4..8].copy_from_slice(&(payload_len as u32).to_le_bytes());
    header[8..12].copy_from_slice(&payload_sum.to_le_bytes());
    let mut copy = [0; RECORD_HEADER_BYTES];
    copy.copy_from_slice(header);
    header[12..].copy_from_slice(&record_sum(seq, &copy, fields).to_le_bytes());
}

/// Begins the fields of a record with operations: who did them, their number, then the operations
/// themselves.
pub fn put_ops_header(out: &mut Vec<u8>, by: Option<&Writer>, count: usize) {
    out.extend_from_slice(&[OPS, u8::from(by.is_some())]);
    if let Some(writer) = by {
        put_writer(out, writer);
    }
    put_varint(out, count as u64);
}

/// Writes the fields of a mark.
pub fn put_mark(out: &mut Vec<u8>) {
    out.push(MARK);
}

/// Writes the fields of a commit.
pub fn put_commit(out: &mut Vec<u8>, commit: &CommitMade) {
    out.push(COMMIT);
    out.extend_from_slice(commit.id.object().as_bytes());
    put_string(out, commit.author.as_bytes());
    put_string(out, commit.message.as_bytes());
    put_time(out, commit.time);
}

/// Writes the fields of a switch to another state.
pub fn put_switch(out: &mut Vec<u8>, state: &ObjectId) {
    out.push(SWITCH);
    out.extend_from_slice(state.as_bytes());
}

/// Writes the fields of a deed.
pub fn put_deed_record(out: &mut Vec<u8>, deed: &Deed) {
    out.push(DEED);
    put_deed(out, deed);
}

/// The fields of a record that stands where one of as many bytes was never completed.
pub fn void_fields(len: usize) -> Vec<u8> {
    vec![VOID; len]
}

/// Reads what a record tells from its fields and payload, which have been checked.
pub fn decode_record(fields: &[u8], mut payload: &[u8]) -> Result<Record, FormatError> {
    let mut reader = Reader::new(fields);
    let record = match reader.u8()? {
        VOID => return Ok(Record::Void),
        OPS => {
            let by = match reader.u8()? {
                0 => None,
                1 => Some(read_writer(&mut reader)?),
                _ => return Err(reader.error("neither a writer nor none")),
            };
            let count = reader.varint()?;
            let mut ops = Vec::new();
            for _ in 0..count {
                ops.push(read_op(&mut reader, &mut payload)?);
            }
            Record::Ops(by, ops)
        }
        MARK => Record::Mark,
        COMMIT => {
            let id = CommitId::new(reader.id()?);
            let author = read_text(&mut reader, AUTHOR_BYTES_MAX)?;
            let message = read_text(&mut reader, MESSAGE_BYTES_MAX)?;
            Record::Commit(CommitMade { id, time: reader.time()?, author, message })
        }
        SWITCH => Record::Switch(reader.id()?),
        DEED => Record::Deed(read_deed(&mut reader)?),
        _ => return Err(reader.error("a record of an unknown kind")),
    };
    if !payload.is_empty() {
        return Err(reader.error("the payload is too long"));
    }
    reader.finish()?;
    Ok(record)
}

#[cfg(test)]
mod tests;
