//! Segments of the journal that are lost as a whole: whoever looks finds that out, whichever it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Damage, Sound, create, harm, write};
use crate::base::disk::sim::SimDisk;
use crate::format::journal::SEGMENT_HEADER_BYTES;
use crate::model::FileKind;
use crate::repo::tests::verify::{assert_clean, verified};
use crate::repo::tests::world::{DIR, Dump, dump, open};
use crate::repo::{Repo, mend};
use crate::store::Part;

/// Behind one of these there is no room for another record in the smallest segment.
const LARGE: usize = 4_000_000;

/// The segments that there are.
pub(super) fn segments(disk: &SimDisk) -> Vec<PathBuf> {
    let dir = Path::new(DIR).join("journal");
    let mut names = disk.handle().names(&dir).expect("it is there");
    names.retain(|name| name.as_encoded_bytes().ends_with(b".log"));
    names.sort();
    names.into_iter().map(|name| dir.join(name)).collect()
}

/// A store at work, with segments that hold one large write or two.
struct Rotated {
    disk: SimDisk,
    repo: Repo,
    /// What there is without each of the segments, and so without those behind it.
    without: BTreeMap<PathBuf, Dump>,
}

impl Rotated {
    /// Makes a checkpoint after so many of the writes.
    fn new(checkpoint_after: Option<usize>) -> Self {
        let sound = Sound::new();
        let repo = open(&sound.disk).expect("it is closed");
        let disk = sound.disk;
        let mut before = dump(&repo);
        let begun = |before: &Dump| -> BTreeMap<PathBuf, Dump> {
            segments(&disk).into_iter().map(|path| (path, before.clone())).collect()
        };
        let mut without = begun(&before);
        create(&repo, 1, "n4", 50_000, FileKind::Regular);
        for n in 0..4 {
            write(&repo, 50_000, LARGE, n + 1);
            for (path, tree) in begun(&before) {
                without.entry(path).or_insert(tree);
            }
            before = dump(&repo);
            if checkpoint_after == Some(n) {
                repo.checkpoint().expect("nothing fails");
                without = begun(&before);
            }
        }
        assert!(segments(&disk).iter().eq(without.keys()) && without.len() > 2);
        Self { disk, repo, without }
    }
}

/// Loses each segment in each way.
fn lose_each(disk: &SimDisk, without: &BTreeMap<PathBuf, Dump>, is_durable: bool, what: &str) {
    assert_clean(&verified(disk), what);
    let all = &dump(&open(&disk.after_kill()).expect("it is well"));
    let last = without.keys().last();
    let ways = [(Damage::Remove, 0), (Damage::Cut, 0), (Damage::Cut, SEGMENT_HEADER_BYTES)];
    for (path, tree) in without {
        for (damage, at) in ways {
            let Some(disk) = harm(disk, path, damage, &(at..at + 1)) else { continue };
            let what = format!("{what}, {}: {damage:?} at {at}", path.display());
            let found = verified(&disk);
            if at > 0 && found.findings.is_empty() {
                // All that is cut off is in the state that names the first; or nothing tells how
                // far the last one came, which was so when it had been made.
                let is_first = without.keys().next() == Some(path);
                assert!(is_first || (last == Some(path) && !is_durable), "{what} is not found");
                let there = if is_first { all } else { tree };
                assert_eq!(&dump(&open(&disk).expect("it is well")), there, "{what}");
                continue;
            }
            let [finding] = &found.findings[..] else { panic!("{what}: {found:#?}") };
            let file = path.strip_prefix(DIR).expect("it is in the store");
            assert_eq!((finding.part, &*finding.file), (Part::Journal, file), "{what}");
            assert_eq!(finding.offset.is_none(), damage == Damage::Remove, "{what}");
            assert!(found.hurt.is_empty(), "{what}");
            let text = open(&disk).err().expect("it is refused").to_string();
            assert!(text.contains(&path.display().to_string()), "{what}: {text}");
            assert!(text.contains("vst verify --repair"), "{what}: {text}");
            let mended = mend(&disk.handle(), Path::new(DIR), &|_| {}).expect("a store");
            assert_eq!(mended.done.len(), 1, "{what}: {mended:#?}");
            assert_clean(&mended.after, &what);
            let repo = open(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(&dump(&repo), tree, "{what}");
            write(&repo, 30_000, LARGE, 77);
            let tree = dump(&repo);
            assert_clean(&verified(&disk.after_kill()), &what);
            let repo = open(&disk.after_kill()).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(dump(&repo), tree, "{what}");
        }
    }
}

#[test]
fn a_lost_segment_is_missed_after_any_end_and_what_comes_before_it_can_be_used() {
    for checkpoint_after in [None, Some(0), Some(1)] {
        let Rotated { disk, repo, without } = Rotated::new(checkpoint_after);
        let what = |what| format!("a checkpoint after {checkpoint_after:?}, {what}");
        lose_each(&disk.after_kill(), &without, false, &what("killed"));
        repo.sync().expect("nothing fails");
        lose_each(&disk.after_kill(), &without, true, &what("synced, killed"));
        lose_each(&disk.after_power_loss(0), &without, false, &what("synced, power lost"));
        // That of the next sync.
        write(&repo, 50_000, 100, 9);
        repo.sync().expect("nothing fails");
        lose_each(&disk.after_power_loss(0), &without, true, &what("synced twice, power lost"));
    }
}

#[test]
fn what_is_left_of_a_closed_journal_is_missed() {
    let sound = Sound::new();
    let [path] = &segments(&sound.disk)[..] else { panic!("one segment is left") };
    let without = BTreeMap::from([(path.clone(), sound.tree.clone())]);
    lose_each(&sound.disk, &without, true, "closed");
}
