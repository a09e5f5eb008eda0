//! A bounded queue between exactly two threads.

use alloc::boxed::Box;
use core::fmt;
use core::mem::MaybeUninit;

use crate::sync::{Arc, AtomicBool, AtomicUsize, CachePadded, Ordering, UnsafeCell};

/// The largest capacity of a ring, in elements.
pub const RING_CAPACITY_MAX: usize = 1 << 30;

/// A bounded, wait-free queue from one producer thread to one consumer thread.
///
/// Between two tasks in one process a channel is a ring of sealed pages: handing one over costs a
/// store and a load, no lock and no system call. Each side keeps the position of the other in its
/// own cache and looks at the shared one only when the cached one says full or empty, so in steady
/// flow the two cores do not disturb each other.
///
/// ```
/// use millstream_memory::Ring;
///
/// let (mut producer, mut consumer) = Ring::with_capacity(2);
/// assert_eq!(producer.push('a'), Ok(()));
/// assert_eq!(producer.push('b'), Ok(()));
/// assert_eq!(producer.push('c'), Err('c'), "full: the value comes back");
/// assert_eq!(consumer.pop(), Some('a'));
/// drop(producer);
/// assert!(consumer.is_abandoned());
/// assert_eq!(consumer.pop(), Some('b'), "what was pushed is still delivered");
/// assert_eq!(consumer.pop(), None);
/// ```
///
/// The ends may go to other threads only if the elements may:
///
/// ```compile_fail,E0277
/// let (producer, _consumer) = millstream_memory::Ring::<std::rc::Rc<u8>>::with_capacity(2);
/// std::thread::spawn(move || drop(producer));
/// ```
pub struct Ring<T> {
    // Positions count elements since the beginning and wrap; `position & mask` is the slot.
    /// Next position to read; written by the consumer.
    head: CachePadded<AtomicUsize>,
    /// Next position to write; written by the producer.
    tail: CachePadded<AtomicUsize>,
    producer_gone: AtomicBool,
    consumer_gone: AtomicBool,
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

// SAFETY: a slot is touched by the producer while its position is in [tail, head + capacity) and by
// the consumer while it is in [head, tail); each side moves its own bound with a release store that
// the other reads with acquire, so no slot is touched by both at once. `T` moves between threads.
unsafe impl<T: Send> Sync for Ring<T> {}

impl<T> Ring<T> {
    /// A ring for at least `capacity` elements (rounded up to a power of two), as its two ends.
    ///
    /// # Panics
    ///
    /// When `capacity` is 0 or above [`RING_CAPACITY_MAX`].
    pub fn with_capacity(capacity: usize) -> (Producer<T>, Consumer<T>) {
        assert!(
            (1..=RING_CAPACITY_MAX).contains(&capacity),
            "a ring holds 1 to {RING_CAPACITY_MAX} elements, not {capacity}"
        );
        let slots = (0..capacity.next_power_of_two())
            .map(|_| UnsafeCell::new(MaybeUninit::uninit()))
            .collect();
        let ring = Arc::new(Self {
            head: CachePadded(AtomicUsize::new(0)),
            tail: CachePadded(AtomicUsize::new(0)),
            producer_gone: AtomicBool::new(false),
            consumer_gone: AtomicBool::new(false),
            slots,
        });
        (
            Producer { ring: ring.clone(), tail: 0, head_seen: 0 },
            Consumer { ring, head: 0, tail_seen: 0 },
        )
    }

