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
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Id | Ink::Modified => "33",
            Ink::Time | Ink::Renamed => "36",
            Ink::Person => "35",
            Ink::Label => "1;32",
            Ink::Added => "32",
            Ink::Deleted => "31",
            Ink::Directory => "1;34",
            Ink::Faint => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
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
