//! A file as it is now: its dirty extents over its old content.

use crate::base::limits::FILE_BYTES_MAX;

use super::{Bytes, Extents, Segment};

/// The content that `extents` make of an old content, of which [`Bytes::size`] bytes exist.
/// Beyond those and not in an extent there are zeros.
#[derive(Clone, Copy, Debug)]
pub struct Layered<'a, B> {
    /// What was written.
    pub extents: &'a Extents,
    /// What shows through.
    pub old: &'a B,
    /// The size of the file now.
    pub size: u64,
}

impl<B: Bytes> Bytes for Layered<'_, B> {
    type Error = B::Error;

    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), B::Error> {
        let mut rest = buf;
        for segment in self.extents.read(offset, rest.len() as u64) {
            let range = segment.range();
            // The segments of a range are together as long as the range.
            let (place, after) = rest.split_at_mut((range.end - range.start) as usize);
            match segment {
                Segment::Data { bytes, .. } => place.copy_from_slice(bytes),
                Segment::Zeros(_) => place.fill(0),
                Segment::Below(range) => {
                    let there = self.old.size().clamp(range.start, range.end) - range.start;
                    let (old, beyond) = place.split_at_mut(there as usize);
                    if !old.is_empty() {
                        self.old.read(range.start, old)?;
                    }
                    beyond.fill(0);
                }
            }
            rest = after;
        }
        Ok(())
    }

    fn hole_end(&self, offset: u64) -> Result<Option<u64>, B::Error> {
        let segment = self.extents.read(offset, FILE_BYTES_MAX.saturating_sub(offset)).next();
        Ok(match segment {
            Some(Segment::Zeros(range)) => Some(range.end),
            Some(Segment::Below(range)) if range.start < self.old.size() => {
                self.old.hole_end(offset)?.map(|end| end.min(range.end))
            }
            Some(Segment::Below(range)) => Some(range.end),
            _ => None,
        })
    }
}
