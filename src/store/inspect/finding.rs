//! What is found to be wrong with a store.

use std::path::PathBuf;

use crate::model::ObjectId;

/// A part of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The file `format`.
    Format,
    /// A ref.
    Ref,
    /// The list of commits.
    CommitList,
    /// The list of the states of the worktree.
    StateList,
    /// The configuration.
    Config,
    /// A segment of the journal.
    Journal,
    /// The header of a pack.
    PackHeader,
    /// The footer of a pack.
    PackIndex,
    /// An object in a pack, or one that should be in one.
    Object,
}

/// Damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is damaged.
    pub part: Part,
    /// The file, relative to the directory of the store.
    pub file: PathBuf,
    /// Where in it, if it is at one place.
    pub offset: Option<u64>,
    /// What is wrong.
    pub detail: String,
    /// The object, if it is one whose id is known.
    pub object: Option<ObjectId>,
    /// There is a good copy of the object elsewhere, so that nothing is lost.
    pub is_spare: bool,
}

impl Finding {
    /// Damage at a place in a file.
    pub fn new(part: Part, file: impl Into<PathBuf>, offset: u64, detail: impl ToString) -> Self {
        let (file, detail) = (file.into(), detail.to_string());
        Self { part, file, offset: Some(offset), detail, object: None, is_spare: false }
    }

    /// Damage of a file as a whole.
    pub fn of_file(part: Part, file: impl Into<PathBuf>, detail: impl ToString) -> Self {
        Self { offset: None, ..Self::new(part, file, 0, detail) }
    }

    /// The damage, which is that of an object.
    #[must_use]
    pub fn of_object(self, id: ObjectId) -> Self {
        Self { object: Some(id), ..self }
    }
}
