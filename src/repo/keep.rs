//! The rules of what is kept, as far as they are configured: applied in the background.

use std::collections::HashSet;

use super::{GcReport, GcRequest, Repo, RepoError};
use crate::format::commit_log::CommitRecord;
use crate::model::{CommitId, Retention, Timestamp};

impl Repo {
    /// Drops the commits that no configured rule keeps, and frees what they alone needed. Does
    /// nothing, and costs next to nothing, if there is no rule or nothing to drop.
    pub fn apply_retention(&self) -> Result<Option<GcReport>, RepoError> {
        let retention = self.config()?.retention;
        // Rules that were changed while they were read may be but half of what is meant.
        if retention.is_empty() || self.keeper.has_new_rules() {
            return Ok(None);
        }
        let records = self.store().commits().records();
        if self.kept(&retention, &records)?.len() == records.len() {
            return Ok(None);
        }
        let report = self.gc(&GcRequest { retention, ..GcRequest::default() })?;
        log::info!(
            "dropped {} snapshots that no rule keeps, and freed {} bytes",
            report.commits_dropped,
            report.packs.freed(),
        );
        Ok(Some(report))
    }

    /// Those of all commits, which come oldest first, that rules keep, or that something points to.
    pub(super) fn kept(
        &self,
        rules: &Retention,
        records: &[CommitRecord],
    ) -> Result<HashSet<CommitId>, RepoError> {
        let refs = self.store().refs().list("")?;
        let named = refs.iter().map(|(_, id)| CommitId::new(*id));
        // The ref of a tag may be lost, which is no reason to drop what it named.
        let tags = self.look(|live| live.tags()).list(self.source())?;
        let tagged = tags.into_iter().map(|(_, id)| id);
        let needed: HashSet<CommitId> = named.chain(tagged).chain(self.head()).collect();
        Ok(rules.keep(records, Timestamp::now(), &needed))
    }
}
