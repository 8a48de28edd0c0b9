//! Random sequences of operations, commits, failures, evictions and reopenings, against a model.

use std::sync::Arc;

use proptest::prelude::{ProptestConfig, proptest};

use super::check::{assert_consistent, assert_tables, assert_tree, root_from_scratch};
use super::model::Model;
use super::saver::Saver;
use super::steps::{Step, What, any_steps, linking_steps, name, node};
use super::{Cached, FullAfter, Objects, at, noise};
use crate::format::worktree::WorktreeState;
use crate::model::{FileKind, Ino, Name, ObjectError, ObjectSource, Op, RenameMode, Timestamp};
use crate::worktree::tree::Hasher;
use crate::worktree::{Inode, OpError, Snapshot, Worktree, hash_files};

struct Runner {
    tree: Worktree,
    model: Model,
    objects: Arc<Objects>,
    /// What operations read through, where it is not the whole store.
    cache: Option<Arc<Cached>>,
    /// The commit in flight, with the model as it was, and whether it takes all that changed.
    flight: Option<(Snapshot, Model, bool)>,
    hasher: Hasher,
    saver: Saver,
    /// Files that were hashed ahead of a commit and are yet to be settled.
    ahead: Vec<Arc<Inode>>,
    now: i64,
    /// What was done, for who reads a failure.
    log: Vec<String>,
}

/// A directory of several nodes is there from the start.
const MANY: u16 = 120;

impl Runner {
    fn new() -> Self {
        let tree = Worktree::new(0, 0, 0o755, at(0));
        let model = Model::new(0, 0, 0o755, at(0));
        let mut runner = Self {
            tree,
            model,
            objects: Arc::default(),
            cache: None,
            flight: None,
            hasher: Hasher::default(),
            saver: Saver::default(),
            ahead: Vec::new(),
            now: 0,
            log: Vec::new(),
        };
        runner.make_contents();
        let directory = runner.create(Ino::ROOT, name(0), FileKind::Directory);
        for n in 0..MANY {
            let kind = if n % 10 == 0 { FileKind::Directory } else { FileKind::Regular };
            runner.create(directory, name(100 + n), kind);
        }
        runner
    }

    fn create(&mut self, parent: Ino, name: Name, kind: FileKind) -> Ino {
        let (ino, node, time) = (self.tree.allocate_ino(), node(kind, 0), self.tick());
        self.apply(&Op::Create { parent, name, ino, node, time });
        ino
    }

    /// Stores contents that entries can refer to: none, a chunk, several.
    fn make_contents(&mut self) {
        for (seed, len) in [(1, 0), (2, 100), (3, 300_000)] {
            let bytes = noise(seed, len);
            let mut fs = super::fs::Fs::new();
            let ino = fs.file("f", &bytes);
            fs.commit();
            let content = fs.tree.find(ino).unwrap().file().unwrap().content().unwrap();
            self.objects.map.lock().append(&mut fs.objects.map.lock());
            self.model.contents.push((content, bytes));
        }
    }

    fn tick(&mut self) -> Timestamp {
        self.now += 1;
        at(self.now)
    }

    fn step(&mut self, step: &Step) {
        match step.what {
            What::Commit => {
                self.finish(None);
                self.begin(step.a.is_multiple_of(2));
                self.finish(None);
            }
            What::Begin if self.flight.is_none() => self.begin(step.a.is_multiple_of(2)),
            What::Begin | What::Finish => {
                self.finish(None);
            }
            What::Fail => {
                self.begin(step.b.is_multiple_of(2));
                self.finish(Some(step.a % 24));
            }
            What::Evict => {
                let ino = self.model.inode(step.a);
                let evicted = self.tree.evict(ino);
                self.log.push(format!("evict {ino:?}: {evicted}"));
            }
            What::Hash => self.hash_ahead(),
            What::Settle => {
                let settled = self.tree.settle(std::mem::take(&mut self.ahead), &*self.objects);
                self.log.push(format!("settle: {settled}"));
            }
            What::Reopen => self.reopen(),
            _ => {
                let (ino, time) = (self.tree.allocate_ino(), self.tick());
                let op = self.model.op(step, ino, time);
                self.apply(&op);
            }
        }
    }

