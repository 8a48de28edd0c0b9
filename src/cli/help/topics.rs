//! The topics of `vst help`. Their texts lie beside this file: paragraphs, and lines that begin
//! with two blanks and stay as they are. The test of `--json` reads its contract in `json.txt`.

/// Something that concerns several commands.
#[derive(Debug)]
pub(in crate::cli) struct Topic {
    /// How it is asked for.
    pub(in crate::cli) name: &'static str,
    /// What it is about, in a line.
    pub(in crate::cli) about: &'static str,
    /// What there is to say.
    pub(in crate::cli) text: &'static str,
}

/// All of them.
pub(in crate::cli) const TOPICS: &[Topic] = &[
    Topic {
        name: "revisions",
        about: "how commits, and paths in them, are named",
        text: include_str!("revisions.txt"),
    },
    Topic {
        name: "control-files",
        about: "what .vst and .snapshots in the root of a mount are for",
        text: include_str!("control-files.txt"),
    },
    Topic {
        name: "durability",
        about: "what survives a crash, a power failure and a full disk",
        text: include_str!("durability.txt"),
    },
    Topic {
        name: "retention",
        about: "which snapshots are kept, and when disk is freed",
        text: include_str!("retention.txt"),
    },
    Topic {
        name: "json",
        about: "what --json prints, command by command",
        text: include_str!("json.txt"),
    },
];
