//! Names of directory entries: any 1 to 255 bytes without `/` and NUL, but `.` and `..`.

use std::borrow::Borrow;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use crate::base::SmallBytes;
use crate::base::limits::NAME_BYTES_MAX;

/// The name of a directory entry.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(SmallBytes);

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
        Ok(Self(SmallBytes::new(bytes)))
    }

    /// The bytes of the name.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The name as the operating system's interfaces take it.
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(self.as_bytes())
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
}
