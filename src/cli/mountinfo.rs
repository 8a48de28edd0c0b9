//! The mounts that the kernel knows of, from `/proc/self/mountinfo`.
//!
//! ```text
//! 61 25 0:52 / /home/user/work rw,nosuid shared:7 - fuse.vst /home/user/work.store rw,user_id=0
//!              root mountpoint options              type     source                 options
//! ```
//!
//! A mount of this program has the type `fuse.vst` and the path of its store as the source.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

const FILE: &str = "/proc/self/mountinfo";

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MountEntry {
    /// Which directory of what is mounted is seen: `/`, but for a bind mount.
    pub(super) root: PathBuf,
    /// Where it is seen.
    pub(super) mountpoint: PathBuf,
    /// The kind of filesystem.
    pub(super) kind: String,
    /// What is mounted.
    pub(super) source: PathBuf,
    /// Nothing can be changed there.
    pub(super) read_only: bool,
}

impl MountEntry {
    /// Tells whether this program mounted it.
    pub(super) fn is_vst(&self) -> bool {
        self.kind == "fuse.vst"
    }

    /// Where in the mounted tree a path below the mountpoint is: names from its top.
    pub(super) fn path_in_tree(&self, path: &Path) -> Option<PathBuf> {
        let below = path.strip_prefix(&self.mountpoint).ok()?;
        Some(self.root.strip_prefix("/").unwrap_or(&self.root).join(below))
    }
}

/// Tells whether an error says that the process behind a mount is gone, which the kernel says
/// otherwise to one who asked through a ring, and otherwise again while it takes the ring away.
pub(super) fn is_dead(errno: Errno) -> bool {
    matches!(errno, Errno::NOTCONN | Errno::CONNABORTED | Errno::CANCELED)
}

/// All mounts, in the order in which they were made.
#[derive(Clone, Debug, Default)]
pub(super) struct MountTable {
    mounts: Vec<MountEntry>,
}

impl MountTable {
    /// Asks the kernel.
    pub(super) fn read() -> io::Result<Self> {
        std::fs::read(FILE).map(|bytes| Self::parse(&bytes)).map_err(|error| {
            io::Error::new(error.kind(), format!("reading {FILE}: {error}; is /proc mounted?"))
        })
    }

    fn parse(bytes: &[u8]) -> Self {
        let lines = bytes.split(|byte| *byte == b'\n');
        Self { mounts: lines.filter_map(parse_line).collect() }
    }

    /// What is mounted at exactly this path; the uppermost, where mounts lie over each other.
    pub(super) fn at(&self, mountpoint: &Path) -> Option<&MountEntry> {
        self.mounts.iter().rev().find(|mount| mount.mountpoint == mountpoint)
    }

    /// The innermost mount of this program that has this path in it.
    pub(super) fn innermost_vst(&self, path: &Path) -> Option<&MountEntry> {
        let inside = self.mounts.iter().filter(|mount| path.starts_with(&mount.mountpoint));
        // The last of those with the longest path.
        inside.filter(|mount| mount.is_vst()).max_by_key(|mount| mount.mountpoint.as_os_str().len())
    }

    /// The mounts of this program.
    pub(super) fn vst(&self) -> impl Iterator<Item = &MountEntry> {
        self.mounts.iter().filter(|mount| mount.is_vst())
    }

    /// The mounts of a store.
    pub(super) fn of_store<'a>(
        &'a self,
        store: &'a Path,
    ) -> impl DoubleEndedIterator<Item = &'a MountEntry> {
        self.mounts.iter().filter(move |mount| mount.is_vst() && mount.source == store)
    }
}

fn parse_line(line: &[u8]) -> Option<MountEntry> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let separator = fields.iter().position(|field| *field == b"-")?;
    let (of_mount, of_tree) = fields.split_at_checked(separator)?;
    let has_ro = |options: &&&[u8]| options.split(|byte| *byte == b',').any(|o| o == b"ro");
    let path = |field: &[u8]| PathBuf::from(OsStr::from_bytes(&unescape(field)));
    Some(MountEntry {
        root: path(of_mount.get(3)?),
        mountpoint: path(of_mount.get(4)?),
        kind: String::from_utf8_lossy(&unescape(of_tree.get(1)?)).into_owned(),
        source: path(of_tree.get(2)?),
        read_only: [of_mount.get(5), of_tree.get(3)].iter().flatten().any(has_ro),
    })
}

/// The kernel writes blanks, newlines, backslashes and a few more as `\` and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, further)) = rest.split_first() {
        let digits = further.get(..3).filter(|_| *first == b'\\');
        let code = digits.and_then(|digits| {
            digits.iter().try_fold(0_u32, |code, c| Some(code * 8 + char::from(*c).to_digit(8)?))
        });
        match code.and_then(|code| u8::try_from(code).ok()) {
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
    path
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{MountTable, unescape};

    const MOUNTS: &[u8] = b"\
24 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
61 24 0:52 / /w rw,nosuid shared:7 - fuse.vst /s rw,user_id=0\n\
62 61 0:53 / /w/in\\040side rw - fuse.vst /a\\134b ro\n\
63 24 0:52 /sub /bind ro shared:7 master:3 - fuse.vst /s rw\n\
64 24 0:54 / /w rw - tmpfs none rw\n\
no mount\n\
65 24 0:55 / /short -\n";

    #[test]
    fn the_innermost_mount_that_has_a_path_is_found() {
        let table = MountTable::parse(MOUNTS);
        let at = |path: &str| table.innermost_vst(Path::new(path)).map(|m| m.source.clone());
        assert_eq!(at("/w/x"), Some(PathBuf::from("/s")));
        assert_eq!(at("/w"), Some(PathBuf::from("/s")));
        assert_eq!(at("/w/in side/x"), Some(PathBuf::from("/a\\b")));
        assert_eq!(at("/w/in sideways"), Some(PathBuf::from("/s")));
        assert_eq!(at("/wx"), None);
        assert_eq!(at("/"), None);
    }

    #[test]
    fn what_lies_above_is_what_is_at_a_mountpoint() {
        let table = MountTable::parse(MOUNTS);
        assert_eq!(table.at(Path::new("/w")).map(|m| m.kind.as_str()), Some("tmpfs"));
        assert_eq!(table.at(Path::new("/x")), None);
    }

    #[test]
    fn the_mounts_of_a_store_tell_whether_they_can_be_changed() {
        let table = MountTable::parse(MOUNTS);
        let found: Vec<_> = table
            .of_store(Path::new("/s"))
            .map(|m| (m.mountpoint.to_str().unwrap(), m.read_only))
            .collect();
        assert_eq!(found, [("/w", false), ("/bind", true)]);
        assert!(table.of_store(Path::new("/a\\b")).all(|m| m.read_only));
    }

    #[test]
    fn a_path_below_a_bind_mount_is_told_from_the_top_of_the_tree() {
        let table = MountTable::parse(MOUNTS);
        let path = |path: &str| {
            table.innermost_vst(Path::new(path)).unwrap().path_in_tree(Path::new(path)).unwrap()
        };
        assert_eq!(path("/w/a/b"), Path::new("a/b"));
        assert_eq!(path("/w"), Path::new(""));
        assert_eq!(path("/bind/a"), Path::new("sub/a"));
    }

    #[test]
    fn escapes_are_octal_and_anything_else_stays() {
        assert_eq!(unescape(b"a\\040b\\011\\134\\043"), b"a b\t\\#");
        assert_eq!(unescape(b"\\04"), b"\\04");
        assert_eq!(unescape(b"\\9ab\\777\\+11"), b"\\9ab\\777\\+11");
    }
}
