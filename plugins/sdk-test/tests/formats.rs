//! The contract of formats: the bundled ones keep it, and ones that break it are told which part.

use millstream_sdk::{data::page::RowBuilder, prelude::*};
use millstream_sdk_test::FormatTest;

#[derive(Clone, Debug, PartialEq, Record)]
struct Row {
    id: i64,
    text: Option<String>,
}

fn row(id: i64, text: Option<&str>) -> Row {
    Row { id, text: text.map(String::from) }
}

fn bundled(name: &str) -> FormatTest {
    FormatTest::new::<Row>(millstream_format::plugin, name)
}

#[test]
fn csv_keeps_the_contract() {
    let csv = bundled("csv");
    let file =
        b"text,more,id\n\"a, \"\"b\"\"\",x,1\n,,2\n\n\"\",y,3\r\nlong text that is no view,,4";
    let expected = [
        row(1, Some("a, \"b\"")),
        row(2, None),
        row(3, Some("")),
        row(4, Some("long text that is no view")),
    ];
    assert_eq!(csv.rows::<Row>(file).unwrap(), expected);
    csv.check_contract::<Row>(file);
    csv.option("multiline", "true").check_contract::<Row>(b"id,text\n1,\"two\nlines\"\n2,\"\n\"\n");
    let semicolons = bundled("csv").option("field-delimiter", ";");
    let semicolons = semicolons.option("array-element-delimiter", ",");
    assert_eq!(semicolons.file(&[row(7, Some("a,b"))]).unwrap(), b"id;text\n7;a,b\n");
    semicolons.check_contract::<Row>(b"id;text\n1;a,b\n");
}

#[test]
fn json_and_text_keep_the_contract() {
    let lines = b"{\"id\":1,\"text\":\"a\\nb\"}\n\n {\"id\":2}\n{\"text\":null,\"id\":3}";
    bundled("json").check_contract::<Row>(lines);
    let text = FormatTest::new::<String>(millstream_format::plugin, "text");
    text.check_contract::<String>(b"one\n\ntwo\r\nlast");
    let said = text.file::<String>(&[]).unwrap_err().to_string();
    assert!(said.contains("format `text` of plugin formats") && said.contains("only read"));
}

#[test]
fn errors_say_where() {
    let said = bundled("csv").rows::<Row>(b"id,text\n1,a\nx,b\n").unwrap_err().to_string();
    assert!(said.starts_with("line 3: ") && said.contains("column `id`: `x`"), "{said}");
    let said = bundled("csv").rows::<Row>(b"").unwrap_err().to_string();
    assert!(said.contains("the file is empty"), "{said}");
    let said = bundled("csv").option("quote-character", "''").open().unwrap_err().to_string();
    assert!(said.contains("`csv.quote-character` must be one ASCII character"), "{said}");
    let said = bundled("csv").option("delimiter", "x").open().unwrap_err().to_string();
    assert!(said.contains("format `csv` has no option `delimiter`"), "{said}");
}

/// Numbers between semicolons, with a fault.
struct Faulty {
    fault: String,
}

impl Format for Faulty {
    const NAME: &'static str = "faulty";
    const SUMMARY: &'static str = "Numbers, not always the right ones";
    const OPTIONS: &'static [OptionDoc] =
        &[OptionDoc::string("fault", "What it does wrong").default("none")];
    type Decoder = Numbers;
    type Encoder = Numbers;

    fn open(options: &Options, _schema: &Schema) -> Result<Self, Error> {
        Ok(Self { fault: options.string("fault")?.into() })
    }

    fn properties(&self) -> Properties {
        Properties { splits: self.fault == "does not split", ..Properties::BOTH }
    }

    fn decoder(&self, input: &InputInfo<'_>) -> Result<Numbers, Error> {
        Ok(Numbers { fault: self.fault.clone(), record_bytes_max: input.record_bytes_max })
    }

    fn encoder(&self) -> Result<Numbers, Error> {
        Ok(Numbers { fault: self.fault.clone(), record_bytes_max: 0 })
    }
}

struct Numbers {
    fault: String,
    record_bytes_max: u64,
}

impl Decode for Numbers {
    fn record(
        &mut self,
        bytes: &[u8],
        start: usize,
        last: bool,
        rows: &mut Rows<'_>,
    ) -> Result<Step, RecordError> {
        assert!(self.record_bytes_max > 0, "a decoder is told the largest record");
        let rest = bytes.get(start..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == b';');
        let (number, end) = match length {
            Some(length) => (&rest[..length], start + length + 1),
            None if last || (self.fault == "guesses" && rest.len() > 1) => (rest, bytes.len()),
            None => return Ok(Step::Incomplete),
        };
        let number = str::from_utf8(number).ok().and_then(|text| text.trim().parse::<u64>().ok());
        let number = number.ok_or_else(|| RecordError::new("it is no number"))?;
        match self.fault.as_str() {
            "stands still" => return Ok(Step::Blank(start)),
            "runs ahead" => return Ok(Step::Blank(end + 1)),
            "panics" => panic!("the format's own mistake"),
            // Through the builder nobody sees which cells are written.
            "forgets" if number == 22 => {
                let builder: &mut RowBuilder<&mut [u8]> = rows;
                builder.commit();
                return Ok(Step::Row(end));
            }
            _ => rows.put_fixed(0, number.to_le_bytes()),
        }
        rows.commit();
        Ok(Step::Row(end))
    }
}

impl Encode for Numbers {
    fn encode(&mut self, page: &ValidPage<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        for number in page.column(0).fixed::<u64>() {
            let number = number + u64::from(self.fault == "writes others");
            out.extend_from_slice(format!("{number};").as_bytes());
        }
        Ok(())
    }
}

millstream_sdk::plugin! {
    name: "faulty",
    summary: "Breaks the contract",
    formats: [Faulty],
}

fn check(fault: &str) {
    let faulty = FormatTest::new::<u64>(plugin, "faulty").option("fault", fault);
    faulty.check_contract::<u64>(b"1;22;\n333;4444;");
}

#[test]
fn a_good_format_passes() {
    check("none");
}

#[test]
#[should_panic(expected = "blocks of 1 bytes: format `faulty` of plugin faulty: it is no number")]
fn records_that_are_cut_at_the_end_of_a_block() {
    check("guesses");
}

#[test]
#[should_panic(expected = "the rows of two parts, divided at byte 1")]
fn parts_that_are_not_where_it_says() {
    check("does not split");
}

#[test]
#[should_panic(expected = "rows that were written and read again")]
fn rows_that_change_on_the_way() {
    check("writes others");
}

#[test]
#[should_panic(expected = "the rows depend on what was in the page before")]
fn a_cell_that_is_not_written() {
    check("forgets");
}

#[test]
#[should_panic(expected = "the format does not get past an empty line")]
fn a_decoder_that_stands_still() {
    check("stands still");
}

#[test]
#[should_panic(expected = "the format says that a record ends elsewhere")]
fn a_decoder_that_runs_ahead() {
    check("runs ahead");
}

#[test]
#[should_panic(expected = "panicked: the format's own mistake")]
fn a_panic_is_an_error() {
    check("panics");
}
