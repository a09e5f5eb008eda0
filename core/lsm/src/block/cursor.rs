//! Reading entries of a block: one after the other, or the one of a name.

use alloc::vec::Vec;
use core::{cmp::Ordering, ops::Range};

use super::{Block, BlockError, Op, PIECE, in_common};
use crate::name::{NAME_MAX, Order};

/// An entry as it lies there.
struct Raw {
    op: Op,
    shared: usize,
    rest: Range<usize>,
    piece: u32,
    value: Range<usize>,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What the entry does.
    pub op: Op,
    /// Where its value is, for [`Block::value`].
    pub value: Range<usize>,
    /// Whether the value goes on.
    pub more: More,
}

/// Whether a value has another piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// No.
    No,
    /// In the next entry.
    Here,
    /// In the next block, if anywhere.
    InNextBlock,
}

impl Block<'_> {
    #[inline]
    fn raw(&self, at: usize) -> Result<Raw, BlockError> {
        let parsed = || {
            let bytes = self.entries;
            let flags = *bytes.get(at)?;
            let mut next = at + 1;
            let shared = number(bytes, &mut next)? as usize;
            let rest = number(bytes, &mut next)? as usize;
            let piece = if flags & PIECE == 0 { 0 } else { number(bytes, &mut next)? };
            let value = number(bytes, &mut next)? as usize;
            let begin = next.checked_add(rest)?;
            let end = begin.checked_add(value)?;
            if end > bytes.len() || shared.checked_add(rest)? > NAME_MAX {
                return None;
            }
            Some(Raw { op: Op::of(flags)?, shared, rest: next..begin, piece, value: begin..end })
        };
        parsed().ok_or(BlockError { at, what: "no entry begins like this" })
    }

    /// The name of an entry that shares nothing.
    #[inline]
    fn restart_name(&self, number: usize) -> Result<&[u8], BlockError> {
        let at = self.restart(number).unwrap_or(usize::MAX);
        let raw = self.raw(at)?;
        if raw.shared != 0 {
            return Err(BlockError { at, what: "an entry shares with none" });
        }
        self.entries.get(raw.rest).ok_or(BlockError { at, what: "it ends within a name" })
    }

    /// The number of the last restart that is below a name; 0 if none is.
    #[inline]
    fn last_restart(
        &self,
        order: &Order,
        rank: u64,
        is_below: impl Fn(&[u8]) -> bool,
    ) -> Result<usize, BlockError> {
        let (mut low, mut high) = (0, self.restarts.len());
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let name = self.restart_name(middle)?;
            let what = "an entry has a name that is none";
            let at = order.rank_of(name).ok_or(BlockError { at: 0, what })?;
            let below = match at.cmp(&rank) {
                Ordering::Less => true,
                Ordering::Equal => is_below(name),
                Ordering::Greater => false,
            };
            if below {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Finds the first entry of a name; `None` if there is none here.
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn find(&self, order: &Order, rank: u64, name: &[u8]) -> Result<Option<Found>, BlockError> {
        let restart = self.last_restart(order, rank, |at| at < name)?;
        let Some(mut at) = self.restart(restart) else { return Ok(None) };
        // The name of an entry is only compared where it may differ from the one before.
        let (mut equal, mut length) = (0, 0);
        while at < self.entries.len() {
            let raw = self.raw(at)?;
            if raw.shared > length {
                return Err(BlockError { at, what: "an entry shares more than there is" });
            }
            length = raw.shared + raw.rest.len();
            if raw.shared <= equal {
                let rest = self.entries.get(raw.rest).unwrap_or(&[]);
                let wanted = name.get(raw.shared..).unwrap_or(&[]);
                equal = raw.shared + in_common(rest, wanted);
            }
            if equal == length && equal == name.len() {
                let end = raw.value.end;
                let more = if end >= self.entries.len() {
                    More::InNextBlock
                } else {
                    let next = self.raw(end)?;
                    let is_same = match next.shared {
                        0 => self.entries.get(next.rest.clone()) == Some(name),
                        shared => shared == length && next.rest.is_empty(),
                    };
                    if is_same { More::Here } else { More::No }
                };
                return Ok(Some(Found { op: raw.op, value: raw.value, more }));
            }
            // What begins at the next restart is not below the name, and may be it.
            if self.restart(restart + 1).is_some_and(|next| at >= next) {
                break;
            }
            at = raw.value.end;
        }
        Ok(None)
    }
}

/// Where in a block a reader stands: at an entry, whose name and value it knows.
#[derive(Clone, Debug, Default)]
pub struct BlockCursor {
    next: usize,
    name: Vec<u8>,
    piece: u32,
    op: Option<Op>,
    value: Range<usize>,
}

impl BlockCursor {
    /// In front of the first entry.
    pub fn rewind(&mut self) {
        self.next = 0;
        self.name.clear();
        self.op = None;
    }

    /// Goes to the next entry; `false` if there was none.
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn advance(&mut self, block: &Block<'_>) -> Result<bool, BlockError> {
        if self.next >= block.entries.len() {
            return Ok(false);
        }
        let raw = block.raw(self.next)?;
        if raw.shared > self.name.len() {
            return Err(BlockError { at: self.next, what: "an entry shares more than there is" });
        }
        self.name.truncate(raw.shared);
        self.name.extend_from_slice(block.entries.get(raw.rest).unwrap_or(&[]));
        (self.piece, self.op) = (raw.piece, Some(raw.op));
        self.next = raw.value.end;
        self.value = raw.value;
        Ok(true)
    }

    /// Goes to the first entry that is not below a name; `false` if there is none.
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn seek(
        &mut self,
        block: &Block<'_>,
        order: &Order,
        rank: u64,
        name: &[u8],
    ) -> Result<bool, BlockError> {
        self.rewind();
        let restart = block.last_restart(order, rank, |at| at < name)?;
        self.next = block.restart(restart).unwrap_or(block.entries.len());
        while self.advance(block)? {
            let what = "an entry has a name that is none";
            let at = order.rank_of(&self.name).ok_or(BlockError { at: self.next, what })?;
            if (at, &*self.name) >= (rank, name) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The name of the entry.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Which piece of the value it has.
    pub fn piece(&self) -> u32 {
        self.piece
    }

    /// What the entry does.
    pub fn op(&self) -> Op {
        self.op.unwrap_or(Op::Whole)
    }

    /// Where its value is, for [`Block::value`].
    pub fn value(&self) -> Range<usize> {
        self.value.clone()
    }
}

/// A number of at most 32 bits in LEB128.
#[inline]
fn number(bytes: &[u8], at: &mut usize) -> Option<u32> {
    let first = *bytes.get(*at)?;
    *at += 1;
    if first < 0x80 {
        return Some(u32::from(first));
    }
    let mut value = u64::from(first & 0x7F);
    for shift in [7, 14, 21, 28] {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return u32::try_from(value).ok();
        }
    }
    None
}
