//! What operators say when what they keep has expired: processing time is that of the test.

use std::{cell::Cell, rc::Rc, sync::Arc};

use millstream_data::{
    page::{Layout, RowBuilder, RowKind, Shape, ValidPage},
    row::{PageRows, RowLayout},
    types::{DataType, Field, Schema},
};
use millstream_dataflow::{
    Chain, ChainIo, Context, Lease, OpenInfo, TaskError,
    chain::{OutputInfo, PageInfo, Signal, StateMemory},
    operator::rows::{RowFunction, RowFunctionChain, RowStates, RowsAtOnce},
    writer::run::{Division, RunWriter},
};
use millstream_exchange::event::{Event, Purpose};
use millstream_memory::{ManagedMemory, Segment, managed::Owner};
use millstream_segments::HeapArena;

use super::{
    Around, Changing, aggregate, always, join, over, pairs::Condition, set_operation, top_n,
};
use crate::{
    relation::{
        AggregateCall, AggregateFunction, Edge, Frame, JoinKind, OrderKey, Said, SetOperation,
    },
    types::{Kind, Type},
};

const SEGMENT: usize = 64 << 10;
/// How long state is kept, in milliseconds.
const LIFE: i64 = 100;

/// A row that comes or goes.
pub(super) type Change = (RowKind, Vec<Option<i64>>);

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

/// Takes the pages that come out, and says what time it is.
struct Pages {
    memory: Arc<Memory>,
    pages: Vec<Vec<u8>>,
    time: Rc<Cell<i64>>,
}

impl ChainIo for Pages {
    fn now(&self) -> u64 {
        0
    }

    fn time(&self) -> i64 {
        self.time.get()
    }

    fn wake_at(&mut self, _: i64) {}

    fn lease(&mut self, _output: u16, _to: u32) -> Result<Lease, TaskError> {
        let segment = self.memory.lease().ok_or_else(|| TaskError::new("no memory"))?;
        Ok(Lease { segment, page_bytes: SEGMENT as u32 })
    }

    fn lease_jumbo(&mut self, _output: u16, _bytes: usize) -> Result<Segment, TaskError> {
        Err(TaskError::new("no row is so large"))
    }

    fn submit(&mut self, _output: u16, _to: u32, segment: Segment, page: PageInfo) {
        self.pages.push(segment[..page.length as usize].to_vec());
    }

    fn event(&mut self, _output: u16, _to: u32, _event: Event) {}

    fn ready(&mut self) -> bool {
        true
    }

    fn wants_flush(&mut self, _output: u16, _to: u32) -> bool {
        true
    }
}

/// An operator on rows of numbers.
pub(super) struct Bench {
    input: Schema,
    output: Schema,
    chain: Box<dyn Chain>,
    memory: Arc<Memory>,
    time: Rc<Cell<i64>>,
}

/// So many columns of numbers.
pub(super) fn numbers(columns: usize) -> Schema {
    let field = |at| Field::new(format!("c{at}"), DataType::Int64).nullable();
    Schema::new((0..columns).map(field).collect()).with_row_kinds()
}

impl Bench {
    pub(super) fn new<F: RowFunction>(
        [input, output]: [usize; 2],
        open: impl FnOnce(&mut RowStates) -> Result<F, TaskError>,
    ) -> Self {
        let memory = ManagedMemory::new(Box::new(HeapArena::new(SEGMENT, 256).unwrap()));
        let owner = memory.open("expiring").unwrap();
        let memory = Arc::new(Memory(memory, owner));
        let info = OpenInfo {
            subtask: 0,
            parallelism: 1,
            max_parallelism: 128,
            state: Some(Arc::clone(&memory) as _),
            segment_size: SEGMENT as u32,
            outputs: vec![OutputInfo { subpartitions: 1, max_parallelism: 128, compact: false }],
        };
        let (input, output) = (numbers(input), numbers(output));
        let mut states = RowStates::open(&info).unwrap();
        states.expire_after(Some(LIFE));
        let function = open(&mut states).unwrap();
        let writer = RunWriter::new(&output, &Division::None, 0, &info).unwrap();
        let chain = Box::new(RowFunctionChain::new(function, states, writer));
        Self { input, output, chain, memory, time: Rc::default() }
    }

