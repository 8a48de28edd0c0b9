//! The layers, and what a source file must keep to.

use super::imports::{Target, imports};

/// The top modules of the crate with their layers. A module imports from lower layers only.
const LAYERS: [(&str, u32); 12] = [
    ("base", 0),
    ("model", 1),
    ("hash", 1),
    ("format", 2),
    ("content", 2),
    ("worktree", 3),
    ("store", 3),
    ("journal", 3),
    ("repo", 4),
    ("vfs", 5),
    ("fuse", 6),
    ("cli", 7),
];

/// The longest that a file may be.
pub(crate) const FILE_LINES_MAX: usize = 500;

/// Finds what a file breaks, one message each, which begins with the file and the line. `path`
/// is relative to `src`, with `/`.
pub(crate) fn violations(path: &str, source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut report = |line: usize, what: String| found.push(format!("src/{path}:{line}: {what}"));

    let heading = source.lines().next().and_then(|line| line.strip_prefix("//! "));
    if heading.is_none_or(|words| words.trim().is_empty()) {
        report(1, "the file does not begin with a `//!` heading".to_owned());
    }
    let lines = source.lines().count();
    if lines > FILE_LINES_MAX {
        report(lines, format!("the file has {lines} lines, and {FILE_LINES_MAX} are the limit"));
    }

    let module = module_path(path);
    let own = module.first().copied();
    if let Some(own) = own
        && layer(own).is_none()
    {
        report(1, format!("no layer knows the module `{own}`"));
    }
    for import in imports(source, &module) {
        if let Some(what) = objection(own, &import.target) {
            report(import.line, what);
        }
    }
    found
}

/// The layer of a top module.
pub(crate) fn layer(module: &str) -> Option<u32> {
    LAYERS.iter().find(|(name, _)| *name == module).map(|(_, layer)| *layer)
}

/// The module that a file holds; empty for the two roots.
fn module_path(path: &str) -> Vec<&str> {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    if matches!(stem, "lib" | "main") {
        return Vec::new();
    }
    let stem = stem.strip_suffix("/mod").unwrap_or(stem);
    stem.split('/').collect()
}

/// What is wrong with an import by the top module `own`, or by a root.
fn objection(own: Option<&str>, target: &Target) -> Option<String> {
    match target {
        Target::Glob => return Some("a glob import".to_owned()),
        Target::Hidden => return Some("a file from outside the module tree".to_owned()),
        _ => {}
    }
    // The roots put everything together, so they may name everything.
    let own = own?;
    let Target::Module(other) = target else {
        return Some(format!("`{own}` refers to the top of the crate, which has no layer"));
    };
    if own == other {
        return None;
    }
    // An unknown module of its own has been reported for the file.
    let own_layer = layer(own)?;
    let Some(other_layer) = layer(other) else {
        return Some(format!("`{own}` imports `{other}`, which no layer knows"));
    };
    let direction = match other_layer.cmp(&own_layer) {
        std::cmp::Ordering::Less => return None,
        std::cmp::Ordering::Equal => "a sideways import",
        std::cmp::Ordering::Greater => "an upward import",
    };
    Some(format!("{direction}: `{own}` (layer {own_layer}) of `{other}` (layer {other_layer})"))
}

#[cfg(test)]
mod tests {
    use super::{FILE_LINES_MAX, LAYERS, violations};

    fn check(path: &str, body: &str) -> Vec<String> {
        violations(path, &format!("//! Heading.\n{body}\n"))
    }

    #[test]
    fn imports_from_below_and_from_the_own_module_pass() {
        for (path, body) in [
            ("vfs/mod.rs", "use crate::{base::limits, model::Name, repo::Repo};"),
            ("vfs/handle.rs", "use super::Vfs;\nuse crate::vfs::inode::Inode;"),
            ("model/op.rs", "mod tests {\n    use super::super::Name;\n    use super::Op;\n}"),
            ("hash/mod.rs", "use super::base::limits;"),
            ("lib.rs", "pub use cli::run;\nuse crate::cli::run;"),
            ("main.rs", "use vst::cli;"),
        ] {
            assert_eq!(check(path, body), [""; 0], "{path}");
        }
    }

    #[test]
    fn an_upward_import_is_named_with_file_and_line() {
        assert_eq!(
            check("store/pack/reader.rs", "\nuse crate::repo::Repo;"),
            ["src/store/pack/reader.rs:3: an upward import: `store` (layer 3) of `repo` (layer 4)"]
        );
    }

    #[test]
    fn a_sideways_import_is_named_with_file_and_line() {
        assert_eq!(
            check("hash/mod.rs", "use super::model::ObjectId;"),
            ["src/hash/mod.rs:2: a sideways import: `hash` (layer 1) of `model` (layer 1)"]
        );
    }

    #[test]
    fn every_pair_of_layers_is_judged_by_its_order() {
        for (own, own_layer) in LAYERS {
            for (other, other_layer) in LAYERS {
                let found = check(&format!("{own}/a.rs"), &format!("use crate::{other}::X;"));
                let allowed = own == other || other_layer < own_layer;
                assert_eq!(found.is_empty(), allowed, "{own} -> {other}: {found:?}");
            }
        }
    }

    #[test]
    fn test_modules_follow_the_same_rule() {
        let body = "#[cfg(test)]\nmod tests {\n    use crate::fuse::Server;\n}";
        let found = check("vfs/mod.rs", body);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("src/vfs/mod.rs:4: an upward import"), "{found:?}");
    }

    #[test]
    fn a_glob_is_refused_everywhere() {
        for path in ["vfs/mod.rs", "lib.rs", "main.rs"] {
            let found = check(path, "mod tests {\n    use super::*;\n}");
            assert_eq!(found, [format!("src/{path}:3: a glob import")]);
        }
    }

    #[test]
    fn the_top_of_the_crate_and_unknown_modules_are_refused() {
        for body in ["use crate as all;", "use crate::util::f;", "crate::log_it!(x);"] {
            assert_eq!(check("vfs/mod.rs", body).len(), 1, "{body}");
        }
        assert_eq!(
            check("util/mod.rs", "use crate::base::limits;"),
            ["src/util/mod.rs:1: no layer knows the module `util`"]
        );
        assert_eq!(check("util.rs", ""), ["src/util.rs:1: no layer knows the module `util`"]);
        assert_eq!(check("bin/other.rs", "").len(), 1);
    }

    #[test]
    fn a_file_from_elsewhere_is_refused() {
        assert_eq!(check("lib.rs", "#[path = \"x.rs\"]\nmod x;").len(), 1);
    }

    #[test]
    fn a_file_of_the_limit_passes_and_one_line_more_does_not() {
        let body = |lines: usize| "\n".repeat(lines - 2);
        assert_eq!(check("vfs/mod.rs", &body(FILE_LINES_MAX)), [""; 0]);
        let found = check("vfs/mod.rs", &body(FILE_LINES_MAX + 1));
        assert_eq!(found, ["src/vfs/mod.rs:501: the file has 501 lines, and 500 are the limit"]);
    }

    #[test]
    fn a_file_needs_a_heading_with_words_on_its_first_line() {
        for source in ["", "use std::fmt;\n", "//!\n", "//!  \n", "// Heading\n", "\n//! Late.\n"] {
            assert_eq!(
                violations("vfs/mod.rs", source),
                ["src/vfs/mod.rs:1: the file does not begin with a `//!` heading"],
                "{source:?}"
            );
        }
    }
}
