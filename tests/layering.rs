//! Keeps the layers of the crate apart: reads every source file and refuses an import from the
//! same or a higher layer, a glob import, a module without a layer, a file without a heading and
//! a file that has grown too long.

use std::fs;
use std::path::{Path, PathBuf};

use layering::rules;

mod layering {
    pub(crate) mod imports;
    pub(crate) mod lexer;
    pub(crate) mod rules;
}

/// The source files below a directory, and the directories themselves.
fn walk(top: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut files, mut dirs) = (Vec::new(), Vec::new());
    let mut pending = vec![top.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir).expect("src can be read") {
            let path = entry.expect("src can be read").path();
            if path.is_dir() {
                pending.push(path.clone());
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    (files, dirs)
}

#[test]
fn every_source_file_keeps_to_the_layers() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (files, dirs) = walk(&src);
    for name in ["lib.rs", "main.rs", "base/mod.rs", "model/mod.rs", "cli/mod.rs"] {
        assert!(files.contains(&src.join(name)), "the walk did not see {name}");
    }

    let mut found = Vec::new();
    for file in &files {
        let source = fs::read_to_string(file).expect("source is UTF-8");
        let path = file.strip_prefix(&src).expect("it was found below src");
        found.extend(rules::violations(path.to_str().expect("names in src are UTF-8"), &source));
    }
    // A directory counts even while it holds no source.
    for dir in dirs.iter().filter(|dir| dir.parent() == Some(&src)) {
        let name = dir.file_name().and_then(|name| name.to_str()).expect("names are UTF-8");
        if rules::layer(name).is_none() {
            found.push(format!("src/{name}: no layer knows this directory"));
        }
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}
