//! Changing the tree, and having every change in the journal before anybody is told of it.

use std::cell::RefCell;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::{CachedOnly, Repo, RepoError};
use crate::base::haste;
use crate::base::limits::LOAD_RETRIES_MAX;
use crate::base::sync::thread_local;
use crate::format::journal::put_ops_header;
use crate::format::op::{put_op, subject};
use crate::journal::{Journal, JournalError, RecordBuffer, Ticket, Urgency};
use crate::model::{Ino, Name, ObjectError, ObjectSource, Op, Writer};
use crate::worktree::{Found, OpError, Worktree};

/// The tree while it is being changed. It can be looked at like any [`Worktree`].
pub struct Edit<'a> {
    tree: &'a mut Worktree,
    src: &'a dyn ObjectSource,
    ops: &'a mut Vec<u8>,
    count: usize,
    payloads: Payloads,
}

type Payloads = SmallVec<[Arc<[u8]>; 1]>;

thread_local! {
    /// What operations are encoded in.
    static BUFFERS: RefCell<(Vec<u8>, RecordBuffer)> = RefCell::default();
}

impl Edit<'_> {
    /// Says who does what is applied from now on; otherwise that is who the repository was opened
    /// for.
    pub fn by(&mut self, writer: Option<&Arc<Writer>>) {
        self.tree.writer = writer.cloned();
    }

    /// Applies an operation; a failure leaves the tree as it was.
    pub fn apply(&mut self, op: &Op) -> Result<(), OpError> {
        // These two change where it is.
        let before = match op {
            Op::Link { ino, .. } | Op::DropOrphan { ino } => self.tree.place_of(*ino),
            _ => None,
        };
        let before = before.map(|(parent, name)| (parent, name.clone()));
        self.tree.apply(op, self.src)?;
        let at = match (subject(op), &before) {
            (_, Some((parent, name))) => Some((*parent, name)),
            // What has no place is gone with this process, and so is what is done to it.
            (Some(ino), None) if ino != Ino::ROOT => match self.tree.place_of(ino) {
                Some(place) => Some(place),
                None => return Ok(()),
            },
            _ => None,
        };
        put_op(self.ops, at, op);
        self.count += 1;
        if let Op::Write { data, .. } = op {
            self.payloads.push(data.clone());
        }
        Ok(())
    }

    /// Finds an entry of a directory that is in the table.
    pub fn lookup(&self, parent: Ino, name: &Name) -> Result<Option<Found>, OpError> {
        Ok(self.tree.lookup(parent, name, self.src)?)
    }

    /// Takes the inode of an entry into the table; see [`Worktree::load`].
    pub fn load(&mut self, parent: Ino, name: &Name, found: &Found) -> Result<(), OpError> {
        Ok(self.tree.load(parent, name, found, self.src)?)
    }

    /// Forgets an inode that is as its entry tells.
    pub fn evict(&mut self, ino: Ino) {
        self.tree.evict(ino);
    }

    /// Gives a number for a new inode.
    pub fn allocate_ino(&mut self) -> Ino {
        self.tree.allocate_ino()
    }
}

impl Deref for Edit<'_> {
    type Target = Worktree;

    fn deref(&self) -> &Worktree {
        self.tree
    }
}

/// What an update needs of the journal.
#[derive(Clone, Copy)]
struct Needs {
    payload_bytes: u64,
    /// The checksum of the payload, if it is one write and that is known.
    payload_sum: Option<u32>,
    urgency: Urgency,
}

impl Repo {
    /// Applies an operation to the tree. On return it survives the end of the process.
    pub fn apply(&self, op: &Op) -> Result<(), RepoError> {
        self.apply_by(self.options.writer.as_ref(), op)
    }

    /// As `apply`, for somebody else than who the repository was opened for.
    pub fn apply_by(&self, writer: Option<&Arc<Writer>>, op: &Op) -> Result<(), RepoError> {
        let makes_room = matches!(op, Op::Unlink { .. } | Op::Rmdir { .. } | Op::DropOrphan { .. })
            || matches!(op, Op::Truncate { size: 0, .. });
        let urgency = if makes_room { Urgency::MakesRoom } else { Urgency::Ordinary };
        let needs = match op {
            Op::Write { data, .. } => Needs {
                payload_bytes: data.len() as u64,
                // Done here, where nobody waits for it.
                payload_sum: Some(crc32c::crc32c(data)),
                urgency,
            },
            _ => Needs { payload_bytes: 0, payload_sum: None, urgency },
        };
        self.update_with(needs, |edit| {
            edit.by(writer);
            edit.apply(op)
        })
    }

