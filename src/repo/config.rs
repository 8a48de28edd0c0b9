//! What is set for a store, and how it is changed while the store is in use.

use std::fmt;
use std::str::FromStr;

use super::{Repo, RepoError};
use crate::model::{Config, ConfigError, ConfigKey};

/// A key that is to be set, and to what; in words, the two of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigRequest {
    /// The key.
    pub key: ConfigKey,
    /// What it is set to.
    pub value: String,
}

impl FromStr for ConfigRequest {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [key, value] = words[..] else { return Err(ConfigError::Request) };
        Ok(Self { key: key.parse()?, value: value.to_owned() })
    }
}

impl fmt::Display for ConfigRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, self.value)
    }
}

impl Repo {
    /// What is set for the store.
    pub fn config(&self) -> Result<Config, RepoError> {
        Ok(self.store().config()?)
    }

    /// Sets a key, durably, and returns what is set then. Those who work in the background go by it
    /// from then on.
    pub fn configure(&self, request: &ConfigRequest) -> Result<Config, RepoError> {
        let _configuring = self.configuring.lock();
        let mut config = self.config()?;
        config.set(request.key, &request.value)?;
        if request.key.is_retention() {
            // Before there is anything to go by.
            self.keeper.note_new_rules();
        }
        self.store().set_config(&config)?;
        if request.key == ConfigKey::AutoCommit {
            self.committer.look_again();
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::ConfigRequest;
    use crate::model::{ConfigError, ConfigKey};

    #[test]
    fn a_request_is_a_key_and_a_value() {
        let request: ConfigRequest = " keep-last\t7\n".parse().unwrap();
        assert_eq!(request, ConfigRequest { key: ConfigKey::KeepLast, value: "7".to_owned() });
        assert_eq!(request.to_string().parse(), Ok(request));
        for text in ["", "keep-last", "keep-last 7 8"] {
            assert_eq!(text.parse::<ConfigRequest>(), Err(ConfigError::Request), "{text}");
        }
        assert_eq!("a b".parse::<ConfigRequest>(), Err(ConfigError::Key("a".to_owned())));
    }
}
