//! Streams whose rows are taken together by windows with triggers.

use alloc::boxed::Box;
use core::fmt;

use millstream_data::{Key, Value, row::RowValue, value::Record};
use millstream_state::window::Lateness;

use super::{KeyedStream, Pages, Pipeline, Stream};
use crate::{
    chain::{Chain, OpenInfo, TaskError},
    operator::{
        Row, Stage,
        window::{
            AtOnce, CountEvictor, CountTrigger, CountWindows, Evictor, Folding, FoldingThen,
            Gather, GlobalWindows, Listing, NeverTrigger, NoEvictor, ProcessWindowFunction,
            ProcessingTimeSessionWindows, ProcessingTimeTrigger, ProcessingTimeWindows,
            PurgingTrigger, Trigger, TriggeredChain, Triggering, WindowAggregate, WindowAssigner,
            Windows,
        },
    },
};

/// Rows of a key in windows that are emitted when a trigger says so. The row of a key has at
/// most 480 bytes.
pub struct TriggeredStream<T, P, K, S, W, R> {
    keyed: KeyedStream<T, P, K, S>,
    windows: W,
    trigger: R,
    lateness: Lateness,
}

impl<T, P, K, S, W, R> fmt::Debug for TriggeredStream<T, P, K, S, W, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TriggeredStream").field(&self.keyed).finish()
    }
}

/// The head of a chain of windows with a trigger.
#[derive(Clone)]
pub struct TriggeredPages<G, W, R, S> {
    triggering: Triggering<G, W, R, S>,
}

impl<G, W, R, S> TriggeredPages<G, W, R, S> {
    pub(crate) fn new(triggering: Triggering<G, W, R, S>) -> Self {
        Self { triggering }
    }
}

impl<G, W, R, S> fmt::Debug for TriggeredPages<G, W, R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TriggeredPages")
    }
}

impl<G, W, R, S> Pipeline for TriggeredPages<G, W, R, S>
where
    G: Gather,
    W: Windows<G::In>,
    R: Trigger<G::In>,
    S: for<'a> Fn(Row<'a, G::In>) -> <G::Key as Value>::View<'a> + Clone + Send + Sync + 'static,
{
    type Out = G::Out;

    fn chain<N: Stage<G::Out>>(
        &self,
        next: N,
        info: &OpenInfo,
    ) -> Result<Box<dyn Chain>, TaskError> {
        Ok(Box::new(TriggeredChain::new(self.triggering.clone(), info, next)?))
    }
}

impl<T, P, K, S> KeyedStream<T, P, K, S>
where
    T: Value,
    P: Pipeline<Out = T>,
    K: Key + RowValue + Record,
    S: for<'a> Fn(Row<'a, T>) -> K::View<'a> + Clone + Send + Sync + 'static,
{
    /// Takes all rows of each key together, in one window of all of time. It is emitted only when a
    /// [trigger](TriggeredStream::trigger) says so, and keeps its rows unless one
    /// [purges](PurgingTrigger) it. `time` is the time of a row, in milliseconds, which triggers
    /// and evictors see.
    pub fn global_window<F>(
        self,
        time: F,
    ) -> TriggeredStream<T, P, K, S, GlobalWindows<F>, NeverTrigger>
    where
        F: for<'a> Fn(Row<'a, T>) -> i64 + Clone + Send + Sync + 'static,
    {
        TriggeredStream::new(self, GlobalWindows { time }, NeverTrigger, Lateness::default())
    }

    /// Takes every `rows` rows of a key together. Rows that are fewer when the input ends are not
    /// emitted.
    pub fn count_window(
        self,
        rows: u64,
    ) -> TriggeredStream<T, P, K, S, CountWindows, PurgingTrigger<CountTrigger>> {
        let trigger = PurgingTrigger::of(CountTrigger::of(rows));
        TriggeredStream::new(self, CountWindows, trigger, Lateness::default())
    }

    /// Takes the last `rows` rows of a key together at every `slide`th row; the first times there
    /// are fewer.
    pub fn count_window_sliding(
        self,
        rows: u64,
        slide: u64,
    ) -> EvictedStream<T, P, K, S, CountWindows, CountTrigger, CountEvictor>
    where
        T: RowValue,
    {
        let trigger = CountTrigger::of(slide);
        let windows = TriggeredStream::new(self, CountWindows, trigger, Lateness::default());
        windows.evictor(CountEvictor::of(usize::try_from(rows).unwrap_or(usize::MAX)))
    }

    /// Takes the rows of each key together by window of the time at which they come, by the wall
    /// clock. Nothing is emitted before the wall clock has passed the end of a window; windows that
    /// have not ended when the input does are not emitted.
    pub fn processing_time_window<W: WindowAssigner>(
        self,
        assigner: W,
    ) -> TriggeredStream<T, P, K, S, ProcessingTimeWindows<W>, ProcessingTimeTrigger> {
        let windows = ProcessingTimeWindows { assigner };
        TriggeredStream::new(self, windows, ProcessingTimeTrigger, Lateness::default())
    }

    /// Takes the rows of each key together that come less than `gap` milliseconds apart, by the
    /// wall clock. A session ends `gap` behind its last row; one that has not ended when the input
    /// does is not emitted. A gap below 1 fails the job when it starts.
    pub fn processing_time_session_window(
        self,
        gap: i64,
    ) -> TriggeredStream<T, P, K, S, ProcessingTimeSessionWindows, ProcessingTimeTrigger> {
        let windows = ProcessingTimeSessionWindows { gap };
        TriggeredStream::new(self, windows, ProcessingTimeTrigger, Lateness::default())
    }
}

