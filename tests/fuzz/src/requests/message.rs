//! Requests as the kernel writes them, in the words of its own `linux/fuse.h`: what the server has
//! of that is what is tried here.

use super::super::Choices;
use super::{READ_BYTES_MAX, u32_at};

/// The kinds of requests.
pub(super) mod opcode {
    pub(crate) const LOOKUP: u32 = 1;
    pub(crate) const FORGET: u32 = 2;
    pub(crate) const GETATTR: u32 = 3;
    pub(crate) const SETATTR: u32 = 4;
    pub(crate) const READLINK: u32 = 5;
    pub(crate) const SYMLINK: u32 = 6;
    pub(crate) const MKNOD: u32 = 8;
    pub(crate) const MKDIR: u32 = 9;
    pub(crate) const UNLINK: u32 = 10;
    pub(crate) const RMDIR: u32 = 11;
    pub(crate) const RENAME: u32 = 12;
    pub(crate) const LINK: u32 = 13;
    pub(crate) const OPEN: u32 = 14;
    pub(crate) const READ: u32 = 15;
    pub(crate) const WRITE: u32 = 16;
    pub(crate) const STATFS: u32 = 17;
    pub(crate) const RELEASE: u32 = 18;
    pub(crate) const FSYNC: u32 = 20;
    pub(crate) const SETXATTR: u32 = 21;
    pub(crate) const GETXATTR: u32 = 22;
    pub(crate) const LISTXATTR: u32 = 23;
    pub(crate) const REMOVEXATTR: u32 = 24;
    pub(crate) const OPENDIR: u32 = 27;
    pub(crate) const READDIR: u32 = 28;
    pub(crate) const RELEASEDIR: u32 = 29;
    pub(crate) const FSYNCDIR: u32 = 30;
    pub(crate) const CREATE: u32 = 35;
    pub(crate) const DESTROY: u32 = 38;
    pub(crate) const IOCTL: u32 = 39;
    pub(crate) const BATCH_FORGET: u32 = 42;
    pub(crate) const FALLOCATE: u32 = 43;
    pub(crate) const READDIRPLUS: u32 = 44;
    pub(crate) const RENAME2: u32 = 45;
    pub(crate) const LSEEK: u32 = 46;
    pub(crate) const TMPFILE: u32 = 51;
    pub(crate) const STATX: u32 = 52;
}

/// The kinds that are chosen from; some of them are what much else needs.
const CHOSEN: [u32; 48] = [
    opcode::LOOKUP,
    opcode::LOOKUP,
    opcode::LOOKUP,
    opcode::FORGET,
    opcode::GETATTR,
    opcode::SETATTR,
    opcode::SETATTR,
    opcode::READLINK,
    opcode::SYMLINK,
    opcode::MKNOD,
    opcode::MKDIR,
    opcode::MKDIR,
    opcode::UNLINK,
    opcode::RMDIR,
    opcode::RENAME,
    opcode::LINK,
    opcode::OPEN,
    opcode::OPEN,
    opcode::READ,
    opcode::READ,
    opcode::WRITE,
    opcode::WRITE,
    opcode::WRITE,
    opcode::STATFS,
    opcode::RELEASE,
    opcode::FSYNC,
    opcode::SETXATTR,
    opcode::SETXATTR,
    opcode::GETXATTR,
    opcode::LISTXATTR,
    opcode::REMOVEXATTR,
    opcode::OPENDIR,
    opcode::OPENDIR,
    opcode::READDIR,
    opcode::RELEASEDIR,
    opcode::FSYNCDIR,
    opcode::CREATE,
    opcode::CREATE,
    opcode::DESTROY,
    opcode::IOCTL,
    opcode::BATCH_FORGET,
    opcode::FALLOCATE,
    opcode::READDIRPLUS,
    opcode::READDIRPLUS,
    opcode::RENAME2,
    opcode::LSEEK,
    opcode::TMPFILE,
    opcode::STATX,
];

