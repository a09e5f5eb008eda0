//! Running an aggregate function.

use std::ffi::c_void;

use millstream_abi::{BorrowedBytes, BorrowedRows, FunctionTable, RowSink};
use millstream_data::{page::ValidPage, row::RowLayout, types::Schema};

use super::{Open, ResultPage, SignatureInfo};
use crate::{
    CallError, ReaderPage,
    call::{Name, collect, lend_bytes, status},
};

/// An aggregate function that is open: one result for the rows of a group. What is known of a group
/// is an accumulator, bytes in the row format, which its caller keeps.
#[derive(Debug)]
pub struct OpenAggregate {
    open: Open,
    accumulator: RowLayout,
}

impl OpenAggregate {
    pub(crate) fn open(
        name: Name,
        table: &FunctionTable,
        arguments: &Schema,
        (number, signature): (usize, &SignatureInfo),
        segment_size: usize,
    ) -> Result<Self, CallError> {
        let accumulator = RowLayout::new(&signature.accumulator)
            .map_err(|error| CallError::new(format!("{name}: its accumulator: {error}")))?;
        let signature = (number, &signature.results);
        let open = Open::new(name, table, arguments, signature, segment_size)?;
        Ok(Self { open, accumulator })
    }

    /// The accumulator of a group without rows.
    ///
    /// # Errors
    /// If the function fails, or gives what is no row of its accumulator.
    pub fn create(&mut self) -> Result<Vec<u8>, CallError> {
        let Open { name, table, handle, .. } = &self.open;
        let mut given = Vec::new();
        let sink = collect(&mut given);
        // SAFETY: the function is open and used by one thread; the list outlives the call.
        status(name, |errors| unsafe { (table.create)(handle.0.as_ptr(), sink, errors) })?;
        let created = given.pop().unwrap_or_default();
        self.check(&created)?;
        Ok(created)
    }

    /// Adds the rows of a page to accumulators: `groups` has the index of one for each row.
    ///
    /// # Errors
    /// If the arguments are of other types, the function fails, or gives what is no row of its
    /// accumulator. The accumulators are then as they were.
    pub fn add(
        &mut self,
        arguments: &ValidPage<'_>,
        groups: &[u32],
        accumulators: &mut [Vec<u8>],
    ) -> Result<(), CallError> {
        self.accumulate(arguments, groups, accumulators, 0)
    }

    /// Takes rows back that were added.
    ///
    /// # Errors
    /// As [`OpenAggregate::add`], and if the function cannot.
    pub fn retract(
        &mut self,
        arguments: &ValidPage<'_>,
        groups: &[u32],
        accumulators: &mut [Vec<u8>],
    ) -> Result<(), CallError> {
        self.accumulate(arguments, groups, accumulators, 1)
    }

    /// Adds each accumulator of `from` to the one of the same index.
    ///
    /// # Errors
    /// As [`OpenAggregate::add`].
    pub fn merge(&mut self, into: &mut [Vec<u8>], from: &[Vec<u8>]) -> Result<(), CallError> {
        let Open { name, table, handle, .. } = &self.open;
        let (lent, others) = (lend(into), lend(from));
        self.changing(into, |changed| {
            // SAFETY: the function is open and used by one thread; all is lent for the call.
            status(name, |errors| unsafe {
                let (into, from) = (borrow(&lent), borrow(&others));
                (table.merge)(handle.0.as_ptr(), into, from, changed, errors)
            })
        })
    }

