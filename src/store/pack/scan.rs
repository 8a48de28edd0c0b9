//! Reading the records of a pack one after the other, without its footer.
//!
//! What the scan promises to a writer that goes on at [`Scan::end`]: the next scan reads
//! everything up to there as this one did, and then what the writer wrote. So it steps over
//! nothing but what checks: a payload that does not is stepped over by the length in its header,
//! which does; after a header that does not, the next whole record is looked for.

use std::io;

use crate::base::disk::DiskFile;
use crate::format::pack::{
    HEADER_BYTES, PackEntry, RECORD_HEADER_BYTES, RECORD_MAGIC, RecordHeader,
};

/// How much is read at once.
const WINDOW_BYTES: usize = 1024 * 1024;

/// What a scan found.
#[derive(Debug)]
pub(super) struct Scan {
    /// Objects whose records check.
    pub(super) entries: Vec<PackEntry>,
    /// Objects whose payload does not check, with a whole record somewhere after it.
    pub(super) damaged: Vec<PackEntry>,
    /// Where the last whole record ends: what follows is a torn tail or a footer.
    pub(super) end: u64,
    /// The first place before `end` that does not check.
    pub(super) gap: Option<u64>,
    /// Why the scan ended early, if the disk did not give what it holds.
    pub(super) failure: Option<io::Error>,
}

/// Scans the records of a file from `start`, where one begins, up to `limit` (of the file, or
/// where its footer begins).
pub(super) fn scan(file: &dyn DiskFile, start: u64, limit: u64) -> Scan {
    let mut window = Window::new(file, limit);
    let start = start.max(HEADER_BYTES as u64);
    let mut found =
        Scan { entries: Vec::new(), damaged: Vec::new(), end: start, gap: None, failure: None };
    let mut at = start;
    let mut bad_since = None;
    // Damaged records that may yet turn out to be a torn tail.
    let mut doubtful = Vec::new();
    loop {
        let (entry, whole) = match next_record(&mut window, &mut at, &mut bad_since) {
            Ok(Some(record)) => record,
            Ok(None) => return found,
            Err(error) => {
                found.failure = Some(error);
                return found;
            }
        };
        let next = at + entry.record_bytes() as u64;
        if whole {
            found.gap = found.gap.or(bad_since.take());
            found.damaged.append(&mut doubtful);
            found.entries.push(entry);
            found.end = next;
        } else {
            bad_since.get_or_insert(at);
            doubtful.push(entry);
        }
        at = next;
    }
}

/// The record at `at`, or the next whole one if there is none there, in which case `at` moves.
/// Tells whether its payload checks.
fn next_record(
    window: &mut Window<'_>,
    at: &mut u64,
    bad_since: &mut Option<u64>,
) -> io::Result<Option<(PackEntry, bool)>> {
    let first = *at;
    loop {
        let Some(header) = window.get(*at, RECORD_HEADER_BYTES)? else { return Ok(None) };
        let header = RecordHeader::decode(header);
        if let (Ok(header), Ok(offset)) = (header, u32::try_from(*at)) {
            let payload =
                window.get(*at + RECORD_HEADER_BYTES as u64, header.stored_bytes as usize)?;
            let whole = payload.is_some_and(|payload| header.check_payload(payload).is_ok());
            if whole || (*at == first && payload.is_some()) {
                let RecordHeader { kind, codec, stored_bytes, raw_bytes, id, .. } = header;
                let entry = PackEntry { id, offset, stored_bytes, raw_bytes, kind, codec };
                return Ok(Some((entry, whole)));
            }
            if *at == first {
                // The header is right, so the file ends within the payload.
                return Ok(None);
            }
        }
        bad_since.get_or_insert(first);
        match window.find_magic(*at + 1)? {
            Some(next) => *at = next,
            None => return Ok(None),
        }
    }
}

