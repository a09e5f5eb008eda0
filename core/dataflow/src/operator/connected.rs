//! Operators that read two streams.

use core::{fmt, marker::PhantomData};

use millstream_data::{Value, page::ValidPage};

use super::{
    Emit, Stage, process_page,
    stateless::{Emitter, opaque},
};
use crate::chain::{Chain, Context, Signal, TaskError};

/// What reads the rows of two streams. Each subtask works with a clone of its own.
pub trait CoFunction: Clone + Send + Sync + 'static {
    /// The rows of the first stream.
    type First: Value;
    /// The rows of the second stream.
    type Second: Value;
    /// What it emits.
    type Out: Value;

    /// Takes a row of the first stream. What is emitted has to find room at once.
    fn first(&mut self, row: <Self::First as Value>::View<'_>, out: &mut dyn Emit<Self::Out>);

    /// Takes a row of the second stream. What is emitted has to find room at once.
    fn second(&mut self, row: <Self::Second as Value>::View<'_>, out: &mut dyn Emit<Self::Out>);
}

/// A chain that reads pages of two streams.
#[derive(Debug)]
pub struct CoChain<F, N> {
    function: F,
    fingerprints: [u64; 2],
    next: N,
}

impl<F: CoFunction, N: Stage<F::Out>> CoChain<F, N> {
    /// The chain of `function` and what follows it.
    pub fn new(function: F, next: N) -> Self {
        use millstream_data::value::Record;
        let fingerprints = [F::First::schema().fingerprint(), F::Second::schema().fingerprint()];
        Self { function, fingerprints, next }
    }
}

impl<F: CoFunction, N: Stage<F::Out>> Chain for CoChain<F, N> {
    fn process(
        &mut self,
        input: u16,
        page: &ValidPage<'_>,
        start: usize,
        context: &mut Context<'_>,
    ) -> usize {
        let Self { function, fingerprints, next } = self;
        if !next.resume(context) {
            return start;
        }
        match input {
            0 => process_page::<F::First>(page, fingerprints[0], start, context, |row, context| {
                function.first(row, &mut Emitter { next, context });
            }),
            1 => {
                process_page::<F::Second>(page, fingerprints[1], start, context, |row, context| {
                    function.second(row, &mut Emitter { next, context });
                })
            }
            _ => {
                context.fail(TaskError::new("a page arrived at a third input of two streams"));
                start
            }
        }
    }

    fn finish(&mut self, context: &mut Context<'_>) -> bool {
        self.next.resume(context) && self.next.finish(context)
    }

    fn signal(&mut self, signal: Signal, context: &mut Context<'_>) -> bool {
        self.next.resume(context) && self.next.signal(signal, context)
    }

    fn flush(&mut self, force: bool, context: &mut Context<'_>) {
        self.next.flush(force, context);
    }
}

/// One function for each stream, see [`map`](crate::stream::ConnectedStreams::map).
pub struct CoMap<F, G, A, B, U> {
    functions: (F, G),
    types: PhantomData<fn(A, B) -> U>,
}

/// One function for each stream, see [`flat_map`](crate::stream::ConnectedStreams::flat_map).
pub struct CoFlatMap<F, G, A, B, I, J> {
    functions: (F, G),
    types: PhantomData<fn(A, B, I, J)>,
}

opaque! { CoMap<F, G, A, B, U> CoFlatMap<F, G, A, B, I, J> }

macro_rules! constructors {
    ($($name:ident<$($parameter:ident),+>)*) => {$(
        impl<$($parameter),+> $name<$($parameter),+> {
            /// Applies one function to rows of the first stream, the other to those of the second.
            pub fn new(first: F, second: G) -> Self {
                Self { functions: (first, second), types: PhantomData }
            }
        }

        impl<$($parameter),+> Clone for $name<$($parameter),+> where F: Clone, G: Clone {
            fn clone(&self) -> Self {
                Self { functions: self.functions.clone(), types: PhantomData }
            }
        }
    )*};
}

constructors! { CoMap<F, G, A, B, U> CoFlatMap<F, G, A, B, I, J> }

impl<F, G, A, B, U> CoFunction for CoMap<F, G, A, B, U>
where
    A: Value,
    B: Value,
    U: Value,
    F: FnMut(A::View<'_>) -> U + Clone + Send + Sync + 'static,
    G: FnMut(B::View<'_>) -> U + Clone + Send + Sync + 'static,
{
    type First = A;
    type Second = B;
    type Out = U;

    fn first(&mut self, row: A::View<'_>, out: &mut dyn Emit<U>) {
        out.emit((self.functions.0)(row).view());
    }

    fn second(&mut self, row: B::View<'_>, out: &mut dyn Emit<U>) {
        out.emit((self.functions.1)(row).view());
    }
}

impl<F, G, A, B, I, J> CoFunction for CoFlatMap<F, G, A, B, I, J>
where
    A: Value,
    B: Value,
    I: IntoIterator<Item: Value> + 'static,
    J: IntoIterator<Item = I::Item> + 'static,
    F: FnMut(A::View<'_>) -> I + Clone + Send + Sync + 'static,
    G: FnMut(B::View<'_>) -> J + Clone + Send + Sync + 'static,
{
    type First = A;
    type Second = B;
    type Out = I::Item;

    fn first(&mut self, row: A::View<'_>, out: &mut dyn Emit<I::Item>) {
        (self.functions.0)(row).into_iter().for_each(|made| out.emit(made.view()));
    }

    fn second(&mut self, row: B::View<'_>, out: &mut dyn Emit<I::Item>) {
        (self.functions.1)(row).into_iter().for_each(|made| out.emit(made.view()));
    }
}
