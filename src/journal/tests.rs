//! The journal on a real disk: what is appended comes back, in order, and nothing else.

#[cfg(shuttle)]
mod schedules;

use std::path::Path;
use std::sync::Arc;

use super::{Journal, JournalError, RecordBuffer, Recovered, Urgency};
use crate::base::disk::sim::SimDisk;
use crate::base::disk::{Disk, OpenMode, RealDisk};
use crate::base::limits::{JOURNAL_PAYLOAD_BYTES_INLINE, JOURNAL_SEGMENT_BYTES_MIN};
use crate::base::sync::Mutex;
use crate::format::journal::{Record, SEGMENT_HEADER_BYTES, put_ops_header};
use crate::format::op::{LocatedOp, put_op};
use crate::format::worktree::JournalPosition;
use crate::model::{Ino, Op, Timestamp};

fn write(n: u64, len: usize) -> Op {
    let time = Timestamp { secs: n as i64, nanos: 0 };
    let data = vec![n as u8; len].into();
    Op::Write { ino: Ino(n + 1), offset: n, data, kill_priv: false, time }
}

fn append(journal: &Journal, op: &Op) -> Result<(), JournalError> {
    let Op::Write { data, .. } = op else { panic!("a write") };
    let mut record = RecordBuffer::new();
    put_ops_header(record.fields(), None, 1);
    put_op(record.fields(), None, op);
    journal.reserve(data.len() as u64, Urgency::Ordinary)?;
    match journal.append(&mut record, data, crc32c::crc32c(data), 1)? {
        Some(ticket) => journal.complete(ticket, data),
        None => Ok(()),
    }
}

fn recover(dir: &Path, from: JournalPosition) -> (Journal, Vec<Op>, Recovered) {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut ops = Vec::new();
    let (journal, found) = Journal::recover(&disk, dir, from, |record| {
        let Record::Ops(_, located) = record else { panic!("operations") };
        ops.extend(located.into_iter().map(|LocatedOp { op, .. }| op));
        Ok::<(), JournalError>(())
    })
    .unwrap();
    (journal, ops, found)
}

fn segments(dir: &Path) -> usize {
    let is_segment = |name: &std::ffi::OsString| name.to_str().unwrap().ends_with(".log");
    RealDisk.names(dir).unwrap().iter().filter(|name| is_segment(name)).count()
}

const START: JournalPosition = JournalPosition { segment: 0, offset: 0, seq: 0 };

#[test]
fn what_was_appended_comes_back_after_the_end_of_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let lens = [0, 1, 100, JOURNAL_PAYLOAD_BYTES_INLINE, JOURNAL_PAYLOAD_BYTES_INLINE + 1, 1 << 20];
    let mut expected = Vec::new();
    for round in 0..4 {
        let (journal, ops, found) = recover(dir.path(), START);
        assert_eq!((ops, found.records), (expected.clone(), expected.len() as u64));
        assert_eq!(found.void, 0);
        for (n, len) in lens.iter().enumerate() {
            let op = write(100 * round + n as u64, *len);
            append(&journal, &op).unwrap();
            expected.push(op);
        }
        assert_eq!(journal.stats().records, expected.len() as u64);
        if round == 2 {
            journal.sync().unwrap();
            assert!(!journal.wants_sync());
        }
    }
}

#[test]
fn segments_follow_one_another_and_are_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = recover(dir.path(), START);
    let mut ops = Vec::new();
    for n in 0..40 {
        let op = write(n, 1 << 20);
        append(&journal, &op).unwrap();
        ops.push(op);
        if n % 3 == 0 {
            journal.prepare().unwrap();
        }
    }
    assert!(segments(dir.path()) > 3);
    assert_eq!(recover(dir.path(), START).1, ops);
    let (journal, ..) = recover(dir.path(), START);
    let point = journal.point().unwrap();
    append(&journal, &write(77, 5)).unwrap();
    journal.cut(&point).unwrap();
    assert!(segments(dir.path()) <= 2, "the one with the point, and what came after");
    let (journal, ops, found) = recover(dir.path(), point.position);
    assert_eq!((ops, found.records), (vec![write(77, 5)], 1));
    journal.prepare().unwrap();
    journal.prepare_close(());
    let point = journal.point().unwrap();
    journal.cut(&point).unwrap();
    journal.close(&point, ()).unwrap();
    assert_eq!(segments(dir.path()), 1, "the one that the point names");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    assert!(Journal::is_closed(&disk, dir.path()).unwrap());
    append(&journal, &write(78, 5)).unwrap();
    assert!(!Journal::is_closed(&disk, dir.path()).unwrap());
    assert_eq!(recover(dir.path(), point.position).1, [write(78, 5)]);
}

