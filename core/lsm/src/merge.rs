//! Several sources as one: of each name what counts.
//!
//! Sources are in the order of their age, the newest first. Of a name the newest whole counts, and what
//! newer sources add to it; what is older is skipped. Nothing is gathered on the way: all sources that
//! have a name stand at it, so what counts is known before the first piece is read.

use alloc::vec::Vec;

use millstream_state::StateError;

use crate::{
    block::Op,
    name::{split, whole},
    writer::Entry,
};

/// Entries of one state in order.
pub(crate) trait Source {
    /// Makes sure that there is an [entry](Self::entry); `false` at the end.
    ///
    /// # Errors
    /// [`StateError::Waits`], to be called again; [`StateError::DamagedFile`].
    fn fill(&mut self) -> Result<bool, StateError>;

    /// The entry that `fill` has found.
    fn entry(&self) -> Entry<'_>;

    /// Goes on behind it.
    fn take(&mut self);

    /// Whether older sources have nothing of a namespace, at a rank.
    fn hides(&self, rank: u64, namespace: &[u8]) -> bool;
}

/// A piece that counts: the [entry](Source::entry) of a source, which is to be [taken](Source::take).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) source: usize,
    /// What it does, and which piece it is, after merging.
    pub(crate) op: Op,
    pub(crate) piece: u32,
}

/// Where in several sources a merge stands.
#[derive(Debug, Default)]
pub(crate) struct Merge {
    /// Whether there is nothing older than the sources.
    is_all: bool,
    /// The rank to stop at.
    end: u64,
    rank: u64,
    name: Vec<u8>,
    op: Option<Op>,
    piece: u32,
    /// Sources whose pieces of the name follow each other, and how many have been read.
    order: Vec<usize>,
    read: usize,
    /// Sources whose pieces of the name do not count.
    skipped: Vec<usize>,
    /// A map of which sources behind this one do not count.
    cut: Option<(Vec<u8>, usize)>,
}

impl Merge {
    /// Of sources behind which there is nothing older, or there may be.
    pub(crate) fn new(is_all: bool) -> Self {
        Self { is_all, end: u64::MAX, ..Self::default() }
    }

    /// Stops in front of a rank.
    pub(crate) fn until(self, end: u64) -> Self {
        Self { end, ..self }
    }

    /// The rank and name that it is at: everything in front of it was given, or does not count.
    pub(crate) fn position(&self) -> (u64, &[u8]) {
        (self.rank, &self.name)
    }

    /// The next piece that counts; `None` at the end.
    ///
    /// # Errors
    /// As [`Source::fill`].
    pub(crate) fn next<S: Source>(
        &mut self,
        sources: &mut [S],
    ) -> Result<Option<Step>, StateError> {
        loop {
            while let Some(source) = self.skipped.last() {
                if self.is_at(sources, *source)? {
                    sources[*source].take();
                } else {
                    self.skipped.pop();
                }
            }
            while let Some(source) = self.order.get(self.read).copied() {
                if self.is_at(sources, source)? {
                    let piece = self.piece;
                    self.piece += 1;
                    return Ok(Some(Step { source, op: self.op.unwrap_or(Op::Whole), piece }));
                }
                self.read += 1;
            }
            if !self.next_name(sources)? {
                return Ok(None);
            }
        }
    }

    /// Whether all pieces of the name that it is at were given.
    ///
    /// # Errors
    /// As [`Source::fill`].
    pub(crate) fn is_whole<S: Source>(&mut self, sources: &mut [S]) -> Result<bool, StateError> {
        while let Some(source) = self.order.get(self.read).copied() {
            if self.is_at(sources, source)? {
                return Ok(false);
            }
            self.read += 1;
        }
        Ok(true)
    }

    /// Whether a source still has pieces of the name.
    fn is_at<S: Source>(&self, sources: &mut [S], source: usize) -> Result<bool, StateError> {
        let Some(source) = sources.get_mut(source) else { return Ok(false) };
        if !source.fill()? {
            return Ok(false);
        }
        let entry = source.entry();
        Ok(entry.rank == self.rank && entry.name == self.name)
    }

    /// Goes to the next name and decides what of it counts; `false` if there is none.
    fn next_name<S: Source>(&mut self, sources: &mut [S]) -> Result<bool, StateError> {
        let mut least = None;
        for number in 0..sources.len() {
            if !sources[number].fill()? {
                continue;
            }
            let entry = sources[number].entry();
            let is_less = least.is_none_or(|least: usize| {
                let least = sources[least].entry();
                (entry.rank, entry.name) < (least.rank, least.name)
            });
            if is_less {
                least = Some(number);
            }
        }
        let Some(least) = least else { return Ok(false) };
        let entry = sources[least].entry();
        if entry.rank >= self.end {
            return Ok(false);
        }
        self.rank = entry.rank;
        self.name.clear();
        self.name.extend_from_slice(entry.name);
        self.piece = 0;
        self.read = 0;
        self.order.clear();
        let last = self.last_that_counts(sources);
        let mut base = None;
        for (number, source) in sources.iter_mut().enumerate().skip(least) {
            if !source.fill()? {
                continue;
            }
            let entry = source.entry();
            if (entry.rank, entry.name) != (self.rank, &*self.name) {
                continue;
            }
            if number > last || base.is_some() {
                self.skipped.push(number);
                continue;
            }
            self.order.push(number);
            if entry.op != Op::Add {
                base = Some(entry.op);
            }
        }
        self.order.reverse();
        self.op = Some(match base {
            None if !self.is_all => Op::Add,
            _ => Op::Whole,
        });
        if base == Some(Op::Gone) {
            self.begin_gone();
        }
        Ok(true)
    }

    /// The oldest source that may have something of the name.
    fn last_that_counts<S: Source>(&self, sources: &[S]) -> usize {
        let namespace = split(&self.name).map_or(&[][..], |parts| parts.namespace);
        let hides = sources.iter().position(|source| source.hides(self.rank, namespace));
        let cut = self.cut.as_ref().filter(|cut| cut.0 == whole(&self.name)).map(|cut| cut.1);
        hides.unwrap_or(usize::MAX).min(cut.unwrap_or(usize::MAX))
    }

    /// The oldest source that counts says that there was nothing.
    fn begin_gone(&mut self) {
        let Some(gone) = self.order.first().copied() else { return };
        if whole(&self.name) == self.name {
            self.cut = Some((self.name.clone(), gone));
        }
        if self.order.len() > 1 || self.is_all {
            self.order.remove(0);
            self.skipped.push(gone);
        } else {
            self.op = Some(Op::Gone);
        }
    }
}

#[cfg(test)]
mod tests;
