//! A disk in memory for tests, which loses its power, fills up and fails when it is told to.
//!
//! It is as mean as POSIX lets a disk be: what was not synced survives a power loss sector by
//! sector, in any order; so do names, one by one, whose directory was not synced, even if the file
//! was; only a rename is whole. Every operation that changes something is a step, and a process
//! can be ended before each of them.

mod content;
mod faults;
mod knobs;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::Receiver;
use rustix::io::Errno;

use self::content::SimFile;
use self::faults::Faults;
use super::{Disk, DiskFile, OpenMode, PathKind};
use crate::base::sync::{Mutex, MutexGuard};

pub use self::faults::Chance;

type NodeId = u64;

/// A disk in memory. A clone is the same disk.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Default)]
struct State {
    directories: BTreeMap<PathBuf, Directory>,
    files: HashMap<NodeId, SimFile>,
    locked: Vec<NodeId>,
    next_node: NodeId,
    boot: u64,
    faults: Faults,
    chance: Option<Chance>,
    /// Syncs of files wait for the other end of this.
    sync_hold: Option<Receiver<()>>,
}

#[derive(Clone, Default)]
struct Directory {
    live: BTreeMap<OsString, NodeId>,
    durable: BTreeMap<OsString, NodeId>,
    pending: Vec<NameChange>,
    /// Its own name in the directory above is durable.
    is_durable: bool,
}

#[derive(Clone)]
enum NameChange {
    Set(OsString, NodeId),
    Remove(OsString),
    Rename(OsString, OsString, NodeId),
}

struct SimHandle {
    disk: SimDisk,
    node: NodeId,
    locks: Mutex<bool>,
}

fn errno(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno.raw_os_error())
}

