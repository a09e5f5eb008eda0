//! Streams whose rows are taken together by key and window.

use alloc::boxed::Box;
use core::fmt;

use millstream_data::{Key, Value, row::RowValue, value::Record};
use millstream_state::window::Lateness;

use super::{EvictedStream, KeyedStream, Pages, Pipeline, Stream, TriggeredPages, TriggeredStream};
use crate::{
    chain::{Chain, OpenInfo, TaskError},
    operator::{
        Row, Stage,
        window::{
            CoGroupChain, CoGroupFunction, CoWindowing, EventTimeTrigger, EventTimeWindows,
            Evictor, Listing, NoEvictor, ProcessWindowFunction, SlicedChain, Trigger,
            WindowAggregate, WindowAssigner, WindowChain, WindowJoin, Windowing,
        },
    },
};

/// Rows of a key in windows of their time. Nothing is emitted before the watermark has passed the end of
/// a window.
pub struct WindowedStream<T, P, K, S, F, W> {
    keyed: KeyedStream<T, P, K, S>,
    time: F,
    assigner: W,
    lateness: Lateness,
}

impl<T, P, K, S, F, W> fmt::Debug for WindowedStream<T, P, K, S, F, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WindowedStream").field(&self.keyed).finish()
    }
}

/// The head of a chain of windows.
#[derive(Clone)]
pub struct WindowPages<A, S, F, W> {
    function: A,
    windowing: Windowing<S, F, W>,
}

impl<A, S, F, W> WindowPages<A, S, F, W> {
    pub(crate) fn new(function: A, windowing: Windowing<S, F, W>) -> Self {
        Self { function, windowing }
    }
}

impl<A, S, F, W> fmt::Debug for WindowPages<A, S, F, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WindowPages")
    }
}

impl<A, S, F, W> Pipeline for WindowPages<A, S, F, W>
where
    A: WindowAggregate,
    S: for<'a> Fn(Row<'a, A::In>) -> <A::Key as Value>::View<'a> + Clone + Send + Sync + 'static,
    F: for<'a> Fn(Row<'a, A::In>) -> i64 + Clone + Send + Sync + 'static,
    W: WindowAssigner,
{
    type Out = A::Out;

    fn chain<N: Stage<A::Out>>(
        &self,
        next: N,
        info: &OpenInfo,
    ) -> Result<Box<dyn Chain>, TaskError> {
        let (function, windowing) = (self.function.clone(), self.windowing.clone());
        Ok(match windowing.assigner.slices() {
            Some(slices) => Box::new(SlicedChain::new(function, windowing, slices, info, next)?),
            None => Box::new(WindowChain::new(function, windowing, info, next)?),
        })
    }
}

impl<T, P, K, S> KeyedStream<T, P, K, S>
where
    T: Value,
    P: Pipeline<Out = T>,
    K: Key + RowValue + Record,
    S: for<'a> Fn(Row<'a, T>) -> K::View<'a> + Clone + Send + Sync + 'static,
{
    /// Takes the rows of each key together by window. `time` is the time of a row, in milliseconds, the
    /// same that [watermarks](Stream::assign_watermarks) were made of.
    pub fn window<W, F>(self, assigner: W, time: F) -> WindowedStream<T, P, K, S, F, W>
    where
        W: WindowAssigner,
        F: for<'a> Fn(Row<'a, T>) -> i64 + Clone + Send + Sync + 'static,
    {
        WindowedStream { keyed: self, time, assigner, lateness: Lateness::default() }
    }
}

