//! What a file of the crate refers to by path: its `use` trees, and the paths in its code that
//! begin at the crate or climb with `super`.

use super::lexer::{Token, tokens};

/// A reference from a module to a place in the crate, or a construct that would hide one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Import {
    /// Where it stands, counted from 1.
    pub(crate) line: usize,
    /// What it refers to.
    pub(crate) target: Target,
}

/// What an import refers to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A top module of the crate, by name.
    Module(String),
    /// The top of the crate itself: under another name, everything could be reached through it.
    Root,
    /// Above the top of the crate.
    Nowhere,
    /// Everything in some module.
    Glob,
    /// Code or modules from a file that is not where the module tree says.
    Hidden,
}

/// Finds the imports of a file. `module` is the path of the module that the file holds, from the
/// top of the crate.
pub(crate) fn imports(source: &str, module: &[&str]) -> Vec<Import> {
    let tokens = tokens(source);
    let mut scan = Scan {
        tokens: &tokens,
        at: 0,
        module: module.iter().map(|name| (*name).to_owned()).collect(),
        inline: Vec::new(),
        depth: 0,
        found: Vec::new(),
    };
    scan.run();
    scan.found
}

struct Scan<'a> {
    tokens: &'a [Token],
    at: usize,
    /// The module at this place, inline modules included.
    module: Vec<String>,
    /// The brace depth at which each inline module opened.
    inline: Vec<usize>,
    depth: usize,
    found: Vec<Import>,
}

