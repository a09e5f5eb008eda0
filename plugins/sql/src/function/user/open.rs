//! Functions that are open, for all threads that call them.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::{
    array::{Array, ArrayRef, UInt32Array},
    compute::{concat, take},
    datatypes::DataType as Arrow,
};
use datafusion_common::DataFusionError;
use millstream_arrow::Leaf;
use millstream_data::{
    page::{Shape, ValidPage},
    types::Schema,
};
use millstream_loader::{CallError, Registry, ResultPage};

use super::{
    UserFunction,
    page::{Memory, SEGMENT_BYTES, copied, written},
    signature::Signature,
};

/// Opens a function for pages of these arguments, with results in segments of this size.
type Open<F> = fn(&Registry, &str, &Schema, usize) -> Result<F, CallError>;

/// A function that is open as often as threads call it at the same time.
pub(super) struct Opened<F> {
    function: Arc<UserFunction>,
    open: Open<F>,
    arguments: Schema,
    shape: Arc<Shape>,
    results: Vec<Leaf>,
    /// The types of the arrays of results.
    types: Vec<Arrow>,
    /// Arguments that may be NULL where the function takes none.
    strict: Vec<usize>,
    idle: Mutex<Vec<Caller<F>>>,
}

/// One that is open, and pages for its calls.
struct Caller<F> {
    function: F,
    arguments: Memory,
    results: Memory,
}

/// The rows of arguments that a function takes.
pub(super) struct Taken {
    pub(super) arrays: Vec<ArrayRef>,
    pub(super) rows: usize,
    /// Which they are; `None` if they are all.
    pub(super) of: Option<UInt32Array>,
}

impl<F> Opened<F> {
    /// The first one is opened at once, so that what is wrong is said when a query is planned.
    pub(super) fn new(
        function: &Arc<UserFunction>,
        signature: &Signature,
        strict: Vec<usize>,
        open: Open<F>,
    ) -> Result<Self, String> {
        let arguments = signature.info.arguments.clone();
        let results = Leaf::of(&signature.columns()).map_err(|error| error.to_string())?;
        let opened = Self {
            function: Arc::clone(function),
            open,
            shape: Arc::new(Shape::new(&arguments)),
            arguments,
            results,
            types: signature.results.iter().map(|(_, of)| of.kind.arrow()).collect(),
            strict,
            idle: Mutex::default(),
        };
        let first = opened.another().map_err(|error| error.to_string())?;
        opened.leave(first);
        Ok(opened)
    }

    fn another(&self) -> Result<Caller<F>, CallError> {
        let UserFunction { registry, function, .. } = &*self.function;
        let function = (self.open)(registry, function, &self.arguments, SEGMENT_BYTES)?;
        Ok(Caller { function, arguments: Memory::default(), results: Memory::default() })
    }

    fn leave(&self, caller: Caller<F>) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(caller);
    }

    /// The rows without a NULL where the function takes none.
    pub(super) fn taken(&self, arrays: &[ArrayRef], rows: usize) -> Result<Taken, DataFusionError> {
        let strict = self.strict.iter().filter_map(|at| arrays.get(*at));
        let strict: Vec<_> = strict.filter(|array| array.null_count() > 0).collect();
        if strict.is_empty() {
            return Ok(Taken { arrays: arrays.to_vec(), rows, of: None });
        }
        let valid = |row: &u32| strict.iter().all(|array| array.is_valid(*row as usize));
        let of = UInt32Array::from_iter_values((0..rows as u32).filter(valid));
        let arrays = arrays.iter().map(|array| take(array, &of, None));
        Ok(Taken { arrays: arrays.collect::<Result<_, _>>()?, rows: of.len(), of: Some(of) })
    }

    /// Calls a function until it has given all results for these rows; gives their columns. `call` is told which row
    /// comes next; `look` sees each page of results.
    pub(super) fn results(
        &self,
        rows: &Taken,
        call: impl Fn(&mut F, &ValidPage<'_>, usize, &mut [u8]) -> Result<ResultPage, CallError>,
        mut look: impl FnMut(&ValidPage<'_>),
    ) -> Result<Vec<ArrayRef>, DataFusionError> {
        let failed = |error: CallError| DataFusionError::Execution(error.to_string());
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut caller = idle.map_or_else(|| self.another(), Ok).map_err(failed)?;
        let Caller { function, arguments, results } = &mut caller;
        let mut columns: Vec<Vec<ArrayRef>> = vec![Vec::new(); self.results.len()];
        if rows.rows > 0 {
            let page = written(arguments, &self.shape, &rows.arrays, rows.rows)?;
            let (mut done, mut length) = (0, SEGMENT_BYTES);
            loop {
                let segment = results.of(length);
                match call(function, &page, done, segment).map_err(failed)? {
                    ResultPage::TooSmall { needed } => length = needed,
                    ResultPage::Done => break,
                    ResultPage::Page { length, rows } => {
                        done += rows;
                        // The loader has checked it.
                        let made = segment.get(..length).unwrap_or_default();
                        let made = ValidPage::trusted(made)
                            .map_err(|error| DataFusionError::Execution(error.to_string()))?;
                        look(&made);
                        let made = copied(&made, &self.results)?;
                        columns.iter_mut().zip(made).for_each(|(column, made)| column.push(made));
                    }
                }
            }
        }
        // One that has failed is not called again.
        self.leave(caller);
        let whole = columns.iter().zip(&self.types).map(|(column, data_type)| {
            let parts: Vec<&dyn Array> = column.iter().map(|part| part.as_ref()).collect();
            match parts.is_empty() {
                true => Ok(arrow::array::new_empty_array(data_type)),
                false => Ok(concat(&parts)?),
            }
        });
        whole.collect()
    }
}
