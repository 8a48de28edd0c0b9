//! Which program makes a request: the name of its process.
//!
//! The kernel tells a number, and the name has to be asked for while the process lives, that is
//! until its request is answered. To open `/proc/PID/comm` each time costs 5 µs and more. So some
//! of these files are kept open: to read one again costs 1 µs, shows the name that an `exec` has
//! given since, and fails once the process has ended, so that a number that is given anew is not
//! mistaken for the one before. And for the blink of an eye a name is taken to be what it was, so
//! that nobody pays more than half a hundredth of his time, however many threads answer him.
//!
//! The name is asked for when something is changed, not when a file is opened: with `command >
//! file` the shell opens, becomes the command, and the command writes, all under one number.
//!
//! What a program changes in a mapping comes when the kernel writes it back, with no number. Most
//! often that is in a system call of the program, which is known to have opened the file for
//! reading and writing, or no one could have mapped it so.

use std::collections::HashMap;
use std::fs::{self, File};
use std::hash::BuildHasherDefault;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::Caller;
use crate::base::limits::{
    WRITER_FRESH, WRITER_NAME_BYTES_MAX, WRITERS_AT_HAND_MAX, WRITERS_AT_HAND_PARTS,
};
use crate::model::Writer;
use crate::worktree::InoHasher;

/// By their numbers, so that threads that answer different processes seldom meet.
static AT_HAND: [Mutex<AtHand>; WRITERS_AT_HAND_PARTS] =
    [const { Mutex::new(AtHand::new()) }; WRITERS_AT_HAND_PARTS];

impl Caller {
    /// The program that asks; without a name where that cannot be told.
    pub(super) fn writer(&self) -> Arc<Writer> {
        let at_hand = &AT_HAND[self.pid as usize % WRITERS_AT_HAND_PARTS];
        at_hand.lock().writer(self.pid, self.uid)
    }
}

/// Processes whose names can be asked for, the newest last.
struct AtHand {
    processes: Vec<Process>,
}

struct Process {
    /// The number that requests tell: of a thread.
    pid: u32,
    /// Has the name of the process.
    name: File,
    /// Can be read as long as the thread lives, for one that its process can outlive.
    thread: Option<File>,
    writer: Arc<Writer>,
    asked: Instant,
}

impl AtHand {
    const fn new() -> Self {
        Self { processes: Vec::new() }
    }

    fn writer(&mut self, pid: u32, uid: u32) -> Arc<Writer> {
        let now = Instant::now();
        let mut last_known = None;
        if let Some(at) = self.processes.iter().position(|process| process.pid == pid) {
            let process = &mut self.processes[at];
            if process.writer.uid == uid && now.duration_since(process.asked) < WRITER_FRESH {
                return Arc::clone(&process.writer);
            }
            if process.ask(uid).is_some() {
                process.asked = now;
                return Arc::clone(&process.writer);
            }
            last_known = Some(self.processes.remove(at).writer);
        }
        if let Some(process) = Process::open(pid, uid, now) {
            if self.processes.len() >= WRITERS_AT_HAND_MAX {
                self.processes.remove(0);
            }
            let writer = Arc::clone(&process.writer);
            self.processes.push(process);
            return writer;
        }
        // One that was killed while it waited for the answer had no successor yet.
        let last_known = last_known.filter(|writer| writer.uid == uid);
        last_known.unwrap_or_else(|| Arc::new(Writer::new(b"", uid)))
    }
}

impl Process {
    fn open(pid: u32, uid: u32, now: Instant) -> Option<Self> {
        let number = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let own = File::open(format!("/proc/{pid}/comm"));
        // What is no process of its own is refused.
        let (name, thread) = match pidfd_open(number, PidfdFlags::empty()) {
            Err(Errno::INVAL | Errno::NOENT) => {
                let name = File::open(format!("/proc/{}/comm", process_of(pid)?)).ok()?;
                (name, Some(own.ok()?))
            }
            _ => (own.ok()?, None),
        };
        let writer = Arc::new(Writer::new(b"", uid));
        let mut process = Self { pid, name, thread, writer, asked: now };
        process.ask(uid)?;
        Some(process)
    }

    /// Asks for the name. `None` if the process has ended.
    fn ask(&mut self, uid: u32) -> Option<()> {
        // A number may have been given to a thread of another process that lives.
        if let Some(thread) = &self.thread {
            thread.read_at(&mut [0], 0).ok()?;
        }
        let mut buf = [0; WRITER_NAME_BYTES_MAX + 1];
        let len = self.name.read_at(&mut buf, 0).ok()?;
        let name = buf[..len].strip_suffix(b"\n").unwrap_or(&buf[..len]);
        if self.writer.name() != name || self.writer.uid != uid {
            self.writer = Arc::new(Writer::new(name, uid));
        }
        Some(())
    }
}

