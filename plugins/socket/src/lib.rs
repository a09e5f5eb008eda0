//! The `socket` connector: lines of text from a TCP server, for trying things out.
//!
//! One reader connects and reads until the server closes the connection; nothing is read twice or
//! again. Rows have one column of text, or, with `format`, what a format makes of the bytes.
#![forbid(unsafe_code)]

mod connection;
mod decoded;

use millstream_sdk::{
    format::{Input, OpenFormat},
    prelude::*,
};

use connection::{Connection, Received};
use decoded::Decoded;

/// The longest line or record, in bytes.
const RECORD_BYTES_MAX: usize = 16 << 20;

/// Reads lines from a server.
#[derive(Debug)]
pub struct SocketSource {
    address: (String, u16),
    delimiter: Vec<u8>,
    format: Option<OpenFormat>,
}

impl Source for SocketSource {
    const NAME: &'static str = "socket";
    const SUMMARY: &'static str = "Reads from a TCP server: lines of text, or any format";
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc::string("hostname", "The server's name or address").required(),
        OptionDoc::integer("port", "The server's port").required(),
        OptionDoc::string(
            "delimiter",
            "What ends a line, a line feed if not set; without `format` only",
        ),
        OptionDoc::format(
            "format",
            "The format of what the server says; lines of one column of STRING if not set",
        ),
    ];
    type Reader = SocketReader;

    fn open(options: &Options, schema: &Schema) -> Result<Self, Error> {
        let format = match options.value("format") {
            Some(_) => Some(options.format("format", schema)?),
            None => None,
        };
        match (schema.fields.as_slice(), &format) {
            (_, Some(_)) => {}
            ([field], None) if field.data_type == DataType::String => {}
            _ => {
                return Err(Error::new(format!(
                    "without the option `format` the socket gives one column of STRING, but the \
                     columns are {schema}"
                )));
            }
        }
        let port = options.integer("port")?;
        let port = u16::try_from(port)
            .map_err(|_| Error::new(format!("the option `port` is {port}: it is 1 to 65535")))?;
        let delimiter = match (options.value("delimiter"), &format) {
            (None, _) => "\n",
            (Some(""), _) => return Err(Error::new("the option `delimiter` is empty")),
            (Some(delimiter), None) => delimiter,
            (Some(_), Some(format)) => {
                let name = format.name();
                return Err(Error::new(format!(
                    "the format `{name}` says itself where records end: leave `delimiter` out"
                )));
            }
        };
        let address = (options.string("hostname")?.into(), port);
        Ok(Self { address, delimiter: delimiter.into(), format })
    }

    fn splits(&self) -> Result<Vec<Vec<u8>>, Error> {
        // A connection cannot be shared.
        Ok(vec![Vec::new()])
    }

    fn is_bounded(&self) -> bool {
        false
    }

    fn reader(&self, subtask: Subtask) -> Result<SocketReader, Error> {
        let decoded = |format: &OpenFormat| Decoded::new(format.clone(), subtask.segment_size);
        let records = match &self.format {
            Some(format) => Records::Decoded(decoded(format)),
            None => Records::Lines(Lines { delimiter: self.delimiter.clone(), line: 1 }),
        };
        Ok(SocketReader { address: self.address.clone(), connection: None, records })
    }
}

/// Reads a connection.
#[derive(Debug)]
pub struct SocketReader {
    address: (String, u16),
    connection: Option<Connection>,
    records: Records,
}

/// What becomes of the bytes.
#[derive(Debug)]
enum Records {
    Lines(Lines),
    Decoded(Decoded),
}

impl SplitReader for SocketReader {
    fn begin(&mut self, _split: &[u8]) -> Result<(), Error> {
        if let Records::Decoded(decoded) = &mut self.records {
            decoded.begin();
        }
        self.connection = Some(Connection::open(&self.address)?);
        Ok(())
    }

    fn fill(&mut self, rows: &mut Rows<'_>) -> Result<Filled, Error> {
        let Some(connection) = &mut self.connection else { return Ok(Filled::SplitDone) };
        match &mut self.records {
            Records::Lines(lines) => lines.fill(connection, rows),
            Records::Decoded(decoded) => decoded.fill(connection, rows),
        }
    }
}

/// Makes rows of lines.
#[derive(Debug)]
struct Lines {
    delimiter: Vec<u8>,
    /// The number of the next line.
    line: u64,
}

impl Lines {
    fn fill(&mut self, connection: &mut Connection, rows: &mut Rows<'_>) -> Result<Filled, Error> {
        loop {
            while rows.has_room() {
                let rest = connection.rest();
                let Some(length) = memchr::memmem::find(rest, &self.delimiter) else { break };
                if !put(rows, rest.get(..length).unwrap_or_default(), self.line)? {
                    return Ok(Filled::Page);
                }
                self.line += 1;
                connection.consume(length + self.delimiter.len());
            }
            // What is there goes out before more is waited for.
            if rows.rows() > 0 {
                return Ok(Filled::Page);
            }
            if connection.rest().len() > RECORD_BYTES_MAX {
                let place = format!("line {} from {}", self.line, connection.server);
                let message = format!("it is longer than {RECORD_BYTES_MAX} bytes");
                return Err(Error::new(message).at(place));
            }
            match connection.receive()? {
                Received::Data => {}
                Received::Nothing => return Ok(Filled::Page),
                Received::End => return self.last(connection, rows),
            }
        }
    }

