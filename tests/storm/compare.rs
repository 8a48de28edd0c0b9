//! Which states of a model a found subtree is in.
//!
//! A writer does one system call after another, so its subtree goes through a row of numbered
//! states: number 0 is what a round begins with, number k what k acknowledged operations made of
//! it. The operation that was in flight when the daemon was killed may have happened or not. Only a
//! write that the kernel splits into several requests may be found done in part: each of them is an
//! operation to the daemon, and any number of them may have happened.

use std::collections::HashMap;
use std::fmt;

use super::found::{Files, Found};
use super::model::{Body, FileId, Model, Node, Op};

/// The largest request that the kernel makes of a write. A request ends at a page's end. One that
/// begins within a page that is not in the page cache goes no further than that page.
pub(crate) const REQUEST_BYTES: usize = 1024 * 1024;
const PAGE_BYTES: usize = 4096;

/// An acknowledged operation, and what the filesystem was then seen to have chosen.
#[derive(Debug)]
pub(crate) struct Logged {
    pub(crate) op: Op,
    pub(crate) seen: Vec<(FileId, super::model::Chosen)>,
}

/// What one writer did in a round.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) log: Vec<Logged>,
    /// Neither acknowledged nor refused when the daemon died.
    pub(crate) in_flight: Option<Op>,
}

/// Which view of a tree was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// Inode numbers and ctimes are the files' own.
    Live,
    /// Inode numbers tell which names share a file and no more.
    Snapshot,
}

/// A found subtree, and the states that it may be in.
pub(crate) struct Target<'a> {
    pub(crate) files: &'a Files,
    pub(crate) view: View,
    /// The first state that holds all that it must.
    pub(crate) from: u64,
    /// The last state that was begun.
    pub(crate) to: u64,
    /// The number of the first state that it is in, and the last such state.
    pub(crate) matched: Option<(u64, State)>,
}

/// A state that a subtree was found in.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) number: u64,
    /// Part of the next operation, a write, is there already.
    pub(crate) partial: bool,
    pub(crate) model: Model,
}

impl<'a> Target<'a> {
    /// A subtree that may be in any state of these.
    pub(crate) fn new(files: &'a Files, view: View, from: u64, to: u64) -> Self {
        Self { files, view, from, to, matched: None }
    }

    fn try_state(&mut self, number: u64, partial: bool, model: &Model) {
        if difference(model, self.files, self.view).is_none() {
            let first = self.matched.as_ref().map_or(number, |(first, _)| *first);
            self.matched = Some((first, State { number, partial, model: model.clone() }));
        }
    }

    /// Tries the states between `number` and the next, which a write in several requests makes.
    fn try_parts(&mut self, number: u64, model: &Model, op: &Op) {
        let Op::Write { file, offset, data, append } = op else { return };
        let Some((path, node)) = model.name_of(*file).zip(model.find_node(*file)) else { return };
        let Some(Found { body: Body::File(found), .. }) = self.files.get(path) else { return };
        let Some(len) = written_bytes(*offset, data, found) else { return };
        if found.len() != node.bytes().len().max(offset + len) {
            return;
        }
        let mut model = model.clone();
        let data = data[..len].into();
        model.apply(&Op::Write { file: *file, offset: *offset, data, append: *append });
        self.try_state(number, true, &model);
    }
}

/// How much of a write was done, if it was done in part: whole requests.
fn written_bytes(offset: usize, data: &[u8], found: &[u8]) -> Option<usize> {
    let there = found.get(offset..)?;
    let same = there.iter().zip(data).take_while(|(one, other)| one == other).count();
    let in_page = offset % PAGE_BYTES;
    // The first request ends with the page that it begins in, if that was not cached.
    let first = if in_page == 0 { 0 } else { PAGE_BYTES - in_page };
    let ends = [
        same.checked_sub(first).map(|rest| first + rest / REQUEST_BYTES * REQUEST_BYTES),
        ((in_page + same) / REQUEST_BYTES * REQUEST_BYTES).checked_sub(in_page),
    ];
    ends.into_iter().flatten().filter(|len| *len > 0 && *len < data.len()).max()
}

