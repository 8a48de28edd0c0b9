//! Revisions: the texts by which people name commits.
//!
//! ```text
//! revision = base ("~" number? | "^")*
//! base     = "HEAD" | "@" | "latest" | tag | id | a prefix of an id of 4 hex digits or more
//!          | "@{" number unit "ago" "}"       the newest commit at or before then
//! ```

use super::{History, RepoError};
use crate::base::limits::REVISION_PREFIX_DIGITS_MIN;
use crate::base::{nearest, proposal};
use crate::format::commit_log::CommitRecord;
use crate::model::{CommitId, IdPrefix, ObjectId, Timestamp};
use crate::store::RefName;

/// How many commits are named that a text may have been meant for.
const CANDIDATES_MAX: usize = 5;

/// Why a text names no commit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RevisionError {
    /// Nothing has that name.
    #[error(
        "no commit is called {text:?}{}; `vst log` and `vst tag` list those that there are",
        proposal(nearest)
    )]
    Unknown {
        /// What was asked for.
        text: String,
        /// Names that come near it.
        nearest: Vec<String>,
    },
    /// It could be the beginning of an id, but has too few digits.
    #[error("no tag is called {text:?}, and the beginning of an id needs {min} digits")]
    ShortPrefix {
        /// What was asked for.
        text: String,
        /// How many digits it needs.
        min: usize,
    },
    /// There is no commit that old.
    #[error("nothing is as old as {text}: {}", oldest_text(oldest))]
    TooOld {
        /// What was asked for.
        text: String,
        /// The oldest commit, if there is any.
        oldest: Option<CommitId>,
    },
    /// Several commits begin with these digits.
    #[error("{text:?} is the beginning of several commits: {}", short_ids(candidates))]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// Some of them, with their times.
        candidates: Vec<CommitRecord>,
    },
    /// Nothing has been committed yet.
    #[error("nothing has been committed yet")]
    NoCommits,
    /// The commit has fewer ancestors than were counted back.
    #[error("{text:?} goes back beyond the first commit that is kept: that is {base}~{steps}")]
    BeyondFirst {
        /// What was asked for.
        text: String,
        /// From where it was counted back.
        base: String,
        /// How many commits there are before that.
        steps: u64,
    },
    /// The text cannot be understood.
    #[error("{text:?} is no revision: {why}")]
    Syntax {
        /// What was asked for.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// A revision and, behind a colon, a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision<'a> {
    /// What names the commit.
    pub revision: &'a str,
    /// What comes behind the first colon.
    pub path: Option<&'a str>,
}

impl<'a> Revision<'a> {
    /// Splits `REV:PATH`. The colons of a time belong to the revision.
    pub fn split(text: &'a str) -> Self {
        let from = text.find('}').map_or(0, |at| at + 1);
        match text[from..].split_once(':') {
            Some((rest, path)) => Self { revision: &text[..from + rest.len()], path: Some(path) },
            None => Self { revision: text, path: None },
        }
    }
}

impl History {
    /// Finds the commit that a text names. `head` is what HEAD means.
    pub fn resolve(&self, text: &str, head: Option<CommitId>) -> Result<CommitId, RepoError> {
        let end = text.find(['~', '^']).unwrap_or(text.len());
        let (base, mut steps) = text.split_at(end);
        let mut id = self.resolve_base(base, text, head)?;
        let mut gone_back = 0;
        while let Some(first) = steps.chars().next() {
            let digits =
                steps[1..].find(|c: char| !c.is_ascii_digit()).map_or(steps.len(), |n| n + 1);
            let number = &steps[1..digits];
            let syntax = |why| RevisionError::Syntax { text: text.to_owned(), why };
            let back = match first {
                '~' if number.is_empty() => 1,
                '~' => number.parse().map_err(|_| syntax("the number is too large"))?,
                '^' if number.is_empty() || number == "1" => 1,
                _ => return Err(syntax("only `~N` and `^` can follow a commit").into()),
            };
            for _ in 0..back {
                let parent = self.parent(&self.commit(&id)?);
                id = parent.ok_or_else(|| RevisionError::BeyondFirst {
                    text: text.to_owned(),
                    base: base.to_owned(),
                    steps: gone_back,
                })?;
                gone_back += 1;
            }
            steps = &steps[digits..];
        }
        Ok(id)
    }

    fn resolve_base(
        &self,
        base: &str,
        text: &str,
        head: Option<CommitId>,
    ) -> Result<CommitId, RepoError> {
        if let Some(when) = base.strip_prefix("@{").and_then(|rest| rest.strip_suffix('}')) {
            let before = time_ago(when, Timestamp::now())
                .ok_or_else(|| RevisionError::Syntax { text: text.to_owned(), why: TIME_HELP })?;
            let oldest = || self.store().commits().records().first().map(|first| first.id);
            let too_old = || RevisionError::TooOld { text: base.to_owned(), oldest: oldest() };
            return Ok(self.at_time(before).ok_or_else(too_old)?);
        }
        match base {
            "HEAD" | "@" => return Ok(head.ok_or(RevisionError::NoCommits)?),
            "latest" => return Ok(self.newest().ok_or(RevisionError::NoCommits)?.id),
            _ => {}
        }
        if let Some(id) = self.tag(base)? {
            return Ok(id);
        }
        let Ok(prefix) = base.parse::<IdPrefix>() else { return Err(self.unknown(base)?.into()) };
        let min = REVISION_PREFIX_DIGITS_MIN;
        if prefix.digits() < min {
            return Err(match self.unknown(base)? {
                RevisionError::Unknown { text, nearest } if nearest.is_empty() => {
                    RevisionError::ShortPrefix { text, min }.into()
                }
                unknown => unknown.into(),
            });
        }
        match self.store().commits().find_prefix(&prefix, CANDIDATES_MAX).as_slice() {
            [] => Err(self.unknown(base)?.into()),
            [only] => Ok(only.id),
            several => {
                let candidates = several.to_vec();
                Err(RevisionError::Ambiguous { text: base.to_owned(), candidates }.into())
            }
        }
    }

