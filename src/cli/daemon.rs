//! Talks to the process that serves a mount, through the files in its `.vst`.
//!
//! The answer to what was written is read from the same handle; after a failed write it is the
//! reason, in words.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::XattrFlags;
use rustix::io::Errno;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::changes::ChangeLine;
use super::error::CliError;
use super::gc::{JsonCollected, JsonProgress};
use super::mountinfo::{MountEntry, is_dead};
use super::paths::parse_path;
use crate::base::limits::{PROVENANCE_HEADS_MAX, WRITE_BYTES_MAX};
use crate::model::{CommitId, ObjectId, RootId};
use crate::repo::{ConfigRequest, GcRequest, TagRequest};
use crate::vfs::deeds::{JsonDeed, JsonTagged, JsonUndone};

const COMMIT_XATTR: &str = "user.vst.commit";
const CHANGES_BY_XATTR: &str = "user.vst.changes-by";
/// Answers are a line or two; longer ones are not looked at to the end.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The process that serves a mount.
#[derive(Debug)]
pub(super) struct Daemon {
    mountpoint: PathBuf,
}

/// What tells a mount from others at the same place.
#[derive(Debug)]
pub(super) struct Incarnation {
    /// The kernel gives each mount a number of its own.
    device: u64,
}

/// What a restore did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Restored {
    /// The commit that keeps what would have been lost, if anything would.
    pub(super) saved: Option<CommitId>,
    /// How many paths became what they were.
    pub(super) paths: u64,
}

impl Daemon {
    /// Talks through a mount, whose control files can be seen there.
    pub(super) fn new(mount: &MountEntry) -> Self {
        Self { mountpoint: mount.mountpoint.clone() }
    }

    /// Where the tree is.
    pub(super) fn mountpoint(&self) -> &Path {
        &self.mountpoint
    }

    /// Makes everything durable that was done in the tree before.
    pub(super) fn sync(&self) -> Result<(), CliError> {
        let synced = File::open(&self.mountpoint).and_then(|top| top.sync_all());
        synced.map_err(|error| self.failure("syncing", error))
    }

    /// The commit that the tree stands on.
    pub(super) fn head(&self) -> Result<Option<CommitId>, CliError> {
        let path = self.control("head");
        let text = std::fs::read_to_string(&path).map_err(|e| self.failure("asking", e))?;
        match text.trim_end() {
            "" => Ok(None),
            id => id.parse().map(Some).map_err(|_| CliError::Answer { path, answer: text }),
        }
    }

    /// The commit that was made last, if any was. It may not be in the store yet: then
    /// [`head`](Self::head) brings it there. That is one system call, and costs the mount next to
    /// nothing.
    pub(super) fn newest(&self) -> Result<Option<CommitId>, CliError> {
        let mut value = [0; ObjectId::HEX_DIGITS];
        match rustix::fs::getxattr(&self.mountpoint, COMMIT_XATTR, &mut value[..]) {
            Ok(len) => {
                let text = String::from_utf8_lossy(&value[..len]).into_owned();
                let path = self.mountpoint.clone();
                text.parse().map(Some).map_err(|_| CliError::Answer { path, answer: text })
            }
            Err(Errno::NODATA) => Ok(None),
            Err(errno) => Err(self.failure("asking", errno.into())),
        }
    }

    /// The blocks that tell who changed what since the head, all of which the store has then.
    pub(super) fn changes_by(&self) -> Result<Vec<ObjectId>, CliError> {
        let mut value = [0; PROVENANCE_HEADS_MAX * (ObjectId::HEX_DIGITS + 1)];
        match rustix::fs::getxattr(&self.mountpoint, CHANGES_BY_XATTR, &mut value[..]) {
            Ok(len) => {
                let text = String::from_utf8_lossy(&value[..len]).into_owned();
                let path = self.mountpoint.clone();
                let ids = text.split_whitespace().map(str::parse).collect::<Result<_, _>>();
                ids.map_err(|_| CliError::Answer { path, answer: text })
            }
            Err(Errno::NODATA) => Ok(Vec::new()),
            Err(errno) => Err(self.failure("asking", errno.into())),
        }
    }

    /// What tells this mount from another one, or none, at the same place.
    pub(super) fn incarnation(&self) -> Result<Incarnation, CliError> {
        let found = std::fs::metadata(&self.mountpoint).map_err(|e| self.failure("asking", e))?;
        Ok(Incarnation { device: found.dev() })
    }