impl<T, P, K, S, F, W> WindowedStream<T, P, K, S, F, W>
where
    T: Value,
    P: Pipeline<Out = T>,
    K: Key + RowValue + Record,
    S: for<'a> Fn(Row<'a, T>) -> K::View<'a> + Clone + Send + Sync + 'static,
    F: for<'a> Fn(Row<'a, T>) -> i64 + Clone + Send + Sync + 'static,
    W: WindowAssigner,
{
    /// Keeps windows for so many milliseconds after their end, for rows that are late: for each of them
    /// the window is emitted anew.
    #[must_use]
    pub fn allowed_lateness(self, millis: i64) -> Self {
        Self { lateness: Lateness::of(millis), ..self }
    }

    /// Folds the rows of each key and window, and emits what comes of it when the window has ended. Rows
    /// that are too late are dropped.
    pub fn aggregate<A>(self, function: A) -> Stream<A::Out, WindowPages<A, S, F, W>>
    where
        A: WindowAggregate<In = T, Key = K>,
    {
        let (stream, key, time, assigner, lateness) = self.exchange();
        let windowing = Windowing { key, time, assigner, lateness, late: None };
        stream.begin_stateful("window", WindowPages::new(function, windowing))
    }

    /// As [`aggregate`](Self::aggregate); rows that are too late for all of their windows are the second
    /// stream.
    pub fn aggregate_with_late<A>(
        self,
        function: A,
    ) -> (Stream<A::Out, WindowPages<A, S, F, W>>, Stream<T, Pages<T>>)
    where
        A: WindowAggregate<In = T, Key = K>,
    {
        let (stream, key, time, assigner, lateness) = self.exchange();
        let (stream, late, output) = stream.side::<T>();
        let windowing = Windowing { key, time, assigner, lateness, late: Some(output) };
        (stream.begin_stateful("window", WindowPages::new(function, windowing)), late)
    }

    /// Emits windows when a trigger says so, not at their end alone.
    pub fn trigger<R: Trigger<T>>(
        self,
        trigger: R,
    ) -> TriggeredStream<T, P, K, S, EventTimeWindows<W, F>, R> {
        let Self { keyed, time, assigner, lateness } = self;
        TriggeredStream::new(keyed, EventTimeWindows { assigner, time }, trigger, lateness)
    }

    /// Removes rows from windows when they are emitted. All rows are kept until then.
    pub fn evictor<E: Evictor<T>>(
        self,
        evictor: E,
    ) -> EvictedStream<T, P, K, S, EventTimeWindows<W, F>, EventTimeTrigger, E>
    where
        T: RowValue,
    {
        self.trigger(EventTimeTrigger).evictor(evictor)
    }

    /// Hands all rows of a window to a function when the window has ended. Rows that are too late
    /// are dropped. What can be folded as it comes is better [folded](Self::aggregate): here all
    /// rows are kept.
    pub fn process<A>(
        self,
        function: A,
    ) -> Stream<
        A::Out,
        TriggeredPages<Listing<A, NoEvictor>, EventTimeWindows<W, F>, EventTimeTrigger, S>,
    >
    where
        T: RowValue + Record,
        A: ProcessWindowFunction<Key = K, In = T>,
    {
        self.trigger(EventTimeTrigger).process(function)
    }

    fn exchange(self) -> (Stream<T, Pages<T>>, S, F, W, Lateness) {
        let Self { keyed, time, assigner, lateness } = self;
        let key = keyed.selector();
        (keyed.exchange(), key, time, assigner, lateness)
    }

    /// Takes the rows of this stream and of another together that have a key and a window in common.
    pub fn co_group<B, Q, R, G, C>(
        self,
        other: WindowedStream<B, Q, K, R, G, W>,
        function: C,
    ) -> Stream<C::Out, CoGroupPages<C, S, R, F, G, W>>
    where
        B: Value,
        Q: Pipeline<Out = B>,
        R: for<'a> Fn(Row<'a, B>) -> K::View<'a> + Clone + Send + Sync + 'static,
        G: for<'a> Fn(Row<'a, B>) -> i64 + Clone + Send + Sync + 'static,
        C: CoGroupFunction<First = T, Second = B, Key = K>,
    {
        let (first, key, time, assigner, _) = self.exchange();
        let (second, other_key, other_time, ..) = other.exchange();
        let (keys, times) = ((key, other_key), (time, other_time));
        let windowing = CoWindowing { keys, times, assigner };
        first.meet(second).begin_stateful("co_group", CoGroupPages { function, windowing })
    }

    /// Makes a row of each pair of rows, of this stream and of another, that have a key and a window
    /// in common, when the window has ended. Rows without a partner make none. What is made of a key
    /// and window has to find room at once.
    pub fn join<B, Q, R, G, U, J>(
        self,
        other: WindowedStream<B, Q, K, R, G, W>,
        function: J,
    ) -> Stream<U, WindowJoinPages<J, K, T, B, U, S, R, F, G, W>>
    where
        T: RowValue + Record,
        B: RowValue + Record,
        Q: Pipeline<Out = B>,
        R: for<'a> Fn(Row<'a, B>) -> K::View<'a> + Clone + Send + Sync + 'static,
        G: for<'a> Fn(Row<'a, B>) -> i64 + Clone + Send + Sync + 'static,
        U: Value,
        J: FnMut(T::View<'_>, B::View<'_>) -> U + Clone + Send + Sync + 'static,
    {
        self.co_group(other, WindowJoin::new(function))
    }
}

/// The head of a chain that joins the rows of two streams by key and window.
pub type WindowJoinPages<J, K, A, B, U, S, R, F, G, W> =
    CoGroupPages<WindowJoin<J, K, A, B, U>, S, R, F, G, W>;

/// The head of a chain that takes the rows of two streams together by key and window.
#[derive(Clone)]
pub struct CoGroupPages<C, S, R, F, G, W> {
    function: C,
    windowing: CoWindowing<S, R, F, G, W>,
}

impl<C, S, R, F, G, W> fmt::Debug for CoGroupPages<C, S, R, F, G, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CoGroupPages")
    }
}

impl<C, S, R, F, G, W> Pipeline for CoGroupPages<C, S, R, F, G, W>
where
    C: CoGroupFunction,
    S: for<'a> Fn(Row<'a, C::First>) -> <C::Key as Value>::View<'a> + Clone + Send + Sync + 'static,
    R: for<'a> Fn(Row<'a, C::Second>) -> <C::Key as Value>::View<'a>
        + Clone
        + Send
        + Sync
        + 'static,
    F: for<'a> Fn(Row<'a, C::First>) -> i64 + Clone + Send + Sync + 'static,
    G: for<'a> Fn(Row<'a, C::Second>) -> i64 + Clone + Send + Sync + 'static,
    W: WindowAssigner,
{
    type Out = C::Out;

    fn chain<N: Stage<C::Out>>(
        &self,
        next: N,
        info: &OpenInfo,
    ) -> Result<Box<dyn Chain>, TaskError> {
        let (function, windowing) = (self.function.clone(), self.windowing.clone());
        Ok(Box::new(CoGroupChain::new(function, windowing, info, next)?))
    }
}
