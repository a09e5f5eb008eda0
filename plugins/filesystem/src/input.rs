//! Bytes of a file, decompressed.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use millstream_sdk::Error;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// The compression that an option names; `auto` looks at the file's name.
    pub(crate) fn named(name: &str, path: &Path) -> Result<Self, Error> {
        match name {
            "none" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            "auto" => Ok(match path.extension().and_then(|extension| extension.to_str()) {
                Some("gz") => Self::Gzip,
                Some("zst") => Self::Zstd,
                _ => Self::None,
            }),
            other => Err(Error::new(format!(
                "the option `compression` is `{other}`: it is auto, none, gzip or zstd"
            ))),
        }
    }
}

/// The bytes of a file from byte `start` on, as it is decompressed.
pub(crate) fn open(
    path: &Path,
    compression: Compression,
    start: u64,
) -> Result<Box<dyn Read + Send>, Error> {
    let mut file = File::open(path).map_err(|error| Error::from(error).at(path.display()))?;
    let mut input: Box<dyn Read + Send> = match compression {
        Compression::None => {
            // What cannot be gone back in, a pipe for instance, can still be read from its beginning.
            if start > 0 {
                file.seek(SeekFrom::Start(start))?;
            }
            return Ok(Box::new(file));
        }
        // Several members behind each other are one file, as `cat a.gz b.gz` makes it.
        Compression::Gzip => {
            let buffered = io::BufReader::with_capacity(128 << 10, file);
            Box::new(flate2::bufread::MultiGzDecoder::new(buffered))
        }
        Compression::Zstd => Box::new(zstd::Decoder::new(file)?),
    };
    // Compressed data begin at their beginning only.
    let skipped = io::copy(&mut input.by_ref().take(start), &mut io::sink());
    skipped.map_err(|error| explain(error, compression).at(path.display()))?;
    Ok(input)
}

/// Says what went wrong while reading, with the fix where there is one.
pub(crate) fn explain(error: io::Error, compression: Compression) -> Error {
    let codec = match compression {
        Compression::None => return error.into(),
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
    };
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::new(format!(
            "the {codec} data end in the middle: the file is truncated, copy it again"
        )),
        _ => Error::new(format!("the {codec} data are damaged: {error}")),
    }
}
