//! Writing to a sink as the engine does.

use std::sync::Arc;

use millstream_abi::EntryFn;
use millstream_data::{
    Value,
    page::{Demand, PageBuilder, RowKind, Shape, Sizing},
    row::RowValue,
    types::Schema,
    value::Record,
};
use millstream_loader::{CallError, Kind, OpenSink, Registry};

use crate::{changes, options, plugins, segment::Segment};

/// A sink under test: its plugin and its options.
#[derive(Debug)]
pub struct SinkTest {
    registry: Registry,
    name: String,
    options: Vec<(String, String)>,
    schema: Schema,
}

impl SinkTest {
    /// The sink `name` of a plugin, for rows of `T`.
    ///
    /// # Panics
    /// If the plugin is refused or does not offer the sink.
    pub fn new<T: Record>(entry: EntryFn, name: &str) -> Self {
        let registry = plugins::registry(entry);
        options::extension(&registry, Kind::Sink, name);
        Self { registry, name: name.into(), options: Vec::new(), schema: T::schema() }
    }

    /// Sets an option.
    pub fn option(mut self, name: &str, value: impl Into<String>) -> Self {
        self.options.push((name.into(), value.into()));
        self
    }

    /// Lets the rows have kinds: the sink is opened for a changelog.
    pub fn with_row_kinds(self) -> Self {
        Self { schema: self.schema.with_row_kinds(), ..self }
    }

    /// Adds another plugin, such as one with a format that is asked for. The formats csv, json and
    /// text are there without.
    ///
    /// # Panics
    /// If the plugin is refused.
    pub fn with_plugin(self, entry: EntryFn) -> Self {
        let mut test = self;
        plugins::add(&mut test.registry, entry);
        test
    }

    /// Opens the sink.
    ///
    /// # Errors
    /// If it refuses its options or the schema.
    pub fn open(&self) -> Result<OpenSink, CallError> {
        self.registry.sink(&self.name, &self.options, &self.schema)
    }

    /// Writes rows, each part by a writer of its own; all are finished.
    ///
    /// # Errors
    /// If the sink fails.
    ///
    /// # Panics
    /// If a row does not fit a page of 32 KiB.
    pub fn write<T: Value>(&self, parts: &[&[T]]) -> Result<(), CallError> {
        self.write_parts(parts, true)
    }

    /// Writes changes with one writer, and finishes it; of a sink for [rows with
    /// kinds](Self::with_row_kinds).
    ///
    /// # Errors
    /// If the sink fails.
    ///
    /// # Panics
    /// If a row does not fit a page of 32 KiB.
    pub fn write_changes<T: Record + RowValue>(
        &self,
        changes: &[(RowKind, T)],
    ) -> Result<(), CallError> {
        assert_eq!(T::schema().with_row_kinds(), self.schema, "the rows are of the test's type");
        let sink = self.open()?;
        let mut writer = sink.writer(0, 1, SEGMENT)?;
        changes::pages(changes).iter().try_for_each(|page| writer.write(page))?;
        writer.finish()?;
        drop(writer);
        sink.commit()
    }

    /// Writes rows and gives up: what a job does that fails or is cancelled.
    ///
    /// # Errors
    /// If the sink fails.
    ///
    /// # Panics
    /// As [`SinkTest::write`].
    pub fn abandon<T: Value>(&self, parts: &[&[T]]) -> Result<(), CallError> {
        self.write_parts(parts, false)
    }

    /// Checks what holds for every sink: its options are documented, their defaults are accepted,
    /// and unknown ones refused; a writer that is given nothing can be finished and abandoned.
    ///
    /// It writes and commits, though no rows: a sink that writes files leaves empty ones. Give it a
    /// directory of its own.
    ///
    /// # Panics
    /// If one of these does not hold.
    pub fn check_contract<T: Value>(&self) {
        options::check(options::extension(&self.registry, Kind::Sink, &self.name));
        let mut given = self.options.clone();
        given.push(("no-such-option".into(), "1".into()));
        let opened = self.registry.sink(&self.name, &given, &self.schema);
        assert!(opened.is_err(), "an unknown option is refused");
        for (what, result) in [
            ("finished", self.write::<T>(&[&[], &[]])),
            ("abandoned", self.abandon::<T>(&[&[], &[]])),
        ] {
            if let Err(error) = result {
                panic!("a writer without rows is {what}: {error}");
            }
        }
    }

    fn write_parts<T: Value>(&self, parts: &[&[T]], finish: bool) -> Result<(), CallError> {
        assert_eq!(T::schema(), self.schema, "the rows are of the test's type");
        let sink = self.open()?;
        let parallelism = parts.len() as u32;
        let writers = (0..parallelism).map(|subtask| sink.writer(subtask, parallelism, SEGMENT));
        let mut writers = writers.collect::<Result<Vec<_>, _>>()?;
        for (writer, rows) in writers.iter_mut().zip(parts) {
            for page in pages(rows) {
                writer.write(&page)?;
            }
        }
        if !finish {
            return Ok(());
        }
        writers.iter_mut().try_for_each(|writer| writer.finish())?;
        drop(writers);
        sink.commit()
    }
}

/// Bytes of a segment.
const SEGMENT: usize = 32 << 10;

/// Rows as pages, a few in each.
pub(crate) fn pages<T: Value>(rows: &[T]) -> Vec<Segment> {
    const ROWS_MAX: usize = 100;
    let shape = Arc::new(Shape::new(&T::schema()));
    let mut sizing = Sizing::new(Arc::clone(&shape), SEGMENT).expect("a row fits a segment");
    let (mut pages, mut rest) = (Vec::new(), rows);
    while !rest.is_empty() {
        let mut page = PageBuilder::<T, _>::new(Segment::new(SEGMENT), &shape, sizing.layout());
        let written = rest.iter().take(ROWS_MAX);
        let written = written.take_while(|row| page.append(row.view()).is_ok()).count();
        if written == 0 {
            let demand = Demand::of::<T>(rest[0].view());
            assert!(sizing.make_room(&demand), "the row fits a page of {SEGMENT} bytes");
            continue;
        }
        pages.push(page.seal(&shape, false).buffer);
        rest = &rest[written..];
    }
    pages
}
