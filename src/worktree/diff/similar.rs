//! Finds files that were renamed and changed as well: pairs of one that is gone and one that is
//! new, most of whose content is the same.
//!
//! A file is taken for the set of its lines (of a line without end, pieces of 64 bytes). What two
//! files share is the bytes of the lines that both have, and their similarity is that in percent
//! of the larger file, as git counts it. Files whose last name nobody else has find each other
//! first, since most renames are moves; of all others, those that are most alike.
//!
//! What is read and how much is compared is bounded: see `SIMILAR_FILE_BYTES_MAX`,
//! `SIMILAR_BYTES_MAX` and `SIMILAR_PAIRS_MAX`.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::{Change, ChangeKind, SIMILARITY_SAME, last_name};
use crate::base::limits::{SIMILAR_BYTES_MAX, SIMILAR_FILE_BYTES_MAX, SIMILAR_PAIRS_MAX};
use crate::model::{Content, Entry, EntryBody, ObjectError, ObjectSource};
use crate::worktree::File;

/// Longest piece that is compared as a whole.
const PIECE_BYTES_MAX: usize = 64;

/// Makes one change of each regular file that went and one that came with at least so many percent
/// of the same content. The list stays sorted by path.
///
/// Returns false if there were more than are compared, so that some renames may not be told as
/// such.
pub fn pair_similar(
    changes: &mut Vec<Change>,
    percent_min: u8,
    src: &dyn ObjectSource,
) -> Result<bool, ObjectError> {
    let candidates = |entry_of: fn(&Change) -> Option<&Entry>| -> Vec<Candidate> {
        let of = |(at, change)| Candidate::new(at, entry_of(change)?);
        changes.iter().enumerate().filter_map(of).collect()
    };
    let gone = candidates(|change| change.old.as_ref().filter(|_| change.new.is_none()));
    let came = candidates(|change| change.new.as_ref().filter(|_| change.old.is_none()));
    if gone.is_empty() || came.is_empty() || percent_min >= SIMILARITY_SAME {
        return Ok(true);
    }
    let mut search = Search {
        changes,
        src,
        percent_min,
        gone,
        came,
        bytes_left: SIMILAR_BYTES_MAX,
        is_complete: true,
    };
    let mut pairs = search.namesakes()?;
    pairs.extend(search.likest()?);
    let is_complete = search.is_complete;
    apply(changes, pairs);
    Ok(is_complete)
}

/// Two changes that are one.
struct Pair {
    gone: usize,
    came: usize,
    similarity: u8,
}

fn apply(changes: &mut Vec<Change>, pairs: Vec<Pair>) {
    let mut kept = vec![true; changes.len()];
    for Pair { gone, came, similarity } in pairs {
        let from = std::mem::take(&mut changes[gone].path);
        changes[came].kind = ChangeKind::Renamed { from, similarity };
        changes[came].old = changes[gone].old.take();
        kept[gone] = false;
    }
    let mut kept = kept.into_iter();
    changes.retain(|_| kept.next().unwrap_or(true));
}

/// A file that went or came.
#[derive(Clone, Copy)]
struct Candidate {
    /// Which change it is.
    at: usize,
    size: u64,
    content: Content,
    /// It has a partner.
    taken: bool,
}

impl Candidate {
    fn new(at: usize, entry: &Entry) -> Option<Self> {
        match entry.body {
            EntryBody::File { size, content } if (1..=SIMILAR_FILE_BYTES_MAX).contains(&size) => {
                Some(Self { at, size, content, taken: false })
            }
            _ => None,
        }
    }
}

struct Search<'a> {
    changes: &'a [Change],
    src: &'a dyn ObjectSource,
    percent_min: u8,
    gone: Vec<Candidate>,
    came: Vec<Candidate>,
    bytes_left: u64,
    is_complete: bool,
}