    /// Tells whether the mount is still there.
    pub(super) fn is_still(&self, mount: &Incarnation) -> Result<bool, CliError> {
        match std::fs::metadata(&self.mountpoint) {
            Ok(found) => Ok(found.dev() == mount.device),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.failure("asking", error)),
        }
    }

    /// The root of the tree as it is now, all of which the store has then.
    pub(super) fn root(&self) -> Result<RootId, CliError> {
        let path = self.control("root");
        let text = std::fs::read_to_string(&path).map_err(|e| self.failure("asking", e))?;
        let id = text.trim_end().parse().map(RootId::new);
        id.map_err(|_| CliError::Answer { path, answer: text })
    }

    /// Commits, and returns the id of the commit, or of the head if nothing changed.
    pub(super) fn commit(&self, message: &str, durable: bool) -> Result<CommitId, CliError> {
        let path = self.control("commit");
        let mut file = self.open(&path)?;
        self.send(&mut file, format!("{message}\n").as_bytes())?;
        if durable {
            file.sync_all().map_err(|error| self.refusal(&file, error))?;
        }
        let answer = self.answer(&file)?;
        answer.trim_end().parse().map_err(|_| CliError::Answer { path, answer })
    }

    /// Commits even if nothing changed, and returns the new head.
    pub(super) fn commit_always(&self, message: &str, durable: bool) -> Result<CommitId, CliError> {
        let (top, text) = (&self.mountpoint, message.as_bytes());
        rustix::fs::setxattr(top, COMMIT_XATTR, text, XattrFlags::CREATE)
            .map_err(|error| self.failure("committing in", error.into()))?;
        let head = self.head()?;
        if durable {
            let file = self.open(&self.control("commit"))?;
            file.sync_all().map_err(|error| self.refusal(&file, error))?;
        }
        let path = self.control("head");
        head.ok_or(CliError::Answer { path, answer: String::new() })
    }

    /// What changed since the head.
    pub(super) fn status(&self) -> Result<Vec<ChangeLine>, CliError> {
        let path = self.control("status");
        let text = std::fs::read_to_string(&path).map_err(|e| self.failure("asking", e))?;
        let parse = |line: &str| {
            ChangeLine::parse(line)
                .ok_or_else(|| CliError::Answer { path: path.clone(), answer: line.to_owned() })
        };
        text.lines().map(parse).collect()
    }

    /// The paths that are ignored; those of directories have a `/` at their ends.
    pub(super) fn ignored(&self) -> Result<Vec<Vec<u8>>, CliError> {
        let path = self.control("ignored");
        let text = std::fs::read_to_string(&path).map_err(|e| self.failure("asking", e))?;
        let parse = |line: &str| {
            parse_path(line)
                .ok_or_else(|| CliError::Answer { path: path.clone(), answer: line.to_owned() })
        };
        text.lines().map(parse).collect()
    }

    /// Makes paths, or without any the whole tree, what they were in a commit.
    pub(super) fn restore(
        &self,
        commit: &CommitId,
        paths: &[Vec<u8>],
    ) -> Result<Restored, CliError> {
        let control = self.control("restore");
        let mut request = commit.to_string().into_bytes();
        if !paths.is_empty() {
            request.push(b':');
            request.extend_from_slice(&paths.join(&0));
        }
        request.push(b'\n');
        // The kernel would cut it in pieces, each of which would be a request.
        if request.len() > WRITE_BYTES_MAX as usize {
            return Err(CliError::TooManyPaths);
        }
        let mut file = self.open(&control)?;
        self.send(&mut file, &request)?;
        let answer = self.answer(&file)?;
        parse_restored(&answer).ok_or(CliError::Answer { path: control, answer })
    }

    /// Takes back the last commit or restore.
    pub(super) fn undo(&self) -> Result<JsonUndone, CliError> {
        self.ask_json("undo", "\n")
    }

    /// Changes a tag.
    pub(super) fn tag(&self, request: &TagRequest) -> Result<JsonTagged, CliError> {
        self.ask_json("tag", &format!("{request}\n"))
    }

    /// The operation log, newest first.
    pub(super) fn deeds(&self) -> Result<Vec<JsonDeed>, CliError> {
        let path = self.control("op-log");
        let text = std::fs::read_to_string(&path).map_err(|e| self.failure("asking", e))?;
        let parse = |line: &str| {
            serde_json::from_str(line)
                .map_err(|_| CliError::Answer { path: path.clone(), answer: line.to_owned() })
        };
        text.lines().map(parse).collect()
    }

    /// What `.vst/stats` tells.
    pub(super) fn stats(&self) -> Result<serde_json::Value, CliError> {
        let path = self.control("stats");
        let text = std::fs::read_to_string(&path).map_err(|e| self.failure("asking", e))?;
        serde_json::from_str(&text).map_err(|_| CliError::Answer { path, answer: text })
    }

    /// Sends a request whose answer is a line of JSON.
    fn ask_json<T: DeserializeOwned>(&self, name: &str, request: &str) -> Result<T, CliError> {
        let path = self.control(name);
        let mut file = self.open(&path)?;
        self.send(&mut file, request.as_bytes())?;
        let answer = self.answer(&file)?;
        serde_json::from_str(&answer).map_err(|_| CliError::Answer { path, answer })
    }

    /// Sets what `vst config` sets.
    pub(super) fn configure(&self, request: &ConfigRequest) -> Result<(), CliError> {
        let mut file = self.open(&self.control("config"))?;
        self.send(&mut file, format!("{request}\n").as_bytes())
    }

    /// Begins a collection of garbage.
    pub(super) fn ask_gc(&self, request: &GcRequest) -> Result<Asked<'_>, CliError> {
        let path = self.control("gc");
        let mut file = self.open(&path)?;
        self.send(&mut file, format!("{request}\n").as_bytes())?;
        Ok(Asked { daemon: self, path, file })
    }

    /// The error for one who wants to change what this process serves read-only.
    pub(super) fn read_only(&self) -> CliError {
        CliError::ReadOnlyMount { mountpoint: self.mountpoint.clone() }
    }

    fn control(&self, name: &str) -> PathBuf {
        self.mountpoint.join(".vst").join(name)
    }

    fn open(&self, path: &Path) -> Result<File, CliError> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        file.map_err(|error| self.failure("opening", error))
    }

    /// Sends a request, in one piece.
    fn send(&self, file: &mut File, request: &[u8]) -> Result<(), CliError> {
        match file.write(request) {
            Ok(sent) if sent == request.len() => Ok(()),
            Ok(_) => Err(self.refusal(file, io::ErrorKind::WriteZero.into())),
            Err(error) => Err(self.refusal(file, error)),
        }
    }

    /// What the process says to the request that was made through this handle.
    fn answer(&self, file: &File) -> Result<String, CliError> {
        let bytes = read_answer(file).map_err(|error| self.failure("asking", error))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The error of a request, in the words of the process if it has any.
    fn refusal(&self, file: &File, error: io::Error) -> CliError {
        let text = read_answer(file).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        match text.trim_end().strip_prefix("error: ") {
            Some(reason) => CliError::Refused(reason.to_owned()),
            None => self.failure("asking", error),
        }
    }

    /// The error of a call that the process, or the kernel in its place, did not answer well.
    fn failure(&self, what: &str, error: io::Error) -> CliError {
        let mountpoint = self.mountpoint.clone();
        match Errno::from_io_error(&error) {
            Some(errno) if is_dead(errno) => CliError::DeadMount { mountpoint },
            Some(Errno::ROFS) => CliError::ReadOnlyMount { mountpoint },
            Some(Errno::ACCESS | Errno::PERM) => CliError::NotYourMount { mountpoint },
            _ => CliError::io(format!("{what} the mount {}", mountpoint.display()), error),
        }
    }
}

