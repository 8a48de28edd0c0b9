//! A repository on a simulated disk, what was done to it, and what it must hold afterwards.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use crate::base::disk::sim::{Chance, SimDisk};
use crate::model::{
    CommitId, Deed, DeedKind, Entry, FileKind, Ino, Meta, Name, NewNode, ObjectId, Op, RenameMode,
    RootId, SetAttr, Timestamp, Writer,
};
use crate::repo::{
    CommitRequest, GcRequest, Repo, RepoError, RepoOptions, RestoreRequest, Retention,
};
use crate::store::RefName;
use crate::worktree::{Body, CommittedTree, OpError, Worktree};

pub(super) const DIR: &str = "/store";

pub(super) fn new_disk() -> SimDisk {
    SimDisk::new(Path::new("/"))
}

pub(super) fn open(disk: &SimDisk) -> Result<Repo, RepoError> {
    let options = RepoOptions {
        disk: disk.handle(),
        uid: 1,
        gid: 1,
        cache_bytes: 1 << 20,
        author: "tester".to_owned(),
        writer: Some(Arc::new(Writer::new(b"tester", 1))),
        ..RepoOptions::default()
    };
    Repo::open(Path::new(DIR), options)
}

/// What there is in a tree, by path.
pub(super) type Dump = BTreeMap<String, String>;

/// Goes through the whole living tree and reads everything.
pub(super) fn dump(repo: &Repo) -> Dump {
    let mut tree = repo.look(Worktree::clone);
    let src = repo.source();
    let mut found = Dump::new();
    let mut todo = vec![(String::new(), Ino::ROOT)];
    while let Some((path, ino)) = todo.pop() {
        let inode = tree.find(ino).expect("it was loaded").clone();
        let view = tree.view(ino).expect("it was loaded");
        let mut names = Vec::new();
        let body = match &inode.body {
            Body::Directory(_) => {
                let list = view.scan(0, src, &mut |_, name| {
                    names.push(Name::new(name).expect("a name"));
                    ControlFlow::Continue(())
                });
                list.expect("directories can be read");
                format!("{} entries", names.len())
            }
            Body::File(file) => {
                let mut bytes = vec![0; file.size() as usize];
                file.read(0, &mut bytes, src).expect("files can be read");
                format!("{} bytes, {}", bytes.len(), blake3::hash(&bytes).to_hex())
            }
            Body::Symlink(target) => format!("to {:?}", target),
            Body::Special => String::new(),
        };
        let links = view.nlink(src).expect("links can be counted");
        // That of a new store is made when it is made, and all other times are told.
        let time = |time: Timestamp| if time.secs > 1_000_000 { 0 } else { time.secs };
        let Meta { kind, perm, .. } = inode.meta;
        let times = (time(view.mtime()), time(view.ctime()));
        let text = format!("{kind:?} {perm:o} {times:?} {links} {:?} {body}", inode.xattrs);
        for name in names {
            let entry = tree.lookup(ino, &name, src).expect("it can be read").expect("it is there");
            tree.load(ino, &name, &entry, src).expect("it can be read");
            todo.push((format!("{path}/{}", String::from_utf8_lossy(name.as_bytes())), entry.ino));
        }
        found.insert(path, text);
    }
    found
}

/// The operation log, oldest first, without the ids of commits, which differ from run to run.
pub(super) fn deeds(repo: &Repo) -> Vec<String> {
    let deeds = repo.deeds(usize::MAX).expect("the log can be read");
    let last = deeds.first().map(|(_, deed)| deed.after);
    assert_eq!(last.unwrap_or_default(), repo.head(), "the log is in step with the head");
    let text = |(number, deed): &(u64, Deed)| {
        let what = match &deed.what {
            DeedKind::Commit => "commit".to_owned(),
            DeedKind::Restore { paths, saved, .. } => {
                format!("restore {paths} {}", saved.is_some())
            }
            DeedKind::Undo { of, saved } => format!("undo {of} {}", saved.is_some()),
            DeedKind::Tag { name, from, .. } => format!("tag {name} {}", from.is_some()),
            DeedKind::Collect { dropped } => format!("collect {dropped}"),
        };
        format!("{number} {what}")
    };
    deeds.iter().rev().map(text).collect()
}