impl Search<'_> {
    /// Pairs files that have a last name in common which no other one on either side has. They
    /// must be more alike than others, for a better partner is not looked for.
    fn namesakes(&mut self) -> Result<Vec<Pair>, ObjectError> {
        let percent_min = self.percent_min.midpoint(SIMILARITY_SAME);
        let by_name = |candidates: &[Candidate]| {
            let mut by_name: HashMap<&[u8], Option<usize>> = HashMap::new();
            for (index, candidate) in candidates.iter().enumerate() {
                let name = last_name(&self.changes[candidate.at].path);
                by_name.entry(name).and_modify(|only| *only = None).or_insert(Some(index));
            }
            by_name
        };
        let came = by_name(&self.came);
        let gone = by_name(&self.gone);
        let mut found: Vec<(usize, usize)> = came
            .into_iter()
            .filter_map(|(name, came)| Some((gone.get(name).copied().flatten()?, came?)))
            .collect();
        found.sort_unstable();
        let mut pairs = Vec::new();
        for (gone, came) in found {
            let (old, new) = (self.gone[gone], self.came[came]);
            if enough(old.size.min(new.size), old.size, new.size, percent_min).is_none() {
                continue;
            }
            let Some(old_pieces) = self.read(&old, self.bytes_left)? else { continue };
            let Some(new_pieces) = self.read(&new, self.bytes_left)? else { continue };
            let shared = old_pieces.shared_bytes(&new_pieces);
            if let Some(similarity) = enough(shared, old.size, new.size, percent_min) {
                pairs.push(self.join(gone, came, similarity));
            }
        }
        Ok(pairs)
    }

    /// Pairs those that are most alike among all that have no partner.
    ///
    /// Looks up for each line of a file that came which of those that went have it, so that files
    /// with nothing in common are not compared.
    fn likest(&mut self) -> Result<Vec<Pair>, ObjectError> {
        let free = |candidates: &[Candidate]| -> Vec<usize> {
            (0..candidates.len()).filter(|index| !candidates[*index].taken).collect()
        };
        let (gone, came) = (free(&self.gone), free(&self.came));
        if gone.len().saturating_mul(came.len()) > SIMILAR_PAIRS_MAX {
            self.is_complete = false;
            return Ok(Vec::new());
        }
        let percent_min = self.percent_min;
        let (gone_sizes, came_sizes) = (sizes(&self.gone, &gone), sizes(&self.came, &came));

        let mut holders: HashMap<u32, Vec<(usize, u32)>> = HashMap::new();
        // The other half is for those that came.
        let bytes_kept = self.bytes_left / 2;
        for &index in &gone {
            let candidate = self.gone[index];
            if !has_fitting(&came_sizes, candidate.size, percent_min) {
                continue;
            }
            let bytes_left = self.bytes_left.saturating_sub(bytes_kept);
            for (hash, bytes) in self.read(&candidate, bytes_left)?.into_iter().flat_map(|p| p.0) {
                holders.entry(hash).or_default().push((index, bytes));
            }
        }

        let mut found = Vec::new();
        let mut shared = vec![0; self.gone.len()];
        for came in came {
            let new = self.came[came];
            if !has_fitting(&gone_sizes, new.size, percent_min) {
                continue;
            }
            let Some(pieces) = self.read(&new, self.bytes_left)? else { continue };
            shared.fill(0);
            for (hash, bytes) in pieces.0 {
                for (gone, its_bytes) in holders.get(&hash).into_iter().flatten() {
                    shared[*gone] += u64::from(bytes.min(*its_bytes));
                }
            }
            for &gone in &gone {
                let old = self.gone[gone];
                if let Some(similarity) = enough(shared[gone], old.size, new.size, percent_min) {
                    let [from, to] = [old.at, new.at].map(|at| last_name(&self.changes[at].path));
                    found.push((Reverse(similarity), from != to, came, gone));
                }
            }
        }
        found.sort_unstable();
        let mut pairs = Vec::new();
        for (Reverse(similarity), _, came, gone) in found {
            if !self.gone[gone].taken && !self.came[came].taken {
                pairs.push(self.join(gone, came, similarity));
            }
        }
        Ok(pairs)
    }

    fn join(&mut self, gone: usize, came: usize, similarity: u8) -> Pair {
        self.gone[gone].taken = true;
        self.came[came].taken = true;
        Pair { gone: self.gone[gone].at, came: self.came[came].at, similarity }
    }

    /// Reads a file, if it is not more than may still be read.
    fn read(
        &mut self,
        candidate: &Candidate,
        bytes_left: u64,
    ) -> Result<Option<Pieces>, ObjectError> {
        if candidate.size > bytes_left {
            self.is_complete = false;
            return Ok(None);
        }
        self.bytes_left -= candidate.size;
        // At most SIMILAR_FILE_BYTES_MAX.
        let mut bytes = vec![0; usize::try_from(candidate.size).unwrap_or_default()];
        File::stored(candidate.size, candidate.content).read(0, &mut bytes, self.src)?;
        Ok(Some(Pieces::of(&bytes)))
    }
}

