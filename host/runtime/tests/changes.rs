//! Results and sinks of rows with kinds.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use millstream::{
    CheckpointOptions, RunError, Runtime, builder,
    data::{
        Record, Value,
        page::{RowBuilder, RowKind, Shape, Sizing, ValidPage},
        row::{RowLayout, scatter},
        types::Schema,
    },
    dataflow::{
        Connector, Environment, TaskError,
        chain::{Chain, Context, PageInfo, Produced, Signal},
    },
    loader::Registry,
    result::{Changelog, Collected, Csv, Json, ResultSink, Table},
};
use millstream_exchange::event::Purpose;

use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};

type Row = (i64, Option<String>);
type Change = (RowKind, Row);

fn change(kind: RowKind, id: i64, name: &str) -> Change {
    (kind, (id, Some(name.to_owned())))
}

/// What happens to a few rows: one is updated, one removed, one there twice.
fn changes() -> Vec<Change> {
    vec![
        change(Insert, 1, "a"),
        change(Insert, 2, "b"),
        change(Insert, 3, "c, d"),
        change(Insert, 3, "c, d"),
        change(UpdateBefore, 1, "a"),
        change(UpdateAfter, 1, "e"),
        change(Delete, 2, "b"),
        (Insert, (4, None)),
        change(Insert, 3, "c, d"),
        change(Delete, 3, "c, d"),
    ]
}

/// Makes changes, two a page.
struct Feed {
    changes: Vec<Change>,
    next: usize,
    frozen: Option<usize>,
    shape: Arc<Shape>,
    rows: RowLayout,
    /// Fails once when half of the changes are made and a checkpoint has them.
    fails: Option<Fails>,
}

/// When and how often a feed fails.
#[derive(Clone)]
struct Fails {
    checkpoints: PathBuf,
    failed: Arc<AtomicBool>,
    /// How many checkpoints were complete when one began that has half of the changes.
    before: Option<usize>,
    /// How many changes it had made at the checkpoint that it went on from.
    restored: Arc<Mutex<Option<usize>>>,
}

impl Feed {
    fn new(changes: Vec<Change>, fails: Option<Fails>) -> Self {
        let schema = schema();
        let (shape, rows) = (Arc::new(Shape::new(&schema)), RowLayout::new(&schema));
        Self { changes, next: 0, frozen: None, shape, rows, fails }
    }

    /// Adds the next changes to a page of their own.
    fn write(&mut self, context: &mut Context<'_>) {
        let Some(lease) = context.lease(0, 0) else { return };
        let sizing = Sizing::new(Arc::clone(&self.shape), lease.segment.len()).expect("room");
        let mut page = RowBuilder::new(lease.segment, &self.shape, sizing.layout());
        for (kind, row) in self.changes.iter().skip(self.next).take(2) {
            let mut bytes = Vec::new();
            self.rows.encode::<Row>(row.view(), &mut bytes);
            page.put_kind(*kind);
            scatter(&self.rows.trusted(&bytes).expect("a row"), &mut page).expect("room");
        }
        self.next += page.rows();
        let sealed = page.seal(true);
        let info = PageInfo { length: sealed.length as u32, rows: sealed.rows as u32 };
        context.submit(0, 0, sealed.buffer, info);
    }
}

impl Chain for Feed {
    fn process(&mut self, _: u16, _: &ValidPage<'_>, _: usize, _: &mut Context<'_>) -> usize {
        unreachable!("it has no input")
    }

    fn produce(&mut self, _rows: usize, context: &mut Context<'_>) -> Produced {
        if let Some(fails) = &self.fails
            && self.next >= self.changes.len() / 2
            && !fails.failed.load(Ordering::Relaxed)
        {
            if fails.before.is_none_or(|before| complete(&fails.checkpoints) <= before) {
                return Produced::Until(context.now() + 1000);
            }
            fails.failed.store(true, Ordering::Relaxed);
            context.fail(TaskError::new("it was to fail"));
        }
        while self.next < self.changes.len() && !context.is_blocked() {
            self.write(context);
            if self.fails.is_some() {
                return Produced::Until(context.now() + 1000);
            }
        }
        if self.next < self.changes.len() { Produced::More } else { Produced::Finished }
    }

