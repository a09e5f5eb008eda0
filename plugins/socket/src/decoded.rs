//! A connection whose bytes a format makes rows of.

use millstream_sdk::{
    format::{DecodeError, Decoder, InputInfo, OpenFormat},
    prelude::*,
};

use crate::{
    RECORD_BYTES_MAX,
    connection::{Connection, Received},
};

/// Makes rows of a connection's bytes.
#[derive(Debug)]
pub(crate) struct Decoded {
    format: OpenFormat,
    segment_size: u32,
    /// None before the header, if there is one, has come.
    decoder: Option<Decoder>,
}

impl Decoded {
    pub(crate) fn new(format: OpenFormat, segment_size: u32) -> Self {
        Self { format, segment_size, decoder: None }
    }

    /// A connection begins.
    pub(crate) fn begin(&mut self) {
        self.decoder = None;
    }

    pub(crate) fn fill(
        &mut self,
        connection: &mut Connection,
        rows: &mut Rows<'_>,
    ) -> Result<Filled, Error> {
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            None => {
                let Some(header) = self.header(connection)? else { return Ok(Filled::Page) };
                let record_bytes_max = RECORD_BYTES_MAX as u64;
                let info = InputInfo { header: &header, whole: true, record_bytes_max };
                let decoder = self.format.decoder(&info, self.segment_size);
                self.decoder.insert(decoder.map_err(|error| error.at(&connection.server))?)
            }
        };
        let header = u64::from(self.format.properties().header);
        decoder.fill(connection, rows).map_err(|error| match error {
            DecodeError::Input(error) => error,
            DecodeError::Record { error, lines, .. } => {
                let line = 1 + header + lines;
                error.at(format!("line {line} from {}", connection.server))
            }
        })
    }

    /// The first line if the format needs it; `None` if it has not come yet.
    fn header(&self, connection: &mut Connection) -> Result<Option<Vec<u8>>, Error> {
        use millstream_sdk::format::Input;
        if !self.format.properties().header {
            return Ok(Some(Vec::new()));
        }
        loop {
            let rest = connection.rest();
            if let Some(end) = memchr::memchr(b'\n', rest) {
                let line = rest.get(..end).unwrap_or_default().to_vec();
                connection.consume(end + 1);
                return Ok(Some(line));
            }
            if rest.len() > RECORD_BYTES_MAX {
                let message = format!("the header is longer than {RECORD_BYTES_MAX} bytes");
                return Err(Error::new(message).at(&connection.server));
            }
            match connection.receive()? {
                Received::Data => {}
                Received::Nothing => return Ok(None),
                Received::End => {
                    let line = connection.rest().to_vec();
                    connection.consume(line.len());
                    return Ok(Some(line));
                }
            }
        }
    }
}
