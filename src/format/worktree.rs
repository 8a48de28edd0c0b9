//! The durable state of a worktree: what it knows beyond any commit.
//!
//! ```text
//! worktree = "vw" version:u8(5) root:id side:id? places:id? tags:id? head:id? next_ino:varint
//!            ctime:time age:varint segment:varint offset:varint seq:varint commits:varint sum:varint
//!            ignored:id? ignored_side:id? rules:varint log heads:varint id*
//!            atime:time?                       ("id?" is u8 0, or u8 1 and an id; "atime" is left
//!                                              out where there is none; the log is that of
//!                                              `format::deed`)
//! side     = "vs" version:u8(1) height:u8 item*
//! item     = ino:varint ctime:time links:varint has:u8 side:id? atime:time? age:varint?
//!                                              beside a leaf of a directory's tree; bits 0 to 2
//!                                              of "has" tell whether the last three follow
//! item     = child:id links:varint                 beside a node above
//! place    = names:varint (parent:varint name:string)* recorded:varint digest:id*
//! ```
//!
//! `age` is how many nanoseconds before the ctime an inode was made, counted modulo 2^64; in an
//! item it is left out where it is 0.
//!
//! `ignored` is the topmost node of a directory that has the ignored entries of all others, and
//! `ignored_side` what lies beside it: see `worktree::ignored`. `rules` counts the entries that
//! have the name of a file with rules.
//!
//! `segment`, `offset` and `seq` tell where in the journal the operations begin that the state does
//! not have: the number of the segment, which is there for as long as the state is the last one,
//! the offset in it, the number of the record. `commits`
//! and `sum` are the tally of the commits that had been listed when the state was written, those
//! that were dropped since among them: see `format::commit_log`. `heads` are those of the blocks
//! that tell who changed what since the head: see `format::provenance`.
//!
//! A side lies beside a node of a directory's tree and has as many items, in the same order.
//! `links` is the number of names of files that have several, at the entry or below it, and the
//! side of an entry is what lies beside the topmost node of a directory that is not empty. Places
//! are the values of a table whose keys are inode numbers (8 bytes, big-endian): where each
//! directory is, and each file that has several names, with the keys under which the committed
//! table of links has them. In the table of tags the keys are the names of tags and the values the
//! ids of commits.

use std::sync::Arc;

use super::bytes::{FormatError, Reader, put_id_option, put_string, put_time, put_varint};
use super::commit_log::Tally;
use super::deed::DeedLogState;
use super::journal::SEGMENT_HEADER_BYTES;
use super::provenance::{put_heads, read_heads};
use crate::base::limits::{INO_MAX, LINKS_MAX, NAME_BYTES_MAX};
use crate::model::{
    BirthTime, CommitId, Ino, MaybeTime, Name, NodeId, ObjectId, RootId, Timestamp,
};

const STATE_MAGIC: &[u8; 3] = b"vw\x05";
const SIDE_MAGIC: &[u8; 3] = b"vs\x01";

/// The durable state of a worktree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorktreeState {
    /// The tree.
    pub root: RootId,
    /// What lies beside the topmost node of the top directory.
    pub side: Option<ObjectId>,
    /// The table of places.
    pub places: Option<NodeId>,
    /// The table of tags.
    pub tags: Option<NodeId>,
    /// The directory with all that is ignored.
    pub ignored: Option<NodeId>,
    /// What lies beside the topmost node of that.
    pub ignored_side: Option<ObjectId>,
    /// How many entries have the name of a file with rules for what is ignored.
    pub rule_files: u64,
    /// The commit that the tree stands on.
    pub head: Option<CommitId>,
    /// The next inode number to give.
    pub next_ino: u64,
    /// When the top directory last changed.
    pub ctime: Timestamp,
    /// When it was made.
    pub born: BirthTime,
    /// When it was last read, if that was set.
    pub atime: Option<Timestamp>,
    /// Where the operations begin that it does not have.
    pub journal: JournalPosition,
    /// The commits that had ever been listed, all of them whole.
    pub commits: Tally,
    /// What was done to it.
    pub log: DeedLogState,
    /// The blocks that tell who changed what since the head, and what they follow.
    pub changes_by: Vec<ObjectId>,
}

/// A place in the journal: before a record, or at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalPosition {
    /// The number of the segment.
    pub segment: u64,
    /// Where in the segment, in bytes.
    pub offset: u64,
    /// The number of the record.
    pub seq: u64,
}

impl JournalPosition {
    /// The segment that it is in, which must be there. `None` if it is that of no state: there may
    /// be no journal yet.
    pub fn named(&self) -> Option<u64> {
        (*self != Self::default()).then_some(self.segment)
    }

    /// Where in a segment, which is this one or comes later, the records behind it begin.
    pub fn start_in(&self, segment: u64) -> u64 {
        let offset = if self.segment == segment { self.offset } else { 0 };
        offset.max(SEGMENT_HEADER_BYTES as u64)
    }
}

