//! What a range of a file consists of, as far as its dirty extents tell.

use std::ops::Range;

use super::extents::Extent;

/// A part of a file, from one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment<'a> {
    /// Written bytes.
    Data {
        /// Where they begin in the file.
        offset: u64,
        /// The bytes, at least one.
        bytes: &'a [u8],
    },
    /// Zeros: a hole.
    Zeros(Range<u64>),
    /// Not written: the old content shows through.
    Below(Range<u64>),
}

impl Segment<'_> {
    /// The part of the file.
    pub fn range(&self) -> Range<u64> {
        match self {
            Self::Data { offset, bytes } => *offset..offset + bytes.len() as u64,
            Self::Zeros(range) | Self::Below(range) => range.clone(),
        }
    }
}

/// The segments of a range, in order and without gaps.
pub(super) struct Segments<'a, I> {
    range: Range<u64>,
    next: Option<(u64, &'a Extent)>,
    rest: I,
}

impl<'a, I: Iterator<Item = (&'a u64, &'a Extent)>> Segments<'a, I> {
    /// `extents` are those that overlap the range.
    pub(super) fn new(range: Range<u64>, mut extents: I) -> Self {
        let next = extents.next().map(|(start, extent)| (*start, extent));
        Self { range, next, rest: extents }
    }
}

impl<'a, I: Iterator<Item = (&'a u64, &'a Extent)>> Iterator for Segments<'a, I> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Segment<'a>> {
        let Range { start: at, end } = self.range;
        if at >= end {
            return None;
        }
        let segment = match self.next {
            Some((start, extent)) if start <= at => {
                self.next = self.rest.next().map(|(start, extent)| (*start, extent));
                let until = end.min(start + extent.len());
                match extent {
                    Extent::Zeros(_) => Segment::Zeros(at..until),
                    Extent::Data(payload) => {
                        // Within the extent, whose length is a length of bytes.
                        let part = (at - start) as usize..(until - start) as usize;
                        Segment::Data { offset: at, bytes: &payload.bytes()[part] }
                    }
                }
            }
            Some((start, _)) => Segment::Below(at..end.min(start)),
            None => Segment::Below(at..end),
        };
        self.range.start = segment.range().end;
        Some(segment)
    }
}
