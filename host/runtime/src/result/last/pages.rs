//! Pages made of rows.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use millstream_data::{
    page::{Layout, RowBuilder, Shape, Sizing, ValidPage},
    row::{Row, scatter},
    types::Schema,
};
use millstream_dataflow::TaskError;

/// Bytes of a page, of more if a row needs it.
const PAGE_BYTES: usize = 64 << 10;
/// The largest page.
const PAGE_BYTES_MAX: usize = 1 << 31;

/// Makes pages of rows.
pub(super) struct Pages {
    sizing: Sizing,
    size: usize,
    page: Option<RowBuilder<Segment>>,
}

impl Pages {
    pub(super) fn new(schema: &Schema) -> Result<Self, TaskError> {
        let (shape, mut size) = (Arc::new(Shape::new(schema)), PAGE_BYTES);
        while size <= PAGE_BYTES_MAX {
            if let Some(sizing) = Sizing::new(Arc::clone(&shape), size) {
                return Ok(Self { sizing, size, page: None });
            }
            size *= 2;
        }
        Err(TaskError::new("the result has more columns than a page can have"))
    }

    /// Adds a row; `each` gets the page before it if that is full.
    pub(super) fn write(
        &mut self,
        row: &Row<'_>,
        each: &mut impl FnMut(&ValidPage<'_>) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        loop {
            let (sizing, size) = (&self.sizing, self.size);
            let page = self.page.get_or_insert_with(|| {
                RowBuilder::new(Segment::new(size), sizing.shape(), sizing.layout())
            });
            if scatter(row, page).is_ok() {
                return Ok(());
            }
            if page.rows() > 0 {
                self.submit(each)?;
                continue;
            }
            self.page = None;
            let demand = row.demand(self.sizing.shape());
            if self.sizing.make_room(&demand) {
                continue;
            }
            let shape = self.sizing.shape();
            let too_large = || TaskError::new("a row of the result has 4 GiB or more");
            let layout = Arc::new(Layout::jumbo(shape, &demand).ok_or_else(too_large)?);
            let mut page = RowBuilder::new(Segment::new(layout.size()), shape, &layout);
            scatter(row, &mut page).map_err(|_| too_large())?;
            self.page = Some(page);
            return self.submit(each);
        }
    }

    /// Hands out the page, if it has rows.
    pub(super) fn submit(
        &mut self,
        each: &mut impl FnMut(&ValidPage<'_>) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        let Some(page) = self.page.take() else { return Ok(()) };
        let sealed = page.seal(false);
        self.sizing.learn(sealed.rows, &sealed.demand);
        let page = ValidPage::trusted(&sealed.buffer);
        each(&page.map_err(|error| TaskError::new(error.to_string()))?)
    }
}

/// Memory for a page, aligned as pages have to be.
pub(in crate::result) struct Segment(Vec<u128>);

impl Segment {
    pub(in crate::result) fn new(bytes: usize) -> Self {
        Self(vec![0; bytes.div_ceil(16)])
    }
}

impl Deref for Segment {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

impl DerefMut for Segment {
    fn deref_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}
