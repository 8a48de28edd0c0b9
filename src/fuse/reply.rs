//! Answering: from what a call of `vfs` ended with to what `fuser` sends.

use fuser::{Errno, Generation, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyXattr};

use super::{beside, convert, guard};
use crate::vfs::{Answer, EntryOut};

/// Inode numbers are never given twice, so one generation does.
pub(super) const GENERATION: Generation = Generation(0);

/// Runs a request; see [`guard::guard`] and [`beside::answer`].
pub(super) fn guard<T>(what: &str, mut run: impl FnMut() -> Answer<T>) -> Result<T, Errno> {
    beside::answer(|| guard::guard(what, &mut run)).map_err(convert::errno)
}

pub(super) fn reply_entry(reply: ReplyEntry, result: Result<EntryOut, Errno>) {
    match result {
        Ok(out) => reply.entry(&convert::ttl(out.ttl), &convert::attr(&out.attr), GENERATION),
        Err(errno) => reply.error(errno),
    }
}

pub(super) fn reply_attr(reply: ReplyAttr, result: Result<EntryOut, Errno>) {
    match result {
        Ok(out) => reply.attr(&convert::ttl(out.ttl), &convert::attr(&out.attr)),
        Err(errno) => reply.error(errno),
    }
}

pub(super) fn reply_empty(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

pub(super) fn reply_data(reply: ReplyData, result: Result<Vec<u8>, Errno>) {
    match result {
        Ok(data) => reply.data(&data),
        Err(errno) => reply.error(errno),
    }
}

pub(super) fn reply_xattr(reply: ReplyXattr, size: u32, result: Result<Vec<u8>, Errno>) {
    match result {
        // Values are bounded far below 4 GiB.
        Ok(value) if size == 0 => reply.size(value.len() as u32),
        Ok(value) if value.len() > size as usize => reply.error(Errno::ERANGE),
        Ok(value) => reply.data(&value),
        Err(errno) => reply.error(errno),
    }
}