/// A collection that was asked for.
pub(super) struct Asked<'a> {
    daemon: &'a Daemon,
    path: PathBuf,
    file: File,
}

/// How it stands.
#[derive(Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
enum GcState {
    Running {
        #[serde(flatten)]
        progress: JsonProgress,
    },
    Failed {
        error: String,
    },
    Done(JsonCollected),
}

impl Asked<'_> {
    /// What was done, once it has ended; until then, how far it is.
    pub(super) fn ended(&self) -> Result<Result<JsonCollected, JsonProgress>, CliError> {
        let answer = self.daemon.answer(&self.file)?;
        // It may have changed while it was read, and then the rest of it is of another line.
        match serde_json::from_str(answer.lines().next().unwrap_or_default()) {
            Ok(GcState::Running { progress }) => Ok(Err(progress)),
            Ok(GcState::Failed { error }) => Err(CliError::Refused(error)),
            Ok(GcState::Done(collected)) => Ok(Ok(collected)),
            Err(_) => Err(CliError::Answer { path: self.path.clone(), answer }),
        }
    }
}

fn read_answer(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; ANSWER_BYTES_MAX];
    let mut len = 0;
    while len < bytes.len() {
        match file.read_at(&mut bytes[len..], len as u64)? {
            0 => break,
            n => len += n,
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

/// Reads `saved <id>`, if that comes first, and `restored <n> paths`.
fn parse_restored(answer: &str) -> Option<Restored> {
    let mut restored = None;
    let mut saved = None;
    for line in answer.lines() {
        let mut words = line.split_whitespace();
        match words.next()? {
            "saved" => saved = Some(words.next()?.parse().ok()?),
            "restored" => restored = Some(words.next()?.parse().ok()?),
            _ => return None,
        }
    }
    Some(Restored { saved, paths: restored? })
}

#[cfg(test)]
mod tests {
    use super::{Restored, parse_restored};

    #[test]
    fn the_answer_to_a_restore_is_understood() {
        let id = "ab".repeat(32);
        assert_eq!(
            parse_restored(&format!("saved {id}\nrestored 3 paths\n")),
            Some(Restored { saved: id.parse().ok(), paths: 3 })
        );
        assert_eq!(parse_restored("restored 1 path\n"), Some(Restored { saved: None, paths: 1 }));
        for bad in ["", "saved x\nrestored 1 paths", "restored", "done", &format!("saved {id}")] {
            assert_eq!(parse_restored(bad), None, "{bad}");
        }
    }
}
