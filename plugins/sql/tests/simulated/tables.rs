//! What the scripts read.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use millstream_simulation::{
    Random,
    engine::{Cell, Row, Table},
};

/// The tables, and where rows go: `t` and `u` of events, `r` of versions.
pub(crate) const DECLARED: &str = "\
CREATE TABLE t (k INT, v BIGINT, s STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '0.1' SECOND) \
WITH ('connector' = 'simulated');
CREATE TABLE u (k INT, w BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '0.1' SECOND) \
WITH ('connector' = 'simulated');
CREATE TABLE r (k INT, rate BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '0.1' SECOND, \
PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'simulated');
";

/// Milliseconds by which watermarks follow the latest row.
pub(crate) const DELAY: i64 = 100;

/// Rows of the tables, by split.
pub(crate) struct Input {
    pub(crate) t: Vec<Vec<Event>>,
    u: Vec<Vec<Event>>,
    r: Vec<Vec<Event>>,
}

/// A row: `number` and `time`, in milliseconds, differ from those of all others of its table.
#[derive(Clone, Copy)]
pub(crate) struct Event {
    pub(crate) key: Option<i64>,
    pub(crate) number: i64,
    pub(crate) text: Option<&'static str>,
    pub(crate) time: i64,
}

const TEXTS: [&str; 4] = ["a", "b", "a text that is too long for its place in a column", ""];

impl Input {
    /// Rows, some of which are late if that is asked for: then each table has one split, whose order says which.
    pub(crate) fn of(late: bool, random: &mut Random) -> Self {
        let keys = u64::from(random.between(1, 12));
        let disorder = match late {
            true => random.between(50, 600),
            false => random.between(0, DELAY as u32),
        };
        let follow = random.percent(50);
        let mut split = |splits: u32| -> Vec<Vec<Event>> {
            let (mut number, mut times) = (0, BTreeSet::new());
            let mut rows = |split: u32| -> Vec<Event> {
                let mut time = if follow { i64::from(split) * 700 } else { 0 };
                let rows = random.between(0, 360 / splits);
                let mut event = || {
                    time += i64::from(random.between(0, 20));
                    let mut at = time - i64::from(random.between(0, disorder));
                    while !times.insert(at) {
                        at += 1;
                        time = time.max(at);
                    }
                    number += 1;
                    let key = (!random.percent(5)).then(|| random.below(keys) as i64);
                    let text = (!random.percent(20)).then(|| TEXTS[random.index(TEXTS.len())]);
                    Event { key, number, text, time: at }
                };
                (0..rows).map(|_| event()).collect()
            };
            (0..splits).map(&mut rows).collect()
        };
        let mut table = |most: u32| if late { split(1) } else { split(most) };
        Self { t: table(5), u: table(3), r: table(2) }
    }

    /// All rows of `t`.
    pub(crate) fn events(&self) -> impl Iterator<Item = &Event> {
        self.t.iter().flatten()
    }

    pub(crate) fn tables(&self) -> BTreeMap<String, Rc<Table>> {
        let time = |event: &Event| Cell::from(event.time * 1000);
        let t = |event: &Event| -> Row {
            vec![event.key.into(), event.number.into(), event.text.into(), time(event)]
        };
        let u = |event: &Event| -> Row { vec![event.key.into(), event.number.into(), time(event)] };
        let r = |event: &Event| -> Row {
            vec![event.key.unwrap_or(-1).into(), event.number.into(), time(event)]
        };
        BTreeMap::from([
            ("t".into(), table(&["k", "v", "s", "ts"], &self.t, t)),
            ("u".into(), table(&["k", "w", "ts"], &self.u, u)),
            ("r".into(), table(&["k", "rate", "ts"], &self.r, r)),
        ])
    }
}

fn table(columns: &[&str], splits: &[Vec<Event>], row: impl Fn(&Event) -> Row) -> Rc<Table> {
    let columns = columns.iter().map(|name| (*name).to_owned()).collect();
    let splits = splits.iter().map(|split| split.iter().map(&row).collect()).collect();
    Rc::new(Table { columns, splits })
}
