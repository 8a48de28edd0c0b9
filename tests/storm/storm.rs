//! Round after round on one store: writers and committers at work, the death of the daemon, a new
//! mount, and a look at everything.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::check::{Parts, ReadSnapshot, Subtree, token_may_be};
use super::choice::{Chooser, NAMES_MAX, Place};
use super::commits::commit;
use super::compare::Record;
use super::found::read_all;
use super::harness::TestMount;
use super::history::{History, Known};
use super::model::{Model, Op};
use super::random::Random;
use super::report::Totals;
use super::round::{Round, Stop};
use super::writer::{COMMON, MOVE_TOKEN, Report, Saved, TOKEN, Writer};

/// Writers with a directory of their own; an even number.
const OWN_WRITERS: usize = 4;
pub(crate) const WRITERS: usize = OWN_WRITERS + 2;
/// A round in which nothing gets on for so long hangs.
const ROUND_TIMEOUT: Duration = Duration::from_secs(120);
/// One round in so many has nobody who does nothing but commit.
const ROUNDS_WITHOUT_COMMITTER: usize = 4;
/// One round in so many ends with an unmount, and of these all but one in so many with a kill amid
/// it.
const UNMOUNTS: usize = 5;
const WHOLE_UNMOUNTS: usize = 4;
/// One new daemon in so many is killed while it starts.
const KILLS_AT_START: usize = 6;
/// One round in so many is followed by a restore of the whole tree.
const RESTORES: usize = 8;
/// One round in so many looks at an old snapshot again.
const OLD_SNAPSHOTS: usize = 3;
/// The longest time from the start of something to a kill amid it, in microseconds.
const START_KILL_US_MAX: usize = 40_000;
const END_KILL_US_MAX: usize = 60_000;
/// When set, what a failed storm leaves in its store is kept.
const KEEP: &str = "VST_STORM_KEEP";

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Options of `vst mount`.
    pub(crate) options: &'static [&'static str],
    /// The most operations in a round.
    pub(crate) operations_max: usize,
    /// Snapshots that are read in full after a round, besides the newest.
    pub(crate) snapshots_read: usize,
    /// Small files that one round in `burst_rounds` begins with.
    pub(crate) burst_files: usize,
    pub(crate) burst_rounds: usize,
}

/// A store in a storm.
pub(crate) struct Storm {
    plan: Plan,
    pub(crate) mount: TestMount,
    pub(crate) random: Random,
    /// What the tree holds, by writers.
    pub(crate) models: Vec<Model>,
    saved: Vec<Saved>,
    /// Which of the common directories has the token.
    pub(crate) token: usize,
    pub(crate) history: History,
    rounds: u64,
    pub(crate) totals: Totals,
}

fn places() -> impl Iterator<Item = Place> {
    (0..WRITERS).map(|writer| match writer {
        0..OWN_WRITERS => Place::Own(format!("w{writer}")),
        _ => Place::Common(format!("w{writer}-")),
    })
}

impl Storm {
    /// Mounts a new store and makes the directories that are always there.
    pub(crate) fn new(plan: Plan) -> Self {
        let mut mount = TestMount::prepare();
        mount.start(plan.options).unwrap_or_else(|failure| panic!("{failure}"));
        let top = mount.path();
        let mut models = vec![Model::default(); WRITERS];
        for directory in COMMON {
            fs::create_dir_all(top.join(directory)).expect("a new directory");
        }
        fs::write(top.join(COMMON[0]).join(TOKEN), "").expect("a new file");
        for (place, model) in places().zip(&mut models) {
            let Place::Own(path) = place else { continue };
            fs::create_dir(top.join(&path)).expect("a new directory");
            let perm = fs::Permissions::from_mode(0o755);
            fs::set_permissions(top.join(&path), perm).expect("a directory of ours");
            model.apply(&Op::Mkdir { path, perm: 0o755 });
        }
        let history = History::new(mount.commit("before the storm"));
        let random = Random::new(plan.seed);
        let totals = Totals::default();
        let saved = vec![None; WRITERS];
        Self { plan, mount, random, models, saved, token: 0, history, rounds: 0, totals }
    }

