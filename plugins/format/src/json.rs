//! JSON lines: an object on each line, nested rows as objects in it.

mod decode;
mod encode;
mod largest;
mod member;

pub use decode::Decoder;
pub use encode::push_row;