/// Reads everything that a commit holds.
pub(super) fn read_commit(repo: &Repo, root: &RootId) {
    let src = repo.source();
    let tree = CommittedTree::open(root, src).expect("the root is there");
    let mut todo: Vec<Entry> = vec![tree.top().clone()];
    while let Some(entry) = todo.pop() {
        if let crate::model::EntryBody::File { size, content } = entry.body {
            let file = crate::worktree::File::stored(size, content);
            let mut bytes = vec![0; size as usize];
            file.read(0, &mut bytes, src).expect("its content is there");
        }
        let list = tree.list(&entry, src, &mut |_, entry| {
            todo.push(entry);
            ControlFlow::Continue(())
        });
        list.expect("its directories are there");
    }
}

/// Something that is done to a repository.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Do(Op),
    Commit {
        durable: bool,
    },
    Sync,
    Checkpoint,
    /// Makes the next segment of the journal ahead.
    Prepare,
    WriteCommits,
    Restore(String),
    Undo,
    /// Gives the head a tag.
    Tag,
    /// Takes it away.
    Untag,
    /// With so many of the last commits kept.
    Gc(Option<u64>),
    Reopen,
}

/// Between these are the numbers that a restore gives.
const INO_STEP: u64 = 10_000;

/// Makes up actions. The same seed gives the same ones.
pub(super) struct Actions {
    chance: Chance,
    next_ino: u64,
    files: Vec<Ino>,
    directories: Vec<Ino>,
    time: i64,
    commits: u64,
    /// The file with rules in the top directory, when it has been made.
    rules: Option<Ino>,
}

/// What is ignored, in texts of one length, so that one is written over the other.
const RULES: [&[u8; 8]; 4] = [b"n3\nn1/\n\n", b"/n0/n2\n\n", b"\n\n\n\n\n\n\n\n", b"n*\n!n2\n\n"];

impl Actions {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            chance: Chance::new(seed + 77),
            next_ino: INO_STEP,
            files: Vec::new(),
            directories: vec![Ino::ROOT],
            time: 0,
            commits: 0,
            rules: None,
        }
    }

    pub(super) fn list(seed: u64, len: usize) -> Vec<Action> {
        let mut actions = Self::new(seed);
        (0..len).map(|_| actions.next()).collect()
    }

    fn name(&mut self) -> Name {
        Name::new(format!("n{}", self.chance.below(5)).as_bytes()).expect("a name")
    }

    fn pick(&mut self, files: bool) -> Ino {
        let list = if files && !self.files.is_empty() { &self.files } else { &self.directories };
        list[self.chance.below(list.len() as u64) as usize]
    }

    fn place(&mut self) -> (Ino, Name) {
        let name = self.name();
        (self.pick(false), name)
    }

    fn next(&mut self) -> Action {
        self.time += 1;
        let time = Timestamp { secs: self.time, nanos: 9 };
        let op = match self.chance.below(39) {
            0..=7 => {
                let directory = self.chance.happens(3);
                let kind = if directory { FileKind::Directory } else { FileKind::Regular };
                let ino = Ino(self.next_ino);
                self.next_ino += INO_STEP;
                let (parent, name) = self.place();
                if directory {
                    self.directories.push(ino)
                } else {
                    self.files.push(ino)
                }
                let target = Box::default();
                let node = NewNode { kind, perm: 0o755, uid: 1, gid: 1, rdev: 0, target };
                Op::Create { parent, name, ino, node, time }
            }
            8..=13 => {
                let len = [100, 5000, 40_000, 300_000][self.chance.below(4) as usize];
                let offset = [0, 50, 20_000][self.chance.below(3) as usize];
                let seed = self.chance.below(256) as usize;
                let data: Arc<[u8]> = (0..len).map(|n| ((n * seed) ^ (n >> 7)) as u8).collect();
                Op::Write { ino: self.pick(true), offset, data, kill_priv: false, time }
            }
            14 => {
                let size = [0, 60, 30_000][self.chance.below(3) as usize];
                Op::Truncate { ino: self.pick(true), size, kill_priv: false, time }
            }
            15 | 16 => {
                let ((parent, name), (new_parent, new_name)) = (self.place(), self.place());
                let modes = [RenameMode::Replace, RenameMode::NoReplace, RenameMode::Exchange];
                let mode = modes[self.chance.below(3) as usize];
                Op::Rename { parent, name, new_parent, new_name, mode, time }
            }
            17 => {
                let (parent, name) = self.place();
                Op::Unlink { parent, name, time }
            }
            18 => {
                let (parent, name) = self.place();
                Op::Rmdir { parent, name, time }
            }
            19 => {
                let (parent, name) = self.place();
                Op::Link { ino: self.pick(true), parent, name, time }
            }
            20 => {
                let value = vec![7; [1, 300, 5000][self.chance.below(3) as usize]].into();
                Op::SetXattr { ino: self.pick(true), name: (*b"user.x").into(), value, time }
            }
            21 => {
                let perm = Some(self.chance.below(0o777) as u16);
                Op::SetAttr {
                    ino: self.pick(true),
                    set: SetAttr { perm, ..SetAttr::default() },
                    time,
                }
            }
            22..=24 => {
                self.commits += 1;
                return Action::Commit { durable: self.chance.happens(3) };
            }
            25 => return Action::Sync,
            26 => return Action::Checkpoint,
            27 => return Action::WriteCommits,
            28 if self.commits > 1 => {
                let path = if self.chance.happens(2) { ":n1" } else { "" };
                return Action::Restore(format!("HEAD~{}{path}", self.chance.below(2)));
            }
            35 | 36 => self.rules_op(time),
            37 | 38 => {
                let ino = Ino(self.next_ino);
                self.next_ino += INO_STEP;
                self.files.push(ino);
                let (kind, target) = (FileKind::Regular, Box::default());
                let node = NewNode { kind, perm: 0o600, uid: 1, gid: 1, rdev: 0, target };
                Op::CreateNameless { ino, node, time }
            }
            31 => return Action::Tag,
            32 | 33 => return Action::Undo,
            34 => return Action::Untag,
            29 => return Action::Gc(None),
            30 => return Action::Gc(Some(1 + self.chance.below(3))),
            _ => return Action::Reopen,
        };
        Action::Do(op)
    }
}

