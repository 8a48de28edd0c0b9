//! Layer 5: a filesystem as calls. It takes and gives plain values and knows no FUSE, so that it
//! can be tested without a mount and spoken to by any transport.
//!
//! Three kinds of things are in it, told apart by their inode numbers: the live tree, whose
//! numbers are its own; the control files of `.vst`; and the commits under `.snapshots`. A
//! filesystem of one commit has that commit's tree in place of the live one.
//!
//! Locks: see `repo`; the tables of handles and references are leaves and are never held while
//! anything else is called.

pub mod acl;
mod announce;
mod caller;
mod collect;
mod control;
mod data;
pub mod deeds;
mod directories;
mod handles;
mod live;
mod snapshot_list;
mod snapshots;
pub mod stats;
pub mod text;
mod types;
mod writers;
mod xattr;

use std::sync::{Arc, OnceLock};

use rustix::io::Errno;

use crate::format::commit_log::CommitRecord;
use crate::model::{CommitId, FileKind, Ino, ObjectSource, RenameMode, RootId, Timestamp};
use crate::repo::{History, Repo, RepoError};
use collect::Collector;
use control::ControlFile;
use handles::{Handles, Lookups, OpenDirectory, Resized};
use snapshots::Snapshots;
use writers::Mappers;

pub use announce::Notify;
pub use caller::Caller;
pub use control::is_reserved;
pub use types::{
    Answer, Attr, DirRow, EntryOut, LookupOut, OpenFlags, OpenOut, SetAttrIn, StatfsOut, Ttl,
    WriteHow,
};

/// A filesystem.
pub struct Vfs {
    live: Option<Arc<Repo>>,
    history: History,
    /// User and group that the control files belong to.
    owner: (u32, u32),
    mounted: Timestamp,
    lookups: Lookups,
    snapshots: Snapshots,
    directories: Handles<OpenDirectory>,
    controls: Handles<ControlFile>,
    resized: Resized,
    mappers: Mappers,
    collector: Collector,
    notify: OnceLock<Arc<dyn Notify>>,
    /// How requests come, for those who ask.
    transport: OnceLock<&'static str>,
}

/// What an inode number is the number of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Realm {
    Live,
    Control,
    Snapshot,
}

impl Vfs {
    /// The filesystem of a working tree, whose control files belong to this user and group.
    pub fn live(repo: Arc<Repo>, owner: (u32, u32)) -> Self {
        Self::new(Some(repo.clone()), repo.history().clone(), owner, Snapshots::default())
    }

    /// The filesystem of one committed tree, which cannot be changed.
    pub fn committed(history: History, root: RootId, owner: (u32, u32)) -> Self {
        Self::new(None, history, owner, Snapshots::with_top(root))
    }

    fn new(
        live: Option<Arc<Repo>>,
        history: History,
        owner: (u32, u32),
        snapshots: Snapshots,
    ) -> Self {
        Self {
            live,
            history,
            owner,
            mounted: Timestamp::now(),
            lookups: Lookups::default(),
            snapshots,
            directories: Handles::default(),
            controls: Handles::default(),
            resized: Resized::default(),
            mappers: Mappers::default(),
            collector: Collector::default(),
            notify: OnceLock::new(),
            transport: OnceLock::new(),
        }
    }

    /// Sets who is told of changes behind the kernel's back. Counts once.
    pub fn set_notify(&self, notify: Arc<dyn Notify>) {
        if let Some(repo) = &self.live {
            let notify = Arc::clone(&notify);
            repo.set_on_drop(move |commits| snapshots::announce_dropped(&*notify, commits));
        }
        let _ = self.notify.set(notify);
    }

    /// Sets what the statistics call the way that requests come. Counts once.
    pub fn set_transport(&self, name: &'static str) {
        let _ = self.transport.set(name);
    }

