//! Values that do not fit beside others: pages of their own, one after the other.
//!
//! A page of a chain begins with the number of the next and how many bytes follow. What refers to a
//! chain has 16 bytes: its first and last page, and its length.

use super::pages::{NONE, PAGE, Pages};
use crate::Lease;

/// Bytes in front of a page's part.
const HEADER: usize = 8;
/// Bytes that a page of a chain holds.
pub(super) const PART: usize = PAGE - HEADER;
/// Bytes of a reference to a chain.
pub(super) const REFERENCE: usize = 16;

/// Pages that hold one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) first: u32,
    last: u32,
    pub(super) bytes: u64,
}

/// Why a chain did not become longer; it is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    OutOfBudget,
    SnapshotFirst,
}

impl Chain {
    /// A chain of some bytes, or nothing if the budget is used up.
    pub(super) fn new<L: Lease>(pages: &mut Pages<L>, parts: &[&[u8]]) -> Result<Self, Refused> {
        let first = pages.take().ok_or(Refused::OutOfBudget)?;
        set_header(pages, first, NONE, 0);
        let mut chain = Self { first, last: first, bytes: 0 };
        for part in parts {
            if let Err(refused) = chain.append(pages, part) {
                chain.free(pages);
                return Err(refused);
            }
        }
        Ok(chain)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_first_chunk::<4>()?;
        let (last, rest) = rest.split_first_chunk::<4>()?;
        let length = rest.first_chunk::<8>()?;
        Some(Self {
            first: u32::from_le_bytes(*first),
            last: u32::from_le_bytes(*last),
            bytes: u64::from_le_bytes(*length),
        })
    }

    pub(super) fn to_bytes(self) -> [u8; REFERENCE] {
        let mut bytes = [0; REFERENCE];
        bytes[..4].copy_from_slice(&self.first.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.last.to_le_bytes());
        bytes[8..].copy_from_slice(&self.bytes.to_le_bytes());
        bytes
    }

    /// Adds bytes at the end: all of them, or none.
    pub(super) fn append<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        bytes: &[u8],
    ) -> Result<(), Refused> {
        let used = header(pages.page(self.last)).1;
        let (here, beyond) = bytes.split_at(bytes.len().min(PART - used));
        pages.prepare(self.last).map_err(|_| Refused::SnapshotFirst)?;
        // All pages first, so that nothing has happened if they are not there.
        let mut added = Self { first: NONE, last: NONE, bytes: 0 };
        for part in beyond.chunks(PART) {
            let Some(page) = pages.take() else {
                added.free(pages);
                return Err(Refused::OutOfBudget);
            };
            set_header(pages, page, NONE, part.len());
            pages.page_mut(page)[HEADER..HEADER + part.len()].copy_from_slice(part);
            match added.first {
                NONE => added.first = page,
                _ => set_next(pages, added.last, page),
            }
            added.last = page;
        }
        let last = pages.page_mut(self.last);
        last[HEADER + used..HEADER + used + here.len()].copy_from_slice(here);
        set_header(pages, self.last, added.first, used + here.len());
        if added.first != NONE {
            self.last = added.last;
        }
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn free<L: Lease>(self, pages: &mut Pages<L>) {
        let mut page = self.first;
        while page != NONE {
            let next = header(pages.page(page)).0;
            pages.give(page);
            page = next;
        }
    }
}

/// The part of a page of a chain, and the page behind it.
pub(super) fn part(page: &super::pages::Page) -> (&[u8], u32) {
    let (next, used) = header(page);
    (&page[HEADER..HEADER + used.min(PART)], next)
}

fn header(page: &super::pages::Page) -> (u32, usize) {
    let word = |at: usize| u32::from_le_bytes([page[at], page[at + 1], page[at + 2], page[at + 3]]);
    (word(0), word(4) as usize)
}

fn set_header<L: Lease>(pages: &mut Pages<L>, page: u32, next: u32, used: usize) {
    let bytes = pages.page_mut(page);
    bytes[..4].copy_from_slice(&next.to_le_bytes());
    bytes[4..8].copy_from_slice(&(used as u32).to_le_bytes());
}

fn set_next<L: Lease>(pages: &mut Pages<L>, page: u32, next: u32) {
    pages.page_mut(page)[..4].copy_from_slice(&next.to_le_bytes());
}
