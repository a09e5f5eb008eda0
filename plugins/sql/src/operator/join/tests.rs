//! Joins of random changes, against all pairs of the rows that are there.

use std::collections::BTreeMap;

use datafusion_expr::Operator;
use datafusion_physical_expr::{
    PhysicalExpr,
    expressions::{BinaryExpr, Column, lit},
};
use millstream_data::{
    page::{Layout, RowBuilder, RowKind, Shape},
    row::PageRows,
    types::{DataType, Field},
};
use millstream_dataflow::{
    Chain, ChainIo, Context, Lease, OpenInfo,
    chain::{OutputInfo, PageInfo, StateMemory},
    operator::rows::RowFunctionChain,
    writer::run::{Division, RunWriter},
};
use millstream_exchange::event::Event;
use millstream_memory::{ManagedMemory, Segment, managed::Owner};
use millstream_segments::HeapArena;
use proptest::prelude::*;

use super::*;
use crate::relation::nullable;

const SEGMENT: usize = 64 << 10;
const KINDS: [JoinKind; 6] = [
    JoinKind::Inner,
    JoinKind::Left,
    JoinKind::Right,
    JoinKind::Full,
    JoinKind::Semi,
    JoinKind::Anti,
];

/// What is asked beside equal keys.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Asks {
    Nothing,
    /// That the left number is less than the right one.
    Less,
    /// That the right number is 2, whatever the left one.
    Two,
}

const ASKS: [Asks; 3] = [Asks::Nothing, Asks::Less, Asks::Two];

/// A key and a number. As text, too, if `text` is at the end of it.
type Cells = (Option<i64>, Option<i64>);
/// The cells of a row that comes out, without texts.
type Out = Vec<Option<i64>>;

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

/// Takes the pages that come out.
struct Pages(Arc<Memory>, Vec<Vec<u8>>);

impl ChainIo for Pages {
    fn now(&self) -> u64 {
        0
    }

    fn time(&self) -> i64 {
        0
    }

    fn wake_at(&mut self, _: i64) {}

    fn lease(&mut self, _output: u16, _to: u32) -> Result<Lease, TaskError> {
        let segment = self.0.lease().ok_or_else(|| TaskError::new("no memory"))?;
        Ok(Lease { segment, page_bytes: SEGMENT as u32 })
    }

    fn lease_jumbo(&mut self, _output: u16, _bytes: usize) -> Result<Segment, TaskError> {
        Err(TaskError::new("no row is so large"))
    }

    fn submit(&mut self, _output: u16, _to: u32, segment: Segment, page: PageInfo) {
        self.1.push(segment[..page.length as usize].to_vec());
    }

    fn event(&mut self, _output: u16, _to: u32, _event: Event) {}

    fn ready(&mut self) -> bool {
        true
    }

    fn wants_flush(&mut self, _output: u16, _to: u32) -> bool {
        true
    }
}

/// A join, the rows of its inputs, and what is left of what came out.
struct Bench {
    kind: JoinKind,
    asks: Asks,
    text: usize,
    inputs: [Schema; 2],
    output: Schema,
    chain: RowFunctionChain<Join>,
    memory: Arc<Memory>,
    rows: [Vec<Cells>; 2],
    left: BTreeMap<Out, i64>,
    /// What came out, in order.
    changes: Vec<(RowKind, Out)>,
}

impl Bench {
    /// A join of rows whose texts are of so many bytes, which are not there if it is 0.
    fn new(kind: JoinKind, asks: Asks, text: usize) -> Self {
        let input = |pads| {
            let number = |name| Field::new(name, DataType::Int64).nullable();
            let text = (text > 0).then(|| Field::new("text", DataType::String));
            let fields = [number("k"), number("n")].into_iter().chain(text).collect();
            let schema = Schema::new(fields).with_row_kinds();
            if pads { nullable(schema) } else { schema }
        };
        let inputs = kind.pads().map(input);
        let [left, right] = inputs.each_ref().map(|schema| schema.fields.clone());
        let second = left.len() + 1;
        let output = match kind.has_pairs() {
            true => [left, right].concat(),
            false => left,
        };
        let output = Schema::new(output).with_row_kinds();
        let number = |at| Arc::new(Column::new("n", at)) as Arc<dyn PhysicalExpr>;
        let condition = match asks {
            Asks::Nothing => None,
            Asks::Less => Some((number(1), Operator::Lt, number(second))),
            Asks::Two => Some((number(second), Operator::Eq, lit(2_i64))),
        };
        let condition = condition.map(|(a, operator, b)| {
            let condition = Arc::new(BinaryExpr::new(a, operator, b)) as _;
            Condition::new(&condition, &inputs).unwrap()
        });
        let (inputs_of, keys, life) = (inputs.clone(), [vec![0], vec![0]], [None, None]);
        let plan = Joining { inputs: inputs_of, keys, kind, condition, life };
        let memory = ManagedMemory::new(Box::new(HeapArena::new(SEGMENT, 512).unwrap()));
        let owner = memory.open("join").unwrap();
        let memory = Arc::new(Memory(memory, owner));
        let target = OutputInfo { subpartitions: 1, max_parallelism: 128, compact: false };
        let info = OpenInfo {
            subtask: 0,
            parallelism: 1,
            max_parallelism: 128,
            state: Some(Arc::clone(&memory) as _),
            segment_size: SEGMENT as u32,
            outputs: vec![target],
        };
        let mut states = RowStates::open(&info).unwrap();
        let join = Join::open(&plan, &mut states).unwrap();
        let writer = RunWriter::new(&output, &Division::None, 0, &info).unwrap();
        let chain = RowFunctionChain::new(join, states, writer);
        let (rows, left, changes) = Default::default();
        Self { kind, asks, text, inputs, output, chain, memory, rows, left, changes }
    }

