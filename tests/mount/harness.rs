//! A mount for one test: a store and a mountpoint in a directory of their own, and the daemon
//! as a child process, all gone when the value is dropped.
#![allow(dead_code, reason = "a box of tools, of which a test takes what it needs")]

#[path = "harness/mounts.rs"]
mod mounts;

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::XattrFlags;
use rustix::mount::UnmountFlags;
use rustix::process::{Pid, Signal};
use tempfile::TempDir;

pub(crate) use self::mounts::detach;
use self::mounts::is_fuse_mount;

/// How long a mount may take to answer; far beyond what it needs, for a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a daemon may take to end once its mount is gone.
const EXIT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a daemon may take to end once it was killed.
const KILL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a daemon is given to end by itself when the test is over.
const DROP_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two looks at something that is waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(2);
/// How often a mount in use is left alone for a moment.
const IN_USE_TRIES: usize = 100;

const VST: &str = env!("CARGO_BIN_EXE_vst");

/// A store with its mount.
pub(crate) struct TestMount {
    store: PathBuf,
    mountpoint: PathBuf,
    log: PathBuf,
    daemon: Option<Child>,
    options: Vec<String>,
    /// Removed last, when nothing is mounted in it.
    dir: TempDir,
}

/// Why a mount did not come up.
#[derive(Debug)]
pub(crate) struct StartFailure {
    /// How the daemon ended, if it did so by itself.
    pub(crate) status: Option<ExitStatus>,
    /// What the daemon wrote to stdout and stderr.
    pub(crate) output: String,
}

impl fmt::Display for StartFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "the daemon ended before its mount answered: {status}")?,
            None => write!(f, "the mount did not answer within {START_TIMEOUT:?}")?,
        }
        write!(f, "; its output:\n{}", self.output)
    }
}

impl TestMount {
    /// Mounts a new store.
    pub(crate) fn new() -> Self {
        Self::with_options(&[])
    }

    /// Mounts a new store with options of `vst mount`.
    #[track_caller]
    pub(crate) fn with_options(options: &[&str]) -> Self {
        let mut mount = Self::prepare();
        mount.start(options).unwrap_or_else(|failure| panic!("{failure}"));
        mount
    }

    /// Makes a mountpoint, but neither the store nor the mount.
    #[track_caller]
    pub(crate) fn prepare() -> Self {
        assert!(Path::new("/dev/fuse").exists(), "the mount tests need /dev/fuse");
        let dir = tempfile::Builder::new().prefix("vst-").tempdir().expect("a directory");
        // The kernel lists a mount by its path without symbolic links.
        let top = dir.path().canonicalize().expect("it has just been made");
        let mountpoint = top.join("mnt");
        fs::create_dir(&mountpoint).expect("an empty directory in a new one");
        Self {
            store: top.join("store"),
            mountpoint,
            log: top.join("daemon.log"),
            daemon: None,
            options: Vec::new(),
            dir,
        }
    }

    /// As `prepare`, for a store elsewhere, which is not removed.
    #[track_caller]
    pub(crate) fn prepare_for(store: PathBuf) -> Self {
        let mut mount = Self::prepare();
        mount.store = store;
        mount
    }

    /// Leaves the store behind as it is, and the daemon's log; the daemon gets no chance to write.
    pub(crate) fn keep(&mut self) {
        self.dir.disable_cleanup(true);
        if let Some(mut daemon) = self.daemon.take() {
            kill_and_reap(&mut daemon, &self.mountpoint);
        }
    }

    /// Starts a daemon on the store and waits until its mount answers. After a failure nothing
    /// is mounted or running.
    #[track_caller]
    pub(crate) fn start(&mut self, options: &[&str]) -> Result<(), StartFailure> {
        assert!(self.daemon.is_none(), "it is mounted already");
        self.options = options.iter().map(|option| (*option).to_owned()).collect();
        self.daemon = Some(self.spawn());

        let mut status = None;
        let answers = wait_until(START_TIMEOUT, || {
            status = self.daemon.as_mut().and_then(try_wait);
            status.is_some() || self.is_mounted() && answers(&self.mountpoint)
        });
        if answers && status.is_none() {
            return Ok(());
        }
        self.destroy();
        Err(StartFailure { status, output: self.output() })
    }

