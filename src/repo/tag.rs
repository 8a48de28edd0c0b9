//! Tags: names that people give to commits.
//!
//! A tag is a ref under `tags/`, and a link in `.snapshots`, so its name is one that both can have.
//! What a tag names is on the disk before the tag is, and a collection keeps it.
//!
//! The state of the worktree has a table of the tags, which tells of a ref that is lost. For that
//! each state on the disk lists only tags that are there: one is listed after it was made, and
//! removed after it was struck off.
//!
//! ```text
//! request = ("make" | "move") NAME REV | "delete" NAME
//! ```
//!
//! where `move` makes the tag if it is not there, and the REV takes all that follows.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::Ordering;

use super::{Repo, RepoError, Storing};
use crate::base::nearest;
use crate::base::sync::MutexGuard;
use crate::journal::Urgency;
use crate::model::{CommitId, DeedKind, ObjectId};
use crate::store::{Durability, Expected, RefName, StoreError};

/// The name of a tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TagName(String);

/// Why a text cannot be the name of a tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} cannot be the name of a tag: {why}")]
pub struct TagNameError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Names that mean something else where a revision or a name in `.snapshots` can stand.
const TAKEN: [&str; 4] = ["HEAD", "@", "latest", "by-time"];

impl TagName {
    /// Takes a text as the name of a tag, if git would, and if it can be a name in `.snapshots`.
    pub fn new(text: &str) -> Result<Self, TagNameError> {
        let bad = |c: char| matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
        let why = if text.is_empty() {
            "it is empty"
        } else if TAKEN.contains(&text) {
            "that name means something else"
        } else if text.contains('/') {
            "it has a slash, which no name in .snapshots can have"
        } else if text.starts_with('.') || text.starts_with('-') {
            "it begins with a dot or a dash"
        } else if text.ends_with('.') || text.ends_with(".lock") {
            "it ends with a dot or with .lock"
        } else if text.contains("..") || text.contains("@{") {
            "it has two dots or @{ in it, which mean something in a revision"
        } else if text.chars().any(|c| bad(c) || c.is_control()) {
            "it has a blank, a control character, or one of ~ ^ : ? * [ \\ in it"
        } else if text.len() == ObjectId::HEX_DIGITS && text.parse::<ObjectId>().is_ok() {
            "it is the id of a commit"
        } else if RefName::new(&ref_text(text)).is_err() {
            "it is too long"
        } else {
            return Ok(Self(text.to_owned()));
        };
        Err(TagNameError { text: text.to_owned(), why })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn to_ref(&self) -> RefName {
        RefName::new(&ref_text(&self.0)).expect("it was tried when the name was made")
    }
}

fn ref_text(name: &str) -> String {
    format!("tags/{name}")
}

impl fmt::Display for TagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A change of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRequest {
    /// The tag.
    pub name: TagName,
    /// What is to become of it.
    pub change: TagChange,
}

/// What is to become of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagChange {
    /// It names the commit of this revision; there must be no such tag yet.
    Make(String),
    /// It names the commit of this revision, whatever it named before.
    Move(String),
    /// There is no such tag any more.
    Delete,
}

impl FromStr for TagRequest {
    type Err = RepoError;

    fn from_str(text: &str) -> Result<Self, RepoError> {
        let (verb, rest) = text.trim().split_once(' ').ok_or(RepoError::TagRequest)?;
        let (name, revision) = match rest.split_once(' ') {
            Some((name, revision)) => (name, Some(revision.to_owned())),
            None => (rest, None),
        };
        let change = match (verb, revision) {
            ("make", Some(revision)) => TagChange::Make(revision),
            ("move", Some(revision)) => TagChange::Move(revision),
            ("delete", None) => TagChange::Delete,
            _ => return Err(RepoError::TagRequest),
        };
        Ok(Self { name: TagName::new(name)?, change })
    }
}

impl fmt::Display for TagRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.change {
            TagChange::Make(revision) => write!(f, "make {name} {revision}"),
            TagChange::Move(revision) => write!(f, "move {name} {revision}"),
            TagChange::Delete => write!(f, "delete {name}"),
        }
    }
}

/// What became of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// What it named before.
    pub from: Option<CommitId>,
    /// What it names now.
    pub to: Option<CommitId>,
}

impl Repo {
    /// Changes a tag. On return it is on the disk, and so is what it names.
    pub fn tag(&self, request: &TagRequest) -> Result<Tagged, RepoError> {
        self.make_room(Urgency::MakesRoom)?;
        let tagged = self.with_room(|| self.tag_now(request))?;
        // Where that could not be noted the disk may have failed, and then nothing is promised.
        self.sync()?;
        Ok(tagged)
    }

