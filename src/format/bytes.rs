//! The elements that all formats are made of: little-endian numbers of fixed width, varints, and
//! byte strings with a length in front.
//!
//! A varint is LEB128: seven bits a byte, lowest first, the top bit set on all but the last. Only
//! the shortest encoding of a number is accepted, so that a value has one encoding and an id can
//! be a function of the value.
//!
//! How the specifications of formats write them:
//!
//! ```text
//! name:kind   an element of that kind; `name` only tells what it is for
//! u8          one byte; "vx" stands for the bytes of these letters
//! varint      a number below 2^64, or below 2^32 where it says so
//! string      length:varint, then so many bytes
//! id          32 bytes: a BLAKE3 digest
//! time        seconds since 1970, i64 in 8 bytes, then nanoseconds, u32 in 4, below 10^9; both
//!             little-endian
//! x* x?       none or several, none or one; `|` stands between what excludes each other
//! ```
//!
//! Objects begin with a magic of two letters and a version. What lies within another (an entry in
//! a node, an operation in a record), or has nothing of its own to tell apart (the bytes of a
//! chunk, extended attributes), has the version of what refers to it.

use crate::model::{ObjectId, Timestamp};

/// Why bytes are not what a format says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {offset}")]
pub struct FormatError {
    /// What is wrong.
    pub what: &'static str,
    /// Where, counted from the start of the object.
    pub offset: usize,
}

/// Reads the elements of a format, never past the end.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Reads from the start of an object.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// How many bytes have been read.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Tells whether all bytes have been read.
    pub fn is_at_end(&self) -> bool {
        self.offset == self.bytes.len()
    }

    /// An error at this place.
    pub fn error(&self, what: &'static str) -> FormatError {
        FormatError { what, offset: self.offset }
    }

    /// Reads exactly `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], FormatError> {
        let end = self.offset.checked_add(len).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| self.error("the object ends too early"))?;
        let taken = &self.bytes[self.offset..end];
        self.offset = end;
        Ok(taken)
    }

    fn array<const LEN: usize>(&mut self) -> Result<&'a [u8; LEN], FormatError> {
        let taken = self.take(LEN)?;
        taken.try_into().map_err(|_| self.error("the object ends too early"))
    }

    /// Reads one byte.
    pub fn u8(&mut self) -> Result<u8, FormatError> {
        Ok(self.take(1)?[0])
    }

    /// Reads a varint.
    pub fn varint(&mut self) -> Result<u64, FormatError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(self.error("a number is not encoded in the shortest way"));
                }
                return Ok(value);
            }
        }
        Err(self.error("a number is too large"))
    }

    /// Reads a varint that must fit 32 bits.
    pub fn varint_u32(&mut self) -> Result<u32, FormatError> {
        let value = self.varint()?;
        u32::try_from(value).map_err(|_| self.error("a number is too large"))
    }

    /// Reads a byte string with its length in front, of at most `len_max` bytes.
    pub fn string(&mut self, len_max: usize) -> Result<&'a [u8], FormatError> {
        let len = self.varint()?;
        match usize::try_from(len) {
            Ok(len) if len <= len_max => self.take(len),
            _ => Err(self.error("a string is too long")),
        }
    }

    /// Reads an id.
    pub fn id(&mut self) -> Result<ObjectId, FormatError> {
        let bytes = self.take(ObjectId::BYTES)?;
        ObjectId::from_slice(bytes).ok_or_else(|| self.error("the object ends too early"))
    }

    /// Reads an id that may be none.
    pub fn id_option(&mut self) -> Result<Option<ObjectId>, FormatError> {
        match self.u8()? {
            0 => Ok(None),
            1 => self.id().map(Some),
            _ => Err(self.error("neither an id nor none")),
        }
    }

    /// Reads a point in time: seconds in eight bytes, nanoseconds in four.
    pub fn time(&mut self) -> Result<Timestamp, FormatError> {
        let [secs @ .., a, b, c, d] = *self.array::<12>()?;
        let (secs, nanos) = (i64::from_le_bytes(secs), u32::from_le_bytes([a, b, c, d]));
        if nanos >= 1_000_000_000 {
            return Err(self.error("a time has too many nanoseconds"));
        }
        Ok(Timestamp { secs, nanos })
    }

    /// Checks that the object begins with these bytes: magic and version.
    pub fn expect(&mut self, magic: &[u8], what: &'static str) -> Result<(), FormatError> {
        match self.take(magic.len()) {
            Ok(found) if found == magic => Ok(()),
            _ => Err(FormatError { what, offset: 0 }),
        }
    }

    /// Checks that nothing follows.
    pub fn finish(self) -> Result<(), FormatError> {
        if self.is_at_end() { Ok(()) } else { Err(self.error("bytes follow the end")) }
    }
}