    fn apply(&mut self, op: &Op) {
        self.log.push(match op {
            Op::Write { ino, offset, data, .. } => format!("{ino:?}: {} at {offset}", data.len()),
            op => format!("{op:?}").chars().take(200).collect(),
        });
        let result = match self.cache.clone() {
            None => self.reach_and_apply(op, &*self.objects.clone()),
            Some(cache) => self.apply_when_loaded(op, &cache),
        };
        let expected = self.model.apply(op);
        assert_eq!(format!("{result:?}"), format!("{expected:?}"), "the result of {op:?}");
    }

    /// Looks up what an operation names, as the kernel has done before it names it.
    fn reach_and_apply(&mut self, op: &Op, src: &dyn ObjectSource) -> Result<(), OpError> {
        for ino in inos_of(op) {
            reach(&mut self.tree, &self.model, ino, src)?;
        }
        self.tree.apply(op, src)
    }

    /// Applies an operation, fetching what it asks for, one object at a time.
    fn apply_when_loaded(&mut self, op: &Op, cache: &Cached) -> Result<(), OpError> {
        loop {
            // A clone makes edits work on copies; without one they work in place.
            let before = (self.now % 2 == 0).then(|| self.tree.clone());
            let result = self.reach_and_apply(op, cache);
            let Err(OpError::Object(ObjectError::NotLoaded(id))) = result else { return result };
            if let Some(before) = before {
                assert_unchanged(&before, &self.tree, op);
            }
            cache.fetch(id);
        }
    }

    /// Hashes all dirty files, to be settled when other things may have happened.
    fn hash_ahead(&mut self) {
        self.ahead = if self.now % 2 == 0 {
            self.tree.to_settle(self.tree.dirty_files(), u64::MAX)
        } else {
            let inos: Vec<Ino> = self.model.nodes.keys().copied().collect();
            self.tree.to_settle(&inos, u64::MAX)
        };
        hash_files(&self.ahead, &mut self.hasher, &*self.objects).unwrap();
        self.log.push(format!("hash ahead: {}", self.ahead.len()));
    }

    fn begin(&mut self, takes_all: bool) {
        // What a commit that was begun before had taken goes over to this one.
        self.log.push(format!("begin, {takes_all}"));
        let snapshot = match takes_all {
            true => self.tree.begin_checkpoint(),
            false => self.tree.begin_commit(),
        };
        self.flight = Some((snapshot, self.model.clone(), takes_all));
    }

    /// Ends the commit in flight, which may meet a store that is full after so many objects.
    fn finish(&mut self, full_after: Option<u16>) -> Option<WorktreeState> {
        let (snapshot, mut model, takes_all) = self.flight.take()?;
        self.log.push(format!("finish {full_after:?}"));
        if full_after == Some(0) {
            self.tree.abort_commit(snapshot);
            return None;
        }
        let left = full_after.map_or(i64::MAX, i64::from).into();
        let Self { tree: live, saver, hasher, objects, .. } = self;
        let sink = FullAfter { objects, left };
        let committed = snapshot.hash(hasher, &**objects).unwrap();
        let root = committed.root;
        assert_eq!(root, root_from_scratch(&model), "the id of the tree");
        let (tree, unstored) = (snapshot.hashed(&committed), snapshot.unstored(&committed));
        saver.publish(live, committed, unstored);
        if !takes_all {
            // What has no name yet is left to the next one.
            return None;
        }
        let Ok(state) = saver.save(live, (&tree, root), hasher, &**objects, &sink) else {
            assert!(full_after.is_some());
            return None;
        };
        let mut opened = Worktree::open(&state, &*self.objects).unwrap();
        opened.drop_nameless(&*self.objects).unwrap();
        model.forget_orphans();
        assert_tree(&opened, &model, &self.objects);
        assert_tables(&opened, &self.objects);
        Some(state)
    }

