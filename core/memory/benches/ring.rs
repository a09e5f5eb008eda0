//! Is the ring at least as fast as the crate `rtrb`? Prints the ratio of the medians of one run.
//!
//! `cargo bench -p millstream-memory --bench ring`
//!
//! On one thread the code itself is measured. Between two threads the traffic of cache lines is,
//! and that depends on who waits for whom: when both ends run at the same speed, the faster *code*
//! often is the slower *ring*, because the consumer catches up and asks for the line of the
//! producer's position more often. So the cases differ in who is slower, and in the element.

use std::hint::{black_box, spin_loop};
use std::thread;
use std::time::Instant;

use millstream_memory::Ring;

const ELEMENTS: u64 = 10_000_000;
const CAPACITY: usize = 1024;
const ROUNDS: usize = 7;

/// As large as a buffer of the engine.
type Handle = [u64; 4];

fn main() {
    compare("one thread, u64", one_thread::<Ours<u64>, _>, one_thread::<Rtrb<u64>, _>);
    compare("one thread, handle", one_thread::<Ours<Handle>, _>, one_thread::<Rtrb<Handle>, _>);
    for (name, produce, consume) in
        [("as fast as it goes", 0, 0), ("slow producer", 8, 0), ("slow consumer", 0, 8)]
    {
        compare(
            &format!("two threads, u64, {name}"),
            || two_threads::<Ours<u64>, _>(produce, consume),
            || two_threads::<Rtrb<u64>, _>(produce, consume),
        );
        compare(
            &format!("two threads, handle, {name}"),
            || two_threads::<Ours<Handle>, _>(produce, consume),
            || two_threads::<Rtrb<Handle>, _>(produce, consume),
        );
    }
}

/// Runs both in turn, so that a slow moment of the machine hits both alike.
fn compare(name: &str, ours: impl Fn() -> f64, theirs: impl Fn() -> f64) {
    let (mut times_ours, mut times_theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        times_ours.push(ours());
        times_theirs.push(theirs());
    }
    let [ours, theirs] = [times_ours, times_theirs].map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[ROUNDS / 2]
    });
    println!("{name:44} ring {ours:6.2} ns  rtrb {theirs:6.2} ns  {:.2} x", theirs / ours);
}

/// Batches of a quarter of the ring, in and out. Nanoseconds per element.
fn one_thread<Q: Queue<T>, T: Element>() -> f64 {
    let (mut producer, mut consumer) = Q::make();
    let start = Instant::now();
    for batch in 0..ELEMENTS / 256 {
        for number in 0..256 {
            let _ = Q::push(&mut producer, T::of(batch + number));
        }
        while let Some(value) = Q::pop(&mut consumer) {
            black_box(value);
        }
    }
    start.elapsed().as_secs_f64() / ELEMENTS as f64 * 1e9
}

/// `produce` and `consume` are steps of idle work per element. Nanoseconds per element.
fn two_threads<Q: Queue<T>, T: Element>(produce: u32, consume: u32) -> f64 {
    let (mut producer, mut consumer) = Q::make();
    let work = |steps| (0..steps).for_each(|step| _ = black_box(step));
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..ELEMENTS {
                work(produce);
                let mut value = T::of(number);
                while let Err(back) = Q::push(&mut producer, value) {
                    value = back;
                    spin_loop();
                }
            }
        });
        for number in 0..ELEMENTS {
            work(consume);
            loop {
                match Q::pop(&mut consumer) {
                    Some(value) => break assert!(value == T::of(number), "order is kept"),
                    None => spin_loop(),
                }
            }
        }
    });
    start.elapsed().as_secs_f64() / ELEMENTS as f64 * 1e9
}

trait Element: Send + PartialEq {
    fn of(number: u64) -> Self;
}

impl Element for u64 {
    fn of(number: u64) -> Self {
        number
    }
}

impl Element for Handle {
    fn of(number: u64) -> Self {
        [number; 4]
    }
}

trait Queue<T> {
    type Producer: Send;
    type Consumer;

    fn make() -> (Self::Producer, Self::Consumer);
    fn push(producer: &mut Self::Producer, value: T) -> Result<(), T>;
    fn pop(consumer: &mut Self::Consumer) -> Option<T>;
}

struct Ours<T>(T);

impl<T: Send> Queue<T> for Ours<T> {
    type Producer = millstream_memory::Producer<T>;
    type Consumer = millstream_memory::Consumer<T>;

    fn make() -> (Self::Producer, Self::Consumer) {
        Ring::with_capacity(CAPACITY)
    }

    fn push(producer: &mut Self::Producer, value: T) -> Result<(), T> {
        producer.push(value)
    }

    fn pop(consumer: &mut Self::Consumer) -> Option<T> {
        consumer.pop()
    }
}

struct Rtrb<T>(T);

impl<T: Send> Queue<T> for Rtrb<T> {
    type Producer = rtrb::Producer<T>;
    type Consumer = rtrb::Consumer<T>;

    fn make() -> (Self::Producer, Self::Consumer) {
        rtrb::RingBuffer::new(CAPACITY)
    }

    fn push(producer: &mut Self::Producer, value: T) -> Result<(), T> {
        producer.push(value).map_err(|rtrb::PushError::Full(value)| value)
    }

    fn pop(consumer: &mut Self::Consumer) -> Option<T> {
        consumer.pop().ok()
    }
}
