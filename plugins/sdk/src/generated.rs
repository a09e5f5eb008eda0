//! Sources that make their rows themselves, each from its number.
//!
//! A row that follows from its number alone is the same whoever makes it, so the rows of all
//! readers together do not depend on how many readers there are.

use std::{
    sync::{Arc, OnceLock},
    thread,
    time::{Duration, Instant},
};

use millstream_data::page::Full;

use crate::{
    Error,
    source::{Filled, Rows, Subtask},
};

/// The numbers of the rows of a source: how many there are, and how many become due in a second.
#[derive(Clone, Debug)]
pub struct Numbers {
    limit: Option<u64>,
    rate: Option<u64>,
    /// When the first row is due: when the first reader begins.
    begin: Arc<OnceLock<Instant>>,
}

/// Rows of a split, if there is a limit.
const SPLIT_ROWS: u64 = 1 << 16;
/// Splits, if there is no limit: one for each reader that there may be. Each reader takes one and
/// makes every n-th row, where n is the number of readers.
const ENDLESS_SPLITS: usize = 1 << 15;
/// The longest time that a reader sleeps: somebody may want to stop it.
const SLEEP_MAX: Duration = Duration::from_millis(20);

impl Numbers {
    /// The numbers from 0 to `limit`, or without end, as fast as possible or `rate` a second.
    pub fn new(limit: Option<u64>, rate: Option<u64>) -> Self {
        Self { limit, rate, begin: Arc::default() }
    }

    /// The splits of the source.
    pub fn splits(&self) -> Vec<Vec<u8>> {
        match self.limit {
            None => vec![Vec::new(); ENDLESS_SPLITS],
            Some(limit) => {
                (0..limit.div_ceil(SPLIT_ROWS)).map(|n| n.to_le_bytes().into()).collect()
            }
        }
    }

    /// Whether they end some time.
    pub fn is_bounded(&self) -> bool {
        self.limit.is_some()
    }

    /// What a reader goes through.
    pub fn cursor(&self, subtask: Subtask) -> Cursor {
        let step = match self.limit {
            Some(_) => 1,
            None => u64::from(subtask.parallelism.max(1)),
        };
        let first = u64::from(subtask.index);
        Cursor { numbers: self.clone(), next: 0, end: 0, step, first, due: 0 }
    }

    /// Rows that are due by now.
    fn due(&self, rate: u64) -> u64 {
        let begin = self.begin.get_or_init(Instant::now);
        let rows = begin.elapsed().as_nanos() * u128::from(rate) / 1_000_000_000;
        u64::try_from(rows).unwrap_or(u64::MAX)
    }
}

/// The numbers that bytes stand for.
fn numbers(bytes: &[u8]) -> Vec<u64> {
    let (words, _) = bytes.as_chunks();
    words.iter().map(|word| u64::from_le_bytes(*word)).collect()
}

/// Goes through the numbers of a reader's splits.
#[derive(Clone, Debug)]
pub struct Cursor {
    numbers: Numbers,
    next: u64,
    end: u64,
    step: u64,
    first: u64,
    /// Rows below this number are due.
    due: u64,
}

impl Cursor {
    /// Begins a split.
    ///
    /// # Errors
    /// If it is not one of [`Numbers::splits`].
    pub fn begin(&mut self, split: &[u8]) -> Result<(), Error> {
        // What is left of a split that was begun before, by whoever: see `rest`.
        if let Ok(rest) = <[u64; 2]>::try_from(numbers(split)) {
            let [next, end] = rest;
            return match self.numbers.limit {
                Some(limit) if next <= end && end <= limit => {
                    (self.next, self.end) = (next, end);
                    Ok(())
                }
                None if end == self.step => {
                    (self.next, self.end) = (next, u64::MAX);
                    Ok(())
                }
                None => Err(Error::new(format!(
                    "rows without end were divided over {end} readers and cannot be divided anew: go on \
                     with that parallelism"
                ))),
                Some(_) => Err(Error::new("a split is damaged")),
            };
        }
        match (self.numbers.limit, <[u8; 8]>::try_from(split)) {
            (None, _) => (self.next, self.end) = (self.first, u64::MAX),
            (Some(limit), Ok(bytes)) => {
                let start = u64::from_le_bytes(bytes).saturating_mul(SPLIT_ROWS).min(limit);
                (self.next, self.end) = (start, start.saturating_add(SPLIT_ROWS).min(limit));
            }
            (Some(_), Err(_)) => return Err(Error::new("a split is damaged")),
        }
        Ok(())
    }

