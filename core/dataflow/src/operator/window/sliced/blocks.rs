//! Spans of time whose slices are kept together.

use millstream_state::window::Window;

use crate::operator::window::Slices;

/// Slices of a block, at most: a bit for each fits a word.
pub(super) const SLOTS_MAX: usize = 64;

/// How time is divided into blocks, and those into slots, one for each slice. No block is longer than the
/// longest window, and each longest window is a whole number of blocks long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocks {
    slices: Slices,
    slots: usize,
}

impl Blocks {
    /// Blocks of at most `slots_max` slices, and of one at least.
    pub(super) fn new(slices: Slices, slots_max: usize) -> Self {
        let count = slices.count.max(1) as usize;
        let most = slots_max.clamp(1, SLOTS_MAX).min(count);
        let slots = (1..=most).rev().find(|slots| count.is_multiple_of(*slots)).unwrap_or(1);
        Self { slices, slots }
    }

    /// Slots of each block.
    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    fn length(&self) -> i128 {
        i128::from(self.slices.length.max(1))
    }

    /// Where the block of a time begins; it may be in front of all time.
    fn start(&self, time: i64) -> i128 {
        let time = i128::from(time);
        let span = self.length() * self.slots as i128;
        time - (time - i128::from(self.slices.begin)).rem_euclid(span)
    }

    /// The block of a time, by its begin, and the slot.
    pub(super) fn slot(&self, time: i64) -> (i64, usize) {
        let start = self.start(time);
        (clamp(start), ((i128::from(time) - start) / self.length()) as usize)
    }

    /// Where a block ends.
    pub(super) fn end(&self, block: i64) -> i64 {
        clamp(self.start(block) + self.length() * self.slots as i128)
    }

    /// How many slots of a block have ended when a time is reached.
    pub(super) fn ended(&self, block: i64, time: i64) -> usize {
        let passed = (i128::from(time) - self.start(block)) / self.length();
        passed.clamp(0, self.slots as i128) as usize
    }

    /// The slots of a block that are part of a window.
    pub(super) fn within(&self, block: i64, window: Window) -> (usize, usize) {
        (self.ended(block, window.start), self.ended(block, window.end))
    }
}

fn clamp(time: i128) -> i64 {
    i64::try_from(time).unwrap_or(if time < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_window_is_a_whole_number_of_blocks() {
        let blocks = |count, max| Blocks::new(Slices { begin: 0, length: 5, count }, max).slots();
        assert_eq!([blocks(60, 64), blocks(60, 45), blocks(60, 1), blocks(60, 0)], [60, 30, 1, 1]);
        assert_eq!([blocks(1440, 1000), blocks(61, 60), blocks(1, 9)], [60, 1, 1]);
    }

    #[test]
    fn the_first_block_of_all_time_may_begin_before_it() {
        let blocks = Blocks::new(Slices { begin: 0, length: 10, count: 7 }, 64);
        for time in [i64::MIN, i64::MIN + 25, i64::MAX - 1, i64::MAX] {
            let (block, slot) = blocks.slot(time);
            assert!(block <= time && slot < 7, "{time}: {block} {slot}");
            assert_eq!(blocks.slot(block).0, block);
            assert!(blocks.ended(block, time) == slot);
        }
    }

    proptest! {
        #[test]
        fn slots_are_slices(
            time in -1000i64..1000, begin in -50i64..50, length in 1i64..9, count in 1u32..70, max in 0usize..70,
        ) {
            let blocks = Blocks::new(Slices { begin, length, count }, max);
            let (block, slot) = blocks.slot(time);
            let slice = block + slot as i64 * length;
            prop_assert!(slice <= time && time < slice + length);
            prop_assert_eq!((slice - begin).rem_euclid(length), 0);
            prop_assert!(slot < blocks.slots() && (count as usize).is_multiple_of(blocks.slots()));
            prop_assert_eq!(blocks.end(block), block + blocks.slots() as i64 * length);
            prop_assert_eq!(blocks.slot(blocks.end(block) - 1).0, block);
            prop_assert_eq!(blocks.ended(block, time), slot);
            prop_assert_eq!(blocks.ended(block, slice + length), slot + 1);
        }
    }
}