    /// The commits, every one that was made so far.
    fn history(&self) -> Result<&History, RepoError> {
        match &self.live {
            Some(repo) => repo.write_commits()?,
            None => self.history.store().commits().refresh()?,
        }
        Ok(&self.history)
    }

    fn newest(&self) -> Option<CommitRecord> {
        self.live.as_ref().map_or_else(|| self.history.newest(), |repo| repo.newest())
    }

    fn source(&self) -> &dyn ObjectSource {
        self.history.source()
    }

    fn head(&self) -> Option<CommitId> {
        match &self.live {
            Some(repo) => repo.head(),
            None => self.history.head().ok().flatten(),
        }
    }

    fn realm(&self, ino: u64) -> Realm {
        if ino & snapshots::INO_BIT != 0 {
            Realm::Snapshot
        } else if ino & control::INO_BIT != 0 {
            Realm::Control
        } else if self.live.is_some() {
            Realm::Live
        } else {
            Realm::Snapshot
        }
    }

    /// Refuses to change what cannot be changed.
    fn writable(&self, ino: u64) -> Answer<()> {
        match self.realm(ino) {
            Realm::Live => Ok(()),
            Realm::Control => Err(Errno::PERM),
            Realm::Snapshot => Err(Errno::ROFS),
        }
    }

    /// Finds a name in a directory. The kernel holds what is found until it forgets it.
    pub fn lookup(&self, parent: u64, name: &[u8]) -> Answer<LookupOut> {
        if parent == Ino::ROOT.0 {
            match name {
                control::NAME => return self.control_top().map(LookupOut::Found),
                snapshots::NAME => return Ok(LookupOut::Found(self.snapshots_top())),
                _ => {}
            }
        }
        match self.realm(parent) {
            Realm::Live => self.live_lookup(parent, name),
            Realm::Control => self.control_lookup(parent, name),
            Realm::Snapshot => self.snapshot_lookup(parent, name),
        }
    }

    /// Takes references away that look-ups gave.
    pub fn forget(&self, ino: u64, count: u64) {
        match self.realm(ino) {
            Realm::Live => self.live_forget(ino, count),
            Realm::Control => {}
            Realm::Snapshot => self.snapshots.forget(ino, count),
        }
    }

    /// Tells what `stat` wants to know.
    pub fn getattr(&self, ino: u64) -> Answer<EntryOut> {
        match self.realm(ino) {
            Realm::Live => Ok(EntryOut { attr: self.live_attr(ino)?, ttl: Ttl::Forever }),
            Realm::Control => self.control_attr(ino),
            Realm::Snapshot => self.snapshot_attr(ino),
        }
    }

    /// Changes attributes. A change of the time of `.vst/commit` makes a commit.
    pub fn setattr(&self, caller: Caller, ino: u64, set: SetAttrIn) -> Answer<EntryOut> {
        match self.realm(ino) {
            Realm::Live => {
                let attr = self.live_setattr(caller, ino, set)?;
                return Ok(EntryOut { attr, ttl: Ttl::Forever });
            }
            Realm::Control if set.perm.is_some() || set.uid.is_some() || set.gid.is_some() => {
                return Err(Errno::PERM);
            }
            Realm::Control if set.mtime.is_some() => self.control_touch(ino)?,
            Realm::Control => {}
            Realm::Snapshot => return Err(Errno::ROFS),
        }
        self.control_attr(ino)
    }

    /// Reads the target of a symbolic link.
    pub fn readlink(&self, ino: u64) -> Answer<Vec<u8>> {
        match self.realm(ino) {
            Realm::Live => self.live_readlink(ino),
            Realm::Control => Err(Errno::INVAL),
            Realm::Snapshot => self.snapshot_readlink(ino),
        }
    }

    /// Makes a regular file, directory or special file.
    pub fn create(
        &self,
        caller: Caller,
        parent: u64,
        name: &[u8],
        kind: FileKind,
        mode: u16,
        rdev: u32,
    ) -> Answer<EntryOut> {
        self.writable(parent)?;
        self.live_create(caller, parent, name, &live::New { kind, mode, rdev, target: b"" })
    }

