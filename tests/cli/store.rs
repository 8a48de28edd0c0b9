//! A store with a few commits in a directory of its own, and the built binary run on it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vst::model::{FileKind, Ino, Name, NewNode, Op, Timestamp, Writer};
use vst::repo::{CommitRequest, Repo, RepoOptions};

pub(crate) const VST: &str = env!("CARGO_BIN_EXE_vst");

/// How long the child of another test may take to run its command.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// A store that is not mounted.
pub(crate) struct TestStore {
    dir: TempDir,
}

impl TestStore {
    /// Makes a directory in which there is no store yet.
    pub(crate) fn missing() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory") }
    }

    /// Makes a store with three commits by `tester`:
    ///
    /// 1. `first`: the file `file` and the directory `dir` with `inner`, which has every byte
    /// 2. no message: `file` is longer
    /// 3. `third` and two lines more: the symbolic link `link`; `dir` has the name `moved`
    pub(crate) fn with_commits() -> Self {
        let store = Self::missing();
        let repo = store.open();
        let commit = |message: &str| {
            let request = CommitRequest { message: message.to_owned(), ..Default::default() };
            repo.commit(&request).expect("there is room for a commit");
        };
        let file = create(&repo, Ino::ROOT, "file", FileKind::Regular, "");
        write(&repo, file, 0, b"one\n");
        let dir = create(&repo, Ino::ROOT, "dir", FileKind::Directory, "");
        let inner = create(&repo, dir, "inner", FileKind::Regular, "");
        write(&repo, inner, 0, &every_byte());
        commit("first");
        write(&repo, file, 4, b"two\n");
        commit("");
        create(&repo, Ino::ROOT, "link", FileKind::Symlink, "file");
        let rename = Op::Rename {
            parent: Ino::ROOT,
            name: name("dir"),
            new_parent: Ino::ROOT,
            new_name: name("moved"),
            mode: vst::model::RenameMode::Replace,
            time: Timestamp::now(),
        };
        repo.apply(&rename).expect("the directory is there");
        commit("third\n\nwith more\nto say");
        store.close(repo);
        store
    }

    /// The directory of the store.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// The directory in which the store is.
    pub(crate) fn directory(&self) -> &Path {
        self.dir.path()
    }

    /// Opens it, which locks others out.
    pub(crate) fn open(&self) -> Repo {
        let writer = Some(Arc::new(Writer::new(b"editor", 0)));
        let author = "tester".to_owned();
        let options = RepoOptions { author, writer, ..RepoOptions::default() };
        Repo::open(&self.path(), options).expect("the store can be opened")
    }

    /// Closes it, and waits until others can open it.
    pub(crate) fn close(&self, repo: Repo) {
        repo.close().expect("it can be closed");
        drop(repo);
        // If another test has just forked, its child holds the lock until it runs the command
        // that it was made for.
        let lock = self.path().join("lock").metadata().expect("a store has a lock");
        let inode = format!(":{} ", lock.ino());
        let end = Instant::now() + CLOSE_TIMEOUT;
        while std::fs::read_to_string("/proc/locks").expect("Linux has it").contains(&inode) {
            assert!(Instant::now() < end, "somebody keeps the lock");
            std::thread::yield_now();
        }
    }

    /// A command line on the store.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(VST);
        command.arg("--store").arg(self.path()).args(args);
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        for variable in ["VST_AUTHOR", "VST_LOG", "NO_COLOR"] {
            command.env_remove(variable);
        }
        command.env("TZ", "UTC");
        command
    }

    /// Runs a command line on the store.
    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the binary has been built")
    }

    /// What a command line that succeeds prints.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        text(output.stdout)
    }

    /// What a command line that succeeds prints, as JSON.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.ok(args)).expect("it is JSON")
    }

    /// The line that a command line which fails with this exit code says on stderr.
    #[track_caller]
    pub(crate) fn error(&self, code: i32, args: &[&str]) -> String {
        one_error(self.run(args), code)
    }
}

/// The only line of an error, without what it begins with.
#[track_caller]
pub(crate) fn one_error(output: Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let stderr = text(output.stderr);
    let line = stderr.strip_prefix("vst: ").and_then(|rest| rest.strip_suffix('\n'));
    let line = line.unwrap_or_else(|| panic!("no error of this program: {stderr}"));
    assert!(!line.contains('\n'), "more than a line: {stderr}");
    line.to_owned()
}

#[track_caller]
pub(crate) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("output is UTF-8")
}

/// The content of `inner`: every byte, many times over, so that it is cut into chunks.
pub(crate) fn every_byte() -> Vec<u8> {
    (0..3_000_000_u32).map(|n| (n ^ n >> 8 ^ n >> 16) as u8).collect()
}

pub(crate) fn write(repo: &Repo, ino: Ino, offset: u64, data: &[u8]) {
    let data: Arc<[u8]> = data.into();
    let time = Timestamp::now();
    repo.apply(&Op::Write { ino, offset, data, kill_priv: false, time }).expect("it is a file");
}

pub(crate) fn create(repo: &Repo, parent: Ino, called: &str, kind: FileKind, target: &str) -> Ino {
    let ino = repo.update(|edit| Ok(edit.allocate_ino())).expect("numbers do not run out");
    let node =
        NewNode { kind, perm: 0o644, uid: 0, gid: 0, rdev: 0, target: target.as_bytes().into() };
    let time = Timestamp::now();
    repo.apply(&Op::Create { parent, name: name(called), ino, node, time })
        .expect("there is no such name");
    ino
}

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).expect("it is a name")
}
