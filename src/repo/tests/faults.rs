//! Full disks, failing disks, disks that write a part of what they are given.

use rustix::io::Errno;

use super::world::{
    Action, Actions, Dump, Promises, act, dump, new_disk, open, reach_and_apply, seeds,
};
use crate::base::disk::sim::SimDisk;
use crate::model::{Ino, Name, Op, Timestamp};
use crate::repo::{CommitRequest, Repo, RepoError};

/// A repository on a disk that fails now and then, and what is in it.
struct Troubled {
    disk: SimDisk,
    repo: Option<Repo>,
    promises: Promises,
    /// The tree as it was last seen.
    seen: Dump,
    failures: usize,
    what: String,
}

impl Troubled {
    fn new(what: String) -> Self {
        let disk = new_disk();
        let repo = open(&disk).unwrap_or_else(|e| panic!("{what}: {e}"));
        let seen = dump(&repo);
        let promises = Promises::default();
        Self { disk, repo: Some(repo), promises, seen, failures: 0, what }
    }

    fn repo(&self) -> &Repo {
        self.repo.as_ref().expect("it is open")
    }

    /// Does something that may fail; then nothing of it has been done, or all.
    fn act(&mut self, action: &Action) {
        let done = act(&self.disk, &mut self.repo, action, &mut self.promises);
        self.open_again();
        let after = dump(self.repo());
        if let Err(error) = done {
            self.failures += 1;
            let text = error.to_string();
            assert!(
                !text.contains("damaged") && !text.contains("missing"),
                "{}: {text}",
                self.what
            );
            if !matches!(action, Action::Do(_) | Action::Restore(_) | Action::Undo) {
                assert_eq!(after, self.seen, "{}: {action:?}: {error}", self.what);
            }
        }
        self.seen = after;
    }

    /// Sees that all is well when the disk is, and that all that was acknowledged is there.
    fn check(mut self) {
        let what = &self.what;
        let killed = self.disk.after_kill();
        let repo = self.repo();
        assert_eq!(dump(repo), self.seen, "{what}");
        repo.checkpoint().unwrap_or_else(|e| panic!("{what}: {e}"));
        let request = CommitRequest { allow_empty: true, ..CommitRequest::default() };
        let id = repo.commit(&request).unwrap_or_else(|e| panic!("{what}: {e}"));
        repo.close().unwrap_or_else(|e| panic!("{what}: {e}"));
        drop(self.repo.take());
        let after = self.disk.after_power_loss(3);
        let repo = open(&after).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!((dump(&repo), repo.head()), (self.seen.clone(), Some(id)), "{what}");
        let listed = repo.history().store().commits().records();
        for made in &self.promises.commits {
            assert!(listed.iter().any(|record| record.id == made.id), "{what}: a commit is lost");
        }
        // As if it had been killed before it could do anything about the failures.
        killed.set_capacity(None);
        let repo = open(&killed).unwrap_or_else(|e| panic!("{what}, killed: {e}"));
        repo.write_commits().unwrap_or_else(|e| panic!("{what}, killed: {e}"));
        let listed = repo.history().store().commits().records();
        for made in &self.promises.commits {
            assert!(listed.iter().any(|record| record.id == made.id), "{what}: a commit is lost");
        }
    }
}

