//! Cutting around changes against cutting from scratch.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::iter;
use std::ops::Range;

use fastcdc::v2020::FastCDC;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};

use super::{MAX, cut, recut};
use crate::base::limits::{
    CHUNK_BYTES_AVG, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, CUT_WINDOW_BYTES_MAX, FILE_BYTES_MAX,
};
use crate::content::test_bytes::{Islands, noise};
use crate::content::{Bytes, Edit, Extents, Layered, Piece, Pieces};

/// The pieces of a file as a caller keeps them.
#[derive(Clone, Debug, Default, PartialEq)]
struct Kept {
    size: u64,
    pieces: BTreeMap<u64, Piece>,
}

impl Pieces for Kept {
    type Error = Infallible;

    fn size(&self) -> u64 {
        self.size
    }

    fn covering(&self, offset: u64) -> Result<Piece, Infallible> {
        assert!(offset < self.size);
        let (_, piece) = self.pieces.range(..=offset).next_back().unwrap();
        assert!(piece.end() > offset);
        Ok(*piece)
    }
}

/// One dirty range.
fn only(range: Range<u64>) -> Option<Vec<Range<u64>>> {
    Some(iter::once(range).collect())
}

/// What one cut did.
#[derive(Debug, Default)]
struct Done {
    told: Vec<Piece>,
    replaced: Vec<Range<u64>>,
}

impl Kept {
    /// From scratch, and without this module.
    fn of_bytes(bytes: &[u8]) -> Self {
        let chunks = FastCDC::new(bytes, CHUNK_BYTES_MIN, CHUNK_BYTES_AVG, CHUNK_BYTES_MAX);
        let mut pieces: Vec<Piece> = Vec::new();
        for chunk in chunks {
            let (start, len) = (chunk.offset as u64, chunk.length as u64);
            let content = &bytes[chunk.offset..chunk.offset + chunk.length];
            if len < MAX || bytes.len() as u64 == MAX || content.iter().any(|byte| *byte != 0) {
                pieces.push(Piece::Chunk { start, len });
            } else if let Some(Piece::Zeros { len, .. }) = pieces.last_mut() {
                *len += MAX;
            } else {
                pieces.push(Piece::Zeros { start, len });
            }
        }
        let pieces = pieces.into_iter().map(|piece| (piece.start(), piece)).collect();
        Self { size: bytes.len() as u64, pieces }
    }

    fn of<B: Bytes<Error = Infallible>>(file: &B) -> Self {
        let mut kept = Self::default();
        kept.follow(file, None);
        kept
    }

    /// Follows a change of the file; `None` cuts it from scratch.
    fn follow<B>(&mut self, file: &B, dirty: Option<Vec<Range<u64>>>) -> Done
    where
        B: Bytes<Error = Infallible>,
    {
        let (mut done, mut pending) = (Done::default(), Vec::new());
        let before = self.clone();
        let emit = |edit: Edit<'_>| {
            match edit {
                Edit::Chunk { start, bytes } => {
                    let mut expected = vec![0; bytes.len()];
                    file.read(start, &mut expected)?;
                    assert!(bytes == expected, "the bytes of the chunk at {start}");
                    pending.push(Piece::Chunk { start, len: bytes.len() as u64 });
                }
                Edit::Zeros { start, len } => pending.push(Piece::Zeros { start, len }),
                Edit::Replace { old, new } => {
                    assert_eq!(old.start, new.start);
                    assert!(old.end == new.end || (old.end, new.end) == (before.size, file.size()));
                    assert!(done.replaced.last().is_none_or(|last| last.end <= old.start));
                    let end = pending.iter().fold(new.start, |at, piece| {
                        assert_eq!(piece.start(), at);
                        at + piece.len()
                    });
                    assert_eq!(end, new.end);
                    for at in [old.start, old.end].into_iter().filter(|at| *at < before.size) {
                        assert!(before.pieces.contains_key(&at), "{at} is no boundary");
                    }
                    self.pieces.retain(|start, _| !old.contains(start));
                    done.replaced.push(old);
                    done.told.extend(&pending);
                    self.pieces.extend(pending.drain(..).map(|piece| (piece.start(), piece)));
                }
            }
            Ok(())
        };
        let result = match dirty {
            Some(dirty) => recut(&before, file, dirty, emit),
            None => cut(file, emit),
        };
        assert_eq!(result, Ok(()));
        assert_eq!(pending, []);
        self.size = file.size();
        done
    }
}

