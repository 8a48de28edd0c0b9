//! Records and operations: what is written is read again, and no bytes do harm.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::sample::select;

use super::{
    CommitMade, DURABLE_AT, NEXT_AT, NextSegment, RECORD_HEADER_BYTES, Record, RecordHeader,
    SEGMENT_HEADER_BYTES, SegmentError, SegmentHeader, decode_durable, decode_next, decode_record,
    encode_durable, encode_next, put_commit, put_deed_record, put_mark, put_ops_header, put_switch,
    seal_record, void_fields,
};
use crate::base::limits::INO_MAX;
use crate::format::deed::tests::any_deed;
use crate::format::op::{LocatedOp, put_op, subject};
use crate::model::{
    ChunkId, CommitId, Content, Entry, EntryBody, EntryXattrs, FileKind, Ino, Meta, Name, NewNode,
    ObjectId, Op, RenameMode, SetAttr, Timestamp, Writer, Xattrs,
};

fn any_time() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), 0..1_000_000_000u32).prop_map(|(secs, nanos)| Timestamp { secs, nanos })
}

fn any_ino() -> impl Strategy<Value = Ino> {
    prop_oneof![Just(Ino::ROOT), Just(Ino(INO_MAX)), (1..=INO_MAX).prop_map(Ino)]
}

fn any_name() -> impl Strategy<Value = Name> {
    vec(any::<u8>(), 1..255).prop_filter_map("no name", |bytes| Name::new(&bytes).ok())
}

fn any_place() -> impl Strategy<Value = (Ino, Name)> {
    (any_ino(), any_name())
}

fn any_kind() -> impl Strategy<Value = FileKind> {
    use FileKind::{BlockDevice, CharDevice, Directory, Fifo, Regular, Socket, Symlink};
    select(vec![Regular, Directory, Symlink, Fifo, Socket, CharDevice, BlockDevice])
}

fn any_id() -> impl Strategy<Value = ObjectId> {
    any::<[u8; 32]>().prop_map(ObjectId::from_bytes)
}

fn any_node() -> impl Strategy<Value = NewNode> {
    let numbers = (0..=0o7777u16, any::<u32>(), any::<u32>(), any::<u32>());
    (any_kind(), numbers, vec(any::<u8>(), 0..40)).prop_map(
        |(kind, (perm, uid, gid, rdev), target)| {
            let target = target.into();
            NewNode { kind, perm, uid, gid, rdev, target }
        },
    )
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let numbers = (0..=0o7777u16, any::<u32>(), any::<u32>(), any_time(), any::<bool>());
    (numbers, 1..=1u64 << 40, any_id()).prop_map(|((perm, uid, gid, mtime, linked), size, id)| {
        let meta = Meta { kind: FileKind::Regular, perm, uid, gid, rdev: 0, mtime };
        let body = EntryBody::File { size, content: Content::Chunk(ChunkId::new(id)) };
        Entry { meta, linked, xattrs: EntryXattrs::Inline(Xattrs::default()), body }
    })
}

fn any_set() -> impl Strategy<Value = SetAttr> {
    let perm = option::of(0..=0o7777u16);
    let (uid, gid) = (option::of(any::<u32>()), option::of(any::<u32>()));
    let (mtime, atime) = (option::of(any_time()), option::of(any_time()));
    (perm, uid, gid, mtime, atime).prop_map(|(perm, uid, gid, mtime, atime)| SetAttr {
        perm,
        uid,
        gid,
        mtime,
        atime,
    })
}

