//! Names that come near to one that was mistyped.

/// How many names are proposed.
const NEAREST_MAX: usize = 3;
/// No name that could be meant is longer, in bytes; comparing takes time that grows with both.
const TEXT_BYTES_MAX: usize = 255;

/// The names that `text` is likely to have been meant for, the nearest first: those with few
/// letters wrong, missing, too many or swapped, and those that begin with it.
pub fn nearest(text: &str, names: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<String> {
    if text.is_empty() || text.len() > TEXT_BYTES_MAX {
        return Vec::new();
    }
    let text = text.to_lowercase();
    let mut found: Vec<(usize, String)> = Vec::new();
    for name in names {
        let name = name.as_ref();
        if name.len() > TEXT_BYTES_MAX {
            continue;
        }
        let lower = name.to_lowercase();
        let distance = match lower.starts_with(&text) {
            true => 1,
            false => strsim::osa_distance(&text, &lower),
        };
        // A third of the letters: with more wrong, two words have little in common.
        if distance <= text.chars().count().div_ceil(3) {
            found.push((distance, name.to_owned()));
        }
        // Among many names only the best are held.
        if found.len() > 2 * NEAREST_MAX {
            found.sort();
            found.truncate(NEAREST_MAX);
        }
    }
    found.sort();
    found.truncate(NEAREST_MAX);
    found.into_iter().map(|(_, name)| name).collect()
}

/// What an error says of names that come near; nothing if there are none.
pub fn proposal(nearest: &[String]) -> String {
    match nearest {
        [] => String::new(),
        [only] => format!(", but there is {only}"),
        [others @ .., last] => format!(", but there are {} and {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::{nearest, proposal};

    #[test]
    fn a_slip_of_the_fingers_is_understood() {
        let names = ["README.md", "main.rs", "man.rs", "v1", "v2", "release-1.0"];
        for (text, expected) in [
            ("readme.md", &["README.md"][..]),
            ("README", &["README.md"]),
            ("mian.rs", &["main.rs", "man.rs"]),
            ("v", &["v1", "v2"]),
            ("v3", &["v1", "v2"]),
            ("relase-1.0", &["release-1.0"]),
            ("something else", &[]),
            ("", &[]),
        ] {
            assert_eq!(nearest(text, names), expected, "{text}");
        }
    }

    #[test]
    fn of_many_names_the_nearest_are_proposed() {
        let names = (0..1000).map(|n| format!("file{n:04}")).chain(["fil".to_owned()]);
        assert_eq!(nearest("file", names), ["fil", "file0000", "file0001"]);
        assert_eq!(nearest(&"x".repeat(1000), ["x"]), [""; 0]);
    }

    #[test]
    fn a_proposal_is_part_of_a_sentence() {
        let text =
            |names: &[&str]| proposal(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(text(&[]), "");
        assert_eq!(text(&["a"]), ", but there is a");
        assert_eq!(text(&["a", "b", "c"]), ", but there are a, b and c");
    }
}