#[test]
fn on_a_full_disk_nothing_is_lost_and_commits_and_deletions_work() {
    for seed in 0..seeds(40) {
        let what = format!("seed {seed}");
        let mut troubled = Troubled::new(what.clone());
        let actions = Actions::list(seed, 60);
        for action in &actions[..20] {
            troubled.act(action);
        }
        // As the thread does that works behind a mount.
        troubled.repo().journal().prepare().expect("there is room");
        let room = [0, 100, 3000, 70_000, 900_000][seed as usize % 5];
        troubled.disk.set_capacity(Some(troubled.disk.used_bytes() + room));
        let is_write = |action: &&Action| matches!(action, Action::Do(_) | Action::Sync);
        for action in actions[20..].iter().filter(is_write) {
            troubled.act(action);
        }
        // Until the disk refuses even that.
        fill(&troubled);
        troubled.seen = dump(troubled.repo());
        let request = CommitRequest { allow_empty: true, ..CommitRequest::default() };
        let id = troubled.repo().commit(&request).unwrap_or_else(|e| panic!("{what}: {e}"));
        let before = troubled.seen.len();
        delete_all(&troubled, &what);
        let killed = troubled.disk.after_kill();
        troubled.seen = dump(troubled.repo());
        assert!(troubled.seen.len() < before.max(2), "{what}");
        // The next process meets a full disk.
        let repo = open(&killed).unwrap_or_else(|e| panic!("{what}: not opened when full: {e}"));
        assert_eq!(dump(&repo), troubled.seen, "{what}");
        assert_eq!(repo.head(), Some(id), "{what}");
        drop(repo);
        troubled.disk.set_capacity(None);
        troubled.check();
    }
}

/// Writes until nothing more is taken.
fn fill(troubled: &Troubled) {
    let Ok(ino) = troubled.repo().update(|edit| Ok(edit.allocate_ino())) else { return };
    let time = Timestamp { secs: 900, nanos: 0 };
    let node = crate::model::NewNode {
        kind: crate::model::FileKind::Regular,
        perm: 0o600,
        uid: 1,
        gid: 1,
        rdev: 0,
        target: Box::default(),
    };
    let name = Name::new(b"filler").expect("a name");
    let made = troubled.repo().apply(&Op::Create { parent: Ino::ROOT, name, ino, node, time });
    if made.is_err() {
        return;
    }
    for n in 0..2000 {
        let data = vec![n as u8; 15_000].into();
        let op = Op::Write { ino, offset: n * 15_000, data, kill_priv: false, time };
        match troubled.repo().apply(&op) {
            Ok(()) => {}
            Err(error) => return assert!(is_full(&error), "{error}"),
        }
    }
    panic!("{}: it is never full", troubled.what);
}

fn is_full(error: &RepoError) -> bool {
    error.to_string().to_lowercase().contains("no space left")
}

/// Removes every name in the root that can be removed.
fn delete_all(troubled: &Troubled, what: &str) {
    let time = Timestamp { secs: 901, nanos: 0 };
    for name in ["n0", "n1", "n2", "n3", "n4", "filler"] {
        let name = Name::new(name.as_bytes()).expect("a name");
        let parent = Ino::ROOT;
        for op in
            [Op::Unlink { parent, name: name.clone(), time }, Op::Rmdir { parent, name, time }]
        {
            let is_there = |op: &Op| match op {
                Op::Unlink { name, .. } | Op::Rmdir { name, .. } => troubled
                    .seen
                    .contains_key(&format!("/{}", String::from_utf8_lossy(name.as_bytes()))),
                _ => false,
            };
            match troubled.repo().apply(&op) {
                Err(RepoError::Op(_)) => {}
                Err(error) if is_there(&op) => panic!("{what}: {op:?}: {error}"),
                _ => {}
            }
        }
    }
}

#[test]
fn a_write_that_fails_costs_nothing_that_was_acknowledged() {
    for seed in 0..seeds(6) {
        let actions = Actions::list(seed, 20);
        let steps = count_steps(&actions, |disk| disk.steps());
        for step in 0..steps {
            for errno in [Errno::IO, Errno::NOSPC] {
                let what = format!("seed {seed}, step {step}, {errno}");
                with_fault(&actions, what, |disk| disk.fail_at(step, errno));
            }
        }
    }
}

#[test]
fn a_read_that_fails_costs_nothing() {
    for seed in 0..seeds(6) {
        let actions = Actions::list(seed, 20);
        let reads = count_steps(&actions, |disk| disk.reads());
        for read in 0..reads {
            let what = format!("seed {seed}, read {read}");
            with_fault(&actions, what, |disk| disk.fail_read_at(read));
        }
    }
}

