//! What a writer does next: a random choice among what is possible in its subtree.

use super::calls::Held;
use super::model::{Body, FileId, Model, Op};
use super::random::Random;
use super::writer::COMMON;

/// A subtree with more names than these mostly loses some.
pub(crate) const NAMES_MAX: usize = 24;
/// A subtree with more bytes than these loses the largest file next.
const SUBTREE_BYTES_MAX: usize = 4 * 1024 * 1024;
const DIRECTORIES_MAX: usize = 8;
const DEPTH_MAX: usize = 4;
const LARGE_BYTES_MAX: usize = 300 * 1024;
const HUGE_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Farther than this no write leaves a hole.
const HOLE_BYTES_MAX: usize = 100_000;
const XATTR_NAMES: [&str; 3] = ["user.a", "user.b", "user.some longer name"];

/// What to do next.
#[derive(Debug)]
pub(crate) enum Action {
    Do(Op),
    /// `fsync` of a file or a directory.
    Sync(String),
    Commit,
    /// Bring the directory back to what it was in a commit of this writer.
    Restore,
    /// A rename that another writer may have forestalled.
    MoveToken,
    /// Open a file, and keep it open.
    Hold(String),
}

/// Where a writer works.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In a directory of its own.
    Own(String),
    /// In the common directories, with names that begin so.
    Common(String),
}

/// Makes the choices of one writer.
#[derive(Debug)]
pub(crate) struct Chooser {
    pub(crate) random: Random,
    place: Place,
    /// Small files that are to be made before anything else.
    burst: usize,
    names: u64,
}

impl Chooser {
    /// Choices that begin with a burst of so many small files. Names are new in each round.
    pub(crate) fn new(random: Random, place: Place, burst: usize, round: u64) -> Self {
        Self { random, place, burst, names: round * 1_000_000 }
    }

    /// Chooses something that is possible.
    pub(crate) fn choose(&mut self, model: &Model, held: &Held) -> Action {
        if let Some(op) = self.burst(model, held) {
            return Action::Do(op);
        }
        if let Some(op) = self.make_room(model) {
            return Action::Do(op);
        }
        loop {
            let (at, common) = (self.random.below(100), matches!(self.place, Place::Common(_)));
            let op = match at {
                0..12 => self.create(model),
                12..26 => self.write(model, held),
                26..36 => self.append(model),
                36..41 => self.truncate(model, held),
                41..44 => self.zero(model, held),
                44..52 => self.rename(model),
                52..56 => self.exchange(model),
                56..61 => self.link(model),
                61..68 => self.unlink(model),
                68..72 => self.mkdir(model),
                72..75 => self.rmdir(model),
                75..78 => self.symlink(model),
                78..82 => self.chmod(model),
                82..85 => self.set_mtime(model),
                85..89 => self.set_xattr(model),
                89..91 => self.remove_xattr(model),
                91..93 if common => return Action::MoveToken,
                93..95 => return self.sync(model),
                95..97 => return Action::Commit,
                97 => return Action::Restore,
                _ => match self.file(model) {
                    Some((path, _)) => return Action::Hold(path),
                    None => None,
                },
            };
            if let Some(op) = op {
                return Action::Do(op);
            }
        }
    }

    /// Makes many small files in the writer's directory, each with a few bytes.
    fn burst(&mut self, model: &Model, held: &Held) -> Option<Op> {
        let Place::Own(top) = &self.place else { return None };
        let newest = held.ids().next().filter(|_| self.burst % 2 == 1);
        let op = match newest {
            Some(file) => self.write_to(model, file, 0, 40),
            None if self.burst == 0 => return None,
            None => Op::Create { path: format!("{top}/{}", self.names), perm: 0o600 },
        };
        self.names += 1;
        self.burst -= 1;
        Some(op)
    }

    /// Removes something if there is too much.
    fn make_room(&mut self, model: &Model) -> Option<Op> {
        let names = model.names().count();
        if names > NAMES_MAX {
            let last = model.names().filter(|(_, _, node)| node.body != Body::Directory).last();
            return last.map(|(path, _, _)| Op::Unlink { path: path.clone() });
        }
        let bytes: usize = model.names().map(|(_, _, node)| node.bytes().len()).sum();
        if bytes > SUBTREE_BYTES_MAX {
            let largest = model.names().max_by_key(|(_, _, node)| node.bytes().len())?;
            return Some(Op::Truncate { file: largest.1, len: self.random.below(5000) });
        }
        None
    }

