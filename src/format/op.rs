//! Operations as the journal writes them.
//!
//! ```text
//! op       = kind:u8 time, then as the kind says: names and values are strings, the rest is
//!            varints unless it says otherwise
//! 1 create       parent name ino node         node = kind:u8 perm uid gid rdev target:string
//!                                             (kind as in `format::entry`; perm at most 0o7777)
//! 2 link         ino at parent name
//! 3 unlink       parent name
//! 4 rmdir        parent name
//! 5 rename       parent name new_parent new_name mode:u8    0 replace, 1 no replace, 2 exchange
//! 6 write        ino at offset length flags:u8              bit 0: clears privileges
//! 7 truncate     ino at size flags:u8                       bit 0: clears privileges
//! 8 zero         ino at offset length flags:u8              bit 0: extends the file, bit 1: clears
//!                                                           privileges
//! 9 set attr     ino at fields:u8 perm? uid? gid? mtime:time? atime:time?
//!                                                           bits 0-4 tell which follow
//! 10 set xattr   ino at name value
//! 11 drop xattr  ino at name
//! 12 adopt       parent name ino entry        entry as in a node of a directory's tree
//! 13 revert      ino at entry
//! 14 drop orphan ino                         the time is 0
//! 15 create without a name
//!                ino node
//! at       = 0:u8 | 1:u8 parent name
//! ```
//!
//! `ino`, `parent` and `new_parent` are at least 1, the top directory. Flags are 0 or 1.
//!
//! `at` is a name of the inode before the operation: who replays it may know inodes by their places
//! alone. That of a file without a name has the largest number as its parent. The bytes of a write
//! are not among these, but follow as payload.

use std::sync::Arc;

use super::bytes::{FormatError, Reader, put_string, put_time, put_varint};
use super::entry::{KINDS, put_entry, read_entry};
use crate::base::limits::{
    INO_MAX, NAME_BYTES_MAX, SYMLINK_BYTES_MAX, XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX,
};
use crate::model::{Ino, Name, NewNode, Op, RenameMode, SetAttr, Timestamp};

/// An operation, and where its inode was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocatedOp {
    /// The place, before the operation, of the inode that it tells by its number, if that has one.
    pub at: Option<(Ino, Name)>,
    /// The operation.
    pub op: Op,
}

/// The inode that an operation tells by its number alone.
pub fn subject(op: &Op) -> Option<Ino> {
    match op {
        Op::Link { ino, .. }
        | Op::Write { ino, .. }
        | Op::Truncate { ino, .. }
        | Op::Zero { ino, .. }
        | Op::SetAttr { ino, .. }
        | Op::SetXattr { ino, .. }
        | Op::RemoveXattr { ino, .. }
        | Op::Revert { ino, .. }
        | Op::DropOrphan { ino } => Some(*ino),
        Op::Create { .. }
        | Op::CreateNameless { .. }
        | Op::Unlink { .. }
        | Op::Rmdir { .. }
        | Op::Rename { .. }
        | Op::Adopt { .. } => None,
    }
}

/// Writes an operation, but for the bytes that a write has.
pub fn put_op(out: &mut Vec<u8>, at: Option<(Ino, &Name)>, op: &Op) {
    match op {
        Op::Create { parent, name, ino, node, time } => {
            begin(out, 1, *time);
            put_place(out, *parent, name);
            put_varint(out, ino.0);
            put_node(out, node);
        }
        Op::Link { ino, parent, name, time } => {
            begin(out, 2, *time);
            put_inode(out, *ino, at);
            put_place(out, *parent, name);
        }
        Op::Unlink { parent, name, time } => {
            begin(out, 3, *time);
            put_place(out, *parent, name);
        }
        Op::Rmdir { parent, name, time } => {
            begin(out, 4, *time);
            put_place(out, *parent, name);
        }
        Op::Rename { parent, name, new_parent, new_name, mode, time } => {
            begin(out, 5, *time);
            put_place(out, *parent, name);
            put_place(out, *new_parent, new_name);
            out.push(match mode {
                RenameMode::Replace => 0,
                RenameMode::NoReplace => 1,
                RenameMode::Exchange => 2,
            });
        }
        Op::Write { ino, offset, data, kill_priv, time } => {
            begin(out, 6, *time);
            put_inode(out, *ino, at);
            put_varint(out, *offset);
            put_varint(out, data.len() as u64);
            out.push(u8::from(*kill_priv));
        }
        Op::Truncate { ino, size, kill_priv, time } => {
            begin(out, 7, *time);
            put_inode(out, *ino, at);
            put_varint(out, *size);
            out.push(u8::from(*kill_priv));
        }
        Op::Zero { ino, offset, len, extend, kill_priv, time } => {
            begin(out, 8, *time);
            put_inode(out, *ino, at);
            put_varint(out, *offset);
            put_varint(out, *len);
            out.push(u8::from(*extend) | u8::from(*kill_priv) << 1);
        }
        Op::SetAttr { ino, set, time } => {
            begin(out, 9, *time);
            put_inode(out, *ino, at);
            put_set_attr(out, set);
        }
        Op::SetXattr { ino, name, value, time } => {
            begin(out, 10, *time);
            put_inode(out, *ino, at);
            put_string(out, name);
            put_string(out, value);
        }
        Op::RemoveXattr { ino, name, time } => {
            begin(out, 11, *time);
            put_inode(out, *ino, at);
            put_string(out, name);
        }
        Op::Adopt { parent, name, ino, entry, time } => {
            begin(out, 12, *time);
            put_place(out, *parent, name);
            put_varint(out, ino.0);
            put_entry(out, entry);
        }
        Op::Revert { ino, entry, time } => {
            begin(out, 13, *time);
            put_inode(out, *ino, at);
            put_entry(out, entry);
        }
        Op::DropOrphan { ino } => {
            begin(out, 14, Timestamp { secs: 0, nanos: 0 });
            put_varint(out, ino.0);
        }
        Op::CreateNameless { ino, node, time } => {
            begin(out, 15, *time);
            put_varint(out, ino.0);
            put_node(out, node);
        }
    }
}