/// Where a change happens: somewhere, or beside one of the boundaries.
#[derive(Clone, Debug)]
enum Place {
    Somewhere(u32),
    Boundary(u16, i16),
}

#[derive(Clone, Debug)]
enum Change {
    Write(Place, usize, u64),
    Zero(Place, u64),
    Resize(Place, u64),
    Append(usize, u64),
}

const SIZE_MAX: u64 = 3 << 20;

impl Place {
    fn of(&self, file: &[u8], kept: &Kept) -> u64 {
        let size = file.len() as u64;
        match self {
            Self::Somewhere(part) => u64::from(*part) * size / u64::from(u32::MAX),
            Self::Boundary(index, delta) => {
                let ends: Vec<u64> = kept.pieces.values().flat_map(boundaries).collect();
                let end = ends.get(usize::from(*index) % ends.len().max(1)).unwrap_or(&0);
                end.saturating_add_signed(i64::from(*delta)).min(size)
            }
        }
    }
}

/// The ends of the chunks of a piece.
fn boundaries(piece: &Piece) -> Vec<u64> {
    match *piece {
        Piece::Chunk { start, len } => vec![start + len],
        Piece::Zeros { start, len } => (1..=len / MAX).map(|n| start + n * MAX).collect(),
    }
}

impl Change {
    fn apply(&self, file: &mut Vec<u8>, extents: &mut Extents, kept: &Kept) {
        let resize = |file: &mut Vec<u8>, extents: &mut Extents, size: u64| {
            extents.resize(file.len() as u64, size);
            file.resize(size as usize, 0);
        };
        match self {
            Self::Write(place, len, seed) => {
                let at = place.of(file, kept);
                let bytes = noise(*seed, *len);
                let end = at as usize + len;
                if end > file.len() {
                    resize(file, extents, end as u64);
                }
                file[at as usize..end].copy_from_slice(&bytes);
                extents.write(at, bytes.into());
            }
            Self::Zero(place, len) => {
                let at = place.of(file, kept);
                let range = at..(at + len).min(file.len() as u64);
                file[range.start as usize..range.end as usize].fill(0);
                extents.zero(range);
            }
            Self::Resize(place, more) => {
                let size = place.of(file, kept) + more;
                resize(file, extents, size.min(SIZE_MAX));
            }
            Self::Append(len, seed) => {
                Self::Write(Place::Somewhere(u32::MAX), *len, *seed).apply(file, extents, kept);
            }
        }
    }
}

fn any_len() -> impl Strategy<Value = usize> {
    prop_oneof![1_usize..4, 1_usize..5000, 1_usize..100_000, 200_000_usize..600_000]
}

fn any_place() -> impl Strategy<Value = Place> {
    prop_oneof![
        any::<u32>().prop_map(Place::Somewhere),
        (any::<u16>(), -130_i16..4).prop_map(|(index, delta)| Place::Boundary(index, delta)),
        (any::<u16>(), -2_i16..4).prop_map(|(index, delta)| Place::Boundary(index, delta)),
    ]
}

fn any_change() -> impl Strategy<Value = Change> {
    let more = prop_oneof![Just(0_u64), 0_u64..4, 0_u64..1_000_000];
    prop_oneof![
        4 => (any_place(), any_len(), any::<u64>())
            .prop_map(|(place, len, seed)| Change::Write(place, len, seed)),
        2 => (any_place(), any_len()).prop_map(|(place, len)| Change::Zero(place, len as u64)),
        2 => (any_place(), more).prop_map(|(place, more)| Change::Resize(place, more)),
        1 => (any_len(), any::<u64>()).prop_map(|(len, seed)| Change::Append(len, seed)),
    ]
}

/// Noise and zeros by turns.
fn any_file() -> impl Strategy<Value = Vec<u8>> {
    vec((any_len(), any_len(), any::<u64>()), 0..4).prop_map(|parts| {
        let mut file = Vec::new();
        for (data, zeros, seed) in parts {
            file.extend(noise(seed, data));
            file.resize(file.len() + 2 * zeros, 0);
        }
        file
    })
}

