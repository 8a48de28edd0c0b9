//! What the kernel has mounted, told without a call that the mount has to answer.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::io::Errno;
use rustix::mount::UnmountFlags;

/// The most mounts that may lie over each other on a mountpoint.
const STACKED_MOUNTS_MAX: usize = 16;

/// Removes all mounts at a mountpoint, also those that are in use.
pub(crate) fn detach(mountpoint: &Path) {
    for _ in 0..STACKED_MOUNTS_MAX {
        if !is_fuse_mount(mountpoint) {
            return;
        }
        if rustix::mount::unmount(mountpoint, UnmountFlags::DETACH) == Err(Errno::PERM) {
            let _ = Command::new("fusermount3").args(["-u", "-z", "--"]).arg(mountpoint).status();
        }
    }
}

/// Tells whether the kernel has a FUSE mount at a path, without a call that it must answer.
pub(super) fn is_fuse_mount(mountpoint: &Path) -> bool {
    let mounts = fs::read("/proc/self/mountinfo").expect("/proc is mounted");
    mounts
        .split(|byte| *byte == b'\n')
        .any(|line| fuse_mountpoint(line).as_deref() == Some(mountpoint))
}

/// The mountpoint in a line of mountinfo, if that is about a FUSE mount.
fn fuse_mountpoint(line: &[u8]) -> Option<PathBuf> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let separator = fields.iter().position(|field| *field == b"-")?;
    let kind = fields.get(separator + 1)?;
    let is_fuse = *kind == b"fuse" || kind.starts_with(b"fuse.");
    is_fuse.then(|| fields.get(4).map(|field| unescape(field)))?
}

/// The kernel writes blanks, newlines and backslashes as `\` and three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, further)) = rest.split_first() {
        let octal = further.get(..3).filter(|_| *first == b'\\');
        let code = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                path.push(byte);
                rest = &further[3..];
            }
            None => {
                path.push(*first);
                rest = further;
            }
        }
    }
    PathBuf::from(OsStr::from_bytes(&path))
}

mod tests {
    use std::path::Path;

    use super::fuse_mountpoint;

    #[test]
    fn the_mountpoint_of_a_fuse_mount_is_found_in_mountinfo() {
        let line =
            b"61 25 0:52 / /tmp/a\\040b\\134c rw,nosuid shared:7 - fuse.vst vst rw,user_id=0";
        assert_eq!(fuse_mountpoint(line).as_deref(), Some(Path::new("/tmp/a b\\c")));
        let line = b"61 25 0:52 / /mnt rw - fuse vst rw";
        assert_eq!(fuse_mountpoint(line).as_deref(), Some(Path::new("/mnt")));
        assert_eq!(fuse_mountpoint(b"61 25 0:52 / /mnt rw - ext4 /dev/sda rw"), None);
        assert_eq!(fuse_mountpoint(b"61 25 0:52 / /mnt rw - fusectl none rw"), None);
        assert_eq!(fuse_mountpoint(b""), None);
    }
}
