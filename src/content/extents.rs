//! The dirty extents of a file: what was written or zeroed since its content was cut.
//!
//! A persistent map from offsets to extents that do not overlap. A clone costs a pointer and
//! never changes with the original. Two rules keep it small:
//!
//! - Short writes are gathered. One that continues or overwrites the extent it begins in is
//!   copied into that extent's buffer, if no clone can see it. Otherwise neighbours that are no
//!   longer than an extent are joined to it, up to `EXTENT_BYTES_GATHERED_MAX`; since a byte is
//!   copied only into an extent of at least twice the length of its own, or as part of the
//!   write, gathering costs a logarithm of copies per byte, whatever the order of the writes and
//!   however many clones are taken between them.
//! - An extent keeps at most `EXTENT_WASTE_MAX` times its own bytes alive (see [`Payload`]).

use std::ops::Range;
use std::sync::Arc;

use im::OrdMap;
use im::ordmap::DiffItem;

use crate::base::limits::{EXTENT_BYTES_GATHER_MAX, EXTENT_BYTES_GATHERED_MAX};

use super::payload::Payload;
use super::segments::{Segment, Segments};

/// The ranges of a file that were written or zeroed, with what they hold, over an old content
/// that shows through everywhere else.
///
/// It knows no size of the file: who uses it asks for no range beyond it, calls
/// [`resize`](Self::resize) whenever it changes (before a write that begins beyond the end), and
/// keeps offsets within `FILE_BYTES_MAX`.
#[derive(Clone, Debug, Default)]
pub struct Extents {
    map: OrdMap<u64, Extent>,
    data_bytes: u64,
}

#[derive(Clone, Debug)]
pub(super) enum Extent {
    Data(Payload),
    /// So many zeros.
    Zeros(u64),
}

/// Extents are equal if they share their bytes.
impl PartialEq for Extent {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Data(a), Self::Data(b)) => a.len() == b.len() && a.is_part_of(b, 0),
            (Self::Zeros(a), Self::Zeros(b)) => a == b,
            _ => false,
        }
    }
}

impl Extent {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Data(payload) => payload.len() as u64,
            Self::Zeros(len) => *len,
        }
    }

    fn data_len(&self) -> u64 {
        match self {
            Self::Data(payload) => payload.len() as u64,
            Self::Zeros(_) => 0,
        }
    }

    /// A part of it, which must not be empty.
    fn part(self, part: Range<u64>) -> Self {
        match self {
            // Within the length of the payload.
            Self::Data(payload) => Self::Data(payload.part(part.start as usize..part.end as usize)),
            Self::Zeros(_) => Self::Zeros(part.end - part.start),
        }
    }
}

impl Extents {
    /// Nothing dirty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is dirty.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many bytes of data the extents hold. They keep no more than a small multiple of it
    /// in memory, besides a fixed amount for each extent.
    pub fn dirty_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// The extents that are not those of `older`, a clone of an earlier version, nor parts of
    /// them. Costs what the difference costs.
    ///
    /// Laid over what the older ones and the old content make together, they show what these show
    /// over the old content.
    pub fn since(&self, older: &Self) -> Self {
        let mut newer = Self::new();
        for change in older.map.diff(&self.map) {
            match change {
                DiffItem::Add(start, extent) | DiffItem::Update { new: (start, extent), .. } => {
                    if !older.has(*start, extent) {
                        newer.insert(*start, extent.clone());
                    }
                }
                DiffItem::Remove(..) => {}
            }
        }
        newer
    }

    /// Tells whether these bytes lie here too, in the same buffer.
    fn has(&self, start: u64, extent: &Extent) -> bool {
        let here = self.map.get_prev(&start);
        matches!((here, extent), (Some((at, Extent::Data(here))), Extent::Data(payload))
            if usize::try_from(start - at).is_ok_and(|from| payload.is_part_of(here, from)))
    }

    /// How many extents there are: what the map costs in memory.
    pub fn extents(&self) -> usize {
        self.map.len()
    }

