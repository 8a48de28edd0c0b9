//! Telling the kernel what changed behind its back.

use super::Vfs;
use crate::model::{Ino, Name};
use crate::repo::Touched;

/// Tells the kernel that what it believes has changed behind its back.
pub trait Notify: Send + Sync {
    /// A name in a directory stands for something else, or for nothing, or again for something.
    fn entry_changed(&self, parent: Ino, name: &Name);
    /// Attributes or content of an inode changed.
    fn inode_changed(&self, ino: Ino);
    /// Attributes of an inode changed, and its content did not. The kernel waits for no request
    /// of its own to take note, and has done so when this returns.
    fn attributes_changed(&self, ino: Ino);
    /// Waits until the kernel knows all that it was told.
    fn flush(&self);
}

impl Vfs {
    /// Tells the kernel what changed behind its back. Called with no lock held.
    pub(super) fn announce(&self, touched: &[Touched]) {
        let notify = self.notify.get();
        for touched in touched {
            match (touched, notify) {
                (Touched::Entry(parent, name), Some(notify)) => notify.entry_changed(*parent, name),
                (Touched::Inode(ino), Some(notify)) => {
                    if self.lookups.holds(ino.0) {
                        self.resized.add(ino.0);
                    }
                    notify.inode_changed(*ino);
                }
                (Touched::Removed(ino), Some(notify)) => {
                    // Who has it open sees that it has no name any more.
                    notify.attributes_changed(*ino);
                    self.drop_if_unheld(*ino);
                }
                (Touched::Removed(ino), None) => self.drop_if_unheld(*ino),
                (_, None) => {}
            }
        }
        if let Some(notify) = notify {
            notify.flush();
        }
    }
}
