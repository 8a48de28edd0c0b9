//! The elements that all formats are made of: little-endian numbers of fixed width, varints, and
//! byte strings with a length in front.
//!
//! A varint is LEB128: seven bits a byte, lowest first, the top bit set on all but the last. Only
//! the shortest encoding of a number is accepted, so that a value has one encoding and an id can
//! be a function of the value. A signed number is first folded to an unsigned one (0, -1, 1, -2
//! become 0, 1, 2, 3).

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

    /// Reads a signed varint.
    pub fn signed(&mut self) -> Result<i64, FormatError> {
        let folded = self.varint()?;
        Ok((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
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

    /// Reads a point in time: seconds as a signed varint, nanoseconds as a varint.
    pub fn time(&mut self) -> Result<Timestamp, FormatError> {
        let secs = self.signed()?;
        let nanos = self.varint_u32()?;
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
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        // The low seven bits.
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a signed varint.
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

/// Writes a byte string with its length in front.
pub fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes a point in time.
pub fn put_time(out: &mut Vec<u8>, time: Timestamp) {
    put_signed(out, time.secs);
    put_varint(out, u64::from(time.nanos));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{Reader, put_signed, put_string, put_varint};

    proptest! {
        #[test]
        fn numbers_round_trip(value in any::<u64>(), shift in 0..64u32, signed in any::<i64>()) {
            let mut out = Vec::new();
            put_varint(&mut out, value >> shift);
            put_signed(&mut out, signed >> shift);
            put_string(&mut out, b"text");
            let mut reader = Reader::new(&out);
            assert_eq!(reader.varint(), Ok(value >> shift));
            assert_eq!(reader.signed(), Ok(signed >> shift));
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
