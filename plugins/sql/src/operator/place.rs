//! What is said of a row by its place in its partition.

use std::{collections::VecDeque, ops::Range};

use millstream_data::row::{Row, RowWriter};
use millstream_dataflow::TaskError;

use super::{accumulator::Accumulator, over::FIXED};
use crate::relation::Place;

/// Where a row is: among all rows of its partition, unless they come in order of time.
pub(super) struct Spot<'a> {
    pub(super) rows: &'a [Row<'a>],
    pub(super) at: usize,
    /// Those that are equal to it.
    pub(super) peers: &'a Range<usize>,
    /// How many different ones there are up to it.
    pub(super) different: i64,
}

/// A call about the place of a row.
///
/// Where rows come in order of time, LAG keeps the last values: of rows of one time each is given what is before
/// the last of them, as in Flink.
pub(super) struct Placing {
    place: Place,
    timed: bool,
    /// What LAG and LEAD read, and the default.
    value: Option<Accumulator>,
    default: Option<Accumulator>,
    /// The last values, each as it is kept, and how many rows at hand are among them.
    recent: VecDeque<Option<Vec<u8>>>,
    taken: usize,
    fixed: Vec<u8>,
    texts: Vec<Vec<u8>>,
}

impl Placing {
    pub(super) fn new(
        place: Place,
        timed: bool,
        value: Option<Accumulator>,
        default: Option<Accumulator>,
    ) -> Self {
        let (recent, fixed, texts) = (VecDeque::new(), vec![0; FIXED], vec![Vec::new()]);
        Self { place, timed, value, default, recent, taken: 0, fixed, texts }
    }

    pub(super) fn clear(&mut self) {
        self.recent.clear();
        self.taken = 0;
    }

    /// Takes the rows at hand up to this one.
    pub(super) fn slide(&mut self, rows: &[Row<'_>], end: usize) {
        let (Place::Before(before), Some(value), true) = (self.place, &self.value, self.timed)
        else {
            return;
        };
        for row in rows.get(self.taken..end).unwrap_or(&[]) {
            let kept = value.counts(row).then(|| {
                let mut kept = Vec::new();
                value.put_value(row, &mut kept);
                kept
            });
            self.recent.push_back(kept);
            if self.recent.len() as u64 > before.unsigned_abs() + 1 {
                self.recent.pop_front();
            }
        }
        self.taken = end;
    }

    pub(super) fn finish(&mut self, spot: &Spot<'_>, out: &mut RowWriter<'_>) {
        let Spot { rows, at, peers, different } = spot;
        let (before, all) = (peers.start as i64, rows.len() as i64);
        let share = |part: i64, of: i64| if of > 0 { part as f64 / of as f64 } else { 0.0 };
        match self.place {
            Place::Rank => out.put_fixed((before + 1).to_le_bytes()),
            Place::DenseRank => out.put_fixed(different.to_le_bytes()),
            Place::PercentRank => out.put_fixed(share(before, all - 1).to_le_bytes()),
            Place::CumeDist => out.put_fixed(share(peers.end as i64, all).to_le_bytes()),
            Place::Tile(parts) => out.put_fixed(tile(*at as i64, all, parts).to_le_bytes()),
            Place::Before(before) => self.finish_value(spot, before, out),
        }
    }

    fn finish_value(&mut self, spot: &Spot<'_>, before: i64, out: &mut RowWriter<'_>) {
        let Self { value, default, recent, fixed, texts, timed, .. } = self;
        let Some(value) = value else { return out.leave_empty() };
        fixed.fill(0);
        texts.iter_mut().for_each(Vec::clear);
        let found = match *timed {
            true => {
                let index = usize::try_from(before).ok();
                let index = index.and_then(|before| recent.len().checked_sub(before + 1));
                let kept = index.and_then(|index| recent.get(index));
                if let Some(Some(kept)) = kept {
                    value.set_alone(kept, fixed, texts);
                }
                kept.is_some()
            }
            false => {
                let index = (spot.at as i64).checked_sub(before);
                let row = index.and_then(|index| spot.rows.get(usize::try_from(index).ok()?));
                if let Some(row) = row.filter(|row| value.counts(*row)) {
                    value.add(row, false, fixed, texts);
                }
                row.is_some()
            }
        };
        let call = match (found, default) {
            (false, Some(default)) => {
                if let Some(row) = spot.rows.get(spot.at).filter(|row| default.counts(*row)) {
                    default.add(row, false, fixed, texts);
                }
                default
            }
            _ => value,
        };
        call.finish(fixed, texts, out);
    }

    /// Appends what it has kept: how many values, and each behind its length, or nothing but a zero if it is NULL.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.recent.len() as u32).to_le_bytes());
        for kept in &self.recent {
            let length = kept.as_ref().map_or(0, |kept| kept.len() as u32 + 1);
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(kept.as_deref().unwrap_or(&[]));
        }
    }

    /// Takes off what another one has written; what is not there is nothing.
    pub(super) fn read(&mut self, from: &mut &[u8]) -> Result<(), TaskError> {
        if from.is_empty() {
            return Ok(());
        }
        for _ in 0..number(from)? {
            let kept = match number(from)?.checked_sub(1) {
                None => None,
                Some(length) => {
                    let split = from.split_at_checked(length as usize).ok_or_else(cut_off)?;
                    *from = split.1;
                    Some(split.0.to_vec())
                }
            };
            self.recent.push_back(kept);
        }
        Ok(())
    }
}

pub(super) fn number(from: &mut &[u8]) -> Result<u32, TaskError> {
    let (number, rest) = from.split_first_chunk().ok_or_else(cut_off)?;
    *from = rest;
    Ok(u32::from_le_bytes(*number))
}

fn cut_off() -> TaskError {
    TaskError::new("what OVER has kept is cut off")
}

/// In which of so many parts a row is, from 1: the first ones have a row more than the others.
fn tile(at: i64, rows: i64, parts: i64) -> i64 {
    let (length, longer) = (rows / parts, rows % parts);
    let first = longer * (length + 1);
    match at < first {
        true => at / (length + 1) + 1,
        false => longer + (at - first) / length.max(1) + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_parts_are_longer_by_one() {
        let tiles = |rows, parts| (0..rows).map(|at| tile(at, rows, parts)).collect::<Vec<_>>();
        assert_eq!(tiles(8, 3), [1, 1, 1, 2, 2, 2, 3, 3]);
        assert_eq!(tiles(6, 3), [1, 1, 2, 2, 3, 3]);
        assert_eq!(tiles(2, 5), [1, 2]);
    }
}
