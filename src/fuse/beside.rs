//! Threads that read requests from the device, kept beside those who ask.
//!
//! The kernel hands a request to any thread that waits. Left to itself, the scheduler runs that
//! thread on another CPU, which sleeps, and waking it costs ten times what a request does. So each
//! thread stays on a CPU, in turn, and gives way there as its [`Policy`] says: then it is asked and
//! answers on one CPU as often as it is the one that wakes there.
//!
//! A thread that gives way does what is done at once. What would wait for a disk or for others it
//! begins again as a thread like any other.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::cpus;
use super::policy::Policy;
use crate::base::haste::hastily;
use crate::vfs::Answer;

/// How many threads have answered.
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// From its first request on.
    static POLICY: RefCell<Option<Policy>> = const { RefCell::new(None) };
}

/// Runs a request on a thread of `fuser`. What is run twice has done nothing the first time.
pub(super) fn answer<T>(mut run: impl FnMut() -> Answer<T>) -> Answer<T> {
    POLICY.with_borrow_mut(|policy| {
        let policy = policy.get_or_insert_with(|| {
            cpus::stay_on_one(THREADS.fetch_add(1, Ordering::Relaxed));
            Policy::begin()
        });
        policy.review();
        if policy.gives_way()
            && let Some(answer) = hastily(&mut run)
        {
            return answer;
        }
        policy.at_length(run)
    })
}