#[test]
fn cutting_around_changes_equals_cutting_from_scratch() {
    let rounds = vec(vec(any_change(), 0..5), 1..4);
    let mut runner = TestRunner::new(Config::with_cases(400));
    let property = |(mut file, rounds, tells_holes): (Vec<u8>, Vec<Vec<Change>>, bool)| {
        let mut kept = Kept::of_bytes(&file);
        assert_eq!(kept, Kept::of(&Islands::of_bytes(&file)));
        for changes in rounds {
            let (mut extents, old) = (Extents::new(), Islands::of_bytes(&file));
            let old = Islands { tells_holes, ..old };
            for change in changes {
                change.apply(&mut file, &mut extents, &kept);
            }
            let now = Layered { extents: &extents, old: &old, size: file.len() as u64 };
            kept.follow(&now, Some(extents.ranges().collect()));
            assert_eq!(kept, Kept::of_bytes(&file));
        }
        Ok(())
    };
    runner.run(&(any_file(), rounds, any::<bool>()), property).unwrap();
}

#[test]
fn a_file_that_is_one_chunk_is_never_zeros() {
    for size in [1, MAX - 1, MAX] {
        let kept = Kept::of(&Islands::new(size, Vec::new()));
        assert_eq!(
            Vec::from_iter(kept.pieces.into_values()),
            [Piece::Chunk { start: 0, len: size }]
        );
    }
    let mut kept = Kept::of(&Islands::new(MAX + 1, Vec::new()));
    assert_eq!(kept.pieces[&0], Piece::Zeros { start: 0, len: MAX });
    kept.follow(&Islands::new(MAX, Vec::new()), Some(Vec::new()));
    assert_eq!(kept.pieces[&0], Piece::Chunk { start: 0, len: MAX });
    kept.follow(&Islands::new(2 * MAX, Vec::new()), Some(Vec::new()));
    assert_eq!(kept.pieces[&0], Piece::Zeros { start: 0, len: 2 * MAX });
}

#[test]
fn a_short_write_reads_little_more_than_the_chunk_it_falls_into() {
    let (size, writes) = (16 << 20, 100);
    let file = Islands::full(noise(5, size));
    let kept = Kept::of(&file);
    file.read_bytes.set(0);
    let (mut told, mut hit_bytes) = (0, 0);
    for n in 0..writes {
        let mut extents = Extents::new();
        let at = n * 167_000;
        extents.write(at, noise(n + 10, 4096).into());
        let now = Layered { extents: &extents, old: &file, size: size as u64 };
        recut(&kept, &now, extents.ranges(), |edit| {
            told += u64::from(matches!(edit, Edit::Chunk { .. }));
            Ok(())
        })
        .unwrap();
        let (first, last) = (kept.covering(at).unwrap(), kept.covering(at + 4095).unwrap());
        hit_bytes += first.len() + if first == last { 0 } else { last.len() };
    }
    let read_bytes = file.read_bytes.get() + writes * 4096;
    assert!(told <= writes * 5 / 4, "{told} chunks for {writes} writes");
    assert!(read_bytes <= hit_bytes * 5 / 4, "{read_bytes} bytes read of {hit_bytes}");
}

#[test]
fn an_append_reads_the_last_chunk_and_what_is_new() {
    let (size, more) = (4_000_000, 300_000);
    let mut file = Islands::full(noise(6, size));
    let mut kept = Kept::of(&file);
    let last = kept.covering(size as u64 - 1).unwrap().len();
    file = Islands::full(noise(6, size + more));
    recut(&kept, &file, [], |_| Ok(())).unwrap();
    assert_eq!(file.read_bytes.get(), last + more as u64);
    kept.follow(&file, Some(Vec::new()));
    assert_eq!(kept, Kept::of(&file));
}

#[test]
fn a_new_file_is_read_once_through_one_window() {
    let size = 10_000_000;
    let file = Islands::full(noise(7, size));
    cut(&file, |_| Ok(())).unwrap();
    assert_eq!(file.read_bytes.get(), size as u64);
    assert!(size > CUT_WINDOW_BYTES_MAX);
}

