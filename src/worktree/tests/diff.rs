//! What differs between two trees, and above all what was renamed.

use super::fs::Fs;
use crate::base::limits::{
    SIMILAR_BYTES_MAX, SIMILAR_FILE_BYTES_MAX, SIMILAR_PAIRS_MAX, SIMILARITY_MIN,
};
use crate::model::{FileKind, RootId};
use crate::worktree::{
    Both, Change, ChangeKind, CommittedTree, DiffOptions, diff_paths, diff_roots, pair_similar,
    unfold_renamed,
};

/// Lines of which no other prefix has one.
fn text(prefix: &str, lines: u32) -> Vec<u8> {
    (0..lines).flat_map(|line| format!("{prefix} {line}\n").into_bytes()).collect()
}

fn line(change: &Change) -> String {
    let path = String::from_utf8_lossy(&change.path);
    match &change.kind {
        ChangeKind::Renamed { from, .. } => {
            format!("{} {} {path}", change.kind.mark(), String::from_utf8_lossy(from))
        }
        kind => format!("{} {path}", kind.mark()),
    }
}

fn lines(changes: &[Change]) -> Vec<String> {
    changes.iter().map(line).collect()
}

/// What changed, with renames of files that were changed, and whether all were looked for.
fn compare(fs: &Fs, old: RootId, new: RootId, percent_min: u8) -> (Vec<String>, bool) {
    let options = DiffOptions::default();
    let mut changes = diff_roots(Some(&old), &new, &fs.objects, &options).unwrap();
    let is_complete = pair_similar(&mut changes, percent_min, &fs.objects).unwrap();
    for change in &changes {
        let is_one = matches!(change.kind, ChangeKind::Renamed { .. } | ChangeKind::Modified);
        assert_eq!(change.old.is_some() && change.new.is_some(), is_one, "{change:?}");
    }
    (lines(&changes), is_complete)
}

#[test]
fn a_file_that_was_renamed_and_changed_is_told_with_how_much_is_the_same() {
    let mut fs = Fs::new();
    fs.mkdir("dir");
    fs.file("dir/old", &text("x", 100));
    fs.file("gone", &text("y", 100));
    let old = fs.commit().root;
    fs.rename("dir/old", "new");
    fs.write("new", 0, b"changed");
    fs.unlink("gone");
    fs.file("came", &text("z", 100));
    let new = fs.commit().root;
    let (lines, is_complete) = compare(&fs, old, new, SIMILARITY_MIN);
    // The first line is 4 bytes of 490, and the second one begins differently now.
    assert_eq!(lines, ["A came", "D gone", "R098 dir/old new"]);
    assert!(is_complete);
    let (lines, _) = compare(&fs, old, new, 99);
    assert_eq!(lines, ["A came", "D dir/old", "D gone", "A new"]);
}

#[test]
fn the_same_lines_in_another_order_are_not_the_same_content() {
    let mut fs = Fs::new();
    fs.file("old", b"one\ntwo\n");
    let old = fs.commit().root;
    fs.unlink("old");
    fs.file("new", b"two\none\n");
    let new = fs.commit().root;
    assert_eq!(compare(&fs, old, new, 99).0, ["R099 old new"]);
    assert_eq!(compare(&fs, old, new, 100).0, ["A new", "D old"]);
}

#[test]
fn files_find_those_that_are_most_alike_and_only_files_of_the_same_kind() {
    let mut fs = Fs::new();
    fs.file("a", &text("a", 50));
    fs.file("b", &[text("a", 50), text("b", 30)].concat());
    fs.file("empty", b"");
    fs.make("link", FileKind::Symlink, &text("a", 50));
    let old = fs.commit().root;
    for path in ["a", "b", "empty", "link"] {
        fs.unlink(path);
    }
    fs.file("x", &[text("a", 50), text("b", 28)].concat());
    fs.file("y", &[text("a", 50), b"end".to_vec()].concat());
    fs.file("z", b"");
    let new = fs.commit().root;
    let (lines, _) = compare(&fs, old, new, SIMILARITY_MIN);
    assert_eq!(lines, ["D empty", "D link", "R097 b x", "R098 a y", "A z"]);
}

#[test]
fn a_file_that_moved_is_found_by_its_name_before_better_ones() {
    let mut fs = Fs::new();
    for dir in ["from", "to"] {
        fs.mkdir(dir);
    }
    fs.file("from/name", &text("a", 100));
    let old = fs.commit().root;
    fs.unlink("from/name");
    fs.file("to/name", &text("a", 80));
    fs.file("to/other", &text("a", 99));
    let new = fs.commit().root;
    assert_eq!(compare(&fs, old, new, SIMILARITY_MIN).0, ["R079 from/name to/name", "A to/other"]);
}

