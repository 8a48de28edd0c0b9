//! Short byte strings without an allocation.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};

const INLINE_BYTES_MAX: usize = 22;

/// An immutable byte string of 24 bytes that holds up to 22 inline. Names and keys of trees are
/// nearly always shorter, so a million of them cost no allocation.
#[derive(Clone)]
pub struct SmallBytes(Repr);

#[derive(Clone)]
enum Repr {
    Inline(u8, [u8; INLINE_BYTES_MAX]),
    Heap(Box<[u8]>),
}

impl SmallBytes {
    /// Copies bytes.
    pub fn new(bytes: &[u8]) -> Self {
        let mut inline = [0; INLINE_BYTES_MAX];
        Self(match inline.get_mut(..bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                // At most 22.
                Repr::Inline(bytes.len() as u8, inline)
            }
            None => Repr::Heap(bytes.into()),
        })
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline(len, bytes) => &bytes[..usize::from(*len)],
            Repr::Heap(bytes) => bytes,
        }
    }
}

impl PartialEq for SmallBytes {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for SmallBytes {}

impl PartialOrd for SmallBytes {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SmallBytes {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for SmallBytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl Borrow<[u8]> for SmallBytes {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for SmallBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::SmallBytes;

    #[test]
    fn short_and_long_strings_keep_their_bytes() {
        for len in [0, 1, 21, 22, 23, 255] {
            let bytes: Vec<u8> = (0..len).collect();
            assert_eq!(SmallBytes::new(&bytes).as_bytes(), bytes);
        }
        assert!(SmallBytes::new(b"a") < SmallBytes::new(b"ab"));
        assert_eq!(size_of::<SmallBytes>(), 24);
    }
}
