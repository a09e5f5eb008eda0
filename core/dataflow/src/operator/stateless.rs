//! Operators that keep nothing between rows.

use core::{fmt, marker::PhantomData};

use millstream_data::Value;

use super::{Operator, Stage};
use crate::chain::{Context, OpenInfo, Signal, TaskError};

/// Passes resume, finish and flush on to the next stage.
macro_rules! pass_on {
    () => {
        fn resume(&mut self, context: &mut Context<'_>) -> bool {
            self.next.resume(context)
        }

        fn finish(&mut self, context: &mut Context<'_>) -> bool {
            self.next.finish(context)
        }

        fn signal(&mut self, signal: Signal, context: &mut Context<'_>) -> bool {
            self.next.signal(signal, context)
        }

        fn flush(&mut self, force: bool, context: &mut Context<'_>) {
            self.next.flush(force, context);
        }
    };
}

/// Debug for a type that holds closures, by name alone.
macro_rules! opaque {
    ($($name:ident<$($parameter:ident),+>)*) => {$(
        impl<$($parameter),+> fmt::Debug for $name<$($parameter),+> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}
pub(super) use opaque;

/// Makes each row into another, see [`Stream::map`](crate::Stream::map).
pub struct Map<F, T, U> {
    function: F,
    types: PhantomData<fn(T) -> U>,
}

/// Keeps some rows, see [`Stream::filter`](crate::Stream::filter).
pub struct Filter<F, T> {
    predicate: F,
    types: PhantomData<fn(T)>,
}

/// Shows each row to a function, see [`Stream::inspect`](crate::Stream::inspect).
pub struct Inspect<F, T> {
    function: F,
    types: PhantomData<fn(T)>,
}

/// Makes each row into any number of others, see [`Stream::flat_map`](crate::Stream::flat_map).
pub struct FlatMap<F, T, I> {
    function: F,
    types: PhantomData<fn(T) -> I>,
}

/// Hands each row to a function that emits, see [`Stream::process`](crate::Stream::process).
pub struct Process<F, T, U> {
    function: F,
    types: PhantomData<fn(T) -> U>,
}

opaque! { Map<F, T, U> Filter<F, T> Inspect<F, T> FlatMap<F, T, I> Process<F, T, U> }

macro_rules! constructors {
    ($($name:ident<$($parameter:ident),+>: $field:ident)*) => {$(
        impl<$($parameter),+> $name<$($parameter),+> {
            /// The operator that applies the function.
            pub fn new($field: F) -> Self {
                Self { $field, types: PhantomData }
            }
        }

        impl<$($parameter),+> Clone for $name<$($parameter),+> where F: Clone {
            fn clone(&self) -> Self {
                Self::new(self.$field.clone())
            }
        }
    )*};
}

constructors! {
    Map<F, T, U>: function
    Filter<F, T>: predicate
    Inspect<F, T>: function
    FlatMap<F, T, I>: function
    Process<F, T, U>: function
}

impl<T, U, F> Operator for Map<F, T, U>
where
    T: Value,
    U: Value,
    F: FnMut(T::View<'_>) -> U + Clone + Send + Sync + 'static,
{
    type In = T;
    type Out = U;
    type Stage<N: Stage<U>> = MapStage<F, T, U, N>;
    const NAME: &'static str = "map";

    fn attach<N: Stage<U>>(self, next: N, _info: &OpenInfo) -> Result<Self::Stage<N>, TaskError> {
        Ok(MapStage { operator: self, next })
    }
}

#[doc(hidden)]
#[derive(Debug)]
pub struct MapStage<F, T, U, N> {
    operator: Map<F, T, U>,
    next: N,
}

impl<T, U, F, N> Stage<T> for MapStage<F, T, U, N>
where
    T: Value,
    U: Value,
    F: FnMut(T::View<'_>) -> U + Send + 'static,
    N: Stage<U>,
{
    #[inline(always)]
    fn push(&mut self, row: T::View<'_>, context: &mut Context<'_>) {
        let made = (self.operator.function)(row);
        self.next.push(made.view(), context);
    }

    pass_on!();
}

impl<T, F> Operator for Filter<F, T>
where
    T: Value,
    F: FnMut(T::View<'_>) -> bool + Clone + Send + Sync + 'static,
{
    type In = T;
    type Out = T;
    type Stage<N: Stage<T>> = FilterStage<F, T, N>;
    const NAME: &'static str = "filter";

    fn attach<N: Stage<T>>(self, next: N, _info: &OpenInfo) -> Result<Self::Stage<N>, TaskError> {
        Ok(FilterStage { operator: self, next })
    }
}

#[doc(hidden)]
#[derive(Debug)]
pub struct FilterStage<F, T, N> {
    operator: Filter<F, T>,
    next: N,
}

impl<T, F, N> Stage<T> for FilterStage<F, T, N>
where
    T: Value,
    F: FnMut(T::View<'_>) -> bool + Send + 'static,
    N: Stage<T>,
{
    #[inline(always)]
    fn push(&mut self, row: T::View<'_>, context: &mut Context<'_>) {
        if (self.operator.predicate)(row) {
            self.next.push(row, context);
        }
    }

    pass_on!();
}

impl<T, F> Operator for Inspect<F, T>
where
    T: Value,
    F: FnMut(T::View<'_>) + Clone + Send + Sync + 'static,
{
    type In = T;
    type Out = T;
    type Stage<N: Stage<T>> = InspectStage<F, T, N>;
    const NAME: &'static str = "inspect";

    fn attach<N: Stage<T>>(self, next: N, _info: &OpenInfo) -> Result<Self::Stage<N>, TaskError> {
        Ok(InspectStage { operator: self, next })
    }
}

#[doc(hidden)]
#[derive(Debug)]
pub struct InspectStage<F, T, N> {
    operator: Inspect<F, T>,
    next: N,
}

impl<T, F, N> Stage<T> for InspectStage<F, T, N>
where
    T: Value,
    F: FnMut(T::View<'_>) + Send + 'static,
    N: Stage<T>,
{
    #[inline(always)]
    fn push(&mut self, row: T::View<'_>, context: &mut Context<'_>) {
        (self.operator.function)(row);
        self.next.push(row, context);
    }

    pass_on!();
}

impl<T, I, F> Operator for FlatMap<F, T, I>
where
    T: Value,
    I: IntoIterator<Item: Value, IntoIter: Send + 'static> + 'static,
    F: FnMut(T::View<'_>) -> I + Clone + Send + Sync + 'static,
{
    type In = T;
    type Out = I::Item;
    type Stage<N: Stage<I::Item>> = FlatMapStage<F, T, I, N>;
    const NAME: &'static str = "flat_map";

    fn attach<N: Stage<I::Item>>(
        self,
        next: N,
        _info: &OpenInfo,
    ) -> Result<Self::Stage<N>, TaskError> {
        Ok(FlatMapStage { operator: self, pending: None, next })
    }
}

#[doc(hidden)]
pub struct FlatMapStage<F, T, I: IntoIterator, N> {
    operator: FlatMap<F, T, I>,
    /// What a blocked context kept back: however much a row makes, it needs no memory of its own.
    pending: Option<I::IntoIter>,
    next: N,
}

impl<F, T, I: IntoIterator, N> fmt::Debug for FlatMapStage<F, T, I, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FlatMapStage")
    }
}

impl<T, I, F, N> FlatMapStage<F, T, I, N>
where
    I: IntoIterator<Item: Value>,
    N: Stage<I::Item>,
{
    /// Emits what the iterator has; what is left when the context is blocked is kept.
    #[inline(always)]
    fn drain(&mut self, mut made: I::IntoIter, context: &mut Context<'_>) -> bool {
        while !context.is_blocked() {
            let Some(row) = made.next() else { return true };
            self.next.push(row.view(), context);
        }
        self.pending = Some(made);
        false
    }
}

impl<T, I, F, N> Stage<T> for FlatMapStage<F, T, I, N>
where
    T: Value,
    I: IntoIterator<Item: Value, IntoIter: Send + 'static> + 'static,
    F: FnMut(T::View<'_>) -> I + Send + 'static,
    N: Stage<I::Item>,
{
    #[inline(always)]
    fn push(&mut self, row: T::View<'_>, context: &mut Context<'_>) {
        let made = (self.operator.function)(row).into_iter();
        self.drain(made, context);
    }

    fn resume(&mut self, context: &mut Context<'_>) -> bool {
        if !self.next.resume(context) {
            return false;
        }
        match self.pending.take() {
            Some(made) => self.drain(made, context),
            None => true,
        }
    }

    fn finish(&mut self, context: &mut Context<'_>) -> bool {
        self.next.finish(context)
    }

    fn signal(&mut self, signal: Signal, context: &mut Context<'_>) -> bool {
        self.next.signal(signal, context)
    }

    fn flush(&mut self, force: bool, context: &mut Context<'_>) {
        self.next.flush(force, context);
    }
}

/// Where a `Process` function puts its rows.
pub trait Emit<U: Value> {
    /// Emits a row.
    fn emit(&mut self, row: U::View<'_>);
}

pub(super) struct Emitter<'a, 'b, N> {
    pub(super) next: &'a mut N,
    pub(super) context: &'a mut Context<'b>,
}

impl<U: Value, N: Stage<U>> Emit<U> for Emitter<'_, '_, N> {
    fn emit(&mut self, row: U::View<'_>) {
        self.next.push(row, self.context);
    }
}

impl<T, U, F> Operator for Process<F, T, U>
where
    T: Value,
    U: Value,
    F: FnMut(T::View<'_>, &mut dyn Emit<U>) + Clone + Send + Sync + 'static,
{
    type In = T;
    type Out = U;
    type Stage<N: Stage<U>> = ProcessStage<F, T, U, N>;
    const NAME: &'static str = "process";

    fn attach<N: Stage<U>>(self, next: N, _info: &OpenInfo) -> Result<Self::Stage<N>, TaskError> {
        Ok(ProcessStage { operator: self, next })
    }
}

#[doc(hidden)]
#[derive(Debug)]
pub struct ProcessStage<F, T, U, N> {
    operator: Process<F, T, U>,
    next: N,
}

impl<T, U, F, N> Stage<T> for ProcessStage<F, T, U, N>
where
    T: Value,
    U: Value,
    F: FnMut(T::View<'_>, &mut dyn Emit<U>) + Send + 'static,
    N: Stage<U>,
{
    #[inline(always)]
    fn push(&mut self, row: T::View<'_>, context: &mut Context<'_>) {
        (self.operator.function)(row, &mut Emitter { next: &mut self.next, context });
    }

    pass_on!();
}

/// The end of a chain whose rows go no further, see [`Stream::for_each`](crate::Stream::for_each).
#[derive(Clone)]
pub struct ForEach<F> {
    function: F,
}

opaque! { ForEach<F> }

impl<F> ForEach<F> {
    /// Hands each row to `function`.
    pub fn new(function: F) -> Self {
        Self { function }
    }
}

impl<T, F> Stage<T> for ForEach<F>
where
    T: Value,
    F: FnMut(T::View<'_>) + Send + 'static,
{
    #[inline(always)]
    fn push(&mut self, row: T::View<'_>, _context: &mut Context<'_>) {
        (self.function)(row);
    }

    fn resume(&mut self, _context: &mut Context<'_>) -> bool {
        true
    }

    fn finish(&mut self, _context: &mut Context<'_>) -> bool {
        true
    }

    fn signal(&mut self, _signal: Signal, _context: &mut Context<'_>) -> bool {
        true
    }

    fn flush(&mut self, _force: bool, _context: &mut Context<'_>) {}
}
