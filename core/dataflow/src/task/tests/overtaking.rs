//! Barriers that overtake what waits in front of them.

use millstream_memory::Segment;

use super::*;
use crate::task::in_flight::{self, InFlight};

/// What was written for a checkpoint, and whether it was finished.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) in_flight: Vec<u8>,
    pub(super) finished: Vec<u64>,
}

pub(super) struct Writer {
    pub(super) kept: Arc<Mutex<Kept>>,
    pub(super) timeout_ms: u32,
}

impl Checkpoints for Writer {
    fn next_order(&mut self, _waker: &Waker) -> Option<Order> {
        None
    }

    fn has_room(&mut self, _waker: &Waker) -> bool {
        true
    }

    fn write(&mut self, _checkpoint: u64, _chunk: Vec<u8>) {}

    fn finish(&mut self, checkpoint: u64) {
        self.kept.lock().unwrap().finished.push(checkpoint);
    }

    fn decline(&mut self, _checkpoint: u64, reason: String) {
        panic!("{reason}");
    }

    fn end_of_data(&mut self) {}

    fn overtakes_after(&self) -> Option<u32> {
        Some(self.timeout_ms)
    }

    fn write_in_flight(&mut self, _checkpoint: u64, data: Vec<u8>) {
        self.kept.lock().unwrap().in_flight.extend(data);
    }
}

/// A bench whose task takes checkpoints.
fn overtaking(timeout_ms: u32) -> (Bench, Arc<Mutex<Kept>>) {
    let kept = Arc::<Mutex<Kept>>::default();
    let writer = Writer { kept: Arc::clone(&kept), timeout_ms };
    let mut bench = bench_of(BufferTimeout::OnlyFull, |writer, info| {
        let repeat = FlatMap::new(|row: u64| [row; TIMES]).attach(writer, info).unwrap();
        Box::new(PageChain::<u64, _>::new(repeat))
    });
    bench.task.inputs[0].origin = Some(Origin { edge: 3, subtask: 1 });
    bench.task = bench.task.checkpoint_to(Box::new(writer));
    (bench, kept)
}

pub(super) fn barrier(checkpoint: u64, timeout_ms: u32) -> Barrier {
    let alignment = Alignment::Timeout { timeout_ms };
    Barrier { checkpoint, timestamp_ms: 0, alignment, purpose: Purpose::Checkpoint }
}

/// Elements that wait behind each other on the output: rows of pages, and checkpoints of barriers.
fn output(bench: &mut Bench) -> (usize, Vec<u64>) {
    let (mut rows, mut barriers) = (0, Vec::new());
    while let Some(element) = bench.output.pop() {
        match element {
            Element::Page(page) => rows += ValidPage::trusted(&page).unwrap().rows(),
            Element::Event(Event::Barrier(barrier)) => barriers.push(barrier.checkpoint),
            _ => {}
        }
    }
    (rows, barriers)
}

/// Rows that were kept as being in flight.
fn rows_in_flight(kept: &Mutex<Kept>) -> usize {
    let mut rows = 0;
    let read = in_flight::read(&kept.lock().unwrap().in_flight, |origin, element| {
        assert_eq!(origin, Origin { edge: 3, subtask: 1 });
        if let InFlight::Page { row, bytes } = element {
            // Behind its header a page may begin anywhere in the file.
            let mut segment = Segment::jumbo(
                JumboBudget::new(1 << 16, 1 << 16).reserve(1 << 16).unwrap(),
                bytes.len(),
            )
            .unwrap();
            segment.copy_from_slice(bytes);
            rows += ValidPage::trusted(&segment).unwrap().rows() - row as usize;
        }
        Ok(())
    });
    read.unwrap();
    rows
}

/// The task makes so many rows of each.
const TIMES: usize = 20;
const PAGES: usize = 4;
/// Rows of all pages.
const FED: usize = PAGES * 400;

