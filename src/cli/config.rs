//! `vst config`.

use std::path::Path;

use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::paint::{Ink, Paint};
use super::place::Place;
use super::terminal::Terminal;
use crate::model::{CONFIG_OFF, Config, ConfigKey};
use crate::repo::{ConfigRequest, RepoError};

/// Tell or set what a store does by itself: commits, and which snapshots it keeps
///
/// Without arguments all settings are listed; with KEY that one is told; with VALUE it is set, also
/// while the store is mounted. `off` takes a setting back. They are kept in the store.
#[derive(Debug, Args)]
#[command(after_help = KEYS)]
pub(super) struct ConfigArgs {
    /// Take the setting back, which is the same as setting it to `off`
    #[arg(long, requires = "key", conflicts_with = "value")]
    unset: bool,
    /// Print JSON: [{"key":"keep-last","value":"100","default":false}], or with KEY one of these
    #[arg(long)]
    json: bool,
    /// What to tell or set
    #[arg(value_name = "KEY")]
    key: Option<String>,
    /// What to set it to
    #[arg(value_name = "VALUE", allow_hyphen_values = true)]
    value: Option<String>,
}

const KEYS: &str = "\
Settings:
  auto-commit TIME    commit every TIME if anything changed, while mounted
  keep-last N         keep the last N snapshots
  keep-within TIME    keep all snapshots of a time until now, such as 30m, 12h, 7d or 4w
  keep-hourly N       keep the last snapshot of each of the last N hours that have one
  keep-daily N        the same for days, which begin at midnight UTC,
  keep-weekly N       for weeks, which begin on Mondays,
  keep-monthly N      and for months
  keep-tagged on      keep what has a tag, and nothing else that no other rule keeps

While no keep- rule is set, no snapshot is ever dropped. Once one is, a mounted store drops, in the
background, each snapshot that no rule keeps and that is neither the newest one nor HEAD nor has a tag.
That begins ten minutes after the last change of a rule, so that several can be set one after the
other, and it is looked again every ten minutes. What was dropped is gone for good.

Examples:
  vst config auto-commit 30s
  vst config keep-within 1h         keep all of the last hour,
  vst config keep-hourly 24         one an hour for a day,
  vst config keep-daily 30          and one a day for a month
  vst gc --dry-run                  what these rules drop now
  vst config --unset keep-daily";

/// A setting in the JSON that is printed: all three members are always there, and `value` is text,
/// `off` if nothing is set.
#[derive(Debug, Serialize)]
struct JsonSetting {
    key: &'static str,
    value: String,
    default: bool,
}

impl JsonSetting {
    fn new(config: Config, key: ConfigKey) -> Self {
        let set = config.find(key);
        Self { key: key.name(), value: config.get(key), default: set.is_none() }
    }

    /// The line for people in a list.
    fn line(&self, paint: Paint) -> String {
        let key = format!("{:width$}", self.key, width = KEY_COLUMNS);
        match self.default {
            true => paint.paint(Ink::Faint, &format!("{key}  {}  (default)", self.value)),
            false => format!("{}  {}", paint.paint(Ink::Label, &key), self.value),
        }
    }
}

/// The longest name of a key.
const KEY_COLUMNS: usize = 12;

/// Tells or sets.
pub(super) fn run(
    args: &ConfigArgs,
    store: Option<&Path>,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let key = args.key.as_deref().map(str::parse::<ConfigKey>);
    let key = key.transpose().map_err(RepoError::from)?;
    let value = if args.unset { Some(CONFIG_OFF) } else { args.value.as_deref() };
    let place = Place::find(store)?;
    match (key, value) {
        (None, _) => list(place.config()?, args.json, terminal),
        (Some(key), None) => {
            let setting = JsonSetting::new(place.config()?, key);
            match args.json {
                true => Ok(terminal.json(&setting)?),
                false => Ok(terminal.line(&setting.value)?),
            }
        }
        (Some(key), Some(value)) => {
            // What cannot be is refused before a store is opened for it.
            Config::default().set(key, value).map_err(RepoError::from)?;
            let request = ConfigRequest { key, value: value.to_owned() };
            match place.daemon() {
                Some(daemon) => daemon.configure(&request)?,
                None => place.with_repo(|repo| Ok(repo.configure(&request).map(drop)?))?,
            }
            set(JsonSetting::new(place.config()?, key), args.json, terminal)?;
            if key.is_retention() && !place.config()?.retention.is_empty() {
                terminal.remark(
                    "`vst gc --dry-run` tells what the rules drop; a mount applies them ten minutes \
                     after the last change",
                )?;
            }
            Ok(())
        }
    }
}

fn list(config: Config, json: bool, terminal: &mut Terminal) -> Result<(), CliError> {
    let settings = ConfigKey::ALL.map(|key| JsonSetting::new(config, key));
    if json {
        let mut array = terminal.json_array()?;
        settings.iter().try_for_each(|setting| array.push(setting))?;
        return Ok(array.finish()?);
    }
    let paint = terminal.paint();
    settings.iter().try_for_each(|setting| Ok(terminal.line(&setting.line(paint))?))
}

/// Tells what was set.
fn set(setting: JsonSetting, json: bool, terminal: &mut Terminal) -> Result<(), CliError> {
    match json {
        true => Ok(terminal.json(&setting)?),
        false => Ok(terminal.line(&format!("{} is {}", setting.key, setting.value))?),
    }
}

#[cfg(test)]
mod tests {
    use super::{JsonSetting, KEY_COLUMNS, KEYS};
    use crate::cli::paint::Paint;
    use crate::model::{Config, ConfigKey};

    #[test]
    fn the_help_tells_of_every_key_and_all_fit_in_their_column() {
        for key in ConfigKey::ALL {
            assert!(KEYS.contains(&format!("\n  {key} ")), "{key}");
            assert!(key.name().len() <= KEY_COLUMNS, "{key}");
        }
    }

    #[test]
    fn what_is_not_set_is_told_apart() {
        let mut config = Config::default();
        config.set(ConfigKey::KeepLast, "7").unwrap();
        let line = |key| JsonSetting::new(config, key).line(Paint::new(false));
        assert_eq!(line(ConfigKey::KeepLast), "keep-last     7");
        assert_eq!(line(ConfigKey::AutoCommit), "auto-commit   off  (default)");
    }
}
