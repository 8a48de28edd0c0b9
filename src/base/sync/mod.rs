//! Locks, atomics and thread-locals for protocols between threads, so that a test can run such a
//! protocol in schedules of its choice.
//!
//! They are those of `parking_lot` and `std`. In a test build with `--cfg shuttle` they are those
//! of `shuttle` instead, which runs all threads of a test on one, lets each take a step in turn,
//! and so explores orders that a machine meets once in a year (`explore`). `scripts/schedules.sh`
//! runs these tests.
//!
//! A lock that is held while another of these is taken, or while a disk is asked, has to be one
//! of these too: with a lock that the explorer does not know, the only thread would wait for
//! itself. So the journal, the store, the repository and the simulated disk take all locks from
//! here. Counters that nothing depends on need not.

#[cfg(all(test, shuttle))]
mod explore;
#[cfg(all(test, shuttle))]
mod shuttled;

#[cfg(all(test, shuttle))]
pub(crate) use self::explore::{Schedules, explore};
#[cfg(all(test, shuttle))]
pub(crate) use self::shuttled::{
    Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
#[cfg(all(test, shuttle))]
pub(crate) use shuttle::sync::atomic;
#[cfg(all(test, shuttle))]
pub(crate) use shuttle::thread_local;

#[cfg(not(all(test, shuttle)))]
pub(crate) use parking_lot::{
    Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
#[cfg(not(all(test, shuttle)))]
pub(crate) use std::sync::atomic;
#[cfg(not(all(test, shuttle)))]
pub(crate) use std::thread_local;
