//! The file that says what is set for a store: `format::config` has its bytes.

use super::layout::Layout;
use super::{Durability, Store, StoreError, files};
use crate::format::config::{CONFIG_BYTES_MAX, ConfigFileError, decode, encode};
use crate::model::Config;

/// Reads what is set; without a file, nothing is.
pub(super) fn read(layout: &Layout) -> Result<Config, StoreError> {
    let path = layout.config();
    let Some(bytes) = files::read_bounded(&**layout.disk(), &path, CONFIG_BYTES_MAX)? else {
        return Ok(Config::default());
    };
    decode(&bytes).map_err(|error| match &error {
        ConfigFileError::Version(_) => {
            StoreError::UnknownFormat { path, found: format!("configuration {error}") }
        }
        ConfigFileError::Line { offset, .. } => StoreError::corrupt(&path, *offset, error),
    })
}

impl Store {
    /// What is set for the store.
    pub fn config(&self) -> Result<Config, StoreError> {
        read(&self.layout).map_err(|error| match error {
            StoreError::Corrupt { file, offset, detail } => {
                let advice = "without that file nothing is set, and `vst config` makes a new one";
                StoreError::Corrupt { file, offset, detail: format!("{detail}; {advice}") }
            }
            error => error,
        })
    }

    /// Sets it, durably and as a whole: whoever reads it finds what was set before, or this. The
    /// caller lets nobody else do the same meanwhile.
    pub fn set_config(&self, config: &Config) -> Result<(), StoreError> {
        let path = self.layout.config();
        if self.lock.is_none() {
            return Err(StoreError::ReadOnly { path });
        }
        files::replace(&**self.disk(), &path, &encode(config), Durability::Strict)
    }
}
