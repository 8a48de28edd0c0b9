//! What a collection is asked for with, as a value and as words.
//!
//! ```text
//! request    = { word }, words apart by white space
//! word       = "keep-last=" N | "keep-hourly=" N | "keep-daily=" N | "keep-weekly=" N
//!            | "keep-monthly=" N
//!            | "keep-within=" N          in seconds
//!            | "keep-tagged"
//!            | "repack" | "dry-run"
//! ```

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::model::Retention;

/// What is to be done away with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GcRequest {
    /// Which commits are kept.
    pub retention: Retention,
    /// Copy every pack, to compress it better.
    pub repack: bool,
    /// Do nothing, and tell what would be done.
    pub dry_run: bool,
}

/// Why a text asks for no collection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{word:?} is none of keep-last=N, keep-within=SECONDS, keep-hourly=N, keep-daily=N, \
     keep-weekly=N, keep-monthly=N, keep-tagged, repack and dry-run"
)]
pub struct GcRequestError {
    /// The word that is not understood.
    pub word: String,
}

impl FromStr for GcRequest {
    type Err = GcRequestError;

    fn from_str(text: &str) -> Result<Self, GcRequestError> {
        let mut request = Self::default();
        for word in text.split_whitespace() {
            let understood = match word.split_once('=') {
                None => request.set(word),
                Some((key, number)) => {
                    let number = number.parse().ok();
                    number.and_then(|number| request.set_number(key, number))
                }
            };
            understood.ok_or_else(|| GcRequestError { word: word.to_owned() })?;
        }
        Ok(request)
    }
}

impl GcRequest {
    fn set(&mut self, word: &str) -> Option<()> {
        let flag = match word {
            "keep-tagged" => &mut self.retention.tagged,
            "repack" => &mut self.repack,
            "dry-run" => &mut self.dry_run,
            _ => return None,
        };
        *flag = true;
        Some(())
    }

    fn set_number(&mut self, key: &str, number: u64) -> Option<()> {
        let rules = &mut self.retention;
        match key {
            "keep-last" => rules.last = Some(number),
            "keep-within" => rules.within = Some(Duration::from_secs(number)),
            "keep-hourly" => rules.hourly = Some(number),
            "keep-daily" => rules.daily = Some(number),
            "keep-weekly" => rules.weekly = Some(number),
            "keep-monthly" => rules.monthly = Some(number),
            _ => return None,
        }
        Some(())
    }
}

impl fmt::Display for GcRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Retention { last, within, hourly, daily, weekly, monthly, tagged } = self.retention;
        let within = within.map(|within| within.as_secs());
        let numbers = [
            ("keep-last", last),
            ("keep-within", within),
            ("keep-hourly", hourly),
            ("keep-daily", daily),
            ("keep-weekly", weekly),
            ("keep-monthly", monthly),
        ];
        let flags = [("keep-tagged", tagged), ("repack", self.repack), ("dry-run", self.dry_run)];
        let numbers = numbers.iter().filter_map(|(key, n)| n.map(|n| format!("{key}={n}")));
        let flags = flags.iter().filter(|(_, set)| *set).map(|(word, _)| (*word).to_owned());
        f.write_str(&numbers.chain(flags).collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::GcRequest;
    use crate::model::Retention;

    #[test]
    fn a_request_that_was_written_is_read_again() {
        let rules = Retention {
            last: Some(0),
            within: Some(Duration::from_secs(3600)),
            hourly: Some(24),
            daily: Some(7),
            weekly: Some(u64::MAX),
            monthly: Some(1),
            tagged: true,
        };
        let whole = GcRequest { retention: rules, repack: true, dry_run: true };
        for request in [GcRequest::default(), whole] {
            assert_eq!(request.to_string().parse(), Ok(request));
        }
        assert_eq!("\n".parse(), Ok(GcRequest::default()));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for word in ["keep-last", "keep-last=", "keep-last=-1", "keep-all=3", "repack=1", "rm"] {
            let error = format!("repack {word}").parse::<GcRequest>().unwrap_err();
            assert_eq!(error.word, word);
        }
    }
}
