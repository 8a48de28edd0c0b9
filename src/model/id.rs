//! Ids: BLAKE3 digests of what they name, 32 bytes, written as 64 lowercase hex digits.

use std::fmt;
use std::str::FromStr;

/// Names any object of a store: the BLAKE3 digest of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId([u8; ObjectId::BYTES]);

impl ObjectId {
    /// Length of an id.
    pub const BYTES: usize = 32;
    /// Length of an id in hex digits.
    pub const HEX_DIGITS: usize = 64;

    /// Wraps a digest.
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// Reads an id from a slice of exactly 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The digest.
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The first eight bytes as a number: evenly spread, for hash tables and shards.
    pub fn prefix_u64(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// The first twelve hex digits, for people.
    pub fn short(&self) -> String {
        let mut hex = self.to_string();
        hex.truncate(12);
        hex
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl FromStr for ObjectId {
    type Err = IdParseError;

    fn from_str(text: &str) -> Result<Self, IdParseError> {
        let prefix = IdPrefix::from_str(text)?;
        if prefix.digits != Self::HEX_DIGITS {
            return Err(IdParseError::Length(prefix.digits));
        }
        Ok(prefix.low)
    }
}

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdParseError {
    /// A character that is no lowercase or uppercase hex digit.
    #[error("{0:?} is no hex digit")]
    Digit(char),
    /// More digits than an id has, or fewer where a whole one is needed.
    #[error("an id has 64 hex digits, not {0}")]
    Length(usize),
}

/// The beginning of an id: all ids from `low` on that share its first `digits` hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdPrefix {
    low: ObjectId,
    digits: usize,
}

impl IdPrefix {
    /// The smallest id that has this prefix: where to start in a sorted list.
    pub fn lowest(&self) -> ObjectId {
        self.low
    }

    /// How many hex digits were given.
    pub fn digits(&self) -> usize {
        self.digits
    }

    /// Tells whether the id begins with this prefix.
    pub fn matches(&self, id: &ObjectId) -> bool {
        let whole = self.digits / 2;
        self.low.0[..whole] == id.0[..whole]
            && (self.digits.is_multiple_of(2) || self.low.0[whole] >> 4 == id.0[whole] >> 4)
    }
}

impl FromStr for IdPrefix {
    type Err = IdParseError;

    fn from_str(text: &str) -> Result<Self, IdParseError> {
        let mut bytes = [0; ObjectId::BYTES];
        let mut digits = 0;
        for character in text.chars() {
            let value = character.to_digit(16).ok_or(IdParseError::Digit(character))?;
            let byte = bytes.get_mut(digits / 2).ok_or(IdParseError::Length(digits + 1))?;
            // A hex digit is below 16.
            *byte |= (value as u8) << if digits % 2 == 0 { 4 } else { 0 };
            digits += 1;
        }
        Ok(Self { low: ObjectId(bytes), digits })
    }
}

macro_rules! id_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(ObjectId);

        impl $name {
            /// Takes an object's id as one of this kind.
            pub const fn new(id: ObjectId) -> Self {
                Self(id)
            }

            /// The id as the store knows it.
            pub const fn object(&self) -> &ObjectId {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdParseError;

            fn from_str(text: &str) -> Result<Self, IdParseError> {
                ObjectId::from_str(text).map(Self)
            }
        }
    };
}

id_newtype!(
    /// Names a commit.
    CommitId
);
id_newtype!(
    /// Names a root: a whole tree, with the attributes of its top directory.
    RootId
);
id_newtype!(
    /// Names one node of a tree, and with the topmost node the tree.
    NodeId
);
id_newtype!(
    /// Names a chunk of file content: the BLAKE3 digest of the bytes themselves.
    ChunkId
);
id_newtype!(
    /// Names a set of extended attributes that is too large for its entry.
    XattrsId
);

#[cfg(test)]
mod tests {
    use super::{IdParseError, IdPrefix, ObjectId};

    #[test]
    fn hex_round_trips() {
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = (at * 7 + 3) as u8;
        }
        let id = ObjectId::from_bytes(bytes);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
    }

    #[test]
    fn bad_hex_is_refused() {
        assert_eq!("xyz".parse::<ObjectId>(), Err(IdParseError::Digit('x')));
        assert_eq!("ab".parse::<ObjectId>(), Err(IdParseError::Length(2)));
        assert_eq!("a".repeat(65).parse::<ObjectId>(), Err(IdParseError::Length(65)));
        assert!("é".repeat(32).parse::<ObjectId>().is_err());
    }

    #[test]
    fn prefixes_match_by_digit() {
        let id: ObjectId = format!("abc{}", "0".repeat(61)).parse().unwrap();
        let matches = |text: &str| text.parse::<IdPrefix>().unwrap().matches(&id);
        assert!(matches("") && matches("a") && matches("ab") && matches("abc"));
        assert!(!matches("b") && !matches("abd") && !matches("ac"));
        assert!(matches(&id.to_string()));
    }
}