/// Reads an operation. What a write has to write is taken from the start of `payload`.
pub fn read_op(reader: &mut Reader<'_>, payload: &mut &[u8]) -> Result<LocatedOp, FormatError> {
    let kind = reader.u8()?;
    let time = reader.time()?;
    let mut at = None;
    let op = match kind {
        1 => {
            let (parent, name) = read_place(reader)?;
            let ino = read_ino(reader)?;
            Op::Create { parent, name, ino, node: read_node(reader)?, time }
        }
        2 => {
            let ino = read_inode(reader, &mut at)?;
            let (parent, name) = read_place(reader)?;
            Op::Link { ino, parent, name, time }
        }
        3 => {
            let (parent, name) = read_place(reader)?;
            Op::Unlink { parent, name, time }
        }
        4 => {
            let (parent, name) = read_place(reader)?;
            Op::Rmdir { parent, name, time }
        }
        5 => {
            let (parent, name) = read_place(reader)?;
            let (new_parent, new_name) = read_place(reader)?;
            let mode = match reader.u8()? {
                0 => RenameMode::Replace,
                1 => RenameMode::NoReplace,
                2 => RenameMode::Exchange,
                _ => return Err(reader.error("an unknown mode of rename")),
            };
            Op::Rename { parent, name, new_parent, new_name, mode, time }
        }
        6 => {
            let ino = read_inode(reader, &mut at)?;
            let (offset, len) = (reader.varint()?, reader.varint()?);
            let kill_priv = read_flag(reader)?;
            let taken = usize::try_from(len).ok().and_then(|len| payload.split_at_checked(len));
            let (data, rest) = taken.ok_or_else(|| reader.error("the payload is too short"))?;
            *payload = rest;
            Op::Write { ino, offset, data: Arc::from(data), kill_priv, time }
        }
        7 => {
            let ino = read_inode(reader, &mut at)?;
            let size = reader.varint()?;
            Op::Truncate { ino, size, kill_priv: read_flag(reader)?, time }
        }
        8 => {
            let ino = read_inode(reader, &mut at)?;
            let (offset, len) = (reader.varint()?, reader.varint()?);
            let flags = reader.u8()?;
            if flags > 0b11 {
                return Err(reader.error("an unknown flag"));
            }
            let (extend, kill_priv) = (flags & 1 != 0, flags & 2 != 0);
            Op::Zero { ino, offset, len, extend, kill_priv, time }
        }
        9 => {
            let ino = read_inode(reader, &mut at)?;
            Op::SetAttr { ino, set: read_set_attr(reader)?, time }
        }
        10 => {
            let ino = read_inode(reader, &mut at)?;
            let name = reader.string(XATTR_NAME_BYTES_MAX)?.into();
            let value = reader.string(XATTR_VALUE_BYTES_MAX)?.into();
            Op::SetXattr { ino, name, value, time }
        }
        11 => {
            let ino = read_inode(reader, &mut at)?;
            Op::RemoveXattr { ino, name: reader.string(XATTR_NAME_BYTES_MAX)?.into(), time }
        }
        12 => {
            let (parent, name) = read_place(reader)?;
            let ino = read_ino(reader)?;
            Op::Adopt { parent, name, ino, entry: read_entry(reader)?, time }
        }
        13 => {
            let ino = read_inode(reader, &mut at)?;
            Op::Revert { ino, entry: read_entry(reader)?, time }
        }
        14 => Op::DropOrphan { ino: read_ino(reader)? },
        15 => Op::CreateNameless { ino: read_ino(reader)?, node: read_node(reader)?, time },
        _ => return Err(reader.error("an unknown kind of operation")),
    };
    Ok(LocatedOp { at, op })
}

