//! Reading a source as the engine does.

use millstream_abi::EntryFn;
use millstream_data::{Value, page::ValidPage, types::Schema, value::Record};
use millstream_format::{Columns, json};
use millstream_loader::{CallError, Kind, OpenSource, Reader, ReaderPage, Registry};

use crate::{
    options, plugins,
    segment::{GARBAGE, OTHER_GARBAGE, Segment},
};

/// The largest segment that is lent for one row, as the engine's `max-record-size`.
const JUMBO_BYTES_MAX: usize = 16 << 20;
/// The engine's default.
const SEGMENT_BYTES: usize = 32 << 10;
/// A reader that has been called so often, without a row and without an end, does not get on. One
/// that waits for its rows blocks for a while in each call.
const IDLE_CALLS_MAX: u32 = 1000;
/// Segments as most tests lend them, to one reader.
const USUAL: Lent = Lent { bytes: SEGMENT_BYTES, garbage: GARBAGE, readers: 1, resumed: false };

/// How a source is read.
#[derive(Clone, Copy)]
struct Lent {
    /// Bytes of a segment.
    bytes: usize,
    /// What is in it before.
    garbage: u8,
    /// How many readers take turns.
    readers: u32,
    /// Whether after each page another reader goes on, as after a restart.
    resumed: bool,
}

/// A source under test: its plugin, its options, and the columns that are asked of it.
#[derive(Debug)]
pub struct SourceTest {
    registry: Registry,
    name: String,
    options: Vec<(String, String)>,
    schema: Schema,
}

impl SourceTest {
    /// The source `name` of a plugin, for rows of `T`.
    ///
    /// # Panics
    /// If the plugin is refused or does not offer the source.
    pub fn new<T: Record>(entry: EntryFn, name: &str) -> Self {
        Self::with_schema(entry, name, T::schema())
    }

    /// The source `name` of a plugin, for rows of a schema.
    ///
    /// # Panics
    /// As [`SourceTest::new`].
    pub fn with_schema(entry: EntryFn, name: &str, schema: Schema) -> Self {
        let registry = plugins::registry(entry);
        options::extension(&registry, Kind::Source, name);
        Self { registry, name: name.into(), options: Vec::new(), schema }
    }

