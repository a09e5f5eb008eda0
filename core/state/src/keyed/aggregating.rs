//! What was added, combined into one value for each key.

use millstream_data::{Value, row::RowValue, value::Record};

use super::{Access, Descriptor, ValueState};
use crate::{Backend, StateError, StateId};

/// How what is added becomes a result.
pub trait AggregateFunction {
    /// What is added.
    type In: RowValue + Record;
    /// What is kept.
    type Accumulator: RowValue + Record;
    /// The result.
    type Out;

    /// What is kept when nothing was added.
    fn create(&self) -> Self::Accumulator;

    /// Adds a value.
    fn add(
        &self,
        accumulator: <Self::Accumulator as Value>::View<'_>,
        value: <Self::In as Value>::View<'_>,
    ) -> Self::Accumulator;

    /// The result of what was added.
    fn result(&self, accumulator: <Self::Accumulator as Value>::View<'_>) -> Self::Out;
}

/// The aggregate of what was added, for each key.
#[derive(Debug)]
pub struct AggregatingState<A: AggregateFunction> {
    function: A,
    value: ValueState<A::Accumulator>,
}

impl<A: AggregateFunction> AggregatingState<A> {
    /// Adds the state to a backend.
    ///
    /// # Errors
    /// As [`ValueState::register`].
    pub fn register<B: Backend>(
        backend: &mut B,
        descriptor: &Descriptor,
        function: A,
    ) -> Result<Self, StateError> {
        Ok(Self { function, value: ValueState::register(backend, descriptor)? })
    }

    /// The state's number in its backend.
    pub fn id(&self) -> StateId {
        self.value.id()
    }

    /// Adds a value.
    ///
    /// # Errors
    /// Any of [`StateError`].
    pub fn add<B: Backend>(
        &mut self,
        access: &mut Access<'_, B>,
        value: <A::In as Value>::View<'_>,
    ) -> Result<(), StateError> {
        let function = &self.function;
        self.value.replace(access, |old| match old {
            Some(old) => function.add(old, value),
            None => function.add(function.create().view(), value),
        })
    }

    /// The result; `None` if nothing was added.
    ///
    /// # Errors
    /// As [`ValueState::read`].
    pub fn get<B: Backend>(
        &mut self,
        access: &mut Access<'_, B>,
    ) -> Result<Option<A::Out>, StateError> {
        let function = &self.function;
        self.value.read(access, |accumulator| function.result(accumulator))
    }

    /// Forgets what was added.
    ///
    /// # Errors
    /// Any of [`StateError`].
    pub fn clear<B: Backend>(&mut self, access: &mut Access<'_, B>) -> Result<(), StateError> {
        self.value.clear(access)
    }
}

/// What was added, two at a time made one.
#[derive(Debug)]
pub struct ReducingState<T, F> {
    reduce: F,
    value: ValueState<T>,
}

impl<T: RowValue + Record, F: Fn(T::View<'_>, T::View<'_>) -> T> ReducingState<T, F> {
    /// Adds the state to a backend.
    ///
    /// # Errors
    /// As [`ValueState::register`].
    pub fn register<B: Backend>(
        backend: &mut B,
        descriptor: &Descriptor,
        reduce: F,
    ) -> Result<Self, StateError> {
        Ok(Self { reduce, value: ValueState::register(backend, descriptor)? })
    }

    /// The state's number in its backend.
    pub fn id(&self) -> StateId {
        self.value.id()
    }

    /// Adds a value.
    ///
    /// # Errors
    /// Any of [`StateError`].
    pub fn add<B: Backend>(
        &mut self,
        access: &mut Access<'_, B>,
        value: &T,
    ) -> Result<(), StateError> {
        let reduce = &self.reduce;
        self.value.replace(access, |old| match old {
            Some(old) => reduce(old, value.view()),
            None => T::own(value.view()),
        })
    }

    /// What was added, as one; `None` if nothing was.
    ///
    /// # Errors
    /// As [`ValueState::read`].
    pub fn get<B: Backend>(&mut self, access: &mut Access<'_, B>) -> Result<Option<T>, StateError> {
        self.value.get(access)
    }

    /// Forgets what was added.
    ///
    /// # Errors
    /// Any of [`StateError`].
    pub fn clear<B: Backend>(&mut self, access: &mut Access<'_, B>) -> Result<(), StateError> {
        self.value.clear(access)
    }
}
