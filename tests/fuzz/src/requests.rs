//! Requests of the kernel, in sequences and with whatever in them: each is answered with an error or
//! with what its kind is answered with, and what the kernel has forgotten is not kept.

mod message;

use std::collections::HashMap;
use std::sync::Arc;

use vst::fuse::{Reply, Requests};
use vst::repo::{Repo, RepoOptions};
use vst::vfs::Vfs;

use super::Choices;
use message::{Message, opcode};

const ROOT: u64 = 1;
/// Most numbers that are asked about again.
const KNOWN_MAX: usize = 200;
/// What a read is answered with at most.
const READ_BYTES_MAX: usize = 1 << 20;
/// The rows of listings: before the name, and before that with all about the entry.
const DIRENT_BYTES: usize = 24;
const ENTRY_BYTES: usize = 128;
/// The kind of a directory in a row.
const DIRECTORY: u32 = 4;
/// Whatever may come back as an error.
const ERRNO_MAX: i32 = 4095;

/// Asks a new store what the bytes stand for, then removes and forgets everything.
pub fn requests(data: &[u8]) {
    let mut choices = Choices::new(data);
    let dir = tempfile::tempdir().unwrap();
    let repo = Arc::new(Repo::open(&dir.path().join("store"), RepoOptions::default()).unwrap());
    let inodes = || repo.look(|tree| tree.inodes_loaded());
    let loaded = inodes();
    let mut kernel = Kernel::new(Vfs::live(repo.clone(), (0, 0)));
    while !choices.is_empty() {
        let message = Message::choose(&mut choices, &kernel.nodes, &kernel.handles);
        // Errors are answers too.
        let _ = kernel.ask(&message);
    }
    kernel.remove_all();
    kernel.forget_all();
    assert_eq!(inodes(), loaded, "of what was removed and forgotten something is left");
}

/// What the kernel knows.
struct Kernel {
    requests: Requests,
    /// Inodes that were told of, and those that always are.
    nodes: Vec<u64>,
    /// How often each is to be forgotten.
    held: HashMap<u64, u64>,
    handles: Vec<u64>,
}

/// A row of a listing.
struct Row {
    name: Vec<u8>,
    kind: u32,
    next: u64,
}

impl Kernel {
    fn new(vfs: Vfs) -> Self {
        let requests = Requests::new(Arc::new(vfs));
        let (nodes, held, handles) = (vec![ROOT], HashMap::new(), vec![0]);
        let mut kernel = Self { requests, nodes, held, handles };
        for name in [&b".vst"[..], b".snapshots"] {
            kernel.ask(&Message::named(opcode::LOOKUP, ROOT, name)).unwrap();
        }
        kernel
    }

    /// Asks, and checks and takes note of the answer; gives its body.
    fn ask(&mut self, message: &Message) -> Result<Vec<u8>, i32> {
        let reply = match message.in_parts {
            true => {
                let (header, structure) = (message.header(), message.structure_in_ring());
                self.requests.parts(&header, &structure, &message.payload)
            }
            false => self.requests.whole(&message.whole()),
        };
        let reply = match reply {
            Some(Reply::Body(body)) => Ok(body.to_vec()),
            Some(Reply::Error(errno)) => Err(errno),
            Some(Reply::Silent) => {
                self.forget(message);
                return Ok(Vec::new());
            }
            // It was not even a header.
            None => return Err(0),
        };
        match &reply {
            Ok(body) => self.note(message, body),
            Err(errno) => {
                assert!((1..=ERRNO_MAX).contains(errno), "{message:?}: error {errno}");
                // Of many, some were forgotten.
                self.forget(message);
            }
        }
        reply
    }

    /// Checks the body of an answer, and takes note of what it tells of.
    fn note(&mut self, message: &Message, body: &[u8]) {
        let size = message.size();
        let is = |len| assert_eq!(body.len(), len, "{message:?}");
        match message.opcode {
            opcode::LOOKUP => {
                is(ENTRY_BYTES);
                self.hold(body, true);
            }
            opcode::MKNOD | opcode::MKDIR | opcode::SYMLINK | opcode::LINK => {
                is(ENTRY_BYTES);
                self.hold(body, false);
            }
            opcode::CREATE | opcode::TMPFILE => {
                is(ENTRY_BYTES + 16);
                self.hold(body, false);
                self.open(&body[ENTRY_BYTES..]);
            }
            opcode::OPEN | opcode::OPENDIR => {
                is(16);
                self.open(body);
            }
            opcode::GETATTR | opcode::SETATTR => is(104),
            opcode::STATX => is(288),
            opcode::STATFS => is(80),
            opcode::READ => assert!(body.len() <= size, "{message:?}"),
            opcode::READDIR | opcode::READDIRPLUS => {
                assert!(body.len() <= size.min(READ_BYTES_MAX), "{message:?}");
                self.rows(body, message.opcode == opcode::READDIRPLUS);
            }
            opcode::WRITE => {
                is(8);
                assert_eq!(u32_at(body, 0) as usize, size, "{message:?}");
            }
            opcode::LSEEK => is(8),
            opcode::GETXATTR | opcode::LISTXATTR if size == 0 => is(8),
            opcode::GETXATTR | opcode::LISTXATTR => assert!(body.len() <= size, "{message:?}"),
            opcode::READLINK => assert!(!body.is_empty() && body.len() < 4096, "{message:?}"),
            opcode::UNLINK
            | opcode::RMDIR
            | opcode::RENAME
            | opcode::RENAME2
            | opcode::RELEASE
            | opcode::RELEASEDIR
            | opcode::FSYNC
            | opcode::FSYNCDIR
            | opcode::SETXATTR
            | opcode::REMOVEXATTR
            | opcode::FALLOCATE
            | opcode::DESTROY => is(0),
            _ => panic!("{message:?} was answered with {body:?}"),
        }
    }