impl<T, P, K, S, W, R> TriggeredStream<T, P, K, S, W, R> {
    pub(super) fn new(
        keyed: KeyedStream<T, P, K, S>,
        windows: W,
        trigger: R,
        lateness: Lateness,
    ) -> Self {
        Self { keyed, windows, trigger, lateness }
    }
}

impl<T, P, K, S, W, R> TriggeredStream<T, P, K, S, W, R>
where
    T: Value,
    P: Pipeline<Out = T>,
    K: Key + RowValue + Record,
    S: for<'a> Fn(Row<'a, T>) -> K::View<'a> + Clone + Send + Sync + 'static,
    W: Windows<T>,
    R: Trigger<T>,
{
    /// Emits windows when another trigger says so.
    pub fn trigger<Q: Trigger<T>>(self, trigger: Q) -> TriggeredStream<T, P, K, S, W, Q> {
        let Self { keyed, windows, lateness, .. } = self;
        TriggeredStream { keyed, windows, trigger, lateness }
    }

    /// Removes rows from windows when they are emitted. All rows are kept until then.
    pub fn evictor<E: Evictor<T>>(self, evictor: E) -> EvictedStream<T, P, K, S, W, R, E>
    where
        T: RowValue,
    {
        EvictedStream { windows: self, evictor }
    }

    /// Keeps windows for so many milliseconds after their end, for rows that are late. Only windows
    /// that end by the watermark have late rows.
    #[must_use]
    pub fn allowed_lateness(self, millis: i64) -> Self {
        Self { lateness: Lateness::of(millis), ..self }
    }

    /// Folds the rows of each key and window, and emits what comes of it when the trigger fires.
    /// Rows that are too late are dropped.
    pub fn aggregate<A>(self, function: A) -> Stream<A::Out, TriggeredPages<Folding<A>, W, R, S>>
    where
        A: WindowAggregate<In = T, Key = K>,
    {
        self.gather(Folding { function })
    }

    /// As [`aggregate`](Self::aggregate); rows that are too late for all of their windows are the
    /// second stream.
    pub fn aggregate_with_late<A>(
        self,
        function: A,
    ) -> (Stream<A::Out, TriggeredPages<Folding<A>, W, R, S>>, Stream<T, Pages<T>>)
    where
        A: WindowAggregate<In = T, Key = K>,
    {
        self.gather_with_late(Folding { function })
    }

    /// Folds the rows of each key and window, and hands what comes of it to a function that sees
    /// the key and the window, too. No row is kept.
    pub fn aggregate_then<A, F>(
        self,
        function: A,
        then: F,
    ) -> Stream<F::Out, TriggeredPages<FoldingThen<A, F>, W, R, S>>
    where
        A: WindowAggregate<In = T, Key = K, Out: RowValue + Record>,
        F: ProcessWindowFunction<Key = K, In = A::Out>,
    {
        self.gather(FoldingThen { function, then })
    }

    /// As [`aggregate_then`](Self::aggregate_then); rows that are too late for all of their windows
    /// are the second stream.
    pub fn aggregate_then_with_late<A, F>(
        self,
        function: A,
        then: F,
    ) -> (Stream<F::Out, TriggeredPages<FoldingThen<A, F>, W, R, S>>, Stream<T, Pages<T>>)
    where
        A: WindowAggregate<In = T, Key = K, Out: RowValue + Record>,
        F: ProcessWindowFunction<Key = K, In = A::Out>,
    {
        self.gather_with_late(FoldingThen { function, then })
    }

    /// Hands all rows of a window to a function when the trigger fires. Rows that are too late are
    /// dropped.
    pub fn process<F>(
        self,
        function: F,
    ) -> Stream<F::Out, TriggeredPages<Listing<F, NoEvictor>, W, R, S>>
    where
        T: RowValue + Record,
        F: ProcessWindowFunction<Key = K, In = T>,
    {
        self.gather(Listing { function, evictor: NoEvictor })
    }

    /// As [`process`](Self::process); rows that are too late for all of their windows are the
    /// second stream.
    pub fn process_with_late<F>(
        self,
        function: F,
    ) -> (Stream<F::Out, TriggeredPages<Listing<F, NoEvictor>, W, R, S>>, Stream<T, Pages<T>>)
    where
        T: RowValue + Record,
        F: ProcessWindowFunction<Key = K, In = T>,
    {
        self.gather_with_late(Listing { function, evictor: NoEvictor })
    }

    fn gather<G>(self, gathering: G) -> Stream<G::Out, TriggeredPages<G, W, R, S>>
    where
        G: Gather<In = T, Key = K>,
    {
        let (stream, triggering) = self.exchange(gathering);
        stream.begin_stateful("window", TriggeredPages::new(triggering))
    }

    fn gather_with_late<G>(
        self,
        gathering: G,
    ) -> (Stream<G::Out, TriggeredPages<G, W, R, S>>, Stream<T, Pages<T>>)
    where
        G: Gather<In = T, Key = K>,
    {
        let (stream, triggering) = self.exchange(gathering);
        let (stream, late, output) = stream.side::<T>();
        let triggering = Triggering { late: Some(output), ..triggering };
        (stream.begin_stateful("window", TriggeredPages::new(triggering)), late)
    }

    fn exchange<G>(self, gathering: G) -> (Stream<T, Pages<T>>, Triggering<G, W, R, S>) {
        let Self { keyed, windows, trigger, lateness } = self;
        let key = keyed.selector();
        let late = None;
        (keyed.exchange(), Triggering { gathering, windows, trigger, key, lateness, late })
    }
}

