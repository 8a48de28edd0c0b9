//! Provenance: which program made each of the changes that a commit holds.
//!
//! ```text
//! block  = "vp" version:u8(1) below:varint heads:varint id* writers:varint writer* row*
//! writer = name:string uid:varint          the name of a process, at most 64 bytes, empty where it
//!                                          is not known, and its user (below 2^32)
//! row    = shared:varint rest:string writer:varint
//! ```
//!
//! A row tells who changed a path last: the first `shared` bytes of the path of the row before, as
//! many as both have in common, then `rest`; and the writer by its place in the list. Rows come in
//! the order of their paths, each path once, and writers in the order in which rows first name
//! them. The names of a path are joined by `/`; the top directory is the empty path. A path has at
//! most 4096 bytes.
//!
//! A commit is told of by a block and all that follow it: those in its list of heads, at most 8,
//! and what follows them. `below` is how many blocks that can be at most, below 65536. What comes
//! first tells what happened later, so of several rows with one path the first counts. A row says
//! nothing of whether the path is in the commit, or what became of it: two trees tell that.
//!
//! The list of commits names a block, and so does the state of a worktree: see
//! `format::commit_log` and `format::worktree`. No tree and no commit does, so that their ids
//! depend on nothing of this.

use std::collections::HashMap;
use std::sync::Arc;

use super::bytes::{FormatError, Reader, put_string, put_varint};
use crate::base::limits::{
    PROVENANCE_BLOCKS_MAX, PROVENANCE_HEADS_MAX, PROVENANCE_PATH_BYTES_MAX, WRITER_NAME_BYTES_MAX,
};
use crate::model::{ObjectId, Writer};

const MAGIC: &[u8; 3] = b"vp\x01";

/// Writes a writer.
pub fn put_writer(out: &mut Vec<u8>, writer: &Writer) {
    put_string(out, writer.name());
    put_varint(out, u64::from(writer.uid));
}

/// Reads a writer.
pub fn read_writer(reader: &mut Reader<'_>) -> Result<Writer, FormatError> {
    let name = reader.string(WRITER_NAME_BYTES_MAX)?;
    Ok(Writer::new(name, reader.varint_u32()?))
}

/// Writes a list of heads.
pub fn put_heads(out: &mut Vec<u8>, heads: &[ObjectId]) {
    put_varint(out, heads.len() as u64);
    heads.iter().for_each(|head| out.extend_from_slice(head.as_bytes()));
}

/// Reads a list of heads.
pub fn read_heads(reader: &mut Reader<'_>) -> Result<Vec<ObjectId>, FormatError> {
    let count = reader.varint()?;
    if count > PROVENANCE_HEADS_MAX as u64 {
        return Err(reader.error("a block of provenance follows too many others"));
    }
    (0..count).map(|_| reader.id()).collect()
}

/// Makes a block of rows, which come in the order of their paths.
#[derive(Default)]
pub struct BlockWriter {
    rows: Vec<u8>,
    last: Option<Vec<u8>>,
    writers: Vec<Arc<Writer>>,
    places: HashMap<Arc<Writer>, u64>,
    writer_bytes: usize,
}

impl BlockWriter {
    /// Adds a row. Its path must come after all that were added before.
    pub fn push(&mut self, path: &[u8], writer: &Arc<Writer>) {
        let last = self.last.get_or_insert_default();
        debug_assert!(self.rows.is_empty() || last.as_slice() < path, "rows are sorted");
        let shared = last.iter().zip(path).take_while(|(a, b)| a == b).count();
        let next = self.writers.len() as u64;
        let place = *self.places.entry(Arc::clone(writer)).or_insert(next);
        if place == next {
            self.writer_bytes += writer.name().len() + WRITER_BYTES_BESIDE_NAME;
            self.writers.push(Arc::clone(writer));
        }
        put_varint(&mut self.rows, shared as u64);
        put_string(&mut self.rows, &path[shared..]);
        put_varint(&mut self.rows, place);
        last.truncate(shared);
        last.extend_from_slice(&path[shared..]);
    }