    /// What comes out when rows come and go at a time.
    pub(super) fn at(
        &mut self,
        time: i64,
        side: u16,
        changes: &[(RowKind, &[i64])],
    ) -> Vec<Change> {
        self.time.set(time);
        let shape = Arc::new(Shape::new(&self.input));
        let layout = Arc::new(Layout::fitted(&shape, SEGMENT, 0).unwrap());
        let mut buffer = self.memory.lease().unwrap();
        let mut page = RowBuilder::new(&mut buffer[..], &shape, &layout);
        for (kind, cells) in changes {
            for (column, cell) in cells.iter().enumerate() {
                page.put_fixed(column, cell.to_le_bytes());
            }
            if self.input.row_kinds {
                page.put_kind(*kind);
            }
            page.commit();
        }
        let sealed = page.seal(false);
        let page = ValidPage::validate(&sealed.buffer[..sealed.length], &shape).unwrap();
        let (memory, time) = (Arc::clone(&self.memory), Rc::clone(&self.time));
        let mut io = Pages { memory, pages: Vec::new(), time };
        let mut context = Context::new(&mut io);
        let done = self.chain.process(side, &page, 0, &mut context);
        assert_eq!(context.take_error(), None);
        assert!(done == page.rows() && self.chain.finish(&mut context));
        self.chain.flush(true, &mut context);
        io.pages.iter().flat_map(|page| self.came(page)).collect()
    }

    /// What comes out when processing time is here.
    pub(super) fn pass(&mut self, time: i64) -> Vec<Change> {
        self.time.set(time);
        self.signal(Signal::Time(time)).unwrap()
    }

    /// Goes on from what another one keeps.
    pub(super) fn restore(&mut self, from: &mut Self) {
        from.chain.begin_snapshot(Purpose::Savepoint).unwrap();
        let mut chunks = Vec::new();
        while from.chain.next_chunk(&mut chunks).unwrap() {}
        self.chain.restore(&chunks).unwrap();
        self.time.set(from.time.get());
    }

    /// Bytes that are free.
    pub(super) fn free(&self) -> u64 {
        self.memory.0.free()
    }

    /// What comes out when the watermark is here, or what the operator fails with.
    pub(super) fn watermark(&mut self, time: i64) -> Result<Vec<Change>, String> {
        self.signal(Signal::Watermark(time))
    }

    fn signal(&mut self, signal: Signal) -> Result<Vec<Change>, String> {
        let (memory, now) = (Arc::clone(&self.memory), Rc::clone(&self.time));
        let mut io = Pages { memory, pages: Vec::new(), time: now };
        let mut context = Context::new(&mut io);
        self.chain.signal(signal, &mut context);
        if let Some(error) = context.take_error() {
            return Err(error.to_string());
        }
        self.chain.flush(true, &mut context);
        Ok(io.pages.iter().flat_map(|page| self.came(page)).collect())
    }

    fn came(&self, page: &[u8]) -> Vec<Change> {
        let page = ValidPage::validate(page, &Shape::new(&self.output)).unwrap();
        let layout = RowLayout::new(&self.output);
        let rows = PageRows::new(&layout, &page).unwrap();
        let row = |row: usize| {
            let cells = rows.at(row);
            let cell = |column: usize| {
                (!cells.is_null(column)).then(|| i64::from_le_bytes(cells.fixed(column)))
            };
            (page.row_kind(row), (0..layout.columns()).map(cell).collect())
        };
        (0..page.rows()).map(row).collect()
    }
}

use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};

pub(super) fn said(kind: RowKind, cells: &[i64]) -> Change {
    (kind, cells.iter().map(|cell| Some(*cell)).collect())
}

