//! What each kind of request asks of `vfs`.

use std::sync::Arc;

use fuser::{OpenFlags, WriteFlags};
use rustix::io::Errno;
use zerocopy::FromBytes;

use super::encode::{self, Body, put};
use super::request::Request;
use super::wire::{self, fattr, opcode};
use crate::base::limits::WRITE_BYTES_MAX;
use crate::fuse::guard::guard;
use crate::fuse::{convert, settings};
use crate::model::{FileKind, Timestamp};
use crate::vfs::{Answer, Caller, LookupOut, SetAttrIn, Vfs};

/// How a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With what is in the body.
    Done,
    Failed(Errno),
    /// The kernel waits for no answer.
    Silent,
}

/// Answers requests.
pub(super) struct Server {
    vfs: Arc<Vfs>,
}

impl Server {
    pub(super) fn new(vfs: Arc<Vfs>) -> Self {
        Self { vfs }
    }

    /// Does what a request asks for. What it is answered with comes into `body`, whatever was in
    /// there.
    pub(super) fn answer(&self, request: &Request<'_>, body: &mut Body) -> Outcome {
        body.clear();
        match guard("a request", || self.serve(request, body)) {
            Ok(true) => Outcome::Done,
            Ok(false) => Outcome::Silent,
            Err(errno) => Outcome::Failed(errno),
        }
    }

    /// Does the same past what catches a panic. Tells whether the kernel waits for an answer.
    pub(super) fn serve(&self, request: &Request<'_>, body: &mut Body) -> Answer<bool> {
        match request.header.opcode {
            opcode::FORGET | opcode::BATCH_FORGET => return self.forget(request).map(|()| false),
            opcode::LOOKUP => self.lookup(request, body)?,
            opcode::GETATTR => {
                put(body, &encode::attributes(&self.vfs.getattr(request.header.nodeid)?));
            }
            opcode::STATX => put(body, &encode::statx(&self.vfs.getattr(request.header.nodeid)?)),
            opcode::SETATTR => self.setattr(request, body)?,
            opcode::READLINK => *body = self.vfs.readlink(request.header.nodeid)?,
            opcode::MKNOD | opcode::MKDIR | opcode::SYMLINK | opcode::LINK => {
                self.make(request, body)?;
            }
            opcode::UNLINK | opcode::RMDIR | opcode::RENAME | opcode::RENAME2 => {
                self.unmake(request)?;
            }
            opcode::OPEN | opcode::OPENDIR => self.open(request, body)?,
            opcode::CREATE | opcode::TMPFILE => self.create(request, body)?,
            opcode::READ | opcode::READDIR | opcode::READDIRPLUS => self.read(request, body)?,
            opcode::WRITE => self.write(request, body)?,
            opcode::RELEASE | opcode::RELEASEDIR => self.close(request)?,
            opcode::FSYNC | opcode::FSYNCDIR => self.sync(request)?,
            opcode::STATFS => put(body, &encode::statfs(&self.vfs.statfs()?)),
            opcode::SETXATTR | opcode::GETXATTR | opcode::LISTXATTR | opcode::REMOVEXATTR => {
                self.xattr(request, body)?
            }
            opcode::FALLOCATE => {
                let asked: wire::FallocateIn = request.read()?;
                let (range, caller) = ((asked.offset, asked.length), request.caller(0));
                // A mode is signed in the system call.
                self.vfs.fallocate(caller, request.header.nodeid, range, asked.mode as i32)?;
            }
            opcode::LSEEK => {
                let asked: wire::LseekIn = request.read()?;
                // So are offsets.
                let (offset, whence) = (asked.offset as i64, asked.whence as i32);
                let offset = self.vfs.lseek(request.header.nodeid, offset, whence)?;
                put(body, &wire::LseekOut { offset });
            }
            // Programs ask any file whether it is a terminal.
            opcode::IOCTL => return Err(Errno::NOTTY),
            opcode::DESTROY => {}
            // What the kernel does by itself then, and need not ask for again: closing needs no
            // flush, permissions are checked, ranges are copied by reading and writing.
            _ => return Err(Errno::NOSYS),
        }
        Ok(true)
    }

    fn lookup(&self, request: &Request<'_>, body: &mut Body) -> Answer<()> {
        let [name] = request.names()?;
        match self.vfs.lookup(request.header.nodeid, name)? {
            LookupOut::Found(out) => put(body, &encode::entry(&out)),
            LookupOut::Absent => put(body, &encode::absent()),
        }
        Ok(())
    }

