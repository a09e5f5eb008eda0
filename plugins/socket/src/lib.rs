//! The `socket` connector: lines of text from a TCP server, for trying things out.
//!
//! One reader connects and reads until the server closes the connection; nothing is read twice or
//! again. Rows have one column of text.
#![forbid(unsafe_code)]

use std::{
    io::{ErrorKind, Read},
    net::TcpStream,
    time::Duration,
};

use millstream_sdk::prelude::*;

/// Reads lines from a server.
#[derive(Debug)]
pub struct SocketSource {
    address: (String, u16),
    delimiter: Vec<u8>,
}

impl Source for SocketSource {
    const NAME: &'static str = "socket";
    const SUMMARY: &'static str = "Reads lines of text from a TCP server, into one column";
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc::string("hostname", "The server's name or address").required(),
        OptionDoc::integer("port", "The server's port").required(),
        OptionDoc::string("delimiter", "What ends a line, a line feed if not set").default("\n"),
    ];
    type Reader = SocketReader;

    fn open(options: &Options, schema: &Schema) -> Result<Self, Error> {
        match schema.fields.as_slice() {
            [field] if field.data_type == DataType::String => {}
            _ => {
                return Err(Error::new(format!(
                    "the socket gives one column of STRING, but the columns are {schema}"
                )));
            }
        }
        let port = options.integer("port")?;
        let port = u16::try_from(port)
            .map_err(|_| Error::new(format!("the option `port` is {port}: it is 1 to 65535")))?;
        let delimiter = options.string("delimiter")?.as_bytes().to_vec();
        if delimiter.is_empty() {
            return Err(Error::new("the option `delimiter` is empty"));
        }
        Ok(Self { address: (options.string("hostname")?.into(), port), delimiter })
    }

    fn splits(&self) -> Result<Vec<Vec<u8>>, Error> {
        // A connection cannot be shared.
        Ok(vec![Vec::new()])
    }

    fn reader(&self, _subtask: Subtask) -> Result<SocketReader, Error> {
        Ok(SocketReader {
            address: self.address.clone(),
            delimiter: self.delimiter.clone(),
            stream: None,
            data: Vec::new(),
            position: 0,
            line: 1,
        })
    }
}

/// Reads a connection.
#[derive(Debug)]
pub struct SocketReader {
    address: (String, u16),
    delimiter: Vec<u8>,
    stream: Option<TcpStream>,
    /// What was received; up to `position` it is rows already.
    data: Vec<u8>,
    position: usize,
    /// The number of the next line.
    line: u64,
}

/// How long a call waits for data: somebody may want to stop the reader.
const WAIT: Duration = Duration::from_millis(50);
/// Bytes that are received at a time.
const READ_BYTES: usize = 64 << 10;
/// The longest line, in bytes.
const LINE_BYTES_MAX: usize = 16 << 20;

impl SplitReader for SocketReader {
    fn begin(&mut self, _split: &[u8]) -> Result<(), Error> {
        let (host, port) = &self.address;
        let connect = || {
            let stream = TcpStream::connect((host.as_str(), *port))?;
            stream.set_read_timeout(Some(WAIT))?;
            Ok(stream)
        };
        let stream = connect().map_err(|error: std::io::Error| {
            Error::new(format!("cannot connect to {host}:{port}: {error}"))
        })?;
        self.stream = Some(stream);
        Ok(())
    }

    fn fill(&mut self, rows: &mut Rows<'_>) -> Result<Filled, Error> {
        loop {
            while rows.has_room() {
                let rest = &self.data[self.position..];
                let Some(length) = memchr::memmem::find(rest, &self.delimiter) else { break };
                if !put(rows, &rest[..length], self.line)? {
                    return Ok(Filled::Page);
                }
                self.line += 1;
                self.position += length + self.delimiter.len();
            }
            // What is there goes out before more is waited for.
            if rows.rows() > 0 {
                return Ok(Filled::Page);
            }
            match self.receive()? {
                Received::Data => {}
                Received::Nothing => return Ok(Filled::Page),
                Received::End => return self.last(rows),
            }
        }
    }
}

enum Received {
    Data,
    Nothing,
    End,
}

impl SocketReader {
    fn receive(&mut self) -> Result<Received, Error> {
        self.data.drain(..self.position);
        self.position = 0;
        let line = self.line;
        let place = format!("line {line} from {}:{}", self.address.0, self.address.1);
        if self.data.len() > LINE_BYTES_MAX {
            return Err(Error::new(format!("it is longer than {LINE_BYTES_MAX} bytes")).at(place));
        }
        let Some(stream) = &mut self.stream else { return Ok(Received::End) };
        let before = self.data.len();
        self.data.resize(before + READ_BYTES, 0);
        let read = stream.read(&mut self.data[before..]);
        self.data.truncate(before + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => {
                self.stream = None;
                Ok(Received::End)
            }
            Ok(_) => Ok(Received::Data),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {
                    Ok(Received::Nothing)
                }
                _ => Err(Error::from(error).at(place)),
            },
        }
    }

    /// What stands behind the last delimiter is a line, too, unless it is empty.
    fn last(&mut self, rows: &mut Rows<'_>) -> Result<Filled, Error> {
        let rest = &self.data[self.position..];
        if !rest.is_empty() && !put(rows, rest, self.line)? {
            return Ok(Filled::Page);
        }
        self.position = self.data.len();
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
    summary: "Reads lines of text from a TCP server",
    sources: [SocketSource],
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_sdk_test::SourceTest;
    use std::{io::Write, net::TcpListener, thread};

    /// A server that says this to everyone who connects.
    fn source(said: &'static [&'static [u8]]) -> SourceTest {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                // A reader that is dropped does not listen to the end.
                let _ = said.iter().try_for_each(|bytes| stream.write_all(bytes));
            }
        });
        SourceTest::new::<String>(plugin, "socket")
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
}
