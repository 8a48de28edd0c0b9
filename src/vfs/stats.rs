//! The statistics that `.vst/stats` tells, as JSON. Latencies are in nanoseconds.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::Vfs;
use crate::base::Latency;
use crate::base::limits::{JOURNAL_COST_MAX, PACK_FILES_OPEN_MAX, UNWRITTEN_COMMITS_MAX};
use crate::repo::{History, Repo};
use crate::store::ObjectStore;

impl Vfs {
    pub(super) fn stats(&self) -> String {
        let mut json = stats(&self.history, self.live.as_deref());
        json["threads"] = json!(threads());
        json["transport"] = json!(self.transport.get());
        format!("{json:#}\n")
    }
}

/// The statistics of a store, and of its working tree if this process has that.
pub fn stats(history: &History, live: Option<&Repo>) -> Value {
    let packs = history.store().packs();
    let store = packs.stats();
    let listed = history.store().commits().records().len() as u64;
    let unwritten = live.map_or(0, Repo::unwritten_commits);
    let mut json = json!({
        "store": {
            "objects": store.objects,
            "raw_bytes": store.raw_bytes,
            "stored_bytes": store.stored_bytes,
            "packs": store.packs,
            "disk_bytes": store.disk_bytes,
            "open_packs": packs.open_files(),
            "open_packs_max": PACK_FILES_OPEN_MAX,
            "live_bytes": history.store().space().live_bytes(),
        },
        "cache": {
            "bytes": packs.cached_bytes(),
            "bytes_max": history.store().options().cache_bytes,
        },
        "snapshots": listed + unwritten,
    });
    if let Some(repo) = live {
        json["commits"] = commits(repo);
        let (inodes, dirty_bytes) = repo.look(|tree| (tree.inodes_loaded(), tree.dirty_bytes()));
        json["tree"] = json!({
            "inodes_loaded": inodes,
            "dirty_bytes": dirty_bytes,
            "dirty_bytes_max": repo.options().dirty_bytes_max,
        });
        json["journal"] = journal(repo);
        json["store"]["disk_bytes_max"] = json!(repo.packs_bytes_max());
    }
    json
}

fn commits(repo: &Repo) -> Value {
    let stats = repo.stats();
    json!({
        "made": stats.commits.load(Ordering::Relaxed),
        "unchanged": stats.unchanged.load(Ordering::Relaxed),
        "failed": stats.failed.load(Ordering::Relaxed),
        "unwritten": repo.unwritten_commits(),
        "unwritten_max": UNWRITTEN_COMMITS_MAX,
        "nanoseconds": stats.commit_nanos.load(Ordering::Relaxed),
        "latency": quantiles(&stats.commit_latency),
        "nodes_hashed": stats.nodes_hashed.load(Ordering::Relaxed),
        "files_hashed": stats.files_hashed.load(Ordering::Relaxed),
        "content_bytes_hashed": stats.content_bytes_hashed.load(Ordering::Relaxed),
        "checkpoints": stats.checkpoints.load(Ordering::Relaxed),
        "checkpoint_latency": quantiles(&stats.checkpoint_latency),
    })
}

fn journal(repo: &Repo) -> Value {
    let stats = repo.journal().stats();
    let (_, cost) = repo.journal().lag();
    json!({
        "records": stats.records,
        "bytes": stats.bytes,
        "bytes_max": repo.options().journal_bytes_max,
        "cost": cost,
        "cost_max": JOURNAL_COST_MAX,
        "disk_bytes": stats.disk_bytes,
        "syncs": stats.syncs,
        "failed": repo.journal().failure().map(|error| error.to_string()),
    })
}

/// How many threads this process has.
fn threads() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/task").ok()?.count())
}

fn quantiles(latency: &Latency) -> Value {
    json!({
        "p50": latency.quantile_nanos(0.50),
        "p95": latency.quantile_nanos(0.95),
        "p99": latency.quantile_nanos(0.99),
    })
}