    fn files(&self, model: &Model) -> Vec<(String, FileId)> {
        let is_file = |body: &Body| matches!(body, Body::File(_));
        let files = model.names().filter(|(_, _, node)| is_file(&node.body));
        files.map(|(path, id, _)| (path.clone(), id)).collect()
    }

    fn file(&mut self, model: &Model) -> Option<(String, FileId)> {
        let files = self.files(model);
        self.random.pick(&files).cloned()
    }

    fn any(&mut self, model: &Model) -> Option<String> {
        let top = self.top();
        let paths: Vec<_> = model.names().map(|n| n.0).filter(|path| **path != top).collect();
        self.random.pick(&paths).map(|path| (*path).clone())
    }

    /// The writer's own directory, or nothing.
    pub(crate) fn top(&self) -> String {
        match &self.place {
            Place::Own(top) => top.clone(),
            Place::Common(_) => String::new(),
        }
    }

    fn directory(&mut self, model: &Model) -> String {
        let Place::Own(top) = &self.place else {
            return COMMON[self.random.below(COMMON.len())].to_owned();
        };
        let directories: Vec<_> = model
            .names()
            .filter(|(path, _, node)| {
                node.body == Body::Directory && path.matches('/').count() < DEPTH_MAX
            })
            .map(|(path, _, _)| path.clone())
            .collect();
        self.random.pick(&directories).unwrap_or(top).clone()
    }

    /// A path that is not there.
    fn new_path(&mut self, model: &Model) -> String {
        let directory = self.directory(model);
        self.names += 1;
        match &self.place {
            Place::Own(_) => format!("{directory}/n{}", self.names),
            Place::Common(prefix) => format!("{directory}/{prefix}{}", self.names),
        }
    }

    fn len(&mut self) -> usize {
        match (self.random.below(100), &self.place) {
            (0..45, _) => self.random.between(1, 200),
            (45..75, _) | (_, Place::Common(_)) => self.random.between(1, 16 * 1024),
            (75..97, _) => self.random.between(1, LARGE_BYTES_MAX),
            _ => self.random.between(1024 * 1024, HUGE_BYTES_MAX),
        }
    }

    fn create(&mut self, model: &Model) -> Option<Op> {
        Some(Op::Create { path: self.new_path(model), perm: 0o600 })
    }

    fn write_to(&mut self, model: &Model, file: FileId, offset: usize, len: usize) -> Op {
        let append = model.find_node(file).is_some_and(|node| node.bytes().len() == offset)
            && self.random.once_in(2)
            && model.name_of(file).is_some();
        Op::Write { file, offset, data: self.random.bytes(len).into(), append }
    }

    /// A file that is open or has a name.
    fn writable(&mut self, model: &Model, held: &Held) -> Option<FileId> {
        let held: Vec<_> = held.ids().filter(|_| self.random.once_in(2)).collect();
        match self.random.pick(&held) {
            Some(id) => Some(*id),
            None => self.file(model).map(|(_, id)| id),
        }
    }

    fn write(&mut self, model: &Model, held: &Held) -> Option<Op> {
        let file = self.writable(model, held)?;
        let size = model.find_node(file).map_or(0, |node| node.bytes().len());
        let beyond = if self.random.once_in(8) { HOLE_BYTES_MAX } else { 0 };
        let (offset, len) = (self.random.below(size + 1 + beyond), self.len());
        Some(self.write_to(model, file, offset, len))
    }

    fn append(&mut self, model: &Model) -> Option<Op> {
        let (_, file) = self.file(model)?;
        let len = self.len();
        Some(self.write_to(model, file, model.find_node(file)?.bytes().len(), len))
    }

    fn truncate(&mut self, model: &Model, held: &Held) -> Option<Op> {
        let file = self.writable(model, held)?;
        let size = model.find_node(file).map_or(0, |node| node.bytes().len());
        let len = match self.random.below(4) {
            0 => 0,
            1 => size + self.random.below(HOLE_BYTES_MAX),
            _ => self.random.below(size + 1),
        };
        Some(Op::Truncate { file, len })
    }

    fn zero(&mut self, model: &Model, held: &Held) -> Option<Op> {
        let file = self.writable(model, held)?;
        let size = model.find_node(file).map_or(0, |node| node.bytes().len());
        let (offset, len) = (self.random.below(size + 1), self.len());
        Some(Op::Zero { file, offset, len, extend: self.random.once_in(2) })
    }

