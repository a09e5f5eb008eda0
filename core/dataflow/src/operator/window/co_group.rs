//! Windows of two streams: the rows of a key and window of both are handed over together.

use alloc::{vec, vec::Vec};
use core::{fmt, marker::PhantomData};

use millstream_data::{
    Key, Value,
    page::ValidPage,
    row::{RowLayout, RowValue},
    value::Record,
};
use millstream_state::{
    Backend, Column, Kind, StateId, StateSpec, description::Part, list, window::Window,
};

use super::{
    WindowAssigner,
    panes::{Panes, Sweep},
};
use crate::{
    chain::{Context, OpenInfo, TaskError},
    operator::{
        Emit, Row, Stage,
        head::{KeyedHead, third_input},
        process_page,
        stateless::Emitter,
        timers::TimeKind,
    },
    state::{Contents, KeyBatch, KeyedState, namespace},
};

/// What is done with the rows of two streams that have a key and a window in common.
pub trait CoGroupFunction: Clone + Send + Sync + 'static {
    /// The rows of the first stream.
    type First: RowValue + Record;
    /// The rows of the second stream.
    type Second: RowValue + Record;
    /// The key of both.
    type Key: Key + RowValue + Record;
    /// What it emits.
    type Out: Value;

    /// The window has ended; at least one of the groups has rows, each in the order in which they came.
    /// What is emitted has to find room at once.
    fn call(
        &mut self,
        key: <Self::Key as Value>::View<'_>,
        window: Window,
        first: &Group<'_, Self::First>,
        second: &Group<'_, Self::Second>,
        out: &mut dyn Emit<Self::Out>,
    );
}

/// The rows of one stream in a window.
pub struct Group<'a, T> {
    layout: &'a RowLayout,
    width: Option<usize>,
    elements: &'a [u8],
    rows: PhantomData<fn() -> T>,
}

impl<'a, T: RowValue> Group<'a, T> {
    fn new(layout: &'a RowLayout, elements: &'a [u8]) -> Self {
        let width = layout.is_fixed().then(|| layout.fixed_bytes());
        Self { layout, width, elements, rows: PhantomData }
    }

    /// The rows, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = T::View<'a>> + use<'a, T> {
        let layout = self.layout;
        // Rows were made in this process, or checked when they were restored.
        let rows = list::elements(self.elements, self.width);
        rows.filter_map(|row| layout.trusted(row).ok()).map(|row| layout.decode::<T>(row))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }
}

impl<T> fmt::Debug for Group<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group({} bytes)", self.elements.len())
    }
}

/// Key and time of the rows of a stream, and the windows that they go into.
#[derive(Clone)]
pub(crate) struct CoWindowing<S, R, F, G, W> {
    pub(crate) keys: (S, R),
    pub(crate) times: (F, G),
    pub(crate) assigner: W,
}

/// A chain that gathers the rows of two streams by key and window.
pub struct CoGroupChain<C: CoGroupFunction, S, R, F, G, W, N> {
    function: C,
    windowing: CoWindowing<S, R, F, G, W>,
    fingerprints: [u64; 2],
    layouts: [RowLayout; 2],
    state: KeyedState,
    /// By key and window: a byte that says that there are rows.
    windows: Panes,
    /// By key and window: the rows of each stream.
    rows: [StateId; 2],
    sweep: Option<Sweep>,
    /// Keys of the window that has ended, and how many of them were handed over.
    ready: KeyBatch<C::Key>,
    handed_over: usize,
    batch: KeyBatch<C::Key>,
    scratch: Vec<u8>,
    /// The ends of the windows of the row at hand.
    ends: Vec<i64>,
    next: N,
}

/// Keys that are looked up together when a window has ended.
const READY: usize = 64;