/// Names that mean something, in the top, in `.vst`, in `.snapshots` or nowhere.
const NAMES: [&[u8]; 24] = [
    b"a",
    b"b",
    b"c",
    b"d",
    b"e",
    b"f",
    b".vst",
    b".snapshots",
    b"commit",
    b"restore",
    b"undo",
    b"log",
    b"op-log",
    b"status",
    b"stats",
    b"config",
    b"tag",
    b"gc",
    b"root",
    b"head",
    b"ignored",
    b"latest",
    b"by-time",
    b".vstignore",
];
const XATTRS: [&[u8]; 8] = [
    b"user.a",
    b"user.b",
    b"user.vst.commit",
    b"user.vst.head",
    b"user.vst.id",
    b"system.posix_acl_access",
    b"system.posix_acl_default",
    b"security.capability",
];
/// What is written to control files and to attributes, among other things.
const TEXTS: [&[u8]; 8] =
    [b"message", b"HEAD", b"HEAD~1", b"HEAD:a", b"t1 HEAD", b"{\"keep_last\":1}", b"a\n*.b\n", b""];
/// Offsets, lengths and sizes around which something changes.
const PLACES: [u64; 16] = [
    0,
    1,
    100,
    4096,
    8192,
    65_536,
    262_144,
    1 << 20,
    (1 << 20) + 1,
    5 << 20,
    1 << 32,
    1 << 40,
    i64::MAX as u64 - 1,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];
/// What a ring has room for beside the header.
const STRUCTURE_BYTES: usize = 128;

/// A request.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) opcode: u32,
    pub(super) node: u64,
    /// As it comes through a ring, or whole.
    pub(super) in_parts: bool,
    pub(super) structure: Vec<u8>,
    pub(super) payload: Vec<u8>,
}

/// The numbers of a structure, one behind the other.
#[derive(Default)]
struct Fields(Vec<u8>);

impl Fields {
    fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }
}

/// What a request can speak of.
struct Source<'c, 'b> {
    choices: &'c mut Choices<'b>,
    nodes: &'c [u64],
    handles: &'c [u64],
}

impl Message {
    fn new(opcode: u32, node: u64, structure: Fields, payload: Vec<u8>) -> Self {
        Self { opcode, node, in_parts: false, structure: structure.0, payload }
    }

    /// A request that has a name alone.
    pub(super) fn named(opcode: u32, node: u64, name: &[u8]) -> Self {
        Self::new(opcode, node, Fields::default(), [name, b"\0"].concat())
    }

    pub(super) fn forget(node: u64, count: u64) -> Self {
        Self::new(opcode::FORGET, node, Fields::default().u64(count), Vec::new())
    }

    pub(super) fn open_directory(node: u64) -> Self {
        Self::new(opcode::OPENDIR, node, Fields::default().u32(0).u32(0), Vec::new())
    }

    pub(super) fn list(node: u64, fh: u64, from: u64) -> Self {
        let room = READ_BYTES_MAX as u32;
        let asked = Fields::default().u64(fh).u64(from).u32(room).u32(0).u64(0).u32(0).u32(0);
        Self::new(opcode::READDIR, node, asked, Vec::new())
    }

    pub(super) fn close_directory(node: u64, fh: u64) -> Self {
        let asked = Fields::default().u64(fh).u32(0).u32(0).u64(0);
        Self::new(opcode::RELEASEDIR, node, asked, Vec::new())
    }

    /// Takes a request from the choices: mostly one that could be, about what there is.
    pub(super) fn choose(choices: &mut Choices<'_>, nodes: &[u64], handles: &[u64]) -> Self {
        let (kind, how) = (choices.byte(), choices.byte());
        let opcode = match CHOSEN.get(usize::from(kind)) {
            Some(opcode) => *opcode,
            None if kind < 224 => CHOSEN[usize::from(kind) % CHOSEN.len()],
            None => u32::from(choices.byte()),
        };
        let mut source = Source { choices, nodes, handles };
        let node = source.node();
        let (structure, payload) = source.body(opcode);
        let mut message = Self::new(opcode, node, structure, payload);
        message.in_parts = how & 1 != 0;
        match how >> 1 {
            // Cut off somewhere,
            0x7f => {
                let (len, cut) = (message.structure.len(), choices.number() as usize % 200);
                message.payload.truncate(cut.saturating_sub(len));
                message.structure.truncate(cut);
            }
            // without the end of its last name,
            0x7e => drop(message.payload.pop()),
            // or with some byte that was not meant.
            0x7c | 0x7d => {
                let (at, byte) = (usize::from(choices.byte()), choices.byte());
                if let Some(meant) = message.structure.get_mut(at) {
                    *meant = byte;
                }
            }
            _ => {}
        }
        message
    }