impl Actions {
    /// Makes the file with rules, or has it say something else.
    fn rules_op(&mut self, time: Timestamp) -> Op {
        if let Some(ino) = self.rules {
            let data = RULES[self.chance.below(RULES.len() as u64) as usize][..].into();
            return Op::Write { ino, offset: 0, data, kill_priv: false, time };
        }
        let ino = Ino(self.next_ino);
        self.next_ino += INO_STEP;
        self.rules = Some(ino);
        let (kind, target) = (FileKind::Regular, Box::default());
        let node = NewNode { kind, perm: 0o755, uid: 1, gid: 1, rdev: 0, target };
        let name = Name::new(b".vstignore").expect("a name");
        Op::Create { parent: Ino::ROOT, name, ino, node, time }
    }
}

/// A commit that was acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    pub(super) id: CommitId,
    pub(super) root: RootId,
    /// How many actions had been done then, this one included.
    pub(super) after: usize,
}

/// What was promised so far.
#[derive(Default, Debug)]
pub(super) struct Promises {
    /// Actions that were done, each of which survives a kill.
    pub(super) done: usize,
    /// So many of them survive a power loss.
    pub(super) durable: usize,
    pub(super) commits: Vec<Made>,
    /// How many restores and undos were begun, each of which may commit first.
    pub(super) restores: usize,
    /// Commits that a collection was told to drop.
    pub(super) dropped: usize,
    /// What the tag points to.
    pub(super) tag: Option<ObjectId>,
    /// What it was about to point to, if anything was about to be done with it.
    pub(super) tag_next: Option<Option<ObjectId>>,
}

/// The name of the only tag.
pub(super) fn tag_name() -> RefName {
    RefName::new("tags/t").expect("a name")
}