    /// The error for a text that is the name of nothing, with tags that come near it, and commits
    /// whose ids begin as it does, for as many digits as any does.
    fn unknown(&self, base: &str) -> Result<RevisionError, RepoError> {
        let words = ["HEAD", "latest"].map(str::to_owned);
        let mut nearest = nearest(base, self.tags()?.into_iter().chain(words));
        let digits = base.chars().take_while(char::is_ascii_hexdigit).count();
        let digits = digits.min(ObjectId::HEX_DIGITS);
        let shorter = (REVISION_PREFIX_DIGITS_MIN..=digits).rev().filter_map(|end| {
            let prefix = base[..end].parse().ok()?;
            Some(self.store().commits().find_prefix(&prefix, CANDIDATES_MAX))
        });
        let alike = shorter.into_iter().find(|found| !found.is_empty()).unwrap_or_default();
        nearest.extend(alike.iter().map(|record| record.id.object().short()));
        Ok(RevisionError::Unknown { text: base.to_owned(), nearest })
    }

    /// The commit that a tag names.
    pub fn tag(&self, name: &str) -> Result<Option<CommitId>, RepoError> {
        match RefName::new(&format!("tags/{name}")) {
            Ok(name) => Ok(self.store().refs().find(&name)?.map(CommitId::new)),
            Err(_) => Ok(None),
        }
    }

    /// The names of all tags, without reading any.
    pub fn tags(&self) -> Result<Vec<String>, RepoError> {
        let names = self.store().refs().names("tags/")?;
        let short = |name: &RefName| name.as_str().strip_prefix("tags/").map(str::to_owned);
        Ok(names.iter().filter_map(short).collect())
    }

    /// The newest commit made at this time or before.
    pub fn at_time(&self, time: Timestamp) -> Option<CommitId> {
        let records = self.store().commits().records();
        records.iter().rev().find(|record| record.time <= time).map(|record| record.id)
    }
}

fn short_ids(records: &[CommitRecord]) -> String {
    records.iter().map(|record| record.id.object().short()).collect::<Vec<_>>().join(", ")
}

fn oldest_text(oldest: &Option<CommitId>) -> String {
    match oldest {
        Some(oldest) => format!("the first commit that is kept is {}", oldest.object().short()),
        None => "nothing has been committed yet".to_owned(),
    }
}

const TIME_HELP: &str = "a time is written like @{10 minutes ago}";

/// Understands "10 minutes ago".
fn time_ago(text: &str, now: Timestamp) -> Option<Timestamp> {
    let mut words = text.split_whitespace();
    let number: i64 = words.next()?.parse().ok()?;
    let unit = words.next()?;
    if words.next()? != "ago" || words.next().is_some() {
        return None;
    }
    let secs = match unit.strip_suffix('s').unwrap_or(unit) {
        "second" | "sec" => 1,
        "minute" | "min" => 60,
        "hour" => 3600,
        "day" => 86_400,
        "week" => 604_800,
        _ => return None,
    };
    let back = number.checked_mul(secs).filter(|back| *back >= 0)?;
    Some(Timestamp { secs: now.secs.checked_sub(back)?, nanos: now.nanos })
}

#[cfg(test)]
mod tests {
    use super::{Revision, time_ago};
    use crate::model::Timestamp;

    #[test]
    fn a_path_follows_the_first_colon_outside_of_a_time() {
        let split = |text| {
            let Revision { revision, path } = Revision::split(text);
            (revision, path)
        };
        assert_eq!(split("HEAD"), ("HEAD", None));
        assert_eq!(split("HEAD~2:src/a:b"), ("HEAD~2", Some("src/a:b")));
        assert_eq!(split("@{1 hour ago}:x"), ("@{1 hour ago}", Some("x")));
        assert_eq!(split(":"), ("", Some("")));
    }

    #[test]
    fn times_are_understood_or_refused() {
        let now = Timestamp { secs: 1_000_000, nanos: 5 };
        let ago = |text| time_ago(text, now).map(|time| time.secs);
        assert_eq!(ago("10 minutes ago"), Some(999_400));
        assert_eq!(ago("1 day ago"), Some(913_600));
        for bad in ["", "ten minutes ago", "5 ago", "-5 hours ago", "9223372036854775807 weeks ago"]
        {
            assert_eq!(ago(bad), None, "{bad}");
        }
    }
}
