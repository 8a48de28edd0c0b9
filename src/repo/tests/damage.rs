//! Every kind of file of a store, every kind of damage, at several places: verification finds it
//! and names whom it hurts, or it does no harm; and what can be mended is as it was.

mod journal;
mod lists;
mod mending;
mod segments;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;

use super::verify::{assert_clean, verified};
use super::world::{DIR, Dump, dump, new_disk, open, reach_and_apply};
use crate::base::disk::sim::SimDisk;
use crate::format::pack::{
    ENTRY_BYTES, FANOUT_BYTES, HEADER_BYTES, RECORD_HEADER_BYTES, RecordHeader, TRAILER_BYTES,
};
use crate::model::{
    CommitId, Entry, EntryBody, FileKind, Ino, Name, NewNode, ObjectId, ObjectKind, ObjectSink,
    ObjectSource, Op, Timestamp,
};
use crate::repo::{CommitRequest, History, Holder, Hurt, Repo, Verified, mend};
use crate::store::{OpenOptions, Part, Store};
use crate::worktree::{CommittedDirectory, CommittedTree, File};

/// A way to harm a file.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Damage {
    Flip,
    Zero,
    Cut,
    Remove,
}

const IN_PLACE: [Damage; 2] = [Damage::Flip, Damage::Zero];
const ALL: [Damage; 4] = [Damage::Flip, Damage::Zero, Damage::Cut, Damage::Remove];
/// How much is zeroed.
const ZEROED_BYTES: usize = 8;

/// A store in which there is something of everything, closed.
struct Sound {
    disk: SimDisk,
    tree: Dump,
    commits: Vec<CommitId>,
}

fn time(secs: i64) -> Timestamp {
    Timestamp { secs, nanos: 5 }
}

fn create(repo: &Repo, parent: u64, name: &str, ino: u64, kind: FileKind) {
    let node = NewNode { kind, perm: 0o755, uid: 1, gid: 1, rdev: 0, target: Box::default() };
    let name = Name::new(name.as_bytes()).expect("a name");
    let op = Op::Create { parent: Ino(parent), name, ino: Ino(ino), node, time: time(1) };
    reach_and_apply(repo, &op).expect("there is no such name");
}

fn write(repo: &Repo, ino: u64, len: usize, seed: usize) {
    let data: Arc<[u8]> = (0..len).map(|n| ((n * seed) ^ (n >> 7)) as u8).collect();
    let op = Op::Write { ino: Ino(ino), offset: 0, data, kill_priv: false, time: time(2) };
    reach_and_apply(repo, &op).expect("it is a file");
}

fn commit(repo: &Repo) -> CommitId {
    repo.commit(&CommitRequest::default()).expect("nothing fails")
}

impl Sound {
    fn new() -> Self {
        let disk = new_disk();
        let repo = open(&disk).expect("an empty disk");
        create(&repo, 1, "n0", 10_000, FileKind::Directory);
        create(&repo, 10_000, "n1", 20_000, FileKind::Regular);
        write(&repo, 20_000, 500, 3);
        create(&repo, 1, "n1", 30_000, FileKind::Regular);
        write(&repo, 30_000, 300_000, 7);
        let (ino, new) = (Ino(20_000), Name::new(b"n3").expect("a name"));
        let link = Op::Link { ino, parent: Ino::ROOT, name: new, time: time(3) };
        reach_and_apply(&repo, &link).expect("there is no such name");
        let value = vec![9; 5000].into();
        let xattr = Op::SetXattr { ino, name: (*b"user.x").into(), value, time: time(3) };
        reach_and_apply(&repo, &xattr).expect("it is a file");
        let mut commits = vec![commit(&repo)];
        repo.close().expect("nothing fails");
        drop(repo);
        // In a pack of its own.
        let repo = open(&disk).expect("it is closed");
        create(&repo, 10_000, "n2", 40_000, FileKind::Regular);
        write(&repo, 40_000, 700, 11);
        commits.push(commit(&repo));
        let request = format!("make n {}", commits[0].object());
        repo.tag(&request.parse().expect("a request")).expect("nothing fails");
        write(&repo, 30_000, 100, 13);
        commits.push(commit(&repo));
        let tree = dump(&repo);
        repo.close().expect("nothing fails");
        Self { disk, tree, commits }
    }

