//! The id of a root is a pure function of the tree: the way to a tree does not show in it, and
//! everything that a tree holds does.

use std::collections::HashSet;

use proptest::prelude::{ProptestConfig, any, proptest};

use super::fs::{Fs, root_of};
use super::{at, noise};
use crate::model::{FileKind, SetAttr};

/// Random numbers that a case can be repeated with.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        (1..items.len()).for_each(|at| items.swap(at, self.below(at + 1)));
    }
}

/// A thing of the tree that all routes lead to.
#[derive(Clone)]
enum Thing {
    /// A file under all its names.
    File(Vec<String>, Content),
    Directory(String),
    Special(String, FileKind),
    Symlink(String),
}

/// A file as islands of noise between holes: seed, offset and length of each.
type Content = Vec<(u64, u64, usize)>;

fn things() -> Vec<Thing> {
    let file = |names: &[&str], content: &[(u64, u64, usize)]| {
        Thing::File(names.iter().map(|name| (*name).to_owned()).collect(), content.to_vec())
    };
    let mut things = vec![
        file(&["empty"], &[]),
        file(&["a/small"], &[(1, 0, 100)]),
        file(&["a/b/gap"], &[(2, 5000, 300)]),
        file(&["a/chunk"], &[(3, 0, 16_384)]),
        file(&["c/chunks"], &[(4, 0, 600_000)]),
        file(&["c/sparse"], &[(5, 0, 10), (6, 1_000_000, 100_000), (7, 3_000_000, 1)]),
        file(&["a/l1", "c/l2", "a/b/l3"], &[(8, 0, 20)]),
        file(&["l4", "a/b/c/d/l5"], &[(9, 0, 300_000)]),
        file(&["many/x", "many/y"], &[]),
        file(&["same1"], &[(10, 0, 50)]),
        file(&["same2"], &[(10, 0, 50)]),
        Thing::Directory("a/hollow".to_owned()),
        Thing::Special("c/fifo".to_owned(), FileKind::Fifo),
        Thing::Special("c/socket".to_owned(), FileKind::Socket),
        Thing::Symlink("a/b/symlink".to_owned()),
    ];
    things.extend((0..300).map(|n| file(&[&format!("many/{n}")], &[(n % 7, 0, 5)])));
    things
}

/// Makes the tree by a route of its own.
fn make(fs: &mut Fs, dice: &mut Dice) {
    let mut things = things();
    dice.shuffle(&mut things);
    for (count, thing) in things.into_iter().enumerate() {
        match thing {
            Thing::File(mut names, mut content) => {
                dice.shuffle(&mut names);
                dice.shuffle(&mut content);
                make_file(fs, dice, &names, &content);
            }
            Thing::Directory(path) => make_parents(fs, &format!("{path}/")),
            Thing::Special(path, kind) => {
                make_parents(fs, &path);
                fs.make(&path, kind, b"");
            }
            Thing::Symlink(path) => {
                make_parents(fs, &path);
                fs.make(&path, FileKind::Symlink, b"../target");
            }
        }
        match dice.below(60) {
            0 => drop(fs.commit()),
            1 => fs.reopen(),
            2 if fs.find("brief").is_none() => {
                fs.file("passing", &noise(count as u64, 20_000));
                fs.mkdir("brief");
                fs.rename("passing", "brief/passing");
                fs.link("brief/passing", "passing");
            }
            3 => remove_passing(fs),
            4 if fs.find("a/b").is_some() => {
                fs.rename("a/b", "elsewhere");
                if dice.below(2) == 0 {
                    fs.reopen();
                }
                fs.rename("elsewhere", "a/b");
            }
            5 if fs.find("a").is_some() && fs.find("c").is_some() => {
                fs.exchange("a", "c");
                fs.commit();
                fs.exchange("c", "a");
            }
            _ => {}
        }
    }
    remove_passing(fs);
    for (path, name) in [("a/small", "user.a"), ("c/chunks", "user.b"), ("many", "user.c")] {
        fs.xattr(path, name, &noise(1, 300));
    }
}

fn remove_passing(fs: &mut Fs) {
    if fs.find("brief").is_some() {
        fs.unlink("passing");
        fs.unlink("brief/passing");
        fs.rmdir("brief");
    }
}

