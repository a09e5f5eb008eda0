//! Which fields of a row were given a value.

/// Fields, a bit each: 64 at a time, mostly one word.
pub(super) struct Seen {
    first: u64,
    rest: Vec<u64>,
    count: usize,
}

impl Seen {
    /// None of so many fields.
    #[inline]
    pub(super) fn new(fields: usize) -> Self {
        Self { first: 0, rest: vec![0; fields.saturating_sub(1) / 64], count: 0 }
    }

    /// Notes the field; `false` if it was noted before.
    #[inline]
    pub(super) fn first(&mut self, field: usize) -> bool {
        let word = match field / 64 {
            0 => &mut self.first,
            word => &mut self.rest[word - 1],
        };
        let bit = 1 << (field % 64);
        let is_first = *word & bit == 0;
        *word |= bit;
        self.count += usize::from(is_first);
        is_first
    }

    #[inline]
    pub(super) fn has(&self, field: usize) -> bool {
        let word = match field / 64 {
            0 => self.first,
            word => self.rest[word - 1],
        };
        word >> (field % 64) & 1 == 1
    }

    /// Fields that were noted.
    #[inline]
    pub(super) fn count(&self) -> usize {
        self.count
    }
}
