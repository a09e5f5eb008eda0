//! How many rows the next page should have room for.

use alloc::{sync::Arc, vec, vec::Vec};

use super::{Layout, Shape};
use crate::value::Value;

/// What rows take of a page beside their own cells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Bytes of heap.
    pub heap_bytes: usize,
    /// Elements of lists, by domain (see [`Physical::domain`](super::Physical::domain)); empty for
    /// a shape without lists. The first entry stands for the rows and is not used.
    pub elements: Vec<u32>,
}

impl Demand {
    /// What one row takes.
    pub fn of<T: Value>(row: T::View<'_>) -> Self {
        let mut elements = if T::LISTS > 0 { vec![0; T::LISTS + 1] } else { Vec::new() };
        T::count_elements(row, 1, &mut elements);
        Self { heap_bytes: T::heap_bytes(row), elements }
    }
}

/// What a page had too little of for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// The heap, for strings.
    Heap,
    /// Room for elements, in the columns of this domain.
    Elements(u16),
}

/// What a row takes on average beside its own cells, in sixteenths.
#[derive(Clone, Debug)]
pub(super) struct Means {
    pub(super) heap: usize,
    /// By domain; the first is one row a row.
    pub(super) elements: Vec<usize>,
}

impl Means {
    /// Rows that take `heap_bytes` of heap, and a few elements in each list.
    pub(super) fn guess(shape: &Shape, heap_bytes: usize) -> Self {
        let mut elements = vec![FIRST_GUESS_ELEMENTS * ONE; usize::from(shape.domains)];
        elements[0] = ONE;
        Self { heap: heap_bytes * ONE, elements }
    }

    /// Room for elements by domain, for so many rows. `None` if that is beyond all counting.
    pub(super) fn capacities(&self, rows: usize) -> Option<Vec<u32>> {
        let room = |mean: &usize| {
            let elements = (rows as u64).checked_mul(*mean as u64)?.div_ceil(ONE as u64);
            u32::try_from(elements).ok()
        };
        self.elements.iter().map(room).collect()
    }

    /// Moves towards a page; the newest page has a quarter of the weight.
    fn learn(&mut self, rows: usize, demand: &Demand) {
        self.heap = (self.heap * 3 + demand.heap_bytes * ONE / rows) / 4;
        for (mean, elements) in self.elements.iter_mut().zip(&demand.elements).skip(1) {
            let newest = *elements as usize * ONE / rows;
            // A list that was always empty keeps a little room: else its first element costs a page.
            *mean = ((*mean * 3 + newest) / 4).max(ELEMENTS_MIN);
        }
    }

    /// At least what this row takes.
    fn raise(&mut self, demand: &Demand) {
        self.heap = self.heap.max(demand.heap_bytes.saturating_mul(ONE));
        for (mean, elements) in self.elements.iter_mut().zip(&demand.elements).skip(1) {
            *mean = (*mean).max((*elements as usize).saturating_mul(ONE));
        }
    }

    fn double(&mut self, shortage: Shortage) {
        match shortage {
            Shortage::Heap => {
                self.heap = self.heap.saturating_mul(2).max(FIRST_GUESS_BYTES * ONE);
            }
            Shortage::Elements(domain) => {
                if let Some(mean) = self.elements.get_mut(usize::from(domain)) {
                    *mean = mean.saturating_mul(2).max(FIRST_GUESS_ELEMENTS * ONE);
                }
            }
        }
    }
}

/// Chooses the layout of each page from the rows of the pages before it.
///
/// Columns and heap share a segment, so the number of rows must be chosen when the page is opened,
/// and so must the room for the elements of their lists. The running means of heap bytes and
/// elements a row (weight 1/4 for the newest page) decide; a page is full as soon as one of rows,
/// heap and elements is used up. The layout is made anew only when a capacity would change by more
/// than an eighth.
#[derive(Clone, Debug)]
pub struct Sizing {
    shape: Arc<Shape>,
    layout: Arc<Layout>,
    size: usize,
    means: Means,
}