impl<C: CoGroupFunction, S, R, F, G, W, N> CoGroupChain<C, S, R, F, G, W, N> {
    /// The chain of `function` and what follows it.
    pub(crate) fn new(
        function: C,
        windowing: CoWindowing<S, R, F, G, W>,
        info: &OpenInfo,
        next: N,
    ) -> Result<Self, TaskError> {
        let mut state = KeyedState::open(info)?;
        state.keyed_by::<C::Key>();
        let schemas = [C::First::schema(), C::Second::schema()];
        let layouts = schemas.each_ref().map(RowLayout::new);
        let batch = KeyBatch::new();
        let windows = Panes::register(&mut state, "windows", batch.width(), Some(0))?;
        let mut rows = |name: &str, layout: &RowLayout| {
            let value = layout.is_fixed().then(|| layout.fixed_bytes());
            let (key, namespace) = (batch.width(), Some(8));
            let spec = StateSpec { name: name.into(), kind: Kind::List, key, namespace, value };
            state.register(&spec)
        };
        let rows = [rows("first", &layouts[0])?, rows("second", &layouts[1])?];
        windows.describe(&mut state, Vec::new());
        for (id, schema) in rows.iter().zip(&schemas) {
            let value = vec![Part::Row(schema.clone())];
            let namespace = vec![Part::Time];
            state.describe(*id, Contents { namespace, value, ..Contents::default() });
        }
        Ok(Self {
            function,
            windowing,
            fingerprints: schemas.map(|schema| schema.fingerprint()),
            layouts,
            state,
            windows,
            rows,
            sweep: None,
            ready: KeyBatch::new(),
            handed_over: 0,
            batch,
            scratch: Vec::new(),
            ends: Vec::new(),
            next,
        })
    }
}

impl<C, S, R, F, G, W, N> CoGroupChain<C, S, R, F, G, W, N>
where
    C: CoGroupFunction,
    W: WindowAssigner,
    N: Stage<C::Out>,
{
    /// Adds the row in `scratch` to the windows of its time.
    fn add(&mut self, stream: usize, time: i64) -> Result<(), TaskError> {
        let Self { state, windows, rows, batch, scratch, windowing, ends, .. } = self;
        let watermark = state.watermark;
        let slice = windowing.assigner.slice(time);
        ends.clear();
        windowing.assigner.windows(slice, &mut |window| {
            if window.max_time() > watermark {
                ends.push(window.end);
            }
        });
        for end in ends.iter() {
            let namespace = namespace(*end);
            windows.fold(state, batch, Column::Same(&namespace), |_, _, _| {})?;
            let keys = batch.keys().within(Column::Same(&namespace));
            let element = Column::Same(scratch);
            state.change(|store, done| store.append(rows[stream], &keys.skip(done), element))?;
        }
        Ok(())
    }

    /// Hands over the windows that the watermark has ended; `false` if the context is blocked before
    /// all is done.
    fn end_windows(&mut self, context: &mut Context<'_>) -> Result<bool, TaskError> {
        while let Some(end) = self.windows.ends.first().copied()
            && end.saturating_sub(1) <= self.state.watermark
        {
            let mut sweep = match self.sweep.take() {
                Some(sweep) => sweep,
                None => Sweep::begin(&self.state, end),
            };
            if !self.hand_over(&mut sweep, context)? {
                self.sweep = Some(sweep);
                return Ok(false);
            }
            self.windows.ends.remove(&end);
        }
        Ok(true)
    }

    fn hand_over(
        &mut self,
        sweep: &mut Sweep,
        context: &mut Context<'_>,
    ) -> Result<bool, TaskError> {
        let window = self.windowing.assigner.ending(sweep.end);
        let mut rows = [Vec::new(), Vec::new()];
        loop {
            while self.handed_over < self.ready.len() {
                let key = self.handed_over;
                self.handed_over += 1;
                self.hand_over_key(key, window, &mut rows, context)?;
                if context.is_blocked() {
                    return Ok(false);
                }
            }
            let Self { state, windows, batch, ready, handed_over, .. } = self;
            ready.clear();
            *handed_over = 0;
            let done = sweep.run(windows, state, batch, true, |batch, index, _| {
                ready.push_bytes(batch.at(index));
                Ok(ready.len() < READY)
            })?;
            if done && self.ready.len() == 0 {
                return Ok(true);
            }
        }
    }

    /// Hands over the rows of a key, and forgets them.
    fn hand_over_key(
        &mut self,
        key: usize,
        window: Window,
        lists: &mut [Vec<u8>; 2],
        context: &mut Context<'_>,
    ) -> Result<(), TaskError> {
        let Self { function, layouts, state, rows, ready, next, .. } = self;
        let end = namespace(window.end);
        let keys = ready.keys().within(Column::Same(&end));
        let stored = keys.at(key);
        for (list, id) in lists.iter_mut().zip(*rows) {
            state.read(id, &stored, list)?;
            state.change(|store, _| store.remove(id, &stored.batch()))?;
        }
        let [first, second] = &*lists;
        let first = Group::new(&layouts[0], first);
        let second = Group::new(&layouts[1], second);
        let mut emitter = Emitter { next, context };
        function.call(ready.decode(stored.key)?, window, &first, &second, &mut emitter);
        Ok(())
    }
}