    /// What stands behind the last delimiter is a line, too, unless it is empty.
    fn last(&self, connection: &mut Connection, rows: &mut Rows<'_>) -> Result<Filled, Error> {
        let rest = connection.rest();
        if !rest.is_empty() && !put(rows, rest, self.line)? {
            return Ok(Filled::Page);
        }
        connection.consume(usize::MAX);
        Ok(Filled::SplitDone)
    }
}

/// Adds a line as a row; `false` if the page has no room for it.
fn put(rows: &mut Rows<'_>, line: &[u8], number: u64) -> Result<bool, Error> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line)
        .map_err(|_| Error::new(format!("line {number} is not UTF-8 text")))?;
    match rows.put_str(0, text) {
        Ok(()) => rows.commit(),
        Err(_) => {
            rows.roll_back();
            return Ok(false);
        }
    }
    Ok(true)
}

millstream_sdk::plugin! {
    name: "socket",
    summary: "Reads from a TCP server: lines of text, or any format",
    sources: [SocketSource],
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_sdk_test::SourceTest;
    use std::{io::Write, net::TcpListener, thread};

    /// A server that says this to everyone who connects.
    fn source(said: &'static [&'static [u8]]) -> SourceTest {
        source_of::<String>(said)
    }

    fn source_of<T: Record>(said: &'static [&'static [u8]]) -> SourceTest {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                // A reader that is dropped does not listen to the end.
                let _ = said.iter().try_for_each(|bytes| stream.write_all(bytes));
            }
        });
        SourceTest::new::<T>(plugin, "socket")
            .option("hostname", "127.0.0.1")
            .option("port", port.to_string())
    }

    #[test]
    fn lines_are_rows() {
        let source = source(&[b"one\ntw", b"o\r\n\nlast"]);
        assert_eq!(source.rows::<String>().unwrap(), ["one", "two", "", "last"]);
        source.check_contract();
    }

    #[test]
    fn a_delimiter_may_be_longer() {
        let source = source(&[b"a--b-c--"]).option("delimiter", "--");
        assert_eq!(source.rows::<String>().unwrap(), ["a", "b-c"]);
    }

    #[test]
    fn long_lines_are_received_whole() {
        const LONG: &[u8] = &[b'x'; 300_000];
        let source = source(&[b"short\n", LONG, b"\nend"]);
        let lengths: Vec<_> = source.rows::<String>().unwrap().iter().map(String::len).collect();
        assert_eq!(lengths, [5, 300_000, 3]);
    }

    #[test]
    fn what_goes_wrong_is_said() {
        let said = source(&[b"fine\n\xFF\n"]).rows::<String>().unwrap_err().to_string();
        assert!(said.contains("line 2 is not UTF-8"), "{said}");
        let nobody = SourceTest::new::<String>(plugin, "socket")
            .option("hostname", "127.0.0.1")
            .option("port", "1");
        let said = nobody.rows::<String>().unwrap_err().to_string();
        assert!(said.contains("127.0.0.1:1"), "{said}");
        let wrong = SourceTest::new::<u64>(plugin, "socket")
            .option("hostname", "127.0.0.1")
            .option("port", "1");
        assert!(wrong.open().unwrap_err().to_string().contains("one column of STRING"));
    }

    #[derive(Clone, Debug, PartialEq, Record)]
    struct Word {
        id: i64,
        word: String,
    }

    #[test]
    fn a_format_makes_rows_of_what_comes() {
        let word = |id, word: &str| Word { id, word: word.into() };
        let csv = source_of::<Word>(&[b"wo", b"rd,id\none,1\n\"tw", b"\no\",2\nthree,3"]);
        let csv = csv.option("format", "csv");
        let expected = [word(1, "one"), word(2, "tw\no"), word(3, "three")];
        assert_eq!(csv.rows::<Word>().unwrap(), expected);
        csv.check_contract();
        let json = source_of::<Word>(&[b"{\"id\":1,\"word\":\"one\"}\n{\"id\":\"x\"}"]);
        let said = json.option("format", "json").rows::<Word>().unwrap_err().to_string();
        assert!(said.contains("line 2 from 127.0.0.1:") && said.contains("column `id`"), "{said}");
    }

    #[test]
    fn formats_have_no_delimiter() {
        let source = source(&[]).option("format", "text").option("delimiter", "-");
        let said = source.open().unwrap_err().to_string();
        assert!(said.contains("`text` says itself where records end"), "{said}");
    }
}
