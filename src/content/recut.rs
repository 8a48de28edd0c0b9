//! Cutting a file into pieces, from scratch or around what changed.
//!
//! From a boundary on, the boundaries that follow depend only on the bytes that follow. So after
//! a change the file is cut again from the beginning of the chunk whose end the first changed
//! byte can have moved, and only until an offset beyond the change is a boundary of both the old
//! and the new pieces. A boundary inside a run of zeros, at any multiple of `CHUNK_BYTES_MAX`
//! from its start, is one as good as any: a change in a hole of terabytes costs no more than
//! one elsewhere. Where new zeros touch old ones the replaced range takes in the whole old run,
//! so that the runs are merged as they would be from scratch.

use std::marker::PhantomData;
use std::ops::Range;

use crate::base::limits::{CHUNK_BYTES_MAX, CHUNK_BYTES_MIN};

use super::cut::{CUT_MEMORY_BYTES, Cutter};
use super::dirty::Dirty;
use super::window::Window;
use super::{Bytes, Edit, Piece, Pieces};

const MAX: u64 = CHUNK_BYTES_MAX as u64;

/// Cuts a whole file. The last edit replaces the empty file by it, unless it is empty too.
pub fn cut<B: Bytes>(
    file: &B,
    emit: impl FnMut(Edit<'_>) -> Result<(), B::Error>,
) -> Result<(), B::Error> {
    recut(&NoPieces(PhantomData), file, [], emit)
}

/// Brings the pieces of a file that changed up to date, reading as little of it as will do.
///
/// `dirty` names all ranges that may differ from what `old` was cut from, sorted by where they
/// begin; a change of size needs no mention. The pieces that come out, together with the old
/// ones that no edit replaced, are those that [`cut`] would make. The same bytes are read at
/// most once, and at most `CUT_WINDOW_BYTES_MAX` of them are held.
///
/// Errors come from `old`, `new` and `emit`; what was told before one stands for nothing.
pub fn recut<B: Bytes, P: Pieces<Error = B::Error>>(
    old: &P,
    new: &B,
    dirty: impl IntoIterator<Item = Range<u64>>,
    emit: impl FnMut(Edit<'_>) -> Result<(), B::Error>,
) -> Result<(), B::Error> {
    let (old_size, new_size) = (old.size(), new.size());
    let dirty = Dirty::new(dirty, old_size, new_size);
    let (cutter, window) = (Cutter::new(), Window::default());
    Recut { old, new, old_size, new_size, dirty, emit, cutter, window }.run()
}

/// The pieces of an empty file.
struct NoPieces<E>(PhantomData<fn() -> E>);

impl<E> Pieces for NoPieces<E> {
    type Error = E;

    fn size(&self) -> u64 {
        0
    }

    fn covering(&self, offset: u64) -> Result<Piece, E> {
        Ok(Piece::Chunk { start: offset, len: 0 })
    }
}

struct Recut<'a, B, P, F> {
    old: &'a P,
    new: &'a B,
    old_size: u64,
    new_size: u64,
    dirty: Dirty,
    emit: F,
    cutter: Cutter,
    window: Window,
}

/// A range of old pieces that is being replaced.
struct Replacement {
    start: u64,
    /// It must not reach back beyond this.
    floor: u64,
    /// Zeros that were found and not yet told, since more may follow.
    zeros: Option<Range<u64>>,
}

impl<B, P, F> Recut<'_, B, P, F>
where
    B: Bytes,
    P: Pieces<Error = B::Error>,
    F: FnMut(Edit<'_>) -> Result<(), B::Error>,
{
    fn run(mut self) -> Result<(), B::Error> {
        if self.new_size == 0 {
            return match self.old_size {
                0 => Ok(()),
                size => (self.emit)(Edit::Replace { old: 0..size, new: 0..0 }),
            };
        }
        let mut done = 0;
        while let Some(dirty) = self.dirty.after(done) {
            let at = self.restart(dirty)?.max(done);
            done = self.replace(at, done)?;
            if done == self.new_size {
                break;
            }
        }
        Ok(())
    }

    /// The last old boundary that a change at `dirty` cannot have moved.
    fn restart(&self, dirty: u64) -> Result<u64, B::Error> {
        // The byte after a chunk has its say in where the chunk ends.
        let Some(before) = dirty.min(self.old_size).checked_sub(1) else { return Ok(0) };
        Ok(match self.old_piece(before)? {
            Some(Piece::Chunk { start, .. }) => start,
            // But not after zeros.
            Some(Piece::Zeros { start, .. }) => dirty - (dirty - start) % MAX,
            None => 0,
        })
    }

    /// Cuts from the boundary `at` until the pieces are the old ones again, and returns where.
    /// What lies before `floor` has been replaced.
    fn replace(&mut self, mut at: u64, floor: u64) -> Result<u64, B::Error> {
        let mut replacement = Replacement { start: at, floor, zeros: None };
        if let Some(Piece::Zeros { start, .. }) = self.old_piece(at)?
            && (floor..at).contains(&start)
        {
            replacement.start = start;
            replacement.zeros = Some(start..at);
        }
        loop {
            at = self.step(at, &mut replacement)?;
            if at == self.new_size {
                return self.finish(replacement, self.old_size, at);
            }
            let dirty = self.dirty.after(at);
            if dirty.is_some_and(|start| start <= at) {
                continue;
            }
            let Some(old) = self.old_piece(at)? else { continue };
            let same_until = match old {
                // A run is told whole, or up to the next change inside it.
                Piece::Zeros { start, len }
                    if (at - start).is_multiple_of(MAX)
                        && (start < at || replacement.zeros.is_some()) =>
                {
                    start + len
                }
                _ if old.start() == at => at,
                _ => continue,
            };
            let resume = dirty.map(|start| self.restart(start)).transpose()?.unwrap_or(u64::MAX);
            let same_until_change = same_until.min(resume.max(at));
            if same_until_change > at {
                replacement.zeros.get_or_insert(at..at).end = same_until_change;
                at = same_until_change;
            }
            if resume > same_until {
                return self.finish(replacement, at, at);
            }
        }
    }

    /// Tells the piece that begins at `at`, and returns where it ends.
    fn step(&mut self, at: u64, replacement: &mut Replacement) -> Result<u64, B::Error> {
        let hole = self.hole_len(at)?;
        if hole > 0 {
            self.add_zeros(at..at + hole, replacement)?;
            return Ok(at + hole);
        }
        let len = self.chunk_len(at)?;
        let end = at + len as u64;
        if len == CHUNK_BYTES_MAX && !self.is_whole_file(at, end) {
            let bytes = self.window.get(self.new, at, len)?;
            if bytes.chunks(64).all(|part| part.iter().fold(0, |all, byte| all | byte) == 0) {
                self.add_zeros(at..end, replacement)?;
                return Ok(end);
            }
        }
        self.flush(replacement)?;
        let bytes = self.window.get(self.new, at, len)?;
        (self.emit)(Edit::Chunk { start: at, bytes })?;
        Ok(end)
    }

    /// The length of the run of zeros at the boundary `at` that is known without reading.
    fn hole_len(&self, at: u64) -> Result<u64, B::Error> {
        let mut end = at;
        if self.new_size - at < MAX || self.is_whole_file(at, at + MAX) {
            return Ok(0);
        }
        while end - at < MAX {
            match self.new.hole_end(end)? {
                Some(further) if further > end => end = further.min(self.new_size),
                _ => return Ok(0),
            }
        }
        Ok((end - at) / MAX * MAX)
    }

    /// The length of the chunk at the boundary `at`.
    ///
    /// Where the chunk may well end as before, no more than it is read to find that out.
    fn chunk_len(&mut self, at: u64) -> Result<usize, B::Error> {
        let len_max = (self.new_size - at).min(MAX) as usize;
        if let Some((old_start, old_end)) = self.old_end_ahead(at)? {
            // A chunk with the same beginning ends there unless it ends before. Otherwise it
            // takes the next bytes to tell: two, since the cutter looks at bytes by pairs.
            let same = old_start == at;
            let len = (old_end - at) as usize + if same { 0 } else { 2 };
            if len < len_max {
                let found = self.cutter.first_len(self.window.get(self.new, at, len)?);
                if same || found < len {
                    return Ok(found);
                }
            }
        }
        Ok(self.cutter.first_len(self.window.get(self.new, at, len_max)?))
    }

    /// The first old chunk that ends so far beyond `at` that the one at `at` may end with it,
    /// if the bytes around that end are the old ones.
    fn old_end_ahead(&self, at: u64) -> Result<Option<(u64, u64)>, B::Error> {
        let mut from = at;
        while let Some(Piece::Chunk { start, len }) = self.old_piece(from)? {
            from = start + len;
            if from - at > CHUNK_BYTES_MIN as u64 {
                let decisive = from.saturating_sub(CUT_MEMORY_BYTES).max(at)..from + 2;
                return Ok(
                    (from - at <= MAX && !self.dirty.touches(decisive)).then_some((start, from))
                );
            }
        }
        Ok(None)
    }

    /// The old piece that covers `offset`, unless the answer makes no sense.
    fn old_piece(&self, offset: u64) -> Result<Option<Piece>, B::Error> {
        if offset >= self.old_size {
            return Ok(None);
        }
        let piece = self.old.covering(offset)?;
        let covers = (piece.start()..piece.end()).contains(&offset);
        Ok((covers && piece.end() <= self.old_size).then_some(piece))
    }

    fn is_whole_file(&self, start: u64, end: u64) -> bool {
        start == 0 && end == self.new_size
    }

    fn add_zeros(
        &mut self,
        zeros: Range<u64>,
        replacement: &mut Replacement,
    ) -> Result<(), B::Error> {
        if let Some(known) = &mut replacement.zeros {
            known.end = zeros.end;
            return Ok(());
        }
        let mut start = zeros.start;
        if start == replacement.start
            && start > replacement.floor
            && let Some(Piece::Zeros { start: old_start, .. }) = self.old_piece(start - 1)?
            && old_start >= replacement.floor
        {
            start = old_start;
            replacement.start = old_start;
        }
        replacement.zeros = Some(start..zeros.end);
        Ok(())
    }

    fn finish(
        &mut self,
        mut replacement: Replacement,
        old_end: u64,
        new_end: u64,
    ) -> Result<u64, B::Error> {
        self.flush(&mut replacement)?;
        let start = replacement.start;
        (self.emit)(Edit::Replace { old: start..old_end, new: start..new_end })?;
        Ok(new_end)
    }

    fn flush(&mut self, replacement: &mut Replacement) -> Result<(), B::Error> {
        match replacement.zeros.take() {
            Some(Range { start, end }) => (self.emit)(Edit::Zeros { start, len: end - start }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
