//! A writer: does one operation after another in its subtree, and keeps the model of it.

use std::fs::{self, File};
use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use super::calls::{Done, Held, call};
use super::choice::{Action, Chooser};
use super::commits::commit;
use super::compare::{Logged, Record};
use super::found::chosen_at;
use super::model::{Model, Op};
use super::round::Round;

/// The directories that the two writers of the pair have in common.
pub(crate) const COMMON: [&str; 2] = ["shared/x", "shared/y"];
/// A file that both of the pair move, the one from the first directory to the second, the other
/// back.
pub(crate) const TOKEN: &str = "token";
/// The name of a move of the token among the operations.
pub(crate) const MOVE_TOKEN: &str = "move the token";

/// A commit that a writer made, and what its subtree held then.
pub(crate) type Saved = Option<(String, Arc<Model>)>;

/// What a writer reports at the end of a round.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) record: Record,
    /// How often it has moved the token.
    pub(crate) token_moves: u64,
    pub(crate) bytes_written: u64,
    pub(crate) restores: u64,
    /// Restores that gave up because of the other writers.
    pub(crate) refused: u64,
    /// What it can go back to.
    pub(crate) saved: Saved,
}

/// A writer in a round.
pub(crate) struct Writer<'a> {
    round: &'a Round,
    number: usize,
    model: Model,
    chooser: Chooser,
    held: Held,
    report: Report,
}

impl<'a> Writer<'a> {
    /// A writer that begins with what its subtree holds.
    pub(crate) fn new(
        round: &'a Round,
        number: usize,
        model: Model,
        saved: Saved,
        chooser: Chooser,
    ) -> Self {
        let report = Report { saved, ..Report::default() };
        Self { round, number, model, chooser, held: Held::default(), report }
    }

    /// Works until the round ends or the daemon dies.
    pub(crate) fn work(mut self) -> Report {
        while !self.round.is_stopped() {
            let action = self.chooser.choose(&self.model, &self.held);
            if !self.act(action) {
                break;
            }
        }
        self.report
    }

    /// Does something; tells whether to go on.
    fn act(&mut self, action: Action) -> bool {
        let op = match (&action, &self.report.saved) {
            (Action::Do(op), _) => op.clone(),
            (Action::Sync(_), _) => Op::Nothing("sync"),
            (Action::Restore, Some((commit, then))) => {
                let (top, commit, then) = (self.chooser.top(), commit.clone(), then.clone());
                Op::Restore { top, commit, then }
            }
            (Action::Commit | Action::Restore, _) => Op::Nothing("commit"),
            (Action::MoveToken, _) => Op::Nothing(MOVE_TOKEN),
            (Action::Hold(path), _) => return self.hold(path),
        };
        let number = self.next_number();
        self.round.begin(self.number, number);
        match self.call(&op, &action) {
            Ok(Done::Whole) => self.acknowledged(op),
            Ok(Done::Made(file)) => {
                let Op::Create { path, .. } = &op else { unreachable!("only create makes") };
                let path = path.clone();
                let alive = self.acknowledged(op);
                if let Some(id) = self.model.find(&path) {
                    self.held.add(id, file);
                }
                alive
            }
            Ok(Done::Short(len)) => self.cut_short(&op, len),
            // The others change the tree all the time.
            Err(error) if is_refused(&op, &error) => {
                self.report.refused += 1;
                self.acknowledged(Op::Nothing("refused restore"))
            }
            Err(error) => {
                let what = format!("writer {}: {}", self.number, op.describe());
                if self.round.is_death(&error, &what) {
                    self.report.record.in_flight = Some(op);
                }
                false
            }
        }
    }

    fn next_number(&self) -> u64 {
        self.report.record.log.len() as u64 + 1
    }