impl<C, S, R, F, G, W, N> KeyedHead for CoGroupChain<C, S, R, F, G, W, N>
where
    C: CoGroupFunction,
    S: for<'a> Fn(Row<'a, C::First>) -> <C::Key as Value>::View<'a> + Clone + Send + 'static,
    R: for<'a> Fn(Row<'a, C::Second>) -> <C::Key as Value>::View<'a> + Clone + Send + 'static,
    F: for<'a> Fn(Row<'a, C::First>) -> i64 + Clone + Send + 'static,
    G: for<'a> Fn(Row<'a, C::Second>) -> i64 + Clone + Send + 'static,
    W: WindowAssigner,
    N: Stage<C::Out>,
{
    type Out = C::Out;
    type Next = N;

    fn next(&mut self) -> &mut N {
        &mut self.next
    }

    fn state(&mut self) -> &mut KeyedState {
        &mut self.state
    }

    fn take(
        &mut self,
        input: u16,
        page: &ValidPage<'_>,
        start: usize,
        context: &mut Context<'_>,
    ) -> Result<usize, TaskError> {
        let CoWindowing { keys: (key_of, other_key_of), times: (time_of, other_time_of), .. } =
            self.windowing.clone();
        let fingerprints = self.fingerprints;
        Ok(match input {
            0 => process_page::<C::First>(page, fingerprints[0], start, context, |row, context| {
                self.batch.clear();
                self.batch.push(key_of(Row::new(row)));
                self.scratch.clear();
                self.layouts[0].encode::<C::First>(row, &mut self.scratch);
                if let Err(error) = self.add(0, time_of(Row::new(row))) {
                    context.fail(error);
                }
            }),
            1 => {
                process_page::<C::Second>(page, fingerprints[1], start, context, |row, context| {
                    self.batch.clear();
                    self.batch.push(other_key_of(Row::new(row)));
                    self.scratch.clear();
                    self.layouts[1].encode::<C::Second>(row, &mut self.scratch);
                    if let Err(error) = self.add(1, other_time_of(Row::new(row))) {
                        context.fail(error);
                    }
                })
            }
            _ => return Err(third_input()),
        })
    }

    fn advance(&mut self, kind: TimeKind, context: &mut Context<'_>) -> Result<bool, TaskError> {
        match kind {
            TimeKind::Event => self.end_windows(context),
            TimeKind::Processing => Ok(true),
        }
    }

    fn restored(&mut self) -> Result<(), TaskError> {
        self.windows.restored(&mut self.state)
    }
}

impl<C: CoGroupFunction, S, R, F, G, W, N> fmt::Debug for CoGroupChain<C, S, R, F, G, W, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CoGroupChain({} windows)", self.windows.ends.len())
    }
}