/// Rows of a key in windows from which an evictor removes rows when they are emitted.
#[derive(Debug)]
pub struct EvictedStream<T, P, K, S, W, R, E> {
    windows: TriggeredStream<T, P, K, S, W, R>,
    evictor: E,
}

impl<T, P, K, S, W, R, E> EvictedStream<T, P, K, S, W, R, E>
where
    T: RowValue + Record,
    P: Pipeline<Out = T>,
    K: Key + RowValue + Record,
    S: for<'a> Fn(Row<'a, T>) -> K::View<'a> + Clone + Send + Sync + 'static,
    W: Windows<T>,
    R: Trigger<T>,
    E: Evictor<T>,
{
    /// Emits windows when another trigger says so.
    pub fn trigger<Q: Trigger<T>>(self, trigger: Q) -> EvictedStream<T, P, K, S, W, Q, E> {
        EvictedStream { windows: self.windows.trigger(trigger), evictor: self.evictor }
    }

    /// See [`TriggeredStream::allowed_lateness`].
    #[must_use]
    pub fn allowed_lateness(self, millis: i64) -> Self {
        Self { windows: self.windows.allowed_lateness(millis), ..self }
    }

    /// Folds the rows that are left of each key and window when the trigger fires, and emits what
    /// comes of it. Rows that are too late are dropped.
    pub fn aggregate<A>(
        self,
        function: A,
    ) -> Stream<A::Out, TriggeredPages<Listing<AtOnce<A>, E>, W, R, S>>
    where
        A: WindowAggregate<In = T, Key = K>,
    {
        self.process(AtOnce(function))
    }

    /// As [`aggregate`](Self::aggregate); rows that are too late for all of their windows are the
    /// second stream.
    pub fn aggregate_with_late<A>(
        self,
        function: A,
    ) -> (Stream<A::Out, TriggeredPages<Listing<AtOnce<A>, E>, W, R, S>>, Stream<T, Pages<T>>)
    where
        A: WindowAggregate<In = T, Key = K>,
    {
        self.process_with_late(AtOnce(function))
    }

    /// Hands the rows that are left of a window to a function when the trigger fires. Rows that are
    /// too late are dropped.
    pub fn process<F>(self, function: F) -> Stream<F::Out, TriggeredPages<Listing<F, E>, W, R, S>>
    where
        F: ProcessWindowFunction<Key = K, In = T>,
    {
        let Self { windows, evictor } = self;
        windows.gather(Listing { function, evictor })
    }

    /// As [`process`](Self::process); rows that are too late for all of their windows are the
    /// second stream.
    pub fn process_with_late<F>(
        self,
        function: F,
    ) -> (Stream<F::Out, TriggeredPages<Listing<F, E>, W, R, S>>, Stream<T, Pages<T>>)
    where
        F: ProcessWindowFunction<Key = K, In = T>,
    {
        let Self { windows, evictor } = self;
        windows.gather_with_late(Listing { function, evictor })
    }
}
