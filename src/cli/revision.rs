//! Arguments that name a commit, or a path in one.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::error::CliError;
use super::paths::{path_text, shell};
use super::place::{Place, View};
use crate::model::{Commit, CommitId, Entry, EntryBody};
use crate::repo::Revision;
use crate::worktree::CommittedTree;

/// A commit that an argument named, and perhaps a path in it.
#[derive(Debug)]
pub(super) struct Named {
    /// The id of the commit.
    pub(super) id: CommitId,
    /// The commit.
    pub(super) commit: Commit,
    /// The path behind the colon, from the top of the tree.
    pub(super) path: Option<Vec<u8>>,
    /// The argument, for messages.
    text: String,
}

impl Named {
    /// Understands `REV` or `REV:PATH`. The path begins at the top of the tree, or with `./` or
    /// `../` at the current directory.
    pub(super) fn find(place: &Place, view: &View, argument: &OsStr) -> Result<Self, CliError> {
        let (revision, path) = split(argument)?;
        let path = match path {
            Some(path) if is_relative(path) => Some(place.path_in_tree(OsStr::from_bytes(path))?),
            Some(path) => Some(path.to_vec()),
            None => None,
        };
        let id = view.resolve(revision)?;
        let commit = view.history.commit(&id)?;
        Ok(Self { id, commit, path, text: path_text(argument.as_bytes()) })
    }

    /// The argument, as it can be shown.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The tree of the commit, and what the path leads to, or the top if there is none.
    pub(super) fn entry(&self, view: &View) -> Result<(CommittedTree, Entry), CliError> {
        let src = view.history.source();
        let tree = CommittedTree::open(&self.commit.root, src)?;
        let path = self.path.as_deref().unwrap_or_default();
        let entry = tree.find(path, src)?.ok_or_else(|| view.no_path(&self.id, path))?;
        // `file/` is no file.
        let wants_directory = path.ends_with(b"/");
        if wants_directory && !matches!(entry.body, EntryBody::Directory(_)) {
            return Err(view.no_path(&self.id, path));
        }
        Ok((tree, entry))
    }
}

/// Takes an argument that names a commit and nothing else. With a path behind it, the error is
/// made of the revision and the path.
pub(super) fn revision_alone(
    argument: &OsStr,
    refuse_path: impl FnOnce(String, String) -> CliError,
) -> Result<&str, CliError> {
    match split(argument)? {
        (revision, None) => Ok(revision),
        (revision, Some(path)) => {
            let path = shell(Path::new(OsStr::from_bytes(path)));
            Err(refuse_path(revision.to_owned(), path))
        }
    }
}

/// Splits `REV:PATH`, whose path can be any bytes.
fn split(argument: &OsStr) -> Result<(&str, Option<&[u8]>), CliError> {
    let bytes = argument.as_bytes();
    let valid = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let Revision { revision, path } = Revision::split(valid);
    match path {
        // What is behind the colon, with all that is behind the text.
        Some(path) => Ok((revision, bytes.get(valid.len() - path.len()..))),
        None if valid.len() == bytes.len() => Ok((revision, None)),
        None => Err(CliError::RevisionText(path_text(bytes))),
    }
}

fn is_relative(path: &[u8]) -> bool {
    path == b"." || path == b".." || path.starts_with(b"./") || path.starts_with(b"../")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::{is_relative, split};

    #[test]
    fn a_path_behind_a_revision_can_be_any_bytes() {
        let parts = |bytes| split(OsStr::from_bytes(bytes)).ok();
        assert_eq!(parts(b"HEAD"), Some(("HEAD", None)));
        assert_eq!(parts(b"HEAD:"), Some(("HEAD", Some(&b""[..]))));
        assert_eq!(parts(b"HEAD:a\xff:b"), Some(("HEAD", Some(&b"a\xff:b"[..]))));
        assert_eq!(parts("HEAD:é\u{fffd}".as_bytes()).unwrap().1, Some("é\u{fffd}".as_bytes()));
        assert_eq!(parts(b"HE\xffAD:a"), None);
        assert_eq!(parts(b"\xff"), None);
    }

    #[test]
    fn only_dots_make_a_path_relative() {
        for path in [&b"."[..], b"..", b"./a", b"../a"] {
            assert!(is_relative(path));
        }
        for path in [&b""[..], b"a", b".a", b"..a", b"/a", b"a/./b"] {
            assert!(!is_relative(path));
        }
    }
}
