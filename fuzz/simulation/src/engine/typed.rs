//! The program of the typed API that is simulated, its input, and what must come of it.

use std::{collections::BTreeMap, rc::Rc};

use millstream_dataflow::{
    Connector, Environment, TaskError,
    operator::{Emit, window::WindowAggregate},
    stream::Program,
};
use millstream_state::{
    time::Bounded,
    window::{Tumbling, Window},
};

use super::{
    job::Job,
    rows::{Cell, Row as Cells, Rows, Table},
};
use crate::Random;

/// A key, a time in milliseconds, and the number of the row.
type Row = (u64, i64, u64);

/// A key, the begin of its window, and count and sum of its rows.
type Shown = (u64, i64, u64, u64);

/// Key groups of the windows.
const KEY_GROUPS: u32 = 8;

/// The job of a seed.
pub(super) fn job(random: &mut Random) -> Result<Job, TaskError> {
    let typed = Typed::new(random);
    let cells = |(key, time, number): &Row| -> Cells {
        [*key as i64, *time, *number as i64].map(Cell::from).into()
    };
    let splits = typed.splits.iter().map(|split| split.iter().map(cells).collect());
    let columns = ["f0", "f1", "f2"].map(String::from).into();
    let table = Rc::new(Table { columns, splits: splits.collect() });
    let expected = typed.expected();
    let check = Box::new(move |shown: &Rows| shown.compare(&expected));
    let tables = BTreeMap::from([(String::from("rows"), table)]);
    let job = Job::new(Rc::new(typed.program()?), &tables, check)?;
    Ok(if typed.late { job.in_order() } else { job })
}

/// What is read, and how it is taken together.
#[derive(Debug)]
struct Typed {
    /// Rows by split. None is behind one of its split by more than `disorder`, unless they may be late.
    splits: Vec<Vec<Row>>,
    /// Milliseconds.
    disorder: i64,
    /// Rows may be late; there is one split, and their order says which are.
    late: bool,
    /// Milliseconds.
    window: i64,
    /// The sink's rows come from all windows, not from the one beside it.
    spreads: bool,
    /// Bytes in the state of a window that are of no use.
    ballast: usize,
    /// Times are taken in a branch of the source's stream.
    branches: bool,
}

impl Typed {
    fn new(random: &mut Random) -> Self {
        let keys = u64::from(random.between(1, 20));
        let disorder = i64::from(random.between(0, 30));
        let window = i64::from(random.between(5, 200));
        let late = random.percent(20);
        let behind = if late { disorder * 4 + 20 } else { disorder };
        let splits = if late { 1 } else { random.between(1, 7) };
        // Splits that follow each other in time make a watermark too high, if anything does.
        let follow = random.percent(50);
        let reversed = random.percent(50);
        let mut number = 0;
        let splits = (0..splits).map(|split| {
            let rows = random.between(0, 350);
            let split = if reversed { splits - split } else { split };
            let mut time = if follow { i64::from(split) * 1000 } else { 0 };
            (0..rows)
                .map(|_| {
                    time += i64::from(random.between(0, 8));
                    number += 1;
                    let back = i64::from(random.between(0, behind as u32));
                    (random.below(keys), time - back, number)
                })
                .collect()
        });
        let splits = splits.collect();
        let ballast = if random.percent(50) { 0 } else { random.below(400) as usize };
        let (spreads, branches) = (random.percent(30), random.percent(30));
        Self { splits, disorder, late, window, spreads, ballast, branches }
    }

    /// The program, as a user would write it.
    fn program(&self) -> Result<Program, TaskError> {
        let env = Environment::new("simulated");
        let windows = Tumbling::of(self.window);
        let windows = windows.map_err(|error| TaskError::new(error.to_string()))?;
        let mut rows = env.source::<Row>("rows", Connector::new("simulated"));
        if self.branches {
            [rows] = rows.filter(|_| true).fork();
        }
        let shown = rows
            .assign_watermarks(Bounded::new(self.disorder), |row| row.1)
            .key_by::<u64, _>(|row| row.0)
            .window(windows, |row| row.1)
            .aggregate(Sum { ballast: self.ballast })
            .max_parallelism(KEY_GROUPS);
        if self.spreads {
            shown.rebalance().sink("shown", Connector::new("simulated"));
        } else {
            shown.sink("shown", Connector::new("simulated"));
        }
        Ok(env.build())
    }

    /// What must be shown, once each.
    fn expected(&self) -> Rows {
        let mut windows: BTreeMap<(u64, i64), (u64, u64)> = BTreeMap::new();
        let mut watermark = i64::MIN;
        for (key, time, number) in self.splits.iter().flatten() {
            let begin = time.div_euclid(self.window) * self.window;
            let is_late = self.late && begin + self.window - 1 <= watermark;
            watermark = watermark.max(time - self.disorder - 1);
            if is_late {
                continue;
            }
            let (rows, sum) = windows.entry((*key, begin)).or_default();
            *rows += 1;
            *sum += number;
        }
        let row = |((key, begin), (rows, sum)): ((u64, i64), (u64, u64))| {
            [key as i64, begin, rows as i64, sum as i64].map(Cell::from).into()
        };
        windows.into_iter().map(row).collect()
    }
}

/// Makes state larger, so that it does not fit the write buffers of the backend with files.
const BALLAST: &str =
    "a sentence that is of no use but that it takes room in the state of a window";

#[derive(Clone)]
struct Sum {
    /// Bytes, about.
    ballast: usize,
}

impl WindowAggregate for Sum {
    type In = Row;
    type Key = u64;
    type Accumulator = (u64, u64, String);
    type Out = Shown;

    fn create(&self) -> (u64, u64, String) {
        (0, 0, String::new())
    }

    fn add(&self, (rows, sum, ballast): &mut (u64, u64, String), (_, _, number): Row) {
        *rows += 1;
        *sum += number;
        if ballast.len() < self.ballast {
            ballast.push_str(BALLAST);
        }
    }

    fn merge(&self, (rows, sum, _): &mut (u64, u64, String), other: (u64, u64, &str)) {
        *rows += other.0;
        *sum += other.1;
    }

    fn finish(
        &self,
        key: u64,
        window: Window,
        (rows, sum, _): (u64, u64, &str),
        out: &mut dyn Emit<Shown>,
    ) {
        out.emit((key, window.start, rows, sum));
    }
}