    pub(super) fn header(&self) -> Vec<u8> {
        let len = 40 + self.structure.len() + self.payload.len();
        let begun = Fields::default().u32(len as u32).u32(self.opcode).u64(2).u64(self.node);
        // User, group, process, and no extensions.
        begun.u32(0).u32(0).u32(0).u32(0).0
    }

    pub(super) fn whole(&self) -> Vec<u8> {
        [&self.header()[..], &self.structure, &self.payload].concat()
    }

    /// The structure where a ring has it: with room behind it.
    pub(super) fn structure_in_ring(&self) -> Vec<u8> {
        let mut room = self.structure.clone();
        room.resize(STRUCTURE_BYTES, 0);
        room
    }

    /// How many bytes it asks for or brings, if its kind does.
    pub(super) fn size(&self) -> usize {
        let at = match self.opcode {
            opcode::GETXATTR | opcode::LISTXATTR => 0,
            _ => 16,
        };
        let structure = self.structure_in_ring();
        u32_at(&structure, at) as usize
    }
}

impl Source<'_, '_> {
    fn node(&mut self) -> u64 {
        match self.choices.byte() {
            0xff => u64::from(self.choices.number()) << (self.choices.byte() % 33),
            which => self.nodes[usize::from(which) % self.nodes.len()],
        }
    }

    fn handle(&mut self) -> u64 {
        match self.choices.byte() {
            0xff => u64::from(self.choices.number()),
            which => {
                // The newest first.
                let at = usize::from(which) % self.handles.len();
                self.handles[self.handles.len() - 1 - at]
            }
        }
    }

    fn place(&mut self) -> u64 {
        let which = self.choices.byte();
        let near = u64::from(which >> 4);
        match which & 15 {
            15 => u64::from(self.choices.number()),
            place => PLACES[usize::from(place)].wrapping_add(near),
        }
    }

    /// A size of 32 bits.
    fn size(&mut self) -> u32 {
        self.place() as u32
    }

    fn one_of(&mut self, known: &[&[u8]]) -> Vec<u8> {
        let which = usize::from(self.choices.byte());
        match known.get(which) {
            Some(one) => one.to_vec(),
            None if which < 0xf0 => known[which % known.len()].to_vec(),
            None if which < 0xf4 => vec![b'x'; 252 + which % 8],
            None => self.choices.slice().to_vec(),
        }
    }

    fn name(&mut self) -> Vec<u8> {
        let mut name = self.one_of(&NAMES);
        name.push(0);
        name
    }

    fn data(&mut self) -> Vec<u8> {
        let which = self.choices.byte();
        match which {
            0..128 => self.one_of(&TEXTS),
            _ => vec![which; self.choices.number() as usize % 40_000],
        }
    }

    fn mode(&mut self) -> u32 {
        const KINDS: [u32; 8] = [0o100, 0o040, 0o120, 0o010, 0o020, 0o060, 0o140, 0];
        let (kind, perm) = (self.choices.byte(), self.choices.byte());
        KINDS[usize::from(kind % 8)] << 9 | u32::from(kind & 0o10) << 8 | u32::from(perm) << 1
    }

