//! Rows in the row format, ordered by their fields.

use core::cmp::Ordering;

use millstream_data::{
    order::{OrderError, RowOrder, SortField},
    row::RowLayout,
    types::Schema,
};

use crate::Order;

/// Rows of a schema in the row format, ordered by some of its fields.
#[derive(Clone, Debug)]
pub struct ByFields {
    layout: RowLayout,
    order: RowOrder,
    decides: bool,
}

impl ByFields {
    /// Orders rows of `schema`, whose layout is `layout`, by `fields`.
    ///
    /// # Errors
    ///
    /// [`OrderError`] if a field is not there, or its type has no order.
    pub fn new(
        schema: &Schema,
        layout: RowLayout,
        fields: &[SortField],
    ) -> Result<Self, OrderError> {
        let order = RowOrder::new(schema, &layout, fields)?;
        let decides = order.prefix_decides(size_of::<u64>());
        Ok(Self { layout, order, decides })
    }

    /// The layout of the rows.
    pub fn layout(&self) -> &RowLayout {
        &self.layout
    }
}

/// Bytes that are no row, which nobody pushes, come first.
impl Order for ByFields {
    fn prefix(&self, row: &[u8]) -> u64 {
        self.layout.trusted(row).map_or(0, |row| self.order.prefix(&row))
    }

    fn prefix_decides(&self) -> bool {
        self.decides
    }

    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        match (self.layout.trusted(a), self.layout.trusted(b)) {
            (Ok(a), Ok(b)) => self.order.compare(&a, &b),
            (a, b) => a.is_ok().cmp(&b.is_ok()),
        }
    }
}
