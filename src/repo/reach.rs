//! Which commits and paths are hurt by damaged and missing objects.
//!
//! Every node is read once, after the nodes below it, and what is known of it then is shared by
//! all that lead to it: a commit costs what it does not share. Chunks are looked up, not read.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::walk::{Link, Sort, links};
use crate::base::limits::HURT_PATHS_MAX;
use crate::model::{ObjectError, ObjectId};
use crate::store::{PackStore, PacksChecked};

/// Paths that lead to damage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Harm {
    /// The first of them, each with an object to blame. The empty path is all of the tree.
    pub(super) paths: Vec<(Vec<u8>, ObjectId)>,
    /// How many there are.
    pub(super) total: u64,
}

/// Follows everything from commits and states on.
pub(super) struct Reach<'a> {
    source: &'a PackStore,
    packs: &'a PacksChecked,
    /// What lies below each node that was read; nothing if all of it is whole.
    seen: HashMap<(ObjectId, Sort), Option<Rc<Harm>>>,
    /// Objects that cannot be used, and why.
    bad: BTreeMap<ObjectId, ObjectError>,
}

/// A node whose children are looked at one after another.
struct Frame {
    key: (ObjectId, Sort),
    children: std::vec::IntoIter<Child>,
    harm: Harm,
}

struct Child {
    id: ObjectId,
    sort: Sort,
    name: Option<Box<[u8]>>,
}

impl<'a> Reach<'a> {
    /// Reads from `source`. What `packs` tells to be whole is not read if it leads to nothing.
    pub(super) fn new(source: &'a PackStore, packs: &'a PacksChecked) -> Self {
        Self { source, packs, seen: HashMap::new(), bad: BTreeMap::new() }
    }

    /// Objects that something leads to and that cannot be used, and why.
    pub(super) fn into_bad(self) -> BTreeMap<ObjectId, ObjectError> {
        self.bad
    }

    /// Follows an object to the end, and tells what is hurt.
    pub(super) fn follow(&mut self, id: ObjectId, sort: Sort) -> Option<Rc<Harm>> {
        let mut stack: Vec<Frame> = Vec::new();
        let mut known = self.known(id, sort, &mut stack);
        loop {
            // What was found out about the last child is told to its parent, whose next child it
            // is.
            if let Some(harm) = known.take() {
                let Some(frame) = stack.last_mut() else { return harm };
                let child = frame.children.next();
                if let (Some(harm), Some(child)) = (harm, child) {
                    frame.harm.add(&child, &harm);
                }
            }
            let frame = stack.last()?;
            let next = frame.children.as_slice().first().map(|child| (child.id, child.sort));
            known = match next {
                Some((id, sort)) => self.known(id, sort, &mut stack),
                None => stack.pop().map(|frame| self.finished(frame)),
            };
        }
    }

    fn finished(&mut self, frame: Frame) -> Option<Rc<Harm>> {
        let harm = (frame.harm.total > 0).then(|| Rc::new(frame.harm));
        self.seen.insert(frame.key, harm.clone());
        harm
    }

    /// What is known of an object. `None` if its children come first: then it is on the stack.
    fn known(
        &mut self,
        id: ObjectId,
        sort: Sort,
        stack: &mut Vec<Frame>,
    ) -> Option<Option<Rc<Harm>>> {
        if sort == Sort::Leaf {
            return Some(self.leaf(id));
        }
        let key = (id, sort);
        if let Some(harm) = self.seen.get(&key) {
            return Some(harm.clone());
        }
        match self.children(&id, sort) {
            Ok(children) => {
                let children = children.into_iter();
                stack.push(Frame { key, children, harm: Harm::default() });
                None
            }
            Err(error) => {
                let harm = self.note(id, error);
                self.seen.insert(key, harm.clone());
                Some(harm)
            }
        }
    }

    fn leaf(&mut self, id: ObjectId) -> Option<Rc<Harm>> {
        if self.packs.is_whole(&id) {
            return None;
        }
        // It may have been put, or moved to another pack, since the packs were looked at.
        match self.bad.get(&id).cloned().map_or_else(|| self.source.verify(&id), Err) {
            Ok(()) => None,
            Err(error) => self.note(id, error),
        }
    }

    fn children(&self, id: &ObjectId, sort: Sort) -> Result<Vec<Child>, ObjectError> {
        let bytes = self.source.read(id)?;
        let mut children = Vec::new();
        let mut visit = |Link { id, sort, name }: Link<'_>| {
            children.push(Child { id, sort, name: name.map(Box::from) });
        };
        match links(&bytes, sort, &mut visit) {
            Ok(()) => Ok(children),
            Err(error) => Err(ObjectError::Damaged { id: *id, detail: error.to_string() }),
        }
    }

    fn note(&mut self, id: ObjectId, error: ObjectError) -> Option<Rc<Harm>> {
        self.bad.entry(id).or_insert(error);
        Some(Rc::new(Harm { paths: vec![(Vec::new(), id)], total: 1 }))
    }
}

impl Harm {
    /// Adds what is hurt below a child.
    fn add(&mut self, child: &Child, below: &Self) {
        let mut total = below.total;
        let mut paths = below.paths.as_slice();
        if child.name.is_some() && child.sort != Sort::Directory {
            // However many pieces of a file are lost, it is one path.
            total = 1;
            paths = &paths[..1.min(paths.len())];
        }
        for (path, object) in paths {
            let path = match child.name.as_deref() {
                None => path.clone(),
                Some(name) if path.is_empty() => name.to_vec(),
                Some(name) => [name, path].join(&b'/'),
            };
            if self.paths.last().is_some_and(|(last, _)| *last == path) {
                total -= 1;
            } else if self.paths.len() < HURT_PATHS_MAX {
                self.paths.push((path, *object));
            }
        }
        self.total = self.total.saturating_add(total);
    }
}
