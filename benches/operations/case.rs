//! What is measured.

use std::io;
use std::path::{Path, PathBuf};

/// What all cases are told.
pub(crate) struct World {
    pub(crate) clients: usize,
    pub(crate) placement: String,
    pub(crate) files: usize,
    pub(crate) mib: usize,
    /// Where there is what they need and do not measure.
    pub(crate) scratch: PathBuf,
}

/// A directory, and the name of the filesystem that it is on.
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
}

pub(crate) type Step = fn(&World, &Path) -> io::Result<()>;

/// What a client does, in a directory of its own.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// Something, so many times; each is told its number.
    Each(usize, fn(&Path, usize) -> io::Result<()>),
    /// Something that moves so many bytes.
    Bytes(u64, Step),
    /// Something as a whole.
    Whole(Step),
    /// Something that must be done, and is not measured.
    Untimed(Step),
}

/// Something to measure. Each works on what those before it have left.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: Run,
    /// Done before, and not measured.
    pub(crate) prepare: Option<Step>,
}

impl Case {
    pub(crate) const fn new(name: &'static str, run: Run) -> Self {
        Self { name, run, prepare: None }
    }

    pub(crate) const fn after(mut self, prepare: Step) -> Self {
        self.prepare = Some(prepare);
        self
    }

    pub(crate) fn timed(&self) -> bool {
        !matches!(self.run, Run::Untimed(_))
    }

    /// What its figures are in.
    pub(crate) fn unit(&self) -> &'static str {
        match self.run {
            Run::Each(..) => "µs",
            Run::Bytes(..) => "MiB/s",
            Run::Whole(_) | Run::Untimed(_) => "ms",
        }
    }

    /// Its figure, if all clients together took so long.
    pub(crate) fn figure(&self, secs: f64, clients: usize) -> f64 {
        match self.run {
            Run::Each(count, _) => secs * 1e6 / count as f64,
            Run::Bytes(bytes, _) => bytes as f64 * clients as f64 / (1 << 20) as f64 / secs,
            Run::Whole(_) | Run::Untimed(_) => secs * 1e3,
        }
    }

    pub(crate) fn do_it(&self, world: &World, dir: &Path) -> io::Result<()> {
        match self.run {
            Run::Each(count, step) => (0..count).try_for_each(|n| step(dir, n)),
            Run::Bytes(_, step) | Run::Whole(step) | Run::Untimed(step) => step(world, dir),
        }
    }
}
