//! Records of a pack: the header, and the payload with its compression.

use std::cell::RefCell;
use std::sync::Arc;

use zstd::bulk::{Compressor, Decompressor};

use super::{PackError, RECORD_HEADER_BYTES, RECORD_MAGIC, u32_at};
use crate::base::limits;
use crate::base::sync::thread_local;
use crate::model::{ObjectId, ObjectKind};

/// The fastest level that is still worth it: 0.4 GB/s a core, a quarter of the size on sources.
const ZSTD_LEVEL: i32 = 1;
/// Beyond that, sources get a hundredth smaller, and it takes three times as long.
const ZSTD_LEVEL_THOROUGH: i32 = 9;

/// How a payload is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Codec {
    /// As it is.
    Raw = 0,
    /// As one zstd frame.
    Zstd = 1,
}

impl Codec {
    pub(super) fn from_u8(number: u8) -> Result<Self, PackError> {
        match number {
            0 => Ok(Self::Raw),
            1 => Ok(Self::Zstd),
            other => Err(PackError::Field { field: "codec", value: other.into() }),
        }
    }
}

/// What stands before the payload of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// What the object is.
    pub kind: ObjectKind,
    /// How its payload is stored.
    pub codec: Codec,
    /// Length of the payload.
    pub stored_bytes: u32,
    /// Length of the object.
    pub raw_bytes: u32,
    /// The object.
    pub id: ObjectId,
    /// Checksum of the payload.
    pub payload_sum: u32,
}

impl RecordHeader {
    /// The header of a record with this payload.
    pub fn new(kind: ObjectKind, id: ObjectId, raw: usize, codec: Codec, payload: &[u8]) -> Self {
        Self {
            kind,
            codec,
            stored_bytes: payload.len() as u32, // At most `raw`, which callers bound.
            raw_bytes: raw as u32,
            id,
            payload_sum: crc32c::crc32c(payload),
        }
    }

    /// Length of the whole record.
    pub fn record_bytes(&self) -> usize {
        RECORD_HEADER_BYTES + self.stored_bytes as usize
    }

