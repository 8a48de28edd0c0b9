//! What is set for a store: how often a commit is made without being asked for, and which commits
//! are kept.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::duration::{duration_text, parse_duration};

/// All that is set for a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// How often a mount commits by itself.
    pub auto_commit: AutoCommit,
    /// Which commits are kept. What no rule keeps is dropped in the background.
    pub retention: Retention,
}

/// How often a mount commits by itself, if anything changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoCommit {
    /// Never.
    #[default]
    Off,
    /// After such a time, a second at least.
    Every(Duration),
}

/// Rules of which each keeps some commits. Without any, all are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// So many of the newest.
    pub last: Option<u64>,
    /// Those that are no older.
    pub within: Option<Duration>,
    /// The newest of each of so many of the last hours in which something was committed.
    pub hourly: Option<u64>,
    /// The newest of each of so many of the last days on which something was committed (UTC).
    pub daily: Option<u64>,
    /// The newest of each of so many of the last weeks in which something was committed; they
    /// begin on Mondays.
    pub weekly: Option<u64>,
    /// The newest of each of so many of the last months in which something was committed.
    pub monthly: Option<u64>,
    /// None but those that are kept anyway: the newest, the head, and what a ref points to.
    pub tagged: bool,
}

/// The name of something that can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigKey {
    /// How often a mount commits by itself.
    AutoCommit,
    /// [`Retention::last`].
    KeepLast,
    /// [`Retention::within`].
    KeepWithin,
    /// [`Retention::hourly`].
    KeepHourly,
    /// [`Retention::daily`].
    KeepDaily,
    /// [`Retention::weekly`].
    KeepWeekly,
    /// [`Retention::monthly`].
    KeepMonthly,
    /// [`Retention::tagged`].
    KeepTagged,
}

/// Why something cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// There is no such key.
    #[error("there is no setting {0:?}: they are {names}", names = key_names())]
    Key(String),
    /// What is asked for is no key and a value.
    #[error("write a key and a value, or `off`: `keep-last 100`, `keep-last off`")]
    Request,
    /// The value is none of this key.
    #[error("{key} cannot be {value:?}: write {}", key.expects())]
    Value {
        /// The key.
        key: ConfigKey,
        /// The value.
        value: String,
    },
}

/// What a key has unless it is set, and a value that any key takes.
pub const CONFIG_OFF: &str = "off";
const ON: &str = "on";

impl ConfigKey {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 8] = [
        Self::AutoCommit,
        Self::KeepLast,
        Self::KeepWithin,
        Self::KeepHourly,
        Self::KeepDaily,
        Self::KeepWeekly,
        Self::KeepMonthly,
        Self::KeepTagged,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::AutoCommit => "auto-commit",
            Self::KeepLast => "keep-last",
            Self::KeepWithin => "keep-within",
            Self::KeepHourly => "keep-hourly",
            Self::KeepDaily => "keep-daily",
            Self::KeepWeekly => "keep-weekly",
            Self::KeepMonthly => "keep-monthly",
            Self::KeepTagged => "keep-tagged",
        }
    }

    /// Tells whether it is a rule of what is kept.
    pub fn is_retention(self) -> bool {
        self != Self::AutoCommit
    }

    /// What can be written as its value.
    fn expects(self) -> &'static str {
        match self {
            Self::AutoCommit => "a time of one second or more, such as 30s or 5m, or off",
            Self::KeepWithin => "a time such as 30m, 12h, 7d or 4w, or off",
            Self::KeepTagged => "on or off",
            _ => "a number, or off",
        }
    }
}

impl FromStr for ConfigKey {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let key = Self::ALL.into_iter().find(|key| key.name() == text);
        key.ok_or_else(|| ConfigError::Key(text.to_owned()))
    }
}

impl fmt::Display for ConfigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for AutoCommit {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        if text == CONFIG_OFF {
            return Ok(Self::Off);
        }
        let every = parse_duration(text).ok().filter(|every| !every.is_zero());
        let error = || ConfigError::Value { key: ConfigKey::AutoCommit, value: text.to_owned() };
        every.map(Self::Every).ok_or_else(error)
    }
}

impl fmt::Display for AutoCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str(CONFIG_OFF),
            Self::Every(every) => f.write_str(&duration_text(*every)),
        }
    }
}

