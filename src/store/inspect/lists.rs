//! The small files of a store: `format`, the lists of commits and of states, the refs, what is set.

use std::path::Path;

use super::{Finding, Inspection, Part};
use crate::format::commit_log::{self, CommitLogError, CommitRecord, Tally};
use crate::format::state_log;
use crate::model::ObjectId;
use crate::store::commit_log::{find_earlier, lost};
use crate::store::{RefName, Refs, StoreError, config, files};

/// What the small files of a store say, as far as they are whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// What is wrong with them.
    pub findings: Vec<Finding>,
    /// The commits, oldest first.
    pub commits: Vec<CommitRecord>,
    /// Commits that were listed once and have been dropped.
    pub dropped: Tally,
    /// The states of the worktree, newest first.
    pub states: Vec<ObjectId>,
    /// The refs.
    pub refs: Vec<(RefName, ObjectId)>,
}

/// The records of a list.
struct Rows<T> {
    whole: Vec<T>,
    /// Where a run of records begins that do not check, and how many there are.
    damaged: Vec<(u64, usize)>,
}

impl Inspection {
    /// Reads the small files.
    pub fn lists(&self) -> Result<Lists, StoreError> {
        let mut lists = Lists::default();
        if let Err(StoreError::Corrupt { offset, detail, .. }) = self.layout.inspect() {
            lists.findings.push(Finding::new(Part::Format, "format", offset, detail));
        } else if files::file_bytes(&**self.disk(), &self.layout.format()).is_none() {
            lists.findings.push(Finding::of_file(Part::Format, "format", MISSING));
        }
        self.commit_list(&mut lists)?;
        self.state_list(&mut lists)?;
        self.refs(&mut lists)?;
        match config::read(&self.layout) {
            Ok(_) => {}
            Err(StoreError::Corrupt { offset, detail, .. }) => {
                lists.findings.push(Finding::new(Part::Config, "config", offset, detail));
            }
            Err(error) => return Err(error),
        }
        Ok(lists)
    }

    /// Tells whether one of the lists that every store has is there.
    pub(super) fn has_a_list(&self) -> bool {
        let begins = |path: &Path, is_header: fn(&[u8]) -> bool| {
            let bytes = files::read_bounded(&**self.disk(), path, commit_log::HEADER_BYTES);
            bytes.ok().flatten().is_some_and(|bytes| is_header(&bytes))
        };
        begins(&self.layout.commits(), |bytes| commit_log::decode_header(bytes).is_ok())
            || begins(&self.layout.states(), state_log::has_header)
    }

    fn commit_list(&self, lists: &mut Lists) -> Result<(), StoreError> {
        let path = self.layout.commits();
        let mut find = |finding| lists.findings.push(finding);
        let Some(bytes) = self.read_list(&path, Part::CommitList, &mut find)? else {
            return Ok(());
        };
        match commit_log::decode_header(&bytes) {
            Ok(dropped) => lists.dropped = dropped,
            Err(CommitLogError::Version(found)) => {
                let found = format!("list of commits {found}");
                return Err(StoreError::UnknownFormat { path, found });
            }
            Err(error) => find(Finding::new(Part::CommitList, "commits", 0, error)),
        }
        let decode = |row: &[u8; commit_log::RECORD_BYTES]| commit_log::decode_record(row).ok();
        let rows = rows(&bytes, commit_log::HEADER_BYTES, decode);
        rows.report(Part::CommitList, "commits", &mut find);
        lists.commits = rows.whole;
        Ok(())
    }

    fn state_list(&self, lists: &mut Lists) -> Result<(), StoreError> {
        let path = self.layout.states();
        let mut find = |finding| lists.findings.push(finding);
        let Some(bytes) = self.read_list(&path, Part::StateList, &mut find)? else {
            return Ok(());
        };
        if !state_log::has_header(&bytes) {
            find(Finding::new(Part::StateList, "worktree", 0, "the header is damaged"));
        }
        let decode = |row: &[u8; state_log::RECORD_BYTES]| state_log::decode_record(row);
        let rows = rows(&bytes, state_log::HEADER_BYTES, decode);
        rows.report(Part::StateList, "worktree", &mut find);
        lists.states = rows.whole;
        lists.states.reverse();
        Ok(())
    }

    fn read_list(
        &self,
        path: &Path,
        part: Part,
        find: &mut dyn FnMut(Finding),
    ) -> Result<Option<Vec<u8>>, StoreError> {
        if files::file_bytes(&**self.disk(), path).is_none() {
            find(Finding::of_file(part, self.relative(path), MISSING));
            return Ok(None);
        }
        files::read_all(&**self.disk(), path).map(Some)
    }

    fn refs(&self, lists: &mut Lists) -> Result<(), StoreError> {
        let refs = Refs::open(self.disk(), self.layout.refs(), true);
        for name in refs.names("")? {
            match refs.find(&name) {
                // Removed since the names were read.
                Ok(None) => {}
                Ok(Some(id)) => lists.refs.push((name, id)),
                Err(StoreError::Corrupt { file, offset, detail }) => {
                    let file = self.relative(&file);
                    lists.findings.push(Finding::new(Part::Ref, file, offset, detail));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

const MISSING: &str = "the file is missing";

/// Reads the records of a list behind its header. What follows the last whole one is damage only if
/// it is too much to be what a dead writer left, which is a beginning of a record.
fn rows<T, const N: usize>(
    bytes: &[u8],
    header_bytes: usize,
    decode: impl Fn(&[u8; N]) -> Option<T>,
) -> Rows<T> {
    let (all, _) = bytes.get(header_bytes..).unwrap_or_default().as_chunks::<N>();
    let decoded: Vec<Option<T>> = all.iter().map(decode).collect();
    let ends = decoded.iter().rposition(Option::is_some).map_or(0, |at| at + 1);
    // The checksum is at the end of a record, and not zero if anything else is.
    let complete = |row: &[u8; N]| row[N - SUM_BYTES..].iter().any(|byte| *byte != 0);
    let damaged_ends = all.iter().rposition(complete).map_or(0, |at| at + 1).max(ends);
    let mut damaged: Vec<(u64, usize)> = Vec::new();
    let mut previous = None;
    for at in (0..damaged_ends).filter(|at| decoded[*at].is_none()) {
        match damaged.last_mut() {
            Some((_, count)) if previous == at.checked_sub(1) => *count += 1,
            _ => damaged.push(((header_bytes + at * N) as u64, 1)),
        }
        previous = Some(at);
    }
    Rows { whole: decoded.into_iter().flatten().collect(), damaged }
}

/// Length of the checksum that ends a record.
const SUM_BYTES: usize = 4;

impl Lists {
    /// What is wrong with the list of commits if there were these earlier.
    pub fn lost_commits(&self, earlier: Tally) -> Option<String> {
        let Self { commits, dropped, .. } = self;
        let found = find_earlier(commits, *dropped, earlier);
        found.is_none().then(|| lost(commits, *dropped, earlier))
    }
}

impl<T> Rows<T> {
    fn report(&self, part: Part, file: &str, find: &mut dyn FnMut(Finding)) {
        for (offset, count) in &self.damaged {
            let detail = match count {
                1 => "the checksum of a record does not match".to_owned(),
                _ => format!("the checksums of {count} records do not match"),
            };
            find(Finding::new(part, file, *offset, detail));
        }
    }
}
