//! Collections of garbage that are asked for through `.vst/gc`.
//!
//! A collection can take minutes, and the thread of a request must not: the request begins it, and
//! who asked reads the file until it tells that it has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::repo::{GcProgress, GcReport, GcRequest, Repo, RepoError};

/// The collection that was asked for last.
#[derive(Default)]
pub(super) struct Collector {
    last: Mutex<Option<Last>>,
}

struct Last {
    thread: JoinHandle<()>,
    has_answered: Arc<AtomicBool>,
    answer: Arc<Mutex<Vec<u8>>>,
}

impl Last {
    fn is_running(&self) -> bool {
        // One that has answered is about to end, and one that has panicked answers nothing.
        !self.has_answered.load(Ordering::Acquire) && !self.thread.is_finished()
    }
}

impl Collector {
    /// Begins a collection, unless one goes on. What comes of it is put into the answer.
    pub(super) fn begin(
        &self,
        repo: &Arc<Repo>,
        request: GcRequest,
        answer: &Arc<Mutex<Vec<u8>>>,
    ) -> Result<(), RepoError> {
        let mut last = self.last.lock();
        if last.as_ref().is_some_and(Last::is_running) {
            return Err(RepoError::Collecting);
        }
        *answer.lock() = running(&GcProgress::default());
        let has_answered = Arc::new(AtomicBool::new(false));
        let run = {
            let (repo, answer, has_answered) = (repo.clone(), answer.clone(), has_answered.clone());
            move || {
                let result = repo.gc(&request);
                let text = line(&match &result {
                    Ok(report) => done(report, request.dry_run),
                    Err(error) => json!({ "state": "failed", "error": error.to_string() }),
                });
                has_answered.store(true, Ordering::Release);
                *answer.lock() = text;
            }
        };
        let thread = thread::Builder::new().name("vst-gc".to_owned()).spawn(run);
        let thread = thread.map_err(|error| RepoError::Thread(Arc::new(error)))?;
        *last = Some(Last { thread, has_answered, answer: answer.clone() });
        Ok(())
    }

    /// How the last one stands, as JSON. `state` is `none`, `running`, `done` or `failed`; `error`
    /// tells why it failed, and the other members what was done.
    pub(super) fn answer(&self, repo: &Repo) -> Vec<u8> {
        match &*self.last.lock() {
            Some(last) if last.is_running() => running(&repo.gc_progress()),
            Some(last) => last.answer.lock().clone(),
            None => line(&json!({ "state": "none" })),
        }
    }

    /// Brings the answer of a handle up to date.
    pub(super) fn refresh(&self, repo: &Repo, answer: &Arc<Mutex<Vec<u8>>>) {
        let last = self.last.lock();
        let mut answer_now = answer.lock();
        // Under the lock of the answer, which the thread takes after it has said that it has one.
        if last.as_ref().is_some_and(|last| Arc::ptr_eq(&last.answer, answer) && last.is_running())
        {
            *answer_now = running(&repo.gc_progress());
        }
    }
}

fn done(report: &GcReport, dry_run: bool) -> Value {
    json!({
        "state": "done",
        "dry_run": dry_run,
        "commits_kept": report.commits_kept,
        "commits_dropped": report.commits_dropped,
        "objects_live": report.objects_live,
        "objects_dead": report.objects_dead,
        "dead_bytes": report.dead_bytes,
        "packs_removed": report.packs.packs_removed,
        "objects_copied": report.packs.objects_copied,
        "bytes_before": report.packs.bytes_before,
        "bytes_after": report.packs.bytes_after,
    })
}

fn running(progress: &GcProgress) -> Vec<u8> {
    let GcProgress { objects, bytes, bytes_total } = progress;
    line(&json!({
        "state": "running",
        "objects": objects,
        "bytes": bytes,
        "bytes_total": bytes_total,
    }))
}

fn line(value: &Value) -> Vec<u8> {
    format!("{value}\n").into_bytes()
}