#[test]
fn the_largest_hole_is_stepped_over() {
    let file = Islands::new(FILE_BYTES_MAX, vec![(1 << 50, noise(8, 100))]);
    cut(&file, |_| Ok(())).unwrap();
    // The one chunk around the data, and the one at the end.
    assert!(file.read_bytes.get() <= 2 * MAX, "{}", file.read_bytes.get());
    let mut kept = Kept::of(&file);
    assert_eq!(kept.pieces.len(), 4);

    // A change deep inside the hole touches one step of it.
    let mut extents = Extents::new();
    extents.write(1 << 60, noise(9, 100).into());
    extents.write((1 << 60) + (1 << 40), noise(10, 100).into());
    let now = Layered { extents: &extents, old: &file, size: FILE_BYTES_MAX };
    file.read_bytes.set(0);
    let done = kept.follow(&now, Some(extents.ranges().collect()));
    assert_eq!(done.replaced.len(), 1);
    assert_eq!(kept, Kept::of(&now));
    assert_eq!(kept.pieces.len(), 8);
}

#[test]
fn punching_out_a_file_leaves_one_run() {
    let size = 100 * MAX;
    let mut kept = Kept::of(&Islands::new(size, vec![(3 * MAX + 5, noise(11, 1 << 20))]));
    assert!(kept.pieces.len() > 10);
    let done = kept.follow(&Islands::new(size, Vec::new()), only(3 * MAX..3 * MAX + (2 << 20)));
    assert_eq!(done.told, [Piece::Zeros { start: 0, len: size }]);
    assert_eq!(kept.pieces.len(), 1);
}

#[test]
fn nothing_is_told_where_nothing_changed() {
    let file = Islands::full(noise(12, 1 << 20));
    let mut kept = Kept::of(&file);
    assert_eq!(kept.follow(&file, Some(Vec::new())).replaced, []);
    assert_eq!(kept.follow(&Islands::full(Vec::new()), Some(Vec::new())).told, []);
    assert_eq!(kept, Kept::default());
    assert_eq!(kept.follow(&Islands::full(Vec::new()), Some(Vec::new())).replaced, []);
}

#[test]
fn a_file_may_end_beside_any_boundary() {
    let bytes = noise(13, 2 << 20);
    let kept = Kept::of_bytes(&bytes);
    for end in kept.pieces.keys() {
        for size in end.saturating_sub(2)..end + 3 {
            let short = Islands::full(bytes[..size as usize].to_vec());
            let mut now = kept.clone();
            now.follow(&short, Some(Vec::new()));
            assert_eq!(now, Kept::of_bytes(&bytes[..size as usize]), "{end} {size}");
            now.follow(&Islands::full(bytes.clone()), Some(Vec::new()));
            assert_eq!(now, kept, "{end} {size}");
        }
    }
}

#[test]
fn data_inside_zeros_comes_and_goes_by_the_step() {
    let size = 100 * MAX;
    for tells_holes in [true, false] {
        let empty = Islands { tells_holes, ..Islands::new(size, Vec::new()) };
        let kept = Kept::of(&empty);
        for at in [0, 1, MAX - 1, 50 * MAX, 50 * MAX + 1, 51 * MAX - 1, 99 * MAX, size - 1] {
            let data = Islands { tells_holes, ..Islands::new(size, vec![(at, vec![1])]) };
            let mut now = kept.clone();
            data.read_bytes.set(0);
            recut(&now, &data, Some(at..at + 1), |_| Ok(())).unwrap();
            assert!(data.read_bytes.get() <= 2 * MAX, "{} at {at}", data.read_bytes.get());
            now.follow(&data, only(at..at + 1));
            assert_eq!(now, Kept::of(&data));
            empty.read_bytes.set(0);
            recut(&now, &empty, Some(at..at + 1), |_| Ok(())).unwrap();
            assert!(empty.read_bytes.get() <= 2 * MAX, "{} at {at}", empty.read_bytes.get());
            now.follow(&empty, only(at..at + 1));
            assert_eq!(now, kept, "{at}");
        }
    }
}

#[test]
fn an_error_ends_the_cut() {
    struct Broken;

    impl Bytes for Broken {
        type Error = &'static str;

        fn size(&self) -> u64 {
            10 * MAX
        }

        fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), &'static str> {
            buf.fill(1);
            if offset < 5 * MAX { Ok(()) } else { Err("broken") }
        }

        fn hole_end(&self, _: u64) -> Result<Option<u64>, &'static str> {
            Ok(None)
        }
    }

    let mut told = Vec::new();
    let result = cut(&Broken, |edit| {
        told.push(matches!(edit, Edit::Chunk { .. }));
        Ok(())
    });
    assert_eq!((result, told), (Err("broken"), vec![true; 5]));
    assert_eq!(cut(&Broken, |_| Err("full")), Err("full"));
}