    /// Rows of a side come and go.
    fn change(&mut self, side: usize, changes: &[(RowKind, Cells)]) -> Result<(), TaskError> {
        let shape = Arc::new(Shape::new(&self.inputs[side]));
        let layout = Layout::fitted(&shape, SEGMENT, self.text).unwrap();
        let mut buffer = self.memory.lease().unwrap();
        let mut page = RowBuilder::new(&mut buffer[..], &shape, &Arc::new(layout));
        for (kind, (key, number)) in changes {
            for (column, cell) in [key, number].into_iter().enumerate() {
                match cell {
                    Some(cell) => page.put_fixed(column, cell.to_le_bytes()),
                    None => page.put_null(column),
                }
            }
            if self.text > 0 {
                page.put_str(2, &"x".repeat(self.text)).unwrap();
            }
            page.put_kind(*kind);
            page.commit();
        }
        let sealed = page.seal(false);
        let page = ValidPage::validate(&sealed.buffer[..sealed.length], &shape).unwrap();
        let mut io = Pages(Arc::clone(&self.memory), Vec::new());
        let mut context = Context::new(&mut io);
        let done = self.chain.process(side as u16, &page, 0, &mut context);
        if let Some(error) = context.take_error() {
            return Err(error);
        }
        assert!(done == page.rows() && self.chain.finish(&mut context));
        self.chain.flush(true, &mut context);
        io.1.iter().for_each(|page| self.came(page));
        Ok(())
    }

    /// Makes the changes of a page that came out.
    fn came(&mut self, page: &[u8]) {
        let page = ValidPage::validate(page, &Shape::new(&self.output)).unwrap();
        let layout = RowLayout::new(&self.output);
        let rows = PageRows::new(&layout, &page).unwrap();
        let numbers = (0..layout.columns())
            .filter(|column| self.output.fields[*column].data_type == DataType::Int64);
        let numbers: Vec<usize> = numbers.collect();
        for row in 0..page.rows() {
            let cells = rows.at(row);
            let cell = |column: &usize| {
                (!cells.is_null(*column)).then(|| i64::from_le_bytes(cells.fixed(*column)))
            };
            let cells: Out = numbers.iter().map(cell).collect();
            self.changes.push((page.row_kind(row), cells.clone()));
            let count = self.left.entry(cells.clone()).or_default();
            match page.row_kind(row) {
                RowKind::Insert | RowKind::UpdateAfter => *count += 1,
                RowKind::Delete | RowKind::UpdateBefore => *count -= 1,
            }
            assert!(*count >= 0, "{cells:?} goes, which is not there");
        }
        self.left.retain(|_, count| *count > 0);
    }

    /// What a join of the rows that are there gives.
    fn expected(&self) -> BTreeMap<Out, i64> {
        let matches = |(k, n): &Cells, (l, m): &Cells| {
            let is_asked = match self.asks {
                Asks::Nothing => true,
                Asks::Less => n.is_some() && n < m,
                Asks::Two => *m == Some(2),
            };
            k.is_some() && k == l && is_asked
        };
        let mut rows: Vec<Out> = Vec::new();
        let [left, right] = &self.rows;
        for (k, n) in left {
            let found: Vec<&Cells> =
                right.iter().filter(|other| matches(&(*k, *n), other)).collect();
            if self.kind.has_pairs() {
                rows.extend(found.iter().map(|(l, m)| vec![*k, *n, *l, *m]));
            }
            match (self.kind, found.is_empty()) {
                (JoinKind::Left | JoinKind::Full, true) => rows.push(vec![*k, *n, None, None]),
                (JoinKind::Semi, false) | (JoinKind::Anti, true) => rows.push(vec![*k, *n]),
                _ => {}
            }
        }
        if matches!(self.kind, JoinKind::Right | JoinKind::Full) {
            let alone = right.iter().filter(|row| !left.iter().any(|other| matches(other, row)));
            rows.extend(alone.map(|(l, m)| vec![None, None, *l, *m]));
        }
        let mut counted = BTreeMap::new();
        rows.into_iter().for_each(|row| *counted.entry(row).or_default() += 1);
        counted
    }
}

