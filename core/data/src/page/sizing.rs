//! How many rows the next page should have room for.

use alloc::sync::Arc;

use super::{ColumnKind, Layout, Shape};

/// Chooses the layout of each page from the rows of the pages before it.
///
/// Columns and heap share a segment, so the number of rows must be chosen when the page is opened.
/// The running mean of heap bytes a row (weight 1/4 for the newest page) decides; the layout is
/// made anew only when the capacity would change by more than an eighth.
#[derive(Clone, Debug)]
pub struct Sizing {
    shape: Arc<Shape>,
    layout: Arc<Layout>,
    size: usize,
    /// Mean heap bytes a row, in sixteenths.
    mean_sixteenths: usize,
}

/// Heap bytes that a string is expected to take before any page was seen.
const FIRST_GUESS_BYTES: usize = 16;

impl Sizing {
    /// Pages of `size` bytes for rows of `shape`. `None` if not even one row without long strings
    /// fits: the segment is too small for the schema.
    pub fn new(shape: Arc<Shape>, size: usize) -> Option<Self> {
        let strings = shape.columns.iter().filter(|column| is_view(column.kind)).count();
        let guess = FIRST_GUESS_BYTES * strings;
        let layout = Layout::fitted(&shape, size, guess)?;
        Some(Self { shape, layout: Arc::new(layout), size, mean_sixteenths: guess * 16 })
    }

    /// The shape of the rows.
    pub fn shape(&self) -> &Arc<Shape> {
        &self.shape
    }

    /// The layout for the next page.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Learns from a page: its rows, and the heap bytes that they took.
    pub fn learn(&mut self, rows: usize, heap_bytes: usize) {
        if rows == 0 || (heap_bytes == 0 && self.mean_sixteenths == 0) {
            return;
        }
        let newest = heap_bytes * 16 / rows;
        self.mean_sixteenths = (self.mean_sixteenths * 3 + newest) / 4;
        let (old, new) = (self.layout.capacity(), self.fitting_capacity());
        if old.abs_diff(new) > old / 8 {
            self.fit();
        }
    }

    /// A row did not fit an empty page: makes room for fewer rows and more heap. `false` if the
    /// layout is already for one row; then the row fits no page of this size.
    pub fn make_room(&mut self) -> bool {
        if self.layout.capacity() == 1 {
            return false;
        }
        self.mean_sixteenths = (self.mean_sixteenths * 2).max(16 * FIRST_GUESS_BYTES);
        self.fit();
        true
    }

    fn fitting_capacity(&self) -> usize {
        self.shape.capacity(self.size, self.mean_sixteenths.div_ceil(16))
    }

    fn fit(&mut self) {
        let heap = self.mean_sixteenths.div_ceil(16);
        if let Some(layout) = Layout::fitted(&self.shape, self.size, heap) {
            self.layout = Arc::new(layout);
        }
    }
}

fn is_view(kind: ColumnKind) -> bool {
    matches!(kind, ColumnKind::String | ColumnKind::Bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{types::DataType, types::Field, types::Schema};
    use alloc::vec;

    fn sizing() -> Sizing {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64),
            Field::new("text", DataType::String),
        ]);
        Sizing::new(Arc::new(Shape::new(&schema)), 32768).unwrap()
    }

    #[test]
    fn capacity_follows_the_rows() {
        let mut sizing = sizing();
        let first = sizing.layout().capacity();
        for _ in 0..20 {
            sizing.learn(100, 100 * 1000);
        }
        assert!((28..=36).contains(&sizing.layout().capacity()), "{:?}", sizing.layout());
        for _ in 0..40 {
            sizing.learn(100, 0);
        }
        assert!(sizing.layout().capacity() > first);
    }

    #[test]
    fn room_is_made_down_to_one_row() {
        let mut sizing = sizing();
        let mut steps = 0;
        while sizing.make_room() {
            steps += 1;
        }
        assert_eq!(sizing.layout().capacity(), 1);
        assert!(steps < 20);
    }
}
