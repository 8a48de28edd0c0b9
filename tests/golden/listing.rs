//! Everything that a store holds, as lines of text that can be compared.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::ControlFlow;

use vst::format::entry::decode_entry;
use vst::model::{
    Commit, CommitId, Entry, EntryBody, FileKind, Ino, Meta, Name, ObjectSource, Timestamp, Xattrs,
};
use vst::repo::{History, Repo};
use vst::worktree::{
    Body, CommittedDirectory, CommittedTree, DiffOptions, File, Worktree, diff_roots, load_xattrs,
};

/// How much of a file is read at a time.
const WINDOW_BYTES: usize = 256 * 1024;
/// Longer values of extended attributes are told by their hashes.
const VALUE_BYTES_SHOWN: usize = 40;

/// The living tree: what commits keep of it, and inode numbers, ctimes, births and atimes; and the
/// operation log.
pub(crate) fn live(repo: &Repo) -> String {
    let root = repo.hash().expect("the tree can be hashed");
    let head = repo.head().expect("there is a head");
    let mut text = format!("live tree\nroot {}\nhead {}\n", root.object(), head.object());
    for (number, deed) in repo.deeds(usize::MAX).expect("the log can be read") {
        writeln!(text, "deed {number} {deed:?}").expect("text grows");
    }
    let mut tree = repo.look(Worktree::clone);
    let src = repo.source();
    let mut todo = vec![(Vec::new(), Ino::ROOT)];
    while let Some((path, ino)) = todo.pop() {
        let inode = tree.find(ino).expect("it was loaded").clone();
        let view = tree.view(ino).expect("it was loaded");
        let (mut names, mut ignored) = (Vec::new(), 0);
        let body = match &inode.body {
            Body::Directory(_) => {
                let list = view.scan(0, src, &mut |found, name| {
                    names.push(Name::new(name).expect("a name"));
                    ignored += usize::from(found.is_ignored());
                    ControlFlow::Continue(())
                });
                list.expect("directories can be read");
                if ignored > 0 { format!(" ignores {ignored}") } else { String::new() }
            }
            Body::File(file) => content(file, src),
            Body::Symlink(target) => format!(" -> {}", target.escape_ascii()),
            Body::Special => String::new(),
        };
        let links = u64::from(view.nlink(src).expect("links can be counted"));
        let mut own = format!(" ino {} ctime {}", inode.ino.0, time(inode.ctime));
        own += &format!(" born {}", time(inode.born.into()));
        if let Some(atime) = inode.atime.get() {
            own += &format!(" atime {}", time(atime));
        }
        line(&mut text, &path, &inode.meta, links, &own, &body, &inode.xattrs);
        // What is popped first was pushed last.
        for name in names.into_iter().rev() {
            let found = tree.lookup(ino, &name, src).expect("it can be read");
            let found = found.expect("it is listed");
            tree.load(ino, &name, &found, src).expect("it can be read");
            decode_entry(&found.value).expect("its entry decodes");
            todo.push(([&path[..], b"/", name.as_bytes()].concat(), found.ino));
        }
    }
    text
}

/// Every ref and every commit that is listed. Of the tree of a commit the lines are told that the
/// one before it has not, and those that it has no more.
pub(crate) fn history(history: &History) -> String {
    let mut text = String::new();
    for (name, id) in history.store().refs().list("").expect("refs can be listed") {
        writeln!(text, "ref {} {id}", name.as_str()).expect("text grows");
    }
    let mut before = BTreeSet::new();
    for record in history.store().commits().records().iter() {
        let commit = history.commit(&record.id).expect("the commit can be read");
        assert_eq!(commit.time, record.time);
        let parents: Vec<_> = commit.parents.iter().map(|p| p.object().to_string()).collect();
        writeln!(
            text,
            "commit {}\ntime {} parents {:?} author {:?} message {:?}\nroot {}",
            record.id.object(),
            time(commit.time),
            parents,
            commit.author,
            commit.message,
            commit.root.object(),
        )
        .expect("text grows");
        writers(&mut text, history, &record.id, &commit);
        let tree = committed(&commit.root, history.source());
        let now: BTreeSet<String> = tree.lines().map(str::to_owned).collect();
        let gone = before.difference(&now).map(|line| format!("- {line}\n"));
        let new = now.difference(&before).map(|line| format!("+ {line}\n"));
        text.extend(gone.chain(new));
        before = now;
    }
    text
}

