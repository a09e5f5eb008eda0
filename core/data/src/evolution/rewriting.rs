//! Rows in the row format, one at a time, as rows of another schema.

use alloc::{sync::Arc, vec::Vec};
use core::fmt;

use super::Plan;
use crate::{
    page::{Demand, Layout, RowBuilder, Shape, ValidPage},
    row::{PageRows, RowError, RowLayout, scatter},
    types::Schema,
};

/// Bytes of a row of the old schema become bytes of one of the new schema.
///
/// ```
/// use millstream_data::{
///     evolution::{Compatibility, RowRewriting, Snapshot, compatibility},
///     row::RowLayout,
///     types::{DataType, Field, Schema},
///     value::Record,
/// };
///
/// let old = <(i32,)>::schema();
/// let mut fields = <(i64,)>::schema().fields;
/// fields.push(Field::new("note", DataType::String).nullable());
/// let new = Schema::new(fields);
/// let answer = compatibility(&Snapshot::value(old.clone()), &Snapshot::value(new.clone()));
/// let Compatibility::AfterMigration(plan) = answer else { panic!("{answer:?}") };
/// let (mut before, mut after) = (Vec::new(), Vec::new());
/// RowLayout::new(&old).encode::<(i32,)>((7,), &mut before);
/// RowRewriting::new(plan, &old, &new).rewrite(&before, &mut after)?;
/// let layout = RowLayout::new(&new);
/// let row = layout.validate(&after).unwrap();
/// assert_eq!(row.fixed::<8>(0), 7i64.to_le_bytes());
/// assert!(row.is_null(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct RowRewriting {
    plan: Plan,
    old: (RowLayout, Arc<Shape>),
    new: (RowLayout, Arc<Shape>),
    /// Pages for one row of each, in words, as pages are aligned.
    pages: [Vec<u128>; 2],
}

impl RowRewriting {
    /// By a plan from one schema to the other.
    pub fn new(plan: Plan, old: &Schema, new: &Schema) -> Self {
        let of = |schema| (RowLayout::new(schema), Arc::new(Shape::new(schema)));
        Self { plan, old: of(old), new: of(new), pages: [Vec::new(), Vec::new()] }
    }

    /// Appends a row of the old schema as one of the new schema.
    ///
    /// # Errors
    /// [`RewriteError`] if the bytes are no row of the old schema, or it gets too large.
    pub fn rewrite(&mut self, row: &[u8], out: &mut Vec<u8>) -> Result<(), RewriteError> {
        let [old_page, new_page] = &mut self.pages;
        let row = self.old.0.validate(row).map_err(RewriteError::Row)?;
        let demand = row.demand(&self.old.1);
        // Of whichever list elements are: there are not more of them in any.
        let all = demand.elements.iter().fold(0u32, |sum, elements| sum.saturating_add(*elements));
        let mut elements = self.new.1.list_lengths();
        elements.iter_mut().for_each(|elements| *elements = all);
        let room = Demand { heap_bytes: demand.heap_bytes, elements };
        let layout = Layout::jumbo(&self.old.1, &demand).ok_or(RewriteError::TooLarge)?;
        let layout = Arc::new(layout);
        let mut rows = RowBuilder::new(bytes(old_page, layout.size()), &self.old.1, &layout);
        scatter(&row, &mut rows).map_err(|_| RewriteError::TooLarge)?;
        let sealed = rows.seal(false);
        let page = trusted(sealed.buffer, sealed.length)?;
        let migration = self.plan.open(&page).map_err(|_| RewriteError::OtherSchema)?;
        let layout = Layout::jumbo(&self.new.1, &room).ok_or(RewriteError::TooLarge)?;
        let layout = Arc::new(layout);
        let mut rows = RowBuilder::new(bytes(new_page, layout.size()), &self.new.1, &layout);
        migration.write(0, &mut rows).map_err(|_| RewriteError::TooLarge)?;
        let sealed = rows.seal(false);
        let page = trusted(sealed.buffer, sealed.length)?;
        let rows = PageRows::new(&self.new.0, &page).map_err(|_| RewriteError::OtherSchema)?;
        rows.gather(0, out);
        Ok(())
    }
}

fn bytes(words: &mut Vec<u128>, size: usize) -> &mut [u8] {
    let count = size.div_ceil(size_of::<u128>());
    if words.len() < count {
        words.resize(count, 0);
    }
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(words);
    bytes.get_mut(..size).unwrap_or_default()
}

/// The page that was just built.
fn trusted(buffer: &[u8], length: usize) -> Result<ValidPage<'_>, RewriteError> {
    let page = buffer.get(..length).unwrap_or_default();
    ValidPage::trusted(page).map_err(|_| RewriteError::TooLarge)
}

impl fmt::Debug for RowRewriting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowRewriting").field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// Why a row was not rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RewriteError {
    /// The bytes are no row of the old schema.
    Row(RowError),
    /// It takes 4 GiB or more.
    TooLarge,
    /// The plan is not for these schemas.
    OtherSchema,
}

impl fmt::Display for RewriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row(error) => write!(f, "{error}"),
            Self::TooLarge => f.write_str("it takes 4 GiB or more"),
            Self::OtherSchema => f.write_str("the plan is for other schemas"),
        }
    }
}

impl core::error::Error for RewriteError {}
