//! A mount that is served through rings, from its beginning to its end.
//!
//! The rings are made before anything is mounted: where that fails, another transport can mount
//! as if nothing had been tried. The kernel lets nobody ask until every queue is connected, so that
//! also what fails later has kept no answer from anybody.
//!
//! A queue that fails while the mount is in use would leave those waiting who ask on its CPU. Then
//! the connection is broken off: they all get errors, as if the daemon had died.

use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::device::Device;
use super::init;
use super::mounted::Mounted;
use super::pool::Pool;
use super::probe::{self, NoRing};
use super::queue::{Means, Queue};
use super::serve::Server;
use crate::fuse::cpus::{self, Share};
use crate::fuse::mount::{MountError, Unmounter};
use crate::fuse::notify::KernelNotify;
use crate::vfs::Vfs;

/// What this way of requests is called.
pub(in crate::fuse) const TRANSPORT: &str = "ring";

/// Why a mount is not served through rings.
#[derive(Debug)]
pub(in crate::fuse) enum RingFailure {
    /// There are none. What was mounted is gone again.
    NoRing(NoRing),
    /// It cannot be mounted at all.
    Mount(MountError),
}

impl From<MountError> for RingFailure {
    fn from(error: MountError) -> Self {
        Self::Mount(error)
    }
}

/// Queues that have their rings, each in its thread.
struct Queues {
    threads: Vec<Thread>,
}

struct Thread {
    /// What it waits for before it connects.
    start: Sender<(Means, Mounted)>,
    /// What it tells: once when its ring is made, once when it is connected, and why it failed.
    said: Receiver<io::Result<()>>,
    handle: JoinHandle<()>,
}

/// A mount that is served through rings.
pub(in crate::fuse) struct RingSession {
    device: Arc<Device>,
    server: Arc<Server>,
    pool: Pool,
    threads: Vec<Thread>,
    mounted: Mounted,
}

impl RingSession {
    /// Mounts with `mount`, and connects. `unmounter` takes that away again.
    pub(in crate::fuse) fn new(
        vfs: &Arc<Vfs>,
        unmounter: Unmounter,
        enable: bool,
        mount: impl FnOnce() -> Result<OwnedFd, MountError>,
    ) -> Result<Self, RingFailure> {
        probe::check(enable).map_err(RingFailure::NoRing)?;
        let setup = |error| RingFailure::NoRing(NoRing::Setup(error));
        let queues = Queues::make().map_err(|error| RingFailure::NoRing(probe::refused(error)))?;
        let device = Arc::new(Device::new(mount()?));
        let mounted = Mounted::at(unmounter).map_err(setup)?;
        let connected = Self::connect(vfs, mounted.clone(), queues, device);
        if connected.is_err() {
            mounted.break_off();
        }
        connected
    }

    fn connect(
        vfs: &Arc<Vfs>,
        mounted: Mounted,
        queues: Queues,
        device: Arc<Device>,
    ) -> Result<Self, RingFailure> {
        let setup = |error| RingFailure::NoRing(NoRing::Setup(error));
        if !init::agree(&device).map_err(setup)? {
            return Err(RingFailure::NoRing(NoRing::NotOffered));
        }
        let notify = KernelNotify::start(device.clone()).map_err(setup)?;
        let server = Arc::new(Server::new(Arc::clone(vfs)));
        let pool = Pool::begin(&server).map_err(setup)?;
        let (told, asked) = (Arc::clone(&device), Arc::clone(&server));
        let means = Means { device: told, server: asked, pool: pool.clone() };
        let Queues { mut threads } = queues;
        let last = threads.pop();
        for thread in &mut threads {
            thread.connect(&means, &mounted).map_err(setup)?;
        }
        // With the last queue the kernel begins to ask, and to believe what it is told. Up to there
        // another transport can still take the mount over, and tell the kernel what has changed.
        vfs.set_notify(Arc::new(notify));
        vfs.set_transport(TRANSPORT);
        if let Some(mut thread) = last {
            thread.connect(&means, &mounted).map_err(MountError::Serve)?;
            threads.push(thread);
        }
        Ok(Self { device, server, pool, threads, mounted })
    }

    /// Answers until the mount has gone away.
    pub(in crate::fuse) fn run(self) -> io::Result<()> {
        let served = self.device.run(&self.server, &self.pool, self.mounted.bell());
        if served.is_err() {
            self.mounted.break_off();
        }
        let is_connected = self.device.is_connected();
        for thread in self.threads {
            // It goes on as long as it is connected.
            if !is_connected && thread.handle.join().is_err() {
                return Err(io::Error::other("a thread that answers panicked"));
            }
            // What it says last is why it failed.
            thread.said.try_iter().collect::<io::Result<()>>()?;
        }
        match is_connected {
            true => served.and(Err(io::Error::other("the connection cannot be broken off"))),
            false => served,
        }
    }
}

impl Queues {
    /// Begins the threads and makes their rings.
    fn make() -> io::Result<Self> {
        let shares = cpus::shares()?;
        let queues: usize = shares.iter().map(|share| share.qids.len()).sum();
        let slots = cpus::slots_per_queue(queues);
        let threads = shares.into_iter().map(|share| Thread::begin(share, slots));
        let threads = threads.collect::<io::Result<Vec<_>>>()?;
        threads.iter().try_for_each(Thread::wait)?;
        Ok(Self { threads })
    }
}

impl Thread {
    fn begin(share: Share, slots: usize) -> io::Result<Self> {
        let (start, started) = bounded(1);
        // It says three things at most.
        let (say, said) = bounded(3);
        let name = format!("ring-{}", share.cpu);
        let run = move || run_queue(&share, slots, &started, &say);
        let handle = thread::Builder::new().name(name).spawn(run)?;
        Ok(Self { start, said, handle })
    }

    fn connect(&mut self, means: &Means, mounted: &Mounted) -> io::Result<()> {
        // If it has ended, it has said why.
        let _ = self.start.send((means.clone(), mounted.clone()));
        self.wait()
    }

    /// Waits until it has said how it went.
    fn wait(&self) -> io::Result<()> {
        self.said.recv().map_err(|_| io::Error::other("a thread ended"))?
    }
}

/// What a queue's thread does.
fn run_queue(
    share: &Share,
    slots: usize,
    started: &Receiver<(Means, Mounted)>,
    say: &Sender<io::Result<()>>,
) {
    cpus::pin(share.cpu);
    // Nobody listens when another queue has failed.
    let say = |what| drop(say.try_send(what));
    let queue = match Queue::new(&share.qids, slots) {
        Ok(queue) => queue,
        Err(error) => return say(Err(error)),
    };
    say(Ok(()));
    let Ok((means, mounted)) = started.recv() else { return };
    let mut queue = match queue.connect(means) {
        Ok(queue) => queue,
        Err(error) => return say(Err(error)),
    };
    say(Ok(()));
    let ran = catch_unwind(AssertUnwindSafe(|| queue.run()));
    let ran = ran.unwrap_or_else(|_| Err(io::Error::other("a bug: it panicked")));
    if let Err(error) = ran {
        log::error!("the ring of CPU {}: {error}", share.cpu);
        // Who waits for the mount to go away asks why when it has.
        say(Err(error));
        mounted.break_off();
    }
}