/// Who made the changes of a commit.
fn writers(text: &mut String, history: &History, id: &CommitId, commit: &Commit) {
    let parent = history.parent(commit);
    let parent = parent.map(|id| history.commit(&id).expect("the commit can be read").root);
    let options = DiffOptions { renames: false, whole_directories: false, exact: false };
    let changes = diff_roots(parent.as_ref(), &commit.root, history.source(), &options);
    let changes = changes.expect("trees can be compared");
    let makers = history.who_made(id, &changes).expect("it can be read");
    for (change, maker) in changes.iter().zip(makers) {
        let maker = maker.map_or("nobody".to_owned(), |writer| {
            format!("{} {}", writer.name().escape_ascii(), writer.uid)
        });
        writeln!(text, "by {maker}: {}", change.path.escape_ascii()).expect("text grows");
    }
}

fn committed(root: &vst::model::RootId, src: &dyn ObjectSource) -> String {
    let tree = CommittedTree::open(root, src).expect("the root can be read");
    let mut text = String::new();
    let mut todo: Vec<(Vec<u8>, Entry)> = vec![(Vec::new(), tree.top().clone())];
    while let Some((path, entry)) = todo.pop() {
        let mut inside = Vec::new();
        let list = tree.list(&entry, src, &mut |name, entry| {
            inside.push(([&path[..], b"/", name.as_bytes()].concat(), entry));
            ControlFlow::Continue(())
        });
        list.expect("directories can be read");
        let links = match CommittedDirectory::of(&entry) {
            Some(directory) => 2 + directory.subdirectories(src).expect("the node can be read"),
            None => {
                let record = tree.link_record(&path, src).expect("the table can be read");
                assert_eq!(record.is_some(), entry.linked);
                record.map_or(1, |record| record.names)
            }
        };
        let body = match &entry.body {
            EntryBody::File { size, content: c } => content(&File::stored(*size, *c), src),
            EntryBody::Symlink(target) => format!(" -> {}", target.escape_ascii()),
            EntryBody::Directory(_) | EntryBody::Special => String::new(),
        };
        let xattrs = load_xattrs(entry.xattrs.clone(), src).expect("they can be read");
        line(&mut text, &path, &entry.meta, links, "", &body, &xattrs);
        inside.reverse();
        todo.extend(inside);
    }
    text
}

fn line(
    text: &mut String,
    path: &[u8],
    meta: &Meta,
    links: u64,
    own: &str,
    body: &str,
    xattrs: &Xattrs,
) {
    let kind = match meta.kind {
        FileKind::Regular => "file",
        FileKind::Directory => "dir",
        FileKind::Symlink => "symlink",
        FileKind::Fifo => "fifo",
        FileKind::Socket => "socket",
        FileKind::CharDevice => "char",
        FileKind::BlockDevice => "block",
    };
    let path = if path.is_empty() { "/".to_owned() } else { path.escape_ascii().to_string() };
    let Meta { perm, uid, gid, rdev, mtime, .. } = meta;
    let mtime = time(*mtime);
    write!(text, "{path} {kind} {perm:o} {uid}:{gid} rdev {rdev} links {links} mtime {mtime}")
        .and_then(|()| write!(text, "{own}{body}"))
        .expect("text grows");
    for (name, value) in xattrs.iter() {
        let value = match value.len() {
            0..=VALUE_BYTES_SHOWN => format!("\"{}\"", value.escape_ascii()),
            len => format!("{len} bytes {}", blake3::hash(value)),
        };
        write!(text, " {}={value}", name.escape_ascii()).expect("text grows");
    }
    text.push('\n');
}

fn content(file: &File, src: &dyn ObjectSource) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut window = vec![0; WINDOW_BYTES];
    let mut at = 0;
    while at < file.size() {
        let len = (file.size() - at).min(WINDOW_BYTES as u64);
        let window = &mut window[..len as usize];
        file.read(at, window, src).expect("files can be read");
        hasher.update(window);
        at += len;
    }
    format!(" {} bytes {}", file.size(), hasher.finalize())
}

fn time(time: Timestamp) -> String {
    format!("{}.{:09}", time.secs, time.nanos)
}
