//! A page as a hash table of its own.
//!
//! ```text
//!  0        16                  base
//!  +--------+-------------------+---------------------------------------------+
//!  | header | lanes, 2 B each   | entries, the n-th at base + n * stride      |  fixed size
//!  | header | lanes, 2 B each   | places, 2 B each  ...        ◄──── entries  |  variable size
//!  +--------+-------------------+---------------------------------------------+
//! ```
//!
//! A lane is the number of an entry and eight bits of its hash. Four lanes are compared at a time,
//! as Swiss tables compare their control bytes; an empty lane among them ends the search. Entries
//! are dense, so a page with few of them touches few cache lines, and everything is relative to the
//! page, so a copy of it is as good as the page itself.

mod lanes;
#[cfg(test)]
mod tests;

use super::pages::{PAGE, Page};
pub(super) use lanes::{candidates, entry_of, find, find_from, first_group, lanes, lanes_at};
use lanes::{free_lane, put_lane};

/// Bytes in front of the lanes: entries, lanes in use, depth, class of lanes, begin of the heap,
/// dead bytes in it, the state, and the page where the table goes on.
const HEADER: usize = 16;
const COUNT: usize = 0;
const USED: usize = 2;
const DEPTH: usize = 4;
const CLASS: usize = 5;
const HEAP: usize = 6;
const DEAD: usize = 8;
const STATE: usize = 10;
const NEXT: usize = 12;

/// Lanes of class 0; each class has twice as many as the one before.
const LANES_MIN: usize = 16;
/// A lane whose entry was removed: entry 0 is none, and only an empty lane is zero.
const TOMBSTONE: u16 = 0xFF00;

/// Bytes in front of an entry of variable size: lengths of key, namespace and value, and the room
/// that the value has.
const ENTRY: usize = 8;
/// The flag in the length of a value that stands for pages elsewhere.
pub(super) const CHAINED: u16 = 0x8000;
/// Bytes of the largest key with its namespace and value in the page: two entries fit a page. What is larger has
/// pages of its own, of which the last is half empty.
pub(super) const INLINE_MAX: usize = 1900;

/// Of what size the entries of a state are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Bytes of key, namespace and value, if they are fixed.
    pub(super) fixed: Option<(usize, usize, usize)>,
    stride: usize,
    base: usize,
    entries_max: usize,
    class_max: u32,
}

impl Shape {
    /// # Panics
    /// If entries are larger than [`INLINE_MAX`], which the caller has checked.
    pub(super) fn fixed(key: usize, namespace: usize, value: usize) -> Self {
        let stride = (key + namespace + value).max(1);
        assert!(stride <= INLINE_MAX, "{stride} bytes");
        let with = |class: u32| {
            let lanes = LANES_MIN << class;
            let base = HEADER + 2 * lanes;
            ((lanes / 8 * 7).min((PAGE - base) / stride), base, class)
        };
        let (entries_max, base, class_max) = (0..5)
            .map(with)
            .fold((0, 0, 0), |best, next| if next.0 > best.0 { next } else { best });
        Self { fixed: Some((key, namespace, value)), stride, base, entries_max, class_max }
    }

    pub(super) fn variable() -> Self {
        let class_max = 3;
        let lanes = LANES_MIN << class_max;
        Self {
            fixed: None,
            stride: 2,
            base: HEADER + 2 * lanes,
            entries_max: lanes / 8 * 7,
            class_max,
        }
    }

    /// Where an entry of fixed size begins.
    #[inline(always)]
    pub(super) fn at(&self, entry: usize) -> usize {
        self.base + entry * self.stride
    }
}

#[inline(always)]
pub(super) fn short(page: &Page, at: usize) -> usize {
    usize::from(u16::from_le_bytes([page[at], page[at + 1]]))
}

pub(super) fn set_short(page: &mut Page, at: usize, value: usize) {
    page[at..at + 2].copy_from_slice(&(value as u16).to_le_bytes());
}

/// Makes a page an empty table.
pub(super) fn clear(page: &mut Page, state: u16, depth: u32) {
    page[..HEADER + 2 * LANES_MIN].fill(0);
    page[DEPTH] = depth as u8;
    set_short(page, HEAP, PAGE);
    set_short(page, STATE, usize::from(state));
}

pub(super) fn count(page: &Page) -> usize {
    short(page, COUNT)
}

/// The state whose table the page is part of.
pub(super) fn state(page: &Page) -> u16 {
    short(page, STATE) as u16
}

pub(super) fn depth(page: &Page) -> u32 {
    u32::from(page[DEPTH])
}

pub(super) fn set_depth(page: &mut Page, depth: u32) {
    page[DEPTH] = depth as u8;
}