    fn spawn(&self) -> Child {
        let log = File::create(&self.log).expect("a log beside the mountpoint");
        Command::new(VST)
            .arg("mount")
            .args([&self.store, &self.mountpoint])
            .arg("--foreground")
            .args(transport_args(&self.options))
            .args(&self.options)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log)
            .spawn()
            .expect("the binary has been built")
    }

    /// The top of the mounted tree.
    pub(crate) fn path(&self) -> &Path {
        &self.mountpoint
    }

    /// The directory of the store, which the first mount makes.
    pub(crate) fn store(&self) -> &Path {
        &self.store
    }

    /// The top of a snapshot, by anything that names one under `.snapshots`.
    pub(crate) fn snapshot(&self, name: &str) -> PathBuf {
        self.mountpoint.join(".snapshots").join(name)
    }

    /// What the daemon that was started last has written to stdout and stderr.
    pub(crate) fn output(&self) -> String {
        fs::read(&self.log).map_or_else(
            |error| format!("(its log: {error})"),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// The process id of the daemon.
    #[track_caller]
    pub(crate) fn daemon_pid(&self) -> u32 {
        self.daemon.as_ref().expect("it is mounted").id()
    }

    /// Tells whether the kernel has a FUSE mount at the mountpoint.
    pub(crate) fn is_mounted(&self) -> bool {
        is_fuse_mount(&self.mountpoint)
    }

    /// How requests come to the daemon.
    #[track_caller]
    pub(crate) fn transport(&self) -> String {
        let text = fs::read_to_string(self.mountpoint.join(".vst/stats")).expect("statistics");
        let stats: serde_json::Value = serde_json::from_str(&text).expect("they are JSON");
        stats["transport"].as_str().expect("it is mounted").to_owned()
    }

    /// Runs `vst` in the mount.
    #[track_caller]
    pub(crate) fn vst(&self, args: &[&str]) -> Output {
        run(Command::new(VST).args(args).current_dir(&self.mountpoint))
    }

    /// Runs `vst` on the store from outside the mount, whether it is mounted or not.
    #[track_caller]
    pub(crate) fn vst_on_store(&self, args: &[&str]) -> Output {
        run(Command::new(VST).arg("--store").arg(&self.store).args(args).current_dir("/"))
    }

    /// Commits, with one system call, and returns the new head.
    #[track_caller]
    pub(crate) fn commit(&self, message: &str) -> String {
        let flags = XattrFlags::empty();
        rustix::fs::setxattr(&self.mountpoint, "user.vst.commit", message.as_bytes(), flags)
            .unwrap_or_else(|errno| panic!("commit: {errno}\n{}", self.output()));
        self.head()
    }

    /// The id of the commit that the tree stands on.
    #[track_caller]
    pub(crate) fn head(&self) -> String {
        let mut value = [0; 256];
        let len = rustix::fs::getxattr(&self.mountpoint, "user.vst.head", &mut value[..])
            .unwrap_or_else(|errno| panic!("head: {errno}\n{}", self.output()));
        String::from_utf8(value[..len].to_vec()).expect("an id is hexadecimal")
    }

    /// Unmounts with `vst umount` and checks that the daemon ends well.
    #[track_caller]
    pub(crate) fn unmount(&mut self) {
        let output = umount_patiently(&self.mountpoint);
        assert!(output.status.success(), "vst umount: {output:?}\n{}", self.output());
        let daemon = self.daemon.as_mut().expect("it was mounted");
        let Some(status) = wait_exit(daemon, EXIT_TIMEOUT) else {
            panic!("the daemon still runs after {EXIT_TIMEOUT:?}\n{}", self.output());
        };
        self.daemon = None;
        assert!(status.success(), "the daemon ended with {status}\n{}", self.output());
        assert!(!self.is_mounted(), "vst umount left the mount behind");
    }

    /// Ends the daemon with a signal that it heeds, and checks that it ends well.
    #[track_caller]
    pub(crate) fn end_by_signal(&mut self, signal: Signal) {
        let mut daemon = self.daemon.take().expect("it is mounted");
        send(&daemon, signal);
        let status = wait_exit(&mut daemon, EXIT_TIMEOUT);
        let Some(status) = status else {
            self.daemon = Some(daemon);
            panic!("the daemon still runs {EXIT_TIMEOUT:?} after {signal:?}\n{}", self.output());
        };
        assert!(status.success(), "the daemon ended with {status}\n{}", self.output());
        assert!(!self.is_mounted(), "{signal:?} left the mount behind");
    }

    /// Kills the daemon with SIGKILL and removes the dead mount.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        self.kill_daemon();
        self.remove_dead_mount();
    }

    /// Kills the daemon with SIGKILL. The dead mount stays, and answers with errors.
    #[track_caller]
    pub(crate) fn kill_daemon(&mut self) {
        let mut daemon = self.daemon.take().expect("it is mounted");
        assert!(kill_and_reap(&mut daemon, &self.mountpoint), "SIGKILL does not end the daemon");
    }

    /// Removes the mount of a daemon that was killed.
    #[track_caller]
    pub(crate) fn remove_dead_mount(&mut self) {
        detach(&self.mountpoint);
        assert!(!self.is_mounted(), "the dead mount does not go away");
    }

    /// Asks the daemon to end, and kills it with SIGKILL after some time, wherever it is by then.
    #[track_caller]
    pub(crate) fn end_and_kill(&mut self, after: Duration) {
        send(self.daemon.as_ref().expect("it is mounted"), Signal::TERM);
        thread::sleep(after);
        self.kill();
    }

    /// Starts a daemon with the same options and kills it with SIGKILL after some time, wherever
    /// it is by then.
    #[track_caller]
    pub(crate) fn start_and_kill(&mut self, after: Duration) {
        assert!(self.daemon.is_none(), "it is mounted already");
        self.daemon = Some(self.spawn());
        thread::sleep(after);
        self.kill();
    }

    /// Starts a daemon on the store and kills it with SIGKILL as soon as its mount is there.
    #[track_caller]
    pub(crate) fn start_and_kill_when_mounted(&mut self) {
        assert!(self.daemon.is_none(), "it is mounted already");
        self.daemon = Some(self.spawn());
        // Without a pause between two looks: what is to be met takes microseconds.
        let end = Instant::now() + START_TIMEOUT;
        while !self.is_mounted() {
            assert!(Instant::now() < end, "no mount: {}", self.output());
        }
        self.kill();
    }

    /// Mounts again with the same options, after an unmount if it is mounted.
    #[track_caller]
    pub(crate) fn remount(&mut self) {
        let options = self.options.clone();
        self.remount_with_options(&options.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// Mounts again with other options, after an unmount if it is mounted.
    #[track_caller]
    pub(crate) fn remount_with_options(&mut self, options: &[&str]) {
        if self.daemon.is_some() {
            self.unmount();
        }
        self.start(options).unwrap_or_else(|failure| panic!("{failure}"));
    }

    /// Ends the daemon and the mount whatever state they are in. Never panics.
    fn destroy(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            send(&daemon, Signal::TERM);
            if wait_exit(&mut daemon, DROP_TIMEOUT).is_none() {
                kill_and_reap(&mut daemon, &self.mountpoint);
            }
        }
        // A mount without its daemon answers every call with an error, so this cannot hang.
        detach(&self.mountpoint);
    }
}

/// `scripts/test.sh` runs all these tests once for each transport, by this variable.
pub(crate) const TRANSPORT_VARIABLE: &str = "VST_TEST_TRANSPORT";

/// What asks for the transport that is tested, unless a test has a choice of its own.
fn transport_args(options: &[String]) -> Vec<String> {
    let chosen = options.iter().any(|option| option.starts_with("--transport"));
    match std::env::var(TRANSPORT_VARIABLE) {
        Ok(transport) if !chosen => vec![format!("--transport={transport}")],
        _ => Vec::new(),
    }
}

impl Drop for TestMount {
    fn drop(&mut self) {
        let failed = thread::panicking();
        self.destroy();
        if failed {
            eprintln!("the daemon of the failed test wrote:\n{}", self.output());
        }
    }
}

/// Runs `vst umount`, again if something is in use: a process that another test starts has what
/// this one had open, until it runs its program.
#[track_caller]
pub(crate) fn umount_patiently(mountpoint: &Path) -> Output {
    let umount = || run(Command::new(VST).arg("umount").arg(mountpoint).current_dir("/"));
    let mut output = umount();
    for _ in 0..IN_USE_TRIES {
        if !String::from_utf8_lossy(&output.stderr).contains("is in use") {
            break;
        }
        thread::sleep(Duration::from_millis(20));
        output = umount();
    }
    output
}

#[track_caller]
fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("the binary has been built")
}

