//! The windows that a time falls into.

use core::fmt;

use super::Window;

/// The begin of the window of `size` that `time` falls into, if windows begin at `offset` and every
/// `size` from there, before it, too. Begins before all time are moved there.
pub fn window_start(time: i64, offset: i64, size: i64) -> i64 {
    let (time, offset, size) = (i128::from(time), i128::from(offset), i128::from(size.max(1)));
    clamp(time - (time - offset).rem_euclid(size))
}

fn clamp(time: i128) -> i64 {
    i64::try_from(time).unwrap_or(if time < 0 { i64::MIN } else { i64::MAX })
}

/// Windows of one size, one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tumbling {
    size: i64,
    offset: i64,
}

/// Windows of one size, of which a new one begins after each slide: a time falls into several, or, if
/// the slide is larger than the size, into one or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sliding {
    size: i64,
    slide: i64,
    offset: i64,
}

/// Windows that begin where tumbling ones do, and end after each step up to the whole size (`CUMULATE`
/// of Flink's SQL).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cumulating {
    size: i64,
    step: i64,
    offset: i64,
}

/// Windows that there cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WindowError {
    /// A size, slide or step is not above 0.
    NotPositive {
        /// Which of them.
        what: &'static str,
        /// The value.
        found: i64,
    },
    /// The size is no multiple of the step.
    Step {
        /// The size.
        size: i64,
        /// The step.
        step: i64,
    },
}

impl fmt::Display for WindowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPositive { what, found } => {
                write!(f, "the {what} of a window is {found}: it must be above 0")
            }
            Self::Step { size, step } => write!(
                f,
                "cumulating windows of {size} cannot grow by {step}: the size must be a multiple of \
                 the step"
            ),
        }
    }
}

impl core::error::Error for WindowError {}

fn positive(what: &'static str, found: i64) -> Result<i64, WindowError> {
    if found > 0 { Ok(found) } else { Err(WindowError::NotPositive { what, found }) }
}

impl Tumbling {
    /// How long windows are.
    pub fn size(&self) -> i64 {
        self.size
    }

    /// Windows of `size` that begin at 0, the epoch, and every `size` from there.
    ///
    /// # Errors
    /// If the size is not above 0.
    pub fn of(size: i64) -> Result<Self, WindowError> {
        Ok(Self { size: positive("size", size)?, offset: 0 })
    }

    /// The same windows, later by `offset`.
    #[must_use]
    pub fn offset(self, offset: i64) -> Self {
        Self { offset, ..self }
    }

    /// The window that a time falls into.
    #[inline]
    pub fn assign(&self, time: i64) -> Window {
        let start = window_start(time, self.offset, self.size);
        Window { start, end: start.saturating_add(self.size) }
    }
}

impl Sliding {
    /// How long windows are.
    pub fn size(&self) -> i64 {
        self.size
    }

    /// A time at which a window begins.
    pub fn begin(&self) -> i64 {
        self.offset
    }

    /// How many windows a time falls into at most.
    pub fn windows(&self) -> i64 {
        self.size.div_euclid(self.slide) + i64::from(self.size % self.slide != 0)
    }

    /// Windows of `size` of which one begins at 0, the epoch, and one every `slide` from there.
    ///
    /// # Errors
    /// If one of them is not above 0.
    pub fn of(size: i64, slide: i64) -> Result<Self, WindowError> {
        let (size, slide) = (positive("size", size)?, positive("slide", slide)?);
        Ok(Self { size, slide, offset: 0 })
    }

    /// The same windows, later by `offset`.
    #[must_use]
    pub fn offset(self, offset: i64) -> Self {
        Self { offset, ..self }
    }

    /// The windows that a time falls into, the latest first.
    pub fn assign(&self, time: i64) -> impl Iterator<Item = Window> {
        let Self { size, slide, offset } = *self;
        let last = window_start(time, offset, slide);
        let starts = core::iter::successors(Some(last), move |start| start.checked_sub(slide));
        let holds = move |start: &i64| i128::from(*start) > i128::from(time) - i128::from(size);
        let window = move |start: i64| Window { start, end: start.saturating_add(size) };
        starts.take_while(holds).map(window)
    }

    /// The length of the slices that windows are made of: each is a whole number of them, so what is
    /// aggregated once by slice can be shared by all windows that it is in.
    pub fn slice(&self) -> i64 {
        let (mut a, mut b) = (self.size, self.slide);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    }
}

