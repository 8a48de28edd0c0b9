//! A ref's file: the id it points to as 64 lowercase hex digits, and a newline. It has no version
//! of its own: that of the store is told by its file `format`.

use crate::model::ObjectId;

/// Length of a ref's file.
pub const REF_FILE_BYTES: usize = ObjectId::HEX_DIGITS + 1;

/// Why the bytes are no ref.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefFileError {
    /// Too short or too long.
    #[error("a ref has {REF_FILE_BYTES} bytes, not {0}")]
    Length(usize),
    /// A byte that does not belong there.
    #[error("byte {0} is neither a lowercase hex digit nor the newline at the end")]
    Byte(usize),
}

impl RefFileError {
    /// Where in the file it is.
    pub fn offset(&self) -> u64 {
        match self {
            Self::Length(bytes) => *bytes.min(&REF_FILE_BYTES) as u64,
            Self::Byte(at) => *at as u64,
        }
    }
}

/// Writes a ref.
pub fn encode(id: &ObjectId) -> Vec<u8> {
    format!("{id}\n").into_bytes()
}

/// Reads a ref.
pub fn decode(bytes: &[u8]) -> Result<ObjectId, RefFileError> {
    if bytes.len() != REF_FILE_BYTES {
        return Err(RefFileError::Length(bytes.len()));
    }
    let digits = &bytes[..ObjectId::HEX_DIGITS];
    if let Some(at) = digits.iter().position(|b| !matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(RefFileError::Byte(at));
    }
    if bytes[ObjectId::HEX_DIGITS] != b'\n' {
        return Err(RefFileError::Byte(ObjectId::HEX_DIGITS));
    }
    str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or(RefFileError::Byte(0))
}

#[cfg(test)]
mod tests {
    use super::{RefFileError, decode, encode};
    use crate::model::ObjectId;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    #[test]
    fn only_the_one_spelling_is_a_ref() {
        let bytes = encode(&ObjectId::from_bytes([0xab; 32]));
        assert_eq!(decode(&bytes), Ok(ObjectId::from_bytes([0xab; 32])));
        assert_eq!(decode(&bytes[..64]), Err(RefFileError::Length(64)));
        assert_eq!(decode(b""), Err(RefFileError::Length(0)));
        let upper: Vec<_> = bytes.iter().map(u8::to_ascii_uppercase).collect();
        assert_eq!(decode(&upper), Err(RefFileError::Byte(0)));
        let mut no_newline = bytes;
        no_newline[64] = b' ';
        assert_eq!(decode(&no_newline), Err(RefFileError::Byte(64)));
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same_bytes(
            bytes in proptest::collection::vec(any::<u8>(), 60..70),
            id in any::<[u8; 32]>(),
        ) {
            if let Ok(id) = decode(&bytes) {
                prop_assert_eq!(encode(&id), bytes);
            }
            prop_assert_eq!(decode(&encode(&ObjectId::from_bytes(id))), Ok(ObjectId::from_bytes(id)));
        }
    }
}