/// Feeds pages until the task is held back, and a barrier.
fn held_back(bench: &mut Bench, timeout_ms: u32) {
    for _ in 0..PAGES {
        bench.feed(400);
    }
    while bench.poll(0) != TaskPoll::Backpressured {}
    assert!(bench.task.current.is_some(), "it stopped within a page");
    bench.input.push(Element::Event(Event::Barrier(barrier(7, timeout_ms)))).expect("room");
}

#[test]
fn a_barrier_does_not_wait_for_room_downstream() {
    let (mut bench, kept) = overtaking(1);
    held_back(&mut bench, 1);
    bench.poll(0);
    assert_eq!(kept.lock().unwrap().finished, [7]);
    let in_flight = rows_in_flight(&kept);
    let (before, barriers) = output(&mut bench);
    assert_eq!(barriers, [7]);
    // What is in front of the barrier downstream, and what was kept, are all rows, each once.
    assert_eq!(before + TIMES * in_flight, TIMES * FED);
    assert!(in_flight > 400 && before > 400, "{before} and {in_flight}");
    // The task goes on with what it had kept, and does not heed the barrier again.
    let mut after = 0;
    for _ in 0..20 {
        bench.poll(0);
        let (rows, barriers) = output(&mut bench);
        assert_eq!(barriers, [0u64; 0]);
        after += rows;
    }
    bench.input.push(Element::Event(Event::EndOfPartition)).expect("room");
    while bench.poll(0) != TaskPoll::Finished {
        after += output(&mut bench).0;
    }
    assert_eq!(after + output(&mut bench).0, TIMES * in_flight);
    assert_eq!(kept.lock().unwrap().finished, [7]);
}

#[test]
fn with_a_timeout_it_waits_so_long() {
    let (mut bench, kept) = overtaking(5);
    held_back(&mut bench, 5);
    bench.poll(1_000);
    assert_eq!(bench.task.deadline(), Some(6_000));
    bench.poll(5_999);
    assert_eq!(kept.lock().unwrap().finished, [0u64; 0]);
    bench.poll(6_000);
    assert_eq!(kept.lock().unwrap().finished, [7]);
    assert_eq!(output(&mut bench).0 + TIMES * rows_in_flight(&kept), TIMES * FED);
}

#[test]
fn what_was_in_flight_comes_first() {
    let (mut bench, _) = overtaking(1);
    let page = |bench: &mut Bench| {
        let sizing = Sizing::new(Arc::new(Shape::new(&u64::schema())), SEGMENT).unwrap();
        let segment = bench.pool.request().expect("a segment");
        let mut page = PageBuilder::<u64, _>::new(segment, sizing.shape(), sizing.layout());
        (0..10u64).for_each(|n| page.append(n.view()).expect("it fits"));
        let sealed = page.seal(sizing.shape(), false);
        sealed.buffer.freeze(sealed.length)
    };
    let (received, sent) = (page(&mut bench), page(&mut bench));
    let info = info();
    let writer = PartitionWriter::<u64, Single>::new(&Single, 0, &info).unwrap();
    let writer = Box::new(PageChain::<u64, _>::new(writer));
    let recovered = vec![
        Recovered::Sent(0, writer, VecDeque::from([Again::Page(sent, 7)])),
        Recovered::Received(0, VecDeque::from([Again::Page(received, 4)])),
    ];
    bench.task = bench.task.recover(Recovery { recovered, ports: Vec::new(), rounds: 2 });
    bench.feed(100);
    bench.input.push(Element::Event(Event::EndOfPartition)).expect("room");
    while bench.poll(0) != TaskPoll::Finished {}
    let mut seen = Vec::new();
    while let Some(element) = bench.output.pop() {
        match element {
            Element::Page(page) => seen.push(ValidPage::trusted(&page).unwrap().rows() as i64),
            Element::Event(Event::Watermark(time)) => seen.push(-time),
            _ => {}
        }
    }
    // The rest of what was sent, and then the rest of what was received.
    assert_eq!(seen[0], 3);
    assert_eq!(seen[1..].iter().filter(|rows| **rows > 0).sum::<i64>(), (TIMES * 106) as i64);
}
