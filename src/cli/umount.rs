//! `vst umount`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::error::{CliError, named, report_line};
use super::mountinfo::{MountEntry, MountTable};
use super::paths::shell;
use crate::base::limits::LOCK_BYTES_MAX;
use crate::fuse::{MountError, Unmounter};

/// How long a daemon may take to bring everything to the disk.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(300);
/// When it is time to say what is waited for.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks at something that is waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Unmount a tree; everything is on the disk when the command returns
///
/// Nothing is lost that was not committed: the tree comes back as it was with the next mount.
/// A mount whose daemon died is taken away as well.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct UmountArgs {
    /// Where it is mounted
    mountpoint: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  vst umount ~/work";

/// Why a mount cannot be taken away.
#[derive(Debug, thiserror::Error)]
pub(super) enum UmountRefusal {
    /// Nothing is mounted there.
    #[error("nothing is mounted on {}{}", path.display(), others_text(others))]
    NotMounted {
        /// What was to be unmounted.
        path: PathBuf,
        /// Where this program has mounted something.
        others: Vec<PathBuf>,
    },
    /// It is a directory in a mount.
    #[error("{} is inside of the mount {}: `vst umount {}`", path.display(), mountpoint.display(),
        shell(mountpoint))]
    Inside {
        /// What was to be unmounted.
        path: PathBuf,
        /// What can be.
        mountpoint: PathBuf,
    },
    /// It is the store.
    #[error("{} is a store, which is mounted on {}: `vst umount {}`", path.display(),
        mountpoint.display(), shell(mountpoint))]
    Store {
        /// What was to be unmounted.
        path: PathBuf,
        /// What can be.
        mountpoint: PathBuf,
    },
    /// It is a mount of something else.
    #[error("{} is a mount of type {kind}, not one of vst: use `umount`", mountpoint.display())]
    NotVst {
        /// Where it is.
        mountpoint: PathBuf,
        /// What it is.
        kind: String,
    },
    /// Somebody uses it.
    #[error("{} is in use: `fuser -vm {}` lists the programs that have a file open or stand in it; \
        end them, or `cd` out of it, and try again", .0.display(), shell(.0))]
    Busy(PathBuf),
    /// It cannot be unmounted.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The daemon takes too long.
    #[error("{} is unmounted, but its daemon still writes after {} s: see {}/vst.log",
        mountpoint.display(), CLOSE_TIMEOUT.as_secs(), store.display())]
    StillWriting {
        /// Where it was mounted.
        mountpoint: PathBuf,
        /// The store.
        store: PathBuf,
    },
}

/// What could be unmounted instead.
fn others_text(others: &[PathBuf]) -> String {
    match others {
        [] => ", and nothing of vst anywhere".to_owned(),
        _ => format!("; of vst there is {}", named(others)),
    }
}

/// Unmounts.
pub(super) fn run(args: &UmountArgs) -> Result<(), CliError> {
    let table = read_mounts()?;
    let mount = find(&table, &args.mountpoint)?;
    // Looked at before the daemon can end.
    let owner = Lock::find(&mount.source);
    // This program must not be what keeps the mount in use.
    std::env::set_current_dir("/").map_err(|error| CliError::io("going to /", error))?;
    Unmounter::new(&mount.mountpoint).unmount().map_err(|error| match error {
        MountError::Busy(mountpoint) => UmountRefusal::Busy(mountpoint),
        error => error.into(),
    })?;
    // A mount of one snapshot has no part in what another mount of the store holds.
    if mount.read_only && read_mounts()?.of_store(&mount.source).next().is_some() {
        return Ok(());
    }
    match owner {
        Some(owner) if !owner.wait_until_free() => {
            let (mountpoint, store) = (mount.mountpoint.clone(), mount.source.clone());
            Err(UmountRefusal::StillWriting { mountpoint, store }.into())
        }
        _ => Ok(()),
    }
}

fn read_mounts() -> Result<MountTable, CliError> {
    MountTable::read().map_err(|error| CliError::io("looking for mounts", error))
}

/// Finds the mount that is meant. What is mounted there may be dead, and so cannot be asked.
fn find<'a>(table: &'a MountTable, path: &Path) -> Result<&'a MountEntry, CliError> {
    let absolute = std::path::absolute(path)
        .map_err(|error| CliError::io("finding the current directory", error))?;
    let through_parent = match (absolute.parent().map(Path::canonicalize), absolute.file_name()) {
        (Some(Ok(parent)), Some(name)) => Some(parent.join(name)),
        _ => None,
    };
    let resolved = absolute.canonicalize().ok();
    let candidates: Vec<PathBuf> =
        [Some(absolute), through_parent, resolved].into_iter().flatten().collect();
    if let Some(mount) = candidates.iter().find_map(|path| table.at(path)) {
        return match mount.is_vst() {
            true => Ok(mount),
            false => {
                let (mountpoint, kind) = (mount.mountpoint.clone(), mount.kind.clone());
                Err(UmountRefusal::NotVst { mountpoint, kind }.into())
            }
        };
    }
    let path = path.to_owned();
    for candidate in candidates.iter().rev() {
        if let Some(mount) = table.of_store(candidate).next() {
            let mountpoint = mount.mountpoint.clone();
            return Err(UmountRefusal::Store { path, mountpoint }.into());
        }
        if let Some(mount) = table.innermost_vst(candidate) {
            let mountpoint = mount.mountpoint.clone();
            return Err(UmountRefusal::Inside { path, mountpoint }.into());
        }
    }
    let others = table.vst().map(|mount| mount.mountpoint.clone()).collect();
    Err(UmountRefusal::NotMounted { path, others }.into())
}

/// The lock of a store, which its daemon holds until everything is on the disk.
struct Lock {
    file: File,
    path: PathBuf,
    /// What the one who held it wrote into it.
    owner: Vec<u8>,
}

impl Lock {
    /// None if there is no store any more, or one that may not be read.
    fn find(store: &Path) -> Option<Self> {
        let path = store.join("lock");
        let file = File::open(&path).ok()?;
        Some(Self { owner: read_owner(&path), file, path })
    }

    /// Waits until the one who held the lock does so no more, and tells whether that came.
    fn wait_until_free(&self) -> bool {
        let start = Instant::now();
        let mut told = false;
        loop {
            match flock(&self.file, FlockOperation::NonBlockingLockShared) {
                Err(Errno::WOULDBLOCK | Errno::INTR) => {}
                // Free, or not to be known.
                _ => return true,
            }
            // Somebody else has it already.
            if read_owner(&self.path) != self.owner {
                return true;
            }
            if start.elapsed() > CLOSE_TIMEOUT {
                return false;
            }
            if !told && start.elapsed() > CLOSE_PATIENCE {
                told = true;
                report_line("waiting until everything is on the disk");
            }
            thread::sleep(POLL_INTERVAL);
        }
    }
}

fn read_owner(path: &Path) -> Vec<u8> {
    let mut owner = Vec::new();
    if let Ok(file) = File::open(path) {
        // Half of it is as good for a comparison.
        let _ = file.take(LOCK_BYTES_MAX as u64).read_to_end(&mut owner);
    }
    owner
}
