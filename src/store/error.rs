//! What can go wrong with a store as a whole.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::RefName;
use crate::model::{ObjectError, ObjectId};

/// Why a store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory holds something else.
    #[error("{} is not a vst store and not empty: name the directory of a store, or a new one", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// There is no store, and none was to be made.
    #[error("{} is not a vst store: name the directory that `vst mount` was given first", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
    },
    /// The store, or a file of it, was written by a newer program, an old one, or none of them.
    #[error("{} has the format {found:?}, which this vst does not know: use a newer one, or the \
        one that made it", path.display())]
    UnknownFormat {
        /// The store, or the file of it.
        path: PathBuf,
        /// What it says of itself.
        found: String,
    },
    /// Another process has the store open.
    #[error("{} is open in another process ({}): unmount it or wait for that process",
        path.display(), pid_text(*pid))]
    Locked {
        /// The store.
        path: PathBuf,
        /// The process, unless it has not got as far as writing it down.
        pid: Option<u32>,
    },
    /// The disk failed, is full, or denies access.
    #[error("{context}: {source}")]
    Io {
        /// What was being done, with the path.
        context: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// A file of the store holds what no writer wrote.
    #[error("{} is damaged at offset {offset}: {detail}", file.display())]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        detail: String,
    },
    /// A ref does not have the value that an update of it took for granted.
    #[error("ref {name} is {}, not {}: somebody else moved it", id_text(found), id_text(expected))]
    RefMoved {
        /// The ref.
        name: RefName,
        /// What it should have pointed to; `None` is no such ref.
        expected: Option<ObjectId>,
        /// What it points to.
        found: Option<ObjectId>,
    },
    /// The store was opened for reading only.
    #[error("{} is open for reading only", path.display())]
    ReadOnly {
        /// The store, or the file of it.
        path: PathBuf,
    },
    /// An object cannot be read or kept.
    #[error(transparent)]
    Object(#[from] ObjectError),
}

impl StoreError {
    /// An error of the system, met while doing `what` with `path`.
    pub(super) fn io(what: &str, path: &Path, source: io::Error) -> Self {
        Self::Io { context: format!("{what} {}", path.display()), source: Arc::new(source) }
    }

    pub(super) fn corrupt(file: &Path, offset: u64, detail: impl ToString) -> Self {
        Self::Corrupt { file: file.to_owned(), offset, detail: detail.to_string() }
    }
}

impl From<StoreError> for ObjectError {
    /// What is no error of the system itself becomes one of kind `InvalidData`, or
    /// `ReadOnlyFilesystem` if the store is open for reading only.
    fn from(error: StoreError) -> Self {
        let kind = match error {
            StoreError::Object(error) => return error,
            StoreError::Io { context, source } => return Self::Io { context, source },
            StoreError::ReadOnly { .. } => io::ErrorKind::ReadOnlyFilesystem,
            _ => io::ErrorKind::InvalidData,
        };
        let source = Arc::new(io::Error::new(kind, error));
        Self::Io { context: "using the store".to_owned(), source }
    }
}

fn pid_text(pid: Option<u32>) -> String {
    pid.map_or("pid not known yet".to_owned(), |pid| format!("pid {pid}"))
}

fn id_text(id: &Option<ObjectId>) -> String {
    id.map_or("absent".to_owned(), |id| id.short())
}
