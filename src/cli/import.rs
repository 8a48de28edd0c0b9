//! `vst import`.

mod copy;
mod fast_export;
mod git;
mod history;
mod mounted;
mod scratch;
mod source;
mod stored;
mod target;
mod work;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::num::NonZero;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use clap::Args;
use rustix::fs::lremovexattr;
use serde::Serialize;

pub(super) use self::fast_export::StreamError;

use self::copy::{Copier, Counts};
use self::mounted::Mounted;
use self::source::{Attributes, Copyist};
use self::stored::{Stored, make_directory};
use self::target::Target;
use super::daemon::Daemon;
use super::error::CliError;
use super::paths::path_text;
use super::place::Place;
use super::progress::ProgressLine;
use super::terminal::Terminal;
use super::units::{count_text, size_text};
use super::users;
use crate::model::{CommitId, Ino, Name, Timestamp};
use crate::repo::{CommitRequest, Repo, RepoError, RepoOptions};
use crate::vfs::acl::{ACCESS_XATTR, DEFAULT_XATTR};
use crate::worktree::OpError;

/// How often the line of progress is looked after.
const SHOW_INTERVAL: Duration = Duration::from_millis(50);
/// Threads for each processor: while one waits for the disk or the mount, another can work.
const THREADS_PER_CPU: usize = 2;
/// Most threads that copy.
const THREADS_MAX: usize = 16;
/// The mode of directories above the one that is imported into.
const DIRECTORY_PERM: u16 = 0o755;

/// Copy a directory from outside into the tree, or a history from git into the store
///
/// What is in DIR comes to the top of the tree, or to PATH: files with their holes, hard and
/// symbolic links, fifos, sockets, modes, times, extended attributes and access control lists, and
/// as root owners and devices. PATH, or the top, takes the attributes of DIR. It must be empty or
/// not there, unless --merge says otherwise. What cannot be read is named, and all else is copied.
/// All of it is durable in the end, and not committed unless -m says so.
///
/// With --git, every commit that REV leads to becomes a commit, with author, message, the author's
/// time, and the tree, whose files have that time and belong to you; tags of these commits become
/// tags, and REV becomes HEAD. This needs `git`, and a store that is not mounted and has nothing
/// in it. A commit keeps the first of its parents, so a merge has what it brought but does not lead
/// to where that came from; submodules are left out.
///
/// A store that is named with --store and not there is made.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(override_usage = "vst import [OPTIONS] DIR\n       vst import --git REPO [REV]")]
pub(super) struct ImportArgs {
    /// Where in the tree the files come, instead of the top; directories above are made
    #[arg(long, value_name = "PATH", conflicts_with = "git")]
    into: Option<OsString>,
    /// Put the files among those that are there, as `cp -a` does: what has the same name is
    /// replaced, and directories keep what only they have
    #[arg(long, conflicts_with = "git")]
    merge: bool,
    /// Commit when everything was imported, with this message
    #[arg(short, long, value_name = "MSG", conflicts_with = "git")]
    message: Option<String>,
    /// Import the history of a git repository
    #[arg(long)]
    git: bool,
    /// Print JSON about what was imported: {"files":3,"directories":1,…}
    #[arg(long)]
    json: bool,
    /// The directory, or the git repository
    #[arg(value_name = "DIR")]
    source: PathBuf,
    /// The commit of git to end with; HEAD if none is named
    #[arg(value_name = "REV", requires = "git")]
    revision: Option<OsString>,
}

const EXAMPLES: &str = "\
Examples:
  vst import ~/project -m 'as it was'          into the tree that the current directory is in
  vst --store new.store import ~/project       into a new store
  vst import /srv/data --into copies/data
  vst --store new.store import --git ~/project v1.0";

/// What `--json` prints:
///
/// ```json
/// {"files":3,"directories":1,"bytes":10,"failed":0,"commit":null}
/// ```
///
/// `bytes` are those of files, without holes; `failed` counts what has been named on stderr;
/// `commit` is the id of the commit, if one was asked for and everything was imported.
#[derive(Debug, Serialize)]
struct JsonImported {
    files: u64,
    directories: u64,
    bytes: u64,
    failed: u64,
    commit: Option<String>,
}