#[test]
fn a_record_without_its_payload_is_passed_over_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = recover(dir.path(), START);
    let (before, lost, after) = (write(1, 10), write(2, 100_000), write(3, 20));
    append(&journal, &before).unwrap();
    let Op::Write { data, .. } = &lost else { unreachable!() };
    let mut record = RecordBuffer::new();
    put_ops_header(record.fields(), None, 1);
    put_op(record.fields(), None, &lost);
    journal.reserve(data.len() as u64, Urgency::Ordinary).unwrap();
    let ticket = journal.append(&mut record, data, crc32c::crc32c(data), 1).unwrap();
    append(&journal, &after).unwrap();
    std::mem::forget(ticket);
    for void in [1, 0] {
        let (_, ops, found) = recover(dir.path(), START);
        assert_eq!(ops, [before.clone(), after.clone()]);
        assert_eq!((found.records, found.void), (3, void));
    }
}

#[test]
fn a_payload_that_never_comes_fails_the_journal_until_it_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = recover(dir.path(), START);
    let data = vec![1; 100_000];
    let mut record = RecordBuffer::new();
    put_ops_header(record.fields(), None, 0);
    journal.reserve(data.len() as u64, Urgency::Ordinary).unwrap();
    drop(journal.append(&mut record, &data, 0, 1).unwrap().expect("it is too long to be short"));
    assert!(matches!(append(&journal, &write(1, 1)), Err(JournalError::Failed { .. })));
    assert!(matches!(journal.sync(), Err(JournalError::Failed { .. })));
    let point = journal.point().unwrap();
    assert_eq!(journal.point().unwrap().position, point.position, "one new segment is enough");
    journal.cut(&point).unwrap();
    append(&journal, &write(2, 1)).unwrap();
    journal.sync().unwrap();
    assert_eq!(recover(dir.path(), point.position).1, [write(2, 1)]);
}

#[test]
fn after_a_power_loss_it_ends_before_what_does_not_check() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = recover(dir.path(), START);
    let ops: Vec<Op> = (0..8).map(|n| write(n, 50)).collect();
    for op in &ops {
        append(&journal, op).unwrap();
    }
    drop(journal);
    let path = dir.path().join(format!("{:016x}.log", 1));
    // Another boot id, and a flipped bit in the sixth record.
    let file = RealDisk.open(&path, OpenMode::Write).unwrap();
    let header = crate::format::journal::SegmentHeader { number: 1, boot_id: [9; 16] };
    file.write_all_at(&header.encode(), 0).unwrap();
    let record_bytes = (16 + 2 + 13 + 5 + 50) as u64;
    let mut byte = [0];
    let at = SEGMENT_HEADER_BYTES as u64 + 5 * record_bytes + 60;
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    for cut in [true, false] {
        let (journal, found_ops, found) = recover(dir.path(), START);
        assert_eq!(found_ops, ops[..5]);
        assert_eq!((found.records, found.cut), (5, cut));
        drop(journal);
    }
    let (journal, ..) = recover(dir.path(), START);
    append(&journal, &write(9, 9)).unwrap();
    assert_eq!(recover(dir.path(), START).1, [&ops[..5], &[write(9, 9)]].concat());
}

#[test]
fn many_who_append_and_sync_are_all_there() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = recover(dir.path(), START);
    let order = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (journal, order) = (&journal, &order);
            scope.spawn(move || {
                for n in 0..50 {
                    let op = write(thread * 1000 + n, if n % 5 == 0 { 30_000 } else { 20 });
                    let Op::Write { data, .. } = &op else { unreachable!() };
                    let mut record = RecordBuffer::new();
                    put_ops_header(record.fields(), None, 1);
                    put_op(record.fields(), None, &op);
                    let ticket = {
                        let mut order = order.lock();
                        journal.reserve(data.len() as u64, Urgency::Ordinary).unwrap();
                        let sum = crc32c::crc32c(data);
                        order.push(op.clone());
                        journal.append(&mut record, data, sum, 1).unwrap()
                    };
                    if let Some(ticket) = ticket {
                        journal.complete(ticket, data).unwrap();
                    }
                    if n % 10 == 0 {
                        journal.sync().unwrap();
                    }
                }
            });
        }
    });
    journal.sync().unwrap();
    assert_eq!(recover(dir.path(), START).1, order.into_inner());
}

