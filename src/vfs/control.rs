//! `.vst`: files that one asks the filesystem through.
//!
//! What a file answers is made when it is opened, and again by a write to it: then the same
//! handle reads what came of the write.

use std::sync::Arc;

use parking_lot::Mutex;
use rustix::io::Errno;

use super::deeds::{JsonDeed, JsonTagged, JsonUndone, json_line};
use super::text::{format_time, quote_path};
use super::types::{Answer, of_repo};
use super::{Attr, Caller, DirRow, EntryOut, LookupOut, Ttl, Vfs};
use crate::base::haste;
use crate::base::limits::{DEEDS_MAX, LOG_LINES_MAX};
use crate::model::{CommitId, Config, ConfigKey, FileKind, Ino, Meta};
use crate::repo::{CommitRequest, GcRequest, RepoError, RestoreRequest, TagRequest};
use crate::worktree::{Change, ChangeKind, IgnoredPath};

/// The name of the directory in the root of the mount.
pub(super) const NAME: &[u8] = b".vst";

/// Tells whether a name in the top directory stands for something that is in no tree.
pub fn is_reserved(name: &[u8]) -> bool {
    matches!(name, NAME | super::snapshots::NAME)
}

/// Marks the inode numbers of control files.
pub(super) const INO_BIT: u64 = 1 << 62;
const INO: u64 = INO_BIT;

/// A control file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    Commit,
    Config,
    Head,
    Status,
    Log,
    Stats,
    Restore,
    Gc,
    Root,
    OpLog,
    Tag,
    Undo,
    Ignored,
}

const FILES: [(Control, &str); 13] = [
    (Control::Commit, "commit"),
    (Control::Config, "config"),
    (Control::Gc, "gc"),
    (Control::Head, "head"),
    (Control::Ignored, "ignored"),
    (Control::Log, "log"),
    (Control::OpLog, "op-log"),
    (Control::Restore, "restore"),
    (Control::Root, "root"),
    (Control::Stats, "stats"),
    (Control::Status, "status"),
    (Control::Tag, "tag"),
    (Control::Undo, "undo"),
];

/// An open control file and what it answers.
pub(super) struct ControlFile {
    control: Control,
    answer: Arc<Mutex<Vec<u8>>>,
}

fn ino_of(control: Control) -> u64 {
    INO + 1 + control as u64
}

fn of_ino(ino: u64) -> Option<Control> {
    FILES.iter().map(|(control, _)| *control).find(|control| ino_of(*control) == ino)
}

impl Vfs {
    pub(super) fn control_attr(&self, ino: u64) -> Answer<EntryOut> {
        let directory = ino == INO;
        if !directory && of_ino(ino).is_none() {
            return Err(Errno::STALE);
        }
        let time = self.newest().map_or(self.mounted, |record| record.time);
        let (uid, gid) = self.owner;
        let (kind, perm) = match directory {
            true => (FileKind::Directory, 0o700),
            false => (FileKind::Regular, 0o600),
        };
        let meta = Meta { kind, perm, uid, gid, rdev: 0, mtime: time };
        let nlink = if directory { 2 } else { 1 };
        let attr =
            Attr { ino, meta, size: 0, blocks: 0, nlink, ctime: time, atime: time, born: None };
        Ok(EntryOut { attr, ttl: Ttl::Never })
    }

    pub(super) fn control_top(&self) -> Answer<EntryOut> {
        self.control_attr(INO)
    }

    pub(super) fn control_lookup(&self, parent: u64, name: &[u8]) -> Answer<LookupOut> {
        if parent != INO {
            return Err(Errno::NOTDIR);
        }
        match FILES.iter().find(|(_, n)| n.as_bytes() == name) {
            Some((control, _)) => Ok(LookupOut::Found(self.control_attr(ino_of(*control))?)),
            None => Err(Errno::NOENT),
        }
    }