/// Changes of a side, which come in a page: where there is a number, the row of that number (modulo how many
/// there are) goes.
type Step = (usize, Vec<(Option<usize>, Cells)>);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let cells = (prop::option::weighted(0.85, 0..3_i64), prop::option::weighted(0.85, 0..4_i64));
    let change = (prop::option::weighted(0.4, 0..100_usize), cells);
    prop::collection::vec((0..2_usize, prop::collection::vec(change, 1..6)), 1..16)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// After each page what is left of all changes is the join of the rows that are there.
    #[test]
    fn what_is_left_is_the_join_of_what_is_there(
        kind in prop::sample::select(&KINDS[..]),
        asks in prop::sample::select(&ASKS[..]),
        text in prop::sample::select(&[0_usize, 3, 40][..]),
        steps in steps(),
    ) {
        let mut bench = Bench::new(kind, asks, text);
        for (side, changes) in steps {
            let rows = &mut bench.rows[side];
            let changes: Vec<_> = changes
                .into_iter()
                .map(|(gone, cells)| match gone.and_then(|gone| gone.checked_rem(rows.len())) {
                    Some(gone) => (RowKind::UpdateBefore, rows.swap_remove(gone)),
                    None => {
                        rows.push(cells);
                        (RowKind::Insert, cells)
                    }
                })
                .collect();
            bench.change(side, &changes).unwrap();
            prop_assert_eq!(&bench.left, &bench.expected());
        }
    }
}

/// More is found than is kept at once, for rows of one key that come together: the first is the one for which
/// those of the other side are not alone any more.
#[test]
fn rows_that_find_many_are_taken_in_parts() {
    for asks in [Asks::Nothing, Asks::Less] {
        let mut bench = Bench::new(JoinKind::Full, asks, 12 << 10);
        for _ in 0..100 {
            bench.rows[1].push((Some(1), Some(9)));
            bench.change(1, &[(RowKind::Insert, (Some(1), Some(9)))]).unwrap();
        }
        let rows = [(Some(1), Some(1)), (None, Some(2)), (Some(1), Some(2)), (Some(1), None)];
        for row in rows {
            bench.rows[0].push(row);
        }
        bench.change(0, &rows.map(|row| (RowKind::Insert, row))).unwrap();
        assert_eq!(bench.left, bench.expected());
        bench.rows[0].clear();
        bench.change(0, &rows.map(|row| (RowKind::Delete, row))).unwrap();
        assert_eq!(bench.left, bench.expected());
    }
}

/// Rows of a side are not written while the other has none of their keys, and a second match changes nothing
/// of a row that is there once.
#[test]
fn matches_change_only_what_they_must() {
    let one = |number| [(RowKind::Insert, (Some(1), Some(number)))];
    for (kind, changes) in [
        (JoinKind::Inner, [0, 1, 2]),
        (JoinKind::Left, [1, 3, 4]),
        (JoinKind::Right, [0, 1, 2]),
        (JoinKind::Full, [1, 3, 4]),
        (JoinKind::Semi, [0, 1, 1]),
        (JoinKind::Anti, [1, 2, 2]),
    ] {
        for asks in [Asks::Nothing, Asks::Less] {
            let mut bench = Bench::new(kind, asks, 0);
            for ((side, number), so_far) in [(0, 1), (1, 2), (1, 3)].into_iter().zip(changes) {
                bench.change(side, &one(number)).unwrap();
                assert_eq!(bench.changes.len(), so_far, "{kind:?} {asks:?}");
            }
        }
    }
}

/// A row without a match goes before its first pair comes, and comes when the last one has gone: who keeps the
/// last row of a key has what is true.
#[test]
fn rows_go_before_others_come() {
    use RowKind::{Delete, Insert};
    let (pair, alone) =
        (vec![Some(1), Some(1), Some(1), Some(2)], vec![None, None, Some(1), Some(2)]);
    for asks in ASKS {
        let mut bench = Bench::new(JoinKind::Right, asks, 0);
        bench.change(1, &[(Insert, (Some(1), Some(2)))]).unwrap();
        for kind in [Insert, Delete] {
            bench.change(0, &[(kind, (Some(1), Some(1)))]).unwrap();
        }
        let rows = [&alone, &alone, &pair, &pair, &alone].map(Vec::clone);
        let kinds = [Insert, Delete, Insert, Delete, Insert];
        assert_eq!(bench.changes, kinds.into_iter().zip(rows).collect::<Vec<_>>(), "{asks:?}");
    }
}

#[test]
fn a_row_that_never_came_is_an_error() {
    for kind in KINDS {
        for (asks, side) in ASKS.into_iter().flat_map(|asks| [(asks, 0), (asks, 1)]) {
            let mut bench = Bench::new(kind, asks, 0);
            let row = (Some(1), Some(1));
            bench.change(side, &[(RowKind::Insert, row)]).unwrap();
            bench.change(side, &[(RowKind::Delete, row)]).unwrap();
            let error = bench.change(side, &[(RowKind::Delete, row)]).unwrap_err();
            let error = error.to_string();
            assert!(error.starts_with("a row is taken back that the join has not got"), "{error}");
        }
    }
}
