//! A task between two channels, on a clock of the test's own.

extern crate std;

use alloc::{boxed::Box, string::String, sync::Arc, vec, vec::Vec};
use core::{
    sync::atomic::{AtomicUsize, Ordering},
    task::Waker,
};
use std::{sync::Mutex, task::Wake};

use millstream_data::{
    Value,
    page::{PageBuilder, Shape, Sizing, ValidPage},
    value::Record,
};
use millstream_exchange::event::{Alignment, Barrier, Event, Purpose};
use millstream_memory::{JumboBudget, LocalPool, NetworkPool};
use millstream_segments::HeapArena;

use super::*;
use crate::{
    chain::{OpenInfo, OutputInfo},
    channel::{Receiver, Sender, channel},
    operator::{FlatMap, Operator, PageChain, SourceChain},
    writer::{PartitionWriter, Single},
};

const SEGMENT: usize = 4096;

/// A task that passes numbers on, and the ends of its channels.
struct Bench {
    task: Task,
    input: Sender,
    output: Receiver,
    pool: LocalPool,
    _network: NetworkPool,
}

fn bench(timeout: BufferTimeout) -> Bench {
    bench_of(timeout, |writer, _| Box::new(PageChain::<u64, _>::new(writer)))
}

/// A bench whose task runs another chain.
fn bench_of(
    timeout: BufferTimeout,
    chain: impl FnOnce(PartitionWriter<u64, Single>, &OpenInfo) -> Box<dyn Chain>,
) -> Bench {
    bench_with(timeout, true, chain)
}

/// A bench whose task reads its channel, or none.
fn bench_with(
    timeout: BufferTimeout,
    reads: bool,
    chain: impl FnOnce(PartitionWriter<u64, Single>, &OpenInfo) -> Box<dyn Chain>,
) -> Bench {
    let network = NetworkPool::new(Box::new(HeapArena::new(SEGMENT, 64).unwrap()));
    let (input, receiver) = channel(Waker::noop().clone());
    let (sender, output) = channel(Waker::noop().clone());
    let info = info();
    let writer = PartitionWriter::<u64, Single>::new(&Single, 0, &info).unwrap();
    let chain = chain(writer, &info);
    let partition = ResultPartition::new(network.create_local(2, 10).unwrap(), vec![sender]);
    let outputs = Outputs::new(vec![partition], JumboBudget::new(1 << 20, 1 << 20));
    let inputs = reads.then_some(Input { receiver, port: 0, origin: None }).into_iter().collect();
    let task = Task::new(String::from("test"), chain, inputs, outputs, timeout);
    let pool = network.create_local(1, 20).unwrap();
    Bench { task, input, output, pool, _network: network }
}

/// The only subtask of a node with one output.
fn info() -> OpenInfo {
    OpenInfo {
        subtask: 0,
        parallelism: 1,
        max_parallelism: 128,
        state: None,
        segment_size: SEGMENT as u32,
        outputs: vec![OutputInfo { subpartitions: 1, max_parallelism: 128, compact: false }],
    }
}

impl Bench {
    /// Sends a page of so many rows to the task.
    fn feed(&mut self, rows: u64) {
        let sizing = Sizing::new(Arc::new(Shape::new(&u64::schema())), SEGMENT).unwrap();
        let segment = self.pool.request().expect("a segment");
        let mut page = PageBuilder::<u64, _>::new(segment, sizing.shape(), sizing.layout());
        (0..rows).for_each(|n| page.append(n.view()).expect("it fits a page"));
        let sealed = page.seal(sizing.shape(), false);
        self.input.push(Element::Page(sealed.buffer.freeze(sealed.length))).expect("room");
    }

    fn poll(&mut self, now: u64) -> TaskPoll {
        self.task.poll(now, Waker::noop()).expect("the task does not fail")
    }

    /// Rows of each page that has come out.
    fn pages(&mut self) -> Vec<usize> {
        let mut pages = Vec::new();
        while let Some(element) = self.output.pop() {
            if let Element::Page(page) = element {
                pages.push(ValidPage::trusted(&page).unwrap().rows());
            }
        }
        pages
    }
}