impl Scan<'_> {
    fn run(&mut self) {
        while let Some(token) = self.tokens.get(self.at) {
            match token.text.as_str() {
                "use" if self.text(1) != "<" => {
                    self.at += 1;
                    self.use_tree(&[]);
                    continue;
                }
                "mod" if self.text(2) == "{" => {
                    self.module.push(plain(self.text(1)).to_owned());
                    self.inline.push(self.depth);
                    self.at += 1;
                }
                "{" => self.depth += 1,
                "}" => self.close(),
                "extern" if self.text(1) == "crate" && matches!(self.text(2), "self" | "vst") => {
                    self.found.push(Import { line: token.line, target: Target::Root });
                }
                "include" if self.text(1) == "!" => self.hidden(token.line),
                "path" if self.text(1) == "=" && self.in_attribute() => self.hidden(token.line),
                _ if self.begins_path() => {
                    let line = token.line;
                    let path = self.path();
                    self.add(line, &path);
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    /// The text of a token further on, or nothing at the end.
    fn text(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", |token| &token.text)
    }

    /// The text of a token before this one.
    fn text_before(&self, back: usize) -> &str {
        self.at.checked_sub(back).map_or("", |at| &self.tokens[at].text)
    }

    fn hidden(&mut self, line: usize) {
        self.found.push(Import { line, target: Target::Hidden });
    }

    /// `#[path = ..]` or `#[cfg_attr(.., path = ..)]`.
    fn in_attribute(&self) -> bool {
        let inside = self.tokens[..self.at].iter().rev();
        let mut inside = inside.take_while(|token| !matches!(token.text.as_str(), "[" | "]"));
        self.text_before(1) == "[" && self.text_before(2) == "#"
            || inside.any(|token| token.text == "cfg_attr")
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        if self.inline.last() == Some(&self.depth) {
            self.inline.pop();
            self.module.pop();
        }
    }

    /// Tells whether a path into the crate starts at this token.
    fn begins_path(&self) -> bool {
        if self.text(1) != "::" {
            return false;
        }
        let leading = self.text_before(1) == "::";
        match self.text(0) {
            "crate" | "super" | "self" => !leading,
            // `::vst::x` begins a path, `x::vst::y` and `<T>::vst::y` go on with one.
            "vst" => {
                let before = self.at.checked_sub(2).map(|at| &self.tokens[at]);
                !leading || !before.is_some_and(|token| token.is_word() || token.text == ">")
            }
            _ => false,
        }
    }

    /// Takes the words of a path, and stops at what is none.
    fn path(&mut self) -> Vec<String> {
        let mut path = Vec::new();
        while self.tokens.get(self.at).is_some_and(Token::is_word) {
            path.push(plain(self.text(0)).to_owned());
            self.at += 1;
            if self.text(0) != "::" || !self.tokens.get(self.at + 1).is_some_and(Token::is_word) {
                break;
            }
            self.at += 1;
        }
        path
    }

    /// Takes one tree of a `use`, up to the `,`, `}` or `;` behind it.
    fn use_tree(&mut self, prefix: &[String]) {
        let mut path = prefix.to_vec();
        let mut line = self.tokens.get(self.at).map_or(0, |token| token.line);
        // `::vst` and a macro's `$crate`.
        if matches!(self.text(0), "::" | "$") {
            self.at += 1;
        }
        while let Some(token) = self.tokens.get(self.at) {
            match token.text.as_str() {
                "{" => return self.use_group(&path),
                "*" => {
                    self.found.push(Import { line: token.line, target: Target::Glob });
                    self.at += 1;
                    return self.add(token.line, &path);
                }
                "as" => {
                    self.at += 2;
                    return self.add(line, &path);
                }
                "::" => self.at += 1,
                _ if token.is_word() => {
                    line = token.line;
                    path.extend(self.path());
                }
                _ => return self.add(line, &path),
            }
        }
        self.add(line, &path);
    }

    fn use_group(&mut self, prefix: &[String]) {
        self.at += 1;
        while let Some(token) = self.tokens.get(self.at) {
            match token.text.as_str() {
                "}" => {
                    self.at += 1;
                    return;
                }
                "," => self.at += 1,
                "{" | "*" | "::" | "$" => self.use_tree(prefix),
                _ if token.is_word() => self.use_tree(prefix),
                // No use tree after all, but a macro's pattern, say: the rest is code again.
                _ => return,
            }
        }
    }

    /// Records where a path leads, if that is into the crate.
    fn add(&mut self, line: usize, path: &[String]) {
        if let Some(target) = resolve(&self.module, path) {
            self.found.push(Import { line, target });
        }
    }
}

/// A name without the mark of a raw identifier.
fn plain(word: &str) -> &str {
    word.strip_prefix("r#").unwrap_or(word)
}

/// Where a path that stands in `module` leads: `None` for another crate or something in scope.
fn resolve(module: &[String], path: &[String]) -> Option<Target> {
    let (first, mut rest) = path.split_first()?;
    let mut place = match first.as_str() {
        "crate" | "vst" => Vec::new(),
        "self" => module.to_vec(),
        "super" => {
            rest = path;
            module.to_vec()
        }
        _ => return None,
    };
    while let Some((step, further)) = rest.split_first() {
        match step.as_str() {
            "super" if place.pop().is_none() => return Some(Target::Nowhere),
            "super" | "self" => rest = further,
            _ => break,
        }
    }
    let top = place.first().or(rest.first());
    Some(top.map_or(Target::Root, |name| Target::Module(name.clone())))
}

#[cfg(test)]
mod tests {
    use super::{Target, imports};

    /// The lines and targets in a file of the module `store::pack`.
    fn found(source: &str) -> Vec<(usize, String)> {
        imports(source, &["store", "pack"])
            .into_iter()
            .map(|import| {
                let target = match import.target {
                    Target::Module(name) => name,
                    other => format!("{other:?}"),
                };
                (import.line, target)
            })
            .collect()
    }

    fn targets(source: &str) -> Vec<String> {
        found(source).into_iter().map(|(_, target)| target).collect()
    }

    #[test]
    fn every_way_to_write_a_use_is_found() {
        for source in [
            "use crate::vfs;",
            "use crate::vfs::Handle;",
            "pub(crate) use crate::vfs::Handle as Other;",
            "use ::vst::vfs::Handle;",
            "use vst::vfs::Handle;",
            "use crate::r#vfs::Handle;",
            "use crate::{vfs};",
            "use crate::{vfs::{self, a::{b, c}}}",
            "use {crate::vfs::Handle};",
            "use super::super::vfs::Handle;",
            "use super::{super::vfs::Handle};",
            "use self::super::super::vfs::Handle;",
            "fn f() { use crate::vfs::Handle; }",
            "use\n crate // why\n ::\n /* what */ vfs :: Handle;",
            "mod tests { use super::super::super::vfs::Handle; }",
            "macro_rules! m { () => { use $crate::vfs::Handle; } }",
        ] {
            let found = targets(source);
            assert!(!found.is_empty(), "{source}");
            assert!(found.iter().all(|target| target == "vfs"), "{source}: {found:?}");
        }
    }

    #[test]
    fn every_branch_of_a_group_is_found_with_its_line() {
        let source =
            "use std::fmt;\nuse crate::{\n    base::x,\n    model::{y, z as w},\n    hash,\n};";
        let expected = [(3, "base"), (4, "model"), (4, "model"), (5, "hash")];
        assert_eq!(found(source), expected.map(|(line, name)| (line, name.to_owned())));
    }

    #[test]
    fn paths_in_code_are_found() {
        for source in [
            "fn f(x: crate::vfs::Handle) {}",
            "type A = Vec<crate::vfs::Handle>;",
            "let x = y::<crate::vfs::Handle>();",
            "impl vst::vfs::Trait for X {}",
            "let x = ::vst::vfs::f();",
            "let x = super::super::vfs::f();",
            "mod a { mod b { fn f() { super::super::super::super::vfs::f() } } }",
            "pub(in crate::vfs) fn f() {}",
            "\nlet x = (\"crate::cli::f()\", crate::vfs::f());",
        ] {
            assert_eq!(targets(source), ["vfs"], "{source}");
        }
        assert_eq!(found("\n\ncrate::vfs::f()"), [(3, "vfs".to_owned())]);
    }

    #[test]
    fn modules_end_where_their_braces_do() {
        let source = "mod a { fn f() { if x { y } } }\nuse super::super::vfs::f;";
        assert_eq!(targets(source), ["vfs"]);
        assert_eq!(targets("mod a { use super::super::index::f; }"), ["store"]);
        assert_eq!(targets("mod a;\nuse super::super::vfs::f;"), ["vfs"]);
    }

    #[test]
    fn other_crates_comments_and_strings_are_no_imports() {
        for source in [
            "use std::vfs::f;",
            "use vfs::f;",
            "pub(crate) fn f() {}",
            "// use crate::vfs;\n/* crate::vfs::f() */",
            "/// See [`crate::vfs::f`].\nfn f() {}",
            "let x = \"use crate::vfs;\";",
            "let x = r#\"use \"crate::vfs;\"#;",
            "let x = other::vst::vfs::f();",
            "let x = self.f(Self::g());",
            "fn f() -> impl Iterator + use<'_, T> {}",
            "let path = x;",
            "#[cfg_attr(test, allow(x))] fn f() { path = x; }",
        ] {
            assert_eq!(targets(source), [""; 0], "{source}");
        }
    }

    #[test]
    fn globs_are_found() {
        for source in ["use std::fmt::*;", "use Kind::*;", "use std::{fmt, io::{self, *}};"] {
            assert_eq!(targets(source), ["Glob"], "{source}");
        }
        assert_eq!(targets("mod tests { use super::*; }"), ["Glob", "store"]);
        assert_eq!(targets("use crate::*;"), ["Glob", "Root"]);
        assert_eq!(targets("() => { use $crate::vfs::*; }"), ["Glob", "vfs"]);
        assert_eq!(found("use std::{\n    fmt,\n    io::*,\n};"), [(3, "Glob".to_owned())]);
    }

    #[test]
    fn the_whole_crate_under_another_name_is_found() {
        for source in [
            "use crate as all;",
            "use vst as all;",
            "use crate::{self as all};",
            "use super::super as all;",
            "extern crate self as all;",
            "extern crate vst as all;",
        ] {
            assert_eq!(targets(source), ["Root"], "{source}");
        }
        assert_eq!(targets("use super::super::super::x;"), ["Nowhere"]);
    }

    #[test]
    fn modules_from_elsewhere_are_found() {
        for source in [
            "#[path = \"../vfs/handle.rs\"]\nmod handle;",
            "#[cfg_attr(unix, path = \"../vfs/handle.rs\")]\nmod handle;",
            "include!(\"../vfs/handle.rs\");",
        ] {
            assert_eq!(targets(source), ["Hidden"], "{source}");
        }
    }
}
