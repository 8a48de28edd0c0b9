//! The entries of a directory, so many at a time.
//!
//! A part goes on at a name, not at a number: entries may come, go, and pass from one tree to the
//! other before the next part is asked for, and still none that stays is left out.

use std::ops::ControlFlow;

use super::View;
use crate::model::{Name, ObjectError, ObjectSource};
use crate::worktree::state::Found;
use crate::worktree::tree::{Directory, Item, Tree};

/// Entries in the order of their names, and the name to go on at, unless there are no more.
type Part = (Vec<(Name, Found)>, Option<Vec<u8>>);

/// Calls a visitor with items from a name on.
type Scan<'a> = &'a dyn Fn(
    &Tree<Directory>,
    &mut dyn FnMut(Item<'_, Directory>) -> ControlFlow<()>,
) -> Result<(), ObjectError>;

impl View {
    /// The next entries from a name on, ignored or not.
    pub(super) fn part(
        &self,
        from: &[u8],
        entries_max: usize,
        src: &dyn ObjectSource,
    ) -> Result<Part, ObjectError> {
        self.take(entries_max, &|tree, visit| tree.scan_from(from, src, visit))
    }

    /// The same of the entries that have links at or below them, and some others that changed.
    pub(super) fn part_linked(
        &self,
        from: &[u8],
        entries_max: usize,
        src: &dyn ObjectSource,
    ) -> Result<Part, ObjectError> {
        self.take(entries_max, &|tree, visit| tree.scan_linked(from, src, visit))
    }

    fn take(&self, entries_max: usize, scan: Scan<'_>) -> Result<Part, ObjectError> {
        let (mut entries, mut is_whole) = (Vec::new(), true);
        for inode in [Some(&self.inode), self.shadow.as_ref()].into_iter().flatten() {
            let Some(tree) = inode.directory() else { break };
            let mut taken = 0;
            scan(tree, &mut |item| {
                if taken >= entries_max {
                    is_whole = false;
                    return ControlFlow::Break(());
                }
                taken += 1;
                // Only names are ever put into a directory.
                if let Ok(name) = Name::new(item.key) {
                    entries.push((name, Found::of(inode.ino, &item)));
                }
                ControlFlow::Continue(())
            })?;
        }
        // Each tree has given as many as are asked for of both, or all of its own.
        entries.sort_unstable_by(|(a, _), (b, _)| a.as_bytes().cmp(b.as_bytes()));
        is_whole &= entries.len() <= entries_max;
        entries.truncate(entries_max);
        // No name has a zero byte, so that this is the least one behind the last.
        let behind = |(name, _): &(Name, Found)| [name.as_bytes(), &[0]].concat();
        let next = entries.last().filter(|_| !is_whole).map(behind);
        Ok((entries, next))
    }
}