    fn bytes(&self, file: &str) -> Vec<u8> {
        self.disk.contents(&Path::new(DIR).join(file)).expect("it is there")
    }

    /// A copy of the store with a damaged file. `None` if nothing is changed by that.
    fn damaged(&self, file: &str, damage: Damage, at: &Range<usize>) -> Option<SimDisk> {
        harm(&self.disk, &Path::new(DIR).join(file), damage, at)
    }

    /// A copy of the store in which an object is there twice, and one of both is damaged.
    fn with_a_damaged_copy(&self) -> (SimDisk, ObjectId) {
        let (record, _, payload) = regions(&self.bytes(PACKS[0]))
            .records
            .into_iter()
            .find(|(record, ..)| record.kind == ObjectKind::Node)
            .expect("there is a directory");
        let disk = self.damaged(PACKS[0], Damage::Flip, &payload).expect("it changes");
        let repo = open(&disk).expect("it is closed");
        let object: ObjectId = record.id;
        let good = open(&self.disk).expect("it is closed").source().get(&object);
        repo.source().get(&object).expect_err("it is damaged");
        let put = repo.store().packs().put(ObjectKind::Node, &object, &good.expect("it is good"));
        put.expect("nothing fails");
        repo.close().expect("nothing fails");
        (disk, object)
    }

