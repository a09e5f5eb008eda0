//! Operators with a second output.

use core::{fmt, marker::PhantomData};

use millstream_data::Value;

use super::{Emit, Operator, Stage, stateless::opaque};
use crate::{
    chain::{Context, OpenInfo, Signal, TaskError},
    writer::{PartitionWriter, Single},
};

/// Divides rows by a predicate, see [`Stream::split`](crate::Stream::split).
pub struct Split<F, T> {
    predicate: F,
    output: u16,
    types: PhantomData<fn(T)>,
}

/// Hands each row to a function that emits to two streams, see
/// [`Stream::process_with_side`](crate::Stream::process_with_side).
pub struct ProcessSide<F, T, U, V> {
    function: F,
    output: u16,
    types: PhantomData<fn(T) -> (U, V)>,
}

opaque! { Split<F, T> ProcessSide<F, T, U, V> }

macro_rules! constructors {
    ($($name:ident<$($parameter:ident),+>: $field:ident)*) => {$(
        impl<$($parameter),+> $name<$($parameter),+> {
            /// The operator that writes its second output to `output` of the chain.
            pub fn new($field: F, output: u16) -> Self {
                Self { $field, output, types: PhantomData }
            }
        }

        impl<$($parameter),+> Clone for $name<$($parameter),+> where F: Clone {
            fn clone(&self) -> Self {
                Self::new(self.$field.clone(), self.output)
            }
        }
    )*};
}

constructors! { Split<F, T>: predicate ProcessSide<F, T, U, V>: function }

/// The writer of a side output: its reader is the subtask of the same number.
type SideWriter<V> = PartitionWriter<V, Single>;

/// Passes resume, finish and flush on to both outputs.
macro_rules! pass_on_to_both {
    () => {
        fn resume(&mut self, context: &mut Context<'_>) -> bool {
            self.next.resume(context)
        }

        fn finish(&mut self, context: &mut Context<'_>) -> bool {
            self.next.finish(context) && self.side.finish(context)
        }

        fn signal(&mut self, signal: Signal, context: &mut Context<'_>) -> bool {
            // A writer is never blocked by a signal, so that it gets none twice.
            self.next.signal(signal, context) && self.side.signal(signal, context)
        }

        fn flush(&mut self, force: bool, context: &mut Context<'_>) {
            self.next.flush(force, context);
            self.side.flush(force, context);
        }
    };
}

impl<T, F> Operator for Split<F, T>
where
    T: Value,
    F: FnMut(T::View<'_>) -> bool + Clone + Send + Sync + 'static,
{
    type In = T;
    type Out = T;
    type Stage<N: Stage<T>> = SplitStage<F, T, N>;
    const NAME: &'static str = "split";

    fn attach<N: Stage<T>>(self, next: N, info: &OpenInfo) -> Result<Self::Stage<N>, TaskError> {
        let side = PartitionWriter::new(&Single, self.output, info)?;
        Ok(SplitStage { operator: self, side, next })
    }
}

#[doc(hidden)]
#[derive(Debug)]
pub struct SplitStage<F, T: Value, N> {
    operator: Split<F, T>,
    side: SideWriter<T>,
    next: N,
}

impl<T, F, N> Stage<T> for SplitStage<F, T, N>
where
    T: Value,
    F: FnMut(T::View<'_>) -> bool + Send + 'static,
    N: Stage<T>,
{
    #[inline(always)]
    fn push(&mut self, row: T::View<'_>, context: &mut Context<'_>) {
        if (self.operator.predicate)(row) {
            self.next.push(row, context);
        } else {
            self.side.push(row, context);
        }
    }

    pass_on_to_both!();
}

/// Where a function with a side output puts its rows.
pub trait EmitSide<U: Value, V: Value>: Emit<U> {
    /// Emits a row to the side output.
    fn emit_side(&mut self, row: V::View<'_>);
}

struct SideEmitter<'a, 'b, N, V: Value> {
    next: &'a mut N,
    side: &'a mut SideWriter<V>,
    context: &'a mut Context<'b>,
}

impl<U: Value, V: Value, N: Stage<U>> Emit<U> for SideEmitter<'_, '_, N, V> {
    fn emit(&mut self, row: U::View<'_>) {
        self.next.push(row, self.context);
    }
}

impl<U: Value, V: Value, N: Stage<U>> EmitSide<U, V> for SideEmitter<'_, '_, N, V> {
    fn emit_side(&mut self, row: V::View<'_>) {
        self.side.push(row, self.context);
    }
}

impl<T, U, V, F> Operator for ProcessSide<F, T, U, V>
where
    T: Value,
    U: Value,
    V: Value,
    F: FnMut(T::View<'_>, &mut dyn EmitSide<U, V>) + Clone + Send + Sync + 'static,
{
    type In = T;
    type Out = U;
    type Stage<N: Stage<U>> = ProcessSideStage<F, T, U, V, N>;
    const NAME: &'static str = "process";

    fn attach<N: Stage<U>>(self, next: N, info: &OpenInfo) -> Result<Self::Stage<N>, TaskError> {
        let side = PartitionWriter::new(&Single, self.output, info)?;
        Ok(ProcessSideStage { operator: self, side, next })
    }
}

#[doc(hidden)]
#[derive(Debug)]
pub struct ProcessSideStage<F, T, U, V: Value, N> {
    operator: ProcessSide<F, T, U, V>,
    side: SideWriter<V>,
    next: N,
}

impl<T, U, V, F, N> Stage<T> for ProcessSideStage<F, T, U, V, N>
where
    T: Value,
    U: Value,
    V: Value,
    F: FnMut(T::View<'_>, &mut dyn EmitSide<U, V>) + Send + 'static,
    N: Stage<U>,
{
    #[inline(always)]
    fn push(&mut self, row: T::View<'_>, context: &mut Context<'_>) {
        let Self { operator, side, next } = self;
        (operator.function)(row, &mut SideEmitter { next, side, context });
    }

    pass_on_to_both!();
}