    pub(super) fn control_readdir(
        &self,
        from: u64,
        row: &mut dyn FnMut(DirRow<'_>) -> bool,
    ) -> Answer<()> {
        let dots = [(".", INO, FileKind::Directory), ("..", Ino::ROOT.0, FileKind::Directory)];
        let files = FILES.iter().map(|(c, name)| (*name, ino_of(*c), FileKind::Regular));
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        for (at, (name, ino, kind)) in dots.into_iter().chain(files).enumerate().skip(from) {
            let entry = match kind {
                FileKind::Regular => Some(self.control_attr(ino)?),
                _ => None,
            };
            if !row(DirRow { ino, kind, name: name.as_bytes(), next: at as u64 + 1, entry }) {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn control_open(&self, ino: u64, reads: bool) -> Answer<ControlFile> {
        let control = of_ino(ino).ok_or(Errno::ISDIR)?;
        if reads && haste::would_wait() {
            return Err(Errno::AGAIN);
        }
        // Answers can be dear, so one who only writes gets none.
        let answer =
            if reads { self.answer(control).map_err(|e| of_repo(&e))? } else { Vec::new() };
        Ok(ControlFile { control, answer: Arc::new(Mutex::new(answer)) })
    }

    pub(super) fn control_read(
        &self,
        file: &ControlFile,
        offset: u64,
        len: usize,
        buf: &mut Vec<u8>,
    ) {
        if let (Control::Gc, 0, Some(repo)) = (file.control, offset, self.live.as_deref()) {
            self.collector.refresh(repo, &file.answer);
        }
        buf.clear();
        let answer = file.answer.lock();
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(answer.len());
        let to = from.saturating_add(len).min(answer.len());
        buf.extend_from_slice(&answer[from..to]);
    }

    /// Does what a write to a control file asks for, so that the very write fails if it fails.
    /// What came of it, or went wrong, is what the handle reads next.
    pub(super) fn control_write(
        &self,
        caller: Caller,
        file: &ControlFile,
        data: &[u8],
    ) -> Answer<()> {
        // A commit tells by itself whether it would wait.
        if file.control != Control::Commit && haste::would_wait() {
            return Err(Errno::AGAIN);
        }
        let text = std::str::from_utf8(data).map_err(|_| Errno::ILSEQ)?;
        let done = match file.control {
            Control::Commit => self.commit(text).map(|id| format!("{id}\n")),
            Control::Restore => self.restore(caller, text),
            Control::Gc => return self.begin_gc(text, &file.answer),
            Control::Config => self.configure(text),
            Control::Tag => self.tag(text),
            Control::Undo => self.undo(caller),
            _ => return Err(Errno::ACCESS),
        };
        let done = done.map(|answer| *file.answer.lock() = answer.into_bytes());
        done.map_err(|error| refuse(&file.answer, &error))
    }

    /// Begins a collection. The handle reads how it stands, and then what came of it.
    fn begin_gc(&self, text: &str, answer: &Arc<Mutex<Vec<u8>>>) -> Answer<()> {
        let request = text.parse::<GcRequest>().map_err(RepoError::from);
        let repo = self.live.as_ref().ok_or_else(|| self.read_only());
        let begun = repo.and_then(|repo| self.collector.begin(repo, request?, answer));
        begun.map_err(|error| refuse(answer, &error))
    }

    /// What `touch` does to a control file.
    pub(super) fn control_touch(&self, ino: u64) -> Answer<()> {
        match of_ino(ino) {
            Some(Control::Commit) => self.commit("").map(drop).map_err(|e| of_repo(&e)),
            Some(_) => Ok(()),
            None => Err(Errno::PERM),
        }
    }

    pub(super) fn control_fsync(&self, file: &ControlFile) -> Answer<()> {
        match file.control {
            Control::Commit => self.live_fsync(),
            _ => Ok(()),
        }
    }

    pub(super) fn commit(&self, message: &str) -> Result<CommitId, RepoError> {
        self.commit_as(message, false)
    }

    pub(super) fn commit_as(
        &self,
        message: &str,
        allow_empty: bool,
    ) -> Result<CommitId, RepoError> {
        let Some(repo) = self.live.as_deref() else { return Err(self.read_only()) };
        let message = message.strip_suffix('\n').unwrap_or(message).to_owned();
        repo.commit(&CommitRequest { message, allow_empty, ..CommitRequest::default() })
    }

    fn restore(&self, caller: Caller, text: &str) -> Result<String, RepoError> {
        let Some(repo) = self.live.as_deref() else { return Err(self.read_only()) };
        let request = RestoreRequest::parse(text.strip_suffix('\n').unwrap_or(text));
        let restored = repo.restore_by(Some(&caller.writer()), &request)?;
        self.announce(&restored.touched);
        let saved = restored.saved.map(|id| format!("saved {id}\n")).unwrap_or_default();
        Ok(format!("{saved}restored {} paths\n", restored.paths))
    }

    fn undo(&self, caller: Caller) -> Result<String, RepoError> {
        let Some(repo) = self.live.as_deref() else { return Err(self.read_only()) };
        let undone = repo.undo_by(Some(&caller.writer()))?;
        self.announce(&undone.restored.touched);
        Ok(json_line(&JsonUndone::new(&undone)))
    }

    /// Names in `.snapshots` are never remembered, so the kernel need not be told.
    fn tag(&self, text: &str) -> Result<String, RepoError> {
        let Some(repo) = self.live.as_deref() else { return Err(self.read_only()) };
        let request = text.parse::<TagRequest>()?;
        let tagged = repo.tag(&request)?;
        Ok(json_line(&JsonTagged::new(&request.name, &tagged)))
    }

    /// Sets a key. What is answered is all that is set then.
    fn configure(&self, text: &str) -> Result<String, RepoError> {
        let Some(repo) = self.live.as_deref() else { return Err(self.read_only()) };
        Ok(config_lines(repo.configure(&text.parse()?)?))
    }

    fn read_only(&self) -> RepoError {
        let path = self.history.store().path().to_owned();
        crate::store::StoreError::ReadOnly { path }.into()
    }

    fn answer(&self, control: Control) -> Result<Vec<u8>, RepoError> {
        let id =
            |id: Option<CommitId>| id.map(|id| format!("{id}\n")).unwrap_or_default().into_bytes();
        Ok(match control {
            Control::Commit => id(self.history()?.newest().map(|record| record.id)),
            // Whoever reads it looks into the store with it, in another process perhaps.
            Control::Head => {
                let head = id(self.head());
                self.history()?;
                head
            }
            Control::Status => match self.live.as_deref() {
                Some(repo) => {
                    repo.status()?.iter().flat_map(|c| status_line(c).into_bytes()).collect()
                }
                None => Vec::new(),
            },
            Control::Config => config_lines(self.history.store().config()?).into_bytes(),
            Control::Ignored => match self.live.as_deref() {
                Some(repo) => {
                    repo.ignored()?.iter().flat_map(|i| ignored_line(i).into_bytes()).collect()
                }
                None => Vec::new(),
            },
            Control::Log => self.log()?.into_bytes(),
            Control::Stats => self.stats().into_bytes(),
            Control::Gc => match self.live.as_deref() {
                Some(repo) => self.collector.answer(repo),
                None => Vec::new(),
            },
            // The same.
            Control::Root => match self.live.as_deref() {
                Some(repo) => format!("{}\n", repo.store_root()?).into_bytes(),
                None => Vec::new(),
            },
            Control::OpLog => self.op_log()?.into_bytes(),
            Control::Tag => self.tags()?.into_bytes(),
            Control::Restore | Control::Undo => Vec::new(),
        })
    }

    /// One line of JSON a deed, newest first.
    fn op_log(&self) -> Result<String, RepoError> {
        // Whoever reads it looks for the commits of which it tells.
        let history = self.history()?;
        let deeds = match self.live.as_deref() {
            Some(repo) => repo.deeds(DEEDS_MAX)?,
            None => history.deeds(DEEDS_MAX)?,
        };
        Ok(deeds.iter().map(|(number, deed)| json_line(&JsonDeed::new(*number, deed))).collect())
    }

    /// One line a tag: its name and the commit.
    fn tags(&self) -> Result<String, RepoError> {
        let history = self.history()?;
        let mut text = String::new();
        for name in history.tags()? {
            if let Some(id) = history.tag(&name)? {
                text += &format!("{name} {id}\n");
            }
        }
        Ok(text)
    }

    /// One line a commit: its id, its time and the first line of its message.
    fn log(&self) -> Result<String, RepoError> {
        let mut text = String::new();
        let Some(head) = self.head() else { return Ok(text) };
        for entry in self.history()?.log(head, LOG_LINES_MAX)? {
            let subject = entry.commit.message.lines().next().unwrap_or_default();
            text += &format!("{} {} {subject}\n", entry.id, format_time(entry.commit.time));
        }
        Ok(text)
    }
}

/// Leaves the reason for a failure to be read.
fn refuse(answer: &Mutex<Vec<u8>>, error: &RepoError) -> Errno {
    *answer.lock() = format!("error: {error}\n").into_bytes();
    of_repo(error)
}

/// A key and its value a line, as they are written to set them.
fn config_lines(config: Config) -> String {
    ConfigKey::ALL.map(|key| format!("{key} {}\n", config.get(key))).concat()
}

/// One ignored path as a line.
fn ignored_line(path: &IgnoredPath) -> String {
    format!("{}\n", quote_path(&path.shown()))
}

/// One changed path as a line.
fn status_line(change: &Change) -> String {
    let path = quote_path(&change.path);
    match &change.kind {
        ChangeKind::Renamed { from, .. } => {
            format!("{} {} -> {path}\n", change.kind.mark(), quote_path(from))
        }
        kind => format!("{} {path}\n", kind.mark()),
    }
}
