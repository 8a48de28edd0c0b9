//! Mounting, serving, unmounting.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fuser::{Config, Session, SessionACL};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, UnmountFlags};

use super::adapter::Adapter;
use super::helper::{self, HELPER};
use super::notify::KernelNotify;
use super::ring::{self, NoRing, RingFailure, RingSession};
use super::settings;
use crate::base::limits::FUSE_THREADS_MIN;
use crate::vfs::Vfs;

const DEVICE: &str = "/dev/fuse";
/// What requests that come from the device are called by.
const FUSER: &str = "fuser";

/// Where and how to mount.
#[derive(Clone, Debug)]
pub struct MountOptions {
    /// The directory to mount on.
    pub mountpoint: PathBuf,
    /// What the table of mounts names as the source: the store.
    pub store: PathBuf,
    /// Refuse to write.
    pub read_only: bool,
    /// Let other users in.
    pub allow_other: bool,
    /// Let device nodes work.
    pub dev: bool,
    /// Threads that answer requests, where they come from the device.
    pub threads: usize,
    /// How requests come.
    pub transport: Transport,
    /// Turn on the kernel's switch for rings first.
    pub enable_uring: bool,
}

/// How requests come from the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Through rings where there are any, otherwise from the device.
    Auto,
    /// From the device, by the crate `fuser`.
    Fuser,
    /// Through rings, or not at all.
    Ring,
}

/// Why something cannot be mounted or served.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The kernel's side of FUSE is not there.
    #[error("{DEVICE} is missing: load the kernel's module with `modprobe fuse`")]
    NoDevice,
    /// The device cannot be opened.
    #[error("{DEVICE} cannot be opened: {0}")]
    Device(io::Error),
    /// Users other than root need a helper to mount.
    #[error("{HELPER} is missing: install the package fuse3, or mount as root")]
    NoHelper,
    /// The kernel, or the helper, refuses to mount.
    #[error("cannot mount on {}: {source}", mountpoint.display())]
    Mount {
        /// The directory.
        mountpoint: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Rings were asked for, and there are none.
    #[error("no mount through rings: {0}; --transport=auto does without them")]
    NoRing(NoRing),
    /// Something still uses the mount.
    #[error("{} is in use: `fuser -vm` on it lists by whom", .0.display())]
    Busy(PathBuf),
    /// The mount cannot be taken away.
    #[error("cannot unmount {}: {source}", mountpoint.display())]
    Unmount {
        /// The directory.
        mountpoint: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The connection to the kernel broke.
    #[error("serving the mount failed: {0}")]
    Serve(io::Error),
}

/// A mount, which answers once [`Mount::run`] is called.
pub struct Mount {
    session: Served,
    unmounter: Unmounter,
}

/// Who answers, and how requests come to it.
enum Served {
    Fuser(Box<Session<Adapter>>),
    Ring(RingSession),
}

/// Takes a mount away, from any thread or process.
#[derive(Clone, Debug)]
pub struct Unmounter {
    mountpoint: PathBuf,
}

/// How a mount went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmounted {
    /// Nobody used it.
    Clean,
    /// It is out of the way, but those who use it still do.
    Detached,
}

impl Mount {
    /// Mounts a filesystem: as root by the system call, otherwise through `fusermount3`.
    pub fn new(vfs: Arc<Vfs>, options: &MountOptions) -> Result<Self, MountError> {
        if !Path::new(DEVICE).exists() {
            return Err(MountError::NoDevice);
        }
        let session = match Self::through_rings(&vfs, options)? {
            Some(session) => Served::Ring(session),
            None => Served::Fuser(Box::new(Self::from_device(&vfs, options)?)),
        };
        settings::raise_readahead(&options.mountpoint);
        let unmounter = Unmounter::new(&options.mountpoint);
        Ok(Self { session, unmounter })
    }

    /// Mounts with rings; `None` if there are none, and need not be.
    fn through_rings(
        vfs: &Arc<Vfs>,
        options: &MountOptions,
    ) -> Result<Option<RingSession>, MountError> {
        if options.transport == Transport::Fuser {
            return Ok(None);
        }
        let mount = || mount(options);
        let unmounter = Unmounter::new(&options.mountpoint);
        match RingSession::new(vfs, unmounter, options.enable_uring, mount) {
            Ok(session) => Ok(Some(session)),
            Err(RingFailure::Mount(error)) => Err(error),
            Err(RingFailure::NoRing(why)) if options.transport == Transport::Ring => {
                Err(MountError::NoRing(why))
            }
            Err(RingFailure::NoRing(why)) => {
                log::info!("requests come from {DEVICE}, not through rings: {why}");
                Ok(None)
            }
        }
    }

