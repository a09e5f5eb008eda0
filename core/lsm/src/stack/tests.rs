//! Parts are where they belong, and runs are there as long as a part of them is.

use alloc::{boxed::Box, vec, vec::Vec};

use millstream_storage::FileId;

use super::*;
use crate::{
    filter::Filter,
    run::{Index, RunFile},
};

/// A run of some bytes in eight blocks.
pub(crate) fn run(file: u64, ranks: Range<u64>, bytes: u64, hiding: u16) -> Arc<Run> {
    run_of(8, file, ranks, bytes, hiding)
}

/// A run of some bytes in blocks that lie evenly in its ranks.
pub(crate) fn run_of(
    blocks: u64,
    file: u64,
    ranks: Range<u64>,
    bytes: u64,
    hiding: u16,
) -> Arc<Run> {
    let step = (ranks.end - ranks.start) / blocks;
    let index = Index {
        sections: vec![(0, 0..blocks as u32)],
        ends: (1..=blocks).map(|block| bytes * block / blocks).collect(),
        last: (1..=blocks).map(|block| ranks.start + step * block - 1).collect(),
        cleared: vec![(0, Box::from(&b"gone"[..]))],
        ..Index::default()
    };
    let place = RunFile {
        file: FileId(file),
        length: bytes,
        checksum: 0,
        index_at: bytes,
        index_bytes: 0,
        head_bytes: 0,
        index_sum: 0,
        hiding,
        first_rank: ranks.start,
        end_rank: ranks.end,
    };
    let (number, filter) = (file as u32, Filter::default());
    Arc::new(Run { number, place, index, filter, reserved: 0, is_restored: false })
}

pub(crate) fn part(file: u64, ranks: Range<u64>, bytes: u64) -> Part {
    Part::new(run(file, ranks.clone(), bytes, 0), ranks)
}

fn files(parts: &[Part]) -> Vec<(u64, Range<u64>)> {
    parts.iter().map(|part| (part.run.place.file.0, part.ranks.clone())).collect()
}

#[test]
fn a_part_has_its_share_of_the_bytes() {
    let whole = part(1, 0..800, 8000);
    assert_eq!((whole.bytes, whole.within(&(200..400)).map(|part| part.bytes)), (8000, Some(3000)));
    assert!(whole.within(&(800..900)).is_none());
    let piece = whole.within(&(790..900)).expect("it has some of them");
    assert_eq!((piece.ranks.clone(), piece.bytes), (790..800, 1000));
    assert!(piece.hides(0, 795, b"gone") && !piece.hides(0, 789, b"gone"));
    assert!(!piece.hides(1, 795, b"gone") && !piece.hides(0, 795, b"here"));
}

#[test]
fn ranks_move_to_the_bottom_slice_by_slice() {
    let mut stack = Stack::new(0..100);
    assert!(stack.is_empty());
    stack.add_layer(vec![part(1, 0..100, 800)]);
    stack.add_layer(vec![part(2, 0..50, 80), part(3, 50..100, 80)]);
    stack.split(0, &[25, 50]);
    let ranks: Vec<_> = stack.slices().iter().map(|slice| slice.ranks.clone()).collect();
    assert_eq!(ranks, [0..25, 25..50, 50..100]);
    assert_eq!(files(stack.at(30)), [(2, 25..50), (1, 25..50)]);
    let ids: Vec<u64> = stack.layers().iter().map(|layer| layer.id).collect();
    let merge = |stack: &mut Stack, ranks: Range<u64>, file| {
        let output = Some(run(file, ranks.clone(), 400, 0));
        let gone = stack.replace(&ranks, &ids, output, Target::Bottom);
        gone.iter().map(|run| run.place.file.0).collect::<Vec<_>>()
    };
    assert_eq!(merge(&mut stack, 25..50, 4), []);
    assert_eq!(files(stack.at(30)), [(4, 25..50)]);
    assert_eq!(files(stack.at(24)), [(2, 0..25), (1, 0..25)]);
    assert_eq!(
        files(&stack.over(&(20..60))),
        [(2, 20..25), (3, 50..60), (1, 20..25), (1, 50..60), (4, 25..50)]
    );
    // What comes meanwhile lies above.
    stack.add_layer(vec![part(5, 0..100, 8)]);
    assert_eq!(merge(&mut stack, 0..25, 6), [2]);
    assert_eq!(merge(&mut stack, 50..100, 7), [1, 3]);
    assert_eq!((stack.layers().len(), stack.depth(), stack.runs().len()), (1, 2, 4));
    assert_eq!(files(stack.at(99)), [(5, 50..100), (7, 50..100)]);
}

#[test]
fn a_file_is_needed_as_long_as_a_part_of_it_is_seen() {
    let mut stack = Stack::of(0..100, vec![], vec![part(1, 0..100, 800)]);
    stack.split(0, &[50]);
    assert_eq!(stack.runs().len(), 1);
    let first = stack.replace(&(0..50), &[], Some(run(2, 0..50, 400, 0)), Target::Bottom);
    assert!(first.is_empty());
    let second = stack.replace(&(50..100), &[], None, Target::Bottom);
    assert_eq!(second[0].place.file.0, 1);
    assert_eq!(files(&stack.over(&(0..100))), [(2, 0..50)]);
}

#[test]
fn layers_become_one_range_by_range() {
    let mut stack = Stack::new(0..100);
    for file in 1..=4 {
        stack.add_layer(vec![part(file, 0..100, 80)]);
    }
    stack.split(0, &[50]);
    let inputs: Vec<u64> = stack.layers()[1..3].iter().map(|layer| layer.id).collect();
    let target = Target::Layer(stack.next_id());
    let replace = |stack: &mut Stack, ranks: Range<u64>, file| {
        stack.replace(&ranks, &inputs, Some(run(file, ranks.clone(), 80, 0)), target).len()
    };
    assert_eq!(replace(&mut stack, 0..50, 5), 0);
    let of = |stack: &Stack, rank| files(stack.at(rank)).iter().map(|it| it.0).collect::<Vec<_>>();
    assert_eq!((of(&stack, 0), of(&stack, 50)), (vec![4, 5, 1], vec![4, 3, 2, 1]));
    assert_eq!(replace(&mut stack, 50..100, 6), 2);
    assert_eq!((of(&stack, 0), of(&stack, 50)), (vec![4, 5, 1], vec![4, 6, 1]));
    assert_eq!(stack.layers().len(), 3);
}

#[test]
fn no_part_begins_within_a_slice_of_what_was_there_before() {
    let layers = vec![vec![part(1, 0..30, 80), part(2, 60..100, 80)], vec![]];
    let stack = Stack::of(0..100, layers, vec![part(3, 0..40, 80), part(4, 50..90, 80)]);
    let ranks: Vec<_> = stack.slices().iter().map(|slice| slice.ranks.clone()).collect();
    assert_eq!(ranks, [0..30, 30..40, 40..50, 50..60, 60..90, 90..100]);
    assert_eq!(files(stack.at(29)), [(1, 0..30), (3, 0..30)]);
    assert_eq!(files(stack.at(45)), []);
    assert_eq!(files(stack.at(95)), [(2, 90..100)]);
    assert_eq!((stack.layers().len(), stack.depth()), (1, 2));
}
