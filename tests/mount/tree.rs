//! A whole directory tree as a value, to compare one before and after, or here and there.
#![allow(dead_code, reason = "a box of tools, of which a test takes what it needs")]

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// How many differences a failed comparison shows.
const DIFFERENCES_SHOWN_MAX: usize = 40;

/// Every file below a directory, by its path from there. The directory itself is `.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tree {
    /// The files by path.
    pub(crate) nodes: BTreeMap<PathBuf, Node>,
}

/// What a file is and holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// `file`, `dir`, `symlink`, `fifo`, `socket`, `char` or `block`.
    pub(crate) kind: &'static str,
    /// Permission bits with setuid, setgid and sticky.
    pub(crate) mode: u32,
    /// Owner.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
    /// Bytes; 0 for a directory, where every filesystem counts something else.
    pub(crate) size: u64,
    /// Nanoseconds since 1970.
    pub(crate) mtime_ns: i128,
    /// Names of the file; 0 for a directory, where every filesystem counts something else.
    pub(crate) nlink: u64,
    /// The first path in the tree that is another name of this file.
    pub(crate) same_file: Option<PathBuf>,
    /// Number of a device.
    pub(crate) rdev: u64,
    /// Target of a symbolic link.
    pub(crate) target: Option<PathBuf>,
    /// Hash of the content of a regular file.
    pub(crate) content: Option<blake3::Hash>,
    /// Extended attributes.
    pub(crate) xattrs: BTreeMap<OsString, Vec<u8>>,
}

impl Tree {
    /// Reads a tree. It stays on one filesystem only if nothing is mounted inside.
    #[track_caller]
    pub(crate) fn read(top: &Path) -> Self {
        let mut nodes = BTreeMap::new();
        let mut pending = vec![PathBuf::from(".")];
        while let Some(path) = pending.pop() {
            let full = top.join(&path);
            let node = read_node(&full).unwrap_or_else(|error| panic!("{full:?}: {error}"));
            if node.0.kind == "dir" {
                for entry in fs::read_dir(&full).unwrap_or_else(|e| panic!("{full:?}: {e}")) {
                    let name = entry.unwrap_or_else(|e| panic!("{full:?}: {e}")).file_name();
                    let below = if path == Path::new(".") { name.into() } else { path.join(name) };
                    pending.push(below);
                }
            }
            nodes.insert(path, node);
        }
        // In order of the paths, so that the order of a listing makes no difference.
        let mut first_names = HashMap::new();
        let nodes = nodes.into_iter().map(|(path, (mut node, id))| {
            if node.nlink > 1 {
                node.same_file = first_names.get(&id).cloned();
                first_names.entry(id).or_insert_with(|| path.clone());
            }
            (path, node)
        });
        Self { nodes: nodes.collect() }
    }

    /// Leaves out a path and everything below it.
    pub(crate) fn without(mut self, path: impl AsRef<Path>) -> Self {
        self.nodes.retain(|other, _| !other.starts_with(path.as_ref()));
        self
    }

    /// Changes every node, to level what a comparison shall not look at.
    pub(crate) fn adjust(mut self, mut change: impl FnMut(&Path, &mut Node)) -> Self {
        for (path, node) in &mut self.nodes {
            change(path, node);
        }
        self
    }

    /// One line for each path that differs: `-` only in `self`, `+` only in `other`, `~` in both.
    pub(crate) fn diff(&self, other: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        let paths = self.nodes.keys().chain(other.nodes.keys().filter(|path| !self.has(path)));
        for path in paths {
            match (self.nodes.get(path), other.nodes.get(path)) {
                (Some(a), None) => lines.push(format!("- {path:?} ({})", a.kind)),
                (None, Some(b)) => lines.push(format!("+ {path:?} ({})", b.kind)),
                (Some(a), Some(b)) if a != b => {
                    lines.push(format!("~ {path:?}:{}", differences(a, b)));
                }
                _ => {}
            }
        }
        lines
    }

    fn has(&self, path: &Path) -> bool {
        self.nodes.contains_key(path)
    }

    /// Panics with what differs, if anything does.
    #[track_caller]
    pub(crate) fn assert_same(&self, other: &Self) {
        let lines = self.diff(other);
        if lines.is_empty() {
            return;
        }
        let shown = &lines[..lines.len().min(DIFFERENCES_SHOWN_MAX)];
        let more = lines.len() - shown.len();
        let tail = if more == 0 { String::new() } else { format!("\n... and {more} more") };
        panic!("the trees differ in {} paths:\n{}{tail}", lines.len(), shown.join("\n"));
    }
}