/// Imports.
pub(super) fn run(
    args: &ImportArgs,
    store: Option<&Path>,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    if args.git {
        return history::run(args, store, terminal);
    }
    let looking = |error| CliError::io(format!("looking at {}", args.source.display()), error);
    let source = args.source.canonicalize().map_err(looking)?;
    let meta = fs::metadata(&source).map_err(looking)?;
    if !meta.is_dir() {
        return Err(CliError::ImportSource(args.source.clone()));
    }
    let copyist = Copyist::current();
    let attributes = Attributes::read(&source, &meta, copyist).map_err(looking)?;
    make_store(store)?;
    let place = Place::find(store)?;
    let path = match &args.into {
        Some(path) => place.path_in_tree(path)?,
        None => Vec::new(),
    };
    refuse_circle(place.store(), &source)?;
    let import = Import {
        args,
        source,
        copyist,
        attributes: (!args.merge).then_some(attributes),
        path,
        counts: Counts::default(),
    };
    let commit = match place.daemon() {
        Some(daemon) => import.through(daemon)?,
        None => place.with_repo(|repo| import.to_store(repo))?,
    };
    import.tell(commit, terminal)
}

/// Makes a store that was named, where there is nothing.
fn make_store(store: Option<&Path>) -> Result<(), CliError> {
    let Some(store) = store.filter(|store| !store.exists()) else { return Ok(()) };
    let options = RepoOptions {
        author: users::author(),
        writer: Some(users::writer()),
        ..RepoOptions::default()
    };
    Ok(Repo::open(store, options)?.close()?)
}

/// Refuses to read what is being written.
fn refuse_circle(inner: &Path, outer: &Path) -> Result<(), CliError> {
    match inner.starts_with(outer) {
        true => Err(CliError::ImportOfItself { inner: inner.into(), outer: outer.into() }),
        false => Ok(()),
    }
}

/// A directory that is being imported.
struct Import<'a> {
    args: &'a ImportArgs,
    source: PathBuf,
    copyist: Copyist,
    /// What the directory that all goes into gets, if anything.
    attributes: Option<Attributes>,
    /// Where in the tree that is.
    path: Vec<u8>,
    counts: Counts,
}

