//! Functions of expressions: scalar, aggregate and table functions.
//!
//! A function works on columns: the arguments of many rows come as one page, and results are
//! written into the page that the host has lent for them. Types and nullability are declared, by one
//! [`Signature`] or several, and checked by the host before a row comes.
//!
//! Scripts in SQL call scalar and table functions by the names that `CREATE FUNCTION` gives them.
//! Aggregate functions are called by `FunctionTest` of the crate `millstream-sdk-test` and the
//! engine's `Registry::aggregate` only.
//!
//! # Writing a scalar function
//!
//! 1. Implement [`ScalarFunction`]: [`ScalarFunction::signatures`] says what it takes and gives,
//!    [`ScalarFunction::open`] is told which of them is meant.
//! 2. In [`ScalarFunction::call`] take the columns of the arguments, once for the page, and write a
//!    result for each row with [`Arguments::each`].
//! 3. List the type in [`plugin!`](crate::plugin!) under `scalars`, and test it with `FunctionTest`
//!    of the crate `millstream-sdk-test`.
//!
//! ```
//! use millstream_sdk::{function::{Arguments, ScalarFunction, Signature}, prelude::*};
//!
//! /// The number of characters of a text.
//! struct CharLength;
//!
//! impl ScalarFunction for CharLength {
//!     const NAME: &'static str = "char_length";
//!     const SUMMARY: &'static str = "How many characters a text has";
//!
//!     fn signatures() -> Vec<Signature> {
//!         let text = Field::new("text", DataType::String);
//!         vec![Signature::new([text]).returns(Field::new("length", DataType::Int64))]
//!     }
//!
//!     fn open(_signature: usize) -> Result<Self, Error> {
//!         Ok(Self)
//!     }
//!
//!     fn call(&mut self, arguments: &Arguments<'_>, results: &mut Rows<'_>) -> Result<(), Error> {
//!         let text = arguments.column(0).strings();
//!         arguments.each(results, |row, results| {
//!             let characters = text.at(row).chars().count();
//!             results.put_fixed(0, (characters as i64).to_le_bytes());
//!             Ok(())
//!         });
//!         Ok(())
//!     }
//! }
//!
//! millstream_sdk::plugin! {
//!     name: "texts",
//!     summary: "Functions of text",
//!     scalars: [CharLength],
//! }
//! ```
//!
//! # Writing an aggregate function
//!
//! Implement [`Aggregate`] and list the type under `aggregates`. Its accumulator is a value that the
//! row format holds, such as a tuple of numbers and texts: between calls the host keeps it as bytes,
//! so that it can be part of state.
//!
//! # Writing a table function
//!
//! Implement [`TableFunction`] and list the type under `tables`: any number of result rows for each
//! argument row, one with each call of [`TableFunction::next`].

mod aggregate;
mod row_by_row;
mod table;

use millstream_data::{
    page::{Column, Full, ValidPage},
    row::RowValue,
    types::Field,
    value::Record,
};

pub(crate) use aggregate::AggregateThunks;
pub(crate) use row_by_row::{ScalarThunks, TableThunks};

use crate::{Error, source::Rows};

/// Types that a function takes, and what it then gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    arguments: Vec<Field>,
    results: Vec<Field>,
    doc: String,
}

impl Signature {
    /// A function of these arguments. One that is not nullable is never NULL.
    pub fn new(arguments: impl Into<Vec<Field>>) -> Self {
        Self { arguments: arguments.into(), results: Vec::new(), doc: String::new() }
    }

    /// The same, with one more column of its result. Only table functions have several.
    pub fn returns(mut self, result: Field) -> Self {
        self.results.push(result);
        self
    }

    /// The same, with a sentence about it.
    pub fn doc(self, doc: impl Into<String>) -> Self {
        Self { doc: doc.into(), ..self }
    }
}

/// The arguments of a call: a page of them, of which the first rows may be done.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a> {
    page: &'a ValidPage<'a>,
    start: usize,
}

impl<'a> Arguments<'a> {
    /// The column of an argument; of a nested row the first, see
    /// [`Shape`](millstream_data::page::Shape).
    pub fn column(&self, index: usize) -> Column<'a> {
        self.page.column(index)
    }

    /// The page.
    pub fn page(&self) -> &'a ValidPage<'a> {
        self.page
    }

    /// The rows that are to be done.
    pub fn rows(&self) -> std::ops::Range<usize> {
        self.start..self.page.rows()
    }

    /// Writes a result for each row, as long as the page of results has room: `put` is given the row
    /// of the arguments, and writes the cells of the result.
    pub fn each(
        &self,
        results: &mut Rows<'_>,
        mut put: impl FnMut(usize, &mut Rows<'_>) -> Result<(), Full>,
    ) {
        for row in self.rows().skip(results.rows()) {
            if !results.has_room() {
                return;
            }
            if put(row, results).is_err() {
                return results.roll_back();
            }
            results.commit();
        }
    }
}

/// A function with one result for each row.
pub trait ScalarFunction: Sized + Send + 'static {
    /// The name that expressions call it by.
    const NAME: &'static str;
    /// One sentence about it.
    const SUMMARY: &'static str;
    /// Equal arguments give equal results.
    const DETERMINISTIC: bool = true;

    /// What it takes and gives, one result each.
    fn signatures() -> Vec<Signature>;

    /// Opens it for one of its signatures, from 0.
    ///
    /// # Errors
    /// If it cannot run.
    fn open(signature: usize) -> Result<Self, Error>;

    /// Writes the results of rows, in order, as many as fit; see [`Arguments::each`].
    ///
    /// # Errors
    /// If a row has no result: the job fails.
    fn call(&mut self, arguments: &Arguments<'_>, results: &mut Rows<'_>) -> Result<(), Error>;
}