    /// Writes the header.
    pub fn encode(&self) -> [u8; RECORD_HEADER_BYTES] {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        bytes[..4].copy_from_slice(&RECORD_MAGIC);
        bytes[4] = self.kind as u8;
        bytes[5] = self.codec as u8;
        bytes[8..12].copy_from_slice(&self.stored_bytes.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.raw_bytes.to_le_bytes());
        bytes[16..48].copy_from_slice(self.id.as_bytes());
        bytes[48..52].copy_from_slice(&self.payload_sum.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..52]);
        bytes[52..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads the header at the start of `bytes`. Its lengths are within bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, PackError> {
        let bytes: &[u8; RECORD_HEADER_BYTES] = bytes
            .get(..RECORD_HEADER_BYTES)
            .and_then(|head| head.try_into().ok())
            .ok_or(PackError::Truncated("record header"))?;
        if bytes[..4] != RECORD_MAGIC {
            return Err(PackError::Magic("record"));
        }
        if crc32c::crc32c(&bytes[..52]) != u32_at(bytes, 52) {
            return Err(PackError::Checksum("record header"));
        }
        if bytes[6..8] != [0, 0] {
            return Err(PackError::Field { field: "reserved bytes", value: bytes[6].into() });
        }
        let mut id = [0; ObjectId::BYTES];
        id.copy_from_slice(&bytes[16..48]);
        let (stored_bytes, raw_bytes) = (u32_at(bytes, 8), u32_at(bytes, 12));
        let codec = Codec::from_u8(bytes[5])?;
        check_lengths(codec, stored_bytes, raw_bytes)?;
        Ok(Self {
            kind: kind_from_u8(bytes[4])?,
            codec,
            stored_bytes,
            raw_bytes,
            id: ObjectId::from_bytes(id),
            payload_sum: u32_at(bytes, 48),
        })
    }

    /// Checks the payload against the checksum in the header.
    pub fn check_payload(&self, payload: &[u8]) -> Result<(), PackError> {
        if payload.len() != self.stored_bytes as usize {
            return Err(PackError::Truncated("payload"));
        }
        if crc32c::crc32c(payload) != self.payload_sum {
            return Err(PackError::Checksum("payload"));
        }
        Ok(())
    }
}

pub(super) fn kind_from_u8(number: u8) -> Result<ObjectKind, PackError> {
    ObjectKind::from_u8(number)
        .ok_or(PackError::Field { field: "kind of object", value: number.into() })
}

pub(super) fn check_lengths(codec: Codec, stored: u32, raw: u32) -> Result<(), PackError> {
    if raw as usize > limits::OBJECT_BYTES_MAX {
        return Err(PackError::Field { field: "raw length", value: raw.into() });
    }
    let stored_fits = match codec {
        Codec::Raw => stored == raw,
        Codec::Zstd => stored < raw,
    };
    if stored_fits {
        Ok(())
    } else {
        Err(PackError::Field { field: "stored length", value: stored.into() })
    }
}

thread_local! {
    /// Contexts of zstd and the buffers they write to: making them anew would cost more than the
    /// compression of a small object. They grow to the largest object at most.
    static COMPRESSOR: RefCell<(Option<Compressor<'static>>, Vec<u8>)> =
        const { RefCell::new((None, Vec::new())) };
    static RECOMPRESSOR: RefCell<(Option<Compressor<'static>>, Vec<u8>)> =
        const { RefCell::new((None, Vec::new())) };
    static DECOMPRESSOR: RefCell<(Option<Decompressor<'static>>, Vec<u8>)> =
        const { RefCell::new((None, Vec::new())) };
}

/// How much time compression may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Little: somebody waits, and small objects are left as they are.
    Swift,
    /// Much: it is done once for objects that have stayed.
    Thorough,
}

/// Hands the payload for an object to `f`: compressed where that saves an eighth, and the bytes
/// themselves otherwise. `f` must not come back here.
pub fn with_payload<R>(effort: Effort, bytes: &[u8], f: impl FnOnce(Codec, &[u8]) -> R) -> R {
    let (bytes_min, level, contexts) = match effort {
        Effort::Swift => (limits::COMPRESS_BYTES_MIN, ZSTD_LEVEL, &COMPRESSOR),
        Effort::Thorough => (limits::RECOMPRESS_BYTES_MIN, ZSTD_LEVEL_THOROUGH, &RECOMPRESSOR),
    };
    if bytes.len() < bytes_min {
        return f(Codec::Raw, bytes);
    }
    contexts.with(|contexts| {
        let (compressor, buffer) = &mut *contexts.borrow_mut();
        if compressor.is_none() {
            *compressor = Compressor::new(level).ok();
        }
        let stored_max = bytes.len() - bytes.len() / 8;
        buffer.clear();
        buffer.reserve(stored_max);
        // A failure means that it does not fit into the buffer, so that it saves too little.
        match compressor.as_mut().map(|c| c.compress_to_buffer(bytes, buffer)) {
            Some(Ok(stored)) if stored <= stored_max => f(Codec::Zstd, &buffer[..stored]),
            _ => f(Codec::Raw, bytes),
        }
    })
}

/// The object whose payload this is. The caller checks it against its id.
pub fn decode_payload(header: &RecordHeader, payload: &[u8]) -> Result<Arc<[u8]>, PackError> {
    if payload.len() != header.stored_bytes as usize {
        return Err(PackError::Truncated("payload"));
    }
    check_lengths(header.codec, header.stored_bytes, header.raw_bytes)?;
    if header.codec == Codec::Raw {
        return Ok(Arc::from(payload));
    }
    let raw_bytes = header.raw_bytes as usize;
    DECOMPRESSOR.with(|contexts| {
        let (decompressor, buffer) = &mut *contexts.borrow_mut();
        let failed = |error: std::io::Error| PackError::Decompress(error.to_string());
        if decompressor.is_none() {
            *decompressor = Some(Decompressor::new().map_err(failed)?);
        }
        buffer.clear();
        buffer.reserve(raw_bytes);
        if let Some(decompressor) = decompressor {
            decompressor.decompress_to_buffer(payload, buffer).map_err(failed)?;
        }
        if buffer.len() != raw_bytes {
            let detail = format!("{} bytes where {raw_bytes} were expected", buffer.len());
            return Err(PackError::Decompress(detail));
        }
        Ok(Arc::from(buffer.as_slice()))
    })
}

#[cfg(test)]
mod tests {
    use super::{Codec, Effort, RecordHeader, decode_payload, with_payload};
    use crate::base::limits;
    use crate::format::pack::{PackError, RECORD_HEADER_BYTES};
    use crate::model::{ObjectId, ObjectKind};
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    fn record(bytes: &[u8]) -> (RecordHeader, Vec<u8>) {
        let id = ObjectId::from_bytes(*blake3::hash(bytes).as_bytes());
        with_payload(Effort::Swift, bytes, |codec, payload| {
            let header = RecordHeader::new(ObjectKind::Chunk, id, bytes.len(), codec, payload);
            (header, payload.to_vec())
        })
    }

    #[test]
    fn text_is_compressed_and_noise_is_not() {
        let text = b"the same words again and again, ".repeat(100);
        let (header, payload) = record(&text);
        assert_eq!(header.codec, Codec::Zstd);
        assert!(payload.len() < text.len() / 8);
        assert_eq!(&*decode_payload(&header, &payload).unwrap(), &text[..]);

        let mut noise = vec![0; 5000];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let (header, payload) = record(&noise);
        assert_eq!((header.codec, &payload), (Codec::Raw, &noise));
    }

    #[test]
    fn no_flipped_bit_of_a_record_passes() {
        let (header, mut payload) = record(b"some bytes of a file");
        let encoded = header.encode();
        assert_eq!(RecordHeader::decode(&encoded), Ok(header));
        for bit in 0..RECORD_HEADER_BYTES * 8 {
            let mut bad = encoded;
            bad[bit / 8] ^= 1 << (bit % 8);
            RecordHeader::decode(&bad).expect_err("a flipped bit");
        }
        header.check_payload(&payload).unwrap();
        payload[3] ^= 4;
        assert_eq!(header.check_payload(&payload), Err(PackError::Checksum("payload")));
    }

    #[test]
    fn a_length_beyond_the_bound_is_refused_before_anything_is_allocated() {
        let (mut header, _) = record(b"x");
        header.raw_bytes = limits::OBJECT_BYTES_MAX as u32 + 1;
        header.stored_bytes = header.raw_bytes;
        let error = RecordHeader::decode(&header.encode()).unwrap_err();
        assert!(matches!(error, PackError::Field { field: "raw length", .. }), "{error}");
    }

    #[test]
    fn a_frame_that_decompresses_to_more_than_announced_is_refused() {
        let bomb = zstd::bulk::compress(&vec![0; 1 << 20], 1).unwrap();
        let (mut header, _) = record(b"x");
        header.codec = Codec::Zstd;
        header.stored_bytes = bomb.len() as u32;
        header.raw_bytes = header.stored_bytes + 10;
        assert!(matches!(decode_payload(&header, &bomb), Err(PackError::Decompress(_))));
    }

    proptest! {
        #[test]
        fn any_object_round_trips(bytes in proptest::collection::vec(0u8..8, 0..4000)) {
            let (header, payload) = record(&bytes);
            prop_assert_eq!(RecordHeader::decode(&header.encode()), Ok(header));
            prop_assert!(header.check_payload(&payload).is_ok());
            prop_assert_eq!(&*decode_payload(&header, &payload).unwrap(), &bytes[..]);
        }

        #[test]
        fn any_bytes_decode_or_fail_cleanly(
            head in proptest::collection::vec(any::<u8>(), 0..80),
            payload in proptest::collection::vec(any::<u8>(), 0..300),
            raw in 0u32..2000,
        ) {
            let _ = RecordHeader::decode(&head);
            let (mut header, _) = record(b"");
            header.codec = Codec::Zstd;
            header.stored_bytes = payload.len() as u32;
            header.raw_bytes = raw;
            if let Ok(bytes) = decode_payload(&header, &payload) {
                prop_assert_eq!(bytes.len(), raw as usize);
            }
        }
    }
}