fn begin(out: &mut Vec<u8>, kind: u8, time: Timestamp) {
    out.push(kind);
    put_time(out, time);
}

fn put_place(out: &mut Vec<u8>, parent: Ino, name: &Name) {
    put_varint(out, parent.0);
    put_string(out, name.as_bytes());
}

fn read_place(reader: &mut Reader<'_>) -> Result<(Ino, Name), FormatError> {
    let parent = read_ino(reader)?;
    let name = Name::new(reader.string(NAME_BYTES_MAX)?);
    Ok((parent, name.map_err(|_| reader.error("not a name"))?))
}

fn put_inode(out: &mut Vec<u8>, ino: Ino, at: Option<(Ino, &Name)>) {
    put_varint(out, ino.0);
    out.push(u8::from(at.is_some()));
    if let Some((parent, name)) = at {
        put_place(out, parent, name);
    }
}

fn read_inode(reader: &mut Reader<'_>, at: &mut Option<(Ino, Name)>) -> Result<Ino, FormatError> {
    let ino = read_ino(reader)?;
    if read_flag(reader)? {
        *at = Some(read_place(reader)?);
    }
    Ok(ino)
}

fn read_ino(reader: &mut Reader<'_>) -> Result<Ino, FormatError> {
    match reader.varint()? {
        ino if (Ino::ROOT.0..=INO_MAX).contains(&ino) => Ok(Ino(ino)),
        _ => Err(reader.error("an impossible inode number")),
    }
}

fn read_flag(reader: &mut Reader<'_>) -> Result<bool, FormatError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(reader.error("neither yes nor no")),
    }
}

fn put_node(out: &mut Vec<u8>, node: &NewNode) {
    let NewNode { kind, perm, uid, gid, rdev, target } = node;
    out.push(*kind as u8);
    for number in [u32::from(*perm), *uid, *gid, *rdev] {
        put_varint(out, u64::from(number));
    }
    put_string(out, target);
}

fn read_node(reader: &mut Reader<'_>) -> Result<NewNode, FormatError> {
    let kind = KINDS.get(usize::from(reader.u8()?)).copied();
    Ok(NewNode {
        kind: kind.ok_or_else(|| reader.error("an unknown kind of file"))?,
        perm: read_perm(reader)?,
        uid: reader.varint_u32()?,
        gid: reader.varint_u32()?,
        rdev: reader.varint_u32()?,
        target: reader.string(SYMLINK_BYTES_MAX)?.into(),
    })
}

fn read_perm(reader: &mut Reader<'_>) -> Result<u16, FormatError> {
    let perm = reader.varint()?;
    u16::try_from(perm)
        .ok()
        .filter(|perm| *perm <= 0o7777)
        .ok_or_else(|| reader.error("not a mode"))
}

fn put_set_attr(out: &mut Vec<u8>, set: &SetAttr) {
    let SetAttr { perm, uid, gid, mtime, atime } = set;
    let told = [perm.is_some(), uid.is_some(), gid.is_some(), mtime.is_some(), atime.is_some()];
    out.push((0..).zip(told).map(|(bit, told)| u8::from(told) << bit).sum());
    for number in [perm.map(u32::from), *uid, *gid].into_iter().flatten() {
        put_varint(out, u64::from(number));
    }
    for time in [mtime, atime].into_iter().flatten() {
        put_time(out, *time);
    }
}

fn read_set_attr(reader: &mut Reader<'_>) -> Result<SetAttr, FormatError> {
    let told = reader.u8()?;
    if told > 0b1_1111 {
        return Err(reader.error("an unknown attribute"));
    }
    let is_told = |bit: u8| told & (1 << bit) != 0;
    Ok(SetAttr {
        perm: is_told(0).then(|| read_perm(reader)).transpose()?,
        uid: is_told(1).then(|| reader.varint_u32()).transpose()?,
        gid: is_told(2).then(|| reader.varint_u32()).transpose()?,
        mtime: is_told(3).then(|| reader.time()).transpose()?,
        atime: is_told(4).then(|| reader.time()).transpose()?,
    })
}