/// The similarity of two files that share so many bytes, if that is enough.
fn enough(shared: u64, old_size: u64, new_size: u64, percent_min: u8) -> Option<u8> {
    // The same lines in another order are not the same content.
    let similarity = percent(shared, old_size.max(new_size)).min(u64::from(SIMILARITY_SAME - 1));
    u8::try_from(similarity).ok().filter(|similarity| *similarity >= percent_min)
}

fn sizes(candidates: &[Candidate], indexes: &[usize]) -> Vec<u64> {
    let mut sizes: Vec<u64> = indexes.iter().map(|index| candidates[*index].size).collect();
    sizes.sort_unstable();
    sizes
}

/// Tells whether one of sorted sizes is so near to another one that the files can be similar:
/// they cannot share more than the smaller one has.
fn has_fitting(sizes: &[u64], size: u64, percent_min: u8) -> bool {
    let least = sizes.partition_point(|other| percent(*other, size) < u64::from(percent_min));
    let nearest = sizes.get(least).copied();
    nearest.is_some_and(|other| percent(size, other) >= u64::from(percent_min))
}

fn percent(part: u64, whole: u64) -> u64 {
    // Files that are compared are small, and none is empty.
    (part * 100).checked_div(whole).unwrap_or(0)
}

/// The lines of a file, or pieces of them: hashes in rising order, each with the bytes that all
/// pieces with that hash have together.
struct Pieces(Vec<(u32, u32)>);

impl Pieces {
    fn of(bytes: &[u8]) -> Self {
        let lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let pieces = lines.flat_map(|line| line.chunks(PIECE_BYTES_MAX));
        let mut hashed: Vec<(u32, u32)> =
            // A piece is short.
            pieces.map(|piece| (crc32c::crc32c(piece), piece.len() as u32)).collect();
        hashed.sort_unstable();
        hashed.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        Self(hashed)
    }

    fn shared_bytes(&self, other: &Self) -> u64 {
        let (mut a, mut b) = (self.0.as_slice(), other.0.as_slice());
        let mut shared = 0;
        while let ([(hash_a, bytes_a), rest_a @ ..], [(hash_b, bytes_b), rest_b @ ..]) = (a, b) {
            if hash_a == hash_b {
                shared += u64::from(*bytes_a.min(bytes_b));
            }
            if hash_a <= hash_b {
                a = rest_a;
            }
            if hash_b <= hash_a {
                b = rest_b;
            }
        }
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::{Pieces, has_fitting, percent};

    #[test]
    fn only_files_of_near_sizes_are_read() {
        let sizes = [10, 40, 1000];
        let fitting = [(5, true), (4, false), (20, true), (81, false), (80, true), (500, true)];
        for (size, fits) in fitting.into_iter().chain([(2000, true), (2001, false), (499, false)]) {
            assert_eq!(has_fitting(&sizes, size, 50), fits, "{size}");
        }
        assert!(!has_fitting(&[], 1, 1));
    }

    #[test]
    fn what_is_shared_is_the_bytes_of_common_lines_however_often_and_wherever() {
        let shared = |a: &str, b: &str| {
            let (a, b) = (Pieces::of(a.as_bytes()), Pieces::of(b.as_bytes()));
            assert_eq!(a.shared_bytes(&b), b.shared_bytes(&a));
            a.shared_bytes(&b)
        };
        assert_eq!(shared("one\ntwo\n", "two\none\n"), 8);
        assert_eq!(shared("one\none\none\n", "one\n"), 4);
        assert_eq!(shared("one\n", "one"), 0);
        assert_eq!(shared("", "one"), 0);
        let long = "x".repeat(200);
        assert_eq!(shared(&long, &format!("{long}y")), 192);
    }

    #[test]
    fn a_percentage_is_rounded_down() {
        assert_eq!(percent(999, 1000), 99);
        assert_eq!(percent(1, 0), 0);
    }
}
