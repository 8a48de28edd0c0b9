//! Streams of git, whole and damaged.

use proptest::collection::vec;
use proptest::prelude::{any, proptest};

use super::{Change, Command, Content, StreamReader, Target};

/// Every command, as `git fast-export` writes them.
const STREAM: &[u8] =
    b"feature done\n# a comment\nblob\nmark :1\noriginal-oid aa\ndata 5\none\n\n\n\
reset refs/heads/main\ncommit refs/heads/main\nmark :2\noriginal-oid bb\n\
author A U Thor <a@example.com> 1000000007 +0200\n\
committer C <c@example.com> 1000000008 -0130\nencoding UTF-8\ndata 8\nmessage\nM 100644 :1 a b\n\
M 120000 inline \"l\\n\\303\\251\"\ndata 2\ntoM 160000 0123456789 sub\nD gone\n\
R \"x y\" z w\nC p q\ndeleteall\nN inline :2\ndata 1\nn\n\n\
commit refs/heads/main\ncommitter <> -3 +0000\ndata 0\nfrom :2\nmerge :2\nmerge refs/heads/x^0\n\n\
tag v1\nfrom :2\noriginal-oid cc\ntagger T <t@example.com> 1 +0000\ndata 3\ntag\n\
reset refs/tags/light\nfrom :2\n\nprogress 1\ncheckpoint\ndone\n";

/// The commands of a stream, and the contents of its blobs.
fn read(stream: &[u8]) -> Result<(Vec<Command>, Vec<Vec<u8>>), String> {
    let mut reader = StreamReader::new(stream);
    let (mut commands, mut contents) = (Vec::new(), Vec::new());
    loop {
        let command = reader.next().map_err(|error| error.to_string())?;
        match command {
            Command::End => return Ok((commands, contents)),
            Command::Blob { .. } => {
                let content = reader.content(|content, size| {
                    let mut bytes = Vec::new();
                    std::io::Read::read_to_end(content, &mut bytes)?;
                    assert!(bytes.len() as u64 <= size);
                    Ok(bytes)
                });
                contents.push(content.map_err(|error| error.to_string())?);
            }
            _ => {}
        }
        commands.push(command);
    }
}

#[test]
fn every_command_is_understood() {
    let (commands, contents) = read(STREAM).unwrap();
    assert_eq!(contents, [b"one\n\n"]);
    let mut commands = commands.into_iter();
    let mut next = || commands.next().unwrap();
    assert_eq!(next(), Command::Blob { mark: Some(1) });
    assert_eq!(next(), Command::Reset { name: b"refs/heads/main".into(), from: None });
    let Command::Commit(first) = next() else { panic!("no commit") };
    assert_eq!(first.name, b"refs/heads/main");
    assert_eq!((first.mark, first.oid.as_deref()), (Some(2), Some("bb")));
    assert_eq!(first.author.name, b"A U Thor <a@example.com>");
    assert_eq!((first.author.secs, first.message.as_slice()), (1_000_000_007, &b"message\n"[..]));
    assert_eq!(first.parents, []);
    let told = |target| Content::Told(target);
    for change in [
        Change::Modify { mode: 0o100644, content: told(Target::Mark(1)), path: b"a b".into() },
        Change::Modify {
            mode: 0o120000,
            content: Content::Inline(b"to".into()),
            path: "l\né".into(),
        },
        Change::Modify {
            mode: 0o160000,
            content: told(Target::Named(b"0123456789".into())),
            path: b"sub".into(),
        },
        Change::Delete(b"gone".into()),
        Change::Rename(b"x y".into(), b"z w".into()),
        Change::Copy(b"p".into(), b"q".into()),
        Change::DeleteAll,
        Change::Note,
    ] {
        assert_eq!(next(), Command::Change(change));
    }
    let Command::Commit(second) = next() else { panic!("no commit") };
    assert_eq!((second.author.name.as_slice(), second.author.secs), (&b"<>"[..], -3));
    let named = Target::Named(b"refs/heads/x^0".into());
    assert_eq!(second.parents, [Target::Mark(2), Target::Mark(2), named]);
    assert_eq!(next(), Command::Tag { name: b"v1".into(), from: Target::Mark(2) });
    let light = Command::Reset { name: b"refs/tags/light".into(), from: Some(Target::Mark(2)) };
    assert_eq!(next(), light);
    assert_eq!(commands.next(), None);
}

#[test]
fn errors_tell_the_offset() {
    for (stream, says) in [
        (&b"feature x\nfrob\n"[..], "at offset 10: \"frob\" is no command"),
        (b"feature done\n", "it ends early"),
        (b"blob\ndata x\n", "at offset 5: \"x\" is no length of data"),
        (b"blob\nmark 1\ndata 1\n", "at offset 5: \"1\" is no mark"),
        (b"blob\ndata 9\nabc", "at offset 15: a content ends early"),
        (b"commit r\ndata 0\n", "a commit without a committer"),
        (b"commit r\ncommitter x\n", "\"x\" is no person"),
        (b"commit r\ncommitter <> x\n", "is no time"),
        (
            b"commit r\ncommitter <> 1 +0\ndata 0\nM 9 :1 a\n",
            "at offset 34: \"M 9 :1 a\" is no mode",
        ),
        (b"commit r\ncommitter <> 1 +0\ndata 0\nD \"a\n", "is no path"),
        (b"commit r\ncommitter <> 1 +0\ndata 99999999999\n", "more than 67108864 bytes"),
        (b"tag t\ndata 0\n", "a tag of nothing"),
        (b"reset r", "at offset 0: a line without an end"),
    ] {
        let error = read(stream).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn a_stream_that_was_cut_off_is_an_error_wherever_that_was() {
    for cut in "feature done\n".len()..STREAM.len() {
        // Without the last newline it is all there, but nobody can know.
        assert!(read(&STREAM[..cut]).is_err(), "{cut}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(at in 0..STREAM.len(), bytes in vec(any::<u8>(), 0..8)) {
        let mut stream = STREAM.to_vec();
        let end = (at + bytes.len()).min(stream.len());
        stream.splice(at..end, bytes);
        let _ = read(&stream);
    }
}
