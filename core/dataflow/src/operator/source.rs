//! Chains that make their rows themselves.

use alloc::{format, vec, vec::Vec};

use millstream_data::{Value, page::ValidPage};
use millstream_exchange::event::Purpose;
use millstream_state::{
    Kind,
    description::{DESCRIPTIONS, Description, Part},
    format::{Chunk, ReadChunk},
};

use super::Stage;
use crate::{
    chain::{Chain, Context, OpenInfo, Produced, Signal, TaskError},
    state::damaged,
};

/// What a snapshot has of a source: how many rows were made, under how many subtasks there are.
fn description() -> Description {
    Description {
        name: "rows-made".into(),
        kind: Kind::Value,
        key: vec![Part::Opaque(Some(4))],
        namespace: Vec::new(),
        map_key: Vec::new(),
        value: vec![Part::Opaque(Some(8))],
    }
}

/// A chain that begins with a source of its own, an iterator.
#[derive(Debug)]
pub struct SourceChain<I, S> {
    /// `None` once it has no more rows.
    rows: Option<I>,
    /// Rows that were made.
    made: u64,
    /// The subtask, and how many there are.
    place: (u32, u32),
    frozen: Option<u64>,
    pace: Option<Pace>,
    stage: S,
}

impl<I, S> SourceChain<I, S> {
    /// The chain of `rows`, as fast as they can be made, and all that follows.
    pub fn new(rows: I, stage: S, info: &OpenInfo) -> Self {
        let place = (info.subtask, info.parallelism);
        Self { rows: Some(rows), made: 0, place, frozen: None, pace: None, stage }
    }

    /// Makes row number `n` when `n * subtasks / rate` seconds have passed since the first, so that
    /// all subtasks together make `rate` rows a second. A chain that was held back catches up.
    pub fn paced(mut self, rate: u64, subtasks: u32) -> Self {
        self.pace = Some(Pace { rate: rate.max(1), subtasks, begin: None, made: 0 });
        self
    }
}

/// When the rows of a paced source are due.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Rows a second, of all subtasks together.
    rate: u64,
    subtasks: u32,
    /// When the first row was due.
    begin: Option<u64>,
    made: u64,
}

const MICROS: u128 = 1_000_000;

impl Pace {
    /// Rows that are due and not made.
    fn due(&mut self, now: u64) -> u64 {
        let passed = u128::from(now - *self.begin.get_or_insert(now));
        let rows = passed * u128::from(self.rate) / (MICROS * u128::from(self.subtasks)) + 1;
        u64::try_from(rows).unwrap_or(u64::MAX).saturating_sub(self.made)
    }

    /// When the next row is due.
    fn next(&self) -> u64 {
        let period = MICROS * u128::from(self.subtasks);
        let wait = (u128::from(self.made) * period).div_ceil(u128::from(self.rate));
        self.begin.unwrap_or(0).saturating_add(u64::try_from(wait).unwrap_or(u64::MAX))
    }
}

impl<T: Value, I: Iterator<Item = T> + Send, S: Stage<T>> Chain for SourceChain<I, S> {
    fn process(
        &mut self,
        _input: u16,
        page: &ValidPage<'_>,
        _start: usize,
        context: &mut Context<'_>,
    ) -> usize {
        context.fail(TaskError::new("a page arrived at a chain that has no input"));
        page.rows()
    }

    fn produce(&mut self, rows: usize, context: &mut Context<'_>) -> Produced {
        if !self.stage.resume(context) {
            return Produced::More;
        }
        let due = self.pace.as_mut().map_or(u64::MAX, |pace| pace.due(context.now()));
        let rows = rows.min(usize::try_from(due).unwrap_or(usize::MAX));
        let mut made = 0;
        // A local iterator lives in registers; one behind `self` would be stored after each row, and
        // the next row would wait for that.
        let Some(mut source) = self.rows.take() else { return Produced::Finished };
        while made < rows && !context.is_blocked() {
            let Some(row) = source.next() else {
                self.made += made as u64;
                return Produced::Finished;
            };
            self.stage.push(row.view(), context);
            made += 1;
        }
        self.rows = Some(source);
        self.made += made as u64;
        match &mut self.pace {
            None => Produced::More,
            Some(pace) => {
                pace.made += made as u64;
                if made as u64 == due { Produced::Until(pace.next()) } else { Produced::More }
            }
        }
    }

    fn finish(&mut self, context: &mut Context<'_>) -> bool {
        self.stage.resume(context) && self.stage.finish(context)
    }

    fn signal(&mut self, signal: Signal, context: &mut Context<'_>) -> bool {
        self.stage.resume(context) && self.stage.signal(signal, context)
    }

    fn flush(&mut self, force: bool, context: &mut Context<'_>) {
        self.stage.flush(force, context);
    }

    fn begin_snapshot(&mut self, _purpose: Purpose) -> Result<(), TaskError> {
        self.frozen = Some(self.made);
        Ok(())
    }

    fn next_chunk(&mut self, out: &mut Vec<u8>) -> Result<bool, TaskError> {
        if let Some(made) = self.frozen.take() {
            let (subtask, parallelism) = self.place;
            let mut chunk = Chunk::begin(DESCRIPTIONS, subtask, out);
            description().write(0, &mut chunk);
            let mut chunk = chunk.next(0, subtask);
            chunk.whole(&parallelism.to_le_bytes(), &[], &made.to_le_bytes());
            chunk.end();
        }
        Ok(false)
    }

    fn abort_snapshot(&mut self) {
        self.frozen = None;
    }

    /// Makes the rows that were made already once more, and drops them.
    fn restore(&mut self, chunks: &[u8]) -> Result<(), TaskError> {
        let (subtask, parallelism) = self.place;
        let mut offset = 0;
        while offset < chunks.len() {
            let read = ReadChunk::read(chunks, offset);
            let (chunk, next) = read.map_err(|error| TaskError::new(format!("{error}")))?;
            offset = next;
            if chunk.state == DESCRIPTIONS {
                continue;
            }
            for entry in chunk.entries() {
                if entry.key != parallelism.to_le_bytes() {
                    return Err(TaskError::new(
                        "a generated stream is divided by subtask and cannot be divided anew: restore \
                         it with the parallelism that it had",
                    ));
                }
                if chunk.group != subtask {
                    continue;
                }
                let made = entry.value.try_into().map(u64::from_le_bytes);
                self.made = made.map_err(|error| damaged("position", &error))?;
                let skipped = usize::try_from(self.made).unwrap_or(usize::MAX);
                if let Some(rows) = &mut self.rows
                    && let Some(last) = skipped.checked_sub(1)
                {
                    rows.nth(last);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_is_due_in_its_time() {
        let mut pace = Pace { rate: 3, subtasks: 2, begin: None, made: 0 };
        assert_eq!(pace.due(1000), 1);
        pace.made = 1;
        assert_eq!(pace.next(), 1000 + 666_667);
        assert_eq!((pace.due(1000 + 666_666), pace.due(1000 + 666_667)), (0, 1));
        assert_eq!(pace.due(1000 + 10_000_000), 15, "a source that was held back catches up");
    }

    #[test]
    fn no_rate_and_no_time_overflows() {
        let mut pace = Pace { rate: u64::MAX, subtasks: 1, begin: Some(0), made: 0 };
        assert_eq!(pace.due(u64::MAX), u64::MAX);
        let slow = Pace { rate: 1, subtasks: u32::MAX, begin: Some(1), made: u64::MAX };
        assert_eq!(slow.next(), u64::MAX);
    }
}
