//! Using a format as connectors do.

use millstream_abi::EntryFn;
use millstream_data::{
    Value,
    page::{RowKind, ValidPage},
    row::RowValue,
    types::Schema,
    value::Record,
};
use millstream_loader::{
    Block, CallError, DecodeError, InputInfo, Kind, OpenFormat, Properties, ReaderPage, Registry,
};

use crate::{
    changes, options, plugins,
    segment::{GARBAGE, OTHER_GARBAGE, Segment},
    sink::pages,
};

/// The largest record, as the default of connectors.
const RECORD_BYTES_MAX: u64 = 16 << 20;
/// The engine's default.
const SEGMENT_BYTES: usize = 32 << 10;

/// A format under test: its plugin and its options.
#[derive(Debug)]
pub struct FormatTest {
    registry: Registry,
    name: String,
    options: Vec<(String, String)>,
    schema: Schema,
}

impl FormatTest {
    /// The format `name` of a plugin, for rows of `T`.
    ///
    /// # Panics
    /// If the plugin is refused or does not offer the format.
    pub fn new<T: Record>(entry: EntryFn, name: &str) -> Self {
        let registry = plugins::registry(entry);
        options::extension(&registry, Kind::Format, name);
        Self { registry, name: name.into(), options: Vec::new(), schema: T::schema() }
    }

    /// Sets an option, without the format's name in front.
    pub fn option(mut self, name: &str, value: impl Into<String>) -> Self {
        self.options.push((name.into(), value.into()));
        self
    }

    /// Lets the rows have kinds: the format is opened for a changelog.
    pub fn with_row_kinds(self) -> Self {
        Self { schema: self.schema.with_row_kinds(), ..self }
    }

    /// Opens the format.
    ///
    /// # Errors
    /// If it refuses its options or the schema.
    pub fn open(&self) -> Result<OpenFormat, CallError> {
        self.registry.format(&self.name, &self.options, &self.schema)
    }

    /// The rows of a whole file.
    ///
    /// # Errors
    /// If the format refuses the bytes, with the line in front.
    pub fn rows<T: Value>(&self, file: &[u8]) -> Result<Vec<T>, CallError> {
        let format = self.open()?;
        let properties = format.properties()?;
        let (header, body) = split_header(file, properties);
        let begin = 1 + u64::from(properties.header);
        read(&format, header, Part { bytes: body, end: usize::MAX, whole: true }, WHOLE)
            .map_err(|error| error.error.at(format_args!("line {}", begin + error.lines)))
    }

    /// The file that holds these rows, each part a page or more.
    ///
    /// # Errors
    /// If the format cannot hold them.
    ///
    /// # Panics
    /// If a row does not fit a page of 32 KiB.
    pub fn file<T: Value>(&self, rows: &[T]) -> Result<Vec<u8>, CallError> {
        self.encode(&pages(rows))
    }

    /// The file that holds these changes, of a format for [rows with kinds](Self::with_row_kinds).
    ///
    /// # Errors
    /// If the format cannot hold them.
    ///
    /// # Panics
    /// If a row does not fit a page of 32 KiB.
    pub fn file_of_changes<T: Record + RowValue>(
        &self,
        changes: &[(RowKind, T)],
    ) -> Result<Vec<u8>, CallError> {
        assert_eq!(T::schema().with_row_kinds(), self.schema, "the rows are of the test's type");
        self.encode(&changes::pages(changes))
    }

    fn encode(&self, pages: &[Segment]) -> Result<Vec<u8>, CallError> {
        let mut encoder = self.open()?.encoder()?;
        let mut file = Vec::new();
        encoder.begin(&mut file)?;
        for page in pages {
            encoder.encode(page, &mut file)?;
        }
        encoder.finish(&mut file)?;
        Ok(file)
    }

    /// Checks what connectors rely on, with a file that the format reads:
    ///
    /// - its options are documented, their defaults are accepted, and unknown ones refused;
    /// - the rows are the same wherever the bytes are divided into blocks, for each size of page,
    ///   and for whatever was in the page before, and every page is valid;
    /// - a file that ends early gives rows or an error, and not the same call for ever;
    /// - if it may be divided, the parts together have the rows of the whole, wherever they begin;
    /// - if it writes, what it writes of the rows can be read again, and gives the same rows.
    ///
    /// # Panics
    /// If one of these does not hold.
    pub fn check_contract<T: Value + PartialEq + std::fmt::Debug>(&self, file: &[u8]) {
        options::check(options::extension(&self.registry, Kind::Format, &self.name));
        let mut given = self.options.clone();
        given.push(("no-such-option".into(), "1".into()));
        let opened = self.registry.format(&self.name, &given, &self.schema);
        assert!(opened.is_err(), "an unknown option is refused");

        let format = good(self.open());
        let properties = good(format.properties());
        if properties.decodes {
            self.check_decoder::<T>(&format, properties, file);
        }
        if properties.decodes && properties.encodes {
            let rows = good(self.rows::<T>(file));
            let again = good(self.rows::<T>(&good(self.file(&rows))));
            assert_eq!(again, rows, "rows that were written and read again");
            let empty = good(self.file::<T>(&[]));
            assert_eq!(good(self.rows::<T>(&empty)), [], "the rows of a file without rows");
        }
    }

