//! JSON lines: an object on each line, nested rows as objects in it.

mod change;
mod changed;
mod cursor;
mod decode;
mod encode;
mod largest;
mod object;
mod prefix;
mod scan;
mod seen;

pub use change::{push_changelog, push_debezium};
pub use changed::{ChangeDecoder as Changed, ChangeLines};
pub use decode::Decoder;
pub use encode::{push_field, push_row};