impl Cumulating {
    /// How long windows are at most.
    pub fn size(&self) -> i64 {
        self.size
    }

    /// How much longer than the one before a window is.
    pub fn step(&self) -> i64 {
        self.step
    }

    /// A time at which a window begins.
    pub fn begin(&self) -> i64 {
        self.offset
    }

    /// Windows that begin at 0, the epoch, and every `size` from there, and grow by `step`.
    ///
    /// # Errors
    /// If one of them is not above 0, or the size is no multiple of the step.
    pub fn of(size: i64, step: i64) -> Result<Self, WindowError> {
        let (size, step) = (positive("size", size)?, positive("step", step)?);
        match size % step {
            0 => Ok(Self { size, step, offset: 0 }),
            _ => Err(WindowError::Step { size, step }),
        }
    }

    /// The same windows, later by `offset`.
    #[must_use]
    pub fn offset(self, offset: i64) -> Self {
        Self { offset, ..self }
    }

    /// The windows that a time falls into, the shortest first.
    pub fn assign(&self, time: i64) -> impl Iterator<Item = Window> {
        let Self { size, step, offset } = *self;
        let start = window_start(time, offset, size);
        let first = window_start(time, offset, step).saturating_add(step);
        let last = start.saturating_add(size);
        let ends = core::iter::successors(Some(first), move |end| end.checked_add(step));
        ends.take_while(move |end| *end <= last).map(move |end| Window { start, end })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn windows_begin_where_flinks_do() {
        const HOUR: i64 = 3_600_000;
        let vectors = [
            (7, 0, 5, 5),
            (-1, 0, 5, -5),
            (-5, 0, 5, -5),
            (7, 2, 5, 7),
            (1, 2, 5, -3),
            (0, -8 * HOUR, 24 * HOUR, -8 * HOUR),
        ];
        for (time, offset, size, start) in vectors {
            assert_eq!(window_start(time, offset, size), start, "{time} {offset} {size}");
            let window = Tumbling::of(size).unwrap().offset(offset).assign(time);
            assert_eq!(window, Window { start, end: start + size });
            assert_eq!(window.max_time(), start + size - 1);
        }
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        assert_eq!(window_start(i64::MIN, 1, 10), i64::MIN);
        let tumbling = Tumbling::of(10).unwrap();
        assert_eq!(tumbling.assign(i64::MAX).end, i64::MAX);
        assert!(Sliding::of(10, 3).unwrap().assign(i64::MIN).count() <= 4);
        assert!(Cumulating::of(10, 5).unwrap().assign(i64::MAX).count() <= 2);
    }

    #[test]
    fn windows_that_there_cannot_be_are_refused() {
        assert!(Tumbling::of(0).is_err() && Sliding::of(5, -1).is_err());
        let error = Cumulating::of(10, 3).unwrap_err();
        assert!(alloc::format!("{error}").contains("multiple"));
        assert_eq!(Sliding::of(60, 24).unwrap().slice(), 12);
    }

    proptest! {
        /// Against a look at every window around.
        #[test]
        fn a_time_falls_into_the_windows_that_hold_it(
            time in -500i64..500, offset in -20i64..20, size in 1i64..30, slide in 1i64..30,
        ) {
            let holds = |window: &Window| window.start <= time && time < window.end;
            let begins = |step: i64| (-50..=50).map(move |n| offset + n * step)
                .chain((-1200..1200).map(move |n| offset + n * step));
            let expected = |mut windows: Vec<Window>| {
                windows.retain(holds);
                windows.sort_unstable();
                windows.dedup();
                windows
            };
            let sorted = |windows: &mut dyn Iterator<Item = Window>| {
                let mut windows: Vec<Window> = windows.collect();
                windows.sort_unstable();
                windows
            };
            let sliding = Sliding::of(size, slide).unwrap().offset(offset);
            let all = begins(slide).map(|start| Window { start, end: start + size }).collect();
            prop_assert_eq!(sorted(&mut sliding.assign(time)), expected(all));
            prop_assert_eq!(size % sliding.slice() + slide % sliding.slice(), 0);
            let whole = size * slide;
            let cumulating = Cumulating::of(whole, slide).unwrap().offset(offset);
            let all = begins(whole)
                .flat_map(|start| {
                    (1..=size).map(move |n| Window { start, end: start + n * slide })
                })
                .collect();
            prop_assert_eq!(sorted(&mut cumulating.assign(time)), expected(all));
        }
    }
}
