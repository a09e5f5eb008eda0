//! The `print` connector: a sink that writes rows to standard output as Flink does, `+I[1, Ada]`.
#![forbid(unsafe_code)]

use std::{
    io::{self, Write},
    sync::Arc,
};

use millstream_format::{Columns, change};
use millstream_sdk::prelude::*;

/// Prints rows.
#[derive(Debug)]
pub struct PrintSink {
    columns: Arc<Columns>,
    prefix: String,
    to_error: bool,
}

impl Sink for PrintSink {
    const NAME: &'static str = "print";
    const SUMMARY: &'static str = "Prints rows as Flink does, one a line: +I[1, Ada]";
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc::string(
            "print-identifier",
            "Stands in front of each line, with the number of the subtask if there are several",
        )
        .default(""),
        OptionDoc::boolean("standard-error", "Whether to print to standard error instead")
            .default("false"),
    ];
    const ROW_KINDS: bool = true;
    type Writer = PrintWriter;

    fn open(options: &Options, schema: &Schema) -> Result<Self, Error> {
        Ok(Self {
            columns: Arc::new(Columns::new(schema)?),
            prefix: options.string("print-identifier")?.into(),
            to_error: options.boolean("standard-error")?,
        })
    }

    fn writer(&self, subtask: Subtask) -> Result<PrintWriter, Error> {
        // As Flink does: `identifier:subtask> row`.
        let prefix = match (self.prefix.as_str(), subtask.parallelism) {
            ("", 1) => String::new(),
            ("", _) => format!("{}> ", subtask.index + 1),
            (prefix, 1) => format!("{prefix}> "),
            (prefix, _) => format!("{prefix}:{}> ", subtask.index + 1),
        };
        let columns = Arc::clone(&self.columns);
        Ok(PrintWriter { columns, prefix, to_error: self.to_error, text: Vec::new() })
    }
}

/// Prints the rows of one subtask.
#[derive(Debug)]
pub struct PrintWriter {
    columns: Arc<Columns>,
    prefix: String,
    to_error: bool,
    text: Vec<u8>,
}

impl PrintWriter {
    /// The lines of a page.
    fn lines(&mut self, page: &ValidPage<'_>) -> &[u8] {
        self.text.clear();
        for row in 0..page.rows() {
            self.text.extend_from_slice(self.prefix.as_bytes());
            change::push_row(&mut self.text, &self.columns, page, row);
            self.text.push(b'\n');
        }
        &self.text
    }
}

impl PageWriter for PrintWriter {
    fn write(&mut self, page: &ValidPage<'_>) -> Result<(), Error> {
        let to_error = self.to_error;
        let lines = self.lines(page);
        // A page at once: lines of several subtasks do not mix.
        let written = match to_error {
            true => io::stderr().lock().write_all(lines),
            false => {
                let mut out = io::stdout().lock();
                out.write_all(lines).and_then(|()| out.flush())
            }
        };
        written.map_err(|error| Error::from(error).at("standard output"))
    }

    fn finish(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// What was printed cannot be taken back: after a failure rows come again.
    fn prepare(&mut self) -> Result<Vec<u8>, Error> {
        Ok(Vec::new())
    }
}

millstream_sdk::plugin! {
    name: "print",
    summary: "Prints rows",
    sinks: [PrintSink],
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_data::{
        Value,
        page::{Layout, PageBuilder, RowBuilder, RowKind, Shape},
    };
    use millstream_sdk_test::SinkTest;

    #[derive(Clone, Record)]
    struct Row {
        id: i64,
        name: Option<String>,
    }

    fn printed(options: Vec<(String, String)>, parallelism: u32) -> String {
        let options = Options::new(PrintSink::OPTIONS, options);
        let sink = PrintSink::open(&options, &<Row as millstream_data::Record>::schema()).unwrap();
        let mut writer =
            sink.writer(Subtask { index: 1, parallelism, segment_size: 4096 }).unwrap();
        let shape = Shape::new(&<Row as millstream_data::Record>::schema());
        let layout = Layout::fitted(&shape, 4096, 16).unwrap().into();
        let mut page = PageBuilder::<Row, _>::new(vec![0; 4096], &shape, &layout);
        page.append(Row { id: 1, name: Some("a \"b\"".into()) }.view()).unwrap();
        page.append(Row { id: 2, name: None }.view()).unwrap();
        let sealed = page.seal(&shape, false);
        let page = ValidPage::trusted(&sealed.buffer).unwrap();
        String::from_utf8(writer.lines(&page).to_vec()).unwrap()
    }

    #[test]
    fn rows_are_printed_behind_the_identifier() {
        assert_eq!(printed(Vec::new(), 1), "+I[1, a \"b\"]\n+I[2, null]\n");
        let given = vec![("print-identifier".into(), "out".into())];
        assert!(printed(given.clone(), 1).starts_with("out> +I[1"));
        assert!(printed(given, 3).contains("\nout:2> +I[2"));
        assert!(printed(Vec::new(), 3).starts_with("2> +I[1"));
    }

    #[test]
    fn changes_begin_with_their_kind() {
        let schema = <Row as millstream_data::Record>::schema().with_row_kinds();
        let given = vec![("print-identifier".into(), "out".into())];
        let sink = PrintSink::open(&Options::new(PrintSink::OPTIONS, given), &schema).unwrap();
        let subtask = Subtask { index: 0, parallelism: 1, segment_size: 4096 };
        let mut writer = sink.writer(subtask).unwrap();
        let shape = Arc::new(Shape::new(&schema));
        let layout = Arc::new(Layout::fitted(&shape, 4096, 16).unwrap());
        let mut page = RowBuilder::new(vec![0; 4096], &shape, &layout);
        let [insert, before, after, delete] =
            [RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter, RowKind::Delete];
        for (kind, id) in [(insert, 1i64), (before, 1), (after, 2), (delete, 2)] {
            page.put_fixed(0, id.to_le_bytes());
            page.put_null(1);
            page.put_kind(kind);
            page.commit();
        }
        let sealed = page.seal(false);
        let lines = writer.lines(&ValidPage::trusted(&sealed.buffer).unwrap()).to_vec();
        let expected = "out> +I[1, null]\nout> -U[1, null]\nout> +U[2, null]\nout> -D[2, null]\n";
        assert_eq!(String::from_utf8(lines).unwrap(), expected);
    }

    #[test]
    fn the_contract() {
        SinkTest::new::<Row>(plugin, "print").check_contract::<Row>();
    }
}
