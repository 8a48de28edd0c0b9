//! Damage of the journal.

use std::iter::once;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{Damage, Sound, commit, create, harm, places, write};
use crate::base::disk::sim::SimDisk;
use crate::format::journal::{RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use crate::model::FileKind;
use crate::repo::CommitRequest;
use crate::repo::tests::verify::{assert_clean, verified};
use crate::repo::tests::world::{DIR, Dump, dump, open};

/// A store whose process was killed with something in its journal, and the regions of the records
/// there: header, fields and payload.
fn killed() -> (SimDisk, Dump, PathBuf, Vec<[Range<usize>; 3]>) {
    let sound = Sound::new();
    let repo = open(&sound.disk).expect("it is closed");
    create(&repo, 1, "n4", 50_000, FileKind::Regular);
    for seed in 1..4 {
        write(&repo, 50_000, 90 * seed, seed);
        write(&repo, 30_000, 50_000, 2 * seed + 1);
    }
    commit(&repo);
    let tree = dump(&repo);
    let disk = sound.disk.after_kill();
    let dir = Path::new(DIR).join("journal");
    let names = disk.handle().names(&dir).expect("it is there");
    let mut logs = names.iter().filter(|name| name.as_encoded_bytes().ends_with(b".log"));
    let path = dir.join(logs.next().expect("there is a segment"));
    assert!(logs.next().is_none());
    let bytes = disk.contents(&path).expect("it is there");
    let mut regions = Vec::new();
    let mut at = SEGMENT_HEADER_BYTES;
    loop {
        let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let (fields, payload) = (number(at) as usize, number(at + 4) as usize);
        if fields == 0 {
            return (disk, tree, path, regions);
        }
        let fields = at + RECORD_HEADER_BYTES..at + RECORD_HEADER_BYTES + fields;
        let payload = fields.end..fields.end + payload;
        regions.push([at..fields.start, fields, payload.clone()]);
        at = payload.end;
    }
}

#[test]
fn damage_of_the_journal_is_found_unless_it_looks_like_an_end() {
    let (disk, tree, path, records) = killed();
    assert_clean(&verified(&disk), "killed");
    let file = path.strip_prefix(DIR).expect("it is in the store");
    let last = records.last().expect("there are records")[0].start;
    let header = 0..SEGMENT_HEADER_BYTES;
    // Some stand for all: each look reads a whole segment.
    let regions = records
        .iter()
        .step_by(3)
        .flatten()
        .chain(once(&header))
        .filter(|region| !region.is_empty());
    let mut count = 0;
    for at in regions.flat_map(places) {
        for damage in [Damage::Flip, Damage::Zero, Damage::Cut] {
            let Some(disk) = harm(&disk, &path, damage, &at) else { continue };
            let what = format!("{damage:?} at {at:?}");
            let found = verified(&disk);
            if found.findings.is_empty() {
                // What an interrupted write leaves.
                let is_end = damage == Damage::Cut || (damage == Damage::Zero && at.start >= last);
                let repo = open(&disk).expect("a journal can end anywhere");
                assert!(is_end || dump(&repo) == tree, "{what} is not found");
                continue;
            }
            count += 1;
            let [finding] = &found.findings[..] else { panic!("{what}: {found:#?}") };
            assert_eq!(finding.file, file, "{what}");
            assert!(found.hurt.is_empty(), "{what}");
        }
    }
    assert!(count > records.len(), "{count} of {} records", records.len());
}

#[test]
fn a_journal_that_does_not_fit_is_refused_and_can_be_given_up() {
    let (disk, tree, path, records) = killed();
    let payloads = records.iter().map(|record| record[2].clone());
    // Of some writes nothing is left at the commit, and so it misses nothing.
    let refused = payloads.filter(|payload| !payload.is_empty()).find_map(|payload| {
        let disk = harm(&disk, &path, Damage::Flip, &(payload.start..payload.start + 1))?;
        open(&disk).err().map(|error| (disk, error.to_string()))
    });
    let (disk, text) = refused.expect("a commit has lost what was written before it");
    let dir = path.parent().expect("it is in a directory");
    assert!(text.contains(&format!("journal {} does not fit", dir.display())), "{text}");
    assert!(text.contains("move that directory away"), "{text}");
    for name in disk.handle().names(dir).expect("it is there") {
        disk.handle().remove_file(&dir.join(name)).expect("it is there");
    }
    let repo = open(&disk).expect("the last checkpoint is there");
    assert_ne!(dump(&repo), tree, "what came after that is lost");
    let id = repo.commit(&CommitRequest { allow_empty: true, ..CommitRequest::default() });
    let expected = (dump(&repo), id.ok());
    repo.close().expect("nothing fails");
    drop(repo);
    let repo = open(&disk).expect("it is closed");
    assert_eq!((dump(&repo), repo.head()), expected);
}