    /// Commits, and checks that nothing is left to commit.
    fn commit(&mut self) -> WorktreeState {
        self.finish(None);
        self.begin(true);
        let state = self.finish(None).expect("nothing failed");
        assert!(!self.tree.is_dirty());
        let before = self.hasher.counts;
        self.begin(true);
        assert_eq!(self.finish(None), Some(state.clone()));
        assert_eq!(self.hasher.counts, before, "nothing changed, nothing is hashed");
        state
    }

    fn reopen(&mut self) {
        let state = WorktreeState::decode(&self.commit().encode()).unwrap();
        self.log.push("reopen".to_owned());
        self.tree = Worktree::open(&state, &*self.objects).unwrap();
        self.tree.drop_nameless(&*self.objects).unwrap();
        self.model.forget_orphans();
        assert_eq!(self.tree.inodes_loaded(), 1, "nothing is loaded before it is looked at");
        self.cache = self.cache.take().map(|_| Arc::new(Cached::new(self.objects.clone())));
    }

    fn check(&self) {
        assert_tree(&self.tree, &self.model, &self.objects);
        assert_consistent(&self.tree, &self.objects);
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let from = self.log.len().min(usize::from(MANY) + 1);
            eprintln!("{}", self.log[from..].join("\n"));
        }
    }
}

/// The inodes that an operation names.
fn inos_of(op: &Op) -> Vec<Ino> {
    match op {
        Op::Create { parent, .. }
        | Op::Adopt { parent, .. }
        | Op::Unlink { parent, .. }
        | Op::Rmdir { parent, .. } => vec![*parent],
        Op::CreateNameless { .. } => vec![],
        Op::Link { ino, parent, .. } => vec![*ino, *parent],
        Op::Rename { parent, new_parent, .. } => vec![*parent, *new_parent],
        Op::Write { ino, .. }
        | Op::Truncate { ino, .. }
        | Op::Zero { ino, .. }
        | Op::SetAttr { ino, .. }
        | Op::SetXattr { ino, .. }
        | Op::RemoveXattr { ino, .. }
        | Op::Revert { ino, .. }
        | Op::DropOrphan { ino } => vec![*ino],
    }
}

/// Looks an inode up on one of its paths.
fn reach(
    tree: &mut Worktree,
    model: &Model,
    ino: Ino,
    src: &dyn ObjectSource,
) -> Result<(), ObjectError> {
    if tree.find(ino).is_some() {
        return Ok(());
    }
    let names = model.all_names();
    let Some(names) = names.get(&ino) else {
        assert!(!model.nodes.contains_key(&ino), "{ino:?} has no name and was lost");
        return Ok(());
    };
    let (parent, name) = &names[ino.0 as usize % names.len()];
    reach(tree, model, *parent, src)?;
    let found = tree.lookup(*parent, name, src)?.expect("the model has it");
    assert_eq!(found.ino, ino);
    tree.load(*parent, name, &found, src)
}