    fn rename(&mut self, model: &Model) -> Option<Op> {
        let from = self.any(model)?;
        let node = model.find_node(model.find(&from)?)?;
        let to = match (&node.body, self.random.below(2)) {
            (_, 0) => self.new_path(model),
            // Over another directory if there is an empty one.
            (Body::Directory, _) => self.empty_directory(model).unwrap_or(self.new_path(model)),
            (_, _) => {
                let (to, id) = self.file(model)?;
                // Two names of one file: nothing would happen.
                Some(to).filter(|_| model.find(&from) != Some(id))?
            }
        };
        let inside = to == from || to.starts_with(&format!("{from}/"));
        (!inside).then_some(Op::Rename { from, to })
    }

    fn exchange(&mut self, model: &Model) -> Option<Op> {
        let (one, other) = (self.any(model)?, self.any(model)?);
        let inside = |one: &str, other: &str| one.starts_with(&format!("{other}/"));
        let apart = !inside(&one, &other) && !inside(&other, &one);
        (apart && model.find(&one) != model.find(&other)).then_some(Op::Exchange { one, other })
    }

    fn link(&mut self, model: &Model) -> Option<Op> {
        let (from, _) = self.file(model)?;
        Some(Op::Link { from, to: self.new_path(model) })
    }

    fn unlink(&mut self, model: &Model) -> Option<Op> {
        let path = self.any(model)?;
        let node = model.find_node(model.find(&path)?)?;
        (node.body != Body::Directory).then_some(Op::Unlink { path })
    }

    fn mkdir(&mut self, model: &Model) -> Option<Op> {
        let directories = model.names().filter(|(_, _, node)| node.body == Body::Directory);
        let few = directories.count() < DIRECTORIES_MAX;
        let own = matches!(self.place, Place::Own(_));
        (few && own).then(|| Op::Mkdir { path: self.new_path(model), perm: 0o700 })
    }

    fn rmdir(&mut self, model: &Model) -> Option<Op> {
        self.empty_directory(model).map(|path| Op::Rmdir { path })
    }

    /// Some directory, if it is empty and may go.
    fn empty_directory(&mut self, model: &Model) -> Option<String> {
        let path = self.directory(model);
        let below = format!("{path}/");
        let empty = !model.names().any(|(other, _, _)| other.starts_with(&below));
        (empty && model.find(&path).is_some() && path != self.top()).then_some(path)
    }

    fn symlink(&mut self, model: &Model) -> Option<Op> {
        let target = "../".repeat(self.random.below(50)) + "target";
        Some(Op::Symlink { path: self.new_path(model), target })
    }

    /// A path with attributes that may be changed: anything but a symlink.
    fn changeable(&mut self, model: &Model) -> Option<String> {
        let path = self.any(model)?;
        let node = model.find_node(model.find(&path)?)?;
        (!matches!(node.body, Body::Symlink(_))).then_some(path)
    }

    fn chmod(&mut self, model: &Model) -> Option<Op> {
        // The owner may go on, whoever runs this.
        let perm = 0o700 | self.random.below(0o100) as u32;
        Some(Op::Chmod { path: self.changeable(model)?, perm })
    }

    fn set_mtime(&mut self, model: &Model) -> Option<Op> {
        let mtime_ns = self.random.below(4_000_000_000_000_000_000) as i128;
        Some(Op::SetMtime { path: self.any(model)?, mtime_ns })
    }

    fn set_xattr(&mut self, model: &Model) -> Option<Op> {
        let path = self.changeable(model)?;
        let name = (*self.random.pick(&XATTR_NAMES)?).to_owned();
        let len = if self.random.once_in(5) { 3000 } else { 40 };
        let value = self.random.below(len);
        Some(Op::SetXattr { path, name, value: self.random.bytes(value) })
    }

    fn remove_xattr(&mut self, model: &Model) -> Option<Op> {
        let path = self.changeable(model)?;
        let name = model.find_node(model.find(&path)?)?.xattrs.keys().next()?.clone();
        Some(Op::RemoveXattr { path, name })
    }

    fn sync(&mut self, model: &Model) -> Action {
        let file = if self.random.once_in(2) { self.file(model) } else { None };
        Action::Sync(file.map_or_else(|| self.directory(model), |(path, _)| path))
    }
}
