//! Sequences of operations: a tree that was opened again and again, and to which they were applied
//! as the journal has them, commits what the tree commits that they were first applied to.

use std::sync::Arc;

use vst::format::bytes::Reader;
use vst::format::commit_log::Tally;
use vst::format::op::{LocatedOp, put_op, read_op, subject};
use vst::format::worktree::WorktreeState;
use vst::model::{FileKind, Ino, Name, NewNode, Op, RenameMode, RootId, SetAttr, Timestamp};
use vst::store::MemoryStore;
use vst::worktree::tree::Hasher;
use vst::worktree::{OpError, Worktree};

use super::Choices;

/// Applies the operations that the bytes stand for to two trees, and compares what they commit.
pub fn ops(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut first = Tree::new();
    let mut second = Tree::new();
    let mut inos = vec![Ino::ROOT];
    let mut time = 0;
    while !choices.is_empty() {
        time += 1;
        match choices.byte() % 17 {
            14 => {
                let (root, _) = first.commit();
                let (again, state) = second.commit();
                assert_eq!(root, again, "after {time} steps");
                if choices.byte().is_multiple_of(2) {
                    second.tree = Worktree::open(&state, &second.objects).unwrap();
                }
            }
            15 => {
                // Those that are not in use are forgotten.
                let ino = pick(&inos, choices.byte());
                first.tree.evict(ino);
            }
            which => {
                let op = op(which, &mut choices, &mut first.tree, &mut inos, time);
                if let Some(record) = first.apply(&op) {
                    second.replay(&record);
                }
            }
        }
    }
    assert_eq!(first.commit().0, second.commit().0);
}

fn pick(inos: &[Ino], which: u8) -> Ino {
    inos[usize::from(which) % inos.len()]
}

fn name(which: u8) -> Name {
    Name::new(format!("n{}", which % 12).as_bytes()).unwrap()
}

/// Sizes and offsets around which something changes.
fn offset(choices: &mut Choices<'_>) -> u64 {
    const PLACES: [u64; 8] = [0, 1, 4096, 16_384, 65_536, 262_144, 1 << 20, 3 << 20];
    PLACES[usize::from(choices.byte() % 8)] + u64::from(choices.byte() % 3)
}

fn op(
    which: u8,
    choices: &mut Choices<'_>,
    tree: &mut Worktree,
    inos: &mut Vec<Ino>,
    time: i64,
) -> Op {
    let time = Timestamp { secs: time, nanos: 5 };
    let ino = pick(inos, choices.byte());
    let (parent, called) = (ino, name(choices.byte()));
    match which {
        16 => {
            let (kind, ino) = (FileKind::Regular, tree.allocate_ino());
            inos.push(ino);
            let (perm, target) = (u16::from(choices.byte()), Box::default());
            let node = NewNode { kind, perm, uid: 0, gid: 0, rdev: 0, target };
            Op::CreateNameless { ino, node, time }
        }
        0..=3 => {
            let kinds = [FileKind::Regular, FileKind::Directory, FileKind::Symlink, FileKind::Fifo];
            let kind = kinds[usize::from(which)];
            let target = if kind == FileKind::Symlink { &b"target"[..] } else { b"" };
            let (perm, ino) = (u16::from(choices.byte()), tree.allocate_ino());
            inos.push(ino);
            let node = NewNode { kind, perm, uid: 0, gid: 0, rdev: 0, target: target.into() };
            Op::Create { parent, name: called, ino, node, time }
        }
        4 => {
            let parent = pick(inos, choices.byte());
            Op::Link { ino, parent, name: called, time }
        }
        5 => Op::Unlink { parent, name: called, time },
        6 => Op::Rmdir { parent, name: called, time },
        7 | 8 => {
            let modes = [RenameMode::Replace, RenameMode::NoReplace, RenameMode::Exchange];
            let mode = modes[usize::from(choices.byte() % 3)];
            let (new_parent, new_name) = (pick(inos, choices.byte()), name(choices.byte()));
            Op::Rename { parent, name: called, new_parent, new_name, mode, time }
        }
        9 => {
            let (offset, len) = (offset(choices), 1 + choices.number() as usize % 70_000);
            let seed = choices.byte();
            let data = (0..len).map(|n| (n as u8).wrapping_mul(seed) ^ (n >> 8) as u8);
            Op::Write { ino, offset, data: data.collect(), kill_priv: seed.is_multiple_of(2), time }
        }
        10 => Op::Truncate { ino, size: offset(choices), kill_priv: false, time },
        11 => {
            let (offset, len) = (offset(choices), 1 + offset(choices));
            let flags = choices.byte();
            let (extend, kill_priv) = (flags.is_multiple_of(2), flags & 2 != 0);
            Op::Zero { ino, offset, len, extend, kill_priv, time }
        }
        12 => {
            let told = choices.byte();
            let perm = (told & 1 != 0).then(|| u16::from(choices.byte()));
            let uid = (told & 2 != 0).then(|| choices.number());
            let atime = (told & 8 != 0).then_some(time);
            let mtime = (told & 4 != 0).then_some(Timestamp { secs: -1, nanos: 1 });
            Op::SetAttr { ino, set: SetAttr { perm, uid, gid: None, mtime, atime }, time }
        }
        _ => {
            let name = [&b"user."[..], &[b'a' + choices.byte() % 3]].concat().into();
            match choices.byte() % 3 {
                0 => Op::RemoveXattr { ino, name, time },
                which => {
                    let value = vec![which; usize::from(choices.byte()) * 3].into();
                    Op::SetXattr { ino, name, value, time }
                }
            }
        }
    }
}

