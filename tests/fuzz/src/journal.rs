//! The journal: its records, and whole segments that recovery reads.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use vst::base::disk::{Disk, RealDisk};
use vst::format::journal::{
    RECORD_HEADER_BYTES, Record, SEGMENT_HEADER_BYTES, SegmentHeader, decode_record, put_commit,
    put_deed_record, put_mark, put_ops_header, put_switch, seal_record,
};
use vst::format::op::put_op;
use vst::format::worktree::JournalPosition;
use vst::journal::{Journal, JournalError};
use vst::model::Op;

use super::Choices;

/// Decodes the bytes behind the first as the fields of a record, or lets recovery read them.
pub fn journal(data: &[u8]) {
    let Some((which, bytes)) = data.split_first() else { return };
    match which % 3 {
        0 => {
            let mut choices = Choices::new(bytes);
            let (fields, payload) = (choices.slice(), choices.bytes);
            record(fields, payload);
        }
        1 => recover(bytes, false),
        _ => recover(&records(bytes), which & 0x80 != 0),
    }
}

/// What is decoded is written the same way again.
fn record(fields: &[u8], payload: &[u8]) {
    let Ok(record) = decode_record(fields, payload) else { return };
    let (mut again, mut again_payload) = (Vec::new(), Vec::new());
    match &record {
        Record::Void => return,
        Record::Ops(by, ops) => {
            put_ops_header(&mut again, by.as_ref(), ops.len());
            for located in ops {
                let at = located.at.as_ref().map(|(parent, name)| (*parent, name));
                put_op(&mut again, at, &located.op);
                if let Op::Write { data, .. } = &located.op {
                    again_payload.extend_from_slice(data);
                }
            }
        }
        Record::Mark => put_mark(&mut again),
        Record::Commit(made) => put_commit(&mut again, made),
        Record::Switch(state) => put_switch(&mut again, state),
        Record::Deed(deed) => put_deed_record(&mut again, deed),
    }
    // The time of an operation that has none is not kept.
    assert_eq!(decode_record(&again, &again_payload).unwrap(), record);
}

/// Records with these fields and payloads, whose checksums are right but where the bytes say so.
fn records(bytes: &[u8]) -> Vec<u8> {
    let mut choices = Choices::new(bytes);
    let mut out = Vec::new();
    let mut seq = 0;
    while !choices.is_empty() {
        let harm = choices.byte();
        let (fields, payload) = (choices.slice(), choices.slice());
        let mut record = vec![0; RECORD_HEADER_BYTES];
        record.extend_from_slice(fields);
        let sum = crc32c::crc32c(payload) ^ u32::from(harm == 0xff);
        seal_record(&mut record, seq, payload.len(), sum);
        record.extend_from_slice(payload);
        if harm == 0xfe {
            record.truncate(usize::from(choices.byte()));
        }
        out.extend_from_slice(&record);
        seq += 1;
    }
    out
}

/// Recovering twice gives the same, and what is left is a journal that can be appended to.
fn recover(records: &[u8], other_boot: bool) {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let dir = tempfile::tempdir().unwrap();
    let mut boot_id = disk.boot_id().unwrap();
    boot_id[0] ^= u8::from(other_boot);
    let mut segment = SegmentHeader { number: 0, boot_id }.encode().to_vec();
    segment.extend_from_slice(records);
    fs::write(dir.path().join(format!("{:016x}.log", 0)), segment).unwrap();
    let first = read(&disk, dir.path());
    let second = read(&disk, dir.path());
    assert_eq!(first, second);
}

fn read(disk: &Arc<dyn Disk>, dir: &Path) -> Option<Vec<Record>> {
    let from = JournalPosition { segment: 0, offset: SEGMENT_HEADER_BYTES as u64, seq: 0 };
    let mut found = Vec::new();
    let opened = Journal::recover(disk, dir, from, |record| {
        found.push(record);
        Ok::<(), JournalError>(())
    });
    opened.ok().map(|_| found)
}