/// Reads a file without what it shares with other paths, and the identity that tells this.
fn read_node(path: &Path) -> io::Result<(Node, (u64, u64))> {
    let meta = fs::symlink_metadata(path)?;
    let kind = kind(&meta);
    let is_dir = kind == "dir";
    let content = match kind {
        "file" => {
            let mut hasher = blake3::Hasher::new();
            io::copy(&mut File::open(path)?, &mut hasher)?;
            Some(hasher.finalize())
        }
        _ => None,
    };
    let node = Node {
        kind,
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
        size: if is_dir { 0 } else { meta.size() },
        mtime_ns: i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()),
        nlink: if is_dir { 0 } else { meta.nlink() },
        same_file: None,
        rdev: meta.rdev(),
        target: if kind == "symlink" { Some(fs::read_link(path)?) } else { None },
        content,
        xattrs: read_xattrs(path)?,
    };
    Ok((node, (meta.dev(), meta.ino())))
}

fn kind(meta: &Metadata) -> &'static str {
    let kind = meta.file_type();
    match () {
        () if kind.is_dir() => "dir",
        () if kind.is_symlink() => "symlink",
        () if kind.is_fifo() => "fifo",
        () if kind.is_socket() => "socket",
        () if kind.is_char_device() => "char",
        () if kind.is_block_device() => "block",
        () => "file",
    }
}

fn read_xattrs(path: &Path) -> io::Result<BTreeMap<OsString, Vec<u8>>> {
    // The largest that Linux lets a list or a value be.
    let mut buffer = vec![0; 65536];
    let len = match rustix::fs::llistxattr(path, &mut buffer[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        other => other?,
    };
    let names = buffer[..len].to_vec();
    let mut xattrs = BTreeMap::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let len = rustix::fs::lgetxattr(path, name, &mut buffer[..])?;
        xattrs.insert(OsString::from_vec(name.to_vec()), buffer[..len].to_vec());
    }
    Ok(xattrs)
}

/// The fields that differ, each with both values.
fn differences(a: &Node, b: &Node) -> String {
    let mut text = String::new();
    for ((name, a), (_, b)) in fields(a).into_iter().zip(fields(b)) {
        if a != b {
            // Writing to a string cannot fail.
            let _ = write!(text, " {name} {a} -> {b}");
        }
    }
    text
}

