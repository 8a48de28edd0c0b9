//! What is mounted, and how it is broken off when it can be answered for no more: who waits gets an
//! error, and who uses the mount keeps it, dead.
//!
//! The kernel has a file for each connection by which that is done, which belongs to whoever mounted.
//! Where those files are not mounted, root can still do it by unmounting. Nobody else can: all that
//! is left then is to end the process, which takes its descriptors of the device along. So whoever
//! waits for the mount to go away listens to a bell as well.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};
use rustix::mount::UnmountFlags;

use crate::fuse::mount::Unmounter;
use crate::fuse::settings;

/// What the kernel shows of its connections, by the numbers of their mounts.
const CONNECTIONS: &str = "/sys/fs/fuse/connections";

/// What is mounted, told apart from what may be mounted in its place later.
#[derive(Clone)]
pub(super) struct Mounted {
    unmounter: Unmounter,
    device: (u32, u32),
    bell: Arc<OwnedFd>,
}

impl Mounted {
    /// What is mounted now. If that cannot be told, it is taken away again.
    pub(super) fn at(unmounter: Unmounter) -> io::Result<Self> {
        let looked = settings::device_of(unmounter.mountpoint()).and_then(|device| {
            let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
            Ok((device, Arc::new(bell)))
        });
        match looked {
            Ok((device, bell)) => Ok(Self { unmounter, device, bell }),
            Err(error) => {
                if let Err(left) = unmounter.unmount_or_detach() {
                    log::warn!("{left}");
                }
                Err(error)
            }
        }
    }

    /// Can be read once the connection is broken off, or should be and cannot.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Breaks the connection off.
    pub(super) fn break_off(&self) {
        // While it is there, its number is not that of another mount.
        if self.is_there()
            && let Err(error) = self.abort()
        {
            log::warn!("the connection to the kernel ends with the daemon only: {error}");
        }
        if self.is_there()
            && let Err(error) = self.unmounter.unmount_or_detach()
        {
            log::debug!("{error}");
        }
        // It fails only when it has rung more often than it can count.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }

    fn is_there(&self) -> bool {
        settings::device_of(self.unmounter.mountpoint()).ok() == Some(self.device)
    }

    fn abort(&self) -> io::Result<()> {
        // The kernel calls connections by the whole number, of which the major part is zero.
        let file = format!("{CONNECTIONS}/{}/abort", self.device.1);
        let aborted = OpenOptions::new().write(true).open(file).and_then(|mut f| f.write_all(b"1"));
        match aborted {
            Err(error) => {
                log::debug!("{CONNECTIONS}: {error}");
                // What is in use stays where it is.
                match rustix::mount::unmount(self.unmounter.mountpoint(), UnmountFlags::FORCE) {
                    Err(rustix::io::Errno::BUSY) => Ok(()),
                    done => Ok(done?),
                }
            }
            Ok(()) => Ok(()),
        }
    }
}
