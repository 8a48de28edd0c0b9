//! The tables of links and places after things that hard links make difficult.

use super::check::assert_tables;
use super::fs::Fs;

#[test]
fn files_that_swap_names_keep_all_of_theirs() {
    let mut fs = Fs::new();
    for (file, link) in [("a", "b"), ("c", "d")] {
        fs.file(file, b"");
        fs.link(file, link);
    }
    fs.commit();
    fs.exchange("a", "c");
    fs.commit();
    assert_tables(&fs.tree, &fs.objects);
}

#[test]
fn directories_that_swap_names_take_their_links_along() {
    let mut fs = Fs::new();
    for directory in ["a", "b"] {
        fs.mkdir(directory);
        fs.file(&format!("{directory}/x"), b"");
        fs.link(&format!("{directory}/x"), &format!("{directory}/y"));
    }
    fs.reopen();
    fs.exchange("a", "b");
    fs.commit();
    assert_tables(&fs.tree, &fs.objects);
}

#[test]
fn a_file_dropped_with_all_its_names_leaves_no_link() {
    let mut fs = Fs::new();
    fs.file("a", b"");
    fs.link("a", "b");
    fs.reopen();
    fs.unlink("a");
    fs.unlink("b");
    fs.commit();
    assert_tables(&fs.tree, &fs.objects);
}
