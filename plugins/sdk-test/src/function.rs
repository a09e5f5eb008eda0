//! Calling functions as the engine does.

use std::fmt::Debug;

use millstream_abi::EntryFn;
use millstream_data::{
    Value,
    page::ValidPage,
    types::{DataType, Field, Schema},
    value::Record,
};
use millstream_loader::{CallError, ExtensionInfo, Kind, Registry, ResultPage};

use crate::{options, plugins, segment::Segment, sink::pages};

/// The engine's default.
const SEGMENT_BYTES: usize = 32 << 10;

/// A function under test, whatever its kind.
#[derive(Debug)]
pub struct FunctionTest {
    registry: Registry,
    name: String,
}

impl FunctionTest {
    /// The function `name` of a plugin.
    ///
    /// # Panics
    /// If the plugin is refused or does not offer the function.
    pub fn new(entry: EntryFn, name: &str) -> Self {
        let registry = plugins::registry(entry);
        options::extension(&registry, Kind::Function, name);
        Self { registry, name: name.into() }
    }

    /// The results of a scalar function: `A` is the row of its arguments, a tuple or a record, and
    /// `R` the result.
    ///
    /// # Errors
    /// If it does not take such arguments, or fails.
    ///
    /// # Panics
    /// If `R` is not what the function gives.
    pub fn scalar<A: Value, R: Value>(&self, rows: &[A]) -> Result<Vec<R>, CallError> {
        self.scalar_in(SEGMENT_BYTES, rows)
    }

    fn scalar_in<A: Value, R: Value>(
        &self,
        segment_bytes: usize,
        rows: &[A],
    ) -> Result<Vec<R>, CallError> {
        let mut function = self.registry.scalar(&self.name, &A::schema(), segment_bytes)?;
        self.check_result::<R>();
        let mut results = Vec::new();
        for arguments in pages(rows) {
            let arguments = trusted(&arguments);
            let mut done = 0;
            while done < arguments.rows() {
                done += read(segment_bytes, &mut results, |segment| {
                    function.call(&arguments, done, segment)
                })?;
            }
        }
        Ok(results)
    }

    /// The result of an aggregate function for all rows of each group: rows are given with the
    /// number of their group, and there are as many results as the largest number says.
    ///
    /// # Errors
    /// As [`FunctionTest::scalar`].
    ///
    /// # Panics
    /// As [`FunctionTest::scalar`].
    pub fn aggregate<A: Value, R: Value>(&self, rows: &[(u32, A)]) -> Result<Vec<R>, CallError> {
        let mut function = self.registry.aggregate(&self.name, &A::schema(), SEGMENT_BYTES)?;
        self.check_result::<R>();
        let groups = rows.iter().map(|(group, _)| group + 1).max().unwrap_or_default();
        let mut accumulators = Vec::new();
        for _ in 0..groups {
            accumulators.push(function.create()?);
        }
        let values: Vec<A> = rows.iter().map(|(_, row)| row.clone()).collect();
        let mut groups = rows.iter().map(|(group, _)| *group);
        for arguments in pages(&values) {
            let arguments = trusted(&arguments);
            let groups: Vec<u32> = groups.by_ref().take(arguments.rows()).collect();
            function.add(&arguments, &groups, &mut accumulators)?;
        }
        let mut results = Vec::new();
        while results.len() < accumulators.len() {
            let done = results.len();
            read(SEGMENT_BYTES, &mut results, |segment| {
                function.results(&accumulators, done, segment)
            })?;
        }
        Ok(results)
    }

    /// The results of a table function: `R` is a row of them with one more column at the end, the
    /// number of the argument row as `u32`.
    ///
    /// # Errors
    /// As [`FunctionTest::scalar`].
    pub fn table<A: Value, R: Value>(&self, rows: &[A]) -> Result<Vec<R>, CallError> {
        self.table_in(SEGMENT_BYTES, rows)
    }

    fn table_in<A: Value, R: Value>(
        &self,
        segment_bytes: usize,
        rows: &[A],
    ) -> Result<Vec<R>, CallError> {
        let mut function = self.registry.table_function(&self.name, &A::schema(), segment_bytes)?;
        let mut results = Vec::new();
        for arguments in pages(rows) {
            let arguments = trusted(&arguments);
            while read(segment_bytes, &mut results, |segment| function.call(&arguments, segment))?
                > 0
            {}
        }
        Ok(results)
    }

