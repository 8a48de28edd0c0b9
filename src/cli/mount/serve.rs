//! The daemon: mounts, answers until the mount goes away, and leaves everything on the disk.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::checks::{Checked, MountRefusal};
use super::log_file::LogGate;
use super::{MountArgs, TransportArg};
use crate::base::limits::{
    DIRTY_BYTES_MAX, FUSE_THREADS_MIN, JOURNAL_BYTES_MAX, OBJECT_CACHE_BYTES,
};
use crate::cli::error::CliError;
use crate::cli::place::{Place, View};
use crate::cli::users;
use crate::fuse::{Mount, MountOptions, Unmounted, Unmounter};
use crate::repo::{Repo, RepoOptions};
use crate::store::Durability;
use crate::vfs::Vfs;

/// What the daemon writes when its mount is there, and is about to answer.
pub(super) const READY: &str = "ready\n";
/// Most threads that answer requests, unless told otherwise.
const THREADS_DEFAULT_MAX: usize = 8;
/// How long those who use a mount that has to go away may finish.
const USERS_WAIT: Duration = Duration::from_secs(3);
/// How often it is tried to find a moment in which nothing is left to be written.
const LEAVE_TRIES_MAX: usize = 100;

/// Serves a mount until it goes away.
pub(super) fn serve(args: &MountArgs, checked: &Checked) -> Result<(), CliError> {
    if args.report_ready {
        // Signals of the terminal are meant for those who sit at it.
        rustix::process::setsid().map_err(|e| CliError::io("leaving the terminal", e.into()))?;
        std::env::set_current_dir("/").map_err(|error| CliError::io("going to /", error))?;
    }
    let log = LogGate::install(args.report_ready);
    // From here on they are remembered until somebody can do what they ask for.
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP])
        .map_err(|error| CliError::io("preparing for signals", error))?;
    // It was started by way of /proc/self/exe, and `ps` would call it that.
    if let Err(error) = rustix::thread::set_name(c"vst") {
        log::debug!("the process keeps its name: {error}");
    }
    // A huge page is resident as a whole, and the allocator uses a little of many: mounting a tree
    // of 100 000 files takes 50 MB with them and 17 without. They would save a commit among a
    // million files a twentieth of its time.
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        log::debug!("huge pages stay: {error}");
    }
    let (vfs, repo) = open(args, &checked.store)?;
    let options = MountOptions {
        mountpoint: checked.mountpoint.clone(),
        store: checked.store.clone(),
        read_only: args.read_only || args.rev.is_some(),
        allow_other: args.allow_other,
        dev: args.dev,
        threads: args.threads.map_or_else(default_threads, usize::from),
        transport: args.transport.unwrap_or(TransportArg::Auto).into(),
        enable_uring: args.enable_uring,
    };
    let mount = Mount::new(vfs, &options).map_err(MountRefusal::Fuse)?;
    let ending = Ending {
        unmounter: mount.unmounter(),
        mountpoint: checked.mountpoint.clone(),
        repo: repo.clone(),
    };
    spawn("signals", {
        let ending = ending.clone();
        move || ending.on_signals(signals)
    })?;
    // The kernel keeps what is asked from here on until it is answered. This process asks nothing:
    // a thread that waits for an answer outlives SIGKILL, and with it the connection to the kernel,
    // through which the answer can come no more.
    let (store, mountpoint) = (checked.store.display(), checked.mountpoint.display());
    log::info!("mounted {store} on {mountpoint}, transport {}", mount.transport());
    if args.report_ready
        && let Err(error) = report_ready(&log, &checked.store)
    {
        // The one who wanted the mount has gone away, so nobody would know of it.
        log::error!("nobody waits for the mount, so it goes away: {error}");
        ending.unmount();
    }
    let served: Result<(), CliError> =
        mount.run().map_err(|error| MountRefusal::Fuse(error).into());
    let closed = repo.map_or(Ok(()), |repo| repo.close().map_err(CliError::from));
    for error in [&served, &closed].into_iter().filter_map(|result| result.as_ref().err()) {
        log::error!("{error}");
    }
    log::info!("unmounted {}", checked.mountpoint.display());
    match served.and(closed) {
        Ok(()) => Ok(()),
        // It is in the log, which is stderr.
        Err(_) => Err(CliError::Reported(1)),
    }
}

