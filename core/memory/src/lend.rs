//! What is lent across a border, and how it comes back.

use alloc::vec::Vec;
use core::error::Error;
use core::fmt;

use crate::sync::SpinLock;

/// Leases given to a library that knows them only by number.
///
/// A plugin gets a segment as pointer, length and token, and gives the token back. The lease itself
/// stays here, so a token that is forged, returned twice or never returned does no harm: it is
/// refused, or found when the plugin ends. `T` is [`Segment`](crate::Segment) or
/// [`Buffer`](crate::Buffer), or anything else that is lent the same way.
///
/// The library wraps what it got in [`Segment::foreign`](crate::Segment::foreign), with a `release`
/// that ends in [`take_back`](LendTable::take_back): dropping there, or submitting the filled
/// segment ([`into_token`](crate::Segment::into_token)), are both the return of a token here.
///
/// One table per plugin instance; it grows to the largest number lent at once and then allocates
/// no more. Lending and taking back are a short critical section each.
///
/// ```
/// use millstream_memory::lend::LendTable;
///
/// let table = LendTable::new(8);
/// let token = table.lend("a segment").unwrap();
/// assert_eq!(table.take_back(token), Ok("a segment"));
/// assert!(table.take_back(token).is_err(), "a token is good for one return");
/// ```
pub struct LendTable<T> {
    lent_max: usize,
    entries: SpinLock<Entries<T>>,
}

struct Entries<T> {
    slots: Vec<Slot<T>>,
    vacant: Vec<u32>,
}

struct Slot<T> {
    /// How often this slot was lent: the upper half of the token.
    generation: u32,
    lent: Option<T>,
}

impl<T> LendTable<T> {
    /// A table that lends at most `lent_max` leases at once.
    ///
    /// # Panics
    ///
    /// When `lent_max` exceeds 2^31.
    pub fn new(lent_max: usize) -> Self {
        assert!(lent_max <= 1 << 31, "a table cannot lend {lent_max} leases at once");
        let entries = Entries { slots: Vec::new(), vacant: Vec::new() };
        Self { lent_max, entries: SpinLock::new(entries) }
    }

    /// Keeps `lease` and returns the token that brings it back; never 0.
    ///
    /// # Errors
    ///
    /// The lease itself, when the table has lent all it may.
    pub fn lend(&self, lease: T) -> Result<u64, T> {
        self.entries.with(|entries| {
            let number = match entries.vacant.pop() {
                Some(number) => number,
                None if entries.slots.len() < self.lent_max => {
                    entries.slots.push(Slot { generation: 0, lent: None });
                    // Every slot may become vacant, and returning must not allocate.
                    entries.vacant.reserve(entries.slots.len());
                    entries.slots.len() as u32 - 1
                }
                None => return Err(lease),
            };
            let slot = &mut entries.slots[number as usize];
            // Generations start at 1, so that no token is 0.
            slot.generation = slot.generation.wrapping_add(1).max(1);
            slot.lent = Some(lease);
            Ok(u64::from(slot.generation) << 32 | u64::from(number))
        })
    }

    /// Ends a loan and returns the lease.
    ///
    /// # Errors
    ///
    /// [`NotLent`] when the token was never given out or has come back already.
    pub fn take_back(&self, token: u64) -> Result<T, NotLent> {
        let (number, generation) = (token as u32, (token >> 32) as u32);
        self.entries.with(|entries| {
            let slot = entries.slots.get_mut(number as usize).ok_or(NotLent { token })?;
            if slot.generation != generation {
                return Err(NotLent { token });
            }
            let lease = slot.lent.take().ok_or(NotLent { token })?;
            entries.vacant.push(number);
            Ok(lease)
        })
    }

    /// Looks at a lease that is out, for instance to clone a buffer.
    ///
    /// `look` runs inside the critical section: keep it short.
    ///
    /// # Errors
    ///
    /// [`NotLent`] as for [`take_back`](Self::take_back).
    pub fn with<R>(&self, token: u64, look: impl FnOnce(&mut T) -> R) -> Result<R, NotLent> {
        let (number, generation) = (token as u32, (token >> 32) as u32);
        self.entries.with(|entries| {
            let slot = entries.slots.get_mut(number as usize).ok_or(NotLent { token })?;
            match &mut slot.lent {
                Some(lease) if slot.generation == generation => Ok(look(lease)),
                _ => Err(NotLent { token }),
            }
        })
    }

