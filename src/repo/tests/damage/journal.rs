//! Damage of the journal.

use std::iter::once;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::segments::segments;
use super::{Damage, IN_PLACE, Sound, commit, create, harm, places, write};
use crate::base::disk::sim::SimDisk;
use crate::format::journal::{
    DURABLE_AT, NEXT_AT, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, decode_durable,
};
use crate::model::FileKind;
use crate::repo::tests::verify::{assert_clean, verified};
use crate::repo::tests::world::{DIR, Dump, dump, open};
use crate::repo::{CommitRequest, mend};

/// A store whose process was killed with something in its journal.
pub(super) struct Killed {
    pub(super) sound: Sound,
    pub(super) disk: SimDisk,
    /// The tree after each operation that the journal has.
    pub(super) trees: Vec<Dump>,
    /// The only segment with records, behind the one that was left when it was closed.
    pub(super) path: PathBuf,
    /// The regions of its records: header, fields and payload.
    pub(super) records: Vec<[Range<usize>; 3]>,
    /// Up to where the records are known to be durable.
    durable: usize,
}

impl Killed {
    pub(super) fn new() -> Self {
        let sound = Sound::new();
        let repo = open(&sound.disk).expect("it is closed");
        let mut trees = vec![dump(&repo)];
        create(&repo, 1, "n4", 50_000, FileKind::Regular);
        trees.push(dump(&repo));
        for seed in 1..4 {
            write(&repo, 50_000, 90 * seed, seed);
            trees.push(dump(&repo));
            write(&repo, 30_000, 50_000, 2 * seed + 1);
            trees.push(dump(&repo));
            if seed == 2 {
                repo.sync().expect("nothing fails");
            }
        }
        commit(&repo);
        let disk = sound.disk.after_kill();
        let [_, path] = &segments(&disk)[..] else { panic!("what was closed, and one more") };
        let path = path.clone();
        let bytes = disk.contents(&path).expect("it is there");
        let durable = decode_durable(bytes.first_chunk().expect("it has a header"));
        let durable = durable.expect("there was a sync") as usize;
        let mut records = Vec::new();
        let mut at = SEGMENT_HEADER_BYTES;
        loop {
            let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
            let (fields, payload) = (number(at) as usize, number(at + 4) as usize);
            if fields == 0 {
                drop(repo);
                return Self { sound, disk, trees, path, records, durable };
            }
            let fields = at + RECORD_HEADER_BYTES..at + RECORD_HEADER_BYTES + fields;
            let payload = fields.end..fields.end + payload;
            records.push([at..fields.start, fields, payload.clone()]);
            at = payload.end;
        }
    }

    fn tree(&self) -> &Dump {
        self.trees.last().expect("there is one")
    }
}

#[test]
fn damage_of_the_journal_is_found_unless_it_looks_like_an_end() {
    let killed = Killed::new();
    let Killed { disk, path, records, .. } = &killed;
    assert_clean(&verified(disk), "killed");
    let file = path.strip_prefix(DIR).expect("it is in the store");
    let last = records.last().expect("there are records")[0].start;
    let header = 0..DURABLE_AT;
    // Some stand for all: each look reads a whole segment.
    let behind = records.iter().filter(|record| record[0].start >= killed.durable);
    let regions = behind.step_by(2).flatten().chain(once(&header)).filter(|r| !r.is_empty());
    let mut count = 0;
    for at in regions.flat_map(places) {
        for damage in [Damage::Flip, Damage::Zero, Damage::Cut] {
            let Some(disk) = harm(disk, path, damage, &at) else { continue };
            let what = format!("{damage:?} at {at:?}");
            let found = verified(&disk);
            if found.findings.is_empty() {
                // What an interrupted write leaves.
                let is_end = damage == Damage::Cut || (damage == Damage::Zero && at.start >= last);
                assert!(at.start >= killed.durable, "{what} is not found");
                let repo = open(&disk).expect("a journal can end anywhere");
                assert!(is_end || dump(&repo) == *killed.tree(), "{what} is not found");
                continue;
            }
            count += 1;
            let [finding] = &found.findings[..] else { panic!("{what}: {found:#?}") };
            assert_eq!(finding.file, file, "{what}");
            assert!(found.hurt.is_empty(), "{what}");
        }
    }
    assert!(count > 20, "{count}");
}