    /// One round: work, the end of the daemon, and a check of what is left.
    pub(crate) fn round(&mut self) -> Result<(), String> {
        self.rounds += 1;
        self.try_round().map_err(|what| {
            if std::env::var_os(KEEP).is_some() {
                self.mount.keep();
            }
            format!(
                "seed {}, round {}, store {} ({KEEP}=1 keeps it): {what}\nthe last daemon wrote:\n{}",
                self.plan.seed,
                self.rounds,
                self.mount.store().display(),
                self.mount.output()
            )
        })
    }

    fn try_round(&mut self) -> Result<(), String> {
        let killed = !self.random.once_in(UNMOUNTS);
        let bursts = self.random.once_in(self.plan.burst_rounds);
        let burst = if bursts { self.plan.burst_files } else { 0 };
        // What a burst has left takes so many operations to remove.
        let clutter: usize =
            self.models.iter().map(|m| m.names().count().saturating_sub(NAMES_MAX)).sum();
        let operations = self.random.between(5, self.plan.operations_max) + clutter + 2 * burst;
        let (sender, receiver) = sync_channel(1);
        let top = self.mount.path().to_owned();
        let round = Round::new(self.rounds, top, WRITERS, operations as u64, sender);
        let mut reports = self.work(&round, &receiver, killed, burst);
        let failures = round.take_failures();
        if !failures.is_empty() {
            return Err(failures.join("\n"));
        }
        self.totals.count(&round, &reports);
        for (saved, report) in self.saved.iter_mut().zip(&mut reports) {
            *saved = report.saved.take();
        }
        if killed {
            self.mount.remove_dead_mount();
        } else if self.random.once_in(WHOLE_UNMOUNTS) {
            self.mount.unmount();
            self.totals.unmounts += 1;
        } else {
            let after = self.random.below(END_KILL_US_MAX);
            self.mount.end_and_kill(Duration::from_micros(after as u64));
            self.totals.kills_at_end += 1;
        }
        self.mount_again()?;
        self.check(&round, &reports)
    }