    /// Puts bytes at `offset`.
    pub fn write(&mut self, offset: u64, data: Arc<[u8]>) {
        if data.is_empty() {
            return;
        }
        let gather = data.len() < EXTENT_BYTES_GATHER_MAX;
        if gather && let Some(start) = self.write_in_place(offset, &data) {
            return self.join_neighbours(start);
        }
        self.carve(offset..offset + data.len() as u64);
        self.insert(offset, Extent::Data(Payload::written(data)));
        if gather {
            self.join_neighbours(offset);
        }
    }

    /// Makes a range zeros.
    pub fn zero(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        self.carve(range.clone());
        let Range { mut start, mut end } = range;
        if let Some((before, len)) = self.zeros_before(start) {
            self.remove(before);
            start -= len;
        }
        if let Some(Extent::Zeros(len)) = self.map.get(&end) {
            let len = *len;
            self.remove(end);
            end += len;
        }
        self.insert(start, Extent::Zeros(end - start));
    }

    /// Forgets what lies at or beyond `size`. The old content would show through there again:
    /// [`resize`](Self::resize) is what a change of size calls for.
    pub fn truncate(&mut self, size: u64) {
        self.carve(size..u64::MAX);
    }

    /// Follows a change of the file's size: forgets what is cut off, or makes what is new zeros,
    /// whatever the old content has there.
    pub fn resize(&mut self, old_size: u64, new_size: u64) {
        if new_size < old_size {
            self.truncate(new_size);
        } else {
            self.zero(old_size..new_size);
        }
    }

