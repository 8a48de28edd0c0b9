//! Colours, for a terminal that shows them.

/// What a piece of text is, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    /// The id of a commit.
    Id,
    /// A time.
    Time,
    /// Who did something.
    Person,
    /// HEAD and tags.
    Label,
    /// What was added.
    Added,
    /// What was changed.
    Modified,
    /// What is gone.
    Deleted,
    /// What has another name.
    Renamed,
    /// A directory.
    Directory,
    /// What stands above what changed in a file.
    Heading,
    /// Where in a file lines changed.
    Hunk,
    /// What matters less than the rest.
    Faint,
}

/// Puts colour around text, or leaves it alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    colour: bool,
}

impl Paint {
    /// Colours if asked to.
    pub(super) const fn new(colour: bool) -> Self {
        Self { colour }
    }

    /// The text in the colour of what it is.
    pub(super) fn paint(self, ink: Ink, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        let (before, after) = self.around(ink);
        format!("{before}{text}{after}")
    }

    /// What turns a colour on, and off again.
    pub(super) fn around(self, ink: Ink) -> (&'static str, &'static str) {
        if !self.colour {
            return ("", "");
        }
        let on = match ink {
            Ink::Id | Ink::Modified => "\x1b[33m",
            Ink::Time | Ink::Renamed | Ink::Hunk => "\x1b[36m",
            Ink::Person => "\x1b[35m",
            Ink::Label => "\x1b[1;32m",
            Ink::Added => "\x1b[32m",
            Ink::Deleted => "\x1b[31m",
            Ink::Directory => "\x1b[1;34m",
            Ink::Heading => "\x1b[1m",
            Ink::Faint => "\x1b[2m",
        };
        (on, "\x1b[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::{Ink, Paint};

    #[test]
    fn colour_comes_only_where_it_is_wanted() {
        assert_eq!(Paint::new(false).paint(Ink::Id, "x"), "x");
        assert_eq!(Paint::new(true).paint(Ink::Id, "x"), "\x1b[33mx\x1b[0m");
        assert_eq!(Paint::new(true).paint(Ink::Id, ""), "");
    }
}
