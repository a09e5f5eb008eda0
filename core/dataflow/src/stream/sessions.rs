//! Streams whose rows are taken together by key and session.

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
            EventTimeTrigger, Evictor, Listing, NoEvictor, ProcessWindowFunction, SessionChain,
            SessionWindowing, SessionWindows, Trigger, WindowAggregate,
        },
    },
};

/// Rows of a key in sessions: one ends when no row of the key came for a while. Nothing is emitted before
/// the watermark has passed the end of a session.
pub struct SessionStream<T, P, K, S, F> {
    keyed: KeyedStream<T, P, K, S>,
    time: F,
    gap: i64,
    lateness: Lateness,
}

impl<T, P, K, S, F> fmt::Debug for SessionStream<T, P, K, S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionStream").field(&self.keyed).finish()
    }
}

/// The head of a chain of sessions.
#[derive(Clone)]
pub struct SessionPages<A, S, F> {
    function: A,
    windowing: SessionWindowing<S, F>,
}

impl<A, S, F> SessionPages<A, S, F> {
    pub(crate) fn new(function: A, windowing: SessionWindowing<S, F>) -> Self {
        Self { function, windowing }
    }
}

impl<A, S, F> fmt::Debug for SessionPages<A, S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionPages")
    }
}

impl<A, S, F> Pipeline for SessionPages<A, S, F>
where
    A: WindowAggregate,
    S: for<'a> Fn(Row<'a, A::In>) -> <A::Key as Value>::View<'a> + Clone + Send + Sync + 'static,
    F: for<'a> Fn(Row<'a, A::In>) -> i64 + Clone + Send + Sync + 'static,
{
    type Out = A::Out;

    fn chain<N: Stage<A::Out>>(
        &self,
        next: N,
        info: &OpenInfo,
    ) -> Result<Box<dyn Chain>, TaskError> {
        let (function, windowing) = (self.function.clone(), self.windowing.clone());
        Ok(Box::new(SessionChain::new(function, windowing, info, next)?))
    }
}

impl<T, P, K, S> KeyedStream<T, P, K, S>
where
    T: Value,
    P: Pipeline<Out = T>,
    K: Key + RowValue + Record,
    S: for<'a> Fn(Row<'a, T>) -> K::View<'a> + Clone + Send + Sync + 'static,
{
    /// Takes the rows of each key together by session: rows at most `gap` milliseconds apart are of one.
    /// A session ends `gap` behind its last row. `time` is the time of a row, in milliseconds, the same
    /// that [watermarks](Stream::assign_watermarks) were made of. A gap below 1 fails the job when it
    /// starts.
    pub fn session_window<F>(self, gap: i64, time: F) -> SessionStream<T, P, K, S, F>
    where
        F: for<'a> Fn(Row<'a, T>) -> i64 + Clone + Send + Sync + 'static,
    {
        SessionStream { keyed: self, time, gap, lateness: Lateness::default() }
    }
}

impl<T, P, K, S, F> SessionStream<T, P, K, S, F>
where
    T: Value,
    P: Pipeline<Out = T>,
    K: Key + RowValue + Record,
    S: for<'a> Fn(Row<'a, T>) -> K::View<'a> + Clone + Send + Sync + 'static,
    F: for<'a> Fn(Row<'a, T>) -> i64 + Clone + Send + Sync + 'static,
{
    /// Keeps sessions for so many milliseconds after their end, for rows that are late. For each of them
    /// the session is emitted anew; one that it makes longer than the watermark, when it ends again.
    #[must_use]
    pub fn allowed_lateness(self, millis: i64) -> Self {
        Self { lateness: Lateness::of(millis), ..self }
    }

    /// Folds the rows of each session, and emits what comes of it when the session has ended. Rows that
    /// are too late are dropped: those whose session, with all that they join, has ended.
    pub fn aggregate<A>(self, function: A) -> Stream<A::Out, SessionPages<A, S, F>>
    where
        A: WindowAggregate<In = T, Key = K>,
    {
        let (stream, windowing) = self.exchange();
        stream.begin_stateful("session", SessionPages::new(function, windowing))
    }

    /// As [`aggregate`](Self::aggregate); rows that are too late are the second stream.
    pub fn aggregate_with_late<A>(
        self,
        function: A,
    ) -> (Stream<A::Out, SessionPages<A, S, F>>, Stream<T, Pages<T>>)
    where
        A: WindowAggregate<In = T, Key = K>,
    {
        let (stream, windowing) = self.exchange();
        let (stream, late, output) = stream.side::<T>();
        let windowing = SessionWindowing { late: Some(output), ..windowing };
        (stream.begin_stateful("session", SessionPages::new(function, windowing)), late)
    }

    /// Emits windows when a trigger says so, not at their end alone.
    pub fn trigger<R: Trigger<T>>(
        self,
        trigger: R,
    ) -> TriggeredStream<T, P, K, S, SessionWindows<F>, R> {
        let Self { keyed, time, gap, lateness } = self;
        TriggeredStream::new(keyed, SessionWindows { gap, time }, trigger, lateness)
    }

    /// Removes rows from windows when they are emitted. All rows are kept until then.
    pub fn evictor<E: Evictor<T>>(
        self,
        evictor: E,
    ) -> EvictedStream<T, P, K, S, SessionWindows<F>, EventTimeTrigger, E>
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
    ) -> Stream<A::Out, TriggeredPages<Listing<A, NoEvictor>, SessionWindows<F>, EventTimeTrigger, S>>
    where
        T: RowValue + Record,
        A: ProcessWindowFunction<Key = K, In = T>,
    {
        self.trigger(EventTimeTrigger).process(function)
    }

    fn exchange(self) -> (Stream<T, Pages<T>>, SessionWindowing<S, F>) {
        let Self { keyed, time, gap, lateness } = self;
        let key = keyed.selector();
        (keyed.exchange(), SessionWindowing { key, time, gap, lateness, late: None })
    }
}
