//! A format of numbers, a line each, that fails in whichever call it is told to.

use millstream_sdk::prelude::*;

#[derive(Clone)]
struct Fault {
    panic: String,
    error: String,
}

impl Fault {
    fn reach(&self, call: &str) -> Result<(), Error> {
        assert!(self.panic != call, "the format's own mistake in {call}");
        match self.error == call {
            true => Err(Error::new(format!("{call} does not work today"))),
            false => Ok(()),
        }
    }
}

struct Numbers(Fault);

impl Format for Numbers {
    const NAME: &'static str = "numbers";
    const SUMMARY: &'static str = "Numbers, a line each, or less";
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc::string("panic", "The call that panics").default(""),
        OptionDoc::string("error", "The call that gives an error").default(""),
        OptionDoc::integer("add", "What is added to each number").default("0"),
    ];
    type Decoder = NumberLines;
    type Encoder = NumberLines;

    fn open(options: &Options, _schema: &Schema) -> Result<Self, Error> {
        let (panic, error) = (options.string("panic")?.into(), options.string("error")?.into());
        let fault = Fault { panic, error };
        fault.reach("open")?;
        options.integer("add")?;
        Ok(Self(fault))
    }

    fn properties(&self) -> Properties {
        assert!(self.0.panic != "properties", "the format's own mistake in properties");
        Properties { splits: true, ..Properties::BOTH }
    }

    fn decoder(&self, _input: &InputInfo<'_>) -> Result<NumberLines, Error> {
        self.0.reach("decoder")?;
        Ok(NumberLines(self.0.clone()))
    }

    fn encoder(&self) -> Result<NumberLines, Error> {
        self.0.reach("encoder")?;
        Ok(NumberLines(self.0.clone()))
    }
}

struct NumberLines(Fault);

impl Decode for NumberLines {
    fn record(
        &mut self,
        bytes: &[u8],
        start: usize,
        last: bool,
        rows: &mut Rows<'_>,
    ) -> Result<Step, RecordError> {
        self.0.reach("record").map_err(|error| RecordError::new(error.to_string()))?;
        let rest = bytes.get(start..).unwrap_or_default();
        let (line, end) = match rest.iter().position(|byte| *byte == b'\n') {
            Some(length) => (&rest[..length], start + length + 1),
            None if last => (rest, bytes.len()),
            None => return Ok(Step::Incomplete),
        };
        let number = str::from_utf8(line).ok().and_then(|line| line.parse::<u64>().ok());
        let number = number.ok_or_else(|| RecordError::new("the line is no number"))?;
        rows.put_fixed(0, number.to_le_bytes());
        rows.commit();
        Ok(Step::Row(end))
    }
}

impl Encode for NumberLines {
    fn begin(&mut self, _out: &mut Vec<u8>) -> Result<(), Error> {
        self.0.reach("begin")
    }

    fn encode(&mut self, page: &ValidPage<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        self.0.reach("encode")?;
        for number in page.column(0).fixed::<u64>() {
            out.extend_from_slice(format!("{number}\n").as_bytes());
        }
        Ok(())
    }

    fn finish(&mut self, _out: &mut Vec<u8>) -> Result<(), Error> {
        self.0.reach("finish")
    }
}

impl Drop for NumberLines {
    fn drop(&mut self) {
        let _ = self.0.reach("close");
    }
}

millstream_sdk::plugin! {
    name: "format_calls",
    summary: "A format that fails in whichever call it is told to",
    formats: [Numbers],
}
millstream_sdk::export!(plugin);