/// A piece of the file in memory.
pub(super) struct Window<'a> {
    file: &'a dyn DiskFile,
    limit: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    pub(super) fn new(file: &'a dyn DiskFile, limit: u64) -> Self {
        Self { file, limit, start: 0, bytes: Vec::new() }
    }

    /// These bytes of the file, or `None` if it ends before them.
    pub(super) fn get(&mut self, at: u64, len: usize) -> io::Result<Option<&[u8]>> {
        if self.limit.saturating_sub(at) < len as u64 {
            return Ok(None);
        }
        let held = self.start..self.start + self.bytes.len() as u64;
        if at < held.start || at + len as u64 > held.end {
            let ahead = (self.limit - at).min(WINDOW_BYTES.max(len) as u64);
            self.bytes.resize(ahead as usize, 0);
            self.start = at;
            if let Err(error) = self.file.read_exact_at(&mut self.bytes, at) {
                self.bytes.clear();
                return Err(error);
            }
        }
        let from = (at - self.start) as usize;
        Ok(self.bytes.get(from..from + len))
    }

    /// Where the magic of a record is next found, at `at` or after it.
    fn find_magic(&mut self, mut at: u64) -> io::Result<Option<u64>> {
        let len = RECORD_MAGIC.len();
        loop {
            let ahead = self.limit.saturating_sub(at).min(WINDOW_BYTES as u64 / 2) as usize;
            let Some(bytes) = self.get(at, ahead.max(len))? else { return Ok(None) };
            if let Some(found) = bytes.windows(len).position(|four| four == RECORD_MAGIC) {
                return Ok(Some(at + found as u64));
            }
            at += (bytes.len() - len + 1) as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HEADER_BYTES, Scan, scan};
    use crate::format::pack::{Effort, PackState, RecordHeader, encode_header, with_payload};
    use crate::model::{ObjectId, ObjectKind};
    use proptest::prelude::{any, prop_assert, proptest};
    use std::io::Write;

    fn record(bytes: &[u8]) -> Vec<u8> {
        let id = ObjectId::from_bytes(*blake3::hash(bytes).as_bytes());
        with_payload(Effort::Swift, bytes, |codec, payload| {
            let header = RecordHeader::new(ObjectKind::Chunk, id, bytes.len(), codec, payload);
            [&header.encode(), payload].concat()
        })
    }

    fn scan_bytes(bytes: &[u8]) -> Scan {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        scan(&file, 0, bytes.len() as u64)
    }

    fn pack(objects: &[Vec<u8>]) -> (Vec<u8>, Vec<u64>) {
        let mut bytes = encode_header(PackState::Open).to_vec();
        let mut offsets = Vec::new();
        for object in objects {
            offsets.push(bytes.len() as u64);
            bytes.extend(record(object));
        }
        (bytes, offsets)
    }

    #[test]
    fn a_tail_torn_anywhere_costs_the_last_record_alone() {
        // The last object looks like a record itself, as one of a store within a store does.
        let objects = [b"first".to_vec(), b"second".to_vec(), record(b"inner")];
        let (bytes, offsets) = pack(&objects);
        for len in offsets[2]..bytes.len() as u64 {
            let found = scan_bytes(&bytes[..len as usize]);
            assert_eq!((found.entries.len(), found.end), (2, offsets[2]), "cut to {len}");
            assert_eq!((found.gap, found.damaged.len()), (None, 0));
            // As if the file had grown, but its bytes had not come to the disk.
            let mut zeros = bytes[..len as usize].to_vec();
            zeros.resize(bytes.len(), 0);
            if zeros != bytes {
                let found = scan_bytes(&zeros);
                assert_eq!((found.entries.len(), found.end), (2, offsets[2]), "zeros at {len}");
            }
        }
        assert_eq!(scan_bytes(&bytes).entries.len(), 3);
    }

    #[test]
    fn damage_in_the_middle_costs_one_record() {
        let objects: Vec<_> = (0..5u8).map(|n| vec![n; 300]).collect();
        let (bytes, offsets) = pack(&objects);
        for at in offsets[2]..offsets[3] {
            let mut bad = bytes.clone();
            bad[at as usize] ^= 0x10;
            let found = scan_bytes(&bad);
            let at_all: Vec<_> = found.entries.iter().map(|e| u64::from(e.offset)).collect();
            assert_eq!(at_all, [offsets[0], offsets[1], offsets[3], offsets[4]], "byte {at}");
            assert_eq!((found.gap, found.end), (Some(offsets[2]), bytes.len() as u64));
            let in_payload = at >= offsets[2] + 56;
            assert_eq!(found.damaged.len(), usize::from(in_payload));
        }
    }

    #[test]
    fn records_beyond_the_window_are_found() {
        let objects: Vec<_> = (0..40u32)
            .map(|n| {
                let mut noise = vec![0; 90_000 + n as usize];
                blake3::Hasher::new().update(&n.to_le_bytes()).finalize_xof().fill(&mut noise);
                noise
            })
            .collect();
        let (mut bytes, offsets) = pack(&objects);
        assert_eq!(scan_bytes(&bytes).entries.len(), 40);
        // No trace of four records: the fifth is a long way to look for.
        bytes[offsets[3] as usize..offsets[25] as usize].fill(0xf5);
        let found = scan_bytes(&bytes);
        assert_eq!((found.entries.len(), found.gap), (18, Some(offsets[3])));
    }

    #[test]
    fn who_goes_on_at_the_end_is_found_by_the_next_scan() {
        // A header lost on the disk, and its payload a record: the worst case.
        let (mut bytes, offsets) = pack(&[b"first".to_vec(), record(&record(b"inner"))]);
        bytes[offsets[1] as usize..offsets[1] as usize + 56].fill(0);
        for len in offsets[1]..=bytes.len() as u64 {
            let end = scan_bytes(&bytes[..len as usize]).end;
            let mut more = bytes[..end as usize].to_vec();
            more.extend(record(b"appended"));
            let found = scan_bytes(&more);
            assert_eq!(found.end, more.len() as u64, "cut to {len}");
            assert_eq!(found.entries.last().map(|e| u64::from(e.offset)), Some(end));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_scanned(bytes in proptest::collection::vec(any::<u8>(), 0..600),
                                 at in 0usize..600) {
            let mut bytes = bytes;
            let at = at.min(bytes.len());
            bytes.splice(at..at, record(b"in the middle"));
            let found = scan_bytes(&bytes);
            prop_assert!(found.end <= bytes.len() as u64 || found.entries.is_empty());
            prop_assert!(at < HEADER_BYTES || found.entries.len() == 1);
        }
    }
}
