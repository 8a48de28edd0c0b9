//! What must be found when the store is mounted again.

use super::compare::{Record, Target, View, difference, find_states, state};
use super::found::{Files, read_all};
use super::model::{Body, Model, Op};
use super::writer::{COMMON, TOKEN};

/// Shown of what is lost at most.
const LOST_SHOWN_MAX: usize = 5;
/// States shown at most, of those that something found is in none of.
const STATES_SHOWN_MAX: u64 = 20;

/// The tree, or a snapshot of it, by writers.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) writers: Vec<Files>,
    /// Which of the common directories has the token.
    pub(crate) token: usize,
}

impl Parts {
    /// Gives each path to the writer that it belongs to.
    pub(crate) fn new(files: Files, writers: usize) -> Result<Self, String> {
        let mut parts: Vec<Files> = (0..writers).map(|_| Files::new()).collect();
        let tokens = COMMON.map(|directory| format!("{directory}/{TOKEN}"));
        let mut token = Vec::new();
        let mut common = 0;
        for (path, found) in files {
            if path == "shared" || COMMON.contains(&path.as_str()) {
                common += usize::from(found.body == Body::Directory);
            } else if let Some(at) = tokens.iter().position(|token| *token == path) {
                token.push(at);
            } else {
                let part = owner(&path).and_then(|writer| parts.get_mut(writer));
                part.ok_or_else(|| format!("nobody made {path}"))?.insert(path, found);
            }
        }
        match token[..] {
            [token] if common == 1 + COMMON.len() => Ok(Self { writers: parts, token }),
            _ => Err(format!("{} tokens, {common} common directories", token.len())),
        }
    }

    /// Reads a tree.
    pub(crate) fn read(top: &std::path::Path, writers: usize) -> Result<Self, String> {
        Self::new(read_all(top)?, writers)
    }
}

/// The writer that a path tells: `w3/...`, or `shared/x/w3-...`.
fn owner(path: &str) -> Option<usize> {
    let name = match path.strip_prefix("shared/") {
        Some(rest) => rest.split_once('/')?.1.split('-').next()?,
        None => path.split('/').next()?,
    };
    name.strip_prefix('w')?.parse().ok()
}

/// A snapshot that was read, and the states that its parts may be in.
#[derive(Debug)]
pub(crate) struct ReadSnapshot {
    pub(crate) id: String,
    pub(crate) parts: Parts,
    pub(crate) from: Vec<u64>,
    pub(crate) to: Vec<u64>,
}

/// A subtree as it was found.
#[derive(Debug)]
pub(crate) struct Adopted {
    pub(crate) model: Model,
    /// Acknowledged operations that were not there.
    pub(crate) lost: u64,
    /// Whether the operation in flight was there, in part or whole.
    pub(crate) partial: bool,
    pub(crate) in_flight: bool,
}

/// One writer's subtree after a round.
pub(crate) struct Subtree<'a> {
    pub(crate) writer: usize,
    pub(crate) base: &'a Model,
    pub(crate) record: &'a Record,
    pub(crate) live: &'a Files,
    /// The first state that the live tree may be in.
    pub(crate) from: u64,
}

impl Subtree<'_> {
    /// Checks the subtree in the live tree and in snapshots, the newest of which comes first.
    pub(crate) fn check(&self, snapshots: &[ReadSnapshot]) -> Result<Adopted, String> {
        let end = self.acknowledged() + u64::from(self.record.in_flight.is_some());
        let mut targets = vec![Target::new(self.live, View::Live, self.from, end)];
        for ReadSnapshot { parts, from, to, .. } in snapshots {
            let (files, writer) = (&parts.writers[self.writer], self.writer);
            targets.push(Target::new(files, View::Snapshot, from[writer], to[writer]));
        }
        find_states(self.base, self.record, &mut targets);
        for (target, snapshot) in targets.iter().skip(1).zip(snapshots) {
            if target.matched.is_none() {
                return Err(format!("snapshot {}: {}", snapshot.id, self.explain(target, end)));
            }
        }
        let Some((_, live)) = &targets[0].matched else {
            return Err(format!("the live tree: {}", self.explain(&targets[0], end)));
        };
        let newest = targets.get(1).and_then(|target| target.matched.as_ref());
        if let Some((snapshot, _)) = newest.filter(|(state, _)| state.number > live.number) {
            return Err(format!(
                "writer {}: the live tree is in state {}, the newest commit in {}",
                self.writer, live.number, snapshot.number
            ));
        }
        let mut model = live.model.clone();
        for (path, id, _) in live.model.names() {
            if let Some(found) = self.live.get(path) {
                model.observe(id, found.chosen());
            }
        }
        Ok(Adopted {
            model,
            lost: self.acknowledged().saturating_sub(live.number),
            partial: live.partial_bytes.is_some() && live.number == self.acknowledged(),
            in_flight: live.number > self.acknowledged(),
        })
    }

    fn acknowledged(&self) -> u64 {
        self.record.log.len() as u64
    }

    /// Tells why a subtree is in no state that it may be in.
    fn explain(&self, target: &Target<'_>, end: u64) -> String {
        let writer = self.writer;
        let mut any = [Target::new(target.files, target.view, 0, end)];
        find_states(self.base, self.record, &mut any);
        let wanted = format!(
            "of writer {writer} should be in a state from {} to {}",
            target.from, target.to
        );
        let [Target { matched: Some((_, state)), .. }] = &any else {
            let mut text = format!("the part {wanted}, and is in none");
            for number in target.from..=target.to.min(target.from + STATES_SHOWN_MAX) {
                let model = state(self.base, self.record, number);
                let what = difference(&model, target.files, target.view).unwrap_or_default();
                let op = self.record.log.get(number as usize).map(|logged| &logged.op);
                let op = op.or(self.record.in_flight.as_ref()).map(Op::describe);
                text += &format!("\n  in state {number} {what}; then {}", op.unwrap_or_default());
            }
            return text;
        };
        let lost = self.record.log.iter().skip(state.number as usize);
        let lost: Vec<_> = lost.take(LOST_SHOWN_MAX).map(|logged| logged.op.describe()).collect();
        format!(
            "the part {wanted}, and is in state {}: {} operations are lost, the first of them {lost:?}",
            state.number,
            target.from.saturating_sub(state.number)
        )
    }
}

/// Whether the token may be in a common directory after so many moves: the first writer moves it
/// from the first directory to the second, the other one back, and the last move of each may be in
/// flight.
pub(crate) fn token_may_be(place: usize, start: usize, moves: u64, in_flight: [bool; 2]) -> bool {
    let at = (start + moves as usize) % COMMON.len();
    place == at || in_flight[at]
}