/// Opens what is to be mounted: the working tree, or one commit.
fn open(args: &MountArgs, store: &Path) -> Result<(Arc<Vfs>, Option<Arc<Repo>>), CliError> {
    let owner = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let cache_bytes = args.cache_size.unwrap_or(OBJECT_CACHE_BYTES);
    let durability = args.durability.map_or(Durability::default(), Durability::from);
    if let Some(rev) = &args.rev {
        let View { history, head } = Place::find(Some(store))?.view_with(cache_bytes)?;
        let commit = history.commit(&history.resolve(rev, head)?)?;
        return Ok((Arc::new(Vfs::committed(history, commit.root, owner)), None));
    }
    let options = RepoOptions {
        durability,
        cache_bytes,
        dirty_bytes_max: args.dirty_size.unwrap_or(DIRTY_BYTES_MAX),
        journal_bytes_max: args.journal_size.unwrap_or(JOURNAL_BYTES_MAX),
        author: users::author(),
        journaled: !args.without_journal,
        acts_by_itself: !args.read_only,
        ..RepoOptions::default()
    };
    let repo = Arc::new(Repo::open(store, options)?);
    // Who set how often to commit, and what to keep, counts on it: it is told now if that cannot be
    // read.
    repo.config()?;
    repo.start_settling()
        .and_then(|()| repo.start_keeping())
        .and_then(|()| match repo.options().acts_by_itself {
            true => repo.start_auto_commit(args.auto_commit),
            false => Ok(()),
        })
        .map_err(|error| CliError::io("starting a thread", error))?;
    Ok((Arc::new(Vfs::live(repo.clone(), owner)), Some(repo)))
}

/// One for each CPU, within reason.
fn default_threads() -> usize {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    cpus.clamp(FUSE_THREADS_MIN, THREADS_DEFAULT_MAX)
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), CliError> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(run);
    spawned.map(drop).map_err(|error| CliError::io("starting a thread", error))
}

/// What ends the mount.
#[derive(Clone)]
struct Ending {
    unmounter: Unmounter,
    mountpoint: PathBuf,
    /// What is mounted, if it can change.
    repo: Option<Arc<Repo>>,
}

impl Ending {
    /// Takes the mount away when a signal comes.
    fn on_signals(&self, mut signals: Signals) {
        for signal in signals.forever() {
            log::info!("signal {signal}: taking {} away", self.mountpoint.display());
            self.unmount();
        }
    }

    fn unmount(&self) {
        match self.unmounter.unmount_or_detach() {
            Ok(Unmounted::Clean) => {}
            Ok(Unmounted::Detached) => {
                log::warn!("{} is in use; who uses it may finish", self.mountpoint.display());
                thread::sleep(USERS_WAIT);
                // This thread is gone by now if they did.
                leave(self.repo.as_deref());
            }
            Err(error) => log::error!("{error}"),
        }
    }
}

/// Ends this process, with everything on the disk that anybody was told is done.
fn leave(repo: Option<&Repo>) -> ! {
    let Some(repo) = repo else { std::process::exit(0) };
    for _ in 0..LEAVE_TRIES_MAX {
        if let Err(error) = repo.close() {
            log::error!("{error}");
            std::process::exit(1);
        }
        repo.look(|tree| {
            // Nobody can change it while it is looked at.
            if !tree.is_dirty() {
                log::info!("left while the mount was in use");
                std::process::exit(0);
            }
        });
    }
    // The journal has it.
    log::warn!("left while the mount was written to: the next mount recovers the last of it");
    std::process::exit(0)
}

/// Leaves the terminal for good, and tells the one who waits.
fn report_ready(log: &LogGate, store: &Path) -> io::Result<()> {
    let null = File::options().write(true).open("/dev/null")?;
    if let Err(error) = log.open(store) {
        log::error!("the log cannot be opened: {error}");
        rustix::stdio::dup2_stderr(&null)?;
    }
    let mut stdout = io::stdout();
    stdout.write_all(READY.as_bytes())?;
    stdout.flush()?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(())
}
