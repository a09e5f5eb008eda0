//! UNNEST: rows for the elements of an array, a map or a multiset, each beside the row that it is of.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int32Array, RecordBatch, UInt32Array},
    compute::take,
    datatypes::{Int32Type, SchemaRef},
};
use datafusion_common::DataFusionError;
use datafusion_physical_expr::PhysicalExpr;

use crate::{nested::Nested, types::Kind};

/// Makes as many rows of each as a list has elements.
#[derive(Clone, Debug)]
pub(crate) struct Spread {
    /// The list of each row.
    pub(crate) list: Arc<dyn PhysicalExpr>,
    /// Of what type.
    pub(crate) kind: Kind,
    /// Whether a row without elements is there once, with NULLs beside it.
    pub(crate) keeps: bool,
    /// Whether a last column says which element it is, from 1; INT.
    pub(crate) ordinality: bool,
    /// How many of the columns stay, those in front.
    pub(crate) width: usize,
    /// What comes out: these columns, those of elements, and the last one.
    pub(crate) schema: SchemaRef,
}

impl PartialEq for Spread {
    fn eq(&self, other: &Self) -> bool {
        let what = |spread: &Self| (spread.keeps, spread.ordinality, spread.width);
        *self.list == *other.list
            && self.kind == other.kind
            && what(self) == what(other)
            && self.schema == other.schema
    }
}

/// The types of the columns of elements: fields if they are rows.
pub(crate) fn columns(kind: &Kind) -> Option<Vec<(Option<String>, Kind, bool)>> {
    Some(match kind {
        Kind::Array(element) | Kind::Multiset(element) => match &element.kind {
            Kind::Row(fields) => {
                let null = element.nullable;
                let field = |(name, of): &(String, crate::types::Type)| {
                    (Some(name.clone()), of.kind.clone(), of.nullable || null)
                };
                fields.iter().map(field).collect()
            }
            kind => vec![(None, kind.clone(), element.nullable)],
        },
        Kind::Map(key, value) => vec![
            (Some("KEY".into()), key.kind.clone(), key.nullable),
            (Some("VALUE".into()), value.kind.clone(), value.nullable),
        ],
        _ => return None,
    })
}

impl Spread {
    /// The rows that are made of some, and which each is made of.
    pub(crate) fn run(
        &self,
        batch: &RecordBatch,
    ) -> Result<(RecordBatch, UInt32Array), DataFusionError> {
        let none = || DataFusionError::Execution(format!("{} has no elements", self.kind));
        let nested = Nested::of(&self.kind).ok_or_else(none)?;
        let lists = self.list.evaluate(batch)?.into_array(batch.num_rows())?;
        let (mut parts, ends) = nested.spread(&lists)?;
        let counts = match &self.kind {
            Kind::Multiset(_) => parts.pop(),
            _ => None,
        };
        let counts = counts.as_ref().map(|counts| counts.as_primitive::<Int32Type>());
        // Of a row that is NULL there is none, as in Flink.
        let rows_only = parts.first().filter(|_| self.has_rows());
        let times = |element: usize| match rows_only.is_some_and(|rows| rows.is_null(element)) {
            true => 0,
            false => counts.map_or(1, |counts| counts.value(element)),
        };
        let (mut rows, mut elements, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        let mut begin = 0;
        for (row, end) in (0u32..).zip(ends) {
            let first = rows.len();
            for element in std::mem::replace(&mut begin, end)..end {
                for _ in 0..times(element) {
                    numbers.push(Some((rows.len() - first) as i32 + 1));
                    rows.push(row);
                    elements.push(Some(element as u32));
                }
            }
            if self.keeps && rows.len() == first {
                rows.push(row);
                elements.push(None);
                numbers.push(None);
            }
        }
        let (rows, elements) = (UInt32Array::from(rows), UInt32Array::from(elements));
        let kept = batch.columns().iter().take(self.width);
        let kept = kept.map(|column| take(column, &rows, None));
        let mut columns = kept.collect::<Result<Vec<ArrayRef>, _>>()?;
        for part in self.apart(parts)? {
            columns.push(take(&part, &elements, None)?);
        }
        if self.ordinality {
            columns.push(Arc::new(Int32Array::from(numbers)));
        }
        Ok((crate::calc::batch(&self.schema, columns, rows.len())?, rows))
    }

    /// Whether elements are rows.
    fn has_rows(&self) -> bool {
        match &self.kind {
            Kind::Array(element) | Kind::Multiset(element) => matches!(element.kind, Kind::Row(_)),
            _ => false,
        }
    }

    /// The columns of elements: the fields of each if they are rows.
    fn apart(&self, parts: Vec<ArrayRef>) -> Result<Vec<ArrayRef>, DataFusionError> {
        let (Kind::Array(element) | Kind::Multiset(element)) = &self.kind else { return Ok(parts) };
        let fields = Nested::of(&element.kind).filter(Nested::is_row);
        match (fields, &parts[..]) {
            (Some(fields), [rows]) => {
                (0..fields.parts().len()).map(|at| fields.field(rows, at)).collect()
            }
            _ => Ok(parts),
        }
    }
}
