//! The windows of each key that merge, as state.

use alloc::vec::Vec;

use millstream_state::{
    Key as StateKey,
    keyed::{Descriptor, ListState},
    window::{Merged, Sessions, Window},
};

use crate::{
    chain::TaskError,
    state::{Contents, KeyedState, damaged},
};

/// Which windows each key has, and under which window the contents of each are kept.
pub(super) struct Merging {
    /// Begin and end of both, by begin.
    windows: ListState<(i64, i64, i64, i64)>,
    /// Those of the key that was last loaded.
    known: Vec<(Window, Window)>,
}

impl Merging {
    /// Nothing yet, for keys of `key` bytes, if all have the same.
    pub(super) fn open(state: &mut KeyedState, key: Option<usize>) -> Result<Self, TaskError> {
        let merging = Descriptor { key, ..Descriptor::new("merging-windows") };
        let windows = state.handle(|store| ListState::register(store, &merging), ListState::id)?;
        state.describe(windows.id(), Contents::rows::<(i64, i64, i64, i64)>());
        Ok(Self { windows, known: Vec::new() })
    }

    /// Adds a window to those of a key, unless what it becomes part of is late: then it is `None`,
    /// and nothing has changed.
    pub(super) fn add(
        &mut self,
        state: &mut KeyedState,
        key: &StateKey<'_>,
        own: Window,
        is_late: impl Fn(&Window) -> bool,
    ) -> Result<Option<Merged>, TaskError> {
        self.load(state, key)?;
        let sessions = Sessions::restore(core::mem::take(&mut self.known));
        let mut sessions = sessions
            .ok_or_else(|| damaged("list of windows", &"they overlap or are not in order"))?;
        let before = sessions.windows().len();
        let merged = sessions.add(own);
        if is_late(&merged.window) {
            return Ok(None);
        }
        // One that does not grow by the row changes nothing.
        if sessions.windows().len() != before || !merged.gone.is_empty() {
            self.known.extend_from_slice(sessions.windows());
            self.store(state, key)?;
        }
        Ok(Some(merged))
    }

    /// Under which window the contents of a window of the key are kept; `None` if there is none
    /// like it.
    pub(super) fn kept_under(
        &mut self,
        state: &mut KeyedState,
        key: &StateKey<'_>,
        window: &Window,
    ) -> Result<Option<Window>, TaskError> {
        self.load(state, key)?;
        Ok(self.known.iter().find(|(known, _)| known == window).map(|(_, kept)| *kept))
    }

    /// Forgets a window of the key.
    pub(super) fn retire(
        &mut self,
        state: &mut KeyedState,
        key: &StateKey<'_>,
        window: &Window,
    ) -> Result<(), TaskError> {
        self.load(state, key)?;
        self.known.retain(|(known, _)| known != window);
        self.store(state, key)
    }

    fn load(&mut self, state: &mut KeyedState, key: &StateKey<'_>) -> Result<(), TaskError> {
        let Self { windows, known } = self;
        state.access(*key, |access| {
            known.clear();
            windows.read(access, |(start, end, kept_start, kept_end)| {
                let kept = Window { start: kept_start, end: kept_end };
                known.push((Window { start, end }, kept));
            })
        })?;
        Ok(())
    }

    fn store(&mut self, state: &mut KeyedState, key: &StateKey<'_>) -> Result<(), TaskError> {
        let Self { windows, known } = self;
        state.access(*key, |access| {
            let each = known.iter();
            windows.set(access, each.map(|(own, kept)| (own.start, own.end, kept.start, kept.end)))
        })
    }
}