    /// The structure and the rest of a request of a kind.
    fn body(&mut self, opcode: u32) -> (Fields, Vec<u8>) {
        let none = Fields::default();
        match opcode {
            opcode::LOOKUP | opcode::UNLINK | opcode::RMDIR => (none, self.name()),
            opcode::SYMLINK => (none, [self.name(), self.name()].concat()),
            opcode::REMOVEXATTR => (none, [self.one_of(&XATTRS), vec![0]].concat()),
            opcode::FORGET => (none.u64(u64::from(self.choices.byte())), Vec::new()),
            opcode::BATCH_FORGET => {
                let count = self.choices.byte() % 8;
                let mut each = Fields::default();
                for _ in 0..count {
                    each = each.u64(self.node()).u64(u64::from(self.choices.byte()));
                }
                (none.u32(u32::from(count)).u32(0), each.0)
            }
            opcode::MKNOD => {
                let made = none.u32(self.mode()).u32(self.choices.number()).u32(self.mode());
                (made.u32(0), self.name())
            }
            opcode::MKDIR => (none.u32(self.mode()).u32(self.mode()), self.name()),
            opcode::RENAME => (none.u64(self.node()), [self.name(), self.name()].concat()),
            opcode::RENAME2 => {
                let flags = u32::from(self.choices.byte() % 8);
                (none.u64(self.node()).u32(flags).u32(0), [self.name(), self.name()].concat())
            }
            opcode::LINK => (none.u64(self.node()), self.name()),
            opcode::OPEN | opcode::OPENDIR => {
                (none.u32(u32::from(self.choices.byte() % 4)).u32(0), Vec::new())
            }
            opcode::CREATE | opcode::TMPFILE => {
                let flags = u32::from(self.choices.byte() % 4);
                let made = none.u32(flags).u32(self.mode()).u32(self.mode()).u32(0);
                (made, self.name())
            }
            opcode::READ | opcode::READDIR | opcode::READDIRPLUS => {
                let asked = none.u64(self.handle()).u64(self.place()).u32(self.size());
                (asked.u32(0).u64(0).u32(0).u32(0), Vec::new())
            }
            opcode::WRITE => {
                let (fh, at, data) = (self.handle(), self.place(), self.data());
                let flags = u32::from(self.choices.byte());
                let written = none.u64(fh).u64(at).u32(data.len() as u32).u32(flags);
                (written.u64(0).u32(1).u32(0), data)
            }
            opcode::RELEASE | opcode::RELEASEDIR => {
                let flags = u32::from(self.choices.byte() % 4);
                (none.u64(self.handle()).u32(flags).u32(0).u64(0), Vec::new())
            }
            opcode::FSYNC | opcode::FSYNCDIR => (none.u64(self.handle()).u64(0), Vec::new()),
            opcode::SETXATTR => {
                let (name, value) = (self.one_of(&XATTRS), self.data());
                let flags = u32::from(self.choices.byte() % 4);
                let set = none.u32(value.len() as u32).u32(flags).u32(flags & 1).u32(0);
                (set, [name, vec![0], value].concat())
            }
            opcode::GETXATTR | opcode::LISTXATTR => {
                (none.u32(self.size()).u32(0), [self.one_of(&XATTRS), vec![0]].concat())
            }
            opcode::FALLOCATE => {
                let mode = u32::from(self.choices.byte() % 64);
                let range = none.u64(self.handle()).u64(self.place()).u64(self.place());
                (range.u32(mode).u32(0), Vec::new())
            }
            opcode::LSEEK => {
                let whence = u32::from(self.choices.byte() % 8);
                (none.u64(self.handle()).u64(self.place()).u32(whence).u32(0), Vec::new())
            }
            opcode::SETATTR => {
                let valid = self.choices.number();
                let times = |source: &mut Self| source.choices.number();
                let set = none.u32(valid).u32(0).u64(self.handle()).u64(self.place()).u64(0);
                let set = set.u64(self.place()).u64(self.place()).u64(0);
                let set = set.u32(times(self)).u32(times(self)).u32(0).u32(self.mode()).u32(0);
                (set.u32(u32::from(self.choices.byte())).u32(0).u32(0), Vec::new())
            }
            opcode::GETATTR => (none.u64(0).u64(self.handle()), Vec::new()),
            opcode::STATX => (none.u64(0).u64(self.handle()).u64(0), Vec::new()),
            opcode::IOCTL => (none.u64(0).u64(0).u64(0).u64(0), Vec::new()),
            _ => (Fields(self.choices.slice().to_vec()), self.choices.slice().to_vec()),
        }
    }
}