pub(super) fn call(
    function: AggregateFunction,
    argument: Option<usize>,
    distinct: bool,
) -> AggregateCall {
    let output = Type { kind: Kind::BigInt, nullable: true };
    let (filter, default, separator, name) = (None, None, String::new(), "n".into());
    let user = None;
    AggregateCall { function, argument, filter, distinct, separator, default, output, name, user }
}

/// Groups of the first column, with these calls.
fn groups(calls: &[AggregateCall]) -> Bench {
    let how = Changing::default();
    let width = 1 + calls.len();
    let plan = aggregate::Aggregation::new(&numbers(2), 1, calls, &numbers(width)).unwrap();
    Bench::new([2, width], |states| {
        aggregate::Aggregate::open(&plan, (aggregate::Emits::Changes, how), states)
    })
}

#[test]
fn a_group_begins_anew_when_no_row_came_for_a_while() {
    let mut bench = groups(&[call(AggregateFunction::CountAll, None, false)]);
    assert_eq!(bench.at(0, 0, &[(Insert, &[1, 5])]), [said(Insert, &[1, 1])]);
    // Each row gives it another life.
    let second = [said(UpdateBefore, &[1, 1]), said(UpdateAfter, &[1, 2])];
    assert_eq!(bench.at(99, 0, &[(Insert, &[1, 5])]), second);
    let third = [said(UpdateBefore, &[1, 2]), said(UpdateAfter, &[1, 3])];
    assert_eq!(bench.at(198, 0, &[(Insert, &[1, 5])]), third);
    assert_eq!(bench.at(298, 0, &[(Insert, &[1, 5])]), [said(Insert, &[1, 1])]);
    // A row of a group that is not there any more goes without a word.
    assert_eq!(bench.at(398, 0, &[(Delete, &[1, 5])]), []);
    assert_eq!(bench.at(398, 0, &[(Insert, &[1, 5])]), [said(Insert, &[1, 1])]);
    assert_eq!(bench.at(399, 0, &[(Delete, &[1, 5])]), [said(Delete, &[1, 1])]);
}

/// As in Flink, so that what follows does not forget what is still used.
#[test]
fn a_group_that_expires_is_said_with_every_row() {
    let mut bench = groups(&[call(AggregateFunction::Max, Some(1), false)]);
    bench.at(0, 0, &[(Insert, &[1, 5])]);
    let same = [said(UpdateBefore, &[1, 5]), said(UpdateAfter, &[1, 5])];
    assert_eq!(bench.at(1, 0, &[(Insert, &[1, 4])]), same);
}

#[test]
fn values_of_a_group_expire_by_themselves() {
    let calls = [
        call(AggregateFunction::Max, Some(1), false),
        call(AggregateFunction::Count, Some(1), true),
    ];
    let mut bench = groups(&calls);
    assert_eq!(bench.at(0, 0, &[(Insert, &[1, 9])]), [said(Insert, &[1, 9, 1])]);
    let second = [said(UpdateBefore, &[1, 9, 1]), said(UpdateAfter, &[1, 9, 2])];
    assert_eq!(bench.at(50, 0, &[(Insert, &[1, 7])]), second);
    bench.at(120, 0, &[(Insert, &[1, 5])]);
    // 9 is not there any more: that it goes changes nothing. Then 5 is the greatest, since 7 is gone, too.
    let same = [said(UpdateBefore, &[1, 9, 3]), said(UpdateAfter, &[1, 9, 3])];
    assert_eq!(bench.at(130, 0, &[(Delete, &[1, 9])]), same);
    bench.at(130, 0, &[(Insert, &[1, 6])]);
    let last = bench.at(151, 0, &[(Delete, &[1, 6])]).pop();
    assert_eq!(last, Some(said(UpdateAfter, &[1, 5, 3])));
    // 9 is new.
    let last = bench.at(160, 0, &[(Insert, &[1, 9])]).pop();
    assert_eq!(last, Some(said(UpdateAfter, &[1, 9, 4])));
}