    /// Has everybody work until the daemon is killed, or they have done enough.
    fn work(
        &mut self,
        round: &Round,
        reached: &Receiver<()>,
        killed: bool,
        burst: usize,
    ) -> Vec<Report> {
        let Self { random, models, saved, mount, totals, .. } = self;
        thread::scope(|scope| {
            let _guard = Stop(round);
            let mut writers = Vec::new();
            for (number, (place, model)) in places().zip(models).enumerate() {
                // The number of files and of writes in them.
                let burst = if number == 0 { 2 * burst } else { 0 };
                let chooser = Chooser::new(random.fork(), place, burst, round.number);
                let saved = saved[number].take();
                let writer = Writer::new(round, number, model.clone(), saved, chooser);
                writers.push(scope.spawn(|| writer.work()));
            }
            let committers = random.fork();
            if !random.once_in(ROUNDS_WITHOUT_COMMITTER) {
                scope.spawn(|| commit_often(round, committers));
            }
            let hangs = reached.recv_timeout(ROUND_TIMEOUT) == Err(RecvTimeoutError::Timeout);
            if hangs {
                round.fail(format!("the round takes longer than {ROUND_TIMEOUT:?}"));
            }
            if killed || random.once_in(2) {
                // Anywhere in the next operations, and not always right after one.
                thread::sleep(Duration::from_micros(random.below(3000) as u64));
            }
            if killed || hangs {
                round.expect_death();
                mount.kill_daemon();
                totals.kills_at_work += 1;
            }
            round.stop();
            let reports = writers.into_iter().map(|writer| match writer.join() {
                Ok(report) => report,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            reports.collect()
        })
    }

    /// Mounts the store again, now and then in more than one try.
    pub(crate) fn mount_again(&mut self) -> Result<(), String> {
        while self.random.once_in(KILLS_AT_START) {
            let after = self.random.below(START_KILL_US_MAX);
            self.mount.start_and_kill(Duration::from_micros(after as u64));
            self.totals.kills_at_start += 1;
        }
        let start = Instant::now();
        let result = self.mount.start(self.plan.options);
        self.totals.recoveries.push(start.elapsed());
        result.map_err(|failure| failure.to_string())
    }

    fn check(&mut self, round: &Round, reports: &[Report]) -> Result<(), String> {
        let live = Parts::read(self.mount.path(), WRITERS)?;
        let before = self.history.head().to_owned();
        let known = self.history.check(&self.mount, round, &mut self.random)?;
        let mut snapshots = self.read_snapshots(round, &before, known)?;
        let mut then = vec![Vec::new(); snapshots.len()];
        for (writer, report) in reports.iter().enumerate() {
            let subtree = Subtree {
                writer,
                base: &self.models[writer],
                record: &report.record,
                live: &live.writers[writer],
            };
            let adopted = subtree.check(&snapshots)?;
            self.totals.found(&adopted);
            for (then, model) in then.iter_mut().zip(adopted.snapshots) {
                then.push(model);
            }
            self.models[writer] = adopted.model;
        }
        self.check_token(&live, reports)?;
        if self.random.once_in(OLD_SNAPSHOTS) {
            self.history.check_old(&self.mount, &mut self.random)?;
        }
        match snapshots.pop().zip(then.pop()) {
            Some((snapshot, then)) if self.random.once_in(RESTORES) => {
                self.restore(&snapshot.id, then, snapshot.parts.token)
            }
            _ => Ok(()),
        }
    }

    /// Reads the newest snapshot, if this round has made or acknowledged any, and some others.
    fn read_snapshots(
        &mut self,
        round: &Round,
        before: &str,
        mut known: Vec<Known>,
    ) -> Result<Vec<ReadSnapshot>, String> {
        let newest = self.history.head().to_owned();
        let mut wanted = Vec::new();
        if newest != before || !round.commits().is_empty() {
            wanted.push((newest, round.committed(), round.begun()));
        }
        self.totals.commits_in_place += known.len() as u64;
        for _ in 0..self.plan.snapshots_read.min(known.len()) {
            let Known { id, commit } = known.swap_remove(self.random.below(known.len()));
            wanted.push((id, commit.before, commit.after));
        }
        self.totals.commits_compared += wanted.len() as u64;
        let read = |(id, from, to): (String, _, _)| {
            let files = read_all(&self.mount.snapshot(&id))?;
            self.history.note(&id, &files);
            Ok(ReadSnapshot { id, parts: Parts::new(files, WRITERS)?, from, to })
        };
        wanted.into_iter().map(read).collect()
    }

    /// The token is in one of two places.
    fn check_token(&mut self, live: &Parts, reports: &[Report]) -> Result<(), String> {
        let pair = &reports[OWN_WRITERS..];
        let moves = pair.iter().map(|report| report.token_moves).sum();
        let moves_it = |record: &Record| matches!(record.in_flight, Some(Op::Nothing(MOVE_TOKEN)));
        let in_flight = [moves_it(&pair[0].record), moves_it(&pair[1].record)];
        if !token_may_be(live.token, self.token, moves, in_flight) {
            let place = COMMON[live.token];
            return Err(format!("the token cannot be in {place} after {moves} moves"));
        }
        self.token = live.token;
        Ok(())
    }
}

/// Commits again and again, as an impatient user does.
fn commit_often(round: &Round, mut random: Random) {
    for number in 1_u64.. {
        if round.is_stopped() {
            return;
        }
        let message = format!("round {} committer {number}", round.number);
        if let Err(error) = commit(round, &mut random, &message) {
            round.is_death(&error, "commit");
            return;
        }
        // The pause of the load, on which nothing depends.
        thread::sleep(Duration::from_micros(random.below(6000) as u64));
    }
}
