//! Haste: what a thread does that must not be kept waiting.
//!
//! A thread that answers whoever comes next runs a request in haste. Where the request would wait,
//! for a disk, for room, or for others that do, it fails instead, and the thread gives it to
//! another one, which does it anew and waits. Whoever waits asks [`would_wait`] first.
//!
//! To be done anew, a request must have done nothing yet. What has begun to change anything ends
//! its haste ([`end`]): the rest of it is done at once, even if that takes waiting.

use std::cell::Cell;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// It may wait.
    Patient,
    Hasty,
    /// It was in haste, and would have had to wait.
    Refused,
}

thread_local! {
    static MOOD: Cell<Mood> = const { Cell::new(Mood::Patient) };
}

/// Makes the thread patient again, also after a panic.
struct Calm;

impl Drop for Calm {
    fn drop(&mut self) {
        MOOD.set(Mood::Patient);
    }
}

/// Runs something in haste. `None`: it would have waited, has done nothing, and what it returned is
/// void.
pub fn hastily<T>(run: impl FnOnce() -> T) -> Option<T> {
    let _calm = Calm;
    MOOD.set(Mood::Hasty);
    let done = run();
    (MOOD.get() != Mood::Refused).then_some(done)
}

/// Tells one who is about to wait that it must not: then it fails, with whatever error.
pub fn would_wait() -> bool {
    let refused = MOOD.get() != Mood::Patient;
    if refused {
        MOOD.set(Mood::Refused);
    }
    refused
}

/// Tells whether what is being done now was refused: its errors are nobody's.
pub fn is_refused() -> bool {
    MOOD.get() == Mood::Refused
}

/// Tells whether there is haste.
pub fn is_hasty() -> bool {
    MOOD.get() != Mood::Patient
}

/// Ends the haste of what has begun to change something.
pub fn end() {
    MOOD.set(Mood::Patient);
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::{end, hastily, is_hasty, is_refused, would_wait};

    #[test]
    fn what_would_wait_is_void_in_haste_only() {
        assert!(!would_wait());
        assert_eq!(hastily(|| 7), Some(7));
        assert_eq!(hastily(|| would_wait() && is_refused()), None);
        assert!(!is_hasty() && !is_refused() && !would_wait());
    }

    #[test]
    fn what_has_changed_something_is_not_done_anew() {
        let done = hastily(|| {
            end();
            would_wait()
        });
        assert_eq!(done, Some(false));
    }

    #[test]
    fn a_panic_leaves_no_haste_behind() {
        assert!(catch_unwind(|| hastily(|| panic!("a bug"))).is_err());
        assert!(!is_hasty());
    }
}
