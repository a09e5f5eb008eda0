//! One page of a tree: entries in order.
//!
//! Places of the entries, two bytes each, in the order of their keys; and from the page's end the
//! entries: lengths of key and value, two bytes each, the key, the value.

use core::cmp::Ordering;

use crate::memory::{
    bucket::{CHAINED, set_short, short},
    pages::{NONE, PAGE, Page},
};

const COUNT: usize = 0;
const HEAP: usize = 2;
const DEAD: usize = 4;
pub(super) const LEVEL: usize = 6;
const NEXT: usize = 8;
const HEADER: usize = 12;
/// Bytes in front of an entry: lengths of its key and value.
const ENTRY: usize = 4;
/// An entry of a page.
#[derive(Clone, Copy, Debug)]
pub(in crate::memory) struct Item<'a> {
    pub(in crate::memory) key: &'a [u8],
    pub(in crate::memory) value: &'a [u8],
    /// Where the value begins in the page.
    pub(in crate::memory) at: usize,
    /// Whether the value refers to a chain.
    pub(in crate::memory) chained: bool,
}

pub(super) fn clear(page: &mut Page, level: u8) {
    page[..HEADER].fill(0);
    page[LEVEL] = level;
    set_short(page, HEAP, PAGE);
}

pub(in crate::memory) fn count(page: &Page) -> usize {
    short(page, COUNT)
}

/// The leaf behind a leaf, or [`NONE`].
pub(in crate::memory) fn next(page: &Page) -> u32 {
    let next = u32::from_le_bytes([page[NEXT], page[NEXT + 1], page[NEXT + 2], page[NEXT + 3]]);
    next.checked_sub(1).unwrap_or(NONE)
}

pub(super) fn set_next(page: &mut Page, next: u32) {
    page[NEXT..NEXT + 4].copy_from_slice(&next.wrapping_add(1).to_le_bytes());
}

pub(in crate::memory) fn item(page: &Page, number: usize) -> Item<'_> {
    let at = short(page, HEADER + 2 * number);
    let (key, length) = (short(page, at), short(page, at + 2));
    let value = at + ENTRY + key;
    let end = value + (length & !usize::from(CHAINED));
    let chained = length & usize::from(CHAINED) != 0;
    Item { key: &page[at + ENTRY..value], value: &page[value..end], at: value, chained }
}

pub(super) fn bytes(item: &Item<'_>) -> usize {
    ENTRY + item.key.len() + item.value.len()
}

/// The page that an entry above leaves refers to.
pub(super) fn child(page: &Page, number: usize) -> u32 {
    item(page, number).value.first_chunk().map_or(NONE, |page| u32::from_le_bytes(*page))
}

/// The number of the first entry whose key is not below `key`, and whether it is `key`.
pub(super) fn search(page: &Page, key: &[u8]) -> (usize, bool) {
    let (mut low, mut high) = (0, count(page));
    while low < high {
        let middle = usize::midpoint(low, high);
        match item(page, middle).key.cmp(key) {
            Ordering::Less => low = middle + 1,
            Ordering::Equal => return (middle, true),
            Ordering::Greater => high = middle,
        }
    }
    (low, false)
}

pub(super) fn has_room(page: &Page, content: usize) -> bool {
    let slots = HEADER + 2 * (count(page) + 1);
    slots + ENTRY + content <= short(page, HEAP) + short(page, DEAD)
}

/// Adds an entry where it belongs; the page has room.
pub(super) fn put_in(page: &mut Page, key: &[u8], value: &[u8], chained: bool) {
    let needed = HEADER + 2 * (count(page) + 1) + ENTRY + key.len() + value.len();
    if needed > short(page, HEAP) {
        compact(page);
    }
    let (number, _) = search(page, key);
    append(page, key, value, chained);
    let slots = HEADER + 2 * number..HEADER + 2 * count(page);
    page[slots].rotate_right(2);
}

/// Adds an entry behind all others.
pub(super) fn append(page: &mut Page, key: &[u8], value: &[u8], chained: bool) {
    let at = short(page, HEAP) - ENTRY - key.len() - value.len();
    let number = count(page);
    set_short(page, HEAP, at);
    set_short(page, COUNT, number + 1);
    set_short(page, HEADER + 2 * number, at);
    set_short(page, at, key.len());
    set_short(page, at + 2, value.len());
    let middle = at + ENTRY + key.len();
    page[at + ENTRY..middle].copy_from_slice(key);
    page[middle..middle + value.len()].copy_from_slice(value);
    set_chained(page, number, chained);
}

pub(super) fn set_chained(page: &mut Page, number: usize, chained: bool) {
    let at = short(page, HEADER + 2 * number) + 2;
    let length = short(page, at) & !usize::from(CHAINED);
    set_short(page, at, length | if chained { usize::from(CHAINED) } else { 0 });
}

pub(super) fn take_out(page: &mut Page, number: usize) {
    let dead = short(page, DEAD) + bytes(&item(page, number));
    let end = HEADER + 2 * count(page);
    page.copy_within(HEADER + 2 * (number + 1)..end, HEADER + 2 * number);
    let left = count(page) - 1;
    set_short(page, COUNT, left);
    set_short(page, DEAD, dead);
}

/// Makes the key of the first entry the smallest there is: its child has whatever is smaller.
pub(super) fn shorten_first(page: &mut Page) {
    let at = short(page, HEADER);
    let Item { key, value, at: from, .. } = item(page, 0);
    let (cut, length) = (key.len(), value.len());
    page.copy_within(from..from + length, at + ENTRY);
    set_short(page, at, 0);
    let dead = short(page, DEAD) + cut;
    set_short(page, DEAD, dead);
}

pub(super) fn compact(page: &mut Page) {
    let old = *page;
    set_short(page, COUNT, 0);
    set_short(page, HEAP, PAGE);
    set_short(page, DEAD, 0);
    for number in 0..count(&old) {
        let Item { key, value, chained, .. } = item(&old, number);
        append(page, key, value, chained);
    }
}