/// Checks that a failure changed nothing but what is in memory.
fn assert_unchanged(before: &Worktree, after: &Worktree, op: &Op) {
    // One that could not be completed takes back an edit of a directory, which is marked then, as is
    // what lies above it, and whose nodes are others.
    let was_rename = matches!(op, Op::Rename { .. });
    assert_eq!((before.dirty_bytes, before.next_ino), (after.dirty_bytes, after.next_ino));
    assert!(before.inodes.len() <= after.inodes.len());
    for inode in after.inodes.values() {
        let Some(old) = before.find(inode.ino) else {
            let is_marked = was_rename && inode.is_directory();
            assert!(inode.epoch == 0 || is_marked, "{:?} was only loaded", inode.ino);
            continue;
        };
        assert_eq!((inode.meta, inode.ctime, inode.atime), (old.meta, old.ctime, old.atime));
        assert_eq!(inode.born, old.born);
        assert_eq!((&inode.xattrs, &inode.names), (&old.xattrs, &old.names));
        assert_eq!(inode.size(), old.size());
        if let (Some(now), Some(old)) = (inode.directory(), old.directory()) {
            if was_rename {
                Hasher::default().hash(&[now, old]);
            }
            assert!(now.is_same(old), "the entries of {:?}", inode.ino);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_sequence_does_what_the_model_does(steps in any_steps(60)) {
        let mut runner = Runner::new();
        for step in &steps {
            runner.step(step);
            runner.check();
        }
        runner.commit();
        runner.check();
        runner.reopen();
        runner.check();
    }

    #[test]
    fn what_is_not_in_memory_is_asked_for_and_nothing_changes_before_it_is(steps in any_steps(60)) {
        let mut runner = Runner::new();
        runner.cache = Some(Arc::new(Cached::new(runner.objects.clone())));
        // Each round meets a tree that nobody has looked at.
        for round in steps.chunks(12) {
            runner.reopen();
            round.iter().for_each(|step| runner.step(step));
            runner.check();
        }
    }

    #[test]
    fn the_tables_follow_the_names_of_files(steps in linking_steps(80)) {
        let mut runner = Runner::new();
        steps.iter().for_each(|step| runner.step(step));
        // Committed trees are compared with the model, and their tables with a scan.
        runner.commit();
        runner.check();
    }
}

/// In a directory of several nodes, some names move the borders between nodes, and then more is
/// needed than where they belong.
#[test]
fn a_rename_that_waits_for_a_neighbouring_node_has_changed_neither_directory() {
    let mut runner = Runner::new();
    let (many, other) = (Ino(2), runner.create(Ino::ROOT, name(1), FileKind::Directory));
    runner.create(other, name(0), FileKind::Regular);
    runner.cache = Some(Arc::new(Cached::new(runner.objects.clone())));
    for n in 1000..1080 {
        let mut move_entry = |from: (Ino, Name), to: (Ino, Name)| {
            runner.reopen();
            let ((parent, name), (new_parent, new_name)) = (from, to);
            let (mode, time) = (RenameMode::Replace, runner.tick());
            runner.apply(&Op::Rename { parent, name, new_parent, new_name, mode, time });
        };
        move_entry((other, name(0)), (many, name(n)));
        move_entry((many, name(n)), (other, name(0)));
        if n % 2 == 0 {
            runner.tick();
        }
        runner.check();
    }
}

/// A commit between two tries finds what was to be replaced as it was stored.
#[test]
fn a_rename_that_waits_has_not_replaced_what_has_its_new_name() {
    let mut runner = Runner::new();
    let (many, other) = (Ino(2), runner.create(Ino::ROOT, name(1), FileKind::Directory));
    let mut waited = 0;
    // Every tenth is a directory.
    for n in (0..MANY).filter(|n| n % 10 != 0) {
        if n == 1 {
            runner.create(other, name(0), FileKind::Regular);
        }
        runner.reopen();
        let (cache, time) = (Cached::new(runner.objects.clone()), runner.tick());
        let (parent, name, new_parent, new_name) = (many, name(100 + n), other, name(0));
        let op = Op::Rename { parent, name, new_parent, new_name, mode: RenameMode::Replace, time };
        while let Err(error) = runner.reach_and_apply(&op, &cache) {
            let OpError::Object(ObjectError::NotLoaded(id)) = error else { panic!("{error:?}") };
            waited += 1;
            runner.commit();
            cache.fetch(id);
        }
        runner.model.apply(&op).unwrap();
        runner.check();
    }
    assert!(waited > 100, "{waited} times are too few to show anything");
}