#[test]
fn damage_of_what_was_durable_is_found_after_any_end_and_the_journal_ends_before_it() {
    let killed = Killed::new();
    let Killed { disk, path, records, durable, .. } = &killed;
    let file = path.strip_prefix(DIR).expect("it is in the store");
    let synced: Vec<_> = records.iter().filter(|record| record[0].start < *durable).collect();
    assert!(synced.len() > 4 && synced.len() < records.len());
    for (rebooted, disk) in [(false, disk.after_kill()), (true, disk.after_power_loss(1))] {
        assert_clean(&verified(&disk), "before");
        for (n, record) in synced.iter().enumerate() {
            for at in record.iter().filter(|region| !region.is_empty()).flat_map(places) {
                for damage in [Damage::Flip, Damage::Zero, Damage::Cut] {
                    let Some(disk) = harm(&disk, path, damage, &at) else { continue };
                    let what = format!("record {n}, {damage:?} at {at:?}, {rebooted}");
                    let found = verified(&disk);
                    let [finding] = &found.findings[..] else { panic!("{what}: {found:#?}") };
                    let start = record[0].start as u64;
                    assert_eq!((&*finding.file, finding.offset), (file, Some(start)), "{what}");
                    assert!(found.hurt.is_empty(), "{what}");
                    let text = open(&disk).err().expect("it is refused").to_string();
                    assert!(text.contains(&format!("damaged at offset {start}")), "{what}: {text}");
                    assert!(text.contains("vst verify --repair"), "{what}: {text}");
                    let mended = mend(&disk.handle(), Path::new(DIR), &|_| {}).expect("a store");
                    assert_clean(&mended.after, &what);
                    let repo = open(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
                    assert_eq!(dump(&repo), killed.trees[n], "{what}");
                }
            }
        }
    }
}

#[test]
fn damage_of_what_tells_how_far_the_journal_goes_does_no_harm() {
    let killed = Killed::new();
    let regions = [DURABLE_AT..NEXT_AT, NEXT_AT..SEGMENT_HEADER_BYTES];
    let mut names = 0;
    for (path, region) in
        segments(&killed.disk).iter().flat_map(|p| regions.clone().map(|r| (p, r)))
    {
        for (at, damage) in
            places(&region).into_iter().flat_map(|p| IN_PLACE.map(|damage| (p.clone(), damage)))
        {
            let Some(disk) = harm(&killed.disk, path, damage, &at) else { continue };
            let what = format!("{}: {damage:?} at {at:?}", path.display());
            assert_clean(&verified(&disk), &what);
            let repo = open(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(dump(&repo), *killed.tree(), "{what}");
            // What follows is named again, so that it is missed.
            let last = disk.after_kill();
            last.handle().remove_file(&killed.path).expect("it is there");
            let found = verified(&last);
            assert_eq!(found.findings.len(), 1, "{what}: {found:#?}");
            names += usize::from(region.start == NEXT_AT && *path != killed.path);
        }
    }
    assert!(names > 3, "{names}");
}

#[test]
fn a_journal_that_does_not_fit_is_refused_and_can_be_given_up() {
    let killed = Killed::new();
    let Killed { disk, path, records, durable, .. } = &killed;
    let behind = records.iter().filter(|record| record[0].start >= *durable);
    let payloads = behind.map(|record| record[2].clone());
    // Of some writes nothing is left at the commit, and so it misses nothing.
    let refused = payloads.filter(|payload| !payload.is_empty()).find_map(|payload| {
        let disk = harm(disk, path, Damage::Flip, &(payload.start..payload.start + 1))?;
        open(&disk).err().map(|error| (disk, error.to_string()))
    });
    let (disk, text) = refused.expect("a commit has lost what was written before it");
    let dir = path.parent().expect("it is in a directory");
    assert!(text.contains(&format!("journal {} does not fit", dir.display())), "{text}");
    assert!(text.contains("move that directory away"), "{text}");
    for name in disk.handle().names(dir).expect("it is there") {
        disk.handle().remove_file(&dir.join(name)).expect("it is there");
    }
    let text = open(&disk).err().expect("it misses the journal").to_string();
    assert!(text.contains("vst verify --repair"), "{text}");
    mend(&disk.handle(), Path::new(DIR), &|_| {}).expect("a store");
    let repo = open(&disk).expect("the last checkpoint is there");
    assert_ne!(dump(&repo), *killed.tree(), "what came after that is lost");
    let id = repo.commit(&CommitRequest { allow_empty: true, ..CommitRequest::default() });
    let expected = (dump(&repo), id.ok());
    repo.close().expect("nothing fails");
    drop(repo);
    let repo = open(&disk).expect("it is closed");
    assert_eq!((dump(&repo), repo.head()), expected);
}