    /// About how many bytes the block has.
    pub fn len_bytes(&self) -> usize {
        self.rows.len() + self.writer_bytes
    }

    /// Ends the block, which follows these, with so many blocks below it.
    pub fn finish(self, heads: &[ObjectId], below: u64) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        put_varint(&mut out, below);
        put_heads(&mut out, heads);
        put_varint(&mut out, self.writers.len() as u64);
        self.writers.iter().for_each(|writer| put_writer(&mut out, writer));
        out.extend_from_slice(&self.rows);
        out
    }
}

/// Most bytes that a writer takes beside its name.
const WRITER_BYTES_BESIDE_NAME: usize = 6;

/// A path, and who changed it.
pub type Row<'a> = (&'a [u8], &'a Arc<Writer>);

/// Reads a block, a row at a time: what rows share may be many times what the block takes.
pub struct BlockReader<'a> {
    reader: Reader<'a>,
    below: u64,
    heads: Vec<ObjectId>,
    writers: Vec<Arc<Writer>>,
    path: Vec<u8>,
    is_first: bool,
    /// How many of the writers rows have named.
    named: usize,
}

impl<'a> BlockReader<'a> {
    /// Reads all but the rows.
    pub fn open(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        reader.expect(MAGIC, "not a block of provenance in a known version")?;
        let below = reader.varint()?;
        if below >= PROVENANCE_BLOCKS_MAX {
            return Err(reader.error("too many blocks of provenance"));
        }
        let heads = read_heads(&mut reader)?;
        let count = reader.varint()?;
        let mut writers: Vec<Arc<Writer>> = Vec::new();
        let mut places = HashMap::new();
        for _ in 0..count {
            let writer = Arc::new(read_writer(&mut reader)?);
            if places.insert(Arc::clone(&writer), ()).is_some() {
                return Err(reader.error("a writer is listed twice"));
            }
            writers.push(writer);
        }
        Ok(Self { reader, below, heads, writers, path: Vec::new(), is_first: true, named: 0 })
    }

    /// The blocks that follow it, what happened last first.
    pub fn heads(&self) -> &[ObjectId] {
        &self.heads
    }

    /// How many blocks there are below it.
    pub fn below(&self) -> u64 {
        self.below
    }

