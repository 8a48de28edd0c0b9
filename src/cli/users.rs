//! Names of users and groups.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::model::Writer;

/// Names by number, as a file like `/etc/passwd` or `/etc/group` has them.
pub(super) struct Names {
    names: HashMap<u32, String>,
}

impl Names {
    /// The users of this machine.
    pub(super) fn users() -> Self {
        Self::read(Path::new("/etc/passwd"))
    }

    /// The groups of this machine.
    pub(super) fn groups() -> Self {
        Self::read(Path::new("/etc/group"))
    }

    /// A machine without such a file has no names.
    fn read(path: &Path) -> Self {
        Self::parse(&std::fs::read(path).unwrap_or_default())
    }

    /// Reads lines of the form `name:password:number:…`.
    fn parse(bytes: &[u8]) -> Self {
        let mut names = HashMap::new();
        for line in String::from_utf8_lossy(bytes).lines() {
            let mut fields = line.split(':');
            if let (Some(name), Some(id)) = (fields.next(), fields.nth(1))
                && let Ok(id) = id.parse()
                && !name.is_empty()
            {
                // The first of several is the one that other tools show.
                names.entry(id).or_insert_with(|| name.to_owned());
            }
        }
        Self { names }
    }

    /// The name, if there is one.
    pub(super) fn find(&self, id: u32) -> Option<&str> {
        self.names.get(&id).map(String::as_str)
    }
}

/// Who commits: `VST_AUTHOR` if that is set, otherwise the name of the user.
pub(super) fn author() -> String {
    if let Some(author) = std::env::var("VST_AUTHOR").ok().filter(|author| !author.is_empty()) {
        return author;
    }
    let uid = rustix::process::getuid().as_raw();
    Names::users().find(uid).map_or_else(|| format!("uid {uid}"), str::to_owned)
}

/// Who changes files where a command does it itself: the command.
pub(super) fn writer() -> Arc<Writer> {
    Arc::new(Writer::this_process())
}

#[cfg(test)]
mod tests {
    use super::Names;

    #[test]
    fn names_are_found_by_number() {
        let text = b"root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\n# no line\nm\xff:x:7:7\nx:y\n";
        let names = Names::parse(text);
        assert_eq!(names.find(0), Some("root"));
        assert_eq!(names.find(7), Some("m\u{fffd}"));
        assert_eq!(names.find(1), None);
    }
}
