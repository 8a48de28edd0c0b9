//! Copies a tree, with several threads.
//!
//! A thread takes a directory, lists it, and makes what is in it; directories in it, and parts of
//! long listings, are left for whoever is free. The attributes of a directory come when all that is
//! in it has been made. Work that was found last is done first, so that little of it waits.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::source::{Attributes, Copyist, data_ranges};
use super::target::{Failure, Losses, Target};
use super::work::Work;
use crate::cli::error::CliError;
use crate::model::Name;
use crate::vfs::is_reserved;

/// A file up to this size is read whole before it is made.
const WHOLE_BYTES_MAX: u64 = 1024 * 1024;
/// Entries of a directory that one thread makes before another may go on.
const BATCH_ENTRIES: usize = 128;
/// A thread makes what it listed itself while so much work waits.
const WAITING_MAX: usize = 256;

/// What was done so far.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Files that are no directories, a further name counted as one.
    pub(super) files: AtomicU64,
    /// Directories.
    pub(super) directories: AtomicU64,
    /// Bytes of content, without holes.
    pub(super) bytes: AtomicU64,
    /// What could not be imported, or not as it was.
    pub(super) failed: AtomicU64,
}

impl Counts {
    /// Reads a counter.
    pub(super) fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

/// Files with several names, by device and number: the copy, and how many names will come.
type Links<N> = HashMap<(u64, u64), (N, u64)>;

/// Copies a tree into another one.
pub(super) struct Copier<'a, T: Target> {
    target: &'a T,
    copyist: Copyist,
    counts: &'a Counts,
    /// Is told what could not be imported, and why.
    report: &'a (dyn Fn(&Path, &str) + Sync),
    /// What is not to be imported, because the names mean something else there.
    refuse_reserved: bool,
    work: Work<Task<T::Node>>,
    links: Mutex<Links<T::Node>>,
}

/// A directory that is being copied.
struct Directory<N> {
    source: PathBuf,
    node: N,
    /// Those that it gets when all is in it, if it is to get any.
    attributes: Option<Attributes>,
    /// Tasks that are not done.
    left: AtomicUsize,
    is_top: bool,
}

enum Task<N> {
    List(Arc<Directory<N>>),
    Make(Arc<Directory<N>>, Vec<OsString>),
}

impl<'a, T: Target> Copier<'a, T> {
    /// Prepares to copy. `refuse_reserved` tells that the target is the top of a tree, where some
    /// names are taken.
    pub(super) fn new(
        target: &'a T,
        copyist: Copyist,
        counts: &'a Counts,
        report: &'a (dyn Fn(&Path, &str) + Sync),
        refuse_reserved: bool,
    ) -> Self {
        let (work, links) = (Work::new(), Mutex::default());
        Self { target, copyist, counts, report, refuse_reserved, work, links }
    }

    /// Has what is in `source` copied by those who [`work`](Self::work). `attributes` are given to
    /// the top directory in the end.
    pub(super) fn begin(&self, source: PathBuf, attributes: Option<Attributes>) {
        let node = self.target.top();
        self.begin_directory(Directory {
            source,
            node,
            attributes,
            left: AtomicUsize::new(1),
            is_top: true,
        });
    }

    fn begin_directory(&self, directory: Directory<T::Node>) {
        self.work.add(Task::List(Arc::new(directory)));
    }

    /// Works until all is done, or nothing can be done any more.
    pub(super) fn work(&self) -> Result<(), CliError> {
        let mut buffer = Vec::new();
        self.work.run(|task| {
            let (directory, done) = match task {
                Task::List(directory) => {
                    let done = self.list(&directory, &mut buffer);
                    (directory, done)
                }
                Task::Make(directory, names) => {
                    let done = self.make_all(&directory, &names, &mut buffer);
                    (directory, done)
                }
            };
            done?;
            self.part_done(&directory)
        })
    }

