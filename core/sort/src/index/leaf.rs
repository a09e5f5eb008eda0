//! Sorting the entries of one segment.

use core::cmp::Ordering;

use crate::{
    area::Area,
    format::{Entry, Format},
};

/// Sorts entries in place.
pub(super) fn sort<F: Format>(entries: &mut [F::Entry], format: &F, area: &Area, stable: bool) {
    if format.first_word_decides() && !(stable && F::INLINE) {
        if F::INLINE {
            entries.sort_unstable_by_key(|entry| entry.word(0));
        } else {
            // The second word is where the record lies: among equals, the order of arrival.
            entries.sort_unstable_by_key(|entry| (entry.word(0), entry.word(1)));
        }
    } else if stable && F::INLINE {
        // Allocates, at most half a segment for the time of the call.
        entries.sort_by(|a, b| compare(a, b, format, area));
    } else {
        entries.sort_unstable_by(|a, b| compare(a, b, format, area));
    }
}

/// How two entries are ordered: by first key word, then record, then arrival.
#[inline]
pub(super) fn compare<F: Format>(a: &F::Entry, b: &F::Entry, format: &F, area: &Area) -> Ordering {
    let ordering = a.word(0).cmp(&b.word(0));
    if ordering.is_ne() || (F::INLINE && format.first_word_decides()) {
        return ordering;
    }
    if F::INLINE {
        return format.compare(format.record(a, area), format.record(b, area));
    }
    let records = if format.first_word_decides() {
        Ordering::Equal
    } else {
        format.compare(format.record(a, area), format.record(b, area))
    };
    records.then(a.word(1).cmp(&b.word(1)))
}