fn joined(kind: JoinKind, life: [Option<i64>; 2]) -> Bench {
    let inputs = [numbers(2), numbers(2)];
    let condition = (kind != JoinKind::Inner)
        .then(|| Condition::new(&always(), &inputs).expect("a condition without columns"));
    let plan = join::Joining { inputs, keys: [vec![0], vec![0]], kind, condition, life };
    Bench::new([2, 4], |states| join::Join::open(&plan, states))
}

#[test]
fn rows_of_each_side_of_a_join_live_for_a_time_of_their_own() {
    let mut bench = joined(JoinKind::Inner, [Some(LIFE), Some(2 * LIFE)]);
    bench.at(0, 0, &[(Insert, &[1, 10])]);
    bench.at(50, 0, &[(Insert, &[1, 11])]);
    // Only the second one is left.
    assert_eq!(bench.at(100, 1, &[(Insert, &[1, 20])]), [said(Insert, &[1, 11, 1, 20])]);
    assert_eq!(bench.at(299, 0, &[(Insert, &[1, 12])]), [said(Insert, &[1, 12, 1, 20])]);
    assert_eq!(bench.at(300, 0, &[(Insert, &[1, 13])]), []);
    // One that has expired is taken back from those that are there.
    assert_eq!(bench.at(300, 1, &[(Insert, &[1, 21])]).len(), 2);
    let gone = [said(Delete, &[1, 10, 1, 21])];
    assert_eq!(bench.at(301, 0, &[(Delete, &[1, 10])]), gone);
    let mut forever = joined(JoinKind::Inner, [None, Some(LIFE)]);
    forever.at(0, 0, &[(Insert, &[1, 10])]);
    assert_eq!(forever.at(i64::MAX, 1, &[(Insert, &[1, 20])]).len(), 1);
}

#[test]
fn a_row_that_had_a_match_is_not_said_without_one_later() {
    let mut bench = joined(JoinKind::Left, [Some(10 * LIFE), Some(LIFE)]);
    let alone = (Insert, vec![Some(1), Some(10), None, None]);
    assert_eq!(bench.at(0, 0, &[(Insert, &[1, 10])]), std::slice::from_ref(&alone));
    let first = [(Delete, alone.1), said(Insert, &[1, 10, 1, 20])];
    assert_eq!(bench.at(1, 1, &[(Insert, &[1, 20])]), first);
    // The match has expired, and was never taken back.
    assert_eq!(bench.at(200, 1, &[(Insert, &[1, 21])]), [said(Insert, &[1, 10, 1, 21])]);
    assert_eq!(bench.at(201, 1, &[(Delete, &[1, 21])]), [said(Delete, &[1, 10, 1, 21])]);
    // A row that comes now finds none.
    let alone = (Insert, vec![Some(1), Some(11), None, None]);
    assert_eq!(bench.at(202, 0, &[(Insert, &[1, 11])]), [alone]);
}

fn ranked(limit: u64, changes: bool) -> Bench {
    let how = Changing::default();
    let mut input = numbers(2);
    input.row_kinds = changes;
    let order = [OrderKey { column: 1, descending: false, nulls_first: true }];
    let order = top_n::Order { order: &order, limit, rank: false, latest: false };
    let plan = top_n::Ranking::new(&input, &[0], order).unwrap();
    let mut bench = match plan.is_small() {
        true => Bench::new([2, 2], |states| top_n::TopN::open(&plan, how, states)),
        false => Bench::new([2, 2], |states| top_n::OrderedTopN::open(&plan, how, states)),
    };
    bench.input.row_kinds = changes;
    bench
}

#[test]
fn first_rows_of_changes_expire_one_by_one() {
    let mut bench = ranked(2, true);
    bench.at(0, 0, &[(Insert, &[1, 5])]);
    bench.at(60, 0, &[(Insert, &[1, 3])]);
    // The first two are full: 4 is one of them.
    let enters = [said(Delete, &[1, 5]), said(Insert, &[1, 4])];
    assert_eq!(bench.at(70, 0, &[(Insert, &[1, 4])]), enters);
    // 5 has expired, and says nothing when it goes; nor does it come back for 3.
    assert_eq!(bench.at(110, 0, &[(Delete, &[1, 5])]), []);
    assert_eq!(bench.at(111, 0, &[(Delete, &[1, 3])]), [said(Delete, &[1, 3])]);
    // All have expired.
    assert_eq!(bench.at(200, 0, &[(Insert, &[1, 9])]), [said(Insert, &[1, 9])]);
    assert_eq!(bench.at(201, 0, &[(Insert, &[1, 8])]), [said(Insert, &[1, 8])]);
}

