//! The operation log against a plain list.

use std::ops::ControlFlow;

use super::Objects;
use crate::base::limits::{DEEDS_MAX, DEEDS_PER_BLOCK};
use crate::model::{CommitId, Deed, DeedKind, ObjectId, ObjectSource, Timestamp};
use crate::worktree::DeedLog;

fn deed(n: u64) -> Deed {
    Deed {
        time: Timestamp { secs: n as i64, nanos: 0 },
        what: DeedKind::Commit,
        before: None,
        after: Some(CommitId::new(ObjectId::from_bytes([n as u8; 32]))),
    }
}

/// Compares with a plain list of numbers, the first of which was forgotten.
fn check(log: &DeedLog, made: u64, src: &dyn ObjectSource) {
    assert_eq!(log.next_number(), made + 1);
    let mut expected = made;
    log.newest_first(src, &mut |number, found| {
        assert_eq!((number, found), (expected, &deed(expected)));
        expected -= 1;
        ControlFlow::Continue(())
    })
    .unwrap();
    let forgotten = expected;
    assert!(made - forgotten <= DEEDS_MAX as u64);
    let least = (DEEDS_MAX - DEEDS_PER_BLOCK) as u64;
    assert!(forgotten == 0 || made - forgotten >= least, "{forgotten} of {made}");
}

#[test]
fn a_log_keeps_the_newest_deeds_and_their_numbers_also_through_the_store() {
    let store = Objects::default();
    let mut log = DeedLog::default();
    check(&log, 0, &store);
    for n in 1..=2 * DEEDS_MAX as u64 + 7 {
        log.push(deed(n));
        if n % 29 == 0 || n.is_multiple_of(DEEDS_PER_BLOCK as u64) {
            check(&log, n, &store);
        }
        if n % 311 == 0 {
            let state = log.store(&store).unwrap();
            check(&DeedLog::open(&state), n, &store);
            log = DeedLog::open(&state);
        }
    }
}

#[test]
fn what_is_added_to_a_clone_is_not_in_the_other() {
    let store = Objects::default();
    let mut log = DeedLog::default();
    for n in 1..=40 {
        log.push(deed(n));
    }
    let before = log.clone();
    for n in 41..=100 {
        log.push(deed(n));
    }
    check(&before, 40, &store);
    check(&log, 100, &store);
}

#[test]
fn a_block_goes_to_the_store_once() {
    let store = Objects::default();
    let mut log = DeedLog::default();
    for n in 1..=70 {
        log.push(deed(n));
    }
    let first = log.store(&store).unwrap();
    assert_eq!((first.blocks.len(), first.recent.len()), (2, 6));
    assert_eq!(store.puts(), 2);
    log.push(deed(71));
    let second = log.store(&store).unwrap();
    assert_eq!((&second.blocks, second.recent.len()), (&first.blocks, 7));
    assert_eq!(store.puts(), 2);
}