impl WorktreeState {
    /// Encodes the state.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = STATE_MAGIC.to_vec();
        out.extend_from_slice(self.root.object().as_bytes());
        put_id_option(&mut out, self.side.as_ref());
        put_id_option(&mut out, self.places.as_ref().map(NodeId::object));
        put_id_option(&mut out, self.tags.as_ref().map(NodeId::object));
        put_id_option(&mut out, self.head.as_ref().map(CommitId::object));
        put_varint(&mut out, self.next_ino);
        put_time(&mut out, self.ctime);
        put_varint(&mut out, self.born.age_at(self.ctime));
        let JournalPosition { segment, offset, seq } = self.journal;
        let Tally { count, sum } = self.commits;
        for number in [segment, offset, seq, count, sum.into()] {
            put_varint(&mut out, number);
        }
        put_id_option(&mut out, self.ignored.as_ref().map(NodeId::object));
        put_id_option(&mut out, self.ignored_side.as_ref());
        put_varint(&mut out, self.rule_files);
        self.log.put(&mut out);
        put_heads(&mut out, &self.changes_by);
        if let Some(atime) = self.atime {
            put_time(&mut out, atime);
        }
        out
    }

    /// Decodes a state.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        reader.expect(STATE_MAGIC, "not the state of a worktree in a known version")?;
        let root = RootId::new(reader.id()?);
        let side = reader.id_option()?;
        let places = reader.id_option()?.map(NodeId::new);
        let tags = reader.id_option()?.map(NodeId::new);
        let head = reader.id_option()?.map(CommitId::new);
        let (next_ino, ctime) = (reader.varint()?, reader.time()?);
        let mut state = Self {
            root,
            side,
            places,
            tags,
            head,
            next_ino,
            ctime,
            born: BirthTime::from_age(reader.varint()?, ctime),
            atime: None,
            journal: JournalPosition {
                segment: reader.varint()?,
                offset: reader.varint()?,
                seq: reader.varint()?,
            },
            commits: Tally { count: reader.varint()?, sum: reader.varint_u32()? },
            ignored: reader.id_option()?.map(NodeId::new),
            ignored_side: reader.id_option()?,
            rule_files: reader.varint()?,
            log: DeedLogState::read(&mut reader)?,
            changes_by: read_heads(&mut reader)?,
        };
        if !reader.is_at_end() {
            state.atime = Some(reader.time()?);
        }
        if state.next_ino <= Ino::ROOT.0 || state.next_ino > INO_MAX {
            return Err(reader.error("the next inode number is impossible"));
        }
        reader.finish()?;
        Ok(state)
    }
}

/// Writes the header of a side.
pub fn put_side_header(out: &mut Vec<u8>, height: u8) {
    out.extend_from_slice(SIDE_MAGIC);
    out.push(height);
}

/// Begins to read a side, which must be of this height.
pub fn open_side(bytes: &[u8], height: u8) -> Result<Reader<'_>, FormatError> {
    let mut reader = Reader::new(bytes);
    reader.expect(SIDE_MAGIC, "not a side of a known version")?;
    if reader.u8()? != height {
        return Err(reader.error("a side does not fit its node"));
    }
    Ok(reader)
}

/// What a worktree knows of an entry beyond the commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SideRecord {
    /// Its inode number.
    pub ino: u64,
    /// When the inode last changed.
    pub ctime: Timestamp,
    /// When the inode was made.
    pub born: BirthTime,
    /// When it was last read, if that was set.
    pub atime: MaybeTime,
    /// Names at or below the entry that share their file with others.
    pub links: u32,
    /// For a directory that is not empty: what lies beside the topmost node of its tree.
    pub side: Option<Arc<ObjectId>>,
}

impl SideRecord {
    /// Writes a record.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.ino);
        put_time(out, self.ctime);
        put_varint(out, u64::from(self.links));
        let age = self.born.age_at(self.ctime);
        let has = [self.side.is_some(), self.atime.get().is_some(), age != 0];
        out.push((0..).zip(has).map(|(bit, has)| u8::from(has) << bit).sum());
        if let Some(side) = &self.side {
            out.extend_from_slice(side.as_bytes());
        }
        if let Some(atime) = self.atime.get() {
            put_time(out, atime);
        }
        if age != 0 {
            put_varint(out, age);
        }
    }

    /// Reads a record.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let (ino, ctime) = (reader.varint()?, reader.time()?);
        let links = reader.varint_u32()?;
        let has = reader.u8()?;
        if has > 0b111 {
            return Err(reader.error("an unknown part of a side"));
        }
        let side = (has & 1 != 0).then(|| reader.id()).transpose()?.map(Arc::new);
        let atime = (has & 2 != 0).then(|| reader.time()).transpose()?.into();
        let age = (has & 4 != 0).then(|| reader.varint()).transpose()?;
        if age == Some(0) {
            return Err(reader.error("an age that is told for nothing"));
        }
        let born = BirthTime::from_age(age.unwrap_or(0), ctime);
        Ok(Self { ino, ctime, born, atime, links, side })
    }
}

