//! Who made a change, for people and for programs.

use std::sync::Arc;

use serde::Serialize;

use super::error::flat;
use super::paint::{Ink, Paint};
use super::users::Names;
use crate::model::Writer;

/// Tells who made changes.
pub(super) struct Who {
    users: Names,
}

/// Who made each of some changes, where that is known.
pub(super) type Makers = Vec<Option<Arc<Writer>>>;

impl Who {
    /// With the names of the users of this machine.
    pub(super) fn new() -> Self {
        Self { users: Names::users() }
    }

    /// The end of a line about a change: `  by sed, root`; nothing where nothing is known.
    pub(super) fn text(&self, writer: Option<&Arc<Writer>>, paint: Paint) -> String {
        let Some(writer) = writer else { return String::new() };
        let user = match self.users.find(writer.uid) {
            Some(user) => flat(user),
            None => format!("uid {}", writer.uid),
        };
        let text = match command(writer) {
            Some(command) => format!("by {}, {user}", flat(&command)),
            None => format!("by {user}"),
        };
        format!("  {}", paint.paint(Ink::Person, &text))
    }

    /// The same in JSON.
    pub(super) fn json(&self, writer: &Writer) -> JsonBy {
        let user = self.users.find(writer.uid).map(str::to_owned);
        JsonBy { command: command(writer), uid: writer.uid, user }
    }
}

/// Names of commands are any bytes.
fn command(writer: &Writer) -> Option<String> {
    let name = writer.name();
    (!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned())
}

/// Who made a change, in JSON:
///
/// ```json
/// {"command":"sed","uid":0,"user":"root"}
/// ```
///
/// `command` is null where only the user is known, `user` where he has no name on this machine.
#[derive(Debug, Serialize)]
pub(super) struct JsonBy {
    command: Option<String>,
    uid: u32,
    user: Option<String>,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Who;
    use crate::cli::paint::Paint;
    use crate::model::Writer;

    #[test]
    fn a_name_cannot_steer_the_terminal_and_what_is_not_known_is_left_out() {
        let who = Who::new();
        let text = |name, uid| who.text(Some(&Arc::new(Writer::new(name, uid))), Paint::new(false));
        assert_eq!(text(b"se\x1bd", 4_000_000_000), "  by se\\u{1b}d, uid 4000000000");
        assert_eq!(text(b"", 0), "  by root");
        assert_eq!(who.text(None, Paint::new(false)), "");
        let json = serde_json::to_value(who.json(&Writer::new(b"", 0))).unwrap();
        assert_eq!(json, serde_json::json!({"command": null, "uid": 0, "user": "root"}));
    }
}
