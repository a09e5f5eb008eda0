//! Chains of windows, without a task around them.

extern crate std;

use alloc::{boxed::Box, string::String, sync::Arc, vec, vec::Vec};
use std::sync::Mutex;

use millstream_data::page::{Layout, PageBuilder, Shape, ValidPage};
use millstream_exchange::event::{Event, Purpose};
use millstream_memory::{ManagedMemory, Segment, managed::Owner};
use millstream_segments::HeapArena;
use millstream_state::window::{Lateness, Sliding, Tumbling, Window};

use super::{WindowAggregate, WindowAssigner, Windowing};
use crate::{
    chain::{Chain, ChainIo, Context, Lease, OpenInfo, PageInfo, Signal, StateMemory, TaskError},
    operator::{Emit, Row, Stage},
    stream::{Pipeline, WindowPages},
};

/// A key, a time, a number.
pub(super) type Measured = (u64, i64, u64);
/// A key, where the window begins, the sum of numbers.
pub(super) type Summed = (u64, i64, u64);

#[derive(Clone)]
pub(super) struct Sum;

impl WindowAggregate for Sum {
    type In = Measured;
    type Key = u64;
    type Accumulator = u64;
    type Out = Summed;

    fn create(&self) -> u64 {
        0
    }

    fn add(&self, sum: &mut u64, (_, _, number): Measured) {
        *sum += number;
    }

    fn merge(&self, sum: &mut u64, other: u64) {
        *sum += other;
    }

    fn finish(&self, key: u64, window: Window, sum: u64, out: &mut dyn Emit<Summed>) {
        out.emit((key, window.start, sum));
    }
}

/// The same, kept as text, whose size changes.
#[derive(Clone)]
pub(super) struct Text;

impl WindowAggregate for Text {
    type In = Measured;
    type Key = u64;
    type Accumulator = String;
    type Out = Summed;

    fn create(&self) -> String {
        String::new()
    }

    fn add(&self, text: &mut String, (_, _, number): Measured) {
        text.push_str(&alloc::format!("{number} "));
    }

    fn merge(&self, text: &mut String, other: &str) {
        text.push_str(other);
    }

    fn finish(&self, key: u64, window: Window, text: &str, out: &mut dyn Emit<Summed>) {
        let numbers = text.split_whitespace().map(|number| number.parse::<u64>().unwrap());
        out.emit((key, window.start, numbers.sum()));
    }
}

/// What came out of a chain.
#[derive(Clone, Default)]
struct Rows(Arc<Mutex<Vec<Summed>>>);

impl Rows {
    fn take(&self) -> Vec<Summed> {
        let mut rows = core::mem::take(&mut *self.0.lock().unwrap());
        rows.sort_unstable();
        rows
    }
}

impl Stage<Summed> for Rows {
    fn push(&mut self, row: Summed, _context: &mut Context<'_>) {
        self.0.lock().unwrap().push(row);
    }

    fn resume(&mut self, _context: &mut Context<'_>) -> bool {
        true
    }

    fn finish(&mut self, _context: &mut Context<'_>) -> bool {
        true
    }

    fn signal(&mut self, _signal: Signal, _context: &mut Context<'_>) -> bool {
        true
    }

    fn flush(&mut self, _force: bool, _context: &mut Context<'_>) {}
}

struct Memory(ManagedMemory, Owner);

impl StateMemory for Memory {
    fn segment_size(&self) -> usize {
        self.0.page_size()
    }

    fn lease(&self) -> Option<Segment> {
        self.0.allocate_pages(self.1, 1).ok()?.pop()
    }

    fn reserve(&self, bytes: u64) -> bool {
        self.0.reserve(self.1, bytes).is_ok()
    }

    fn release(&self, bytes: u64) {
        let _ = self.0.release_reservation(self.1, bytes);
    }
}

/// No output: rows are taken before they get there.
struct Nowhere;

impl ChainIo for Nowhere {
    fn now(&self) -> u64 {
        0
    }

    fn time(&self) -> i64 {
        0
    }

    fn wake_at(&mut self, _: i64) {}

    fn lease(&mut self, _output: u16, _subpartition: u32) -> Result<Lease, TaskError> {
        Err(TaskError::new("there is no output"))
    }

    fn lease_jumbo(&mut self, _output: u16, _bytes: usize) -> Result<Segment, TaskError> {
        Err(TaskError::new("there is no output"))
    }

    fn submit(&mut self, _output: u16, _to: u32, _segment: Segment, _page: PageInfo) {}

    fn event(&mut self, _output: u16, _to: u32, _event: Event) {}

    fn ready(&mut self) -> bool {
        true
    }

