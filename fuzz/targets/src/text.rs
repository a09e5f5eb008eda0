//! Text that becomes rows.

use std::{collections::BTreeMap, sync::Arc};

use millstream_data::{
    Record,
    page::{Layout, RowBuilder, Shape, ValidPage},
    types::Schema,
    value::Bytes,
};
use millstream_format::{
    Columns, RecordError, Step,
    csv::{self, Dialect},
    json::{self, ChangeLines},
};

use crate::inputs;

type Cells = (Option<i64>, Option<String>, Option<bool>, Vec<Option<i32>>, Option<Bytes>);

/// An object with everything that JSON can hold.
#[derive(Clone, Debug, PartialEq, Record)]
struct Object {
    a: Option<i64>,
    b: Vec<Option<String>>,
    c: Option<BTreeMap<String, Vec<bool>>>,
    d: Option<(Option<f64>, Vec<Bytes>)>,
}

type Rows<'a> = RowBuilder<&'a mut [u8]>;

/// Records are rows or errors, and decoding comes to an end.
pub fn csv(data: &[u8]) {
    let schema = Cells::schema();
    let columns = Columns::new(&schema).expect("CSV holds the columns");
    let header: Vec<String> = schema.fields.iter().map(|field| field.name.clone()).collect();
    let decoder = csv::Decoder::new(Dialect::default(), &header, &columns);
    let mut decoder = decoder.expect("the header has every column");
    decoder.seek(data, 0);
    lines(data, &schema, |start, rows| decoder.record(data, start, true, rows), |_| ());
    assert!(!decoder.too_large(data, 10).message.is_empty());
}

/// Lines are rows or errors, decoding comes to an end, and rows survive another round.
pub fn json(data: &[u8]) {
    let schema = Object::schema();
    let columns = Columns::new(&schema).expect("JSON holds the columns");
    let mut decoder = json::Decoder::new(&columns);
    let decode = |start: usize, rows: &mut Rows<'_>| decoder.record(data, start, true, rows);
    lines(data, &schema, decode, |page| {
        for row in 0..page.rows() {
            let text = object(&columns, page, row);
            let mut again = json::Decoder::new(&columns);
            let decode = |start: usize, rows: &mut Rows<'_>| again.record(&text, start, true, rows);
            lines(&text, &schema, decode, |page| {
                assert_eq!(page.rows(), 1);
                // As text: a number that is none is not equal to itself.
                assert_eq!(object(&columns, page, 0), text);
            });
        }
    });
    let decoder = json::Decoder::new(&columns);
    assert!(!decoder.too_large(data, 10).message.is_empty());
}

/// Lines are changes or errors, and decoding comes to an end: whatever form the lines have.
pub fn changes(data: &[u8]) {
    let schema = Object::schema();
    let columns = Columns::new(&schema).expect("JSON holds the columns");
    let schema = schema.with_row_kinds();
    let debezium = [true, false].map(|with_schema| ChangeLines::Debezium { with_schema });
    for form in [ChangeLines::Changelog].into_iter().chain(debezium) {
        for lenient in [true, false] {
            let mut decoder = json::Changed::new(&columns, form, lenient);
            lines(data, &schema, |start, rows| decoder.record(data, start, true, rows), |_| ());
            assert!(!decoder.too_large(data, 10).message.is_empty());
        }
    }
}

fn object(columns: &Columns, page: &ValidPage<'_>, row: usize) -> Vec<u8> {
    let mut text = Vec::new();
    json::push_row(&mut text, columns, page, row, &mut Vec::new());
    text
}

const PAGE_BYTES: usize = 16 << 10;

/// Decodes record after record into a page, and reads it unless a record was wrong.
fn lines(
    data: &[u8],
    schema: &Schema,
    mut decode: impl FnMut(usize, &mut Rows<'_>) -> Result<Step, RecordError>,
    read: impl FnOnce(&ValidPage<'_>),
) {
    let shape = Arc::new(Shape::new(schema));
    let layout = Arc::new(Layout::fitted(&shape, PAGE_BYTES, 64).expect("it fits"));
    let mut words = vec![0u128; PAGE_BYTES / 16];
    inputs::with_bytes_mut(&mut words, |bytes| {
        let mut rows = RowBuilder::new(bytes, &shape, &layout);
        let mut position = 0;
        let mut is_half = false;
        while rows.has_room() && position < data.len() {
            match decode(position, &mut rows) {
                Ok(Step::Row(end) | Step::Blank(end)) => {
                    // A line may be two rows.
                    is_half = end == position && !is_half;
                    let moves = end > position && end <= data.len();
                    assert!(moves || is_half, "{end} after {position}");
                    position = end;
                }
                Ok(Step::Full) => return,
                Ok(Step::Incomplete) => panic!("the last record is complete or an error"),
                Err(error) => return assert!(!error.message.is_empty()),
            }
        }
        let count = rows.rows();
        let sealed = rows.seal(true);
        let page = ValidPage::validate(&sealed.buffer[..sealed.length], &shape);
        let page = page.expect("what was built is valid");
        assert_eq!(page.rows(), count);
        read(&page);
    });
}