impl Import<'_> {
    /// Imports through a mount, and commits if that is wanted.
    fn through(&self, daemon: &Daemon) -> Result<Option<CommitId>, CliError> {
        let top = daemon.mountpoint().join(OsStr::from_bytes(&self.path));
        refuse_circle(&top, &self.source)?;
        let making = |error| CliError::io(format!("making {}", top.display()), error);
        let is_new = match fs::read_dir(&top) {
            Ok(mut entries) => match self.args.merge || entries.next().is_none() {
                true => false,
                false => return Err(self.exists()),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(making(error)),
        };
        if is_new {
            fs::create_dir_all(&top).map_err(making)?;
            for name in [ACCESS_XATTR, DEFAULT_XATTR] {
                // What the directory above gives; most give none.
                let _ = lremovexattr(&top, name);
            }
        }
        self.copy(&Mounted::new(top, self.copyist, self.args.merge))?;
        daemon.sync()?;
        self.commit(|message| daemon.commit(message, true))
    }

    /// Imports into a store that is not mounted, and commits if that is wanted.
    fn to_store(&self, repo: &Repo) -> Result<Option<CommitId>, CliError> {
        let mut top = Ino::ROOT;
        for name in self.path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            if top == Ino::ROOT && crate::vfs::is_reserved(name) {
                return Err(self.exists());
            }
            let name = Name::new(name).map_err(|_| RepoError::from(OpError::Invalid))?;
            let node = self.copyist.directory(DIRECTORY_PERM);
            top = make_directory(repo, top, &name, &node, Timestamp::now())?;
        }
        if !self.args.merge && !repo.look(|tree| tree.is_empty_directory(top)) {
            return Err(self.exists());
        }
        self.copy(&Stored::new(repo, top, self.copyist, self.args.merge))?;
        self.commit(|message| {
            let message = message.to_owned();
            Ok(repo.commit(&CommitRequest { message, ..CommitRequest::default() })?)
        })
    }

    fn exists(&self) -> CliError {
        CliError::ImportExists {
            path: match self.path.as_slice() {
                [] => "the top of the tree".to_owned(),
                path => path_text(path),
            },
        }
    }

    /// Copies, and shows how far it is.
    fn copy<T: Target>(&self, target: &T) -> Result<(), CliError> {
        let line = ProgressLine::without_end("importing");
        let report = |path: &Path, why: &str| {
            line.report(&format!("{}: {why}", path_text(path.as_os_str().as_bytes())));
        };
        let is_top = self.path.is_empty();
        let copier = Copier::new(target, self.copyist, &self.counts, &report, is_top);
        copier.begin(self.source.clone(), self.attributes.clone());
        let cpus = thread::available_parallelism().map_or(1, NonZero::get);
        let total = Total::default();
        let done = thread::scope(|scope| {
            let threads: Vec<_> = (0..(cpus * THREADS_PER_CPU).min(THREADS_MAX))
                .map(|_| scope.spawn(|| copier.work()))
                .collect();
            if line.is_seen() {
                scope.spawn(|| total.count(&self.source));
            }
            let mut end_is_known = false;
            while threads.iter().any(|thread| !thread.is_finished()) {
                if !end_is_known && total.bytes().is_some() {
                    end_is_known = true;
                    line.set_end_known();
                }
                let [bytes, files] = [&self.counts.bytes, &self.counts.files].map(Counts::get);
                let all = total.bytes().unwrap_or_default();
                line.show(bytes, all, files, &line.rate(files, "files"));
                thread::park_timeout(SHOW_INTERVAL);
            }
            total.stop.store(true, Ordering::Relaxed);
            let join = |thread: thread::ScopedJoinHandle<'_, Result<(), CliError>>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            // The one that failed, not those that ended because of it.
            threads.into_iter().map(join).fold(Ok(()), Result::and)
        });
        line.finish();
        done
    }

    fn commit(
        &self,
        commit: impl FnOnce(&str) -> Result<CommitId, CliError>,
    ) -> Result<Option<CommitId>, CliError> {
        match &self.args.message {
            Some(message) if Counts::get(&self.counts.failed) == 0 => {
                commit(message.trim_end_matches('\n')).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn tell(&self, commit: Option<CommitId>, terminal: &mut Terminal) -> Result<(), CliError> {
        let Counts { files, directories, bytes, failed } = &self.counts;
        let [files, directories, bytes, failed] =
            [files, directories, bytes, failed].map(Counts::get);
        if self.args.json {
            let commit = commit.map(|id| id.to_string());
            terminal.json(&JsonImported { files, directories, bytes, failed, commit })?;
        } else {
            let counts = (count_text(files, "file"), directories, size_text(bytes));
            let directories = if counts.1 == 1 { "directory" } else { "directories" };
            terminal.line(&format!(
                "imported {} and {} {directories}, {}",
                counts.0, counts.1, counts.2
            ))?;
            if let Some(commit) = commit {
                terminal.line(&commit.to_string())?;
            }
        }
        match failed {
            0 => Ok(()),
            failed => {
                terminal.flush()?;
                Err(CliError::ImportIncomplete(failed))
            }
        }
    }
}

/// How much there is to copy, counted while it is copied, for one who looks on.
#[derive(Default)]
struct Total {
    bytes: AtomicU64,
    is_known: AtomicBool,
    stop: AtomicBool,
}

impl Total {
    /// Counts, unless the copy ends first. What cannot be read is none.
    fn count(&self, top: &Path) {
        let mut pending = vec![top.to_owned()];
        while let Some(directory) = pending.pop() {
            let Ok(entries) = fs::read_dir(&directory) else { continue };
            for entry in entries.flatten() {
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                match entry.metadata() {
                    Ok(meta) if meta.is_dir() => pending.push(entry.path()),
                    Ok(meta) if meta.is_file() => {
                        // As much as it takes, so that holes do not count.
                        let bytes = meta.size().min(meta.blocks().saturating_mul(512));
                        self.bytes.fetch_add(bytes, Ordering::Relaxed);
                    }
                    _ => {}
                }
            }
        }
        self.is_known.store(true, Ordering::Release);
    }

    /// The bytes of all files, when they have been counted.
    fn bytes(&self) -> Option<u64> {
        let is_known = self.is_known.load(Ordering::Acquire);
        is_known.then(|| self.bytes.load(Ordering::Relaxed))
    }
}
