//! Restoring: the tree, or some paths of it, become what they were in a commit.
//!
//! The difference is applied, as ordinary operations, to a clone of the tree, which takes the
//! tree's place at once: nobody sees a restore half done, and a failure leaves everything as it
//! was. It costs what the difference costs. In the same moment what was there becomes a commit, if
//! any of it would be lost, so that no write comes between the two.
//!
//! All that goes to the disk goes there beside those who write. If they change the tree meanwhile
//! it is prepared anew, a few times; the last time they have to wait, for as long as it takes to
//! apply the difference and to sync it.
//!
//! What is ignored stays as it is, and where it is: a directory that has some of it stays for that,
//! and what the commit has under the name of something ignored is not restored.
//!
//! Until the tree takes its place a restore can be given up, and nothing has been done then but
//! that the store has what was there.
//!
//! A file that is in both trees keeps its inode, so that one who has it open sees the restored
//! content. Files with several names are put together anew if names were tied or untied since.
//!
//! In the operation log a restore and the commit that it made first are one deed, which tells the
//! head of before both: that is what there was, and what taking it back brings back.

mod plan;

use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) use self::plan::Goal;
use super::checkpoint::{Extent, Unwritten};
use super::commit::commit_object;
use super::provenance::{ChangesBy, Rows, put_rows};
use super::{Committing, Repo, RepoError, Revision, Storing, unless_given_up};
use crate::base::limits::{JOURNAL_COMMIT_COST, MESSAGE_BYTES_MAX, RESTORE_TRIES_MAX};
use crate::base::sync::MutexGuard;
use crate::format::commit_log::CommitRecord;
use crate::format::journal::{CommitMade, put_commit, put_switch};
use crate::format::worktree::JournalPosition;
use crate::journal::{Point, RecordBuffer, Urgency};
use crate::model::{CommitId, Deed, DeedKind, Ino, Name, ObjectId, RootId, Timestamp, Writer};
use crate::store::{Durability, PackStore};
use crate::worktree::Worktree;
use crate::worktree::tree::Hasher;

/// What to restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreRequest {
    /// The revision to go back to.
    pub revision: String,
    /// The paths to restore; none for the whole tree.
    pub paths: Vec<Vec<u8>>,
}

impl RestoreRequest {
    /// Understands `REV` and `REV:PATH`, and further paths behind that, each after a NUL.
    pub fn parse(text: &str) -> Self {
        let Revision { revision, path } = Revision::split(text);
        let paths = path.into_iter().flat_map(|paths| paths.split('\0'));
        let paths = paths.map(|path| path.as_bytes().to_vec()).collect();
        Self { revision: revision.to_owned(), paths }
    }
}

/// What a restore did.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// The commit that was made of what would have been lost.
    pub saved: Option<CommitId>,
    /// How many paths changed.
    pub paths: usize,
    /// What changed behind the back of one who looked before.
    pub touched: Vec<Touched>,
}

/// Something that a restore changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// A name came, went, or stands for another inode.
    Entry(Ino, Name),
    /// Attributes or content of an inode.
    Inode(Ino),
    /// An inode lost its last name.
    Removed(Ino),
}

/// A commit that is to be the head, and its root.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) id: Option<CommitId>,
    pub(super) root: Option<RootId>,
}

/// What the tree is to become, and what is to be said of it.
pub(super) struct Switch<'a> {
    pub(super) goal: Goal<'a>,
    /// The head afterwards, unless that stays.
    pub(super) head: Option<Head>,
    /// The message of the commit of what would be lost.
    pub(super) message: String,
    /// What was done, with that commit.
    pub(super) deed: &'a dyn Fn(Option<CommitId>) -> DeedKind,
    /// Who does it.
    pub(super) writer: Option<&'a Arc<Writer>>,
}

/// A tree that is to take the place of the living one.
struct Prepared {
    next: Worktree,
    /// The root of the tree of before.
    root: RootId,
    /// Its state, which is in the store.
    state: ObjectId,
    /// The blocks that tell who changed what since its head.
    changes_by: Vec<ObjectId>,
    /// The commit that is to be made of the tree of before, and its object.
    saving: Option<(CommitMade, Vec<u8>)>,
    restored: Restored,
}