    /// Makes a regular file as a directory would have it, but without a name. A link gives it one.
    pub fn create_nameless(&self, caller: Caller, directory: u64, mode: u16) -> Answer<EntryOut> {
        self.writable(directory)?;
        self.live_create_nameless(caller, directory, mode)
    }

    /// Makes a symbolic link.
    pub fn symlink(
        &self,
        caller: Caller,
        parent: u64,
        name: &[u8],
        target: &[u8],
    ) -> Answer<EntryOut> {
        self.writable(parent)?;
        let new = live::New { kind: FileKind::Symlink, mode: 0o777, rdev: 0, target };
        self.live_create(caller, parent, name, &new)
    }

    /// Gives a file another name.
    pub fn link(&self, caller: Caller, ino: u64, parent: u64, name: &[u8]) -> Answer<EntryOut> {
        self.writable(parent)?;
        if self.realm(ino) != Realm::Live {
            return Err(Errno::XDEV);
        }
        self.live_link(caller, ino, parent, name)
    }

    /// Removes a name of a file that is no directory.
    pub fn unlink(&self, caller: Caller, parent: u64, name: &[u8]) -> Answer<()> {
        self.writable(parent)?;
        self.live_remove(caller, parent, name, false)
    }

    /// Removes an empty directory.
    pub fn rmdir(&self, caller: Caller, parent: u64, name: &[u8]) -> Answer<()> {
        self.writable(parent)?;
        self.live_remove(caller, parent, name, true)
    }

    /// Moves an entry.
    pub fn rename(
        &self,
        caller: Caller,
        from: (u64, &[u8]),
        to: (u64, &[u8]),
        mode: RenameMode,
    ) -> Answer<()> {
        self.writable(from.0)?;
        self.writable(to.0)?;
        self.live_rename(caller, from, to, mode)
    }

    /// Opens a file that is no directory. The kernel truncates it by itself.
    ///
    /// All content but that of control files goes through the page cache, that of new files too:
    /// who wrote past it would be spared a copy, but a mapping of the file holds whole pages, and
    /// what it had of a page from before such a write would be written back over it.
    pub fn open(&self, caller: Caller, ino: u64, flags: OpenFlags) -> Answer<OpenOut> {
        match self.realm(ino) {
            Realm::Control => {
                let fh = self.controls.open(self.control_open(ino, flags.read)?);
                Ok(OpenOut { fh, cached: false })
            }
            Realm::Snapshot if flags.write => Err(Errno::ROFS),
            Realm::Live => {
                if flags.read && flags.write {
                    self.mappers.add(ino, caller);
                }
                Ok(OpenOut::CACHED_FILE)
            }
            Realm::Snapshot => Ok(OpenOut::CACHED_FILE),
        }
    }

    /// Closes a file that was opened with these flags.
    pub fn release(&self, ino: u64, fh: u64, flags: OpenFlags) {
        match self.realm(ino) {
            Realm::Live => {
                if flags.read && flags.write {
                    self.mappers.remove(ino);
                }
                self.live_release(ino);
            }
            Realm::Control => self.controls.close(fh),
            Realm::Snapshot => {}
        }
    }

    /// Reads up to `len` bytes into `buf`; fewer come only at the end of the file.
    pub fn read(
        &self,
        ino: u64,
        fh: u64,
        offset: u64,
        len: usize,
        buf: &mut Vec<u8>,
    ) -> Answer<()> {
        match self.realm(ino) {
            Realm::Live => self.live_read(ino, offset, len, buf),
            Realm::Control => {
                let file = self.controls.find(fh).ok_or(Errno::BADF)?;
                self.control_read(&file, offset, len, buf);
                Ok(())
            }
            Realm::Snapshot => self.snapshot_read(ino, offset, len, buf),
        }
    }

