//! Streams whose rows are handed to process functions, key by key.

use alloc::boxed::Box;
use core::fmt;

use millstream_data::{Key, Value};

use super::{KeyedStream, Pipeline, Stream};
use crate::{
    chain::{Chain, OpenInfo, TaskError},
    graph::Partitioning,
    operator::{
        Row, Stage,
        process::{
            BroadcastProcessChain, CoProcessChain, KeyedBroadcastProcessFunction,
            KeyedCoProcessFunction, KeyedProcessFunction, OperatorProcessChain, ProcessChain,
            ProcessFunction,
        },
    },
    writer::Single,
};

/// The head of a chain that begins with a process function.
#[derive(Clone)]
pub struct ProcessPages<F, S> {
    function: F,
    key: S,
}

impl<F, S> ProcessPages<F, S> {
    pub(crate) fn new(function: F, key: S) -> Self {
        Self { function, key }
    }
}

impl<F, S> fmt::Debug for ProcessPages<F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProcessPages")
    }
}

impl<F, S> Pipeline for ProcessPages<F, S>
where
    F: KeyedProcessFunction,
    S: for<'a> Fn(Row<'a, F::In>) -> <F::Key as Value>::View<'a> + Clone + Send + Sync + 'static,
{
    type Out = F::Out;

    fn chain<N: Stage<F::Out>>(
        &self,
        next: N,
        info: &OpenInfo,
    ) -> Result<Box<dyn Chain>, TaskError> {
        let (function, key) = (self.function.clone(), self.key.clone());
        Ok(Box::new(ProcessChain::new(function, key, info, next)?))
    }
}

impl<T, P, K, S> KeyedStream<T, P, K, S>
where
    T: Value,
    P: Pipeline<Out = T>,
    K: Key,
    S: for<'a> Fn(Row<'a, T>) -> K::View<'a> + Clone + Send + Sync + 'static,
{
    /// Hands each row to a function that keeps state for its key and is called by timers, see
    /// [`process`](crate::operator::process).
    pub fn process<F>(self, function: F) -> Stream<F::Out, ProcessPages<F, S>>
    where
        F: KeyedProcessFunction<In = T, Key = K>,
    {
        let key = self.selector();
        self.exchange().begin_stateful("process", ProcessPages::new(function, key))
    }
}

/// The head of a chain that begins with a process function of rows without keys.
#[derive(Clone)]
pub struct OperatorPages<F> {
    function: F,
}

impl<F> OperatorPages<F> {
    pub(crate) fn new(function: F) -> Self {
        Self { function }
    }
}

impl<F> fmt::Debug for OperatorPages<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorPages")
    }
}

impl<F: ProcessFunction> Pipeline for OperatorPages<F> {
    type Out = F::Out;

    fn chain<N: Stage<F::Out>>(
        &self,
        next: N,
        info: &OpenInfo,
    ) -> Result<Box<dyn Chain>, TaskError> {
        Ok(Box::new(OperatorProcessChain::new(self.function.clone(), info, next)?))
    }
}

impl<T: Value, P: Pipeline<Out = T>> Stream<T, P> {
    /// Hands each row to a function that keeps lists of its subtask's own, see [`ProcessFunction`].
    pub fn process_stateful<F>(self, function: F) -> Stream<F::Out, OperatorPages<F>>
    where
        F: ProcessFunction<In = T>,
    {
        let rows = self.exchange(Single, Partitioning::Forward);
        rows.begin_stateful("process", OperatorPages::new(function))
    }
}

/// The head of a chain that begins with a process function of two streams with keys.
#[derive(Clone)]
pub struct CoProcessPages<F, S, R> {
    function: F,
    keys: (S, R),
}

impl<F, S, R> CoProcessPages<F, S, R> {
    pub(crate) fn new(function: F, keys: (S, R)) -> Self {
        Self { function, keys }
    }
}

impl<F, S, R> fmt::Debug for CoProcessPages<F, S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CoProcessPages")
    }
}

impl<F, S, R> Pipeline for CoProcessPages<F, S, R>
where
    F: KeyedCoProcessFunction,
    S: for<'a> Fn(Row<'a, F::First>) -> <F::Key as Value>::View<'a> + Clone + Send + Sync + 'static,
    R: for<'a> Fn(Row<'a, F::Second>) -> <F::Key as Value>::View<'a>
        + Clone
        + Send
        + Sync
        + 'static,
{
    type Out = F::Out;

    fn chain<N: Stage<F::Out>>(
        &self,
        next: N,
        info: &OpenInfo,
    ) -> Result<Box<dyn Chain>, TaskError> {
        let (function, keys) = (self.function.clone(), self.keys.clone());
        Ok(Box::new(CoProcessChain::new(function, keys, info, next)?))
    }
}

/// The head of a chain that begins with a process function of a stream with keys and a broadcast
/// one.
#[derive(Clone)]
pub struct BroadcastProcessPages<F, S> {
    function: F,
    key: S,
}

impl<F, S> BroadcastProcessPages<F, S> {
    pub(crate) fn new(function: F, key: S) -> Self {
        Self { function, key }
    }
}

impl<F, S> fmt::Debug for BroadcastProcessPages<F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BroadcastProcessPages")
    }
}

impl<F, S> Pipeline for BroadcastProcessPages<F, S>
where
    F: KeyedBroadcastProcessFunction,
    S: for<'a> Fn(Row<'a, F::In>) -> <F::Key as Value>::View<'a> + Clone + Send + Sync + 'static,
{
    type Out = F::Out;

    fn chain<N: Stage<F::Out>>(
        &self,
        next: N,
        info: &OpenInfo,
    ) -> Result<Box<dyn Chain>, TaskError> {
        let (function, key) = (self.function.clone(), self.key.clone());
        Ok(Box::new(BroadcastProcessChain::new(function, key, info, next)?))
    }
}