struct Tree {
    tree: Worktree,
    objects: MemoryStore,
    hasher: Hasher,
    /// Directories that changed since what lies beside them was stored.
    changed: Vec<Ino>,
}

/// An operation as the journal has it.
struct Record {
    fields: Vec<u8>,
    payload: Arc<[u8]>,
}

impl Tree {
    fn new() -> Self {
        let tree = Worktree::new(0, 0, 0o755, Timestamp { secs: 0, nanos: 0 });
        let (objects, hasher, changed) = Default::default();
        Self { tree, objects, hasher, changed }
    }

    /// What has lost its last name is dropped: nobody holds it.
    fn apply(&mut self, op: &Op) -> Option<Record> {
        let before = match op {
            Op::Link { ino, .. } => self.tree.place_of(*ino),
            _ => None,
        };
        let before = before.map(|(parent, name)| (parent, name.clone()));
        let done = self.tree.apply(op, &self.objects);
        if let Err(OpError::Object(error)) = done {
            panic!("{op:?}: {error}");
        }
        done.ok()?;
        let at = match (subject(op), &before) {
            (_, Some((parent, name))) => Some((*parent, name)),
            (Some(Ino::ROOT) | None, None) => None,
            (Some(ino), None) => Some(self.tree.place_of(ino)?),
        };
        let mut fields = Vec::new();
        put_op(&mut fields, at, op);
        let payload = match op {
            Op::Write { data, .. } => data.clone(),
            _ => Arc::default(),
        };
        Some(Record { fields, payload })
    }

    fn replay(&mut self, record: &Record) {
        let (mut reader, mut payload) = (Reader::new(&record.fields), &record.payload[..]);
        let located: LocatedOp = read_op(&mut reader, &mut payload).unwrap();
        self.tree.replay(&located, &self.objects).unwrap();
    }

    fn commit(&mut self) -> (RootId, WorktreeState) {
        let snapshot = self.tree.begin_checkpoint();
        let committed = snapshot.hash(&mut self.hasher, &self.objects).unwrap();
        let (root, hashed) = (committed.root, snapshot.hashed(&committed));
        let mut unstored = snapshot.unstored(&committed);
        drop(snapshot);
        self.changed.extend(committed.directories());
        self.tree.publish(committed);
        let files = unstored.store(&mut self.hasher, &self.objects, &self.objects).unwrap();
        self.tree.publish_stored(files);
        let sides =
            hashed.store_sides(&self.changed, &mut self.hasher, &self.objects, &self.objects);
        let sides = sides.unwrap();
        let state = WorktreeState {
            root,
            side: sides.top,
            places: sides.places,
            tags: sides.tags,
            ignored: hashed.ignored_node(),
            ignored_side: sides.ignored,
            rule_files: hashed.rule_files(),
            head: None,
            next_ino: hashed.next_ino(),
            ctime: hashed.top().ctime,
            born: hashed.top().born,
            atime: hashed.top().atime.get(),
            journal: Default::default(),
            commits: Tally::default(),
            log: Default::default(),
            changes_by: Vec::new(),
        };
        self.changed = self.tree.publish_sides(sides);
        (root, state)
    }
}