impl Retention {
    /// Tells whether there is no rule.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The rule of a key that has a number.
    fn number(&mut self, key: ConfigKey) -> Option<&mut Option<u64>> {
        match key {
            ConfigKey::KeepLast => Some(&mut self.last),
            ConfigKey::KeepHourly => Some(&mut self.hourly),
            ConfigKey::KeepDaily => Some(&mut self.daily),
            ConfigKey::KeepWeekly => Some(&mut self.weekly),
            ConfigKey::KeepMonthly => Some(&mut self.monthly),
            ConfigKey::AutoCommit | ConfigKey::KeepWithin | ConfigKey::KeepTagged => None,
        }
    }
}

impl Config {
    /// What a key has, as text, unless it has its default.
    pub fn find(mut self, key: ConfigKey) -> Option<String> {
        if let Some(number) = self.retention.number(key) {
            return number.map(|number| number.to_string());
        }
        match (key, self.auto_commit) {
            (ConfigKey::KeepWithin, _) => self.retention.within.map(duration_text),
            (ConfigKey::KeepTagged, _) => self.retention.tagged.then(|| ON.to_owned()),
            (_, AutoCommit::Off) => None,
            (_, every) => Some(every.to_string()),
        }
    }

    /// What a key has, as text.
    pub fn get(self, key: ConfigKey) -> String {
        self.find(key).unwrap_or_else(|| CONFIG_OFF.to_owned())
    }

    /// Sets a key to what a text says.
    pub fn set(&mut self, key: ConfigKey, value: &str) -> Result<(), ConfigError> {
        let is_off = value == CONFIG_OFF;
        let error = || ConfigError::Value { key, value: value.to_owned() };
        if let Some(number) = self.retention.number(key) {
            *number = match is_off {
                true => None,
                false => Some(value.parse().map_err(|_| error())?),
            };
            return Ok(());
        }
        match key {
            ConfigKey::KeepWithin if is_off => self.retention.within = None,
            ConfigKey::KeepWithin => {
                self.retention.within = Some(parse_duration(value).map_err(|_| error())?);
            }
            ConfigKey::KeepTagged if is_off || value == ON => self.retention.tagged = !is_off,
            ConfigKey::KeepTagged => return Err(error()),
            _ => self.auto_commit = value.parse()?,
        }
        Ok(())
    }
}

fn key_names() -> String {
    ConfigKey::ALL.map(ConfigKey::name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::{Config, ConfigKey};

    #[test]
    fn what_is_set_is_told_and_off_takes_it_back() {
        let mut config = Config::default();
        for (n, key) in ConfigKey::ALL.into_iter().enumerate() {
            assert_eq!(key.name().parse(), Ok(key));
            assert_eq!((config.find(key), config.get(key)), (None, "off".to_owned()));
            let value = match key {
                ConfigKey::AutoCommit | ConfigKey::KeepWithin => "90m".to_owned(),
                ConfigKey::KeepTagged => "on".to_owned(),
                _ => n.to_string(),
            };
            let before = config;
            config.set(key, &value).unwrap();
            assert_eq!(config.find(key), Some(value));
            let mut again = config;
            again.set(key, "off").unwrap();
            assert_eq!(again, before);
        }
    }

    #[test]
    fn what_cannot_be_set_is_named_with_what_can() {
        let error = "keep-all".parse::<ConfigKey>().unwrap_err().to_string();
        assert!(error.starts_with("there is no setting \"keep-all\": they are auto-commit, keep-"));
        for (key, bad, says) in [
            (ConfigKey::AutoCommit, "0s", "one second or more"),
            (ConfigKey::AutoCommit, "30", "such as 30s"),
            (ConfigKey::KeepLast, "-1", "a number, or off"),
            (ConfigKey::KeepLast, "", "a number, or off"),
            (ConfigKey::KeepWithin, "1y", "such as 30m"),
            (ConfigKey::KeepTagged, "yes", "on or off"),
        ] {
            let mut config = Config::default();
            let error = config.set(key, bad).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{key} cannot be {bad:?}: ")), "{error}");
            assert!(error.contains(says), "{error}");
            assert_eq!(config, Config::default());
        }
    }
}