    /// Changes the tree. On return what was done survives the end of the process.
    ///
    /// `change` is called under the lock, and reads without waiting for a disk. When it asks for
    /// what is not in memory, which must leave the tree as it was, that is read without the lock
    /// and `change` is called again.
    pub fn update<T>(
        &self,
        change: impl FnMut(&mut Edit<'_>) -> Result<T, OpError>,
    ) -> Result<T, RepoError> {
        let urgency = Urgency::Ordinary;
        self.update_with(Needs { payload_bytes: 0, payload_sum: None, urgency }, change)
    }

    /// As `update`, for what makes room on a full disk.
    pub fn update_to_make_room<T>(
        &self,
        change: impl FnMut(&mut Edit<'_>) -> Result<T, OpError>,
    ) -> Result<T, RepoError> {
        let urgency = Urgency::MakesRoom;
        self.update_with(Needs { payload_bytes: 0, payload_sum: None, urgency }, change)
    }

    fn update_with<T>(
        &self,
        needs: Needs,
        mut change: impl FnMut(&mut Edit<'_>) -> Result<T, OpError>,
    ) -> Result<T, RepoError> {
        self.make_room(needs.urgency)?;
        self.with_room(|| self.update_once(needs, &mut change))
    }

    fn update_once<T>(
        &self,
        needs: Needs,
        change: &mut impl FnMut(&mut Edit<'_>) -> Result<T, OpError>,
    ) -> Result<T, RepoError> {
        let packs = self.history.store().packs();
        let mut src: &dyn ObjectSource = &CachedOnly(packs);
        for attempt in 0.. {
            if attempt == LOAD_RETRIES_MAX {
                // The cache is too small for what the operation needs, or others sweep it: better
                // to wait under the lock than for ever.
                src = packs.as_ref();
            }
            match self.try_update(needs, src, change) {
                Err(RepoError::Op(OpError::Object(ObjectError::NotLoaded(id)))) => {
                    drop(packs.get(&id)?);
                }
                Err(RepoError::Journal(
                    JournalError::Failed { .. } | JournalError::NoRoom { .. },
                )) if haste::would_wait() => return Err(RepoError::Hasty),
                Err(RepoError::Journal(JournalError::Failed { .. })) if attempt == 0 => {
                    self.checkpoint()?;
                }
                // What is in the store needs its room in the journal no more.
                Err(RepoError::Journal(JournalError::NoRoom { .. }))
                    if attempt == 0 && self.journal.lag().0 > 0 =>
                {
                    self.checkpoint()?;
                }
                Ok(done) => {
                    if needs.urgency == Urgency::MakesRoom {
                        self.collecting.note_deletion();
                    }
                    return Ok(done);
                }
                result => return result,
            }
        }
        unreachable!("the last attempt reads from the disk")
    }

    fn try_update<T>(
        &self,
        needs: Needs,
        src: &dyn ObjectSource,
        change: &mut impl FnMut(&mut Edit<'_>) -> Result<T, OpError>,
    ) -> Result<T, RepoError> {
        let mut failed = false;
        let result = BUFFERS.with(|buffers| {
            let (ops, record) = &mut *buffers.borrow_mut();
            ops.clear();
            let mut live = self.live.write();
            self.journal.reserve(needs.payload_bytes, needs.urgency)?;
            let tree = &mut *live;
            tree.writer.clone_from(&self.options.writer);
            let mut edit = Edit { tree, src, ops, count: 0, payloads: SmallVec::new() };
            let result = change(&mut edit);
            let Edit { count, payloads, .. } = edit;
            // What is done to the tree beside operations is nobody's.
            let by = live.writer.take();
            self.changes.fetch_add(1, Ordering::Release);
            if count == 0 {
                return Ok(result?);
            }
            let several;
            let payload = match payloads.as_slice() {
                [] => &[][..],
                [payload] => payload,
                payloads => {
                    several = payloads.concat();
                    &several
                }
            };
            let sum = needs.payload_sum.unwrap_or_else(|| crc32c::crc32c(payload));
            let ticket = match record_ops(
                &self.journal,
                record,
                (by.as_deref(), count, ops),
                payload,
                sum,
            ) {
                // It failed since room was reserved, and for now only a checkpoint can keep this.
                Err(JournalError::Failed { .. }) => {
                    failed = true;
                    None
                }
                ticket => ticket?,
            };
            drop(live);
            // It has been done, and must not be done again.
            haste::end();
            if let Some(ticket) = ticket {
                self.journal.complete(ticket, payload)?;
            }
            self.keeper.look_at(&self.journal, self.options.journal_bytes_max);
            Ok(result?)
        });
        if failed {
            self.checkpoint()?;
        }
        result
    }
}

fn record_ops<'j>(
    journal: &'j Journal,
    record: &mut RecordBuffer,
    (by, count, ops): (Option<&Writer>, usize, &[u8]),
    payload: &[u8],
    payload_sum: u32,
) -> Result<Option<Ticket<'j>>, JournalError> {
    record.clear();
    put_ops_header(record.fields(), by, count);
    record.fields().extend_from_slice(ops);
    journal.append(record, payload, payload_sum, count as u64)
}