#[test]
fn too_many_files_are_compared_with_their_namesakes_only() {
    let mut fs = Fs::new();
    let many = 1 + SIMILAR_PAIRS_MAX.isqrt();
    fs.mkdir("old");
    for number in 0..many {
        fs.file(&format!("old/{number}"), &text(&format!("old {number}"), 2));
    }
    fs.file("old/name", &text("name", 9));
    let old = fs.commit().root;
    for number in 0..many {
        fs.unlink(&format!("old/{number}"));
    }
    fs.unlink("old/name");
    for number in 0..many {
        fs.file(&format!("old/new{number}"), &text(&format!("old {number}"), 3));
    }
    fs.mkdir("new");
    fs.file("new/name", &text("name", 10));
    let new = fs.commit().root;
    let reads = fs.objects.reads();
    let (lines, is_complete) = compare(&fs, old, new, SIMILARITY_MIN);
    assert!(!is_complete);
    let renamed: Vec<_> = lines.iter().filter(|line| line.starts_with('R')).collect();
    assert_eq!(renamed, ["R090 old/name new/name"]);
    // Nodes of directories, and the two files.
    assert!(fs.objects.reads() - reads < many as u64, "the files are not read");
}

#[test]
fn no_more_is_read_for_renames_than_the_bounds_say() {
    let mut fs = Fs::new();
    let large = vec![b'x'; SIMILAR_FILE_BYTES_MAX as usize];
    let files = SIMILAR_BYTES_MAX / SIMILAR_FILE_BYTES_MAX;
    fs.file("too large", &[&large[..], b"y"].concat());
    let empty = fs.commit().root;
    for file in 0..files {
        fs.file(&format!("old{file}"), &[&large[file as usize + 1..], &[file as u8]].concat());
    }
    let old = fs.commit().root;
    assert_eq!(compare(&fs, empty, old, 50).0.len(), files as usize);
    for file in 0..files {
        fs.unlink(&format!("old{file}"));
    }
    fs.unlink("too large");
    fs.file("new", &large[1..]);
    fs.file("large too", &[&large[..], b"z"].concat());
    let new = fs.commit().root;
    let (lines, is_complete) = compare(&fs, old, new, SIMILARITY_MIN);
    assert!(lines.contains(&"R099 old0 new".to_owned()), "{lines:?}");
    assert!(lines.contains(&"D too large".to_owned()), "{lines:?}");
    assert!(!is_complete, "one of the files is too much");
}

#[test]
fn several_paths_are_compared_and_nothing_outside_of_them() {
    let mut fs = Fs::new();
    for dir in ["a", "b", "c"] {
        fs.mkdir(dir);
        fs.file(&format!("{dir}/old"), dir.as_bytes());
    }
    let old = fs.commit().root;
    fs.rename("a/old", "b/new");
    fs.write("c/old", 0, b"changed");
    let new = fs.commit().root;
    let src = &fs.objects;
    let trees = [old, new].map(|root| CommittedTree::open(&root, src).unwrap());
    let lines_of = |paths: &[&str]| {
        let both = paths.iter().map(|path| {
            let [old, new] = trees.each_ref().map(|tree| tree.find(path.as_bytes(), src).unwrap());
            Both { path: path.as_bytes().to_vec(), old, new }
        });
        lines(&diff_paths(both, src, &DiffOptions::default()).unwrap())
    };
    assert_eq!(lines_of(&["a", "b"]), ["R a/old b/new"]);
    assert_eq!(lines_of(&["b"]), ["A b/new"]);
    assert_eq!(lines_of(&["a/old", "c/old"]), ["D a/old", "M c/old"]);
    assert_eq!(lines_of(&["b/old", "nothing"]), [""; 0]);
}

#[test]
fn a_directory_that_was_renamed_unfolds_into_its_files() {
    let mut fs = Fs::new();
    fs.mkdir("dir");
    fs.mkdir("dir/in");
    fs.file("dir/in/file", b"text");
    fs.file("dir/in-file", b"other text");
    fs.file("same", b"1");
    let old = fs.commit().root;
    fs.rename("dir", "moved");
    fs.write("same", 0, b"2");
    let new = fs.commit().root;
    let changes = diff_roots(Some(&old), &new, &fs.objects, &DiffOptions::default()).unwrap();
    assert_eq!(lines(&changes), ["R dir moved", "M same"]);
    let changes = unfold_renamed(changes, &fs.objects).unwrap();
    let expected = [
        "R dir moved",
        "R dir/in moved/in",
        "R dir/in-file moved/in-file",
        "R dir/in/file moved/in/file",
        "M same",
    ];
    assert_eq!(lines(&changes), expected);
    assert!(changes[..4].iter().all(|change| change.old == change.new));
}