pub(super) fn class(page: &Page) -> u32 {
    u32::from(page[CLASS])
}

/// The page where the table goes on, if it does.
pub(super) fn next(page: &Page) -> Option<u32> {
    u32::from_le_bytes([page[NEXT], page[NEXT + 1], page[NEXT + 2], page[NEXT + 3]]).checked_sub(1)
}

pub(super) fn set_next(page: &mut Page, next: Option<u32>) {
    let number = next.map_or(0, |page| page + 1);
    page[NEXT..NEXT + 4].copy_from_slice(&number.to_le_bytes());
}

/// Where an entry's parts lie in the page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    pub(super) key: usize,
    pub(super) namespace: usize,
    pub(super) value: usize,
    pub(super) end: usize,
    pub(super) chained: bool,
    /// How long the value may become where it is.
    pub(super) room: usize,
}

#[inline(always)]
pub(super) fn parts(page: &Page, shape: &Shape, entry: usize) -> Parts {
    if let Some((key, namespace, value)) = shape.fixed {
        let at = shape.at(entry);
        let (n, v) = (at + key, at + key + namespace);
        return Parts {
            key: at,
            namespace: n,
            value: v,
            end: v + value,
            chained: false,
            room: value,
        };
    }
    let at = short(page, shape.at(entry));
    let length = short(page, at + 4);
    let n = at + ENTRY + short(page, at);
    let v = n + short(page, at + 2);
    let chained = length & usize::from(CHAINED) != 0;
    let end = v + (length & !usize::from(CHAINED));
    Parts { key: at + ENTRY, namespace: n, value: v, end, chained, room: short(page, at + 6) }
}

/// Bytes of the key, the namespace and the value of each of some entries, and the entries, one behind the
/// other.
type FixedEntries<'a> = ((usize, usize, usize), &'a [u8]);

/// The entries of a page, if the bytes of their parts are fixed.
pub(super) fn fixed<'a>(page: &'a Page, shape: &Shape) -> Option<FixedEntries<'a>> {
    let widths = shape.fixed?;
    let entries = page.get(shape.at(0)..shape.at(count(page)))?;
    // Entries without bytes are listed one by one.
    (widths != (0, 0, 0)).then_some((widths, entries))
}

/// What an entry is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content<'a> {
    pub(super) key: &'a [u8],
    pub(super) namespace: &'a [u8],
    pub(super) value: &'a [u8],
    /// How long the value may become without moving; at least its length.
    pub(super) room: usize,
    pub(super) chained: bool,
}

pub(super) fn content<'a>(page: &'a Page, shape: &Shape, entry: usize) -> Content<'a> {
    let Parts { key, namespace, value, end, chained, room } = parts(page, shape, entry);
    Content {
        key: &page[key..namespace],
        namespace: &page[namespace..value],
        value: &page[value..end],
        room,
        chained,
    }
}

impl Content<'_> {
    fn bytes(&self) -> usize {
        ENTRY + self.key.len() + self.namespace.len() + self.room
    }
}

/// Makes room for an entry; `false` if the page is full. The class of its lanes may have changed.
pub(super) fn make_room(
    page: &mut Page,
    shape: &Shape,
    new: &Content<'_>,
    position: impl Fn(&[u8], &[u8]) -> u64,
) -> bool {
    let count = count(page);
    if count >= shape.entries_max {
        return false;
    }
    if shape.fixed.is_none() {
        let free = short(page, HEAP) - shape.at(count);
        if free < new.bytes() + 2 {
            if free + short(page, DEAD) < new.bytes() + 2 {
                return false;
            }
            compact(page, shape);
        }
    }
    let lanes = LANES_MIN << class(page);
    if short(page, USED) >= lanes / 8 * 7 {
        // Tombstones or entries: a larger class only if it is entries that fill this one.
        let larger = u32::from(count >= lanes / 16 * 9).min(shape.class_max - class(page));
        let class = class(page) + larger;
        rebuild(page, shape, class, position);
    }
    true
}

/// Adds an entry for which [`make_room`] made room.
pub(super) fn insert(page: &mut Page, shape: &Shape, position: u64, new: &Content<'_>) -> usize {
    let entry = count(page);
    if shape.fixed.is_none() {
        let at = short(page, HEAP) - new.bytes();
        let chained = if new.chained { usize::from(CHAINED) } else { 0 };
        set_short(page, HEAP, at);
        set_short(page, shape.at(entry), at);
        set_short(page, at, new.key.len());
        set_short(page, at + 2, new.namespace.len());
        set_short(page, at + 4, new.value.len() | chained);
        set_short(page, at + 6, new.room);
    }
    set_short(page, COUNT, entry + 1);
    let to = parts(page, shape, entry);
    page[to.key..to.namespace].copy_from_slice(new.key);
    page[to.namespace..to.value].copy_from_slice(new.namespace);
    page[to.value..to.end].copy_from_slice(new.value);
    put_lane(page, position, entry);
    entry
}