    fn forget(&self, request: &Request<'_>) -> Answer<()> {
        if request.header.opcode == opcode::FORGET {
            let asked: wire::ForgetIn = request.read()?;
            self.vfs.forget(request.header.nodeid, asked.nlookup);
            return Ok(());
        }
        let asked: wire::BatchForgetIn = request.read()?;
        let mut rest = request.payload;
        for _ in 0..asked.count {
            let (one, further) = wire::ForgetOne::read_from_prefix(rest).map_err(|_| Errno::IO)?;
            self.vfs.forget(one.nodeid, one.nlookup);
            rest = further;
        }
        Ok(())
    }

    fn setattr(&self, request: &Request<'_>, body: &mut Body) -> Answer<()> {
        let asked: wire::SetattrIn = request.read()?;
        let set = set_of(&asked, Timestamp::now())?;
        let out = self.vfs.setattr(request.caller(0), request.header.nodeid, set)?;
        put(body, &encode::attributes(&out));
        Ok(())
    }

    /// Makes a name.
    fn make(&self, request: &Request<'_>, body: &mut Body) -> Answer<()> {
        let parent = request.header.nodeid;
        let out = match request.header.opcode {
            opcode::MKNOD => {
                let asked: wire::MknodIn = request.read()?;
                let kind = convert::kind_of_mode(asked.mode).ok_or(Errno::INVAL)?;
                let (caller, mode) = (request.caller(asked.umask), convert::perm(asked.mode));
                let [name] = request.names()?;
                self.vfs.create(caller, parent, name, kind, mode, asked.rdev)?
            }
            opcode::MKDIR => {
                let asked: wire::MkdirIn = request.read()?;
                let (caller, mode) = (request.caller(asked.umask), convert::perm(asked.mode));
                let [name] = request.names()?;
                self.vfs.create(caller, parent, name, FileKind::Directory, mode, 0)?
            }
            opcode::SYMLINK => {
                let [name, target] = request.names()?;
                self.vfs.symlink(request.caller(0), parent, name, target)?
            }
            _ => {
                let asked: wire::LinkIn = request.read()?;
                let [name] = request.names()?;
                self.vfs.link(request.caller(0), asked.oldnodeid, parent, name)?
            }
        };
        put(body, &encode::entry(&out));
        Ok(())
    }

    /// Takes a name away, or moves it.
    fn unmake(&self, request: &Request<'_>) -> Answer<()> {
        let parent = request.header.nodeid;
        let (new_parent, flags) = match request.header.opcode {
            opcode::UNLINK => {
                let [name] = request.names()?;
                return self.vfs.unlink(request.caller(0), parent, name);
            }
            opcode::RMDIR => {
                let [name] = request.names()?;
                return self.vfs.rmdir(request.caller(0), parent, name);
            }
            opcode::RENAME => (request.read::<wire::RenameIn>()?.newdir, 0),
            _ => {
                let asked: wire::Rename2In = request.read()?;
                (asked.newdir, asked.flags)
            }
        };
        let [name, new_name] = request.names()?;
        let mode = convert::rename_mode(flags).ok_or(Errno::INVAL)?;
        self.vfs.rename(request.caller(0), (parent, name), (new_parent, new_name), mode)
    }

    fn open(&self, request: &Request<'_>, body: &mut Body) -> Answer<()> {
        let ino = request.header.nodeid;
        let opened = if request.header.opcode == opcode::OPENDIR {
            let out = self.vfs.opendir(ino)?;
            encode::opened(out.fh, settings::directory_cache(out.cached))
        } else {
            let asked: wire::OpenIn = request.read()?;
            let open = convert::open_flags(open_flags(asked.flags));
            let out = self.vfs.open(request.caller(0), ino, open)?;
            encode::opened(out.fh, settings::opened_file(out.cached, open.write))
        };
        put(body, &opened);
        Ok(())
    }

    fn create(&self, request: &Request<'_>, body: &mut Body) -> Answer<()> {
        let asked: wire::CreateIn = request.read()?;
        let (caller, mode) = (request.caller(asked.umask), convert::perm(asked.mode));
        let parent = request.header.nodeid;
        let made = if request.header.opcode == opcode::TMPFILE {
            // What stands in the place of its name is none.
            self.vfs.create_nameless(caller, parent, mode)?
        } else {
            let [name] = request.names()?;
            self.vfs.create(caller, parent, name, FileKind::Regular, mode, 0)?
        };
        let open = convert::open_flags(open_flags(asked.flags));
        let out = self.vfs.open(caller, made.attr.ino, open)?;
        let opened = encode::opened(out.fh, settings::file_cache(out.cached));
        put(body, &encode::created(&made, opened));
        Ok(())
    }