    /// Takes note of an entry, which stands for nothing if that may be and its number is 0.
    fn hold(&mut self, entry: &[u8], may_be_absent: bool) {
        let node = u64_at(entry, 0);
        if node == 0 {
            assert!(may_be_absent);
            return;
        }
        assert_eq!(u64_at(entry, 40), node, "its attributes tell of the inode");
        *self.held.entry(node).or_default() += 1;
        if self.nodes.len() < KNOWN_MAX && !self.nodes.contains(&node) {
            self.nodes.push(node);
        }
    }

    fn open(&mut self, opened: &[u8]) {
        if self.handles.len() < KNOWN_MAX {
            self.handles.push(u64_at(opened, 0));
        }
    }

    /// Takes a listing apart.
    fn rows(&mut self, mut body: &[u8], plus: bool) -> Vec<Row> {
        let mut rows = Vec::new();
        while !body.is_empty() {
            let at = if plus { ENTRY_BYTES } else { 0 };
            let (entry, dirent) = body.split_at(at);
            let (len, kind) = (u32_at(dirent, 16) as usize, u32_at(dirent, 20));
            let name = &dirent[DIRENT_BYTES..DIRENT_BYTES + len];
            assert!((1..=255).contains(&len) && !name.contains(&0) && !name.contains(&b'/'));
            assert!([1, 2, 4, 6, 8, 10, 12].contains(&kind), "{kind}");
            assert_ne!(u64_at(dirent, 0), 0, "the kernel would take the row for the last one");
            if plus {
                self.hold(entry, true);
            }
            rows.push(Row { name: name.to_vec(), kind, next: u64_at(dirent, 8) });
            let end = (at + DIRENT_BYTES + len).next_multiple_of(8);
            assert!(body[at + DIRENT_BYTES + len..end].iter().all(|byte| *byte == 0));
            body = &body[end..];
        }
        rows
    }

    /// Takes note of what a request makes the server forget.
    fn forget(&mut self, message: &Message) {
        let mut forget = |node, count| {
            if let Some(held) = self.held.get_mut(&node) {
                *held = held.saturating_sub(count);
            }
        };
        match message.opcode {
            opcode::FORGET if message.structure.len() >= 8 => {
                forget(message.node, u64_at(&message.structure, 0));
            }
            opcode::BATCH_FORGET if message.structure.len() >= 8 => {
                let count = u32_at(&message.structure, 0) as usize;
                for one in message.payload.chunks_exact(16).take(count) {
                    forget(u64_at(one, 0), u64_at(one, 8));
                }
            }
            _ => {}
        }
    }

    fn list(&mut self, directory: u64) -> Vec<Row> {
        let opened = self.ask(&Message::open_directory(directory)).unwrap();
        let (fh, mut rows, mut from) = (u64_at(&opened, 0), Vec::<Row>::new(), 0);
        loop {
            let body = self.ask(&Message::list(directory, fh, from)).unwrap();
            let more = self.rows(&body, false);
            let Some(last) = more.last() else { break };
            from = last.next;
            rows.extend(more);
        }
        self.ask(&Message::close_directory(directory, fh)).unwrap();
        rows.retain(|row| row.name != b"." && row.name != b"..");
        rows
    }

    /// Removes everything that has a name.
    fn remove_all(&mut self) {
        let mut todo = vec![(ROOT, Vec::new(), ROOT, false)];
        while let Some((parent, name, directory, was_emptied)) = todo.pop() {
            if was_emptied {
                if directory != ROOT {
                    self.ask(&Message::named(opcode::RMDIR, parent, &name)).unwrap();
                }
                continue;
            }
            todo.push((parent, name, directory, true));
            for row in self.list(directory) {
                if row.kind != DIRECTORY {
                    self.ask(&Message::named(opcode::UNLINK, directory, &row.name)).unwrap();
                    continue;
                }
                let entry = self.ask(&Message::named(opcode::LOOKUP, directory, &row.name));
                todo.push((directory, row.name, u64_at(&entry.unwrap(), 0), false));
            }
        }
    }

    fn forget_all(&mut self) {
        for (node, count) in std::mem::take(&mut self.held) {
            self.ask(&Message::forget(node, count)).unwrap();
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap())
}
