//! The simulated disk does to files what a disk may do, and no more.

use std::path::Path;

use rustix::io::Errno;

use super::SimDisk;
use crate::base::disk::{Disk, OpenMode, PathKind};

const TOP: &str = "/";

fn disk() -> SimDisk {
    SimDisk::new(Path::new(TOP))
}

fn path(name: &str) -> std::path::PathBuf {
    Path::new(TOP).join(name)
}

#[test]
fn what_was_synced_survives_and_the_rest_may() {
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let disk = disk();
        let file = disk.open(&path("a"), OpenMode::Create).unwrap();
        file.write_all_at(&[1; 2048], 0).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(Path::new(TOP)).unwrap();
        file.write_all_at(&[2; 1024], 512).unwrap();
        assert_eq!(disk.after_kill().contents(&path("a")).unwrap()[512], 2);
        let after = disk.after_power_loss(seed);
        assert_ne!(after.boot_id().unwrap(), disk.boot_id().unwrap());
        let bytes = after.contents(&path("a")).unwrap();
        let sectors: Vec<u8> = bytes.chunks(512).map(|sector| sector[0]).collect();
        assert!(bytes.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        assert_eq!((sectors.len(), sectors[0], sectors[3]), (4, 1, 1));
        match seed {
            0 => assert_eq!(sectors, [1; 4]),
            1 => assert_eq!(sectors, [1, 2, 2, 1]),
            _ => drop(outcomes.insert(sectors)),
        }
    }
    assert_eq!(outcomes.len(), 4, "each sector for itself");
}

#[test]
fn a_name_survives_when_its_directory_was_synced() {
    let names = |disk: &SimDisk| disk.names(Path::new(TOP)).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let disk = disk();
        disk.open(&path("old"), OpenMode::Create).unwrap();
        disk.sync_dir(Path::new(TOP)).unwrap();
        let new = disk.open(&path("new"), OpenMode::Create).unwrap();
        new.write_all_at(b"text", 0).unwrap();
        new.sync_data().unwrap();
        disk.rename(&path("new"), &path("old")).unwrap();
        assert_eq!(names(&disk.after_kill()), ["old"]);
        let after = disk.after_power_loss(seed);
        let old = after.contents(&path("old")).unwrap();
        assert!(old.is_empty() || old == b"text", "a rename is whole");
        seen.insert((names(&after).len(), old.is_empty()));
        disk.sync_dir(Path::new(TOP)).unwrap();
        assert_eq!(disk.after_power_loss(seed).contents(&path("old")).unwrap(), b"text");
    }
    // Both names before the rename, only the old one, and the rename.
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[test]
fn a_directory_that_is_lost_takes_with_it_what_is_inside() {
    let disk = disk();
    disk.create_dir(&path("d")).unwrap();
    disk.open(&path("d/f"), OpenMode::Create).unwrap().sync_data().unwrap();
    disk.sync_dir(&path("d")).unwrap();
    assert_eq!(disk.after_power_loss(0).find(&path("d")).unwrap(), None);
    disk.sync_dir(Path::new(TOP)).unwrap();
    assert_eq!(disk.after_power_loss(0).find(&path("d/f")).unwrap(), Some(PathKind::File(0)));
}

#[test]
fn the_process_ends_where_it_is_told_to() {
    let disk = disk();
    let file = disk.open(&path("a"), OpenMode::Create).unwrap();
    disk.end_at(disk.steps() + 1);
    file.write_all_at(b"first", 0).unwrap();
    file.write_all_at(b"second", 5).unwrap_err();
    assert!(disk.has_ended());
    file.sync_data().unwrap_err();
    file.len().unwrap_err();
    assert!(disk.names(Path::new(TOP)).is_err());
    assert!(disk.after_kill().contents(&path("a")).unwrap().starts_with(b"first"));
}

#[test]
fn a_full_disk_takes_what_fits_and_gives_room_back() {
    let disk = disk();
    let (a, b) = (path("a"), path("b"));
    let file = disk.open(&a, OpenMode::Create).unwrap();
    disk.set_capacity(Some(1000));
    file.allocate(0..600).unwrap();
    let other = disk.open(&b, OpenMode::Create).unwrap();
    assert_eq!(other.write_at(&[1; 500], 0).unwrap(), 400);
    let full = other.write_at(&[1; 500], 400).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    other.allocate(0..401).unwrap_err();
    // What was set aside is there.
    file.write_all_at(&[2; 600], 0).unwrap();
    disk.remove_file(&a).unwrap();
    other.write_all_at(&[1; 600], 400).unwrap();
    assert_eq!(disk.used_bytes(), 1000);
}

#[test]
fn a_failed_sync_loses_what_it_was_to_write() {
    let disk = disk();
    let file = disk.open(&path("a"), OpenMode::Create).unwrap();
    disk.sync_dir(Path::new(TOP)).unwrap();
    file.write_all_at(&[7; 512 * 64], 0).unwrap();
    disk.set_fail_syncs(true);
    file.sync_data().unwrap_err();
    disk.set_fail_syncs(false);
    // This one succeeds, since nothing is dirty any more.
    file.sync_data().unwrap();
    let after = disk.after_power_loss(1).contents(&path("a")).unwrap();
    assert_ne!(after, [7; 512 * 64]);
    assert_eq!(disk.contents(&path("a")).unwrap(), [7; 512 * 64]);
}

#[test]
fn faults_come_when_they_are_asked_for() {
    let disk = disk();
    let file = disk.open(&path("a"), OpenMode::Create).unwrap();
    disk.fail_at(disk.steps() + 1, Errno::IO);
    file.write_all_at(b"x", 0).unwrap();
    assert_eq!(file.write_at(b"y", 1).unwrap_err().raw_os_error(), Some(Errno::IO.raw_os_error()));
    file.write_all_at(b"y", 1).unwrap();
    disk.set_short_writes(Some(3));
    assert!(file.write_at(&[0; 1000], 2).unwrap() < 1000);
    file.write_all_at(&[9; 1000], 2).unwrap();
    disk.fail_read_at(disk.reads());
    assert!(file.read_at(&mut [0], 0).is_err());
    file.read_exact_at(&mut [0; 1002], 0).unwrap();
    disk.set_read_only(true);
    assert!(file.write_at(b"z", 0).is_err() && file.set_len(0).is_err());
    assert!(disk.open(&path("b"), OpenMode::Create).is_err());
    disk.set_read_only(false);
    assert!(file.try_lock().unwrap());
    let again = disk.open(&path("a"), OpenMode::Write).unwrap();
    assert!(!again.try_lock().unwrap());
    drop(file);
    assert!(again.try_lock().unwrap());
}
