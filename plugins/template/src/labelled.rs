//! A format of numbers with a word in front.

use millstream_sdk::prelude::*;

/// `word: number`, a line each, for tables of one number: the word is an option.
#[derive(Debug)]
pub struct Labelled {
    label: String,
}

impl Format for Labelled {
    const NAME: &'static str = "labelled";
    const SUMMARY: &'static str = "Numbers with a word in front, a line each";
    // A user writes `labelled.label`.
    const OPTIONS: &'static [OptionDoc] =
        &[OptionDoc::string("label", "The word in front of each number").default("number")];
    type Decoder = LabelledLines;
    type Encoder = LabelledLines;

    fn open(options: &Options, schema: &Schema) -> Result<Self, Error> {
        match schema.fields.as_slice() {
            [Field { data_type: DataType::Int64, nullable: false, .. }] => {}
            _ => {
                return Err(Error::new(format!(
                    "labelled holds one column of BIGINT NOT NULL, but the columns are {schema}"
                )));
            }
        }
        Ok(Self { label: options.string("label")?.into() })
    }

    fn properties(&self) -> Properties {
        // Each line stands for itself, so several readers may share a file.
        Properties { splits: true, ..Properties::BOTH }
    }

    fn decoder(&self, _input: &InputInfo<'_>) -> Result<LabelledLines, Error> {
        Ok(LabelledLines { label: self.label.clone() })
    }

    fn encoder(&self) -> Result<LabelledLines, Error> {
        Ok(LabelledLines { label: self.label.clone() })
    }
}

/// Reads and writes the lines of one file.
#[derive(Debug)]
pub struct LabelledLines {
    label: String,
}

impl Decode for LabelledLines {
    fn record(
        &mut self,
        bytes: &[u8],
        start: usize,
        last: bool,
        rows: &mut Rows<'_>,
    ) -> Result<Step, RecordError> {
        let rest = bytes.get(start..).unwrap_or_default();
        let (line, end) = match rest.iter().position(|byte| *byte == b'\n') {
            Some(length) => (&rest[..length], start + length + 1),
            None if last => (rest, bytes.len()),
            // There is more to come, and the line may go on.
            None => return Ok(Step::Incomplete),
        };
        let text = str::from_utf8(line).map_err(|_| RecordError::new("the line is not UTF-8"))?;
        let label = self.label.as_str();
        let number = text.strip_prefix(label).and_then(|rest| rest.strip_prefix(": "));
        let number = number
            .and_then(|number| number.parse::<i64>().ok())
            .ok_or_else(|| RecordError::new(format!("`{text}` is not `{label}: ` and a number")))?;
        rows.put_fixed(0, number.to_le_bytes());
        rows.commit();
        Ok(Step::Row(end))
    }
}

impl Encode for LabelledLines {
    fn encode(&mut self, page: &ValidPage<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        for number in page.column(0).fixed::<i64>() {
            out.extend_from_slice(format!("{}: {number}\n", self.label).as_bytes());
        }
        Ok(())
    }
}