#[test]
fn with_a_timeout_a_page_waits_so_long_and_no_longer() {
    let mut bench = bench(BufferTimeout::After(100));
    bench.feed(3);
    assert_eq!(bench.poll(1000), TaskPoll::Idle);
    assert_eq!(bench.task.deadline(), Some(1100));
    assert_eq!(bench.poll(1099), TaskPoll::Idle);
    assert_eq!(bench.pages(), [0usize; 0]);
    bench.poll(1100);
    assert_eq!(bench.pages(), [3]);
}

#[test]
fn without_a_timeout_rows_leave_as_soon_as_they_are_processed() {
    let mut bench = bench(BufferTimeout::EachRecord);
    bench.feed(3);
    bench.poll(5);
    assert_eq!(bench.pages(), [3]);
}

#[test]
fn never_means_until_the_page_is_full_or_the_stream_ends() {
    let mut bench = bench(BufferTimeout::OnlyFull);
    bench.feed(400);
    bench.poll(0);
    bench.poll(1_000_000);
    assert_eq!((bench.pages(), bench.task.deadline()), (vec![], None));
    bench.feed(400);
    bench.poll(1_000_001);
    let full = bench.pages();
    assert_eq!(full.len(), 1, "one page is full");
    bench.input.push(Element::Event(Event::EndOfPartition)).expect("room");
    while bench.poll(1_000_002) != TaskPoll::Finished {}
    assert_eq!(bench.pages(), [800 - full[0]]);
}

#[test]
fn a_consumer_that_has_pages_to_read_lets_the_open_one_fill() {
    let mut bench = bench(BufferTimeout::After(10));
    // One full page waits, and a few rows are in the next.
    bench.feed(400);
    bench.feed(400);
    bench.poll(0);
    bench.poll(1000);
    let waiting = bench.output.len();
    assert_eq!(waiting, 1, "the open page stays open");
    bench.pages();
    bench.poll(2000);
    assert_eq!(bench.pages().len(), 1);
}

/// Counts how often it was woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_page_that_waited_for_its_consumer_leaves_when_that_reads() {
    for timeout in [BufferTimeout::EachRecord, BufferTimeout::After(10)] {
        let mut bench = bench(timeout);
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        for now in [0, 1000] {
            bench.feed(3);
            bench.task.poll(now, &waker).unwrap();
            bench.task.poll(now + 10, &waker).unwrap();
        }
        assert_eq!((bench.output.len(), bench.task.deadline()), (1, None));
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
        assert_eq!(bench.pages(), [3]);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        bench.task.poll(1011, &waker).unwrap();
        assert_eq!(bench.pages(), [3], "with {timeout:?}");
    }
}

#[test]
fn a_full_subpartition_holds_the_task_back_until_it_is_read() {
    let mut bench = bench(BufferTimeout::OnlyFull);
    let mut fed = 0;
    while bench.poll(0) != TaskPoll::Backpressured {
        bench.feed(500);
        fed += 500;
        assert!(fed < 50_000, "it is never held back");
    }
    // Nine of ten segments are full pages, the last is open or about to be.
    let held = bench.pages();
    assert!((8..=10).contains(&held.len()), "{held:?}");
    assert_ne!(bench.poll(0), TaskPoll::Backpressured);
}

/// Otherwise its worker would poll it again and again.
#[test]
fn a_task_that_is_held_back_has_no_deadline() {
    let mut bench = bench(BufferTimeout::After(10));
    let mut fed = 0;
    while bench.poll(0) != TaskPoll::Backpressured {
        bench.feed(500);
        fed += 500;
        assert!(fed < 50_000, "it is never held back");
    }
    assert_eq!((bench.poll(1000), bench.task.deadline()), (TaskPoll::Backpressured, None));
    bench.pages();
    while bench.poll(2000) != TaskPoll::Idle {
        bench.pages();
    }
    // A page is open again, and has its time.
    bench.feed(1);
    bench.poll(3000);
    assert_eq!(bench.task.deadline(), Some(3010));
}

