//! Extents against a plain vector of bytes.

use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};

use super::{Extent, Extents};
use crate::base::limits::{EXTENT_BYTES_GATHERED_MAX, EXTENT_WASTE_MAX};
use crate::content::Segment;
use crate::content::payload::copied;
use crate::content::test_bytes::noise;

const SIZE: usize = 400_000;
const ZERO: u16 = 256;
const BELOW: u16 = 257;

/// What every byte is: written, zeroed, or neither.
#[derive(Clone)]
struct Model(Vec<u16>);

#[derive(Clone, Debug)]
enum Change {
    Write(usize, usize, u64),
    /// Writes the same range a few times.
    Rewrite(usize, usize, u64),
    /// Writes one range after the other.
    Sequence(usize, usize, u64),
    Zero(usize, usize),
    Truncate(usize),
    Resize(usize, usize),
    Clear,
    Clone,
}

impl Model {
    fn write(&mut self, extents: &mut Extents, at: usize, len: usize, seed: u64) {
        let bytes = noise(seed, len.min(SIZE - at));
        for (state, byte) in self.0[at..].iter_mut().zip(&bytes) {
            *state = u16::from(*byte);
        }
        extents.write(at as u64, bytes.into());
    }

    fn apply(&mut self, extents: &mut Extents, change: &Change) {
        match *change {
            Change::Write(at, len, seed) => self.write(extents, at, len, seed),
            Change::Rewrite(at, len, seed) => {
                (0..4).for_each(|n| self.write(extents, at, len, seed ^ n));
            }
            Change::Sequence(at, len, seed) => {
                for n in 0..20 {
                    self.write(extents, (at + n * len).min(SIZE), len, seed ^ n as u64);
                }
            }
            Change::Zero(at, len) => {
                let range = at..(at + len).min(SIZE);
                self.0[range.clone()].fill(ZERO);
                extents.zero(range.start as u64..range.end as u64);
            }
            Change::Truncate(size) => {
                self.0[size..].fill(BELOW);
                extents.truncate(size as u64);
            }
            Change::Resize(old, new) => {
                if new < old {
                    self.0[new..].fill(BELOW);
                } else {
                    self.0[old..new].fill(ZERO);
                }
                extents.resize(old as u64, new as u64);
            }
            Change::Clear => {
                self.0.fill(BELOW);
                extents.clear();
            }
            Change::Clone => {}
        }
    }

    /// Compares a range with what the extents say of it.
    fn check_read(&self, extents: &Extents, range: Range<usize>) {
        let mut at = range.start;
        for segment in extents.read(at as u64, range.len() as u64) {
            let part = segment.range();
            let (start, end) = (part.start as usize, part.end as usize);
            assert!(start == at && end > at && end <= range.end, "{part:?} at {at}");
            let states = &self.0[start..end];
            let same = match segment {
                Segment::Data { bytes, .. } => {
                    states.iter().zip(bytes).all(|(state, byte)| *state == u16::from(*byte))
                }
                Segment::Zeros(_) => states.iter().all(|state| *state == ZERO),
                Segment::Below(_) => states.iter().all(|state| *state == BELOW),
            };
            assert!(same, "{part:?}");
            at = end;
        }
        assert_eq!(at, range.end);
    }

    fn check(&self, extents: &Extents) {
        check_shape(extents);
        self.check_read(extents, 0..SIZE);
        let written = self.0.iter().filter(|state| **state < ZERO).count();
        assert_eq!(extents.dirty_bytes(), written as u64);
        let mut dirty = vec![false; SIZE];
        let mut last_end = None;
        for range in extents.ranges() {
            assert!(!range.is_empty() && last_end.is_none_or(|end| end < range.start));
            dirty[range.start as usize..range.end as usize].fill(true);
            last_end = Some(range.end);
        }
        assert!(dirty.iter().zip(&self.0).all(|(dirty, state)| *dirty == (*state != BELOW)));
        assert_eq!(extents.is_empty(), last_end.is_none());
    }