    fn finish(&mut self, _: &mut Context<'_>) -> bool {
        true
    }

    fn signal(&mut self, _: Signal, _: &mut Context<'_>) -> bool {
        true
    }

    fn flush(&mut self, _: bool, _: &mut Context<'_>) {}

    fn begin_snapshot(&mut self, _: Purpose) -> Result<(), TaskError> {
        self.frozen = Some(self.next);
        if let Some(fails) = &mut self.fails
            && self.next >= self.changes.len() / 2
        {
            fails.before.get_or_insert(complete(&fails.checkpoints));
        }
        Ok(())
    }

    fn next_chunk(&mut self, out: &mut Vec<u8>) -> Result<bool, TaskError> {
        out.extend(self.frozen.take().map(|next| (next as u64).to_le_bytes()).iter().flatten());
        Ok(false)
    }

    fn restore(&mut self, chunks: &[u8]) -> Result<(), TaskError> {
        let next = chunks.try_into().map(u64::from_le_bytes);
        self.next = next.map_err(|_| TaskError::new("no position"))? as usize;
        let fails = self.fails.as_ref().expect("only a feed that fails is restored");
        *fails.restored.lock().expect("nobody panicked") = Some(self.next);
        Ok(())
    }
}

/// How many checkpoints in the directory are complete.
fn complete(directory: &Path) -> usize {
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    let checkpoints = entries(directory).flat_map(|job| entries(&job.path()));
    checkpoints.filter(|checkpoint| checkpoint.path().join("_metadata").exists()).count()
}

fn schema() -> Schema {
    Row::schema().with_row_kinds()
}

/// A program whose rows are these changes.
fn rows(env: &Environment, changes: Vec<Change>) -> millstream::dataflow::stream::RowStream {
    env.produce_rows("changes", schema(), move |_, _| {
        Ok(Box::new(Feed::new(changes.clone(), None)))
    })
}

fn run(changes: Vec<Change>, result: Box<dyn ResultSink>) -> Result<(), RunError> {
    let env = Environment::new("changes");
    rows(&env, changes).result();
    let runtime = Runtime::builder().parallelism(2).build().expect("a runtime");
    runtime.run(env.build(), result).map(drop)
}

/// What a job prints.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl Printed {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("nobody panicked").clone()).expect("text")
    }
}

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panicked").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_rows_that_are_left_are_the_result() {
    let left = Collected::<Row>::new();
    run(changes(), left.sink()).expect("the job runs");
    let name = |name: &str| Some(name.to_owned());
    let expected = [(3, name("c, d")), (3, name("c, d")), (1, name("e")), (4, None)];
    assert_eq!(left.take(), expected);
}

#[test]
fn the_result_is_printed_in_every_form() {
    let printed = |result: fn(Printed) -> Box<dyn ResultSink>| {
        let printed = Printed::default();
        run(changes(), result(printed.clone())).expect("the job runs");
        printed.text()
    };
    let expected = "f0,f1\n3,\"c, d\"\n3,\"c, d\"\n1,e\n4,\n";
    assert_eq!(printed(|out| Box::new(Csv::new(out))), expected);
    let expected = concat!(
        "{\"f0\":3,\"f1\":\"c, d\"}\n{\"f0\":3,\"f1\":\"c, d\"}\n",
        "{\"f0\":1,\"f1\":\"e\"}\n{\"f0\":4,\"f1\":null}\n",
    );
    assert_eq!(printed(|out| Box::new(Json::new(out))), expected);
    let expected = "\
+----+--------+
| f0 | f1     |
+----+--------+
|  3 | c, d   |
|  3 | c, d   |
|  1 | e      |
|  4 | <NULL> |
+----+--------+
4 rows in set
";
    assert_eq!(printed(|out| Box::new(Table::new(out))), expected);
    let expected = "\
+I[1, a]
+I[2, b]
+I[3, c, d]
+I[3, c, d]
-U[1, a]
+U[1, e]
-D[2, b]
+I[4, null]
+I[3, c, d]
-D[3, c, d]
";
    assert_eq!(printed(|out| Box::new(Changelog::new(out))), expected);
}

