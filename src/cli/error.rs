//! What can go wrong with a command, in words for the one who typed it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::paths::shell;
use super::units::count_text;
use super::usage::USAGE_EXIT_CODE;
use crate::base::proposal;
use crate::model::ObjectError;
use crate::repo::{RepoError, RevisionError};
use crate::store::StoreError;

/// Why a command failed. Each text is a single line that also says what to do, where that is not
/// plain.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// The store or what is in it.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// The arguments contradict each other.
    #[error("mount and umount do not take --store; see `vst mount --help`")]
    StoreOptionNotTaken,
    /// There is no store at the current directory, and none was named.
    #[error(
        "{} is not in a mounted tree: go into one{}, name one with `-C DIR`, or name a store with \
         `--store STORE`", directory.display(), mounted_text(mounts)
    )]
    NoStore {
        /// The current directory.
        directory: PathBuf,
        /// Where this program has mounted something.
        mounts: Vec<PathBuf>,
    },
    /// There is nothing where the store should be.
    #[error("there is no store {}: `vst mount {} DIR` makes one", .0.display(), shell(.0))]
    MissingStore(PathBuf),
    /// A mount is there, but the process behind it is not.
    #[error(
        "the process that served the mount {} is gone: `vst umount {}`, then mount it again",
        mountpoint.display(), shell(mountpoint)
    )]
    DeadMount {
        /// Where it is mounted.
        mountpoint: PathBuf,
    },
    /// Something was asked for that only a mount can do.
    #[error(
        "{} is not mounted where it can be changed, so there is nothing to follow: `vst mount {} DIR` \
         mounts it", .0.display(), shell(.0)
    )]
    NotMounted(PathBuf),
    /// A mount, or what it shows, cannot be changed.
    #[error(
        "{} is mounted read-only: mount the store without --read-only and --rev to change it",
        mountpoint.display()
    )]
    ReadOnlyMount {
        /// Where it is mounted.
        mountpoint: PathBuf,
    },
    /// The mount belongs to somebody else.
    #[error("{}: only the user who mounted it, and root, may do this", mountpoint.display())]
    NotYourMount {
        /// Where it is mounted.
        mountpoint: PathBuf,
    },
    /// The process behind a mount refused, and told why.
    #[error("{0}")]
    Refused(String),
    /// The process behind a mount said what this program does not understand.
    #[error(
        "{} answered {answer:?}: it seems to run another version of vst; unmount it and mount it \
         again", path.display()
    )]
    Answer {
        /// The file that answered.
        path: PathBuf,
        /// What it said.
        answer: String,
    },
    /// A path argument leads out of the tree.
    #[error("{path} is outside of the tree of {}{}", store.display(), seen_at(mountpoint.as_deref()))]
    OutsideTree {
        /// The argument.
        path: String,
        /// The store.
        store: PathBuf,
        /// Where the tree is seen, if it is.
        mountpoint: Option<PathBuf>,
    },
    /// A commit has nothing at a path.
    #[error("{path} is not in commit {commit}{advice}")]
    NoPath {
        /// The path.
        path: String,
        /// The commit, in short.
        commit: String,
        /// What there is instead.
        advice: String,
    },
    /// Several commits begin with these digits.
    #[error(
        "{text:?} is the beginning of several commits, of which more digits tell one: {candidates}"
    )]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// Some of them: ids, times and messages.
        candidates: String,
    },
    /// Paths that do not fit in one request.
    #[error("these are too many paths for one restore: name a directory above them, or fewer")]
    TooManyPaths,
    /// A path argument is empty: perhaps a variable of a script that was not set.
    #[error("an empty path names nothing; `.` is the current directory")]
    EmptyPath,
    /// A revision has bytes that no name of a commit can have.
    #[error("{0} is no revision: it is not UTF-8")]
    RevisionText(String),
    /// A path was given where only a revision can stand.
    #[error(
        "show takes a revision without a path: `vst cat {0}` prints a file, `vst ls {0}` lists"
    )]
    ShowTakesNoPath(String),
    /// Paths come as arguments of their own.
    #[error("restore takes paths behind the revision: `vst restore {revision} {path}`")]
    RestoreTakesPaths {
        /// The revision.
        revision: String,
        /// The path that was tied to it.
        path: String,
    },
    /// All of a commit is exported.
    #[error(
        "export takes a whole commit; `vst restore {revision} {path} --to DIR` writes a part of it"
    )]
    ExportTakesNoPath {
        /// The revision.
        revision: String,
        /// The path that was tied to it.
        path: String,
    },
    /// Paths come behind two dashes.
    #[error("diff takes revisions, and paths behind `--`: `vst diff {revision} -- {path}`")]
    DiffTakesPaths {
        /// The revision.
        revision: String,
        /// The path that was tied to it.
        path: String,
    },
    /// What stands where a revision should is none, and there is such a path.
    #[error(
        "no commit is called {path:?}; paths come behind `--`: `vst diff -- {}`",
        shell(path.as_ref())
    )]
    PathAsRevision {
        /// The path.
        path: String,
    },
    /// A path that is to be compared is in neither of two trees.
    #[error("there is no {path} in {old} and none in {new}{advice}")]
    PathInNeither {
        /// The path.
        path: String,
        /// What the first tree is.
        old: String,
        /// What the second tree is.
        new: String,
        /// What is near it.
        advice: String,
    },
    /// A path was needed.
    #[error("{0:?} names a whole commit: write `{0}:PATH` for a file in it")]
    CatNeedsPath(String),
    /// A path leads to something that has no bytes to print.
    #[error("{path} is {what}; {advice}")]
    NoFile {
        /// The path, with the revision.
        path: String,
        /// What it is.
        what: &'static str,
        /// What to do instead.
        advice: String,
    },
    /// Something could not be written, and has been told.
    #[error("{0} could not be written, as told above; all the rest is there")]
    LeftOut(String),
    /// There is a file where one shall be made.
    #[error("{} exists: `--force` replaces it", .0.display())]
    ExportExists(PathBuf),
    /// The whole history goes to one place.
    #[error("export --git takes no revision: `vst export --git FILE`, or `--since REV`")]
    ExportGitTakesFile,
    /// What was exported before is not a part of what is to be exported.
    #[error("HEAD does not come from {0}: name one of its ancestors, or export everything")]
    ExportSinceNoAncestor(String),
    /// A branch begins before what was exported before.
    #[error("a commit follows {0}, which comes before --since: export everything")]
    ExportSinceBranch(String),
    /// What goes to stdout is the export itself.
    #[error("export cannot print JSON amid what it writes to stdout: name a file")]
    ExportJsonToStdout,
    /// What is to be imported is no directory.
    #[error("{} is no directory; import copies what is in one", .0.display())]
    ImportSource(PathBuf),
    /// The files of an import would come among others.
    #[error(
        "{path} is not empty: `--into PATH` puts the files elsewhere, and `--merge` among those that \
         are there, replacing what has the same name"
    )]
    ImportExists {
        /// Where they would come.
        path: String,
    },
    /// A tree would be copied into itself.
    #[error("{} is in {}, which is to be imported: that would have no end", inner.display(), outer.display())]
    ImportOfItself {
        /// Where files are written.
        inner: PathBuf,
        /// Where they are read.
        outer: PathBuf,
    },
    /// What git tells cannot be understood.
    #[error(transparent)]
    GitStream(#[from] super::import::StreamError),
    /// The program has said why.
    #[error("git did not tell the history of {}", .0.display())]
    Git(PathBuf),
    /// The history of git refers to what it has not told.
    #[error("git refers to what it has not told: {0}")]
    ImportGitUnknown(String),
    /// A history takes the place of what is in the tree.
    #[error(
        "a history can only be imported while the store is not mounted: unmount it, or name a new \
         one with `--store STORE`, which is then made"
    )]
    ImportGitMounted,
    /// There is a history already.
    #[error(
        "a history can only be imported into a store that has nothing in it: name a new one with \
         `--store STORE`, which is then made"
    )]
    ImportGitNotEmpty,
    /// Some files were not imported, or not whole, and that has been told.
    #[error("{} could not be imported as it should be; all else was", count_text(*.0, "thing"))]
    ImportIncomplete(u64),
    /// Damage was found, and has been told.
    #[error("the store is damaged")]
    Damaged,
    /// What is mounted must not change below the mount.
    #[error(
        "the store is mounted on {}: `vst umount {}`, then repair it", mountpoint.display(),
        shell(mountpoint)
    )]
    RepairOfMounted {
        /// Where it is mounted.
        mountpoint: PathBuf,
    },
    /// A mount cannot be made.
    #[error(transparent)]
    Mount(#[from] super::mount::MountRefusal),
    /// A mount cannot be taken away.
    #[error(transparent)]
    Umount(#[from] super::umount::UmountRefusal),
    /// There is neither such a command nor such a topic.
    #[error(
        "there is no help on {text:?}{}; `vst help` lists all commands and topics",
        proposal(nearest)
    )]
    NoHelp {
        /// What was asked for.
        text: String,
        /// What comes near it.
        nearest: Vec<String>,
    },
    /// A call of the system failed.
    #[error("{context}: {}", reason(source))]
    Io {
        /// What was being done, with the path.
        context: String,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody reads the output any more, or it cannot be written.
    #[error("writing the output: {}", reason(.0))]
    Output(#[from] io::Error),
    /// Another process, which has already said what is wrong, failed with this exit code.
    #[error("failed")]
    Reported(u8),
}

impl CliError {
    /// An error of the system.
    pub(super) fn io(context: impl Into<String>, source: io::Error) -> Self {
        Self::Io { context: context.into(), source }
    }

    /// Prints the error, unless it is none for the user, and returns the exit code.
    pub(super) fn report(&self) -> ExitCode {
        match self {
            // As with any program that writes into a pipe: the reader had enough.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return ExitCode::SUCCESS;
            }
            Self::Reported(code) => return ExitCode::from(*code),
            Self::Damaged => return ExitCode::FAILURE,
            _ => report_line(&self.to_string()),
        }
        match self {
            Self::StoreOptionNotTaken
            | Self::ShowTakesNoPath(_)
            | Self::CatNeedsPath(_)
            | Self::RestoreTakesPaths { .. }
            | Self::ExportTakesNoPath { .. }
            | Self::DiffTakesPaths { .. }
            | Self::PathAsRevision { .. }
            | Self::ExportGitTakesFile
            | Self::ExportJsonToStdout
            | Self::NoHelp { .. }
            | Self::EmptyPath => ExitCode::from(USAGE_EXIT_CODE),
            _ => ExitCode::FAILURE,
        }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        Self::Repo(error.into())
    }
}