    /// How many leases are out now.
    pub fn lent(&self) -> usize {
        self.entries.with(|entries| entries.slots.len() - entries.vacant.len())
    }
}

impl<T> fmt::Debug for LendTable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LendTable")
            .field("lent", &self.lent())
            .field("lent_max", &self.lent_max)
            .finish()
    }
}

/// A token that is not out: forged, or returned twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotLent {
    /// The token.
    pub token: u64,
}

impl fmt::Display for NotLent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no segment is lent under token {:#x}; return each lent segment exactly once, to the \
             instance that lent it",
            self.token
        )
    }
}

impl Error for NotLent {}

#[cfg(all(test, not(loom)))]
#[expect(unsafe_code, reason = "the tests play a plugin")]
mod tests {
    use alloc::boxed::Box;
    use alloc::string::ToString;
    use alloc::sync::Arc;
    use core::ffi::c_void;
    use core::ptr::NonNull;

    use super::{LendTable, NotLent};
    use crate::pool::NetworkPool;
    use crate::segment::Segment;
    use crate::segment::test_arena::TestArena;

    #[test]
    fn each_token_is_good_once() {
        let table = LendTable::new(2);
        let first = table.lend('a').unwrap();
        let second = table.lend('b').unwrap();
        assert_eq!(table.lend('c'), Err('c'), "two at once and no more");
        assert_eq!(table.take_back(first), Ok('a'));
        assert_eq!(table.take_back(first), Err(NotLent { token: first }));
        let third = table.lend('d').unwrap();
        assert_ne!(first, third, "the slot is used again, the token is not");
        assert_eq!(table.take_back(first), Err(NotLent { token: first }));
        assert_eq!(table.with(third, |lease| *lease), Ok('d'));
        assert_eq!(table.lent(), 2);
        assert_eq!(table.take_back(second), Ok('b'));
        assert_eq!(table.take_back(third), Ok('d'));
        assert_eq!(table.lent(), 0);
    }

    #[test]
    fn foreign_numbers_are_refused() {
        let table = LendTable::<u8>::new(2);
        for token in [0, 1, u64::MAX, 1 << 32] {
            let refusal = table.take_back(token).unwrap_err();
            assert!(refusal.to_string().contains("exactly once"), "{refusal}");
        }
    }

    /// Both sides of a C border in one process: the host lends, the plugin fills and drops or
    /// submits.
    #[test]
    fn a_segment_goes_across_a_border_and_comes_back() {
        unsafe extern "C" fn release(table: *mut c_void, token: u64) {
            // SAFETY: the test passes its table, which outlives every segment.
            let table = unsafe { &*table.cast::<LendTable<Segment>>() };
            drop(table.take_back(token).expect("each token comes back once"));
        }

        let network = NetworkPool::new(Box::new(TestArena::new(2)));
        let pool = network.create_local(2, 2).unwrap();
        let table = LendTable::new(2);
        let lend = || {
            let mut segment = pool.request().unwrap();
            let (start, len) = (NonNull::new(segment.as_mut_ptr()).unwrap(), segment.len());
            let token = table.lend(segment).unwrap();
            let ctx = (&raw const table).cast_mut().cast();
            // SAFETY: the lease in the table keeps the bytes, and touches them only once the token
            // is back.
            (token, unsafe { Segment::foreign(start, len, ctx, token, release) })
        };

        let (_, dropped) = lend();
        assert_eq!((pool.used(), table.lent()), (1, 1));
        drop(dropped);
        assert_eq!((pool.used(), table.lent()), (0, 0));

        let (token, mut submitted) = lend();
        submitted[..4].copy_from_slice(b"rows");
        assert_eq!(submitted.into_token().unwrap(), token);
        assert_eq!(table.lent(), 1, "not released, but submitted");
        let buffer = table.take_back(token).unwrap().freeze(4);
        assert_eq!((&*buffer, table.lent()), (&b"rows"[..], 0));
    }

    #[test]
    fn a_dropped_table_drops_what_never_came_back() {
        let lease = Arc::new(());
        let table = LendTable::new(1);
        table.lend(lease.clone()).unwrap();
        drop(table);
        assert_eq!(Arc::strong_count(&lease), 1);
    }
}
