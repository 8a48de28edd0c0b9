//! Decoders of small things: they take any bytes or refuse them, and what they take is written the
//! same way again, so that a value has one encoding.

use vst::format::bytes::Reader;
use vst::format::chunks::ChunkRecord;
use vst::format::deed::{decode_deed_block, encode_deed_block};
use vst::format::node::{NodeReader, put_header, put_item, put_link};
use vst::format::provenance::{BlockReader, BlockWriter};
use vst::format::root::{LinkRecord, Root};
use vst::format::worktree::{Place, SideRecord, WorktreeState, open_side, put_side_header};
use vst::format::{commit, commit_log, config, entry, ref_file, state_log};

/// Decodes the bytes behind the first, which tells what they are to be.
pub fn formats(data: &[u8]) {
    let Some((which, bytes)) = data.split_first() else { return };
    match which % 14 {
        0 => node(bytes),
        1 => {
            if let Ok(entry) = entry::decode_entry(bytes) {
                let mut again = Vec::new();
                entry::put_entry(&mut again, &entry);
                assert_eq!(again, bytes);
            }
        }
        2 => {
            if let Ok(xattrs) = entry::decode_xattrs(bytes) {
                assert_eq!(entry::encode_xattrs(&xattrs), bytes);
            }
        }
        3 => {
            if let Ok(commit) = commit::decode_commit(bytes) {
                assert_eq!(commit::encode_commit(&commit), bytes);
            }
        }
        4 => {
            if let Ok(root) = Root::decode(bytes) {
                assert_eq!(root.encode(), bytes);
            }
        }
        5 => {
            if let Ok(record) = LinkRecord::decode(bytes) {
                assert_eq!(record.encode(), bytes);
            }
        }
        6 => {
            if let Ok(state) = WorktreeState::decode(bytes) {
                assert_eq!(state.encode(), bytes);
            }
            if let Ok(deeds) = decode_deed_block(bytes) {
                assert_eq!(encode_deed_block(&deeds), bytes);
            }
        }
        7 => {
            if let Ok(place) = Place::decode(bytes) {
                assert_eq!(place.encode(), bytes);
            }
        }
        8 => {
            if let Ok(chunk) = ChunkRecord::decode(bytes) {
                assert_eq!(chunk.encode(), bytes);
            }
        }
        9 => side(bytes),
        10 => {
            if let Ok(id) = ref_file::decode(bytes) {
                assert_eq!(ref_file::encode(&id), bytes);
            }
            if let Ok(config) = config::decode(bytes) {
                assert_eq!(config::encode(&config), bytes);
            }
        }
        11 => commit_list(bytes),
        12 => {
            let _ = state_log::has_header(bytes);
            if let Some(id) = state_log::decode_record(bytes) {
                assert_eq!(state_log::encode_record(&id)[..], *bytes);
            }
        }
        _ => provenance(bytes),
    }
}

fn node(bytes: &[u8]) {
    let Ok(mut reader) = NodeReader::open(bytes) else { return };
    let mut again = Vec::new();
    put_header(&mut again, reader.height());
    if reader.height() == 0 {
        while let Ok(item) = reader.next_item() {
            let Some(item) = item else { return assert_eq!(again, bytes) };
            put_item(&mut again, item.key, item.value);
        }
    } else {
        while let Ok(link) = reader.next_link() {
            let Some((key, link)) = link else { return assert_eq!(again, bytes) };
            put_link(&mut again, key, &link);
        }
    }
}

fn side(bytes: &[u8]) {
    let Some(height) = bytes.get(3).copied() else { return };
    let Ok(mut reader) = open_side(bytes, height) else { return };
    let mut again = Vec::new();
    put_side_header(&mut again, height);
    while let Ok(record) = SideRecord::read(&mut reader) {
        record.put(&mut again);
        assert!(bytes.starts_with(&again));
        if reader.is_at_end() {
            return;
        }
    }
}

fn provenance(bytes: &[u8]) {
    let Ok(mut reader) = BlockReader::open(bytes) else { return };
    let mut block = BlockWriter::default();
    loop {
        match reader.next_row() {
            Ok(Some((path, writer))) => block.push(path, writer),
            Ok(None) => break,
            Err(_) => return,
        }
    }
    assert_eq!(block.finish(reader.heads(), reader.below()), bytes);
}

fn commit_list(bytes: &[u8]) {
    let _ = commit_log::decode_header(bytes);
    if let Some(record) = bytes.first_chunk() {
        if let Ok(decoded) = commit_log::decode_record(record) {
            assert_eq!(commit_log::encode_record(&decoded), *record);
        }
        // The checksum would otherwise keep everything out.
        let mut sealed = *record;
        let at = sealed.len() - 4;
        let sum = crc32c::crc32c(&sealed[..at]);
        sealed[at..].copy_from_slice(&sum.to_le_bytes());
        if let Ok(decoded) = commit_log::decode_record(&sealed) {
            assert_eq!(commit_log::encode_record(&decoded), sealed);
        }
    }
    let _ = Reader::new(bytes).varint();
}
