//! Which windows a time falls into, for windows that are the same for all keys.

use millstream_state::window::{Cumulating, Sliding, Tumbling, Window, window_start};

/// Says which windows there are: the same for all keys, each a whole number of slices.
pub trait WindowAssigner: Clone + Send + Sync + 'static {
    /// The slice that a time falls into.
    fn slice(&self, time: i64) -> Window;

    /// How windows are made of slices; `None` if each is one slice.
    fn slices(&self) -> Option<Slices> {
        None
    }

    /// Calls `each` for the windows that a slice is part of.
    fn windows(&self, slice: Window, each: &mut dyn FnMut(Window));

    /// The window that ends at a time.
    fn ending(&self, end: i64) -> Window;
}

/// How windows are made of slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slices {
    /// A time at which a window begins.
    pub begin: i64,
    /// How long a slice is, in milliseconds.
    pub length: i64,
    /// Slices of the longest window.
    pub count: u32,
}

impl Slices {
    fn new(begin: i64, length: i64, longest: i64) -> Self {
        let length = length.max(1);
        Self { begin, length, count: u32::try_from(longest / length).unwrap_or(u32::MAX) }
    }
}

impl WindowAssigner for Tumbling {
    #[inline]
    fn slice(&self, time: i64) -> Window {
        self.assign(time)
    }

    fn windows(&self, slice: Window, each: &mut dyn FnMut(Window)) {
        each(slice);
    }

    fn ending(&self, end: i64) -> Window {
        Window { start: end.saturating_sub(self.size()), end }
    }
}

impl WindowAssigner for Sliding {
    fn slice(&self, time: i64) -> Window {
        let start = window_start(time, self.begin(), Self::slice(self));
        Window { start, end: start.saturating_add(Self::slice(self)) }
    }

    fn slices(&self) -> Option<Slices> {
        Some(Slices::new(self.begin(), Self::slice(self), self.size()))
    }

    fn windows(&self, slice: Window, each: &mut dyn FnMut(Window)) {
        self.assign(slice.start).for_each(each);
    }

    fn ending(&self, end: i64) -> Window {
        Window { start: end.saturating_sub(self.size()), end }
    }
}

impl WindowAssigner for Cumulating {
    fn slice(&self, time: i64) -> Window {
        let start = window_start(time, self.begin(), self.step());
        Window { start, end: start.saturating_add(self.step()) }
    }

    fn slices(&self) -> Option<Slices> {
        Some(Slices::new(self.begin(), self.step(), self.size()))
    }

    fn windows(&self, slice: Window, each: &mut dyn FnMut(Window)) {
        self.assign(slice.start).for_each(each);
    }

    fn ending(&self, end: i64) -> Window {
        let start = window_start(end.saturating_sub(1), self.begin(), self.size());
        Window { start, end }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// Every time of a slice is in the windows that the slice is in, and in no others.
    fn slices_are_whole(
        assigner: &impl WindowAssigner,
        time: i64,
        mut expected: Vec<Window>,
    ) -> Result<(), TestCaseError> {
        let slice = assigner.slice(time);
        prop_assert!(slice.start <= time && time < slice.end);
        let mut windows = Vec::new();
        assigner.windows(slice, &mut |window| windows.push(window));
        windows.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(&windows, &expected);
        for window in windows {
            prop_assert!(window.start <= slice.start && slice.end <= window.end);
            prop_assert_eq!(assigner.ending(window.end), window);
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn a_slice_is_in_the_windows_of_its_times(
            time in -500i64..500, offset in -20i64..20, size in 1i64..30, slide in 1i64..30,
        ) {
            let tumbling = Tumbling::of(size).unwrap().offset(offset);
            slices_are_whole(&tumbling, time, [tumbling.assign(time)].to_vec())?;
            let sliding = Sliding::of(size, slide).unwrap().offset(offset);
            slices_are_whole(&sliding, time, sliding.assign(time).collect())?;
            let cumulating = Cumulating::of(size * slide, slide).unwrap().offset(offset);
            slices_are_whole(&cumulating, time, cumulating.assign(time).collect())?;
        }
    }
}
