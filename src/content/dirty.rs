//! Which ranges of a file may differ from what was cut, in order.

use std::ops::Range;

/// Ranges that may differ, sorted, none empty, apart from one another. If the size changed, the
/// last one reaches from the last byte of the shorter file to the end of the longer one.
pub(super) struct Dirty {
    ranges: Vec<Range<u64>>,
    next: usize,
}

impl Dirty {
    /// Takes ranges sorted by where they begin; what lies beyond both files is left out.
    pub(super) fn new(
        ranges: impl IntoIterator<Item = Range<u64>>,
        old_size: u64,
        new_size: u64,
    ) -> Self {
        let shorter = old_size.min(new_size);
        // Whether a file ends after a byte can decide whether a chunk ends before it. A file
        // that grows needs no such margin: what was its last chunk is cut again in any case.
        let tail = if new_size < old_size { shorter.saturating_sub(1) } else { shorter };
        let mut dirty = Self { ranges: Vec::new(), next: 0 };
        for range in ranges {
            dirty.push(range.start..range.end.min(tail));
        }
        dirty.push(tail..old_size.max(new_size));
        dirty
    }

    fn push(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        match self.ranges.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => self.ranges.push(range),
        }
    }

    /// Where the first range begins that ends beyond `offset`. The offsets asked for never fall.
    pub(super) fn after(&mut self, offset: u64) -> Option<u64> {
        while self.ranges.get(self.next).is_some_and(|range| range.end <= offset) {
            self.next += 1;
        }
        self.ranges.get(self.next).map(|range| range.start)
    }

    /// Whether a range touches `part`, which lies at or beyond what was asked for last.
    pub(super) fn touches(&self, part: Range<u64>) -> bool {
        let ahead = &self.ranges[self.next.min(self.ranges.len())..];
        let first = ahead.partition_point(|range| range.end <= part.start);
        ahead.get(first).is_some_and(|range| range.start < part.end)
    }
}

#[cfg(test)]
mod tests {
    use super::Dirty;

    #[test]
    fn a_change_of_size_dirties_the_tail() {
        let tail = |old_size, new_size| {
            let ranges = Dirty::new([], old_size, new_size).ranges;
            assert!(ranges.len() <= 1);
            ranges.first().cloned()
        };
        assert_eq!(tail(10, 10), None);
        assert_eq!(tail(10, 12), Some(10..12));
        assert_eq!(tail(12, 10), Some(9..12));
        assert_eq!(tail(12, 0), Some(0..12));
        assert_eq!(tail(0, 12), Some(0..12));
    }

    #[test]
    fn ranges_are_merged_and_clipped() {
        let ranges = Dirty::new([1..3, 3..4, 4..4, 6..20], 10, 10).ranges;
        assert_eq!(ranges, [1..4, 6..10]);
        let ranges = Dirty::new([1..3, 6..20, 30..40], 10, 25).ranges;
        assert_eq!(ranges, [1..3, 6..25]);
    }

    #[test]
    fn what_was_passed_is_not_told_again() {
        let mut dirty = Dirty::new([1..3, 6..8], 10, 10);
        assert_eq!(dirty.after(0), Some(1));
        assert!(dirty.touches(2..3) && dirty.touches(5..7) && !dirty.touches(3..6));
        assert_eq!(dirty.after(3), Some(6));
        assert_eq!(dirty.after(8), None);
        assert!(!dirty.touches(8..10));
    }
}
