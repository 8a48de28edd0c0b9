//! How a thread that answers those who ask on its CPU shares it with others: its scheduling policy.
//!
//! On a CPU that has nothing to do but to ask and to answer, the thread gives way to everybody else
//! (`SCHED_IDLE`). The scheduler then takes its CPU for a free one, and wakes the one who asked
//! there, where it would otherwise look for another CPU, which sleeps, and so move all that asks
//! back and forth.
//!
//! On a CPU that others keep busy, such a thread gets next to nothing of it, and everybody else has
//! to wait for what it holds: a lock of the tree, for seconds. So it looks now and then how long it
//! waits for its CPU, and while it does wait it is a thread like any other.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

use crate::base::limits::{
    CPU_CROWD_MAX, CPU_CROWD_MIN, CPU_WAIT_MEAN_MAX, POLICY_REVIEW_INTERVAL,
};

const WAITS: &str = "/proc/thread-self/schedstat";
/// Room for three numbers of 20 digits.
const WAITS_BYTES: usize = 64;

/// The policy of the thread that made it.
pub(super) struct Policy {
    /// Where the kernel tells how long the thread waited. Without it the thread never gives way.
    waits: Option<File>,
    judge: Judge,
}

/// How often a thread got its CPU, and how long it waited for it in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Waits {
    nanos: u64,
    count: u64,
}

/// Decides from the waits.
#[derive(Debug)]
struct Judge {
    gives_way: bool,
    seen: Waits,
    reviewed: Instant,
    /// Since when it gives way, or until when it will not.
    turn: Instant,
    /// How long a busy CPU is believed to stay busy.
    crowd: Duration,
}

impl Policy {
    /// Gives way from now on, where the thread may also cease to.
    pub(super) fn begin() -> Self {
        let now = Instant::now();
        let waits = may_return().and_then(|()| File::open(WAITS)).and_then(|file| {
            let seen = Waits::read(&file)?;
            give_way(true)?;
            Ok((file, seen))
        });
        match waits {
            Ok((file, seen)) => Self { waits: Some(file), judge: Judge::new(true, seen, now) },
            Err(error) => {
                log::debug!("requests may move those who make them to other CPUs: {error}");
                Self { waits: None, judge: Judge::new(false, Waits::default(), now) }
            }
        }
    }

    /// Looks whether the CPU is busy, if it is time to.
    pub(super) fn review(&mut self) {
        let Some(file) = &self.waits else { return };
        let now = Instant::now();
        if !self.judge.is_due(now) {
            return;
        }
        let reviewed = Waits::read(file).and_then(|waits| match self.judge.review(now, waits) {
            true => give_way(self.judge.gives_way),
            false => Ok(()),
        });
        if let Err(error) = reviewed {
            log::warn!("{WAITS}: {error}");
            // A thread like any other does no harm.
            let _ = give_way(false);
            *self = Self { waits: None, judge: Judge::new(false, Waits::default(), now) };
        }
    }

    /// Whether it gives way now.
    pub(super) fn gives_way(&self) -> bool {
        self.judge.gives_way
    }

    /// Does what takes long as a thread like any other.
    pub(super) fn at_length<T>(&self, run: impl FnOnce() -> T) -> T {
        if !self.judge.gives_way {
            return run();
        }
        // Both could be done before.
        let _ = give_way(false);
        let done = run();
        let _ = give_way(true);
        done
    }
}

/// Finds out whether a thread that gives way may cease to: not everybody may.
fn may_return() -> io::Result<()> {
    let tried = thread::Builder::new().spawn(|| give_way(true).and_then(|()| give_way(false)))?;
    tried.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
}

