//! Watermarks by split where the stream of a source has branches.

use std::{collections::BTreeMap, fmt::Write, fs, path::PathBuf};

use millstream::{
    Runtime, builder,
    dataflow::{
        Connector, Environment, Stream,
        operator::{Emit, window::WindowAggregate},
        stream::Pages,
    },
    loader::Registry,
    result::Collected,
    state::{
        time::Bounded,
        window::{Tumbling, Window},
    },
};

/// A key and a time.
type Timed = (i64, i64);

/// Rows of a file.
const ROWS: i64 = 1000;

#[derive(Clone)]
struct Count;

impl WindowAggregate for Count {
    type In = Timed;
    type Key = i64;
    type Accumulator = i64;
    type Out = (i64, i64);

    fn create(&self) -> i64 {
        0
    }

    fn add(&self, rows: &mut i64, _row: Timed) {
        *rows += 1;
    }

    fn merge(&self, rows: &mut i64, other: i64) {
        *rows += other;
    }

    fn finish(&self, _key: i64, window: Window, rows: i64, out: &mut dyn Emit<(i64, i64)>) {
        out.emit((window.start, rows));
    }
}

/// Three files, of which the one that is read first has the latest times.
struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("millstream-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a directory");
        for file in 0..3 {
            let mut text = String::from("f0,f1\n");
            for row in 0..ROWS {
                writeln!(text, "{},{}", row % 7, (2 - file) * ROWS + row).expect("text");
            }
            fs::write(path.join(format!("{file}.csv")), text).expect("a file");
        }
        Self(path)
    }

    /// The rows that are in windows, by their begin, of what `branch` makes of the source.
    fn counted(
        &self,
        parallelism: u32,
        branch: impl FnOnce(Stream<Timed, Pages<Timed>>) -> Stream<Timed, Pages<Timed>>,
    ) -> Vec<(i64, i64)> {
        let env = Environment::new("splits");
        let path = self.0.to_str().expect("UTF-8");
        let rows = env.source::<Timed>("rows", Connector::new("filesystem").option("path", path));
        branch(rows)
            .assign_watermarks(Bounded::new(0), |row| row.1)
            .key_by::<i64, _>(|row| row.0)
            .window(Tumbling::of(100).expect("a size"), |row| row.1)
            .aggregate(Count)
            .result();
        let rows = Collected::<(i64, i64)>::new();
        let mut registry = Registry::new();
        builder::bundle(&mut registry).expect("the bundled plugins");
        let runtime = Runtime::builder().parallelism(parallelism).plugins(registry);
        let runtime = runtime.segment_size(4096).build().expect("a runtime");
        runtime.run(env.build(), rows.sink()).expect("it runs");
        let mut windows = BTreeMap::new();
        for (start, rows) in rows.take() {
            *windows.entry(start).or_insert(0) += rows;
        }
        windows.into_iter().collect()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn splits_are_told_apart_in_branches() {
    let files = Files::new("splits");
    let expected: Vec<(i64, i64)> = (0..3 * ROWS / 100).map(|at| (at * 100, 100)).collect();
    for parallelism in [1, 2] {
        assert_eq!(files.counted(parallelism, |rows| rows), expected, "without a branch");
        let forked = |rows: Stream<Timed, Pages<Timed>>| {
            let [one, other] = rows.fork();
            other.for_each(|_| ());
            let [one, other] = one.filter(|row| row.1 >= 0).fork();
            other.for_each(|_| ());
            one
        };
        assert_eq!(files.counted(parallelism, forked), expected, "{parallelism} subtasks");
        let side = |rows: Stream<Timed, Pages<Timed>>| {
            let (none, all) = rows.split(|row| row.1 < 0);
            none.for_each(|_| ());
            all
        };
        assert_eq!(files.counted(parallelism, side), expected, "{parallelism} subtasks, a side");
    }
}
