//! What the watermark has made due, in the order of its times: windows are emitted, then the cells of a block
//! are turned, then those of one that no window needs any more are removed.

use millstream_data::Value;
use millstream_state::{Column, window::Window};

use super::{SlicedChain, Walk};
use crate::{
    chain::{Context, TaskError},
    operator::{
        Stage,
        stateless::Emitter,
        window::{WindowAggregate, WindowAssigner},
    },
    state::{KeyedState, damaged, namespace},
};

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// The windows that end at this time are emitted.
    Emit(i64),
    /// No window ends any more within the block that begins at this time.
    Turn(i64),
    /// No window needs the block any more.
    Remove(i64),
}

impl<A, S, F, W, N> SlicedChain<A, S, F, W, N>
where
    A: WindowAggregate,
    W: WindowAssigner,
    N: Stage<A::Out>,
{
    /// Does what is due; `false` if the context is blocked before all is done.
    pub(super) fn do_due(&mut self, context: &mut Context<'_>) -> Result<bool, TaskError> {
        loop {
            let (due, mut walk) = match self.due.take() {
                Some(due) => due,
                None => match self.next_due() {
                    Some(due) => (due, Walk::begin(&self.state)),
                    None => break,
                },
            };
            match due {
                Due::Emit(end) => {
                    if !self.emit(end, &mut walk, context)? {
                        self.due = Some((due, walk));
                        return Ok(false);
                    }
                    self.done = end;
                }
                Due::Turn(block) => self.turn(block, &mut walk)?,
                Due::Remove(block) => self.remove(block, &mut walk)?,
            }
        }
        self.done = self.done.max(self.state.watermark.saturating_add(1));
        Ok(true)
    }

    /// What is due next: the earliest, and of one time in the order of [`Due`].
    fn next_due(&self) -> Option<Due> {
        let emit = self.next_end().map(|end| (end, Due::Emit(end)));
        let late = |end: i64| self.lateness.cleanup_time(&Window { start: i64::MIN, end });
        let turns = self.kept.live.iter().find(|(_, found)| !found.is_turned);
        let turn = turns
            .filter(|_| self.blocks.slots() > 1)
            .map(|(block, _)| (late(self.blocks.end(*block)).saturating_add(1), Due::Turn(*block)));
        let first = self.kept.live.iter().next();
        let remove =
            first.map(|(block, found)| (late(found.last).saturating_add(1), Due::Remove(*block)));
        let due = emit.into_iter().chain(turn).chain(remove).min()?;
        (due.0.saturating_sub(1) <= self.state.watermark).then_some(due.1)
    }

    /// When the next window ends that was not emitted and may have rows.
    fn next_end(&self) -> Option<i64> {
        let mut time = self.done;
        loop {
            let mut live = self.kept.live.iter();
            let (block, _) = live.find(|(_, found)| found.last > time)?;
            let end = self.first_end(time.max(*block))?;
            let window = self.assigner.ending(end);
            let before = self.kept.live.range(..end);
            if before.into_iter().any(|(block, _)| self.blocks.end(*block) > window.start) {
                return Some(end);
            }
            time = end;
        }
    }

    /// The first end of a window behind a time.
    fn first_end(&self, time: i64) -> Option<i64> {
        let mut time = time;
        loop {
            let slice = self.assigner.slice(time);
            let mut first: Option<i64> = None;
            self.assigner.windows(slice, &mut |window| {
                first = Some(first.map_or(window.end, |first| first.min(window.end)));
            });
            if first.is_some() || slice.end <= time {
                return first;
            }
            time = slice.end;
        }
    }

    /// Emits the windows that end at a time; `false` if the context is blocked before all are.
    fn emit(
        &mut self,
        end: i64,
        walk: &mut Walk,
        context: &mut Context<'_>,
    ) -> Result<bool, TaskError> {
        let window = self.assigner.ending(end);
        let last = window.max_time();
        loop {
            let Self { state, kept, batch, .. } = self;
            // A key group may have been further when it was put back.
            let was_emitted = |state: &KeyedState, group| last <= state.restored_of(group);
            if !walk.fill(kept, state, batch, was_emitted)? {
                return Ok(true);
            }
            self.find(window)?;
            let Self { function, kept, batch, found, next, .. } = self;
            let mut visited = 0;
            for (index, sum) in found.iter().enumerate() {
                visited = index + 1;
                let Some(sum) = sum else { continue };
                let key = batch.decode(batch.at(index))?;
                function.finish(key, window, sum.view(), &mut Emitter { next, context });
                if context.is_blocked() {
                    break;
                }
            }
            walk.advance(kept, visited, |_| true);
            if context.is_blocked() {
                return Ok(false);
            }
        }
    }

    /// Turns the cells of a block.
    fn turn(&mut self, block: i64, walk: &mut Walk) -> Result<(), TaskError> {
        let namespace = namespace(block);
        let Self { function, state, cells, empty, kept, batch, some, .. } = self;
        while walk.fill(kept, state, batch, |_, _| false)? {
            some.clear();
            let keys = batch.keys().within(Column::Same(&namespace));
            state.read_each(kept.cells, &keys, |index, cell| {
                if cell.is_some() {
                    some.push_bytes(batch.at(index));
                }
                Ok(true)
            })?;
            let keys = some.keys().within(Column::Same(&namespace));
            let mut error = None;
            state.update(kept.cells, &keys, empty.as_deref().unwrap_or(&[]), |_, cell| {
                error = cells.turn(function, cell).err().or(error.take());
            })?;
            error.map_or(Ok(()), |error| Err(damaged("window", &error)))?;
            walk.advance(kept, batch.len(), |_| true);
        }
        kept.turned(state, block)
    }

    /// Removes the cells of a block, and forgets keys that have no others.
    fn remove(&mut self, block: i64, walk: &mut Walk) -> Result<(), TaskError> {
        let Self { state, kept, batch, scratch, .. } = self;
        while walk.fill(kept, state, batch, |_, _| false)? {
            let is_gone = &mut scratch.is_gone;
            kept.remove(state, batch, block, is_gone)?;
            walk.advance(kept, batch.len(), |index| !is_gone.get(index).is_some_and(|is| *is));
        }
        kept.ended(state, block)
    }
}
