//! CSV (RFC 4180): fields between delimiters, records between line ends, quotes around what
//! contains either.

mod decode;
mod encode;
mod largest;
mod scan;

pub use decode::{Decoder, Dialect, check, header_columns};
pub use encode::{push_field, push_header, push_row};
pub use scan::Scanner;