    /// The slot of `position`.
    #[inline(always)]
    fn slot(&self, position: usize) -> &UnsafeCell<MaybeUninit<T>> {
        // SAFETY: the number of slots is a power of two and at least 1 (`with_capacity`), so the
        // masked position is below it.
        unsafe { self.slots.get_unchecked(position & (self.slots.len() - 1)) }
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        let (mut head, tail) =
            (self.head.load(Ordering::Acquire), self.tail.load(Ordering::Acquire));
        while head != tail {
            // SAFETY: positions in [head, tail) were written and not read, and with both ends gone
            // nobody else touches them.
            self.slot(head).with_mut(|slot| unsafe { (*slot).assume_init_drop() });
            head = head.wrapping_add(1);
        }
    }
}

/// The writing end of a [`Ring`].
pub struct Producer<T> {
    ring: Arc<Ring<T>>,
    tail: usize,
    /// The consumer's position when we last looked: a lower bound.
    head_seen: usize,
}

impl<T> Producer<T> {
    /// Appends `value`, or gives it back when the ring is full.
    ///
    /// # Errors
    ///
    /// The value itself, when [`capacity`](Self::capacity) elements are waiting.
    #[inline]
    pub fn push(&mut self, value: T) -> Result<(), T> {
        let capacity = self.ring.slots.len();
        if self.tail.wrapping_sub(self.head_seen) == capacity {
            self.head_seen = self.ring.head.load(Ordering::Acquire);
            if self.tail.wrapping_sub(self.head_seen) == capacity {
                return Err(value);
            }
        }
        // SAFETY: tail - head < capacity, so the consumer has left this slot (its release store of
        // `head` was acquired above or earlier), and only this producer writes.
        self.ring.slot(self.tail).with_mut(|slot| unsafe { (*slot).write(value) });
        self.tail = self.tail.wrapping_add(1);
        self.ring.tail.store(self.tail, Ordering::Release);
        Ok(())
    }

    /// How many elements wait in the ring now.
    ///
    /// The consumer may take some meanwhile: the number is exact or too high.
    #[inline]
    pub fn len(&self) -> usize {
        self.tail.wrapping_sub(self.ring.head.load(Ordering::Acquire))
    }

    /// Whether no element waits in the ring.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a [`push`](Self::push) would be refused now.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.tail.wrapping_sub(self.head_seen) == self.capacity() && self.len() == self.capacity()
    }

    /// How many elements the ring holds at most; a power of two.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.ring.slots.len()
    }

    /// Whether the consumer is gone: nothing that is pushed will be read any more.
    #[inline]
    pub fn is_abandoned(&self) -> bool {
        self.ring.consumer_gone.load(Ordering::Acquire)
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        self.ring.producer_gone.store(true, Ordering::Release);
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The reading end of a [`Ring`].
pub struct Consumer<T> {
    ring: Arc<Ring<T>>,
    head: usize,
    /// The producer's position when we last looked: a lower bound.
    tail_seen: usize,
}

impl<T> Consumer<T> {
    /// Takes the oldest element, or `None` when the ring is empty.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        if self.head == self.tail_seen {
            self.tail_seen = self.ring.tail.load(Ordering::Acquire);
            if self.head == self.tail_seen {
                return None;
            }
        }
        // SAFETY: head < tail, so the producer has written this slot (its release store of `tail`
        // was acquired above or earlier) and does not come back before `head` has passed it.
        let value =
            self.ring.slot(self.head).with_mut(|slot| unsafe { (*slot).assume_init_read() });
        self.head = self.head.wrapping_add(1);
        self.ring.head.store(self.head, Ordering::Release);
        Some(value)
    }

    /// The oldest element, left in place.
    #[inline]
    pub fn peek(&mut self) -> Option<&T> {
        if self.head == self.tail_seen {
            self.tail_seen = self.ring.tail.load(Ordering::Acquire);
            if self.head == self.tail_seen {
                return None;
            }
        }
        // SAFETY: as in `pop`; the reference borrows `self`, and only `pop` moves `head`.
        Some(self.ring.slot(self.head).with(|slot| unsafe { (*slot).assume_init_ref() }))
    }

    /// An element that waits, by its distance from the oldest one, left in place.
    #[inline]
    pub fn peek_at(&mut self, distance: usize) -> Option<&T> {
        if distance >= self.tail_seen.wrapping_sub(self.head) {
            self.tail_seen = self.ring.tail.load(Ordering::Acquire);
            if distance >= self.tail_seen.wrapping_sub(self.head) {
                return None;
            }
        }
        let position = self.head.wrapping_add(distance);
        // SAFETY: head + distance < tail, so the producer has written this slot (its release store of
        // `tail` was acquired above or earlier) and does not come back before `head` has passed it; the
        // reference borrows `self`, and only `pop` moves `head`.
        Some(self.ring.slot(position).with(|slot| unsafe { (*slot).assume_init_ref() }))
    }

    /// How many elements wait in the ring now.
    ///
    /// The producer may add some meanwhile: the number is exact or too low.
    #[inline]
    pub fn len(&self) -> usize {
        self.ring.tail.load(Ordering::Acquire).wrapping_sub(self.head)
    }

    /// Whether a [`pop`](Self::pop) would find nothing now.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head == self.tail_seen && self.len() == 0
    }

    /// Whether the ring holds [`capacity`](Self::capacity) elements now.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.len() == self.capacity()
    }

    /// How many elements the ring holds at most; a power of two.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.ring.slots.len()
    }

    /// Whether the producer is gone.
    ///
    /// Everything it pushed before is visible once this has returned `true`: a `pop` that then
    /// finds nothing has reached the end.
    #[inline]
    pub fn is_abandoned(&self) -> bool {
        self.ring.producer_gone.load(Ordering::Acquire)
    }
}