impl Repo {
    /// Restores the tree or paths of it. The tree then stands on that commit; after the restore
    /// of paths it stands where it stood.
    pub fn restore(&self, request: &RestoreRequest) -> Result<Restored, RepoError> {
        self.restore_by(self.options.writer.as_ref(), request)
    }

    /// As `restore`, for somebody else than who the repository was opened for.
    pub fn restore_by(
        &self,
        writer: Option<&Arc<Writer>>,
        request: &RestoreRequest,
    ) -> Result<Restored, RepoError> {
        self.make_room(Urgency::MakesRoom)?;
        self.write_commits()?;
        let commit = self.history().resolve(&request.revision, self.head())?;
        let root = self.history().commit(&commit)?.root;
        let message = format!("before restore of {}", request.revision);
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(RepoError::MessageTooLong { max: MESSAGE_BYTES_MAX });
        }
        let is_whole = request.paths.is_empty();
        let scopes = scopes_of(&request.paths);
        let paths = if is_whole { 0 } else { scopes.len() as u64 };
        let switch = Switch {
            goal: Goal { commit, root, scopes: &scopes },
            head: is_whole.then_some(Head { id: Some(commit), root: Some(root) }),
            message,
            deed: &|saved| DeedKind::Restore { commit, paths, saved },
            writer,
        };
        let restored = self.with_room(|| {
            let mut storing = self.storing.lock();
            // A collection may have dropped it a moment ago.
            self.check_listed(&commit)?;
            let mut committing = self.committing.lock();
            self.switch(&switch, &mut storing, &mut committing)
        })?;
        if self.options.durability == Durability::Strict {
            self.sync()?;
        }
        Ok(restored)
    }

    /// Fails if a commit is not there any more. Who holds `storing` can rely on it.
    pub(super) fn check_listed(&self, commit: &CommitId) -> Result<(), RepoError> {
        match self.store().commits().find(commit) {
            Some(_) => Ok(()),
            None => Err(RepoError::Dropped { commit: *commit }),
        }
    }

    /// Puts another tree in place of this one.
    pub(super) fn switch(
        &self,
        switch: &Switch<'_>,
        storing: &mut MutexGuard<'_, Storing>,
        committing: &mut MutexGuard<'_, Committing>,
    ) -> Result<Restored, RepoError> {
        for _ in 0..RESTORE_TRIES_MAX {
            unless_given_up()?;
            let (root, point) = self.save_before(committing, storing)?;
            let (next, changes) = {
                let live = self.live.read();
                (live.clone(), self.changes.load(Ordering::Acquire))
            };
            if next.is_dirty() {
                continue;
            }
            let prepared = self.prepare(switch, (next, root), storing, committing)?;
            unless_given_up()?;
            // A commit must not be acknowledged before what is in it.
            self.journal.wait_for_payloads(&point)?;
            let mut live = self.live.write();
            if self.changes.load(Ordering::Acquire) == changes {
                return self.put_in_place(switch, prepared, &mut live, committing);
            }
        }
        // Most of it is in the store by now: those who write do not wait long.
        let mut live = self.live.write();
        let mut next = live.clone();
        let point = self.journal.point()?;
        self.mark(&mut RecordBuffer::new())?;
        let (root, changed, rows) = store_apart(&mut next, &mut storing.hasher, self.packs())?;
        committing.note_changed(changed);
        storing.changes_by.add(&rows, self.packs())?;
        let prepared = self.prepare(switch, (next, root), storing, committing)?;
        self.journal.wait_for_payloads(&point)?;
        self.put_in_place(switch, prepared, &mut live, committing)
    }

    /// Brings the tree as it is into the store, and marks it in the journal: what would be lost may
    /// become a commit. Returns its root, and the place of the mark.
    fn save_before(
        &self,
        committing: &mut MutexGuard<'_, Committing>,
        storing: &mut MutexGuard<'_, Storing>,
    ) -> Result<(RootId, Point), RepoError> {
        let mark = |repo: &Self| repo.mark(&mut RecordBuffer::new());
        let hashed = self.begin(committing, Extent::All, mark)?;
        let (root, point) = (hashed.committed.root, hashed.point);
        self.finish(committing, hashed, None, |_| Ok(()))?;
        self.write_queue(storing)?;
        Ok((root, point))
    }

    /// Makes the tree that is to be, of one that is in the store, and brings it there too.
    fn prepare(
        &self,
        switch: &Switch<'_>,
        (mut next, root): (Worktree, RootId),
        storing: &mut MutexGuard<'_, Storing>,
        committing: &MutexGuard<'_, Committing>,
    ) -> Result<Prepared, RepoError> {
        let (before, time) = (next.head, Timestamp::now());
        next.writer = switch.writer.cloned();
        let mut restored = plan::apply(&switch.goal, (&mut next, root), self.source())?;
        next.writer = None;
        let saving = (committing.head_root != Some(root)).then(|| {
            let (author, message) = (self.options.author.clone(), switch.message.clone());
            let (id, bytes) = commit_object(root, before, time, author.clone(), message.clone());
            (CommitMade { id, time, author, message }, bytes)
        });
        restored.saved = saving.as_ref().map(|(made, _)| made.id);
        let what = (switch.deed)(restored.saved);
        let after = switch.head.map_or(restored.saved.or(before), |head| head.id);
        next.note(Deed { time: Timestamp::now(), what, before, after }, self.source());
        let since = self.changed_before(switch, saving.is_some(), &storing.changes_by);
        let hasher = &mut storing.hasher;
        let (state, changes_by) =
            self.save_apart((&mut next, since), &committing.changed, hasher)?;
        Ok(Prepared { next, root, state, changes_by, saving, restored })
    }

    /// Puts a tree in place of the living one, which is as it was when that was prepared.
    fn put_in_place(
        &self,
        switch: &Switch<'_>,
        prepared: Prepared,
        live: &mut Worktree,
        committing: &mut MutexGuard<'_, Committing>,
    ) -> Result<Restored, RepoError> {
        let Prepared { next, root, state, changes_by, saving, restored } = prepared;
        let mut record = RecordBuffer::new();
        // Room for both, so that there is none for one of them alone.
        self.journal.reserve(0, Urgency::Ordinary)?;
        if let Some((made, _)) = &saving {
            put_commit(record.fields(), made);
            self.journal.append(&mut record, &[], 0, JOURNAL_COMMIT_COST)?;
            record.clear();
        }
        put_switch(record.fields(), &state);
        self.journal.append(&mut record, &[], 0, JOURNAL_COMMIT_COST)?;
        if let Some((made, bytes)) = saving {
            self.list_saved(&made, bytes);
            committing.head_root = Some(root);
        }
        self.queue.lock().push_back(Unwritten::switched(&changes_by));
        if let Some(head) = switch.head {
            committing.head_root = head.root;
        }
        committing.changed.clear();
        committing.tree_root = None;
        *live = next;
        self.changes.fetch_add(1, Ordering::AcqRel);
        Ok(restored)
    }

    /// Leaves a commit to be listed whose tree is in the store.
    fn list_saved(&self, made: &CommitMade, bytes: Vec<u8>) {
        let listed = CommitRecord { id: made.id, time: made.time, changes_by: None };
        self.unwritten_commits.fetch_add(1, Ordering::AcqRel);
        self.queue.lock().push_back(Unwritten::commit(listed, bytes));
        *self.newest.lock() = Some(listed);
        self.stats().commits.fetch_add(1, Ordering::Relaxed);
        self.keeper.write_soon();
    }

    /// Who changed what between the head that the worktree will have and the tree of now, but for
    /// what the switch itself changes. The queue is empty, so `now` tells that of the head of now.
    fn changed_before(&self, switch: &Switch<'_>, saves: bool, now: &ChangesBy) -> Vec<ObjectId> {
        let goal = &switch.goal.commit;
        match switch.head {
            None if saves => Vec::new(),
            None => now.heads().to_vec(),
            Some(head) if head.id.as_ref() == Some(goal) => Vec::new(),
            // A restore is taken back: the commit that was made then follows that head.
            Some(_) => {
                let record = self.store().commits().find(goal);
                record.and_then(|record| record.changes_by).into_iter().collect()
            }
        }
    }

    /// Brings a tree that nobody else knows into the store, durably, and returns its state: what
    /// the journal says from then on is based on that; and the blocks that tell who changed what
    /// since its head, beside those that did so before. `changed` are directories that had changed
    /// before.
    fn save_apart(
        &self,
        (tree, changes_by): (&mut Worktree, Vec<ObjectId>),
        changed: &[Ino],
        hasher: &mut Hasher,
    ) -> Result<(ObjectId, Vec<ObjectId>), RepoError> {
        let packs = self.packs();
        let (root, directories, rows) = store_apart(tree, hasher, packs)?;
        let changed: Vec<Ino> = changed.iter().copied().chain(directories).collect();
        let nowhere = JournalPosition::default();
        let by = put_rows(&rows, changes_by, packs)?;
        let (state, sides) = self.put_state((tree, &by), root, nowhere, &changed, hasher)?;
        tree.publish_sides(sides);
        packs.sync()?;
        Ok((state, by))
    }
}

