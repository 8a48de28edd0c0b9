//! Damage of the small files of a store.

use std::iter::once;
use std::path::Path;

use super::{ALL, Damage, Sound, commit, places, write};
use crate::base::disk::OpenMode;
use crate::format::{commit_log, state_log};
use crate::repo::tests::verify::{assert_clean, verified};
use crate::repo::tests::world::{DIR, dump, open};
use crate::repo::{GcRequest, Retention, mend};
use crate::store::Part;

#[test]
fn a_damaged_list_or_format_is_found_and_rebuilt() {
    let sound = Sound::new();
    let lists = [
        ("commits", commit_log::HEADER_BYTES, commit_log::RECORD_BYTES),
        ("worktree", state_log::HEADER_BYTES, state_log::RECORD_BYTES),
        ("format", 0, sound.bytes("format").len()),
    ];
    for (file, header_bytes, record_bytes) in lists {
        let len = sound.bytes(file).len();
        let starts = (header_bytes..len).step_by(record_bytes);
        let regions = starts.map(|at| at..at + record_bytes).chain(once(0..header_bytes.max(1)));
        let all = regions.flat_map(|region| places(&region));
        for (at, damage) in all.flat_map(|at| ALL.map(|damage| (at.clone(), damage))) {
            let Some(disk) = sound.damaged(file, damage, &at) else { continue };
            let what = format!("{file}, {damage:?} at {at:?}");
            let found = verified(&disk);
            assert!(!found.findings.is_empty(), "{what} is not found");
            assert!(found.findings.iter().all(|f| f.file == Path::new(file)), "{what}: {found:#?}");
            assert!(found.hurt.is_empty(), "{what}: {found:#?}");
            sound.check_mended(&disk, &what);
        }
    }
}

#[test]
fn a_commit_that_the_list_has_lost_is_found_and_comes_back() {
    let sound = Sound::new();
    // Others have been dropped, and one has been listed since the list was last counted.
    let repo = open(&sound.disk).expect("it is closed");
    let mut ids = sound.commits.clone();
    for seed in 20..23 {
        write(&repo, 40_000, 700, seed);
        ids.push(commit(&repo));
    }
    let retention = Retention { last: Some(4), ..Retention::default() };
    repo.gc(&GcRequest { retention, repack: true, ..GcRequest::default() }).expect("nothing fails");
    let kept = [&ids[..1], &ids[2..]].concat();
    write(&repo, 40_000, 700, 24);
    let newest = commit(&repo);
    repo.write_commits().expect("nothing fails");
    let tree = dump(&repo);
    let disk = sound.disk.after_kill();
    drop(repo);
    assert_clean(&verified(&disk), "killed");
    let path = Path::new(DIR).join("commits");
    let whole = disk.contents(&path).expect("it is there");
    for (n, lost) in kept.iter().enumerate() {
        for upto in [n + 1, kept.len(), kept.len() + 1] {
            let at = |n: usize| commit_log::HEADER_BYTES + n * commit_log::RECORD_BYTES;
            let bytes = [&whole[..at(n)], &whole[at(upto)..]].concat();
            let disk = disk.after_kill();
            disk.set_contents(&path, &bytes);
            let what = format!("without {n}..{upto}");
            let found = verified(&disk);
            let [finding] = &found.findings[..] else { panic!("{what}: {found:#?}") };
            assert_eq!((finding.part, &*finding.file), (Part::CommitList, Path::new("commits")));
            let text = open(&disk).err().expect("it is refused").to_string();
            assert!(text.contains("vst verify --repair"), "{what}: {text}");
            let mended = mend(&disk.handle(), Path::new(DIR), &|_| {}).expect("a store");
            assert_clean(&mended.after, &what);
            let repo = open(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
            repo.write_commits().expect("nothing fails");
            let listed: Vec<_> = repo.store().commits().records().iter().map(|r| r.id).collect();
            assert!(listed.contains(lost), "{what}");
            assert_eq!(listed, [&kept[..], &[newest]].concat(), "{what}");
            assert_eq!(dump(&repo), tree, "{what}");
        }
    }
}

#[test]
fn a_damaged_or_removed_ref_is_found_and_made_again() {
    let sound = Sound::new();
    let bytes = sound.bytes("refs/tags/n");
    for at in places(&(0..bytes.len())) {
        for damage in ALL {
            let Some(disk) = sound.damaged("refs/tags/n", damage, &at) else { continue };
            let what = format!("{damage:?} at {at:?}");
            let found = verified(&disk);
            let [finding] = &found.findings[..] else { panic!("{what}: {found:#?}") };
            let file = Path::new("refs/tags/n");
            assert_eq!((finding.part, &*finding.file), (Part::Ref, file), "{what}");
            sound.check_mended(&disk, &what);
            assert_eq!(disk.contents(&Path::new(DIR).join(file)), Some(bytes.clone()), "{what}");
        }
    }
}

#[test]
fn a_commit_whose_tag_is_lost_is_not_dropped() {
    let sound = Sound::new();
    let disk = sound.damaged("refs/tags/n", Damage::Remove, &(0..0)).expect("it was there");
    let repo = open(&disk).expect("it is whole");
    let retention = Retention { last: Some(1), ..Retention::default() };
    repo.gc(&GcRequest { retention, repack: true, ..GcRequest::default() }).expect("nothing fails");
    let listed: Vec<_> = repo.store().commits().records().iter().map(|r| r.id).collect();
    assert_eq!(listed, [sound.commits[0], sound.commits[2]]);
    // One that is deleted is not missed, and keeps nothing.
    repo.tag(&"move n HEAD".parse().expect("a request")).expect("nothing fails");
    repo.tag(&"delete n".parse().expect("a request")).expect("it is there");
    let retention = Retention { last: Some(1), ..Retention::default() };
    repo.gc(&GcRequest { retention, ..GcRequest::default() }).expect("nothing fails");
    assert_eq!(repo.store().commits().records().len(), 1);
    drop(repo);
    assert_clean(&verified(&disk.after_kill()), "without the tag");
}

#[test]
fn a_damaged_ref_that_no_table_knows_stays() {
    let sound = Sound::new();
    let path = Path::new(DIR).join("refs/tags/other");
    let disk = sound.disk.after_kill();
    disk.handle().open(&path, OpenMode::Create).expect("there is room");
    disk.set_contents(&path, b"nonsense");
    let mended = mend(&disk.handle(), Path::new(DIR), &|_| {}).expect("a store");
    assert_eq!(mended.before.findings.len(), 1, "{mended:#?}");
    assert_eq!((&mended.after.findings, &mended.done[..]), (&mended.before.findings, &[][..]));
}
