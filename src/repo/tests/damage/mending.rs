//! The process ends, or the power goes, before every step of mending: mending again makes the
//! store whole, and nothing that was sound is lost.

use std::path::{Path, PathBuf};

use super::journal::Killed;
use super::segments::segments;
use super::{Damage, PACKS, Sound, harm, oracle, regions};
use crate::base::disk::sim::SimDisk;
use crate::format::{commit_log, state_log};
use crate::repo::mend;
use crate::repo::tests::verify::{assert_clean, verified};
use crate::repo::tests::world::{DIR, Dump, dump, open, seeds};

/// Damage at a place of a file, all of it durable.
fn harmed(disk: &SimDisk, file: &str, damage: Damage, at: usize) -> SimDisk {
    let path: PathBuf = Path::new(DIR).join(file);
    let disk = harm(disk, &path, damage, &(at..at + 8)).expect("it changes");
    disk.after_power_loss(1)
}

/// Mends what is left of an interrupted mending, and looks whether everything is there.
fn check(disk: &SimDisk, sound: &Sound, tree: &Dump, what: &str) {
    let mended = mend(&disk.handle(), Path::new(DIR), &|_| {});
    let mended = mended.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_clean(&mended.after, what);
    assert_clean(&verified(disk), what);
    let repo = open(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(dump(&repo), *tree, "{what}");
    let listed: Vec<_> = repo.store().commits().records().iter().map(|r| r.id).collect();
    assert_eq!(listed, sound.commits, "{what}");
    repo.close().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(oracle(disk, &sound.commits).is_empty(), "{what}");
}

/// Ends the mending of a store before each of its steps.
fn end_everywhere(damaged: &SimDisk, sound: &Sound, tree: &Dump, what: &str) {
    assert!(!verified(damaged).findings.is_empty(), "{what} is not found");
    let whole = damaged.after_kill();
    let mended = mend(&whole.handle(), Path::new(DIR), &|_| {});
    let mended = mended.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(!mended.done.is_empty(), "{what}: {mended:#?}");
    for step in 0..whole.steps() {
        let disk = damaged.after_kill();
        disk.end_at(step);
        mend(&disk.handle(), Path::new(DIR), &|_| {}).expect_err("it ends before that");
        assert!(disk.has_ended());
        check(&disk.after_kill(), sound, tree, &format!("{what}, killed before step {step}"));
        for luck in [0].into_iter().chain((0..seeds(4)).map(|seed| 2 + 100 * seed + step)) {
            let what = format!("{what}, power lost before step {step} with {luck}");
            check(&disk.after_power_loss(luck), sound, tree, &what);
        }
    }
}

#[test]
fn an_end_before_any_step_of_mending_loses_nothing() {
    let sound = Sound::new();
    let [pack, other] = PACKS;
    let footer = regions(&sound.bytes(pack)).footer;
    let of_pack = |damage, at| harmed(&sound.disk, pack, damage, at);
    let of_file = |file, damage, at| harmed(&sound.disk, file, damage, at);
    let record = commit_log::HEADER_BYTES + commit_log::RECORD_BYTES;
    let all = [
        ("the trailer of a pack", of_pack(Damage::Flip, footer[2].start)),
        ("the fanout of a pack", of_pack(Damage::Flip, footer[0].start + 77)),
        ("a footer that is cut off", of_pack(Damage::Cut, footer[0].start)),
        ("the header of a pack", of_pack(Damage::Flip, 9)),
        ("a record of a commit", of_file("commits", Damage::Flip, record + 3)),
        ("a list of commits that is cut", of_file("commits", Damage::Cut, record)),
        ("the header of the list of commits", of_file("commits", Damage::Flip, 16)),
        ("a list of commits that is gone", of_file("commits", Damage::Remove, 0)),
        ("a state of the worktree", of_file("worktree", Damage::Flip, state_log::HEADER_BYTES)),
        ("the newest state of the worktree", {
            let last = sound.bytes("worktree").len() - state_log::RECORD_BYTES;
            of_file("worktree", Damage::Cut, last)
        }),
        ("the format", of_file("format", Damage::Remove, 0)),
        ("a ref that is gone", of_file("refs/tags/n", Damage::Remove, 0)),
        ("a damaged ref", of_file("refs/tags/n", Damage::Flip, 3)),
        ("several", {
            let mut disk = of_pack(Damage::Cut, footer[1].start);
            for (file, at) in [(other, 9), ("commits", record), ("worktree", 20), ("format", 0)] {
                disk = harmed(&disk, file, Damage::Flip, at);
            }
            disk
        }),
    ];
    for (what, disk) in all {
        end_everywhere(&disk, &sound, &sound.tree, what);
    }
}

#[test]
fn an_end_before_any_step_of_mending_keeps_the_good_copy_of_an_object() {
    let sound = Sound::new();
    let (disk, _) = sound.with_a_damaged_copy();
    end_everywhere(&disk.after_power_loss(1), &sound, &sound.tree, "a damaged copy");
}

#[test]
fn an_end_before_any_step_of_mending_keeps_the_journal_before_its_damage() {
    let killed = Killed::new();
    let Killed { disk, path, records, sound, trees, .. } = &killed;
    for (n, damage) in [(0, Damage::Flip), (2, Damage::Zero), (3, Damage::Cut)] {
        let at = &records[n][1];
        let disk = harm(disk, path, damage, at).expect("it changes").after_power_loss(1);
        end_everywhere(&disk, sound, &trees[n], &format!("{damage:?} of record {n}"));
    }
    for (path, damage) in
        segments(disk).iter().flat_map(|path| [Damage::Remove, Damage::Cut].map(|d| (path, d)))
    {
        let disk = harm(disk, path, damage, &(0..1)).expect("it changes").after_power_loss(1);
        end_everywhere(&disk, sound, &trees[0], &format!("{damage:?} of {}", path.display()));
    }
}