#[test]
fn rows_without_kinds_are_a_changelog_of_insertions() {
    let printed = Printed::default();
    let env = Environment::new("numbers");
    env.generate(|_, _| 0..3u64).subtasks(1).result();
    let runtime = Runtime::builder().parallelism(1).build().expect("a runtime");
    runtime.run(env.build(), Box::new(Changelog::new(printed.clone()))).expect("the job runs");
    assert_eq!(printed.text(), "+I[0]\n+I[1]\n+I[2]\n");
}

#[test]
fn the_removal_of_what_is_not_there_is_an_error() {
    let changes = vec![change(Insert, 1, "a"), change(Delete, 1, "a"), change(Delete, 1, "a")];
    let left = Collected::<Row>::new();
    let error = run(changes.clone(), left.sink()).expect_err("it cannot be removed").to_string();
    let expected = "a change takes a row from the result that is not there: -D[1, a]; ";
    assert!(error.contains(expected), "{error}");
    assert!(left.take().is_empty());
    // Whoever wants the changes sees them.
    let printed = Printed::default();
    run(changes, Box::new(Changelog::new(printed.clone()))).expect("the job runs");
    assert_eq!(printed.text(), "+I[1, a]\n-D[1, a]\n-D[1, a]\n");
}

#[test]
fn sinks_take_changes_if_their_format_does() {
    let directory = std::env::temp_dir().join(format!("millstream-changes-{}", std::process::id()));
    let path = directory.to_str().expect("a path in UTF-8");
    let sink = |format: &str| {
        let env = Environment::new("files");
        let files = Connector::new("filesystem").option("path", path).option("format", format);
        rows(&env, changes()).sink("files", files);
        let mut registry = Registry::new();
        builder::bundle(&mut registry).expect("the bundled plugins");
        let runtime = Runtime::builder().parallelism(1).plugins(registry);
        let runtime = runtime.build().expect("a runtime");
        runtime.run(env.build(), Collected::<Row>::new().sink())
    };
    let refused = sink("csv").expect_err("it has no kinds").to_string();
    sink("debezium-json").expect("the job runs");
    let files = fs::read_dir(&directory).expect("the directory").flatten();
    let text: String = files.map(|file| fs::read_to_string(file.path()).expect("text")).collect();
    let _ = fs::remove_dir_all(&directory);
    assert!(refused.contains("the format `csv` has no kinds of rows"), "{refused}");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), changes().len());
    assert_eq!(lines[4], r#"{"before":{"f0":1,"f1":"a"},"after":null,"op":"d"}"#);
    assert_eq!(lines[5], r#"{"before":null,"after":{"f0":1,"f1":"e"},"op":"c"}"#);
}

#[test]
fn the_rows_so_far_are_part_of_a_checkpoint() {
    let directory = std::env::temp_dir().join(format!("millstream-kinds-{}", std::process::id()));
    let fails = Fails {
        checkpoints: directory.clone(),
        failed: Arc::default(),
        before: None,
        restored: Arc::default(),
    };
    let env = Environment::new("changes");
    let fed = fails.clone();
    let feed = move |_: &_, _| -> Result<Box<dyn Chain>, TaskError> {
        Ok(Box::new(Feed::new(changes(), Some(fed.clone()))))
    };
    env.produce_rows("changes", schema(), feed).result();
    let options = CheckpointOptions {
        interval: Duration::from_millis(5),
        retained: 1000,
        ..CheckpointOptions::new(&directory)
    };
    let runtime =
        Runtime::builder().parallelism(2).checkpoints(options).build().expect("a runtime");
    let printed = Printed::default();
    let run = runtime.run(env.build(), Box::new(Csv::new(printed.clone())));
    let _ = fs::remove_dir_all(&directory);
    run.expect("the job goes on after it has failed");
    assert_eq!(printed.text(), "f0,f1\n3,\"c, d\"\n3,\"c, d\"\n1,e\n4,\n");
    assert!(fails.failed.load(Ordering::Relaxed));
    assert_eq!(*fails.restored.lock().expect("nobody panicked"), Some(6));
}
