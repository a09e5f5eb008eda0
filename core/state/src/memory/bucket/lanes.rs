//! Finding the entry of a hash in a page: its lanes, four at a time.

use super::{HEADER, LANES_MIN, TOMBSTONE, USED, class, set_short, short};
use crate::memory::pages::Page;

const EACH: u64 = 0x0001_0001_0001_0001;
const TAGS: u64 = 0xFF00_FF00_FF00_FF00;
const HIGH: u64 = 0x8000_8000_8000_8000;

/// The four lanes at which the search for a hash begins.
#[inline(always)]
pub(in crate::memory) fn first_group(class: u32, position: u64) -> usize {
    (position >> 32) as usize & ((LANES_MIN / 4) << class).wrapping_sub(1)
}

/// Where four lanes begin.
#[inline(always)]
pub(in crate::memory) fn lanes_at(group: usize) -> usize {
    // Below 64 groups in any class: says so to the compiler.
    HEADER + (group & 63) * 8
}

#[inline(always)]
pub(in crate::memory) fn lanes(page: &Page, group: usize) -> u64 {
    let at = lanes_at(group);
    page[at..at + 8].first_chunk().map_or(0, |lanes| u64::from_le_bytes(*lanes))
}

/// The lanes among four that may be those of a hash, as bits. There can be false ones.
#[inline(always)]
pub(in crate::memory) fn candidates(lanes: u64, position: u64) -> u64 {
    let tag = (position >> 24) & 0xFF;
    let differ = (lanes ^ (tag * (EACH << 8))) & TAGS;
    differ.wrapping_sub(EACH) & !differ & HIGH
}

/// Whether one of four lanes is empty.
#[inline(always)]
fn has_empty(lanes: u64) -> bool {
    lanes.wrapping_sub(EACH) & !lanes & HIGH != 0
}

/// The entry that the lowest candidate stands for; beyond all entries if it is none.
#[inline(always)]
pub(in crate::memory) fn entry_of(lanes: u64, candidates: u64) -> usize {
    let lane = candidates.trailing_zeros() & !15;
    (((lanes >> (lane & 63)) & 0xFF) as usize).wrapping_sub(1)
}

/// The lane and entry of a hash for which `is` holds.
pub(in crate::memory) fn find(
    page: &Page,
    class: u32,
    position: u64,
    is: impl Fn(usize) -> bool,
) -> Option<(usize, usize)> {
    let groups = (LANES_MIN / 4) << class;
    let mut group = first_group(class, position);
    for _ in 0..groups {
        let word = lanes(page, group);
        if let Some((lane, entry)) = among(word, position, &is) {
            return Some((group * 4 + lane, entry));
        }
        if has_empty(word) {
            return None;
        }
        group = (group + 1) & (groups - 1);
    }
    None
}

/// As [`find`], with the first four lanes read before.
#[inline(always)]
pub(in crate::memory) fn find_from(
    page: &Page,
    class: u32,
    position: u64,
    first: u64,
    is: impl Fn(usize) -> bool,
) -> Option<usize> {
    if let Some((_, entry)) = among(first, position, &is) {
        return Some(entry);
    }
    if has_empty(first) {
        return None;
    }
    let groups = (LANES_MIN / 4) << class;
    let mut group = first_group(class, position);
    for _ in 1..groups {
        group = (group + 1) & (groups - 1);
        let word = lanes(page, group);
        if let Some((_, entry)) = among(word, position, &is) {
            return Some(entry);
        }
        if has_empty(word) {
            break;
        }
    }
    None
}

/// The lane among four, and its entry, for which `is` holds.
#[inline(always)]
fn among(word: u64, position: u64, is: &impl Fn(usize) -> bool) -> Option<(usize, usize)> {
    let mut left = candidates(word, position);
    while left != 0 {
        let entry = entry_of(word, left);
        if entry != usize::MAX && is(entry) {
            return Some((left.trailing_zeros() as usize / 16, entry));
        }
        left &= left - 1;
    }
    None
}

pub(super) fn put_lane(page: &mut Page, position: u64, entry: usize) {
    let groups = (LANES_MIN / 4) << class(page);
    let mut group = first_group(class(page), position);
    let lane = loop {
        let free = (group * 4..group * 4 + 4).find(|lane| page[HEADER + 2 * lane] == 0);
        match free {
            Some(lane) => break lane,
            None => group = (group + 1) & (groups - 1),
        }
    };
    let at = HEADER + 2 * lane;
    if short(page, at) == 0 {
        let used = short(page, USED);
        set_short(page, USED, used + 1);
    }
    page[at..at + 2].copy_from_slice(&[entry as u8 + 1, (position >> 24) as u8]);
}

/// A lane may be empty again if its four lanes ended searches before.
pub(super) fn free_lane(page: &mut Page, lane: usize) {
    let ends = has_empty(lanes(page, lane / 4));
    let value = if ends { 0 } else { TOMBSTONE };
    if ends {
        let used = short(page, USED);
        set_short(page, USED, used - 1);
    }
    page[HEADER + 2 * lane..][..2].copy_from_slice(&value.to_le_bytes());
}