    /// Writes all of `data`, or does what a control file is asked for.
    pub fn write(
        &self,
        caller: Caller,
        (ino, fh): (u64, u64),
        offset: u64,
        data: &[u8],
        how: WriteHow,
    ) -> Answer<()> {
        match self.realm(ino) {
            Realm::Live => self.live_write(caller, ino, (offset, data), how),
            Realm::Control => {
                let file = self.controls.find(fh).ok_or(Errno::BADF)?;
                self.control_write(caller, &file, data)
            }
            Realm::Snapshot => Err(Errno::ROFS),
        }
    }

    /// Makes a file durable, and with it everything that was done before.
    pub fn fsync(&self, ino: u64, fh: u64) -> Answer<()> {
        match self.realm(ino) {
            Realm::Live => self.live_fsync(),
            Realm::Control => {
                let file = self.controls.find(fh).ok_or(Errno::BADF)?;
                self.control_fsync(&file)
            }
            Realm::Snapshot => Ok(()),
        }
    }

    /// Makes a directory durable, and with it everything that was done before.
    pub fn fsyncdir(&self, ino: u64) -> Answer<()> {
        match self.realm(ino) {
            Realm::Live => self.live_fsync(),
            Realm::Control | Realm::Snapshot => Ok(()),
        }
    }

    /// Sets room aside, or takes it back, in a range told by its offset and length.
    pub fn fallocate(&self, caller: Caller, ino: u64, range: (u64, u64), mode: i32) -> Answer<()> {
        self.writable(ino)?;
        self.live_fallocate(caller, ino, range, mode)
    }

    /// Finds data or holes. Other kinds of seeking are the kernel's own affair.
    pub fn lseek(&self, ino: u64, offset: i64, whence: i32) -> Answer<u64> {
        match self.realm(ino) {
            Realm::Live => self.seek(self.inode(ino)?.file().ok_or(Errno::INVAL)?, offset, whence),
            Realm::Control => Err(Errno::INVAL),
            Realm::Snapshot => self.seek(&self.snapshot_file(ino)?, offset, whence),
        }
    }

    /// Reads an extended attribute.
    pub fn getxattr(&self, caller: Caller, ino: u64, name: &[u8]) -> Answer<Vec<u8>> {
        match self.realm(ino) {
            Realm::Live => self.live_getxattr(caller, ino, name),
            Realm::Control => Err(Errno::NODATA),
            Realm::Snapshot => self.snapshot_getxattr(ino, name),
        }
    }

    /// Lists the names of extended attributes, each followed by a NUL.
    pub fn listxattr(&self, ino: u64) -> Answer<Vec<u8>> {
        match self.realm(ino) {
            Realm::Live => self.live_listxattr(ino),
            Realm::Control => Ok(Vec::new()),
            Realm::Snapshot => self.snapshot_listxattr(ino),
        }
    }

    /// Sets an extended attribute; `user.vst.commit` of the top makes a commit.
    pub fn setxattr(
        &self,
        caller: Caller,
        ino: u64,
        name: &[u8],
        value: &[u8],
        flags: i32,
    ) -> Answer<()> {
        self.writable(ino)?;
        self.live_setxattr(caller, ino, name, value, flags)
    }

    /// Removes an extended attribute.
    pub fn removexattr(&self, caller: Caller, ino: u64, name: &[u8]) -> Answer<()> {
        self.writable(ino)?;
        self.live_removexattr(caller, ino, name)
    }

    /// Tells how much room the disk below has.
    pub fn statfs(&self) -> Answer<StatfsOut> {
        let disk = rustix::fs::statvfs(self.history.store().path())?;
        let block_bytes = u32::try_from(disk.f_frsize).unwrap_or(4096);
        Ok(StatfsOut {
            block_bytes,
            blocks: disk.f_blocks,
            free: disk.f_bfree,
            available: disk.f_bavail,
            files: disk.f_files,
            files_free: disk.f_ffree,
        })
    }
}
