//! What git takes for names.

/// Tells whether git takes a path for that of a file: it refuses what could be its own directory
/// on some filesystem, and some attack with it (`verify_path` of git, with its defaults on Linux).
pub(crate) fn accepts_path(path: &[u8], is_symlink: bool) -> bool {
    let parts: Vec<&[u8]> = path.split(|byte| matches!(byte, b'/' | b'\\')).collect();
    let ends_with_backslash = path.ends_with(b"\\");
    let is_bad = |part: &&[u8]| {
        matches!(*part, b"." | b"..")
            || is_git_directory(part)
            || is_symlink && part.eq_ignore_ascii_case(b".gitmodules")
    };
    !path.is_empty() && !ends_with_backslash && !parts.iter().any(is_bad)
}

/// Tells whether some filesystem takes a name for `.git`: whatever the case, with blanks, dots or
/// a stream behind, or as the short name of DOS.
fn is_git_directory(name: &[u8]) -> bool {
    let rest = [&b".git"[..], b"git~1"].iter().find_map(|git| {
        let (head, rest) = name.split_at_checked(git.len())?;
        head.eq_ignore_ascii_case(git).then_some(rest)
    });
    rest.is_some_and(|rest| {
        let end = rest.iter().position(|byte| !matches!(byte, b' ' | b'.'));
        end.is_none_or(|end| rest[end] == b':')
    })
}

/// Tells whether git takes a name for that of a tag (`git check-ref-format`).
pub(crate) fn accepts_tag(name: &str) -> bool {
    let bad_char = |c: char| c.is_ascii_control() || " ~^:?*[\\".contains(c);
    let bad_part = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    !name.contains(bad_char)
        && !name.contains("..")
        && !name.contains("@{")
        && !name.ends_with('.')
        && !name.starts_with('-')
        && !name.split('/').any(bad_part)
}

/// Appends a path as `git fast-import` takes it: as it is, or quoted where it would be misread.
pub(crate) fn put_path(out: &mut Vec<u8>, path: &[u8]) {
    if !path.starts_with(b"\"") && !path.contains(&b'\n') {
        out.extend_from_slice(path);
        return;
    }
    out.push(b'"');
    for byte in path {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::{accepts_path, accepts_tag, put_path};
    use crate::vfs::text::unquote_first as unquote;

    #[test]
    fn what_could_be_the_directory_of_git_is_no_path_for_it() {
        for good in [&b"a/b"[..], b".gitignore", b".gitmodules", b"git", b"a\\b", b".git_", b"..."]
        {
            assert!(accepts_path(good, false), "{:?}", good.escape_ascii().to_string());
        }
        for bad in [
            &b".git"[..],
            b"a/.GIT/b",
            b".git . ",
            b"git~1",
            b".git::$INDEX",
            b"a\\.git",
            b"a\\",
            b"a\\..",
            b"",
        ] {
            assert!(!accepts_path(bad, false), "{:?}", bad.escape_ascii().to_string());
        }
        assert!(!accepts_path(b"a/.gitmodules", true));
    }

    #[test]
    fn tags_are_what_check_ref_format_allows() {
        for good in ["v1", "a/b", "é", "a@b"] {
            assert!(accepts_tag(good), "{good}");
        }
        for bad in ["", "a b", ".a", "a/.b", "a..b", "a.lock", "a.", "a@{b", "a//b", "-a", "a~"] {
            assert!(!accepts_tag(bad), "{bad}");
        }
    }

    #[test]
    fn quotes_of_git_are_understood() {
        let text = br#""a\"\\\n\t\303\251 b" rest"#;
        assert_eq!(unquote(text), Some(("a\"\\\n\té b".into(), &b" rest"[..])));
        for bad in [&b"a"[..], b"\"a", b"\"\\", b"\"\\x\"", b"\"\\38x\"", b"\"\\0"] {
            assert_eq!(unquote(bad), None);
        }
    }

    proptest! {
        #[test]
        fn every_path_is_read_as_it_was_written(path in vec(any::<u8>(), 1..20)) {
            let mut text = Vec::new();
            put_path(&mut text, &path);
            match text.starts_with(b"\"") {
                true => assert_eq!(unquote(&text), Some((path, &b""[..]))),
                false => assert_eq!(text, path),
            }
        }
    }
}
