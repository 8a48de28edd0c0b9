//! Packs: their records, their footers, and whole ones in a store.

use std::fs;
use std::path::{Path, PathBuf};

use vst::format::pack::{
    Codec, ENTRY_BYTES, FANOUT_BYTES, Fanout, HEADER_BYTES, PackEntry, PackState,
    RECORD_HEADER_BYTES, RecordHeader, TRAILER_BYTES, Trailer, decode_payload, encode_footer,
    encode_header,
};
use vst::model::{ObjectId, ObjectKind, ObjectSource};
use vst::store::{ObjectStore, OpenOptions, Store};

/// Decodes the bytes behind the first as a record, as a footer, or as a pack of a store.
pub fn pack(data: &[u8]) {
    let Some((which, bytes)) = data.split_first() else { return };
    match which % 4 {
        0 => record(bytes),
        1 => footer(bytes),
        2 => in_a_store(&[&encode_header(PackState::Open)[..], bytes].concat()),
        _ => in_a_store(&sealed(bytes)),
    }
}

fn record(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    for seal in [false, true] {
        if seal && bytes.len() >= RECORD_HEADER_BYTES {
            // The checksum would otherwise keep everything out.
            let sum = crc32c::crc32c(&bytes[..52]);
            bytes[52..56].copy_from_slice(&sum.to_le_bytes());
        }
        let Ok(header) = RecordHeader::decode(&bytes) else { continue };
        assert_eq!(header.encode(), bytes[..RECORD_HEADER_BYTES]);
        let payload = &bytes[RECORD_HEADER_BYTES..];
        let len = payload.len().min(header.stored_bytes as usize);
        let _ = header.check_payload(&payload[..len]);
        if let Ok(object) = decode_payload(&header, &payload[..len]) {
            assert_eq!(object.len(), header.raw_bytes as usize);
        }
    }
}

fn footer(bytes: &[u8]) {
    let _ = PackEntry::decode(bytes);
    let len = bytes.len() as u64;
    let _ = Trailer::decode(bytes, len);
    // One of several entries, changed in one place.
    let mut entries: Vec<PackEntry> =
        bytes.chunks_exact(ENTRY_BYTES).filter_map(|entry| PackEntry::decode(entry).ok()).collect();
    entries.sort_unstable_by_key(|entry| entry.id);
    entries.dedup_by_key(|entry| entry.id);
    let made = encode_footer(&entries, HEADER_BYTES as u64);
    let mut whole = vec![0; HEADER_BYTES];
    whole.extend_from_slice(&made.bytes);
    if let [place @ .., value] = bytes
        && let Some(place) = place.first_chunk()
    {
        let at = usize::from(u16::from_le_bytes(*place)) % whole.len();
        whole[at] ^= value;
    }
    let at = whole.len() - TRAILER_BYTES;
    let Ok(trailer) = Trailer::decode(&whole[at..], whole.len() as u64) else { return };
    let start = trailer.footer_offset as usize;
    let Ok(fanout) = Fanout::decode(&whole[start..start + FANOUT_BYTES], &trailer) else { return };
    for byte in 0..=255 {
        let range = fanout.bucket(byte);
        let from = trailer.entry_offset(range.start) as usize;
        let to = trailer.entry_offset(range.end) as usize;
        if let Ok(found) = fanout.decode_bucket(byte, &whole[from..to]) {
            assert!(found.iter().all(|entry| entries.contains(entry)));
        }
    }
}

/// A pack of the parts of some bytes, sealed; then one of its bytes is changed.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let (change, bytes) = bytes.split_at(bytes.len().min(5));
    let mut pack = encode_header(PackState::Open).to_vec();
    let mut entries = Vec::new();
    for object in bytes.chunks(100) {
        let id = ObjectId::from_bytes(*blake3::hash(object).as_bytes());
        let (kind, codec) = (ObjectKind::Chunk, Codec::Raw);
        let header = RecordHeader::new(kind, id, object.len(), codec, object);
        let offset = pack.len() as u32;
        let (stored_bytes, raw_bytes) = (header.stored_bytes, header.raw_bytes);
        entries.push(PackEntry { id, offset, stored_bytes, raw_bytes, kind, codec });
        pack.extend_from_slice(&header.encode());
        pack.extend_from_slice(object);
    }
    entries.sort_unstable_by_key(|entry| entry.id);
    entries.dedup_by_key(|entry| entry.id);
    pack.extend_from_slice(&encode_footer(&entries, pack.len() as u64).bytes);
    if let [at @ .., value] = change
        && let Some(at) = at.first_chunk()
    {
        let at = u32::from_le_bytes(*at) as usize % pack.len();
        pack[at] ^= value;
    }
    pack
}

/// Opens a store with this pack, and reads all that it lists.
fn in_a_store(pack: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    drop(Store::create_or_open(&store, OpenOptions::default()).unwrap());
    let path = pack_path(&store);
    fs::write(&path, pack).unwrap();
    for read_only in [true, false] {
        let options = OpenOptions { read_only, ..OpenOptions::default() };
        let Ok(store) = Store::open(&store, options) else { continue };
        let mut ids = Vec::new();
        let _ = store.packs().for_each(&mut |info| ids.push(info.id));
        for id in ids {
            if let Ok(bytes) = store.packs().get(&id) {
                assert_eq!(id.as_bytes(), blake3::hash(&bytes).as_bytes());
            }
        }
        let _ = store.close();
    }
}

/// Where the first pack of a store is.
fn pack_path(store: &Path) -> PathBuf {
    store.join("packs").join("0000000000000001.pack")
}
