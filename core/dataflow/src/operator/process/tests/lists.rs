//! Lists without keys, divided anew.

use alloc::{string::String, vec::Vec};

use super::*;
use crate::stream::OperatorPages;

/// Keeps each number twice, as it is and as text, and emits all there are when it is given 0.
#[derive(Clone)]
struct Keeper(ListSplit);

impl ProcessFunction for Keeper {
    type In = u64;
    type Out = (String, u64);
    type States = (OperatorList<u64>, OperatorList<String>);

    fn open(&mut self, states: &mut OperatorRegistry<'_>) -> Result<Self::States, TaskError> {
        Ok((states.list("numbers", self.0)?, states.list("texts", self.0)?))
    }

    fn process(
        &mut self,
        (numbers, texts): &mut Self::States,
        number: u64,
        states: &mut OperatorStates,
        context: &mut BroadcastContext<'_, (String, u64)>,
    ) -> Result<(), TaskError> {
        if number > 0 {
            numbers.add(states, number)?;
            return texts.add(states, &alloc::format!("number {number}"));
        }
        for pair in texts.iter(states).zip(numbers.iter(states)) {
            context.emit((pair.0?, pair.1?));
        }
        numbers.clear(states);
        texts.clear(states);
        Ok(())
    }
}

fn bench(split: ListSplit, subtask: u32, parallelism: u32) -> Bench<u64, (String, u64)> {
    Bench::open(&OperatorPages::new(Keeper(split)), subtask, parallelism, 16)
}

/// What the subtasks of a job have that goes on, each with all snapshots of those before.
fn go_on(split: ListSplit, before: u32, after: u32) -> Vec<Vec<u64>> {
    let snapshots: Vec<Vec<u8>> = (0..before)
        .map(|subtask| {
            let mut bench = bench(split, subtask, before);
            let own = (1..=100).filter(|number| (number % u64::from(before)) as u32 == subtask);
            bench.push(&own.collect::<Vec<u64>>());
            // What comes while the snapshot is read is not part of it.
            let mut more = Some(1000);
            bench.snapshot(|bench| more.take().into_iter().for_each(|number| bench.push(&[number])))
        })
        .collect();
    let subtasks = (0..after).map(|subtask| {
        let mut bench = bench(split, subtask, after);
        snapshots.iter().for_each(|chunks| bench.restore(chunks));
        bench.push(&[0]);
        let rows = bench.rows();
        assert!(rows.iter().all(|(text, number)| *text == alloc::format!("number {number}")));
        let mut numbers: Vec<u64> = rows.into_iter().map(|row| row.1).collect();
        numbers.sort_unstable();
        numbers
    });
    subtasks.collect()
}

#[test]
fn each_element_of_a_divided_list_goes_to_one_subtask() {
    for (before, after) in [(1, 1), (1, 4), (4, 1), (3, 2), (2, 5)] {
        let subtasks = go_on(ListSplit::Divided, before, after);
        let fair = 100 / after as usize;
        let is_fair = |numbers: &Vec<u64>| (fair / 2..=fair * 2).contains(&numbers.len());
        assert!(subtasks.iter().all(is_fair), "{before} to {after}: {subtasks:?}");
        let mut all: Vec<u64> = subtasks.into_iter().flatten().collect();
        all.sort_unstable();
        assert_eq!(all, (1..=100).collect::<Vec<u64>>(), "{before} to {after}");
    }
}

#[test]
fn all_subtasks_get_the_union() {
    for (before, after) in [(1, 3), (4, 1), (3, 2)] {
        for numbers in go_on(ListSplit::Union, before, after) {
            assert_eq!(numbers, (1..=100).collect::<Vec<u64>>(), "{before} to {after}");
        }
    }
}
