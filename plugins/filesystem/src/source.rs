//! The source.

use std::{fs, path::PathBuf};

use millstream_sdk::{format::OpenFormat, prelude::*};

use crate::{
    beside::Beside,
    files,
    input::Compression,
    part::{Limits, Part},
    split::Split,
};

/// Reads files.
#[derive(Debug)]
pub struct FileSource {
    files: Vec<PathBuf>,
    compression: String,
    split_size: u64,
    record_bytes_max: u64,
    format: OpenFormat,
    /// The columns that files do not have.
    beside: Beside,
}

impl Source for FileSource {
    const NAME: &'static str = "filesystem";
    const SUMMARY: &'static str = "Reads files in any format, plain or compressed";
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc::string("path", "A file, a directory, or a pattern such as /data/*.csv")
            .required(),
        OptionDoc::format("format", "The format of the files: csv, json, text or one of a plugin")
            .default("csv"),
        OptionDoc::string("compression", "auto (by the file's name), none, gzip or zstd")
            .default("auto"),
        OptionDoc::bytes("split-size", "About how much of a file one reader reads at a time")
            .default("64 MiB"),
        OptionDoc::bytes("max-record-size", "The largest record, as it is written and as a row")
            .default("16 MiB"),
        OptionDoc::string(
            "partition-by",
            "Columns whose values are those of directories, name=value/, the outermost first",
        ),
        OptionDoc::string(
            "metadata",
            "What of a file is in a column: a line key=column for each, with the keys file.path, file.name, \
             file.size and file.modification-time",
        ),
    ];
    const ROW_KINDS: bool = true;
    type Reader = FileReader;

    fn open(options: &Options, schema: &Schema) -> Result<Self, Error> {
        let (directories, metadata) = (options.value("partition-by"), options.value("metadata"));
        let (beside, schema) = Beside::new(directories, metadata, schema)?;
        let format = options.format("format", &schema)?;
        let properties = format.properties();
        if !properties.decodes {
            let name = format.name();
            return Err(Error::new(format!("the format `{name}` is only written, not read")));
        }
        let files = files::matching(options.string("path")?, &beside.directories)?;
        let compression = options.string("compression")?.to_owned();
        for file in &files {
            Compression::named(&compression, file)?;
        }
        Ok(Self {
            files,
            compression,
            // A file that is read as a whole is one split.
            split_size: if properties.splits { options.bytes("split-size")? } else { u64::MAX },
            record_bytes_max: options.bytes("max-record-size")?.max(1),
            format,
            beside,
        })
    }

    fn splits(&self) -> Result<Vec<Vec<u8>>, Error> {
        let mut splits = Vec::new();
        for file in &self.files {
            match Compression::named(&self.compression, file)? {
                Compression::None => {
                    let length = fs::metadata(file)
                        .map_err(|error| Error::from(error).at(file.display()))?
                        .len();
                    splits.extend(Split::parts(file, length, self.split_size));
                }
                _ => splits.push(Split::whole(file)),
            }
        }
        Ok(splits.iter().map(Split::encode).collect())
    }

    fn reader(&self, subtask: Subtask) -> Result<FileReader, Error> {
        Ok(FileReader {
            format: self.format.clone(),
            beside: self.beside.clone(),
            compression: self.compression.clone(),
            limits: Limits {
                segment_size: subtask.segment_size,
                record_bytes_max: self.record_bytes_max,
            },
            split: None,
        })
    }
}

/// Reads the splits of one subtask.
#[derive(Debug)]
pub struct FileReader {
    format: OpenFormat,
    beside: Beside,
    compression: String,
    limits: Limits,
    split: Option<Part>,
}

impl SplitReader for FileReader {
    fn begin(&mut self, split: &[u8]) -> Result<(), Error> {
        let split = Split::decode(split)?;
        let path = split.path.clone();
        let compression = Compression::named(&self.compression, &path)?;
        let constants = self.beside.of(&path).map_err(|error| error.at(path.display()))?;
        let constants = constants.as_ref();
        let open = Part::open(&self.format, split, compression, (self.limits, constants));
        self.split = Some(open.map_err(|error| error.at(path.display()))?);
        Ok(())
    }

    fn fill(&mut self, rows: &mut Rows<'_>) -> Result<Filled, Error> {
        let Some(split) = &mut self.split else { return Ok(Filled::SplitDone) };
        let filled = split.fill(rows)?;
        if filled == Filled::SplitDone {
            self.split = None;
        }
        Ok(filled)
    }

    fn rest(&self) -> Result<Vec<u8>, Error> {
        match &self.split {
            Some(split) => Ok(split.rest().encode()),
            None => Err(Error::new("no split is being read")),
        }
    }
}
