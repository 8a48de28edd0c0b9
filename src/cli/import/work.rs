//! Work that is shared by threads, each of which may find more.

use parking_lot::{Condvar, Mutex};

use crate::cli::error::CliError;

/// Tasks that wait for somebody.
pub(super) struct Work<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    /// The one that was found last is done first.
    tasks: Vec<T>,
    /// Threads that do one, and may find more.
    busy: usize,
    /// Nothing more is to be done.
    given_up: bool,
}

impl<T> Work<T> {
    /// Nothing to do.
    pub(super) fn new() -> Self {
        let state = State { tasks: Vec::new(), busy: 0, given_up: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Adds a task.
    pub(super) fn add(&self, task: T) {
        self.state.lock().tasks.push(task);
        self.changed.notify_one();
    }

    /// How many tasks wait.
    pub(super) fn waiting(&self) -> usize {
        self.state.lock().tasks.len()
    }

    /// Does tasks until none is left and nobody can find more. After a failure nobody begins
    /// another one.
    pub(super) fn run(
        &self,
        mut work: impl FnMut(T) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        while let Some(task) = self.next() {
            let mut busy = Busy { work: self, failed: true };
            let done = work(task);
            busy.failed = done.is_err();
            drop(busy);
            done?;
        }
        Ok(())
    }

    fn next(&self) -> Option<T> {
        let mut state = self.state.lock();
        loop {
            if state.given_up {
                return None;
            }
            if let Some(task) = state.tasks.pop() {
                state.busy += 1;
                return Some(task);
            }
            if state.busy == 0 {
                return None;
            }
            self.changed.wait(&mut state);
        }
    }
}

/// A thread that does a task. One that panics leaves nobody waiting for it.
struct Busy<'a, T> {
    work: &'a Work<T>,
    failed: bool,
}

impl<T> Drop for Busy<'_, T> {
    fn drop(&mut self) {
        let mut state = self.work.state.lock();
        state.busy -= 1;
        state.given_up |= self.failed;
        if state.busy == 0 || state.given_up {
            self.work.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::Work;
    use crate::cli::error::CliError;

    #[test]
    fn all_that_is_found_is_done_once() {
        let (work, done) = (Work::new(), AtomicU64::new(0));
        work.add(10_u32);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let result = work.run(|depth| {
                        done.fetch_add(1, Ordering::Relaxed);
                        (0..depth.min(2)).for_each(|_| work.add(depth - 1));
                        Ok(())
                    });
                    result.unwrap();
                });
            }
        });
        // A binary tree of depth 10 whose last two levels are 2 tasks of depth 1 and one below
        // each.
        assert_eq!(done.into_inner(), (1 << 10) - 1 + (1 << 9));
    }

    #[test]
    fn a_failure_ends_the_work_of_all() {
        let work = Work::new();
        (0..100).for_each(|task| work.add(task));
        let results = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| work.run(|_| Err(CliError::EmptyPath)).is_err()))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .filter(|failed| *failed)
                .count()
        });
        assert!((1..=4).contains(&results), "{results}");
        assert!(work.waiting() >= 96);
    }
}