fn make_parents(fs: &mut Fs, path: &str) {
    for (at, _) in path.match_indices('/') {
        if fs.find(&path[..at]).is_none() {
            fs.mkdir(&path[..at]);
        }
    }
}

fn make_file(fs: &mut Fs, dice: &mut Dice, names: &[String], content: &[(u64, u64, usize)]) {
    names.iter().for_each(|name| make_parents(fs, name));
    let first = names[0].as_str();
    let temporary = dice.below(3) == 0;
    let path = if temporary { "temporary" } else { first };
    fs.file(path, b"");
    if dice.below(5) == 0 {
        fs.write(path, 1000, &noise(99, 40_000));
        if dice.below(2) == 0 {
            fs.reopen();
        }
        fs.truncate(path, 0);
    }
    for (seed, offset, len) in content {
        let bytes = noise(*seed, *len);
        // In two pieces, the second one first.
        let half = dice.below(len + 1);
        fs.write(path, offset + half as u64, &bytes[half..]);
        if dice.below(20) == 0 {
            fs.commit();
        }
        fs.write(path, *offset, &bytes[..half]);
    }
    if temporary {
        fs.rename("temporary", first);
    }
    for (at, name) in names.iter().enumerate().skip(1) {
        fs.link(&names[dice.below(at)], name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn every_route_to_a_tree_gives_the_same_id(seed in any::<u64>()) {
        let expected = root_of(|fs| make(fs, &mut Dice(0)));
        assert_eq!(root_of(|fs| make(fs, &mut Dice(seed))), expected);
    }
}

fn base(fs: &mut Fs) {
    for directory in ["d", "e", "d/sub"] {
        fs.mkdir(directory);
    }
    for file in ["x", "y", "z", "d/x", "e/x"] {
        fs.file(file, b"content");
    }
    fs.file("large", &noise(1, 500_000));
    fs.make("symlink", FileKind::Symlink, b"target");
    fs.make("fifo", FileKind::Fifo, b"");
    fs.xattr("x", "user.a", b"1");
    for n in 0..100 {
        fs.file(&format!("d/sub/{n}"), b"");
    }
}

#[test]
fn every_difference_between_trees_makes_another_id() {
    type Change = fn(&mut Fs);
    let changes: &[Change] = &[
        |_| {},
        |fs| fs.set("", SetAttr { perm: Some(0o700), ..SetAttr::default() }),
        |fs| fs.set("", SetAttr { uid: Some(9), ..SetAttr::default() }),
        |fs| fs.xattr("", "user.a", b"1"),
        |fs| fs.set("x", SetAttr { perm: Some(0o600), ..SetAttr::default() }),
        |fs| fs.set("y", SetAttr { perm: Some(0o600), ..SetAttr::default() }),
        |fs| fs.set("x", SetAttr { uid: Some(9), ..SetAttr::default() }),
        |fs| fs.set("x", SetAttr { gid: Some(9), ..SetAttr::default() }),
        |fs| fs.set("d/sub/50", SetAttr { perm: Some(0), ..SetAttr::default() }),
        |fs| fs.xattr("x", "user.a", b"2"),
        |fs| fs.xattr("x", "user.a", b""),
        |fs| fs.xattr("x", "user.a", &[0; 1000]),
        |fs| fs.xattr("x", "user.a", &[1; 1000]),
        |fs| fs.xattr("x", "user.b", b"1"),
        |fs| fs.xattr("y", "user.a", b"1"),
        |fs| fs.xattr("d", "user.a", b"1"),
        |fs| fs.write("x", 0, b"C"),
        |fs| fs.truncate("x", 6),
        |fs| fs.truncate("x", 8),
        |fs| fs.truncate("x", 0),
        |fs| fs.write("large", 250_000, b"changed"),
        |fs| fs.truncate("large", 499_999),
        |fs| fs.truncate("large", 500_001),
        |fs| fs.truncate("large", 1 << 40),
        |fs| fs.zero("large", 1000, 1),
        |fs| fs.rename("x", "w"),
        |fs| fs.rename("x", "d/w"),
        |fs| fs.rename("d", "f"),
        |fs| fs.exchange("d", "e"),
        |fs| fs.unlink("z"),
        |fs| {
            fs.file("w", b"");
        },
        |fs| {
            fs.mkdir("w");
        },
        |fs| {
            fs.make("w", FileKind::Fifo, b"");
        },
        |fs| {
            fs.make("w", FileKind::Socket, b"");
        },
        |fs| {
            fs.make("w", FileKind::CharDevice, b"");
        },
        |fs| {
            fs.make("w", FileKind::BlockDevice, b"");
        },
        |fs| {
            fs.make("w", FileKind::Symlink, b"target");
        },
        |fs| {
            fs.make("w", FileKind::Symlink, b"targeT");
        },
        // Which of the files with one content are one file.
        |fs| relink(fs, &["x", "y"]),
        |fs| relink(fs, &["y", "z"]),
        |fs| relink(fs, &["x", "y", "z"]),
        |fs| relink(fs, &["y", "d/x"]),
        |fs| relink(fs, &["y", "e/x"]),
        |fs| relink(fs, &["d/x", "e/x"]),
        |fs| {
            relink(fs, &["y", "d/x"]);
            relink(fs, &["z", "e/x"]);
        },
        |fs| {
            relink(fs, &["y", "e/x"]);
            relink(fs, &["z", "d/x"]);
        },
    ];
    let mut ids = HashSet::new();
    for (at, change) in changes.iter().enumerate() {
        let id = root_of(|fs| {
            base(fs);
            // Every other one meets a tree that was committed before.
            if at % 2 == 1 {
                fs.reopen();
            }
            change(fs);
        });
        assert!(ids.insert(id), "change {at} has the id of another");
    }
    let moved = |time| {
        let mut fs = Fs::new();
        base(&mut fs);
        fs.set_times();
        fs.set("d/sub/7", SetAttr { mtime: Some(time), ..SetAttr::default() });
        fs.root()
    };
    assert!(ids.insert(moved(at(12))));
    assert!(ids.insert(moved(crate::model::Timestamp { secs: 12, nanos: 8 })));
    assert!(!ids.insert(moved(at(-1))), "the mtime that all others have");
}

/// Makes several files of one content one file.
fn relink(fs: &mut Fs, paths: &[&str]) {
    for path in &paths[1..] {
        fs.unlink(path);
        fs.link(paths[0], path);
    }
}

#[test]
fn holes_and_written_zeros_are_the_same() {
    let len = 3 * 262_144 + 5000;
    let hole = root_of(|fs| {
        fs.file("f", &noise(1, 1000));
        fs.truncate("f", len);
        fs.write("f", len, b"end");
    });
    let written = root_of(|fs| {
        fs.file("f", &vec![0; len as usize]);
        fs.commit();
        fs.write("f", len, b"end");
        fs.write("f", 0, &noise(1, 1000));
    });
    let zeroed = root_of(|fs| {
        fs.file("f", &noise(2, len as usize + 3));
        fs.reopen();
        fs.zero("f", 1000, len - 1000);
        fs.commit();
        fs.write("f", 0, &noise(1, 1000));
        fs.write("f", len, b"end");
    });
    assert_eq!(hole, written);
    assert_eq!(hole, zeroed);
}

#[test]
fn a_file_of_terabytes_has_the_id_of_its_bytes() {
    let forwards = root_of(|fs| {
        fs.file("f", b"first");
        fs.write("f", 1 << 42, &noise(1, 300_000));
        fs.truncate("f", 1 << 43);
    });
    let backwards = root_of(|fs| {
        fs.file("f", b"");
        fs.truncate("f", 1 << 44);
        fs.write("f", (1 << 42) - 5, &noise(2, 400_000));
        fs.reopen();
        fs.zero("f", (1 << 42) - 5, 500_000);
        fs.write("f", 1 << 42, &noise(1, 300_000));
        fs.commit();
        fs.write("f", 0, b"first");
        fs.truncate("f", 1 << 43);
    });
    assert_eq!(forwards, backwards);
}

#[test]
fn inode_numbers_and_ctimes_are_no_part_of_the_id() {
    let made = |skip: u64| {
        let mut fs = Fs::new();
        fs.time = skip as i64 * 100;
        (0..skip).for_each(|_| {
            fs.tree.allocate_ino();
        });
        base(&mut fs);
        fs.set_times();
        fs.commit()
    };
    let (one, other) = (made(0), made(5));
    assert_eq!(one.root, other.root);
    assert_ne!(one.state, other.state);
}
