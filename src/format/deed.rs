//! Deeds, and the operation log of a worktree.
//!
//! ```text
//! deed   = kind:u8 time before:id? after:id? then as the kind says
//!                                              ("id?" is u8 0, or u8 1 and an id)
//! 1 commit
//! 2 restore  commit:id paths:varint saved:id?
//! 3 undo     of:varint saved:id?
//! 4 tag      name:string from:id? to:id?
//! 5 collect  dropped:varint
//! block  = "vd" version:u8(1) deed*            exactly 32 deeds
//! log    = first:varint blocks:varint id* deeds:varint deed*
//! ```
//!
//! The log lies in the state of a worktree. It lists its blocks, oldest first, and has the deeds
//! themselves that came after the last one, fewer than a block takes. `first` is the number of the
//! first deed in all of it. There are so many blocks at most that a log has no more deeds than
//! 1024.

use super::bytes::{FormatError, Reader, put_id_option, put_string, put_time, put_varint};
use super::commit::read_text;
use crate::base::limits::{DEEDS_MAX, DEEDS_PER_BLOCK, REF_NAME_BYTES_MAX};
use crate::model::{CommitId, Deed, DeedKind, ObjectId};

const MAGIC: &[u8; 3] = b"vd\x01";

const COMMIT: u8 = 1;
const RESTORE: u8 = 2;
const UNDO: u8 = 3;
const TAG: u8 = 4;
const COLLECT: u8 = 5;

/// Most blocks of a log: with the deeds behind them it has no more than the limit.
pub const DEED_BLOCKS_MAX: usize = DEEDS_MAX / DEEDS_PER_BLOCK - 1;

/// An operation log as the state of a worktree has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeedLogState {
    /// The number of the first deed.
    pub first: u64,
    /// The blocks, oldest first.
    pub blocks: Vec<ObjectId>,
    /// The deeds that came after those.
    pub recent: Vec<Deed>,
}

impl Default for DeedLogState {
    fn default() -> Self {
        Self { first: 1, blocks: Vec::new(), recent: Vec::new() }
    }
}

impl DeedLogState {
    /// Writes a log.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.first);
        put_varint(out, self.blocks.len() as u64);
        for block in &self.blocks {
            out.extend_from_slice(block.as_bytes());
        }
        put_varint(out, self.recent.len() as u64);
        for deed in &self.recent {
            put_deed(out, deed);
        }
    }

    /// Reads a log.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let first = reader.varint()?;
        if first == 0 || first > u64::MAX / 2 {
            return Err(reader.error("the number of a deed is impossible"));
        }
        let blocks = reader.varint()?;
        if blocks > DEED_BLOCKS_MAX as u64 {
            return Err(reader.error("an operation log is too long"));
        }
        let blocks = (0..blocks).map(|_| reader.id()).collect::<Result<_, _>>()?;
        let count = reader.varint()?;
        if count >= DEEDS_PER_BLOCK as u64 {
            return Err(reader.error("an operation log is too long"));
        }
        let recent = (0..count).map(|_| read_deed(reader)).collect::<Result<_, _>>()?;
        Ok(Self { first, blocks, recent })
    }
}

/// Encodes a block.
pub fn encode_deed_block(deeds: &[Deed]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    deeds.iter().for_each(|deed| put_deed(&mut out, deed));
    out
}

/// Decodes a block.
pub fn decode_deed_block(bytes: &[u8]) -> Result<Vec<Deed>, FormatError> {
    let mut reader = Reader::new(bytes);
    reader.expect(MAGIC, "not a block of an operation log in a known version")?;
    let deeds = (0..DEEDS_PER_BLOCK).map(|_| read_deed(&mut reader)).collect::<Result<_, _>>()?;
    reader.finish()?;
    Ok(deeds)
}

/// Writes a deed.
pub fn put_deed(out: &mut Vec<u8>, deed: &Deed) {
    let kind = match &deed.what {
        DeedKind::Commit => COMMIT,
        DeedKind::Restore { .. } => RESTORE,
        DeedKind::Undo { .. } => UNDO,
        DeedKind::Tag { .. } => TAG,
        DeedKind::Collect { .. } => COLLECT,
    };
    out.push(kind);
    put_time(out, deed.time);
    put_commit_option(out, deed.before);
    put_commit_option(out, deed.after);
    match &deed.what {
        DeedKind::Commit => {}
        DeedKind::Restore { commit, paths, saved } => {
            out.extend_from_slice(commit.object().as_bytes());
            put_varint(out, *paths);
            put_commit_option(out, *saved);
        }
        DeedKind::Undo { of, saved } => {
            put_varint(out, *of);
            put_commit_option(out, *saved);
        }
        DeedKind::Tag { name, from, to } => {
            put_string(out, name.as_bytes());
            put_commit_option(out, *from);
            put_commit_option(out, *to);
        }
        DeedKind::Collect { dropped } => put_varint(out, *dropped),
    }
}

