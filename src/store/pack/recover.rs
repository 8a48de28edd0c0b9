//! Opening the packs of a directory: the sealed ones by their trailers, the others by a scan of
//! their records.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::file::{Pack, number_of};
use super::index::PackSlot;
use super::scan::Scan;
use super::set::{PackSet, is_damage};
use super::writer::Unsealed;
use crate::base::disk::Disk;
use crate::base::limits;
use crate::base::sync::Mutex;
use crate::format::pack::{
    FANOUT_BYTES, HEADER_BYTES, PackError, PackState, TRAILER_BYTES, Trailer, decode_header,
};
use crate::store::{StoreError, files};

/// The numbers of all packs in the directory, rising.
pub(in crate::store) fn numbers(disk: &dyn Disk, dir: &Path) -> Result<Vec<u64>, StoreError> {
    let names = files::names_in(disk, dir)?;
    let mut numbers: Vec<_> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Opens all packs for their only writer. Gives back the unsealed ones, and the number that the
/// next pack gets.
pub(super) fn open_for_writing(set: &PackSet) -> Result<(Vec<Unsealed>, u64), StoreError> {
    let mut unsealed = Vec::new();
    let mut next_number = 1;
    for number in numbers(set.disk(), &set.dir)? {
        next_number = number.saturating_add(1);
        let Opened { pack, was_sealed, found } = open_pack(set, number)?;
        let slot = set.add(Arc::clone(&pack));
        let Some(found) = found else { continue };
        let (end, any) = (found.end, !found.entries.is_empty());
        let readable = found.failure.is_none();
        set.list(slot, &pack, found);
        let path = pack.path();
        if !readable {
            // What follows may be worth more than the room that it takes.
            log::warn!("{} is left as it is", path.display());
        } else if any {
            unsealed.push(Unsealed { pack, slot, end, was_sealed });
        } else if files::file_bytes(set.disk(), path)
            .is_some_and(|bytes| bytes <= HEADER_BYTES as u64)
        {
            let removed = set.disk().remove_file(path);
            removed.map_err(|error| StoreError::io("removing", path, error))?;
        } else {
            log::warn!("{} holds no whole object and is left as it is", path.display());
        }
    }
    Ok((unsealed, next_number))
}

struct Opened {
    pack: Arc<Pack>,
    /// Its header says that there is a footer.
    was_sealed: bool,
    /// What a scan found, if there is no footer.
    found: Option<Scan>,
}

/// Opens one pack; if it is not sealed, it is scanned.
fn open_pack(set: &PackSet, number: u64) -> Result<Opened, StoreError> {
    let mut was_sealed = false;
    let pack = Arc::new(Pack::new(&set.dir, number));
    let failed = |error| StoreError::io("reading", pack.path(), error);
    let file_bytes = pack.reader(&set.files).and_then(|file| file.len()).map_err(failed)?;
    if file_bytes > limits::PACK_BYTES_MAX {
        let detail = "the file is longer than a pack can be";
        return Err(StoreError::corrupt(pack.path(), limits::PACK_BYTES_MAX, detail));
    }
    if file_bytes >= HEADER_BYTES as u64 {
        let mut header = [0; HEADER_BYTES];
        let read = pack.read_at(&set.files, &mut header, 0);
        match (read, decode_header(&header)) {
            (Ok(()), Ok(state)) => was_sealed = state == PackState::Sealed,
            (Ok(()), Err(PackError::Version(version))) => {
                return Err(unknown_version(&pack, version));
            }
            // The objects have checksums of their own.
            (Ok(()), Err(error)) => log::error!("{} at offset 0: {error}", pack.path().display()),
            (Err(error), _) => log::error!("{} at offset 0: {error}", pack.path().display()),
        }
    }
    if let Some(trailer) = read_trailer(set, &pack, file_bytes)? {
        pack.set_sealed(trailer, None);
        return Ok(Opened { pack, was_sealed: true, found: None });
    }
    if was_sealed {
        log::error!("{} has lost its footer, and gets another", pack.path().display());
    }
    let found = Some(set.scan(&pack, 0, file_bytes)?);
    Ok(Opened { pack, was_sealed, found })
}

fn read_trailer(
    set: &PackSet,
    pack: &Arc<Pack>,
    file_bytes: u64,
) -> Result<Option<Trailer>, StoreError> {
    if file_bytes < (HEADER_BYTES + FANOUT_BYTES + TRAILER_BYTES) as u64 {
        return Ok(None);
    }
    let mut bytes = [0; TRAILER_BYTES];
    let read = pack
        .read_at(&set.files, &mut bytes, file_bytes - TRAILER_BYTES as u64)
        .map_err(|error| StoreError::io("reading", pack.path(), error));
    match read {
        Ok(()) => {}
        Err(error) if is_damage(&error) => return Ok(None),
        Err(error) => return Err(error),
    }
    match Trailer::decode(&bytes, file_bytes) {
        Ok(trailer) => Ok(Some(trailer)),
        Err(PackError::Version(version)) => Err(unknown_version(pack, version)),
        Err(_) => Ok(None),
    }
}

fn unknown_version(pack: &Pack, version: u32) -> StoreError {
    let found = format!("vst pack {version}");
    StoreError::UnknownFormat { path: pack.path().to_owned(), found }
}

/// The packs of a store that another process may be writing to.
pub(super) struct Follower {
    /// By number, the packs that are known.
    known: Mutex<BTreeMap<u64, Known>>,
}

enum Known {
    /// Nothing more will come to it.
    Complete { slot: PackSlot },
    /// Records may be appended after this offset.
    Growing { pack: Arc<Pack>, slot: PackSlot, scanned: u64 },
}

impl Follower {
    /// Opens all packs for reading.
    pub(super) fn start(set: &PackSet) -> Result<Self, StoreError> {
        let follower = Self { known: Mutex::default() };
        follower.refresh(set)?;
        Ok(follower)
    }

    /// Looks for what has been written since the last time.
    pub(super) fn refresh(&self, set: &PackSet) -> Result<(), StoreError> {
        let mut known = self.known.lock();
        let mut sealed_packs = false;
        let numbers = numbers(set.disk(), &set.dir)?;
        // What the owner has removed lives on in newer packs.
        known.retain(|number, pack| {
            let is_there = numbers.binary_search(number).is_ok();
            if !is_there {
                set.remove(pack.slot());
            }
            is_there
        });
        for number in numbers {
            match known.get_mut(&number) {
                None => {
                    let Opened { pack, found, .. } = match open_pack(set, number) {
                        // Listed a moment ago, and removed since.
                        Err(StoreError::Io { source, .. })
                            if source.kind() == io::ErrorKind::NotFound =>
                        {
                            continue;
                        }
                        opened => opened?,
                    };
                    let slot = set.add(Arc::clone(&pack));
                    sealed_packs |= found.is_none();
                    let now = match found {
                        None => Known::Complete { slot },
                        Some(found) => Known::growing(set, pack, slot, found),
                    };
                    known.insert(number, now);
                }
                Some(Known::Complete { .. }) => {}
                Some(growing) => growing.follow(set)?,
            }
        }
        if sealed_packs {
            set.index.unload();
        }
        Ok(())
    }
}

impl Known {
    fn slot(&self) -> PackSlot {
        match self {
            Self::Complete { slot } | Self::Growing { slot, .. } => *slot,
        }
    }

    fn growing(set: &PackSet, pack: Arc<Pack>, slot: PackSlot, found: Scan) -> Self {
        // What does not check may be about to be written.
        let scanned = found.gap.unwrap_or(found.end);
        set.list(slot, &pack, found);
        Self::Growing { pack, slot, scanned }
    }

    fn follow(&mut self, set: &PackSet) -> Result<(), StoreError> {
        let slot = self.slot();
        let Self::Growing { pack, scanned, .. } = self else { return Ok(()) };
        let file_bytes = pack
            .reader(&set.files)
            .and_then(|file| file.len())
            .map_err(|error| StoreError::io("reading", pack.path(), error))?;
        let trailer = read_trailer(set, pack, file_bytes)?;
        let end = trailer.map_or(file_bytes, |trailer| trailer.footer_offset);
        if end > *scanned {
            let found = set.scan(pack, *scanned, end)?;
            *self = Self::growing(set, Arc::clone(pack), slot, found);
        }
        if trailer.is_some() {
            *self = Self::Complete { slot };
        }
        Ok(())
    }
}
