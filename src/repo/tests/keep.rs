//! What is set for a store, and what is kept because of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::unbounded;

use super::verify::{assert_clean, verified};
use super::world::{DIR, new_disk, open};
use crate::base::disk::sim::SimDisk;
use crate::model::{CommitId, Config, ConfigKey};
use crate::repo::{CommitRequest, ConfigRequest, Repo, RepoError, RepoOptions};
use crate::store::StoreError;

/// How long something that is waited for may take; far beyond what it needs.
const TIMEOUT: Duration = Duration::from_secs(60);

fn set(repo: &Repo, text: &str) -> Config {
    repo.configure(&text.parse::<ConfigRequest>().expect("a request")).expect("it can be set")
}

fn commit(repo: &Repo) -> CommitId {
    let request = CommitRequest { allow_empty: true, ..CommitRequest::default() };
    let id = repo.commit(&request).expect("a commit");
    repo.write_commits().expect("there is room");
    id
}

fn listed(repo: &Repo) -> Vec<CommitId> {
    repo.store().commits().records().iter().map(|record| record.id).collect()
}

/// Lets the thread that collects have seen the last change of a rule.
fn see_rules(repo: &Repo) {
    repo.keeper.forget_new_rules();
}

#[test]
fn what_was_set_survives_a_loss_of_power_at_any_step_as_a_whole() {
    let disk = new_disk();
    let repo = open(&disk).expect("an empty disk");
    assert_eq!(repo.config().expect("there is none"), Config::default());
    set(&repo, "keep-last 100");
    let old = set(&repo, "auto-commit 30s");
    for seed in 0..16 {
        let after = open(&disk.after_power_loss(seed)).expect("it can be opened");
        assert_eq!(after.config().expect("it is whole"), old);
    }
    let mut new = old;
    new.set(ConfigKey::KeepLast, "7").expect("a value");
    for step in 0..12 {
        let disk = disk.after_kill();
        let repo = open(&disk).expect("it can be opened");
        disk.end_at(disk.steps() + step);
        let done = repo.configure(&"keep-last 7".parse().expect("a request"));
        for seed in 0..8 {
            let disk = disk.after_power_loss(seed);
            let after = open(&disk).expect("it can be opened");
            let found = after.config().expect("it is whole");
            assert!(found == new || done.is_err() && found == old, "step {step}: {found:?}");
        }
    }
}

#[test]
fn a_damaged_configuration_is_found_named_and_replaced_when_it_is_gone() {
    let disk = new_disk();
    let repo = open(&disk).expect("an empty disk");
    set(&repo, "keep-last 900");
    let path = Path::new(DIR).join("config");
    assert_clean(&verified(&disk), "as it was written");
    let mut bytes = disk.contents(&path).expect("it is there");
    bytes[30] ^= 1;
    disk.set_contents(&path, &bytes);
    let error = repo.config().expect_err("a bit is not what it was");
    assert!(matches!(&error, RepoError::Store(StoreError::Corrupt { .. })), "{error}");
    let text = error.to_string();
    assert!(text.contains("config is damaged at offset ") && text.contains("line "), "{text}");
    let error = repo.apply_retention().expect_err("it does not go by half of the rules");
    assert_eq!(error.to_string(), text);
    let found = verified(&disk);
    assert_eq!(found.findings.len(), 1, "{found:#?}");
    assert_eq!(found.findings[0].file, Path::new("config"));
    disk.handle().remove_file(&path).expect("it is there");
    assert_eq!(set(&repo, "keep-last 7").get(ConfigKey::KeepLast), "7");
    assert_clean(&verified(&disk), "as it was written anew");
}

#[test]
fn nothing_is_dropped_without_a_rule_and_with_one_what_it_does_not_keep() {
    let disk: SimDisk = new_disk();
    let repo = open(&disk).expect("an empty disk");
    let ids: Vec<CommitId> = (0..10).map(|_| commit(&repo)).collect();
    set(&repo, "auto-commit 30s");
    assert_eq!(repo.apply_retention().expect("nothing fails"), None);
    assert_eq!(listed(&repo), ids);
    set(&repo, "keep-last 3");
    assert_eq!(repo.apply_retention().expect("nothing fails"), None, "it was just changed");
    see_rules(&repo);
    let report = repo.apply_retention().expect("nothing fails").expect("there is much to drop");
    assert_eq!((report.commits_dropped, report.commits_kept), (7, 3));
    assert_eq!(listed(&repo), ids[7..]);
    let checkpoints = repo.deeds(usize::MAX).expect("it can be read").len();
    assert_eq!(repo.apply_retention().expect("nothing fails"), None, "nothing is left to drop");
    let last = commit(&repo);
    set(&repo, "keep-last off");
    see_rules(&repo);
    assert_eq!(repo.apply_retention().expect("nothing fails"), None, "no rule is left");
    assert_eq!(listed(&repo), [&ids[7..], &[last]].concat());
    assert_eq!(repo.deeds(usize::MAX).expect("it can be read").len(), checkpoints + 1);
}

#[test]
fn rules_that_are_set_while_threads_keep_the_store_are_applied_behind_those_who_use_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let options =
        RepoOptions { retention_delay: Duration::from_millis(1), ..RepoOptions::default() };
    let repo = Arc::new(Repo::open(&dir.path().join("store"), options).expect("it can be opened"));
    let (tell, told) = unbounded();
    repo.set_on_drop(move |dropped| tell.send(dropped.to_vec()).expect("somebody listens"));
    let ids: Vec<CommitId> = (0..5).map(|_| commit(&repo)).collect();
    repo.start_keeping().expect("there are threads");
    set(&repo, "keep-last 2");
    assert_eq!(told.recv_timeout(TIMEOUT).expect("they are dropped"), ids[..3]);
    let next = commit(&repo);
    assert_eq!(told.recv_timeout(TIMEOUT).expect("and so is the next one"), ids[3..4]);
    assert_eq!(listed(&repo), [ids[4], next]);
}