#[test]
fn a_sync_that_fails_is_told_and_made_good() {
    for seed in 0..seeds(12) {
        let what = format!("seed {seed}");
        let mut troubled = Troubled::new(what.clone());
        for (n, action) in Actions::list(seed, 40).iter().enumerate() {
            troubled.disk.set_fail_syncs(n % 3 == 1);
            troubled.act(action);
        }
        troubled.disk.mend();
        let time = Timestamp { secs: 999, nanos: 0 };
        let name = (*b"user.last").into();
        let value = (*b"1").into();
        let op = Op::SetXattr { ino: Ino::ROOT, name, value, time };
        reach_and_apply(troubled.repo(), &op).unwrap_or_else(|e| panic!("{what}: {e}"));
        troubled.disk.set_fail_syncs(true);
        troubled.repo().sync().expect_err("the disk cannot");
        troubled.disk.set_fail_syncs(false);
        // What the failed sync has thrown away is brought to the disk another way.
        troubled.repo().sync().unwrap_or_else(|e| panic!("{what}: {e}"));
        let expected = dump(troubled.repo());
        for luck in 0..4 {
            let after = troubled.disk.after_power_loss(luck);
            let repo = open(&after).unwrap_or_else(|e| panic!("{what}, {luck}: {e}"));
            assert_eq!(dump(&repo), expected, "{what}, {luck}");
        }
        troubled.seen = expected;
        troubled.check();
    }
}

#[test]
fn writes_that_are_done_in_part_are_gone_on_with() {
    for seed in 0..seeds(6) {
        let mut troubled = Troubled::new(format!("seed {seed}"));
        troubled.disk.set_short_writes(Some(seed));
        for action in &Actions::list(seed, 60) {
            troubled.act(action);
        }
        assert_eq!(troubled.failures, 0);
        troubled.check();
    }
}

#[test]
fn a_disk_that_takes_no_changes_lets_everything_be_read() {
    for seed in 0..seeds(6) {
        let actions = Actions::list(seed, 30);
        let mut troubled = Troubled::new(format!("seed {seed}"));
        for action in &actions[..20] {
            troubled.act(action);
        }
        troubled.disk.set_read_only(true);
        for action in actions[20..].iter().filter(|a| !matches!(a, Action::Reopen)) {
            troubled.act(action);
        }
        troubled.disk.set_read_only(false);
        troubled.check();
    }
}

fn count_steps(actions: &[Action], count: impl Fn(&SimDisk) -> u64) -> u64 {
    let mut troubled = Troubled::new("nothing fails".to_owned());
    for action in actions {
        troubled.act(action);
    }
    assert_eq!(troubled.failures, 0);
    let counted = count(&troubled.disk);
    troubled.check();
    counted
}

fn with_fault(actions: &[Action], what: String, fault: impl Fn(&SimDisk)) {
    let disk = new_disk();
    fault(&disk);
    // Who cannot be opened is opened again.
    let repo = open(&disk).or_else(|_| {
        disk.mend();
        open(&disk)
    });
    let repo = repo.unwrap_or_else(|e| panic!("{what}: {e}"));
    let (promises, failures) = Default::default();
    let mut troubled =
        Troubled { seen: Dump::new(), disk, repo: Some(repo), promises, failures, what };
    for action in actions {
        troubled.act_and_look(action);
    }
    troubled.disk.mend();
    troubled.seen = dump(troubled.repo());
    troubled.check();
}

impl Troubled {
    /// As `act`, without a look at the tree, which would meet the fault itself.
    fn act_and_look(&mut self, action: &Action) {
        let done = act(&self.disk, &mut self.repo, action, &mut self.promises);
        if let Err(error) = done {
            self.failures += 1;
            let text = error.to_string();
            assert!(
                !text.contains("damaged") && !text.contains("missing"),
                "{}: {text}",
                self.what
            );
        }
        self.open_again();
    }

    /// Opens it on a disk that was mended, if that failed.
    fn open_again(&mut self) {
        if self.repo.is_none() {
            self.disk.mend();
            let what = &self.what;
            self.repo = Some(open(&self.disk).unwrap_or_else(|e| panic!("{what}: {e}")));
        }
    }
}