/// A function with any number of result rows for each row.
pub trait TableFunction: Sized + Send + 'static {
    /// The name that expressions call it by.
    const NAME: &'static str;
    /// One sentence about it.
    const SUMMARY: &'static str;
    /// Equal arguments give equal results.
    const DETERMINISTIC: bool = true;

    /// What it takes and gives.
    fn signatures() -> Vec<Signature>;

    /// Opens it for one of its signatures, from 0.
    ///
    /// # Errors
    /// If it cannot run.
    fn open(signature: usize) -> Result<Self, Error>;

    /// Begins with another row of the arguments.
    ///
    /// # Errors
    /// If the row has no results, not even none: the job fails.
    fn begin(&mut self, arguments: &Arguments<'_>, row: usize) -> Result<(), Error>;

    /// Writes the cells of the next result of this row, without committing them; `false` if there is
    /// none. After [`Full`] the same result is asked for again, for another page.
    ///
    /// # Errors
    /// If the page has no room for it.
    fn next(
        &mut self,
        arguments: &Arguments<'_>,
        row: usize,
        results: &mut Rows<'_>,
    ) -> Result<bool, Full>;
}

/// A function with one result for the rows of a group.
///
/// ```
/// use millstream_sdk::{
///     data::page::Full,
///     function::{Aggregate, Arguments, Signature},
///     prelude::*,
/// };
///
/// struct Mean;
///
/// impl Aggregate for Mean {
///     const NAME: &'static str = "mean";
///     const SUMMARY: &'static str = "The mean of numbers";
///     /// How many there are, and their sum.
///     type Accumulator = (u64, f64);
///
///     fn signatures() -> Vec<Signature> {
///         let number = Field::new("number", DataType::Float64);
///         let mean = Field::new("mean", DataType::Float64).nullable();
///         vec![Signature::new([number]).returns(mean)]
///     }
///
///     fn open(_signature: usize) -> Result<Self, Error> {
///         Ok(Self)
///     }
///
///     fn create(&self) -> (u64, f64) {
///         (0, 0.0)
///     }
///
///     fn add(
///         &mut self,
///         accumulators: &mut [(u64, f64)],
///         groups: &[u32],
///         arguments: &Arguments<'_>,
///     ) -> Result<(), Error> {
///         let numbers = arguments.column(0).fixed::<f64>();
///         for (group, number) in groups.iter().zip(numbers) {
///             let (count, sum) = &mut accumulators[*group as usize];
///             *count += 1;
///             *sum += number;
///         }
///         Ok(())
///     }
///
///     fn merge(&mut self, into: &mut (u64, f64), from: (u64, f64)) -> Result<(), Error> {
///         into.0 += from.0;
///         into.1 += from.1;
///         Ok(())
///     }
///
///     fn result(&mut self, accumulator: &(u64, f64), result: &mut Rows<'_>) -> Result<(), Full> {
///         match accumulator {
///             (0, _) => result.put_null(0),
///             (count, sum) => result.put_fixed(0, (sum / *count as f64).to_le_bytes()),
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait Aggregate: Sized + Send + 'static {
    /// The name that expressions call it by.
    const NAME: &'static str;
    /// One sentence about it.
    const SUMMARY: &'static str;
    /// Equal rows give equal results.
    const DETERMINISTIC: bool = true;
    /// Rows can be taken back: [`Aggregate::retract`] is there.
    const RETRACTS: bool = false;
    /// What is known of the rows of a group: a value that the row format holds.
    type Accumulator: RowValue + Record;

    /// What it takes and gives, one result each.
    fn signatures() -> Vec<Signature>;

    /// Opens it for one of its signatures, from 0.
    ///
    /// # Errors
    /// If it cannot run.
    fn open(signature: usize) -> Result<Self, Error>;

    /// The accumulator of a group without rows.
    fn create(&self) -> Self::Accumulator;

    /// Adds the rows of a page. `groups` has a number for each row, below the number of
    /// accumulators: the one that the row is added to.
    ///
    /// # Errors
    /// If a row cannot be added: the job fails.
    fn add(
        &mut self,
        accumulators: &mut [Self::Accumulator],
        groups: &[u32],
        arguments: &Arguments<'_>,
    ) -> Result<(), Error>;

    /// Takes rows back that were added.
    ///
    /// # Errors
    /// If the function cannot.
    fn retract(
        &mut self,
        accumulators: &mut [Self::Accumulator],
        groups: &[u32],
        arguments: &Arguments<'_>,
    ) -> Result<(), Error> {
        let _ = (accumulators, groups, arguments);
        Err(Error::new("the function cannot take rows back"))
    }

    /// Adds the rows of another group.
    ///
    /// # Errors
    /// If they cannot be added: the job fails.
    fn merge(&mut self, into: &mut Self::Accumulator, from: Self::Accumulator)
    -> Result<(), Error>;

    /// Writes the cells of the result of a group, without committing them.
    ///
    /// # Errors
    /// If the page has no room for it.
    fn result(
        &mut self,
        accumulator: &Self::Accumulator,
        result: &mut Rows<'_>,
    ) -> Result<(), Full>;
}
