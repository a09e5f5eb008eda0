//! Bytes to a file, compressed.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use crate::input::Compression;

/// A file that is being written, compressed.
pub(crate) enum Output {
    Plain(Counted),
    Gzip(flate2::write::GzEncoder<Counted>),
    Zstd(zstd::Encoder<'static, Counted>),
}

impl Output {
    /// Makes a file, which must not be there yet.
    pub(crate) fn create(path: &Path, compression: Compression) -> io::Result<Self> {
        let file = File::create_new(path)?;
        let file = Counted { file: BufWriter::with_capacity(128 << 10, file), bytes: 0 };
        Ok(match compression {
            Compression::None => Self::Plain(file),
            Compression::Gzip => {
                Self::Gzip(flate2::write::GzEncoder::new(file, flate2::Compression::default()))
            }
            Compression::Zstd => Self::Zstd(zstd::Encoder::new(file, ZSTD_LEVEL)?),
        })
    }

    /// Adds bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.write_all(bytes),
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    /// Bytes that have gone to the file; what the compression still holds is not counted.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Plain(file) => file.bytes,
            Self::Gzip(encoder) => encoder.get_ref().bytes,
            Self::Zstd(encoder) => encoder.get_ref().bytes,
        }
    }

    /// Completes the file: all of it is on the disk when this returns.
    pub(crate) fn finish(self) -> io::Result<()> {
        let file = match self {
            Self::Plain(file) => file,
            Self::Gzip(encoder) => encoder.finish()?,
            Self::Zstd(encoder) => encoder.finish()?,
        };
        file.file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }
}

/// zstd's default.
const ZSTD_LEVEL: i32 = 3;

/// Counts what is written to a file.
pub(crate) struct Counted {
    file: BufWriter<File>,
    bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