fn any_op() -> impl Strategy<Value = Op> {
    let modes = [RenameMode::Replace, RenameMode::NoReplace, RenameMode::Exchange];
    let parts = (any_place(), any_place(), any_ino(), any_time());
    let numbers = (any::<u64>(), any::<u64>(), any::<bool>(), select(modes.to_vec()));
    let bytes = (vec(any::<u8>(), 0..60), vec(any::<u8>(), 1..60));
    let bodies = (any_node(), any_entry(), any_set());
    (0..15, parts, numbers, bytes, bodies).prop_map(
        |(which, parts, (offset, len, flag, mode), (value, xattr), (node, entry, set))| {
            let ((parent, name), (new_parent, new_name), ino, time) = parts;
            let (value, xattr): (Arc<[u8]>, Arc<[u8]>) = (value.into(), xattr.into());
            match which {
                0 => Op::Create { parent, name, ino, node, time },
                1 => Op::Link { ino, parent, name, time },
                2 => Op::Unlink { parent, name, time },
                3 => Op::Rmdir { parent, name, time },
                4 => Op::Rename { parent, name, new_parent, new_name, mode, time },
                5 => Op::Write { ino, offset, data: value, kill_priv: flag, time },
                6 => Op::Truncate { ino, size: offset, kill_priv: flag, time },
                7 => Op::Zero { ino, offset, len, extend: flag, kill_priv: !flag, time },
                8 => Op::SetAttr { ino, set, time },
                9 => Op::SetXattr { ino, name: xattr[..].into(), value: value[..].into(), time },
                10 => Op::RemoveXattr { ino, name: xattr[..].into(), time },
                11 => Op::Adopt { parent, name, ino, entry, time },
                12 => Op::Revert { ino, entry, time },
                13 => Op::CreateNameless { ino, node, time },
                _ => Op::DropOrphan { ino },
            }
        },
    )
}

fn any_located() -> impl Strategy<Value = LocatedOp> {
    (any_op(), option::of(any_place())).prop_map(|(op, at)| {
        let has_place = subject(&op).is_some() && !matches!(op, Op::DropOrphan { .. });
        LocatedOp { at: at.filter(|_| has_place), op }
    })
}

/// The fields and the payload of a record with these operations.
fn encode(by: Option<&Writer>, ops: &[LocatedOp]) -> (Vec<u8>, Vec<u8>) {
    let (mut fields, mut payload) = (Vec::new(), Vec::new());
    put_ops_header(&mut fields, by, ops.len());
    for LocatedOp { at, op } in ops {
        put_op(&mut fields, at.as_ref().map(|(parent, name)| (*parent, name)), op);
        if let Op::Write { data, .. } = op {
            payload.extend_from_slice(data);
        }
    }
    (fields, payload)
}

fn any_record() -> impl Strategy<Value = (Record, Vec<u8>, Vec<u8>)> {
    let writer = (vec(any::<u8>(), 0..20), any::<u32>());
    let writer = writer.prop_map(|(name, uid)| Writer::new(&name, uid));
    let ops = (option::of(writer), vec(any_located(), 0..5)).prop_map(|(by, ops)| {
        let (fields, payload) = encode(by.as_ref(), &ops);
        (Record::Ops(by, ops), fields, payload)
    });
    let commit = (any_id(), any_time(), ".{0,9}", ".{0,40}");
    let commit = commit.prop_map(|(id, time, author, message)| {
        let made = CommitMade { id: CommitId::new(id), time, author, message };
        let mut fields = Vec::new();
        put_commit(&mut fields, &made);
        (Record::Commit(made), fields, Vec::new())
    });
    let switch = any_id().prop_map(|id| {
        let mut fields = Vec::new();
        put_switch(&mut fields, &id);
        (Record::Switch(id), fields, Vec::new())
    });
    let deed = any_deed().prop_map(|deed| {
        let mut fields = Vec::new();
        put_deed_record(&mut fields, &deed);
        (Record::Deed(deed), fields, Vec::new())
    });
    let mark = Just(()).prop_map(|()| {
        let mut fields = Vec::new();
        put_mark(&mut fields);
        (Record::Mark, fields, Vec::new())
    });
    let void = (1..50usize, vec(any::<u8>(), 0..50))
        .prop_map(|(len, payload)| (Record::Void, void_fields(len), payload));
    prop_oneof![ops, commit, switch, deed, mark, void]
}