    /// Reads a file or a directory.
    fn read(&self, request: &Request<'_>, body: &mut Body) -> Answer<()> {
        let asked: wire::ReadIn = request.read()?;
        // As much as was agreed on, whatever is asked for.
        let size = asked.size.min(WRITE_BYTES_MAX) as usize;
        if request.header.opcode == opcode::READ {
            return self.vfs.read(request.header.nodeid, asked.fh, asked.offset, size, body);
        }
        let plus = request.header.opcode == opcode::READDIRPLUS;
        self.vfs
            .readdir(asked.fh, asked.offset, plus, &mut |row| encode::row(body, size, plus, &row))
    }

    fn write(&self, request: &Request<'_>, body: &mut Body) -> Answer<()> {
        let asked: wire::WriteIn = request.read()?;
        let data = request.data(asked.size)?;
        let write = WriteFlags::from_bits_retain(asked.write_flags);
        let how = convert::write_how(write, open_flags(asked.flags));
        self.vfs.write(
            request.caller(0),
            (request.header.nodeid, asked.fh),
            asked.offset,
            data,
            how,
        )?;
        put(body, &wire::WriteOut { size: asked.size, padding: 0 });
        Ok(())
    }

    fn close(&self, request: &Request<'_>) -> Answer<()> {
        let asked: wire::ReleaseIn = request.read()?;
        match request.header.opcode {
            opcode::RELEASE => {
                let open = convert::open_flags(open_flags(asked.flags));
                self.vfs.release(request.header.nodeid, asked.fh, open);
            }
            _ => self.vfs.releasedir(asked.fh),
        }
        Ok(())
    }

    fn sync(&self, request: &Request<'_>) -> Answer<()> {
        let asked: wire::FsyncIn = request.read()?;
        match request.header.opcode {
            opcode::FSYNC => self.vfs.fsync(request.header.nodeid, asked.fh),
            _ => self.vfs.fsyncdir(request.header.nodeid),
        }
    }

    fn xattr(&self, request: &Request<'_>, body: &mut Body) -> Answer<()> {
        let ino = request.header.nodeid;
        match request.header.opcode {
            opcode::SETXATTR => {
                let asked: wire::SetxattrIn = request.read()?;
                let (name, value) = request.name_and_value(asked.size)?;
                let kills_setgid = asked.setxattr_flags & wire::SETXATTR_ACL_KILL_SGID != 0;
                let caller = Caller { keeps_setgid: Some(!kills_setgid), ..request.caller(0) };
                // The flags are signed in the system call.
                self.vfs.setxattr(caller, ino, name, value, asked.flags as i32)
            }
            opcode::GETXATTR => {
                let asked: wire::GetxattrIn = request.read()?;
                let [name] = request.names()?;
                let value = self.vfs.getxattr(request.caller(0), ino, name)?;
                encode::xattr(body, asked.size, &value)
            }
            opcode::LISTXATTR => {
                let asked: wire::GetxattrIn = request.read()?;
                encode::xattr(body, asked.size, &self.vfs.listxattr(ino)?)
            }
            _ => {
                let [name] = request.names()?;
                self.vfs.removexattr(request.caller(0), ino, name)
            }
        }
    }
}

/// The flags of `open`, which are signed in the system call.
fn open_flags(flags: u32) -> OpenFlags {
    OpenFlags(flags as i32)
}

