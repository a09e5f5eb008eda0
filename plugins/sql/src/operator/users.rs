//! Aggregate functions of users: their accumulators are texts of groups.

mod hand;

use std::mem;

use millstream_data::{order::Cells, row::RowLayout, types::Schema};
use millstream_dataflow::TaskError;

pub(super) use hand::{Hand, Users};

use super::{accumulator::Accumulator, value_set::width};
use crate::{
    error::SqlError,
    function::{AggregateCaller, Given, UserCall},
};

/// How many texts a call keeps: its accumulator, which is empty before the first row, and the result that was said
/// last, a row in the row format.
pub(super) const TEXTS: usize = 2;

/// A call, which is opened by the thread that makes it.
#[derive(Debug)]
pub(super) struct User {
    call: UserCall<usize>,
    /// Which of the operator's calls it is.
    number: usize,
    /// Its first text.
    text: usize,
    layout: RowLayout,
    /// Bytes of the cells of its arguments; `None` for texts.
    widths: Vec<Option<usize>>,
    open: Option<AggregateCaller>,
    given: Given,
}

impl Clone for User {
    fn clone(&self) -> Self {
        let Self { call, number, text, layout, widths, .. } = self;
        let (call, layout, widths) = (call.clone(), layout.clone(), widths.clone());
        let (number, text, given) = (*number, *text, Given::default());
        Self { call, number, text, layout, widths, open: None, given }
    }
}

impl User {
    /// Keeps its texts from number `text` on.
    pub(super) fn new(
        call: &UserCall<usize>,
        number: usize,
        text: usize,
    ) -> Result<Self, SqlError> {
        let arguments = call.function.arguments();
        let widths = arguments.fields.iter().map(|field| width(&field.data_type));
        let widths = widths.collect::<Option<Vec<_>>>().ok_or_else(|| {
            SqlError::new(format!(
                "`{}` of nested values is not supported yet",
                call.function.name()
            ))
        })?;
        let layout = RowLayout::new(arguments);
        let (call, given) = (call.clone(), Given::default());
        Ok(Self { call, number, text, layout, widths, open: None, given })
    }

    /// The columns of its arguments that must not be NULL: rows that have one are passed over.
    pub(super) fn strict(call: &UserCall<usize>, input: &Schema) -> Vec<usize> {
        let pairs = call.arguments.iter().zip(&call.function.arguments().fields);
        let may_be = |column: &usize| input.fields.get(*column).is_some_and(|of| of.nullable);
        let strict = pairs.filter(|(column, field)| !field.nullable && may_be(column));
        strict.map(|(column, _)| *column).collect()
    }

    /// Whether it is the operator's call of this number.
    pub(super) fn is_call(&self, number: usize) -> bool {
        self.number == number
    }

    /// Whether each row with a value counts, and not only one of each value, as these say for all calls.
    pub(super) fn counts_all(&self, counts_all: &[bool]) -> bool {
        counts_all.get(self.number).copied().unwrap_or(true)
    }

    /// Whether it takes rows back.
    pub(super) fn retracts(&self) -> bool {
        self.call.function.retracts()
    }

    fn caller(&mut self) -> Result<&mut AggregateCaller, TaskError> {
        if self.open.is_none() {
            self.open = Some(self.call.function.open().map_err(TaskError::new)?);
        }
        self.open.as_mut().ok_or_else(|| TaskError::new("an aggregate function is not open"))
    }

    /// Gives an accumulator to a group that has none.
    fn begin(&mut self, accumulator: &mut Vec<u8>) -> Result<(), TaskError> {
        if accumulator.is_empty() {
            accumulator.extend_from_slice(self.caller()?.created());
        }
        Ok(())
    }

    /// Takes note of a row for the accumulator of a number.
    fn give(&mut self, group: u32, row: &impl Cells) {
        let Self { call, layout, widths, given, .. } = self;
        given.push(group, |bytes| {
            layout.write(bytes, |out| {
                for (column, width) in call.arguments.iter().zip(&*widths) {
                    match width {
                        _ if row.is_null(*column) => out.leave_empty(),
                        Some(1) => out.put_fixed(row.fixed::<1>(*column)),
                        Some(2) => out.put_fixed(row.fixed::<2>(*column)),
                        Some(4) => out.put_fixed(row.fixed::<4>(*column)),
                        Some(8) => out.put_fixed(row.fixed::<8>(*column)),
                        Some(_) => out.put_fixed(row.fixed::<16>(*column)),
                        None => out.put_variable(row.variable(*column)),
                    }
                }
            });
        });
    }

    /// Adds the rows that were given, or takes them back.
    fn add(&mut self, retract: bool, accumulators: &mut [Vec<u8>]) -> Result<(), TaskError> {
        let mut given = mem::take(&mut self.given);
        let added = self.caller()?.add(&given, retract, accumulators);
        given.clear();
        self.given = given;
        added.map_err(TaskError::new)
    }

    /// Adds a row to the group with these texts.
    pub(super) fn add_one(
        &mut self,
        row: &impl Cells,
        texts: &mut [Vec<u8>],
    ) -> Result<(), TaskError> {
        self.change_one(row, false, texts)
    }

    /// The same, or takes it back.
    pub(super) fn change_one(
        &mut self,
        row: &impl Cells,
        retract: bool,
        texts: &mut [Vec<u8>],
    ) -> Result<(), TaskError> {
        let Some(mut accumulator) = texts.get_mut(self.text).map(mem::take) else { return Ok(()) };
        self.begin(&mut accumulator)?;
        self.give(0, row);
        let mut one = [accumulator];
        self.add(retract, &mut one)?;
        self.keep(one, texts);
        Ok(())
    }

    /// Adds another group to the one with these texts.
    pub(super) fn merge(
        &mut self,
        texts: &mut [Vec<u8>],
        others: &[Vec<u8>],
    ) -> Result<(), TaskError> {
        let Some(other) = others.get(self.text).filter(|other| !other.is_empty()) else {
            return Ok(());
        };
        let Some(mut accumulator) = texts.get_mut(self.text).map(mem::take) else { return Ok(()) };
        self.begin(&mut accumulator)?;
        let mut one = [accumulator];
        let from = std::slice::from_ref(other);
        self.caller()?.merge(&mut one, from).map_err(TaskError::new)?;
        self.keep(one, texts);
        Ok(())
    }

    /// Computes the result of the group with these texts.
    pub(super) fn finish(&mut self, texts: &mut [Vec<u8>]) -> Result<(), TaskError> {
        let Some(mut accumulator) = texts.get_mut(self.text).map(mem::take) else { return Ok(()) };
        self.begin(&mut accumulator)?;
        let one = [accumulator];
        let text = self.text + 1;
        let told = self.caller()?.results(&one, |_, result| {
            if let Some(said) = texts.get_mut(text) {
                said.clear();
                said.extend_from_slice(result);
            }
        });
        told.map_err(TaskError::new)?;
        self.keep(one, texts);
        Ok(())
    }

    fn keep(&self, [accumulator]: [Vec<u8>; 1], texts: &mut [Vec<u8>]) {
        if let Some(text) = texts.get_mut(self.text) {
            *text = accumulator;
        }
    }
}

/// The calls for which a row counts.
pub(super) fn counted<'a>(
    users: &'a mut [User],
    accumulators: &'a [Accumulator],
    row: &impl Cells,
) -> impl Iterator<Item = &'a mut User> {
    users
        .iter_mut()
        .filter(|user| accumulators.get(user.number).is_some_and(|call| call.counts(row)))
}