proptest! {
    #[test]
    fn any_record_round_trips((record, fields, payload) in any_record()) {
        assert_eq!(decode_record(&fields, &payload), Ok(record.clone()));
        // Nothing may follow, and nothing may be missing.
        if record != Record::Void {
            assert!(decode_record(&fields[..fields.len() - 1], &payload).is_err());
            assert!(decode_record(&[&fields[..], &[0]].concat(), &payload).is_err());
            assert!(decode_record(&fields, &[&payload[..], &[0]].concat()).is_err());
        }
    }

    #[test]
    fn any_bytes_decode_or_fail_cleanly(
        kind in 0u8..7,
        bytes in vec(any::<u8>(), 0..300),
        payload in vec(any::<u8>(), 0..30),
    ) {
        let _ = decode_record(&bytes, &payload);
        let fields = [&[kind], &bytes[..]].concat();
        let _ = decode_record(&fields, &payload);
    }

    #[test]
    fn a_record_is_one_in_its_place_only_and_whole(
        (_, fields, payload) in any_record(),
        seq in any::<u64>(),
        bit in any::<usize>(),
    ) {
        let mut record = vec![0; RECORD_HEADER_BYTES];
        record.extend_from_slice(&fields);
        let sum = crc32c::crc32c(&payload);
        seal_record(&mut record, seq, payload.len(), sum);
        let checks = |record: &[u8], seq: u64| {
            let (header, fields) = record.split_at(RECORD_HEADER_BYTES);
            let header = header.try_into().expect("it is as long");
            let decoded = RecordHeader::decode(header);
            decoded.fields_len as usize == fields.len() && decoded.checks(seq, header, fields)
        };
        assert!(checks(&record, seq));
        assert!(!checks(&record, seq.wrapping_add(1)));
        let bit = bit % (record.len() * 8);
        record[bit / 8] ^= 1 << (bit % 8);
        assert!(!checks(&record, seq), "a change of bit {bit} is seen");
    }

    #[test]
    fn the_header_of_a_segment_is_whole_or_refused(
        number in any::<u64>(),
        boot_id in any::<[u8; 16]>(),
        bit in 0..SEGMENT_HEADER_BYTES * 8,
        durable in any::<u64>(),
        (next, end) in any::<(u64, u64)>(),
    ) {
        let (header, next) = (SegmentHeader { number, boot_id }, NextSegment { number: next, end });
        let mut bytes = header.encode();
        assert_eq!((decode_durable(&bytes), decode_next(&bytes)), (None, None));
        bytes[DURABLE_AT..NEXT_AT].copy_from_slice(&encode_durable(durable));
        bytes[NEXT_AT..].copy_from_slice(&encode_next(next));
        let decode = |bytes: &_| (SegmentHeader::decode(bytes), decode_durable(bytes), decode_next(bytes));
        assert_eq!(decode(&bytes), (Ok(header), Some(durable), Some(next)));
        bytes[bit / 8] ^= 1 << (bit % 8);
        let expected = match bit / 8 {
            ..DURABLE_AT => (Err(SegmentError::Header), Some(durable), Some(next)),
            DURABLE_AT..NEXT_AT => (Ok(header), None, Some(next)),
            _ => (Ok(header), Some(durable), None),
        };
        assert_eq!(decode(&bytes), expected);
    }
}

#[test]
fn a_segment_of_a_newer_program_is_told_from_a_damaged_one() {
    let mut bytes = SegmentHeader { number: 1, boot_id: [2; 16] }.encode();
    bytes[8] += 1;
    let sum = crc32c::crc32c(&bytes[..44]);
    bytes[44..48].copy_from_slice(&sum.to_le_bytes());
    assert_eq!(SegmentHeader::decode(&bytes), Err(SegmentError::Version(5)));
}
