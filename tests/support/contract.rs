//! What `vst help json` says that `--json` prints, read so that output can be held against it.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

const VST: &str = env!("CARGO_BIN_EXE_vst");

/// The documentation.
pub(crate) struct Contract {
    /// Types by command lines.
    pub(crate) commands: BTreeMap<String, String>,
    /// Keys with their types.
    types: BTreeMap<String, BTreeMap<String, String>>,
}

impl Contract {
    /// Asks the program.
    pub(crate) fn read() -> Self {
        let output = Command::new(VST).args(["help", "json"]).output().expect("it is built");
        Self::parse(str::from_utf8(&output.stdout).expect("help is text"))
    }

    /// Two blanks and `vst` begin a command, two blanks a type, four a key of it.
    fn parse(help: &str) -> Self {
        let mut found = Self { commands: BTreeMap::new(), types: BTreeMap::new() };
        let mut current = String::new();
        for line in help.lines() {
            let columns: Vec<&str> =
                line.split("  ").map(str::trim).filter(|column| !column.is_empty()).collect();
            match (line.len() - line.trim_start().len(), columns.as_slice()) {
                (2, [command, of]) => {
                    found.commands.insert((*command).to_owned(), (*of).to_owned());
                }
                (2, [name]) => {
                    current = (*name).to_owned();
                    assert!(found.types.insert(current.clone(), BTreeMap::new()).is_none());
                }
                (4, [key, of, ..]) => {
                    let keys = found.types.get_mut(&current).expect("a type comes first");
                    let old = keys.insert((*key).to_owned(), (*of).to_owned());
                    assert!(old.is_none(), "{current} has two keys {key}");
                }
                _ => {}
            }
        }
        found
    }

    /// What is wrong with what a documented command printed; `what` names it.
    pub(crate) fn wrong(&self, documented: &str, what: &str, output: &str) -> Vec<String> {
        let of = self.commands.get(documented);
        let of = of.unwrap_or_else(|| panic!("{documented} is not documented"));
        let value = serde_json::from_str(output).expect("it is JSON");
        let mut wrong = Vec::new();
        self.check(&value, of, what, &mut wrong);
        wrong
    }

    /// What is wrong with a value of a type, found at a place in the output.
    fn check(&self, value: &Value, of: &str, at: &str, wrong: &mut Vec<String>) {
        let Some(of) = of.split('|').find(|of| self.fits(value, of)) else {
            wrong.push(format!("{at} is {value}, not {of}"));
            return;
        };
        if let Some(inner) = of.strip_prefix('[').and_then(|of| of.strip_suffix(']')) {
            for (n, value) in value.as_array().into_iter().flatten().enumerate() {
                self.check(value, inner, &format!("{at}[{n}]"), wrong);
            }
        }
        let (Some(keys), Some(object)) = (self.types.get(of), value.as_object()) else { return };
        for (key, of) in keys {
            let (name, is_optional) = match key.strip_suffix('?') {
                Some(name) => (name, true),
                None => (key.as_str(), false),
            };
            match object.get(name) {
                Some(value) => self.check(value, of, &format!("{at}.{name}"), wrong),
                None if is_optional => {}
                None => wrong.push(format!("{at} has no {name}")),
            }
        }
        let known =
            |name: &String| keys.contains_key(name) || keys.contains_key(&(name.clone() + "?"));
        let unknown = object.keys().filter(|name| !known(name));
        wrong.extend(unknown.map(|name| format!("{at}.{name} is not documented")));
    }

    /// Tells whether a value is of a type, as far as its surface shows.
    fn fits(&self, value: &Value, of: &str) -> bool {
        match of {
            "null" => value.is_null(),
            "bool" => value.is_boolean(),
            "number" => value.is_number(),
            "text" => value.is_string(),
            "id" => value.as_str().is_some_and(|text| {
                text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
            }),
            "time" => value.as_str().is_some_and(|text| {
                text.len() == "2026-03-01T11:00:00.000000000Z".len() && text.ends_with('Z')
            }),
            _ if of.starts_with('[') => value.is_array(),
            _ => {
                assert!(self.types.contains_key(of), "nothing says what {of} is");
                value.is_object()
            }
        }
    }
}

/// The reader watched at work.
mod tests {
    use super::Contract;

    #[test]
    fn what_is_not_documented_is_found() {
        let contract = Contract::parse(
            "  vst a  A\n\n  A\n    x   number|null   a thing\n    y?  [B]\n\n  B\n    z  id\n",
        );
        let wrong = |text: &str| contract.wrong("vst a", "a", text);
        assert_eq!(wrong(r#"{"x":1}"#), [""; 0]);
        assert_eq!(wrong(r#"{"x":null,"y":[]}"#), [""; 0]);
        assert_eq!(wrong(r#"{"x":"1"}"#), ["a.x is \"1\", not number|null"]);
        assert_eq!(
            wrong(r#"{"y":[{"z":"no id"}]}"#),
            ["a has no x", "a.y[0].z is \"no id\", not id"]
        );
        assert_eq!(wrong(r#"{"x":1,"w":2}"#), ["a.w is not documented"]);
    }
}
