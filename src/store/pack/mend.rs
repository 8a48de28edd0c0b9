//! Mending a pack from what it holds itself, in place.
//!
//! Records never change. A footer is cut off and written anew behind them; if that is interrupted,
//! the pack is one that has lost its footer, and whoever opens it next writes another.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::check::{CheckedPack, check_pack};
use super::file::Pack;
use super::write_file::WriteFile;
use crate::base::disk::{Disk, OpenMode};
use crate::format::pack::{PackState, encode_header};
use crate::model::ObjectId;
use crate::store::id_hash::IdHash;
use crate::store::{Part, StoreError};

/// Writes the header and the footer of a pack anew where they are damaged, and no longer lists
/// damaged copies of objects of which there are whole ones. Durable on return. The caller has the
/// lock of the store. Returns what was done.
pub(in crate::store) fn mend_pack(
    disk: &dyn Disk,
    dir: &Path,
    number: u64,
    whole: &HashSet<ObjectId, IdHash>,
) -> Result<Vec<&'static str>, StoreError> {
    let mut done = Vec::new();
    let Some(checked) = check_pack(disk, dir, number, &|_, _| {}) else { return Ok(done) };
    let pack = Arc::new(Pack::new(dir, number));
    if checked.has(Part::PackHeader) {
        let write = || {
            let file = disk.open(pack.path(), OpenMode::Write)?;
            let state = if checked.is_sealed { PackState::Sealed } else { PackState::Open };
            file.write_all_at(&encode_header(state), 0)?;
            file.sync_data()
        };
        write().map_err(|error| StoreError::io("mending", pack.path(), error))?;
        done.push("wrote its header anew");
    }
    let is_spare = |id: &ObjectId, is_whole: bool| !is_whole && whole.contains(id);
    let any_spare = checked.entries.iter().any(|(entry, good)| is_spare(&entry.id, *good));
    let is_lost = checked.has(Part::PackIndex);
    if (is_lost || any_spare) && !checked.entries.is_empty() {
        let CheckedPack { entries, records_end, .. } = checked;
        let kept = entries.iter().filter(|(entry, good)| !is_spare(&entry.id, *good));
        pack.listed().lock().extend(kept.map(|(entry, _)| *entry));
        let file = disk.open(pack.path(), OpenMode::Write);
        let file = file.map_err(|error| StoreError::io("opening", pack.path(), error))?;
        WriteFile::reopened(disk, pack, file, Arc::default()).seal(disk, dir, records_end)?;
        if is_lost {
            done.push("rebuilt its index from its records");
        }
        if any_spare {
            done.push("dropped damaged copies of objects that are whole elsewhere");
        }
    }
    Ok(done)
}
