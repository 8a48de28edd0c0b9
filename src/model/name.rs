//! Names of directory entries: any 1 to 255 bytes without `/` and NUL, but `.` and `..`.

use std::borrow::Borrow;
use std::ffi::OsStr;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::os::unix::ffi::OsStrExt;

use crate::base::limits::NAME_BYTES_MAX;

const INLINE_BYTES_MAX: usize = 22;

/// The name of a directory entry. Short ones, which are nearly all, lie inline, so that a
/// million of them cost no allocation.
#[derive(Clone)]
pub struct Name(Repr);

#[derive(Clone)]
enum Repr {
    Inline(u8, [u8; INLINE_BYTES_MAX]),
    Heap(Box<[u8]>),
}

/// Why bytes are no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// More than 255 bytes.
    #[error("the name is longer than 255 bytes")]
    TooLong,
    /// Empty, `.` or `..`, or it holds a `/` or NUL.
    #[error("not a name of a directory entry")]
    Invalid,
}

impl Name {
    /// Checks and copies a name.
    pub fn new(bytes: &[u8]) -> Result<Self, NameError> {
        if bytes.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong);
        }
        if matches!(bytes, b"" | b"." | b"..") || bytes.iter().any(|b| matches!(b, b'/' | 0)) {
            return Err(NameError::Invalid);
        }
        let mut inline = [0; INLINE_BYTES_MAX];
        Ok(Self(match inline.get_mut(..bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                // At most 22.
                Repr::Inline(bytes.len() as u8, inline)
            }
            None => Repr::Heap(bytes.into()),
        }))
    }

    /// The bytes of the name.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline(len, bytes) => &bytes[..usize::from(*len)],
            Repr::Heap(bytes) => bytes,
        }
    }

    /// The name as the operating system's interfaces take it.
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(self.as_bytes())
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_os_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::{Name, NameError};

    #[test]
    fn any_bytes_but_the_reserved_make_a_name() {
        for good in [&b"a"[..], b"...", b"a b", b"\xff\xfe\n", &[b'x'; 22], &[b'x'; 23], &[1; 255]]
        {
            assert_eq!(Name::new(good).unwrap().as_bytes(), good);
        }
        for bad in [&b""[..], b".", b"..", b"a/b", b"a\0"] {
            assert_eq!(Name::new(bad).unwrap_err(), NameError::Invalid);
        }
        assert_eq!(Name::new(&[b'x'; 256]).unwrap_err(), NameError::TooLong);
    }

    #[test]
    fn a_name_is_24_bytes() {
        assert_eq!(size_of::<Name>(), 24);
    }
}