impl From<ObjectError> for CliError {
    fn from(error: ObjectError) -> Self {
        Self::Repo(error.into())
    }
}

impl From<RevisionError> for CliError {
    fn from(error: RevisionError) -> Self {
        Self::Repo(error.into())
    }
}

/// How many mounts an error lists.
const MOUNTS_MAX: usize = 3;

/// Some of many paths, for an error.
pub(super) fn named(paths: &[PathBuf]) -> String {
    let shown: Vec<String> = paths.iter().take(MOUNTS_MAX).map(|path| shell(path)).collect();
    match paths.len().saturating_sub(MOUNTS_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Where one could go.
fn mounted_text(mounts: &[PathBuf]) -> String {
    match mounts {
        [] => " (there is none now: `vst mount STORE DIR` makes one)".to_owned(),
        _ => format!(" ({})", named(mounts)),
    }
}

fn seen_at(mountpoint: Option<&Path>) -> String {
    match mountpoint {
        Some(mountpoint) => format!(", which is {}", mountpoint.display()),
        None => ", which is not mounted: name a path from its top".to_owned(),
    }
}

/// What the system said, without its number.
pub(super) fn reason(error: &io::Error) -> String {
    let mut text = error.to_string();
    if let Some(at) = text.find(" (os error") {
        text.truncate(at);
    }
    text
}

/// Prints a line on stderr, whatever is in the text.
pub(super) fn report_line(text: &str) {
    // There is nobody to tell if stderr is closed.
    let _ = io::Write::write_all(&mut io::stderr(), format!("vst: {}\n", flat(text)).as_bytes());
}

/// Replaces what would break a line or steer a terminal.
pub(super) fn flat(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_control() => line.extend(c.escape_default()),
            c => line.push(c),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use std::io;

    use std::path::PathBuf;

    use super::{CliError, flat, mounted_text};

    #[test]
    fn a_text_stays_one_line_that_a_terminal_can_show() {
        assert_eq!(flat("a\nb\x1b[31mé"), "a\\nb\\u{1b}[31mé");
    }

    #[test]
    fn mounts_are_named_as_far_as_they_fit() {
        let text =
            |count| mounted_text(&["/a", "/b c", "/d", "/e", "/f"].map(PathBuf::from)[..count]);
        assert!(text(0).contains("`vst mount STORE DIR`"));
        assert_eq!(text(2), " (/a, '/b c')");
        assert_eq!(text(5), " (/a, '/b c', /d and 2 more)");
    }

    #[test]
    fn an_error_of_the_system_comes_without_its_number() {
        let error = CliError::io("opening /x", io::Error::from_raw_os_error(2));
        assert_eq!(error.to_string(), "opening /x: No such file or directory");
    }
}
