//! What counts of a name.

use alloc::{collections::VecDeque, vec, vec::Vec};

use super::*;
use crate::name;

/// Rank, name, piece, op, value.
type Kept = (u64, Vec<u8>, u32, Op, Vec<u8>);
/// Key, map key, piece, op, value.
type Merged = (u8, Option<Vec<u8>>, u32, Op, Vec<u8>);

/// Entries in a list; it waits before each.
struct Listed {
    entries: VecDeque<Kept>,
    hides: bool,
    waits: bool,
}

impl Source for Listed {
    fn fill(&mut self) -> Result<bool, StateError> {
        match core::mem::take(&mut self.waits) {
            true => Err(StateError::Waits),
            false => Ok(!self.entries.is_empty()),
        }
    }

    fn entry(&self) -> Entry<'_> {
        let (rank, name, piece, op, value) = &self.entries[0];
        Entry { rank: *rank, name, piece: *piece, op: *op, value }
    }

    fn take(&mut self) {
        self.entries.pop_front();
        self.waits = true;
    }

    fn hides(&self, _: u64, _: &[u8]) -> bool {
        self.hides
    }
}

fn named(key: u8, map_key: Option<&[u8]>) -> Vec<u8> {
    let mut name = Vec::new();
    name::write(&[key], b"", map_key, &mut name);
    name
}

type Given<'a> = (u8, Option<&'a [u8]>, u32, Op, &'a [u8]);

fn source(entries: &[Given<'_>]) -> Listed {
    let entries = entries.iter().map(|(key, map_key, piece, op, value)| {
        (u64::from(*key), named(*key, *map_key), *piece, *op, value.to_vec())
    });
    Listed { entries: entries.collect(), hides: false, waits: true }
}

/// What a merge gives.
fn merged(is_all: bool, sources: &mut [Listed]) -> Vec<Merged> {
    let (mut merge, mut found) = (Merge::new(is_all), Vec::new());
    loop {
        match merge.next(sources) {
            Err(StateError::Waits) => {}
            Err(error) => panic!("{error}"),
            Ok(None) => return found,
            Ok(Some(step)) => {
                let entry = sources[step.source].entry();
                let parts = split(entry.name).expect("a name");
                let map_key = parts.map_key.map(<[u8]>::to_vec);
                found.push((parts.key[0], map_key, step.piece, step.op, entry.value.to_vec()));
                sources[step.source].take();
            }
        }
    }
}

#[test]
fn the_newest_counts_with_what_was_added_since() {
    let sources = || {
        [
            source(&[(1, None, 0, Op::Add, b"new"), (2, None, 0, Op::Gone, b"")]),
            source(&[
                (1, None, 0, Op::Whole, b"a"),
                (1, None, 1, Op::Whole, b"b"),
                (3, None, 0, Op::Add, b"y"),
                (4, None, 0, Op::Gone, b""),
            ]),
            source(&[
                (1, None, 0, Op::Whole, b"old"),
                (1, None, 1, Op::Whole, b"older"),
                (2, None, 0, Op::Whole, b"old"),
                (3, None, 0, Op::Add, b"x"),
            ]),
        ]
    };
    let list = [(b"a", 0), (b"b", 1)].map(|(v, piece)| (1, None, piece, Op::Whole, v.to_vec()));
    let mut expected = vec![list[0].clone(), list[1].clone()];
    expected.push((1, None, 2, Op::Whole, b"new".to_vec()));
    let added = |op| vec![(3, None, 0, op, b"x".to_vec()), (3, None, 1, op, b"y".to_vec())];
    let all = [expected.clone(), added(Op::Whole)].concat();
    assert_eq!(merged(true, &mut sources()), all);
    expected.push((2, None, 0, Op::Gone, vec![]));
    expected.extend(added(Op::Add));
    expected.push((4, None, 0, Op::Gone, vec![]));
    assert_eq!(merged(false, &mut sources()), expected);
}

#[test]
fn a_map_that_is_gone_hides_its_older_entries() {
    let sources = || {
        [
            source(&[(1, Some(b"c"), 0, Op::Whole, b"3")]),
            source(&[
                (1, None, 0, Op::Gone, b""),
                (1, Some(b"b"), 0, Op::Whole, b"2"),
                (2, Some(b"x"), 0, Op::Gone, b""),
            ]),
            source(&[
                (1, Some(b"a"), 0, Op::Whole, b"1"),
                (1, Some(b"b"), 0, Op::Whole, b"0"),
                (2, Some(b"x"), 0, Op::Whole, b"0"),
                (2, Some(b"y"), 0, Op::Whole, b"4"),
            ]),
        ]
    };
    let entry = |key, map_key: &[u8], op, value: &[u8]| {
        (key, Some(map_key.to_vec()), 0, op, value.to_vec())
    };
    let all = [
        entry(1, b"b", Op::Whole, b"2"),
        entry(1, b"c", Op::Whole, b"3"),
        entry(2, b"y", Op::Whole, b"4"),
    ];
    assert_eq!(merged(true, &mut sources()), all);
    let some = merged(false, &mut sources());
    assert_eq!(some[0], (1, None, 0, Op::Gone, vec![]));
    assert_eq!((some.len(), &some[3]), (5, &entry(2, b"x", Op::Gone, b"")));
    let mut hidden = sources();
    hidden[1].hides = true;
    assert_eq!(merged(true, &mut hidden), all[..2]);
}
