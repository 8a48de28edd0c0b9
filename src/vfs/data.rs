//! The content of files of the live tree.

use std::sync::Arc;

use rustix::io::Errno;

use super::types::{Answer, live, of_object, of_repo};
use super::{Caller, Vfs, WriteHow};
use crate::model::{Op, Timestamp, Writer};
use crate::worktree::File;

/// `fallocate`: the size stays.
const KEEP_SIZE: i32 = 0x01;
/// `fallocate`: the range becomes a hole.
const PUNCH_HOLE: i32 = 0x02;
/// `fallocate`: the range becomes zeros.
const ZERO_RANGE: i32 = 0x10;
const SEEK_DATA: i32 = 3;
const SEEK_HOLE: i32 = 4;

impl Vfs {
    pub(super) fn live_release(&self, ino: u64) {
        if let Some(repo) = &self.live {
            repo.closed(live(ino));
        }
    }

    pub(super) fn live_read(
        &self,
        ino: u64,
        offset: u64,
        len: usize,
        buf: &mut Vec<u8>,
    ) -> Answer<()> {
        let inode = self.inode(ino)?;
        let file = inode.file().ok_or(Errno::ISDIR)?;
        buf.resize(len, 0);
        let read = file.read(offset, buf, self.source()).map_err(|e| of_object(&e))?;
        buf.truncate(read);
        Ok(())
    }

    pub(super) fn live_write(
        &self,
        caller: Caller,
        ino: u64,
        (asked, data): (u64, &[u8]),
        WriteHow { kill_priv, append, mapped }: WriteHow,
    ) -> Answer<()> {
        let repo = self.repo()?;
        repo.relieve().map_err(|e| of_repo(&e))?;
        // The kernel lets nobody else write the file meanwhile.
        let offset = match append && self.resized.contains(ino) {
            true => self.inode(ino)?.size(),
            false => asked,
        };
        let data = Arc::from(data);
        let op = Op::Write { ino: live(ino), offset, data, kill_priv, time: Timestamp::now() };
        let writer = if mapped { self.mappers.writer(ino) } else { Some(caller.writer()) };
        self.apply_to_content(writer.as_ref(), ino, &op, kill_priv)?;
        if offset != asked
            && let Some(notify) = self.notify.get()
        {
            // The kernel keeps what was written at the place that it asked for. Not waited for: it
            // holds these pages until it has the answer.
            notify.inode_changed(live(ino));
        }
        Ok(())
    }

    /// Applies an operation on the content of a file. Where it takes privileges away from the
    /// file, the kernel is told, which otherwise believes that the mode is what it was.
    fn apply_to_content(
        &self,
        writer: Option<&Arc<Writer>>,
        ino: u64,
        op: &Op,
        kill_priv: bool,
    ) -> Answer<()> {
        let perm = || self.inode(ino).map(|inode| inode.meta.perm);
        let before = if kill_priv { Some(perm()?) } else { None };
        self.repo()?.apply_by(writer, op).map_err(|e| of_repo(&e))?;
        if let (Some(before), Some(notify)) = (before, self.notify.get())
            && perm()? != before
        {
            notify.attributes_changed(live(ino));
        }
        Ok(())
    }

    pub(super) fn live_fallocate(
        &self,
        caller: Caller,
        ino: u64,
        (offset, len): (u64, u64),
        mode: i32,
    ) -> Answer<()> {
        let end = offset.checked_add(len).ok_or(Errno::FBIG)?;
        let keep_size = mode & KEEP_SIZE != 0;
        let (offset, len) = match mode & !KEEP_SIZE {
            PUNCH_HOLE if keep_size => (offset, len),
            ZERO_RANGE => (offset, len),
            // Room is not set aside: it is taken when the content is stored. What is left to do
            // is to let the file reach to the end of the range.
            0 => (end, 0),
            _ => return Err(Errno::OPNOTSUPP),
        };
        let (extend, kill_priv) = (!keep_size, caller.uid != 0);
        let time = Timestamp::now();
        let op = Op::Zero { ino: live(ino), offset, len, extend, kill_priv, time };
        self.apply_to_content(Some(&caller.writer()), ino, &op, kill_priv)
    }

    /// Finds data or holes.
    pub(super) fn seek(&self, file: &File, offset: i64, whence: i32) -> Answer<u64> {
        let offset = u64::try_from(offset).map_err(|_| Errno::NXIO)?;
        let found = match whence {
            SEEK_DATA => file.next_data(offset, self.source()),
            SEEK_HOLE => file.next_hole(offset, self.source()),
            _ => return Err(Errno::INVAL),
        };
        found.map_err(|e| of_object(&e))?.ok_or(Errno::NXIO)
    }

    /// Makes everything durable that was done before the call, on any file.
    pub(super) fn live_fsync(&self) -> Answer<()> {
        self.repo()?.sync().map_err(|e| of_repo(&e))
    }
}