    /// Fills a segment with the results of accumulators, from index `start` on, as many as fit; call
    /// again for the rest.
    ///
    /// # Errors
    /// If the function fails, or its page of results is bad.
    pub fn results(
        &mut self,
        accumulators: &[Vec<u8>],
        start: usize,
        segment: &mut [u8],
    ) -> Result<ResultPage, CallError> {
        let open = &self.open;
        let left = accumulators.len().saturating_sub(start);
        if left == 0 {
            return Ok(ResultPage::Done);
        }
        let lent = lend(accumulators);
        let page = open.fill(segment, |filling| {
            filling.call(|segment, length, filled, errors| {
                let (handle, lent) = (open.handle.0.as_ptr(), borrow(&lent));
                // SAFETY: the function is open and used by one thread; all is lent for the call.
                unsafe {
                    (open.table.results)(
                        handle,
                        lent,
                        start as u32,
                        segment,
                        length,
                        filled,
                        errors,
                    )
                }
            })
        })?;
        match page {
            ReaderPage::Page { length, rows } if rows <= left => {
                Ok(ResultPage::Page { length, rows })
            }
            ReaderPage::TooSmall { needed } => Ok(ResultPage::TooSmall { needed }),
            _ => Err(CallError::new(format!(
                "{} gives another number of results than the {left} that it was asked for",
                open.name
            ))),
        }
    }

    fn accumulate(
        &mut self,
        arguments: &ValidPage<'_>,
        groups: &[u32],
        accumulators: &mut [Vec<u8>],
        retract: u32,
    ) -> Result<(), CallError> {
        self.open.check(arguments)?;
        let Open { name, table, handle, .. } = &self.open;
        let known = groups.iter().all(|group| (*group as usize) < accumulators.len());
        if !known || groups.len() != arguments.rows() {
            let what = "is called with groups that are not those of the arguments";
            return Err(CallError::new(format!("{name} {what}")));
        }
        let lent = lend(accumulators);
        let page = lend_bytes(arguments.bytes());
        let (start, length) = (groups.as_ptr(), groups.len());
        self.changing(accumulators, |changed| {
            // SAFETY: the function is open and used by one thread; all is lent for the call.
            status(name, |errors| unsafe {
                let (handle, lent) = (handle.0.as_ptr(), borrow(&lent));
                (table.accumulate)(handle, page, start, length, lent, retract, changed, errors)
            })
        })
    }

    /// Makes a call that changes accumulators. They are changed when it is over, and only if all
    /// that it gave is good: what the plugin was lent stays as it is meanwhile.
    fn changing(
        &self,
        accumulators: &mut [Vec<u8>],
        call: impl FnOnce(RowSink) -> Result<i32, CallError>,
    ) -> Result<(), CallError> {
        let mut changed: Vec<(u32, Vec<u8>)> = Vec::new();
        call(RowSink { context: (&raw mut changed).cast(), take })?;
        for (index, row) in &changed {
            if *index as usize >= accumulators.len() {
                let name = &self.open.name;
                let what = "changes an accumulator that it was not given";
                return Err(CallError::new(format!("{name} {what}")));
            }
            self.check(row)?;
        }
        for (index, row) in changed {
            if let Some(accumulator) = accumulators.get_mut(index as usize) {
                *accumulator = row;
            }
        }
        Ok(())
    }

    fn check(&self, row: &[u8]) -> Result<(), CallError> {
        let checked = self.accumulator.validate(row);
        checked.map(|_| ()).map_err(|error| {
            CallError::new(format!("{} made a bad accumulator: {error}", self.open.name))
        })
    }
}

fn lend(rows: &[Vec<u8>]) -> Vec<BorrowedBytes> {
    rows.iter().map(|row| lend_bytes(row)).collect()
}

fn borrow(rows: &[BorrowedBytes]) -> BorrowedRows {
    BorrowedRows { start: rows.as_ptr(), length: rows.len() }
}

unsafe extern "C" fn take(context: *mut c_void, row: u32, bytes: BorrowedBytes) {
    // SAFETY: `changing` passes its own list, which outlives the call, which the plugin makes from
    // one thread; it lends the bytes.
    let (changed, bytes) = unsafe {
        let bytes = match bytes.length {
            0 => &[],
            length => std::slice::from_raw_parts(bytes.start, length),
        };
        (&mut *context.cast::<Vec<(u32, Vec<u8>)>>(), bytes)
    };
    changed.push((row, bytes.to_vec()));
}