    /// Checks what the engine relies on, with rows of arguments: the function is documented, and a
    /// scalar function that says that it is deterministic gives the same results again, for the rows
    /// of one page or many, and for each size of the page of results.
    ///
    /// # Panics
    /// If one of these does not hold.
    pub fn check_scalar<A: Value, R: Value + PartialEq + Debug>(&self, rows: &[A]) {
        self.check_documented();
        let good =
            |results: Result<Vec<R>, CallError>| results.unwrap_or_else(|error| panic!("{error}"));
        let expected = good(self.scalar(rows));
        assert_eq!(expected.len(), rows.len(), "a result for each row");
        if !self.info().function.as_ref().is_some_and(|function| function.deterministic) {
            return;
        }
        for segment_bytes in [4096, 1 << 20] {
            let found = good(self.scalar_in(segment_bytes, rows));
            assert_eq!(found, expected, "results in pages of {segment_bytes} bytes");
        }
        let one_by_one: Vec<R> =
            rows.iter().flat_map(|row| good(self.scalar(std::slice::from_ref(row)))).collect();
        assert_eq!(one_by_one, expected, "results of rows that come alone");
    }

    /// The same for an aggregate function: the results do not change if the rows are added to two
    /// accumulators that are merged, wherever they are divided.
    ///
    /// # Panics
    /// If one of these does not hold.
    pub fn check_aggregate<A: Value, R: Value + PartialEq + Debug>(&self, rows: &[A]) {
        self.check_documented();
        let good = |result: Result<(), CallError>| result.unwrap_or_else(|e| panic!("{e}"));
        let all: Vec<_> = rows.iter().map(|row| (0, row.clone())).collect();
        let expected = self.aggregate::<A, R>(&all).unwrap_or_else(|error| panic!("{error}"));
        let open = self.registry.aggregate(&self.name, &A::schema(), SEGMENT_BYTES);
        let mut function = open.unwrap_or_else(|error| panic!("{error}"));
        for at in 0..rows.len() {
            let mut parts = Vec::new();
            for part in [&rows[..at], &rows[at..]] {
                let created = function.create().unwrap_or_else(|error| panic!("{error}"));
                let mut accumulator = vec![created];
                for arguments in pages(part) {
                    let arguments = trusted(&arguments);
                    let groups = vec![0; arguments.rows()];
                    good(function.add(&arguments, &groups, &mut accumulator));
                }
                parts.push(accumulator);
            }
            let (Some(second), Some(mut first)) = (parts.pop(), parts.pop()) else { return };
            good(function.merge(&mut first, &second));
            let mut found: Vec<R> = Vec::new();
            let read =
                read(SEGMENT_BYTES, &mut found, |segment| function.results(&first, 0, segment));
            good(read.map(|_| ()));
            assert_eq!(found, expected, "the result of two parts, merged, divided at row {at}");
        }
    }

    /// The same for a table function: its results do not depend on the size of their page.
    ///
    /// # Panics
    /// If one of these does not hold.
    pub fn check_table<A: Value, R: Value + PartialEq + Debug>(&self, rows: &[A]) {
        self.check_documented();
        let good =
            |results: Result<Vec<R>, CallError>| results.unwrap_or_else(|error| panic!("{error}"));
        let expected = good(self.table(rows));
        for segment_bytes in [4096, 1 << 20] {
            let found = good(self.table_in(segment_bytes, rows));
            assert_eq!(found, expected, "results in pages of {segment_bytes} bytes");
        }
    }

    fn info(&self) -> &ExtensionInfo {
        options::extension(&self.registry, Kind::Function, &self.name)
    }

    fn check_documented(&self) {
        let info = self.info();
        assert!(!info.summary.is_empty(), "function `{}` has no summary", self.name);
    }

    /// Whether some signature gives `R`.
    fn check_result<R: Value>(&self) {
        let types = |schema: &Schema| {
            let of = |field: &Field| (field.data_type.clone(), field.nullable);
            schema.fields.iter().map(of).collect::<Vec<(DataType, bool)>>()
        };
        let asked = types(&R::schema());
        let function = self.info().function.as_ref();
        let mut signatures = function.iter().flat_map(|function| &function.signatures);
        assert!(
            signatures.any(|signature| types(&signature.results) == asked),
            "function `{}` never gives {}",
            self.name,
            R::schema()
        );
    }
}

/// A page of this crate.
fn trusted(page: &Segment) -> ValidPage<'_> {
    ValidPage::trusted(page).expect("a page has a header")
}

/// Reads a page of results; gives how many there were, 0 at the end.
fn read<R: Value>(
    segment_bytes: usize,
    results: &mut Vec<R>,
    mut call: impl FnMut(&mut [u8]) -> Result<ResultPage, CallError>,
) -> Result<usize, CallError> {
    let mut bytes = segment_bytes;
    loop {
        let mut segment = Segment::new(bytes);
        match call(&mut segment)? {
            ResultPage::Page { length, rows } => {
                // The loader has validated it.
                let page = ValidPage::trusted(&segment[..length]).expect("a page has a header");
                let columns = R::bind(&page);
                results.extend((0..rows).map(|row| R::own(R::at(&columns, row))));
                return Ok(rows);
            }
            ResultPage::TooSmall { needed } => bytes = needed,
            ResultPage::Done => return Ok(0),
        }
    }
}