fn set_of(asked: &wire::SetattrIn, now: Timestamp) -> Answer<SetAttrIn> {
    let wants = |bit| asked.valid & bit != 0;
    let time = |bit, now_bit, secs, nanos| match (wants(bit), wants(now_bit)) {
        (_, true) => Ok(Some(now)),
        (true, false) if nanos < 1_000_000_000 => Ok(Some(Timestamp { secs, nanos })),
        (true, false) => Err(Errno::INVAL),
        (false, false) => Ok(None),
    };
    Ok(SetAttrIn {
        perm: wants(fattr::MODE).then(|| convert::perm(asked.mode)),
        uid: wants(fattr::UID).then_some(asked.uid),
        gid: wants(fattr::GID).then_some(asked.gid),
        size: wants(fattr::SIZE).then_some(asked.size),
        mtime: time(fattr::MTIME, fattr::MTIME_NOW, asked.mtime, asked.mtimensec)?,
        atime: time(fattr::ATIME, fattr::ATIME_NOW, asked.atime, asked.atimensec)?,
        kill_priv: Some(wants(fattr::KILL_SUIDGID)),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, LazyLock};

    use parking_lot::Mutex;
    use proptest::collection::vec;
    use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
    use rustix::io::Errno;
    use zerocopy::{FromZeros, IntoBytes};

    use super::set_of;
    use crate::fuse::ring::bare::Requests;
    use crate::fuse::ring::wire::{InHeader, SetattrIn, fattr};
    use crate::model::Timestamp;
    use crate::repo::{Repo, RepoOptions};
    use crate::vfs::{SetAttrIn, Vfs};

    /// The requests of a store of its own, which goes with the process.
    static REQUESTS: LazyLock<(tempfile::TempDir, Mutex<Requests>)> = LazyLock::new(|| {
        let dir = tempfile::tempdir().unwrap();
        let repo = Repo::open(&dir.path().join("store"), RepoOptions::default()).unwrap();
        (dir, Mutex::new(Requests::new(Arc::new(Vfs::live(Arc::new(repo), (0, 0))))))
    });

    /// Words of which many mean something: small numbers, and whatever bytes.
    fn words(most: usize) -> impl Strategy<Value = Vec<u8>> {
        let word = prop_oneof![3 => 0..70_u64, 1 => any::<u64>(), 1 => Just(u64::MAX)];
        vec(word, 0..most).prop_map(|words| words.iter().flat_map(|w| w.to_ne_bytes()).collect())
    }

    fn header() -> impl Strategy<Value = InHeader> {
        // The live tree, the control files, and the snapshots have numbers of their own.
        let bits = prop_oneof![4 => Just(0), 1 => Just(1_u64 << 62), 1 => Just(1_u64 << 63)];
        (0..64_u32, 0..12_u64, bits).prop_map(|(opcode, nodeid, bits)| InHeader {
            opcode,
            nodeid: nodeid | bits,
            ..InHeader::new_zeroed()
        })
    }

    proptest! {
        #[test]
        fn no_bytes_that_come_as_a_request_make_it_panic(
            header in header(),
            mut rest in words(20),
            name in "[a-c]{0,2}",
            cut in any::<u16>(),
        ) {
            rest.extend_from_slice(name.as_bytes());
            rest.extend_from_slice(&[0, b'x', 0]);
            let whole = [header.as_bytes(), &rest].concat();
            let mut requests = REQUESTS.1.lock();
            for len in [whole.len(), usize::from(cut) % whole.len()] {
                requests.whole(&whole[..len]);
                let (structure, payload) = rest.split_at(usize::from(cut) % rest.len());
                requests.parts(header.as_bytes(), structure, payload);
            }
        }
    }

    const NOW: Timestamp = Timestamp { secs: 100, nanos: 5 };

    fn asked(valid: u32) -> SetattrIn {
        let (mtime, mtimensec, mode) = (-7, 250_000_000, 0o100_644);
        SetattrIn { valid, mtime, mtimensec, mode, uid: 3, size: 9, ..SetattrIn::new_zeroed() }
    }

    #[test]
    fn only_what_is_marked_is_set() {
        let nothing = SetAttrIn { kill_priv: Some(false), ..SetAttrIn::default() };
        assert_eq!(set_of(&asked(0), NOW), Ok(nothing));
        let (perm, uid, size) = (Some(0o644), Some(3), Some(9));
        let all = fattr::MODE | fattr::UID | fattr::SIZE | fattr::KILL_SUIDGID;
        let expected = SetAttrIn { perm, uid, size, kill_priv: Some(true), ..nothing };
        assert_eq!(set_of(&asked(all), NOW), Ok(expected));
    }

    #[test]
    fn times_are_those_told_or_that_of_now_and_have_less_than_a_second_beside_their_seconds() {
        let before_1970 = Timestamp { secs: -7, nanos: 250_000_000 };
        let mtime = |asked| set_of(&asked, NOW).map(|set| set.mtime);
        assert_eq!(mtime(asked(fattr::MTIME)), Ok(Some(before_1970)));
        assert_eq!(mtime(asked(fattr::MTIME | fattr::MTIME_NOW)), Ok(Some(NOW)));
        let too_many = SetattrIn { mtimensec: 1_000_000_000, ..asked(fattr::MTIME) };
        assert_eq!(mtime(too_many), Err(Errno::INVAL));
    }
}
