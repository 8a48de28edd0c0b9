//! The footer of a sealed pack: fanout table, entries sorted by id, trailer.

use super::record::{check_lengths, kind_from_u8};
use super::{
    Codec, ENTRY_BYTES, FANOUT_BYTES, HEADER_BYTES, PackError, RECORD_HEADER_BYTES, TRAILER_BYTES,
    check_version, u32_at, u64_at,
};
use crate::base::limits;
use crate::model::{ObjectId, ObjectKind};

const TRAILER_MAGIC: &[u8; 8] = b"vst foot";

/// Where an object lies in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackEntry {
    /// The object.
    pub id: ObjectId,
    /// Where its record begins.
    pub offset: u32,
    /// Length of the payload.
    pub stored_bytes: u32,
    /// Length of the object.
    pub raw_bytes: u32,
    /// What the object is.
    pub kind: ObjectKind,
    /// How its payload is stored.
    pub codec: Codec,
}

impl PackEntry {
    /// Length of the object's record.
    pub fn record_bytes(&self) -> usize {
        RECORD_HEADER_BYTES + self.stored_bytes as usize
    }

    fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..32].copy_from_slice(self.id.as_bytes());
        bytes[32..36].copy_from_slice(&self.offset.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.stored_bytes.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.raw_bytes.to_le_bytes());
        bytes[44] = self.kind as u8;
        bytes[45] = self.codec as u8;
        bytes
    }

    /// Reads one entry. Its lengths are within bounds; its offset is not checked against a file.
    pub fn decode(bytes: &[u8]) -> Result<Self, PackError> {
        let bytes: &[u8; ENTRY_BYTES] =
            bytes.try_into().map_err(|_| PackError::Truncated("entry of the footer"))?;
        let mut id = [0; ObjectId::BYTES];
        id.copy_from_slice(&bytes[..32]);
        let (stored_bytes, raw_bytes) = (u32_at(bytes, 36), u32_at(bytes, 40));
        let codec = Codec::from_u8(bytes[45])?;
        check_lengths(codec, stored_bytes, raw_bytes)?;
        Ok(Self {
            id: ObjectId::from_bytes(id),
            offset: u32_at(bytes, 32),
            stored_bytes,
            raw_bytes,
            kind: kind_from_u8(bytes[44])?,
            codec,
        })
    }
}

/// The end of a sealed pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Where the records end and the fanout table begins.
    pub footer_offset: u64,
    /// Length of all objects.
    pub raw_bytes: u64,
    /// Length of all payloads.
    pub stored_bytes: u64,
    /// How many objects there are.
    pub count: u32,
    /// Checksum of the fanout table.
    pub fanout_sum: u32,
}

impl Trailer {
    /// Where the entry at this position begins.
    pub fn entry_offset(&self, position: u32) -> u64 {
        self.footer_offset + FANOUT_BYTES as u64 + u64::from(position) * ENTRY_BYTES as u64
    }

    fn encode(&self) -> [u8; TRAILER_BYTES] {
        let mut bytes = [0; TRAILER_BYTES];
        bytes[..8].copy_from_slice(&self.footer_offset.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.raw_bytes.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.stored_bytes.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.count.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.fanout_sum.to_le_bytes());
        bytes[32..36].copy_from_slice(&super::VERSION.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..36]);
        bytes[36..40].copy_from_slice(&sum.to_le_bytes());
        bytes[40..].copy_from_slice(TRAILER_MAGIC);
        bytes
    }

    /// Reads the last bytes of a pack of `file_bytes`.
    pub fn decode(bytes: &[u8], file_bytes: u64) -> Result<Self, PackError> {
        let bytes: &[u8; TRAILER_BYTES] =
            bytes.try_into().map_err(|_| PackError::Truncated("trailer"))?;
        if &bytes[40..] != TRAILER_MAGIC {
            return Err(PackError::Magic("trailer"));
        }
        if crc32c::crc32c(&bytes[..36]) != u32_at(bytes, 36) {
            return Err(PackError::Checksum("trailer"));
        }
        check_version(u32_at(bytes, 32))?;
        let trailer = Self {
            footer_offset: u64_at(bytes, 0),
            raw_bytes: u64_at(bytes, 8),
            stored_bytes: u64_at(bytes, 16),
            count: u32_at(bytes, 24),
            fanout_sum: u32_at(bytes, 28),
        };
        let after_records = FANOUT_BYTES as u64
            + u64::from(trailer.count) * ENTRY_BYTES as u64
            + TRAILER_BYTES as u64;
        let in_place = trailer.footer_offset >= HEADER_BYTES as u64
            && trailer.footer_offset <= limits::PACK_BYTES_MAX
            && trailer.footer_offset + after_records == file_bytes;
        if in_place {
            Ok(trailer)
        } else {
            Err(PackError::Field { field: "footer offset", value: trailer.footer_offset })
        }
    }
}

