//! `fusermount3`, which mounts and unmounts for those who are not root.
//!
//! It opens the device, mounts, and sends the descriptor through a socket, whose number it finds in
//! its environment. Here the socket is its standard input: that is nobody else's, where any other
//! descriptor that it could inherit would be inherited by whatever this process starts meanwhile.

use std::ffi::OsString;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::io::retry_on_intr;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::mount::{MountError, MountOptions};

pub(super) const HELPER: &str = "fusermount3";
/// Tells it the number of the socket.
const SOCKET_VARIABLE: &str = "_FUSE_COMMFD";
const STDIN: &str = "0";

/// Mounts, and gives the device of the mount.
pub(super) fn mount(options: &MountOptions) -> Result<OwnedFd, MountError> {
    let mountpoint = &options.mountpoint;
    let failed = |source| MountError::Mount { mountpoint: mountpoint.clone(), source };
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    let child = Command::new(HELPER)
        .arg("-o")
        .arg(option_list(options))
        .arg("--")
        .arg(mountpoint)
        .env(SOCKET_VARIABLE, STDIN)
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| not_run(error, failed))?;
    // It ends when the helper does: nobody else has the other end any more.
    let received = receive(ours.as_fd());
    let output = child.wait_with_output().map_err(failed)?;
    let error = match received {
        Ok(Some(device)) => return Ok(device),
        Ok(None) => io::Error::other(said(&output.stderr, "it sent no descriptor")),
        Err(error) => error,
    };
    if output.status.success() {
        // It has mounted what nobody can answer for.
        if let Err(error) = unmount(mountpoint, true) {
            log::warn!("{error}");
        }
    }
    Err(failed(error))
}

/// Takes a mount away, also one that is in use if it is to be detached.
pub(super) fn unmount(mountpoint: &Path, detach: bool) -> Result<(), MountError> {
    let failed = |source| MountError::Unmount { mountpoint: mountpoint.to_owned(), source };
    let mut command = Command::new(HELPER);
    command.arg("-u");
    if detach {
        command.arg("-z");
    }
    let output = command
        .arg("--")
        .arg(mountpoint)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| not_run(error, failed))?;
    if output.status.success() {
        return Ok(());
    }
    let said = said(&output.stderr, "it gave no reason");
    match said.contains("busy") {
        true => Err(MountError::Busy(mountpoint.to_owned())),
        false => Err(failed(io::Error::other(said))),
    }
}

fn not_run(error: io::Error, failed: impl FnOnce(io::Error) -> MountError) -> MountError {
    match error.kind() {
        io::ErrorKind::NotFound => MountError::NoHelper,
        _ => failed(error),
    }
}

/// What the helper wrote, which begins with its name.
fn said(stderr: &[u8], otherwise: &str) -> String {
    match String::from_utf8_lossy(stderr).trim() {
        "" => format!("{HELPER}: {otherwise}"),
        said => said.to_owned(),
    }
}

/// The options of a mount, as the helper wants them.
fn option_list(options: &MountOptions) -> OsString {
    let mut list = b"fsname=".to_vec();
    for byte in options.store.as_os_str().as_bytes() {
        // One would begin the next option, and the other takes that meaning from it.
        if matches!(byte, b',' | b'\\') {
            list.push(b'\\');
        }
        list.push(*byte);
    }
    list.extend_from_slice(b",subtype=vst,default_permissions,noatime");
    if options.allow_other {
        list.extend_from_slice(b",allow_other");
    }
    if options.read_only {
        list.extend_from_slice(b",ro");
    }
    OsString::from_vec(list)
}

/// Waits for a descriptor; `None` if the other end is closed without one.
fn receive(socket: impl AsFd) -> io::Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    retry_on_intr(|| {
        let into = &mut [IoSliceMut::new(&mut byte)];
        recvmsg(&socket, into, &mut beside, RecvFlags::CMSG_CLOEXEC)
    })?;
    Ok(beside.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    }))
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::mem::MaybeUninit;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::path::PathBuf;

    use rustix::io::{FdFlags, fcntl_getfd};
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    use super::{option_list, receive, said};
    use crate::fuse::{MountOptions, Transport};

    #[test]
    fn a_path_is_one_option_whatever_is_in_it() {
        let mut options = MountOptions {
            mountpoint: PathBuf::from("/mnt"),
            store: PathBuf::from(r"/a,b\c=d e"),
            read_only: false,
            allow_other: false,
            dev: false,
            threads: 1,
            transport: Transport::Auto,
            enable_uring: false,
        };
        let plain = r"fsname=/a\,b\\c=d e,subtype=vst,default_permissions,noatime";
        assert_eq!(option_list(&options), plain);
        (options.allow_other, options.read_only) = (true, true);
        assert_eq!(option_list(&options), *format!("{plain},allow_other,ro"));
    }

    #[test]
    fn a_descriptor_that_is_sent_is_inherited_by_nobody() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        let sent = [ours.as_fd()];
        assert!(beside.push(SendAncillaryMessage::ScmRights(&sent)));
        sendmsg(&theirs, &[IoSlice::new(b"\0")], &mut beside, SendFlags::empty()).unwrap();
        let received = receive(&ours).unwrap().expect("one was sent");
        assert!(fcntl_getfd(&received).unwrap().contains(FdFlags::CLOEXEC));
    }

    #[test]
    fn without_a_descriptor_what_the_helper_wrote_tells_why() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert!(receive(&ours).unwrap().is_none());
        let (ours, theirs) = UnixStream::pair().unwrap();
        rustix::io::write(&theirs, b"\0").unwrap();
        assert!(receive(&ours).unwrap().is_none(), "a byte alone");
        assert_eq!(said(b"fusermount3: no\n", "otherwise"), "fusermount3: no");
        assert_eq!(said(b"", "otherwise"), "fusermount3: otherwise");
    }
}