    fn from_device(vfs: &Arc<Vfs>, options: &MountOptions) -> Result<Session<Adapter>, MountError> {
        let begun = Self::begin(vfs, options, mount(options)?);
        if begun.is_err() {
            // Nobody will answer through it.
            if let Err(error) = Unmounter::new(&options.mountpoint).unmount_or_detach() {
                log::warn!("{error}");
            }
        }
        begun
    }

    /// Begins to speak with the kernel through the device.
    fn begin(
        vfs: &Arc<Vfs>,
        options: &MountOptions,
        device: OwnedFd,
    ) -> Result<Session<Adapter>, MountError> {
        let mut config = Config::default();
        config.acl = match options.allow_other {
            true => SessionACL::All,
            false => SessionACL::Owner,
        };
        // One thread must be left to answer while others wait for the kernel to take note.
        config.n_threads = Some(options.threads.max(FUSE_THREADS_MIN));
        let (adapter, acl) = (Adapter(vfs.clone()), config.acl);
        let failed = |source| MountError::Mount { mountpoint: options.mountpoint.clone(), source };
        let session = Session::from_fd(adapter, device, acl, config).map_err(failed)?;
        let notifier = Arc::new(session.notifier());
        let notify = KernelNotify::start(notifier).map_err(MountError::Serve)?;
        vfs.set_notify(Arc::new(notify));
        vfs.set_transport(FUSER);
        Ok(session)
    }

    /// How requests come.
    pub fn transport(&self) -> &'static str {
        match self.session {
            Served::Fuser(_) => FUSER,
            Served::Ring(_) => ring::TRANSPORT,
        }
    }

    /// What takes the mount away.
    pub fn unmounter(&self) -> Unmounter {
        self.unmounter.clone()
    }

    /// Answers requests until the mount has gone away.
    pub fn run(self) -> Result<(), MountError> {
        let served = match self.session {
            Served::Fuser(session) => session.run(),
            Served::Ring(session) => session.run(),
        };
        served.map_err(MountError::Serve)
    }
}

/// Mounts, and gives the device through which the kernel asks.
fn mount(options: &MountOptions) -> Result<OwnedFd, MountError> {
    match rustix::process::geteuid().is_root() {
        true => mount_as_root(options),
        false => helper::mount(options),
    }
}

fn mount_as_root(options: &MountOptions) -> Result<OwnedFd, MountError> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let device = rustix::fs::open(DEVICE, flags, Mode::empty())
        .map_err(|errno| MountError::Device(errno.into()))?;
    let mut data = format!(
        "fd={},rootmode=40000,user_id={},group_id={},default_permissions",
        device.as_raw_fd(),
        rustix::process::getuid().as_raw(),
        rustix::process::getgid().as_raw(),
    );
    if options.allow_other {
        data.push_str(",allow_other");
    }
    let mut flags = MountFlags::NOSUID | MountFlags::NOATIME;
    if !options.dev {
        flags |= MountFlags::NODEV;
    }
    if options.read_only {
        flags |= MountFlags::RDONLY;
    }
    let data = CString::new(data).expect("the options hold no NUL");
    let source = options.store.as_os_str().as_bytes();
    rustix::mount::mount(source, &options.mountpoint, "fuse.vst", flags, data.as_c_str()).map_err(
        |errno| MountError::Mount { mountpoint: options.mountpoint.clone(), source: errno.into() },
    )?;
    Ok(device)
}

impl Unmounter {
    /// Takes mounts on this directory away.
    pub fn new(mountpoint: &Path) -> Self {
        Self { mountpoint: mountpoint.to_owned() }
    }

    /// Takes the mount away, unless somebody uses it.
    pub fn unmount(&self) -> Result<(), MountError> {
        self.try_unmount(false)
    }

    /// Takes the mount away; where somebody uses it, out of the way of everybody else.
    pub fn unmount_or_detach(&self) -> Result<Unmounted, MountError> {
        match self.try_unmount(false) {
            Ok(()) => Ok(Unmounted::Clean),
            Err(MountError::Busy(_)) => self.try_unmount(true).map(|()| Unmounted::Detached),
            Err(error) => Err(error),
        }
    }

    /// Where it is mounted.
    pub(super) fn mountpoint(&self) -> &Path {
        &self.mountpoint
    }

    fn try_unmount(&self, detach: bool) -> Result<(), MountError> {
        if !rustix::process::geteuid().is_root() {
            return helper::unmount(&self.mountpoint, detach);
        }
        let mountpoint = || self.mountpoint.clone();
        let flags = if detach { UnmountFlags::DETACH } else { UnmountFlags::empty() };
        match rustix::mount::unmount(&self.mountpoint, flags) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::BUSY) => Err(MountError::Busy(mountpoint())),
            Err(e) => Err(MountError::Unmount { mountpoint: mountpoint(), source: e.into() }),
        }
    }
}