#[test]
fn those_who_wait_for_a_sync_share_the_next_one() {
    const OTHERS: usize = 8;
    let disk = SimDisk::new(Path::new("/"));
    let dir = Path::new("/journal");
    disk.handle().create_dir(dir).unwrap();
    let recovered = Journal::recover(&disk.handle(), dir, START, |_| Ok::<(), JournalError>(()));
    let (journal, _) = recovered.unwrap();
    append(&journal, &write(0, 20)).unwrap();
    let before = journal.stats().syncs;
    let hold = disk.hold_syncs();
    std::thread::scope(|scope| {
        scope.spawn(|| journal.sync().unwrap());
        while !journal.is_syncing() {
            std::thread::yield_now();
        }
        // Too late for the sync that is under way.
        for n in 1..=OTHERS {
            append(&journal, &write(n as u64, 20)).unwrap();
            scope.spawn(|| journal.sync().unwrap());
        }
        drop(hold);
    });
    assert_eq!(journal.stats().syncs - before, 2);
}

#[test]
fn bytes_that_are_no_segment_are_no_panic() {
    for (len, seed) in [(0, 0_u8), (10, 1), (48, 2), (5000, 3), (JOURNAL_SEGMENT_BYTES_MIN, 0)] {
        let dir = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..len).map(|at| (at as u8).wrapping_mul(seed)).collect();
        std::fs::write(dir.path().join(format!("{:016x}.log", 1)), bytes).unwrap();
        std::fs::write(dir.path().join("notes.log"), "not ours").unwrap();
        let (journal, ops, _) = recover(dir.path(), START);
        assert_eq!(ops, []);
        append(&journal, &write(1, 1)).unwrap();
        assert_eq!(recover(dir.path(), START).1, [write(1, 1)]);
    }
}

#[test]
fn a_point_before_the_first_record_is_before_a_segment_that_was_made_ahead() {
    let dir = tempfile::tempdir().unwrap();
    let mut from = START;
    for round in 0..3 {
        let (journal, ops, _) = recover(dir.path(), from);
        assert_eq!(ops, [], "round {round}");
        journal.prepare().unwrap();
        let point = journal.point().unwrap();
        journal.cut(&point).unwrap();
        append(&journal, &write(round, 10)).unwrap();
        assert_eq!(recover(dir.path(), point.position).1, [write(round, 10)], "round {round}");
        let end = journal.point().unwrap();
        journal.cut(&end).unwrap();
        journal.close(&end, ()).unwrap();
        from = end.position;
    }
}

#[test]
fn one_checkpoint_mends_a_journal_that_was_left_in_doubt() {
    for records in 0..2 {
        let dir = tempfile::tempdir().unwrap();
        let (journal, ..) = recover(dir.path(), START);
        for n in 0..records {
            append(&journal, &write(n, 10)).unwrap();
        }
        drop(journal);
        std::fs::write(dir.path().join("doubt"), "").unwrap();
        let (journal, ..) = recover(dir.path(), START);
        append(&journal, &write(7, 10)).unwrap_err();
        let point = journal.point().unwrap();
        journal.cut(&point).unwrap();
        append(&journal, &write(8, 10)).unwrap();
        assert!(!dir.path().join("doubt").exists());
        assert_eq!(recover(dir.path(), point.position).1, [write(8, 10)]);
    }
}

#[test]
fn a_segment_that_was_made_ahead_is_not_begun_after_a_later_one() {
    let disk = SimDisk::new(Path::new("/"));
    let dir = Path::new("/journal");
    disk.handle().create_dir(dir).unwrap();
    // Which writes there are.
    let find = |disk: &SimDisk, from| {
        let mut found_ops = Vec::new();
        let found = Journal::recover(&disk.handle(), dir, from, |record| {
            let Record::Ops(_, located) = record else { panic!("operations") };
            for LocatedOp { op, .. } in located {
                let Op::Write { offset, .. } = op else { panic!("a write") };
                found_ops.push(offset);
            }
            Ok::<(), JournalError>(())
        });
        (found.unwrap().0, found_ops)
    };
    let (journal, _) = find(&disk, START);
    // Two do not fit into a segment.
    let large = JOURNAL_SEGMENT_BYTES_MIN as usize * 3 / 4;
    append(&journal, &write(0, large)).unwrap();
    journal.prepare().unwrap();
    disk.set_fail_syncs(true);
    journal.sync().unwrap_err();
    disk.set_fail_syncs(false);
    let point = journal.point().unwrap();
    journal.cut(&point).unwrap();
    (1..4).for_each(|n| append(&journal, &write(n, large)).unwrap());
    assert_eq!(find(&disk.after_kill(), point.position).1, [1, 2, 3]);
}
