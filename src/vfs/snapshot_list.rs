//! Listing what is in `.snapshots`.

use std::ops::ControlFlow;

use rustix::io::Errno;

use super::snapshots::{BY_TIME_INO, Committed, INO, InsideDirectory, Node, SnapshotDirectory};
use super::text::format_time;
use super::types::{Answer, of_object};
use super::{DirRow, EntryOut, Ttl, Vfs};
use crate::model::{FileKind, Ino};

impl Vfs {
    /// Lists a directory from a row on; see `live_readdir`.
    pub(super) fn snapshot_readdir(
        &self,
        directory: &SnapshotDirectory,
        from: u64,
        plus: bool,
        row: &mut dyn FnMut(DirRow<'_>) -> bool,
    ) -> Answer<()> {
        let (ino, parent) = match directory {
            SnapshotDirectory::Top(..) => (INO, Ino::ROOT.0),
            SnapshotDirectory::ByTime(_) => (BY_TIME_INO, INO),
            SnapshotDirectory::Inside(InsideDirectory(entry)) => (entry.ino, entry.parent),
        };
        for (name, ino, next) in
            [(&b"."[..], ino, 1), (b"..", parent, 2)].into_iter().skip(from.min(2) as usize)
        {
            if !row(DirRow { ino, kind: FileKind::Directory, name, next, entry: None }) {
                return Ok(());
            }
        }
        let first = from.max(2) - 2;
        match directory {
            SnapshotDirectory::Top(records, tags) => {
                let passed = before(first, records.len());
                let ids = records.iter().rev().skip(passed);
                let ids = ids.map(|r| (r.id.to_string(), Node::Commit(self.snapshot(r.id))));
                let mut fixed = Vec::new();
                if let Some(newest) = records.last() {
                    let by_time = self.fixed_attr(BY_TIME_INO, FileKind::Directory, 0o555, 0);
                    fixed.push(("by-time".to_owned(), Node::Fixed(by_time)));
                    fixed.push(("latest".to_owned(), self.named_link(b"latest", newest.id)));
                }
                // A ref may have a name that none in a directory can be.
                let tags = tags.iter().filter(|tag| !tag.contains('/')).filter_map(|tag| {
                    let id = self.history.tag(tag).ok().flatten()?;
                    Some((tag.clone(), self.named_link(tag.as_bytes(), id)))
                });
                let nodes = ids.chain(fixed).chain(tags);
                self.list_nodes(nodes, passed, first, plus, row);
                Ok(())
            }
            SnapshotDirectory::ByTime(records) => {
                let passed = before(first, records.len());
                let names = records.iter().skip(passed).map(|r| {
                    let name = format_time(r.time);
                    let node = self.time_link(name.as_bytes(), r.id);
                    (name, node)
                });
                self.list_nodes(names, passed, first, plus, row);
                Ok(())
            }
            SnapshotDirectory::Inside(inside) => self.list_inside(&inside.0, first, plus, row),
        }
    }

    fn list_inside(
        &self,
        parent: &Committed,
        first: u64,
        plus: bool,
        row: &mut dyn FnMut(DirRow<'_>) -> bool,
    ) -> Answer<()> {
        let directory = parent.directory.as_ref().ok_or(Errno::NOTDIR)?;
        let mut at = first + 2;
        let mut failed = None;
        let listed = directory.list(first, self.source(), &mut |name, entry| {
            at += 1;
            let child = match self.child(parent, name.as_bytes(), &entry) {
                Ok(child) => child,
                Err(errno) => {
                    failed = Some(errno);
                    return ControlFlow::Break(());
                }
            };
            let out = EntryOut { attr: child.attr, ttl: Ttl::Forever };
            let taken = row(DirRow {
                ino: child.ino,
                kind: entry.meta.kind,
                name: name.as_bytes(),
                next: at,
                entry: plus.then_some(out),
            });
            if !taken {
                return ControlFlow::Break(());
            }
            if plus {
                self.snapshots.hold(child.ino, Node::Entry(child));
            }
            ControlFlow::Continue(())
        });
        listed.map_err(|e| of_object(&e))?;
        failed.map_or(Ok(()), Err)
    }

    /// Lists what lies at the top. Commits are not opened for it: what they hold is asked for
    /// when somebody wants to know.
    fn list_nodes(
        &self,
        nodes: impl Iterator<Item = (String, Node)>,
        passed: usize,
        first: u64,
        plus: bool,
        row: &mut dyn FnMut(DirRow<'_>) -> bool,
    ) {
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        for (at, (name, node)) in (passed..).zip(nodes).skip(first.saturating_sub(passed)) {
            let attr = match &node {
                Node::Commit(snapshot) => {
                    self.fixed_attr(snapshot.ino, FileKind::Directory, 0o555, 0)
                }
                Node::Link(target, ino) => self.link_attr(*ino, target),
                Node::Entry(entry) => entry.attr,
                Node::Fixed(attr) => *attr,
            };
            let (ino, kind, next) = (attr.ino, attr.meta.kind, at as u64 + 3);
            let entry = plus.then_some(EntryOut { attr, ttl: Ttl::Never });
            if !row(DirRow { ino, kind, name: name.as_bytes(), next, entry }) {
                return;
            }
            if plus && !matches!(node, Node::Fixed(_)) {
                self.snapshots.hold(ino, node);
            }
        }
    }
}

/// How many of so many rows come before one, and need not be made.
fn before(first: u64, rows: usize) -> usize {
    usize::try_from(first).map_or(rows, |first| first.min(rows))
}
