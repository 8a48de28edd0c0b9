//! The file `config` of a store: what is set for it, as text.
//!
//! ```text
//! vst config 1
//! auto-commit = 30s
//! keep-last = 100
//! checksum = 25cb7eec
//! ```
//!
//! The first line has the version. A line follows for each key that is set, in the order of
//! [`ConfigKey::ALL`], and the CRC-32C of all that, as eight lowercase hex digits: a bit that flips
//! must not turn `keep-last = 900` into 100. There is one spelling of each configuration.

use crate::model::{Config, ConfigKey};

/// Longest file that is read.
pub const CONFIG_BYTES_MAX: usize = 4096;

const FIRST_LINE_PREFIX: &str = "vst config ";
const VERSION: &str = "1";
const CHECKSUM_PREFIX: &str = "checksum = ";

/// Why the bytes are no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigFileError {
    /// It was written by a newer program.
    #[error("version {0}")]
    Version(String),
    /// What no program wrote.
    #[error("line {line}: {detail}")]
    Line {
        /// Which line, counted from 1 on.
        line: usize,
        /// Where it begins.
        offset: u64,
        /// What is wrong with it.
        detail: String,
    },
}

/// Writes a configuration.
pub fn encode(config: &Config) -> Vec<u8> {
    let mut text = format!("{FIRST_LINE_PREFIX}{VERSION}\n");
    for key in ConfigKey::ALL {
        if let Some(value) = config.find(key) {
            text += &format!("{key} = {value}\n");
        }
    }
    let sum = crc32c::crc32c(text.as_bytes());
    text += &format!("{CHECKSUM_PREFIX}{sum:08x}\n");
    text.into_bytes()
}

/// Reads a configuration.
pub fn decode(bytes: &[u8]) -> Result<Config, ConfigFileError> {
    let wrong = |line, at: usize, detail: String| {
        Err(ConfigFileError::Line { line, offset: at as u64, detail })
    };
    if bytes.len() > CONFIG_BYTES_MAX {
        return wrong(1, 0, format!("the file is longer than {CONFIG_BYTES_MAX} bytes"));
    }
    let mut config = Config::default();
    let (mut at, mut number) = (0, 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        number += 1;
        let Some(text) = str::from_utf8(line).ok().and_then(|line| line.strip_suffix('\n')) else {
            return wrong(number, at, "it is no text that ends with a newline".to_owned());
        };
        if number == 1 {
            match text.strip_prefix(FIRST_LINE_PREFIX) {
                Some(VERSION) => {}
                Some(version) => return Err(ConfigFileError::Version(version.to_owned())),
                None => {
                    return wrong(1, 0, format!("it is not {FIRST_LINE_PREFIX:?} and a version"));
                }
            }
        } else if let Some(sum) = text.strip_prefix(CHECKSUM_PREFIX) {
            if sum != format!("{:08x}", crc32c::crc32c(&bytes[..at])) {
                return wrong(number, at, "the checksum does not match".to_owned());
            }
            // What has this checksum, and says the same in other words, was written by hand.
            return match bytes == encode(&config) {
                true => Ok(config),
                false => wrong(number, at, "not all is written as `vst config` does".to_owned()),
            };
        } else {
            let Some((key, value)) = text.split_once(" = ") else {
                return wrong(number, at, "it is not `KEY = VALUE`".to_owned());
            };
            let set = key.parse().and_then(|key| config.set(key, value));
            if let Err(error) = set {
                return wrong(number, at, error.to_string());
            }
        }
        at += line.len();
    }
    wrong(number + 1, at, "it ends without a checksum".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{CONFIG_BYTES_MAX, ConfigFileError, decode, encode};
    use crate::model::{AutoCommit, Config, ConfigKey, Retention};

    fn every_key() -> Config {
        let (numbers, within) = (Some(u64::MAX), Some(Duration::from_secs(u64::MAX)));
        Config {
            auto_commit: AutoCommit::Every(Duration::from_secs(30)),
            retention: Retention {
                last: numbers,
                within,
                hourly: numbers,
                daily: numbers,
                weekly: numbers,
                monthly: numbers,
                tagged: true,
            },
        }
    }

    fn line_of(bytes: &[u8]) -> (usize, String) {
        match decode(bytes) {
            Err(ConfigFileError::Line { line, detail, .. }) => (line, detail),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_short_enough() {
        for config in [Config::default(), every_key()] {
            let bytes = encode(&config);
            assert!(bytes.len() <= CONFIG_BYTES_MAX);
            assert_eq!(decode(&bytes), Ok(config));
        }
        assert_eq!(ConfigKey::ALL.map(|key| every_key().find(key).is_some()), [true; 8]);
    }

    #[test]
    fn the_example_is_one() {
        let text = "vst config 1\nauto-commit = 30s\nkeep-last = 100\nchecksum = 25cb7eec\n";
        let config = decode(text.as_bytes()).unwrap();
        assert_eq!(config.get(ConfigKey::KeepLast), "100");
        assert_eq!(config.get(ConfigKey::AutoCommit), "30s");
    }

    #[test]
    fn every_bit_counts() {
        let bytes = encode(&every_key());
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bytes).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let first = "vst config 1\n";
        for (text, line, says) in [
            (String::new(), 1, "without a checksum"),
            ("keep-last = 1\n".to_owned(), 1, "a version"),
            (first.to_owned(), 2, "without a checksum"),
            (format!("{first}keep-last = 1\nkeep-all = 2\n"), 3, "no setting \"keep-all\""),
            (format!("{first}keep-last = many\n"), 2, "keep-last cannot be \"many\""),
            (format!("{first}keep-last\n"), 2, "KEY = VALUE"),
            (format!("{first}keep-last = 1\nchecksum = 00000000\n"), 3, "does not match"),
            (format!("{first}keep-last = 1"), 2, "ends with a newline"),
            ("x".repeat(CONFIG_BYTES_MAX + 1), 1, "longer than 4096 bytes"),
        ] {
            let (at, detail) = line_of(text.as_bytes());
            assert_eq!(at, line, "{text}");
            assert!(detail.contains(says), "{text}: {detail}");
        }
        let newer = decode(b"vst config 2\nx\n");
        assert_eq!(newer, Err(ConfigFileError::Version("2".to_owned())));
        for other in ["keep-last = 1\nkeep-last = 1\n", "keep-last = 01\n", "keep-last = off\n"] {
            let text = format!("{first}{other}");
            let sum = crc32c::crc32c(text.as_bytes());
            let (_, detail) = line_of(format!("{text}checksum = {sum:08x}\n").as_bytes());
            assert_eq!(detail, "not all is written as `vst config` does");
        }
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same_bytes(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            keep in any::<u64>(),
        ) {
            if let Ok(config) = decode(&bytes) {
                prop_assert_eq!(encode(&config), bytes);
            }
            let mut config = Config::default();
            config.retention.daily = Some(keep);
            prop_assert_eq!(decode(&encode(&config)), Ok(config));
        }
    }
}
