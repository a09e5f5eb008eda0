//! Reading a source as the engine does.

use millstream_abi::EntryFn;
use millstream_data::{Value, page::ValidPage, types::Schema, value::Record};
use millstream_format::{Columns, json};
use millstream_loader::{CallError, Kind, OpenSource, Reader, ReaderPage, Registry};

use crate::{options, plugins, segment::Segment};

/// The largest segment that is lent for one row, as the engine's `max-record-size`.
const JUMBO_BYTES_MAX: usize = 16 << 20;
/// The engine's default.
const SEGMENT_BYTES: usize = 32 << 10;

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
    /// If `T` has another schema than the test.
    pub fn rows<T: Value>(&self) -> Result<Vec<T>, CallError> {
        assert_eq!(T::schema(), self.schema, "the rows are of the test's type");
        let mut rows = Vec::new();
        self.read_pages(SEGMENT_BYTES, 1, |page| {
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
    pub fn first(&self, count: usize) -> Result<Vec<String>, CallError> {
        let mut lines = Vec::new();
        self.read_lines(SEGMENT_BYTES, 1, &mut lines, count)?;
        Ok(lines)
    }

    /// Its rows as JSON, one each, read into segments of this size by so many readers that take
    /// turns.
    ///
    /// # Errors
    /// If the source fails.
    pub fn lines(&self, segment_bytes: usize, readers: u32) -> Result<Vec<String>, CallError> {
        let mut lines = Vec::new();
        self.read_lines(segment_bytes, readers, &mut lines, usize::MAX)?;
        Ok(lines)
    }

    /// Checks what the engine relies on, for a source that ends:
    ///
    /// - its options are documented, their defaults are accepted, and unknown ones refused;
    /// - its splits are the same whenever it is asked;
    /// - every split is read once: the rows are the same multiset for each number of readers and
    ///   each size of segment, and every page is valid, whatever was in the segment before;
    /// - a reader that is dropped in the middle of a split leaves nothing behind.
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

        let expected = self.sorted(SEGMENT_BYTES, 1);
        for (segment_bytes, readers) in [(4096, 1), (4096, 3), (64 << 10, 2), (1 << 20, 8)] {
            let found = self.sorted(segment_bytes, readers);
            let what = format!("rows with {readers} readers and segments of {segment_bytes} bytes");
            assert_eq!(found.len(), expected.len(), "the number of {what}");
            let differs = found.iter().zip(&expected).find(|(found, expected)| found != expected);
            assert_eq!(differs, None, "{what}, against one reader");
        }

        if let Some(split) = splits(&first).first() {
            let mut reader = good(first.reader(0, 1, 4096));
            good(reader.begin(split));
            let mut segment = Segment::new(4096);
            let _ = good(reader.fill(&mut segment));
            drop(reader);
            assert!(
                self.sorted(SEGMENT_BYTES, 1) == expected,
                "the rows after a reader was dropped in the middle of a split"
            );
        }
    }

    fn sorted(&self, segment_bytes: usize, readers: u32) -> Vec<String> {
        let mut lines = good(self.lines(segment_bytes, readers));
        lines.sort_unstable();
        lines
    }

    fn read_lines(
        &self,
        segment_bytes: usize,
        readers: u32,
        lines: &mut Vec<String>,
        enough: usize,
    ) -> Result<(), CallError> {
        let columns = Columns::new(&self.schema);
        let columns = columns.unwrap_or_else(|error| panic!("rows of the test: {error}"));
        let (mut line, mut cell) = (Vec::new(), Vec::new());
        self.read_pages(segment_bytes, readers, |page| {
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
        segment_bytes: usize,
        readers: u32,
        mut take: impl FnMut(&ValidPage<'_>) -> bool,
    ) -> Result<(), CallError> {
        let source = self.open()?;
        let mut splits = source.splits()?.into_iter();
        let open = |subtask| source.reader(subtask, readers, segment_bytes);
        let mut readers: Vec<_> = (0..readers)
            .map(|subtask| open(subtask).map(|reader| (reader, false)))
            .collect::<Result<_, _>>()?;
        while !readers.is_empty() {
            let mut index = 0;
            while let Some((reader, reading)) = readers.get_mut(index) {
                if !*reading {
                    let Some(split) = splits.next() else {
                        readers.swap_remove(index);
                        continue;
                    };
                    reader.begin(&split)?;
                    *reading = true;
                }
                match read_page(reader, segment_bytes, &mut take)? {
                    Some(true) => return Ok(()),
                    Some(false) => {}
                    None => *reading = false,
                }
                index += 1;
            }
        }
        Ok(())
    }
}

/// Reads a page; `None` at the end of the split, else whether that is enough.
fn read_page(
    reader: &mut Reader,
    segment_bytes: usize,
    take: &mut impl FnMut(&ValidPage<'_>) -> bool,
) -> Result<Option<bool>, CallError> {
    let mut bytes = segment_bytes;
    loop {
        let mut segment = Segment::new(bytes);
        match reader.fill(&mut segment)? {
            ReaderPage::Page { length, .. } => {
                // The loader has validated it.
                let page = ValidPage::trusted(&segment[..length]).expect("a page has a header");
                return Ok(Some(!take(&page)));
            }
            ReaderPage::Nothing => return Ok(Some(false)),
            ReaderPage::SplitDone => return Ok(None),
            ReaderPage::TooSmall { needed } => {
                assert!(needed <= JUMBO_BYTES_MAX, "a row is larger than {JUMBO_BYTES_MAX} bytes");
                bytes = needed;
            }
        }
    }
}

/// What a connector that is not broken gives.
#[track_caller]
fn good<T>(result: Result<T, CallError>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}