/// Writes a varint.
pub fn put_varint(out: &mut Vec<u8>, value: u64) {
    let mut short = ShortBytes::default();
    short.put_varint(value);
    out.extend_from_slice(short.as_bytes());
}

/// A few elements that are put together before they are written: cheaper than writing each, for
/// what is encoded a thousand times in a commit.
pub struct ShortBytes {
    bytes: [u8; Self::BYTES_MAX],
    len: usize,
}

impl ShortBytes {
    const BYTES_MAX: usize = 80;

    /// The bytes put so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Puts one byte.
    pub fn put_u8(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    /// Puts a varint.
    pub fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            // The low seven bits.
            self.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.put_u8(value as u8);
    }

    /// Puts bytes of a fixed number.
    pub fn put<const LEN: usize>(&mut self, bytes: &[u8; LEN]) {
        self.bytes[self.len..self.len + LEN].copy_from_slice(bytes);
        self.len += LEN;
    }
}

impl Default for ShortBytes {
    fn default() -> Self {
        Self { bytes: [0; Self::BYTES_MAX], len: 0 }
    }
}

/// Writes a byte string with its length in front.
pub fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes an id that may be none: u8 0, or u8 1 and the id.
pub fn put_id_option(out: &mut Vec<u8>, id: Option<&ObjectId>) {
    out.push(u8::from(id.is_some()));
    if let Some(id) = id {
        out.extend_from_slice(id.as_bytes());
    }
}

/// Encodes a point in time. All are equally long, so that a new time of an entry moves nothing
/// behind it.
pub fn encode_time(time: Timestamp) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&time.secs.to_le_bytes());
    bytes[8..].copy_from_slice(&time.nanos.to_le_bytes());
    bytes
}

/// Writes a point in time.
pub fn put_time(out: &mut Vec<u8>, time: Timestamp) {
    out.extend_from_slice(&encode_time(time));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{Reader, put_string, put_time, put_varint};
    use crate::model::Timestamp;

    proptest! {
        #[test]
        fn numbers_round_trip(value in any::<u64>(), shift in 0..64u32, secs in any::<i64>()) {
            let time = Timestamp { secs, nanos: 999_999_999 };
            let mut out = Vec::new();
            put_varint(&mut out, value >> shift);
            put_time(&mut out, time);
            put_string(&mut out, b"text");
            let mut reader = Reader::new(&out);
            assert_eq!(reader.varint(), Ok(value >> shift));
            assert_eq!(reader.time(), Ok(time));
            assert_eq!(reader.string(4), Ok(&b"text"[..]));
            assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn a_number_that_decodes_encodes_to_the_same_bytes(bytes in any::<[u8; 11]>()) {
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.varint() {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                assert_eq!(out, bytes[..reader.offset()]);
            }
        }
    }

    #[test]
    fn what_is_too_long_is_refused() {
        assert!(Reader::new(&[0x80, 0]).varint().is_err());
        assert!(Reader::new(&[0xff; 10]).varint().is_err());
        assert!(Reader::new(&[5, 1, 2]).string(10).is_err());
        assert!(Reader::new(&[2, 1, 2]).string(1).is_err());
    }
}
