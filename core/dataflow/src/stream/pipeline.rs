//! Chains while they are being built: operators, from the head of the chain on.

use alloc::boxed::Box;
use core::{fmt, marker::PhantomData};

use millstream_data::Value;

use crate::{
    chain::{Chain, OpenInfo, TaskError},
    operator::{CoChain, CoFunction, Operator, PageChain, SourceChain, Stage},
};

/// The operators of a chain so far, from its head on.
pub trait Pipeline: Clone + Send + Sync + 'static {
    /// The rows that come out of it.
    type Out: Value;

    /// The chain of these operators, with `next` at its end.
    ///
    /// # Errors
    /// If an operator cannot run with the segments and outputs there are.
    fn chain<N: Stage<Self::Out>>(
        &self,
        next: N,
        info: &OpenInfo,
    ) -> Result<Box<dyn Chain>, TaskError>;
}

/// The head of a chain that reads pages.
pub struct Pages<T>(PhantomData<fn() -> T>);

impl<T> Pages<T> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Clone for Pages<T> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pages")
    }
}

impl<T: Value> Pipeline for Pages<T> {
    type Out = T;

    fn chain<N: Stage<T>>(&self, next: N, _info: &OpenInfo) -> Result<Box<dyn Chain>, TaskError> {
        Ok(Box::new(PageChain::<T, N>::new(next)))
    }
}

/// The head of a chain that reads the pages of two streams.
#[derive(Clone, Debug)]
pub struct CoPages<F> {
    pub(super) function: F,
}

impl<F: CoFunction> Pipeline for CoPages<F> {
    type Out = F::Out;

    fn chain<N: Stage<F::Out>>(
        &self,
        next: N,
        _info: &OpenInfo,
    ) -> Result<Box<dyn Chain>, TaskError> {
        Ok(Box::new(CoChain::new(self.function.clone(), next)))
    }
}

/// The head of a chain that makes its rows itself.
#[derive(Clone, Debug)]
pub struct Generated<F> {
    pub(super) rows: F,
    /// Rows a second, of all subtasks together.
    pub(super) rate: Option<u64>,
}

impl<T, I, F> Pipeline for Generated<F>
where
    T: Value,
    I: Iterator<Item = T> + Send + 'static,
    F: Fn(u32, u32) -> I + Clone + Send + Sync + 'static,
{
    type Out = T;

    fn chain<N: Stage<T>>(&self, next: N, info: &OpenInfo) -> Result<Box<dyn Chain>, TaskError> {
        let chain = SourceChain::new((self.rows)(info.subtask, info.parallelism), next, info);
        Ok(match self.rate {
            Some(rate) => Box::new(chain.paced(rate, info.parallelism)),
            None => Box::new(chain),
        })
    }
}

/// A pipeline with one more operator at its end.
#[derive(Clone, Debug)]
pub struct Then<P, O> {
    pipeline: P,
    operator: O,
}

impl<P, O> Then<P, O> {
    pub(crate) fn new(pipeline: P, operator: O) -> Self {
        Self { pipeline, operator }
    }
}

impl<P: Pipeline, O: Operator<In = P::Out>> Pipeline for Then<P, O> {
    type Out = O::Out;

    fn chain<N: Stage<O::Out>>(
        &self,
        next: N,
        info: &OpenInfo,
    ) -> Result<Box<dyn Chain>, TaskError> {
        self.pipeline.chain(self.operator.clone().attach(next, info)?, info)
    }
}
