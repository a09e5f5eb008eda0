//! How files are written.

use millstream_format::{
    Columns,
    csv::{self, Dialect},
    lines,
};
use millstream_sdk::prelude::*;

/// The option for the character between fields.
pub(crate) const CSV_DELIMITER: OptionDoc =
    OptionDoc::string("csv.field-delimiter", "The character between fields").default(",");
/// The option for the character around fields that need it.
pub(crate) const CSV_QUOTE: OptionDoc =
    OptionDoc::string("csv.quote-character", "The character around fields that need it")
        .default("\"");

/// The option for the character between the elements of a list.
pub(crate) const CSV_ELEMENT_DELIMITER: OptionDoc = OptionDoc::string(
    "csv.array-element-delimiter",
    "The character between the elements of an array",
)
.default(";");

/// The format of files, and the columns that are asked for.
#[derive(Clone, Debug)]
pub(crate) struct Format {
    pub(crate) kind: Kind,
    pub(crate) columns: Columns,
}

/// The format of files.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Csv(Dialect),
    Json,
    /// Lines, which are only read.
    Text,
}

impl Format {
    /// The format that the options name.
    pub(crate) fn new(options: &Options, schema: &Schema) -> Result<Self, Error> {
        let columns = Columns::new(schema)?;
        let kind = match options.string("format")? {
            "csv" => Kind::Csv(dialect(options)?),
            "json" => Kind::Json,
            "text" => {
                lines::check_schema(schema)?;
                Kind::Text
            }
            other => {
                return Err(Error::new(format!(
                    "the option `format` is `{other}`: it is csv, json or text"
                )));
            }
        };
        if let Kind::Csv(_) = kind {
            csv::check(&columns)?;
        }
        Ok(Self { kind, columns })
    }
}

fn dialect(options: &Options) -> Result<Dialect, Error> {
    let character = |name: &str| match options.string(name)?.as_bytes() {
        [byte] if !matches!(byte, b'\n' | b'\r') => Ok(*byte),
        _ => Err(Error::new(format!("the option `{name}` must be one ASCII character"))),
    };
    let dialect = Dialect {
        delimiter: character("csv.field-delimiter")?,
        quote: character("csv.quote-character")?,
        element_delimiter: character("csv.array-element-delimiter")?,
    };
    let Dialect { delimiter, quote, element_delimiter } = dialect;
    if delimiter == quote || element_delimiter == quote {
        return Err(Error::new(
            "the option `csv.quote-character` is the same character as `csv.field-delimiter` or \
             `csv.array-element-delimiter`",
        ));
    }
    Ok(dialect)
}