fn fields(node: &Node) -> [(&'static str, String); 12] {
    [
        ("kind", node.kind.to_owned()),
        ("mode", format!("{:04o}", node.mode)),
        ("uid", node.uid.to_string()),
        ("gid", node.gid.to_string()),
        ("size", node.size.to_string()),
        ("mtime_ns", node.mtime_ns.to_string()),
        ("nlink", node.nlink.to_string()),
        ("same_file", format!("{:?}", node.same_file)),
        ("rdev", node.rdev.to_string()),
        ("target", format!("{:?}", node.target)),
        ("content", node.content.map_or_else(|| "none".into(), |hash| hash.to_hex().to_string())),
        ("xattrs", show_xattrs(&node.xattrs)),
    ]
}

fn show_xattrs(xattrs: &BTreeMap<OsString, Vec<u8>>) -> String {
    let pairs = xattrs.iter().map(|(name, value)| format!("{name:?}=\"{}\"", value.escape_ascii()));
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
}

mod tests {
    use std::fs::{self, File, Permissions};
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    use rustix::fs::XattrFlags;
    use tempfile::TempDir;

    use super::Tree;

    /// A tree with something of every kind that anyone may make.
    fn sample() -> TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        let top = dir.path();
        fs::create_dir_all(top.join("a/b")).expect("new directories");
        fs::write(top.join("a/file"), "content").expect("a new file");
        fs::write(top.join("a/linked"), "shared").expect("a new file");
        fs::hard_link(top.join("a/linked"), top.join("other name")).expect("a new link");
        symlink("a/file", top.join("symlink")).expect("a new symlink");
        let odd = std::ffi::OsStr::from_bytes(b"\xff\n");
        fs::write(top.join("a/b").join(odd), "").expect("a new file");
        let socket = std::os::unix::net::UnixListener::bind(top.join("socket"));
        drop(socket.expect("a new socket"));
        dir
    }

    /// The one line of what a change does to the tree.
    fn diff_of(change: impl FnOnce(&Path)) -> String {
        let dir = sample();
        let before = Tree::read(dir.path());
        change(dir.path());
        // Changes of an entry change the time of its directory too.
        let level = |tree: Tree| tree.adjust(|_, n| n.mtime_ns *= i128::from(n.kind != "dir"));
        let lines = level(before).diff(&level(Tree::read(dir.path())));
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines[0].clone()
    }

    #[test]
    fn a_tree_read_twice_is_the_same() {
        let dir = sample();
        let tree = Tree::read(dir.path());
        let kinds: Vec<_> = tree.nodes.values().map(|node| node.kind).collect();
        assert_eq!(
            kinds,
            ["dir", "dir", "dir", "file", "file", "file", "file", "socket", "symlink"]
        );
        assert_eq!(tree.nodes[Path::new("a/file")].content, Some(blake3::hash(b"content")));
        tree.assert_same(&Tree::read(dir.path()));
    }

    #[test]
    fn every_change_of_a_file_shows() {
        let write = |path: &Path| File::options().write(true).open(path).expect("it is there");
        let time = SystemTime::UNIX_EPOCH + Duration::new(5, 7);
        let line = diff_of(|top| {
            let file = write(&top.join("a/file"));
            file.set_modified(time).expect("a new time");
        });
        assert!(line.starts_with("~ \"a/file\": mtime_ns "), "{line}");
        assert!(line.ends_with("-> 5000000007"), "{line}");

        let line = diff_of(|top| {
            let path = top.join("a/file");
            let time = fs::metadata(&path).and_then(|meta| meta.modified()).expect("its time");
            fs::write(&path, "CONTENT").expect("new content");
            write(&path).set_modified(time).expect("the old time");
        });
        assert!(line.starts_with("~ \"a/file\": content "), "{line}");

        let line = diff_of(|top| {
            let mode = Permissions::from_mode(0o4701);
            fs::set_permissions(top.join("a"), mode).expect("a new mode");
        });
        assert!(line.starts_with("~ \"a\": mode ") && line.ends_with("-> 4701"), "{line}");

        let line = diff_of(|top| fs::remove_file(top.join("a/file")).expect("it is there"));
        assert_eq!(line, "- \"a/file\" (file)");
        let line = diff_of(|top| fs::create_dir(top.join("new")).expect("it is not there"));
        assert_eq!(line, "+ \"new\" (dir)");
    }

    #[test]
    fn a_symlink_to_another_target_shows() {
        let dir = sample();
        let before = Tree::read(dir.path());
        fs::remove_file(dir.path().join("symlink")).expect("it is there");
        symlink("a/FILE", dir.path().join("symlink")).expect("its name is free");
        let diff = before.diff(&Tree::read(dir.path())).join("\n");
        assert!(diff.contains("target Some(\"a/file\") -> Some(\"a/FILE\")"), "{diff}");
    }

    #[test]
    fn names_that_share_a_file_are_told_from_copies() {
        let dir = sample();
        let before = Tree::read(dir.path());
        let shared = before.nodes[Path::new("other name")].same_file.as_deref();
        assert_eq!(shared, Some(Path::new("a/linked")));
        fs::remove_file(dir.path().join("other name")).expect("it is there");
        fs::write(dir.path().join("other name"), "shared").expect("its name is free");
        let diff = before.diff(&Tree::read(dir.path())).join("\n");
        assert!(diff.contains("same_file Some(\"a/linked\") -> None"), "{diff}");
    }

    #[test]
    fn extended_attributes_show() {
        let dir = sample();
        let before = Tree::read(dir.path());
        let path = dir.path().join("a/file");
        match rustix::fs::setxattr(&path, "user.x", b"1\xff", XattrFlags::empty()) {
            // Some filesystems for temporary files know none, and then there is nothing to show.
            Err(rustix::io::Errno::OPNOTSUPP) => return,
            other => other.expect("a new attribute"),
        }
        let diff = before.diff(&Tree::read(dir.path()));
        assert_eq!(diff, [r#"~ "a/file": xattrs {} -> {"user.x"="1\xff"}"#]);
    }

    #[test]
    fn a_path_left_out_takes_along_what_is_below() {
        let tree = Tree::read(sample().path()).without("a");
        assert_eq!(tree.nodes.len(), 4);
    }

    #[test]
    #[should_panic(expected = "the trees differ in 45 paths")]
    fn a_failed_comparison_says_how_much_differs() {
        let dir = sample();
        let before = Tree::read(dir.path()).without(".");
        for number in 0..45 {
            fs::write(dir.path().join(format!("new {number}")), "").expect("a new file");
        }
        before.assert_same(&Tree::read(dir.path()).without("."));
    }
}