/// The fanout table: which entries have ids that begin with a given byte, and their checksum.
#[derive(Clone, Debug)]
pub struct Fanout {
    buckets: Box<[(u32, u32)]>,
}

impl Fanout {
    /// Reads the table and checks it against the trailer.
    pub fn decode(bytes: &[u8], trailer: &Trailer) -> Result<Self, PackError> {
        if bytes.len() != FANOUT_BYTES {
            return Err(PackError::Truncated("fanout table"));
        }
        if crc32c::crc32c(bytes) != trailer.fanout_sum {
            return Err(PackError::Checksum("fanout table"));
        }
        let (numbers, _) = bytes.as_chunks::<8>();
        let buckets: Box<[_]> = numbers.iter().map(|b| (u32_at(b, 0), u32_at(b, 4))).collect();
        let rising = buckets.is_sorted_by_key(|(end, _)| *end);
        let last = buckets.last().map_or(0, |(end, _)| *end);
        if rising && last == trailer.count {
            Ok(Self { buckets })
        } else {
            Err(PackError::Field { field: "number of entries", value: last.into() })
        }
    }

    /// Positions of the entries whose ids begin with this byte.
    pub fn bucket(&self, first_byte: u8) -> std::ops::Range<u32> {
        let at = usize::from(first_byte);
        let start = if at == 0 { 0 } else { self.buckets[at - 1].0 };
        start..self.buckets[at].0
    }

    /// Reads the entries of one bucket, which begin at `bucket(first_byte).start`.
    pub fn decode_bucket(&self, byte: u8, bytes: &[u8]) -> Result<Vec<PackEntry>, PackError> {
        self.check_bucket(byte, bytes)?;
        bytes.chunks_exact(ENTRY_BYTES).map(PackEntry::decode).collect()
    }

    /// Reads the ids alone of the entries of one bucket. What else they say is checked when they
    /// are read by themselves.
    pub fn bucket_ids<'a>(
        &self,
        byte: u8,
        bytes: &'a [u8],
    ) -> Result<impl Iterator<Item = ObjectId> + use<'a>, PackError> {
        self.check_bucket(byte, bytes)?;
        let id = |entry: &[u8; ENTRY_BYTES]| {
            let mut id = [0; ObjectId::BYTES];
            id.copy_from_slice(&entry[..ObjectId::BYTES]);
            ObjectId::from_bytes(id)
        };
        Ok(bytes.as_chunks::<ENTRY_BYTES>().0.iter().map(id))
    }

    fn check_bucket(&self, byte: u8, bytes: &[u8]) -> Result<(), PackError> {
        if bytes.len() != self.bucket(byte).len() * ENTRY_BYTES {
            return Err(PackError::Truncated("bucket of the footer"));
        }
        if crc32c::crc32c(bytes) != self.buckets[usize::from(byte)].1 {
            return Err(PackError::Checksum("bucket of the footer"));
        }
        Ok(())
    }
}

/// An encoded footer and what it says.
pub struct FooterBytes {
    /// What follows the last record, up to the end of the file.
    pub bytes: Vec<u8>,
    /// Its trailer.
    pub trailer: Trailer,
    /// Its fanout table.
    pub fanout: Fanout,
}

/// Writes the footer of a pack whose records end at `footer_offset`. The entries are sorted by id
/// and no id occurs twice.
pub fn encode_footer(entries: &[PackEntry], footer_offset: u64) -> FooterBytes {
    debug_assert!(entries.is_sorted_by(|a, b| a.id < b.id));
    let total = FANOUT_BYTES + entries.len() * ENTRY_BYTES + TRAILER_BYTES;
    let mut bytes = Vec::with_capacity(total);
    bytes.resize(FANOUT_BYTES, 0);
    bytes.extend(entries.iter().flat_map(PackEntry::encode));

    let mut buckets = Vec::with_capacity(256);
    let mut start = 0;
    for byte in 0..=255u8 {
        let len = entries[start..].partition_point(|e| e.id.as_bytes()[0] == byte);
        let end = start + len;
        let at = |position: usize| FANOUT_BYTES + position * ENTRY_BYTES;
        // A pack has far fewer than 2^32 objects, its records being longer than a byte.
        buckets.push((end as u32, crc32c::crc32c(&bytes[at(start)..at(end)])));
        start = end;
    }
    for (slot, (end, sum)) in bytes[..FANOUT_BYTES].chunks_exact_mut(8).zip(&buckets) {
        slot[..4].copy_from_slice(&end.to_le_bytes());
        slot[4..].copy_from_slice(&sum.to_le_bytes());
    }
    let trailer = Trailer {
        footer_offset,
        raw_bytes: entries.iter().map(|e| u64::from(e.raw_bytes)).sum(),
        stored_bytes: entries.iter().map(|e| u64::from(e.stored_bytes)).sum(),
        count: entries.len() as u32,
        fanout_sum: crc32c::crc32c(&bytes[..FANOUT_BYTES]),
    };
    bytes.extend(trailer.encode());
    FooterBytes { bytes, trailer, fanout: Fanout { buckets: buckets.into() } }
}