    fn list(
        &self,
        directory: &Arc<Directory<T::Node>>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), CliError> {
        let source = &directory.source;
        let entries = match fs::read_dir(source) {
            Ok(entries) => entries,
            Err(error) => return self.failed(source, Failure::file(&error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            match entry {
                Ok(entry) => names.push(entry.file_name()),
                Err(error) => {
                    self.failed(source, Failure::file(&error))?;
                    break;
                }
            }
            if names.len() == BATCH_ENTRIES {
                let names = std::mem::take(&mut names);
                if self.work.waiting() < WAITING_MAX {
                    directory.left.fetch_add(1, Ordering::Relaxed);
                    self.work.add(Task::Make(Arc::clone(directory), names));
                } else {
                    self.make_all(directory, &names, buffer)?;
                }
            }
        }
        self.make_all(directory, &names, buffer)
    }

    /// Gives a directory its attributes once nothing of it is left to be made.
    fn part_done(&self, directory: &Directory<T::Node>) -> Result<(), CliError> {
        if directory.left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return Ok(());
        }
        let Some(attributes) = &directory.attributes else { return Ok(()) };
        match self.target.finish_directory(&directory.node, attributes) {
            Ok(losses) => self.lost(&directory.source, losses),
            Err(failure) => return self.failed(&directory.source, failure),
        }
        Ok(())
    }

    fn make_all(
        &self,
        directory: &Directory<T::Node>,
        names: &[OsString],
        buffer: &mut Vec<u8>,
    ) -> Result<(), CliError> {
        for name in names {
            let source = directory.source.join(name);
            if let Err(failure) = self.make(directory, name, &source, buffer) {
                self.failed(&source, failure)?;
            }
        }
        Ok(())
    }

    fn make(
        &self,
        directory: &Directory<T::Node>,
        name: &OsString,
        source: &Path,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        if directory.is_top && self.refuse_reserved && is_reserved(name.as_bytes()) {
            return Err(Failure::File("the top of the tree has another use for the name".into()));
        }
        let name = Name::new(name.as_bytes()).map_err(|e| Failure::File(e.to_string()))?;
        let meta = fs::symlink_metadata(source).map_err(|e| Failure::file(&e))?;
        let attributes =
            Attributes::read(source, &meta, self.copyist).map_err(|e| Failure::file(&e))?;
        let parent = &directory.node;
        if meta.is_dir() {
            let node = self.target.directory(parent, &name)?;
            self.begin_directory(Directory {
                source: source.to_owned(),
                node,
                attributes: Some(attributes),
                left: AtomicUsize::new(1),
                is_top: false,
            });
            self.counts.directories.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let new = New { parent, name: &name, source, meta: &meta, attributes: &attributes };
        self.make_file(&new, buffer)?;
        self.counts.files.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Makes a file, or another name of one that was made.
    fn make_file(&self, new: &New<'_, T::Node>, buffer: &mut Vec<u8>) -> Result<(), Failure> {
        if !new.attributes.linked {
            return self.make_content(new, buffer, &mut |_| {});
        }
        // Held until the file is complete, so that nobody makes it a second time.
        let mut links = self.links.lock();
        match links.entry((new.meta.dev(), new.meta.ino())) {
            Entry::Occupied(mut there) => {
                let (node, names_left) = there.get_mut();
                self.target.link(node, new.parent, new.name)?;
                *names_left -= 1;
                if *names_left == 0 {
                    there.remove();
                }
                Ok(())
            }
            Entry::Vacant(vacant) => {
                let mut vacant = Some(vacant);
                let names_left = new.meta.nlink() - 1;
                self.make_content(new, buffer, &mut |node| {
                    if let Some(vacant) = vacant.take() {
                        vacant.insert((node, names_left));
                    }
                })
            }
        }
    }

    /// Makes a file with its content. `made` is told of it as soon as it is there.
    fn make_content(
        &self,
        new: &New<'_, T::Node>,
        buffer: &mut Vec<u8>,
        made: &mut dyn FnMut(T::Node),
    ) -> Result<(), Failure> {
        let &New { parent, name, source, meta, attributes } = new;
        if !meta.is_file() {
            let target = match meta.is_symlink() {
                true => fs::read_link(source).map_err(|e| Failure::file(&e))?,
                false => PathBuf::new(),
            };
            let target = target.as_os_str().as_bytes();
            let (node, losses) = self.target.special(parent, name, attributes, target)?;
            made(node);
            self.lost(source, losses);
            return Ok(());
        }
        let failed = |error: io::Error| Failure::file(&error);
        // Not through a link that has taken its place, and not for a writer of a fifo that has.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let mut file =
            OpenOptions::new().read(true).custom_flags(flags).open(source).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        let ranges = data_ranges(&file, &meta).map_err(failed)?;
        let has_holes =
            ranges.iter().map(|range| range.end - range.start).sum::<u64>() < meta.size();
        if meta.size() <= WHOLE_BYTES_MAX && !has_holes {
            buffer.clear();
            (&mut file).take(WHOLE_BYTES_MAX).read_to_end(buffer).map_err(failed)?;
            let (node, losses) = self.target.file(parent, name, attributes, buffer)?;
            made(node);
            self.counts.bytes.fetch_add(buffer.len() as u64, Ordering::Relaxed);
            self.lost(source, losses);
            return Ok(());
        }
        let open = self.target.begin(parent, name, attributes)?;
        made(self.target.node(&open));
        let mut end = meta.size();
        let mut cut = Ok(());
        'copy: for range in ranges {
            let mut at = range.start;
            while at < range.end {
                let len = (range.end - at).min(WHOLE_BYTES_MAX) as usize;
                buffer.resize(len, 0);
                let read = match read_at(&file, at, buffer) {
                    Ok(read) => read,
                    Err(error) => {
                        cut = Err(failed(error));
                        (end, _) = (at, buffer.clear());
                        break 'copy;
                    }
                };
                self.target.write(&open, at, &buffer[..read])?;
                self.counts.bytes.fetch_add(read as u64, Ordering::Relaxed);
                at += read as u64;
                if read == 0 {
                    // Somebody has cut it.
                    end = at;
                    break 'copy;
                }
            }
        }
        let losses = self.target.finish(open, end, attributes)?;
        self.lost(source, losses);
        cut
    }

    fn lost(&self, source: &Path, losses: Losses) {
        for loss in losses {
            self.counts.failed.fetch_add(1, Ordering::Relaxed);
            (self.report)(source, &loss);
        }
    }

    /// Tells what could not be imported; fails if nothing else can be.
    fn failed(&self, source: &Path, failure: Failure) -> Result<(), CliError> {
        match failure {
            Failure::File(why) => {
                self.lost(source, vec![why]);
                Ok(())
            }
            Failure::All(error) => Err(error),
        }
    }
}

/// A file that is to be made.
struct New<'a, N> {
    parent: &'a N,
    name: &'a Name,
    source: &'a Path,
    meta: &'a Metadata,
    attributes: &'a Attributes,
}

/// Reads until the buffer is full or the file ends.
fn read_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