impl SimDisk {
    /// An empty disk with this directory on it.
    pub fn new(top: &Path) -> Self {
        let mut state = State { next_node: 1, ..State::default() };
        let top_directory = Directory { is_durable: true, ..Directory::default() };
        state.directories.insert(top.to_owned(), top_directory);
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// The disk as a store takes it.
    pub fn handle(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// How many operations that change something there were.
    pub fn steps(&self) -> u64 {
        self.state.lock().faults.steps
    }

    /// How many reads there were.
    pub fn reads(&self) -> u64 {
        self.state.lock().faults.reads
    }

    /// Ends the process before this step: from then on every operation fails.
    pub fn end_at(&self, step: u64) {
        self.state.lock().faults.end_at = Some(step);
    }

    /// Tells whether the process has come to its end.
    pub fn has_ended(&self) -> bool {
        self.state.lock().faults.ended
    }

    /// The disk as the next process finds it.
    pub fn after_kill(&self) -> Self {
        let mut state = self.state.lock().clone();
        state.faults = Faults { capacity: state.faults.capacity, ..Faults::default() };
        state.locked.clear();
        state.chance = None;
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// The disk as it is after the power has gone and come back. See [`Chance`] for the seed.
    pub fn after_power_loss(&self, seed: u64) -> Self {
        let after = self.after_kill();
        let mut chance = Chance::new(seed);
        {
            let mut state = after.state.lock();
            let state = &mut *state;
            state.boot += 1;
            // In a fixed order, so that a seed always means the same.
            let mut nodes: Vec<NodeId> = state.files.keys().copied().collect();
            nodes.sort_unstable();
            for node in nodes {
                if let Some(file) = state.files.get_mut(&node) {
                    file.lose_power(&mut chance);
                }
            }
            let mut lost = Vec::new();
            for (path, directory) in &mut state.directories {
                let above_lost = lost.iter().any(|lost: &PathBuf| path.starts_with(lost));
                if above_lost || !(directory.is_durable || chance.survives()) {
                    lost.push(path.clone());
                    continue;
                }
                directory.is_durable = true;
                directory.lose_power(&mut chance);
            }
            for path in lost {
                state.directories.remove(&path);
            }
        }
        after
    }

    /// Reads a whole file, for tests that look at it.
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state.lock();
        let file = state.files.get(&state.find_node(path).ok()?)?;
        let mut bytes = vec![0; file.len() as usize];
        file.read(&mut bytes, 0);
        Some(bytes)
    }

    /// Replaces a whole file, durably, for tests that harm it.
    pub fn set_contents(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state.lock();
        let node = state.find_node(path).expect("the file is there");
        let file = state.files.get_mut(&node).expect("it has a node");
        file.set_len(0);
        file.write(bytes, 0);
        file.sync();
    }

    fn change(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state.lock();
        state.faults.step()?;
        Ok(state)
    }
}

impl State {
    fn find_node(&self, path: &Path) -> io::Result<NodeId> {
        let (dir, name) = split(path)?;
        let dir = self.directories.get(dir).ok_or_else(|| errno(Errno::NOENT))?;
        dir.live.get(name).copied().ok_or_else(|| errno(Errno::NOENT))
    }

    fn directory(&mut self, path: &Path) -> io::Result<&mut Directory> {
        self.directories.get_mut(path).ok_or_else(|| errno(Errno::NOENT))
    }

    fn used_bytes(&self) -> u64 {
        let named = self.directories.values().flat_map(|dir| dir.live.values());
        named.filter_map(|node| self.files.get(node)).map(SimFile::used_bytes).sum()
    }

    /// How far a file may grow that is to end at `end`.
    fn room_for(&self, node: NodeId, end: u64) -> u64 {
        let (Some(capacity), Some(file)) = (self.faults.capacity, self.files.get(&node)) else {
            return end;
        };
        let others = self.used_bytes() - file.used_bytes();
        let wanted = file.used_with(end);
        if others + wanted <= capacity || wanted == file.used_bytes() {
            end
        } else {
            end.min(capacity.saturating_sub(others).max(file.used_bytes()))
        }
    }
}

impl Directory {
    fn change(&mut self, change: NameChange) {
        apply(&mut self.live, &change);
        self.pending.push(change);
    }

    fn lose_power(&mut self, chance: &mut Chance) {
        for change in std::mem::take(&mut self.pending) {
            if chance.survives() {
                apply(&mut self.durable, &change);
            }
        }
        self.live = self.durable.clone();
    }
}

fn apply(names: &mut BTreeMap<OsString, NodeId>, change: &NameChange) {
    match change {
        NameChange::Set(name, node) => {
            names.insert(name.clone(), *node);
        }
        NameChange::Remove(name) => {
            names.remove(name);
        }
        NameChange::Rename(from, to, node) => {
            names.remove(from);
            names.insert(to.clone(), *node);
        }
    }
}

fn split(path: &Path) -> io::Result<(&Path, &OsStr)> {
    path.parent().zip(path.file_name()).ok_or_else(|| errno(Errno::INVAL))
}

impl Disk for SimDisk {
    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        let mut state = self.state.lock();
        state.faults.read()?;
        let used = state.used_bytes();
        Ok(state.faults.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(used)))
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let open = |node| -> io::Result<Box<dyn DiskFile>> {
            Ok(Box::new(SimHandle { disk: self.clone(), node, locks: Mutex::new(false) }))
        };
        let mut state = self.state.lock();
        state.faults.read()?;
        if state.directories.contains_key(path) {
            return Err(errno(Errno::ISDIR));
        }
        let found = state.find_node(path);
        match (found, mode) {
            (Ok(node), OpenMode::CreateEmpty) => {
                state.faults.step()?;
                if let Some(file) = state.files.get_mut(&node) {
                    file.set_len(0);
                }
                open(node)
            }
            (Ok(_), OpenMode::Write | OpenMode::Create) if state.faults.read_only => {
                Err(errno(Errno::ROFS))
            }
            (Ok(node), _) => open(node),
            (Err(error), OpenMode::Read | OpenMode::Write) => Err(error),
            (Err(_), OpenMode::Create | OpenMode::CreateEmpty) => {
                state.faults.step()?;
                let node = state.next_node;
                state.next_node += 1;
                let (dir, name) = split(path)?;
                state.directory(dir)?.change(NameChange::Set(name.to_owned(), node));
                state.files.insert(node, SimFile::default());
                open(node)
            }
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        let node = state.find_node(from)?;
        let ((dir, name), (new_dir, new_name)) = (split(from)?, split(to)?);
        assert_eq!(dir, new_dir, "files are renamed within their directory");
        let change = NameChange::Rename(name.to_owned(), new_name.to_owned(), node);
        state.directory(dir)?.change(change);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        state.find_node(path)?;
        let (dir, name) = split(path)?;
        state.directory(dir)?.change(NameChange::Remove(name.to_owned()));
        Ok(())
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        let (above, _) = split(path)?;
        state.directory(above)?;
        if state.directories.contains_key(path) || state.find_node(path).is_ok() {
            return Err(errno(Errno::EXIST));
        }
        state.directories.insert(path.to_owned(), Directory::default());
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        let directory = state.directory(dir)?;
        directory.pending.clear();
        directory.durable = directory.live.clone();
        let in_it = state.directories.iter_mut().filter(|(path, _)| path.parent() == Some(dir));
        in_it.for_each(|(_, directory)| directory.is_durable = true);
        Ok(())
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        let mut state = self.state.lock();
        state.faults.read()?;
        let mut names: Vec<OsString> = state.directory(dir)?.live.keys().cloned().collect();
        let in_it = state.directories.keys().filter(|path| path.parent() == Some(dir));
        names.extend(in_it.filter_map(|path| path.file_name()).map(OsStr::to_owned));
        Ok(names)
    }

    fn find(&self, path: &Path) -> io::Result<Option<PathKind>> {
        let mut state = self.state.lock();
        state.faults.read()?;
        if state.directories.contains_key(path) {
            return Ok(Some(PathKind::Directory));
        }
        let node = state.find_node(path).ok();
        Ok(node.and_then(|node| state.files.get(&node)).map(|file| PathKind::File(file.len())))
    }

    fn boot_id(&self) -> io::Result<[u8; 16]> {
        let boot = self.state.lock().boot;
        Ok(u128::from(boot + 1).to_le_bytes())
    }
}

impl DiskFile for SimHandle {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.state.lock();
        state.faults.read()?;
        Ok(state.files.get(&self.node).map_or(0, SimFile::len))
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let mut state = self.disk.state.lock();
        state.faults.read()?;
        Ok(state.files.get(&self.node).map_or(0, |file| file.read(buf, at)))
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        let mut guard = self.disk.state.lock();
        let state = &mut *guard;
        let is_last = !state.faults.ended && state.faults.end_at == Some(state.faults.steps);
        let step = state.faults.step();
        let mut len = bytes.len();
        if is_last {
            // The end may come in the middle of it.
            let steps = state.faults.steps;
            len = Chance::new(steps).below(bytes.len() as u64 + 1) as usize;
        } else {
            step?;
            let end = at + bytes.len() as u64;
            len -= (end - state.room_for(self.node, end)).min(len as u64) as usize;
            if len == 0 && !bytes.is_empty() {
                return Err(errno(Errno::NOSPC));
            }
            if let (true, Some(chance)) = (state.faults.short_writes, &mut state.chance) {
                len = 1 + chance.below(len as u64) as usize;
            }
        }
        if let Some(file) = state.files.get_mut(&self.node) {
            file.write(&bytes[..len], at);
        }
        if is_last { Err(io::Error::other("the process has ended")) } else { Ok(len) }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.change()?;
        if let Some(file) = state.files.get_mut(&self.node) {
            file.set_len(len);
        }
        Ok(())
    }

    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        let mut state = self.disk.change()?;
        if state.room_for(self.node, range.end) < range.end {
            return Err(errno(Errno::NOSPC));
        }
        if let Some(file) = state.files.get_mut(&self.node) {
            file.allocate(range);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let held = self.disk.state.lock().sync_hold.clone();
        if let Some(held) = held {
            // Nothing is ever sent: it ends when the hold is dropped.
            let _ = held.recv();
        }
        let mut guard = self.disk.change()?;
        let state = &mut *guard;
        let Some(file) = state.files.get_mut(&self.node) else { return Ok(()) };
        if state.faults.fail_syncs {
            return Err(file.fail_to_sync(&mut Chance::new(state.faults.steps)));
        }
        file.sync();
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut state = self.disk.state.lock();
        state.faults.read()?;
        if state.locked.contains(&self.node) {
            return Ok(false);
        }
        state.locked.push(self.node);
        *self.locks.lock() = true;
        Ok(true)
    }
}

impl Drop for SimHandle {
    fn drop(&mut self) {
        if *self.locks.lock() {
            self.disk.state.lock().locked.retain(|node| *node != self.node);
        }
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk").finish_non_exhaustive()
    }
}

impl fmt::Debug for SimHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimHandle").field("node", &self.node).finish_non_exhaustive()
    }
}
