//! Columns that all rows of an input have in common, which no format knows of: those of a file's directory, and
//! what is known of the file itself.

use std::sync::Arc;

use millstream_data::{
    page::{Layout, RowBuilder, Shape, ValidPage},
    types::Schema,
};
use millstream_dataflow::graph::{decode_schema, encode_schema};

use crate::{Error, source::Rows};

/// Bytes of a page for texts of so many bytes; the rest is for the cells.
const CELLS: usize = 4096;

/// The cells of some columns, the same for each row. They stand behind those of the format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constants {
    pub(crate) schema: Vec<u8>,
    /// A page of one row, in words so that it is aligned.
    page: Vec<u128>,
    length: usize,
}

impl Constants {
    /// The cells that `write` writes of columns of `schema`, in which nothing is nested; their texts have
    /// `text_bytes` at most.
    ///
    /// # Errors
    /// If there is no room for them, or what `write` says.
    pub fn new(
        schema: &Schema,
        text_bytes: usize,
        write: impl FnOnce(&mut RowBuilder<&mut [u8]>) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let shape = Arc::new(Shape::new(schema));
        let size = (CELLS + 64 * schema.fields.len() + text_bytes).next_multiple_of(16);
        let layout = Layout::new(&shape, size, &[1])
            .ok_or_else(|| Error::new("the columns that are the same for all rows are too many"))?;
        let mut page = vec![0_u128; size / 16];
        let mut rows =
            RowBuilder::new(bytemuck::cast_slice_mut(&mut page), &shape, &Arc::new(layout));
        write(&mut rows)?;
        rows.commit();
        let length = rows.seal(false).length;
        Ok(Self { schema: encode_schema(schema), page, length })
    }

    /// The bytes of the page.
    pub(crate) fn page(&self) -> &[u8] {
        let bytes: &[u8] = bytemuck::cast_slice(&self.page);
        bytes.get(..self.length).unwrap_or_default()
    }

    /// Those whose schema and page were lent; `None` if there are none.
    pub(super) fn lent(schema: &[u8], page: &[u8]) -> Result<Option<(Self, Schema)>, Error> {
        if schema.is_empty() {
            return Ok(None);
        }
        let columns = decode_schema(schema).map_err(|error| Error::new(error.to_string()))?;
        let mut words = vec![0_u128; page.len().div_ceil(16)];
        bytemuck::cast_slice_mut::<_, u8>(&mut words)[..page.len()].copy_from_slice(page);
        let made = Self { schema: schema.into(), page: words, length: page.len() };
        // What is lent by another plugin is looked at before it is used.
        ValidPage::validate(made.page(), &Shape::new(&columns))
            .map_err(|error| Error::new(format!("cells that are lent are none: {error}")))?;
        Ok(Some((made, columns)))
    }

    /// Writes them into the row that begins, from a physical column on; `false` if the page has no room.
    pub(super) fn put(&self, first: usize, rows: &mut Rows<'_>) -> bool {
        let Ok(page) = ValidPage::trusted(self.page()) else { return true };
        let columns = first..first + page.columns();
        let heap = |_| {
            let views =
                columns.clone().filter(|column| rows.shape().columns()[*column].kind.is_view());
            views
                .map(|column| {
                    millstream_data::page::heap_bytes(page.column(column - first).views().at(0))
                })
                .sum()
        };
        if rows.room_for_run(1, heap) == 0 {
            return false;
        }
        for column in columns {
            rows.put_column_run(column, &page.column(column - first), 0..1);
        }
        true
    }
}