#[test]
fn a_producer_that_goes_without_a_word_is_a_failure() {
    let Bench { mut task, input, .. } = bench(BufferTimeout::OnlyFull);
    drop(input);
    let error = task.poll(0, Waker::noop()).unwrap_err();
    assert_eq!(alloc::format!("{error}"), "test: a task upstream ended before its partition did");
}

/// A row of which much is made finds no room for all of it. What is kept back is of a row that was
/// processed, and so belongs in front of the barrier, which is in the next element.
#[test]
fn what_is_kept_back_goes_in_front_of_a_barrier() {
    const MADE: u64 = 20_000;
    let mut bench = bench_of(BufferTimeout::OnlyFull, |writer, info| {
        let stage = FlatMap::new(|_: u64| 0..MADE).attach(writer, info).expect("a stage");
        Box::new(PageChain::<u64, _>::new(stage))
    });
    bench.feed(1);
    let barrier = Barrier {
        checkpoint: 1,
        timestamp_ms: 0,
        alignment: Alignment::Aligned,
        purpose: Purpose::Checkpoint,
    };
    bench.input.push(Element::Event(Event::Barrier(barrier))).expect("room");
    let mut rows = 0;
    loop {
        bench.poll(0);
        match bench.output.pop() {
            Some(Element::Page(page)) => {
                rows += ValidPage::trusted(&page).expect("a page").rows() as u64;
            }
            Some(Element::Event(event)) => {
                assert_eq!(event, Event::Barrier(barrier));
                break;
            }
            _ => assert!(rows < MADE, "the barrier never comes"),
        }
    }
    assert_eq!(rows, MADE);
}

/// Writes down the processing time whenever it is told, and asks to be told again.
struct Told(Arc<Mutex<Vec<i64>>>);

impl Chain for Told {
    fn process(
        &mut self,
        _: u16,
        page: &ValidPage<'_>,
        _: usize,
        context: &mut Context<'_>,
    ) -> usize {
        context.wake_at(context.time() + 10);
        context.wake_at(context.time() + 20);
        page.rows()
    }

    fn finish(&mut self, _: &mut Context<'_>) -> bool {
        true
    }

    fn signal(&mut self, signal: Signal, context: &mut Context<'_>) -> bool {
        if let Signal::Time(time) = signal {
            assert_eq!(time, context.time());
            let mut told = self.0.lock().unwrap();
            if told.is_empty() {
                context.wake_at(time + 50);
            }
            told.push(time);
        }
        true
    }

    fn flush(&mut self, _: bool, _: &mut Context<'_>) {}
}

#[test]
fn a_chain_is_told_the_time_at_first_and_when_it_asks() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let mut bench = bench_of(BufferTimeout::OnlyFull, |_, _| Box::new(Told(Arc::clone(&told))));
    // The wall clock was at 7.0005 seconds when the task's own began.
    bench.task = bench.task.epoch(7_000_500);
    let told = || told.lock().unwrap().clone();
    assert_eq!(bench.task.deadline(), Some(0));
    bench.poll(1_499);
    assert_eq!((told(), bench.task.deadline()), (vec![7001], Some(50_500)));
    bench.poll(50_499);
    assert_eq!((told(), bench.task.deadline()), (vec![7001], Some(50_500)));
    bench.poll(50_500);
    assert_eq!((told(), bench.task.deadline()), (vec![7001, 7051], None));
    bench.feed(1);
    bench.poll(60_000);
    assert_eq!(bench.task.deadline(), Some(69_500), "the earliest counts");
    // The time comes before the next page, and not when there will be none.
    bench.feed(1);
    bench.poll(70_000);
    assert_eq!((told(), bench.task.deadline()), (vec![7001, 7051, 7070], Some(79_500)));
    bench.input.push(Element::Event(Event::EndOfPartition)).expect("room");
    while bench.poll(75_000) != TaskPoll::Finished {}
    assert_eq!((told().len(), bench.task.deadline()), (3, None));
}

