//! A committed tree as a tar archive, in the POSIX format of 2001 (PAX), which GNU tar, bsdtar and
//! others read.
//!
//! The archive depends on nothing but the commit and the path: entries come in the order of the
//! tree, owners are numbers, and no time but the files' own is in it. What a header has no room
//! for is in records before it:
//!
//! | record | when |
//! |---|---|
//! | `path`, `linkpath` | longer than 100 bytes |
//! | `mtime` | before 1970, or with a fraction of a second |
//! | `size`, `uid`, `gid` | too large for octal digits |
//! | `SCHILY.xattr.NAME` | an extended attribute |
//! | `SCHILY.acl.access`, `SCHILY.acl.default` | an access control list, as text |
//! | `GNU.sparse.*` | a file with holes: format 1.0, whose map of data lies before the data |

use std::collections::HashMap;
use std::io::{self, Cursor, Read, Write};
use std::ops::Range;

use tar::{Builder, EntryType, Header};

use super::pax::{decimal_time, sparse_map, xattr_key};
use crate::cli::error::CliError;
use crate::model::{Entry, EntryBody, FileKind, Meta, ObjectError, ObjectId, ObjectSource};
use crate::vfs::acl::{ACCESS_XATTR, Acl, DEFAULT_XATTR};
use crate::worktree::{CommittedTree, File, load_xattrs};

/// Names and targets up to this length fit into a header.
const NAME_BYTES_MAX: usize = 100;
/// Largest number of seven octal digits: owners and devices.
const OCTAL_7_MAX: u32 = 0o777_7777;
/// Largest number of eleven octal digits: sizes and times.
const OCTAL_11_MAX: u64 = 0o777_7777_7777;
/// Bytes of content that are read at a time.
const READ_BYTES: usize = 1024 * 1024;
/// The name in the header of a file with holes, for those who know nothing of such. What does is
/// told the true one in a record.
const SPARSE_NAME: &[u8] = b"./GNUSparseFile.0/";

type Records = Vec<(String, Vec<u8>)>;

/// What went into an archive, and what did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Archived {
    /// Entries.
    pub(super) entries: u64,
    /// Bytes of content, without holes.
    pub(super) bytes: u64,
    /// Sockets, which no archive holds.
    pub(super) sockets: u64,
    /// Extended attributes whose names no archive holds.
    pub(super) xattrs: u64,
}

/// Writes a tree into an archive.
pub(super) struct ArchiveWriter<'a, W: Write> {
    out: Builder<W>,
    src: &'a dyn ObjectSource,
    tree: &'a CommittedTree,
    /// The first names of files with several, by the group they are known by.
    first_names: HashMap<ObjectId, Vec<u8>>,
    done: Archived,
}

impl<'a, W: Write> ArchiveWriter<'a, W> {
    /// Begins an archive of what is in a tree.
    pub(super) fn new(out: W, tree: &'a CommittedTree, src: &'a dyn ObjectSource) -> Self {
        let out = Builder::new(out);
        Self { out, src, tree, first_names: HashMap::new(), done: Archived::default() }
    }

    /// What was written so far.
    pub(super) fn done(&self) -> Archived {
        self.done
    }

    /// Writes the end of the archive.
    pub(super) fn finish(mut self) -> Result<(W, Archived), CliError> {
        self.out.finish()?;
        Ok((self.out.into_inner()?, self.done))
    }

