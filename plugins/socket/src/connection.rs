//! Bytes from a server.

use std::{
    io::{ErrorKind, Read},
    net::TcpStream,
    time::Duration,
};

use millstream_sdk::{
    Error,
    format::{Block, Input},
};

/// How long a call waits for data: somebody may want to stop the reader.
const WAIT: Duration = Duration::from_millis(50);
/// Bytes that are received at a time.
const READ_BYTES: usize = 64 << 10;

/// A connection, and what was received over it.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The server, as errors name it.
    pub(crate) server: String,
    stream: Option<TcpStream>,
    data: Vec<u8>,
    /// Those before it are consumed.
    position: usize,
}

/// What came of waiting for data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Data,
    Nothing,
    End,
}

impl Connection {
    pub(crate) fn open((host, port): &(String, u16)) -> Result<Self, Error> {
        let connect = || {
            let stream = TcpStream::connect((host.as_str(), *port))?;
            stream.set_read_timeout(Some(WAIT))?;
            Ok(stream)
        };
        let server = format!("{host}:{port}");
        let stream = connect().map_err(|error: std::io::Error| {
            Error::new(format!("cannot connect to {server}: {error}"))
        })?;
        Ok(Self { server, stream: Some(stream), data: Vec::new(), position: 0 })
    }

    /// What was received and not consumed.
    pub(crate) fn rest(&self) -> &[u8] {
        self.data.get(self.position..).unwrap_or_default()
    }

    /// Whether the server has closed the connection.
    pub(crate) fn is_ended(&self) -> bool {
        self.stream.is_none()
    }

    /// Waits a little for more.
    pub(crate) fn receive(&mut self) -> Result<Received, Error> {
        self.data.drain(..self.position);
        self.position = 0;
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
                _ => Err(Error::from(error).at(&self.server)),
            },
        }
    }
}

impl Input for Connection {
    fn block(&mut self, more: bool, rows: u32) -> Result<Option<Block<'_>>, Error> {
        // What is there goes out before more is waited for.
        if more && (rows > 0 || self.receive()? == Received::Nothing) {
            return Ok(None);
        }
        let last = self.is_ended();
        Ok(Some(Block { bytes: self.rest(), end: usize::MAX, last }))
    }

    fn consume(&mut self, bytes: usize) {
        self.position = self.data.len().min(self.position.saturating_add(bytes));
    }
}