impl<T> Drop for Consumer<T> {
    fn drop(&mut self) {
        self.ring.consumer_gone.store(true, Ordering::Release);
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use alloc::collections::VecDeque;
    use alloc::sync::Arc;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::Ring;

    proptest! {
        /// Any sequence of pushes and pops behaves as a bounded `VecDeque`.
        #[test]
        fn behaves_as_a_bounded_queue(
            capacity in 1usize..9,
            pushes in proptest::collection::vec(any::<bool>(), 0..200),
        ) {
            let (mut producer, mut consumer) = Ring::with_capacity(capacity);
            let capacity = capacity.next_power_of_two();
            let mut model = VecDeque::new();
            for (number, push) in pushes.into_iter().enumerate() {
                if push {
                    let fits = model.len() < capacity;
                    model.extend(fits.then_some(number));
                    let expected = if fits { Ok(()) } else { Err(number) };
                    prop_assert_eq!(producer.push(number), expected);
                } else {
                    prop_assert_eq!(consumer.peek().copied(), model.front().copied());
                    prop_assert_eq!(consumer.pop(), model.pop_front());
                }
                prop_assert_eq!((producer.len(), consumer.len()), (model.len(), model.len()));
                prop_assert_eq!(producer.is_full(), model.len() == capacity);
                prop_assert_eq!(consumer.is_full(), model.len() == capacity);
                prop_assert_eq!(producer.is_empty(), model.is_empty());
                prop_assert_eq!(consumer.is_empty(), model.is_empty());
            }
        }
    }

    #[test]
    fn elements_left_behind_are_dropped_once() {
        let witness = Arc::new(());
        let (mut producer, mut consumer) = Ring::with_capacity(4);
        for _ in 0..4 {
            producer.push(witness.clone()).expect("there is room for four");
        }
        drop(consumer.pop());
        drop(producer);
        drop(consumer);
        assert_eq!(Arc::strong_count(&witness), 1);
    }

    #[test]
    fn two_threads_keep_the_order() {
        let (mut producer, mut consumer) = Ring::with_capacity(16);
        let sender = std::thread::spawn(move || {
            for mut number in 0..100_000u64 {
                while let Err(back) = producer.push(number) {
                    number = back;
                    std::thread::yield_now();
                }
            }
        });
        let mut received = Vec::with_capacity(100_000);
        loop {
            let last_look = consumer.is_abandoned();
            match consumer.pop() {
                Some(number) => received.push(number),
                None if last_look => break,
                None => std::thread::yield_now(),
            }
        }
        sender.join().expect("the sender does not panic");
        assert!(received.iter().copied().eq(0..100_000));
    }

    #[test]
    #[should_panic(expected = "not 0")]
    fn a_ring_of_nothing_is_refused() {
        let _ends = Ring::<u8>::with_capacity(0);
    }
}