#[test]
fn a_partition_of_first_rows_begins_anew() {
    let mut bench = ranked(1, false);
    bench.at(0, 0, &[(Insert, &[1, 5])]);
    assert_eq!(bench.at(99, 0, &[(Insert, &[1, 6])]), []);
    assert_eq!(bench.at(100, 0, &[(Insert, &[1, 6])]), [said(Insert, &[1, 6])]);
}

/// The sum of the second column over rows that came before, from this edge on.
fn around(start: Edge) -> Bench {
    let frame = Frame { rows: true, start, end: Edge::By(0) };
    let calls = [call(AggregateFunction::Sum, Some(1), false)];
    let around = Around { order: &[], said: Said::AtOnce, frame, calls: &calls };
    let plan = over::Overing::new(&numbers(2), &around, &numbers(3)).unwrap();
    Bench::new([2, 3], |states| {
        RowsAtOnce::open(&numbers(2), &[0], states, |keys, states| {
            over::Over::open(&plan, keys, states)
        })
    })
}

/// What is around the next row, be it accumulators or rows.
#[test]
fn what_is_around_the_last_row_expires() {
    for start in [Edge::Start, Edge::By(-2)] {
        let mut bench = around(start);
        let rows = [(Insert, &[1, 5][..]), (Insert, &[2, 7]), (Insert, &[1, 6])];
        let sums = [said(Insert, &[1, 5, 5]), said(Insert, &[2, 7, 7]), said(Insert, &[1, 6, 11])];
        assert_eq!(bench.at(0, 0, &rows), sums);
        assert_eq!(bench.at(99, 0, &[(Insert, &[1, 1])]), [said(Insert, &[1, 1, 12])]);
        assert_eq!(bench.at(150, 0, &[(Insert, &[2, 1])]), [said(Insert, &[2, 1, 1])]);
        assert_eq!(bench.at(198, 0, &[(Insert, &[1, 0])]).len(), 1);
        assert_eq!(bench.at(298, 0, &[(Insert, &[1, 3])]), [said(Insert, &[1, 3, 3])]);
    }
}

#[test]
fn rows_of_both_sides_are_counted_anew() {
    let mut bench = Bench::new([2, 2], |states| {
        set_operation::Matching::open(&numbers(2), SetOperation::Intersect, states)
    });
    bench.at(0, 0, &[(Insert, &[1, 1])]);
    assert_eq!(bench.at(50, 1, &[(Insert, &[1, 1])]), [said(Insert, &[1, 1])]);
    assert_eq!(bench.at(150, 1, &[(Insert, &[1, 1])]), []);
    assert_eq!(bench.at(151, 0, &[(Delete, &[1, 1])]), []);
    assert_eq!(bench.at(152, 0, &[(Insert, &[1, 1])]), [said(Insert, &[1, 1])]);
}

/// Keys that come once and never again do not stay, though nobody asks for them.
#[test]
fn what_expired_gives_its_memory_back() {
    let mut bench = groups(&[call(AggregateFunction::CountAll, None, false)]);
    let free = bench.memory.0.free();
    for time in 0..1000 {
        let rows: Vec<_> = (0..100_i64).map(|key| [time * 100 + key, 0]).collect();
        let rows: Vec<_> = rows.iter().map(|row| (Insert, &row[..])).collect();
        assert_eq!(bench.at(time, 0, &rows).len(), 100);
    }
    // At any time there are at most 100 times as many groups as come at once, in a tenth of the memory.
    let kept = (free - bench.memory.0.free()) / SEGMENT as u64;
    assert!(kept < 40, "{kept} segments are kept");
}
