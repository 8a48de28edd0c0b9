//! What changes of large files cost: what is around the change, never the size.

use super::fs::Fs;
use super::noise;
use crate::worktree::hash_files;
use crate::worktree::tree::Hasher;

const MIB: usize = 1024 * 1024;

#[test]
fn an_overwrite_hashes_and_stores_a_few_chunks() {
    let mut fs = Fs::new();
    let bytes = noise(1, 48 * MIB);
    fs.file("large", &bytes);
    fs.commit();
    let stored = fs.objects.bytes();
    fs.write("large", 20_000_000, &[7; 4096]);
    let done = fs.commit();
    assert!(done.content_bytes <= 600_000, "{} bytes hashed", done.content_bytes);
    let grown = fs.objects.bytes() - stored;
    assert!(grown <= 600_000, "{grown} bytes stored");
}

#[test]
fn a_byte_inserted_at_the_start_stores_the_first_chunks() {
    let mut fs = Fs::new();
    let mut bytes = noise(2, 16 * MIB);
    fs.file("large", &bytes);
    fs.commit();
    let stored = fs.objects.bytes();
    bytes.insert(0, 7);
    fs.write("large", 0, &bytes);
    fs.commit();
    let grown = fs.objects.bytes() - stored;
    assert!(grown <= 1_000_000, "{grown} bytes stored");
    fs.reopen();
    assert!(fs.read("large") == bytes);
}

#[test]
fn a_file_that_keeps_growing_is_not_hashed_ahead_each_time() {
    let mut fs = Fs::new();
    fs.file("log", b"");
    let (mut hasher, mut hashed) = (Hasher::default(), 0);
    let (piece, pieces) = (8192, 400);
    for at in 0..pieces {
        fs.write("log", at * piece, &noise(at, piece as usize));
        let ino = fs.ino("log");
        let files = fs.tree.to_settle(&[ino], u64::MAX);
        hashed += hash_files(&files, &mut hasher, &fs.objects).unwrap().content_bytes;
        fs.tree.settle(files, &fs.objects);
    }
    assert!(hashed > piece * pieces / 4, "it is hashed now and then: {hashed}");
    assert!(hashed < 3 * piece * pieces, "{hashed} bytes hashed");
    let expected: Vec<u8> = (0..pieces).flat_map(|at| noise(at, piece as usize)).collect();
    fs.reopen();
    assert!(fs.read("log") == expected);
}
