//! The rows at hand of groups without windows.

use std::mem;

use millstream_data::{page::ValidPage, row::PageRows};
use millstream_dataflow::TaskError;

use super::User;
use crate::operator::{
    aggregate::{Aggregation, Held},
    is_retraction,
};

/// The rows at hand.
pub(in crate::operator) struct Hand<'a> {
    pub(in crate::operator) page: &'a ValidPage<'a>,
    pub(in crate::operator) rows: &'a PageRows<'a>,
    /// Their numbers in the page.
    pub(in crate::operator) numbers: &'a [u32],
    /// For each the number of its group.
    pub(in crate::operator) groups: &'a [u32],
    /// For each row and call, whether the row counts.
    pub(in crate::operator) counts: &'a [bool],
    /// Whether each change of a group is said.
    pub(in crate::operator) said: bool,
}

/// The calls of functions of users in an operator, and what they give for the rows at hand.
#[derive(Debug, Default)]
pub(in crate::operator) struct Users {
    users: Vec<User>,
    /// Whether rows may be taken back.
    retracts: bool,
    calls: usize,
    results: Vec<u8>,
    /// For each row and call: where its result is, if it was asked for.
    spots: Vec<(usize, usize)>,
}

/// What rows do to the accumulators of a call.
struct Round<'a> {
    hand: &'a Hand<'a>,
    user: &'a mut User,
    calls: usize,
    /// How many rows each group has.
    lengths: Vec<i64>,
    accumulators: Vec<Vec<u8>>,
}

impl Users {
    pub(in crate::operator) fn open(plan: &Aggregation) -> Self {
        let (retracts, calls) = (plan.input.row_kinds, plan.accumulators.len());
        Self { users: plan.users.clone(), retracts, calls, ..Self::default() }
    }

    /// Adds the rows at hand to the accumulators of their groups, and asks for their results if these are said.
    ///
    /// The rows of a group come one after the other then: of each as many groups as there are at a time.
    pub(in crate::operator) fn look(
        &mut self,
        hand: &Hand<'_>,
        held: &mut [Held],
    ) -> Result<(), TaskError> {
        let Self { users, retracts, calls, results, spots } = self;
        results.clear();
        spots.clear();
        spots.resize(hand.groups.len() * users.len(), (0, 0));
        let (count, calls) = (users.len(), *calls);
        for (at, user) in users.iter_mut().enumerate() {
            let lengths = held.iter().map(|held| held.rows()).collect();
            let text = user.text;
            let taken = held.iter_mut().map(|held| held.texts.get_mut(text).map(mem::take));
            let accumulators = taken.map(Option::unwrap_or_default).collect();
            let mut round = Round { hand, user, calls, lengths, accumulators };
            let mut pending: Vec<usize> = (0..hand.groups.len()).collect();
            if hand.said || *retracts {
                while !pending.is_empty() {
                    let (now, later) = round.apart(&pending);
                    round.step(&now)?;
                    if hand.said {
                        round.results(&now, |row, result| {
                            if let Some(spot) = spots.get_mut(row * count + at) {
                                *spot = (results.len(), results.len() + result.len());
                            }
                            results.extend_from_slice(result);
                        })?;
                    }
                    pending = later;
                }
            } else {
                round.step(&pending)?;
            }
            let accumulators = round.accumulators.into_iter().zip(held.iter_mut());
            for (accumulator, held) in accumulators {
                if let Some(text) = held.texts.get_mut(text) {
                    *text = accumulator;
                }
            }
        }
        Ok(())
    }

    /// Keeps the results that a row at hand has made.
    pub(in crate::operator) fn keep(&self, row: usize, texts: &mut [Vec<u8>]) {
        let spots = self.spots.iter().skip(row * self.users.len());
        for (user, (start, end)) in self.users.iter().zip(spots) {
            let result = self.results.get(*start..*end).filter(|result| !result.is_empty());
            if let Some((result, text)) = result.zip(texts.get_mut(user.text + 1)) {
                text.clear();
                text.extend_from_slice(result);
            }
        }
    }

    /// Computes the results of the group with these texts.
    pub(in crate::operator) fn finish(&mut self, texts: &mut [Vec<u8>]) -> Result<(), TaskError> {
        self.users.iter_mut().try_for_each(|user| user.finish(texts))
    }
}