    /// Writes an entry under a name. `path` is where it is in the tree.
    pub(super) fn append(
        &mut self,
        name: &[u8],
        path: &[u8],
        entry: &Entry,
    ) -> Result<(), CliError> {
        let mut header = Header::new_ustar();
        let mut records = Records::new();
        put_meta(&mut header, &mut records, &entry.meta);
        if entry.linked && self.append_link(name, path, &mut header, &mut records)? {
            self.done.entries += 1;
            return Ok(());
        }
        self.put_xattrs(&mut records, entry)?;
        header.set_size(0);
        match &entry.body {
            EntryBody::File { size, content } => {
                header.set_entry_type(EntryType::Regular);
                let file = File::stored(*size, *content);
                self.append_file(name, &file, &mut header, records)?;
            }
            EntryBody::Directory(_) => {
                header.set_entry_type(EntryType::Directory);
                self.put(&[name, b"/"].concat(), &mut header, records, io::empty())?;
            }
            EntryBody::Symlink(target) => {
                header.set_entry_type(EntryType::Symlink);
                put_target(&mut header, &mut records, target);
                self.put(name, &mut header, records, io::empty())?;
            }
            EntryBody::Special => {
                let kind = match entry.meta.kind {
                    FileKind::Fifo => EntryType::Fifo,
                    FileKind::CharDevice => EntryType::Char,
                    FileKind::BlockDevice => EntryType::Block,
                    _ => {
                        self.done.sockets += 1;
                        return Ok(());
                    }
                };
                header.set_entry_type(kind);
                put_device(&mut header, entry.meta.rdev)?;
                self.put(name, &mut header, records, io::empty())?;
            }
        }
        self.done.entries += 1;
        Ok(())
    }

    /// Writes a further name of a file that is in the archive already, and tells whether it is one.
    fn append_link(
        &mut self,
        name: &[u8],
        path: &[u8],
        header: &mut Header,
        records: &mut Records,
    ) -> Result<bool, CliError> {
        let Some(record) = self.tree.link_record(path, self.src)? else { return Ok(false) };
        let Some(first) = self.first_names.get(&record.group) else {
            self.first_names.insert(record.group, name.to_vec());
            return Ok(false);
        };
        header.set_entry_type(EntryType::Link);
        header.set_size(0);
        put_target(header, records, first);
        self.put(name, header, std::mem::take(records), io::empty())?;
        Ok(true)
    }

    fn append_file(
        &mut self,
        name: &[u8],
        file: &File,
        header: &mut Header,
        mut records: Records,
    ) -> Result<(), CliError> {
        let data = data_ranges(file, self.src)?;
        let bytes: u64 = data.iter().map(|range| range.end - range.start).sum();
        let mut size = bytes;
        let mut map = Vec::new();
        let mut header_name = name.to_vec();
        if bytes < file.size() {
            map = sparse_map(&data, file.size());
            size += map.len() as u64;
            header_name = [SPARSE_NAME, last_name(name)].concat();
            header_name.truncate(NAME_BYTES_MAX);
            for (key, value) in [
                ("major", b"1".to_vec()),
                ("minor", b"0".to_vec()),
                ("name", name.to_vec()),
                ("realsize", file.size().to_string().into_bytes()),
            ] {
                records.push((format!("GNU.sparse.{key}"), value));
            }
        }
        header.set_size(size);
        if size > OCTAL_11_MAX {
            records.push(("size".to_owned(), size.to_string().into_bytes()));
        }
        let mut content = FileReader::new(file, data, self.src);
        let body = Cursor::new(map).chain(&mut content);
        let written = self.put(&header_name, header, records, body);
        if let Some(error) = content.failed.take() {
            return Err(error.into());
        }
        written?;
        self.done.bytes += bytes;
        Ok(())
    }

    fn put_xattrs(&mut self, records: &mut Records, entry: &Entry) -> Result<(), CliError> {
        let xattrs = load_xattrs(entry.xattrs.clone(), self.src)?;
        for (name, value) in xattrs.iter() {
            let acl_key = match name {
                ACCESS_XATTR => Some("SCHILY.acl.access"),
                DEFAULT_XATTR => Some("SCHILY.acl.default"),
                _ => None,
            };
            match (acl_key, Acl::decode(value), xattr_key(name)) {
                (Some(key), Ok(acl), _) => {
                    records.push((key.to_owned(), acl.to_text().into_bytes()));
                }
                (None, _, Some(key)) => records.push((key, value.to_vec())),
                _ => self.done.xattrs += 1,
            }
        }
        Ok(())
    }