    /// Mends a store, and compares everything in it with what it was.
    fn check_mended(&self, disk: &SimDisk, what: &str) {
        let mended = mend(&disk.handle(), Path::new(DIR), &|_| {});
        let mended = mended.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(!mended.done.is_empty(), "{what}: {mended:#?}");
        assert_clean(&mended.after, what);
        assert_clean(&verified(disk), what);
        let repo = open(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(dump(&repo), self.tree, "{what}");
        let listed: Vec<_> = repo.store().commits().records().iter().map(|r| r.id).collect();
        assert_eq!(listed, self.commits, "{what}");
        assert!(oracle(disk, &self.commits).is_empty(), "{what}");
        repo.close().unwrap_or_else(|error| panic!("{what}: {error}"));
    }
}

fn harm(disk: &SimDisk, path: &Path, damage: Damage, at: &Range<usize>) -> Option<SimDisk> {
    let disk = disk.after_kill();
    let before = disk.contents(path).expect("it is there");
    let mut bytes = before.clone();
    match damage {
        Damage::Flip => bytes[at.start] ^= 0x40,
        Damage::Zero => bytes[at.start..at.end.min(at.start + ZEROED_BYTES)].fill(0),
        Damage::Cut => bytes.truncate(at.start),
        Damage::Remove => {
            disk.handle().remove_file(path).expect("it is there");
            return Some(disk);
        }
    }
    disk.set_contents(path, &bytes);
    (bytes != before).then_some(disk)
}

/// The first, a middle and the last place of a region, each with what follows of it.
fn places(region: &Range<usize>) -> [Range<usize>; 3] {
    let starts = [region.start, region.start + region.len() / 2, region.end - 1];
    starts.map(|start| start..region.end)
}

/// The paths of commits that cannot be read, found out by reading all of them.
fn oracle(disk: &SimDisk, commits: &[CommitId]) -> BTreeMap<CommitId, BTreeSet<Vec<u8>>> {
    let options = OpenOptions { read_only: true, disk: disk.handle(), ..OpenOptions::default() };
    let store = Store::open(Path::new(DIR), options).expect("the lists are sound");
    let history = History::new(Arc::new(store));
    let mut all = BTreeMap::new();
    for id in commits {
        let mut hurt = BTreeSet::new();
        let tree = history.commit(id).ok();
        let tree = tree.and_then(|c| CommittedTree::open(&c.root, history.source()).ok());
        match tree {
            Some(tree) => read_all(&tree, history.source(), &mut hurt),
            None => drop(hurt.insert(Vec::new())),
        }
        if !hurt.is_empty() {
            all.insert(*id, hurt);
        }
    }
    all
}

fn read_all(tree: &CommittedTree, src: &dyn ObjectSource, hurt: &mut BTreeSet<Vec<u8>>) {
    let mut todo: Vec<(Vec<u8>, Entry)> = vec![(Vec::new(), tree.top().clone())];
    while let Some((path, entry)) = todo.pop() {
        let mut is_good = match &entry.xattrs {
            crate::model::EntryXattrs::Stored(id) => src.get(id.object()).is_ok(),
            crate::model::EntryXattrs::Inline(_) => true,
        };
        if let EntryBody::File { size, content } = &entry.body {
            let mut bytes = vec![0; *size as usize];
            is_good &= File::stored(*size, *content).read(0, &mut bytes, src).is_ok();
        }
        if let Some(directory) = CommittedDirectory::of(&entry) {
            let list = directory.list(0, src, &mut |name, entry| {
                let parts: Vec<&[u8]> =
                    [&path[..], name.as_bytes()].into_iter().filter(|p| !p.is_empty()).collect();
                todo.push((parts.join(&b'/'), entry));
                ControlFlow::Continue(())
            });
            is_good &= list.is_ok();
        }
        if tree.link_record(&path, src).is_err() {
            hurt.insert(Vec::new());
        }
        if !is_good {
            hurt.insert(path);
        }
    }
}

/// What verification says is hurt.
fn told(found: &Verified) -> BTreeMap<CommitId, BTreeSet<Vec<u8>>> {
    let commits = found.hurt.iter().filter_map(|hurt| match hurt.holder {
        Holder::Commit(id) => {
            assert_eq!(hurt.more, 0);
            Some((id, hurt.paths.iter().map(|(path, _)| path.clone()).collect()))
        }
        Holder::Writers(_) | Holder::Worktree => None,
    });
    commits.collect()
}

/// The regions of a sealed pack: its records, each with header and payload, and its footer.
struct PackRegions {
    records: Vec<(RecordHeader, Range<usize>, Range<usize>)>,
    footer: [Range<usize>; 3],
}

fn regions(bytes: &[u8]) -> PackRegions {
    let mut records = Vec::new();
    let mut at = HEADER_BYTES;
    while let Ok(header) = RecordHeader::decode(&bytes[at..]) {
        let payload = at + RECORD_HEADER_BYTES..at + header.record_bytes();
        records.push((header, at..payload.start, payload.clone()));
        at = payload.end;
    }
    let entries = at + FANOUT_BYTES..at + FANOUT_BYTES + records.len() * ENTRY_BYTES;
    assert_eq!(entries.end + TRAILER_BYTES, bytes.len());
    let footer = [at..entries.start, entries.clone(), entries.end..bytes.len()];
    PackRegions { records, footer }
}

const PACKS: [&str; 2] = ["packs/0000000000000001.pack", "packs/0000000000000002.pack"];

#[test]
fn a_damaged_object_is_named_with_exactly_the_commits_and_paths_that_it_hurts() {
    let sound = Sound::new();
    assert_clean(&verified(&sound.disk), "the sound store");
    let mut kinds = BTreeSet::new();
    for file in PACKS {
        for (record, header, payload) in regions(&sound.bytes(file)).records {
            let mut expected = None;
            let in_header = places(&header);
            for at in in_header.into_iter().chain(places(&payload)) {
                for damage in IN_PLACE {
                    let Some(disk) = sound.damaged(file, damage, &at) else { continue };
                    let what = format!("{file}, {:?}, {damage:?} at {at:?}", record.kind);
                    let found = verified(&disk);
                    let [finding] = &found.findings[..] else { panic!("{what}: {found:#?}") };
                    assert_eq!(finding.object, Some(record.id), "{what}");
                    assert_eq!(finding.offset, Some(header.start as u64), "{what}");
                    assert_eq!(finding.file, Path::new(file), "{what}");
                    let expected = expected.get_or_insert_with(|| oracle(&disk, &sound.commits));
                    assert_eq!(told(&found), *expected, "{what}");
                    let is_about_writers = |hurt: &Hurt| matches!(hurt.holder, Holder::Writers(_));
                    assert_eq!(
                        found.hurt.iter().any(is_about_writers),
                        record.kind == ObjectKind::Provenance,
                        "{what}"
                    );
                    kinds.insert(record.kind);
                }
            }
        }
    }
    assert_eq!(kinds, BTreeSet::from(ObjectKind::ALL));
}

#[test]
fn a_damaged_header_or_footer_of_a_pack_is_found_and_mended() {
    let sound = Sound::new();
    for file in PACKS {
        let bytes = sound.bytes(file);
        let [fanout, entries, trailer] = regions(&bytes).footer;
        for region in [0..HEADER_BYTES, fanout, entries, trailer] {
            for (at, damage) in
                places(&region).into_iter().flat_map(|p| IN_PLACE.map(|d| (p.clone(), d)))
            {
                let Some(disk) = sound.damaged(file, damage, &at) else { continue };
                let what = format!("{file}, {damage:?} at {at:?}");
                let found = verified(&disk);
                assert_eq!(found.findings.len(), 1, "{what}: {found:#?}");
                assert_eq!(found.findings[0].file, Path::new(file), "{what}");
                assert!(found.hurt.is_empty(), "{what}: {found:#?}");
                sound.check_mended(&disk, &what);
            }
        }
    }
}

#[test]
fn a_pack_that_is_cut_or_lost_hurts_whoever_needs_what_is_gone() {
    let sound = Sound::new();
    for file in PACKS {
        let PackRegions { records, footer } = regions(&sound.bytes(file));
        let in_records = records
            .iter()
            .flat_map(|(_, header, payload)| [places(header), places(payload)].concat());
        let cuts = in_records.chain(footer.iter().flat_map(places)).chain([0..1, 3..4]);
        for (at, damage) in cuts.map(|at| (at, Damage::Cut)).chain([(0..1, Damage::Remove)]) {
            let Some(disk) = sound.damaged(file, damage, &at) else { continue };
            let what = format!("{file}, {damage:?} at {at:?}");
            let found = verified(&disk);
            let expected = oracle(&disk, &sound.commits);
            assert_eq!(
                told(&found).keys().collect::<Vec<_>>(),
                expected.keys().collect::<Vec<_>>()
            );
            let is_footer = damage == Damage::Cut && at.start >= footer[0].start;
            assert!(found.hurt.is_empty() || !is_footer, "{what}: {found:#?}");
            // A file that is shorter than the header is what a writer leaves that died at once.
            let has_header = damage == Damage::Cut && at.start >= HEADER_BYTES;
            let in_pack = found.findings.iter().filter(|f| f.part == Part::PackIndex);
            assert_eq!(in_pack.count(), usize::from(has_header), "{what}: {found:#?}");
            assert!(has_header || !found.hurt.is_empty(), "{what} is not found");
            if found.hurt.is_empty() {
                // At most an object is lost that nobody needs.
                assert_eq!(found.findings.len(), 1, "{what}: {found:#?}");
                sound.check_mended(&disk, &what);
            }
        }
    }
}

#[test]
fn a_pack_that_has_lost_its_footer_is_sealed_again_by_whoever_opens_the_store() {
    let sound = Sound::new();
    for file in PACKS {
        let end = regions(&sound.bytes(file)).footer[0].start;
        let disk = sound.damaged(file, Damage::Cut, &(end..end + 1)).expect("it changes");
        let repo = open(&disk).expect("the records are whole");
        write(&repo, 40_000, 900, 17);
        let tree = dump(&repo);
        repo.close().expect("nothing fails");
        assert_clean(&verified(&disk), file);
        assert_eq!(disk.contents(&Path::new(DIR).join(file)), Some(sound.bytes(file)));
        drop(repo);
        assert_eq!(dump(&open(&disk).expect("it is closed")), tree);
    }
}

#[test]
fn a_damaged_copy_of_an_object_hurts_nobody_and_is_dropped() {
    let sound = Sound::new();
    let (disk, object) = sound.with_a_damaged_copy();
    let found = verified(&disk);
    let [finding] = &found.findings[..] else { panic!("{found:#?}") };
    assert!(finding.is_spare && finding.object == Some(object) && found.hurt.is_empty());
    sound.check_mended(&disk, "a damaged copy");
}
