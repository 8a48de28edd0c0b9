//! What must be found when the store is mounted again.

use super::compare::{Record, Target, View, difference, each_state, find_states};
use super::found::{Files, read_all};
use super::model::{Body, Chosen, FileId, Model, Op};
use super::writer::{COMMON, TOKEN};

/// States shown at most, of those that something found is in none of.
const SHOWN_MAX: u64 = 8;
/// Operations shown at most, of those that were done to a path.
const LOGGED_SHOWN_MAX: usize = 40;

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

    /// The first difference from what the writers' models and the token must be in the live tree.
    pub(crate) fn difference(&self, models: &[Model], token: usize) -> Option<String> {
        let of_models = models.iter().zip(&self.writers);
        let found = of_models.filter_map(|(model, files)| difference(model, files, View::Live));
        let token =
            (self.token != token).then(|| format!("the token is in {}", COMMON[self.token]));
        found.map(|difference| difference.to_string()).next().or(token)
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
    /// What the snapshots have of it.
    pub(crate) snapshots: Vec<Model>,
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
}

impl Subtree<'_> {
    /// Checks the subtree in the live tree and in snapshots, the newest of which comes first.
    pub(crate) fn check(&self, snapshots: &[ReadSnapshot]) -> Result<Adopted, String> {
        let acknowledged = self.record.log.len() as u64;
        let end = acknowledged + u64::from(self.record.in_flight.is_some());
        let mut targets = vec![Target::new(self.live, View::Live, acknowledged, end)];
        for ReadSnapshot { parts, from, to, .. } in snapshots {
            let (files, writer) = (&parts.writers[self.writer], self.writer);
            targets.push(Target::new(files, View::Snapshot, from[writer], to[writer]));
        }
        find_states(self.base, self.record, &mut targets);
        let mut models = Vec::new();
        for (target, snapshot) in targets.iter().skip(1).zip(snapshots) {
            let Some((_, state)) = &target.matched else {
                return Err(format!("snapshot {}: {}", snapshot.id, self.explain(target)));
            };
            models.push(restored(&state.model, target.files));
        }
        let Some((_, live)) = &targets[0].matched else {
            return Err(format!("the live tree: {}", self.explain(&targets[0])));
        };
        let newest = targets.get(1).and_then(|target| target.matched.as_ref());
        if let Some((number, _)) = newest.filter(|(number, _)| *number > live.number) {
            return Err(format!(
                "writer {}: the live tree is in state {}, the newest commit in {number}",
                self.writer, live.number
            ));
        }
        Ok(Adopted {
            model: adopted(&live.model, self.live),
            snapshots: models,
            partial: live.partial,
            in_flight: live.number > acknowledged,
        })
    }

    /// Tells why a subtree is in no state that it may be in, and what was done to the path where
    /// that shows.
    fn explain(&self, target: &Target<'_>) -> String {
        let (from, to) = (target.from, target.to);
        let mut text =
            format!("the part of writer {} should be in a state from {from} to {to}", self.writer);
        let mut path = None;
        each_state(self.base, self.record, |number, model, _| {
            let difference = difference(model, target.files, target.view);
            match difference {
                None => text += &format!("\n  it is in state {number}"),
                Some(difference) if (from..=to).contains(&number) && number - from < SHOWN_MAX => {
                    text += &format!("\n  in state {number} {difference}");
                    path.get_or_insert(difference.path);
                }
                Some(_) => {}
            }
        });
        let Some(path) = path else { return text };
        text += &format!("\n  what was done to {path} in this round:");
        let (mut id, mut log) = (self.base.find(&path), Vec::new());
        each_state(self.base, self.record, |number, model, next| {
            id = model.find(&path).or(id);
            let names_it = |op: &Op| op.describe().contains(&path);
            let touches_it = |touched: &[FileId]| id.is_some_and(|id| touched.contains(&id));
            if let Some((op, touched)) = next.filter(|(op, t)| names_it(op) || touches_it(t)) {
                let acknowledged = number < self.record.log.len() as u64;
                let state = if acknowledged { "acknowledged" } else { "in flight" };
                log.push(format!("\n  {} {} ({state}; {touched:?})", number + 1, op.describe()));
            }
        });
        text += &log.split_off(log.len().saturating_sub(LOGGED_SHOWN_MAX)).concat();
        text
    }
}

/// A model that was found, with what the filesystem chose.
pub(crate) fn adopted(model: &Model, files: &Files) -> Model {
    let mut adopted = model.clone();
    for (path, id, _) in model.names() {
        if let Some(found) = files.get(path) {
            adopted.observe(id, found.chosen());
        }
    }
    adopted
}

/// A model that was found in a snapshot, as restoring that makes it: inodes and their ctimes are
/// the live tree's affair.
fn restored(model: &Model, files: &Files) -> Model {
    let mut restored = model.clone();
    for (path, id, _) in model.names() {
        if let Some(found) = files.get(path) {
            let mtime_ns = Some(found.mtime_ns);
            restored.observe(id, Chosen { mtime_ns, ..Chosen::default() });
        }
    }
    restored
}

/// Whether the token may be in a common directory after so many moves: the first writer moves it
/// from the first directory to the second, the other one back, and the last move of each may be in
/// flight.
pub(crate) fn token_may_be(place: usize, start: usize, moves: u64, in_flight: [bool; 2]) -> bool {
    let at = (start + moves as usize) % COMMON.len();
    place == at || in_flight[at]
}