#[cfg(test)]
mod tests {
    use super::{Fanout, PackEntry, Trailer, encode_footer};
    use crate::format::pack::{
        Codec, ENTRY_BYTES, FANOUT_BYTES, HEADER_BYTES, PackError, TRAILER_BYTES,
    };
    use crate::model::{ObjectId, ObjectKind};
    use proptest::prelude::{any, proptest};

    fn entries(count: u32) -> Vec<PackEntry> {
        let mut entries: Vec<_> = (0..count)
            .map(|n| PackEntry {
                id: ObjectId::from_bytes(*blake3::hash(&n.to_le_bytes()).as_bytes()),
                offset: 16 + n * 100,
                stored_bytes: 40,
                raw_bytes: 44,
                kind: ObjectKind::Node,
                codec: Codec::Zstd,
            })
            .collect();
        entries.sort_by_key(|e| e.id);
        entries
    }

    #[test]
    fn a_footer_gives_back_its_entries_bucket_by_bucket() {
        for count in [0, 1, 3, 1000] {
            let entries = entries(count);
            let footer = encode_footer(&entries, 5000);
            let tail = footer.bytes.len() - TRAILER_BYTES;
            let file_bytes = 5000 + footer.bytes.len() as u64;
            let trailer = Trailer::decode(&footer.bytes[tail..], file_bytes).unwrap();
            assert_eq!(trailer, footer.trailer);
            assert_eq!((trailer.count, trailer.raw_bytes), (count, u64::from(count) * 44));
            let fanout = Fanout::decode(&footer.bytes[..FANOUT_BYTES], &trailer).unwrap();
            let mut seen = Vec::new();
            for byte in 0..=255 {
                let range = fanout.bucket(byte);
                let at = |position| (trailer.entry_offset(position) - 5000) as usize;
                let bytes = &footer.bytes[at(range.start)..at(range.end)];
                let decoded = fanout.decode_bucket(byte, bytes).unwrap();
                let ids = fanout.bucket_ids(byte, bytes).unwrap();
                assert!(ids.eq(decoded.iter().map(|entry| entry.id)));
                seen.extend(decoded);
            }
            assert_eq!(seen, entries);
        }
    }

    #[test]
    fn no_flipped_bit_of_a_footer_passes() {
        let entries = entries(4);
        let footer = encode_footer(&entries, HEADER_BYTES as u64);
        let tail = footer.bytes.len() - TRAILER_BYTES;
        let file_bytes = (HEADER_BYTES + footer.bytes.len()) as u64;
        let read = |bytes: &[u8]| -> Result<(), PackError> {
            let trailer = Trailer::decode(&bytes[tail..], file_bytes)?;
            let fanout = Fanout::decode(&bytes[..FANOUT_BYTES], &trailer)?;
            for byte in 0..=255 {
                let range = fanout.bucket(byte);
                let at = |position: u32| FANOUT_BYTES + position as usize * ENTRY_BYTES;
                let bucket = &bytes[at(range.start)..at(range.end)];
                let ids = fanout.bucket_ids(byte, bucket).map(drop);
                assert_eq!(ids.is_err(), fanout.decode_bucket(byte, bucket).is_err());
                ids?;
            }
            Ok(())
        };
        read(&footer.bytes).unwrap();
        for bit in 0..footer.bytes.len() * 8 {
            let mut bad = footer.bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            read(&bad).expect_err("a flipped bit");
        }
        Trailer::decode(&footer.bytes[tail..], file_bytes + 1).expect_err("a longer file");
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_fail_cleanly(
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
            table in proptest::collection::vec(any::<u8>(), FANOUT_BYTES),
            count in any::<u32>(),
        ) {
            let _ = PackEntry::decode(&bytes);
            let _ = Trailer::decode(&bytes, 1000);
            let mut trailer = encode_footer(&[], 16).trailer;
            trailer.count = count;
            trailer.fanout_sum = crc32c::crc32c(&table);
            let _ = Fanout::decode(&table, &trailer);
        }
    }
}