/// One, in sixteenths.
const ONE: usize = 16;
/// Heap bytes that a string is expected to take before any page was seen.
const FIRST_GUESS_BYTES: usize = 16;
/// Elements that a list is expected to have before any page was seen.
const FIRST_GUESS_ELEMENTS: usize = 4;
/// The least mean of elements a row, in sixteenths.
const ELEMENTS_MIN: usize = ONE / 4;

impl Sizing {
    /// Pages of `size` bytes for rows of `shape`. `None` if not even one row without long strings
    /// fits: the segment is too small for the schema.
    pub fn new(shape: Arc<Shape>, size: usize) -> Option<Self> {
        let strings = shape.columns.iter().filter(|column| column.kind.is_view()).count();
        let means = Means::guess(&shape, FIRST_GUESS_BYTES * strings);
        let layout = Layout::for_means(&shape, size, &means)?;
        Some(Self { shape, layout: Arc::new(layout), size, means })
    }

    /// The shape of the rows.
    pub fn shape(&self) -> &Arc<Shape> {
        &self.shape
    }

    /// The layout for the next page.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Learns from a page: its rows, and what they took together.
    pub fn learn(&mut self, rows: usize, demand: &Demand) {
        let lists = self.means.elements.len() > 1;
        if rows == 0 || (!lists && demand.heap_bytes == 0 && self.means.heap == 0) {
            return;
        }
        self.means.learn(rows, demand);
        let differs = |old: u32, new: usize| (old as usize).abs_diff(new) > old as usize / 8;
        let rows = self.layout.capacity();
        let room = self.layout.capacities.iter().zip(&self.means.elements).skip(1);
        if differs(rows as u32, self.shape.capacity(self.size, &self.means))
            || room.into_iter().any(|(room, mean)| differs(*room, (rows * mean).div_ceil(ONE)))
        {
            self.fit();
        }
    }

    /// A row that takes this did not fit an empty page: makes room for fewer rows, and more heap
    /// and elements. `false` if the row fits no page of this size.
    pub fn make_room(&mut self, demand: &Demand) -> bool {
        let before = self.means.clone();
        self.means.raise(demand);
        if self.fit() && self.layout.holds(demand) {
            return true;
        }
        // The other rows' share may be what is in the way.
        let mut elements = vec![ELEMENTS_MIN; before.elements.len()];
        elements[0] = ONE;
        self.means = Means { heap: 0, elements };
        self.means.raise(demand);
        if self.fit() && self.layout.holds(demand) {
            return true;
        }
        self.means = before;
        self.fit();
        false
    }

    /// A row that is written cell by cell did not fit an empty page, for want of this: makes more
    /// room of that kind. `false` if there is none; then the row fits no page of this size.
    pub fn make_room_of(&mut self, shortage: Shortage) -> bool {
        // The heap of a page for one row is all that its columns leave.
        let exhausted = shortage == Shortage::Heap && self.layout.capacity() == 1;
        self.means.double(shortage);
        !exhausted && self.fit()
    }

    /// The layout of a page of `size` bytes for one row of which only is known that it fits no page
    /// of the usual size: elements and heap share the page as the means say. `None` if not even a
    /// row without elements fits.
    pub fn jumbo(&self, size: usize) -> Option<Layout> {
        let mut nothing = vec![0; self.means.elements.len()];
        nothing[0] = 1;
        let fixed = Layout::new(&self.shape, size, &nothing)?;
        let row = u128::from(self.shape.row_bits(&self.means).div_ceil(8).max(1));
        let share = |room: u128, mean: &usize| {
            let elements = (*mean as u128 * room / row).div_ceil(ONE as u128);
            u32::try_from(elements).unwrap_or(u32::MAX)
        };
        let mut room = size.checked_sub(fixed.floor as usize)? as u128;
        loop {
            let shares = self.means.elements.iter().map(|mean| share(room, mean));
            let mut capacities: Vec<u32> = shares.collect();
            capacities[0] = 1;
            if let Some(layout) = Layout::new(&self.shape, size, &capacities) {
                return Some(layout);
            }
            // Without room there are no elements at all, and the columns fit.
            room = room.checked_sub((room / 16).max(1))?;
        }
    }