    fn tag_now(&self, request: &TagRequest) -> Result<Tagged, RepoError> {
        let TagRequest { name, change } = request;
        let (refs, ref_name) = (self.store().refs(), name.to_ref());
        // Nobody drops commits meanwhile, and nobody else changes tags.
        let mut storing = self.storing.lock();
        self.write_queue(&mut storing)?;
        let to = match change {
            TagChange::Make(revision) | TagChange::Move(revision) => {
                let id = self.history().resolve(revision, self.head())?;
                self.check_listed(&id)?;
                Some(id)
            }
            TagChange::Delete => None,
        };
        let from = match refs.find(&ref_name) {
            // One that is damaged names nothing, and can be moved or deleted.
            Err(StoreError::Corrupt { .. }) if !matches!(change, TagChange::Make(_)) => None,
            Ok(None) if to.is_none() => {
                let nearest = nearest(name.as_str(), self.history().tags()?);
                return Err(RepoError::NoTag { name: name.clone(), nearest });
            }
            found => found?.map(CommitId::new),
        };
        if let (TagChange::Make(_), Some(from)) = (change, from) {
            let commit = from.object().short();
            return Err(RepoError::TagExists { name: name.clone(), commit });
        }
        match to {
            Some(to) => {
                // What a ref points to has to be durable before.
                if !self.is_saved(&storing, self.changes.load(Ordering::Acquire)) {
                    self.save(&mut storing)?;
                }
                refs.update(&ref_name, Expected::Any, to.object(), Durability::Strict)?;
                // It has changed, whether or not that can be noted.
                if let Err(error) = self.note_tag(name, (from, Some(to)), &mut storing) {
                    log::warn!("the operation log lacks a change of the tag {name}: {error}");
                }
            }
            None => {
                self.note_tag(name, (from, None), &mut storing)?;
                if let Err(error) = refs.delete(&ref_name, Expected::Any, Durability::Strict) {
                    // If that cannot be noted, all that is lost is that nobody would miss it.
                    let _ = self.note_tag(name, (None, from), &mut storing);
                    return Err(error.into());
                }
            }
        }
        Ok(Tagged { from, to })
    }

    /// Notes a change of a tag, durably.
    fn note_tag(
        &self,
        name: &TagName,
        (from, to): (Option<CommitId>, Option<CommitId>),
        storing: &mut MutexGuard<'_, Storing>,
    ) -> Result<(), RepoError> {
        let what = DeedKind::Tag { name: name.as_str().to_owned(), from, to };
        self.note(what, None, &mut self.committing.lock())?;
        self.save_even_if_full(storing)
    }
}

#[cfg(test)]
mod tests {
    use super::{TagName, TagRequest};

    #[test]
    fn a_name_is_what_git_and_a_directory_take() {
        for good in ["v1", "v1.0-rc.1", "Grüße", "2024", "cafe", "a@b", "head", "{x}", "x.locked"]
        {
            assert_eq!(TagName::new(good).unwrap().as_str(), good);
        }
        let id = "ab".repeat(32);
        let long = "x".repeat(300);
        for (bad, why) in [
            ("", "empty"),
            ("HEAD", "something else"),
            ("@", "something else"),
            ("latest", "something else"),
            ("by-time", "something else"),
            ("a/b", "slash"),
            (".a", "begins"),
            ("-a", "begins"),
            ("a.", "ends"),
            ("a.lock", "ends"),
            ("a..b", "two dots"),
            ("a@{b", "@{"),
            ("a b", "blank"),
            ("a\nb", "control"),
            ("a\u{7f}", "control"),
            ("a~1", "one of"),
            ("a^", "one of"),
            ("a:b", "one of"),
            ("a?", "one of"),
            ("a*", "one of"),
            ("a[", "one of"),
            ("a\\b", "one of"),
            (&id, "id of a commit"),
            (&long, "too long"),
        ] {
            let error = TagName::new(bad).unwrap_err();
            assert!(error.why.contains(why), "{error}");
        }
    }

    #[test]
    fn a_request_is_read_as_it_was_written() {
        for text in ["make v1 HEAD", "move v1 @{10 minutes ago}", "delete v1"] {
            assert_eq!(text.parse::<TagRequest>().unwrap().to_string(), text);
        }
        for bad in ["", "make", "make v1", "delete", "delete v1 HEAD", "v1 HEAD", "make a/b HEAD"] {
            assert!(bad.parse::<TagRequest>().is_err(), "{bad}");
        }
    }
}