impl Round<'_> {
    fn group(&self, row: usize) -> usize {
        self.hand.groups.get(row).map_or(0, |group| *group as usize)
    }

    fn retracts(&self, row: usize) -> bool {
        let number = self.hand.numbers.get(row).map_or(0, |number| *number as usize);
        is_retraction(self.hand.page, number)
    }

    /// The first row of each group, and the others.
    fn apart(&self, rows: &[usize]) -> (Vec<usize>, Vec<usize>) {
        let mut is_there = vec![false; self.accumulators.len()];
        rows.iter().partition(|row| {
            let group = is_there.get_mut(self.group(**row));
            group.is_some_and(|there| !mem::replace(there, true))
        })
    }

    /// Counts rows, and adds those that count or takes them back. Those that take back what is not there are passed
    /// over; a group without rows begins anew.
    fn step(&mut self, rows: &[usize]) -> Result<(), TaskError> {
        let mut counted: [Vec<usize>; 2] = Default::default();
        for row in rows {
            let (group, retract) = (self.group(*row), self.retracts(*row));
            let Some(length) = self.lengths.get_mut(group) else { continue };
            if retract && *length == 0 {
                continue;
            }
            *length += if retract { -1 } else { 1 };
            let counts = self.hand.counts.get(row * self.calls + self.user.number);
            if counts == Some(&true) {
                counted[usize::from(retract)].push(*row);
            }
        }
        for (rows, retract) in counted.iter().zip([false, true]) {
            self.add(rows, retract)?;
        }
        for row in rows {
            let group = self.group(*row);
            if self.lengths.get(group) == Some(&0)
                && let Some(accumulator) = self.accumulators.get_mut(group)
            {
                accumulator.clear();
            }
        }
        Ok(())
    }

    fn add(&mut self, rows: &[usize], retract: bool) -> Result<(), TaskError> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut places = vec![None; self.accumulators.len()];
        let (mut groups, mut accumulators) = (Vec::new(), Vec::new());
        for row in rows {
            let group = self.group(*row);
            let place = match places.get(group) {
                Some(Some(place)) => *place,
                _ => {
                    accumulators.push(self.take(group)?);
                    groups.push(group);
                    let place = groups.len() as u32 - 1;
                    if let Some(known) = places.get_mut(group) {
                        *known = Some(place);
                    }
                    place
                }
            };
            let number = self.hand.numbers.get(*row).map_or(0, |number| *number as usize);
            self.user.give(place, &self.hand.rows.at(number));
        }
        self.user.add(retract, &mut accumulators)?;
        self.give_back(&groups, accumulators);
        Ok(())
    }

    /// Tells the results of the groups of rows, each of which is of another one.
    fn results(
        &mut self,
        rows: &[usize],
        mut each: impl FnMut(usize, &[u8]),
    ) -> Result<(), TaskError> {
        let there =
            |row: &&usize| self.lengths.get(self.group(**row)).is_some_and(|rows| *rows > 0);
        let rows: Vec<usize> = rows.iter().filter(there).copied().collect();
        let groups: Vec<usize> = rows.iter().map(|row| self.group(*row)).collect();
        let accumulators = groups.iter().map(|group| self.take(*group));
        let accumulators = accumulators.collect::<Result<Vec<_>, _>>()?;
        let told = self.user.caller()?.results(&accumulators, |at, result| {
            if let Some(row) = rows.get(at) {
                each(*row, result);
            }
        });
        told.map_err(TaskError::new)?;
        self.give_back(&groups, accumulators);
        Ok(())
    }

    /// Takes the accumulator of a group, for a call.
    fn take(&mut self, group: usize) -> Result<Vec<u8>, TaskError> {
        let mut taken = self.accumulators.get_mut(group).map(mem::take).unwrap_or_default();
        self.user.begin(&mut taken)?;
        Ok(taken)
    }

    fn give_back(&mut self, groups: &[usize], accumulators: Vec<Vec<u8>>) {
        for (group, accumulator) in groups.iter().zip(accumulators) {
            if let Some(place) = self.accumulators.get_mut(*group) {
                *place = accumulator;
            }
        }
    }
}
