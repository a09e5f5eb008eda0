//! Slices that several windows have in common: a row is folded into one, and what is kept of it is merged into
//! its windows once, when no row can come for the slice any more.
//!
//! As in Flink's slicing window operators, with one difference: windows are merged as their slices end, and not
//! when they end themselves, so that there is nothing left to do then but to emit.

use alloc::vec::Vec;

use millstream_state::{
    Column,
    window::{Tumbling, Window},
};

use super::{
    RowKeys, RowStates,
    windows::{RowFold, RowWindow},
};
use crate::{
    chain::TaskError,
    operator::window::panes::{Panes, Sweep},
    state::{TIME, namespace},
};

/// Keys of a slice that are merged into their windows at once.
const MERGED: usize = 256;

/// The slices of windows that overlap.
pub(super) struct Slices {
    /// The slices, as windows that do not.
    of: Tumbling,
    pub(super) panes: Panes,
    /// Keys of a slice that has ended, what is kept of each, and where that ends.
    swept: RowKeys,
    kept: Vec<u8>,
    kept_ends: Vec<usize>,
    /// Each of them with each window.
    merged: RowKeys,
    ends: Vec<u8>,
    starts: Vec<i64>,
}

impl Slices {
    /// Those of windows, if a row is in several of them.
    pub(super) fn of(windows: &RowWindow) -> Option<Tumbling> {
        let (length, begin) = match windows {
            RowWindow::Sliding(_, windows) if windows.windows() > 1 => {
                (windows.slice(), windows.begin())
            }
            RowWindow::Cumulating(_, windows) if windows.size() > windows.step() => {
                (windows.step(), windows.begin())
            }
            _ => return None,
        };
        Tumbling::of(length).ok().map(|slices| slices.offset(begin))
    }

    pub(super) fn new(of: Tumbling, panes: Panes, keys: &RowKeys) -> Self {
        let (swept, merged) = (keys.clone(), keys.clone());
        let (kept, kept_ends, ends, starts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { of, panes, swept, kept, kept_ends, merged, ends, starts }
    }

    /// The slice of a time.
    pub(super) fn assign(&self, time: i64) -> Window {
        self.of.assign(time)
    }

    /// Merges all slices that are over by this time into their windows.
    pub(super) fn merge_until<F: RowFold>(
        &mut self,
        over: i64,
        (windows, panes): (&RowWindow, &mut Panes),
        fold: &mut F,
        (batch, states): (&mut RowKeys, &mut RowStates),
    ) -> Result<(), TaskError> {
        while let Some(end) = self.panes.ends.first().copied()
            && end <= over
        {
            let slice = self.of.assign(end.saturating_sub(1));
            let mut sweep = Sweep::begin(&states.state, end);
            while !self.sweep(&mut sweep, batch, states)? {
                self.merge(slice, (windows, &mut *panes), fold, states)?;
            }
            self.merge(slice, (windows, &mut *panes), fold, states)?;
            self.panes.ends.remove(&end);
        }
        Ok(())
    }

    /// Takes some keys out of a slice; `true` if those were the last.
    fn sweep(
        &mut self,
        sweep: &mut Sweep,
        batch: &mut RowKeys,
        states: &mut RowStates,
    ) -> Result<bool, TaskError> {
        let Self { panes, swept, kept: all, kept_ends, .. } = self;
        swept.clear();
        all.clear();
        kept_ends.clear();
        sweep.run(panes, &mut states.state, batch, true, |batch, index, kept| {
            swept.push(batch.at(index), 0);
            // The slice's own begin is in front.
            all.extend_from_slice(kept.get(TIME..).unwrap_or(&[]));
            kept_ends.push(all.len());
            Ok(swept.len() < MERGED)
        })
    }

    fn merge<F: RowFold>(
        &mut self,
        slice: Window,
        (windows, panes): (&RowWindow, &mut Panes),
        fold: &mut F,
        states: &mut RowStates,
    ) -> Result<(), TaskError> {
        let Self { swept, kept: all, kept_ends, merged, ends, starts, .. } = self;
        let mut failed = None;
        starts.clear();
        merged.clear();
        ends.clear();
        windows.each_of(slice.start, |window| {
            for index in 0..swept.len() {
                merged.push(swept.at(index), index as u32);
                ends.extend(namespace(window.end));
                starts.push(window.start);
            }
        });
        let ends = Column::Fixed { width: TIME, bytes: ends };
        panes.fold(&mut states.state, (*merged).as_ref(), ends, |number, kept, new| {
            let index = merged.rows()[number] as usize;
            let begin = index.checked_sub(1).map_or(0, |before| kept_ends[before]);
            let more = &all[begin..kept_ends[index]];
            new.extend(namespace(starts[number]));
            match kept {
                None => new.extend_from_slice(more),
                Some(kept) => {
                    let kept = kept.get(TIME..).unwrap_or(&[]);
                    if let Err(error) = fold.merge(kept, more, new) {
                        failed.get_or_insert(error);
                    }
                }
            }
        })?;
        failed.map_or(Ok(()), Err)
    }
}