/// Orders that come from the test; what is said is not heard.
struct Ordered(Arc<std::sync::Mutex<VecDeque<Order>>>);

impl Checkpoints for Ordered {
    fn next_order(&mut self, _waker: &Waker) -> Option<Order> {
        self.0.lock().unwrap().pop_front()
    }

    fn has_room(&mut self, _waker: &Waker) -> bool {
        true
    }

    fn write(&mut self, _checkpoint: u64, _chunk: Vec<u8>) {}

    fn finish(&mut self, _checkpoint: u64) {}

    fn decline(&mut self, _checkpoint: u64, reason: String) {
        panic!("{reason}");
    }

    fn end_of_data(&mut self) {}
}

/// What comes out of a chain that makes rows without end, and is stopped with a savepoint after some:
/// rows, and events.
fn stopped(drain: bool) -> (usize, Vec<Event>, Barrier) {
    let made = Arc::new(AtomicUsize::new(0));
    let mut bench = bench_with(BufferTimeout::OnlyFull, false, |writer, info| {
        let counted = Arc::clone(&made);
        let rows = (0..).inspect(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        Box::new(SourceChain::new(rows, writer, info))
    });
    let orders = Arc::new(std::sync::Mutex::new(VecDeque::new()));
    let order = |order: Order| orders.lock().unwrap().push_back(order);
    bench.task = bench.task.checkpoint_to(Box::new(Ordered(Arc::clone(&orders))));
    bench.poll(0);
    let before = made.load(Ordering::Relaxed);
    let barrier = Barrier {
        checkpoint: 1,
        timestamp_ms: 0,
        alignment: Alignment::Aligned,
        purpose: Purpose::StopWithSavepoint,
    };
    if drain {
        order(Order::Drain);
    }
    order(Order::Trigger(barrier));
    let (mut rows, mut events) = (0, Vec::new());
    for _ in 0..100 {
        let polled = bench.poll(0);
        while let Some(element) = bench.output.pop() {
            match element {
                Element::Page(page) => rows += ValidPage::trusted(&page).unwrap().rows(),
                Element::Event(event) => events.push(event),
                _ => {}
            }
        }
        if polled == TaskPoll::Finished {
            assert_eq!((rows, made.load(Ordering::Relaxed)), (before, before));
            return (rows, events, barrier);
        }
        if polled == TaskPoll::Idle {
            order(Order::End);
        }
    }
    panic!("it never ends");
}

#[test]
fn behind_a_savepoint_that_the_job_stops_with_nothing_follows() {
    let (rows, events, barrier) = stopped(false);
    assert!(rows > 0);
    assert_eq!(events, [Event::Barrier(barrier), Event::EndOfPartition]);
    let (rows, events, _) = stopped(true);
    assert!(rows > 0);
    let end = Event::EndOfData { drain: true };
    let last = Event::Watermark(WATERMARK_MAX);
    assert_eq!(events, [last, end, Event::Barrier(barrier), Event::EndOfPartition]);
}

#[test]
fn a_task_that_is_limited_makes_one_row_after_the_other() {
    let mut bench = bench_with(BufferTimeout::EachRecord, false, |writer, info| {
        Box::new(SourceChain::new(0..3, writer, info))
    });
    bench.task = bench.task.limit(NonZero::new(100).unwrap());
    for at in [0, 10_000, 20_000] {
        assert_eq!((bench.poll(at), bench.pages().len()), (TaskPoll::Idle, 1));
        assert_eq!((bench.poll(at + 9_999), bench.pages().len()), (TaskPoll::Idle, 0));
        assert_eq!(bench.task.deadline(), Some(at + 10_000));
    }
    while bench.poll(30_000) != TaskPoll::Finished {}
    assert_eq!(bench.pages(), [0usize; 0]);
}

mod overtaking;
mod recovering;
