//! Whether a mount can have rings, which has to be known before it is there.

use std::{fs, io};

/// The kernel's switch: it offers rings to a connection that begins while this is on.
const SWITCH: &str = "/sys/module/fuse/parameters/enable_uring";

/// Why a mount has no rings.
#[derive(Debug, thiserror::Error)]
pub enum NoRing {
    /// The kernel is too old, or built without them.
    #[error("the kernel has no FUSE over io_uring, which Linux 6.14 brings")]
    NoSwitch,
    /// They are switched off.
    #[error("{SWITCH} is off: root turns it on, by --enable-uring or `echo Y > {SWITCH}`")]
    Off,
    /// Somebody else than root wants to switch them on.
    #[error(
        "{SWITCH} is off, and --enable-uring is for root alone: once root has done \
        `echo Y > {SWITCH}`, everybody can mount with rings"
    )]
    NotRoot,
    /// They cannot be switched on.
    #[error("{SWITCH} cannot be set: {0}")]
    Switch(io::Error),
    /// This user, or nobody here, may have rings.
    #[error(
        "io_uring is not allowed here: by the kernel.io_uring_disabled of `sysctl`, which root can \
        set to 0, or by what confines this process, such as a container"
    )]
    Forbidden,
    /// The system gives no rings, or no threads for them.
    #[error("a ring cannot be set up: {0}")]
    Setup(io::Error),
    /// The connection began without an offer of them.
    #[error("the kernel offers no rings on this connection")]
    NotOffered,
}

/// Tells why there can be no rings, as far as can be told before any are made. Turns the switch on
/// where that is wanted.
pub(super) fn check(enable: bool) -> Result<(), NoRing> {
    let state = fs::read_to_string(SWITCH).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => NoRing::NoSwitch,
        _ => NoRing::Switch(error),
    })?;
    match (state.trim(), enable) {
        ("Y", _) => Ok(()),
        (_, true) => fs::write(SWITCH, "Y").map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => NoRing::NotRoot,
            _ => NoRing::Switch(error),
        }),
        (_, false) => Err(NoRing::Off),
    }
}

/// Tells why the system refuses to make rings.
pub(super) fn refused(error: io::Error) -> NoRing {
    match error.kind() {
        io::ErrorKind::PermissionDenied => NoRing::Forbidden,
        _ => NoRing::Setup(error),
    }
}
