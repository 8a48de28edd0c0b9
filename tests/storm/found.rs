//! What a mounted tree, live or a snapshot, is found to hold: every path with all of its
//! attributes, every file read to its end.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::model::{Body, Chosen};

/// Largest list of names of attributes, and largest value, that Linux has.
const XATTR_BYTES_MAX: usize = 64 * 1024;

/// One path.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) body: Body,
    pub(crate) perm: u32,
    pub(crate) xattrs: BTreeMap<String, Vec<u8>>,
    pub(crate) nlink: u64,
    pub(crate) ino: u64,
    pub(crate) mtime_ns: i128,
    pub(crate) ctime_ns: i128,
}

impl Found {
    /// The part that the filesystem chose.
    pub(crate) fn chosen(&self) -> Chosen {
        Chosen { ino: Some(self.ino), mtime_ns: Some(self.mtime_ns), ctime_ns: Some(self.ctime_ns) }
    }
}

/// All paths below a directory, relative to it.
pub(crate) type Files = BTreeMap<String, Found>;

/// Looks at the attributes of a path as a model wants them.
pub(crate) fn chosen_at(path: &Path) -> std::io::Result<Chosen> {
    let meta = fs::symlink_metadata(path)?;
    let (mtime_ns, ctime_ns) = times(&meta);
    Ok(Chosen { ino: Some(meta.ino()), mtime_ns: Some(mtime_ns), ctime_ns: Some(ctime_ns) })
}

fn times(meta: &fs::Metadata) -> (i128, i128) {
    let nanos = |secs: i64, nanos: i64| i128::from(secs) * 1_000_000_000 + i128::from(nanos);
    (nanos(meta.mtime(), meta.mtime_nsec()), nanos(meta.ctime(), meta.ctime_nsec()))
}

/// Reads everything below a directory.
pub(crate) fn read_all(top: &Path) -> Result<Files, String> {
    let mut files = Files::new();
    let mut pending = vec![String::new()];
    // `.vst` and `.snapshots` are in no listing.
    while let Some(directory) = pending.pop() {
        let full = top.join(&directory);
        let failed = |error: std::io::Error| format!("reading {}: {error}", full.display());
        for entry in fs::read_dir(&full).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let name = name.to_str().ok_or_else(|| format!("{full:?} has {name:?}"))?.to_owned();
            let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
            let full = top.join(&path);
            let found = read(&full).map_err(|e| format!("reading {}: {e}", full.display()))?;
            if found.body == Body::Directory {
                pending.push(path.clone());
            }
            files.insert(path, found);
        }
    }
    Ok(files)
}

fn read(path: &Path) -> std::io::Result<Found> {
    let meta = fs::symlink_metadata(path)?;
    let body = match meta.file_type() {
        kind if kind.is_dir() => Body::Directory,
        kind if kind.is_symlink() => {
            Body::Symlink(fs::read_link(path)?.to_string_lossy().into_owned())
        }
        kind if kind.is_file() => {
            let bytes = fs::read(path)?;
            if bytes.len() as u64 != meta.len() {
                let text = format!("{} bytes read of {}", bytes.len(), meta.len());
                return Err(std::io::Error::other(text));
            }
            Body::File(bytes.into())
        }
        kind => return Err(std::io::Error::other(format!("nobody made a {kind:?}"))),
    };
    let (mtime_ns, ctime_ns) = times(&meta);
    Ok(Found {
        body,
        perm: meta.mode() & 0o7777,
        xattrs: read_xattrs(path)?,
        nlink: meta.nlink(),
        ino: meta.ino(),
        mtime_ns,
        ctime_ns,
    })
}

fn read_xattrs(path: &Path) -> std::io::Result<BTreeMap<String, Vec<u8>>> {
    let mut names = [0; 4096];
    let len = rustix::fs::llistxattr(path, &mut names[..])?;
    let mut xattrs = BTreeMap::new();
    for name in names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; XATTR_BYTES_MAX];
        let len = rustix::fs::lgetxattr(path, name, &mut value[..])?;
        value.truncate(len);
        xattrs.insert(String::from_utf8_lossy(name).into_owned(), value);
    }
    Ok(xattrs)
}

/// A hash of all that a snapshot must keep for ever.
pub(crate) fn digest(files: &Files) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    let mut first_names = HashMap::new();
    for (path, found) in files {
        let first = first_names.entry(found.ino).or_insert(path);
        let Found { body, perm, xattrs, nlink, mtime_ns, .. } = found;
        let nlink = if *body == Body::Directory { 0 } else { *nlink };
        let bytes: &[u8] = if let Body::File(bytes) = body { bytes } else { &[] };
        let target = if let Body::Symlink(target) = body { target.as_str() } else { "" };
        let is_directory = *body == Body::Directory;
        let text = format!(
            "{path:?} {first:?} {is_directory} {target:?} {perm:o} {xattrs:?} {nlink} {mtime_ns} {}\n",
            bytes.len()
        );
        hasher.update(text.as_bytes()).update(bytes);
    }
    hasher.finalize()
}