    /// `false`, and the layout as it was, if not even one row fits.
    fn fit(&mut self) -> bool {
        let layout = Layout::for_means(&self.shape, self.size, &self.means);
        let fits = layout.is_some();
        if let Some(layout) = layout {
            self.layout = Arc::new(layout);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{Record, Value};
    use alloc::string::String;

    fn sizing<T: Record>() -> Sizing {
        Sizing::new(Arc::new(Shape::new(&T::schema())), 32768).unwrap()
    }

    fn demand(heap_bytes: usize, elements: &[u32]) -> Demand {
        Demand { heap_bytes, elements: elements.into() }
    }

    #[test]
    fn capacity_follows_the_rows() {
        let mut sizing = sizing::<(i64, String)>();
        let first = sizing.layout().capacity();
        for _ in 0..20 {
            sizing.learn(100, &demand(100 * 1000, &[]));
        }
        assert!((28..=36).contains(&sizing.layout().capacity()), "{:?}", sizing.layout());
        for _ in 0..40 {
            sizing.learn(100, &demand(0, &[]));
        }
        assert!(sizing.layout().capacity() > first);
    }

    #[test]
    fn room_for_elements_follows_the_lists() {
        let mut sizing = sizing::<(i64, Vec<i64>)>();
        for _ in 0..30 {
            sizing.learn(100, &demand(0, &[0, 100 * 100]));
        }
        let layout = sizing.layout();
        // 8 + 4 + 100 * 8 bytes a row.
        assert!((35..=45).contains(&layout.capacity()), "{layout:?}");
        assert!(layout.capacities[1] as usize >= 85 * layout.capacity(), "{layout:?}");
        for _ in 0..40 {
            sizing.learn(100, &demand(0, &[0, 0]));
        }
        assert!(sizing.layout().capacity() > 2000, "{:?}", sizing.layout());
        assert!(sizing.layout().capacities[1] > 0);
    }

    #[test]
    fn room_is_made_for_a_row_that_fits_a_page_and_for_no_other() {
        type Row = (Vec<i64>, Vec<String>);
        let row = |numbers, strings, length| -> Row {
            (vec![7; numbers], vec!["x".repeat(length); strings])
        };
        for (numbers, strings, length, fits) in [
            (4000, 0, 0, true),
            (5000, 0, 0, false),
            (0, 2000, 3, true),
            (0, 2, 16000, true),
            (0, 2, 17000, false),
            (1000, 500, 20, true),
        ] {
            let mut sizing = sizing::<Row>();
            let row = row(numbers, strings, length);
            let demand = Demand::of::<Row>(row.view());
            assert_eq!(sizing.make_room(&demand), fits, "{numbers} {strings} {length}");
            assert!(!fits || sizing.layout().holds(&demand));
        }
    }

    #[test]
    fn room_is_made_step_by_step_until_there_is_none() {
        for shortage in [Shortage::Heap, Shortage::Elements(1)] {
            let mut sizing = sizing::<(String, Vec<i64>)>();
            let mut steps = 0;
            while sizing.make_room_of(shortage) {
                steps += 1;
            }
            assert!((1..20).contains(&steps), "{shortage:?}: {steps}");
            assert_eq!(sizing.layout().capacity(), 1);
        }
    }

    #[test]
    fn a_jumbo_grows_where_it_is_short() {
        let mut sizing = sizing::<(String, Vec<i64>, Vec<i64>)>();
        while sizing.make_room_of(Shortage::Elements(2)) {}
        let mut size = 64 << 10;
        while sizing.jumbo(size).unwrap().capacities[2] < 1 << 17 {
            sizing.make_room_of(Shortage::Elements(2));
            size *= 2;
        }
        // A mebibyte is needed; nearly all of the last attempt went to it.
        assert_eq!(size, 2 << 20);
    }
}