    /// The next row, or `None` at the end.
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>, FormatError> {
        if self.reader.is_at_end() {
            if self.named < self.writers.len() {
                return Err(self.reader.error("a writer has written nothing"));
            }
            return Ok(None);
        }
        let shared = usize::try_from(self.reader.varint()?).unwrap_or(usize::MAX);
        let rest = self.reader.string(PROVENANCE_PATH_BYTES_MAX)?;
        if shared.saturating_add(rest.len()) > PROVENANCE_PATH_BYTES_MAX {
            return Err(self.reader.error("a path is too long"));
        }
        let old =
            self.path.get(shared..).ok_or_else(|| self.reader.error("a path is too short"))?;
        let is_sorted = match (old.first(), rest.first()) {
            (None, None) => self.is_first,
            (None, Some(_)) => true,
            (Some(_), None) => false,
            (Some(old), Some(new)) => old < new,
        };
        if !is_sorted {
            return Err(self.reader.error("paths are not in order"));
        }
        let place = usize::try_from(self.reader.varint()?).unwrap_or(usize::MAX);
        let writer = self.writers.get(place).filter(|_| place <= self.named);
        let writer = writer.ok_or_else(|| self.reader.error("an unknown writer"))?;
        self.named = self.named.max(place + 1);
        self.path.truncate(shared);
        self.path.extend_from_slice(rest);
        self.is_first = false;
        Ok(Some((&self.path, writer)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use proptest::collection::{btree_map, vec};
    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

    use super::{BlockReader, BlockWriter, put_writer, read_writer};
    use crate::base::limits::{PROVENANCE_BLOCKS_MAX, PROVENANCE_HEADS_MAX, WRITER_NAME_BYTES_MAX};
    use crate::format::bytes::{FormatError, Reader};
    use crate::model::{ObjectId, Writer};

    type Rows = BTreeMap<Vec<u8>, Writer>;

    fn encode(rows: &Rows, heads: &[ObjectId], below: u64) -> Vec<u8> {
        let mut block = BlockWriter::default();
        rows.iter().for_each(|(path, writer)| block.push(path, &Arc::new(writer.clone())));
        block.finish(heads, below)
    }

    fn decode(bytes: &[u8]) -> Result<(Rows, Vec<ObjectId>, u64), FormatError> {
        let mut reader = BlockReader::open(bytes)?;
        let (heads, below) = (reader.heads().to_vec(), reader.below());
        let mut rows = Rows::new();
        while let Some((path, writer)) = reader.next_row()? {
            rows.insert(path.to_vec(), Writer::clone(writer));
        }
        Ok((rows, heads, below))
    }

    fn any_writer() -> impl Strategy<Value = Writer> {
        (vec(any::<u8>(), 0..3), 0..3_u32).prop_map(|(name, uid)| Writer::new(&name, uid))
    }

    proptest! {
        #[test]
        fn blocks_round_trip_and_no_part_of_one_has_all_of_it(
            rows in btree_map(vec(0..3_u8, 0..5), any_writer(), 0..20),
            heads in vec(any::<[u8; 32]>().prop_map(ObjectId::from_bytes), 0..=PROVENANCE_HEADS_MAX),
            below in 0..PROVENANCE_BLOCKS_MAX,
        ) {
            let bytes = encode(&rows, &heads, below);
            let whole = (rows, heads, below);
            prop_assert_eq!(decode(&bytes), Ok(whole.clone()));
            for len in 0..bytes.len() {
                prop_assert!(decode(&bytes[..len]) != Ok(whole.clone()));
            }
        }

        #[test]
        fn any_bytes_fail_cleanly_or_are_what_would_be_written(bytes in vec(0..5_u8, 0..60)) {
            let bytes = [&b"vp\x01"[..], &bytes].concat();
            if let Ok((rows, heads, below)) = decode(&bytes) {
                prop_assert_eq!(encode(&rows, &heads, below), bytes);
            }
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        let rows = Rows::from([(b"a".to_vec(), Writer::new(b"sh", u32::MAX))]);
        let heads = [ObjectId::from_bytes([1; 32]); PROVENANCE_HEADS_MAX + 1];
        assert!(decode(&encode(&rows, &heads[1..], 0)).is_ok());
        assert!(decode(&encode(&rows, &heads, 0)).is_err());
        assert!(decode(&encode(&rows, &[], PROVENANCE_BLOCKS_MAX)).is_err());
        let mut out = vec![WRITER_NAME_BYTES_MAX as u8 + 1];
        out.resize(WRITER_NAME_BYTES_MAX + 3, 0);
        assert!(read_writer(&mut Reader::new(&out)).is_err());
        out.clear();
        put_writer(&mut out, &Writer::new(&[7; WRITER_NAME_BYTES_MAX], 0));
        assert!(read_writer(&mut Reader::new(&out)).is_ok());
    }

    #[test]
    fn paths_that_share_much_take_little() {
        let deep = [b'd'; 3000];
        let path = |n: u32| [&deep[..], format!("/{n:04}").as_bytes()].concat();
        let rows: Rows = (0..1000).map(|n| (path(n), Writer::new(b"cp", 0))).collect();
        let bytes = encode(&rows, &[], 0);
        assert!(bytes.len() < 3000 + 1000 * 7, "{}", bytes.len());
        assert_eq!(decode(&bytes), Ok((rows, Vec::new(), 0)));
    }
}