    fn check_decoder<T: Value + PartialEq + std::fmt::Debug>(
        &self,
        format: &OpenFormat,
        properties: Properties,
        file: &[u8],
    ) {
        let (header, body) = split_header(file, properties);
        let whole = |bytes| Part { bytes, end: usize::MAX, whole: true };
        let expected: Vec<T> = good(self.rows(file));
        let other = read::<T>(format, header, whole(body), Cut { garbage: OTHER_GARBAGE, ..WHOLE });
        let other = other.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(
            other, expected,
            "the rows depend on what was in the page before: a cell is not written"
        );
        for cut in [
            Cut { block: 1, ..WHOLE },
            Cut { block: 7, segment: 4096, ..WHOLE },
            Cut { block: 64, segment: 1 << 20, ..WHOLE },
            Cut { segment: 4096, ..WHOLE },
        ] {
            let found = read::<T>(format, header, whole(body), cut);
            let Cut { block, segment, .. } = cut;
            let found = found.unwrap_or_else(|error| panic!("blocks of {block} bytes: {error}"));
            let what = format!("rows of blocks of {block} bytes in pages of {segment}");
            assert_eq!(found, expected, "{what}");
        }
        let cut = Cut { block: 64, segment: 4096, ..WHOLE };
        for end in 0..body.len().min(CUTS_MAX) {
            // Rows or an error: both are right.
            let _ = read::<T>(format, header, whole(&body[..end]), cut);
        }
        if !properties.splits {
            return;
        }
        for at in 1..body.len().min(CUTS_MAX) {
            // A part begins behind the line end at or behind the byte before it.
            let behind = body[at - 1..].iter().position(|byte| *byte == b'\n');
            let begin = behind.map_or(body.len(), |line| at + line);
            let first = Part { bytes: body, end: at, whole: false };
            let second = Part { bytes: &body[begin..], end: usize::MAX, whole: false };
            let both = read::<T>(format, header, first, cut).and_then(|rows| {
                let rest = read::<T>(format, header, second, cut)?;
                Ok(rows.into_iter().chain(rest).collect::<Vec<_>>())
            });
            // A decoder of a part may refuse what it could get wrong, and must not get it wrong.
            if let Ok(both) = both {
                assert_eq!(both, expected, "the rows of two parts, divided at byte {at}");
            }
        }
    }
}

/// Places at which a file is cut: more take long.
const CUTS_MAX: usize = 400;

/// Bytes of one decoder.
#[derive(Clone, Copy)]
struct Part<'a> {
    bytes: &'a [u8],
    end: usize,
    whole: bool,
}

/// How bytes come and pages are lent.
#[derive(Clone, Copy)]
struct Cut {
    block: usize,
    segment: usize,
    /// What is in the page before.
    garbage: u8,
}

/// All at once, in pages as the engine's.
const WHOLE: Cut = Cut { block: usize::MAX, segment: SEGMENT_BYTES, garbage: GARBAGE };

/// The header line, if the format has one, and the rest.
fn split_header(file: &[u8], properties: Properties) -> (&[u8], &[u8]) {
    match file.iter().position(|byte| *byte == b'\n') {
        _ if !properties.header => (&[], file),
        Some(end) => (&file[..end], &file[end + 1..]),
        None => (file, &[]),
    }
}

/// Reads as a connector does: blocks grow until the decoder gets on.
fn read<T: Value>(
    format: &OpenFormat,
    header: &[u8],
    part: Part<'_>,
    cut: Cut,
) -> Result<Vec<T>, DecodeError> {
    let input = InputInfo {
        header,
        whole: part.whole,
        segment_size: cut.segment,
        record_bytes_max: RECORD_BYTES_MAX,
    };
    let open = |error| DecodeError { error, at: 0, lines: 0 };
    let mut decoder = format.decoder(&input).map_err(open)?;
    let (mut rows, mut begin, mut end) = (Vec::new(), 0, 0);
    let mut segment_bytes = cut.segment;
    let mut idle = 0;
    loop {
        let block = Block {
            bytes: &part.bytes[begin..end],
            end: part.end.saturating_sub(begin),
            last: end == part.bytes.len(),
        };
        let mut segment = Segment::full_of(cut.garbage, segment_bytes);
        let decoded = decoder.decode(&block, &mut segment)?;
        begin += decoded.consumed;
        match decoded.page {
            ReaderPage::Page { length, .. } => {
                // The loader has validated it.
                let page = ValidPage::trusted(&segment[..length]).expect("a page has a header");
                let columns = T::bind(&page);
                rows.extend((0..page.rows()).map(|row| T::own(T::at(&columns, row))));
                (segment_bytes, idle) = (cut.segment, 0);
            }
            ReaderPage::SplitDone => return Ok(rows),
            ReaderPage::TooSmall { needed } => segment_bytes = needed,
            ReaderPage::Nothing => {
                idle += 1;
                assert!(
                    !block.last || idle < IDLE_MAX,
                    "the decoder neither gets on nor ends, though nothing follows"
                );
                end = part.bytes.len().min(end.saturating_add(cut.block));
            }
        }
    }
}

/// Calls in a row that give nothing, with all bytes there: a page is laid out anew a few times
/// before a larger one is asked for.
const IDLE_MAX: usize = 64;

/// What a format that is not broken gives.
#[track_caller]
fn good<T>(result: Result<T, CallError>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}