/// Does one action. Fails with what is no answer but a failure of the disk.
pub(super) fn act(
    disk: &SimDisk,
    repo: &mut Option<Repo>,
    action: &Action,
    promises: &mut Promises,
) -> Result<(), RepoError> {
    let before = promises.done;
    let mut durable = false;
    let is_refusal = |error: &OpError| !matches!(error, OpError::Object(_));
    if let Action::Reopen = action {
        if let Some(open) = repo.take() {
            let closed = open.close();
            drop(open);
            closed?;
            durable = true;
        }
        *repo = Some(open(disk)?);
    }
    let repo = repo.as_ref().expect("it is open");
    match action {
        Action::Do(op) => match reach_and_apply(repo, op) {
            Err(RepoError::Op(error)) if is_refusal(&error) => {}
            done => done?,
        },
        Action::Commit { durable: wanted } => {
            let request = CommitRequest { durable: *wanted, ..CommitRequest::default() };
            let id = repo.commit(&request)?;
            durable = *wanted;
            let root = repo.committing.lock().head_root.expect("it was just committed");
            if promises.commits.iter().all(|made| made.id != id) {
                promises.commits.push(Made { id, root, after: before + 1 });
            }
        }
        Action::Sync => {
            repo.sync()?;
            durable = true;
        }
        Action::Checkpoint => {
            repo.checkpoint()?;
            durable = true;
        }
        Action::Prepare => repo.journal().prepare()?,
        Action::WriteCommits => repo.write_commits()?,
        Action::Restore(revision) => {
            promises.restores += 1;
            let restored = repo.restore(&RestoreRequest::parse(revision));
            match restored {
                Err(error) if is_answer(&error) => {}
                done => drop(done?),
            }
        }
        Action::Tag => {
            if let Some(head) = repo.head() {
                promises.tag_next = Some(Some(*head.object()));
                repo.tag(&"move t HEAD".parse().expect("a request"))?;
                promises.tag = promises.tag_next.take().flatten();
                durable = true;
            }
        }
        Action::Untag => {
            if promises.tag.is_some() {
                promises.tag_next = Some(None);
                repo.tag(&"delete t".parse().expect("a request"))?;
                promises.tag = promises.tag_next.take().flatten();
                durable = true;
            }
        }
        Action::Undo => {
            promises.restores += 1;
            match repo.undo() {
                Err(error) if is_answer(&error) => {}
                done => drop(done?),
            }
        }
        Action::Gc(last) => {
            if let Some(last) = last {
                repo.write_commits()?;
                // What is dropped is promised no more from now on, but may stay.
                let listed = repo.store().commits().records();
                let newest = &listed[listed.len().saturating_sub(*last as usize)..];
                let head = repo.head();
                let before = promises.commits.len();
                promises.commits.retain(|made| {
                    head == Some(made.id)
                        || promises.tag == Some(*made.id.object())
                        || newest.iter().any(|record| record.id == made.id)
                });
                promises.dropped += before - promises.commits.len();
            }
            let retention = Retention { last: *last, ..Retention::default() };
            repo.gc(&GcRequest { retention, repack: before.is_multiple_of(2), dry_run: false })?;
            durable = true;
        }
        Action::Reopen => {}
    }
    promises.done += 1;
    if durable {
        promises.durable = promises.done;
    }
    Ok(())
}

/// Tells whether a restore or an undo was refused, in contrast to a failure.
fn is_answer(error: &RepoError) -> bool {
    !matches!(
        error,
        RepoError::Store(_) | RepoError::Object(_) | RepoError::Journal(_) | RepoError::Op(_)
    )
}

/// Applies an operation, after what the kernel would do first: look up what it names. Here all of
/// the tree is looked up, and an inode that is gone is not found.
pub(super) fn reach_and_apply(repo: &Repo, op: &Op) -> Result<(), RepoError> {
    repo.update(|edit| {
        let mut todo = vec![Ino::ROOT];
        while let Some(directory) = todo.pop() {
            for n in 0..6 {
                let name = if n == 5 { ".vstignore".to_owned() } else { format!("n{n}") };
                let name = Name::new(name.as_bytes()).expect("a name");
                let Some(found) = edit.lookup(directory, &name)? else { continue };
                edit.load(directory, &name, &found)?;
                if edit.find(found.ino).is_some_and(|inode| inode.is_directory()) {
                    todo.push(found.ino);
                }
            }
        }
        edit.apply(op)?;
        Ok(())
    })
}

/// How many seeds are tried: `VST_CRASH_SEEDS` asks for more.
pub(super) fn seeds(default: u64) -> u64 {
    let asked = std::env::var("VST_CRASH_SEEDS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(default)
}