/// Where an inode is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Its names, with the directories that they are in.
    pub names: Vec<(Ino, Name)>,
    /// The keys under which the table of links of the last commit has them.
    pub recorded: Vec<ObjectId>,
}

impl Place {
    /// Encodes a place.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.names.len() as u64);
        for (parent, name) in &self.names {
            put_varint(&mut out, parent.0);
            put_string(&mut out, name.as_bytes());
        }
        put_varint(&mut out, self.recorded.len() as u64);
        for digest in &self.recorded {
            out.extend_from_slice(digest.as_bytes());
        }
        out
    }

    /// Decodes a place.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        let mut place = Self::default();
        for _ in 0..count(&mut reader)? {
            let parent = Ino(reader.varint()?);
            let name = Name::new(reader.string(NAME_BYTES_MAX)?);
            let name = name.map_err(|_| reader.error("not a name"))?;
            place.names.push((parent, name));
        }
        for _ in 0..count(&mut reader)? {
            place.recorded.push(reader.id()?);
        }
        reader.finish()?;
        Ok(place)
    }
}

fn count(reader: &mut Reader<'_>) -> Result<u64, FormatError> {
    let count = reader.varint()?;
    if count > LINKS_MAX as u64 {
        return Err(reader.error("a file has too many names"));
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::{JournalPosition, SideRecord, WorktreeState};
    use crate::base::limits::PROVENANCE_HEADS_MAX;
    use crate::format::bytes::Reader;
    use crate::format::commit_log::Tally;
    use crate::format::deed::DeedLogState;
    use crate::model::{BirthTime, CommitId, Deed, DeedKind, NodeId, ObjectId, RootId, Timestamp};

    #[test]
    fn a_state_round_trips_and_no_part_of_it_decodes() {
        let deed = Deed {
            time: Timestamp { secs: 8, nanos: 9 },
            what: DeedKind::Commit,
            before: None,
            after: Some(CommitId::new(ObjectId::from_bytes([7; 32]))),
        };
        let id = |byte| ObjectId::from_bytes([byte; 32]);
        for atime in [None, Some(Timestamp { secs: -1, nanos: 3 })] {
            let mut state = WorktreeState {
                root: RootId::new(id(1)),
                side: Some(id(2)),
                places: None,
                tags: Some(NodeId::new(id(3))),
                head: Some(CommitId::new(id(4))),
                next_ino: 9,
                ctime: Timestamp { secs: 1, nanos: 2 },
                born: BirthTime(700),
                atime,
                journal: JournalPosition { segment: 3, offset: 400, seq: 5 },
                commits: Tally { count: 6, sum: 7 },
                ignored: Some(NodeId::new(id(6))),
                ignored_side: Some(id(7)),
                rule_files: 300,
                log: DeedLogState { first: 33, blocks: vec![id(5)], recent: vec![deed.clone(); 3] },
                changes_by: vec![id(6); PROVENANCE_HEADS_MAX],
            };
            let bytes = state.encode();
            for len in 0..bytes.len() {
                let part = WorktreeState::decode(&bytes[..len]);
                // Without the time of the last reading it is the state of a tree that was not read.
                let unread = WorktreeState { atime: None, ..state.clone() };
                assert!(part.is_err() || part == Ok(unread), "{len}");
            }
            assert_eq!(WorktreeState::decode(&bytes), Ok(state.clone()));
            state.changes_by.push(id(7));
            assert!(WorktreeState::decode(&state.encode()).is_err());
        }
    }

    #[test]
    fn what_lies_beside_an_entry_round_trips_and_a_birth_at_the_last_change_takes_nothing() {
        let ctime = Timestamp { secs: 1_700_000_000, nanos: 2 };
        let now = BirthTime::from(ctime);
        let encode = |record: &SideRecord| {
            let mut out = Vec::new();
            record.put(&mut out);
            out
        };
        let record = |born, atime: Option<Timestamp>| {
            let side = Some(ObjectId::from_bytes([9; 32]).into());
            SideRecord { ino: 300, ctime, born, atime: atime.into(), links: 7, side }
        };
        let unborn = encode(&record(now, None)).len();
        for (born, more) in
            [(now, 0), (BirthTime(now.0 - 1000), 2), (BirthTime(now.0 + 1), 10), (BirthTime(0), 9)]
        {
            for (atime, time_bytes) in [(None, 0), (Some(ctime), 12)] {
                let record = record(born, atime);
                let bytes = encode(&record);
                assert_eq!(bytes.len(), unborn + more + time_bytes, "{born:?}");
                assert_eq!(SideRecord::read(&mut Reader::new(&bytes)), Ok(record));
                for len in 0..bytes.len() {
                    assert!(SideRecord::read(&mut Reader::new(&bytes[..len])).is_err(), "{len}");
                }
            }
        }
    }
}