    /// What is left of the split: a split by itself.
    pub fn rest(&self) -> Vec<u8> {
        let end = if self.numbers.limit.is_some() { self.end } else { self.step };
        [self.next.to_le_bytes(), end.to_le_bytes()].concat()
    }

    /// Adds the rows that are due to a page. `put` writes the cells of a row with this number, and
    /// says if they found no room.
    pub fn fill(
        &mut self,
        rows: &mut Rows<'_>,
        mut put: impl FnMut(&mut Rows<'_>, u64) -> Result<(), Full>,
    ) -> Filled {
        while rows.has_room() {
            if self.next >= self.end {
                return Filled::SplitDone;
            }
            if !self.is_due(rows.rows() == 0) {
                return Filled::Page;
            }
            if put(rows, self.next).is_err() {
                rows.roll_back();
                return Filled::Page;
            }
            rows.commit();
            self.next = self.next.saturating_add(self.step);
        }
        Filled::Page
    }

    /// Whether the next row is due. With `wait` sleeps a little if it is not.
    fn is_due(&mut self, wait: bool) -> bool {
        let Some(rate) = self.numbers.rate else { return true };
        if self.next < self.due {
            return true;
        }
        self.due = self.numbers.due(rate);
        if self.next < self.due {
            return true;
        }
        if wait {
            let missing = self.next - self.due + 1;
            let nanos = u128::from(missing) * 1_000_000_000 / u128::from(rate.max(1));
            let time = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            thread::sleep(time.min(SLEEP_MAX));
        }
        false
    }
}

/// Random numbers that follow from a seed and a place: the same on every machine (splitmix64).
#[derive(Clone, Copy, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers that belong to this place.
    pub fn new(seed: u64, place: u64) -> Self {
        Self(mix(seed ^ mix(place)))
    }

    /// The next number, any of 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// The next number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// The next number from 0 to 1, without 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_cover_every_number_once() {
        for limit in [0, 1, SPLIT_ROWS, SPLIT_ROWS + 1, 3 * SPLIT_ROWS - 1] {
            let numbers = Numbers::new(Some(limit), None);
            let subtask = Subtask { index: 1, parallelism: 3, segment_size: 4096 };
            let mut cursor = numbers.cursor(subtask);
            let mut next = 0;
            for split in numbers.splits() {
                cursor.begin(&split).unwrap();
                assert_eq!(cursor.next, next);
                assert!(cursor.end > cursor.next);
                next = cursor.end;
            }
            assert_eq!(next, limit);
        }
    }

    #[test]
    fn what_is_left_of_a_split_is_a_split() {
        let subtask = Subtask { index: 1, parallelism: 3, segment_size: 4096 };
        let mut cursor = Numbers::new(Some(100), None).cursor(subtask);
        cursor.begin(&0u64.to_le_bytes()).unwrap();
        cursor.next = 42;
        let mut other = Numbers::new(Some(100), None).cursor(subtask);
        other.begin(&cursor.rest()).unwrap();
        assert_eq!((other.next, other.end), (42, 100));
        assert!(Numbers::new(Some(99), None).cursor(subtask).begin(&cursor.rest()).is_err());
        // Without end, rows belong to one of so many readers.
        let mut endless = Numbers::new(None, None).cursor(subtask);
        endless.begin(&[]).unwrap();
        endless.next = 31;
        let mut again = Numbers::new(None, None).cursor(Subtask { index: 0, ..subtask });
        again.begin(&endless.rest()).unwrap();
        assert_eq!(again.next, 31);
        let mut fewer = Numbers::new(None, None).cursor(Subtask { parallelism: 2, ..subtask });
        assert!(fewer.begin(&endless.rest()).unwrap_err().to_string().contains("over 3 readers"));
    }

    #[test]
    fn numbers_are_spread_and_the_same_on_every_machine() {
        assert_eq!(Random::new(42, 7).bits(), 8_477_626_110_806_500_143);
        let mut random = Random::new(1, 2);
        let mut buckets = [0; 10];
        for _ in 0..10_000 {
            buckets[random.below(10) as usize] += 1;
            assert!((0.0..1.0).contains(&random.unit()));
        }
        assert!(buckets.iter().all(|count| (800..1200).contains(count)), "{buckets:?}");
    }
}