    /// What `len` bytes from `offset` on consist of, in order and without gaps.
    pub fn read(&self, offset: u64, len: u64) -> impl Iterator<Item = Segment<'_>> {
        let range = offset..offset.saturating_add(len);
        let first = match self.map.get_prev(&offset) {
            Some((start, extent)) if start + extent.len() > offset => *start,
            _ => offset,
        };
        Segments::new(range.clone(), self.map.range(first..range.end.max(first)))
    }

    /// The first offset at or beyond `offset` that holds data, in a file of `size` bytes, or
    /// `None` if there is none. `below` finds the first in a range of the old content.
    ///
    /// Errors are those of `below`.
    pub fn next_data<E>(
        &self,
        offset: u64,
        size: u64,
        mut below: impl FnMut(Range<u64>) -> Result<Option<u64>, E>,
    ) -> Result<Option<u64>, E> {
        for segment in self.read(offset, size.saturating_sub(offset)) {
            let found = match segment {
                Segment::Data { offset, .. } => Some(offset),
                Segment::Zeros(_) => None,
                Segment::Below(range) => below(range)?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The first offset at or beyond `offset` that lies in a hole, in a file of `size` bytes,
    /// whose end counts as one; `None` only if `offset` is not below `size`. `below` finds the
    /// first in a range of the old content.
    ///
    /// Errors are those of `below`.
    pub fn next_hole<E>(
        &self,
        offset: u64,
        size: u64,
        mut below: impl FnMut(Range<u64>) -> Result<Option<u64>, E>,
    ) -> Result<Option<u64>, E> {
        for segment in self.read(offset, size.saturating_sub(offset)) {
            let found = match segment {
                Segment::Data { .. } => None,
                Segment::Zeros(range) => Some(range.start),
                Segment::Below(range) => below(range)?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok((offset < size).then_some(size))
    }

    /// The dirty ranges in order, as long as they can be: neither empty nor touching.
    pub fn ranges(&self) -> impl Iterator<Item = Range<u64>> {
        let mut extents = self.map.iter().map(|(start, extent)| *start..start + extent.len());
        let mut next = extents.next();
        std::iter::from_fn(move || {
            let mut range = next.take()?;
            for extent in extents.by_ref() {
                if extent.start > range.end {
                    next = Some(extent);
                    break;
                }
                range.end = extent.end;
            }
            Some(range)
        })
    }

    /// Writes into the extent that covers or ends at `offset`, if no one else can see its
    /// buffer, and returns where that extent begins.
    fn write_in_place(&mut self, offset: u64, data: &[u8]) -> Option<u64> {
        let (start, extent) = self.map.get_prev(&offset)?;
        let (start, extent_end) = (*start, start + extent.len());
        let end = offset + data.len() as u64;
        let grows = end > extent_end;
        if !matches!(extent, Extent::Data(_))
            || extent_end < offset
            || grows && end - start > EXTENT_BYTES_GATHERED_MAX as u64
        {
            return None;
        }
        if grows {
            // What else it covers has to go in any case, and must not overlap the longer extent.
            self.carve(extent_end..end);
        }
        match self.map.get_mut(&start) {
            Some(Extent::Data(payload)) => {
                let len_before = payload.len();
                // An index into the payload, or its length.
                let written = payload.write_in_place((offset - start) as usize, data);
                self.data_bytes += (payload.len() - len_before) as u64;
                written.then_some(start)
            }
            _ => None,
        }
    }

    /// Joins neighbours to the extent at `at`: those that touch what has been joined, are no
    /// longer than it, and fit.
    fn join_neighbours(&mut self, at: u64) {
        let Some(extent) = self.map.get(&at) else { return };
        let (mut low, mut high) = (at, at + extent.len());
        let fits = |joined: u64, neighbour: u64| {
            neighbour <= joined && joined + neighbour <= EXTENT_BYTES_GATHERED_MAX as u64
        };
        loop {
            if let Some((start, Extent::Data(payload))) =
                low.checked_sub(1).and_then(|last| self.map.get_prev(&last))
                && start + payload.len() as u64 == low
                && fits(high - low, payload.len() as u64)
            {
                low = *start;
            } else if let Some(Extent::Data(payload)) = self.map.get(&high)
                && fits(high - low, payload.len() as u64)
            {
                high += payload.len() as u64;
            } else {
                break;
            }
        }
        let mut parts = Vec::new();
        if (low, high) != (at, at + extent.len()) {
            let starts: Vec<u64> = self.map.range(low..high).map(|(start, _)| *start).collect();
            parts.extend(starts.into_iter().filter_map(|start| match self.remove(start) {
                Some(Extent::Data(payload)) => Some(payload),
                _ => None,
            }));
        }
        if let Some(joined) = Payload::joined(parts) {
            self.insert(low, Extent::Data(joined));
        }
    }

    /// The extent of zeros that ends at `offset`: where it begins, and its length.
    fn zeros_before(&self, offset: u64) -> Option<(u64, u64)> {
        let (start, extent) = self.map.get_prev(&offset.checked_sub(1)?)?;
        match extent {
            Extent::Zeros(len) if start + len == offset => Some((*start, *len)),
            _ => None,
        }
    }

    /// Makes a range not dirty.
    fn carve(&mut self, range: Range<u64>) {
        let Range { start, end } = range;
        if let Some((first, extent)) = self.map.get_prev(&start)
            && *first < start
            && first + extent.len() > start
        {
            let first = *first;
            if let Some(extent) = self.remove(first) {
                let len = extent.len();
                if first + len > end {
                    self.insert(end, extent.clone().part(end - first..len));
                }
                self.insert(first, extent.part(0..start - first));
            }
        }
        while let Some(first) = self.map.get_next(&start).map(|(first, _)| *first)
            && first < end
            && let Some(extent) = self.remove(first)
        {
            let len = extent.len();
            if first + len > end {
                self.insert(end, extent.part(end - first..len));
            }
        }
    }

    fn insert(&mut self, start: u64, extent: Extent) {
        self.data_bytes += extent.data_len();
        self.map.insert(start, extent);
    }

    fn remove(&mut self, start: u64) -> Option<Extent> {
        let extent = self.map.remove(&start)?;
        self.data_bytes -= extent.data_len();
        Some(extent)
    }
}

#[cfg(test)]
mod tests;