    /// Compares the first data and the first hole from an offset on, over an old content that
    /// has data in every other block.
    fn check_seek(&self, extents: &Extents, from: usize, size: usize) {
        let old_data = |at: u64| (at / 1000).is_multiple_of(2);
        let first = |range: Range<u64>, data: bool| {
            Ok::<_, Infallible>(range.into_iter().find(|at| old_data(*at) == data))
        };
        let is_data = |at: usize| match self.0[at] {
            BELOW => old_data(at as u64),
            state => state != ZERO,
        };
        let next = |data: bool| (from..size).find(|at| is_data(*at) == data).map(|at| at as u64);
        let found = extents.next_data(from as u64, size as u64, |range| first(range, true));
        assert_eq!(found, Ok(next(true)));
        let found = extents.next_hole(from as u64, size as u64, |range| first(range, false));
        assert_eq!(found, Ok(next(false).or((from < size).then_some(size as u64))));
    }
}

/// Checks what must hold of any extents.
fn check_shape(extents: &Extents) {
    let (mut end, mut after_zeros, mut data_bytes) = (0, false, 0);
    for (start, extent) in &extents.map {
        assert!(*start >= end && extent.len() > 0, "an overlap at {start}");
        match extent {
            Extent::Zeros(_) => {
                assert!(!after_zeros || *start > end, "zeros are not merged at {start}");
            }
            Extent::Data(payload) => {
                assert!(payload.buffer_len() <= EXTENT_WASTE_MAX * payload.len(), "waste");
                data_bytes += payload.len() as u64;
            }
        }
        after_zeros = matches!(extent, Extent::Zeros(_));
        end = start + extent.len();
    }
    assert_eq!(data_bytes, extents.data_bytes);
}

fn any_change() -> impl Strategy<Value = Change> {
    let len = || prop_oneof![2 => 0_usize..300, 2 => Just(4096_usize), 1 => 0_usize..150_000];
    let short = || prop_oneof![1_usize..300, 1_usize..9000];
    let at = || prop_oneof![0_usize..SIZE, (0_usize..SIZE / 4096).prop_map(|page| page * 4096)];
    let seed = any::<u64>;
    prop_oneof![
        6 => (at(), len(), seed()).prop_map(|(at, len, seed)| Change::Write(at, len, seed)),
        2 => (at(), short(), seed()).prop_map(|(at, len, seed)| Change::Rewrite(at, len, seed)),
        3 => (at(), short(), seed()).prop_map(|(at, len, seed)| Change::Sequence(at, len, seed)),
        3 => (at(), len()).prop_map(|(at, len)| Change::Zero(at, len)),
        1 => at().prop_map(Change::Truncate),
        1 => (at(), at()).prop_map(|(old, new)| Change::Resize(old, new)),
        2 => Just(Change::Clone),
    ]
}

#[test]
fn extents_behave_like_an_array_and_clones_never_change() {
    let mut runner = TestRunner::new(Config::with_cases(200));
    let inputs = (vec(any_change(), 1..40), vec((0..SIZE, 0..SIZE), 4));
    let property = |(changes, probes): (Vec<Change>, Vec<(usize, usize)>)| {
        let (mut extents, mut model) = (Extents::new(), Model(vec![BELOW; SIZE]));
        let mut clones = Vec::new();
        for change in &changes {
            model.apply(&mut extents, change);
            check_shape(&extents);
            if matches!(change, Change::Clone) {
                clones.push((extents.clone(), model.clone()));
            }
        }
        model.check(&extents);
        for (from, to) in probes {
            model.check_read(&extents, from.min(to)..from.max(to));
            model.check_seek(&extents, from, to);
        }
        clones.iter().for_each(|(extents, model)| model.check(extents));
        model.apply(&mut extents, &Change::Clear);
        model.check(&extents);
        Ok(())
    };
    runner.run(&inputs, property).unwrap();
}

/// Writes `count` times `len` bytes at the offsets that `place` gives, and returns how many
/// bytes were copied for each that was written.
fn fill(extents: &mut Extents, count: u64, len: usize, place: impl Fn(u64) -> u64) -> f64 {
    let bytes = noise(1, len);
    copied::reset();
    for n in 0..count {
        extents.write(place(n), bytes.clone().into());
    }
    check_shape(extents);
    copied::bytes() as f64 / (count * len as u64) as f64
}

/// As many extents as it takes if they are at least half full.
fn extents_max(bytes: u64) -> usize {
    2 * (bytes as usize).div_ceil(EXTENT_BYTES_GATHERED_MAX) + 1
}

