//! What is looked at before anything is mounted or made.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use rustix::io::Errno;

use super::MountArgs;
use crate::cli::error::CliError;
use crate::cli::mountinfo::{MountTable, is_dead};
use crate::cli::paths::shell;
use crate::fuse::MountError;

const FUSE_DEVICE: &str = "/dev/fuse";
const FUSE_CONF: &str = "/etc/fuse.conf";

/// Why something cannot be mounted.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum MountRefusal {
    /// There is no such directory.
    #[error("the mountpoint {} does not exist: `mkdir {}` makes it", .0.display(), shell(.0))]
    NoMountpoint(PathBuf),
    /// It is something else.
    #[error("the mountpoint {} is not a directory: name one that is, empty at best", .0.display())]
    NotADirectory(PathBuf),
    /// It is a mountpoint of this program.
    #[error("{} is mounted on {} already: `vst umount {}` ends that", store.display(),
        mountpoint.display(), shell(mountpoint))]
    Mounted {
        /// What is mounted there.
        store: PathBuf,
        /// Where.
        mountpoint: PathBuf,
    },
    /// It is another mountpoint.
    #[error("{} is a mountpoint already, of type {kind}: choose another directory",
        mountpoint.display())]
    OtherMount {
        /// Where.
        mountpoint: PathBuf,
        /// What is mounted there.
        kind: String,
    },
    /// One of the two would be in the other.
    #[error("{} cannot be mounted on {}: neither can be inside the other; choose a \
        directory elsewhere", store.display(),
        mountpoint.display())]
    Nested {
        /// The store.
        store: PathBuf,
        /// The mountpoint.
        mountpoint: PathBuf,
    },
    /// The administrator does not want it.
    #[error("--allow-other needs the line `user_allow_other` in {FUSE_CONF}, or root")]
    AllowOther,
    /// This user may not use FUSE, or nobody in this container.
    #[error(
        "{FUSE_DEVICE} may not be opened: mount as root, or let everybody use it with \
        `chmod 666 {FUSE_DEVICE}`; a container needs --device {FUSE_DEVICE} --cap-add SYS_ADMIN"
    )]
    DeviceDenied,
    /// The kernel's side of FUSE, or the helper, is missing or refuses.
    #[error(transparent)]
    Fuse(#[from] MountError),
    /// The daemon was killed before its mount answered.
    #[error("the daemon ended before its mount answered ({status}); see {}", log.display())]
    Ended {
        /// How it ended.
        status: ExitStatus,
        /// Where it may have written more.
        log: PathBuf,
    },
    /// The daemon takes too long.
    #[error("the mount did not answer within {timeout_secs} s; see {}", log.display())]
    Timeout {
        /// How long that was.
        timeout_secs: u64,
        /// Where it may have written more.
        log: PathBuf,
    },
}

/// The paths of a mount that may be made.
#[derive(Debug)]
pub(super) struct Checked {
    /// The store, absolute and without symbolic links, perhaps not there yet.
    pub(super) store: PathBuf,
    /// The directory to mount on, absolute and without symbolic links.
    pub(super) mountpoint: PathBuf,
}

impl Checked {
    /// Looks at what was asked for. Makes nothing.
    pub(super) fn new(args: &MountArgs) -> Result<Self, CliError> {
        let store = resolve(&args.store)
            .map_err(|error| CliError::io(format!("looking at {}", args.store.display()), error))?;
        let mountpoint = mountpoint(&args.mountpoint)?;
        check_mounts(&mountpoint)?;
        if store.starts_with(&mountpoint) || mountpoint.starts_with(&store) {
            return Err(MountRefusal::Nested { store, mountpoint }.into());
        }
        check_device()?;
        if args.allow_other && !rustix::process::geteuid().is_root() && !others_allowed() {
            return Err(MountRefusal::AllowOther.into());
        }
        Ok(Self { store, mountpoint })
    }
}

/// The mountpoint without symbolic links.
fn mountpoint(path: &Path) -> Result<PathBuf, CliError> {
    let found = path.canonicalize().and_then(|found| Ok((found.metadata()?, found)));
    match found {
        Ok((metadata, found)) if metadata.is_dir() => Ok(found),
        Ok(_) => Err(MountRefusal::NotADirectory(path.to_owned()).into()),
        Err(error) => Err(match Errno::from_io_error(&error) {
            Some(Errno::NOENT) => MountRefusal::NoMountpoint(path.to_owned()).into(),
            Some(Errno::NOTDIR) => MountRefusal::NotADirectory(path.to_owned()).into(),
            Some(errno) if is_dead(errno) => CliError::DeadMount { mountpoint: path.to_owned() },
            _ => CliError::io(format!("looking at the mountpoint {}", path.display()), error),
        }),
    }
}

fn check_mounts(mountpoint: &Path) -> Result<(), CliError> {
    let table = MountTable::read().map_err(|error| CliError::io("looking for mounts", error))?;
    let Some(mount) = table.at(mountpoint) else { return Ok(()) };
    let mountpoint = mountpoint.to_owned();
    Err(match mount.is_vst() {
        true => MountRefusal::Mounted { store: mount.source.clone(), mountpoint }.into(),
        false => MountRefusal::OtherMount { mountpoint, kind: mount.kind.clone() }.into(),
    })
}

/// Tells whether FUSE can be used, before a store is made for nothing.
fn check_device() -> Result<(), MountRefusal> {
    match File::options().read(true).write(true).open(FUSE_DEVICE) {
        Ok(_) => Ok(()),
        Err(error) => Err(match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NODEV | Errno::NXIO) => MountError::NoDevice.into(),
            Some(Errno::ACCESS | Errno::PERM) => MountRefusal::DeviceDenied,
            _ => MountError::Device(error).into(),
        }),
    }
}

/// Makes a path absolute and free of symbolic links, as far as it exists.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    for existing in path.ancestors() {
        match existing.canonicalize() {
            Ok(found) => {
                let rest = path.strip_prefix(existing).unwrap_or(Path::new(""));
                // Joining nothing would add a slash.
                let is_whole = rest.as_os_str().is_empty();
                return Ok(if is_whole { found } else { found.join(rest) });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(path)
}

/// Tells whether the administrator lets users let other users in.
fn others_allowed() -> bool {
    let text = std::fs::read_to_string(FUSE_CONF).unwrap_or_default();
    text.lines().any(|line| line.trim() == "user_allow_other")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::{mountpoint, resolve};

    #[test]
    fn a_path_is_resolved_as_far_as_it_exists() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        std::fs::create_dir(top.join("real")).unwrap();
        symlink(top.join("real"), top.join("link")).unwrap();
        assert_eq!(resolve(&top.join("link/new/store")).unwrap(), top.join("real/new/store"));
        assert_eq!(resolve(&top.join("link")).unwrap(), top.join("real"));
        assert_eq!(resolve(Path::new("/")).unwrap(), Path::new("/"));
    }

    #[test]
    fn a_mountpoint_is_an_existing_directory() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(mountpoint(dir.path()).is_ok());
        for (path, what) in [
            (dir.path().join("missing"), "does not exist"),
            (file.join("below"), "is not a directory"),
            (file, "is not a directory"),
        ] {
            let text = mountpoint(&path).unwrap_err().to_string();
            assert!(text.contains(what), "{text}");
        }
    }
}
