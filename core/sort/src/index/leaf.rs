//! Sorting the entries of one segment.

use core::cmp::Ordering;

use millstream_memory::Segment;

use super::{cells, cells_mut};
use crate::{
    area::Area,
    budget::{Budget, Lease},
    format::{Entry, Format},
};

/// Entries below which inserting one after another is fastest.
const INSERTED_MAX: usize = 24;
/// Bits by which entries are distributed at most: their counts fit into the first level of the
/// cache.
const BITS_MAX: u32 = 11;

/// Sorts the first `entries` of a segment; gives the segment that has them then, this one or another.
///
/// They are counted and distributed by as many bits as make about one entry a place (a step of radix
/// sort), which leaves little for comparisons to do.
pub(super) fn sort<F: Format, L: Lease>(
    segment: Segment,
    entries: usize,
    (format, area): (&F, &Area),
    stable: bool,
    budget: &mut Budget<L>,
) -> Segment {
    let mut from = segment;
    let source = &mut cells_mut::<F::Entry>(&mut from)[..entries];
    let varying = varying_bits(source);
    let scratch = if entries > INSERTED_MAX && varying != 0 { budget.take() } else { None };
    let Some(mut to) = scratch else {
        compare_sort(source, (format, area), stable);
        return from;
    };
    let target = &mut cells_mut::<F::Entry>(&mut to)[..entries];
    let bits = entries.ilog2().min(BITS_MAX);
    let shift = (varying.ilog2() + 1).saturating_sub(bits);
    let ends = distribute(source, target, shift, bits);
    let mut begin = 0;
    for end in &ends[..1 << bits] {
        let end = *end as usize;
        if end - begin > 1 {
            compare_sort(&mut target[begin..end], (format, area), stable);
        }
        begin = end;
    }
    debug_assert!(cells::<F::Entry>(&to)[..entries].is_sorted_by_key(|entry| entry.word(0)));
    budget.give(from);
    to
}

/// The bits in which the first words of entries differ.
fn varying_bits<E: Entry>(entries: &[E]) -> u64 {
    let Some(first) = entries.first().map(|entry| entry.word(0)) else { return 0 };
    entries.iter().fold(0, |bits, entry| bits | (entry.word(0) ^ first))
}

/// Moves entries from `source` to `target`, ordered by `bits` bits of their first words from `shift`
/// on, and within them in their order; gives where the entries of each place end.
fn distribute<E: Entry>(
    source: &[E],
    target: &mut [E],
    shift: u32,
    bits: u32,
) -> [u32; 1 << BITS_MAX] {
    let mask = (1usize << bits) - 1;
    let place = |entry: &E| (entry.word(0) >> shift) as usize & mask & ((1 << BITS_MAX) - 1);
    let mut places = [0u32; 1 << BITS_MAX];
    for entry in source {
        places[place(entry)] += 1;
    }
    let mut begin = 0;
    for count in &mut places[..=mask] {
        begin += core::mem::replace(count, begin);
    }
    for entry in source {
        let next = &mut places[place(entry)];
        if let Some(cell) = target.get_mut(*next as usize) {
            *cell = *entry;
        }
        *next += 1;
    }
    places
}

/// Sorts by comparing.
#[inline]
fn compare_sort<F: Format>(entries: &mut [F::Entry], order: (&F, &Area), stable: bool) {
    if entries.len() <= INSERTED_MAX {
        insert(entries, |a, b| compare(a, b, order.0, order.1).is_lt());
    } else if stable && F::INLINE {
        // Allocates, at most half a segment for the time of the call.
        entries.sort_by(|a, b| compare(a, b, order.0, order.1));
    } else {
        entries.sort_unstable_by(|a, b| compare(a, b, order.0, order.1));
    }
}

/// Insertion sort, which keeps the order of equals.
#[inline]
fn insert<E: Entry>(entries: &mut [E], less: impl Fn(&E, &E) -> bool) {
    for next in 1..entries.len() {
        let entry = entries[next];
        let mut at = next;
        while at > 0 && less(&entry, &entries[at - 1]) {
            entries[at] = entries[at - 1];
            at -= 1;
        }
        entries[at] = entry;
    }
}

/// How two entries are ordered: by first key word, then record, then, for records in the area,
/// arrival.
#[inline]
pub(super) fn compare<F: Format>(a: &F::Entry, b: &F::Entry, format: &F, area: &Area) -> Ordering {
    let ordering = a.word(0).cmp(&b.word(0));
    if ordering.is_ne() {
        return ordering;
    }
    let records = if format.first_word_decides() {
        Ordering::Equal
    } else {
        format.compare(format.record(a, area), format.record(b, area))
    };
    // The second word is where the record lies.
    if F::INLINE { records } else { records.then(a.word(1).cmp(&b.word(1))) }
}