/// Lets everybody else on its CPU go before this thread, and the threads that it begins; or no
/// more.
fn give_way(give_way: bool) -> io::Result<()> {
    let policy = if give_way { libc::SCHED_IDLE } else { libc::SCHED_OTHER };
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: the kernel reads the one structure that it is given.
    match unsafe { libc::sched_setscheduler(0, policy, &raw const param) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

impl Waits {
    fn read(file: &File) -> io::Result<Self> {
        let mut bytes = [0; WAITS_BYTES];
        let len = file.read_at(&mut bytes, 0)?;
        Self::parse(&bytes[..len]).ok_or_else(|| io::Error::other("it has no three numbers"))
    }

    /// Reads the time on the CPU, the time of waiting for it, and how often it came to run.
    fn parse(text: &[u8]) -> Option<Self> {
        let mut numbers = std::str::from_utf8(text).ok()?.split_ascii_whitespace().skip(1);
        let mut next = || numbers.next()?.parse().ok();
        Some(Self { nanos: next()?, count: next()? })
    }
}

impl Judge {
    fn new(gives_way: bool, seen: Waits, now: Instant) -> Self {
        Self { gives_way, seen, reviewed: now, turn: now, crowd: CPU_CROWD_MIN }
    }

    fn is_due(&self, now: Instant) -> bool {
        now.duration_since(self.reviewed) >= POLICY_REVIEW_INTERVAL
    }

    /// Takes in how long the thread has waited up to now. Tells whether the policy is another then.
    fn review(&mut self, now: Instant, waits: Waits) -> bool {
        let nanos = waits.nanos.saturating_sub(self.seen.nanos);
        let count = waits.count.saturating_sub(self.seen.count).max(1);
        (self.seen, self.reviewed) = (waits, now);
        let is_busy = Duration::from_nanos(nanos / count) > CPU_WAIT_MEAN_MAX;
        match (is_busy, self.gives_way) {
            (true, true) => {
                // That it was only just free for a while says that it will be busy again.
                self.crowd = match now.duration_since(self.turn) < self.crowd {
                    true => (self.crowd * 2).min(CPU_CROWD_MAX),
                    false => CPU_CROWD_MIN,
                };
                self.gives_way = false;
                self.turn = now + self.crowd;
                true
            }
            (true, false) => {
                self.turn = now + self.crowd;
                false
            }
            (false, false) if now >= self.turn => {
                self.gives_way = true;
                self.turn = now;
                true
            }
            (false, _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::hint::spin_loop;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::{Judge, Policy, Waits, give_way};
    use crate::base::limits::{
        CPU_CROWD_MAX, CPU_CROWD_MIN, CPU_WAIT_MEAN_MAX, POLICY_REVIEW_INTERVAL,
    };
    use crate::fuse::cpus;

    #[test]
    fn waits_are_read_from_what_the_kernel_writes() {
        assert_eq!(Waits::parse(b"5 70584 1\n"), Some(Waits { nanos: 70584, count: 1 }));
        for bad in [&b""[..], b"5", b"5 6", b"5 6 x", b"5 -6 7", b"\xff 1 2"] {
            assert_eq!(Waits::parse(bad), None, "{bad:?}");
        }
    }

    /// A judge that reviews again and again.
    struct Reviews {
        judge: Judge,
        now: Instant,
        waits: Waits,
    }

    impl Reviews {
        /// Goes on for so long, and tells for how much of it the thread gave way. Its waits are as
        /// long as told, by whether it does.
        fn run(&mut self, time: Duration, wait: impl Fn(bool) -> Duration) -> Duration {
            let end = self.now + time;
            let mut gave_way = Duration::ZERO;
            while self.now < end {
                self.now += POLICY_REVIEW_INTERVAL;
                if self.judge.gives_way {
                    gave_way += POLICY_REVIEW_INTERVAL;
                }
                self.waits.count += 10;
                self.waits.nanos += 10 * wait(self.judge.gives_way).as_nanos() as u64;
                assert!(self.judge.is_due(self.now));
                self.judge.review(self.now, self.waits);
            }
            gave_way
        }
    }

    fn reviews() -> Reviews {
        let (now, waits) = (Instant::now(), Waits { nanos: 1 << 40, count: 1 << 30 });
        Reviews { judge: Judge::new(true, waits, now), now, waits }
    }

    fn short(_: bool) -> Duration {
        CPU_WAIT_MEAN_MAX / 2
    }

    fn long(_: bool) -> Duration {
        CPU_WAIT_MEAN_MAX * 2
    }

    #[test]
    fn it_gives_way_where_it_need_not_wait_and_nowhere_else() {
        let mut reviews = reviews();
        assert!(!reviews.judge.is_due(reviews.now));
        assert_eq!(reviews.run(CPU_CROWD_MAX, short), CPU_CROWD_MAX);
        assert_eq!(reviews.run(CPU_CROWD_MAX, long), POLICY_REVIEW_INTERVAL);
        // A while after the others have gone.
        let late = CPU_CROWD_MAX - reviews.run(CPU_CROWD_MAX, short);
        assert!(
            CPU_CROWD_MIN <= late && late <= CPU_CROWD_MIN + POLICY_REVIEW_INTERVAL,
            "{late:?}"
        );
    }

    #[test]
    fn where_it_waits_only_if_it_gives_way_it_seldom_does() {
        let mut reviews = reviews();
        let time = CPU_CROWD_MAX * 10;
        let gave_way =
            reviews.run(time, |gives_way| if gives_way { long(true) } else { short(true) });
        assert!(gave_way > POLICY_REVIEW_INTERVAL && gave_way < time / 300, "{gave_way:?}");
        // And is forgiven that, once it has given way for long.
        reviews.run(CPU_CROWD_MAX * 3, short);
        reviews.run(POLICY_REVIEW_INTERVAL, long);
        assert_eq!(reviews.judge.crowd, CPU_CROWD_MIN);
    }

    #[test]
    fn a_thread_gives_way_until_it_does_no_more() {
        let policy = || {
            let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
            // The 41st field; the second is in parentheses, with anything in them.
            let fields = stat.rsplit_once(") ").unwrap().1;
            fields.split(' ').nth(38).unwrap().parse::<i32>().unwrap()
        };
        thread::spawn(move || {
            give_way(true).unwrap();
            assert_eq!(policy(), libc::SCHED_IDLE);
            // Not everybody may do so.
            if give_way(false).is_ok() {
                assert_eq!(policy(), libc::SCHED_OTHER);
            }
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_thread_whose_cpu_is_busy_is_soon_like_any_other() {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                cpus::pin(0);
                while !stop.load(Ordering::Relaxed) {
                    spin_loop();
                }
            });
            let judged = scope.spawn(|| {
                cpus::pin(0);
                let mut policy = Policy::begin();
                if policy.waits.is_none() {
                    eprintln!("skipped: a thread may not give way here");
                    return;
                }
                while policy.judge.gives_way {
                    thread::yield_now();
                    policy.review();
                }
                assert_eq!(policy.at_length(|| 7), 7);
            });
            let judged = judged.join();
            stop.store(true, Ordering::Relaxed);
            judged.unwrap();
        });
    }
}
