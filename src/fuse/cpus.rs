//! Which CPUs there are, and which thread answers on which. Threads that read from the device stay
//! each on one that it may use.
//!
//! Of rings there is a thread for each CPU that is in use, pinned to it. The kernel wants a queue
//! of every CPU that there may ever be. Those that are not in use are answered for by the first
//! thread, also when they come into use later.

use std::fs;
use std::io;
use std::ops::RangeInclusive;

use rustix::thread::CpuSet;

use crate::base::limits::{
    RING_BYTES_MAX, RING_CPUS_MAX, RING_SLOTS_MAX, RING_SLOTS_MIN, WRITE_BYTES_MAX,
};

const POSSIBLE: &str = "/sys/devices/system/cpu/possible";
const ONLINE: &str = "/sys/devices/system/cpu/online";

/// What one thread answers for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// Where it runs.
    pub(super) cpu: usize,
    /// The numbers of the kernel's queues.
    pub(super) qids: Vec<u16>,
}

/// Who answers for what on this machine.
pub(super) fn shares() -> io::Result<Vec<Share>> {
    share(&read_list(POSSIBLE)?, &read_list(ONLINE)?)
}

fn read_list(path: &str) -> io::Result<Vec<usize>> {
    let text = fs::read_to_string(path)?;
    parse_list(text.trim())
        .ok_or_else(|| io::Error::other(format!("{path} has no list of CPUs but {text:?}")))
}

fn share(possible: &[usize], online: &[usize]) -> io::Result<Vec<Share>> {
    // The kernel numbers its queues from 0 on, whether or not there are holes between the CPUs.
    let queues = u16::try_from(possible.len()).map_err(io::Error::other)?;
    let used = |qid: &u16| online.contains(&usize::from(*qid));
    let (used, unused): (Vec<_>, Vec<_>) = (0..queues).partition(used);
    let mut shares: Vec<_> =
        used.iter().map(|qid| Share { cpu: usize::from(*qid), qids: vec![*qid] }).collect();
    let first = shares.first_mut().ok_or_else(|| io::Error::other("no CPU has a queue"))?;
    first.qids.extend(unused);
    Ok(shares)
}

/// Reads a list such as `0-3,8`.
fn parse_list(text: &str) -> Option<Vec<usize>> {
    let range = |part: &str| -> Option<RangeInclusive<usize>> {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        Some(from.parse().ok()?..=to.parse().ok()?)
    };
    let ranges = text.split(',').map(range).collect::<Option<Vec<_>>>()?;
    let is_believed = ranges.iter().all(|range| *range.end() < RING_CPUS_MAX);
    is_believed.then(|| ranges.into_iter().flatten().collect())
}

/// How many requests each of so many queues takes at a time.
pub(super) fn slots_per_queue(queues: usize) -> usize {
    let affordable = RING_BYTES_MAX / (WRITE_BYTES_MAX as usize * queues.max(1));
    affordable.clamp(RING_SLOTS_MIN, RING_SLOTS_MAX)
}

/// Keeps this thread on one of the CPUs that it may use: the first thread on the first, the next
/// one on the next.
pub(super) fn stay_on_one(number: usize) {
    let Ok(allowed) = rustix::thread::sched_getaffinity(None) else { return };
    let mut cpus = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
    if let Some(cpu) = cpus.nth(number % allowed.count().max(1) as usize) {
        pin(cpu);
    }
}

/// Keeps this thread on a CPU. Where that may not be, it runs elsewhere, and answers all the same.
pub(super) fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    if cpu >= CpuSet::MAX_CPU {
        return;
    }
    set.set(cpu);
    if let Err(errno) = rustix::thread::sched_setaffinity(None, &set) {
        log::info!("requests of CPU {cpu} are answered elsewhere: {errno}");
    }
}

#[cfg(test)]
mod tests {
    use super::{Share, parse_list, share, shares, slots_per_queue};

    #[test]
    fn lists_of_cpus_are_read() {
        assert_eq!(parse_list("0-1"), Some(vec![0, 1]));
        assert_eq!(parse_list("0"), Some(vec![0]));
        assert_eq!(parse_list("0-2,5,7-8"), Some(vec![0, 1, 2, 5, 7, 8]));
        for bad in ["", "-", "1-", "a", "0-999999999999", "0-4096", "1,,2"] {
            assert_eq!(parse_list(bad), None, "{bad}");
        }
    }

    #[test]
    fn each_cpu_in_use_has_a_thread_and_the_first_answers_for_the_others() {
        let shared = share(&[0, 1, 2, 3], &[1, 2]).unwrap();
        let expected = [Share { cpu: 1, qids: vec![1, 0, 3] }, Share { cpu: 2, qids: vec![2] }];
        assert_eq!(shared, expected);
        assert!(share(&[0], &[]).is_err());
        // This machine has one at least.
        assert!(!shares().unwrap().is_empty());
    }

    #[test]
    fn many_queues_take_fewer_requests_each() {
        assert_eq!((slots_per_queue(1), slots_per_queue(16)), (8, 8));
        assert_eq!((slots_per_queue(64), slots_per_queue(1000)), (4, 4));
    }
}
