//! What some of the scripts make, without the engine.

use std::collections::{BTreeMap, BTreeSet};

use millstream_simulation::engine::{Cell, Row, Rows};

use super::tables::{DELAY, Input};

/// Counts of groups with how many groups have them: `groups_of_groups`.
pub(crate) fn groups_of_groups(input: &Input) -> Rows {
    let mut groups: BTreeMap<Option<i64>, (i64, i64, i64)> = BTreeMap::new();
    for event in input.events() {
        let (rows, least, most) = groups.entry(event.key).or_insert((0, i64::MAX, i64::MIN));
        *rows += 1;
        *least = event.number.min(*least);
        *most = event.number.max(*most);
    }
    let mut counts: BTreeMap<i64, (i64, i64, i64)> = BTreeMap::new();
    for (rows, least, most) in groups.into_values() {
        let (times, all_least, all_most) = counts.entry(rows % 3).or_insert((0, i64::MAX, 0));
        *times += 1;
        *all_least = least.min(*all_least);
        *all_most += most;
    }
    let row = |(rows, (times, least, most))| [rows, times, least, most].map(Cell::from).into();
    counts.into_iter().map(row).collect()
}

/// Windows that overlap, of rows that come in order: those that are late for a window are not in it.
pub(crate) fn hop_late(input: &Input) -> Rows {
    const SLIDE: i64 = 200;
    const SIZE: i64 = 600;
    let mut windows: BTreeMap<(Option<i64>, i64), (i64, i64)> = BTreeMap::new();
    let mut watermark = i64::MIN;
    for event in input.events() {
        let last = event.time.div_euclid(SLIDE) * SLIDE;
        let begins = (0..SIZE / SLIDE).map(|slide| last - slide * SLIDE);
        for begin in begins.filter(|begin| begin + SIZE - 1 > watermark) {
            let (rows, sum) = windows.entry((event.key, begin)).or_default();
            *rows += 1;
            *sum += event.number;
        }
        watermark = watermark.max(event.time - DELAY);
    }
    let row = |((key, begin), (rows, sum)): ((Option<i64>, i64), (i64, i64))| -> Row {
        vec![key.into(), (begin * 1000).into(), rows.into(), sum.into()]
    };
    windows.into_iter().map(row).collect()
}

/// The three greatest numbers of each key, with their places.
pub(crate) fn top_n(input: &Input) -> Rows {
    let mut keys: BTreeMap<Option<i64>, BTreeSet<i64>> = BTreeMap::new();
    for event in input.events() {
        keys.entry(event.key).or_default().insert(event.number);
    }
    let rows = keys.into_iter().flat_map(|(key, numbers)| {
        let places = (1i64..).zip(numbers.into_iter().rev().take(3));
        places.map(move |(place, number)| -> Row { vec![key.into(), number.into(), place.into()] })
    });
    rows.collect()
}