    fn wants_flush(&mut self, _output: u16, _subpartition: u32) -> bool {
        false
    }
}

/// Bytes of a page that has room for all rows of a test.
const PAGE: usize = 256 << 10;

/// A chain, and what comes out of it.
pub(super) struct Bench {
    chain: Box<dyn Chain>,
    rows: Rows,
    subtask: (u32, u32),
}

fn bench(subtask: (u32, u32), assigner: impl WindowAssigner, lateness: i64) -> Bench {
    bench_of(subtask, assigner, lateness, Sum)
}

pub(super) fn bench_of(
    (subtask, parallelism): (u32, u32),
    assigner: impl WindowAssigner,
    lateness: i64,
    function: impl WindowAggregate<In = Measured, Key = u64, Out = Summed>,
) -> Bench {
    let memory = ManagedMemory::new(Box::new(HeapArena::new(32 << 10, 64).unwrap()));
    let owner = memory.open("windows").unwrap();
    let info = OpenInfo {
        subtask,
        parallelism,
        max_parallelism: 128,
        state: Some(Arc::new(Memory(memory, owner))),
        segment_size: 4096,
        outputs: vec![],
    };
    let windowing = Windowing {
        key: |row: Row<'_, Measured>| row.0,
        time: |row: Row<'_, Measured>| row.1,
        assigner,
        lateness: Lateness::of(lateness),
        late: None,
    };
    let rows = Rows::default();
    let chain = WindowPages::new(function, windowing).chain(rows.clone(), &info).unwrap();
    Bench { chain, rows, subtask: (subtask, parallelism) }
}

impl Bench {
    pub(super) fn take(&mut self) -> Vec<Summed> {
        self.rows.take()
    }

    /// Whether a key is one of the subtask.
    pub(super) fn owns(&self, key: u64) -> bool {
        use millstream_data::{Key, hash::SEED};
        let (subtask, parallelism) = self.subtask;
        let groups = millstream_state::KeyGroups::new(parallelism, 128);
        groups.owner(<u64 as Key>::hash(key, SEED)) == subtask
    }

    pub(super) fn restore(&mut self, chunks: &[u8]) {
        self.chain.restore(chunks).unwrap();
    }

    pub(super) fn push(&mut self, rows: &[Measured]) {
        use millstream_data::value::Record;
        let shape = Arc::new(Shape::new(&<Measured as Record>::schema()));
        let layout = Arc::new(Layout::fitted(&shape, PAGE, 64).unwrap());
        let mut page = PageBuilder::<Measured, _>::new(vec![0; PAGE], &shape, &layout);
        rows.iter().for_each(|row| page.append(*row).unwrap());
        let sealed = page.seal(&shape, true);
        let page = ValidPage::validate(&sealed.buffer[..sealed.length], &shape).unwrap();
        let mut io = Nowhere;
        let mut context = Context::new(&mut io);
        assert_eq!(self.chain.process(0, &page, 0, &mut context), rows.len());
        assert_eq!(context.take_error(), None);
    }

    pub(super) fn watermark(&mut self, time: i64) -> Vec<Summed> {
        let mut io = Nowhere;
        let mut context = Context::new(&mut io);
        assert!(self.chain.signal(Signal::Watermark(time), &mut context));
        assert_eq!(context.take_error(), None);
        self.rows.take()
    }

    pub(super) fn snapshot(&mut self) -> Vec<u8> {
        self.chain.begin_snapshot(Purpose::Savepoint).unwrap();
        let mut chunks = Vec::new();
        while self.chain.next_chunk(&mut chunks).unwrap() {}
        chunks
    }
}

#[test]
fn a_window_that_has_ended_does_not_begin_anew_after_a_restore() {
    let windows = Tumbling::of(10).unwrap();
    let mut before = bench((0, 1), windows, 0);
    before.push(&[(1, 5, 100), (2, 17, 1)]);
    assert_eq!(before.watermark(9), [(1, 0, 100)]);
    let snapshot = before.snapshot();
    for parallelism in [1, 3] {
        for subtask in 0..parallelism {
            let mut after = bench((subtask, parallelism), windows, 0);
            after.restore(&snapshot);
            // Late then, and late now, although no watermark has come.
            after.push(&[(1, 6, 7)]);
            assert_eq!(after.watermark(15), []);
        }
    }
}

#[test]
fn what_is_divided_anew_comes_to_the_same() {
    let rows: Vec<Measured> = (0..2000).map(|n| (n % 97, (n as i64 * 7) % 300, n)).collect();
    let (first, second) = rows.split_at(1000);
    for lateness in [0, 50] {
        let windows = Sliding::of(60, 20).unwrap();
        let mut whole = bench((0, 1), windows, lateness);
        whole.push(first);
        let mut expected = whole.watermark(120);
        let snapshot = whole.snapshot();
        let ended = expected.len();
        whole.push(second);
        expected.extend(whole.watermark(i64::MAX));
        expected.drain(..ended);
        expected.sort_unstable();
        let mut found = Vec::new();
        for subtask in 0..3 {
            let mut part = bench((subtask, 3), windows, lateness);
            part.restore(&snapshot);
            let own: Vec<Measured> =
                second.iter().copied().filter(|row| part.owns(row.0)).collect();
            part.push(&own);
            found.extend(part.watermark(i64::MAX));
        }
        found.sort_unstable();
        assert_eq!(found, expected, "lateness {lateness}");
    }
}