#[test]
fn sequential_writes_are_gathered() {
    for (count, len) in [(100_000, 100), (5000, 4096), (400, 30_000)] {
        let mut extents = Extents::new();
        let copies = fill(&mut extents, count, len, |n| n * len as u64);
        assert!(extents.extents() <= extents_max(count * len as u64), "{}", extents.extents());
        assert!(copies < 3.0, "{copies}");
    }
}

#[test]
fn writes_in_any_order_are_gathered() {
    let (count, len) = (4096_u64, 1000_u64);
    let backwards = |n: u64| (count - 1 - n) * len;
    // 2531 is odd: every place is met once.
    let scattered = |n: u64| (n * 2531 % count) * len;
    let strided = |n: u64| (2 * n % count + 2 * n / count) * len;
    let orders: [(&str, &dyn Fn(u64) -> u64); 3] =
        [("backwards", &backwards), ("scattered", &scattered), ("strided", &strided)];
    for (name, order) in orders {
        let mut extents = Extents::new();
        let copies = fill(&mut extents, count, len as usize, order);
        assert_eq!(extents.dirty_bytes(), count * len);
        assert!(extents.extents() <= 3 * extents_max(count * len), "{name} {}", extents.extents());
        assert!(copies < 10.0, "{name} {copies}");
    }
}

#[test]
fn clones_between_writes_cost_a_logarithm_of_copies() {
    for every in [1, 10] {
        let (mut extents, mut clones) = (Extents::new(), Vec::new());
        copied::reset();
        let (count, len) = (20_000, 100);
        let bytes = noise(2, len);
        for n in 0..count {
            extents.write(n * len as u64, bytes.clone().into());
            if n % every == 0 {
                clones = vec![extents.clone()];
            }
        }
        check_shape(&extents);
        let copies = copied::bytes() as f64 / (count * len as u64) as f64;
        assert!(copies < 20.0, "{copies}");
        assert!(extents.extents() <= 2 * extents_max(count * len as u64), "{}", extents.extents());
        assert!(!clones.is_empty());
    }
}

#[test]
fn rewriting_a_place_holds_its_bytes_once() {
    let mut extents = Extents::new();
    fill(&mut extents, 30, 4096, |n| n * 4096);
    let copies = fill(&mut extents, 10_000, 100, |n| n * 7919 % 100_000);
    assert_eq!((extents.extents(), extents.dirty_bytes()), (1, 30 * 4096));
    assert!(copies <= 1.0, "{copies}");
}

#[test]
fn what_is_overwritten_is_let_go() {
    let mut extents = Extents::new();
    let whole: Arc<[u8]> = noise(3, 1 << 20).into();
    extents.write(0, whole.clone());
    let watched = Arc::downgrade(&whole);
    drop(whole);
    extents.zero(100..900_000);
    check_shape(&extents);
    assert!(watched.upgrade().is_none());
    assert_eq!(extents.dirty_bytes(), 100 + (1 << 20) - 900_000);
}

#[test]
fn a_large_write_is_not_copied() {
    let mut extents = Extents::new();
    assert_eq!(fill(&mut extents, 100, 1 << 20, |n| n << 20), 0.0);
    assert_eq!(extents.extents(), 100);
}

#[test]
fn small_writes_into_a_large_one_go_where_it_lies() {
    let mut extents = Extents::new();
    fill(&mut extents, 4, 1 << 20, |n| n << 20);
    let copies = fill(&mut extents, 1000, 4096, |n| n * 7919 % 1000 * 4096);
    assert_eq!((extents.extents(), copies), (4, 1.0));
    // Not where a clone would see it.
    let (clone, before) = (extents.clone(), bytes_of(&extents));
    extents.write(5000, noise(7, 4096).into());
    assert!(bytes_of(&clone) == before && bytes_of(&extents) != before);
}

fn bytes_of(extents: &Extents) -> Vec<u8> {
    let mut bytes = Vec::new();
    for segment in extents.read(0, extents.dirty_bytes()) {
        let Segment::Data { bytes: part, .. } = segment else { unreachable!("all is data") };
        bytes.extend_from_slice(part);
    }
    bytes
}