    fn put(
        &mut self,
        name: &[u8],
        header: &mut Header,
        mut records: Records,
        body: impl Read,
    ) -> Result<(), CliError> {
        if let Some(ustar) = header.as_ustar_mut()
            && !put_bytes(&mut ustar.name, name)
        {
            records.push(("path".to_owned(), name.to_vec()));
        }
        header.set_cksum();
        let records = records.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        self.out.append_pax_extensions(records)?;
        Ok(self.out.append(header, body)?)
    }
}

/// Copies as much of a name as there is room for, and tells whether that is all of it.
fn put_bytes(room: &mut [u8; NAME_BYTES_MAX], bytes: &[u8]) -> bool {
    let len = bytes.len().min(room.len());
    room[..len].copy_from_slice(&bytes[..len]);
    len == bytes.len()
}

fn put_target(header: &mut Header, records: &mut Records, target: &[u8]) {
    if !put_bytes(&mut header.as_old_mut().linkname, target) {
        records.push(("linkpath".to_owned(), target.to_vec()));
    }
}

fn put_meta(header: &mut Header, records: &mut Records, meta: &Meta) {
    header.set_mode(u32::from(meta.perm));
    let mut owner = |key: &str, id: u32| {
        let fits = id <= OCTAL_7_MAX;
        if !fits {
            records.push((key.to_owned(), id.to_string().into_bytes()));
        }
        if fits { u64::from(id) } else { 0 }
    };
    header.set_uid(owner("uid", meta.uid));
    header.set_gid(owner("gid", meta.gid));
    let secs = u64::try_from(meta.mtime.secs).ok().filter(|secs| *secs <= OCTAL_11_MAX);
    header.set_mtime(secs.unwrap_or_default());
    if secs.is_none() || meta.mtime.nanos != 0 {
        records.push(("mtime".to_owned(), decimal_time(meta.mtime).into_bytes()));
    }
}

fn put_device(header: &mut Header, rdev: u32) -> io::Result<()> {
    let rdev = u64::from(rdev);
    header.set_device_major(rustix::fs::major(rdev))?;
    header.set_device_minor(rustix::fs::minor(rdev))
}

fn last_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// Where a file has data and no hole.
fn data_ranges(file: &File, src: &dyn ObjectSource) -> Result<Vec<Range<u64>>, ObjectError> {
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Some(start) = file.next_data(at, src)? {
        let end = file.next_hole(start, src)?.unwrap_or_else(|| file.size());
        ranges.push(start..end);
        at = end;
    }
    Ok(ranges)
}

/// The data of a file, without its holes.
struct FileReader<'a> {
    file: &'a File,
    src: &'a dyn ObjectSource,
    /// What is left to be read, last first.
    ranges: Vec<Range<u64>>,
    buffer: Vec<u8>,
    /// How much of the buffer was taken.
    taken: usize,
    /// Why reading ended, where the store is to blame.
    failed: Option<ObjectError>,
}

impl<'a> FileReader<'a> {
    fn new(file: &'a File, mut ranges: Vec<Range<u64>>, src: &'a dyn ObjectSource) -> Self {
        ranges.reverse();
        Self { file, src, ranges, buffer: Vec::new(), taken: 0, failed: None }
    }

    /// Reads on into the buffer; it stays empty at the end.
    fn fill(&mut self) -> Result<(), ObjectError> {
        (self.taken, _) = (0, self.buffer.clear());
        let Some(range) = self.ranges.last_mut() else { return Ok(()) };
        let rest = usize::try_from(range.end - range.start).unwrap_or(READ_BYTES);
        self.buffer.resize(rest.min(READ_BYTES), 0);
        let read = self.file.read(range.start, &mut self.buffer, self.src)?;
        self.buffer.truncate(read);
        range.start += read as u64;
        if range.start == range.end {
            self.ranges.pop();
        }
        Ok(())
    }
}

impl Read for &mut FileReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.buffer.len()
            && let Err(error) = self.fill()
        {
            self.failed = Some(error);
            return Err(io::ErrorKind::InvalidData.into());
        }
        let read = (&self.buffer[self.taken..]).read(out)?;
        self.taken += read;
        Ok(read)
    }
}