/// Gives a value of variable size another length, within its room.
pub(super) fn set_length(page: &mut Page, shape: &Shape, entry: usize, length: usize) {
    let at = short(page, shape.at(entry));
    set_short(page, at + 4, length);
}

/// Gives an entry of variable size another value, with room for `room` bytes, somewhere else in the page;
/// `false` if there is no place, and nothing has happened.
pub(super) fn move_within(
    page: &mut Page,
    shape: &Shape,
    entry: usize,
    value: &[u8],
    (room, chained): (usize, bool),
) -> bool {
    let old = parts(page, shape, entry);
    let names = old.value - old.key;
    let needed = ENTRY + names + room;
    let free = short(page, HEAP) - shape.at(count(page));
    if free < needed {
        let dead = short(page, DEAD) + old.room;
        if free + dead < needed {
            return false;
        }
        // What the old value takes can be used, too.
        let at = old.key - ENTRY;
        set_short(page, at + 4, 0);
        set_short(page, at + 6, 0);
        set_short(page, DEAD, dead);
        compact(page, shape);
    }
    let from = short(page, shape.at(entry));
    let dead = short(page, DEAD) + ENTRY + names + short(page, from + 6);
    let at = short(page, HEAP) - needed;
    page.copy_within(from..from + ENTRY + names, at);
    page[at + ENTRY + names..][..value.len()].copy_from_slice(value);
    set_short(page, at + 4, value.len() | if chained { usize::from(CHAINED) } else { 0 });
    set_short(page, at + 6, room);
    set_short(page, shape.at(entry), at);
    set_short(page, HEAP, at);
    set_short(page, DEAD, dead);
    true
}

/// Removes an entry; the last one takes its number.
pub(super) fn remove(
    page: &mut Page,
    shape: &Shape,
    (lane, entry): (usize, usize),
    position: impl Fn(&[u8], &[u8]) -> u64,
) {
    let last = count(page) - 1;
    if shape.fixed.is_none() {
        let dead = content(page, shape, entry).bytes();
        let before = short(page, DEAD);
        set_short(page, DEAD, before + dead);
    }
    free_lane(page, lane);
    if entry != last {
        let moved = content(page, shape, last);
        let at = position(moved.key, moved.namespace);
        // The lane of the last entry exists, or the page is not one of ours.
        if let Some((lane, _)) = find(page, class(page), at, |found| found == last) {
            let tag = page[HEADER + 2 * lane + 1];
            page[HEADER + 2 * lane..][..2].copy_from_slice(&[entry as u8 + 1, tag]);
        }
        let from = shape.at(last);
        page.copy_within(from..from + shape.stride, shape.at(entry));
    }
    set_short(page, COUNT, last);
}

fn rebuild(page: &mut Page, shape: &Shape, class: u32, position: impl Fn(&[u8], &[u8]) -> u64) {
    page[CLASS] = class as u8;
    page[HEADER..HEADER + 2 * (LANES_MIN << class)].fill(0);
    set_short(page, USED, 0);
    for entry in 0..count(page) {
        let of = content(page, shape, entry);
        let at = position(of.key, of.namespace);
        put_lane(page, at, entry);
    }
}

/// Moves entries of variable size together.
fn compact(page: &mut Page, shape: &Shape) {
    let old = *page;
    let mut heap = PAGE;
    for entry in 0..count(&old) {
        let at = short(&old, shape.at(entry));
        let bytes = content(&old, shape, entry).bytes();
        heap -= bytes;
        page[heap..heap + bytes].copy_from_slice(&old[at..at + bytes]);
        set_short(page, shape.at(entry), heap);
    }
    set_short(page, HEAP, heap);
    set_short(page, DEAD, 0);
}

/// Bytes that the entries of a page need, of [`PAGE`] less header and lanes.
pub(super) fn live(page: &Page, shape: &Shape) -> usize {
    match shape.fixed {
        Some(_) => count(page) * shape.stride,
        None => PAGE - short(page, HEAP) - short(page, DEAD) + 2 * count(page),
    }
}

/// Whether the entries of two pages fit one with room to spare: what is merged is not split again
/// by the next insertion.
pub(super) fn fit_one(a: &Page, b: &Page, shape: &Shape) -> bool {
    let room = PAGE - shape.base;
    count(a) + count(b) <= shape.entries_max / 2 && live(a, shape) + live(b, shape) <= room / 2
}