    fn call(&mut self, op: &Op, action: &Action) -> io::Result<Done> {
        match (action, op) {
            (Action::Sync(path), _) => File::open(self.round.top.join(path))?.sync_all()?,
            (Action::Commit | Action::Restore, Op::Nothing(_)) => {
                let (round, number) = (self.round.number, self.next_number());
                let message = format!("round {round} writer {} state {number}", self.number);
                let id = commit(self.round, &mut self.chooser.random, &message)?;
                if let Some(id) = id.filter(|_| !self.chooser.top().is_empty()) {
                    self.report.saved = Some((id, self.model.clone().into()));
                }
            }
            (Action::Restore, _) => {
                self.round.ask_for_restore();
                call(&self.round.top, op, &self.model, &self.held)?;
                self.report.restores += 1;
                // What was open may have lost its name.
                self.held = Held::default();
            }
            (Action::MoveToken, _) => self.move_token()?,
            _ => return call(&self.round.top, op, &self.model, &self.held),
        }
        Ok(Done::Whole)
    }

    fn move_token(&mut self) -> io::Result<()> {
        let mut places = COMMON.map(|directory| self.round.top.join(directory).join(TOKEN));
        if self.number % 2 == 1 {
            places.reverse();
        }
        match fs::rename(&places[0], &places[1]) {
            Ok(()) => self.report.token_moves += 1,
            // The other one has yet to bring it back.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn hold(&mut self, path: &str) -> bool {
        let Some(id) = self.model.find(path) else { return true };
        match File::options().read(true).write(true).open(self.round.top.join(path)) {
            Ok(file) => {
                self.held.add(id, file);
                true
            }
            Err(error) => {
                self.round.is_death(&error, &format!("opening {path}"));
                false
            }
        }
    }

    /// Notes an operation that was acknowledged and what the filesystem chose; tells whether the
    /// daemon still answers.
    fn acknowledged(&mut self, op: Op) -> bool {
        if let Op::Write { data, .. } = &op {
            self.report.bytes_written += data.len() as u64;
        }
        self.round.acknowledge(self.number, self.next_number());
        let mut logged = Logged { op, seen: Vec::new() };
        let mut alive = true;
        for id in self.model.apply(&logged.op) {
            let Some(path) = self.model.name_of(id) else { continue };
            match chosen_at(&self.round.top.join(path)) {
                Ok(chosen) if self.model.agrees(id, &chosen) => logged.seen.push((id, chosen)),
                Ok(chosen) => {
                    let (op, known) = (logged.op.describe(), self.model.find_node(id));
                    let known = known.map(|node| node.chosen);
                    self.round.fail(format!("after {op}, {path} has {chosen:?}, not {known:?}"));
                    alive = false;
                    break;
                }
                Err(error) => {
                    self.round.is_death(&error, &format!("looking at {path}"));
                    alive = false;
                    break;
                }
            }
        }
        for (id, chosen) in &logged.seen {
            self.model.observe(*id, *chosen);
        }
        self.report.record.log.push(logged);
        alive
    }

    /// The daemon died between two requests of a write: those before are acknowledged, and the
    /// next one may have happened.
    fn cut_short(&mut self, op: &Op, len: usize) -> bool {
        let Op::Write { file, offset, data, append } = op else { return false };
        if !self.round.is_death_expected() {
            self.round.fail(format!("writer {}: {len} bytes of {}", self.number, op.describe()));
        }
        let part = |offset, data: &[u8]| {
            let data: Arc<[u8]> = data.into();
            Op::Write { file: *file, offset, data, append: *append }
        };
        // Nobody is told of the error; the next call gets it.
        self.acknowledged(part(*offset, &data[..len]));
        self.round.begin(self.number, self.next_number());
        self.report.record.in_flight = Some(part(offset + len, &data[len..]));
        false
    }
}

fn is_refused(op: &Op, error: &io::Error) -> bool {
    matches!(op, Op::Restore { .. }) && Errno::from_io_error(error) == Some(Errno::BUSY)
}
