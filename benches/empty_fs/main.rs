//! An empty filesystem in memory, mounted with the settings of `vst`: the least that any filesystem
//! of its kind costs.
//!
//! What it does for a request is as little as can be, so that what is left is the kernel, the
//! protocol and the library that speaks it. It keeps what it is given, in tables under one lock,
//! and checks no more than a well-behaved client needs: it is there to be measured against, not to
//! be used. `scripts/bench-fs.sh` mounts it.

mod adapter;
mod tree;

use std::path::PathBuf;
use std::process::ExitCode;

use fuser::{Config, MountOption, Session, SessionACL};
use parking_lot::Mutex;
use vst::fuse::settings;

use adapter::Empty;
use tree::Tree;

// The allocator is the system's: it lets a large file grow without copying it.

const USAGE: &str = "\
usage: empty_fs MOUNTPOINT [--threads N] [--no-open]    serves until it is unmounted
  --threads N   threads that answer requests; 2 unless told
  --no-open     let the kernel open files and close them by itself, which vst does not";

struct Request {
    mountpoint: PathBuf,
    threads: usize,
    no_open: bool,
}

fn main() -> ExitCode {
    // Cargo adds an argument of its own.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if args.is_empty() {
        // A plain `cargo bench` names no directory, which is no failure.
        eprintln!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let Some(request) = request(&args) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match serve(&request) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("empty_fs: {error}");
            ExitCode::FAILURE
        }
    }
}

fn request(args: &[String]) -> Option<Request> {
    let mut request = Request { mountpoint: PathBuf::new(), threads: 2, no_open: false };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--threads" => request.threads = args.next()?.parse().ok()?,
            "--no-open" => request.no_open = true,
            option if option.starts_with('-') => return None,
            path => request.mountpoint = path.into(),
        }
    }
    (!request.mountpoint.as_os_str().is_empty()).then_some(request)
}

fn serve(request: &Request) -> std::io::Result<()> {
    let mut config = Config::default();
    config.acl = SessionACL::Owner;
    config.n_threads = Some(request.threads);
    config.mount_options = vec![
        MountOption::FSName("empty".into()),
        MountOption::Subtype("empty".into()),
        MountOption::DefaultPermissions,
        MountOption::NoAtime,
    ];
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let empty = Empty { tree: Mutex::new(Tree::new(uid, gid)), no_open: request.no_open };
    let session = Session::new(empty, &request.mountpoint, &config)?;
    settings::raise_readahead(&request.mountpoint);
    session.run()
}
