//! Where an import goes: a tree that files are made in.

use std::io;

use super::source::Attributes;
use crate::cli::error::{CliError, reason};
use crate::model::Name;
use crate::repo::RepoError;

/// Why something was not imported.
#[derive(Debug)]
pub(super) enum Failure {
    /// This file cannot be; others can.
    File(String),
    /// Nothing can be any more.
    All(CliError),
}

/// What could not be kept of a file that was imported, a line each.
pub(super) type Losses = Vec<String>;

/// A tree that files are made in, by several threads at a time.
///
/// A file that is made takes the place of one that is not a directory, if the tree was opened for
/// that.
pub(super) trait Target: Sync {
    /// Stands for a file that was made.
    type Node: Clone + Send + Sync;
    /// A file whose content is being written.
    type Open;

    /// The directory that all goes into.
    fn top(&self) -> Self::Node;

    /// Makes a directory for files to be made in, or finds it. Its attributes come last.
    fn directory(&self, parent: &Self::Node, name: &Name) -> Result<Self::Node, Failure>;

    /// Gives a directory its attributes.
    fn finish_directory(
        &self,
        directory: &Self::Node,
        attributes: &Attributes,
    ) -> Result<Losses, Failure>;

    /// Makes a file whose content is known.
    fn file(
        &self,
        parent: &Self::Node,
        name: &Name,
        attributes: &Attributes,
        data: &[u8],
    ) -> Result<(Self::Node, Losses), Failure>;

    /// Makes a file whose content follows.
    fn begin(
        &self,
        parent: &Self::Node,
        name: &Name,
        attributes: &Attributes,
    ) -> Result<Self::Open, Failure>;

    /// What an open file is.
    fn node(&self, open: &Self::Open) -> Self::Node;

    /// Writes content.
    fn write(&self, open: &Self::Open, offset: u64, data: &[u8]) -> Result<(), Failure>;

    /// Ends a file, which has this size.
    fn finish(
        &self,
        open: Self::Open,
        size: u64,
        attributes: &Attributes,
    ) -> Result<Losses, Failure>;

    /// Makes a symbolic link, fifo, socket or device.
    fn special(
        &self,
        parent: &Self::Node,
        name: &Name,
        attributes: &Attributes,
        target: &[u8],
    ) -> Result<(Self::Node, Losses), Failure>;

    /// Gives a file another name.
    fn link(&self, file: &Self::Node, parent: &Self::Node, name: &Name) -> Result<(), Failure>;
}

impl Failure {
    /// A failure of the system that concerns one file.
    pub(super) fn file(error: &io::Error) -> Self {
        Self::File(reason(error))
    }
}

impl From<RepoError> for Failure {
    fn from(error: RepoError) -> Self {
        match error {
            RepoError::Op(error) => Self::File(error.to_string()),
            error => Self::All(error.into()),
        }
    }
}

/// The line for an extended attribute that could not be kept.
pub(super) fn lost_xattr(name: &[u8], why: &str) -> String {
    format!("the extended attribute {} is not kept: {why}", name.escape_ascii())
}