    /// Sets an option.
    pub fn option(mut self, name: &str, value: impl Into<String>) -> Self {
        self.options.push((name.into(), value.into()));
        self
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

    /// Opens the source.
    ///
    /// # Errors
    /// If it refuses its options or the schema.
    pub fn open(&self) -> Result<OpenSource, CallError> {
        self.registry.source(&self.name, &self.options, &self.schema)
    }

    /// Its rows, read by one reader.
    ///
    /// # Errors
    /// If the source fails.
    ///
    /// # Panics
    /// If `T` has another schema than the test, or a reader neither gives rows nor ends its split.
    pub fn rows<T: Value>(&self) -> Result<Vec<T>, CallError> {
        assert_eq!(T::schema(), self.schema, "the rows are of the test's type");
        let mut rows = Vec::new();
        self.read_pages(USUAL, |page| {
            let columns = T::bind(page);
            rows.extend((0..page.rows()).map(|row| T::own(T::at(&columns, row))));
            true
        })?;
        Ok(rows)
    }

    /// Its first rows, at least `count` if there are so many: for sources that do not end.
    ///
    /// # Errors
    /// If the source fails.
    ///
    /// # Panics
    /// If a reader neither gives rows nor ends its split.
    pub fn first(&self, count: usize) -> Result<Vec<String>, CallError> {
        let mut lines = Vec::new();
        self.read_lines(USUAL, &mut lines, count)?;
        Ok(lines)
    }

    /// Its rows as JSON, one each, read into segments of this size by so many readers that take
    /// turns.
    ///
    /// # Errors
    /// If the source fails.
    ///
    /// # Panics
    /// If a reader neither gives rows nor ends its split.
    pub fn lines(&self, segment_bytes: usize, readers: u32) -> Result<Vec<String>, CallError> {
        let mut lines = Vec::new();
        let lent = Lent { bytes: segment_bytes, readers, ..USUAL };
        self.read_lines(lent, &mut lines, usize::MAX)?;
        Ok(lines)
    }

    /// Checks what the engine relies on, for a source that ends:
    ///
    /// - its options are documented, their defaults are accepted, and unknown ones refused;
    /// - its splits are the same whenever it is asked;
    /// - every split is read once: the rows are the same multiset for each number of readers and
    ///   each size of segment, and for whatever was in the segment before, and every page is valid;
    /// - a reader ends its split: 1000 calls that give no row are taken for a reader that never
    ///   will;
    /// - a reader that is dropped in the middle of a split leaves nothing behind;
    /// - what a reader says is left of its split is just that, after each page, if it says so at all.
    ///
    /// # Panics
    /// If one of these does not hold.
    pub fn check_contract(&self) {
        options::check(options::extension(&self.registry, Kind::Source, &self.name));
        let mut given = self.options.clone();
        given.push(("no-such-option".into(), "1".into()));
        let opened = self.registry.source(&self.name, &given, &self.schema);
        assert!(opened.is_err(), "an unknown option is refused");

        let splits = |source: &OpenSource| good(source.splits());
        let (first, second) = (good(self.open()), good(self.open()));
        assert_eq!(splits(&first), splits(&first), "splits when asked twice");
        assert_eq!(splits(&first), splits(&second), "splits of two that were opened alike");

        let expected = self.sorted(USUAL);
        let found = self.sorted(Lent { garbage: OTHER_GARBAGE, ..USUAL });
        let differs = found.iter().zip(&expected).find(|(found, expected)| found != expected);
        assert_eq!(
            differs, None,
            "the rows depend on what was in the segment before: a cell is not written"
        );
        for (bytes, readers) in [(4096, 1), (4096, 3), (64 << 10, 2), (1 << 20, 8)] {
            let found = self.sorted(Lent { bytes, readers, ..USUAL });
            let what = format!("rows with {readers} readers and segments of {bytes} bytes");
            assert_eq!(found.len(), expected.len(), "the number of {what}");
            let differs = found.iter().zip(&expected).find(|(found, expected)| found != expected);
            assert_eq!(differs, None, "{what}, against one reader");
        }

        for bytes in [4096, SEGMENT_BYTES] {
            let found = self.sorted(Lent { bytes, resumed: true, ..USUAL });
            let differs = found.iter().zip(&expected).find(|(found, expected)| found != expected);
            assert!(
                differs.is_none() && found.len() == expected.len(),
                "other rows come when another reader goes on with what is left of a split: {} instead \
                 of {}, {differs:?}",
                found.len(),
                expected.len(),
            );
        }

        if let Some(split) = splits(&first).first() {
            let mut reader = good(first.reader(0, 1, 4096));
            good(reader.begin(split));
            let mut segment = Segment::new(4096);
            let _ = good(reader.fill(&mut segment));
            drop(reader);
            assert!(
                self.sorted(USUAL) == expected,
                "the rows after a reader was dropped in the middle of a split"
            );
        }
    }

    fn sorted(&self, lent: Lent) -> Vec<String> {
        let mut lines = Vec::new();
        good(self.read_lines(lent, &mut lines, usize::MAX));
        lines.sort_unstable();
        lines
    }

    fn read_lines(
        &self,
        lent: Lent,
        lines: &mut Vec<String>,
        enough: usize,
    ) -> Result<(), CallError> {
        let columns = Columns::new(&self.schema);
        let columns = columns.unwrap_or_else(|error| panic!("rows of the test: {error}"));
        let (mut line, mut cell) = (Vec::new(), Vec::new());
        self.read_pages(lent, |page| {
            for row in 0..page.rows() {
                line.clear();
                json::push_row(&mut line, &columns, page, row, &mut cell);
                lines.push(String::from_utf8_lossy(&line).trim_end().into());
            }
            lines.len() < enough
        })
    }

    /// Reads until the end, or until `take` has enough. Readers take turns, a page each, and take
    /// the next split when they are done with theirs.
    fn read_pages(
        &self,
        lent: Lent,
        mut take: impl FnMut(&ValidPage<'_>) -> bool,
    ) -> Result<(), CallError> {
        let source = self.open()?;
        let mut splits = source.splits()?.into_iter();
        let open = |subtask| source.reader(subtask, lent.readers, lent.bytes);
        let mut readers: Vec<_> = (0..lent.readers)
            .map(|subtask| open(subtask).map(|reader| Reading { reader, split: None, idle: 0 }))
            .collect::<Result<_, _>>()?;
        while !readers.is_empty() {
            let mut index = 0;
            while let Some(reading) = readers.get_mut(index) {
                if reading.split.is_none() {
                    let Some(split) = splits.next() else {
                        readers.swap_remove(index);
                        continue;
                    };
                    reading.reader.begin(&split)?;
                    reading.split = Some(split);
                }
                if reading.page(lent, &mut take)? {
                    return Ok(());
                }
                // A source that cannot say what is left says so, and takes no checkpoints.
                if lent.resumed
                    && reading.split.is_some()
                    && let Ok(rest) = reading.reader.rest()
                {
                    reading.reader = open(index as u32)?;
                    reading.reader.begin(&rest)?;
                }
                index += 1;
            }
        }
        Ok(())
    }
}

/// A reader, and the split that it reads.
struct Reading {
    reader: Reader,
    split: Option<Vec<u8>>,
    /// Calls since a row came or a split began.
    idle: u32,
}

impl Reading {
    /// Reads a page; whether that is enough. At the end of the split there is none any more.
    fn page(
        &mut self,
        lent: Lent,
        take: &mut impl FnMut(&ValidPage<'_>) -> bool,
    ) -> Result<bool, CallError> {
        let mut bytes = lent.bytes;
        loop {
            let mut segment = Segment::full_of(lent.garbage, bytes);
            match self.reader.fill(&mut segment)? {
                ReaderPage::Page { length, .. } => {
                    self.idle = 0;
                    // The loader has validated it.
                    let page = ValidPage::trusted(&segment[..length]).expect("a page has a header");
                    return Ok(!take(&page));
                }
                ReaderPage::Nothing => {
                    self.idle += 1;
                    assert!(
                        self.idle < IDLE_CALLS_MAX,
                        "{IDLE_CALLS_MAX} calls of `fill` gave no row and did not end the split \
                         `{}`: return `Filled::SplitDone` behind its last row",
                        self.split.as_deref().unwrap_or_default().escape_ascii()
                    );
                    return Ok(false);
                }
                ReaderPage::SplitDone => {
                    (self.split, self.idle) = (None, 0);
                    return Ok(false);
                }
                ReaderPage::TooSmall { needed } => {
                    assert!(
                        needed <= JUMBO_BYTES_MAX,
                        "a row is larger than {JUMBO_BYTES_MAX} bytes"
                    );
                    bytes = needed;
                }
            }
        }
    }
}

/// What a connector that is not broken gives.
#[track_caller]
fn good<T>(result: Result<T, CallError>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}