/// The process that a thread is part of.
fn process_of(thread: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

/// Who has files open in the way that they could map them to be changed.
#[derive(Default)]
pub(super) struct Mappers {
    files: Mutex<HashMap<u64, Mapper, BuildHasherDefault<InoHasher>>>,
}

/// Of several that have one file open, the last one, and how many there are.
struct Mapper {
    caller: Caller,
    opens: u64,
}

impl Mappers {
    /// Notes that somebody opened a file.
    pub(super) fn add(&self, ino: u64, caller: Caller) {
        let mut files = self.files.lock();
        let mapper = files.entry(ino).or_insert(Mapper { caller, opens: 0 });
        mapper.caller = caller;
        mapper.opens += 1;
    }

    /// Notes that somebody closed it.
    pub(super) fn remove(&self, ino: u64) {
        let mut files = self.files.lock();
        let Some(mapper) = files.get_mut(&ino) else { return };
        mapper.opens -= 1;
        if mapper.opens == 0 {
            files.remove(&ino);
        }
    }

    /// Who may have changed a mapping of a file; `None` if that cannot be told any more.
    pub(super) fn writer(&self, ino: u64) -> Option<Arc<Writer>> {
        let caller = self.files.lock().get(&ino)?.caller;
        Some(caller.writer()).filter(|writer| !writer.name().is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::{Command, Stdio};
    use std::sync::Arc;
    use std::thread;

    use super::{AtHand, Mappers};
    use crate::base::limits::{WRITER_FRESH, WRITERS_AT_HAND_MAX};
    use crate::model::Writer;
    use crate::vfs::Caller;

    fn caller(pid: u32) -> Caller {
        Caller { uid: 7, gid: 0, pid, umask: 0, keeps_setgid: None }
    }

    /// A process that waits until it is killed.
    fn sleeper() -> std::process::Child {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let is_sleep = |child: &std::process::Child| {
            std::fs::read(format!("/proc/{}/comm", child.id())).unwrap() == b"sleep\n"
        };
        while !is_sleep(&child) {
            assert_eq!(child.try_wait().unwrap(), None);
            thread::yield_now();
        }
        child
    }

    #[test]
    fn a_process_is_told_by_its_name_and_after_its_end_by_its_last_one() {
        let mut child = sleeper();
        let mut at_hand = AtHand::new();
        assert_eq!(*at_hand.writer(child.id(), 7), Writer::new(b"sleep", 7));
        assert_eq!(*at_hand.writer(child.id(), 8), Writer::new(b"sleep", 8));
        child.kill().unwrap();
        child.wait().unwrap();
        thread::sleep(WRITER_FRESH);
        assert_eq!(*at_hand.writer(child.id(), 8), Writer::new(b"sleep", 8));
        assert!(at_hand.processes.is_empty(), "its number may come again");
        assert_eq!(*at_hand.writer(child.id(), 8), Writer::new(b"", 8));
    }

    #[test]
    fn a_name_that_changes_is_seen() {
        let mut child = Command::new("sh")
            .args(["-c", "echo; read line; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut byte = [0];
        stdout.read_exact(&mut byte).unwrap();
        let mut at_hand = AtHand::new();
        assert_eq!(at_hand.writer(child.id(), 0).name(), b"sh");
        std::io::Write::write_all(&mut stdin, b"line\n").unwrap();
        std::io::Write::write_all(&mut stdin, b"x").unwrap();
        stdout.read_exact(&mut byte).unwrap();
        thread::sleep(WRITER_FRESH);
        assert_eq!(at_hand.writer(child.id(), 0).name(), b"cat");
        drop(stdin);
        child.wait().unwrap();
    }

    #[test]
    fn a_thread_is_told_by_its_process_and_equal_answers_are_one() {
        let process = Writer::this_process();
        let here = thread::Builder::new().name("another name".to_owned()).spawn(|| {
            let pid = rustix::thread::gettid().as_raw_nonzero().get() as u32;
            let mut at_hand = AtHand::new();
            let first = at_hand.writer(pid, 7);
            thread::sleep(WRITER_FRESH);
            assert!(Arc::ptr_eq(&first, &at_hand.writer(pid, 7)));
            first
        });
        let writer = here.unwrap().join().unwrap();
        let main = std::fs::read(format!("/proc/{}/comm", std::process::id())).unwrap();
        assert_eq!(writer.name(), main.strip_suffix(b"\n").unwrap());
        assert_eq!((writer.name(), writer.uid), (process.name(), 7));
    }

    #[test]
    fn who_cannot_be_seen_has_no_name_and_few_are_kept() {
        let mut at_hand = AtHand::new();
        for pid in [0, u32::MAX, i32::MAX as u32] {
            assert_eq!(*at_hand.writer(pid, 5), Writer::new(b"", 5));
        }
        let mut children: Vec<_> = (0..=WRITERS_AT_HAND_MAX).map(|_| sleeper()).collect();
        for child in &children {
            assert_eq!(at_hand.writer(child.id(), 5).name(), b"sleep");
            assert!(at_hand.processes.len() <= WRITERS_AT_HAND_MAX);
        }
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn the_last_one_to_open_a_file_may_have_mapped_it_until_all_have_closed_it() {
        let (mappers, here) = (Mappers::default(), caller(std::process::id()));
        assert_eq!(mappers.writer(3), None);
        mappers.add(3, caller(0));
        assert_eq!(mappers.writer(3), None);
        mappers.add(3, here);
        mappers.remove(3);
        assert_eq!(mappers.writer(3).unwrap().name(), Writer::this_process().name());
        mappers.remove(3);
        mappers.remove(3);
        assert_eq!(mappers.writer(3), None);
    }
}