/// Hashes a tree that nobody else can change and brings it into the store, but for what lies beside
/// its directories. Returns its root, the directories that had changed, and who changed what.
fn store_apart(
    tree: &mut Worktree,
    hasher: &mut Hasher,
    packs: &PackStore,
) -> Result<(RootId, Vec<Ino>, Rows), RepoError> {
    tree.sort_all(packs)?;
    let snapshot = tree.begin_checkpoint();
    let committed = snapshot.hash(hasher, packs)?;
    let mut unstored = snapshot.unstored(&committed);
    drop(snapshot);
    let (root, changed) = (committed.root, committed.directories().collect());
    tree.publish(committed);
    let files = unstored.store(hasher, packs, packs)?;
    tree.publish_stored(files);
    Ok((root, changed, unstored.changes_by()))
}

/// Paths as they are looked for, without those that lie in others; the whole tree if there are
/// none.
pub(super) fn scopes_of(paths: &[Vec<u8>]) -> Vec<Vec<u8>> {
    if paths.is_empty() {
        return vec![Vec::new()];
    }
    let mut scopes: Vec<Vec<u8>> = paths.iter().map(|path| plan::normal(path)).collect();
    // What contains others is shorter than they are.
    scopes.sort_by_key(Vec::len);
    let mut apart: Vec<Vec<u8>> = Vec::new();
    for scope in scopes {
        if !apart.iter().any(|above| plan::within(&scope, above)) {
            apart.push(scope);
        }
    }
    apart
}

#[cfg(test)]
mod tests {
    use super::{RestoreRequest, scopes_of};

    #[test]
    fn a_path_in_another_is_restored_with_that() {
        let scopes = |paths: &[&str]| {
            let paths: Vec<_> = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
            let text = |path| String::from_utf8(path).unwrap();
            scopes_of(&paths).into_iter().map(text).collect::<Vec<_>>()
        };
        assert_eq!(scopes(&[]), [""]);
        assert_eq!(scopes(&["a/b", "./a//", "ab", "a/b/c"]), ["a", "ab"]);
        assert_eq!(scopes(&["a", "/", "b"]), [""]);
    }

    #[test]
    fn paths_follow_the_revision_and_each_other() {
        let parse = |text| {
            let RestoreRequest { revision, paths } = RestoreRequest::parse(text);
            (revision, paths.into_iter().map(|p| String::from_utf8(p).unwrap()).collect::<Vec<_>>())
        };
        assert_eq!(parse("HEAD~1"), ("HEAD~1".to_owned(), vec![]));
        assert_eq!(parse("HEAD:a\nb"), ("HEAD".to_owned(), vec!["a\nb".to_owned()]));
        assert_eq!(parse("v1:a\0b:c").1, ["a", "b:c"]);
    }
}
