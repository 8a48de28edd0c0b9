//! Interrupts: whoever asked for something has been sent a signal, and may not want it any more.
//!
//! What takes long and has done nothing yet asks [`is_given_up`] now and then, and ends if that is
//! so. Most signals mean nothing of the kind: programs are told of their children, of the time and
//! of windows all the while, and do not expect an operation on a file to fail for it. So only one
//! who is about to end counts, who sees nothing of how it ended: the kernel marks such a one with a
//! SIGKILL, whatever signal it was that ends it.

use std::cell::RefCell;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Whether what is done for somebody may have been given up.
pub struct Interrupt {
    /// The thread that asked for it, as the system numbers threads; 0 if that cannot be told.
    thread: u32,
    was_signalled: AtomicBool,
    /// How often it was asked since.
    looks: AtomicU32,
    is_ending: fn(u32) -> bool,
}

/// After a signal that ended nobody, so many are answered by one look, which costs some µs.
const LOOKS_PER_ANSWER: u32 = 64;

thread_local! {
    /// Of what this thread does.
    static CURRENT: RefCell<Option<Arc<Interrupt>>> = const { RefCell::new(None) };
}

impl Interrupt {
    /// That of something which this thread of another process asked for.
    pub fn of_thread(thread: u32) -> Self {
        Self { thread, was_signalled: false.into(), looks: 0.into(), is_ending }
    }

    /// Notes that there was a signal.
    pub fn signal(&self) {
        self.looks.store(0, Ordering::Relaxed);
        self.was_signalled.store(true, Ordering::Release);
    }

    /// Tells whether whoever asked has been sent a signal and is about to end. It looks for itself
    /// the first time after a signal, and then now and then.
    pub fn is_given_up(&self) -> bool {
        if !self.was_signalled.load(Ordering::Acquire)
            || !self.looks.fetch_add(1, Ordering::Relaxed).is_multiple_of(LOOKS_PER_ANSWER)
        {
            return false;
        }
        let is_given_up = (self.is_ending)(self.thread);
        if is_given_up {
            // It stays so, and is said whenever it is asked.
            self.looks.store(0, Ordering::Relaxed);
        }
        is_given_up
    }

    /// One that is given up.
    #[cfg(test)]
    pub(crate) fn given_up() -> Arc<Self> {
        let (was_signalled, looks) = (true.into(), 0.into());
        Arc::new(Self { thread: 0, was_signalled, looks, is_ending: |_| true })
    }
}

/// Forgets what the thread did, also after a panic.
struct Forget;

impl Drop for Forget {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}

/// Does something that may be given up.
pub fn watching<T>(interrupt: &Arc<Interrupt>, run: impl FnOnce() -> T) -> T {
    CURRENT.set(Some(Arc::clone(interrupt)));
    let _forget = Forget;
    run()
}

/// Tells whether what this thread does is given up. It costs next to nothing where no signal came.
pub fn is_given_up() -> bool {
    CURRENT.with_borrow(|current| current.as_ref().is_some_and(|current| current.is_given_up()))
}

fn is_ending(thread: u32) -> bool {
    thread != 0
        && fs::read_to_string(format!("/proc/{thread}/status"))
            .is_ok_and(|status| has_kill_pending(&status))
}

/// Tells whether a SIGKILL waits for the thread with this status.
fn has_kill_pending(status: &str) -> bool {
    let pending = status.lines().find_map(|line| line.strip_prefix("SigPnd:"));
    let pending = pending.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    pending.is_some_and(|mask| mask & 1 << (libc::SIGKILL - 1) != 0)
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;
    use std::sync::Arc;

    use super::{Interrupt, has_kill_pending, is_given_up, watching};

    #[test]
    fn only_what_is_watched_is_given_up_and_not_after_a_panic() {
        assert!(!is_given_up());
        let given_up = Interrupt::given_up();
        assert!(watching(&given_up, || is_given_up() && is_given_up()));
        assert!(catch_unwind(|| watching(&given_up, || panic!("a bug"))).is_err());
        assert!(!is_given_up());
    }

    #[test]
    fn a_signal_alone_gives_nothing_up() {
        // This thread has no SIGKILL waiting for it, and thread 0 is nobody.
        let this = rustix::thread::gettid().as_raw_nonzero().get() as u32;
        for thread in [this, 0] {
            let interrupt = Arc::new(Interrupt::of_thread(thread));
            assert!(!watching(&interrupt, is_given_up));
            interrupt.signal();
            assert!(!watching(&interrupt, is_given_up));
        }
    }

    #[test]
    fn who_is_about_to_end_is_told_by_a_sigkill_of_its_own() {
        let status = |own: &str| format!("Name:\tcat\nSigPnd:\t{own}\nShdPnd:\t0000000000000100\n");
        assert!(has_kill_pending(&status("0000000000000100")));
        assert!(has_kill_pending(&status("0000000000010102")));
        assert!(!has_kill_pending(&status("0000000000010002")));
        assert!(!has_kill_pending("Name:\tcat\n"));
        assert!(!has_kill_pending(&status("nonsense")));
    }
}
