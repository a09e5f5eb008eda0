//! A tree of losers.

use alloc::{vec, vec::Vec};
use core::cmp::Ordering;

/// Finds the least of many sorted inputs' heads, with one comparison a level for each that is
/// replaced.
///
/// A head is its first key word, and the input's number behind it: one number of 128 bits, whose
/// least is found without a branch. Among equals the input with the smaller number wins, so merging
/// is stable if inputs are in the order of arrival.
#[derive(Debug)]
pub(crate) struct LoserTree {
    /// The winner, then the loser of each match.
    nodes: Vec<u128>,
}

/// An input that has ended: behind every head with the same word.
const ENDED: u128 = 1 << 32;

fn key(input: usize, head: Option<u64>) -> u128 {
    let word = u128::from(head.unwrap_or(u64::MAX)) << 64;
    word | input as u128 | if head.is_none() { ENDED } else { 0 }
}

fn input(key: u128) -> usize {
    key as u32 as usize
}

impl LoserTree {
    /// A tree over inputs with these heads; `None` is an input that has ended.
    ///
    /// If words do not decide, `tie` compares the heads of two inputs that have not ended.
    pub(crate) fn new(
        heads: &[Option<u64>],
        decides: bool,
        tie: impl Fn(usize, usize) -> Ordering,
    ) -> Self {
        let inputs = heads.len();
        // The leaves are behind the inner nodes; each node gets its winner first.
        let mut winners = vec![0; inputs];
        winners.extend(heads.iter().enumerate().map(|(i, head)| key(i, *head)));
        let mut nodes = vec![u128::MAX; inputs.max(1)];
        for node in (1..inputs).rev() {
            let (winner, loser) = play(winners[2 * node], winners[2 * node + 1], decides, &tie);
            winners[node] = winner;
            nodes[node] = loser;
        }
        if let Some(winner) = winners.get(1) {
            nodes[0] = *winner;
        }
        Self { nodes }
    }

    /// The input with the least head; `None` if all have ended.
    #[inline]
    pub(crate) fn winner(&self) -> Option<usize> {
        (self.nodes[0] & ENDED == 0).then(|| input(self.nodes[0]))
    }

    /// Replaces the winner's head by its next one.
    #[inline]
    pub(crate) fn replace(
        &mut self,
        head: Option<u64>,
        decides: bool,
        tie: impl Fn(usize, usize) -> Ordering,
    ) {
        let leaf = input(self.nodes[0]);
        let mut winner = key(leaf, head);
        let mut node = (self.nodes.len() + leaf) / 2;
        while node > 0 {
            let (least, other) = play(winner, self.nodes[node], decides, &tie);
            self.nodes[node] = other;
            winner = least;
            node /= 2;
        }
        self.nodes[0] = winner;
    }
}

/// The winner and the loser of two.
#[inline(always)]
fn play(a: u128, b: u128, decides: bool, tie: &impl Fn(usize, usize) -> Ordering) -> (u128, u128) {
    if !decides && (a ^ b) >> 64 == 0 && (a | b) & ENDED == 0 {
        let ordering = tie(input(a), input(b));
        if ordering.is_ne() {
            return if ordering.is_lt() { (a, b) } else { (b, a) };
        }
    }
    // Who wins cannot be foreseen, so a branch would be wrong every other time.
    let difference = (a ^ b) & 0u128.wrapping_sub(u128::from(b < a));
    (a ^ difference, b ^ difference)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::{collection, prelude::*};

    proptest! {
        #[test]
        fn merges_stably(
            inputs in collection::vec(collection::vec(0u64..20, 0..30), 1..40),
            at_the_top: bool,
        ) {
            let base = if at_the_top { u64::MAX - 19 } else { 0 };
            let mut inputs = inputs;
            inputs.iter_mut().for_each(|input| input.sort_unstable());
            let mut expected: Vec<(u64, usize)> = inputs
                .iter()
                .enumerate()
                .flat_map(|(i, input)| input.iter().map(move |v| (*v + base, i)))
                .collect();
            expected.sort();
            let mut next = vec![0; inputs.len()];
            let head = |next: &[usize], i: usize| inputs[i].get(next[i]).map(|v| v + base);
            let heads: Vec<_> = (0..inputs.len()).map(|i| head(&next, i)).collect();
            let tie = |_: usize, _: usize| panic!("words decide");
            let mut tree = LoserTree::new(&heads, true, tie);
            let mut merged = Vec::new();
            while let Some(winner) = tree.winner() {
                merged.push((head(&next, winner).unwrap(), winner));
                next[winner] += 1;
                tree.replace(head(&next, winner), true, tie);
            }
            prop_assert_eq!(merged, expected);
        }

        #[test]
        fn heads_are_compared_where_words_do_not_decide(
            inputs in collection::vec(collection::vec(0u64..100, 0..30), 1..20),
        ) {
            let mut inputs = inputs;
            inputs.iter_mut().for_each(|input| input.sort_unstable());
            let mut expected: Vec<u64> = inputs.concat();
            expected.sort_unstable();
            let mut next = vec![0; inputs.len()];
            let head = |next: &[usize], i: usize| inputs[i].get(next[i]).map(|v| v / 10);
            let tie = |next: &[usize], a: usize, b: usize| {
                inputs[a].get(next[a]).cmp(&inputs[b].get(next[b]))
            };
            let heads: Vec<_> = (0..inputs.len()).map(|i| head(&next, i)).collect();
            let mut tree = LoserTree::new(&heads, false, |a, b| tie(&next, a, b));
            let mut merged = Vec::new();
            while let Some(winner) = tree.winner() {
                merged.push(inputs[winner][next[winner]]);
                next[winner] += 1;
                tree.replace(head(&next, winner), false, |a, b| tie(&next, a, b));
            }
            prop_assert_eq!(merged, expected);
        }
    }

    #[test]
    fn no_input_has_no_winner() {
        assert_eq!(LoserTree::new(&[], true, |_, _| Ordering::Equal).winner(), None);
        assert_eq!(LoserTree::new(&[None, None], true, |_, _| Ordering::Equal).winner(), None);
    }
}
