//! Commits.
//!
//! ```text
//! commit = "vc" version:u8(1) root:id parents:varint parent:id* time author:string message:string
//! ```
//!
//! Author and message are UTF-8.

use super::bytes::{FormatError, Reader, put_string, put_time, put_varint};
use crate::base::limits::{AUTHOR_BYTES_MAX, MESSAGE_BYTES_MAX, PARENTS_MAX};
use crate::model::{Commit, CommitId, RootId};

const MAGIC: &[u8; 3] = b"vc\x01";

/// Encodes a commit.
pub fn encode_commit(commit: &Commit) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(commit.root.object().as_bytes());
    put_varint(&mut out, commit.parents.len() as u64);
    for parent in &commit.parents {
        out.extend_from_slice(parent.object().as_bytes());
    }
    put_time(&mut out, commit.time);
    put_string(&mut out, commit.author.as_bytes());
    put_string(&mut out, commit.message.as_bytes());
    out
}

/// Decodes a commit.
pub fn decode_commit(bytes: &[u8]) -> Result<Commit, FormatError> {
    let mut reader = Reader::new(bytes);
    reader.expect(MAGIC, "not a commit of a known version")?;
    let root = RootId::new(reader.id()?);
    let count = reader.varint()?;
    if count > PARENTS_MAX as u64 {
        return Err(reader.error("a commit has too many parents"));
    }
    let parents = (0..count).map(|_| reader.id().map(CommitId::new)).collect::<Result<_, _>>()?;
    let time = reader.time()?;
    let author = read_text(&mut reader, AUTHOR_BYTES_MAX)?;
    let message = read_text(&mut reader, MESSAGE_BYTES_MAX)?;
    reader.finish()?;
    Ok(Commit { root, parents, time, author, message })
}

/// Reads a text of at most so many bytes.
pub(super) fn read_text(reader: &mut Reader<'_>, len_max: usize) -> Result<String, FormatError> {
    let at = reader.clone();
    let bytes = reader.string(len_max)?;
    let text = std::str::from_utf8(bytes).map_err(|_| at.error("a text is not UTF-8"))?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{decode_commit, encode_commit};
    use crate::model::{Commit, CommitId, ObjectId, RootId, Timestamp};

    #[test]
    fn a_commit_round_trips() {
        let id = ObjectId::from_bytes([9; 32]);
        let commit = Commit {
            root: RootId::new(id),
            parents: vec![CommitId::new(id); 2],
            time: Timestamp { secs: 1 << 40, nanos: 1 },
            author: "née".into(),
            message: "line\nline".into(),
        };
        let bytes = encode_commit(&commit);
        assert_eq!(decode_commit(&bytes), Ok(commit));
        for cut in 0..bytes.len() {
            assert!(decode_commit(&bytes[..cut]).is_err());
        }
    }
}
