//! Trees of a store whose objects are whatever bytes they are: reading them ends, and gives
//! something or an error.

use std::ops::ControlFlow;
use std::sync::Arc;

use vst::format::commit_log::Tally;
use vst::format::worktree::WorktreeState;
use vst::model::{
    CommitId, Ino, Name, NodeId, ObjectError, ObjectId, ObjectSource, RootId, Timestamp,
};
use vst::worktree::{Body, CommittedTree, Worktree};

use super::Choices;

/// Objects by the first byte of their ids, which are not checked.
struct Hostile {
    objects: Vec<Arc<[u8]>>,
}

impl ObjectSource for Hostile {
    fn get(&self, id: &ObjectId) -> Result<Arc<[u8]>, ObjectError> {
        let at = usize::from(id.as_bytes()[0]);
        self.objects.get(at).cloned().ok_or(ObjectError::Missing(*id))
    }
}

fn id(first: u8) -> ObjectId {
    let mut bytes = [0; 32];
    bytes[0] = first;
    ObjectId::from_bytes(bytes)
}

/// Most entries that are looked at: a directory can be in itself.
const LOOKS_MAX: usize = 200;

/// Reads the bytes as objects, the first of which is a root, and goes through the tree.
pub fn tree(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut objects = Vec::new();
    while !choices.is_empty() && objects.len() < 256 {
        objects.push(Arc::from(choices.slice()));
    }
    let src = Hostile { objects };
    committed(&src);
    live(&src);
}

fn committed(src: &Hostile) {
    let Ok(tree) = CommittedTree::open(&RootId::new(id(0)), src) else { return };
    let mut todo = vec![tree.top().clone()];
    let mut looks = 0;
    while let Some(directory) = todo.pop() {
        let _ = tree.list(&directory, src, &mut |_, entry| {
            looks += 1;
            if looks > LOOKS_MAX {
                return ControlFlow::Break(());
            }
            todo.push(entry);
            ControlFlow::Continue(())
        });
    }
    let _ = tree.find(b"a/b", src);
}

fn live(src: &Hostile) {
    let state = WorktreeState {
        root: RootId::new(id(0)),
        side: Some(id(2)),
        places: None,
        tags: None,
        ignored: Some(NodeId::new(id(5))),
        ignored_side: Some(id(6)),
        rule_files: 1,
        head: Some(CommitId::new(id(4))),
        next_ino: 1000,
        ctime: Timestamp { secs: 0, nanos: 0 },
        born: Default::default(),
        atime: None,
        journal: Default::default(),
        commits: Tally::default(),
        log: Default::default(),
        changes_by: vec![id(6)],
    };
    let Ok(mut tree) = Worktree::open(&state, src) else { return };
    let mut todo = vec![Ino::ROOT];
    let mut looks = 0;
    while let Some(directory) = todo.pop() {
        let mut names = Vec::new();
        if let Some(entries) = tree.find(directory).and_then(|inode| inode.directory()) {
            let _ = entries.scan(0, src, &mut |item| {
                names.push(item.key.to_vec());
                ControlFlow::Continue(())
            });
        }
        for name in names.iter().filter_map(|name| Name::new(name).ok()) {
            looks += 1;
            if looks > LOOKS_MAX {
                return;
            }
            let Ok(Some(found)) = tree.lookup(directory, &name, src) else { continue };
            if tree.load(directory, &name, &found, src).is_err() {
                continue;
            }
            let Some(inode) = tree.find(found.ino) else { continue };
            let _ = (inode.nlink(src), inode.allocated_bytes(src));
            match &inode.body {
                Body::Directory(_) => todo.push(found.ino),
                Body::File(file) => {
                    let mut buffer = [0; 5000];
                    let _ = file.read(0, &mut buffer, src);
                    let _ = file.read(file.size().saturating_sub(2500), &mut buffer, src);
                    let _ = (file.next_data(100, src), file.next_hole(100, src));
                }
                _ => {}
            }
        }
    }
}
