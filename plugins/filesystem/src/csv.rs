//! CSV (RFC 4180): fields between delimiters, records between line ends, quotes around what
//! contains either.

mod decode;
mod scan;

pub use decode::{Decoder, Dialect, RecordError, Step, header_columns};
pub use scan::Scanner;