/// Reads a deed.
pub fn read_deed(reader: &mut Reader<'_>) -> Result<Deed, FormatError> {
    let kind = reader.u8()?;
    let time = reader.time()?;
    let (before, after) = (commit_option(reader)?, commit_option(reader)?);
    let what = match kind {
        COMMIT => DeedKind::Commit,
        RESTORE => DeedKind::Restore {
            commit: CommitId::new(reader.id()?),
            paths: reader.varint()?,
            saved: commit_option(reader)?,
        },
        UNDO => DeedKind::Undo { of: reader.varint()?, saved: commit_option(reader)? },
        TAG => DeedKind::Tag {
            name: read_text(reader, REF_NAME_BYTES_MAX)?,
            from: commit_option(reader)?,
            to: commit_option(reader)?,
        },
        COLLECT => DeedKind::Collect { dropped: reader.varint()? },
        _ => return Err(reader.error("a deed of an unknown kind")),
    };
    Ok(Deed { time, what, before, after })
}

fn put_commit_option(out: &mut Vec<u8>, id: Option<CommitId>) {
    put_id_option(out, id.as_ref().map(CommitId::object));
}

fn commit_option(reader: &mut Reader<'_>) -> Result<Option<CommitId>, FormatError> {
    Ok(reader.id_option()?.map(CommitId::new))
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};

    use super::{
        DEED_BLOCKS_MAX, DeedLogState, decode_deed_block, encode_deed_block, put_deed, read_deed,
    };
    use crate::base::limits::DEEDS_PER_BLOCK;
    use crate::format::bytes::Reader;
    use crate::model::{CommitId, Deed, DeedKind, ObjectId, Timestamp};

    fn any_commit() -> impl Strategy<Value = CommitId> {
        any::<[u8; 32]>().prop_map(|id| CommitId::new(ObjectId::from_bytes(id)))
    }

    /// Any deed.
    pub(crate) fn any_deed() -> impl Strategy<Value = Deed> {
        let some = || option::of(any_commit());
        let what = prop_oneof![
            Just(DeedKind::Commit),
            (any_commit(), any::<u64>(), some())
                .prop_map(|(commit, paths, saved)| DeedKind::Restore { commit, paths, saved }),
            (any::<u64>(), some()).prop_map(|(of, saved)| DeedKind::Undo { of, saved }),
            (".{0,20}", some(), some()).prop_map(|(name, from, to)| DeedKind::Tag {
                name,
                from,
                to
            }),
            any::<u64>().prop_map(|dropped| DeedKind::Collect { dropped }),
        ];
        let time = (any::<i64>(), 0..1_000_000_000_u32);
        (time, what, some(), some()).prop_map(|((secs, nanos), what, before, after)| Deed {
            time: Timestamp { secs, nanos },
            what,
            before,
            after,
        })
    }

    proptest! {
        #[test]
        fn any_deed_round_trips_and_no_part_of_it_decodes(deed in any_deed()) {
            let mut out = Vec::new();
            put_deed(&mut out, &deed);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(read_deed(&mut reader), Ok(deed));
            prop_assert_eq!(reader.finish(), Ok(()));
            for len in 0..out.len() {
                assert!(read_deed(&mut Reader::new(&out[..len])).is_err());
            }
        }

        #[test]
        fn blocks_and_logs_round_trip(
            deeds in vec(any_deed(), DEEDS_PER_BLOCK),
            first in 1..u64::MAX / 2,
            blocks in vec(any::<[u8; 32]>().prop_map(ObjectId::from_bytes), 0..=DEED_BLOCKS_MAX),
            recent in 0..DEEDS_PER_BLOCK,
        ) {
            let block = encode_deed_block(&deeds);
            prop_assert_eq!(decode_deed_block(&block), Ok(deeds.clone()));
            assert!(decode_deed_block(&encode_deed_block(&deeds[1..])).is_err());
            assert!(decode_deed_block(&[&block[..], &[0]].concat()).is_err());
            let log = DeedLogState { first, blocks, recent: deeds[..recent].to_vec() };
            let mut out = Vec::new();
            log.put(&mut out);
            prop_assert_eq!(DeedLogState::read(&mut Reader::new(&out)), Ok(log));
        }

        #[test]
        fn any_bytes_fail_cleanly(kind in 0..7_u8, bytes in vec(any::<u8>(), 0..300)) {
            let _ = DeedLogState::read(&mut Reader::new(&bytes));
            let _ = decode_deed_block(&[&b"vd\x01"[..], &bytes].concat());
            let _ = read_deed(&mut Reader::new(&[&[kind], &bytes[..]].concat()));
        }
    }

    #[test]
    fn a_log_that_is_too_long_is_refused() {
        let mut log = DeedLogState::default();
        let refused = |log: &DeedLogState| {
            let mut out = Vec::new();
            log.put(&mut out);
            DeedLogState::read(&mut Reader::new(&out)).is_err()
        };
        assert!(!refused(&log));
        log.blocks = vec![ObjectId::from_bytes([1; 32]); DEED_BLOCKS_MAX + 1];
        assert!(refused(&log));
        log.blocks.clear();
        let deed = Deed {
            time: Timestamp { secs: 0, nanos: 0 },
            what: DeedKind::Commit,
            before: None,
            after: None,
        };
        log.recent = vec![deed; DEEDS_PER_BLOCK];
        assert!(refused(&log));
        log = DeedLogState { first: 0, ..DeedLogState::default() };
        assert!(refused(&log));
    }
}