/// Finds the states that targets are in, of those that they may be in.
pub(crate) fn find_states(base: &Model, record: &Record, targets: &mut [Target<'_>]) {
    each_state(base, record, |number, model, next| {
        for target in targets.iter_mut().filter(|t| t.from <= number && number <= t.to) {
            target.try_state(number, false, model);
            if let Some((op, _)) = next.filter(|_| number < target.to) {
                target.try_parts(number, model, op);
            }
        }
    });
}

/// Looks at one state after another, each with the operation that is done to it next, if there is
/// one, and what that touches.
pub(crate) fn each_state(
    base: &Model,
    record: &Record,
    mut look: impl FnMut(u64, &Model, Option<(&Op, &[FileId])>),
) {
    let mut model = base.clone();
    for number in 0..=record.log.len() + 1 {
        let logged = record.log.get(number);
        let in_flight = record.in_flight.as_ref().filter(|_| number == record.log.len());
        let next = logged.map(|logged| &logged.op).or(in_flight);
        let before = model.clone();
        let touched = next.map(|op| model.apply(op)).unwrap_or_default();
        look(number as u64, &before, next.map(|op| (op, &touched[..])));
        if next.is_none() {
            return;
        }
        for (id, chosen) in logged.iter().flat_map(|logged| &logged.seen) {
            model.observe(*id, *chosen);
        }
    }
}

/// Something that is not as it must be.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) path: String,
    what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

/// The first difference between what must be and what was found.
pub(crate) fn difference(model: &Model, files: &Files, view: View) -> Option<Difference> {
    let differs = |path: &String, what: String| Some(Difference { path: path.clone(), what });
    let links = model.link_counts();
    let (mut inos, mut ids) = (HashMap::new(), HashMap::new());
    for (path, id, node) in model.names() {
        let Some(found) = files.get(path) else { return differs(path, "is missing".into()) };
        if let Some(what) = attributes_differ(node, found, view) {
            return differs(path, what);
        }
        if node.body != Body::Directory && links.get(&id) != Some(&found.nlink) {
            return differs(path, format!("{} names, not {:?}", found.nlink, links.get(&id)));
        }
        if *inos.entry(id).or_insert(found.ino) != found.ino
            || *ids.entry(found.ino).or_insert(id) != id
        {
            return differs(path, "shares its file with other names than it should".into());
        }
    }
    if let Some(path) = files.keys().find(|path| model.find(path).is_none()) {
        return differs(path, "should not be there".into());
    }
    // Last, since it takes longest and the times tell most differences apart.
    model.names().find_map(|(path, _, node)| differs(path, bytes_differ(node, files.get(path)?)?))
}

fn attributes_differ(node: &Node, found: &Found, view: View) -> Option<String> {
    let same_kind = match (&node.body, &found.body) {
        (Body::File(one), Body::File(other)) if one.len() != other.len() => {
            return Some(format!("has {} bytes, not {}", other.len(), one.len()));
        }
        (Body::File(_), Body::File(_)) | (Body::Directory, Body::Directory) => true,
        (Body::Symlink(one), Body::Symlink(other)) => one == other,
        _ => false,
    };
    if !same_kind {
        return Some("another kind, or another target".to_owned());
    }
    if node.perm != found.perm {
        return Some(format!("mode {:o}, not {:o}", found.perm, node.perm));
    }
    if node.xattrs != found.xattrs {
        let names = |xattrs: &std::collections::BTreeMap<String, Vec<u8>>| {
            xattrs.iter().map(|(name, value)| (name.clone(), value.len())).collect::<Vec<_>>()
        };
        let (found, wanted) = (names(&found.xattrs), names(&node.xattrs));
        return Some(format!("attributes {found:?}, not {wanted:?}"));
    }
    let differs = |wanted: Option<i128>, found: i128| wanted.is_some_and(|wanted| wanted != found);
    if differs(node.chosen.mtime_ns, found.mtime_ns) {
        return Some(format!("mtime {}, not {:?}", found.mtime_ns, node.chosen.mtime_ns));
    }
    if view == View::Live && differs(node.chosen.ctime_ns, found.ctime_ns) {
        return Some(format!("ctime {}, not {:?}", found.ctime_ns, node.chosen.ctime_ns));
    }
    if view == View::Live && node.chosen.ino.is_some_and(|ino| ino != found.ino) {
        return Some(format!("inode {}, not {:?}", found.ino, node.chosen.ino));
    }
    None
}

fn bytes_differ(node: &Node, found: &Found) -> Option<String> {
    let (Body::File(wanted), Body::File(found)) = (&node.body, &found.body) else { return None };
    if wanted == found {
        return None;
    }
    let at = wanted.iter().zip(found.iter()).position(|(one, other)| one != other);
    Some(format!("of {} bytes, others from {at:?} on", wanted.len()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Logged, PAGE_BYTES, REQUEST_BYTES, Record, Target, View, find_states};
    use crate::found::{Files, Found};
    use crate::model::{Body, Chosen, Model, Op};

    /// A file as a mount would show the first one of a model.
    fn file(bytes: Vec<u8>, ino: u64) -> Files {
        let found = Found {
            body: Body::File(bytes.into()),
            perm: 0o600,
            xattrs: BTreeMap::new(),
            nlink: 1,
            ino,
            mtime_ns: 5,
            ctime_ns: 6,
        };
        Files::from([("w/f".to_owned(), found)])
    }

    /// A file of some bytes, then writes of these at 10, of which the last is in flight.
    fn written(len: usize, writes: &[Vec<u8>]) -> (Model, Record) {
        let mut base = Model::default();
        let id = base.apply(&Op::Create { path: "w/f".into(), perm: 0o600 })[0];
        base.apply(&Op::Truncate { file: id, len });
        let chosen = Chosen { ino: Some(7), mtime_ns: Some(5), ctime_ns: Some(6) };
        let mut ops = writes.iter().map(|data| Op::Write {
            file: id,
            offset: 10,
            data: data[..].into(),
            append: false,
        });
        let in_flight = ops.next_back();
        let log = ops.map(|op| Logged { op, seen: vec![(id, chosen)] }).collect();
        (base, Record { log, in_flight })
    }

    /// The numbers of the first and the last state that a file is in, of those from `from` on.
    fn states(base: &Model, record: &Record, files: &Files, from: u64) -> Option<(u64, u64)> {
        let end = record.log.len() as u64 + u64::from(record.in_flight.is_some());
        let mut targets = [Target::new(files, View::Live, from, end)];
        find_states(base, record, &mut targets);
        let [target] = targets;
        target.matched.map(|(first, last)| (first, last.number))
    }

    fn with(len: usize, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; len.max(10 + data.len())];
        bytes[10..10 + data.len()].copy_from_slice(data);
        bytes
    }

    #[test]
    fn an_operation_in_flight_is_there_or_not_and_an_acknowledged_one_must_be() {
        let (base, record) = written(100, &[vec![1; 9], vec![2; 9], vec![3; 9]]);
        for (value, state) in [(1, 1), (2, 2), (3, 3)] {
            let files = file(with(100, &[value; 9]), 7);
            assert_eq!(states(&base, &record, &files, 0), Some((state, state)));
            assert_eq!(states(&base, &record, &files, 2).is_some(), state >= 2);
        }
        assert_eq!(states(&base, &record, &file(vec![0; 100], 7), 0), Some((0, 0)));
        assert_eq!(states(&base, &record, &file(vec![0; 99], 7), 0), None);
        assert_eq!(states(&base, &record, &Files::new(), 0), None);
    }

    #[test]
    fn another_inode_number_is_a_difference_in_the_live_tree() {
        let (base, record) = written(100, &[vec![1; 9], vec![2; 9]]);
        assert_eq!(states(&base, &record, &file(with(100, &[1; 9]), 8), 0), None);
    }

    #[test]
    fn a_torn_request_is_a_difference() {
        let data = vec![1; 300_000];
        let (base, record) = written(0, std::slice::from_ref(&data));
        for len in [1, 4085, 4096, 8182, 299_999] {
            assert_eq!(states(&base, &record, &file(with(0, &data[..len]), 7), 0), None);
            // Nor may it have its length and not its bytes.
            assert_eq!(states(&base, &record, &file(with(300_010, &data[..len]), 7), 0), None);
        }
        // The page that it begins in is a request of its own if it was not cached.
        let first_page = PAGE_BYTES - 10;
        let files = file(with(0, &data[..first_page]), 7);
        assert_eq!(states(&base, &record, &files, 0), Some((0, 0)));
        assert_eq!(states(&base, &record, &file(with(0, &data), 7), 0), Some((1, 1)));
    }

    #[test]
    fn a_write_of_several_requests_may_be_there_up_to_one_of_them() {
        let data = vec![1; 3 * REQUEST_BYTES];
        for size in [0, 5 * REQUEST_BYTES] {
            let (base, record) = written(size, std::slice::from_ref(&data));
            for requests in 1..=3 {
                let whole = requests * REQUEST_BYTES - 10;
                let files = file(with(size, &data[..whole]), 7);
                assert_eq!(states(&base, &record, &files, 0), Some((0, 0)));
                let files = file(with(size, &data[..whole - 4096]), 7);
                assert_eq!(states(&base, &record, &files, 0), None);
            }
        }
    }
}