/// Looks until something is so, and tells whether it became so in time.
pub(crate) fn wait_until(timeout: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + timeout;
    loop {
        if is_so() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// How the child ended, if it did.
fn try_wait(child: &mut Child) -> Option<ExitStatus> {
    child.try_wait().ok().flatten()
}

fn wait_exit(child: &mut Child, timeout: Duration) -> Option<ExitStatus> {
    let mut status = None;
    wait_until(timeout, || {
        status = try_wait(child);
        status.is_some()
    });
    status
}

/// Sends a signal to a child that has not been reaped, so that the id is still its own.
fn send(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Kills a daemon. Tells whether that was enough: one of its threads may wait for the mount, which
/// then has to be broken off.
fn kill_and_reap(child: &mut Child, mountpoint: &Path) -> bool {
    let _ = child.kill();
    let ended = wait_exit(child, KILL_TIMEOUT).is_some();
    if !ended {
        let _ = rustix::mount::unmount(mountpoint, UnmountFlags::FORCE);
        let _ = child.wait();
    }
    ended
}

/// Tells whether the root of a mount can be looked at. A daemon that hangs holds up whoever
/// asks it, so another thread asks, which ends when the daemon does.
fn answers(mountpoint: &Path) -> bool {
    let (sender, receiver) = mpsc::channel();
    let mountpoint = mountpoint.to_owned();
    thread::spawn(move || {
        let _ = sender.send(fs::metadata(mountpoint).is_ok());
    });
    receiver.recv_timeout(START_TIMEOUT).unwrap_or(false)
}
