//! Streams that are read more than once, and operators with a second output.

use alloc::vec;
use core::array;

use millstream_data::Value;

use super::{Pages, Pipeline, Settings, Stream, Then, Upstream};
use crate::{
    graph::{NodeKind, Partitioning},
    operator::{EmitSide, ProcessSide, Split},
    writer::{Broadcast, Single},
};

impl<T: Value, P: Pipeline<Out = T>> Stream<T, P> {
    /// The stream `N` times, to be read `N` times: `let [all, late] = stream.fork();`. The chain ends
    /// here; its pages are written once, and shared by those who read them.
    ///
    /// # Panics
    /// If `N` is 0.
    pub fn fork<const N: usize>(self) -> [Stream<T, Pages<T>>; N] {
        assert!(N > 0, "a stream that nobody reads is ended with for_each()");
        let (env, output) = (self.env.clone(), self.sides);
        let settings = self.settings.inherited();
        let node = self.named_if_bare("fork").write(Broadcast);
        array::from_fn(|_| {
            let upstream = Upstream::new::<T>(node, output, Partitioning::Forward);
            Stream::new(env.clone(), vec![upstream], Pages::new(), settings.clone())
        })
    }

    /// Divides the stream: rows for which `predicate` holds stay, the others are the second stream.
    pub fn split<F>(self, predicate: F) -> (Stream<T, Then<P, Split<F, T>>>, Stream<T, Pages<T>>)
    where
        F: FnMut(T::View<'_>) -> bool + Clone + Send + Sync + 'static,
    {
        let (stream, side, output) = self.side::<T>();
        (stream.then(Split::new(predicate, output)), side)
    }

    /// Hands each row to a function that emits any number of rows, to this stream and to a second
    /// one, its side output. What it emits for one row has to find room at once.
    pub fn process_with_side<U, V, F>(
        self,
        function: F,
    ) -> (Stream<U, Then<P, ProcessSide<F, T, U, V>>>, Stream<V, Pages<V>>)
    where
        U: Value,
        V: Value,
        F: FnMut(T::View<'_>, &mut dyn EmitSide<U, V>) + Clone + Send + Sync + 'static,
    {
        let (stream, side, output) = self.side::<V>();
        (stream.then(ProcessSide::new(function, output)), side)
    }

    /// Gives the chain one more side output; gives its stream, and its number.
    pub(super) fn side<V: Value>(mut self) -> (Self, Stream<V, Pages<V>>, u16) {
        let env = self.env.clone();
        let node = *self.node.get_or_insert_with(|| {
            // What a program that drops the main output is told about.
            let name = Some("a stream that a side output was taken from".into());
            let chain = NodeKind::Chain { outputs: 0, stateful: false };
            env.add(Settings { name, ..Settings::default() }, chain, None)
        });
        let output = self.sides;
        self.sides += 1;
        env.writes_again::<V, _>(node, output, Single);
        let upstream = Upstream::new::<V>(node, output, Partitioning::Forward);
        let side = Stream::new(env, vec![upstream], Pages::new(), self.settings.inherited());
        (self, side, output)
    }
}
